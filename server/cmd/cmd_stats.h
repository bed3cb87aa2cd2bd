/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_stats - `stats`: every counter and gauge of the node, in groups. What is shown stands as rows in stats.*.def,
 * each name once. The handler is declared by cmd_table.h.
 */
#ifndef TAGCACHED_CMD_CMD_STATS_H
#define TAGCACHED_CMD_CMD_STATS_H

#include "cmd/instance.h"


#endif
