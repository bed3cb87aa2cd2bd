/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_copy - copies of other nodes' hot keys (--hot-copies): gets of such a key are answered here, without asking its
 * owner. On the session's worker, each of which has copies of its own.
 *
 * A sample of the gets that go to other nodes is counted (cluster/hot.h). Of a key that is hot the owner is asked for a
 * copy, in a frame of its own beside the clients' requests (proto/link.h, LINK_COPY). A copy is served for a second
 * from when it was asked for, by this node's clock, and only while
 *
 *  - the owner has not said that the key is being changed: it says so before it changes it, and waits (cmd_hold.h);
 *  - no purge of its tags was carried out here since the cover that it was asked under (cluster/cover.h), and the owner
 *    knew all of that cover's purges when it read the item;
 *  - both leases of this node run;
 *  - the view is the one under which it was asked for, and the link over which it came is up.
 *
 * What the owner says of a key that is changed is counted, by a hash of the key, for all workers. A copy remembers the
 * count from before it was asked for. So it does not matter whether the word comes before the copy or behind it, and
 * nobody has to wait for the other workers.
 */
#ifndef TAGCACHED_CMD_CMD_COPY_H
#define TAGCACHED_CMD_CMD_COPY_H

#include "cmd/cmd_forward.h"
#include "cmd/cmd_link.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "proto/link.h"

#define COPY_KEYS_MAX 64     /* of a worker */
#define COPY_AHEAD_MS 200    /* so long before a copy ends the next one is asked for */
#define COPY_AGAIN_MS 10     /* after the owner gave none */
#define COPY_PATIENCE_MS 200 /* ... or has not answered */
#define COPY_NEVER_MS 10000  /* ... or knows nothing of copies */
#define COPY_CHANGES 4096    /* counts of changes; a power of two */

/* The counts of changes, if the options say that there may be copies. 0 or -ENOMEM. */
int cmd_copy_begin(struct cmd *cmd);

/* A worker's copies, without any. NULL: no memory. */
struct cmd_copies *cmd_copy_new(struct cmd_worker *w);
void cmd_copy_free(struct cmd_copies *c);

/* Of the requests r[0..n) of a record that is about to be sent, whose slots begin at f->next: counts the gets among
 * those that are FORWARD_WANTED, and answers those of which there is a copy. Enters the section. */
void cmd_copy_answer(struct session *s, struct forward *f, struct request *r, unsigned n);
/* Asks for the copies that this found wanting. The record's requests were sent. */
void cmd_copy_ask(struct cmd_peers *p);
/* What a member has answered to the ask of this number. */
void cmd_copy_take(struct cmd_peers *p, uint32_t ask, enum link_status status, const char *payload, size_t n);
/* The link to a member has ended, maybe with its process: drops the copies of its keys. A new process of its name would
 * not know of them. */
void cmd_copy_lost(struct cmd_copies *c, unsigned member);
/* Drops all copies; what was asked for is not kept. */
void cmd_copy_drop(struct cmd_copies *c);

/* Another node changes the key of this name: no copy of it that was asked for before is served from here on. Any
 * thread. */
void cmd_copy_gone(struct cmd *cmd, uint64_t name);

#endif
