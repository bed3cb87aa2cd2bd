/* SPDX-License-Identifier: BSD-3-Clause */
#include "node_handoff.h"

#include <stdlib.h>
#include <string.h>

#include "base/md5.h"
#include "cluster/handoff.h"
#include "cmd/cmd_moved.h"
#include "store/store.h"

#define SCAN_ITEMS 512 /* that a step of a walk looks at, about */
#define FILTER_MAX 16  /* keys that the store asks about at a time */

struct node_handoff {
    struct store *store;
    struct store_worker *handle;
    const char *strip;
    size_t nstrip;
    struct move *move;
    struct cmd_moved_parts *parts; /* by donor: the value that is coming in parts */
};

/* ------------------------------------------------------------------ walking */

struct scanning {
    const struct node_handoff *n;
    unsigned receiver; /* its index in the ring after */
    struct handoff_key *keys;
    unsigned nkeys, max;
};

/* The points of keys without what clients put before them: copies, for bytes behind a key are read, too (md5.h). */
static void points_stripped(const struct node_handoff *n, const char *const key[], const uint32_t len[], unsigned count,
                            uint32_t point[]) {
    char copy[STORE_KEY_MAX + MD5_READS] = "";
    for (unsigned i = 0; i < count; i++) {
        const size_t strip = len[i] >= n->nstrip && memcmp(key[i], n->strip, n->nstrip) == 0 ? n->nstrip : 0;
        const char *p = copy;
        const uint32_t bytes = len[i] - (uint32_t)strip;
        memcpy(copy, key[i] + strip, bytes);
        md5_first(&p, &bytes, 1, &point[i]);
    }
}

/* Which keys are the receiver's now, and were not outdated here already. */
static void filter(void *arg, const char *const key[], const uint32_t len[], const uint64_t version[], unsigned n,
                   bool wanted[]) {
    const struct scanning *s = arg;
    uint32_t point[FILTER_MAX];
    uint64_t since;
    if (s->n->nstrip > 0)
        points_stripped(s->n, key, len, n, point);
    else
        md5_first(key, len, n, point);
    for (unsigned i = 0; i < n; i++)
        wanted[i] = move_taker(s->n->move, point[i], &since) == s->receiver && version[i] > since;
}

static bool note_key(void *arg, const struct store_moving *m, uint64_t hash) {
    struct scanning *s = arg;
    (void)hash;
    if (s->nkeys == s->max) return false;
    struct handoff_key *k = &s->keys[s->nkeys++];
    k->version = m->it.version;
    k->nkey = m->it.key_len;
    memcpy(k->key, m->it.key, m->it.key_len);
    return true;
}

_Static_assert(sizeof(struct store_scan) <= sizeof(((struct handoff_cursor *)0)->word),
               "a cursor has room for the store's");

static unsigned scan(void *arg, uint32_t receiver, struct handoff_cursor *c, unsigned min_freq,
                     struct handoff_key *keys, unsigned max) {
    struct node_handoff *n = arg;
    struct scanning s = {.n = n, .receiver = move_receiver(n->move, receiver), .keys = keys, .max = max};
    const struct store_scanner how = {.min_freq = min_freq, .filter = filter, .fn = note_key, .arg = &s};
    struct store_scan at;
    memcpy(&at, c->word, sizeof at);
    store_enter(n->handle);
    store_scan(n->handle, &at, SCAN_ITEMS, &how);
    store_leave(n->handle);
    memcpy(c->word, &at, sizeof at);
    c->done = at.at.done;
    return s.nkeys;
}

/* ------------------------------------------------------------------ giving */

static bool read_item(void *arg, const struct handoff_key *key, uint64_t at, uint32_t most,
                      void (*show)(void *to, const struct moved_item *it), void *to) {
    struct node_handoff *n = arg;
    const struct store_key k = store_key(n->store, key->key, key->nkey);
    struct store_item it;
    struct moved_item moved;
    store_enter(n->handle);
    const bool found = store_peek(n->handle, &k, &it) && it.version == key->version &&
                       cmd_moved_show(n->handle, &it, at, most, &moved);
    if (found) show(to, &moved);
    store_leave(n->handle);
    return found;
}

static void drop(void *arg, const struct moved_item *it) {
    struct node_handoff *n = arg;
    const struct store_key k = store_key(n->store, it->key, it->nkey);
    store_enter(n->handle);
    store_drop_moved(n->handle, &k, it->version);
    store_leave(n->handle);
}

/* ------------------------------------------------------------------ taking */

static enum handoff_import import(void *arg, uint32_t donor, const struct moved_item *it, uint64_t g,
                                  uint64_t asked_ns) {
    struct node_handoff *n = arg;
    const unsigned from = move_donor(n->move, donor);
    if (from == RING_NONE || n->parts == NULL) return HANDOFF_PRESENT;
    const struct store_key k = store_key(n->store, it->key, it->nkey);
    const struct cmd_moved_guard guard = {
        .g = g, .asked_ns = asked_ns, .fenced = n->move->since, .move = n->move, .donor = from};
    store_enter(n->handle);
    const enum store_received r = cmd_moved_take(n->store, n->handle, it, &k, &guard, &n->parts[from]);
    store_leave(n->handle);
    switch (r) {
    case STORE_RECEIVED: return HANDOFF_KEPT;
    case STORE_RECEIVE_AGAIN: return HANDOFF_AGAIN;
    case STORE_RECEIVE_WRITTEN: return HANDOFF_WRITTEN;
    case STORE_RECEIVE_PURGED: return HANDOFF_PURGED;
    case STORE_RECEIVE_PRESENT:
    case STORE_RECEIVE_NO_MEMORY: break;
    }
    return HANDOFF_PRESENT;
}

/* ------------------------------------------------------------------ life */

static void forget_parts(struct node_handoff *n) {
    for (unsigned i = 0; n->parts != NULL && i < n->move->ndonors; i++) cmd_moved_forget(n->handle, &n->parts[i]);
    free(n->parts);
    n->parts = NULL;
}

struct node_handoff *node_handoff_new(struct store *s, unsigned handle, const char *strip_prefix) {
    struct node_handoff *n = calloc(1, sizeof *n);
    if (n == NULL) return NULL;
    n->store = s;
    n->handle = store_worker(s, handle);
    n->strip = strip_prefix;
    n->nstrip = strip_prefix == NULL ? 0 : strlen(strip_prefix);
    return n;
}

void node_handoff_free(struct node_handoff *n) {
    if (n == NULL) return;
    forget_parts(n);
    free(n);
}

void node_handoff_store(struct node_handoff *n, struct handoff_store *out) {
    *out = (struct handoff_store){n, import, scan, read_item, drop};
}

void node_handoff_set_move(void *arg, struct move *m) {
    struct node_handoff *n = arg;
    forget_parts(n);
    n->move = m;
    store_renumber(n->handle); /* what it stores is newer than what the arcs that are gained fence */
    if (m != NULL) n->parts = calloc(m->ndonors, sizeof *n->parts);
}

uint64_t node_handoff_items(void *arg) {
    struct store_gauges g;
    store_gauges(((struct node_handoff *)arg)->store, &g);
    return g.items;
}
