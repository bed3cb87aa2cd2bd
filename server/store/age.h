/* SPDX-License-Identifier: BSD-3-Clause
 *
 * age - when a version was given out, so that items have an age without a byte of their own.
 *
 * Versions come from one counter and rise with time. So it is enough to note what the counter said as a second began:
 * level 0 holds the latest 4,096 seconds in which anything was done, level k one in 2^k seconds and so 2^k times as
 * much of the past. The second of a version is exact as long as level 0 has it, which is an hour at least, and beyond
 * that right to within 1/4000 of its age.
 *
 * Threads: any thread notes a second and any asks; whoever asks takes no lock.
 */
#ifndef TAGCACHED_STORE_AGE_H
#define TAGCACHED_STORE_AGE_H

#include <stdint.h>

#include "base/sync.h"

#define AGE_SAMPLES 4096 /* of one level */
#define AGE_LEVELS 21    /* the last one reaches back over all 2^32 seconds */

struct age_level {
    uint64_t count; /* samples ever written; sample i lies at i % AGE_SAMPLES */
    uint64_t version[AGE_SAMPLES];
    uint32_t second[AGE_SAMPLES];
};

struct ages {
    struct age_level *levels; /* AGE_LEVELS; only what was written of them costs memory */
    struct sync_spin lock;    /* of whoever writes */
    uint32_t latest;          /* second that is noted */
};

/* Begins with `now`, at which the counter says `version`. 0 or -ENOMEM. */
int age_init(struct ages *a, uint32_t now, uint64_t version);
void age_fini(struct ages *a);

/* Notes that it is `now`, if nobody has. To be called by each thread before it takes the first version of a second from
 * the counter; versions that it took before are not to be given out any more. */
void age_note(struct ages *a, uint32_t now, const uint64_t *counter);

/* The second in which a version was given out. */
uint32_t age_second(const struct ages *a, uint64_t version);

#endif
