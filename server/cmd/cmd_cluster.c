/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Handlers: cluster, config. */
#include "cmd/cmd_cluster.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/audit.h"
#include "cluster/cluster_gauges.h"
#include "cluster/cluster_task.h"
#include "cmd/cmd_job.h"
#include "cmd/cmd_metrics.h"
#include "cmd/cmd_stat_line.h"
#include "cmd/instance.h"
#include "cmd/reply.h"
#include "net/conn.h"
#include "proto/text.h"

#define NO_CLUSTER "CLIENT_ERROR this node belongs to no cluster"
#define DISCOVERY_KEY "AmazonElastiCache:cluster"
#define DISCOVERY_MAX (256 * 1024) /* bytes of a list of nodes */

static const struct cmd_cluster *cluster_of(const struct session *s) {
    return s->worker->cmd->cluster;
}

/* ------------------------------------------------------------------ questions */

struct question_job {
    struct cmd_job job; /* first: it is found by it */
    struct cluster_question question;
};

static void job_free(struct cmd_job *job) {
    struct question_job *q = (struct question_job *)job;
    free(q->question.reply);
    free(q);
}

static void on_done(struct cluster_question *question) {
    cmd_job_end(&((struct question_job *)((char *)question - offsetof(struct question_job, question)))->job);
}

/* What stands behind the command's name. */
static struct text_token words_of(const struct request *r) {
    size_t at = r->row->name_len;
    while (at < r->line_len && r->line[at] == ' ') at++;
    return (struct text_token){r->line + at, r->line_len - at};
}

/* Tells the audit of a change that an operator has asked for: OK, or a list of keys, is the answer if it was done. */
static void tell_change(const struct session *s, const struct request *r, const struct cluster_question *q) {
    const struct text_token words = words_of(r);
    const bool refused = strncmp(q->reply, "CLIENT_ERROR", 12) == 0 || strncmp(q->reply, "SERVER_ERROR", 12) == 0;
    char detail[CLUSTER_LINE_MAX + 1], why[200];
    snprintf(detail, sizeof detail, "%.*s", (int)words.n, words.p);
    snprintf(why, sizeof why, "%.*s", (int)strcspn(q->reply, "\r"), q->reply);
    audit_change(s->worker->cmd->cfg.audit, "cluster", detail, conn_peer(s->conn), refused ? why : NULL);
}

static void answer(struct session *s, const struct request *r) {
    struct question_job *q = (struct question_job *)cmd_job_take(s);
    if (q->question.changes && q->question.reply != NULL) tell_change(s, r, &q->question);
    if (q->question.reply != NULL)
        conn_write(s->conn, q->question.reply, q->question.reply_bytes);
    else
        cmd_line_lit(s, "SERVER_ERROR out of memory");
    job_free(&q->job);
}

void cmd_cluster(struct session *s, struct request *r) {
    const struct cmd_cluster *cluster = cluster_of(s);
    const struct text_token words = words_of(r);
    if (cluster == NULL) {
        cmd_line_lit(s, NO_CLUSTER);
        return;
    }
    if (s->job != NULL) {
        answer(s, r);
        return;
    }
    if (words.n > CLUSTER_LINE_MAX) {
        cmd_line_lit(s, CMD_BAD_FORMAT);
        return;
    }
    struct question_job *q = calloc(1, sizeof *q);
    if (q == NULL) {
        cmd_line_lit(s, "SERVER_ERROR out of memory");
        return;
    }
    cmd_job_init(&q->job, s, job_free);
    memcpy(q->question.line, words.p, words.n);
    q->question.privileged = s->admin;
    q->question.done = on_done;
    cmd_job_begin(s, &q->job);
    cmd_retry_later(s);
    cluster->ask(cluster->arg, &q->question);
}

/* ------------------------------------------------------------------ stats cluster */

void cmd_cluster_stats(const struct cmd_stat_line *to) {
    const struct session *s = to->s;
    const struct cmd_cluster *cluster = cluster_of(s);
    struct cluster_gauges gauges, *g = &gauges;
    uint64_t v[CMD_METRICS];
    if (cluster == NULL) {
        cmd_stat_line_error(to, BINARY_NOT_FOUND, NO_CLUSTER);
        return;
    }
    cluster->gauges(cluster->arg, g);
    for (unsigned i = 0; i < CMD_METRICS; i++) v[i] = cmd_metrics_sum(s->worker->cmd, (enum cmd_metric)i);
#define STAT(name, kind, value, help) cmd_stat_line_##kind(to, "", #name, (value));
#include "cmd/stats.cluster.def"
#undef STAT
    cmd_stat_line_end(to);
}

/* ------------------------------------------------------------------ discovery */

/* The list of nodes, from malloc. NULL: no memory. */
static char *list_nodes(const struct cmd_cluster *cluster, size_t *n) {
    char *text = malloc(DISCOVERY_MAX);
    if (text != NULL) *n = cluster->discovery(cluster->arg, text, DISCOVERY_MAX);
    return text;
}

bool cmd_cluster_is_discovery(const struct session *s, const struct request *r) {
    return cluster_of(s) != NULL && r->key.len == sizeof DISCOVERY_KEY - 1 &&
           memcmp(r->key.p, DISCOVERY_KEY, r->key.len) == 0;
}

void cmd_cluster_discover(struct session *s, const struct request *r) {
    size_t n;
    char *text = list_nodes(cluster_of(s), &n);
    if (text == NULL) return; /* a miss */
    cmd_linef(s, "VALUE %.*s 0 %zu", (int)r->key.len, r->key.p, n);
    conn_write(s->conn, text, n);
    conn_write(s->conn, "\r\n", 2);
    free(text);
}

void cmd_config(struct session *s, struct request *r) {
    struct text_token words[4];
    const unsigned n = cmd_split(r, words, 4);
    size_t bytes;
    if (n != 3 || !text_is_lit(&words[1], "get") || !text_is_lit(&words[2], "cluster")) {
        cmd_line_lit(s, "ERROR");
        return;
    }
    if (cluster_of(s) == NULL) {
        cmd_line_lit(s, NO_CLUSTER);
        return;
    }
    char *text = list_nodes(cluster_of(s), &bytes);
    if (text == NULL) {
        cmd_line_lit(s, "SERVER_ERROR out of memory");
        return;
    }
    cmd_linef(s, "CONFIG cluster 0 %zu", bytes);
    conn_write(s->conn, text, bytes);
    cmd_line_lit(s, "\r\nEND");
    free(text);
}
