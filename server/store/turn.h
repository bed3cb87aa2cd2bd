/* SPDX-License-Identifier: BSD-3-Clause
 *
 * turn - which uploads may take memory, and which wait for their turn.
 */
#ifndef TAGCACHED_STORE_TURN_H
#define TAGCACHED_STORE_TURN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "store/handle.h"
#include "store/state.h"

enum turn_state {
    TURN_WAITS,     /* for its turn */
    TURN_UNDER_WAY, /* has it */
    TURN_DISPLACED, /* has to be given up */
};

/* What an upload takes its turn with. Shared, under the lock of uploads; `state` and `moved_ns` are read, and moved_ns
 * written, without it. */
struct turn {
    TAILQ_ENTRY(turn) link;
    struct turn_list *list; /* that it is on: those that wait or those under way; NULL: neither */
    uint32_t state;         /* enum turn_state */
    unsigned handle;        /* index of the handle that the upload was begun through; never changes */
    uint64_t size;          /* bytes that were announced; never changes */
    uint64_t moved_ns;      /* when it came, began or last made progress */
    uint64_t moved_got;     /* bytes there were then; its own worker's */
};

/* Gives a new upload its turn, or puts it in line. */
void turn_begin(struct store_worker *w, struct turn *t);
/* Bytes have come: so many are there now. On its own worker. */
void turn_progress(const struct store *s, struct turn *t, uint64_t got);
/* Its segments were let go: others may have the memory. */
void turn_end(struct store_worker *w, struct turn *t);
/* Gives turns to those that wait, and has those that stall give way. False: nobody waits. Any thread, through its own
 * handle. */
bool turn_look(struct store_worker *w);

#endif
