/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_moving - requests for keys that a change of the ring brings to this node, while their items are still on their
 * way (cluster/move.h): when such a request may be run, and what has to be noted before it changes anything.
 *
 * On a worker, inside a section.
 */
#ifndef TAGCACHED_CMD_CMD_MOVING_H
#define TAGCACHED_CMD_CMD_MOVING_H

#include <stdbool.h>

#include "base/check.h"
#include "cluster/view.h"
#include "cmd/cmd_link.h"
#include "cmd/instance.h"
#include "cmd/request.h"
#include "cmd/session.h"

/* Whether keys are moving to this node. */
static inline bool cmd_moving(const struct cmd_worker *w) {
    return w->peers != NULL && w->peers->view != NULL && unlikely(view_gains(w->peers->view));
}

/* When a request of this node's may be run. */
enum cmd_turn {
    CMD_TURN_NOW,
    CMD_TURN_WAIT, /* not before the former owner acts for its key no more */
    CMD_TURN_PULL, /* once the former owner was asked for the item */
};

/* The turn of a request whose key is this node's, and was the donor's with this index of the move before; or RING_NONE.
 */
enum cmd_turn cmd_moving_turn(struct session *s, const struct request *r, const struct store_key *key, unsigned donor);

/* r[0..n) are about to be run: adds the keys of those that may change anything to the set of keys written here. Nothing
 * that comes from their former owners is stored any more. Cheap while nothing moves. */
void cmd_moving_note(struct session *s, const struct request *r, unsigned n);
/* The same of a key that is changed beside that: whatever was refused takes the old value with it. */
void cmd_moving_note_key(struct session *s, const struct store_key *key);

#endif
