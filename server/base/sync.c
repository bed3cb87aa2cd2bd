/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "base/sync.h"

#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SLEEP_NS 1000000
#define NAP_NS 50000

void sync_sleep(const uint32_t *word, uint32_t seen) {
    const struct timespec most = {.tv_nsec = SLEEP_NS};
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, &most, NULL, 0);
}

void sync_wake(const uint32_t *word) {
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void sync_nap(void) {
    const struct timespec nap = {.tv_nsec = NAP_NS};
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
}

/* Holders work for tens of instructions, so a short spin nearly always sees the lock free again. */
static bool spin(struct sync_spin *l) {
    for (unsigned i = 0; i < SYNC_TURNS; i++) {
        uint32_t seen = SYNC_SPIN_FREE;
        if (sync_load(&l->held) == SYNC_SPIN_FREE && sync_cas(&l->held, &seen, (uint32_t)SYNC_SPIN_HELD)) return true;
        sync_pause();
    }
    return false;
}

void sync_spin_lock_slow(struct sync_spin *l) {
    if (spin(l)) return;
    /* Taken as awaited: others may sleep on it, too. */
    while (sync_exchange(&l->held, (uint32_t)SYNC_SPIN_AWAITED) != SYNC_SPIN_FREE)
        sync_sleep(&l->held, SYNC_SPIN_AWAITED);
}
