/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/fuzz/fake_net.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "net/conn_link.h"

struct net_worker {
    void *context;
    struct fake_node *node;
    struct sync_stack posts;
    struct conn *conns;
};

struct conn {
    struct conn_head head;
    struct conn *next;
    struct net_worker *worker;
    void *session;
    char *in, *out, *reserved;
    size_t in_len, out_len, out_max, reserved_len;
    uint64_t *held; /* tokens of conn_ref to release when the upcall has ended */
    unsigned nheld, most;
    bool parked, waiting, closing, producer, again, body;
};

/* ------------------------------------------------------------------ conn.h */

/* Nobody's: so each reservation comes here, and gets a block of its own size. */
static struct conn_room no_room;

static void grow(struct conn *c, size_t n) {
    if (c->out_len + n <= c->out_max) return;
    c->out_max = (c->out_len + n) * 2;
    c->out = realloc(c->out, c->out_max);
    CHECK(c->out != NULL);
}

char *conn_reserve_slow(struct conn *c, size_t n) {
    CHECK(n <= CONN_RESERVE_MAX);
    free(c->reserved);
    c->reserved = malloc(n > 0 ? n : 1);
    CHECK(c->reserved != NULL);
    c->reserved_len = n;
    return c->reserved;
}

void conn_commit_slow(struct conn *c, size_t n) {
    CHECK(n <= c->reserved_len);
    grow(c, n);
    if (n > 0) memcpy(c->out + c->out_len, c->reserved, n);
    c->out_len += n;
    c->reserved_len = 0;
}

void conn_write(struct conn *c, const void *p, size_t n) {
    grow(c, n);
    if (n > 0) memcpy(c->out + c->out_len, p, n);
    c->out_len += n;
}

size_t conn_write_some(struct conn *c, const void *p, size_t n) {
    conn_write(c, p, n);
    return n;
}

void conn_ref(struct conn *c, const void *p, size_t n, uint64_t token) {
    conn_write(c, p, n);
    if (token == 0) return;
    c->held = realloc(c->held, (c->nheld + 1) * sizeof(*c->held));
    CHECK(c->held != NULL);
    c->held[c->nheld++] = token;
    if (c->nheld > c->most) c->most = c->nheld;
}

bool conn_full(const struct conn *c) {
    (void)c;
    return false;
}

size_t conn_pending(const struct conn *c) {
    (void)c;
    return 0;
}

void conn_close(struct conn *c) {
    c->closing = true;
}

bool conn_closing(const struct conn *c) {
    return c->closing;
}

void conn_park(struct conn *c) {
    c->parked = true;
}

void conn_wait(struct conn *c) {
    c->parked = c->waiting = true;
}

bool conn_parked(const struct conn *c) {
    return c->parked;
}

bool conn_halted(const struct conn *c) {
    return c->parked || c->closing;
}

void conn_resume(struct conn *c) {
    c->parked = c->waiting = false;
    c->again = true;
}

void conn_feed(struct conn *c) {
    conn_resume(c);
}

void conn_set_body(struct conn *c, bool on) {
    c->body = on;
}

void conn_hold(struct conn *c, size_t n) {
    (void)c;
    (void)n;
}

void conn_set_producer(struct conn *c, bool on) {
    c->producer = on;
}

void conn_kick(struct conn *c) {
    (void)c;
}

void *conn_session(struct conn *c) {
    return c->session;
}

struct net_worker *conn_worker(struct conn *c) {
    return c->worker;
}

int conn_fd(const struct conn *c) {
    (void)c;
    return 7;
}

uint64_t conn_id(const struct conn *c) {
    (void)c;
    return 1;
}

const char *conn_peer(struct conn *c) {
    (void)c;
    return "127.0.0.1:7";
}

bool conn_is_unix(const struct conn *c) {
    (void)c;
    return false;
}

bool conn_is_tls(const struct conn *c) {
    (void)c;
    return false;
}

enum net_protocol conn_protocol(const struct conn *c) {
    (void)c;
    return NET_PROTOCOL_DEFAULT;
}
const char *conn_listener(const struct conn *c) {
    (void)c;
    return "";
}

uint64_t conn_idle_s(const struct conn *c) {
    (void)c;
    return 0;
}

enum conn_end conn_end(const struct conn *c) {
    (void)c;
    return CONN_END_NORMAL;
}

const char *conn_state_name(const struct conn *c) {
    (void)c;
    return "conn_read";
}

/* ------------------------------------------------------------------ conn_link.h: a node here has no peers */

struct conn *conn_adopt(struct net_worker *w, int fd, struct ssl_st *ssl, const struct net_handler *h) {
    (void)w;
    (void)fd;
    (void)ssl;
    (void)h;
    abort();
}

bool conn_link_begin(struct conn *c, bool reads_on) {
    (void)c;
    (void)reads_on;
    abort();
}

void conn_link_send(struct conn *c) {
    (void)c;
    abort();
}

void conn_busy(struct conn *c, bool busy) {
    (void)c;
    (void)busy;
    abort();
}

size_t conn_link_tell(const struct conn *c) {
    (void)c;
    abort();
}

char *conn_link_at(struct conn *c, size_t at) {
    (void)c;
    (void)at;
    abort();
}

void conn_link_rewind(struct conn *c, size_t at) {
    (void)c;
    (void)at;
    abort();
}

uint64_t conn_link_sent(const struct conn *c) {
    (void)c;
    abort();
}

void worker_alarm(struct net_worker *w, unsigned ms, void (*fn)(struct net_worker *w, void *arg), void *arg) {
    (void)w;
    (void)ms;
    (void)fn;
    (void)arg;
    abort();
}

/* ------------------------------------------------------------------ worker.h */

unsigned worker_index(const struct net_worker *w) {
    (void)w;
    return 0;
}

void *worker_context(const struct net_worker *w) {
    return w->context;
}

void worker_post(struct net_worker *w, struct net_post *p, void (*fn)(struct net_worker *w, void *arg), void *arg) {
    if (p->posted) return;
    *p = (struct net_post){.fn = fn, .arg = arg, .posted = 1};
    sync_stack_push(&w->posts, &p->entry);
}

void worker_resume_all(struct net_worker *w) {
    for (struct conn *c = w->conns; c != NULL; c = c->next)
        if (c->parked && !c->waiting) conn_resume(c);
}

void worker_each_conn(struct net_worker *w, void (*fn)(struct conn *c, void *arg), void *arg) {
    for (struct conn *c = w->conns; c != NULL; c = c->next) fn(c, arg);
}

static bool run_posts(struct net_worker *w) {
    struct sync_stack_entry *e = sync_stack_take_all(&w->posts), *next;
    const bool any = e != NULL;
    for (; e != NULL; e = next) {
        struct net_post *p = (struct net_post *)e;
        next = sync_stack_next(e);
        p->posted = 0;
        p->fn(w, p->arg);
    }
    return any;
}

/* ------------------------------------------------------------------ a node */

static void up_shutdown(void *arg, enum cmd_shutdown mode) {
    struct fake_node *n = arg;
    (void)mode;
    n->shutdowns++;
}

static bool up_certs(void *arg, char *err, size_t n) {
    (void)arg;
    snprintf(err, n, "no TLS here");
    return false;
}

static void up_net_stats(void *arg, struct cmd_net_stats *out) {
    (void)arg;
    *out = (struct cmd_net_stats){.threads = 1};
}

static void up_nothing(void *arg) {
    (void)arg;
}

static struct net_worker *up_worker(void *arg, unsigned i) {
    struct fake_node *n = arg;
    CHECK(i == 0);
    return n->worker;
}

static void up_listeners(void *arg, void (*fn)(void *fn_arg, int fd), void *fn_arg) {
    (void)arg;
    fn(fn_arg, -1);
}

static void up_settings(void *arg, void (*fn)(void *fn_arg, const char *name, const char *value), void *fn_arg) {
    (void)arg;
    fn(fn_arg, "maxbytes", "8388608");
}

static void on_room(void *arg) {
    struct fake_node *n = arg;
    if (n->worker != NULL) worker_resume_all(n->worker);
}

static void on_upload(void *arg, unsigned worker) {
    struct fake_node *n = arg;
    cmd_on_upload(n->cmd, worker);
}

static void on_job(void *arg, void *token, int64_t count, uint64_t bytes) {
    struct fake_node *n = arg;
    cmd_on_job(n->cmd, token, count, bytes);
}

struct fake_node *fake_node_new(const struct fake_options *o) {
    struct fake_node *n = calloc(1, sizeof(*n));
    CHECK(n != NULL);
    const uint64_t item_max = o->item_size_max > 0 ? o->item_size_max : (1 << 20) - 1;
    clock_manual_init(&n->clock, 1000000000ull, 1700000000);
    struct store_config sc = {.memory_limit = o->memory > 0 ? o->memory : 8 << 20,
                              .item_size_max = item_max,
                              .workers = 1,
                              .evict = !o->no_evict,
                              .prefix_delimiter = o->prefix_delimiter,
                              .seed = 42,
                              .clock = &n->clock.clock,
                              .events = {.arg = n, .on_room = on_room, .on_job = on_job, .on_upload = on_upload}};
    CHECK(store_new(&sc, &n->store) == 0);
    struct cmd_config cc = {.store = n->store,
                            .clock = &n->clock.clock,
                            .workers = 1,
                            .key_tags = o->key_tags == NULL      ? "|#|"
                                        : o->key_tags[0] != '\0' ? o->key_tags
                                                                 : NULL,
                            .prefix_delimiter = o->prefix_delimiter,
                            .stats_delimiter = ':',
                            .auth_file = o->auth_file,
                            .sasl = o->sasl,
                            .no_flush = o->no_flush,
                            .shutdown = true,
                            .item_size_max = item_max,
                            .requests_per_event = o->requests_per_event,
                            .log = o->log,
                            .up = {.arg = n,
                                   .shutdown = up_shutdown,
                                   .refresh_certs = up_certs,
                                   .net_stats = up_net_stats,
                                   .net_reset = up_nothing,
                                   .worker = up_worker,
                                   .listeners_each = up_listeners,
                                   .settings_each = up_settings}};
    CHECK(cmd_new(&cc, &n->cmd) == 0);
    n->worker = calloc(1, sizeof(*n->worker));
    CHECK(n->worker != NULL);
    n->worker->context = cmd_worker_context(n->cmd, 0);
    n->worker->node = n;
    return n;
}

void fake_node_free(struct fake_node *n) {
    while (n->worker->conns != NULL) fake_close(n->worker->conns);
    while (store_maintain(n->store) || run_posts(n->worker)) continue;
    cmd_free(n->cmd);
    store_free(n->store);
    free(n->worker);
    free(n);
}

/* ------------------------------------------------------------------ a connection */

struct conn *fake_open(struct fake_node *n) {
    const struct net_handler *h = cmd_handler();
    struct conn *c = calloc(1, sizeof(*c));
    CHECK(c != NULL);
    c->session = calloc(1, h->session_size);
    CHECK(c->session != NULL);
    c->head.room = &no_room;
    c->worker = n->worker;
    c->next = n->worker->conns;
    n->worker->conns = c;
    CHECK(h->open(c, c->session));
    return c;
}

static void release_held(struct conn *c) {
    for (unsigned i = 0; i < c->nheld; i++) cmd_handler()->release(c, c->held[i]);
    c->nheld = 0;
}

/* Shows what there is, once. Returns whether anything was consumed. */
static bool show(struct conn *c) {
    c->again = false;
    size_t used = cmd_handler()->input(c, c->session, c->in, c->in_len);
    CHECK(used <= c->in_len);
    release_held(c);
    if (!c->worker->node->one_round) cmd_let_go(c->worker->context);
    size_t left = c->in_len - used;
    char *rest = malloc(left > 0 ? left : 1);
    CHECK(rest != NULL);
    memcpy(rest, c->in + used, left);
    free(c->in);
    c->in = rest;
    c->in_len = left;
    return used > 0;
}

void fake_settle(struct conn *c) {
    for (int idle = 0; idle < 3 && !c->closing;) {
        bool moved = false;
        if (c->producer) {
            cmd_handler()->produce(c, c->session);
            release_held(c);
            moved = c->producer;
        }
        if (!c->worker->node->held && store_maintain(c->worker->node->store)) moved = true;
        if (run_posts(c->worker)) moved = true;
        if (c->again && !c->parked) moved |= show(c);
        idle = moved ? 0 : idle + 1;
        /* A watcher produces for ever. */
        if (c->producer && !c->parked) return;
    }
}

/* Bytes that go where the body's belong. */
static size_t feed_body(struct conn *c, const char *p, size_t n) {
    size_t room = 0;
    char *to = c->in_len > 0 || !c->body ? NULL : cmd_handler()->body_space(c, c->session, &room);
    if (to == NULL || room == 0) return 0;
    if (n > room) n = room;
    memcpy(to, p, n);
    cmd_handler()->body_received(c, c->session, n);
    return n;
}

void fake_feed(struct conn *c, const void *bytes, size_t n) {
    const char *p = bytes;
    while (n > 0 && !c->closing) {
        size_t took = c->parked ? 0 : feed_body(c, p, n);
        if (took == 0) {
            c->in = realloc(c->in, c->in_len + n);
            CHECK(c->in != NULL);
            memcpy(c->in + c->in_len, p, n);
            c->in_len += n;
            took = n;
            if (!c->parked) show(c);
        }
        p += took;
        n -= took;
        fake_settle(c);
    }
}

const char *fake_output(const struct conn *c, size_t *n) {
    *n = c->out_len;
    return c->out;
}

void fake_clear(struct conn *c) {
    c->out_len = 0;
}

bool fake_closed(const struct conn *c) {
    return c->closing;
}

unsigned fake_refs(const struct conn *c) {
    return c->most;
}

void fake_close(struct conn *c) {
    struct conn **at = &c->worker->conns;
    while (*at != c) at = &(*at)->next;
    *at = c->next;
    release_held(c);
    cmd_handler()->close(c, c->session);
    free(c->session);
    free(c->in);
    free(c->out);
    free(c->reserved);
    free(c->held);
    free(c);
}
