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

/* What became of a purge. */
struct cmd_audit_outcome {
    const char *stage;       /* planned, confirmed, pending, refused */
    const char *id;          /* NULL: none */
    unsigned acked, members; /* 0 members: it was refused */
    const char *missing;     /* NULL: nobody */
    uint64_t took_ns;        /* 0: no time */
    int64_t items;           /* -1: not counted */
    const char *error;       /* why it was refused */
};

/* Before the purge p, whose selectors came as text[0..n), is carried out. With --audit=required its line has to be in
 * the file first: LATER, and the request is to be run again, when this answers GO, or REFUSED: it could not be written.
 */
enum cmd_audit_answer { CMD_AUDIT_GO, CMD_AUDIT_LATER, CMD_AUDIT_REFUSED };
enum cmd_audit_answer cmd_audit_ask(struct session *s, const struct request *r, const struct store_purge *p,
                                    const char *text, size_t n);
/* Whether the session's first job is such a line. */
bool cmd_audit_asks(const struct session *s);

/* Tells what became of it. */
void cmd_audit_tell(struct session *s, const struct request *r, const struct store_purge *p, const char *text, size_t n,
                    const struct cmd_audit_outcome *o);

#endif
