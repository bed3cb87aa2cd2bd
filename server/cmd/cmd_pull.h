/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_pull - pulls: before a request of this node's is run whose key is still moving here, the item is asked of the
 * node that had the key. A pull is a slot of the session's record (cmd_forward.h); when its answer is here the item is
 * stored, if nothing speaks against that (store_receive), and then the request is run here, whatever came.
 *
 * Asking: on the session's worker, inside a section. Answering (cmd_pull_cover, cmd_pull_give): on the link's.
 */
#ifndef TAGCACHED_CMD_CMD_PULL_H
#define TAGCACHED_CMD_CMD_PULL_H

#include "cluster/cover.h"
#include "cmd/cmd_forward.h"
#include "cmd/cmd_link.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "net/conn.h"
#include "proto/link.h"

#define PULL_AGAIN_MS 10 /* before a giver that was behind is asked again, or a full store */
#define PULL_VALUE_MAX (LINK_REPLY_MAX - LINK_HEADER - MOVED_ITEM_REST_MAX) /* bytes of a value in one answer */

/* ------------------------------------------------------------------ asking */

/* How long to wait before the pulls among the first n requests of the record can go on, milliseconds; 0: they can. */
unsigned cmd_pull_pause(const struct forward *f, unsigned n);
/* Sees what has become of the pulls of r[0..n), the requests that begin the input: stores what has come. Those that are
 * done are FORWARD_HERE and no pulls any more, the others FORWARD_WANTED, or FORWARD_HELD. late: the deadline has
 * passed, so none is asked for. */
void cmd_pull_take(struct session *s, struct forward *f, const struct request *r, unsigned n, bool late);
/* After cmd_link_send: those that could not be sent are done, too. */
void cmd_pull_give_up(struct forward *f, unsigned n);

#define PULL_COVER_MAX (4 + COVER_BYTES_MAX)
/* What a LINK_COVER says now, for the pulls among the first n requests that are about to be sent, and notes in the
 * record which number of this node goes with it. Bytes of `to`, or 0: nothing may be pulled now. */
size_t cmd_pull_cover_now(struct cmd_peers *p, struct forward *f, unsigned n, uint8_t to[PULL_COVER_MAX]);

/* ------------------------------------------------------------------ answering */

/* What a link's other side has said of itself for its pulls. */
struct cmd_puller {
    uint64_t ring_version; /* of the view by which it was looked up */
    uint16_t member;       /* its index there */
    bool covered;          /* this node has applied every purge that it has */
};

/* Takes a LINK_COVER. False: it is none. */
bool cmd_pull_cover(struct cmd_worker *w, struct cmd_puller *who, const char *p, size_t n);
/* Answers a LINK_PULL: appends the record, or nothing. False: it is none. *status: of the answer. */
bool cmd_pull_give(struct cmd_worker *w, const struct cmd_puller *who, struct conn *c, unsigned flags, const char *p,
                   size_t n, enum link_status *status);

#endif
