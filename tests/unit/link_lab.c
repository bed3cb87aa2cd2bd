/* SPDX-License-Identifier: BSD-3-Clause */
#include "link_lab.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/loop.h"
#include "base/openssl.h"

struct lab lab;

/* ------------------------------------------------------------------ upcalls */

static void on_datagram(void *arg, const struct datagram_sender *from, const struct address *source,
                        const Peer__Datagram *m) {
    struct node *n = arg;
    uint32_t lowest, highest;
    peer_datagram_versions(m, &lowest, &highest);
    assert_int_equal(lowest, 1);
    assert_int_equal(from->version, 1);
    assert_true(address_is_loopback(source));
    n->datagrams++;
}

static void on_control(void *arg, const struct transport_peer *from, const Peer__Control *m) {
    struct node *n = arg;
    assert_true(from->boot > 0);
    n->controls++;
    static const char letters[] = {[PEER_SYNC] = 'a', [PEER_CONFIG] = 'b', [PEER_PURGE] = 'c'};
    size_t at = strlen(n->said);
    if (at + 1 == sizeof n->said) return;
    n->said[at] = letters[peer_control_kind(m)];
}

static void on_peer_up(void *arg, const struct transport_peer *peer) {
    struct node *n = arg;
    n->ups++;
    n->up = peer->id;
    n->up_boot = peer->boot;
    n->up_version = peer->version;
    if (n->forgets != NULL) transport_forget(n->t, &n->forgets->hello.node);
}

static void on_peer_down(void *arg, const struct cluster_id *id, uint64_t boot) {
    struct node *n = arg;
    n->downs++;
    n->down = *id;
    n->down_boot = boot;
}

static void on_unreachable(void *arg, const struct cluster_id *id) {
    struct node *n = arg;
    (void)id;
    n->unreachable++;
}

static void on_data_link(void *arg, const struct transport_data_link *link) {
    struct node *n = arg;
    assert_in_range(n->nlinks, 0, 3);
    n->data[n->nlinks++] = *link;
}

static void on_refused(void *arg, const char *where, const struct peer_refusal *why, bool by_them) {
    struct node *n = arg;
    assert_true(strlen(where) > 0);
    n->refused++;
    n->refused_by_them += by_them;
    n->why = *why;
}

static bool on_hello(void *arg, const struct peer_hello *theirs, struct peer_refusal *why) {
    struct node *n = arg;
    assert_true(theirs->boot > 0);
    if (!n->refuse_all) return true;
    *why = (struct peer_refusal){"--ring-name", "taken"};
    return false;
}

static void on_pong(void *arg, const struct transport_peer *from, uint64_t number) {
    struct node *n = arg;
    assert_true(from->boot > 0);
    n->pong = number;
}

/* ------------------------------------------------------------------ nodes */

int lab_set_up(void **state) {
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    memset(&lab, 0, sizeof lab);
    clock_manual_init(&lab.clock, UINT64_C(5000000000), 1700000000);
    lab.base = loop_new();
    return lab.base != NULL ? 0 : -1;
}

int lab_tear_down(void **state) {
    (void)state;
    for (unsigned i = 0; i < lab.nnodes; i++) lab_stop(&lab.n[i]);
    event_base_free(lab.base);
    return 0;
}

struct node *lab_node(void) {
    unsigned i = lab.nnodes++;
    struct node *n = &lab.n[i];
    n->hello = (struct peer_hello){.lowest = 1,
                                   .highest = 1,
                                   .cluster_name = "shop",
                                   .node = {{(uint8_t)(i + 1)}},
                                   .boot = 10 * (i + 1),
                                   .tag_marker = "|#|"};
    snprintf(n->hello.ring_name, sizeof n->hello.ring_name, "node%u:11211", i);
    snprintf(n->keys, sizeof n->keys, "%s", LAB_KEY_1);
    return n;
}

void lab_start(struct node *n) {
    char err[300] = "";
    struct keyring k = {0};
    struct hostport bind = {.port = (uint16_t)n->port};
    snprintf(bind.host, sizeof bind.host, "%s", n->host != NULL ? n->host : "127.0.0.1");
    assert_true(keyring_read(&k, n->keys, strlen(n->keys), err, sizeof err));
    const struct transport_config cfg = {
        .base = lab.base,
        .clock = &lab.clock.clock,
        .hello = n->hello,
        .keyring = &k,
        .plain = n->plain,
        .bind = &bind,
        .nbind = 1,
        .resolver = n->resolver,
        .events = {n, on_datagram, on_control, on_peer_up, on_peer_down, on_unreachable, on_data_link, on_refused,
                   on_hello, on_pong},
    };
    if (transport_new(&cfg, &n->t, err, sizeof err) != 0) fail_msg("%s", err);
    n->port = transport_port(n->t);
    hostport_text(bind.host, (uint16_t)n->port, n->hello.address);
    transport_set_hello(n->t, &n->hello);
}

void lab_stop(struct node *n) {
    transport_free(n->t);
    n->t = NULL;
    for (unsigned i = 0; i < n->nlinks; i++) {
        if (n->data[i].ssl != NULL) openssl.SSL_free(n->data[i].ssl);
        if (n->data[i].fd >= 0) close(n->data[i].fd);
    }
    n->nlinks = 0;
}

void lab_place(struct node *a, const struct node *b) {
    assert_int_equal(transport_place(a->t, &b->hello.node, b->hello.address), 0);
}

void lab_pair(struct node **a, struct node **b) {
    *a = lab_node();
    *b = lab_node();
    lab_start(*a);
    lab_start(*b);
    lab_place(*a, *b);
    lab_place(*b, *a);
}

void lab_settle(void) {
    for (unsigned i = 0; i < 20; i++) event_base_loop(lab.base, EVLOOP_NONBLOCK);
}

void lab_pass_ms(uint64_t ms) {
    clock_manual_advance(&lab.clock, ms * 1000000);
    for (unsigned i = 0; i < lab.nnodes; i++)
        if (lab.n[i].t != NULL) transport_tick(lab.n[i].t);
}

/* ------------------------------------------------------------------ messages */

static size_t put_varint(uint8_t *to, size_t v) {
    size_t n = 0;
    for (; v >= 128; v >>= 7) to[n++] = (uint8_t)(v | 128);
    to[n++] = (uint8_t)v;
    return n;
}

/* An envelope (peer.proto) with a message whose one field, number 2047, no release knows. */
size_t lab_message(char letter, size_t n, uint8_t *to, size_t size) {
    uint8_t inner[16] = {0xfa, 0x7f};
    size_t head = 2 + put_varint(inner + 2, n), at = 0;
    to[at++] = (uint8_t)((letter == 'a' ? 5 : letter == 'b' ? 6 : 7) << 3 | 2);
    at += put_varint(to + at, head + n);
    assert_true(at + head + n <= size);
    memcpy(to + at, inner, head);
    memset(to + at + head, letter, n);
    return at + head + n;
}

bool lab_say(struct node *from, const struct node *to, char letter, size_t n) {
    static uint8_t bytes[PEER_CONTROL_MAX];
    return transport_send(from->t, &to->hello.node, bytes, lab_message(letter, n, bytes, sizeof bytes));
}

uint64_t lab_count(const struct node *n, enum transport_metric m) {
    return transport_metric(n->t, m);
}

int lab_connect(const struct node *n) {
    struct address a;
    assert_true(address_numeric("127.0.0.1", (uint16_t)n->port, &a));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, &a.any, a.len), 0);
    return fd;
}
