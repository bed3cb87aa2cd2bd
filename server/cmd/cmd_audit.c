/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_audit.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/audit.h"
#include "cluster/cluster_task.h"
#include "cmd/cmd_job.h"
#include "cmd/instance.h"
#include "net/conn.h"
#include "proto/meta.h"
#include "proto/tagname.h"

/* The line of a purge that is not carried out before it is written. */
struct asking {
    struct cmd_job job; /* first: it is found by it */
    struct audit_wait wait;
    bool written;
};

/* mp's flag r, zero-terminated. */
static const char *reason_of(const struct session *s, const struct request *r, char out[AUDIT_REASON_MAX + 1]) {
    const struct meta *m = &s->worker->meta;
    if (r->row->id != CMD_ID_mp || !meta_has(m, 'r')) return NULL;
    out[tagname_decode(m->reason.p, m->reason.n, out, AUDIT_REASON_MAX)] = '\0';
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

bool cmd_audit_lacks_reason(const struct session *s, const struct request *r) {
    char reason[AUDIT_REASON_MAX + 1];
    if (!audit_wants_reason(s->worker->cmd->cfg.audit)) return false;
    return reason_of(s, r, reason) == NULL || reason[0] == '\0';
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
    char reason[AUDIT_REASON_MAX + 1];
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

/* ------------------------------------------------------------------ what became of it */

static void tell(struct session *s, struct audit_event *e, const char *stage, uint64_t took_ns) {
    e->stage = stage;
    if (took_ns != 0) e->ms = (double)took_ns / 1e6;
    audit_put(s->worker->cmd->cfg.audit, e);
}

void cmd_audit_alone(struct session *s, const struct request *r, const struct store_purge *p, const char *text,
                     size_t n, uint64_t number, uint64_t took_ns, int64_t items, uint64_t bytes) {
    char reason[AUDIT_REASON_MAX + 1], id[24];
    if (s->worker->cmd->cfg.audit == NULL) return;
    struct audit_event e = event_of(s, r, p, text, n, reason_of(s, r, reason));
    *text_put_u64(id, number) = '\0';
    e.id = id;
    e.acked = e.members = 1;
    if (p->counted) e.items = items;
    if (p->counted) e.bytes = (int64_t)bytes;
    tell(s, &e, "confirmed", took_ns);
    if (p->counted) audit_put_swept(s->worker->cmd->cfg.audit, &e, s->worker->cmd->cfg.erase);
}

void cmd_audit_cluster(struct session *s, const struct request *r, const struct store_purge *p, const char *text,
                       size_t n, const struct cluster_purge *c, uint64_t took_ns) {
    static const char *const stages[] = {
        [CLUSTER_CONFIRMED] = "confirmed", [CLUSTER_PENDING] = "pending", [CLUSTER_REFUSED] = "refused"};
    char reason[AUDIT_REASON_MAX + 1], id[CLUSTER_PURGE_ID_TEXT];
    if (s->worker->cmd->cfg.audit == NULL) return;
    struct audit_event e = event_of(s, r, p, text, n, reason_of(s, r, reason));
    cluster_purge_id(c, id);
    e.id = id;
    e.acked = c->acked;
    e.members = c->members;
    e.pending = c->missing;
    if (p->counted) e.items = c->items;
    if (p->counted) e.bytes = (int64_t)c->bytes;
    if (c->outcome == CLUSTER_REFUSED) e.error = c->refusal;
    tell(s, &e, stages[c->outcome], took_ns);
}

void cmd_audit_refused(struct session *s, const struct request *r, const struct store_purge *p, const char *text,
                       size_t n, const char *why) {
    char reason[AUDIT_REASON_MAX + 1];
    if (s->worker->cmd->cfg.audit == NULL) return;
    struct audit_event e = event_of(s, r, p, text, n, reason_of(s, r, reason));
    e.error = why;
    tell(s, &e, "refused", 0);
}

void cmd_audit_planned(struct session *s, const struct request *r, const struct store_purge *p, const char *text,
                       size_t n) {
    char reason[AUDIT_REASON_MAX + 1];
    if (s->worker->cmd->cfg.audit == NULL) return;
    struct audit_event e = event_of(s, r, p, text, n, reason_of(s, r, reason));
    tell(s, &e, "planned", 0);
}
