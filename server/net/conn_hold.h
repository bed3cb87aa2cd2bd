/* SPDX-License-Identifier: BSD-3-Clause
 *
 * conn_hold - what connections hold: unfinished input that is kept, how much all of them may hold together, and which
 * of them give way when it is more (README.md, "Clients that stall"). On the connection's worker.
 */
#ifndef TAGCACHED_NET_CONN_HOLD_H
#define TAGCACHED_NET_CONN_HOLD_H

#include <stdbool.h>
#include <stddef.h>

struct conn;

/* Keeps p[0..n), the input not consumed, which lies in the worker's buffer or with the connection already; n 0 gives
 * the memory back. False: there is none. */
bool conn_keep(struct conn *c, const char *p, size_t n);
/* Makes room for a read behind the input that is kept. False: no memory. */
bool conn_keep_room(struct conn *c);
/* Notes whether it holds something. When all hold more than they may, those whose bytes have not moved for longest end,
 * or this one: it is CONN_DEAD then. */
void conn_account(struct conn *c);

#endif
