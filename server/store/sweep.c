/* SPDX-License-Identifier: BSD-3-Clause
 * sweep - takes out the expired and purged items that nobody asks for, writes soft purges into items, packs the index.
 * One segment a step, at a bounded share of one core. Maintenance thread.
 *
 * A pass that began after the grace period following version p has met every item below p: a store is one section from
 * its version to its link, and items that move meanwhile are checked as they move. So when it ends, every purge up
 * to p has been carried out and the table may let go of it. */
#include "store/sweep.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/sync.h"
#include "store/change.h"
#include "store/erase.h"
#include "store/handle.h"
#include "store/index.h"
#include "store/item.h"
#include "store/job.h"
#include "store/purge.h"
#include "store/seconds.h"
#include "store/segment.h"
#include "store/soonest.h"
#include "store/state.h"
#include "store/verdict.h"
#include "store/wake.h"

#define PASS_NS 1000000000ull     /* passes begin at most this often unless somebody waits */
#define REMOVED_PER_GROUP 16      /* items taken out for each index group that is packed */
#define GROUPS_PER_STEP 512       /* packed a round at most: 0.2 ms */
#define PATIENCE_NS 1000000000ull /* how long a purge waits for a sweeper that does not get on */
#define FLOORS_NS 60000000000ull  /* lost purges are told of at most this often */

/* ------------------------------------------------------------------ when there is something to do */

/* Whether a pass would find something: items that may have expired, or purges that none has carried out. */
static bool due(struct store *s) {
    const struct purge_table *t = &s->purge;
    const uint32_t soonest = sync_load(&s->soonest);
    return (soonest != 0 && soonest <= maintenance(s)->now) || sync_load_acq(&t->seq) > s->maintain.sweep.version ||
           sync_load(&t->unswept[0]) + sync_load(&t->unswept[1]) > 0;
}

uint64_t sweep_due_ns(struct store *s, uint64_t now) {
    const struct sweep *p = &s->maintain.sweep;
    const uint32_t soonest = sync_load(&s->soonest);
    const uint64_t earliest = p->began_ns + PASS_NS;
    if (p->active) return p->next_ns;
    if (due(s) || now < earliest) return earliest; /* purges tell nobody, so one look after each pass */
    if (soonest == 0) return UINT64_MAX;
    const uint64_t then = seconds_begin_ns(s, soonest);
    return then > earliest ? then : earliest;
}

/* ------------------------------------------------------------------ items */

/* Writes a soft purge into the item, so that the table may forget it. The item gets a new record, since this thread
 * changes none in place (readers would have to wait for it). */
static void apply_soft(struct change *c) {
    struct rewrite r = {.bits = (uint8_t)((c->old.bits & ITEM_FETCHED) | ITEM_STALE | ITEM_SOFT),
                        .expiry = c->old.expiry == 0 || c->old.expiry > c->deadline ? c->deadline : c->old.expiry,
                        .flags = c->old.flags};
    if ((c->old.bits & ITEM_STATE) == r.bits && c->old.expiry == r.expiry) return; /* an earlier pass did it */
    if (!change_rewrite(c, &r, c->old.version)) change_drop(c); /* no space for a deadline: rather a miss */
}

/* The record looks dead, soft or wanted by a job: looks again with its bucket locked, and acts. */
static void sweep_item(struct store *s, uint64_t loc, const struct item *seen) {
    struct store_worker *w = maintenance(s);
    struct store_key k = store_key(s, (const char *)seen->p + seen->key_at, seen->key_len);
    struct change c = {.w = w, .key = &k};
    c.b = index_lock(&s->ix, k.hash);
    c.slot = index_find_loc(&s->ix, c.b, loc);
    if (c.slot == NULL) {
        index_unlock_unchanged(c.b);
        return;
    }
    c.loc = loc;
    item_read(&c.old, segment_at(&s->segs, loc));
    struct store_job *j = job_of(s, &c.old);
    c.verdict = verdict_of(w, &c.old, &c.deadline);
    if (c.verdict == VERDICT_EXPIRED) {
        COUNT(w, expired, 1);
        if (!(c.old.bits & ITEM_FETCHED)) COUNT(w, expired_unfetched, 1);
        change_unlink(&c);
    } else if (c.verdict == VERDICT_PURGED || j) {
        if (j)
            job_add(j, &c.old);
        else
            job_count(s, &c.old);
        change_drop(&c);
    } else if (c.verdict == VERDICT_SOFT) {
        apply_soft(&c);
    }
    index_unlock(c.b);
}

static void sweep_segment(struct store *s, uint32_t i) {
    struct store_worker *w = maintenance(s);
    struct segment *g = &s->segs.seg[i];
    /* The bound is taken anew: an expiry set before this was set before its item is read, one set later is added. */
    uint32_t at = segment_first(i), soonest = 0;
    (void)sync_exchange(&g->soonest, 0);
    uint32_t used = sync_load_acq(&g->used);
    uint64_t n = 0;
    while (at < used) {
        uint64_t loc = segment_base(&s->segs, i) + at;
        uint8_t *p = segment_at(&s->segs, loc);
        n++;
        if (item_is_piece(p)) {
            at += ITEM_PIECE_HEADER + item_piece_bytes(p);
            continue;
        }
        struct item it;
        uint32_t deadline;
        item_read(&it, p);
        at += item_record_bytes(&it);
        enum verdict v = verdict_of(w, &it, &deadline);
        if (v != VERDICT_LIVE || job_of(s, &it)) sweep_item(s, loc, &it);
        if (v != VERDICT_EXPIRED && it.expiry && (soonest == 0 || it.expiry < soonest)) soonest = it.expiry;
        if (v == VERDICT_SOFT && (soonest == 0 || deadline < soonest)) soonest = deadline;
    }
    (void)FAULT_POINT("sweep.walked");
    if (FAULT_POINT("sweep.mutate.overwrite_bound")) sync_store(&g->soonest, 0);
    soonest_note(s, g, soonest);
    /* Not of later purges: whoever stores here with a version below theirs may not be done yet. */
    g->swept = FAULT_POINT("sweep.mutate.swept_ahead") ? sync_load_acq(&s->purge.seq) : s->maintain.sweep.version;
    COUNT(w, sweep_items, n);
}

/* Whether a segment has anything for the pass under way; if not, when it will have. */
static bool wants_sweep(struct store *s, const struct segment *g) {
    uint32_t state = sync_load_acq(&g->state), soonest = sync_load(&g->soonest);
    if (state != SEGMENT_SEALED && state != SEGMENT_OPEN) return false;
    if (s->maintain.sweep.jobs || (soonest && soonest <= maintenance(s)->now) || g->swept < s->maintain.sweep.version)
        return true;
    if (soonest) soonest_lower(s, soonest);
    return false;
}

/* ------------------------------------------------------------------ passes */

static void pass_begin(struct store *s) {
    struct sweep *p = &s->maintain.sweep;
    p->active = true;
    p->ending = false;
    p->at = 0;
    /* Of the latest purge that is written: one under way has its version already, but nobody sees it yet. */
    uint64_t version = purge_pass(&s->purge);
    p->version = FAULT_POINT("sweep.mutate.any_version") ? store_number(s) : version;
    p->grace = epoch_advance(&s->epoch);
    p->jobs = job_take(s, p->version);
    /* The bound is taken anew, segment by segment; one that is lowered behind the pass stays. */
    if (!FAULT_POINT("sweep.mutate.forget_late")) (void)sync_exchange(&s->soonest, 0);
}

/* Purges that wait for places may try again. */
static void admit_purges(struct store *s) {
    if (sync_exchange(&s->purge_waits, false)) wake_waiting(s);
}

static void pass_end(struct store *s) {
    struct sweep *p = &s->maintain.sweep;
    p->active = false;
    (void)FAULT_POINT("sweep.passed");
    if (FAULT_POINT("sweep.mutate.forget_late")) (void)sync_exchange(&s->soonest, 0);
    purge_filter_clear(&s->purge);
    pthread_mutex_lock(&s->purge.lock);
    purge_swept(&s->purge, p->version, sync_load(&s->jobs) == NULL);
    pthread_mutex_unlock(&s->purge.lock);
    COUNT(maintenance(s), sweep_passes, 1);
    struct store_job *ended = p->jobs;
    p->jobs = NULL;
    job_end(s, ended);
    erase_wanted(s);
    admit_purges(s);
}

/* The pass ends a grace period after its last segment: a reader that has found an item before the pass took it out must
 * still find its purge in the table. False: not yet. */
static bool try_end(struct store *s) {
    struct sweep *p = &s->maintain.sweep;
    if (!p->ending) p->grace = epoch_advance(&s->epoch);
    p->ending = true;
    if (!epoch_passed(&s->epoch, p->grace) && !FAULT_POINT("sweep.mutate.end_at_once")) return false;
    pass_end(s);
    return true;
}

/* Packs one group after the other, round and round: one for so many items that have left, since they leave the holes.
 */
void sweep_index(struct store *s) {
    uint64_t n = (store_metric(s, STORE_METRIC_items_removed) - s->maintain.sweep.removed) / REMOVED_PER_GROUP;
    if (n > GROUPS_PER_STEP) n = GROUPS_PER_STEP;
    s->maintain.sweep.removed += n * REMOVED_PER_GROUP;
    for (uint64_t k = 0; k < n; k++) {
        if (s->maintain.sweep.group >= s->ix.groups) s->maintain.sweep.group = 0;
        index_compact(&s->ix, s->maintain.sweep.group++);
    }
    if (n) index_trim(&s->ix);
}

/* The sweeper makes progress, so no purge is let go of before a sweep has carried it out. */
static void got_on(struct store *s, uint64_t now) {
    s->maintain.sweep.progress_ns = now;
    if (sync_load(&s->purge.shed)) sync_store(&s->purge.shed, false);
}

/* When a purge has waited for too long without any progress of the sweeper, it may take the place of one that no sweep
 * has carried out. Tells when that has happened. */
static void watch_purges(struct store *s, uint64_t now) {
    struct sweep *p = &s->maintain.sweep;
    if (!sync_load(&s->purge_waits)) {
        p->progress_ns = now;
    } else if (now - p->progress_ns >= PATIENCE_NS) {
        sync_store(&s->purge.shed, true);
        admit_purges(s);
    }
    const uint64_t floors = sync_load(&s->purge.floors);
    if (floors == p->floors || (p->floors != 0 && now - p->floors_ns < FLOORS_NS)) return;
    p->floors = floors;
    p->floors_ns = now;
    if (s->cfg.events.on_floors) s->cfg.events.on_floors(s->cfg.events.arg, floors);
}

bool sweep_urgent(const struct store *s) {
    return sync_load(&s->purge_waits) || purge_crowded(&s->purge);
}

bool sweep_step(struct store *s, bool hurry) {
    struct sweep *p = &s->maintain.sweep;
    uint64_t now = clock_boot_ns(s->cfg.clock);
    watch_purges(s, now);
    hurry |= p->jobs || sync_load_acq(&s->jobs) || sweep_urgent(s);
    if (!hurry && now < p->next_ns) return false;
    if (!p->active) {
        if (!hurry && (now < p->began_ns + PASS_NS || !due(s))) return false;
        p->began_ns = now;
        pass_begin(s);
    }
    if (p->at == 0 && !epoch_passed(&s->epoch, p->grace) && !FAULT_POINT("sweep.mutate.no_wait")) return false;
    uint32_t touched = sync_load(&s->segs.touched);
    while (!p->ending && p->at < touched && !wants_sweep(s, &s->segs.seg[p->at])) p->at++;
    if (p->ending || p->at >= touched) {
        if (!try_end(s)) return false;
        got_on(s, now);
        return true;
    }
    sweep_segment(s, p->at++);
    got_on(s, now);
    (void)FAULT_POINT("sweep.stepped");
    uint64_t took = clock_boot_ns(s->cfg.clock) - now, percent = s->cfg.sweep_cpu_percent;
    p->next_ns = now + took * 100 / percent;
    COUNT(maintenance(s), sweep_ns, took);
    return true;
}
