/* SPDX-License-Identifier: BSD-3-Clause
 *
 * turn - which uploads may take memory, and which wait for their turn.
 */
#ifndef TAGCACHED_STORE_TURN_H
#define TAGCACHED_STORE_TURN_H

#include <stdbool.h>

#include "store/handle.h"
#include "store/upload.h"

/* Gives a new upload its turn, or puts it in line. */
void turn_begin(struct store_worker *w, struct store_upload *u);
/* Bytes have come. On its own worker. */
void turn_progress(struct store_upload *u);
/* Its segments were let go: others may have the memory. */
void turn_end(struct store_worker *w, struct store_upload *u);
/* Gives turns to those that wait, and has those that stall give way. False: nobody waits. Any thread, through its own
 * handle. */
bool turn_look(struct store_worker *w);

#endif
