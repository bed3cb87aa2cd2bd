/* SPDX-License-Identifier: BSD-3-Clause
 *
 * How soon nodes find each other again: bounds of TCP, what ends the wait between two attempts, which of two links
 * stays. */
#include "link_lab.h"

#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct node *a, *b;

static int unacked_ms(int fd) {
    int ms = -1;
    socklen_t len = sizeof ms;
    return getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, &len) == 0 ? ms : -1;
}

static bool is_connected(int fd) {
    struct sockaddr_storage at;
    socklen_t len = sizeof at;
    return getpeername(fd, (struct sockaddr *)&at, &len) == 0 && at.ss_family == AF_INET;
}

/* What is not acknowledged for a second ends a link that can be dialled anew: both ends of a control link and of a data
 * link. By the others the receiver may take its time. */
static void test_which_links_tcp_gives_up(void **state) {
    (void)state;
    unsigned controls = 0;
    lab_pair(&a, &b);
    lab_say(a, b, 'a', 0);
    LAB_UNTIL(b->controls == 1);
    for (int fd = 3; fd < 256; fd++) {
        if (!is_connected(fd)) continue;
        assert_int_equal(unacked_ms(fd), 1000);
        controls++;
    }
    assert_int_equal(controls, 2);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(transport_want_data_link(a->t, &b->hello.node, i, PEER_LINK_DATA + i), 0);
    LAB_UNTIL(a->nlinks == 3 && b->nlinks == 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(unacked_ms(a->data[i].fd), a->data[i].kind == PEER_LINK_DATA ? 1000 : 0);
        assert_int_equal(unacked_ms(b->data[i].fd), b->data[i].kind == PEER_LINK_DATA ? 1000 : 0);
    }
}

/* A socket that listens, and accepts nothing any more: who connects to it hears nothing. */
static int make_deaf(struct address *at, int full[2]) {
    socklen_t len = sizeof at->v4;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(address_numeric("127.0.0.1", 0, at));
    assert_int_equal(bind(fd, &at->any, at->len), 0);
    assert_int_equal(listen(fd, 0), 0);
    assert_int_equal(getsockname(fd, &at->any, &len), 0);
    for (unsigned i = 0; i < 2; i++) {
        full[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(full[i], &at->any, at->len);
    }
    return fd;
}

/* a knows b's process, no link is up, and where a looks for b is something else. */
static void lose_b(const struct address *elsewhere) {
    char text[ADDRESS_TEXT];
    lab_pair(&a, &b);
    lab_say(a, b, 'a', 0);
    LAB_UNTIL(a->ups == 1 && b->controls == 1);
    lab_pass_ms(1999);
    lab_settle();
    for (unsigned i = 0; i < 60 && a->downs == 0; i++) { /* idle for a minute */
        lab_pass_ms(1000);
        lab_settle();
    }
    LAB_UNTIL(a->downs == 1 && b->downs == 1);
    lab_settle();
    address_text(elsewhere, text);
    assert_int_equal(transport_place(a->t, &b->hello.node, text), 0);
}

/* The same, and nobody listens there: a has tried until it waits as long as it ever does. */
static void wait_for_b(void) {
    struct address closed;
    int full[2], fd = make_deaf(&closed, full);
    close(full[0]);
    close(full[1]);
    close(fd);
    lose_b(&closed);
    for (unsigned i = 1; i <= 6; i++) {
        lab_say(a, b, 'b', 0);
        lab_pass_ms(500);
        LAB_UNTIL(a->unreachable == i);
    }
}

/* b's datagram comes to a. */
static void show_b(void) {
    static const uint8_t packed[] = {0x08, 1, 0x10, 1}; /* lowest and highest version */
    const unsigned before = a->datagrams;
    assert_true(transport_datagram(b->t, &a->hello.node, packed, sizeof packed));
    LAB_UNTIL(a->datagrams == before + 1);
}

static void test_a_datagram_ends_the_wait(void **state) {
    (void)state;
    wait_for_b();
    lab_say(a, b, 'b', 0);
    assert_int_equal(transport_want_data_link(a->t, &b->hello.node, 0, PEER_LINK_DATA), 0);
    lab_place(a, b);
    const uint64_t dialled = LAB_COUNT(a, links_dialled);
    lab_pass_ms(249);
    lab_settle();
    assert_int_equal(LAB_COUNT(a, links_dialled), dialled);
    show_b();
    LAB_UNTIL(b->controls == 2 && a->nlinks == 1);
    assert_int_equal(LAB_COUNT(a, links_dialled), dialled + 2);
    assert_true(a->data[0].fd >= 0);
}

static void test_a_link_of_the_other_side_ends_the_wait(void **state) {
    (void)state;
    wait_for_b();
    assert_int_equal(transport_want_data_link(a->t, &b->hello.node, 0, PEER_LINK_DATA), 0);
    lab_place(a, b);
    lab_say(b, a, 'b', 0);
    LAB_UNTIL(a->nlinks == 1);
    assert_true(a->data[0].fd >= 0);
}

/* A connection to which nobody answers is given up after half a second; if the node shows that it is there it is begun
 * anew, once: its first packet may have been lost. */
static void test_a_connection_to_which_nobody_answers(void **state) {
    (void)state;
    struct address deaf;
    int full[2], fd = make_deaf(&deaf, full);
    lose_b(&deaf);
    lab_say(a, b, 'b', 0);
    lab_settle();
    lab_pass_ms(499);
    assert_int_equal(a->unreachable, 0);
    lab_pass_ms(1);
    assert_int_equal(a->unreachable, 1);
    lab_say(a, b, 'b', 0);
    lab_pass_ms(50);
    lab_settle();
    lab_pass_ms(400);
    show_b();
    lab_pass_ms(400);
    show_b();
    lab_pass_ms(99);
    assert_int_equal(a->unreachable, 1);
    lab_pass_ms(1);
    assert_int_equal(a->unreachable, 2);
    close(fd);
    close(full[0]);
    close(full[1]);
}

/* Another end of the same process dials, `ms` after the link came up: whose message arrives, and on which link. */
static void dial_again_after(uint64_t ms, bool later_stays) {
    lab_pair(&a, &b);
    lab_say(a, b, 'a', 0);
    LAB_UNTIL(b->controls == 1 && a->ups == 1);
    lab_settle();
    struct node *again = lab_node();
    again->hello.node = b->hello.node;
    again->hello.boot = b->hello.boot;
    strcpy(again->hello.ring_name, b->hello.ring_name);
    lab_start(again);
    lab_place(again, a);
    lab_pass_ms(ms);
    lab_say(again, a, 'b', 0);
    LAB_UNTIL(a->controls == 1); /* nothing is lost in either case */
    LAB_UNTIL(later_stays ? b->downs == 1 : again->downs == 1);
    lab_settle();
    assert_int_equal(later_stays ? again->downs : b->downs, 0);
    assert_int_equal(a->ups - a->downs, 1);
}

static void test_two_links_dialled_at_once(void **state) {
    (void)state;
    dial_again_after(1000, false);
}

static void test_who_dials_later_has_lost_the_link_before(void **state) {
    (void)state;
    dial_again_after(1001, true);
}

int main(void) {
#define LAB_TEST(f) cmocka_unit_test_setup_teardown(f, lab_set_up, lab_tear_down)
    const struct CMUnitTest tests[] = {
        LAB_TEST(test_which_links_tcp_gives_up),
        LAB_TEST(test_a_datagram_ends_the_wait),
        LAB_TEST(test_a_link_of_the_other_side_ends_the_wait),
        LAB_TEST(test_a_connection_to_which_nobody_answers),
        LAB_TEST(test_two_links_dialled_at_once),
        LAB_TEST(test_who_dials_later_has_lost_the_link_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
