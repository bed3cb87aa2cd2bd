/* SPDX-License-Identifier: BSD-3-Clause
 *
 * conn_link - the output of a connection between two nodes. It is built in a buffer of the connection's own, whoever is
 * being served meanwhile, and leaves at the end of the loop's round: so the requests of many clients leave in one
 * write. What was appended can be looked at, completed and taken back until then.
 *
 * conn_reserve and its companions (conn_write.h) work on such a connection as on any other, except that nothing is sent
 * before the round ends and that conn_ref copies. On the connection's worker.
 */
#ifndef TAGCACHED_NET_CONN_LINK_H
#define TAGCACHED_NET_CONN_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;

#define CONN_LINK_FULL (256u * 1024) /* bytes of output from which conn_full holds for a link */

/* Makes c, which was just adopted (conn_adopt), a link. `reads_on`: it is read while its output waits, which the side
 * that asks must do, or two nodes could wait for each other. A link is never idle for too long, and never gives way to
 * others. False: no memory, and it is closed. */
bool conn_link_begin(struct conn *c, bool reads_on);
/* Has what was appended sent at the end of this round. */
void conn_link_send(struct conn *c);

/* Bytes of output that wait: where the next one will be. Holds until the upcall ends. */
size_t conn_link_tell(const struct conn *c);
/* The byte of output at a place that conn_link_tell gave. Where there was no memory for the output, the connection is
 * about to close, and this is as good a place to write to as the one that conn_reserve gave. */
char *conn_link_at(struct conn *c, size_t at);
/* Takes back all output from that place on. */
void conn_link_rewind(struct conn *c, size_t at);
/* Bytes that were handed to the kernel since it began; in `close` too. */
uint64_t conn_link_sent(const struct conn *c);

#endif
