/* SPDX-License-Identifier: BSD-3-Clause
 *
 * erased - what a round that overwrites the dead (erase.h) has to know of segments that are about to be used again.
 * Those are overwritten as a whole, by segment_free. Without store_config.erase nothing happens. Maintenance thread.
 */
#ifndef TAGCACHED_STORE_ERASED_H
#define TAGCACHED_STORE_ERASED_H

#include <stdint.h>

struct store;

/* Everything in a segment is dead, and it waits to be free: nothing in it has to be overwritten by itself any more. */
void erased_retired(struct store *s, uint32_t segment);
/* It was overwritten, and is free. */
void erased_freed(struct store *s, uint32_t segment);

#endif
