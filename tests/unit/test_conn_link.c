/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Connections between nodes, as the net has them: output in a buffer of their own, TLS sessions that were begun
 * elsewhere. */
#include "net_lab.h"

#include <fcntl.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fault.h"
#include "net/conn_link.h"

static uint64_t links, inputs; /* atomic: that are open; upcalls */

/* Each byte of the input is an order:
 *   a-z  append it    U  append 2 bytes, then take them back    H  leave room for a byte, append "xyz", put '3' there
 *   B    append 1 MiB of the pattern */
struct peer {
    bool reads_on;
};

static bool on_open(struct conn *c, void *session) {
    (void)c;
    (void)session;
    sync_add_acqrel(&links, 1);
    return true;
}

static void run(struct conn *c, char order) {
    const size_t at = conn_link_tell(c);
    switch (order) {
    case 'U':
        conn_write(c, "??", 2);
        conn_link_rewind(c, at);
        break;
    case 'H':
        conn_write(c, "?xyz", 4);
        *conn_link_at(c, at) = '3';
        break;
    case 'B':
        conn_write(c, pattern, 1 << 20);
        if (conn_link_tell(c) > at) assert_memory_equal(conn_link_at(c, at), pattern, 1 << 20);
        break;
    default: conn_write(c, &order, 1);
    }
}

static size_t on_input(struct conn *c, void *session, char *p, size_t n) {
    const struct peer *peer = session;
    size_t used = 0;
    sync_add_acqrel(&inputs, 1);
    while (used < n && (peer->reads_on || !conn_full(c))) run(c, p[used++]);
    conn_link_send(c);
    return used;
}

static void on_release(struct conn *c, uint64_t token) {
    (void)c;
    (void)token;
}

static void on_close(struct conn *c, void *session) {
    (void)c;
    (void)session;
    sync_sub_rel(&links, 1);
}

static const struct net_handler handler = {
    .session_size = sizeof(struct peer), .open = on_open, .input = on_input, .release = on_release, .close = on_close};

struct adopted {
    struct net_post post;
    int fd;
    SSL *ssl;
    bool reads_on;
    uint64_t done; /* atomic */
};

static void post_adopt(struct net_worker *w, void *arg) {
    struct adopted *a = arg;
    struct conn *c = conn_adopt(w, a->fd, a->ssl, &handler);
    assert_non_null(c);
    assert_true(conn_link_begin(c, a->reads_on));
    ((struct peer *)conn_session(c))->reads_on = a->reads_on;
    assert_int_equal(conn_is_tls(c), a->ssl != NULL);
    sync_add_acqrel(&a->done, 1);
}

/* Has the worker adopt one end of a pair; the other one. */
static int adopt(struct net_lab *l, int fd, SSL *ssl, bool reads_on) {
    struct adopted a = {.fd = fd, .ssl = ssl, .reads_on = reads_on};
    worker_post(net_worker_at(l->net, 0), &a.post, post_adopt, &a);
    await(&a.done, 1);
    return 0;
}

static int pair(struct net_lab *l, bool reads_on) {
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(fcntl(fds[1], F_SETFL, 0), 0);
    adopt(l, fds[0], NULL, reads_on);
    return fds[1];
}

static void await_links(uint64_t n) {
    while (sync_load_acq(&links) != n) sched_yield();
}

static void output_is_completed_and_taken_back(void **state) {
    struct net_lab *l = net_lab_new();
    int fd = pair(l, false);
    (void)state;
    say(fd, "aUbHc");
    hear(fd, "ab3xyzc");
    close(fd);
    await_links(0);
    net_lab_free(l);
}

static bool has_no_memory(const char *point) {
    return strcmp(point, "link.no_memory") == 0;
}

/* Without memory for its output a link ends: what is appended, put in place and taken back meanwhile is nowhere. */
static void without_memory_it_ends(void **state) {
    static const char *const orders[] = {"HaUbH", "UH", "BH"};
    (void)state;
    fault_hook = has_no_memory;
    struct net_lab *l = net_lab_new();
    for (unsigned i = 0; i < sizeof orders / sizeof *orders; i++) {
        int fd = pair(l, false);
        char got[8];
        say(fd, orders[i]);
        assert_int_equal(read(fd, got, sizeof got), 0);
        close(fd);
        await_links(0);
    }
    net_lab_free(l);
    fault_hook = NULL;
}

/* A side that answers is not read while its answers wait; all of them come. */
static void an_answering_side_waits_for_its_reader(void **state) {
    struct net_lab *l = net_lab_new();
    int fd = pair(l, false);
    (void)state;
    say(fd, "BBBB");
    while (net_metric(l->net, NET_METRIC_output_blocked) == 0) sched_yield();
    await_worker(l, 0);
    const uint64_t before = sync_load_acq(&inputs);
    say(fd, "BBz");
    await_worker(l, 0);
    await_worker(l, 0);
    assert_int_equal(sync_load_acq(&inputs), before);
    for (unsigned i = 0; i < 6; i++) hear_pattern(fd, 1 << 20);
    hear(fd, "z");
    close(fd);
    await_links(0);
    net_lab_free(l);
}

/* A side that asks is: else two nodes could wait for each other. */
static void an_asking_side_reads_on(void **state) {
    struct net_lab *l = net_lab_new();
    int fd = pair(l, true);
    (void)state;
    say(fd, "BB");
    while (net_metric(l->net, NET_METRIC_output_blocked) == 0) sched_yield();
    await_worker(l, 0);
    const uint64_t before = sync_load_acq(&inputs);
    say(fd, "z");
    await(&inputs, before + 1);
    hear_pattern(fd, 1 << 20);
    hear_pattern(fd, 1 << 20);
    hear(fd, "z");
    close(fd);
    await_links(0);
    net_lab_free(l);
}

/* An idle link holds no buffer, is not ended for being idle, and a drain ends it at once. */
static void an_idle_link_stays(void **state) {
    struct net_lab *l = net_lab_new_config((struct net_config){.idle_timeout_s = 5});
    int fd = pair(l, false);
    (void)state;
    say(fd, "a");
    hear(fd, "a");
    for (unsigned i = 0; i < 4; i++) {
        clock_manual_advance(&l->clock, 10000000000ull);
        net_tick(l->net);
        await_worker(l, 0);
    }
    say(fd, "b");
    hear(fd, "b");
    assert_true(net_drain(l->net, 20000));
    hear_end(fd);
    await_links(0);
    net_lab_free(l);
}

/* ------------------------------------------------------------------ TLS that was begun elsewhere */

static unsigned psk_server(SSL *ssl, const char *identity, unsigned char *psk, unsigned max) {
    (void)ssl;
    (void)identity;
    assert_true(max >= 32);
    memset(psk, 7, 32);
    return 32;
}

static unsigned psk_client(SSL *ssl, const char *hint, char *identity, unsigned max_identity, unsigned char *psk,
                           unsigned max) {
    (void)hint;
    snprintf(identity, max_identity, "k");
    return psk_server(ssl, identity, psk, max);
}

static SSL *session(bool server, int fd) {
    SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    assert_non_null(ctx);
    SSL_CTX_set_psk_server_callback(ctx, psk_server);
    SSL_CTX_set_psk_client_callback(ctx, psk_client);
    SSL *ssl = SSL_new(ctx);
    assert_non_null(ssl);
    SSL_CTX_free(ctx);
    SSL_set_fd(ssl, fd);
    if (server)
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
    return ssl;
}

static void tls_take(SSL *ssl, int fd, char *p, size_t n) {
    while (n > 0) {
        const int k = SSL_read(ssl, p, (int)n);
        if (k > 0) {
            p += k;
            n -= (size_t)k;
            continue;
        }
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        assert_int_equal(SSL_get_error(ssl, k), SSL_ERROR_WANT_READ);
        assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
    }
}

static void a_session_is_handed_over(void **state) {
    struct net_lab *l = net_lab_new();
    int fds[2];
    char *got = malloc(1 << 20);
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    SSL *ours = session(true, fds[0]), *theirs = session(false, fds[1]);
    for (int a = 0, b = 0; a != 1 || b != 1;) {
        if (b != 1) b = SSL_do_handshake(theirs);
        if (a != 1) a = SSL_do_handshake(ours);
    }
    /* A byte that the session has by the time it is handed over, and nobody has seen. */
    assert_int_equal(SSL_write(theirs, "ab", 2), 2);
    char early;
    while (SSL_read(ours, &early, 1) != 1) sched_yield();
    assert_int_equal(early, 'a');
    adopt(l, fds[0], ours, false);
    tls_take(theirs, fds[1], got, 1);
    assert_int_equal(got[0], 'b');
    assert_int_equal(SSL_write(theirs, "HBBz", 4), 4);
    tls_take(theirs, fds[1], got, 4);
    assert_memory_equal(got, "3xyz", 4);
    for (unsigned i = 0; i < 2; i++) {
        tls_take(theirs, fds[1], got, 1 << 20);
        assert_memory_equal(got, pattern, 1 << 20);
    }
    tls_take(theirs, fds[1], got, 1);
    assert_int_equal(got[0], 'z');
    SSL_free(theirs);
    close(fds[1]);
    free(got);
    await_links(0);
    net_lab_free(l);
}

int main(void) {
    signal(SIGPIPE, SIG_IGN); /* as the daemon has it: the TLS library writes as it likes */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(output_is_completed_and_taken_back),
        cmocka_unit_test(without_memory_it_ends),
        cmocka_unit_test(an_answering_side_waits_for_its_reader),
        cmocka_unit_test(an_asking_side_reads_on),
        cmocka_unit_test(an_idle_link_stays),
        cmocka_unit_test(a_session_is_handed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
