/* SPDX-License-Identifier: BSD-3-Clause
 *
 * clock - where time comes from, as an interface, so that a test moves time instead of sleeping.
 */
#ifndef TAGCACHED_BASE_CLOCK_H
#define TAGCACHED_BASE_CLOCK_H

#include <stdint.h>

/* Both functions may be called by any thread at once. */
struct clock {
    uint64_t (*boot_ns)(const struct clock *); /* monotonic, counts suspension too (CLOCK_BOOTTIME), nanoseconds */
    int64_t (*wall_s)(const struct clock *);   /* unix time, seconds; may jump */
};

static inline uint64_t clock_boot_ns(const struct clock *c) {
    return c->boot_ns(c);
}
static inline int64_t clock_wall_s(const struct clock *c) {
    return c->wall_s(c);
}

/* The machine's clocks. Lives for ever. */
const struct clock *clock_system(void);

/* A clock that stands still until told otherwise. Embed it, init it, and pass &m->clock. */
struct clock_manual {
    struct clock clock;
    uint64_t boot_ns;
    int64_t wall_s;
};

/* Starts at boot_ns and wall_s. */
void clock_manual_init(struct clock_manual *m, uint64_t boot_ns, int64_t wall_s);
/* Moves both clocks forward by ns nanoseconds (the wall clock by whole seconds of the sum). Any thread. */
void clock_manual_advance(struct clock_manual *m, uint64_t ns);

#endif
