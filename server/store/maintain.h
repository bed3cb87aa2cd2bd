/* SPDX-License-Identifier: BSD-3-Clause
 *
 * maintain - the maintenance thread's loop. Its functions are those of store.h.
 */
#ifndef TAGCACHED_STORE_MAINTAIN_H
#define TAGCACHED_STORE_MAINTAIN_H

#include <stdint.h>

struct store;

/* So many segments exist whatever the limit: two open for each handle (the maintenance thread's stand for main), and
 * for uploads, what compaction moves, the reserve, some to evict. Else threads that hold open ones and are idle could
 * leave another none. */
static inline uint32_t maintain_segments_least(unsigned nhandles) {
    return 2 * nhandles + 8;
}

/* For how long the maintenance thread may sleep after a round that found nothing to do, unless it is woken. */
uint64_t maintain_idle_ns(struct store *s);

#endif
