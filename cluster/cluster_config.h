/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cluster_config - what a node tells its cluster's thread when it makes it.
 */
#ifndef TAGCACHED_CLUSTER_CLUSTER_CONFIG_H
#define TAGCACHED_CLUSTER_CLUSTER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct clock;
struct log;

#endif
