/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_transfer - values that are too large to wait for on a link that others share: they go to or come from their owner
 * on a transfer link, which serves one client at a time.
 *
 * What travels there is what a client would say: the client's own line, and block, and `mn` behind it, whose answer is
 * the end of whatever was answered before; or the client's own packet, and a noop. The bytes of a value are received
 * where they are sent from: those of a block in the link's output, those of an answer in the client's. If one side does
 * not take more, the other is not read. On the session's worker.
 */
#ifndef TAGCACHED_CMD_CMD_TRANSFER_H
#define TAGCACHED_CMD_CMD_TRANSFER_H

#include "cmd/cmd_link.h"

/* Answers request r, that of slot `at`, by a transfer link. True: it has begun, or waits for its turn; the connection
 * waits, and once r is answered its slot is FORWARD_GIVEN. False: it has failed, as the slot
 * says. *taken: r is a store whose block has still to come, so that it is to be taken off the input now. */
bool cmd_transfer_begin(struct session *s, struct forward_slot *at, const char *base, const struct request *r,
                        bool *taken);
/* CMD_PHASE_RELAY: takes bytes of the block from the input; returns how many. */
size_t cmd_transfer_relay(struct session *s, const char *p, size_t n);
/* CMD_PHASE_RELAY: where the next bytes of it are to be received, *n at most; NULL: they go to the input. */
char *cmd_transfer_space(struct session *s, size_t *n);
/* n bytes were received there. */
void cmd_transfer_received(struct session *s, size_t n);
/* The record's session ends: so does the link that it uses. */
void cmd_transfer_abandon(struct forward *f);
/* The member is in no view any more. */
void cmd_transfer_member_gone(struct cmd_link *l);
/* Frees those for which no answer has come, when no worker runs any more. */
void cmd_transfer_free_all(struct cmd_peers *p);

#endif
