/* SPDX-License-Identifier: BSD-3-Clause
 *
 * section - sections, and the time in them. */
#include "base/check.h"
#include "base/fault.h"
#include "base/sync.h"
#include "store/handle.h"
#include "store/purge.h"
#include "store/seconds.h"
#include "store/state.h"
#include "store/store.h"

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

uint32_t store_second(const struct store *s, uint64_t ns) {
    return seconds_of(s, ns);
}

uint64_t store_now_ns(const struct store_worker *w) {
    return w->now_ns;
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
