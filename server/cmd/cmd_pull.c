/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_pull.h"

#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/sync.h"
#include "cluster/cover.h"
#include "cluster/view.h"
#include "cmd/cmd_config.h"
#include "cmd/cmd_moved.h"
#include "cmd/cmd_place.h"
#include "cmd/instance.h"
#include "proto/moved_item.h"
#include "store/store.h"

/* The request may be run, with what is here. */
static void done(struct session *s, struct forward *f, unsigned slot) {
    if (f->parts.upload != NULL && f->parts_slot == slot) cmd_moved_forget(s->worker->store, &f->parts);
    f->slot[slot].state = FORWARD_HERE;
    f->pulls &= ~(1ull << slot);
}

/* The answer was looked at: its bytes are given back if nothing has come behind them. */
static void drop_answer(struct cmd_peers *p, struct forward *f, struct forward_slot *at) {
    if (at->off + at->len == f->len) {
        f->len -= at->len;
        p->reply_bytes -= at->len;
    }
    at->len = 0;
}

/* ------------------------------------------------------------------ what has come */

/* The request's key, from whom it is moving here, and the `since` of its arc. False: it is not moving any more. */
static bool find_donor(struct session *s, const struct store_key *key, uint16_t *donor, uint64_t *since) {
    const struct view *v = s->worker->peers->view;
    const uint32_t len = (uint32_t)key->len;
    uint16_t owner;
    if (!view_gains(v)) return false;
    view_owners(v, &key->p, &len, 1, &owner, since);
    if (owner != v->self) return false;
    view_donors(v, &key->p, &len, 1, donor);
    return *donor != RING_NONE && v->donor[*donor] != VIEW_NOBODY;
}

/* Stores the item that has come. */
static enum store_received receive(struct session *s, struct forward *f, unsigned slot, const struct moved_item *it,
                                   const struct store_key *key, uint16_t donor, uint64_t since) {
    struct cmd_worker *w = s->worker;
    const struct cmd_moved_guard guard = {f->g, f->asked_ns, since, w->peers->view->move, donor};
    const bool in_parts = it->at != 0 || !moved_item_is_last(it) || it->size > w->cmd->inline_max;
    if (in_parts && f->parts.upload != NULL && f->parts_slot != slot) return STORE_RECEIVE_AGAIN; /* one at a time */
    if (in_parts) f->parts_slot = slot;
    return cmd_moved_take(w->cmd->store, w->store, it, key, &guard, &f->parts);
}

static void take_answer(struct session *s, struct forward *f, unsigned slot, const struct store_key *key,
                        uint16_t donor, uint64_t since) {
    struct cmd_worker *w = s->worker;
    struct forward_slot *at = &f->slot[slot];
    struct moved_item it;
    if (at->len == 0) {
        done(s, f, slot);
        return;
    }
    const size_t n = moved_item_read((const uint8_t *)f->buf + at->off, at->len, &it);
    if (n != at->len || it.nkey != key->len || memcmp(it.key, key->p, key->len) != 0) {
        cmd_link_distrust(w->peers, at->member);
        done(s, f, slot);
        return;
    }
    switch (receive(s, f, slot, &it, key, donor, since)) {
    case STORE_RECEIVED:
        drop_answer(w->peers, f, at);
        if (moved_item_is_last(&it)) {
            cmd_bump(s, CMD_METRIC_pulls_kept);
            break;
        }
        at->state = FORWARD_WANTED; /* the next part */
        cmd_forward_restart(w->peers, f);
        return;
    case STORE_RECEIVE_AGAIN: at->state = FORWARD_HELD; return;
    default: break;
    }
    done(s, f, slot);
}

/* Whether a pull that was not answered is to be sent again. */
static bool is_wanted(struct forward_slot *at) {
    switch ((enum forward_state)at->state) {
    case FORWARD_WANTED:
    case FORWARD_UNSENT:
    case FORWARD_BEHIND: return true;
    case FORWARD_LOST: return at->tries++ == 0;
    default: return false;
    }
}

void cmd_pull_take(struct session *s, struct forward *f, const struct request *r, unsigned n, bool late) {
    struct cmd_peers *p = s->worker->peers;
    for (unsigned i = 0; i < n; i++) {
        const unsigned slot = f->next + i;
        struct forward_slot *at = &f->slot[slot];
        struct store_key made;
        uint16_t donor;
        uint64_t since;
        if (!forward_pulls(f, slot)) continue;
        const struct store_key *key = cmd_place_key(s, &r[i], p->decoded[0], &made);
        const bool moving = key != NULL && find_donor(s, key, &donor, &since);
        if (moving && (at->state == FORWARD_DONE || (at->state == FORWARD_HELD && !late))) {
            take_answer(s, f, slot, key, donor, since);
        } else if (moving && !late && is_wanted(at)) {
            at->state = FORWARD_WANTED;
            at->member = p->view->donor[donor];
        } else {
            done(s, f, slot);
        }
    }
}

unsigned cmd_pull_pause(const struct forward *f, unsigned n) {
    if (likely(f->pulls == 0)) return 0;
    for (unsigned i = 0; i < n; i++) {
        const uint8_t state = f->slot[f->next + i].state;
        if (forward_pulls(f, f->next + i) && (state == FORWARD_BEHIND || state == FORWARD_HELD)) return PULL_AGAIN_MS;
    }
    return 0;
}

void cmd_pull_give_up(struct forward *f, unsigned n) {
    if (likely(f->pulls == 0)) return;
    for (unsigned i = 0; i < n; i++)
        if (forward_pulls(f, f->next + i) && forward_failed((enum forward_state)f->slot[f->next + i].state))
            done(f->session, f, f->next + i);
}

/* ------------------------------------------------------------------ covers */

/* Whether an answer is here that goes by the number of before. */
static bool holds_answer(const struct forward *f, unsigned n) {
    for (unsigned i = 0; i < n; i++)
        if (forward_pulls(f, f->next + i) && f->slot[f->next + i].state == FORWARD_HELD) return true;
    return false;
}

size_t cmd_pull_cover_now(struct cmd_peers *p, struct forward *f, unsigned n, uint8_t to[PULL_COVER_MAX]) {
    const struct view *v = p->view;
    struct cover cover;
    if (v->move == NULL || v->move->cover == NULL || v->self == VIEW_NOBODY) return 0;
    cover_copy(v->move->cover, &cover);
    if (!cover.usable) return 0;
    const uint32_t number = v->members[v->self].number;
    memcpy(to, &number, sizeof number);
    if (!holds_answer(f, n)) { /* an older number only refuses more, an older time shortens a life */
        f->g = cover.g;
        f->asked_ns = clock_boot_ns(p->worker->cmd->cfg.clock);
    }
    return sizeof number + cover_pack(&cover, to + sizeof number);
}

bool cmd_pull_cover(struct cmd_worker *w, struct cmd_puller *who, const char *p, size_t n) {
    const struct view *v = w->peers != NULL ? w->peers->view : NULL;
    struct cover own, theirs;
    uint32_t number;
    if (n < sizeof number || !cover_read((const uint8_t *)p + sizeof number, n - sizeof number, &theirs)) return false;
    memcpy(&number, p, sizeof number);
    *who = (struct cmd_puller){.member = VIEW_NOBODY};
    if (v == NULL || v->move == NULL || v->move->cover == NULL) return true;
    who->ring_version = v->ring_version;
    for (unsigned i = 0; i < v->nmembers && who->member == VIEW_NOBODY; i++)
        if (v->members[i].number == number) who->member = (uint16_t)i;
    /* Whatever is looked up from here on was purged by all that it shows. */
    cover_copy(v->move->cover, &own);
    who->covered = cover_covers(&own, &theirs);
    return true;
}

/* ------------------------------------------------------------------ giving */

/* Appends the item's record, if there is one that is newer than `since`. */
static void put_item(struct cmd_worker *w, struct conn *c, const struct store_key *key, uint64_t since, uint64_t at) {
    struct store_item found;
    struct moved_item it;
    if (!store_peek(w->store, key, &found) || found.version <= since ||
        !cmd_moved_show(w->store, &found, at, PULL_VALUE_MAX, &it))
        return;
    uint8_t *out = (uint8_t *)conn_reserve(c, moved_item_bytes(&it));
    conn_commit(c, moved_item_pack(&it, out));
    sync_bump(&w->metrics[CMD_METRIC_pulls_given], 1);
}

bool cmd_pull_give(struct cmd_worker *w, const struct cmd_puller *who, struct conn *c, unsigned flags, const char *p,
                   size_t n, enum link_status *status) {
    const struct view *v = w->peers != NULL ? w->peers->view : NULL;
    uint64_t at = 0, since;
    if ((flags & LINK_PART) != 0) {
        if (n < sizeof at) return false;
        memcpy(&at, p, sizeof at);
        p += sizeof at;
        n -= sizeof at;
    }
    if (n == 0 || n > STORE_KEY_MAX) return false;
    sync_bump(&w->metrics[CMD_METRIC_pulls_received], 1);
    *status = LINK_DONE;
    if (v == NULL || v->move == NULL || who->member == VIEW_NOBODY) return true;
    if (!who->covered || who->ring_version != v->ring_version) {
        *status = LINK_BEHIND;
        return true;
    }
    if (!view_gave(v, p, (uint32_t)n, who->member, &since)) return true;
    const struct store_key key = store_key(w->cmd->store, p, n);
    put_item(w, c, &key, since, at);
    return true;
}
