/* SPDX-License-Identifier: BSD-3-Clause
 *
 * node_audit - a node's audit (--audit, base/audit.h), from its settings.
 */
#ifndef TAGCACHED_NODE_AUDIT_H
#define TAGCACHED_NODE_AUDIT_H

#include <stddef.h>

struct audit;
struct clock;
struct log;
struct settings;

/* Makes it; *out is NULL without --audit. The lines name the node as the machine, until a cluster gives it
 * another name. 0, or
 * -errno with a sentence in err. */
int node_audit_new(const struct settings *s, const struct clock *clock, struct log *log, struct audit **out, char *err,
                   size_t err_size);

#endif
