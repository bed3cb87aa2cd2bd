/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/purge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/fault.h"
#include "base/pages.h"
#include "base/sync.h"

#define SALT_MARK 0x9e3779b97f4a7c15ull
#define SALT_MORE 0xc2b2ae3d27d4eb4full

/* The finalizer of MurmurHash3 (A. Appleby): derived table keys must spread like the tags' own hashes. */
static uint64_t mix(uint64_t x) {
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdull;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ull;
    x ^= x >> 33;
    return x ? x : 1;
}

/* The table keys of: "this tag is the smaller one of some conjunction", a pair, "this pair has wider conjunctions". */
static uint64_t mark_key(uint64_t tag) {
    return mix(tag ^ SALT_MARK);
}
static uint64_t pair_key(uint64_t lo, uint64_t hi) {
    return mix(mix(lo) + hi);
}
static uint64_t more_key(uint64_t pair) {
    return mix(pair ^ SALT_MORE);
}

int purge_init(struct purge_table *t, uint64_t bytes) {
    memset(t, 0, sizeof *t);
    uint64_t record_bytes = bytes / 8;
    t->nsets = (uint32_t)(record_bytes / (PURGE_SET * sizeof *t->records));
    if (t->nsets == 0) t->nsets = 1;
    t->nbuckets = (uint32_t)((bytes - record_bytes) / (sizeof *t->buckets + 2 * PURGE_WAYS / 8));
    t->nmarks = t->nbuckets * PURGE_WAYS / PURGE_MARK_BITS + 1;
    t->bytes = bytes;
    t->buckets = pages_new(t->nbuckets * sizeof *t->buckets);
    if (t->buckets == NULL) return -ENOMEM;
    pthread_mutex_init(&t->lock, NULL);
    t->records = calloc((size_t)t->nsets * PURGE_SET, sizeof *t->records);
    t->marks = calloc(t->nmarks, sizeof *t->marks);
    if (t->records != NULL && t->marks != NULL) return 0;
    purge_fini(t);
    return -ENOMEM;
}

void purge_fini(struct purge_table *t) {
    if (t->buckets == NULL) return;
    pages_free(t->buckets, t->nbuckets * sizeof *t->buckets);
    free(t->records);
    free(t->marks);
    pthread_mutex_destroy(&t->lock);
    t->buckets = NULL;
}

/* ------------------------------------------------------------------ reading */

/* What the table knows of one key. */
struct view {
    uint64_t hard, soft; /* hard may have PURGE_PENDING */
    uint64_t item_floor, fill_floor;
    uint32_t deadline;
};

static struct view look(const struct purge_table *t, uint64_t key) {
    const struct purge_bucket *b = purge_bucket_of(t, key);
    for (;;) {
        struct view v = {0};
        bool torn = false;
        for (unsigned i = 0; i < PURGE_WAYS; i++) {
            if (sync_load_acq(&b->hash[i]) != key) continue;
            v.hard = sync_load_acq(&b->hard[i]);
            v.soft = sync_load_acq(&b->soft[i]);
            (void)FAULT_POINT("purge.look.soft");
            v.deadline = sync_load_acq(&b->deadline[i]);
            /* Shed meanwhile: its floor is there by now. Purged meanwhile: an old number, a new deadline. */
            torn = sync_load_acq(&b->hash[i]) != key ||
                   (sync_load_acq(&b->hard[i]) != v.hard && !FAULT_POINT("purge.mutate.torn"));
            break;
        }
        /* Floors last: they are raised before an entry is shed. */
        v.item_floor = sync_load_acq(&b->item_floor);
        v.fill_floor = sync_load_acq(&b->fill_floor);
        if (likely(!torn)) return v;
    }
}

/* Joins one pair of numbers to the verdict so far. */
static enum purge_verdict join(enum purge_verdict so_far, uint64_t birth, uint64_t hard, uint64_t soft,
                               uint32_t soft_deadline, uint32_t now, uint32_t *deadline) {
    if (PURGE_NUMBER(hard) > birth) return PURGE_DEAD;
    if (soft <= birth) return so_far;
    if (soft_deadline <= now) return PURGE_DEAD;
    if (so_far == PURGE_FRESH || soft_deadline < *deadline) *deadline = soft_deadline;
    return PURGE_SOFT;
}

enum purge_verdict purge_check_untagged(const struct purge_table *t, uint64_t birth, uint32_t now, uint32_t *deadline) {
    uint64_t hard = sync_load_acq(&t->star_hard), soft = sync_load_acq(&t->star_soft);
    if (likely(PURGE_NUMBER(hard) <= birth && soft <= birth)) return PURGE_FRESH;
    return join(PURGE_FRESH, birth, hard, soft, sync_load_acq(&t->star_deadline), now, deadline);
}

static int compare_u64(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Whether the sorted tags hold all of the record's. */
static bool record_covered(const struct purge_record *r, const uint64_t *sorted, unsigned n) {
    unsigned k = 0, want = sync_load(&r->ntags);
    if (want > PURGE_RECORD_TAGS) return false;
    for (unsigned i = 0; i < want; i++) {
        uint64_t tag = sync_load(&r->tags[i]);
        while (k < n && sorted[k] < tag) k++;
        if (k == n || sorted[k] != tag) return false;
    }
    return true;
}

/* The numbers of a record if it is one of the pair's and the tags hold all of its own. */
static bool record_look(const struct purge_record *r, uint64_t pair, const uint64_t *sorted, unsigned n,
                        struct view *v) {
    for (unsigned turns = 0;;) {
        uint64_t version = sync_load_acq(&r->version);
        bool covered = sync_load_acq(&r->pair) == pair && record_covered(r, sorted, n);
        *v = (struct view){
            .hard = sync_load_acq(&r->hard), .soft = sync_load_acq(&r->soft), .deadline = sync_load_acq(&r->deadline)};
        sync_fence_load();
        if (!(version & 1) && sync_load(&r->version) == version) return covered;
        sync_wait(&turns);
    }
}

/* Calls fn for each conjunction number pair that applies to the tags; stops when fn returns true. */
static bool each_conjunction(const struct purge_table *t, uint64_t birth, const uint64_t *tags, unsigned ntags,
                             bool (*fn)(void *arg, const struct view *v), void *arg) {
    uint64_t sorted[STORE_TAGS_MAX + 16 + STORE_READ_TAGS_MAX];
    CHECK(ntags <= sizeof sorted / sizeof sorted[0]);
    memcpy(sorted, tags, ntags * sizeof *tags);
    qsort(sorted, ntags, sizeof *sorted, compare_u64);
    for (unsigned i = 0; i + 1 < ntags; i++) {
        struct view mark = look(t, mark_key(sorted[i]));
        struct view floors = {.item_floor = mark.item_floor, .fill_floor = mark.fill_floor};
        if (fn(arg, &floors)) return true;
        if (PURGE_NUMBER(mark.hard) <= birth && !(mark.hard & PURGE_PENDING)) continue;
        for (unsigned k = i + 1; k < ntags; k++) {
            uint64_t pair = pair_key(sorted[i], sorted[k]);
            struct view v = look(t, pair);
            if (fn(arg, &v)) return true;
            struct view more = look(t, more_key(pair));
            struct view more_floors = {.item_floor = more.item_floor, .fill_floor = more.fill_floor};
            if (fn(arg, &more_floors)) return true;
            if (PURGE_NUMBER(more.hard) <= birth && !(more.hard & PURGE_PENDING)) continue;
            const struct purge_record *r = &t->records[pair % t->nsets * PURGE_SET];
            for (unsigned s = 0; s < PURGE_SET; s++, r++) {
                struct view w;
                if (record_look(r, pair, sorted, ntags, &w) && fn(arg, &w)) return true;
            }
        }
    }
    return false;
}

struct check {
    uint64_t birth;
    uint32_t now, *deadline;
    enum purge_verdict verdict;
};

static bool check_one(void *arg, const struct view *v) {
    struct check *c = arg;
    c->verdict = v->item_floor > c->birth
                     ? PURGE_DEAD
                     : join(c->verdict, c->birth, v->hard, v->soft, v->deadline, c->now, c->deadline);
    return c->verdict == PURGE_DEAD;
}

enum purge_verdict purge_check(const struct purge_table *t, uint64_t birth, const uint64_t *tags, unsigned ntags,
                               uint32_t now, uint32_t *deadline) {
    struct check c = {birth, now, deadline, purge_check_untagged(t, birth, now, deadline)};
    if (c.verdict == PURGE_DEAD) return PURGE_DEAD;
    for (unsigned i = 0; i < ntags; i++) {
        struct view v = look(t, tags[i]);
        if (check_one(&c, &v)) return PURGE_DEAD;
    }
    if (ntags > 1 && sync_load_acq(&t->conj_seq) > birth) each_conjunction(t, birth, tags, ntags, check_one, &c);
    return c.verdict;
}

/* As check_one, for what concerns tags that the item does not carry: a purge of them that has been forgotten was not
 * carried out on it. */
static bool check_read_one(void *arg, const struct view *v) {
    struct view w = *v;
    if (w.fill_floor > w.item_floor && !FAULT_POINT("purge.mutate.read_swept")) w.item_floor = w.fill_floor;
    return check_one(arg, &w);
}

enum purge_verdict purge_check_read(const struct purge_table *t, uint64_t birth, const uint64_t *tags, unsigned nown,
                                    unsigned ntags, uint32_t now, uint32_t *deadline) {
    struct check c = {birth, now, deadline, purge_check(t, birth, tags, nown, now, deadline)};
    if (c.verdict == PURGE_DEAD) return PURGE_DEAD;
    for (unsigned i = nown; i < ntags; i++) {
        struct view v = look(t, tags[i]);
        if (check_read_one(&c, &v)) return PURGE_DEAD;
    }
    /* Conjunctions that could not be filed are in no sweep's reach either. */
    if (ntags > 2 && sync_load_acq(&t->fence) > birth) return PURGE_DEAD;
    if (ntags > 1 && sync_load_acq(&t->conj_seq) > birth) each_conjunction(t, birth, tags, ntags, check_read_one, &c);
    return c.verdict;
}

static bool view_overtook(void *arg, const struct view *v) {
    uint64_t birth = *(uint64_t *)arg;
    return (v->hard & PURGE_PENDING) || PURGE_NUMBER(v->hard) > birth || v->soft > birth || v->fill_floor > birth;
}

bool purge_overtook(const struct purge_table *t, uint64_t birth, const uint64_t *tags, unsigned ntags,
                    const uint64_t *carried, unsigned ncarried) {
    struct view star = {.hard = sync_load_acq(&t->star_hard), .soft = sync_load_acq(&t->star_soft)};
    if (view_overtook(&birth, &star)) return true;
    if (ntags > 0 && sync_load_acq(&t->fence) > birth) return true;
    for (unsigned i = 0; i < ntags; i++) {
        struct view v = look(t, tags[i]);
        /* A live version that carries the tag has proved that no purge of it came since its birth. */
        for (unsigned k = 0; k < ncarried; k++)
            if (carried[k] == tags[i]) v.fill_floor = 0;
        if (view_overtook(&birth, &v)) return true;
    }
    /* conj_seq is announced as pending too, so a conjunction under way is never overlooked. */
    if (ntags > 1 && sync_load_acq(&t->conj_seq) > birth)
        return each_conjunction(t, birth, tags, ntags, view_overtook, &birth);
    return false;
}

/* ------------------------------------------------------------------ writing (mutex held) */

/* Where the numbers of one selector lie. */
struct cell {
    uint64_t *hard, *soft;
    uint32_t *deadline;
};

static void announce(struct cell c) {
    sync_store_seq(c.hard, *c.hard | PURGE_PENDING);
}

/* Writes number p, which ends the announcement. */
static void settle(struct cell c, uint64_t p, bool soft, uint32_t deadline, uint32_t now) {
    uint64_t hard = PURGE_NUMBER(*c.hard);
    if (!soft) {
        sync_store_rel(c.hard, p);
        return;
    }
    if (FAULT_POINT("purge.mutate.one_number")) hard = 0;
    if (*c.soft > hard) {
        if (*c.deadline <= now)
            hard = *c.soft; /* its time is over: it counts as hard */
        else if (*c.deadline < deadline)
            deadline = *c.deadline; /* two soft purges share the earlier deadline */
    }
    uint64_t still_pending = hard | PURGE_PENDING;
    sync_store_rel(c.hard, still_pending);
    sync_store_rel(c.deadline, deadline);
    sync_store_rel(c.soft, p);
    sync_store_rel(c.hard, hard);
}

static uint64_t raise(uint64_t *floor, uint64_t to) {
    uint64_t old = *floor;
    if (to > old) sync_store_rel(floor, to);
    return old;
}

/* Readers look at the key's bucket from now on; at that of all its keys when its floor rises. */
static void mark(struct purge_table *t, uint64_t key, bool all) {
    unsigned bit;
    struct purge_marks *m = purge_mark_of(t, key, &bit);
    uint64_t bits = all ? ((1ull << PURGE_WAYS) - 1) << (bit - bit % PURGE_WAYS) : 1ull << bit;
    if (!FAULT_POINT("purge.mutate.unmarked")) sync_store_rel(&m->of[t->fresh], m->of[t->fresh] | bits);
}

/* The entry of a key, made if need be; what has to go for it becomes a floor first. */
static struct cell entry(struct purge_table *t, uint64_t key) {
    struct purge_bucket *b = purge_bucket_of(t, key);
    int at = -1, victim = 0;
    mark(t, key, false);
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < PURGE_WAYS; i++) {
        if (b->hash[i] == key) return (struct cell){&b->hard[i], &b->soft[i], &b->deadline[i]};
        if (b->hash[i] == 0) at = i;
        uint64_t hard = PURGE_NUMBER(b->hard[i]), newest = hard > b->soft[i] ? hard : b->soft[i];
        if (newest < least && !(b->hard[i] & PURGE_PENDING)) { /* at most three are pending at once */
            least = newest;
            victim = i;
        }
    }
    if (at < 0) {
        at = victim;
        mark(t, key, true);
        if (!FAULT_POINT("purge.mutate.no_fill_floor")) raise(&b->fill_floor, least);
        if (least > t->swept && !FAULT_POINT("purge.mutate.no_item_floor") && raise(&b->item_floor, least) <= t->swept)
            sync_bump(&t->floors, 1);
        sync_store_rel(&b->hash[at], 0);
        sync_bump(&t->entries, (uint64_t)-1);
    }
    sync_store_rel(&b->hard[at], 0);
    sync_store_rel(&b->soft[at], 0);
    sync_store_rel(&b->deadline[at], 0);
    sync_store_seq(&b->hash[at], key);
    sync_bump(&t->entries, 1);
    return (struct cell){&b->hard[at], &b->soft[at], &b->deadline[at]};
}

/* The record of a conjunction, or a free or retired one made into it; NULL when the pair's set is full. */
static struct purge_record *record(struct purge_table *t, uint64_t pair, const uint64_t *sorted, unsigned n) {
    struct purge_record *set = &t->records[pair % t->nsets * PURGE_SET], *use = NULL;
    for (unsigned s = 0; s < PURGE_SET; s++) {
        struct purge_record *r = &set[s];
        if (r->pair == pair && r->ntags == n && memcmp(r->tags, sorted, n * sizeof *sorted) == 0) return r;
        if (r->pair == 0 || (r->hard <= t->swept && r->soft <= t->swept)) use = r;
    }
    if (use == NULL) return NULL;
    if (use->pair) {
        /* Retired, but a fill guarded by something older must still be refused. */
        uint64_t newest = use->hard > use->soft ? use->hard : use->soft;
        raise(&purge_bucket_of(t, more_key(use->pair))->fill_floor, newest);
    }
    sync_store_seq(&use->version, use->version + 1);
    sync_store_seq(&use->pair, 0);
    sync_store_rel(&use->hard, 0);
    sync_store_rel(&use->soft, 0);
    sync_store_rel(&use->deadline, 0);
    sync_store_rel(&use->ntags, n);
    for (unsigned i = 0; i < n; i++) sync_store_rel(&use->tags[i], sorted[i]);
    sync_store_rel(&use->pair, pair);
    sync_store_seq(&use->version, use->version + 1);
    return use;
}

/* Takes the number between the announcement and the writing; raises seq last. */
static uint64_t take_number(uint64_t *counter) {
    (void)FAULT_POINT("purge.announced");
    uint64_t p = sync_add_acqrel(counter, 1);
    (void)FAULT_POINT("purge.numbered");
    return p;
}

/* Announces, takes a number and writes it to all cells; all but the first are signposts, which only say "look on". */
static uint64_t apply_cells(struct purge_table *t, uint64_t *counter, const struct cell *cells, unsigned n, bool soft,
                            uint32_t deadline, uint32_t now) {
    for (unsigned i = 0; i < n; i++)
        if (!FAULT_POINT("purge.mutate.no_announcement")) announce(cells[i]);
    uint64_t p = take_number(counter);
    if (FAULT_POINT("purge.mutate.seq_first")) {
        sync_store_seq(&t->seq, p);
        (void)FAULT_POINT("purge.mutated");
    }
    for (unsigned i = n; i-- > 0;) settle(cells[i], p, soft && i == 0, deadline, now);
    (void)FAULT_POINT("purge.written");
    return p;
}

/* A conjunction the table cannot file: guarded fills that began before it are refused, the caller sweeps. */
static uint64_t apply_fence(struct purge_table *t, uint64_t *counter) {
    sync_store_seq(&t->fence, UINT64_MAX);
    sync_store_seq(&t->unfiled, UINT64_MAX);
    uint64_t p = take_number(counter);
    sync_store_seq(&t->fence, p);
    sync_store_seq(&t->unfiled, p);
    return p;
}

static uint64_t apply_conjunction(struct purge_table *t, uint64_t *counter, const uint64_t *sorted, unsigned n,
                                  bool soft, uint32_t deadline, uint32_t now, bool *sweep) {
    uint64_t pair = pair_key(sorted[0], sorted[1]);
    struct purge_record *r = n > 2 && n <= PURGE_RECORD_TAGS ? record(t, pair, sorted, n) : NULL;
    if (n > 2 && r == NULL) {
        *sweep = true;
        return apply_fence(t, counter);
    }
    struct cell cells[3];
    unsigned k = 0;
    sync_store_seq(&t->conj_seq, UINT64_MAX); /* pending: whoever guards a fill looks for conjunctions */
    if (r) cells[k++] = (struct cell){&r->hard, &r->soft, &r->deadline};
    /* Each is announced as soon as it is there, so that the next one does not take its place. */
    const uint64_t keys[3] = {pair, more_key(pair), mark_key(sorted[0])};
    for (unsigned i = r ? 1 : 0; i < 3; i++) {
        if (!r && i == 1) continue;
        cells[k] = entry(t, keys[i]);
        announce(cells[k++]);
    }
    uint64_t p = apply_cells(t, counter, cells, k, soft, deadline, now);
    sync_store_seq(&t->conj_seq, p);
    return p;
}

static uint64_t apply_tag(struct purge_table *t, uint64_t *counter, uint64_t tag, bool soft, uint32_t deadline,
                          uint32_t now) {
    struct cell c = entry(t, tag);
    return apply_cells(t, counter, &c, 1, soft, deadline, now);
}

uint64_t purge_apply(struct purge_table *t, uint64_t *counter, const struct store_selector *sel, bool soft,
                     uint32_t deadline, uint32_t now, bool *sweep) {
    uint64_t sorted[STORE_SELECTOR_TAGS_MAX], p;
    unsigned n = 0;
    *sweep = false;
    memcpy(sorted, sel->tags, sel->ntags * sizeof *sorted);
    qsort(sorted, sel->ntags, sizeof *sorted, compare_u64);
    for (unsigned i = 0; i < sel->ntags; i++)
        if (n == 0 || sorted[n - 1] != sorted[i]) sorted[n++] = sorted[i];
    if (sel->all) {
        struct cell star = {&t->star_hard, &t->star_soft, &t->star_deadline};
        p = apply_cells(t, counter, &star, 1, soft, deadline, now);
    } else if (n > 1) {
        p = apply_conjunction(t, counter, sorted, n, soft, deadline, now, sweep);
    } else {
        p = apply_tag(t, counter, sorted[0], soft, deadline, now);
    }
    if (!FAULT_POINT("purge.mutate.no_seq")) sync_store_seq(&t->seq, p);
    return p;
}

/* A purge under way keeps the mutex, also for as long as a test holds it; then the generation simply goes on. */
uint64_t purge_pass(struct purge_table *t) {
    if (!t->ending && pthread_mutex_trylock(&t->lock) == 0) {
        t->fresh ^= 1;
        t->ending = true;
        uint64_t number = t->seq;
        pthread_mutex_unlock(&t->lock);
        return number;
    }
    return sync_load_acq(&t->seq);
}

/* Nobody else writes to that generation, so this may take its time. What was never marked is not touched. */
void purge_unmark(struct purge_table *t) {
    const unsigned old = t->fresh ^ 1;
    for (uint32_t i = 0; t->ending && i < t->nmarks; i++)
        if (sync_load(&t->marks[i].of[old]) != 0) sync_store(&t->marks[i].of[old], 0);
    t->ending = false;
}

void purge_swept(struct purge_table *t, uint64_t number, bool no_jobs) {
    if (number > t->swept) sync_store_rel(&t->swept, number);
    if (no_jobs) sync_store_rel(&t->unfiled, 0);
}
