/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/nodes.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"
#include "base/sync.h"
#include "cmd/cmd.h"
#include "net/net.h"
#include "settings.h"
#include "store/store.h"

#define ARGS_MAX 64
#define BOOT_NS 1000000000000ull
#define WALL_S 1800000000

/* ------------------------------------------------------------------ links */

/* A socket on its way to the worker that is to serve it. */
struct serve_post {
    struct net_post post;
    struct cmd *cmd;
    int fd;
    enum cmd_link_kind kind;
};

static void post_serve(struct net_worker *w, void *arg) {
    struct serve_post *p = arg;
    (void)cmd_serve_link(p->cmd, w, p->fd, NULL, p->kind);
    free(p);
}

static void serve(struct nodes_node *n, int fd, enum cmd_link_kind kind) {
    struct serve_post *p = calloc(1, sizeof *p);
    CHECK(p != NULL);
    struct net *net = node_net(n->node);
    *p = (struct serve_post){.cmd = node_cmd(n->node), .fd = fd, .kind = kind};
    worker_post(net_worker_at(net, sync_add(&n->next_worker, 1) % net_threads(net)), &p->post, post_serve, p);
}

/* Two ends of a connection; the second may be one that blocks. */
static void make_pair(int fds[2], bool second_blocks) {
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
    if (second_blocks) CHECK(fcntl(fds[1], F_SETFL, 0) == 0);
}

static void want_link(void *arg, unsigned worker, uint32_t member, enum cmd_link_kind kind, struct cmd_wish *wish) {
    struct nodes_node *from = arg;
    struct nodes *c = from->all;
    const unsigned to = member - 1;
    int fds[2];
    CHECK(to < c->n);
    sync_add_acqrel(&c->dialled, 1);
    if (sync_load_acq(&c->refused) >> to & 1) {
        cmd_on_link(wish, -1, NULL, -ECONNREFUSED);
    } else if (c->node[to].node != NULL) {
        make_pair(fds, false);
        serve(&c->node[to], fds[1], kind);
        cmd_on_link(wish, fds[0], NULL, 0);
    } else {
        pthread_mutex_lock(&c->lock);
        CHECK(c->nwishes < NODES_WISHES_MAX);
        c->wishes[c->nwishes++] = (struct nodes_wish){(unsigned)(from - c->node), to, worker, kind, wish};
        pthread_cond_signal(&c->wished);
        pthread_mutex_unlock(&c->lock);
    }
}

static void ring_differs(void *arg, uint32_t member, uint64_t version) {
    struct nodes_node *n = arg;
    (void)member;
    (void)version;
    sync_add_acqrel(&n->all->differs, 1);
}

int nodes_accept(struct nodes *c, int error, struct nodes_wish *got) {
    struct nodes_wish w;
    int fds[2] = {-1, -1};
    pthread_mutex_lock(&c->lock);
    while (c->nwishes == 0) pthread_cond_wait(&c->wished, &c->lock);
    w = c->wishes[0];
    memmove(c->wishes, c->wishes + 1, --c->nwishes * sizeof w);
    pthread_mutex_unlock(&c->lock);
    if (got != NULL) *got = w;
    if (error == 0) make_pair(fds, true);
    cmd_on_link(w.wish, fds[0], NULL, error);
    return fds[1];
}

int nodes_dial(struct nodes *c, unsigned i, enum cmd_link_kind kind) {
    int fds[2];
    make_pair(fds, true);
    serve(&c->node[i], fds[0], kind);
    return fds[1];
}

/* ------------------------------------------------------------------ life */

struct nodes *nodes_new(unsigned n) {
    struct nodes *c = calloc(1, sizeof *c);
    CHECK(n <= NODES_MAX);
    if (c == NULL) return NULL;
    c->n = n;
    for (unsigned i = 0; i < n; i++) c->node[i].all = c;
    clock_manual_init(&c->clock, BOOT_NS, WALL_S);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->wished, NULL);
    return c;
}

int nodes_start(struct nodes *c, unsigned i, const char *dir, const char *options) {
    static unsigned serial;
    struct nodes_node *n = &c->node[i];
    struct option_report report = {"", ""};
    char err[1024] = "", *argv[ARGS_MAX], *save = NULL, *copy = strdup(options);
    int argc = 0;
    CHECK(copy != NULL);
    snprintf(n->socket_path, sizeof n->socket_path, "%s/node%u", dir, serial++);
    argv[argc++] = "tagcached";
    if (strstr(options, "-l ") == NULL) {
        argv[argc++] = "-s";
        argv[argc++] = n->socket_path;
    }
    for (char *w = strtok_r(copy, " ", &save); w != NULL && argc < ARGS_MAX - 1; w = strtok_r(NULL, " ", &save))
        argv[argc++] = w;
    argv[argc] = NULL;
    int r = settings_init(&n->settings);
    if (r == 0) r = settings_parse(&n->settings, argc, argv, &report);
    const struct node_peers peers = {n, want_link, ring_differs};
    struct node_config cfg = {.settings = &n->settings, .clock = &c->clock.clock, .log_fd = -1, .peers = &peers};
    if (r == 0) r = node_new(&cfg, &n->node, err, sizeof err);
    if (r == 0) r = node_start(n->node);
    if (r != 0) fprintf(stderr, "%s%s\n", report.error, err);
    free(copy);
    return r == 0 ? 0 : -1;
}

void nodes_stop(struct nodes *c, unsigned i) {
    struct nodes_node *n = &c->node[i];
    if (n->node == NULL) return;
    node_stop(n->node);
    node_free(n->node);
    n->node = NULL;
    settings_fini(&n->settings);
    unlink(n->socket_path);
}

void nodes_free(struct nodes *c) {
    /* None may look for another that is being freed. */
    for (unsigned i = 0; i < c->n; i++)
        if (c->node[i].node != NULL) node_stop(c->node[i].node);
    for (unsigned i = 0; i < c->n; i++) {
        nodes_stop(c, i);
        move_put(c->node[i].move);
    }
    pthread_cond_destroy(&c->wished);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* ------------------------------------------------------------------ views */

static void on_done(void *arg) {
    sync_store_rel((uint32_t *)arg, 1);
}

static void set_view(struct nodes *c, unsigned i, struct view *v) {
    uint32_t done = 0;
    CHECK(cmd_set_view(node_cmd(c->node[i].node), v, on_done, &done) == 0);
    while (!sync_load_acq(&done)) sched_yield();
    c->node[i].view = v;
}

static void fill_members(const struct nodes *c, struct view_member *m, unsigned port) {
    for (unsigned k = 0; k < c->n; k++) {
        m[k] = (struct view_member){.number = k + 1};
        snprintf(m[k].name, sizeof m[k].name, "127.0.0.1:%u", port + k);
    }
}

void nodes_view_only(struct nodes *c, unsigned i, uint64_t version, unsigned only) {
    struct view_member m[NODES_MAX];
    struct view *v;
    fill_members(c, m, 11211);
    CHECK(view_new(version, NULL, m, c->n, i, only, &v) == 0);
    set_view(c, i, v);
}

/* The ring of the members in `mask`; fills *m with all members, those of the ring first, and the index of `self`. */
static struct ring *make_ring(const struct nodes *c, uint64_t version, uint64_t mask, unsigned port, unsigned self,
                              struct view_member *m, unsigned *self_at) {
    struct view_member all[NODES_MAX];
    struct ring_member rm[NODES_MAX];
    struct ring *ring;
    unsigned n = 0, in = 0;
    fill_members(c, all, port);
    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned k = 0; k < c->n; k++) {
            if ((mask >> k & 1) != (pass == 0)) continue;
            if (pass == 0) CHECK(ring_member_read(all[k].name, &rm[in++]));
            if (k == self) *self_at = n;
            m[n++] = all[k];
        }
    CHECK(ring_new(version, rm, in, &ring) == 0);
    return ring;
}

void nodes_view_ring(struct nodes *c, unsigned i, uint64_t version, uint64_t mask, unsigned port) {
    struct view_member m[NODES_MAX];
    struct view *v;
    unsigned self = VIEW_NOBODY;
    struct ring *ring = make_ring(c, version, mask, port, i, m, &self);
    const struct view *old = c->node[i].view;
    if (old != NULL && old->ring != NULL && (mask >> i & 1))
        CHECK(ring_follow(ring, old->ring, self, store_number(node_store(c->node[i].node))) == 0);
    CHECK(view_new(version, ring, m, c->n, self, VIEW_NOBODY, &v) == 0);
    set_view(c, i, v);
}

struct move *nodes_view_move(struct nodes *c, unsigned i, uint64_t version, uint64_t before, uint64_t mask,
                             unsigned port, enum move_state state) {
    struct view_member was[NODES_MAX], m[NODES_MAX];
    struct nodes_node *n = &c->node[i];
    struct view *v;
    unsigned self = VIEW_NOBODY, self_was = 0;
    struct ring *old = make_ring(c, version - 1, before, port, i, was, &self_was);
    struct ring *ring = make_ring(c, version, mask, port, i, m, &self);
    const bool had = before >> i & 1, has = mask >> i & 1;
    const struct ring *now = n->view == NULL ? NULL : n->view->ring;
    if (now != NULL && ring_version(now) == version - 1 && ring_digest(now) == ring_digest(old)) {
        ring_free(old);
        CHECK(ring_copy(now, &old) == 0);
    }
    if (has) CHECK(ring_follow(ring, old, self, store_number(node_store(n->node))) == 0);
    move_put(n->move);
    CHECK(move_new(old, ring, had ? (uint16_t)self_was : RING_NONE, has ? (uint16_t)self : RING_NONE, has ? 1 << 20 : 0,
                   &n->cover, &n->move) == 0);
    for (unsigned k = 0; k < ring_nmembers(old); k++) {
        if (had && k == self_was) continue;
        n->move->donor[k].number = was[k].number;
        if (has) move_set_state(n->move, k, state);
    }
    ring_free(old);
    CHECK(view_new(version, ring, m, c->n, self, VIEW_NOBODY, &v) == 0);
    CHECK(view_set_move(v, n->move) == 0);
    set_view(c, i, v);
    return n->move;
}

void nodes_cover(struct nodes *c, unsigned i, uint64_t sequence) {
    const struct cover cover = {.usable = true,
                                .g = store_number(node_store(c->node[i].node)),
                                .version = 1,
                                .epoch = 1,
                                .n = 1,
                                .seen = {{1, sequence}}};
    cover_publish(&c->node[i].cover, &cover);
}

/* ------------------------------------------------------------------ clients and time */

static void post_seen(struct net_worker *w, void *arg) {
    (void)w;
    sync_store_rel((uint32_t *)arg, 1);
}

/* A message may be taken before the sockets that were ready with it, but the next one comes after them. */
static void settle_worker(struct net_worker *w) {
    for (unsigned i = 0; i < 2; i++) {
        uint32_t seen = 0;
        struct net_post post = {0};
        worker_post(w, &post, post_seen, &seen);
        while (!sync_load_acq(&seen)) sched_yield();
    }
}

void nodes_settle(struct nodes *c) {
    for (unsigned pass = 0; pass < 2; pass++) /* there and back */
        for (unsigned i = 0; i < c->n; i++) {
            if (c->node[i].node == NULL) continue;
            struct net *net = node_net(c->node[i].node);
            for (unsigned k = 0; k < net_threads(net); k++) settle_worker(net_worker_at(net, k));
        }
}

void nodes_advance(struct nodes *c, uint64_t ms) {
    nodes_settle(c);
    clock_manual_advance(&c->clock, ms * 1000000);
    for (unsigned i = 0; i < c->n; i++)
        if (c->node[i].node != NULL) net_tick(node_net(c->node[i].node));
}

/* Connects, and waits until `ask` is answered with so many bytes. */
static int connect_and_ask(struct nodes *c, unsigned i, const char *ask, size_t n) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", c->node[i].socket_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char got[24];
    CHECK(n <= sizeof got && fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
    CHECK(send(fd, ask, n, 0) == (ssize_t)n && recv(fd, got, n, MSG_WAITALL) == (ssize_t)n);
    return fd;
}

int nodes_connect(struct nodes *c, unsigned i) {
    return connect_and_ask(c, i, "mn\r\n", 4);
}

int nodes_connect_binary(struct nodes *c, unsigned i) {
    static const char noop[24] = {(char)0x80, 0x0a};
    return connect_and_ask(c, i, noop, sizeof noop);
}
