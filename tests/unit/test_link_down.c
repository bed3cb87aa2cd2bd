/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The asking side of links, where the owner does not answer: deadlines, the breaker, connections that are not to be had
 * or break. */
#include "asking.h"

#include <errno.h>

#include "base/sync.h"
#include "cmd/cmd_link.h"
#include "net/net.h"

/* ------------------------------------------------------------------ deadlines and the breaker */

static void what_is_not_answered_in_time_fails(void **state) {
    struct nodes *c = asking_begin();
    int client = nodes_connect(c, 0);
    (void)state;
    talk_say(client,
             "get a\r\nset b 0 0 1\r\nb\r\nset c 0 0 1 noreply\r\nc\r\ntouch d 0\r\nmg e v Oo\r\nmg f v q\r\nme "
             "g\r\nmn\r\n");
    int peer = nodes_accept(c, 0, NULL);
    uint32_t seq = frame_asked(peer, LINK_GET, "a");
    for (unsigned i = 1; i < 7; i++) free(frame_next(peer).p);
    nodes_advance(c, CMD_PEER_TIMEOUT_MS - 1);
    nodes_settle(c);
    frame_silent(client);
    nodes_advance(c, 1);
    talk_hear(client, "END\r\n" SILENT "NOT_FOUND\r\nEN Oo\r\nEN\r\nMN\r\n");
    assert_int_equal(asking_metric(c, CMD_METRIC_forward_timeouts), 7);
    assert_int_equal(asking_metric(c, CMD_METRIC_forward_errors), 7);
    /* Their replies come late: each is dropped in its place. */
    talk_say(client, "get h\r\n");
    assert_int_equal(frame_asked(peer, LINK_GET, "h"), seq + 7);
    frame_answer(peer, seq, LINK_DONE, "VALUE a 0 1\r\nA\r\n");
    frame_answer(peer, seq + 1, LINK_DONE, "STORED\r\n");
    frame_send(peer, seq + 2, LINK_DONE, 4, 0, "", 0);
    frame_answer(peer, seq + 7, LINK_DONE, "VALUE h 0 1\r\nH\r\n");
    talk_hear(client, "VALUE h 0 1\r\nH\r\nEND\r\n");
    close(client);
    close(peer);
    nodes_free(c);
}

static void a_silent_peer_is_not_waited_for(void **state) {
    struct nodes *c = asking_begin();
    int client = nodes_connect(c, 0), peer = -1;
    uint32_t seq = 0;
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        talk_say(client, "get a\r\n");
        if (peer < 0) peer = nodes_accept(c, 0, NULL);
        seq = frame_asked(peer, LINK_GET, "a");
        nodes_advance(c, CMD_PEER_TIMEOUT_MS);
        talk_hear(client, "END\r\n");
    }
    /* The breaker is open: it is asked nothing, but whether it is there. */
    uint32_t ping = frame_asked(peer, LINK_PING, "");
    assert_int_equal(ping, seq + 1);
    talk_say(client, "get a\r\nset a 0 0 1\r\nx\r\n");
    talk_hear(client, "END\r\n" DOWN);
    nodes_advance(c, 99);
    talk_say(client, "get a\r\n");
    talk_hear(client, "END\r\n");
    frame_silent(peer);
    nodes_advance(c, 1);
    assert_int_equal(frame_asked(peer, LINK_PING, ""), ping + 1); /* it may have given this connection up */
    for (unsigned i = 0; i < 3; i++) frame_answer(peer, seq - 2 + i, LINK_DONE, "");
    frame_answer(peer, ping, LINK_DONE, "");
    nodes_settle(c);
    frame_answer(peer, ping + 1, LINK_DONE, ""); /* its second answer changes nothing */
    nodes_settle(c);
    talk_say(client, "get a\r\n");
    frame_answer(peer, frame_asked(peer, LINK_GET, "a"), LINK_DONE, "VALUE a 0 1\r\nA\r\n");
    talk_hear(client, "VALUE a 0 1\r\nA\r\nEND\r\n");
    close(client);
    close(peer);
    nodes_free(c);
}

/* A peer that is stopped for six seconds has a new connection made to it. */
static void a_connection_is_pinged_sixty_times(void **state) {
    struct nodes *c = asking_begin();
    int client = nodes_connect(c, 0), peer = -1;
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        talk_say(client, "get a\r\n");
        if (peer < 0) peer = nodes_accept(c, 0, NULL);
        frame_asked(peer, LINK_GET, "a");
        nodes_advance(c, CMD_PEER_TIMEOUT_MS);
        talk_hear(client, "END\r\n");
    }
    for (unsigned i = 0; i < 60; i++) {
        frame_asked(peer, LINK_PING, "");
        nodes_advance(c, LINK_PING_MS);
    }
    frame_ended(peer);
    close(peer);
    talk_say(client, "get a\r\n");
    peer = nodes_accept(c, 0, NULL);
    frame_answer(peer, frame_asked(peer, LINK_GET, "a"), LINK_DONE, "");
    talk_hear(client, "END\r\n");
    close(client);
    close(peer);
    nodes_free(c);
}

/* An answer in between: three in a row are needed. */
static void two_expiries_do_not_open_it(void **state) {
    struct nodes *c = asking_begin();
    int client = nodes_connect(c, 0), peer = -1;
    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        talk_say(client, "get a\r\n");
        if (peer < 0) peer = nodes_accept(c, 0, NULL);
        uint32_t seq = frame_asked(peer, LINK_GET, "a");
        if (i % 3 != 2) {
            nodes_advance(c, CMD_PEER_TIMEOUT_MS);
            talk_hear(client, "END\r\n");
        } else {
            frame_answer(peer, seq - 2, LINK_DONE, "");
            frame_answer(peer, seq - 1, LINK_DONE, "");
            frame_answer(peer, seq, LINK_DONE, "VALUE a 0 1\r\nA\r\n");
            talk_hear(client, "VALUE a 0 1\r\nA\r\nEND\r\n");
        }
    }
    close(client);
    close(peer);
    nodes_free(c);
}

/* ------------------------------------------------------------------ no connection */

static void a_peer_that_cannot_be_reached_is_down(void **state) {
    struct nodes *c = asking_begin();
    int client = nodes_connect(c, 0);
    (void)state;
    talk_say(client, "get a\r\nset a 0 0 1\r\nx\r\ntouch a 0\r\n");
    assert_int_equal(nodes_accept(c, -ECONNREFUSED, NULL), -1);
    talk_hear(client, "END\r\n" DOWN "NOT_FOUND\r\n");
    nodes_advance(c, 49);
    talk_say(client, "get a\r\n"); /* at once: it is not tried again yet */
    talk_hear(client, "END\r\n");
    assert_int_equal(sync_load_acq(&c->dialled), 1);
    nodes_advance(c, 1);
    talk_say(client, "get a\r\n"); /* at once, too: it is tried again, and nobody waits for that */
    talk_hear(client, "END\r\n");
    assert_int_equal(nodes_accept(c, -ECONNREFUSED, NULL), -1);
    assert_int_equal(sync_load_acq(&c->dialled), 2);
    nodes_advance(c, 999);
    talk_say(client, "get a\r\n");
    talk_hear(client, "END\r\n");
    assert_int_equal(nodes_accept(c, -ECONNREFUSED, NULL), -1);
    nodes_advance(c, 1000);
    talk_say(client, "get a\r\n"); /* it is long ago that it failed */
    int peer = nodes_accept(c, 0, NULL);
    frame_answer(peer, frame_asked(peer, LINK_GET, "a"), LINK_DONE, "");
    talk_hear(client, "END\r\n");
    assert_int_equal(sync_load_acq(&c->dialled), 4);
    close(client);
    close(peer);
    nodes_free(c);
}

static void a_connection_that_takes_too_long_fails(void **state) {
    struct nodes *c = asking_begin();
    int client = nodes_connect(c, 0);
    (void)state;
    talk_say(client, "get a\r\nset b 0 0 1\r\nx\r\n");
    nodes_advance(c, CMD_PEER_TIMEOUT_MS);
    talk_hear(client, "END\r\n" SILENT);
    int peer = nodes_accept(c, 0, NULL);
    talk_say(client, "get c\r\n"); /* nothing of what was given up is sent */
    frame_answer(peer, frame_asked(peer, LINK_GET, "c"), LINK_DONE, "");
    talk_hear(client, "END\r\n");
    close(client);
    close(peer);
    nodes_free(c);
}

static void a_link_that_breaks_loses_what_was_sent(void **state) {
    struct nodes *c = asking_begin();
    int client = nodes_connect(c, 0);
    (void)state;
    talk_say(client,
             "get a b\r\nset c 0 0 1\r\nc\r\ntouch d 0\r\nmg e v N30\r\nmg f v\r\nset g 0 0 1 noreply\r\ng\r\nmn\r\n");
    int peer = nodes_accept(c, 0, NULL);
    uint32_t seq = frame_asked(peer, LINK_GET, "a");
    for (unsigned i = 1; i < 7; i++) free(frame_next(peer).p);
    frame_answer(peer, seq, LINK_DONE, "VALUE a 0 1\r\nA\r\n"); /* whole replies that have come count */
    talk_send(peer, "\x10\0\0", 3);                             /* part of one does not */
    nodes_settle(c);
    close(peer);
    peer = nodes_accept(c, 0, NULL);
    seq = frame_asked(peer, LINK_GET, "b"); /* reads are asked for once more */
    assert_int_equal(frame_asked(peer, LINK_COMMAND, "mg f v\r\n"), seq + 1);
    frame_answer(peer, seq, LINK_DONE, "VALUE b 0 1\r\nB\r\n");
    close(peer);
    talk_hear(client, "VALUE a 0 1\r\nA\r\nVALUE b 0 1\r\nB\r\nEND\r\n" LOST "NOT_FOUND\r\nEN\r\nEN\r\nMN\r\n");
    close(client);
    nodes_free(c);
}

/* Of what is being sent when the link breaks, that of which nothing was sent yet goes out on the next one. */
static void a_link_that_breaks_keeps_what_was_not_sent(void **state) {
    enum { N = 60, SIZE = 14000 };
    struct nodes *c = asking_begin();
    int client = nodes_connect(c, 0);
    unsigned lost = 0, stored = 0;
    char line[32], *body = malloc(SIZE + 2);
    (void)state;
    /* The peer does not read before N blocks are there, which no socket takes at once. */
    assert_non_null(body);
    memset(body, 'x', SIZE);
    memcpy(body + SIZE, "\r\n", 2);
    talk_say(client, "get warm\r\n");
    int peer = nodes_accept(c, 0, NULL);
    frame_answer(peer, frame_asked(peer, LINK_GET, "warm"), LINK_DONE, "");
    talk_hear(client, "END\r\n");
    int clients[N];
    for (unsigned i = 0; i < N; i++) {
        clients[i] = nodes_connect(c, 0);
        snprintf(line, sizeof line, "set k%u 0 0 %d\r\n", i, SIZE);
        talk_say(clients[i], line);
        talk_send(clients[i], body, SIZE + 2);
    }
    nodes_settle(c);
    assert_true(net_metric(node_net(c->node[0].node), NET_METRIC_output_blocked) > 0);
    close(peer);
    peer = nodes_accept(c, 0, NULL);
    for (unsigned i = 0; i < N; i++) {
        struct pollfd both[2] = {{.fd = clients[i], .events = POLLIN}, {.fd = peer, .events = POLLIN}};
        /* Either its request was sent before, or it comes now. */
        while (poll(both, 2, TALK_PATIENCE_MS) > 0 && !(both[0].revents & POLLIN)) {
            struct frame f = frame_next(peer);
            if (f.h.kind == LINK_COMMAND) frame_answer(peer, f.h.seq, LINK_DONE, "STORED\r\n");
            free(f.p);
        }
        char got[128] = "";
        ssize_t n = recv(clients[i], got, sizeof got - 1, 0);
        assert_true(n > 0);
        lost += strcmp(got, LOST) == 0;
        stored += strcmp(got, "STORED\r\n") == 0;
        close(clients[i]);
    }
    assert_int_equal(lost + stored, N);
    assert_true(lost > 0 && stored > 0);
    assert_int_equal(asking_metric(c, CMD_METRIC_forward_errors), lost);
    free(body);
    close(client);
    close(peer);
    nodes_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_answered_in_time_fails),
        cmocka_unit_test(a_silent_peer_is_not_waited_for),
        cmocka_unit_test(a_connection_is_pinged_sixty_times),
        cmocka_unit_test(two_expiries_do_not_open_it),
        cmocka_unit_test(a_peer_that_cannot_be_reached_is_down),
        cmocka_unit_test(a_connection_that_takes_too_long_fails),
        cmocka_unit_test(a_link_that_breaks_loses_what_was_sent),
        cmocka_unit_test(a_link_that_breaks_keeps_what_was_not_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
