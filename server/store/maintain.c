/* SPDX-License-Identifier: BSD-3-Clause
 *
 * maintain - the store's own thread: frees segments ahead of need, resizes the index, sweeps. Everything it does comes
 * in steps of one segment or a few index groups, so that what is urgent never waits long. */
#define _GNU_SOURCE
#include "store/maintain.h"

#include <errno.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/sync.h"
#include "store/compact.h"
#include "store/erase.h"
#include "store/evict.h"
#include "store/ghost.h"
#include "store/handle.h"
#include "store/index.h"
#include "store/retire.h"
#include "store/seconds.h"
#include "store/segment.h"
#include "store/state.h"
#include "store/sweep.h"
#include "store/turn.h"
#include "store/wake.h"

#define SPLITS_PER_ROUND 128
#define SHRINK_NUM 112      /* items for each hundred slots of the index, below which it shrinks */
#define IDLE_NS 62500000ull /* how long it sleeps after a round with nothing to do; then twice as long each round */
#define DOUBLINGS_IDLE 5    /* up to 2 s */
#define GRACE_NS 50000ull   /* the same while it waits for other threads: */
#define DOUBLINGS_WANTED 7  /* up to 6 ms while somebody waits for a segment, */
#define DOUBLINGS_LOOK 11   /* up to 0.1 s for a purge or the turn of an upload, */
#define DOUBLINGS_MAX 15    /* up to 1.6 s for anything else */
#define WORK_MAX 64         /* eviction steps of one round */
#define EXHAUSTED_NS 500000000ull /* no segment became free for so long, */
#define EXHAUSTED_ROUNDS 16       /* and so many rounds: there is none to be had */

/* How many segments the limit leaves after everything else. True if that is more than before. */
static bool update_limits(struct store *s) {
    uint64_t other = index_bytes(&s->ix) + ghost_bytes(&s->ghost) + sync_load(&s->purge.touched),
             limit = sync_load(&s->limit);
    uint64_t left = limit > other ? limit - other : 0;
    uint32_t n = (uint32_t)(left / s->segs.bytes), least = maintain_segments_least(s->nhandles);
    if (n < least) n = least;
    if (n > s->segs.max) n = s->segs.max;
    bool more = n > sync_load(&s->segs.limit);
    sync_store(&s->segs.limit, n);
    s->maintain.items = store_items(s);
    return more;
}

static bool resize_index(struct store *s) {
    bool any = false;
    const uint64_t items = s->maintain.items;
    for (unsigned i = 0; i < SPLITS_PER_ROUND; i++) {
        if (index_to_grow(&s->ix, items)) {
            if (!index_split(&s->ix)) break;
            COUNT(maintenance(s), index_splits, 1);
        } else if (items * 100 < s->ix.groups * INDEX_GROUP_SLOTS * SHRINK_NUM) {
            if (!index_merge(&s->ix)) break;
            COUNT(maintenance(s), index_merges, 1);
            s->maintain.merged_at = epoch_advance(&s->epoch);
        } else {
            break;
        }
        any = true;
    }
    if (sync_exchange(&s->index_waits, false)) wake_waiting(s);
    if (s->maintain.merged_at && !any && epoch_passed(&s->epoch, s->maintain.merged_at)) {
        index_release(&s->ix);
        s->maintain.merged_at = 0;
    }
    return any;
}

static uint32_t target_free(const struct store *s) {
    uint32_t wanted = sync_load(&s->segments_wanted), usual = s->cfg.workers + 1;
    return wanted > usual ? wanted : usual;
}

/* Whether somebody who asks for a segment now may be told that there is none. */
static bool pressed(const struct store *s) {
    return segment_available(&s->segs) < target_free(s);
}

/* Free, and soon to be free: a pinned one may stay so for any time. */
static uint32_t coming(const struct store *s) {
    return segment_available(&s->segs) + s->maintain.retire.list.count - s->maintain.retire.stuck;
}

/* Segments without a live record are used again before ones that were never used: nothing is moved for it, they need no
 * new pages, and what is overwritten again and again stays in the caches. */
static bool reuse_dead(struct store *s) {
    const struct retire *retired = &s->maintain.retire;
    const uint32_t ready = sync_load(&s->segs.free.count) + retired->list.count - retired->stuck;
    if (ready >= target_free(s) || FAULT_POINT("evict.mutate.no_reuse")) return false;
    if (compact_free_dead(s)) return true;
    epoch_advance(&s->epoch); /* what was sealed since the last grace period can be looked at in the next round */
    return false;
}

/* *freed: segments became free meanwhile, which somebody may wait for. */
static bool free_segments(struct store *s, bool *freed) {
    bool any = reuse_dead(s);
    uint32_t exist = sync_load(&s->segs.exist), limit = sync_load(&s->segs.limit);
    uint32_t over = exist > limit ? exist - limit : 0; /* the limit fell: these have to go */
    for (unsigned i = 0; i < WORK_MAX && coming(s) < target_free(s) + over; i++) {
        bool ok = compact_free_dead(s) || compact_one(s) || (s->cfg.evict && evict_one(s));
        if (!ok) break;
        any = true;
        *freed |= retire_reap(s);
        /* Who waits for one segment is told at once; who needs many at once would only use up the first of them in
         * vain. */
        if (*freed && segment_available(&s->segs) >= sync_load(&s->segments_wanted)) break;
    }
    return any;
}

/* A ghost table that was replaced is freed after a grace period. */
static void reap_ghost(struct store *s) {
    if (s->ghost.dead == NULL) return;
    if (s->maintain.ghost_grace == 0) {
        s->maintain.ghost_grace = epoch_advance(&s->epoch);
    } else if (epoch_passed(&s->epoch, s->maintain.ghost_grace)) {
        ghost_reap(&s->ghost);
        s->maintain.ghost_grace = 0;
    }
}

/* The check that maintenance makes progress (README.md, "Progress"): when no segment became free for half a second
 * though some are wanted, stores that need one are refused, until one does. */
static void watch_progress(struct store *s, bool freed) {
    if (freed || !pressed(s) || !s->cfg.evict) {
        s->maintain.starved_rounds = 0;
        sync_store(&s->exhausted, false);
        return;
    }
    uint64_t now = clock_boot_ns(s->cfg.clock);
    if (s->maintain.starved_rounds++ == 0) s->maintain.starved_ns = now;
    if (sync_load(&s->exhausted) || s->maintain.starved_rounds < EXHAUSTED_ROUNDS ||
        now - s->maintain.starved_ns < EXHAUSTED_NS)
        return;
    COUNT(maintenance(s), room_exhausted, 1);
    sync_store(&s->segments_wanted, 0);
    sync_store(&s->exhausted, true);
    wake_waiting(s); /* those who wait are refused when they try again */
}

bool store_maintain(struct store *s) {
    struct store_worker *w = maintenance(s);
    w->now = seconds_now(s);
    bool freed = update_limits(s);
    freed |= retire_reap(s);
    bool any = free_segments(s, &freed);
    freed |= retire_reap(s);
    if (freed) wake_waiting(s);
    if (sync_load(&s->segments_wanted) && segment_available(&s->segs) >= sync_load(&s->segments_wanted))
        sync_store(&s->segments_wanted, 0);
    watch_progress(s, freed);
    any |= resize_index(s);
    reap_ghost(s);
    s->maintain.uploads_wait = turn_look(w);
    sweep_index(s);
    const uint64_t passes = w->metrics[STORE_METRIC_sweep_passes];
    any |= sweep_step(s, pressed(s) && sync_load(&s->segment_missed));
    any |= erase_step(s);
    /* A whole pass for those who found no free segment; a second one would find no more. */
    if (passes != w->metrics[STORE_METRIC_sweep_passes]) sync_store(&s->segment_missed, false);
    return any || freed;
}

void store_sweep_all(struct store *s) {
    maintenance(s)->now = seconds_now(s);
    uint64_t passes = store_metric(s, STORE_METRIC_sweep_passes);
    /* The pass under way began too early; a whole one has to follow. */
    uint64_t want = passes + (s->maintain.sweep.active ? 2 : 1);
    while (store_metric(s, STORE_METRIC_sweep_passes) < want) sweep_step(s, true);
    while (compact_free_dead(s)) {}
    retire_reap(s);
}

/* ------------------------------------------------------------------ the thread */

static void wait_ns(struct store *s, uint64_t ns) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    ns += (uint64_t)t.tv_nsec;
    t.tv_sec += (time_t)(ns / 1000000000ull);
    t.tv_nsec = (long)(ns % 1000000000ull);
    pthread_mutex_lock(&s->thread.mutex);
    sync_store_seq(&s->thread.sleeping, true);
    if (!sync_load_seq(&s->thread.woken) && !s->thread.stop)
        pthread_cond_timedwait(&s->thread.wake, &s->thread.mutex, &t);
    sync_store_seq(&s->thread.sleeping, false);
    pthread_mutex_unlock(&s->thread.mutex);
}

/* Whether something waits for others to leave their sections, or to give back what they have pinned. */
static bool awaits_others(const struct store *s) {
    return s->maintain.retire.list.count > s->maintain.retire.stuck || s->maintain.merged_at != 0 ||
           s->maintain.ghost_grace != 0 || pressed(s) ||
           (s->maintain.sweep.active && s->maintain.sweep.next_ns <= clock_boot_ns(s->cfg.clock)) ||
           erase_due_ns(s) <= clock_boot_ns(s->cfg.clock);
}

/* What is waited for round after round is looked at ever more seldom: a pin, or a thread that is not running, may keep
 * it for any time. So is what nobody tells of: items that were added or deleted since it was last woken. */
uint64_t maintain_idle_ns(struct store *s) {
    const unsigned rounds = s->maintain.idle_rounds++;
    unsigned most = DOUBLINGS_MAX;
    if (sweep_urgent(s) || s->maintain.sweep.jobs || s->maintain.uploads_wait || erase_urgent(s)) most = DOUBLINGS_LOOK;
    if (pressed(s) && s->cfg.evict && !sync_load(&s->exhausted)) most = DOUBLINGS_WANTED;
    uint64_t ns = IDLE_NS << (rounds < DOUBLINGS_IDLE ? rounds : DOUBLINGS_IDLE);
    if (most < DOUBLINGS_MAX || awaits_others(s)) ns = GRACE_NS << (rounds < most ? rounds : most);
    const uint64_t now = clock_boot_ns(s->cfg.clock), swept = sweep_due_ns(s, now), erased = erase_due_ns(s);
    const uint64_t due = swept < erased ? swept : erased;
    if (due > now && due - now < ns) ns = due - now;
    return ns;
}

static void *thread_main(void *arg) {
    struct store *s = arg;
    pthread_mutex_lock(&s->thread.mutex);
    while (!s->thread.stop) {
        pthread_mutex_unlock(&s->thread.mutex);
        if (sync_load(&s->thread.woken)) s->maintain.idle_rounds = 0;
        sync_store_seq(&s->thread.woken, false);
        if (store_maintain(s))
            s->maintain.idle_rounds = 0;
        else
            wait_ns(s, maintain_idle_ns(s));
        pthread_mutex_lock(&s->thread.mutex);
    }
    pthread_mutex_unlock(&s->thread.mutex);
    return NULL;
}

int store_start(struct store *s) {
    CHECK(!s->thread.started);
    s->thread.stop = false;
    int err = pthread_create(&s->thread.thread, NULL, thread_main, s);
    if (err) return -err;
    pthread_setname_np(s->thread.thread, "tc-store");
    s->thread.started = true;
    return 0;
}

void store_stop(struct store *s) {
    if (!s->thread.started) return;
    pthread_mutex_lock(&s->thread.mutex);
    s->thread.stop = true;
    pthread_cond_signal(&s->thread.wake);
    pthread_mutex_unlock(&s->thread.mutex);
    pthread_join(s->thread.thread, NULL);
    s->thread.started = false;
}
