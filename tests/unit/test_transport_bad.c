/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Nodes that do not belong together, and others than nodes: each is refused with a setting and a sentence, on both
 * sides where there are two, and costs nothing but its own connection. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "link_lab.h"
#include "proto/peer_link.h"

/* ------------------------------------------------------------------ nodes that differ */

static struct node *a, *b;

static void make_two(void) {
    a = lab_node();
    b = lab_node();
}

/* a dials b; both know why that is no good. */
static void assert_refused(const char *setting, const char *part) {
    lab_start(a);
    lab_start(b);
    lab_place(a, b);
    lab_say(a, b, 'a', 0);
    LAB_UNTIL(a->unreachable == 1 && b->refused == 1 && a->refused == 1);
    assert_string_equal(a->why.setting, setting);
    assert_string_equal(b->why.setting, setting);
    if (strstr(a->why.reason, part) == NULL) fail_msg("%s", a->why.reason);
    assert_int_equal(a->ups + b->ups, 0);
    assert_int_equal(b->controls, 0);
    assert_int_equal(LAB_COUNT(a, links_refused), 1);
    assert_int_equal(LAB_COUNT(b, links_refused), 1);
    assert_int_equal(LAB_COUNT(a, messages_dropped), 1);
    /* After a refusal the next attempt waits for a second at least, two at most. */
    lab_say(a, b, 'a', 0);
    lab_pass_ms(999);
    lab_settle();
    assert_int_equal(LAB_COUNT(a, links_dialled), 1);
    lab_pass_ms(1001);
    LAB_UNTIL(a->unreachable == 2);
}

static void test_another_key(void **state) {
    (void)state;
    make_two();
    strcpy(b->keys, LAB_KEY_2);
    assert_refused("--cluster-key", "the other node lacks this node's key");
    assert_string_equal(b->why.reason,
                        "the other node uses a key that this node lacks: give all nodes the same --cluster-key");
}

static void test_another_cluster(void **state) {
    (void)state;
    make_two();
    strcpy(b->hello.cluster_name, "shop2");
    assert_refused("--cluster", "start all nodes with the same --cluster");
    assert_int_equal(a->refused_by_them, 2); /* both times; who is dialled sees it first */
    assert_int_equal(b->refused_by_them, 0);
}

static void test_other_settings(void **state) {
    (void)state;
    make_two();
    b->hello.tag_prefix = '/';
    assert_refused("--prefix-tags", "start all nodes with the same --prefix-tags");
}

static void test_no_common_version(void **state) {
    (void)state;
    make_two();
    b->hello.lowest = b->hello.highest = 2;
    assert_refused("version", "speaks wire versions 2 to 2");
}

static void test_two_nodes_of_one_name(void **state) {
    (void)state;
    make_two();
    strcpy(b->hello.ring_name, a->hello.ring_name);
    assert_refused("--ring-name", "both have the name node0:11211");
}

static void test_the_owner_may_refuse(void **state) {
    (void)state;
    make_two();
    b->refuse_all = true;
    assert_refused("--ring-name", "taken");
}

static void test_another_node_at_the_address(void **state) {
    (void)state;
    make_two();
    lab_start(a);
    lab_start(b);
    static const struct cluster_id wanted = {{0x77}};
    assert_int_equal(transport_place(a->t, &wanted, b->hello.address), 0);
    uint8_t bytes[32];
    assert_true(transport_send(a->t, &wanted, bytes, lab_message('a', 0, bytes, sizeof bytes)));
    assert_int_equal(transport_want_data_link(a->t, &wanted, 1, PEER_LINK_DATA), 0);
    LAB_UNTIL(a->unreachable == 1 && a->nlinks == 1 && b->refused == 2);
    assert_string_equal(a->why.setting, "--cluster-advertise");
    assert_int_equal(a->data[0].fd, -1);
    assert_int_equal(b->controls + b->nlinks + a->ups + b->ups, 0);
}

static void test_tls_and_plain(void **state) {
    (void)state;
    make_two();
    a->plain = true;
    lab_start(a);
    lab_start(b);
    lab_place(a, b);
    lab_place(b, a);
    lab_say(a, b, 'a', 0);
    LAB_UNTIL(a->unreachable == 1 && b->refused == 1);
    assert_string_equal(b->why.setting, "--cluster-links");
    assert_string_equal(b->why.reason, "the other side speaks no TLS: start all nodes with the same --cluster-links");
    lab_say(b, a, 'b', 0);
    LAB_UNTIL(b->unreachable == 1 && a->refused == 1);
    assert_string_equal(a->why.setting, "--cluster-links");
    assert_string_equal(a->why.reason, "the other side speaks TLS: start all nodes with the same --cluster-links");
}

/* ------------------------------------------------------------------ others than nodes */

static struct peer_hello stranger = {.lowest = 1,
                                     .highest = 1,
                                     .cluster_name = "shop",
                                     .node = {{0x55}},
                                     .boot = 1,
                                     .ring_name = "x:1",
                                     .address = "127.0.0.1:9",
                                     .tag_marker = "|#|",
                                     .link = PEER_LINK_CONTROL};

static void send_all(int fd, const void *p, size_t n) {
    assert_int_equal(write(fd, p, n), (ssize_t)n);
}

static void send_frame(int fd, const void *p, size_t n) {
    const uint8_t header[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    send_all(fd, header, 4);
    send_all(fd, p, n);
}

static void send_hello(int fd) {
    uint8_t bytes[PEER_HELLO_BYTES_MAX];
    send_frame(fd, bytes, peer_hello_pack(&stranger, bytes, sizeof bytes));
}

/* A plain node, and a connection to it that has said hello. */
static int make_linked(void) {
    a = lab_node();
    a->plain = true;
    lab_start(a);
    int fd = lab_connect(a);
    send_hello(fd);
    LAB_UNTIL(a->ups == 1);
    return fd;
}

/* The node closes the connection because of what it was sent. */
static void assert_broken(int fd, uint64_t errors) {
    LAB_UNTIL(LAB_COUNT(a, protocol_errors) == errors);
    char rest[4096];
    ssize_t n;
    while ((n = read(fd, rest, sizeof rest)) > 0) continue;
    assert_true(n == 0 || errno == ECONNRESET);
    close(fd);
    assert_int_equal(transport_links_open(a->t), 0);
}

static void test_frames_that_no_node_sends(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
    } bad[] = {
        {"\0\1\0\1", 4},         /* 64 KiB and a byte */
        {"\377\377\377\377", 4}, /* 4 GiB */
        {"\0\0\0\0", 4},         /* nothing */
        {"\0\0\0\1\7", 5},       /* no message */
        {"\0\0\0\2\x0a\x7f", 6}, /* one that claims to be longer than it is */
        {"\0\0\0\2\x0a\0", 6},   /* hello, once more */
    };
    int fd = make_linked();
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        unsigned ups = a->ups;
        if (i > 0) {
            fd = lab_connect(a);
            send_hello(fd);
            LAB_UNTIL(a->ups == ups + 1);
        }
        send_all(fd, bad[i].bytes, bad[i].n);
        assert_broken(fd, i + 1);
    }
    assert_int_equal(a->controls, 0);
}

static void test_beginnings_that_no_node_has(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
    } bad[] = {
        {"GET / HTTP/1.1\r\n\r\n", 18}, {"\0\0\x08\1", 4}, /* a hello of more than 2 KiB */
        {"\0\0\0\2\x22\0", 6},                             /* a pong */
        {"\0\0\0\2\x0a\0", 6},                             /* an empty hello */
        {"\0\0\0\4\xfa\x7f\1x", 8},                        /* a kind of the future */
    };
    a = lab_node();
    a->plain = true;
    lab_start(a);
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int fd = lab_connect(a);
        send_all(fd, bad[i].bytes, bad[i].n);
        assert_broken(fd, i + 1);
    }
    stranger.link = 5; /* a link of the future */
    int fd = lab_connect(a);
    send_hello(fd);
    stranger.link = PEER_LINK_CONTROL;
    assert_broken(fd, 6);
    assert_int_equal(a->ups + a->refused, 0);
}

/* What is unknown is counted and skipped; a frame in many pieces is one frame. */
static void test_bytes_of_the_future_and_in_pieces(void **state) {
    (void)state;
    int fd = make_linked();
    send_frame(fd, "\xfa\x7f\1x", 4);
    LAB_UNTIL(LAB_COUNT(a, unknown_kinds) == 1);
    assert_int_equal(LAB_COUNT(a, unknown_fields), 1);
    uint8_t bytes[300], frame[304];
    size_t n = lab_message('c', 200, bytes, sizeof bytes);
    memcpy(frame, (const uint8_t[]){0, 0, (uint8_t)(n >> 8), (uint8_t)n}, 4);
    memcpy(frame + 4, bytes, n);
    uint64_t before = LAB_COUNT(a, control_bytes_received);
    for (size_t i = 0; i < n + 4; i++) {
        send_all(fd, frame + i, 1);
        LAB_UNTIL(LAB_COUNT(a, control_bytes_received) == before + i + 1);
        assert_int_equal(a->controls, i == n + 3);
    }
    send_all(fd, frame, 20); /* the beginning of one; then it is gone */
    close(fd);
    LAB_UNTIL(a->downs == 1);
    assert_int_equal(a->controls, 1);
    assert_int_equal(LAB_COUNT(a, protocol_errors), 0);
}

static void test_a_node_that_falls_silent(void **state) {
    (void)state;
    int fd = make_linked();
    lab_pass_ms(2000);
    lab_settle();
    uint8_t got[512];
    ssize_t n = read(fd, got, sizeof got);
    assert_true(n > 13 && memcmp(got + n - 15, "\0\0\0\x0b\x1a\x09\x09", 7) == 0); /* hello, and behind it a ping */
    lab_pass_ms(3999);
    assert_int_equal(a->downs, 0);
    lab_pass_ms(1);
    assert_int_equal(a->downs, 1);
    assert_int_equal(LAB_COUNT(a, links_lost), 1);
    close(fd);
}

/* It reads nothing: what waits for it is bounded, and the rest is dropped. */
static void test_a_node_that_reads_nothing(void **state) {
    (void)state;
    int fd = make_linked();
    struct node other = {.hello = stranger};
    unsigned said = 0;
    for (unsigned i = 0; i < 400; i++) {
        said += lab_say(a, &other, 'a', LAB_HUGE);
        lab_settle();
    }
    assert_in_range(LAB_COUNT(a, messages_dropped), 1, 400);
    assert_int_equal(said + LAB_COUNT(a, messages_dropped), 400);
    close(fd);
    LAB_UNTIL(a->downs == 1);
}

/* 64 connections that say nothing: others get in as soon as those have had their time, and all end at their deadline.
 */
static void slow_handshakes(bool plain) {
    int fd[80];
    make_two();
    a->plain = b->plain = plain;
    lab_start(a);
    lab_start(b);
    lab_place(b, a);
    for (unsigned i = 0; i < 80; i++) fd[i] = lab_connect(a);
    LAB_UNTIL(LAB_COUNT(a, links_accepted) == 64);
    lab_say(b, a, 'a', 0);
    lab_settle();
    assert_int_equal(LAB_COUNT(a, links_accepted), 64);
    assert_int_equal(a->ups, 0);
    lab_pass_ms(499);
    lab_settle();
    assert_int_equal(LAB_COUNT(a, links_failed), 0);
    lab_pass_ms(1);
    LAB_UNTIL(a->controls == 1);
    assert_in_range(LAB_COUNT(a, links_failed), 17, 64);
    lab_pass_ms(3000);
    LAB_UNTIL(LAB_COUNT(a, links_failed) == 80);
    for (unsigned i = 0; i < 80; i++) {
        char byte;
        ssize_t n = read(fd[i], &byte, 1);
        assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
        close(fd[i]);
    }
    assert_int_equal(a->ups, 1);
}

static void test_slow_handshakes(void **state) {
    (void)state;
    slow_handshakes(false);
}

static void test_slow_hellos(void **state) {
    (void)state;
    slow_handshakes(true);
}

/* The other way: who is dialled never answers. */
static void test_a_listener_that_says_nothing(void **state) {
    (void)state;
    struct address at;
    socklen_t len = sizeof at.v4;
    a = lab_node();
    lab_start(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0 && address_numeric("127.0.0.1", 0, &at));
    assert_int_equal(bind(fd, &at.any, at.len), 0);
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(getsockname(fd, &at.any, &len), 0);
    struct node other = {.hello = stranger};
    address_text(&at, other.hello.address);
    lab_place(a, &other);
    lab_say(a, &other, 'a', 0);
    assert_int_equal(transport_want_data_link(a->t, &other.hello.node, 0, PEER_LINK_DATA), 0);
    LAB_UNTIL(LAB_COUNT(a, links_dialled) == 2);
    lab_settle(); /* connected, as the kernel accepts */
    lab_pass_ms(2999);
    assert_int_equal(a->unreachable + a->nlinks, 0);
    lab_pass_ms(1);
    assert_int_equal(a->unreachable, 1);
    assert_int_equal(a->nlinks, 1);
    assert_int_equal(a->data[0].err, -ETIMEDOUT);
    close(fd);
}

/* It is told why, and may take a while to read that; not for ever. */
static void test_a_refused_one_that_stays(void **state) {
    (void)state;
    a = lab_node();
    a->plain = true;
    lab_start(a);
    int fd = lab_connect(a);
    strcpy(stranger.cluster_name, "shop2");
    send_hello(fd);
    strcpy(stranger.cluster_name, "shop");
    LAB_UNTIL(a->refused == 1);
    int free_before = dup(fd);
    close(free_before);
    lab_pass_ms(1999);
    send_all(fd, "x", 1); /* what it says does not matter any more */
    lab_settle();
    int free_now = dup(fd);
    close(free_now);
    assert_int_equal(free_now, free_before);
    lab_pass_ms(1);
    free_now = dup(fd);
    close(free_now);
    assert_true(free_now < free_before); /* the node's end is closed */
    assert_int_equal(LAB_COUNT(a, protocol_errors), 0);
    char told[512];
    assert_in_range(read(fd, told, sizeof told), 50, sizeof told);
    close(fd);
}

static void test_noise_by_udp(void **state) {
    (void)state;
    a = lab_node();
    lab_start(a);
    struct address at;
    assert_true(address_numeric("127.0.0.1", (uint16_t)a->port, &at));
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(connect(fd, &at.any, at.len), 0);
    uint8_t noise[2000];
    for (unsigned i = 0; i < sizeof noise; i++) noise[i] = (uint8_t)(i * 7);
    static const size_t sizes[] = {0, 1, 87, 88, 1400, 1401, 2000};
    for (unsigned i = 0; i < 7; i++) assert_int_equal(send(fd, noise, sizes[i], 0), (ssize_t)sizes[i]);
    LAB_UNTIL(LAB_COUNT(a, datagrams_refused) == 7);
    assert_int_equal(a->datagrams, 0);
    close(fd);
}

int main(void) {
#define LAB_TEST(f) cmocka_unit_test_setup_teardown(f, lab_set_up, lab_tear_down)
    const struct CMUnitTest tests[] = {
        LAB_TEST(test_another_key),
        LAB_TEST(test_another_cluster),
        LAB_TEST(test_other_settings),
        LAB_TEST(test_no_common_version),
        LAB_TEST(test_two_nodes_of_one_name),
        LAB_TEST(test_the_owner_may_refuse),
        LAB_TEST(test_another_node_at_the_address),
        LAB_TEST(test_tls_and_plain),
        LAB_TEST(test_frames_that_no_node_sends),
        LAB_TEST(test_beginnings_that_no_node_has),
        LAB_TEST(test_bytes_of_the_future_and_in_pieces),
        LAB_TEST(test_a_node_that_falls_silent),
        LAB_TEST(test_a_node_that_reads_nothing),
        LAB_TEST(test_slow_handshakes),
        LAB_TEST(test_slow_hellos),
        LAB_TEST(test_a_listener_that_says_nothing),
        LAB_TEST(test_a_refused_one_that_stays),
        LAB_TEST(test_noise_by_udp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
