/* SPDX-License-Identifier: BSD-3-Clause */
#include "store_lab.h"
#include "base/check.h"
#include "base/fault.h"
#include "base/hash.h"
#include "store/account.h"
#include "store/index.h"
#include "store/item.h"
#include "store/purge.h"
#include "store/segment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ points */

static const char *mutation, *watched;
static void (*watcher)(void *arg);
static void *watcher_arg;
static __thread struct lab_thread *self;

static void stop_here(struct lab_thread *t) {
    pthread_mutex_lock(&t->lock);
    t->passed = t->stopped = true;
    pthread_cond_broadcast(&t->change);
    while (!t->released) pthread_cond_wait(&t->change, &t->lock);
    t->stopped = false;
    pthread_mutex_unlock(&t->lock);
}

static bool hook(const char *name) {
    if (self && !self->passed && strcmp(self->point, name) == 0) stop_here(self);
    if (watched && strcmp(watched, name) == 0) watcher(watcher_arg);
    return mutation && strcmp(mutation, name) == 0;
}

void lab_mutate(const char *name) {
    mutation = name;
    fault_hook = hook;
}

void lab_at(const char *point, void (*fn)(void *arg), void *arg) {
    watched = fn ? point : NULL;
    watcher = fn;
    watcher_arg = arg;
    fault_hook = hook;
}

static void *thread_main(void *arg) {
    struct lab_thread *t = arg;
    self = t;
    t->fn(t->arg);
    pthread_mutex_lock(&t->lock);
    t->ended = true;
    pthread_cond_broadcast(&t->change);
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

bool lab_run(struct lab_thread *t, const char *point, void (*fn)(void *arg), void *arg) {
    memset(t, 0, sizeof *t);
    t->point = point;
    t->fn = fn;
    t->arg = arg;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->change, NULL);
    fault_hook = hook;
    CHECK(pthread_create(&t->thread, NULL, thread_main, t) == 0);
    pthread_mutex_lock(&t->lock);
    while (!t->stopped && !t->ended) pthread_cond_wait(&t->change, &t->lock);
    bool stopped = t->stopped;
    pthread_mutex_unlock(&t->lock);
    return stopped;
}

void lab_release(struct lab_thread *t) {
    pthread_mutex_lock(&t->lock);
    t->released = true;
    pthread_cond_broadcast(&t->change);
    pthread_mutex_unlock(&t->lock);
}

void lab_finish(struct lab_thread *t) {
    lab_release(t);
    pthread_join(t->thread, NULL);
    pthread_mutex_destroy(&t->lock);
    pthread_cond_destroy(&t->change);
}

/* ------------------------------------------------------------------ calls */

/* A purge that is waited for. */
struct purge_end {
    uint32_t ended;
    int64_t n;
};

static void on_job(void *arg, void *token, int64_t n, uint64_t bytes) {
    struct purge_end *end = token;
    (void)arg;
    (void)bytes;
    end->n = n;
    sync_store_rel(&end->ended, 1);
}

static void open_as(struct lab *l, uint64_t limit, char prefix, bool erase) {
    clock_manual_init(&l->clock, 1000000000000ull, 1700000000);
    struct store_config cfg = {.memory_limit = limit,
                               .item_size_max = limit / 2,
                               .workers = LAB_WORKERS,
                               .handles = LAB_HANDLES,
                               .evict = true,
                               .prefix_delimiter = prefix,
                               .erase = erase,
                               .seed = 42,
                               .clock = &l->clock.clock,
                               .events = {.on_job = on_job}};
    CHECK(store_new(&cfg, &l->s) == 0);
    for (unsigned i = 0; i < LAB_HANDLES; i++) l->w[i] = store_worker(l->s, i);
    mutation = watched = NULL;
}

void lab_open(struct lab *l, uint64_t limit, char prefix) {
    open_as(l, limit, prefix, false);
}

void lab_open_erasing(struct lab *l, uint64_t limit) {
    open_as(l, limit, 0, true);
}

void lab_close(struct lab *l) {
    const char *wrong = lab_validate(l->s);
    if (wrong) fprintf(stderr, "store: %s\n", wrong);
    CHECK(wrong == NULL);
    store_free(l->s);
    mutation = watched = NULL;
}

enum store_status lab_put(struct lab *l, unsigned worker, struct store_put *p) {
    store_enter(l->w[worker]);
    enum store_status st = store_put(l->w[worker], p, NULL);
    store_leave(l->w[worker]);
    return st;
}

enum store_status lab_set(struct lab *l, unsigned worker, const char *key, const char *value, const uint64_t *tags,
                          unsigned ntags) {
    struct store_put p = {
        .key = store_key(l->s, key, strlen(key)), .value = value, .size = strlen(value), .tags = tags, .ntags = ntags};
    enum store_status st;
    while ((st = lab_put(l, worker, &p)) == STORE_AGAIN) store_maintain(l->s);
    return st;
}

bool lab_get(struct lab *l, unsigned worker, const char *key, struct store_item *it) {
    struct store_key k = store_key(l->s, key, strlen(key));
    struct store_item local;
    store_enter(l->w[worker]);
    bool hit = store_get(l->w[worker], &k, it ? it : &local);
    store_leave(l->w[worker]);
    return hit;
}

bool lab_has(struct lab *l, unsigned worker, const char *key, const char *value) {
    struct store_key k = store_key(l->s, key, strlen(key));
    struct store_item it;
    store_enter(l->w[worker]);
    bool same = store_get(l->w[worker], &k, &it) && it.size == strlen(value) && memcmp(it.value, value, it.size) == 0;
    store_leave(l->w[worker]);
    return same;
}

uint64_t lab_token(struct lab *l, unsigned worker, const char *key) {
    struct store_meta_get g = {.key = store_key(l->s, key, strlen(key)), .vivify = true, .vivify_expiry = 1000};
    struct store_item it;
    enum store_win win;
    bool created;
    store_enter(l->w[worker]);
    CHECK(store_meta_get(l->w[worker], &g, &it, &win, &created, NULL) == STORE_OK);
    store_leave(l->w[worker]);
    return it.cas;
}

enum store_status lab_fill(struct lab *l, unsigned worker, const char *key, const char *value, uint64_t guard,
                           const uint64_t *tags, unsigned ntags) {
    struct store_put p = {.key = store_key(l->s, key, strlen(key)),
                          .value = value,
                          .size = strlen(value),
                          .tags = tags,
                          .ntags = ntags,
                          .guarded = true,
                          .guard = guard};
    return lab_put(l, worker, &p);
}

enum store_status lab_upload_some(struct store_worker *w, struct store_upload *u, const void *body, uint64_t size,
                                  size_t max) {
    char *to;
    size_t n;
    enum store_status st = store_upload_span(w, u, &to, &n);
    if (st != STORE_OK) return st;
    if (n > max) n = max;
    memcpy(to, (const char *)body + (size - store_upload_left(u)), n);
    store_upload_fill(u, n);
    return STORE_OK;
}

struct store_upload *lab_upload(struct lab *l, unsigned worker, const void *body, uint64_t size) {
    struct store_upload *u;
    CHECK(store_upload_begin(l->w[worker], size, &u) == STORE_OK);
    while (store_upload_left(u))
        if (lab_upload_some(l->w[worker], u, body, size, SIZE_MAX) != STORE_OK) store_maintain(l->s);
    return u;
}

void lab_set_nth(struct lab *l, unsigned n, uint32_t bytes) {
    static char value[200000];
    char key[32];
    struct store_put p = {.value = value, .size = bytes};
    p.key = store_key(l->s, key, (size_t)snprintf(key, sizeof key, "key-%u", n));
    CHECK(bytes <= sizeof value);
    memset(value, 'a' + (char)(n % 26), bytes);
    if (bytes > store_inline_max(l->s)) p.upload = lab_upload(l, 0, value, bytes);
    while (lab_put(l, 0, &p) == STORE_AGAIN) store_maintain(l->s);
    if (n % 16 == 0) store_maintain(l->s);
}

bool lab_has_nth(struct lab *l, unsigned n) {
    char key[32];
    snprintf(key, sizeof key, "key-%u", n);
    return lab_get(l, 0, key, NULL);
}

enum store_status lab_delete(struct lab *l, unsigned worker, const char *key) {
    struct store_delete d = {.key = store_key(l->s, key, strlen(key))};
    store_enter(l->w[worker]);
    enum store_status st = store_delete(l->w[worker], &d, NULL);
    store_leave(l->w[worker]);
    return st;
}

/* The sweeper gets on: its own thread, or here. */
static void sweep_on(struct lab *l, unsigned *turns) {
    if (l->s->thread.started)
        sync_wait(turns);
    else
        store_sweep_all(l->s);
}

uint64_t lab_purge_by(struct lab *l, struct store_worker *w, const struct store_purge *by, int64_t *n) {
    struct purge_end end = {0};
    struct store_purge p = *by;
    uint64_t number;
    enum store_status st;
    unsigned turns = 0;
    p.token = &end;
    while ((st = store_purge(w, &p, &number)) == STORE_AGAIN) sweep_on(l, &turns);
    CHECK(st == STORE_OK || st == STORE_PENDING);
    while (st == STORE_PENDING && !sync_load_acq(&end.ended)) sweep_on(l, &turns);
    if (n) *n = end.n;
    return number;
}

uint64_t lab_purge(struct lab *l, unsigned worker, unsigned n, const uint64_t *tags, bool soft, uint32_t ttl_s) {
    struct store_selector sel = {.all = n == 0, .ntags = n};
    if (n) memcpy(sel.tags, tags, n * sizeof *tags);
    struct store_purge p = {.selectors = &sel, .nselectors = 1, .soft = soft, .soft_ttl_s = ttl_s};
    return lab_purge_by(l, l->w[worker], &p, NULL);
}

uint64_t lab_neighbour(const struct purge_table *t, uint64_t tag, unsigned i) {
    const struct purge_bucket *second = purge_second(t, tag);
    uint64_t other = tag; /* the upper half decides on the first bucket */
    do {
        other = (other & ~0xffffffffull) | (uint32_t)(other + 1);
        if (other != tag && purge_second(t, other) == second && i-- == 0) return other;
    } while (other != tag);
    CHECK(!"there are so many");
    return 0;
}

static bool known(const struct purge_table *t, uint64_t key) {
    return purge_bucket_may_hold(purge_first(t, key), key) || purge_bucket_may_hold(purge_second(t, key), key);
}

void lab_shed(struct lab *l, unsigned worker, uint64_t tag) {
    struct purge_table *t = &l->s->purge;
    CHECK(!l->s->thread.started);
    for (unsigned i = 0; known(t, tag); i++) {
        t->shed = true;
        lab_purge(l, worker, 1, &(uint64_t){lab_neighbour(t, tag, i)}, false, 0);
    }
    t->shed = false;
}

void lab_next_segment(struct lab *l, unsigned worker) {
    static unsigned n;
    uint32_t before = l->w[worker]->open.segment;
    char key[32], value[1001];
    memset(value, 'x', 1000);
    value[1000] = 0;
    do {
        snprintf(key, sizeof key, "filler-%u", n++);
        CHECK(lab_set(l, worker, key, value, NULL, 0) == STORE_OK);
    } while (l->w[worker]->open.segment == before);
}

uint32_t lab_segment(struct lab *l, const char *key) {
    struct store_key k = store_key(l->s, key, strlen(key));
    struct store_item it;
    store_enter(l->w[0]);
    bool hit = store_peek(l->w[0], &k, &it);
    store_leave(l->w[0]);
    return hit ? segment_of(&l->s->segs, it.loc) : SEGMENT_NONE;
}

/* ------------------------------------------------------------------ the check of everything */

struct seen {
    uint64_t hash;
    uint8_t *p;
};

static char wrong[200];
#define WRONG(...) return snprintf(wrong, sizeof wrong, __VA_ARGS__), wrong

static int by_hash(const void *a, const void *b) {
    const struct seen *x = a, *y = b;
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

static bool usable(const struct store *s, uint64_t loc, uint32_t bytes) {
    if (segment_of(&s->segs, loc) >= s->segs.max) return false;
    const struct segment *g = segment_by_loc(s, loc);
    uint64_t end = loc - segment_base(&s->segs, segment_of(&s->segs, loc)) + bytes;
    return (g->state == SEGMENT_OPEN || g->state == SEGMENT_SEALED) && end <= g->used;
}

static const char *check_item(struct store *s, uint64_t loc, uint64_t *per, struct seen *out, uint64_t *bytes) {
    struct item it;
    uint8_t *p = segment_at(&s->segs, loc);
    if (!usable(s, loc, ITEM_FIXED) || item_is_piece(p)) WRONG("a slot leads to no item (%llu)", (long long)loc);
    item_read(&it, p);
    uint32_t n = item_record_bytes(&it);
    if (!usable(s, loc, n)) WRONG("a record reaches beyond its segment");
    if (it.version == 0 || it.version >= s->number) WRONG("a linked item has a number that was never given");
    *out = (struct seen){hash_key(p + it.key_at, it.key_len, s->cfg.seed), p};
    per[segment_of(&s->segs, loc)] += n;
    *bytes += n;
    uint64_t size = 0;
    for (unsigned i = 0; i < item_pieces(&it); i++) {
        uint64_t at;
        uint32_t b;
        item_piece(&it, i, &at, &b);
        if (!usable(s, at, b + ITEM_PIECE_HEADER)) WRONG("a piece lies outside");
        uint8_t *q = segment_at(&s->segs, at);
        if (!item_is_piece(q) || item_piece_bytes(q) != b) WRONG("an item lists a piece that is none");
        if (item_piece_owner(q) != out->hash) WRONG("a piece has another owner");
        per[segment_of(&s->segs, at)] += b + ITEM_PIECE_HEADER;
        size += b;
        *bytes += b + ITEM_PIECE_HEADER;
    }
    if (item_large(&it) && size != item_size(&it)) WRONG("pieces do not add up to the value");
    return NULL;
}

static const char *check_index(struct store *s, uint64_t *per, uint64_t *items, uint64_t *bytes) {
    uint64_t max = store_metric(s, STORE_METRIC_items_added) - store_metric(s, STORE_METRIC_items_removed), n = 0;
    struct seen *seen = calloc(max + 1, sizeof *seen);
    const char *bad = NULL;
    for (uint64_t g = 0; g < s->ix.groups && !bad; g++)
        for (unsigned b = 0; b < INDEX_BUCKETS && !bad; b++) {
            uint64_t slots[INDEX_SLOTS + INDEX_OVERFLOW_MAX];
            unsigned k = index_collect_locked(&s->ix, g, b, slots);
            for (unsigned i = 0; i < k && !bad; i++) {
                bad = n < max ? NULL : "more items than counted";
                if (!bad) bad = check_item(s, index_slot_loc(slots[i]), per, &seen[n], bytes);
                if (bad) break;
                if (index_bucket(&s->ix, seen[n].hash) != &s->ix.buckets[g * INDEX_BUCKETS + b])
                    bad = "an item lies in another key's bucket";
                if (index_fp(&s->ix, seen[n].hash) != index_slot_fp(slots[i])) bad = "a slot's fingerprint is wrong";
                n++;
            }
        }
    *items = n;
    qsort(seen, n, sizeof *seen, by_hash);
    for (uint64_t i = 1; i < n && !bad; i++) {
        struct item a, b;
        if (seen[i].hash != seen[i - 1].hash) continue;
        item_read(&a, seen[i].p);
        item_read(&b, seen[i - 1].p);
        if (a.key_len == b.key_len && memcmp(a.p + a.key_at, b.p + b.key_at, a.key_len) == 0) bad = "a key twice";
    }
    free(seen);
    return bad;
}

static const char *check_segments(struct store *s, const uint64_t *per) {
    uint32_t free_ones = 0, exist = 0, queued[2] = {0, 0}, retired = 0;
    for (uint32_t i = 0; i < s->segs.touched; i++) {
        const struct segment *g = &s->segs.seg[i];
        if (account_live_bytes(s, i) != per[i])
            WRONG("segment %u counts %u bytes, there are %llu", i, account_live_bytes(s, i), (long long)per[i]);
        exist += g->state != SEGMENT_ABSENT;
        free_ones += g->state == SEGMENT_FREE;
        retired += g->state == SEGMENT_RETIRED;
        if (g->state == SEGMENT_SEALED) queued[g->queue]++;
        if ((g->state == SEGMENT_OPEN || g->state == SEGMENT_SEALED) && g->used > s->segs.bytes)
            WRONG("segment %u is over its end", i);
        if (g->state != SEGMENT_OPEN && g->state != SEGMENT_SEALED) continue;
        uint32_t at = segment_first(i);
        while (at < g->used) at += item_any_bytes(segment_at(&s->segs, segment_base(&s->segs, i) + at));
        if (at != g->used) WRONG("segment %u is not a row of records", i);
    }
    if (exist != s->segs.exist) WRONG("%u segments exist, %u are counted", exist, s->segs.exist);
    if (free_ones != s->segs.free.count) WRONG("%u free segments, %u are counted", free_ones, s->segs.free.count);
    if (retired != s->maintain.retire.list.count)
        WRONG("%u retired segments, %u are counted", retired, s->maintain.retire.list.count);
    for (int q = 0; q < 2; q++)
        if (queued[q] != s->segs.queues[q].count)
            WRONG("queue %d holds %u segments, %u are counted", q, queued[q], s->segs.queues[q].count);
    return NULL;
}

const char *lab_validate(struct store *s) {
    uint64_t *per = calloc(s->segs.max, sizeof *per);
    uint64_t items = 0, bytes = 0;
    struct store_gauges g;
    const char *bad = check_index(s, per, &items, &bytes);
    if (!bad) bad = check_segments(s, per);
    free(per);
    if (bad) return bad;
    store_gauges(s, &g);
    if (items != g.items) WRONG("%llu items, %llu are counted", (long long)items, (long long)g.items);
    if (bytes != g.bytes) WRONG("%llu bytes, %llu are counted", (long long)bytes, (long long)g.bytes);
    return NULL;
}
