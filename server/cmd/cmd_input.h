/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_input - the bytes of a connection: what they are (a line, a block, what is to be discarded), batches of requests
 * made of them, and each request run. On the session's worker.
 */
#ifndef TAGCACHED_CMD_CMD_INPUT_H
#define TAGCACHED_CMD_CMD_INPUT_H

#include "cmd/session.h"

/* Takes bytes from the front of p[0..n) and answers what they ask; returns how many were used. What is left is shown
 * again with more behind it. */
size_t cmd_input(struct session *s, char *p, size_t n);

#endif
