/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/seconds.h"

#include "base/clock.h"
#include "base/fault.h"
#include "store/age.h"
#include "store/state.h"

#define NS 1000000000ull

uint32_t seconds_of(const struct store *s, uint64_t ns) {
    return (uint32_t)((ns - s->start_ns) / NS) + SECONDS_FIRST;
}

uint32_t seconds_now(const struct store *s) {
    return seconds_of(s, clock_boot_ns(s->cfg.clock));
}

uint64_t seconds_begin_ns(const struct store *s, uint32_t second) {
    return s->start_ns + (uint64_t)(second - SECONDS_FIRST) * NS;
}

void seconds_enter(struct store_worker *w, uint32_t now) {
    w->now = now;
    age_note(&w->s->ages, now, &w->s->number);
    if (!FAULT_POINT("store.mutate.old_block")) w->number_next = w->number_end;
}
