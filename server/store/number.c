/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/number.h"

#include "base/fault.h"

/*
 * Stores and purges take their versions from one counter. Threads reserve blocks, since a contended counter is slow. A
 * thread drops its block once a purge has a version above what is left of it: a store that begins after a purge was
 * answered must get a higher version. Nobody makes up a version: "the old one plus one" could be handed out twice.
 */
uint64_t number_take_slow(struct store_worker *w, uint64_t above) {
    struct store *s = w->s;
    bool purged = sync_load_acq(&s->purge.seq) >= w->number_next && !FAULT_POINT("number.mutate.keep_block");
    if (w->number_next == w->number_end || purged) {
        w->number_next = sync_add_acqrel(&s->number, NUMBER_BLOCK);
        w->number_end = w->number_next + NUMBER_BLOCK;
    }
    if (unlikely(w->number_next <= above)) {
        if (FAULT_POINT("number.mutate.invent")) return above + 1;
        return sync_add_acqrel(&s->number, 1);
    }
    return w->number_next++;
}

uint64_t store_number(const struct store *s) {
    return sync_load_acq(&s->number) - 1;
}

void store_renumber(struct store_worker *w) {
    w->number_next = w->number_end;
}
