/* SPDX-License-Identifier: BSD-3-Clause
 *
 * seconds - the store's time: whole seconds since it began, plus 2.
 */
#ifndef TAGCACHED_STORE_SECONDS_H
#define TAGCACHED_STORE_SECONDS_H

#include <stdint.h>

#include "base/check.h"
#include "base/clock.h"
#include "store/handle.h"
#include "store/state.h"

#define SECONDS_FIRST 2u /* 0 means never and 1 has always passed */

/* The second that the clock's ns is in. */
uint32_t seconds_of(const struct store *s, uint64_t ns);
/* The present second. Any thread. */
uint32_t seconds_now(const struct store *s);
/* When a second begins, by the clock. */
uint64_t seconds_begin_ns(const struct store *s, uint32_t second);
/* A handle comes to another second: it gives up the versions that it has reserved, since whatever it stores from now on
 * would look as old as they are. */
void seconds_enter(struct store_worker *w, uint32_t now);
/* Reads the clock for a handle that is in no section. */
static inline void seconds_read(struct store_worker *w) {
    w->now_ns = clock_boot_ns(w->s->cfg.clock);
    const uint32_t now = seconds_of(w->s, w->now_ns);
    if (unlikely(now != w->now)) seconds_enter(w, now);
}

#endif
