/* SPDX-License-Identifier: BSD-3-Clause
 *
 * conn_out - the output side of a connection, for the files of this folder (conn_write.c has it): built in the worker's
 * buffer, sent with one call, and only what the socket does not take is kept with the connection. On the connection's
 * worker.
 */
#ifndef TAGCACHED_NET_CONN_OUT_H
#define TAGCACHED_NET_CONN_OUT_H

#include <stdint.h>

struct conn;
struct net_worker;

#define NET_PIECE_MIN 4096 /* bytes read, or written, at once when connections hold much */

/* Makes the worker's buffer nobody's, and empty. */
void out_reset(struct net_worker *w);
/* Sets how much is read and written at once by what connections hold. */
void out_adapt(struct net_worker *w);

/* Sends what the worker's buffer holds for its owner; what the socket does not take moves to the connection. */
void conn_flush_out(struct net_worker *w);
/* Sends what is kept with the connection, as much as the socket takes. */
void conn_send_kept(struct conn *c);
/* Gives up all output, releasing references. */
void conn_drop_out(struct conn *c);

/* Says that unfinished input and unsent output take so many bytes more (or, below 0, less). */
void net_hold_buffer(struct net_worker *w, int64_t bytes);

#endif
