/* SPDX-License-Identifier: BSD-3-Clause
 *
 * purge_place - where an entry of the purge table lies: in one of its key's two buckets, in a free place, else in one
 * whose entry a sweep has carried out, else others make way: each goes to the other one of its own two buckets. So
 * nearly all places can be in use before a purge finds none. The table's mutex is held throughout. */
#include "base/fault.h"
#include "base/sync.h"
#include "store/purge.h"

#define SEARCH_MAX 128 /* buckets looked at to make way */

/* One place: entry `way` of a bucket. NULL: none. */
struct spot {
    struct purge_bucket *b;
    unsigned way;
};

static uint32_t index_of(const struct purge_table *t, struct spot s) {
    return (uint32_t)(s.b - t->buckets) * PURGE_WAYS + s.way;
}

void purge_hold(struct purge_table *t, uint32_t i) {
    t->held[i / 64] |= 1ull << i % 64;
}

void purge_release(struct purge_table *t, uint32_t i) {
    t->held[i / 64] &= ~(1ull << i % 64);
}

void purge_touch(struct purge_table *t, const void *p, size_t n) {
    const size_t from = (size_t)((const char *)p - (const char *)t->memory);
    for (size_t i = from >> PURGE_PAGE_SHIFT; i <= (from + n - 1) >> PURGE_PAGE_SHIFT; i++) {
        if (t->pages[i / 64] >> i % 64 & 1) continue;
        t->pages[i / 64] |= 1ull << i % 64;
        sync_bump(&t->touched, 1u << PURGE_PAGE_SHIFT);
    }
}

/* Readers look for the key from now on; for all keys that have the same first bucket when its floor rises. */
static void filter_add(struct purge_table *t, uint64_t key, bool all) {
    unsigned bit;
    struct purge_filter *m = purge_filter_word(t, key, &bit);
    uint64_t bits = all ? ((1ull << PURGE_WAYS) - 1) << (bit - bit % PURGE_WAYS) : 1ull << bit;
    if (FAULT_POINT("purge.mutate.unfiltered")) return;
    purge_touch(t, m, sizeof *m);
    sync_store_rel(&m->of[t->fresh], m->of[t->fresh] | bits);
}

/* ------------------------------------------------------------------ entries that may go */

static uint64_t newest(struct spot s) {
    const uint64_t hard = PURGE_VERSION(s.b->hard[s.way]), soft = s.b->soft[s.way];
    return hard > soft ? hard : soft;
}

/* The place of a bucket that costs least to use: a free one, else the oldest entry; with versions up to `most` only. */
static struct spot cheapest(const struct purge_table *t, struct purge_bucket *b, uint64_t most) {
    struct spot best = {NULL, 0};
    uint64_t least = 0;
    for (unsigned i = 0; i < PURGE_WAYS; i++) {
        struct spot s = {b, i};
        if (b->hash[i] == 0) return s;
        const uint64_t n = newest(s);
        if (n > most || (best.b != NULL && n >= least) || purge_held(t, index_of(t, s))) continue;
        best = s;
        least = n;
    }
    return best;
}

/* The cheaper one of two buckets'. */
static struct spot cheaper(const struct purge_table *t, struct purge_bucket *first, struct purge_bucket *second,
                           uint64_t most) {
    struct spot a = cheapest(t, first, most);
    if (a.b != NULL && a.b->hash[a.way] == 0) return a;
    struct spot b = cheapest(t, second, most);
    if (a.b == NULL || (b.b != NULL && (b.b->hash[b.way] == 0 || newest(b) < newest(a)))) return b;
    return a;
}

/* Empties a place; what its entry knew becomes a floor first. */
static void empty(struct purge_table *t, struct spot s) {
    const uint64_t key = s.b->hash[s.way], version = newest(s);
    struct purge_bucket *first = purge_first(t, key);
    if (key == 0) return;
    purge_touch(t, first, sizeof *first);
    if (!FAULT_POINT("purge.mutate.no_fill_floor")) purge_raise(&first->fill_floor, version);
    if (version > t->swept) {
        filter_add(t, key, true);
        if (!FAULT_POINT("purge.mutate.no_item_floor")) purge_raise(&first->item_floor, version);
        sync_bump(&t->floors, 1);
    }
    sync_store_seq(&s.b->hash[s.way], 0);
    sync_bump(&t->entries, (uint64_t)-1);
}

/* ------------------------------------------------------------------ making way */

/* A bucket that the search has come to: from an entry of an earlier one, which could move here. */
struct step {
    struct purge_bucket *b;
    unsigned way;
    int from;
};

/* The other bucket that an entry could lie in. */
static struct purge_bucket *other(const struct purge_table *t, struct spot s) {
    struct purge_bucket *first = purge_first(t, s.b->hash[s.way]);
    return first != s.b ? first : purge_second(t, s.b->hash[s.way]);
}

/* An entry goes to a free place. Readers that have looked at one bucket already and look at the other one too late see
 * by `moves` that they have to look again. */
static void move(struct purge_table *t, struct spot from, struct spot to) {
    purge_touch(t, to.b, sizeof *to.b);
    sync_store_rel(&to.b->hard[to.way], from.b->hard[from.way]);
    sync_store_rel(&to.b->soft[to.way], from.b->soft[from.way]);
    sync_store_rel(&to.b->deadline[to.way], from.b->deadline[from.way]);
    sync_store_seq(&to.b->hash[to.way], from.b->hash[from.way]);
    if (!FAULT_POINT("purge.mutate.moved_unseen")) sync_store_seq(&t->moves, t->moves + 1);
    sync_store_seq(&from.b->hash[from.way], 0);
}

static bool seen(const struct step *q, unsigned n, const struct purge_bucket *b) {
    for (unsigned i = 0; i < n; i++)
        if (q[i].b == b) return true;
    return false;
}

/* `to` is free now: moves the entries on the way to it, the last one first. Returns the place that becomes free. */
static struct spot make_moves(struct purge_table *t, const struct step *q, struct spot from, int step, struct spot to) {
    for (;;) {
        move(t, from, to);
        to = from;
        if (q[step].from < 0) return to;
        from = (struct spot){q[q[step].from].b, q[step].way};
        step = q[step].from;
    }
}

/* Breadth first from the two buckets, each looked at once, so that no entry is to move twice. */
static struct spot make_way(struct purge_table *t, struct purge_bucket *first, struct purge_bucket *second) {
    struct step q[SEARCH_MAX] = {{first, 0, -1}, {second, 0, -1}};
    unsigned n = second != first ? 2 : 1;
    for (unsigned i = 0; i < n; i++)
        for (unsigned way = 0; way < PURGE_WAYS; way++) {
            struct spot s = {q[i].b, way};
            if (purge_held(t, index_of(t, s))) continue;
            struct purge_bucket *b = other(t, s);
            if (seen(q, n, b)) continue;
            struct spot to = cheapest(t, b, t->swept);
            if (to.b != NULL) {
                empty(t, to);
                return make_moves(t, q, s, (int)i, to);
            }
            if (n < SEARCH_MAX) q[n++] = (struct step){b, way, (int)i};
        }
    return (struct spot){NULL, 0};
}

/* ------------------------------------------------------------------ the place of a key */

static struct spot find(const struct purge_table *t, uint64_t key) {
    struct purge_bucket *both[2] = {purge_first(t, key), purge_second(t, key)};
    for (unsigned k = 0; k < 2; k++)
        for (unsigned i = 0; i < PURGE_WAYS; i++)
            if (both[k]->hash[i] == key) return (struct spot){both[k], i};
    return (struct spot){NULL, 0};
}

static struct spot make(struct purge_table *t, uint64_t key) {
    struct purge_bucket *first = purge_first(t, key), *second = purge_second(t, key);
    struct spot s = cheaper(t, first, second, t->swept);
    if (s.b == NULL) s = make_way(t, first, second);
    if (s.b == NULL && t->shed) s = cheaper(t, first, second, UINT64_MAX);
    if (s.b == NULL) return s;
    empty(t, s);
    purge_touch(t, s.b, sizeof *s.b);
    sync_store_rel(&s.b->hard[s.way], 0);
    sync_store_rel(&s.b->soft[s.way], 0);
    sync_store_rel(&s.b->deadline[s.way], 0);
    sync_store_seq(&s.b->hash[s.way], key);
    sync_bump(&t->entries, 1);
    return s;
}

enum purge_place purge_place(struct purge_table *t, uint64_t key, struct purge_cell *c) {
    filter_add(t, key, false);
    struct spot s = find(t, key);
    if (s.b == NULL) s = make(t, key);
    if (s.b == NULL)
        return cheaper(t, purge_first(t, key), purge_second(t, key), UINT64_MAX).b != NULL ? PURGE_FULL : PURGE_NEVER;
    *c = (struct purge_cell){&s.b->hard[s.way], &s.b->soft[s.way], &s.b->deadline[s.way], index_of(t, s), false};
    purge_hold(t, c->held);
    return PURGE_PLACED;
}
