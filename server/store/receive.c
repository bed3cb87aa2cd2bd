/* SPDX-License-Identifier: BSD-3-Clause
 *
 * receive - items that move between nodes: what goes along of an item, taking one over, letting one go.
 *
 * Taking an item over is the fill rule with another node as the database: the receiver notes its number, the other node
 * reads the item, and the receiver stores it only if nothing has happened since that number that the other node cannot
 * have known of. Everything is looked at with the key's bucket locked and after the new version is taken, so a purge or
 * a change that is overlooked here comes later than the item does, and finds it. */
#include <string.h>

#include "base/check.h"
#include "base/fault.h"
#include "store/account.h"
#include "store/append.h"
#include "store/change.h"
#include "store/handle.h"
#include "store/item.h"
#include "store/number.h"
#include "store/purge.h"
#include "store/state.h"
#include "store/store.h"
#include "store/tag.h"
#include "store/upload.h"

/* ------------------------------------------------------------------ what goes along */

bool store_moving(struct store_worker *w, const struct store_item *it, struct store_moving *m) {
    struct item now;
    uint32_t deadline = 0;
    item_read(&now, segment_at(&w->s->segs, it->loc));
    const enum verdict v = verdict_of(w, &now, &deadline);
    if (v > VERDICT_SOFT) return false;
    const bool stale = (now.bits & ITEM_STALE) != 0, soft = v == VERDICT_SOFT || item_softly_stale(now.bits);
    if ((now.bits & ITEM_WON) && !stale && it->size == 0) return false;
    uint32_t expiry = now.expiry;
    if (v == VERDICT_SOFT && (expiry == 0 || expiry > deadline)) expiry = deadline;
    /* The receiver's second has begun too: what ends by a purge must not end later than here. */
    m->ttl_s = expiry == 0 ? 0 : expiry - w->now - soft;
    if (expiry != 0 && m->ttl_s == 0) return false;
    m->it = *it;
    m->it.expiry = expiry;
    m->bits = (uint8_t)(it->bits & (STORE_B64 | STORE_FETCHED));
    if (soft)
        m->bits |= STORE_STALE | STORE_SOFT;
    else if (stale)
        m->bits |= STORE_STALE;
    else if (item_rearmed(now.bits))
        m->bits |= STORE_REARMED;
    m->has_cas = (now.bits & ITEM_CAS) != 0;
    m->cas = now.cas;
    return true;
}

void store_drop_moved(struct store_worker *w, const struct store_key *k, uint64_t version) {
    struct change c;
    change_begin(&c, w, k);
    if (c.slot != NULL && (c.old.version == version || FAULT_POINT("receive.mutate.drop_any"))) {
        COUNT(w, handoff_dropped, 1);
        change_unlink(&c);
    }
    change_end(&c);
}

/* ------------------------------------------------------------------ taking an item over */

struct receiving {
    struct change c;
    const struct store_receive *r;
    struct item_spec spec;
    struct append rec;
};

static void receive_spec(struct receiving *g) {
    const struct store_put *p = &g->r->put;
    struct item_spec *s = &g->spec;
    *s = (struct item_spec){.key = p->key.p,
                            .key_len = (uint8_t)p->key.len,
                            .tags = p->tags,
                            .ntags = (uint8_t)p->ntags,
                            .expiry = p->expiry,
                            .flags = p->flags,
                            .cas = p->cas,
                            .bits = p->has_cas ? ITEM_CAS : 0,
                            .len = p->bits & STORE_B64 ? ITEM_LEN_B64 : 0};
    s->bits |= p->bits & (STORE_STALE | STORE_FETCHED); /* the same bits in both */
    if (p->bits & (STORE_SOFT | STORE_REARMED)) s->bits |= ITEM_SOFT;
    if (p->upload) {
        const unsigned n = upload_pieces(p->upload);
        s->len |= (uint16_t)(ITEM_LEN_LARGE | n);
        s->value_bytes = 8 + n * ITEM_PIECE_ENTRY;
    } else {
        s->len |= (uint16_t)p->size;
        s->value_bytes = (uint32_t)p->size;
    }
    if (!FAULT_POINT("receive.mutate.not_marked")) item_spec_move(s);
    item_spec_layout(s);
}
_Static_assert((int)STORE_STALE == (int)ITEM_STALE && (int)STORE_FETCHED == (int)ITEM_FETCHED, "receive_spec");

/* Whether a purge that the other node may not have known of may concern the item. Its version is taken. */
static bool purged_since(const struct receiving *g) {
    const struct store_put *p = &g->r->put;
    const struct store *s = g->c.w->s;
    uint64_t tags[TAG_ALL_MAX];
    if (p->ntags) memcpy(tags, p->tags, p->ntags * sizeof *tags);
    const unsigned n = tag_prefixes(s, p->key.p, (unsigned)p->key.len, tags, p->ntags);
    return purge_overtook(&s->purge, g->r->since, tags, n, NULL, 0) && !FAULT_POINT("receive.mutate.unguarded");
}

/* Writes the record, takes its version, asks the purge table, links it. */
static enum store_received receive_link(struct receiving *g) {
    const struct store_put *p = &g->r->put;
    struct change *c = &g->c;
    struct store_worker *w = c->w;
    receive_spec(g);
    if (!change_append(c, item_spec_bytes(&g->spec), &g->rec))
        return change_no_room(c) == STORE_AGAIN ? STORE_RECEIVE_AGAIN : STORE_RECEIVE_NO_MEMORY;
    uint8_t *to = item_write(g->rec.p, &g->spec);
    if (p->upload)
        upload_list(p->upload, to);
    else if (p->size)
        memcpy(to, p->value, p->size);
    const uint64_t version = number_take(w, c->slot ? c->old.version : 0);
    (void)FAULT_POINT("receive.versioned");
    if (purged_since(g)) {
        append_cancel(w, &g->rec);
        return STORE_RECEIVE_PURGED;
    }
    if (p->upload) upload_finish(w, p->upload, c->key->hash);
    append_end(w, &g->rec);
    if (!change_link(c, g->rec.loc, version)) return STORE_RECEIVE_NO_MEMORY;
    if (p->upload) upload_linked(p->upload);
    return STORE_RECEIVED;
}

static enum store_received receive_locked(struct receiving *g) {
    const struct store_receive *r = g->r;
    const struct change *c = &g->c;
    const bool there = c->slot != NULL && c->old.version > r->fenced;
    if (there && !FAULT_POINT("receive.mutate.over_present")) return STORE_RECEIVE_PRESENT;
    if (r->refuse && r->refuse(r->arg, c->key->hash)) return STORE_RECEIVE_WRITTEN;
    return receive_link(g);
}

static void count(struct store_worker *w, enum store_received st) {
    switch (st) {
    case STORE_RECEIVED:
        COUNT(w, handoff_received, 1);
        COUNT(w, total_items, 1);
        break;
    case STORE_RECEIVE_PRESENT: COUNT(w, handoff_refused_present, 1); break;
    case STORE_RECEIVE_WRITTEN: COUNT(w, handoff_refused_written, 1); break;
    case STORE_RECEIVE_PURGED: COUNT(w, handoff_refused_purged, 1); break;
    case STORE_RECEIVE_AGAIN:
    case STORE_RECEIVE_NO_MEMORY: break;
    }
}

enum store_received store_receive(struct store_worker *w, const struct store_receive *r) {
    const struct store_put *p = &r->put;
    struct receiving g; /* mostly scratch: not zeroed */
    enum store_received st = STORE_RECEIVE_NO_MEMORY;
    g.r = r;
    if (p->size <= w->s->cfg.item_size_max && (p->upload || p->size <= w->s->inline_max) &&
        p->ntags <= STORE_TAGS_MAX) {
        change_begin(&g.c, w, &p->key);
        st = receive_locked(&g);
        change_end(&g.c);
    }
    count(w, st);
    if (p->upload && st != STORE_RECEIVE_AGAIN) upload_end(w, p->upload);
    return st;
}
