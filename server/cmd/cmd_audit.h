/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_audit - tells the audit (base/audit.h) of the purges of commands. On the session's worker. Without an audit all
 * of it does nothing.
 */
#ifndef TAGCACHED_CMD_CMD_AUDIT_H
#define TAGCACHED_CMD_CMD_AUDIT_H

#include "cmd/request.h"
#include "cmd/session.h"
#include "store/store.h"

struct cluster_purge;

/* Before the purge p, whose selectors came as text[0..n), is carried out. With --audit=required its line has to be in
 * the file first: LATER, and the request is to be run again, when this answers GO, or REFUSED: it could not be written.
 */
enum cmd_audit_answer { CMD_AUDIT_GO, CMD_AUDIT_LATER, CMD_AUDIT_REFUSED };
enum cmd_audit_answer cmd_audit_ask(struct session *s, const struct request *r, const struct store_purge *p,
                                    const char *text, size_t n);
/* Whether the request has to give a reason for its purge and gives none: only mp can. */
bool cmd_audit_lacks_reason(const struct session *s, const struct request *r);
/* Whether the session's first job is such a line. */
bool cmd_audit_asks(const struct session *s);

/* Tells what became of it: this node alone has carried it out, in that time (0: none that could be measured), and taken
 * out so many items if it counts them; */
void cmd_audit_alone(struct session *s, const struct request *r, const struct store_purge *p, const char *text,
                     size_t n, uint64_t number, uint64_t took_ns, int64_t items, uint64_t bytes);
/* or the cluster has, or has refused it; */
void cmd_audit_cluster(struct session *s, const struct request *r, const struct store_purge *p, const char *text,
                       size_t n, const struct cluster_purge *c, uint64_t took_ns);
/* or it was refused here; */
void cmd_audit_refused(struct session *s, const struct request *r, const struct store_purge *p, const char *text,
                       size_t n, const char *why);
/* or it will be made later. */
void cmd_audit_planned(struct session *s, const struct request *r, const struct store_purge *p, const char *text,
                       size_t n);

#endif
