/* SPDX-License-Identifier: BSD-3-Clause
 *
 * settings_cluster - what the options of the cluster must fit together to.
 */
#ifndef TAGCACHED_SETTINGS_CLUSTER_H
#define TAGCACHED_SETTINGS_CLUSTER_H

#include <stddef.h>

struct settings;

#define SETTINGS_WEIGHT_MAX 1000

/* Checks the options of the cluster, as far as they can be judged before a socket is bound. 0, or -EINVAL with a
 * sentence in err. */
int settings_check_cluster(const struct settings *s, char *err, size_t err_size);
/* The weight; 0 for a witness. Only after the check. */
unsigned settings_weight(const struct settings *s);

#endif
