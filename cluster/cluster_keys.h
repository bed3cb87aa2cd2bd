/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cluster_keys - what the two files about the cluster's keys share: cluster_keys.c (this node) and cluster_keys_all.c
 * (all nodes). Nobody else includes it. On the cluster's thread.
 */
#ifndef TAGCACHED_CLUSTER_CLUSTER_KEYS_H
#define TAGCACHED_CLUSTER_CLUSTER_KEYS_H

#include "cluster/cluster_state.h"

enum cluster_keys_verb { CLUSTER_KEYS_LS, CLUSTER_KEYS_RELOAD, CLUSTER_KEYS_USE, CLUSTER_KEYS_REMOVE };

/* The word behind `cluster key` by which one node asks another one to do it alone. */
const char *cluster_keys_word(enum cluster_keys_verb verb);
/* Does it on this node, and lists its keys: KEY lines and END, or one line that says why it was not done. From malloc,
 * ended by a zero; NULL: no memory. id: of a key, "" where the verb takes none. */
char *cluster_keys_own(struct cluster *c, enum cluster_keys_verb verb, const char *id);
/* Does it on all members, this one too, and answers the question, later. A key is used or removed only if all members
 * can do it. */
void cluster_keys_ask_all(struct cluster *c, struct cluster_question *q, enum cluster_keys_verb verb, const char *id);

#endif
