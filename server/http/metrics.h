/* SPDX-License-Identifier: BSD-3-Clause
 *
 * metrics - the page /metrics: memcached_exporter's metrics (metrics.memcached.def) and this server's own
 * (metrics.tagcached.def). Any thread; takes no lock that a request for a key takes.
 */
#ifndef TAGCACHED_HTTP_METRICS_H
#define TAGCACHED_HTTP_METRICS_H

#include "http/exposition.h"

struct cmd;
struct http;

/* Writes all of it to *e, which is empty but for open_metrics. */
void metrics_write(struct exposition *e, struct cmd *cmd, const struct http *http);

#endif
