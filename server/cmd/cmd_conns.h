/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_conns - `stats conns`.
 */
#ifndef TAGCACHED_CMD_CMD_CONNS_H
#define TAGCACHED_CMD_CMD_CONNS_H

#include "cmd/session.h"

/* Answers with a few lines about each connection and each socket that is listened on. The session's worker. */
void cmd_conns_command(struct session *s);

#endif
