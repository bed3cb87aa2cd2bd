/* SPDX-License-Identifier: BSD-3-Clause
 *
 * erase - overwriting what is dead, in rounds. A round begins when a pass of the sweeper has ended or somebody
 * asks, looks at every segment that has dead bytes which are not overwritten yet, and does so in three steps a list of
 * records:
 *
 *   found      nothing leads to them; but one that was appended just now may yet be linked
 *   dead       a grace period later still nothing does: now nothing ever will, since a store is one section
 *   overwritten   another grace period later nobody reads them any more but by a pin, so when no pin is left
 *
 * Segments that are reused are overwritten as a whole (segment_free). So when a round has ended, nothing is left in the
 * arena of what was dead as it began. */
#include "store/erase.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/erase.h"
#include "base/fault.h"
#include "base/sync.h"
#include "store/account.h"
#include "store/handle.h"
#include "store/index.h"
#include "store/item.h"
#include "store/move.h"
#include "store/retire.h"
#include "store/segment.h"
#include "store/state.h"
#include "store/wake.h"

#define LIST_MAX 4096       /* records on the way */
#define CLEAN_PER_STEP 1024 /* segments without anything to do that one step passes */
#define BYTES_PER_STEP (1u << 20)

/* Tells the end of a round to those who wait for it. */
static void tell(struct store_erasing *first) {
    for (struct store_erasing *w = first, *next; w != NULL; w = next) {
        next = w->next;
        w->done(w);
    }
}

int erase_init(struct store *s) {
    struct erase *e = &s->maintain.erase;
    if (!s->cfg.erase) return 0;
    s->segs.erase = true;
    e->done = calloc(s->segs.max, sizeof *e->done);
    e->awaited = calloc(s->segs.max, sizeof *e->awaited);
    e->again = calloc(s->segs.max, sizeof *e->again);
    e->list = calloc(LIST_MAX, sizeof *e->list);
    return e->done == NULL || e->awaited == NULL || e->again == NULL || e->list == NULL ? -ENOMEM : 0;
}

void erase_fini(struct store *s) {
    struct erase *e = &s->maintain.erase;
    tell(e->waits);
    tell(s->erasings);
    free(e->done);
    free(e->awaited);
    free(e->again);
    free(e->list);
}

/* ------------------------------------------------------------------ records */

/* Whether an earlier round has overwritten it. */
static bool is_erased(struct store *s, const struct move_record *r) {
    return r->piece ? r->hash == ITEM_PIECE_ERASED : segment_at(&s->segs, r->loc)[6] == 0;
}

/* Whether it is a piece of a body that was still being received as it was read: it may be linked by now, under an owner
 * that r does not know. A body that began before a purge is refused by it, so the round has to come back for it. */
static bool is_received(const struct move_record *r) {
    return r->piece && r->hash == 0;
}

static bool is_linked(struct store *s, const struct move_record *r) {
    struct index_bucket *b = index_lock(&s->ix, r->hash);
    const bool linked = move_slot(s, b, r) != NULL;
    index_unlock_unchanged(b);
    return linked;
}

/* Zeros instead of a record; how long it was stays, since the segment is walked on. */
static void overwrite(struct store *s, const struct move_record *r) {
    uint8_t *p = segment_at(&s->segs, r->loc);
    erase_bytes(p, r->bytes);
    if (r->bytes >= ITEM_PIECE_HEADER) {
        item_write_piece_header(p, ITEM_PIECE_ERASED, r->bytes - ITEM_PIECE_HEADER);
    } else { /* an item with a short key and an empty value: one without a key instead */
        const uint16_t len = (uint16_t)(r->bytes - ITEM_FIXED);
        memcpy(p + 8, &len, sizeof len);
    }
    s->maintain.erase.done[segment_of(&s->segs, r->loc)] += r->bytes;
    COUNT(maintenance(s), erased_bytes, r->bytes);
}

/* ------------------------------------------------------------------ the list */

static void next_state(struct store *s, enum erase_state state) {
    struct erase *e = &s->maintain.erase;
    e->state = state;
    e->grace = epoch_advance(&s->epoch);
}

/* Puts the records of a segment to which nothing leads on the list, from e->offset on. False: the list is full. */
static bool find(struct store *s, uint32_t i) {
    struct erase *e = &s->maintain.erase;
    struct move_record r[MOVE_BLOCK];
    const uint32_t room = LIST_MAX - MOVE_BLOCK;
    for (unsigned n; e->n <= room && (n = move_next(s, i, &e->offset, r, MOVE_BLOCK)) > 0;)
        for (unsigned k = 0; k < n; k++) {
            if (is_erased(s, &r[k])) continue;
            if (is_received(&r[k]))
                e->again[i] = e->walk != ERASE_LAST_WALK;
            else if (!is_linked(s, &r[k]))
                e->list[e->n++] = r[k];
        }
    return e->n <= room;
}

static bool is_clean(struct store *s, uint32_t i) {
    const uint32_t state = sync_load_acq(&s->segs.seg[i].state);
    struct erase *e = &s->maintain.erase;
    if (state == SEGMENT_RETIRED && !e->awaited[i]) {
        e->awaited[i] = true;
        e->nawaited++;
    }
    if (state != SEGMENT_OPEN && state != SEGMENT_SEALED) return true;
    return account_dead_bytes(s, i) == e->done[i] && sync_load(&s->segs.seg[i].uploads) == 0;
}

/* Whether the walk has to stop at a segment. The first walk of a round looks at all, the next ones at those in which
 * something was still being received; and when all that has ended, which may have taken other segments meanwhile, the
 * last one looks at all once more. */
static bool is_wanted(struct store *s, uint32_t i) {
    struct erase *e = &s->maintain.erase;
    if (e->offset != SEGMENT_NONE) return true; /* it has looked at a part of it */
    const bool wanted = (e->walk != ERASE_WALK_AGAIN || e->again[i]) && !is_clean(s, i);
    e->again[i] = false;
    return wanted;
}

/* The walk is over: whether another one has to follow. */
static bool another_walk(struct store *s) {
    struct erase *e = &s->maintain.erase;
    const uint32_t touched = sync_load(&s->segs.touched);
    const enum erase_walk before = e->walk;
    uint32_t i = 0;
    if (before == ERASE_LAST_WALK) return false;
    while (i < touched && !e->again[i]) i++;
    e->walk = i < touched ? ERASE_WALK_AGAIN : ERASE_LAST_WALK;
    return i < touched || before == ERASE_WALK_AGAIN;
}

/* Goes on with the walk by one segment that is not clean. */
static void walk(struct store *s) {
    struct erase *e = &s->maintain.erase;
    const uint32_t touched = sync_load(&s->segs.touched);
    unsigned clean = 0;
    while (e->at < touched && clean < CLEAN_PER_STEP && !is_wanted(s, e->at)) {
        e->at++;
        clean++;
    }
    if (e->at >= touched) {
        next_state(s, e->n > 0 ? ERASE_FOUND : ERASE_LAST);
    } else if (clean < CLEAN_PER_STEP) {
        if (e->offset == SEGMENT_NONE) e->offset = segment_first(e->at);
        if (find(s, e->at)) {
            e->at++;
            e->offset = SEGMENT_NONE;
        } else {
            next_state(s, ERASE_FOUND);
        }
    }
}

/* Takes off the list what was linked after all. */
static void confirm(struct store *s) {
    struct erase *e = &s->maintain.erase;
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->n; i++)
        if (!is_linked(s, &e->list[i])) e->list[n++] = e->list[i];
    e->n = n;
    next_state(s, ERASE_DEAD);
}

/* Overwrites what no pin holds. Whether that was anything. */
static bool overwrite_some(struct store *s) {
    struct erase *e = &s->maintain.erase;
    uint64_t bytes = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->n; i++) {
        const struct move_record *r = &e->list[i];
        const bool stays = bytes >= BYTES_PER_STEP ||
                           (retire_is_pinned(s, segment_of(&s->segs, r->loc)) && !FAULT_POINT("erase.mutate.no_pins"));
        if (stays) {
            e->list[n++] = *r;
        } else {
            overwrite(s, r);
            bytes += r->bytes;
        }
    }
    e->n = n;
    if (n == 0) e->state = e->at >= sync_load(&s->segs.touched) ? ERASE_LAST : ERASE_WALK;
    return bytes > 0;
}

/* ------------------------------------------------------------------ rounds */

void erase_wanted(struct store *s) {
    s->maintain.erase.wanted = s->cfg.erase;
}

void store_erase(struct store *s, struct store_erasing *w) {
    CHECK(s->cfg.erase);
    pthread_mutex_lock(&s->jobs_lock);
    w->next = s->erasings;
    sync_store_rel(&s->erasings, w);
    pthread_mutex_unlock(&s->jobs_lock);
    wake_maintenance(s);
}

static void begin(struct store *s) {
    struct erase *e = &s->maintain.erase;
    pthread_mutex_lock(&s->jobs_lock);
    e->waits = s->erasings;
    sync_store_rel(&s->erasings, NULL);
    pthread_mutex_unlock(&s->jobs_lock);
    e->wanted = false;
    e->walk = ERASE_FIRST_WALK;
    e->at = e->n = 0;
    e->offset = SEGMENT_NONE;
    e->state = ERASE_WALK;
}

static void end(struct store *s) {
    struct erase *e = &s->maintain.erase;
    struct store_erasing *waits = e->waits;
    e->state = ERASE_IDLE;
    e->waits = NULL;
    COUNT(maintenance(s), erase_rounds, 1);
    if (waits != NULL) erase_stack();
    tell(waits);
}

/* Whether the grace period of this state has passed. */
static bool passed(struct store *s) {
    return epoch_passed(&s->epoch, s->maintain.erase.grace) || FAULT_POINT("erase.mutate.no_grace");
}

/* What the state asks for. False: it has to wait for others. */
static bool go_on(struct store *s) {
    struct erase *e = &s->maintain.erase;
    switch (e->state) {
    case ERASE_IDLE: begin(s); return true;
    case ERASE_WALK: walk(s); return true;
    case ERASE_FOUND:
        if (!passed(s)) return false;
        confirm(s);
        return true;
    case ERASE_DEAD: return passed(s) && overwrite_some(s);
    case ERASE_LAST:
        if (e->nawaited > 0) return false;
        if (another_walk(s)) {
            e->at = 0;
            e->state = ERASE_WALK;
            return false; /* a while later */
        }
        end(s);
        return true;
    }
    return false;
}

bool erase_step(struct store *s) {
    struct erase *e = &s->maintain.erase;
    if (!s->cfg.erase || (e->state == ERASE_IDLE && !e->wanted && !erase_urgent(s))) return false;
    const uint64_t now = clock_boot_ns(s->cfg.clock);
    if (!erase_urgent(s) && now < e->next_ns) return false;
    const bool any = go_on(s);
    const uint64_t took = clock_boot_ns(s->cfg.clock) - now;
    e->next_ns = now + took * 100 / s->cfg.sweep_cpu_percent;
    return any;
}

uint64_t erase_due_ns(const struct store *s) {
    const struct erase *e = &s->maintain.erase;
    return erase_urgent(s) ? 0 : e->state != ERASE_IDLE || e->wanted ? e->next_ns : UINT64_MAX;
}

bool erase_urgent(const struct store *s) {
    return s->maintain.erase.waits != NULL || sync_load_acq(&s->erasings) != NULL;
}
