/* SPDX-License-Identifier: BSD-3-Clause
 *
 * turn - which uploads may take memory. What is under way cannot be evicted, so it is bounded: an eighth of the memory,
 * by the sizes that were announced, or one body of any size. The others wait in line.
 *
 * While somebody waits, who stalls gives way: the one whose last progress is longest ago, if that is a second or more;
 * or a quarter of one, once the first in line has waited for half a second. Progress is 16 KiB, or the end: a client
 * that sends a byte now and then does not keep its turn either.
 *
 * Turns go in the order of coming, until the first in line has waited for half a second. Then it and the newest go in
 * turn: the line is made of clients that stall themselves, or of more than can be served, and order would only make
 * everybody wait for all of them. Who gets no turn is refused by its connection, which knows how long it may wait
 * (body_timeout). */
#include "store/turn.h"

#include "base/clock.h"
#include "base/sync.h"
#include "store/state.h"
#include "store/wake.h"

#define STALL_NS 1000000000ull
#define STALL_SHORT_NS 250000000ull
#define LINE_NS 500000000ull
#define PROGRESS_BYTES 16384

static uint64_t now_ns(const struct store *s) {
    return clock_boot_ns(s->cfg.clock);
}

/* How long ago it came, or made progress. The clock may have been read before that. */
static uint64_t since_ns(const struct turn *t, uint64_t now) {
    uint64_t moved = sync_load(&t->moved_ns);
    return now > moved ? now - moved : 0;
}

static void notify(const struct store *s, const struct turn *t) {
    if (s->cfg.events.on_upload) s->cfg.events.on_upload(s->cfg.events.arg, t->handle);
}

static void list_move(struct turn *t, struct turn_list *to) {
    if (t->list) TAILQ_REMOVE(t->list, t, link);
    if (to) TAILQ_INSERT_TAIL(to, t, link);
    t->list = to;
}

/* ------------------------------------------------------------------ under the lock */

static bool fits(const struct store *s, uint64_t size) {
    if (TAILQ_EMPTY(&s->uploads_under_way)) return true;
    return sync_load(&s->upload_bytes) + size <= sync_load(&s->limit) / 8 &&
           sync_load(&s->upload_segments) <= sync_load(&s->segs.limit) / 8;
}

static void begin(struct store *s, struct turn *t, uint64_t now) {
    list_move(t, &s->uploads_under_way);
    sync_store(&t->moved_ns, now);
    s->turns++;
    sync_store(&s->uploads, s->uploads + 1);
    sync_store(&s->upload_bytes, s->upload_bytes + t->size);
    sync_store_rel(&t->state, TURN_UNDER_WAY);
}

/* Whether order does not help: the first in line has waited for long. */
static bool line_slow(const struct store *s, uint64_t now) {
    const struct turn *first = TAILQ_FIRST(&s->uploads_waiting);
    return first != NULL && since_ns(first, now) >= LINE_NS;
}

static struct turn *next_in_line(struct store *s, uint64_t now) {
    const bool newest = line_slow(s, now) && s->turns % 2 == 0;
    return newest ? TAILQ_LAST(&s->uploads_waiting, turn_list) : TAILQ_FIRST(&s->uploads_waiting);
}

/* Has the one that stalls for longest give way, unless the memory that others have yet to give up is enough. True if
 * one has to. */
static bool displace_one(struct store_worker *w, uint64_t size, uint64_t now) {
    struct store *s = w->s;
    struct turn *t, *slowest = NULL;
    const uint64_t stalled = line_slow(s, now) ? STALL_SHORT_NS : STALL_NS;
    uint64_t coming = 0;
    TAILQ_FOREACH(t, &s->uploads_under_way, link) {
        if (sync_load(&t->state) == TURN_DISPLACED) {
            coming += t->size;
            notify(s, t); /* again: there may have been no memory to tell it */
        } else if (since_ns(t, now) >= stalled && (slowest == NULL || since_ns(t, now) > since_ns(slowest, now))) {
            slowest = t;
        }
    }
    uint64_t stay = s->upload_bytes - coming;
    bool bytes = stay == 0 || stay + size <= sync_load(&s->limit) / 8;
    /* How many segments will come free is not known: one more goes only when none is on its way. */
    if (slowest == NULL || (bytes && coming > 0)) return false;
    sync_store_rel(&slowest->state, TURN_DISPLACED);
    COUNT(w, uploads_displaced, 1);
    notify(s, slowest);
    return true;
}

static void look(struct store_worker *w) {
    struct store *s = w->s;
    struct turn *t;
    const uint64_t now = now_ns(s);
    while ((t = next_in_line(s, now)) != NULL && fits(s, t->size)) {
        begin(s, t, now);
        notify(s, t);
    }
    while (t != NULL && displace_one(w, t->size, now)) {}
}

/* ------------------------------------------------------------------ one upload's turn */

void turn_begin(struct store_worker *w, struct turn *t) {
    struct store *s = w->s;
    const uint64_t now = now_ns(s);
    pthread_mutex_lock(&s->uploads_lock);
    sync_store(&t->moved_ns, now);
    if (TAILQ_EMPTY(&s->uploads_waiting) && fits(s, t->size)) {
        begin(s, t, now);
    } else {
        list_move(t, &s->uploads_waiting);
        look(w);
    }
    const bool waits = t->list == &s->uploads_waiting;
    pthread_mutex_unlock(&s->uploads_lock);
    if (waits) wake_maintenance(s); /* to look again and again whether somebody stalls */
}

void turn_progress(const struct store *s, struct turn *t, uint64_t got) {
    if (got - t->moved_got < PROGRESS_BYTES && got < t->size) return;
    t->moved_got = got;
    sync_store(&t->moved_ns, now_ns(s));
}

void turn_end(struct store_worker *w, struct turn *t) {
    struct store *s = w->s;
    pthread_mutex_lock(&s->uploads_lock);
    if (t->list == &s->uploads_under_way) {
        sync_store(&s->uploads, s->uploads - 1);
        sync_store(&s->upload_bytes, s->upload_bytes - t->size);
    }
    list_move(t, NULL);
    look(w);
    pthread_mutex_unlock(&s->uploads_lock);
}

bool turn_look(struct store_worker *w) {
    pthread_mutex_lock(&w->s->uploads_lock);
    look(w);
    const bool line = !TAILQ_EMPTY(&w->s->uploads_waiting);
    pthread_mutex_unlock(&w->s->uploads_lock);
    return line;
}
