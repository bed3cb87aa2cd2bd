/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_watch.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sync.h"
#include "cmd/cmd_watch_line.h"
#include "cmd/instance.h"
#include "cmd/observers.h"
#include "cmd/reply.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "net/conn.h"
#include "net/worker.h"
#include "proto/text.h"
#include "store/store.h"

#define WATCH_PRODUCE_MAX 1024 /* lines written in one upcall, so that a busy watcher does not starve its worker */

static const struct {
    const char *name;
    uint32_t bits; /* enum cmd_observer; 0: nothing ever happens there */
} streams[] = {
#define STREAM(name, constant, help) {#name, CMD_OBSERVE_##constant},
#define EMPTY(name) {#name, 0},
#include "cmd/watch.def"
#undef STREAM
#undef EMPTY
};

struct watcher {
    uint32_t mask;        /* streams wanted, 0: nobody; read by those who record */
    uint32_t wake;        /* its worker has been told, or is awake */
    struct net_post post; /* tells it */
    struct net_worker *nw;
    struct conn *conn; /* nw's thread only; NULL: nobody */
    uint64_t first;    /* events older than this were meant for an earlier watcher */
    bool taken;        /* under the lock */
    struct watch_ring *rings;
};

/* Ring i < nworkers is filled by worker i, the last one by any other thread, under `others`. */
struct cmd_watch {
    pthread_mutex_t lock; /* who watches */
    pthread_mutex_t others;
    unsigned nrings;
    uint32_t ring_size;
    unsigned taken;
    uint64_t gid;
    int64_t wall_offset_ns; /* unix time minus time since boot, as well as a clock of seconds shows it */
    uint64_t sent, skipped; /* lines sent; events that watchers were told they missed */
    struct watcher watchers[WATCH_MAX];
};

/* ------------------------------------------------------------------ recording */

/* Unix time with a fraction: seconds come from the wall clock, the fraction from the steady one. The offset between
 * them is the largest seen, since a clock of whole seconds lags; a larger step back means the clock was set. */
static int64_t now_us(struct cmd *cmd) {
    struct cmd_watch *h = cmd->watch;
    int64_t boot = (int64_t)clock_boot_ns(cmd->cfg.clock);
    int64_t seen = clock_wall_s(cmd->cfg.clock) * 1000000000 - boot, offset = sync_load(&h->wall_offset_ns);
    if (seen > offset || offset - seen > 1000000000) sync_store(&h->wall_offset_ns, offset = seen);
    return (boot + offset) / 1000;
}

static void wake_post(struct net_worker *nw, void *arg) {
    struct watcher *w = arg;
    /* The mask first: one that is not 0 comes with the worker it belongs to. */
    if (sync_load_acq(&w->mask) == 0) { /* nobody watches here any more, as always when the node ends */
        sync_store_seq(&w->wake, 0);
        return;
    }
    struct net_worker *now = sync_load_acq(&w->nw);
    if (now != nw) { /* the place has gone to a watcher elsewhere meanwhile, who may rely on this */
        worker_post(now, &w->post, wake_post, w);
        return;
    }
    if (w->conn != NULL) conn_kick(w->conn);
}

static void wake(struct watcher *w) {
    if (sync_load_seq(&w->wake) != 0 || sync_exchange(&w->wake, 1) != 0) return;
    worker_post(sync_load_acq(&w->nw), &w->post, wake_post, w);
}

/* Hands an event to whoever wants it. ring: the caller's own. */
static void record(struct cmd *cmd, unsigned ring, struct watch_event *n, const char *key, const char *text) {
    struct cmd_watch *h = cmd->watch;
    n->gid = sync_add(&h->gid, 1) + 1;
    n->time_us = now_us(cmd);
    for (unsigned i = 0; i < WATCH_MAX; i++) {
        struct watcher *w = &h->watchers[i];
        if ((sync_load_acq(&w->mask) & n->bit) == 0) continue;
        cmd_watch_ring_put(&w->rings[ring], n, key, text);
        wake(w);
    }
}

static void record_of_session(struct session *s, struct watch_event *n, const char *key, const char *text) {
    n->fd = conn_fd(s->conn);
    record(s->worker->cmd, s->worker->index, n, key, text);
}

static void record_of_other(struct cmd *cmd, struct watch_event *n, const char *key, const char *text) {
    struct cmd_watch *h = cmd->watch;
    pthread_mutex_lock(&h->others);
    record(cmd, h->nrings - 1, n, key, text);
    pthread_mutex_unlock(&h->others);
}

void cmd_watch_fetch(struct session *s, const char *key, size_t n, const struct store_item *it, const char *status) {
    struct watch_event w = {.kind = WATCH_GET,
                            .bit = CMD_OBSERVE_FETCHERS,
                            .status = status,
                            .flag = it != NULL,
                            .size = it != NULL ? it->size : 0,
                            .key_len = (uint8_t)(n < 256 ? n : 255)};
    record_of_session(s, &w, key, NULL);
}

static const char *status_name(enum store_status st) {
    switch (st) {
    case STORE_OK: return "stored";
    case STORE_NOT_STORED: return "not_stored";
    case STORE_EXISTS: return "exists";
    case STORE_NOT_FOUND: return "not_found";
    case STORE_TOO_LARGE: return "too_large";
    case STORE_NO_MEMORY: return "no_memory";
    case STORE_AGAIN:
    case STORE_NON_NUMERIC:
    case STORE_TOO_MANY:
    case STORE_PENDING: break;
    }
    return "not_stored";
}

void cmd_watch_mutation(struct session *s, const char *cmd, const struct store_key *key, enum store_status status,
                        uint32_t expiry, uint64_t size) {
    struct watch_event w = {.kind = WATCH_STORE,
                            .bit = CMD_OBSERVE_MUTATIONS,
                            .status = status_name(status),
                            .cmd = cmd,
                            .expiry = expiry,
                            .size = size,
                            .key_len = (uint8_t)key->len};
    record_of_session(s, &w, key->p, NULL);
}

void cmd_watch_deletion(struct session *s, const char *cmd, const struct store_key *key, uint64_t size) {
    struct watch_event w = {
        .kind = WATCH_DELETED, .bit = CMD_OBSERVE_DELETIONS, .cmd = cmd, .size = size, .key_len = (uint8_t)key->len};
    record_of_session(s, &w, key->p, NULL);
}

void cmd_watch_tags(struct session *s, const char *cmd, const struct store_key *key, unsigned ntags) {
    struct watch_event w = {
        .kind = WATCH_TAGS, .bit = CMD_OBSERVE_TAGS, .cmd = cmd, .ntags = (uint8_t)ntags, .key_len = (uint8_t)key->len};
    record_of_session(s, &w, key->p, NULL);
}

static uint16_t text_length(size_t n) {
    return (uint16_t)(n < WATCH_TEXT_MAX ? n : WATCH_TEXT_MAX);
}

void cmd_watch_purge(struct session *s, const char *cmd, const char *selectors, size_t n, bool soft, uint64_t number) {
    struct watch_event w = {.kind = WATCH_PURGE,
                            .bit = CMD_OBSERVE_PURGES,
                            .cmd = cmd,
                            .flag = soft,
                            .number = number,
                            .text_len = text_length(n)};
    record_of_session(s, &w, NULL, selectors);
}

void cmd_watch_rawcmd(struct session *s, const char *line, size_t n) {
    struct watch_event w = {.kind = WATCH_RAWCMD, .bit = CMD_OBSERVE_RAWCMDS, .text_len = text_length(n)};
    record_of_session(s, &w, NULL, line);
}

void cmd_watch_conn(struct session *s, bool closed, const char *reason) {
    const char *peer = conn_peer(s->conn), *ip = peer, *colon = strrchr(peer, ':');
    struct watch_event w = {.kind = closed ? WATCH_CONN_CLOSE : WATCH_CONN_NEW,
                            .bit = CMD_OBSERVE_CONNEVENTS,
                            .status = "tcp",
                            .cmd = reason};
    size_t n;
    if (conn_is_unix(s->conn) || colon == NULL) {
        w.status = "local";
        ip = "unix";
        n = 4;
    } else {
        w.rport = (uint16_t)strtoul(colon + 1, NULL, 10);
        n = (size_t)(colon - peer);
        if (n >= 2 && ip[0] == '[') ip++, n -= 2;
    }
    w.text_len = (uint16_t)(n < 64 ? n : 64);
    record_of_session(s, &w, NULL, ip);
}

void cmd_watch_eviction(struct cmd *cmd, const char *key, size_t key_len, bool fetched, uint32_t expiry,
                        uint64_t size) {
    if ((sync_load(&cmd->observed) & CMD_OBSERVE_EVICTIONS) == 0) return;
    struct watch_event w = {.kind = WATCH_EVICTION,
                            .bit = CMD_OBSERVE_EVICTIONS,
                            .flag = fetched,
                            .expiry = expiry,
                            .size = size,
                            .key_len = (uint8_t)key_len};
    record_of_other(cmd, &w, key, NULL);
}

void cmd_watch_sysevent(struct cmd *cmd, const char *type, const char *text) {
    log_event(cmd->cfg.log, LOG_NOTICE, type, "%s", text);
    if ((sync_load(&cmd->observed) & CMD_OBSERVE_SYSEVENTS) == 0) return;
    struct watch_event w = {
        .kind = WATCH_SYSEVENT, .bit = CMD_OBSERVE_SYSEVENTS, .status = type, .text_len = text_length(strlen(text))};
    record_of_other(cmd, &w, NULL, text);
}

/* ------------------------------------------------------------------ sending */

/* The ring whose oldest event is the oldest of all, so that lines leave in order as far as that can be known. */
static struct watch_ring *oldest(struct cmd_watch *h, struct watcher *w, struct watch_event *n) {
    struct watch_ring *best = NULL;
    struct watch_event at;
    for (unsigned i = 0; i < h->nrings; i++) {
        if (!cmd_watch_ring_peek(&w->rings[i], &at) || (best != NULL && at.gid >= n->gid)) continue;
        best = &w->rings[i];
        *n = at;
    }
    return best;
}

/* Tells the watcher what it has missed since it was last told. */
static void send_skipped(struct cmd_watch *h, struct watcher *w, struct conn *c) {
    uint64_t missed = 0;
    for (unsigned i = 0; i < h->nrings; i++) {
        uint64_t all = sync_load(&w->rings[i].skipped);
        missed += all - w->rings[i].seen;
        w->rings[i].seen = all;
    }
    if (missed == 0) return;
    char line[40];
    conn_write(c, line, (size_t)snprintf(line, sizeof line, "skipped=%llu\n", (unsigned long long)missed));
    sync_add(&h->skipped, missed);
}

static void send_event(struct cmd_watch *h, struct watcher *w, struct watch_ring *r, struct watch_event *n,
                       struct conn *c, uint32_t now) {
    char key[256], text[WATCH_TEXT_MAX];
    cmd_watch_ring_take(r, n, key, text);
    if (n->gid < w->first || (n->bit & w->mask) == 0) return;
    char *p = conn_reserve(c, WATCH_LINE_MAX);
    conn_commit(c, cmd_watch_format(n, key, text, now, p));
    sync_add(&h->sent, 1);
}

static void watch_produce(struct session *s) {
    struct cmd_watch *h = s->worker->cmd->watch;
    struct watcher *w = s->produce_state;
    struct conn *c = s->conn;
    if (conn_parked(c)) conn_resume(c);
    store_enter(s->worker->store);
    uint32_t now = store_now(s->worker->store);
    store_leave(s->worker->store);
    send_skipped(h, w, c); /* here too: a watcher that is never up to date must hear of it */
    for (unsigned i = 0; i < WATCH_PRODUCE_MAX; i++) {
        if (conn_full(c)) return; /* asked again when it has drained */
        struct watch_event n;
        struct watch_ring *r = oldest(h, w, &n);
        if (r == NULL) {
            send_skipped(h, w, c);
            /* Asleep first, then one more look: an event put in between is seen here or wakes us. */
            sync_store_seq(&w->wake, 0);
            if (oldest(h, w, &n) == NULL) return; /* called again when kicked */
            sync_store_seq(&w->wake, 1);
            continue;
        }
        send_event(h, w, r, &n, c, now);
    }
    conn_kick(c);
}

/* ------------------------------------------------------------------ watchers come and go */

/* Brings cmd->observed in line with who watches. Under the lock. */
static void update_observed(struct cmd *cmd) {
    uint32_t want = 0;
    for (unsigned i = 0; i < WATCH_MAX; i++) want |= cmd->watch->watchers[i].mask;
    sync_or(&cmd->observed, want);
    sync_and(&cmd->observed, want | ~(uint32_t)CMD_OBSERVE_STREAMS);
    store_watch_evictions(cmd->store, (want & CMD_OBSERVE_EVICTIONS) != 0);
}

static bool make_rings(struct cmd_watch *h, struct watcher *w) {
    if (w->rings != NULL) return true;
    struct watch_ring *rings = aligned_alloc(SYNC_CACHE_LINE, h->nrings * sizeof *rings);
    char *bytes = malloc((size_t)h->nrings * h->ring_size);
    if (rings == NULL || bytes == NULL) {
        free(rings);
        free(bytes);
        return false;
    }
    for (unsigned i = 0; i < h->nrings; i++)
        rings[i] = (struct watch_ring){.buf = bytes + (size_t)i * h->ring_size, .size = h->ring_size};
    sync_store_rel(&w->rings, rings);
    return true;
}

static void watch_end(struct session *s) {
    struct cmd *cmd = s->worker->cmd;
    struct watcher *w = s->produce_state;
    pthread_mutex_lock(&cmd->watch->lock);
    sync_store_rel(&w->mask, 0);
    w->conn = NULL;
    w->taken = false;
    sync_sub(&cmd->watch->taken, 1);
    update_observed(cmd);
    pthread_mutex_unlock(&cmd->watch->lock);
}

static const struct cmd_producer watch_producer = {watch_produce, watch_end};

/* Takes a place. 0, -EBUSY when all are taken, -ENOMEM. */
static int watch_begin(struct session *s, uint32_t mask) {
    struct cmd *cmd = s->worker->cmd;
    struct cmd_watch *h = cmd->watch;
    int rc = -EBUSY;
    pthread_mutex_lock(&h->lock);
    for (unsigned i = 0; rc == -EBUSY && i < WATCH_MAX; i++) {
        struct watcher *w = &h->watchers[i];
        if (w->taken) continue;
        if (!make_rings(h, w)) {
            rc = -ENOMEM;
            break;
        }
        for (unsigned r = 0; r < h->nrings; r++) { /* what lies there was for an earlier watcher */
            sync_store_rel(&w->rings[r].head, sync_load_acq(&w->rings[r].tail));
            w->rings[r].seen = sync_load(&w->rings[r].skipped);
        }
        w->first = sync_load(&h->gid) + 1;
        w->conn = s->conn;
        w->taken = true;
        sync_store_rel(&w->nw, conn_worker(s->conn));
        sync_store_seq(&w->wake, 0);
        sync_store_rel(&w->mask, mask);
        sync_add(&h->taken, 1);
        update_observed(cmd);
        s->producer = &watch_producer;
        s->produce_state = w;
        rc = 0;
    }
    pthread_mutex_unlock(&h->lock);
    return rc;
}

/* The streams named by the words; false if one is unknown. */
static bool parse_streams(const struct request *r, uint32_t *mask) {
    struct text_token word;
    size_t at = 0;
    *mask = 0;
    (void)text_next(r->line, r->line_len, &at, &word);
    if (!text_next(r->line, r->line_len, &at, &word)) {
        *mask = CMD_OBSERVE_FETCHERS;
        return true;
    }
    do {
        size_t i = 0, n = sizeof streams / sizeof *streams;
        while (i < n && !text_is(&word, streams[i].name, strlen(streams[i].name))) i++;
        if (i == n) return false;
        *mask |= streams[i].bits;
    } while (text_next(r->line, r->line_len, &at, &word));
    return true;
}

void cmd_watch(struct session *s, struct request *r) {
    uint32_t mask;
    if (s->worker->cmd->cfg.no_watch) {
        cmd_reply_lit(s, r, "CLIENT_ERROR watch commands not allowed");
        return;
    }
    if (!parse_streams(r, &mask)) {
        cmd_reply_lit(s, r, "ERROR");
        return;
    }
    int rc = watch_begin(s, mask);
    if (rc == -EBUSY) {
        cmd_reply_lit(s, r, "WATCHER_TOO_MANY log watcher limit reached");
    } else if (rc != 0) {
        cmd_reply_lit(s, r, "WATCHER_FAILED failed to add log watcher");
    } else {
        cmd_reply_lit(s, r, "OK");
        /* From here on the connection only listens: whatever it sends is of no interest, be it part of this batch
         * (hence parked until the producer has its first turn) or later. */
        r->discard_body = UINT64_MAX;
        conn_wait(s->conn);
        conn_set_producer(s->conn, true);
        conn_kick(s->conn);
    }
}

bool cmd_watch_is(const struct session *s) {
    return s->producer == &watch_producer;
}

/* ------------------------------------------------------------------ life */

int cmd_watch_new(struct cmd *cmd) {
    struct cmd_watch *h = calloc(1, sizeof *h);
    if (h == NULL) return -ENOMEM;
    pthread_mutex_init(&h->lock, NULL);
    pthread_mutex_init(&h->others, NULL);
    h->nrings = cmd->nworkers + 1;
    h->ring_size = WATCH_RING_MIN;
    while (h->ring_size * 2 * h->nrings <= WATCH_BUDGET) h->ring_size *= 2;
    h->wall_offset_ns = clock_wall_s(cmd->cfg.clock) * 1000000000 - (int64_t)clock_boot_ns(cmd->cfg.clock);
    cmd->watch = h;
    return 0;
}

void cmd_watch_free(struct cmd *cmd) {
    struct cmd_watch *h = cmd->watch;
    if (h == NULL) return;
    for (unsigned i = 0; i < WATCH_MAX; i++) {
        if (h->watchers[i].rings == NULL) continue;
        free(h->watchers[i].rings[0].buf);
        free(h->watchers[i].rings);
    }
    pthread_mutex_destroy(&h->lock);
    pthread_mutex_destroy(&h->others);
    free(h);
    cmd->watch = NULL;
}

void cmd_watch_stats(struct cmd *cmd, struct cmd_watch_stats *out) {
    struct cmd_watch *h = cmd->watch;
    *out = (struct cmd_watch_stats){
        .watchers = sync_load(&h->taken),
        .sent = sync_load(&h->sent),
        .skipped = sync_load(&h->skipped),
        .recorded = sync_load(&h->gid),
    };
    for (unsigned i = 0; i < WATCH_MAX; i++) {
        struct watch_ring *rings = sync_load_acq(&h->watchers[i].rings);
        if (rings == NULL) continue;
        for (unsigned k = 0; k < h->nrings; k++) out->dropped += sync_load(&rings[k].skipped);
    }
}
