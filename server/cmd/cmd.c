/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd - bytes in, answers out: what state a connection's stream is in, batches of requests, the instance. */
#include "cmd/cmd.h"

#include <errno.h>

#include "cmd/cmd_dump.h"
#include "cmd/cmd_internal.h"
#include "cmd/cmd_parse.h"
#include "cmd/cmd_watch.h"

/* ------------------------------------------------------------------ running a batch */

static void answer_error(struct session *s, struct request *r) {
    /* What is wrong with an ms line comes before what is wrong with its block. */
    if ((r->error == CMD_ERROR_CHUNK || r->error == CMD_ERROR_TOO_LARGE || r->error == CMD_ERROR_TIMEOUT) &&
        r->row->class == CMD_CLASS_MSET && !cmd_ms_valid(s, r))
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
    case CMD_ERROR_TOO_LARGE: cmd_refuse_store(s, r, STORE_TOO_LARGE); break;
    case CMD_ERROR_TIMEOUT: cmd_refuse_store(s, r, STORE_NO_MEMORY); break;
    case CMD_ERROR_AUTH: cmd_line_lit(s, "CLIENT_ERROR unauthenticated"); break;
    case CMD_ERROR_AUTH_LONG: cmd_line_lit(s, "CLIENT_ERROR auth token too long"); break;
    case CMD_ERROR_CLOSE: cmd_end(s, CMD_END_ERROR); break;
    }
    if (r->shifted && r->error != CMD_OK) cmd_end(s, CMD_END_ERROR);
}

/* Tells the watchers and the log of a command's line; of a line of keys, key by key: it was not kept. */
static void tell_command(struct session *s, const struct request *r) {
    char text[WATCH_TEXT_MAX];
    const char *line = r->line;
    size_t n = r->line_len;
    if (cmd_is_key(r)) {
        n = (size_t)snprintf(text, sizeof text, "%s ", r->row->name);
        size_t key = r->asked_len < sizeof text - n ? r->asked_len : sizeof text - n;
        memcpy(text + n, r->asked, key);
        line = text;
        n += key;
    }
    if (s->worker->notes & CMD_NOTE_RAWCMDS) cmd_watch_rawcmd(s, line, n);
    if (s->worker->notes & CMD_NOTE_LOG) cmd_log_command(s, line, n);
}

static __attribute__((noinline)) void run(struct session *s, struct request *r) {
    struct cmd_worker *w = s->worker;
    if (unlikely((w->notes & (CMD_NOTE_RAWCMDS | CMD_NOTE_LOG)) != 0) && s->job == NULL) tell_command(s, r);
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
        w->notes = sync_load(&w->cmd->notes); /* it may have asked for notes */
}

/* Where the stream stands once this request was run. */
static void follow(struct session *s, const struct request *r) {
    s->phase = CMD_PHASE_LINE;
    if (r->row == NULL) return;
    if (cmd_is_key(r)) {
        if (r->last) return;
        s->phase = CMD_PHASE_KEYS;
        s->keys_row = r->row->id;
        s->keys_expiry = (uint32_t)r->exptime;
    } else if (unlikely(r->swallow > 0)) {
        s->phase = CMD_PHASE_SWALLOW;
        s->left = r->swallow;
    } else if (unlikely(r->skip)) {
        s->phase = CMD_PHASE_SKIP;
    } else if (unlikely(s->upload != NULL)) {
        s->phase = CMD_PHASE_BODY;
    }
}

/* Runs requests of the usual kinds from r on; returns how many, 0 when the first one is to be run with care. */
static unsigned run_quick(struct session *s, struct request *r, unsigned n) {
    struct cmd_worker *w = s->worker;
    if (unlikely(r->way < CMD_WAY_GET || w->notes != 0)) return 0;
    cmd_enter(w);
    switch ((enum cmd_way)r->way) {
    case CMD_WAY_GET: return cmd_get_run(s, r, n);
    case CMD_WAY_SET: return cmd_set_run(s, r, n);
    case CMD_WAY_MG: return cmd_mg_run(s, r, n);
    case CMD_WAY_MS: return cmd_ms_run(s, r, n);
    default: return 0;
    }
}

/* Has the memory that a batch's keys lead to brought near, one step for all before the next. */
static void prefetch(struct cmd_worker *w, unsigned count) {
    for (unsigned i = 0; i < count; i++)
        if (w->batch[i].key.len > 0) store_prefetch_item(w->store, &w->batch[i].key);
    if (likely(!store_purged(w->store))) return;
    for (unsigned i = 0; i < count; i++)
        if (w->batch[i].key.len > 0) store_prefetch_tags(w->store, &w->batch[i].key);
}

/* How many lines r[0..n) came from: the keys of one are one. */
static unsigned count_lines(const struct request *r, unsigned n) {
    unsigned lines = 0;
    for (unsigned i = 0; i < n; i++) lines += !cmd_is_key(&r[i]) || r[i].last;
    return lines;
}

/* Parses and runs one batch; returns the bytes it used. */
static size_t run_batch(struct session *s, char *p, size_t n) {
    struct cmd_worker *w = s->worker;
    size_t used = 0;
    w->notes = sync_load(&w->cmd->notes);
    cmd_enter(w);
    const unsigned count = cmd_parse(s, p, n);
    if (count > 1) prefetch(w, count);
    unsigned i = 0;
    while (i < count) {
        const unsigned quick = run_quick(s, &w->batch[i], count - i); /* the way of most */
        i += quick;
        if (unlikely(quick == 0)) {
            run(s, &w->batch[i]);
            if (unlikely(w->again)) break;
            i++;
        }
        if (i == count || unlikely(w->halt || conn_halted(s->conn))) break;
    }
    cmd_leave(w);
    if (i > 0) {
        used = w->batch[i - 1].end;
        follow(s, &w->batch[i - 1]);
    }
    if (i < count) { /* what was noted about the bytes behind is no longer where they will be shown */
        s->need = 0;
        s->scanned = 0;
        w->lines = count_lines(w->batch, i);
    }
    w->run += w->lines;
    w->halt = false;
    s->refuse = false;
    if (unlikely(w->again)) {
        w->again = false;
        conn_park(s->conn);
    }
    return used;
}

static size_t skip_line(struct session *s, const char *p, size_t n) {
    const char *nl = n == 0 ? NULL : memchr(p, '\n', n);
    if (nl == NULL) return n;
    s->phase = CMD_PHASE_LINE;
    return (size_t)(nl + 1 - p);
}

static size_t swallow(struct session *s, size_t n) {
    size_t take = n < s->left ? n : (size_t)s->left;
    s->left -= take;
    if (s->left == 0) s->phase = CMD_PHASE_LINE;
    return take;
}

static size_t body(struct session *s, const char *p, size_t n) {
    size_t used = cmd_body_input(s, p, n);
    return s->phase == CMD_PHASE_SWALLOW ? used + swallow(s, n - used) : used;
}

static size_t cmd_step(struct session *s, char *p, size_t n) {
    if (likely(s->phase == CMD_PHASE_LINE || s->phase == CMD_PHASE_KEYS))
        return unlikely(n == 0 || n < s->need) ? 0 : run_batch(s, p, n);
    if (s->phase == CMD_PHASE_SKIP) return skip_line(s, p, n);
    return s->phase == CMD_PHASE_SWALLOW ? swallow(s, n) : body(s, p, n);
}

/* memcached lets other connections go first each time one has had as many requests run as -R says. */
static void count_yields(struct session *s) {
    const unsigned each = s->worker->cmd->cfg.requests_per_event;
    if (each > 0) sync_bump(&s->worker->metrics[CMD_METRIC_conn_yields], s->worker->run / each);
}

static size_t cmd_input(struct conn *c, void *session, char *p, size_t n) {
    struct session *s = session;
    size_t done = 0;
    if (unlikely(!s->started) && n > 0) {
        s->started = true;
        if ((unsigned char)p[0] == 0x80) { /* the binary protocol, which is not spoken here */
            cmd_log_binary(s);
            cmd_end(s, CMD_END_ERROR);
            return n;
        }
    }
    if (unlikely(s->job != NULL || s->producer != NULL) && (cmd_job_waits(s) || cmd_dump_waits(s))) {
        /* Room was found for others: this one waits for its own answer. */
        conn_park(c);
        return 0;
    }
    s->worker->run = 0;
    for (;;) {
        size_t used = cmd_step(s, p + done, n - done);
        done += used;
        if (likely(done == n) || used == 0 || conn_halted(s->conn)) break;
    }
    if (unlikely(s->worker->run >= s->worker->cmd->cfg.requests_per_event)) count_yields(s);
    return conn_closing(c) ? n : done;
}

/* ------------------------------------------------------------------ the connection's life */

static bool cmd_open(struct conn *c, void *session) {
    struct session *s = session;
    s->conn = c;
    s->worker = worker_context(conn_worker(c));
    s->authenticated = s->worker->cmd->auth == NULL;
    if (cmd_noted(s, CMD_NOTE_CONNEVENTS)) cmd_watch_conn(s, false, NULL);
    return true;
}

static char *cmd_sink(struct conn *c, void *session, size_t *n) {
    (void)c;
    struct session *s = session;
    return s->phase == CMD_PHASE_BODY ? cmd_body_sink(s, n) : NULL;
}

static void cmd_sunk(struct conn *c, void *session, size_t n) {
    (void)c;
    cmd_body_sunk(session, n);
}

static bool cmd_stalled(struct conn *c, void *session) {
    (void)c;
    return cmd_body_stalled(session);
}

static void cmd_produce(struct conn *c, void *session) {
    struct session *s = session;
    if (s->producer != NULL)
        s->producer->produce(s);
    else
        conn_set_producer(c, false);
}

static void cmd_release(struct conn *c, uint64_t token) {
    struct session *s = conn_session(c);
    store_unpin(s->worker->store, token);
}

/* Why the connection ends, as watchers are told; NULL: as usual. */
static const char *end_name(const struct session *s) {
    if (s->ended == CMD_END_SHUTDOWN) return "shutdown";
    if (s->ended == CMD_END_ERROR) return "error";
    switch (conn_end(s->conn)) {
    case CONN_END_IDLE: return "idle_timeout";
    case CONN_END_ERROR: return "error";
    case CONN_END_NORMAL: break;
    }
    return NULL;
}

static void cmd_close(struct conn *c, void *session) {
    (void)c;
    struct session *s = session;
    if (s->worker == NULL) return;
    if (s->upload != NULL) cmd_body_abort(s);
    if (s->job != NULL) cmd_job_orphan(s);
    if (s->producer != NULL) s->producer->end(s);
    s->producer = NULL;
    if (cmd_noted(s, CMD_NOTE_CONNEVENTS)) cmd_watch_conn(s, true, end_name(s));
}

static const struct net_handler handler = {
    .session_size = sizeof(struct session),
    .open = cmd_open,
    .input = cmd_input,
    .sink = cmd_sink,
    .sunk = cmd_sunk,
    .stalled = cmd_stalled,
    .produce = cmd_produce,
    .release = cmd_release,
    .close = cmd_close,
};

const struct net_handler *cmd_handler(void) {
    return &handler;
}

/* ------------------------------------------------------------------ the instance */

static int init_workers(struct cmd *cmd) {
    size_t bytes = cmd->nworkers * sizeof(struct cmd_worker);
    cmd->workers = aligned_alloc(SYNC_CACHE_LINE, bytes);
    if (cmd->workers == NULL) return -ENOMEM;
    /* But for what is seldom touched: it need not be resident. */
    for (unsigned i = 0; i < cmd->nworkers; i++) memset(&cmd->workers[i], 0, offsetof(struct cmd_worker, decoded));
    for (unsigned i = 0; i < cmd->nworkers; i++) {
        struct cmd_worker *w = &cmd->workers[i];
        w->cmd = cmd;
        w->index = i;
        TAILQ_INIT(&w->uploads);
        w->store = store_worker(cmd->store, i);
        w->selectors = malloc(KEYTAGS_SELECTORS_MAX * sizeof(*w->selectors));
        if (w->selectors == NULL) return -ENOMEM;
    }
    return 0;
}

/* Makes the strings of the configuration this instance's own. */
static int own_strings(struct cmd *cmd, const struct cmd_config *cfg) {
    cmd->cfg.auth_file = NULL;
    cmd->cfg.key_tags = NULL;
    if (cfg->key_tags != NULL) {
        size_t n = strlen(cfg->key_tags);
        if (n == 0 || n > CMD_MARKER_MAX) return -EINVAL;
        memcpy(cmd->marker.p, cfg->key_tags, n);
        cmd->marker.len = (uint8_t)n;
        cmd->cfg.key_tags = strdup(cfg->key_tags);
        if (cmd->cfg.key_tags == NULL) return -ENOMEM;
    } else {
        cmd->marker.p[0] = '\n'; /* a byte that no key holds */
    }
    if (cfg->auth_file != NULL) {
        cmd->cfg.auth_file = strdup(cfg->auth_file);
        if (cmd->cfg.auth_file == NULL) return -ENOMEM;
    }
    return 0;
}

int cmd_new(const struct cmd_config *cfg, struct cmd **out) {
    struct cmd *cmd = calloc(1, sizeof(*cmd));
    if (cmd == NULL) return -ENOMEM;
    cmd->cfg = *cfg;
    cmd->store = cfg->store;
    cmd->inline_max = store_inline_max(cfg->store);
    if (cmd->inline_max > cfg->item_size_max) cmd->inline_max = cfg->item_size_max;
    cmd->nworkers = cfg->workers;
    cmd_names_init(&cmd->names);
    int rc = own_strings(cmd, cfg);
    if (rc == 0) rc = init_workers(cmd);
    if (rc == 0) rc = cmd_stats_new(cmd);
    if (rc == 0) rc = cmd_watch_new(cmd);
    if (rc == 0) cmd_log_adapt(cmd);
    if (rc == 0 && cmd->cfg.auth_file != NULL) rc = cmd_auth_new(cmd);
    if (rc != 0) {
        cmd_free(cmd);
        return rc;
    }
    *out = cmd;
    return 0;
}

void cmd_free(struct cmd *cmd) {
    if (cmd == NULL) return;
    if (cmd->auth != NULL) cmd_auth_free(cmd);
    if (cmd->watch != NULL) cmd_watch_free(cmd);
    if (cmd->stats != NULL) cmd_stats_free(cmd);
    for (unsigned i = 0; cmd->workers != NULL && i < cmd->nworkers; i++) {
        free(cmd->workers[i].selectors);
        free(cmd->workers[i].spare);
    }
    free(cmd->workers);
    free((char *)cmd->cfg.key_tags);
    free((char *)cmd->cfg.auth_file);
    free(cmd);
}

void *cmd_worker_context(struct cmd *cmd, unsigned i) {
    CHECK(i < cmd->nworkers);
    return &cmd->workers[i];
}
