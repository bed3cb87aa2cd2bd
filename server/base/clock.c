/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/clock.h"

#include <time.h>

#include "base/sync.h"

#define NS_PER_S 1000000000ull

static uint64_t system_boot_ns(const struct clock *c) {
    (void)c;
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static int64_t system_wall_s(const struct clock *c) {
    (void)c;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME_COARSE, &t);
    return t.tv_sec;
}

const struct clock *clock_system(void) {
    static const struct clock system = {system_boot_ns, system_wall_s};
    return &system;
}

static uint64_t manual_boot_ns(const struct clock *c) {
    return sync_load(&((const struct clock_manual *)c)->boot_ns);
}

static int64_t manual_wall_s(const struct clock *c) {
    return sync_load(&((const struct clock_manual *)c)->wall_s);
}

void clock_manual_init(struct clock_manual *m, uint64_t boot_ns, int64_t wall_s) {
    m->clock = (struct clock){manual_boot_ns, manual_wall_s};
    m->boot_ns = boot_ns;
    m->wall_s = wall_s;
}

void clock_manual_advance(struct clock_manual *m, uint64_t ns) {
    uint64_t before = sync_add(&m->boot_ns, ns);
    sync_add(&m->wall_s, (int64_t)((before + ns) / NS_PER_S - before / NS_PER_S));
}
