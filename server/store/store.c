/* SPDX-License-Identifier: BSD-3-Clause
 *
 * store - life, sections, time, purges and the view from outside. */
#define _GNU_SOURCE
#include "store/store.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/pages.h"
#include "store/internal.h"

#define PURGE_BYTES_MIN (256u << 10)
#define RELATIVE_MAX (60 * 60 * 24 * 30)
#define CLOCK_BASE 2u /* the first second: 0 means never and 1 has always passed */
#define ITEM_MIN_BYTES 32
#define TAIL_BYTES 600
#define NOTHING_OPEN ((struct opened){.segment = SEGMENT_NONE, .next = SEGMENT_NONE})

/* ------------------------------------------------------------------ life */

/* About 5/2 segments a worker and 3/2 more are open or free; of each of the others a tail is left that the next record
 * did not fit into, on average half a record as met by bytes (1.7 KB where sizes vary much). The largest power of two
 * at which the first does not outweigh the second. */
static uint32_t segment_bytes_for(uint64_t limit, unsigned workers) {
    uint32_t n = SEGMENT_MAX;
    while (n > SEGMENT_MIN && (uint64_t)n * n * (5 * workers + 3) / 2 > limit * TAIL_BYTES) n >>= 1;
    return n;
}

static int make_workers(struct store *s) {
    unsigned n = s->cfg.workers + 1;
    size_t bytes = n * sizeof *s->workers, records = n * sizeof *s->records;
    s->workers = aligned_alloc(64, bytes);
    s->records = aligned_alloc(64, records);
    if (s->workers == NULL || s->records == NULL) return -ENOMEM;
    memset(s->workers, 0, bytes);
    memset(s->records, 0, records);
    s->epoch.now = 1;
    s->epoch.records = s->records;
    s->epoch.nrecords = n;
    for (unsigned i = 0; i < n; i++) {
        struct store_worker *w = &s->workers[i];
        w->s = s;
        w->epoch = &s->records[i];
        w->index = i;
        w->open = NOTHING_OPEN;
        w->pins = pages_new(s->segs.max * sizeof *w->pins);
        if (w->pins == NULL) return -ENOMEM;
    }
    return 0;
}

static void init_locks(struct store *s) {
    pthread_condattr_t mono;
    pthread_mutex_init(&s->mutex, NULL);
    pthread_condattr_init(&mono);
    pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &mono);
    pthread_condattr_destroy(&mono);
    pthread_cond_init(&s->jobs_done, NULL);
}

int store_new(const struct store_config *cfg, struct store **out) {
    if (cfg->memory_limit < 1u << 20 || cfg->workers < 1 || cfg->workers > 1024 || cfg->clock == NULL) return -EINVAL;
    struct store *s = aligned_alloc(64, (sizeof *s + 63) / 64 * 64);
    if (s == NULL) return -ENOMEM;
    memset(s, 0, sizeof *s);
    s->cfg = *cfg;
    s->limit = cfg->memory_limit;
    if (s->cfg.sweep_cpu_percent == 0) s->cfg.sweep_cpu_percent = 5;
    s->number = s->number_first = cfg->seed % (1ull << 47) + NUMBER_BLOCK;
    s->purge.seq = 0;
    s->start_ns = clock_boot_ns(cfg->clock);
    s->main_open.open = s->upload_open.open = NOTHING_OPEN;
    s->compacting[SEGMENT_SMALL] = s->compacting[SEGMENT_MAIN] = SEGMENT_NONE;
    s->watched = s->tried = SEGMENT_NONE;
    s->retired.head = s->retired.tail = SEGMENT_NONE;
    init_locks(s);
    ghost_init(&s->ghost);
    uint32_t bytes = segment_bytes_for(cfg->memory_limit, cfg->workers);
    s->inline_max = bytes / 4 < ITEM_INLINE_MAX ? bytes / 4 : ITEM_INLINE_MAX;
    uint64_t purge_bytes = cfg->memory_limit / 100 > PURGE_BYTES_MIN ? cfg->memory_limit / 100 : PURGE_BYTES_MIN;
    /* The limit may be raised later: address space for four times as much. */
    uint64_t space = cfg->memory_limit * 4, least = (uint64_t)segments_least(cfg->workers) * bytes;
    int err = segments_init(&s->segs, space > least ? space : least, bytes, cfg->hugepages);
    if (!err)
        err = index_init(&s->ix, cfg->memory_limit / 256 / 9, cfg->memory_limit * 4 / ITEM_MIN_BYTES, cfg->hugepages);
    if (!err) err = purge_init(&s->purge, purge_bytes);
    if (!err) err = make_workers(s);
    if (err) {
        store_free(s);
        return err;
    }
    (void)store_set_limit(s, cfg->memory_limit);
    s->segs.limit = (uint32_t)((cfg->memory_limit - purge_bytes) / bytes);
    *out = s;
    return 0;
}

void store_free(struct store *s) {
    if (s == NULL) return;
    CHECK(!s->started);
    for (struct store_job *j = s->jobs, *next; j; j = next) {
        next = j->next;
        if (j->counted) free(j);
    }
    for (unsigned i = 0; s->workers && i <= s->cfg.workers; i++)
        pages_free(s->workers[i].pins, s->segs.max * sizeof *s->workers[i].pins);
    free(s->workers);
    free(s->records);
    purge_fini(&s->purge);
    ghost_fini(&s->ghost);
    index_fini(&s->ix);
    segments_fini(&s->segs);
    pthread_mutex_destroy(&s->mutex);
    pthread_cond_destroy(&s->wake);
    pthread_cond_destroy(&s->jobs_done);
    free(s);
}

struct store_worker *store_worker(struct store *s, unsigned i) {
    CHECK(i < s->cfg.workers);
    return &s->workers[i];
}

bool store_set_limit(struct store *s, uint64_t bytes) {
    if (bytes < 1u << 20 || bytes > (uint64_t)s->segs.max * s->segs.bytes) return false;
    sync_store(&s->limit, bytes);
    store_kick(s);
    return true;
}

/* ------------------------------------------------------------------ time and sections */

uint32_t store_clock(const struct store *s) {
    return (uint32_t)((clock_boot_ns(s->cfg.clock) - s->start_ns) / 1000000000ull) + CLOCK_BASE;
}

/* A flush whose time has come. One worker carries it out; the others wait for its mutex, for nobody may read past it,
 * and then find it done: a second one would take what was stored since. */
static void flush_due(struct store_worker *w) {
    struct store *s = w->s;
    struct store_selector all = {.all = true};
    bool sweep;
    (void)FAULT_POINT("store.flush_due");
    pthread_mutex_lock(&s->purge.lock);
    uint32_t at = sync_load(&s->flush_at);
    if ((at != 0 && at <= w->now) || FAULT_POINT("store.mutate.flush_again")) {
        purge_apply(&s->purge, &s->number, &all, false, 0, w->now, &sweep);
        (void)sync_cas(&s->flush_at, &at, 0);
        COUNT(w, purges, 1);
    }
    pthread_mutex_unlock(&s->purge.lock);
}

void store_enter(struct store_worker *w) {
    CHECK(!w->inside);
    w->now = store_clock(w->s);
    uint32_t at = sync_load_acq(&w->s->flush_at);
    if (unlikely(at != 0 && at <= w->now)) flush_due(w);
    w->inside = true;
    epoch_enter(&w->s->epoch, w->epoch);
}

void store_leave(struct store_worker *w) {
    CHECK(w->inside);
    epoch_leave(w->epoch);
    w->inside = false;
}

uint32_t store_now(const struct store_worker *w) {
    return w->now;
}

uint32_t store_expiry(struct store_worker *w, int64_t exptime) {
    if (exptime == 0) return 0;
    if (exptime < 0) return STORE_EXPIRED;
    if (!w->inside) w->now = store_clock(w->s);
    int64_t rel = exptime;
    if (exptime > RELATIVE_MAX) rel = exptime - clock_wall_s(w->s->cfg.clock);
    if (rel <= 0) return STORE_EXPIRED;
    uint64_t at = (uint64_t)w->now + (uint64_t)rel;
    return at < UINT32_MAX ? (uint32_t)at : UINT32_MAX - 1;
}

/* ------------------------------------------------------------------ purging */

/* Lists a job for the next pass of the sweep. */
static void list_job(struct store *s, struct store_job *job, const struct store_selector *sel, uint64_t number) {
    job->selector = *sel;
    job->number = number;
    pthread_mutex_lock(&s->mutex);
    job->next = s->jobs;
    sync_store_rel(&s->jobs, job);
    pthread_mutex_unlock(&s->mutex);
}

/* Waits for the sweep that takes out what the table cannot name. */
static void wait_for_job(struct store *s, const bool *done) {
    pthread_mutex_lock(&s->mutex);
    bool threaded = s->started;
    pthread_mutex_unlock(&s->mutex);
    if (!threaded) {
        store_sweep_all(s);
        return;
    }
    store_kick(s);
    pthread_mutex_lock(&s->mutex);
    while (!*done) pthread_cond_wait(&s->jobs_done, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
}

/* Applies one selector. The job is listed if it counts, or if the table could not file the purge (*sweep): before the
 * purge's mutex is free again, so that a pass that begins with this purge's number also has the job. */
static uint64_t purge_one(struct store_worker *w, const struct store_selector *sel, const struct store_purge *p,
                          struct store_job *job, bool *sweep) {
    struct store *s = w->s;
    uint32_t now = store_clock(s);
    uint32_t deadline = now + (p->soft_ttl_s ? p->soft_ttl_s : STORE_SOFT_TTL_S);
    if (deadline < now) deadline = UINT32_MAX - 1;
    pthread_mutex_lock(&s->purge.lock);
    uint64_t number = purge_apply(&s->purge, &s->number, sel, p->soft, deadline, now, sweep);
    (void)FAULT_POINT("store.purge.applied");
    if (job && (*sweep || job->counted)) list_job(s, job, sel, number);
    pthread_mutex_unlock(&s->purge.lock);
    if (p->soft)
        COUNT(w, purges_soft, 1);
    else
        COUNT(w, purges, 1);
    return number;
}

uint64_t store_purge(struct store_worker *w, const struct store_purge *p) {
    CHECK(!w->inside);
    uint64_t number = 0;
    for (unsigned i = 0; i < p->nselectors; i++) {
        bool sweep, done = false;
        struct store_job job;
        job.counted = false;
        job.removed = 0;
        job.done = &done;
        number = purge_one(w, &p->selectors[i], p, &job, &sweep);
        if (sweep) wait_for_job(w->s, &done);
    }
    return number;
}

uint64_t store_purge_counted(struct store_worker *w, const struct store_purge *p, void *token) {
    CHECK(!w->inside);
    CHECK(p->nselectors == 1);
    struct store *s = w->s;
    struct store_job *job = calloc(1, sizeof *job);
    bool sweep;
    if (job == NULL) {
        /* The purge holds; only the count is not to be had. */
        uint64_t number = store_purge(w, p);
        if (s->cfg.events.on_job) s->cfg.events.on_job(s->cfg.events.arg, token, -1);
        return number;
    }
    job->counted = true;
    job->token = token;
    sync_add_acqrel(&s->counting, 1);
    uint64_t number = purge_one(w, &p->selectors[0], p, job, &sweep);
    sync_sub_rel(&s->counting, 1);
    store_kick(s);
    return number;
}

void store_flush_at(struct store_worker *w, uint32_t at) {
    struct store_selector all = {.all = true};
    struct store_purge p = {.selectors = &all, .nselectors = 1};
    if (at > store_clock(w->s)) {
        sync_store_rel(&w->s->flush_at, at);
        return;
    }
    sync_store_rel(&w->s->flush_at, 0);
    store_purge(w, &p);
}

/* ------------------------------------------------------------------ looking around */

/* Shows the live items of one group; false if fn wants no more. */
static bool show_group(struct store_worker *w, uint64_t group, unsigned *shown,
                       bool (*fn)(void *arg, const struct store_item *it), void *arg) {
    struct store *s = w->s;
    uint64_t slots[INDEX_SLOTS + INDEX_OVERFLOW_MAX];
    for (unsigned i = 0; i < INDEX_BUCKETS; i++) {
        unsigned n = index_collect_locked(&s->ix, group, i, slots);
        for (unsigned k = 0; k < n; k++) {
            struct item it;
            struct store_item view;
            uint8_t header[32];
            uint32_t deadline;
            uint64_t loc = index_slot_loc(slots[k]);
            uint8_t *p = segment_at(&s->segs, loc);
            item_copy_header(header, p);
            item_decode(&it, header, p);
            enum verdict v = item_verdict(w, &it, &deadline);
            if (v > ITEM_SOFTLY) continue;
            item_show(header, p, loc, &view);
            view.soft |= v == ITEM_SOFTLY;
            if (!fn(arg, &view)) return false;
            ++*shown;
        }
    }
    return true;
}

/* Groups that splits and merges pass items between are walked one after the other, upwards: what a split moves goes
 * ahead of the walk, or has been shown. A merge may carry items back behind it: then that row is walked once more. */
void store_walk(struct store_worker *w, struct store_cursor *c, unsigned max,
                bool (*fn)(void *arg, const struct store_item *it), void *arg) {
    const struct index *ix = &w->s->ix;
    unsigned shown = 0;
    for (unsigned groups = 0; groups < 512 && shown < max; groups++) {
        if (c->group >= sync_load_acq(&ix->groups)) {
            uint64_t row = c->group % ix->min_groups, merges = sync_load_acq(&ix->merges);
            bool again = c->merges != merges && !FAULT_POINT("store.mutate.walk_once");
            c->merges = merges;
            c->group = again ? row : row + 1;
            if (c->group == ix->min_groups) {
                c->done = true;
                return;
            }
        }
        if (c->group < ix->min_groups && !c->begun) c->merges = sync_load_acq(&ix->merges);
        c->begun = true;
        if (!show_group(w, c->group, &shown, fn, arg)) return;
        c->group += ix->min_groups;
    }
}

uint64_t store_metric(const struct store *s, enum store_metric m) {
    uint64_t n = 0;
    for (unsigned i = 0; i <= s->cfg.workers; i++) n += sync_load(&s->workers[i].metrics[m]);
    return n - sync_load(&s->reset[m]);
}

void store_metrics_reset(struct store *s) {
    for (unsigned m = 0; m < STORE_METRICS; m++) {
        /* The balance of items and bytes must go on. */
        if (m <= STORE_METRIC_bytes_removed) continue;
        sync_store(&s->reset[m], store_metric(s, m) + sync_load(&s->reset[m]));
    }
}

void store_gauges(const struct store *s, struct store_gauges *g) {
    memset(g, 0, sizeof *g);
    const struct segments *segs = &s->segs;
    g->items = store_metric(s, STORE_METRIC_items_added) - store_metric(s, STORE_METRIC_items_removed);
    g->bytes = store_metric(s, STORE_METRIC_bytes_added) - store_metric(s, STORE_METRIC_bytes_removed);
    g->limit_bytes = sync_load(&s->limit);
    g->segment_bytes = segs->bytes;
    g->segments = sync_load(&segs->exist);
    g->segments_free = segment_available(segs);
    g->segments_small = sync_load(&segs->queues[SEGMENT_SMALL].count);
    g->segments_main = sync_load(&segs->queues[SEGMENT_MAIN].count);
    g->segments_pinned = sync_load(&s->pinned);
    g->index_bytes = index_bytes(&s->ix);
    g->index_groups = sync_load(&s->ix.groups);
    g->index_depth = 63 - (unsigned)__builtin_clzll(g->index_groups);
    g->ghost_bytes = ghost_bytes(&s->ghost);
    g->purge_bytes = s->purge.bytes;
    g->purge_entries = sync_load(&s->purge.entries);
    g->purge_capacity = (uint64_t)s->purge.nbuckets * PURGE_WAYS;
    g->purge_floors = sync_load(&s->purge.floors);
    g->number = store_number(s);
    g->purge_number = sync_load(&s->purge.seq);
    uint32_t now = store_clock(s), oldest = now;
    for (uint32_t i = 0, n = sync_load(&segs->touched); i < n; i++) {
        uint32_t opened = sync_load(&segs->seg[i].opened);
        if (sync_load(&segs->seg[i].state) == SEGMENT_SEALED && opened < oldest) oldest = opened;
    }
    g->oldest_age_s = now - oldest;
    g->uploads = sync_load(&s->uploads);
    g->growing = g->items * 100 > g->index_groups * INDEX_GROUP_SLOTS * 100;
}

void store_watch_evictions(struct store *s, bool on) {
    sync_store(&s->watch_evictions, on);
}
