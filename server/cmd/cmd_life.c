/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The instance, what the net layer and the store call, and the life of a connection. */
#include "cmd/cmd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "cluster/cover.h"
#include "cluster/lease_ends.h"
#include "cmd/cmd_auth.h"
#include "cmd/cmd_body.h"
#include "cmd/cmd_cluster.h"
#include "cmd/cmd_copy.h"
#include "cmd/cmd_detail.h"
#include "cmd/cmd_forward.h"
#include "cmd/cmd_hold.h"
#include "cmd/cmd_hot.h"
#include "cmd/cmd_input.h"
#include "cmd/cmd_job.h"
#include "cmd/cmd_latency.h"
#include "cmd/cmd_link.h"
#include "cmd/cmd_log.h"
#include "cmd/cmd_metrics.h"
#include "cmd/cmd_purge.h"
#include "cmd/cmd_purge_known.h"
#include "cmd/cmd_transfer.h"
#include "cmd/cmd_view.h"
#include "cmd/cmd_watch.h"
#include "cmd/instance.h"
#include "cmd/observers.h"
#include "cmd/session.h"
#include "net/conn.h"
#include "net/worker.h"
#include "proto/binary.h"
#include "proto/keytags.h"
#include "store/store.h"

/* ------------------------------------------------------------------ the connection's life */

static bool on_open(struct conn *c, void *session) {
    struct session *s = session;
    s->conn = c;
    s->worker = worker_context(conn_worker(c));
    s->phase = CMD_PHASE_BEGIN;
    s->admin = strcmp(conn_listener(c), CMD_ADMIN_LISTENER) == 0;
    /* Only the node's own user can open an admin socket that is a file, so it needs no password. */
    const struct cmd *cmd = s->worker->cmd;
    s->authenticated = (cmd->auth == NULL && !cmd->cfg.sasl) || (s->admin && conn_is_unix(c));
    if (cmd_observed(s, CMD_OBSERVE_CONNEVENTS)) cmd_watch_conn(s, false, NULL);
    return true;
}

static size_t on_input(struct conn *c, void *session, char *p, size_t n) {
    (void)c;
    return cmd_input(session, p, n);
}

static size_t on_timed_input(struct conn *c, void *session, char *p, size_t n) {
    struct session *s = session;
    (void)c;
    return unlikely(--s->worker->until_sample == 0) ? cmd_latency_input(s, p, n) : cmd_input(s, p, n);
}

static char *on_body_space(struct conn *c, void *session, size_t *n) {
    const struct session *s = session;
    (void)c;
    return s->phase == CMD_PHASE_RELAY ? cmd_transfer_space(session, n) : cmd_body_space(session, n);
}

static void on_body_received(struct conn *c, void *session, size_t n) {
    const struct session *s = session;
    (void)c;
    if (s->phase == CMD_PHASE_RELAY)
        cmd_transfer_received(session, n);
    else
        cmd_body_received(session, n);
}

static bool on_stalled(struct conn *c, void *session) {
    (void)c;
    return cmd_body_stalled(session);
}

static void on_produce(struct conn *c, void *session) {
    struct session *s = session;
    if (s->producer != NULL)
        s->producer->produce(s);
    else
        conn_set_producer(c, false);
}

static void on_release(struct conn *c, uint64_t token) {
    struct session *s = conn_session(c);
    store_unpin(s->worker->store, token);
}

/* The reason that watchers are told for the end of a connection; NULL: there is no special one. */
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

static void on_close(struct conn *c, void *session) {
    (void)c;
    struct session *s = session;
    if (s->worker == NULL) return;
    cmd_latency_close(s);
    if (s->upload != NULL) cmd_body_abort(s);
    cmd_job_abandon(s);
    if (s->forward != NULL) cmd_forward_end(s);
    if (s->producer != NULL) s->producer->end(s);
    s->producer = NULL;
    if (cmd_observed(s, CMD_OBSERVE_CONNEVENTS)) cmd_watch_conn(s, true, end_name(s));
}

static bool on_open_guest(struct conn *c, void *session) {
    struct session *s = session;
    if (!on_open(c, session)) return false;
    s->authenticated = true;
    s->phase = CMD_PHASE_LINE; /* it speaks text, whatever -B says */
    return true;
}

static bool on_open_admin(struct conn *c, void *session) {
    if (!on_open_guest(c, session)) return false;
    ((struct session *)session)->admin = true;
    return true;
}

static bool on_open_peer(struct conn *c, void *session) {
    struct session *s = session;
    if (!on_open_guest(c, session)) return false;
    s->role = CMD_ROLE_TRANSFER;
    return true;
}

/* Clients of either protocol take their turns on it. */
static size_t on_peer_input(struct conn *c, void *session, char *p, size_t n) {
    struct session *s = session;
    (void)c;
    if (n > 0 && s->phase == CMD_PHASE_LINE) s->binary = (unsigned char)p[0] == BINARY_REQUEST;
    return cmd_input(s, p, n);
}

#define HANDLER(open_, input_)                                                                                         \
    {                                                                                                                  \
        .session_size = sizeof(struct session), .open = (open_), .input = (input_), .body_space = on_body_space,       \
        .body_received = on_body_received, .stalled = on_stalled, .produce = on_produce, .release = on_release,        \
        .close = on_close,                                                                                             \
    }
static const struct net_handler handler = HANDLER(on_open, on_input), timed_handler = HANDLER(on_open, on_timed_input),
                                guest = HANDLER(on_open_guest, on_input), admin = HANDLER(on_open_admin, on_input),
                                peer = HANDLER(on_open_peer, on_peer_input);

const struct net_handler *cmd_handler(void) {
    return &handler;
}

const struct net_handler *cmd_timed_handler(void) {
    return &timed_handler;
}

const struct net_handler *cmd_guest_handler(bool privileged) {
    return privileged ? &admin : &guest;
}

const struct net_handler *cmd_peer_handler(void) {
    return &peer;
}

/* ------------------------------------------------------------------ the instance */

/* Of a node that stands alone. */
static const struct lease_ends endless = {LEASE_ENDLESS, LEASE_ENDLESS};
static const struct cover_cell alone = {.word = {1}}; /* a usable cover: no other node has purged anything */

static int init_workers(struct cmd *cmd) {
    size_t bytes = cmd->nworkers * sizeof(struct cmd_worker);
    cmd->workers = aligned_alloc(SYNC_CACHE_LINE, bytes);
    if (cmd->workers == NULL) return -ENOMEM;
    /* `decoded` is left out: it is large and seldom used, and stays out of resident memory until then. */
    for (unsigned i = 0; i < cmd->nworkers; i++) memset(&cmd->workers[i], 0, offsetof(struct cmd_worker, decoded));
    for (unsigned i = 0; i < cmd->nworkers; i++) {
        struct cmd_worker *w = &cmd->workers[i];
        w->cmd = cmd;
        w->index = i;
        w->until_sample = CMD_LATENCY_SAMPLE;
        TAILQ_INIT(&w->uploads);
        w->store = store_worker(cmd->store, i);
        w->selectors = malloc(KEYTAGS_SELECTORS_MAX * sizeof(*w->selectors));
        if (w->selectors == NULL) return -ENOMEM;
    }
    return 0;
}

/* Copies the strings of the configuration. */
static int own_strings(struct cmd *cmd, const struct cmd_config *cfg) {
    cmd->cfg.auth_file = NULL;
    cmd->cfg.key_tags = NULL;
    if (cfg->key_tags != NULL) {
        size_t n = strlen(cfg->key_tags);
        if (n == 0 || n > sizeof cmd->marker.p) return -EINVAL;
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
    cmd->leases = &endless;
    cmd->cover = &alone;
    cmd->inline_max = store_inline_max(cfg->store);
    if (cmd->inline_max > cfg->item_size_max) cmd->inline_max = cfg->item_size_max;
    cmd->nworkers = cfg->workers;
    if (cmd->cfg.peer_timeout_ms == 0) cmd->cfg.peer_timeout_ms = CMD_PEER_TIMEOUT_MS;
    cmd->sizes_on = cfg->track_sizes;
    cmd->started_ns = clock_boot_ns(cfg->clock);
    cmd_names_init(&cmd->names);
    int rc = own_strings(cmd, cfg);
    if (rc == 0) rc = init_workers(cmd);
    if (rc == 0) rc = cmd_detail_new(cmd);
    if (rc == 0) rc = cmd_hot_new(cmd);
    if (rc == 0) rc = cmd_copy_begin(cmd);
    if (rc == 0) rc = cmd_hold_new(cmd);
    if (rc == 0) rc = cmd_watch_new(cmd);
    if (rc == 0 && (cmd->purges = cmd_purge_known_new()) == NULL) rc = -ENOMEM;
    if (rc == 0) cmd_log_adapt(cmd);
    if (rc == 0) rc = cmd_auth_new(cmd);
    if (rc != 0) {
        cmd_free(cmd);
        return rc;
    }
    *out = cmd;
    return 0;
}

void cmd_free(struct cmd *cmd) {
    if (cmd == NULL) return;
    cmd_auth_free(cmd);
    cmd_watch_free(cmd);
    cmd_detail_free(cmd);
    cmd_purge_known_free(cmd->purges);
    for (unsigned i = 0; cmd->workers != NULL && i < cmd->nworkers; i++) {
        free(cmd->workers[i].selectors);
        free(cmd->workers[i].spare);
        cmd_link_peers_free(cmd->workers[i].peers);
    }
    cmd_hot_free(cmd);
    cmd_hold_free(cmd);
    free(cmd->copy_changes);
    free(cmd->workers);
    cmd_view_free(cmd);
    free((char *)cmd->cfg.key_tags);
    free((char *)cmd->cfg.auth_file);
    free(cmd);
}

void cmd_set_cluster(struct cmd *cmd, const struct cmd_cluster *cluster) {
    cmd->cluster = cluster;
    cmd->leases = cluster->leases;
    if (cluster->cover != NULL) cmd->cover = cluster->cover;
}

const struct cmd_cluster *cmd_cluster_calls(const struct cmd *cmd) {
    return cmd->cluster;
}

void *cmd_worker_context(struct cmd *cmd, unsigned i) {
    CHECK(i < cmd->nworkers);
    return &cmd->workers[i];
}

void cmd_let_go(void *context) {
    cmd_leave(context);
}

/* ------------------------------------------------------------------ what others call */

void cmd_on_purged(struct cmd *cmd, uint64_t number, const struct purging_batch *b) {
    cmd_purge_known_batch(cmd->purges, number, b);
}

void cmd_on_job(void *cmd, void *token, int64_t n, uint64_t bytes) {
    struct cmd_ended *e = token;
    (void)cmd;
    e->ended(e, n, bytes);
}

void cmd_on_upload(void *cmd, unsigned worker) {
    cmd_body_turn(cmd, worker);
}

void cmd_on_evict(void *cmd, const char *key, size_t key_len, bool fetched, uint32_t expiry, uint64_t size) {
    cmd_watch_eviction(cmd, key, key_len, fetched, expiry, size);
}

uint64_t cmd_metric(const struct cmd *cmd, enum cmd_metric m) {
    return cmd_metrics_sum(cmd, m);
}

int cmd_reload_auth(struct cmd *cmd) {
    return cmd_auth_reload(cmd);
}
