/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_input.h"

#include <string.h>

#include "base/check.h"
#include "base/sync.h"
#include "cmd/cmd_binary_parse.h"
#include "cmd/cmd_body.h"
#include "cmd/cmd_forward_answer.h"
#include "cmd/cmd_hot.h"
#include "cmd/cmd_job.h"
#include "cmd/cmd_moving.h"
#include "cmd/cmd_parse.h"
#include "cmd/cmd_producer.h"
#include "cmd/cmd_route.h"
#include "cmd/cmd_run.h"
#include "cmd/cmd_table.h"
#include "cmd/cmd_transfer.h"
#include "cmd/instance.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "net/conn.h"
#include "proto/binary.h"
#include "store/store.h"

#define BATCH_COST 4 /* of a section's requests: reading and writing a batch takes as long as running so many */

/* ------------------------------------------------------------------ a batch */

/* Sets the session's phase: what comes next in the input once r has been run. */
static void set_phase(struct session *s, const struct request *r) {
    s->phase = CMD_PHASE_LINE;
    if (likely(r->path > CMD_PATH_GET) || r->row == NULL) return; /* a line of the quick paths is here whole */
    if (cmd_is_key(r)) {
        if (r->last) return;
        s->phase = CMD_PHASE_KEYS;
        s->keys_row = r->row->id;
        s->keys_expiry = (uint32_t)r->exptime;
    } else if (unlikely(r->discard_body > 0)) {
        s->phase = CMD_PHASE_DISCARD_BODY;
        s->left = r->discard_body;
    } else if (unlikely(r->discard_line)) {
        s->phase = CMD_PHASE_DISCARD_LINE;
    } else if (unlikely(s->upload != NULL)) {
        s->phase = CMD_PHASE_BODY;
    }
}

/* How many lines r[0..n) came from; all keys of a get line came from one. */
static unsigned count_lines(const struct request *r, unsigned n) {
    unsigned lines = 0;
    for (unsigned i = 0; i < n; i++) lines += !cmd_is_key(&r[i]) || r[i].last;
    return lines;
}

/* Whether what a session asks for is run at once, without a look at the ring. */
static inline bool runs_here(const struct session *s) {
    const struct cmd_worker *w = s->worker;
    if (likely(!w->routes && s->forward == NULL)) return true;
    if (!s->authenticated) return true;
    return s->role != CMD_ROLE_CLIENT && s->forward == NULL && !cmd_moving(w); /* another node has looked */
}

/* Parses and runs one batch; returns the bytes it used. The section stays open for the next one, of whichever
 * connection, unless enough was done in it. */
static size_t run_batch(struct session *s, char *p, size_t n) {
    struct cmd_worker *w = s->worker;
    size_t used = 0;
    w->observed = sync_load(&w->cmd->observed);
    if (unlikely(s->forward != NULL) && (used = cmd_forward_answer_whole(s, p)) > 0) return used;
    cmd_enter(w);
    const unsigned count = likely(!s->binary) ? cmd_parse(s, p, n) : cmd_binary_parse(s, p, n);
    unsigned i;
    cmd_hot_see(s, w->batch, count);
    if (runs_here(s)) {
        if (count > 1) cmd_run_prefetch(w, w->batch, count);
        i = cmd_run(s, w->batch, count);
    } else {
        i = cmd_route(s, p, count);
    }
    w->section_left -= (int)count + BATCH_COST;
    if (w->section_left <= 0) cmd_leave(w);
    if (i > 0) {
        used = w->batch[i - 1].end;
        if (likely(s->phase != CMD_PHASE_RELAY)) set_phase(s, &w->batch[i - 1]);
    }
    if (i < count) { /* need and scanned were about bytes at another place than they will be shown at */
        s->need = 0;
        s->scanned = 0;
        w->batch_lines = count_lines(w->batch, i);
    }
    w->requests_run += w->batch_lines;
    w->end_batch = false;
    s->refuse = false;
    if (unlikely(w->retry)) {
        w->retry = false;
        cmd_leave(w); /* room comes once nobody is inside any more */
        cmd_job_pause(s);
    }
    return used;
}

static size_t discard_line(struct session *s, const char *p, size_t n) {
    const char *nl = n == 0 ? NULL : memchr(p, '\n', n);
    if (nl == NULL) return n;
    s->phase = CMD_PHASE_LINE;
    return (size_t)(nl + 1 - p);
}

static size_t discard_body(struct session *s, size_t n) {
    size_t take = n < s->left ? n : (size_t)s->left;
    s->left -= take;
    if (s->left == 0) s->phase = CMD_PHASE_LINE;
    return take;
}

static size_t receive_body(struct session *s, const char *p, size_t n) {
    const size_t used = cmd_body_input(s, p, n);
    return s->phase == CMD_PHASE_DISCARD_BODY ? used + discard_body(s, n - used) : used;
}

/* ------------------------------------------------------------------ the first byte */

/* What the connection's listener speaks: what -l says of it, else what -B does. An operator's own listener has both.
 * Where nobody could log in by the text protocol it is spoken nowhere. */
static enum cmd_protocol protocol_of(const struct session *s) {
    const struct cmd_config *cfg = &s->worker->cmd->cfg;
    if (s->admin) return CMD_PROTOCOL_AUTO;
    if (cfg->sasl && cfg->auth_file == NULL) return CMD_PROTOCOL_BINARY;
    switch (conn_protocol(s->conn)) {
    case NET_PROTOCOL_AUTO: return CMD_PROTOCOL_AUTO;
    case NET_PROTOCOL_TEXT: return CMD_PROTOCOL_TEXT;
    case NET_PROTOCOL_BINARY: return CMD_PROTOCOL_BINARY;
    case NET_PROTOCOL_DEFAULT: break;
    }
    return (enum cmd_protocol)cfg->protocol;
}

/* Decides by the first byte of a connection which protocol it speaks. */
static void begin(struct session *s, char first) {
    const enum cmd_protocol protocol = protocol_of(s);
    s->binary =
        protocol == CMD_PROTOCOL_AUTO ? (unsigned char)first == BINARY_REQUEST : protocol == CMD_PROTOCOL_BINARY;
    s->phase = CMD_PHASE_LINE;
}

/* ------------------------------------------------------------------ input */

/* Bytes that are no command's: sets how many of them it used. False: they begin with a command, since they are the
 * connection's first, or a value without an ending was complete before. */
static __attribute__((noinline)) bool step_over(struct session *s, char *p, size_t n, size_t *used) {
    switch ((enum cmd_phase)s->phase) {
    case CMD_PHASE_DISCARD_LINE: *used = discard_line(s, p, n); break;
    case CMD_PHASE_DISCARD_BODY: *used = discard_body(s, n); break;
    case CMD_PHASE_RELAY: *used = n == 0 ? 0 : cmd_transfer_relay(s, p, n); break;
    case CMD_PHASE_BODY:
        *used = receive_body(s, p, n);
        return *used > 0 || n == 0 || s->phase != CMD_PHASE_LINE || conn_halted(s->conn);
    case CMD_PHASE_BEGIN:
        if (n > 0) begin(s, *p);
        return n == 0;
    case CMD_PHASE_LINE:
    case CMD_PHASE_KEYS: return false;
    }
    return true;
}

static inline size_t step(struct session *s, char *p, size_t n) {
    size_t used = 0;
    if (unlikely(s->phase > CMD_PHASE_KEYS) && step_over(s, p, n, &used)) return used;
    return unlikely(n == 0 || n < s->need) ? 0 : run_batch(s, p, n);
}

/* conn_yields, as memcached counts: each -R requests that one connection sends at once make it yield to others. */
static void count_yields(struct session *s) {
    const unsigned each = s->worker->cmd->cfg.requests_per_event;
    if (each > 0) sync_bump(&s->worker->metrics[CMD_METRIC_conn_yields], s->worker->requests_run / each);
}

size_t cmd_input(struct session *s, char *p, size_t n) {
    size_t done = 0;
    s->worker->requests_run = 0;
    for (;;) {
        size_t used = step(s, p + done, n - done);
        done += used;
        if (likely(done == n) || used == 0 || conn_halted(s->conn)) break;
    }
    if (unlikely(s->worker->requests_run >= s->worker->cmd->cfg.requests_per_event)) count_yields(s);
    return conn_closing(s->conn) ? n : done;
}
