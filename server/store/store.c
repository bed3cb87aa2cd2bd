/* SPDX-License-Identifier: BSD-3-Clause
 *
 * store - life, sections, time and the view from outside. */
#define _GNU_SOURCE
#include "store/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/fault.h"
#include "base/pages.h"
#include "base/sync.h"
#include "store/age.h"
#include "store/cold.h"
#include "store/compact.h"
#include "store/ghost.h"
#include "store/handle.h"
#include "store/index.h"
#include "store/item.h"
#include "store/maintain.h"
#include "store/number.h"
#include "store/purge.h"
#include "store/purging.h"
#include "store/record.h"
#include "store/seconds.h"
#include "store/segment.h"
#include "store/state.h"
#include "store/verdict.h"
#include "store/wake.h"

#define PURGE_BYTES_ENOUGH ((64ull << 20) / 25)
#define ITEM_MIN_BYTES 32
#define TAIL_BYTES 600
#define NOTHING_OPEN ((struct opened){.segment = SEGMENT_NONE, .next = SEGMENT_NONE})

/* ------------------------------------------------------------------ life */

/* Segments lose memory in two ways. About 5/2 of them a worker, and 3/2 more, are open or free. Each of the others has
 * an unused end, since its next record did not fit: half a record on average, weighted by size (1.7 KB where sizes vary
 * much). Returns the largest power of two for which the first loss is not above the second. */
static uint32_t segment_bytes_for(uint64_t limit, unsigned workers) {
    uint32_t n = SEGMENT_MAX;
    while (n > SEGMENT_MIN && (uint64_t)n * n * (5 * workers + 3) / 2 > limit * TAIL_BYTES) n >>= 1;
    return n;
}

/* Room for 65,536 purges that no sweep has carried out yet, from 64 MiB on; a small store has fewer items to sweep.
 * What is not used of it is not resident, and does not count. */
static uint64_t purge_bytes_for(uint64_t limit) {
    const uint64_t enough = PURGE_BYTES_ENOUGH;
    if (limit < 64ull << 20) return limit / 32;
    return limit / 100 > enough ? limit / 100 : enough;
}

static int make_handles(struct store *s) {
    const unsigned n = s->nhandles;
    size_t bytes = n * sizeof *s->handles, records = n * sizeof *s->records;
    s->handles = aligned_alloc(64, bytes);
    s->records = aligned_alloc(64, records);
    if (s->handles == NULL || s->records == NULL) return -ENOMEM;
    memset(s->handles, 0, bytes);
    memset(s->records, 0, records);
    epoch_init(&s->epoch, s->records, n, &s->records[s->cfg.workers]);
    for (unsigned i = 0; i < n; i++) {
        struct store_worker *w = &s->handles[i];
        w->s = s;
        w->epoch = &s->records[i];
        w->index = i;
        w->open = NOTHING_OPEN;
        w->pins = pages_new(s->segs.max * sizeof *w->pins);
        w->dead = pages_new(s->segs.max * sizeof *w->dead);
        if (w->pins == NULL || w->dead == NULL) return -ENOMEM;
    }
    return 0;
}

static void init_locks(struct store *s) {
    pthread_condattr_t mono;
    pthread_mutex_init(&s->thread.mutex, NULL);
    pthread_mutex_init(&s->jobs_lock, NULL);
    pthread_mutex_init(&s->uploads_lock, NULL);
    pthread_condattr_init(&mono);
    pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
    pthread_cond_init(&s->thread.wake, &mono);
    pthread_condattr_destroy(&mono);
}

int store_new(const struct store_config *cfg, struct store **out) {
    const unsigned handles = cfg->handles ? cfg->handles : cfg->workers;
    if (cfg->memory_limit < 1u << 20 || cfg->workers < 1 || cfg->workers > 1024 || handles < cfg->workers ||
        handles > 2048 || cfg->clock == NULL)
        return -EINVAL;
    struct store *s = aligned_alloc(64, (sizeof *s + 63) / 64 * 64);
    if (s == NULL) return -ENOMEM;
    memset(s, 0, sizeof *s);
    s->cfg = *cfg;
    s->nhandles = handles + 1;
    s->limit = cfg->memory_limit;
    if (s->cfg.sweep_cpu_percent == 0) s->cfg.sweep_cpu_percent = 5;
    if (s->cfg.relative_ttl_max == 0) s->cfg.relative_ttl_max = STORE_RELATIVE_TTL_MAX_S;
    s->number = s->number_first = cfg->seed % (1ull << 47) + NUMBER_BLOCK;
    s->purge.seq = 0;
    s->start_ns = s->maintain.sweep.progress_ns = clock_boot_ns(cfg->clock);
    s->main_open.open = s->upload_open.open = NOTHING_OPEN;
    compact_init(&s->maintain.compact);
    cold_init(&s->maintain.cold);
    init_locks(s);
    TAILQ_INIT(&s->uploads_waiting);
    TAILQ_INIT(&s->uploads_under_way);
    ghost_init(&s->ghost);
    uint32_t bytes = segment_bytes_for(cfg->memory_limit, cfg->workers);
    s->inline_max = bytes / 4 < ITEM_INLINE_MAX ? bytes / 4 : ITEM_INLINE_MAX;
    /* The limit may be raised later: address space for four times as much. */
    uint64_t space = cfg->memory_limit * 4, least = (uint64_t)maintain_segments_least(s->nhandles) * bytes;
    int err = segments_init(&s->segs, space > least ? space : least, bytes, cfg->hugepages);
    if (!err)
        err = index_init(&s->ix, cfg->memory_limit / 256 / 9, cfg->memory_limit * 4 / ITEM_MIN_BYTES, cfg->hugepages);
    if (!err) err = purge_init(&s->purge, purge_bytes_for(cfg->memory_limit));
    if (!err) err = age_init(&s->ages, SECONDS_FIRST, s->number);
    if (!err) err = make_handles(s);
    if (err) {
        store_free(s);
        return err;
    }
    (void)store_set_limit(s, cfg->memory_limit);
    s->segs.limit = (uint32_t)(cfg->memory_limit / bytes);
    *out = s;
    return 0;
}

void store_free(struct store *s) {
    if (s == NULL) return;
    CHECK(!s->thread.started);
    purging_end_jobs(s, s->maintain.sweep.jobs);
    purging_end_jobs(s, s->jobs);
    for (unsigned i = 0; s->handles && i < s->nhandles; i++) {
        pages_free(s->handles[i].pins, s->segs.max * sizeof *s->handles[i].pins);
        pages_free(s->handles[i].dead, s->segs.max * sizeof *s->handles[i].dead);
    }
    free(s->handles);
    free(s->records);
    purge_fini(&s->purge);
    age_fini(&s->ages);
    ghost_fini(&s->ghost);
    index_fini(&s->ix);
    segments_fini(&s->segs);
    pthread_mutex_destroy(&s->thread.mutex);
    pthread_mutex_destroy(&s->jobs_lock);
    pthread_mutex_destroy(&s->uploads_lock);
    pthread_cond_destroy(&s->thread.wake);
    free(s);
}

struct store_worker *store_worker(struct store *s, unsigned i) {
    CHECK(i < s->nhandles - 1); /* the last one is the maintenance thread's */
    return &s->handles[i];
}

bool store_set_limit(struct store *s, uint64_t bytes) {
    if (bytes < 1u << 20 || bytes > (uint64_t)s->segs.max * s->segs.bytes) return false;
    sync_store(&s->limit, bytes);
    wake_maintenance(s);
    return true;
}

/* ------------------------------------------------------------------ time and sections */

/* Carries out a flush whose time has come. One thread does; the others wait for the mutex, since nobody may read what
 * the flush takes out, and then find it done. A second flush would take out what was stored meanwhile, too. */
static void flush_due(struct store_worker *w) {
    struct store *s = w->s;
    struct store_selector all = {.all = true};
    struct purge_plan plan;
    (void)FAULT_POINT("store.flush_due");
    pthread_mutex_lock(&s->purge.lock);
    uint32_t at = sync_load(&s->flush_at);
    if ((at != 0 && at <= w->now) || FAULT_POINT("store.mutate.flush_again")) {
        bool placed = purge_prepare(&s->purge, &all, 1, &plan); /* it has a place of its own */
        CHECK(placed);
        purge_commit(&s->purge, &s->number, &plan, false, 0, w->now, NULL);
        (void)sync_cas(&s->flush_at, &at, 0);
        COUNT(w, purges, 1);
    }
    pthread_mutex_unlock(&s->purge.lock);
}

void store_enter(struct store_worker *w) {
    CHECK(!w->inside);
    seconds_read(w);
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
    if (!w->inside) seconds_read(w);
    int64_t rel = exptime;
    if (exptime > w->s->cfg.relative_ttl_max) rel = exptime - clock_wall_s(w->s->cfg.clock);
    if (rel <= 0) return STORE_EXPIRED;
    /* Of the present second, part has passed: only the end of the one after `rel` whole ones is late enough. */
    uint64_t at = (uint64_t)w->now + (uint64_t)rel + 1;
    return at < UINT32_MAX ? (uint32_t)at : UINT32_MAX - 1;
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
            enum verdict v = verdict_of(w, &it, &deadline);
            if (v > VERDICT_SOFT) continue;
            record_show(header, p, loc, &view);
            view.soft |= v == VERDICT_SOFT;
            if (!fn(arg, &view)) return false;
            ++*shown;
        }
    }
    return true;
}

/* Walks row by row: a row is the groups whose numbers are equal modulo min_groups, and splits and merges move items
 * only within one. In a row the walk goes upwards. A split moves items to a higher group: the walk is still to come
 * there, or it has shown them already. A merge may move items to a group behind the walk: then the row is walked once
 * more. */
void store_walk(struct store_worker *w, struct store_cursor *c, unsigned max,
                bool (*fn)(void *arg, const struct store_item *it), void *arg) {
    const struct index *ix = &w->s->ix;
    unsigned shown = 0;
    for (unsigned groups = 0; groups < 512 && shown < max; groups++) {
        if (c->group >= sync_load_acq(&ix->groups)) {
            uint64_t row = c->group % ix->min_groups, merges = sync_load_acq(&ix->merges);
            bool repeat = c->merges != merges && !FAULT_POINT("store.mutate.walk_once");
            c->merges = merges;
            c->group = repeat ? row : row + 1;
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
    for (unsigned i = 0; i < s->nhandles; i++) n += sync_load(&s->handles[i].metrics[m]);
    return n - sync_load(&s->reset[m]);
}

void store_metrics_reset(struct store *s) {
    for (unsigned m = 0; m < STORE_METRICS; m++) {
        /* The items and bytes held are differences of these: they are not reset. */
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
    g->purge_bytes = sync_load(&s->purge.touched);
    g->purge_entries = sync_load(&s->purge.entries);
    g->purge_capacity = purge_capacity(&s->purge);
    g->purge_unswept = sync_load(&s->purge.unswept[0]) + sync_load(&s->purge.unswept[1]);
    g->purge_floors = sync_load(&s->purge.floors);
    g->number = store_number(s);
    g->purge_number = sync_load(&s->purge.seq);
    uint32_t now = seconds_now(s), oldest = now;
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
