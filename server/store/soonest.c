/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/soonest.h"

#include "base/sync.h"
#include "store/state.h"

void soonest_lower(struct store *s, uint32_t expiry) {
    uint32_t seen = sync_load(&s->soonest);
    while ((seen == 0 || seen > expiry) && !sync_cas(&s->soonest, &seen, expiry)) {}
}

/* The segment's bound first: a pass that begins in between sees it there, or leaves the other one to this thread. */
void soonest_note(struct store *s, struct segment *g, uint32_t expiry) {
    if (segment_expiry(g, expiry)) soonest_lower(s, expiry);
}
