/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_input.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/sync.h"
#include "cmd/cmd_auth.h"
#include "cmd/cmd_body.h"
#include "cmd/cmd_get.h"
#include "cmd/cmd_job.h"
#include "cmd/cmd_log.h"
#include "cmd/cmd_meta_get.h"
#include "cmd/cmd_meta_set.h"
#include "cmd/cmd_parse.h"
#include "cmd/cmd_producer.h"
#include "cmd/cmd_set.h"
#include "cmd/cmd_table.h"
#include "cmd/cmd_watch.h"
#include "cmd/cmd_watch_line.h"
#include "cmd/instance.h"
#include "cmd/observers.h"
#include "cmd/reply.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "net/conn.h"
#include "store/store.h"

/* ------------------------------------------------------------------ running a batch */

static void answer_error(struct session *s, struct request *r) {
    /* An ms line may be wrong too: that error is answered instead of the one of its block. */
    if ((r->error == CMD_ERROR_CHUNK || r->error == CMD_ERROR_TOO_LARGE || r->error == CMD_ERROR_TIMEOUT) &&
        r->row->class == CMD_CLASS_MSET && !cmd_meta_set_valid(s, r))
        return;
    switch ((enum cmd_error)r->error) {
    case CMD_OK: break;
    case CMD_ERROR: cmd_reply_lit(s, r, "ERROR"); break;
    case CMD_ERROR_FORMAT: cmd_reply_lit(s, r, CMD_BAD_FORMAT); break;
    case CMD_ERROR_EXPTIME: cmd_reply_lit(s, r, "CLIENT_ERROR invalid exptime argument"); break;
    case CMD_ERROR_TAGS: cmd_reply_lit(s, r, CMD_TOO_MANY_TAGS); break;
    case CMD_ERROR_CHUNK:
        if (!s->authenticated)
            cmd_line_lit(s, "CLIENT_ERROR bad command line termination");
        else
            cmd_reply_lit(s, r, "CLIENT_ERROR bad data chunk");
        break;
    case CMD_ERROR_TOO_LARGE: cmd_set_refuse(s, r, STORE_TOO_LARGE); break;
    case CMD_ERROR_TIMEOUT: cmd_set_refuse(s, r, STORE_NO_MEMORY); break;
    case CMD_ERROR_AUTH: cmd_line_lit(s, "CLIENT_ERROR unauthenticated"); break;
    case CMD_ERROR_AUTH_LONG: cmd_line_lit(s, "CLIENT_ERROR auth token too long"); break;
    case CMD_ERROR_CLOSE: cmd_end(s, CMD_END_ERROR); break;
    }
    if (r->shifted && r->error != CMD_OK) cmd_end(s, CMD_END_ERROR);
}

/* Tells the watchers and the log of a command's line. The line of a get is not kept: each of its keys is told as a
 * command. */
static void tell_command(struct session *s, const struct request *r) {
    char text[WATCH_TEXT_MAX];
    const char *line = r->line;
    size_t n = r->line_len;
    if (cmd_is_key(r)) {
        n = (size_t)snprintf(text, sizeof text, "%s ", r->row->name);
        size_t key = r->raw_key_len < sizeof text - n ? r->raw_key_len : sizeof text - n;
        memcpy(text + n, r->raw_key, key);
        line = text;
        n += key;
    }
    if (s->worker->observed & CMD_OBSERVE_RAWCMDS) cmd_watch_rawcmd(s, line, n);
    if (s->worker->observed & CMD_OBSERVE_LOG) cmd_log_command(s, line, n);
}

static __attribute__((noinline)) void run(struct session *s, struct request *r) {
    struct cmd_worker *w = s->worker;
    if (unlikely((w->observed & (CMD_OBSERVE_RAWCMDS | CMD_OBSERVE_LOG)) != 0) && s->job == NULL) tell_command(s, r);
    if (unlikely(r->error != CMD_OK)) {
        cmd_enter(w);
        answer_error(s, r);
        return;
    }
    if (unlikely(!s->authenticated)) {
        cmd_leave(w);
        cmd_auth_set(s, r);
        return;
    }
    if (unlikely(r->row->class == CMD_CLASS_OUT))
        cmd_leave(w);
    else
        cmd_enter(w);
    bool large = (r->row->class == CMD_CLASS_STORE || r->row->class == CMD_CLASS_MSET) && r->body == NULL;
    if (unlikely(large))
        cmd_body_begin(s, r);
    else
        r->row->handler(s, r);
    if (unlikely(r->row->class == CMD_CLASS_OUT))
        w->observed = sync_load(&w->cmd->observed); /* the command may have changed it (watch, verbosity) */
}

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

/* Runs requests from r on while they share a quick path; returns how many. 0: r is for its handler. */
static unsigned run_quick(struct session *s, struct request *r, unsigned n) {
    struct cmd_worker *w = s->worker;
    if (unlikely(r->path < CMD_PATH_GET || w->observed != 0)) return 0;
    cmd_enter(w);
    switch ((enum cmd_path)r->path) {
    case CMD_PATH_GET: return cmd_get_run(s, r, n);
    case CMD_PATH_SET: return cmd_set_run(s, r, n);
    case CMD_PATH_MG: return cmd_meta_get_run(s, r, n);
    case CMD_PATH_MS: return cmd_meta_set_run(s, r, n);
    default: return 0;
    }
}

/* Prefetches the items of a batch's keys, then what is known of their tags: each step for all keys before the next, so
 * that the memory of the first has arrived by then. */
static void prefetch(struct cmd_worker *w, unsigned count) {
    for (unsigned i = 0; i < count; i++)
        if (w->batch[i].key.len > 0) store_prefetch_item(w->store, &w->batch[i].key);
    if (likely(!store_purged(w->store))) return;
    for (unsigned i = 0; i < count; i++)
        if (w->batch[i].key.len > 0) store_prefetch_tags(w->store, &w->batch[i].key);
}

/* How many lines r[0..n) came from; all keys of a get line came from one. */
static unsigned count_lines(const struct request *r, unsigned n) {
    unsigned lines = 0;
    for (unsigned i = 0; i < n; i++) lines += !cmd_is_key(&r[i]) || r[i].last;
    return lines;
}

/* Parses and runs one batch; returns the bytes it used. */
static size_t run_batch(struct session *s, char *p, size_t n) {
    struct cmd_worker *w = s->worker;
    size_t used = 0;
    w->observed = sync_load(&w->cmd->observed);
    cmd_enter(w);
    const unsigned count = cmd_parse(s, p, n);
    if (count > 1) prefetch(w, count);
    unsigned i = 0;
    while (i < count) {
        const unsigned quick = run_quick(s, &w->batch[i], count - i);
        i += quick;
        if (unlikely(quick == 0)) {
            run(s, &w->batch[i]);
            if (unlikely(w->retry)) break;
            i++;
        }
        if (i == count || unlikely(w->end_batch || conn_halted(s->conn))) break;
    }
    cmd_leave(w);
    if (i > 0) {
        used = w->batch[i - 1].end;
        set_phase(s, &w->batch[i - 1]);
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
        if (cmd_job_waits(s))
            conn_wait(s->conn);
        else
            conn_park(s->conn);
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
    size_t used = cmd_body_input(s, p, n);
    return s->phase == CMD_PHASE_DISCARD_BODY ? used + discard_body(s, n - used) : used;
}

static size_t step(struct session *s, char *p, size_t n) {
    if (likely(s->phase == CMD_PHASE_LINE || s->phase == CMD_PHASE_KEYS))
        return unlikely(n == 0 || n < s->need) ? 0 : run_batch(s, p, n);
    if (s->phase == CMD_PHASE_DISCARD_LINE) return discard_line(s, p, n);
    return s->phase == CMD_PHASE_DISCARD_BODY ? discard_body(s, n) : receive_body(s, p, n);
}

/* conn_yields, as memcached counts: each -R requests that one connection sends at once make it yield to others. */
static void count_yields(struct session *s) {
    const unsigned each = s->worker->cmd->cfg.requests_per_event;
    if (each > 0) sync_bump(&s->worker->metrics[CMD_METRIC_conn_yields], s->worker->requests_run / each);
}

/* ------------------------------------------------------------------ input */

size_t cmd_input(struct session *s, char *p, size_t n) {
    size_t done = 0;
    if (unlikely(!s->started) && n > 0) {
        s->started = true;
        if ((unsigned char)p[0] == 0x80) { /* the binary protocol, which is not served */
            cmd_log_binary(s);
            cmd_end(s, CMD_END_ERROR);
            return n;
        }
    }
    s->worker->requests_run = 0;
    for (;;) {
        size_t used = step(s, p + done, n - done);
        done += used;
        if (likely(done == n) || used == 0 || conn_halted(s->conn)) break;
    }
    if (unlikely(s->worker->requests_run >= s->worker->cmd->cfg.requests_per_event)) count_yields(s);
    return conn_closing(s->conn) ? n : done;
}
