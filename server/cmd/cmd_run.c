/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_run.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/sync.h"
#include "cmd/cmd_auth.h"
#include "cmd/cmd_binary.h"
#include "cmd/cmd_binary_get.h"
#include "cmd/cmd_binary_set.h"
#include "cmd/cmd_body.h"
#include "cmd/cmd_get.h"
#include "cmd/cmd_handle.h"
#include "cmd/cmd_hold.h"
#include "cmd/cmd_lease.h"
#include "cmd/cmd_log.h"
#include "cmd/cmd_meta_get.h"
#include "cmd/cmd_meta_set.h"
#include "cmd/cmd_set.h"
#include "cmd/cmd_table.h"
#include "cmd/cmd_watch.h"
#include "cmd/cmd_watch_line.h"
#include "cmd/instance.h"
#include "cmd/observers.h"
#include "cmd/packet.h"
#include "cmd/reply.h"
#include "net/conn.h"
#include "store/store.h"

/* ------------------------------------------------------------------ one request */

static void answer_error(struct session *s, struct request *r) {
    /* An ms line may be wrong too: that error is answered instead of the one of its block. */
    if ((r->error == CMD_ERROR_CHUNK || r->error == CMD_ERROR_TOO_LARGE || r->error == CMD_ERROR_TIMEOUT) &&
        r->row->class == CMD_CLASS_MSET && !cmd_meta_set_valid(s, r))
        return;
    if (cmd_is_packet(r)) {
        cmd_binary_error(s, r);
        return;
    }
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
    case CMD_ERROR_LENGTHS:
    case CMD_ERROR_CLOSE: cmd_end(s, CMD_END_ERROR); break;
    }
    if (r->shifted && r->error != CMD_OK) cmd_end(s, CMD_END_ERROR);
}

void cmd_run_tell(struct session *s, const struct request *r) {
    char text[WATCH_TEXT_MAX];
    const char *line = r->line;
    size_t n = r->line_len;
    if (cmd_is_packet(r)) {
        n = packet_line(r, text, sizeof text);
        line = text;
    } else if (cmd_is_key(r)) {
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
    if (unlikely((w->observed & (CMD_OBSERVE_RAWCMDS | CMD_OBSERVE_LOG)) != 0) && s->job == NULL &&
        s->role == CMD_ROLE_CLIENT)
        cmd_run_tell(s, r);
    if (cmd_hold_waits(s, r)) return;
    if (unlikely(r->error != CMD_OK)) {
        cmd_enter(w);
        answer_error(s, r);
        return;
    }
    if (unlikely(!s->authenticated) && !cmd_is_packet(r)) { /* packets that may be run before login are few */
        cmd_leave(w);
        cmd_auth_set(s, r);
        return;
    }
    if (unlikely(r->row->class == CMD_CLASS_OUT))
        cmd_leave(w);
    else
        cmd_enter(w);
    if (unlikely(w->leases_ended != 0) && cmd_lease_refuses(s, r)) return;
    bool large = (r->row->class == CMD_CLASS_STORE || r->row->class == CMD_CLASS_MSET) && r->body == NULL;
    if (unlikely(large))
        cmd_body_begin(s, r);
    else
        cmd_handle(s, r);
    if (unlikely(r->row->class == CMD_CLASS_OUT))
        w->observed = sync_load(&w->cmd->observed); /* the command may have changed it (watch, verbosity) */
}

/* ------------------------------------------------------------------ a batch */

/* Runs requests from r on while they share a quick path; returns how many. 0: r is for its handler. */
static unsigned run_quick(struct session *s, struct request *r, unsigned n) {
    struct cmd_worker *w = s->worker;
    if (unlikely(r->path < CMD_PATH_GET || w->observed != 0)) return 0;
    if (unlikely(!w->inside)) { /* behind a command that ran outside */
        cmd_enter(w);
        if (w->observed != 0) return 0;
    }
    switch ((enum cmd_path)r->path) {
    case CMD_PATH_GET: return cmd_get_run(s, r, n);
    case CMD_PATH_SET: return cmd_set_run(s, r, n, 0);
    case CMD_PATH_MG: return cmd_meta_get_run(s, r, n);
    case CMD_PATH_MS: return cmd_meta_set_run(s, r, n, 0);
    case CMD_PATH_GETS: return cmd_binary_get_run(s, r, n);
    case CMD_PATH_SETS: return cmd_binary_set_run(s, r, n, 0);
    default: return 0;
    }
}

void cmd_run_prefetch(struct cmd_worker *w, struct request *r, unsigned n) {
    for (unsigned i = 0; i < n; i++)
        if (r[i].key.len > 0) store_prefetch_item(w->store, &r[i].key);
    if (likely(!store_purged(w->store))) return;
    for (unsigned i = 0; i < n; i++)
        if (r[i].key.len > 0) store_prefetch_tags(w->store, &r[i].key);
}

void cmd_run_near(struct cmd_worker *w, struct request *r, unsigned n) {
    for (unsigned i = 0; i < n; i++)
        if (r[i].key.len > 0) store_key_complete(w->cmd->store, &r[i].key);
}

unsigned cmd_run(struct session *s, struct request *r, unsigned n) {
    struct cmd_worker *w = s->worker;
    unsigned i = 0;
    while (i < n) {
        const unsigned quick = run_quick(s, &r[i], n - i);
        i += quick;
        if (unlikely(quick == 0)) {
            run(s, &r[i]);
            if (unlikely(w->retry)) break;
            i++;
        }
        if (i == n || unlikely(w->end_batch || conn_halted(s->conn))) break;
    }
    return i;
}

unsigned cmd_run_here(struct session *s, struct request *r, unsigned n) {
    struct cmd_worker *w = s->worker;
    unsigned i = 0;
    if (unlikely(w->observed != 0)) return 0;
    cmd_enter(w);
    while (i < n) {
        unsigned done = 0;
        switch ((enum cmd_path)r[i].path) {
        case CMD_PATH_GET: done = cmd_get_run_here(s, &r[i], n - i, w->ring_since); break;
        case CMD_PATH_SET: done = cmd_set_run(s, &r[i], n - i, w->ring_since); break;
        case CMD_PATH_MG: done = cmd_meta_get_run_here(s, &r[i], n - i, w->ring_since); break;
        case CMD_PATH_MS: done = cmd_meta_set_run(s, &r[i], n - i, w->ring_since); break;
        case CMD_PATH_GETS: done = cmd_binary_get_run_here(s, &r[i], n - i, w->ring_since); break;
        case CMD_PATH_SETS: done = cmd_binary_set_run(s, &r[i], n - i, w->ring_since); break;
        default: break;
        }
        i += done;
        if (i == n || done == 0 || w->end_batch || conn_halted(s->conn)) break;
    }
    return i;
}
