/* SPDX-License-Identifier: BSD-3-Clause
 *
 * compact - giving up segments: those without a live record at once, the ones that are a quarter dead by moving what
 * lives. Maintenance thread. */
#include "store/compact.h"

#include "base/fault.h"
#include "base/sync.h"
#include "store/account.h"
#include "store/allowance.h"
#include "store/cold.h"
#include "store/handle.h"
#include "store/item.h"
#include "store/move.h"
#include "store/retire.h"
#include "store/segment.h"
#include "store/state.h"

#define FREE_SCAN 64     /* segments one call looks at */
#define COMPACT_SCAN 256 /* and one that chooses among them */

void compact_init(struct compact *c) {
    *c = (struct compact){.target = {SEGMENT_NONE, SEGMENT_NONE}};
}

/* Finds among the next segments the one with the most dead bytes, if these are a quarter of it or more. What was dead
 * when compaction had filled it does not count: moving the rest once more would leave as much, and so without end. */
static uint32_t deadest(struct store *s) {
    struct compact *own = &s->maintain.compact;
    struct segments *g = &s->segs;
    uint32_t best = SEGMENT_NONE, most = g->bytes / 4, touched = sync_load(&g->touched);
    for (unsigned k = 0; k < COMPACT_SCAN && k < touched; k++) {
        if (++own->at >= touched) own->at = 0;
        struct segment *c = &g->seg[own->at];
        if (sync_load_acq(&c->state) != SEGMENT_SEALED || sync_load(&c->whole)) continue;
        uint32_t dead = account_dead_bytes(s, own->at);
        if (!FAULT_POINT("compact.mutate.count_all")) dead -= c->packed_dead;
        if (dead < most || !segment_quiet(c, &s->epoch) || own->target[sync_load(&c->queue)] == own->at) continue;
        most = dead;
        best = own->at;
    }
    return best;
}

/* Puts compaction's target right behind a segment of its queue. It counts as just as old from then on. */
static void place_target(struct store *s, uint32_t target, uint32_t behind) {
    struct segment *t = &s->segs.seg[target];
    const struct segment *g = &s->segs.seg[behind];
    sync_store(&t->opened, sync_load(&g->opened));
    t->taken = g->taken;
    segment_requeue_after(&s->segs, target, behind);
    cold_joined(s, target, behind);
}

/* Opens a segment for what compaction moves, right behind the one that it begins with. The target before it is full. */
static uint32_t open_target(struct store *s, enum segment_queue q, uint32_t behind) {
    const uint32_t full = s->maintain.compact.target[q];
    if (full != SEGMENT_NONE) s->segs.seg[full].packed_dead = account_dead_bytes(s, full);
    uint32_t i = segment_take(&s->segs, q, maintenance(s)->now, SEGMENT_OVERDRAW);
    s->maintain.compact.target[q] = i;
    if (i == SEGMENT_NONE) return i;
    segment_seal(&s->segs, i, sync_load(&s->epoch.now) + 1);
    place_target(s, i, behind);
    return i;
}

/* Whether so many bytes more fit into the target. */
static bool has_room(const struct store *s, uint32_t target, uint32_t bytes) {
    return sync_load(&s->segs.seg[target].used) + bytes <= s->segs.bytes ||
           FAULT_POINT("compact.mutate.piece_without_head");
}

/* Moves a live record to the target. False: it is full. A piece goes with its item's record, which has to fit as well:
 * else a dead copy of the piece would stay there. */
static bool compact_record(struct store *s, const struct move_record *r, uint32_t target) {
    struct item it;
    if (target == SEGMENT_NONE) return false;
    if (!r->piece) return move_item(s, r, target);
    if (!move_look(s, r, &it)) return true;
    return has_room(s, target, r->bytes + item_record_bytes(&it)) && move_piece(s, r, target, false);
}

/* Moves what lives in a segment to the target of its queue, which collects such records. The target lies in the queue
 * from the start, at the place of the newest segment whose records it has: so nothing is evicted before its time, and a
 * little stays for longer. It may itself be evicted. False: there is no segment to move to. */
static bool compact_segment(struct store *s, uint32_t i) {
    struct compact *own = &s->maintain.compact;
    enum segment_queue q = (enum segment_queue)sync_load(&s->segs.seg[i].queue);
    struct move_record r[MOVE_BLOCK];
    uint32_t target = own->target[q], at = segment_first(i);
    if (target != SEGMENT_NONE && segment_older(&s->segs.seg[target], &s->segs.seg[i])) place_target(s, target, i);
    for (unsigned n; (n = move_next(s, i, &at, r, MOVE_BLOCK)) > 0;)
        for (unsigned k = 0; k < n; k++)
            if (!compact_record(s, &r[k], own->target[q]) && !compact_record(s, &r[k], open_target(s, q, i)))
                return false;
    if (own->target[q] != SEGMENT_NONE) s->segs.seg[own->target[q]].inherited += s->segs.seg[i].inherited;
    retire_segment(s, i);
    COUNT(maintenance(s), segments_compacted, 1);
    return true;
}

/* Pieces of large values may fit their new segments no better than the old ones, so that moving them gains nothing.
 * Then a store that waits is served by eviction in the end. */
bool compact_one(struct store *s) {
    struct allowance *a = &s->maintain.compact.allowance;
    const uint64_t *copied = &maintenance(s)->metrics[STORE_METRIC_copied_bytes], before = *copied;
    const uint32_t i = deadest(s);
    if (i == SEGMENT_NONE) return false;
    allowance_earn(s, a);
    if (s->cfg.evict && !allowance_has(s, a, account_live_bytes(s, i))) return false;
    const bool ok = compact_segment(s, i);
    allowance_spend(a, *copied - before);
    return ok;
}

/* Sealed segments without a live record, of either queue, need no walk at all. Once all of one is dead it stays so:
 * what somebody has appended and may yet link is not counted as dead. */
bool compact_free_dead(struct store *s) {
    struct compact *own = &s->maintain.compact;
    bool any = false;
    const uint32_t touched = sync_load(&s->segs.touched);
    for (unsigned k = 0; k < FREE_SCAN && k < touched; k++) {
        if (++own->dead_at >= touched) own->dead_at = 0;
        struct segment *g = &s->segs.seg[own->dead_at];
        if (sync_load_acq(&g->state) != SEGMENT_SEALED || !segment_quiet(g, &s->epoch)) continue;
        if (account_live_bytes(s, own->dead_at) > 0) continue;
        retire_segment(s, own->dead_at);
        COUNT(maintenance(s), segments_expired, 1);
        any = true;
    }
    return any;
}
