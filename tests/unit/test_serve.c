/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The owner's side of links: a node, and a peer that asks what the test says. */
#include "frames.h"

#include "cmd/cmd.h"
#include "cmd/cmd_link.h"
#include "tests/lib/nodes.h"

/* Node 0, of one worker, owns all by ring 7; the test is member 1. */
static struct nodes *begin(const char *options) {
    struct nodes *c = nodes_new(2);
    assert_non_null(c);
    assert_int_equal(nodes_start(c, 0, talk_sockets(), options), 0);
    nodes_view_only(c, 0, 7, 0);
    return c;
}

static void say_ring(int fd, uint64_t version) {
    frame_send(fd, 0, LINK_RING, 0, 0, &version, sizeof version);
}

static int dial(struct nodes *c) {
    int fd = nodes_dial(c, 0, CMD_LINK_DATA);
    say_ring(fd, 7);
    return fd;
}

static void ask(int fd, uint32_t seq, enum link_kind kind, unsigned flags, const char *payload) {
    frame_send(fd, seq, kind, flags, 200, payload, strlen(payload));
}

static void requests_are_answered_as_a_client_s(void **state) {
    struct nodes *c = begin("-t 1");
    int fd = dial(c);
    (void)state;
    ask(fd, 5, LINK_COMMAND, 0, "set a 9 0 1\r\nA\r\n");
    ask(fd, 6, LINK_COMMAND, 0, "set b|#|t=x 0 100 1\r\nB\r\n");
    ask(fd, 7, LINK_GET, 0, "a");
    ask(fd, 8, LINK_GET, LINK_SUFFIX, "b|#|t=x");
    ask(fd, 9, LINK_GET, 0, "none");
    ask(fd, 10, LINK_COMMAND, 0, "mg a v k\r\n");
    ask(fd, 11, LINK_COMMAND, 0, "mg none v\r\n");
    ask(fd, 12, LINK_COMMAND, 0, "incr a 1\r\n");
    ask(fd, 13, LINK_COMMAND, 0, "tag_add y a\r\n");
    ask(fd, 14, LINK_PING, 0, "");
    frame_answered(fd, 5, LINK_DONE, 0, "STORED\r\n");
    frame_answered(fd, 6, LINK_DONE, 0, "STORED\r\n");
    frame_answered(fd, 7, LINK_DONE, 0, "VALUE a 9 1\r\nA\r\n");
    frame_answered(fd, 8, LINK_DONE, 0, "VALUE b|#|t=x 0 1\r\nB\r\n");
    frame_answered(fd, 9, LINK_DONE, 0, "");
    frame_answered(fd, 10, LINK_DONE, 0, "VA 1 ka\r\nA\r\n");
    frame_answered(fd, 11, LINK_DONE, 0, "EN\r\n");
    frame_answered(fd, 12, LINK_DONE, 0, "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n");
    frame_answered(fd, 13, LINK_DONE, 0, "TAG_STORED\r\n");
    frame_answered(fd, 14, LINK_DONE, 0, "");
    assert_int_equal(cmd_metric(node_cmd(c->node[0].node), CMD_METRIC_forwards_received), 9);
    close(fd);
    nodes_free(c);
}

static void a_touch_gives_a_ttl(void **state) {
    struct nodes *c = begin("-t 1");
    int fd = dial(c);
    static const struct {
        int32_t ttl;
        const char *shown;
    } cases[] = {{100, "HD t100\r\n"},
                 {LINK_TTL_NEVER, "HD t-1\r\n"},
                 {5000000, "HD t5000000\r\n"},
                 {LINK_TTL_PASSED, "EN\r\n"}};
    uint32_t seq = 0;
    (void)state;
    ask(fd, seq++, LINK_COMMAND, 0, "set a 0 0 1\r\nA\r\n");
    frame_answered(fd, 0, LINK_DONE, 0, "STORED\r\n");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char payload[5];
        memcpy(payload, &cases[i].ttl, 4);
        payload[4] = 'a';
        frame_send(fd, seq, LINK_GET, LINK_TOUCH, 200, payload, 5);
        frame_answered(fd, seq++, LINK_DONE, 0, "VALUE a 0 1\r\nA\r\n");
        ask(fd, seq, LINK_COMMAND, 0, "mg a t\r\n");
        frame_answered(fd, seq++, LINK_DONE, 0, cases[i].shown);
    }
    close(fd);
    nodes_free(c);
}

/* Requests that come together and are answered by nothing share one frame. */
static void empty_replies_are_merged(void **state) {
    struct nodes *c = begin("-t 1");
    int fd = dial(c);
    char all[4096];
    size_t n = 0;
    static const char *const lines[] = {"set a 0 0 1 noreply\r\nA\r\n", "delete b noreply\r\n", "mg c q\r\n",
                                        "mg a v\r\n", "mg d q\r\n"};
    (void)state;
    for (uint32_t i = 0; i < 5; i++) {
        const struct link_header h = {(uint32_t)strlen(lines[i]), i, LINK_COMMAND, 0, 200};
        link_put(all + n, &h);
        memcpy(all + n + LINK_HEADER, lines[i], h.bytes);
        n += LINK_HEADER + h.bytes;
    }
    talk_send(fd, all, n);
    frame_answered(fd, 0, LINK_DONE, 2, "");
    frame_answered(fd, 3, LINK_DONE, 0, "VA 1\r\nA\r\n");
    frame_answered(fd, 4, LINK_DONE, 0, "");
    close(fd);
    nodes_free(c);
}

static void what_is_too_large_takes_another_link(void **state) {
    enum { LARGE = 100000, FITS = 60000 };
    struct nodes *c = begin("-t 1 -m 64");
    int fd = dial(c), client = nodes_connect(c, 0);
    char *body = malloc(LARGE + 64);
    (void)state;
    assert_non_null(body);
    for (unsigned i = 0; i < 2; i++) {
        const int size = i == 0 ? LARGE : FITS;
        int n = sprintf(body, "set %s 0 0 %d\r\n", i == 0 ? "large" : "fits", size);
        memset(body + n, 'x', (size_t)size);
        memcpy(body + n + size, "\r\n", 2);
        talk_send(client, body, (size_t)(n + size + 2));
        free(talk_read(client, "STORED\r\n"));
    }
    ask(fd, 0, LINK_GET, 0, "large");
    ask(fd, 1, LINK_COMMAND, 0, "mg large v s\r\n");
    ask(fd, 2, LINK_COMMAND, 0, "mg large s\r\n");
    frame_answered(fd, 0, LINK_LARGE, 0, "");
    frame_answered(fd, 1, LINK_LARGE, 0, "");
    frame_answered(fd, 2, LINK_DONE, 0, "HD s100000\r\n");
    ask(fd, 3, LINK_GET, 0, "fits");
    struct frame f = frame_next(fd);
    assert_int_equal(f.h.kind, LINK_DONE);
    assert_int_equal(f.h.bytes, strlen("VALUE fits 0 60000\r\n") + FITS + 2);
    free(f.p);
    close(fd);
    /* A transfer link speaks as a client. */
    fd = nodes_dial(c, 0, CMD_LINK_TRANSFER);
    talk_send(fd, "get large\r\nmn\r\n", 15);
    char *got = talk_read(fd, "MN\r\n");
    assert_int_equal(strlen(got), strlen("VALUE large 0 100000\r\n") + LARGE + 2 + strlen("END\r\nMN\r\n"));
    free(got);
    free(body);
    close(fd);
    close(client);
    nodes_free(c);
}

/* Nothing behind what was refused is done, until the peer has said by which ring it goes. */
static void keys_of_others_are_refused(void **state) {
    struct nodes *c = begin("-t 1");
    int fd = nodes_dial(c, 0, CMD_LINK_DATA);
    struct frame f;
    (void)state;
    say_ring(fd, 6); /* another ring, but the key is this node's by both */
    ask(fd, 0, LINK_COMMAND, 0, "set a 0 0 1\r\nA\r\n");
    frame_answered(fd, 0, LINK_DONE, 0, "STORED\r\n");
    nodes_view_only(c, 0, 8, 1);
    ask(fd, 1, LINK_COMMAND, 0, "set a 0 0 1\r\nB\r\n");
    f = frame_next(fd);
    assert_int_equal(f.h.kind, LINK_NOT_OWNER);
    assert_int_equal(f.p[0], 8);
    free(f.p);
    nodes_view_only(c, 0, 9, 0);
    ask(fd, 2, LINK_COMMAND, 0, "set a 0 0 1\r\nC\r\n"); /* would overtake B */
    f = frame_next(fd);
    assert_int_equal(f.h.kind, LINK_NOT_OWNER);
    free(f.p);
    say_ring(fd, 9);
    ask(fd, 3, LINK_COMMAND, 0, "set a 0 0 1\r\nB\r\n");
    ask(fd, 4, LINK_GET, 0, "a");
    frame_answered(fd, 3, LINK_DONE, 0, "STORED\r\n");
    frame_answered(fd, 4, LINK_DONE, 0, "VALUE a 0 1\r\nB\r\n");
    assert_int_equal(cmd_metric(node_cmd(c->node[0].node), CMD_METRIC_ring_disagreements), 2);
    close(fd);
    nodes_free(c);
}

/* More is stored than there is room for, again and again: the link waits, and all is done once, in order. */
static void a_full_store_holds_the_link_up(void **state) {
    enum { N = 20000, SIZE = 1000 };
    struct nodes *c = begin("-t 1 -m 8");
    int fd = dial(c);
    char *frame = malloc(SIZE + 128);
    uint32_t answered = 0;
    (void)state;
    assert_non_null(frame);
    for (uint32_t i = 0; i < N; i++) {
        int n = sprintf(frame + LINK_HEADER, "set k%u 0 0 %d\r\n", i % 1000, SIZE);
        memset(frame + LINK_HEADER + n, 'x', SIZE);
        memcpy(frame + LINK_HEADER + n + SIZE, "\r\n", 2);
        const struct link_header h = {(uint32_t)n + SIZE + 2, i, LINK_COMMAND, 0, UINT16_MAX};
        link_put(frame, &h);
        talk_send(fd, frame, LINK_HEADER + h.bytes);
        while (answered + 200 < i || (i == N - 1 && answered < N))
            frame_answered(fd, answered++, LINK_DONE, 0, "STORED\r\n");
    }
    free(frame);
    close(fd);
    nodes_free(c);
}

static void a_peer_out_of_step_is_cut_off(void **state) {
    static const struct {
        struct link_header h;
        const char *payload;
    } bad[] = {
        {{0, 0, 0, 0, 0}, ""},                                   /* no kind */
        {{1, 0, 99, 0, 0}, "x"},                                 /* none that is known */
        {{LINK_REQUEST_MAX + 1, 0, LINK_GET, 0, 0}, ""},         /* too long */
        {{UINT32_MAX, 0, LINK_COMMAND, 0, 0}, ""},               /* far too long */
        {{0, 0, LINK_GET, 0, 0}, ""},                            /* no key */
        {{3, 0, LINK_GET, LINK_TOUCH, 0}, "abc"},                /* no ttl */
        {{4, 0, LINK_GET, LINK_TOUCH, 0}, "abcd"},               /* no key behind it */
        {{7, 0, LINK_GET, LINK_SUFFIX, 0}, "k|#|t=,"},           /* no list of tags */
        {{5, 0, LINK_COMMAND, 0, 0}, "get a"},                   /* no end of line, and a get */
        {{7, 0, LINK_COMMAND, 0, 0}, "get a\r\n"},               /* a get line */
        {{11, 0, LINK_COMMAND, 0, 0}, "flush_all\r\n"},          /* not about a key */
        {{14, 0, LINK_COMMAND, 0, 0}, "mg a v\r\nmn\r\n12"},     /* more than one */
        {{20, 0, LINK_COMMAND, 0, 0}, "delete k|#|p=tag\r\nxx"}, /* a purge, and more */
        {{18, 0, LINK_COMMAND, 0, 0}, "delete k|#|p=tag\r\n"},   /* a purge */
        {{13, 0, LINK_COMMAND, 0, 0}, "set a 0 0 9\r\n"},        /* its block is not there */
        {{7, 0, LINK_RING, 0, 0}, "1234567"},                    /* no version */
        {{1, 0, LINK_PING, 0, 0}, "x"},                          /* with something in it */
    };
    struct nodes *c = begin("-t 1");
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int fd = dial(c);
        char all[64];
        const size_t n = strlen(bad[i].payload);
        link_put(all, &bad[i].h);
        memcpy(all + LINK_HEADER, bad[i].payload, n);
        talk_send(fd, all, LINK_HEADER + n);
        frame_ended(fd);
    }
    int fd = dial(c);
    ask(fd, 0, LINK_PING, 0, "");
    frame_answered(fd, 0, LINK_DONE, 0, "");
    ask(fd, 2, LINK_PING, 0, ""); /* 1 is missing */
    frame_ended(fd);
    nodes_free(c);
}

/* Three nodes, a ring of two of them: each key is found by each node, wherever it was stored. */
static void every_node_answers_for_every_key(void **state) {
    enum { N = 300 };
    struct nodes *c = nodes_new(3);
    char line[128], answer[128];
    int client[3];
    (void)state;
    assert_non_null(c);
    for (unsigned i = 0; i < 3; i++) assert_int_equal(nodes_start(c, i, talk_sockets(), "-t 2"), 0);
    for (unsigned i = 0; i < 3; i++) nodes_view_ring(c, i, 1, 3, 11211);
    for (unsigned i = 0; i < 3; i++) client[i] = nodes_connect(c, i);
    for (unsigned k = 0; k < N; k++) {
        snprintf(line, sizeof line, "set key%u %u 0 5\r\n%05u\r\n", k, k, k);
        talk_expect(client[k % 3], line, "STORED\r\n");
    }
    for (unsigned k = 0; k < N; k++)
        for (unsigned i = 0; i < 3; i++) {
            snprintf(line, sizeof line, "get no key%u\r\n", k);
            snprintf(answer, sizeof answer, "VALUE key%u %u 5\r\n%05u\r\nEND\r\n", k, k, k);
            talk_expect(client[i], line, answer);
        }
    /* One line of many keys, of both owners, in the order of the line. */
    char *many = malloc(N * 16 + 16), *all = malloc(N * 64 + 16);
    int m = sprintf(many, "get"), a = 0;
    for (unsigned k = 0; k < N; k++) {
        m += sprintf(many + m, " key%u", k);
        a += sprintf(all + a, "VALUE key%u %u 5\r\n%05u\r\n", k, k, k);
    }
    strcpy(many + m, "\r\n");
    strcpy(all + a, "END\r\n");
    for (unsigned i = 0; i < 3; i++) talk_expect(client[i], many, all);
    /* The third owns nothing: all it was asked it has passed on. */
    assert_true(cmd_metric(node_cmd(c->node[2].node), CMD_METRIC_get_hits) == 0);
    assert_true(cmd_metric(node_cmd(c->node[0].node), CMD_METRIC_get_hits) > N);
    assert_true(cmd_metric(node_cmd(c->node[1].node), CMD_METRIC_get_hits) > N);
    for (unsigned i = 0; i < 3; i++) close(client[i]);
    free(many);
    free(all);
    nodes_free(c);
}

/* Keys that were away are gone when they come back: others may have written to them meanwhile. */
static void what_was_away_is_gone(void **state) {
    enum { N = 200 };
    struct nodes *c = nodes_new(2);
    char line[64], answer[64];
    unsigned moved = 0;
    bool away[N];
    (void)state;
    assert_int_equal(nodes_start(c, 0, talk_sockets(), "-t 1"), 0);
    assert_int_equal(nodes_start(c, 1, talk_sockets(), "-t 1"), 0);
    nodes_view_ring(c, 0, 1, 1, 11211);
    int client = nodes_connect(c, 0);
    for (unsigned k = 0; k < N; k++) {
        snprintf(line, sizeof line, "set k%u 0 0 3\r\nold\r\n", k);
        talk_expect(client, line, "STORED\r\n");
    }
    for (unsigned i = 0; i < 2; i++) nodes_view_ring(c, i, 2, 3, 11211);
    for (unsigned k = 0; k < N; k++) {
        snprintf(line, sizeof line, "get k%u\r\n", k);
        snprintf(answer, sizeof answer, "VALUE k%u 0 3\r\nold\r\nEND\r\n", k);
        char *got = talk_ask(client, line, "END\r\n");
        away[k] = strcmp(got, answer) != 0;
        moved += away[k];
        free(got);
    }
    assert_true(moved > N / 4 && moved < 3 * N / 4);
    nodes_view_ring(c, 0, 3, 1, 11211);
    int fd = nodes_dial(c, 0, CMD_LINK_DATA);
    say_ring(fd, 3);
    for (unsigned k = 0, seq = 0; k < N; k++) {
        /* By a client or by a peer, whatever is asked: it is as if it had never been. */
        static const struct {
            const char *line, *there, *not_there;
        } ways[] = {{"get k%u\r\n", "VALUE k%u 0 3\r\nold\r\nEND\r\n", "END\r\n"},
                    {"add k%u 0 0 3\r\nnew\r\n", "NOT_STORED\r\n", "STORED\r\n"},
                    {"mg k%u v\r\n", "VA 3\r\nold\r\n", "EN\r\n"},
                    {"touch k%u 0\r\n", "TOUCHED\r\n", "NOT_FOUND\r\n"}};
        snprintf(line, sizeof line, ways[k % 4].line, k);
        snprintf(answer, sizeof answer, away[k] ? ways[k % 4].not_there : ways[k % 4].there, k);
        if (k % 8 < 4 || k % 4 == 0) {
            talk_expect(client, line, answer);
        } else {
            ask(fd, seq, LINK_COMMAND, 0, line);
            frame_answered(fd, seq++, LINK_DONE, 0, answer);
        }
    }
    for (unsigned i = 0; i < N; i += 4) { /* and a key in a frame */
        snprintf(line, sizeof line, "k%u", i + 3);
        snprintf(answer, sizeof answer, "VALUE k%u 0 3\r\nold\r\n", i + 3);
        ask(fd, 75 + i / 4, LINK_GET, 0, line);
        frame_answered(fd, 75 + i / 4, LINK_DONE, 0, away[i + 3] ? "" : answer);
    }
    close(fd);
    close(client);
    nodes_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_answered_as_a_client_s),
        cmocka_unit_test(a_touch_gives_a_ttl),
        cmocka_unit_test(empty_replies_are_merged),
        cmocka_unit_test(what_is_too_large_takes_another_link),
        cmocka_unit_test(keys_of_others_are_refused),
        cmocka_unit_test(a_full_store_holds_the_link_up),
        cmocka_unit_test(a_peer_out_of_step_is_cut_off),
        cmocka_unit_test(every_node_answers_for_every_key),
        cmocka_unit_test(what_was_away_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
