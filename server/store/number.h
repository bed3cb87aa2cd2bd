/* SPDX-License-Identifier: BSD-3-Clause
 *
 * number - the counter that stores and purges take their versions from.
 */
#ifndef TAGCACHED_STORE_NUMBER_H
#define TAGCACHED_STORE_NUMBER_H

#include <stdint.h>

#include "base/check.h"
#include "base/sync.h"
#include "store/handle.h"
#include "store/state.h"

#define NUMBER_BLOCK 64 /* numbers that a handle reserves at once */

uint64_t number_take_slow(struct store_worker *w, uint64_t above);

/* The next version, above `above`. Bucket locked, in a section. */
static inline uint64_t number_take(struct store_worker *w, uint64_t above) {
    const uint64_t n = w->number_next;
    if (unlikely(n == w->number_end || n <= above || sync_load_acq(&w->s->purge.seq) >= n))
        return number_take_slow(w, above);
    w->number_next = n + 1;
    return n;
}

#endif
