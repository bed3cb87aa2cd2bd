/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_owner.h"

#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "cluster/view.h"
#include "cmd/cmd_cluster.h"
#include "cmd/cmd_link.h"
#include "cmd/cmd_moving.h"
#include "cmd/cmd_place.h"
#include "cmd/instance.h"
#include "store/store.h"

/* The keys of a batch. */
struct keys {
    unsigned n;
    const char *p[CMD_BATCH];
    uint32_t len[CMD_BATCH];
    const struct store_key *key[CMD_BATCH];
    uint8_t request[CMD_BATCH]; /* whose it is */
    uint16_t owner[CMD_BATCH];
    struct store_key made[CMD_BATCH]; /* those that are not their requests' own */
};

/* Of this node's keys that are moving here: from whom, and when their requests may be run. */
static void find_turns(struct session *s, const struct request *r, const struct keys *k) {
    struct cmd_peers *p = s->worker->peers;
    uint16_t donor[CMD_BATCH];
    view_donors(p->view, k->p, k->len, k->n, donor);
    for (unsigned m = 0; m < k->n; m++) {
        const unsigned i = k->request[m];
        struct store_key key = *k->key[m];
        if (k->owner[m] != p->view->self) continue;
        store_key_complete(s->worker->cmd->store, &key);
        p->donor[i] = donor[m];
        p->turn[i] = (uint8_t)cmd_moving_turn(s, &r[i], &key, donor[m]);
    }
}

/* Collects the keys of r[0..n), up to a barrier; returns where that is. */
static unsigned collect(struct session *s, const struct request *r, unsigned n, struct keys *k) {
    struct cmd_peers *p = s->worker->peers;
    k->n = 0;
    for (unsigned i = 0; i < n; i++) {
        const struct store_key *key = &r[i].key;
        p->owner[i] = p->view->self;
        p->donor[i] = RING_NONE;
        p->turn[i] = CMD_TURN_NOW;
        if (unlikely(!cmd_is_key(&r[i]) || key->len == 0)) {
            const enum cmd_place place = cmd_place(s, &r[i], p->decoded[i], &k->made[k->n]);
            if (place == CMD_PLACE_BARRIER) return i;
            if (place != CMD_PLACE_KEY) continue;
            key = &k->made[k->n];
        }
        k->p[k->n] = key->p;
        k->len[k->n] = (uint32_t)key->len;
        k->key[k->n] = key;
        k->request[k->n++] = (uint8_t)i;
    }
    return n;
}

/* Whether a key that is read before the m-th is the same. Keys that differ do so at their ends, as a rule. */
static bool was_read(const struct request *r, const struct keys *k, unsigned m) {
    const uint32_t len = k->len[m];
    for (unsigned b = 0; b < m; b++) {
        if (k->len[b] != len || k->p[b][len - 1] != k->p[m][len - 1] || !bytes_same(k->p[b], k->p[m], len)) continue;
        if (cmd_place_is_lookup(&r[k->request[b]])) return true;
    }
    return false;
}

/* Takes out what this node stored before it owned these keys. */
static void fence(struct session *s, const struct keys *k) {
    const struct cmd_peers *p = s->worker->peers;
    for (unsigned m = 0; m < k->n; m++) {
        struct store_key key = *k->key[m];
        if (k->owner[m] != p->view->self || p->since[m] == 0) continue;
        store_key_complete(s->worker->cmd->store, &key);
        store_fence(s->worker->store, &key, p->since[m]);
    }
}

struct cmd_span cmd_owner_find(struct session *s, const struct request *r, unsigned n) {
    struct cmd_peers *p = s->worker->peers;
    const struct view *v = p->view;
    struct keys k;
    const unsigned end = collect(s, r, n, &k);
    struct cmd_span span = {end, end};
    if (k.n == 0) return span;
    memset(k.owner, 0, sizeof k.owner);
    view_owners(v, k.p, k.len, k.n, k.owner, p->since);
    if (unlikely(v->fenced)) fence(s, &k);
    if (unlikely(view_gains(v))) find_turns(s, r, &k);
    bool reads = false; /* some keys are read elsewhere */
    for (unsigned m = 0; m < k.n; m++) {
        const unsigned i = k.request[m];
        if (unlikely(p->turn[i] != CMD_TURN_NOW) && i < span.first) span.first = i;
        if (k.owner[m] == v->self || unlikely(s->role != CMD_ROLE_CLIENT) ||
            unlikely(cmd_cluster_is_discovery(s, &r[i])))
            continue;
        if (cmd_place_is_lookup(&r[i])) {
            reads = true;
        } else if (unlikely(reads) && was_read(r, &k, m)) {
            span.end = i;
            break;
        }
        p->owner[i] = k.owner[m];
        if (i < span.first) span.first = i;
    }
    if (span.first > span.end) span.first = span.end;
    return span;
}

bool cmd_owner_is_here(struct session *s, const struct request *r) {
    struct cmd_peers *p = s->worker->peers;
    struct keys k;
    if (p == NULL || p->view == NULL) return true;
    (void)collect(s, r, 1, &k);
    if (k.n == 0) return true;
    k.owner[0] = VIEW_NOBODY;
    view_owners(p->view, k.p, k.len, k.n, k.owner, p->since);
    if (unlikely(p->view->fenced)) fence(s, &k);
    if (unlikely(view_gains(p->view))) find_turns(s, r, &k);
    return k.owner[0] == p->view->self && p->turn[0] != CMD_TURN_WAIT;
}
