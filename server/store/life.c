/* SPDX-License-Identifier: BSD-3-Clause
 *
 * life - making and freeing a store, and what is set while it lives. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/pages.h"
#include "base/sync.h"
#include "store/age.h"
#include "store/cold.h"
#include "store/compact.h"
#include "store/erase.h"
#include "store/ghost.h"
#include "store/handle.h"
#include "store/index.h"
#include "store/item.h"
#include "store/job.h"
#include "store/maintain.h"
#include "store/number.h"
#include "store/purge.h"
#include "store/retire.h"
#include "store/seconds.h"
#include "store/segment.h"
#include "store/state.h"
#include "store/store.h"
#include "store/wake.h"

#define PURGE_BYTES_ENOUGH ((64ull << 20) / 25)
#define ITEM_MIN_BYTES 32
#define TAIL_BYTES 600
#define NOTHING_OPEN ((struct opened){.segment = SEGMENT_NONE, .next = SEGMENT_NONE})

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
    retire_init(&s->maintain.retire);
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
    if (!err) err = erase_init(s);
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
    job_end(s, s->maintain.sweep.jobs);
    job_end(s, s->jobs);
    erase_fini(s);
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

void store_watch_evictions(struct store *s, bool on) {
    sync_store(&s->watch_evictions, on);
}
