/* SPDX-License-Identifier: BSD-3-Clause
 *
 * purge - the table's life, what it says of tags, and what a pass of the sweeper does to it. */
#include "store/purge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/fault.h"
#include "base/pages.h"
#include "base/sync.h"

#define SALT_SIGNPOST 0x9e3779b97f4a7c15ull
#define SALT_MORE 0xc2b2ae3d27d4eb4full
#define BYTES_MAX (16ull << 30) /* places are counted in 32 bits */
#define RECORD_SHARE 16         /* one part in so many is for records of conjunctions */
#define RECORD_SETS_MIN 4
#define TURNS 100 /* pauses until a purge under way is not waited for any longer */

/* The finalizer of MurmurHash3 (A. Appleby): derived table keys must spread like the tags' own hashes. */
static uint64_t mix(uint64_t x) {
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdull;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ull;
    x ^= x >> 33;
    return x ? x : 1;
}

uint64_t purge_signpost_key(uint64_t tag) {
    return mix(tag ^ SALT_SIGNPOST);
}
uint64_t purge_pair_key(uint64_t lo, uint64_t hi) {
    return mix(mix(lo) + hi);
}
uint64_t purge_more_key(uint64_t pair) {
    return mix(pair ^ SALT_MORE);
}

/* All of it lies in one mapping: buckets, records, filter, held. */
int purge_init(struct purge_table *t, uint64_t bytes) {
    memset(t, 0, sizeof *t);
    if (bytes > BYTES_MAX) bytes = BYTES_MAX;
    uint64_t sets = bytes / RECORD_SHARE / (PURGE_SET * sizeof *t->records);
    t->nsets = (uint32_t)(sets > RECORD_SETS_MIN ? sets : RECORD_SETS_MIN);
    const uint64_t records = (uint64_t)t->nsets * PURGE_SET, record_bytes = records * (sizeof *t->records + 1);
    CHECK(bytes > 2 * record_bytes);
    t->nbuckets = (uint32_t)((bytes - record_bytes) / (sizeof *t->buckets + 3 * PURGE_WAYS / 8 + 1));
    t->nfilter = t->nbuckets * PURGE_WAYS / PURGE_FILTER_BITS + 1;
    const uint64_t held = purge_capacity(t) + records;
    t->bytes = t->nbuckets * sizeof *t->buckets + records * sizeof *t->records + t->nfilter * sizeof *t->filter +
               (held / 64 + 1) * sizeof *t->held;
    t->memory = pages_new(t->bytes);
    t->pages = calloc((t->bytes >> PURGE_PAGE_SHIFT) / 64 + 1, sizeof *t->pages);
    if (t->memory == NULL || t->pages == NULL) {
        pages_free(t->memory, t->bytes);
        free(t->pages);
        t->memory = NULL;
        return -ENOMEM;
    }
    t->buckets = t->memory;
    t->records = (struct purge_record *)(t->buckets + t->nbuckets);
    t->filter = (struct purge_filter *)(t->records + records);
    t->held = (uint64_t *)(t->filter + t->nfilter);
    pthread_mutex_init(&t->lock, NULL);
    return 0;
}

void purge_fini(struct purge_table *t) {
    if (t->memory == NULL) return;
    pages_free(t->memory, t->bytes);
    free(t->pages);
    pthread_mutex_destroy(&t->lock);
    t->memory = NULL;
}

/* ------------------------------------------------------------------ reading */

/* What the table knows of one key. */
struct view {
    uint64_t hard, soft; /* hard may have PURGE_PENDING */
    uint64_t item_floor, fill_floor;
    uint32_t deadline;
};

/* What one bucket says of the key. False: nothing. *torn: it was being written to. */
static bool look_in(const struct purge_bucket *b, uint64_t key, struct view *v, bool *torn) {
    for (unsigned i = 0; i < PURGE_WAYS; i++) {
        if (sync_load_acq(&b->hash[i]) != key) continue;
        v->hard = sync_load_acq(&b->hard[i]);
        v->soft = sync_load_acq(&b->soft[i]);
        (void)FAULT_POINT("purge.look.soft");
        v->deadline = sync_load_acq(&b->deadline[i]);
        /* Shed meanwhile: its floor is there by now. Purged meanwhile: an old version, a new deadline. */
        *torn = sync_load_acq(&b->hash[i]) != key ||
                ((sync_load_acq(&b->hard[i]) != v->hard || sync_load_acq(&b->soft[i]) != v->soft) &&
                 !FAULT_POINT("purge.mutate.torn"));
        return true;
    }
    return false;
}

static struct view look(const struct purge_table *t, uint64_t key) {
    const struct purge_bucket *first = purge_first(t, key);
    for (;;) {
        struct view v = {0};
        bool torn = false;
        const uint64_t moves = sync_load_acq(&t->moves);
        if (!look_in(first, key, &v, &torn)) {
            (void)FAULT_POINT("purge.look.second");
            if (!look_in(purge_second(t, key), key, &v, &torn)) torn = sync_load_acq(&t->moves) != moves;
        }
        /* Floors last: they are raised before an entry is shed. */
        v.item_floor = sync_load_acq(&first->item_floor);
        v.fill_floor = sync_load_acq(&first->fill_floor);
        if (likely(!torn)) return v;
    }
}

/* False: the table has no entry of the key, nor a floor that concerns an item of this version. */
static bool may_hold(const struct purge_table *t, uint64_t key, uint64_t version) {
    const struct purge_bucket *first = purge_first(t, key);
    const uint64_t moves = sync_load_acq(&t->moves);
    if (purge_bucket_may_hold(first, key)) return true;
    (void)FAULT_POINT("purge.unknown.second");
    if (purge_bucket_may_hold(purge_second(t, key), key)) return true;
    /* The floor last: it is raised before an entry is shed. */
    return sync_load_acq(&t->moves) != moves || sync_load_acq(&first->item_floor) > version;
}

bool purge_unknown_rest(const struct purge_table *t, uint64_t version, const uint8_t *tags, unsigned ntags) {
    for (unsigned i = 0; i < ntags; i++) {
        uint64_t tag;
        memcpy(&tag, tags + 8 * (size_t)i, 8);
        if (purge_filter_has(t, tag) && may_hold(t, tag, version)) return false;
    }
    return true;
}

/* What the versions of a hard and a soft purge say of an item, added to the verdict so far. */
static enum purge_verdict join(enum purge_verdict so_far, uint64_t version, uint64_t hard, uint64_t soft,
                               uint32_t soft_deadline, uint32_t now, uint32_t *deadline) {
    if (PURGE_VERSION(hard) > version) return PURGE_DEAD;
    if (soft <= version) return so_far;
    if (soft_deadline <= now) return PURGE_DEAD;
    if (so_far == PURGE_FRESH || soft_deadline < *deadline) *deadline = soft_deadline;
    return PURGE_SOFT;
}

enum purge_verdict purge_check_untagged(const struct purge_table *t, uint64_t version, uint32_t now,
                                        uint32_t *deadline) {
    uint64_t hard = sync_load_acq(&t->star_hard), soft = sync_load_acq(&t->star_soft);
    if (likely(PURGE_VERSION(hard) <= version && soft <= version)) return PURGE_FRESH;
    return join(PURGE_FRESH, version, hard, soft, sync_load_acq(&t->star_deadline), now, deadline);
}

static int compare_u64(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

void purge_sort(uint64_t *tags, unsigned n) {
    qsort(tags, n, sizeof *tags, compare_u64);
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

/* The versions of a record if it is one of the pair's and the tags hold all of its own. */
static bool record_look(const struct purge_record *r, uint64_t pair, const uint64_t *sorted, unsigned n,
                        struct view *v) {
    bool covered;
    unsigned sequence;
    do {
        sequence = sync_sequence_read_begin(&r->sequence);
        covered = sync_load_acq(&r->pair) == pair && record_covered(r, sorted, n);
        *v = (struct view){
            .hard = sync_load_acq(&r->hard), .soft = sync_load_acq(&r->soft), .deadline = sync_load_acq(&r->deadline)};
    } while (sync_sequence_read_retry(&r->sequence, sequence));
    return covered;
}

/* Calls fn with the versions of each conjunction that applies to the tags; stops when fn returns true. */
static bool each_conjunction(const struct purge_table *t, uint64_t version, const uint64_t *tags, unsigned ntags,
                             bool (*fn)(void *arg, const struct view *v), void *arg) {
    uint64_t sorted[STORE_TAGS_MAX + 16 + STORE_READ_TAGS_MAX];
    CHECK(ntags <= sizeof sorted / sizeof sorted[0]);
    memcpy(sorted, tags, ntags * sizeof *tags);
    purge_sort(sorted, ntags);
    for (unsigned i = 0; i + 1 < ntags; i++) {
        struct view sign = look(t, purge_signpost_key(sorted[i]));
        struct view floors = {.item_floor = sign.item_floor, .fill_floor = sign.fill_floor};
        if (fn(arg, &floors)) return true;
        if (PURGE_VERSION(sign.hard) <= version && !(sign.hard & PURGE_PENDING)) continue;
        for (unsigned k = i + 1; k < ntags; k++) {
            uint64_t pair = purge_pair_key(sorted[i], sorted[k]);
            struct view v = look(t, pair);
            if (fn(arg, &v)) return true;
            struct view more = look(t, purge_more_key(pair));
            struct view more_floors = {.item_floor = more.item_floor, .fill_floor = more.fill_floor};
            if (fn(arg, &more_floors)) return true;
            if (PURGE_VERSION(more.hard) <= version && !(more.hard & PURGE_PENDING)) continue;
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
    uint64_t version;
    uint32_t now, *deadline;
    enum purge_verdict verdict;
};

static bool check_one(void *arg, const struct view *v) {
    struct check *c = arg;
    c->verdict = v->item_floor > c->version
                     ? PURGE_DEAD
                     : join(c->verdict, c->version, v->hard, v->soft, v->deadline, c->now, c->deadline);
    return c->verdict == PURGE_DEAD;
}

/* Whether everything of this version that has a tag was purged. */
static bool is_older_than_tagged(const struct purge_table *t, uint64_t version) {
    return PURGE_VERSION(sync_load_acq(&t->tagged)) > version;
}

enum purge_verdict purge_check(const struct purge_table *t, uint64_t version, const uint64_t *tags, unsigned ntags,
                               uint32_t now, uint32_t *deadline) {
    struct check c = {version, now, deadline, purge_check_untagged(t, version, now, deadline)};
    if (c.verdict == PURGE_DEAD || (ntags > 0 && is_older_than_tagged(t, version))) return PURGE_DEAD;
    for (unsigned i = 0; i < ntags; i++) {
        struct view v = look(t, tags[i]);
        if (check_one(&c, &v)) return PURGE_DEAD;
    }
    if (ntags > 1 && sync_load_acq(&t->conj_seq) > version) each_conjunction(t, version, tags, ntags, check_one, &c);
    return c.verdict;
}

/* As check_one, for what concerns tags that the item does not carry: a purge of them that has been forgotten was not
 * carried out on it. */
static bool check_read_one(void *arg, const struct view *v) {
    struct view w = *v;
    if (w.fill_floor > w.item_floor && !FAULT_POINT("purge.mutate.read_swept")) w.item_floor = w.fill_floor;
    return check_one(arg, &w);
}

enum purge_verdict purge_check_read(const struct purge_table *t, uint64_t version, uint64_t others,
                                    const uint64_t *tags, unsigned nown, unsigned ntags, uint32_t now,
                                    uint32_t *deadline) {
    struct check c = {version, now, deadline, purge_check(t, version, tags, nown, now, deadline)};
    if (c.verdict == PURGE_DEAD || ntags == nown) return c.verdict;
    c.version = version = others;
    if (is_older_than_tagged(t, version)) return PURGE_DEAD;
    for (unsigned i = nown; i < ntags; i++) {
        struct view v = look(t, tags[i]);
        if (check_read_one(&c, &v)) return PURGE_DEAD;
    }
    /* Conjunctions that could not be filed are in no sweep's reach either. */
    if (ntags > 2 && sync_load_acq(&t->fence) > version) return PURGE_DEAD;
    if (ntags > 1 && sync_load_acq(&t->conj_seq) > version)
        each_conjunction(t, version, tags, ntags, check_read_one, &c);
    return c.verdict;
}

static bool view_overtook(void *arg, const struct view *v) {
    const uint64_t version = *(const uint64_t *)arg;
    return (v->hard & PURGE_PENDING) || PURGE_VERSION(v->hard) > version || v->soft > version ||
           v->fill_floor > version;
}

bool purge_overtook(const struct purge_table *t, uint64_t version, const uint64_t *tags, unsigned ntags,
                    const uint64_t *carried, unsigned ncarried) {
    struct view star = {.hard = sync_load_acq(&t->star_hard), .soft = sync_load_acq(&t->star_soft)};
    const struct view tagged = {.hard = sync_load_acq(&t->tagged)};
    if (view_overtook(&version, &star)) return true;
    if (ntags > 0 && (view_overtook(&version, &tagged) || sync_load_acq(&t->fence) > version)) return true;
    for (unsigned i = 0; i < ntags; i++) {
        struct view v = look(t, tags[i]);
        /* A live item that carries the tag shows that no purge of the tag came after it. */
        for (unsigned k = 0; k < ncarried; k++)
            if (carried[k] == tags[i]) v.fill_floor = 0;
        if (view_overtook(&version, &v)) return true;
    }
    /* conj_seq is announced as pending too, so a conjunction under way is never overlooked. */
    if (ntags > 1 && sync_load_acq(&t->conj_seq) > version)
        return each_conjunction(t, version, tags, ntags, view_overtook, &version);
    return false;
}

/* ------------------------------------------------------------------ passes of the sweeper */

/* A purge under way keeps the mutex, also for as long as a test holds it; then the generation simply goes on. */
static bool try_lock(struct purge_table *t) {
    for (unsigned i = 0; i < TURNS; i++) {
        if (pthread_mutex_trylock(&t->lock) == 0) return true;
        sync_pause();
    }
    return false;
}

uint64_t purge_pass(struct purge_table *t) {
    if (t->ending || !try_lock(t)) return sync_load_acq(&t->seq);
    t->fresh ^= 1;
    t->ending = true;
    const uint64_t version = t->seq;
    t->pass = version;
    sync_bump(&t->unswept[1], t->unswept[0]);
    sync_store(&t->unswept[0], 0);
    pthread_mutex_unlock(&t->lock);
    return version;
}

/* Nobody else writes to that generation, so this may take its time. Words without a bit are not touched. */
void purge_filter_clear(struct purge_table *t) {
    const unsigned old = t->fresh ^ 1;
    for (uint32_t i = 0; t->ending && i < t->nfilter; i++)
        if (sync_load(&t->filter[i].of[old]) != 0) sync_store(&t->filter[i].of[old], 0);
    if (t->ending) sync_store(&t->unswept[1], 0);
    t->ending = false;
}

void purge_swept(struct purge_table *t, uint64_t version, bool no_jobs) {
    if (version > t->swept) sync_store_rel(&t->swept, version);
    if (no_jobs) sync_store_rel(&t->unfiled, 0);
}
