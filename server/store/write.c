/* SPDX-License-Identifier: BSD-3-Clause
 *
 * write - every change of an item: look it up with its bucket locked, make the new record, take its version, ask
 * whether a purge has overtaken it, link it. In that order. */
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
#include "store/record.h"
#include "store/state.h"
#include "store/tag.h"
#include "store/upload.h"
#include "store/verdict.h"
#include "store/wake.h"

/* ------------------------------------------------------------------ put */

struct putting {
    struct change c;
    const struct store_put *put;
    struct store_upload *upload; /* the body's, or one made to join large ones */
    struct item_spec spec;
    struct append rec;
    const uint64_t *tags; /* the put's own, or `united` */
    unsigned ntags;
    bool join;  /* append, prepend to what there is */
    bool stale; /* an invalidating store with an old guard */
    uint64_t united[2 * STORE_TAGS_MAX];
};

/* Whether mode and guard allow it. */
static enum store_status put_allowed(struct putting *g) {
    const struct store_put *p = g->put;
    struct change *c = &g->c;
    bool there = c->slot != NULL, joins = p->mode == STORE_APPEND || p->mode == STORE_PREPEND;
    if (p->guarded) {
        if (!there && !(joins && p->vivify)) return STORE_NOT_FOUND;
        if (there && c->old.cas != p->guard) {
            if (!p->invalidate || p->guard == 0 || p->guard > c->old.cas) return STORE_EXISTS;
            g->stale = true;
        }
    }
    switch (p->mode) {
    case STORE_SET: break;
    case STORE_ADD:
        /* After the classic miss of a soft purge the item is still there, but `add` is how clients refill. */
        if (there && !item_softly_stale(c->old.bits) && c->verdict != VERDICT_SOFT) return STORE_NOT_STORED;
        break;
    case STORE_REPLACE:
        if (!there) return STORE_NOT_STORED;
        break;
    case STORE_APPEND:
    case STORE_PREPEND:
        if (!there && !p->vivify) return STORE_NOT_STORED;
        g->join = there;
        break;
    }
    return STORE_OK;
}

static void put_spec(struct putting *g) {
    const struct store_put *p = g->put;
    struct item_spec *s = &g->spec;
    const struct item *o = &g->c.old;
    bool created = !g->join && (p->mode == STORE_APPEND || p->mode == STORE_PREPEND);
    g->tags = p->tags;
    g->ntags = p->ntags;
    s->key = p->key.p;
    s->key_len = (uint8_t)p->key.len;
    s->flags = p->flags;
    s->cas = 0;
    s->expiry = created ? p->vivify_expiry : p->expiry;
    s->bits = 0;
    s->moved = false;
    s->len = p->bits & STORE_B64 ? ITEM_LEN_B64 : 0;
    if (g->stale) { /* it is as old as what it replaces: it lives no longer, and whoever refills that still does */
        bool soft = g->c.verdict == VERDICT_SOFT;
        s->bits = (g->join || soft ? 0 : o->bits & ITEM_WON) | ITEM_STALE;
        s->expiry = soft && (o->expiry == 0 || o->expiry > g->c.deadline) ? g->c.deadline : o->expiry;
    }
    if (g->join) {
        uint64_t had[STORE_TAGS_MAX];
        memcpy(had, o->p + o->tags_at, 8u * o->ntags);
        if (p->ntags) memcpy(g->united, p->tags, p->ntags * sizeof *p->tags);
        g->ntags = tag_unite(g->united, p->ntags, had, o->ntags);
        g->tags = g->united;
        s->flags = o->flags;
        s->expiry = o->expiry == 0 && g->c.verdict == VERDICT_SOFT ? g->c.deadline : o->expiry;
        s->len = o->len & ITEM_LEN_B64;
        if (item_moved(o)) item_spec_move(s);
    }
    if (p->has_cas) {
        s->bits |= ITEM_CAS;
        s->cas = p->cas;
    }
    s->tags = g->tags;
    s->ntags = (uint8_t)g->ntags;
}

/* Appends the old value's bytes to an upload. */
static bool upload_old(struct putting *g) {
    const struct item *o = &g->c.old;
    struct store_item it;
    struct iovec v = {0};
    uint8_t header[32]; /* a copy: a reader may just be noting in it that the item was read */
    item_copy_header(header, o->p);
    record_show(header, o->p, g->c.loc, &it);
    for (unsigned i = 0, n = item_large(o) ? item_pieces(o) : 1; i < n; i++) {
        if (store_item_spans(g->c.w, &it, &v, i, 1) == 0) break;
        if (!upload_append(g->c.w, g->upload, v.iov_base, v.iov_len)) return false;
    }
    return true;
}

static bool upload_new(struct putting *g) {
    if (g->put->upload == NULL) return upload_append(g->c.w, g->upload, g->put->value, g->put->size);
    struct iovec v;
    for (unsigned i = 0; upload_span(g->c.w->s, g->put->upload, i, &v); i++)
        if (!upload_append(g->c.w, g->upload, v.iov_base, v.iov_len)) return false;
    return true;
}

/* A joined value that does not fit one record becomes an upload of its own. */
static enum store_status put_join_large(struct putting *g, uint64_t total) {
    struct store *s = g->c.w->s;
    const uint32_t segments = (uint32_t)(total / s->segs.bytes) + 3; /* the ends, and the one that is never given out */
    if (!wake_for_segments(s, segments)) return change_no_segment(s);
    enum store_status st = upload_join(g->c.w, total, &g->upload);
    if (st != STORE_OK) return st;
    bool before = g->put->mode == STORE_PREPEND;
    bool ok = before ? upload_new(g) && upload_old(g) : upload_old(g) && upload_new(g);
    if (ok) return STORE_OK;
    store_upload_abort(g->c.w, g->upload);
    g->upload = NULL;
    return change_no_segment(s); /* others were quicker */
}

/* Writes the value part: bytes, joined bytes, or the list of pieces. */
static void put_value(struct putting *g, uint8_t *to) {
    const struct store_put *p = g->put;
    const struct item *o = &g->c.old;
    if (g->upload) {
        upload_list(g->upload, to);
        return;
    }
    if (g->join && p->mode == STORE_APPEND) {
        memcpy(to, o->p + o->value_at, item_size(o));
        to += item_size(o);
    }
    if (p->size) memcpy(to, p->value, p->size);
    if (g->join && p->mode == STORE_PREPEND) memcpy(to + p->size, o->p + o->value_at, item_size(o));
}

/* Decides about the body, finds space and writes the record; the version is not taken yet. */
static enum store_status put_write(struct putting *g) {
    const struct store_put *p = g->put;
    struct store *s = g->c.w->s;
    uint64_t total = p->size + (g->join ? item_size(&g->c.old) : 0);
    if (total > s->cfg.item_size_max) return STORE_TOO_LARGE;
    if (g->ntags > STORE_TAGS_MAX) return STORE_TOO_MANY;
    g->upload = p->upload;
    if (g->join && (p->upload || item_large(&g->c.old) || total > s->inline_max)) {
        g->upload = NULL;
        enum store_status st = put_join_large(g, total);
        if (st != STORE_OK) return st;
    }
    struct item_spec *spec = &g->spec;
    if (g->upload) {
        unsigned n = upload_pieces(g->upload);
        spec->len |= (uint16_t)(ITEM_LEN_LARGE | n);
        spec->value_bytes = 8 + n * ITEM_PIECE_ENTRY;
    } else {
        spec->len |= (uint16_t)total;
        spec->value_bytes = (uint32_t)total;
    }
    item_spec_layout(spec);
    if (!change_append(&g->c, item_spec_bytes(spec), &g->rec)) return change_no_room(&g->c);
    put_value(g, item_write(g->rec.p, spec));
    return STORE_OK;
}

/* A guarded store that a purge has overtaken: the next reader wins, and whoever reads again may store. The new version
 * must not carry the present content over a purge of its own tags. */
static enum store_status refuse_fill(struct change *c, uint64_t version) {
    COUNT(c->w, fills_refused, 1);
    uint32_t expiry = c->old.expiry, deadline = 0;
    uint8_t bits = c->old.bits & (uint8_t)~ITEM_WON;
    enum carry carry = change_carry_own(c, &deadline);
    if (FAULT_POINT("store.mutate.refuse_blindly")) carry = CARRY_LIVE;
    if (carry == CARRY_DEAD) {
        change_drop(c);
        return STORE_NOT_FOUND;
    }
    if (carry == CARRY_SOFT) {
        change_carry_state(c, carry, deadline, &bits, &expiry);
        c->verdict = VERDICT_LIVE; /* its soft purge is in its record now */
    }
    if (!(bits & ITEM_STALE)) bits |= ITEM_SOFT; /* item_rearmed */
    (void)change_state(c, bits, expiry, version);
    return STORE_EXISTS;
}

/* The version that a guard names. An id that a client gave (E) is none: of the item that had it nothing more is known
 * than that the present one came later. */
static uint64_t guarded_version(const struct putting *g) {
    const struct item *o = &g->c.old;
    const uint64_t guard = g->put->guard;
    return g->stale && !(o->bits & ITEM_CAS) && guard >= g->c.w->s->number_first ? guard : o->version;
}

/* Asks the purge table about the new record, whose version is taken. STORE_OK: link it. */
static enum store_status put_overtaken(struct putting *g, bool *dead) {
    const struct store_put *p = g->put;
    struct change *c = &g->c;
    const struct purge_table *t = &c->w->s->purge;
    uint64_t all[2 * TAG_ALL_MAX], had[TAG_ALL_MAX];
    *dead = false;
    bool plain = !p->guarded && !g->join && p->upload == NULL;
    if (plain) return STORE_OK;
    if (g->ntags) memcpy(all, g->tags, g->ntags * sizeof *all);
    unsigned n = tag_prefixes(c->w->s, p->key.p, (unsigned)p->key.len, all, g->ntags), nhad = 0;
    if (p->guarded && c->slot != NULL) {
        nhad = tag_all(c->w->s, &c->old, had);
        if (!FAULT_POINT("store.mutate.no_guard") && purge_overtook(t, guarded_version(g), all, n, had, nhad))
            return STORE_EXISTS;
        /* The id may be of the time before the item was moved here, and the value read before purges of then. */
        uint32_t deadline;
        if (item_moved(&c->old) && (c->old.bits & ITEM_CAS) && change_check_more(c, all, n, &deadline) != PURGE_FRESH)
            return STORE_EXISTS;
    }
    if (g->join) {
        uint32_t deadline = 0;
        enum carry carry = change_carry(c, all, n, &deadline);
        *dead = carry == CARRY_DEAD;
        uint8_t bits;
        change_carry_state(c, carry, deadline, &bits, &g->spec.expiry);
        /* A soft purge of the very last moment, and no field for its deadline: rather a miss. */
        if (carry == CARRY_SOFT && !(g->spec.bits & ITEM_EXPIRY)) *dead = true;
        if (!*dead && bits) {
            item_set_bits(g->rec.p, (uint8_t)((g->rec.p[7] & ~ITEM_STATE) | bits));
            if (carry == CARRY_SOFT) item_set_expiry(g->rec.p, g->spec.expiry);
        }
    }
    if (p->upload && purge_overtook(t, upload_since(p->upload), all, n, NULL, 0) &&
        !FAULT_POINT("store.mutate.upload_blindly"))
        *dead = true;
    return STORE_OK;
}

/* The record is written: takes its version, asks the purge table, links it. */
static enum store_status put_link(struct putting *g, struct store_item *out) {
    struct change *c = &g->c;
    (void)FAULT_POINT("store.put.written");
    uint64_t version = number_take(c->w, c->slot ? c->old.version : 0);
    bool dead;
    (void)FAULT_POINT("store.put.versioned");
    enum store_status st = put_overtaken(g, &dead);
    if (st != STORE_OK) {
        append_cancel(c->w, &g->rec);
        st = refuse_fill(c, version);
        if (c->slot) change_show(c, out);
        return st;
    }
    if (g->upload) upload_finish(c->w, g->upload, c->key->hash);
    append_end(c->w, &g->rec);
    (void)FAULT_POINT("store.put.checked");
    if (dead) {
        account_dead(c->w, g->rec.loc, g->rec.bytes);
        change_drop(c);
        if (g->join) return STORE_NOT_STORED;
        if (out) { /* stored, and purged at once */
            item_set_version(g->rec.p, version);
            record_show(g->rec.p, g->rec.p, g->rec.loc, out);
        }
        return STORE_OK;
    }
    if (!change_link(c, g->rec.loc, version)) return STORE_NO_MEMORY;
    if (g->upload) upload_linked(g->upload);
    COUNT(c->w, total_items, 1);
    change_show(c, out);
    return STORE_OK;
}

/* A set without conditions of a small value, which most are: nothing to ask, nothing to join. */
static enum store_status put_plain(struct store_worker *w, const struct store_put *put, struct store_item *out) {
    struct item_spec spec = {.key = put->key.p,
                             .key_len = (uint8_t)put->key.len,
                             .tags = put->tags,
                             .ntags = (uint8_t)put->ntags,
                             .expiry = put->expiry,
                             .flags = put->flags,
                             .cas = put->cas,
                             .bits = put->has_cas ? ITEM_CAS : 0,
                             .value_bytes = (uint32_t)put->size,
                             .len = (uint16_t)(put->size | (put->bits & STORE_B64 ? ITEM_LEN_B64 : 0))};
    return change_set(w, &put->key, &spec, put->value, 0, out);
}

enum store_status store_set(struct store_worker *w, const struct store_key *k, const char *value, uint64_t size,
                            uint32_t flags, uint32_t expiry, uint64_t since, struct store_item *out) {
    struct item_spec spec = {.key = k->p,
                             .key_len = (uint8_t)k->len,
                             .expiry = expiry,
                             .flags = flags,
                             .value_bytes = (uint32_t)size,
                             .len = (uint16_t)size};
    return change_set(w, k, &spec, value, since, out);
}

static bool is_plain(const struct store_worker *w, const struct store_put *p) {
    return p->mode == STORE_SET && !p->guarded && p->upload == NULL && p->size <= w->s->inline_max &&
           p->size <= w->s->cfg.item_size_max && p->ntags <= STORE_TAGS_MAX;
}

enum store_status store_put(struct store_worker *w, const struct store_put *put, struct store_item *out) {
    if (likely(is_plain(w, put))) return put_plain(w, put, out);
    struct putting g; /* mostly scratch: not zeroed */
    g.put = put;
    g.upload = NULL;
    g.join = g.stale = false;
    change_begin(&g.c, w, &put->key);
    enum store_status st = put_allowed(&g);
    if (st == STORE_OK) {
        put_spec(&g);
        st = put_write(&g);
        if (st == STORE_OK) st = put_link(&g, out);
    } else if (g.c.slot) {
        change_show(&g.c, out);
    }
    change_end(&g.c);
    if (g.upload && g.upload != put->upload) upload_end(w, g.upload);
    if (put->upload && st != STORE_AGAIN) upload_end(w, put->upload);
    return st;
}
