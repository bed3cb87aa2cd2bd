/* SPDX-License-Identifier: BSD-3-Clause
 *
 * verdict - whether an item may be served: what its expiry and the purges of its tags say. Any thread, in a section.
 */
#ifndef TAGCACHED_STORE_VERDICT_H
#define TAGCACHED_STORE_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/sync.h"
#include "store/handle.h"
#include "store/item.h"
#include "store/state.h"

enum verdict {
    VERDICT_LIVE,
    VERDICT_SOFT, /* softly purged: stale until the deadline */
    VERDICT_PURGED,
    VERDICT_EXPIRED,
};

static inline bool verdict_expired(uint32_t expiry, uint32_t now) {
    return expiry != 0 && expiry <= now;
}

enum verdict verdict_slow(struct store_worker *w, const struct item *it, uint32_t *deadline);

/* What is true of an item in the handle's present second. *deadline is set for VERDICT_SOFT. */
static inline enum verdict verdict_of(struct store_worker *w, const struct item *it, uint32_t *deadline) {
    if (unlikely(verdict_expired(it->expiry, w->now))) return VERDICT_EXPIRED;
    if (likely(it->version > sync_load_acq(&w->s->purge.seq))) return VERDICT_LIVE;
    return verdict_slow(w, it, deadline);
}

/* The number of the purge that makes an item not live; 0: not known. *tag as purge_cause has it. */
uint64_t verdict_cause(const struct store_worker *w, const struct item *it, uint64_t *tag);

/* What the purge table says of an item to a reader who names tags beside its own. */
enum verdict verdict_for_reader(struct store_worker *w, const struct item *it, const uint64_t *read, unsigned nread,
                                uint32_t *deadline);

#endif
