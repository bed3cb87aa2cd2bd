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
static uint64_t since_ns(const struct store_upload *u, uint64_t now) {
    uint64_t moved = sync_load(&u->moved_ns);
    return now > moved ? now - moved : 0;
}

static void notify(const struct store *s, const struct store_upload *u) {
    if (s->cfg.events.on_upload) s->cfg.events.on_upload(s->cfg.events.arg, u->worker);
}

static void list_move(struct store_upload *u, struct upload_list *to) {
    if (u->list) TAILQ_REMOVE(u->list, u, link);
    if (to) TAILQ_INSERT_TAIL(to, u, link);
    u->list = to;
}

/* ------------------------------------------------------------------ under the lock */

static bool fits(const struct store *s, uint64_t size) {
    if (TAILQ_EMPTY(&s->uploads_under_way)) return true;
    return sync_load(&s->upload_bytes) + size <= sync_load(&s->limit) / 8 &&
           sync_load(&s->upload_segments) <= sync_load(&s->segs.limit) / 8;
}

static void begin(struct store *s, struct store_upload *u, uint64_t now) {
    list_move(u, &s->uploads_under_way);
    sync_store(&u->moved_ns, now);
    s->turns++;
    sync_store(&s->uploads, s->uploads + 1);
    sync_store(&s->upload_bytes, s->upload_bytes + u->size);
    sync_store_rel(&u->state, UPLOAD_UNDER_WAY);
}

/* Whether order does not help: the first in line has waited for long. */
static bool line_slow(const struct store *s, uint64_t now) {
    const struct store_upload *first = TAILQ_FIRST(&s->uploads_waiting);
    return first != NULL && since_ns(first, now) >= LINE_NS;
}

static struct store_upload *next_in_line(struct store *s, uint64_t now) {
    const bool newest = line_slow(s, now) && s->turns % 2 == 0;
    return newest ? TAILQ_LAST(&s->uploads_waiting, upload_list) : TAILQ_FIRST(&s->uploads_waiting);
}

/* Has the one that stalls for longest give way, unless the memory that others have yet to give up is enough. True if
 * one has to. */
static bool displace_one(struct store_worker *w, uint64_t size, uint64_t now) {
    struct store *s = w->s;
    struct store_upload *u, *slowest = NULL;
    const uint64_t stalled = line_slow(s, now) ? STALL_SHORT_NS : STALL_NS;
    uint64_t coming = 0;
    TAILQ_FOREACH(u, &s->uploads_under_way, link) {
        if (sync_load(&u->state) == UPLOAD_DISPLACED) {
            coming += u->size;
            notify(s, u); /* again: there may have been no memory to tell it */
        } else if (since_ns(u, now) >= stalled && (slowest == NULL || since_ns(u, now) > since_ns(slowest, now))) {
            slowest = u;
        }
    }
    uint64_t stay = s->upload_bytes - coming;
    bool bytes = stay == 0 || stay + size <= sync_load(&s->limit) / 8;
    /* How many segments will come free is not known: one more goes only when none is on its way. */
    if (slowest == NULL || (bytes && coming > 0)) return false;
    sync_store_rel(&slowest->state, UPLOAD_DISPLACED);
    COUNT(w, uploads_displaced, 1);
    notify(s, slowest);
    return true;
}

static void look(struct store_worker *w) {
    struct store *s = w->s;
    struct store_upload *u;
    const uint64_t now = now_ns(s);
    while ((u = next_in_line(s, now)) != NULL && fits(s, u->size)) {
        begin(s, u, now);
        notify(s, u);
    }
    while (u != NULL && displace_one(w, u->size, now)) {}
}

/* ------------------------------------------------------------------ one upload's turn */

void turn_begin(struct store_worker *w, struct store_upload *u) {
    struct store *s = w->s;
    const uint64_t now = now_ns(s);
    pthread_mutex_lock(&s->uploads_lock);
    sync_store(&u->moved_ns, now);
    if (TAILQ_EMPTY(&s->uploads_waiting) && fits(s, u->size)) {
        begin(s, u, now);
    } else {
        list_move(u, &s->uploads_waiting);
        look(w);
    }
    const bool waits = u->list == &s->uploads_waiting;
    pthread_mutex_unlock(&s->uploads_lock);
    if (waits) wake_maintenance(s); /* to look again and again whether somebody stalls */
}

void turn_progress(struct store_upload *u) {
    if (u->got - u->moved_got < PROGRESS_BYTES && u->got < u->size) return;
    u->moved_got = u->got;
    sync_store(&u->moved_ns, now_ns(u->store));
}

void turn_end(struct store_worker *w, struct store_upload *u) {
    struct store *s = w->s;
    pthread_mutex_lock(&s->uploads_lock);
    if (u->list == &s->uploads_under_way) {
        sync_store(&s->uploads, s->uploads - 1);
        sync_store(&s->upload_bytes, s->upload_bytes - u->size);
    }
    list_move(u, NULL);
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
