/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/holders.h"

#include <string.h>

#define MS UINT64_C(1000000)

void holders_init(struct holders *h) {
    memset(h, 0, sizeof *h);
    for (unsigned i = 0; i < HOLDERS_KEYS_MAX; i++) TAILQ_INIT(&h->keys[i].waiters);
}

void holders_filter(const struct holders *h, struct holders_filter *f) {
    memset(f->bits, 0, sizeof f->bits);
    f->nkeys = 0;
    f->generation = h->generation;
    for (unsigned i = 0; i < HOLDERS_KEYS_MAX; i++) {
        const struct holders_key *k = &h->keys[i];
        if (!k->used) continue;
        f->bits[k->hash % HOLDERS_FILTER_BITS / 64] |= UINT64_C(1) << k->hash % 64;
        f->nkeys++;
    }
}

static struct holders_key *find(struct holders *h, uint64_t hash) {
    for (unsigned i = 0; i < HOLDERS_KEYS_MAX; i++)
        if (h->keys[i].used && h->keys[i].hash == hash) return &h->keys[i];
    return NULL;
}

/* Forgets nodes whose copies have ended. */
static void drop_ended(struct holders_key *k, uint64_t now_ns) {
    unsigned n = 0;
    for (unsigned i = 0; i < k->nnodes; i++)
        if (k->nodes[i].until_ns > now_ns) k->nodes[n++] = k->nodes[i];
    k->nnodes = n;
}

/* ------------------------------------------------------------------ giving */

/* A free place, or that of a key which nobody has asked for of late. NULL: there is none. */
static struct holders_key *make_room(struct holders *h, uint64_t now_ns) {
    for (unsigned i = 0; i < HOLDERS_KEYS_MAX; i++) {
        struct holders_key *k = &h->keys[i];
        if (!k->used) return k;
        if (now_ns < k->asked_ns + HOLDERS_IDLE_MS * MS || !TAILQ_EMPTY(&k->waiters)) continue;
        drop_ended(k, now_ns);
        if (k->nnodes == 0) return k;
    }
    return NULL;
}

/* The key's place, new or opened anew. */
static enum holders_answer open_key(struct holders *h, struct holders_key *k) {
    k->closed = false;
    k->generation = ++h->generation;
    return HOLDERS_ADDED;
}

static bool enter(struct holders_key *k, uint32_t member, uint64_t until_ns) {
    unsigned i = 0;
    while (i < k->nnodes && k->nodes[i].member != member) i++;
    if (i == HOLDERS_NODES_MAX) return false;
    if (i == k->nnodes) k->nnodes++;
    k->nodes[i] = (struct holders_node){member, until_ns};
    return true;
}

enum holders_answer holders_ask(struct holders *h, uint64_t hash, uint64_t name, uint32_t member, uint64_t generation,
                                uint64_t now_ns) {
    struct holders_key *k = find(h, hash);
    if (k == NULL) {
        k = make_room(h, now_ns);
        if (k == NULL) return HOLDERS_LATER;
        k->used = true;
        k->hash = hash;
        k->name = name;
        k->asked_ns = now_ns;
        k->nnodes = 0;
        return open_key(h, k);
    }
    k->asked_ns = now_ns;
    drop_ended(k, now_ns);
    if (k->closed) {
        if (now_ns < k->quiet_ns || k->nnodes > 0 || !TAILQ_EMPTY(&k->waiters)) return HOLDERS_LATER;
        return open_key(h, k);
    }
    if (k->name != name || generation < k->generation) return HOLDERS_LATER;
    return enter(k, member, now_ns + HOLDERS_KEPT_MS * MS) ? HOLDERS_GIVE : HOLDERS_LATER;
}

/* Takes a node off a key. */
static void leave(struct holders_key *k, uint32_t member) {
    for (unsigned i = 0; i < k->nnodes; i++)
        if (k->nodes[i].member == member) k->nodes[i--] = k->nodes[--k->nnodes];
}

/* ------------------------------------------------------------------ changing */

struct holders_key *holders_change(struct holders *h, uint64_t hash, uint64_t generation, uint64_t now_ns, bool *tell) {
    struct holders_key *k = find(h, hash);
    *tell = false;
    /* Of a key that was added since the worker made its filter nobody was given a copy yet. */
    if (k == NULL || (!k->closed && generation < k->generation)) return NULL;
    drop_ended(k, now_ns);
    *tell = !k->closed && k->nnodes > 0;
    if (!k->closed) k->closing = ++h->closings;
    k->closed = true;
    k->quiet_ns = now_ns + HOLDERS_QUIET_MS * MS;
    return k->nnodes > 0 ? k : NULL;
}

struct holders_key *holders_gone(struct holders *h, uint64_t closing, uint32_t member) {
    for (unsigned i = 0; i < HOLDERS_KEYS_MAX; i++) {
        struct holders_key *k = &h->keys[i];
        if (!k->used || !k->closed || k->closing != closing) continue;
        leave(k, member);
        return k->nnodes == 0 && !TAILQ_EMPTY(&k->waiters) ? k : NULL;
    }
    return NULL;
}

struct holders_key *holders_ended(struct holders *h, uint64_t now_ns) {
    for (unsigned i = 0; i < HOLDERS_KEYS_MAX; i++) {
        struct holders_key *k = &h->keys[i];
        if (!k->used || TAILQ_EMPTY(&k->waiters)) continue;
        drop_ended(k, now_ns);
        if (k->nnodes == 0) return k;
    }
    return NULL;
}

struct holders_key *holders_close(struct holders *h, uint64_t now_ns) {
    for (unsigned i = 0; i < HOLDERS_KEYS_MAX; i++) {
        struct holders_key *k = &h->keys[i];
        bool tell;
        if (k->used && !k->closed && holders_change(h, k->hash, h->generation, now_ns, &tell) != NULL) return k;
    }
    return NULL;
}

bool holders_wait(const struct holders *h) {
    for (unsigned i = 0; i < HOLDERS_KEYS_MAX; i++)
        if (!TAILQ_EMPTY(&h->keys[i].waiters)) return true;
    return false;
}

static unsigned live_nodes(const struct holders_key *k, uint64_t now_ns) {
    unsigned n = 0;
    for (unsigned i = 0; k->used && i < k->nnodes; i++) n += k->nodes[i].until_ns > now_ns;
    return n;
}

bool holders_recalled(const struct holders *h, uint64_t now_ns) {
    for (unsigned i = 0; i < HOLDERS_KEYS_MAX; i++)
        if (h->keys[i].closed && live_nodes(&h->keys[i], now_ns) > 0) return false;
    return true;
}

unsigned holders_count(const struct holders *h, uint64_t hash, uint64_t now_ns) {
    unsigned n = 0;
    for (unsigned i = 0; i < HOLDERS_KEYS_MAX; i++)
        if (h->keys[i].hash == hash) n += live_nodes(&h->keys[i], now_ns);
    return n;
}
