/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cluster_text - an answer that grows line by line. On the cluster's thread.
 */
#ifndef TAGCACHED_CLUSTER_CLUSTER_TEXT_H
#define TAGCACHED_CLUSTER_CLUSTER_TEXT_H

#include <stddef.h>

#include "cluster/cluster_task.h"

/* All zeros to begin with. */
struct cluster_text {
    char *p; /* from malloc */
    size_t n, max;
};

/* Appends at most 2 KiB. Without memory what does not fit is left out. */
void cluster_text_put(struct cluster_text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Makes it the question's answer. */
void cluster_text_finish(struct cluster_question *q, struct cluster_text *t);

#endif
