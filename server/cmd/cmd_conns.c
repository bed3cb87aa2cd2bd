/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Connections belong to their workers, so the question travels from worker to worker, each adding its own, and comes
 * back to the one that asked, whose connection is parked meanwhile. */
#include "cmd/cmd_conns.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/sync.h"
#include "cmd/cmd_dump.h"
#include "cmd/cmd_producer.h"
#include "cmd/cmd_watch.h"
#include "cmd/instance.h"
#include "cmd/reply.h"
#include "cmd/session.h"
#include "net/conn.h"
#include "net/worker.h"

#define CONNS_RUNNING_MAX 16 /* `stats conns` at a time: each holds a text about all connections */

/* One `stats conns` under way. worker_post hands it from worker to worker, so one thread has it at a time; only `gone`
 * is set by the asking connection's thread, and whoever has the question then frees it. */
struct conns {
    struct cmd *cmd;
    struct session *session; /* the asking session; for its worker's thread only */
    uint32_t gone;           /* atomic: the asking connection has closed */
    const void *asker;       /* the asking session, to be compared by any thread */
    unsigned home;           /* the index of the asking worker */
    unsigned at;             /* the index of the worker that has it */
    struct net_post post;    /* takes it there */
    char *text;
    size_t n, max;
    bool failed; /* no memory */
};

static void append(struct conns *q, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void append(struct conns *q, const char *fmt, ...) {
    if (q->max - q->n < 512) {
        size_t max = q->max * 2 + 8192;
        char *text = realloc(q->text, max);
        if (text == NULL) {
            q->failed = true;
            return;
        }
        q->text = text;
        q->max = max;
    }
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(q->text + q->n, 512, fmt, ap);
    va_end(ap);
    q->n += n < 512 ? (size_t)n : 511;
}

/* The address that a socket is bound to, as memcached writes it: tcp:1.2.3.4:11211. */
static void listen_addr(int fd, char *out, size_t max) {
    union {
        struct sockaddr sa;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un un;
        struct sockaddr_storage any;
    } a;
    socklen_t len = sizeof a;
    char ip[INET6_ADDRSTRLEN];
    memset(&a, 0, sizeof a);
    if (getsockname(fd, &a.sa, &len) != 0) {
        snprintf(out, max, "unknown");
    } else if (a.sa.sa_family == AF_INET) {
        snprintf(out, max, "tcp:%s:%u", inet_ntop(AF_INET, &a.v4.sin_addr, ip, sizeof ip), ntohs(a.v4.sin_port));
    } else if (a.sa.sa_family == AF_INET6) {
        snprintf(out, max, "tcp6:[%s]:%u", inet_ntop(AF_INET6, &a.v6.sin6_addr, ip, sizeof ip), ntohs(a.v6.sin6_port));
    } else {
        snprintf(out, max, "unix:%.*s", (int)sizeof a.un.sun_path, a.un.sun_path);
    }
}

static const char *state_name(struct conn *c, const struct conns *q) {
    const struct session *s = conn_session(c);
    if (s == q->asker)
        return "conn_parse_cmd"; /* it is parked for this answer; memcached shows the command being parsed */
    if (cmd_watch_is(s)) return "conn_watch";
    const char *name = conn_state_name(c);
    if (strcmp(name, "conn_read") != 0) return name;
    if (s->phase == CMD_PHASE_DISCARD_BODY) return "conn_swallow";
    if (s->phase == CMD_PHASE_BODY || s->need > 0) return "conn_nread"; /* the rest of a block */
    return s->phase == CMD_PHASE_BEGIN ? "conn_new_cmd" : name;
}

static void one_listener(void *arg, int fd) {
    struct conns *q = arg;
    char local[160];
    if (fd < 0) return;
    listen_addr(fd, local, sizeof local);
    append(q, "STAT %d:addr %s\r\n", fd, local);
    append(q, "STAT %d:state conn_listening\r\n", fd);
    append(q, "STAT %d:secs_since_last_cmd %" PRIu64 "\r\n", fd, cmd_uptime_s(q->cmd));
}

static void one_conn(struct conn *c, void *arg) {
    struct conns *q = arg;
    int fd = conn_fd(c);
    const char *peer = conn_peer(c), *kind = conn_is_unix(c) ? "" : peer[0] == '[' ? "tcp6:" : "tcp:";
    char local[160];
    listen_addr(fd, local, sizeof local);
    append(q, "STAT %d:addr %s%s\r\n", fd, kind, peer);
    append(q, "STAT %d:listen_addr %s\r\n", fd, local);
    append(q, "STAT %d:state %s\r\n", fd, state_name(c, q));
    append(q, "STAT %d:secs_since_last_cmd %" PRIu64 "\r\n", fd, conn_idle_s(c));
}

static void conns_free(struct conns *q) {
    sync_sub(&q->cmd->conns_running, 1);
    free(q->text);
    free(q);
}

/* Back on the worker that asked. */
static void answer(struct net_worker *nw, void *arg) {
    struct conns *q = arg;
    struct session *s = q->session;
    (void)nw;
    if (!q->gone) {
        append(q, "END\r\n");
        s->producer = NULL;
        s->produce_state = NULL;
        if (q->failed) {
            cmd_line_lit(s, "SERVER_ERROR out of memory writing stats");
            cmd_producer_end(s);
        } else {
            char *fit = realloc(q->text, q->n);
            cmd_dump_text(s, fit != NULL ? fit : q->text, q->n);
            q->text = NULL;
            if (s->producer == NULL) cmd_producer_end(s); /* cmd_dump_text had no memory and wrote it at once */
        }
    }
    conns_free(q);
}

static void visit(struct net_worker *nw, void *arg) {
    struct conns *q = arg;
    if (sync_load_acq(&q->gone)) { /* when the node ends every connection is gone, and no worker may be posted to */
        conns_free(q);
        return;
    }
    worker_each_conn(nw, one_conn, q);
    const struct cmd_upcalls *up = &q->cmd->cfg.up;
    if (++q->at < q->cmd->nworkers)
        worker_post(up->worker(up->arg, q->at), &q->post, visit, q);
    else
        worker_post(up->worker(up->arg, q->home), &q->post, answer, q);
}

/* The connection closed before the answer came. */
static void conns_gone(struct session *s) {
    struct conns *q = s->produce_state;
    sync_store_rel(&q->gone, 1);
}

/* Nothing to write before the answer is there. */
static void conns_wait(struct session *s) {
    conn_set_producer(s->conn, false);
}

static const struct cmd_producer conns_producer = {conns_wait, conns_gone};

void cmd_conns_command(struct session *s) {
    struct cmd *cmd = s->worker->cmd;
    const struct cmd_upcalls *up = &cmd->cfg.up;
    struct conns *q = calloc(1, sizeof *q);
    if (sync_add(&cmd->conns_running, 1) < CONNS_RUNNING_MAX && q != NULL) {
        *q = (struct conns){.cmd = cmd, .session = s, .asker = s, .home = s->worker->index};
        up->listeners_each(up->arg, one_listener, q);
        cmd_producer_begin(s, &conns_producer, q);
        worker_post(up->worker(up->arg, 0), &q->post, visit, q);
        return;
    }
    sync_sub(&cmd->conns_running, 1);
    free(q);
    cmd_line_lit(s, "SERVER_ERROR out of memory writing stats");
}
