/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_audit.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/audit.h"
#include "cmd/cmd_job.h"
#include "cmd/instance.h"
#include "net/conn.h"
#include "proto/meta.h"
#include "proto/tagname.h"

#define REASON_MAX 200 /* bytes of a reason; a longer one is cut */

/* The line of a purge that is not carried out before it is written. */
struct asking {
    struct cmd_job job; /* first: it is found by it */
    struct audit_wait wait;
    bool written;
};

/* mp's flag r, zero-terminated. */
static const char *reason_of(const struct session *s, const struct request *r, char out[REASON_MAX + 1]) {
    const struct meta *m = &s->worker->meta;
    if (r->row->id != CMD_ID_mp || !meta_has(m, 'r')) return NULL;
    out[tagname_decode(m->reason.p, m->reason.n, out, REASON_MAX)] = '\0';
    return out;
}

static struct audit_event event_of(struct session *s, const struct request *r, const struct store_purge *p,
                                   const char *text, size_t n, const char *reason) {
    const bool all = p->nselectors == 1 && p->selectors[0].all;
    return (struct audit_event){
        .event = "purge",
        .mode = all       ? "all"
                : p->soft ? "soft"
                          : "hard",
        .selectors = text,
        .n = n,
        .ttl_s = !p->soft             ? (int64_t)-1
                 : p->soft_ttl_s != 0 ? p->soft_ttl_s
                                      : STORE_SOFT_TTL_S,
        .kind = s->binary ? "binary" : "text",
        .dialect = r->row->name,
        .addr = conn_peer(s->conn),
        .ms = -1,
        .items = -1,
        .bytes = -1,
        .reason = reason,
    };
}

static void asking_free(struct cmd_job *job) {
    free(job);
}

static void on_written(struct audit_wait *w, bool written) {
    struct asking *k = (struct asking *)((char *)w - offsetof(struct asking, wait));
    k->written = written;
    cmd_job_end(&k->job);
}

bool cmd_audit_asks(const struct session *s) {
    return s->job != NULL && s->job->free == asking_free;
}

enum cmd_audit_answer cmd_audit_ask(struct session *s, const struct request *r, const struct store_purge *p,
                                    const char *text, size_t n) {
    struct audit *audit = s->worker->cmd->cfg.audit;
    char reason[REASON_MAX + 1];
    if (!audit_required(audit)) return CMD_AUDIT_GO;
    if (cmd_audit_asks(s)) {
        struct asking *k = (struct asking *)cmd_job_take(s);
        const bool written = k->written;
        free(k);
        return written ? CMD_AUDIT_GO : CMD_AUDIT_REFUSED;
    }
    struct asking *k = calloc(1, sizeof *k);
    if (k == NULL) return CMD_AUDIT_REFUSED;
    struct audit_event e = event_of(s, r, p, text, n, reason_of(s, r, reason));
    e.stage = "asked";
    cmd_job_init(&k->job, s, asking_free);
    k->wait.done = on_written;
    cmd_job_begin(s, &k->job);
    audit_put_waiting(audit, &e, &k->wait);
    return CMD_AUDIT_LATER;
}

void cmd_audit_tell(struct session *s, const struct request *r, const struct store_purge *p, const char *text, size_t n,
                    const struct cmd_audit_outcome *o) {
    struct audit *audit = s->worker->cmd->cfg.audit;
    char reason[REASON_MAX + 1];
    if (audit == NULL) return;
    struct audit_event e = event_of(s, r, p, text, n, reason_of(s, r, reason));
    e.stage = o->stage;
    e.id = o->id;
    e.acked = o->acked;
    e.members = o->members;
    e.pending = o->missing;
    e.ms = o->took_ns != 0 ? (double)o->took_ns / 1e6 : -1;
    e.items = o->items;
    e.error = o->error;
    audit_put(audit, &e);
}
