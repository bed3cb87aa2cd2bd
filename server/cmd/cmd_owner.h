/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_owner - whose keys the requests of a batch are about. On the session's worker, inside a section.
 */
#ifndef TAGCACHED_CMD_CMD_OWNER_H
#define TAGCACHED_CMD_CMD_OWNER_H

#include <stdbool.h>

#include "cmd/request.h"
#include "cmd/session.h"

/* What was found out about a batch from some request on. */
struct cmd_span {
    unsigned first; /* the first request that is another node's, or has to wait; `end`: there is none */
    unsigned end;   /* requests up to here were looked at: the batch's end, or a barrier */
};

/* Finds the owners of r[0..n)'s keys, up to a barrier: peers->owner[i], this node (view->self) for what is its own
 * anyhow. A write of a key of another node that is read before it in the same batch is a barrier too: if the answer to
 * the read has to be fetched again, it must still be what there was before the write. Of this node's keys, items that
 * it stored before it owned them are taken out; and for those that are moving here, peers->turn[i] says when their
 * requests may be run, and peers->donor[i] from whom they come. What another node asks for is never another's: it is
 * not passed on again. */
struct cmd_span cmd_owner_find(struct session *s, const struct request *r, unsigned n);

/* Whether r, which was not looked at under the present ring, is about a key of this node and may be run; its item is
 * taken out likewise. */
bool cmd_owner_is_here(struct session *s, const struct request *r);

#endif
