/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Large values through a node that does not own them: against a peer that the test plays, and against a real one. */
#include "frames.h"

#include <errno.h>

#include "base/sync.h"
#include "cmd/cmd.h"
#include "cmd/cmd_link.h"
#include "tests/lib/nodes.h"

#define LOST "SERVER_ERROR connection to owner lost, may have been done\r\n"
#define LARGE 300000

static struct nodes *begin(void) {
    struct nodes *c = nodes_new(2);
    assert_non_null(c);
    assert_int_equal(nodes_start(c, 0, talk_sockets(), "-t 1 -m 64"), 0);
    nodes_view_only(c, 0, 7, 1);
    return c;
}

/* n bytes of a pattern, sent or expected. */
static void say_bytes(int fd, size_t n) {
    char *p = malloc(n);
    for (size_t i = 0; i < n; i++) p[i] = (char)('a' + i % 23);
    talk_send(fd, p, n);
    free(p);
}

static void hear_bytes(int fd, size_t n) {
    char *p = malloc(n);
    talk_take(fd, p, n);
    for (size_t i = 0; i < n; i++)
        if (p[i] != (char)('a' + i % 23)) fail_msg("byte %zu is wrong", i);
    free(p);
}

/* The client asks for k, whose owner says that it is large; the transfer link that is wished for. */
static int begin_download(struct nodes *c, int client, int *data) {
    struct nodes_wish wish;
    talk_say(client, "get k l\r\n");
    if (*data < 0) *data = nodes_accept(c, 0, NULL);
    uint32_t seq = frame_asked(*data, LINK_GET, "k");
    frame_asked(*data, LINK_GET, "l");
    frame_answer(*data, seq, LINK_LARGE, "");
    frame_answer(*data, seq + 1, LINK_DONE, "VALUE l 0 1\r\nL\r\n");
    int fd = nodes_accept(c, 0, &wish);
    assert_int_equal(wish.kind, CMD_LINK_TRANSFER);
    talk_hear(fd, "get k\r\nmn\r\n");
    return fd;
}

static void a_large_value_is_fetched(void **state) {
    struct nodes *c = begin();
    int client = nodes_connect(c, 0), data = -1;
    (void)state;
    int fd = begin_download(c, client, &data);
    talk_say(fd, "VALUE k 3 300000\r\n");
    say_bytes(fd, LARGE);
    talk_say(fd, "\r\nEND\r\nMN\r\n");
    talk_hear(client, "VALUE k 3 300000\r\n");
    hear_bytes(client, LARGE);
    talk_hear(client, "\r\nVALUE l 0 1\r\nL\r\nEND\r\n");
    /* The link serves the next one; this time there is nothing. */
    talk_say(client, "mg k v\r\n");
    frame_answer(data, frame_asked(data, LINK_COMMAND, "mg k v\r\n"), LINK_LARGE, "");
    talk_hear(fd, "mg k v\r\nmn\r\n");
    talk_say(fd, "EN\r\nMN\r\n");
    talk_hear(client, "EN\r\n");
    close(client);
    close(data);
    close(fd);
    nodes_free(c);
}

static void a_fetch_that_breaks_in_the_middle_ends_the_client(void **state) {
    struct nodes *c = begin();
    int client = nodes_connect(c, 0), data = -1;
    (void)state;
    int fd = begin_download(c, client, &data);
    talk_say(fd, "VALUE k 3 300000\r\n");
    say_bytes(fd, 1000);
    talk_hear(client, "VALUE k 3 300000\r\n");
    hear_bytes(client, 1000);
    close(fd);
    frame_ended(client);
    close(data);
    nodes_free(c);
}

static void a_fetch_that_breaks_at_once_is_tried_once_more(void **state) {
    struct nodes *c = begin();
    int client = nodes_connect(c, 0), data = -1;
    (void)state;
    int fd = begin_download(c, client, &data);
    close(fd);
    frame_answer(data, frame_asked(data, LINK_GET, "k"), LINK_LARGE, "");
    fd = nodes_accept(c, 0, NULL);
    talk_hear(fd, "get k\r\nmn\r\n");
    close(fd);
    talk_hear(client, "VALUE l 0 1\r\nL\r\nEND\r\n");
    close(client);
    close(data);
    nodes_free(c);
}

static void a_fetch_without_a_link_is_a_miss(void **state) {
    struct nodes *c = begin();
    int client = nodes_connect(c, 0);
    (void)state;
    talk_say(client, "get k\r\n");
    int data = nodes_accept(c, 0, NULL);
    frame_answer(data, frame_asked(data, LINK_GET, "k"), LINK_LARGE, "");
    assert_int_equal(nodes_accept(c, -ECONNREFUSED, NULL), -1);
    talk_hear(client, "END\r\n");
    close(client);
    close(data);
    nodes_free(c);
}

static void a_large_block_is_sent_on(void **state) {
    struct nodes *c = begin();
    int client = nodes_connect(c, 0);
    struct nodes_wish wish;
    (void)state;
    talk_say(client, "set k 3 0 300000\r\n");
    int fd = nodes_accept(c, 0, &wish);
    assert_int_equal(wish.kind, CMD_LINK_TRANSFER);
    talk_hear(fd, "set k 3 0 300000\r\n");
    say_bytes(client, 1000); /* it does not wait for all */
    hear_bytes(fd, 1000);
    char *rest = malloc(LARGE - 1000 + 2);
    memset(rest, 'x', LARGE - 1000);
    memcpy(rest + LARGE - 1000, "\r\n", 2);
    talk_send(client, rest, LARGE - 1000 + 2);
    char *got = malloc(LARGE - 1000 + 2);
    talk_take(fd, got, LARGE - 1000 + 2);
    assert_memory_equal(got, rest, LARGE - 1000 + 2);
    talk_hear(fd, "mn\r\n");
    talk_say(client, "mn\r\n");
    talk_say(fd, "STORED\r\nMN\r\n");
    talk_hear(client, "STORED\r\nMN\r\n");
    free(rest);
    free(got);
    close(client);
    close(fd);
    nodes_free(c);
}

static void a_block_that_is_refused_early_is_swallowed(void **state) {
    struct nodes *c = begin();
    int client = nodes_connect(c, 0);
    (void)state;
    talk_say(client, "set k 3 0 300000\r\n");
    int fd = nodes_accept(c, 0, NULL);
    talk_hear(fd, "set k 3 0 300000\r\n");
    talk_say(fd, "SERVER_ERROR object too large for cache\r\n");
    talk_hear(client, "SERVER_ERROR object too large for cache\r\n");
    frame_ended(fd);
    say_bytes(client, LARGE);
    talk_say(client, "\r\nmn\r\n");
    talk_hear(client, "MN\r\n");
    close(client);
    nodes_free(c);
}

static void a_block_whose_link_breaks_is_lost(void **state) {
    struct nodes *c = begin();
    int client = nodes_connect(c, 0);
    (void)state;
    talk_say(client, "set k 3 0 300000\r\n");
    int fd = nodes_accept(c, 0, NULL);
    talk_hear(fd, "set k 3 0 300000\r\n");
    close(fd);
    talk_hear(client, LOST);
    say_bytes(client, LARGE);
    talk_say(client, "\r\nmn\r\n");
    talk_hear(client, "MN\r\n");
    close(client);
    nodes_free(c);
}

/* The owner hears of it by the end of the link, and stores nothing. */
static void a_client_that_leaves_takes_its_link_along(void **state) {
    struct nodes *c = begin();
    int client = nodes_connect(c, 0), data = -1;
    (void)state;
    talk_say(client, "set k 3 0 300000\r\nab");
    int fd = nodes_accept(c, 0, NULL);
    talk_hear(fd, "set k 3 0 300000\r\nab");
    close(client);
    frame_ended(fd);
    client = nodes_connect(c, 0);
    fd = begin_download(c, client, &data);
    close(client);
    talk_say(fd, "VALUE k 3 300000\r\n"); /* one that asks for nothing more may still read, so this tells */
    frame_ended(fd);
    close(data);
    nodes_free(c);
}

/* Four at a time; who waits longer than the deadline has failed. */
static void links_are_shared(void **state) {
    struct nodes *c = begin();
    int client[LINK_TRANSFERS_MAX + 2], fd[LINK_TRANSFERS_MAX];
    (void)state;
    for (unsigned i = 0; i < LINK_TRANSFERS_MAX; i++) {
        client[i] = nodes_connect(c, 0);
        talk_say(client[i], "set k 3 0 300000\r\n");
        fd[i] = nodes_accept(c, 0, NULL);
        talk_hear(fd[i], "set k 3 0 300000\r\n");
    }
    for (unsigned i = LINK_TRANSFERS_MAX; i < LINK_TRANSFERS_MAX + 2; i++) {
        client[i] = nodes_connect(c, 0);
        talk_say(client[i], "set w 3 0 300000\r\n");
        nodes_settle(c);
    }
    say_bytes(client[1], LARGE);
    talk_say(client[1], "\r\n");
    hear_bytes(fd[1], LARGE);
    talk_hear(fd[1], "\r\nmn\r\n");
    talk_say(fd[1], "STORED\r\nMN\r\n");
    talk_hear(client[1], "STORED\r\n");
    talk_hear(fd[1], "set w 3 0 300000\r\n"); /* the first that waited */
    nodes_advance(c, CMD_PEER_TIMEOUT_MS);
    talk_hear(client[LINK_TRANSFERS_MAX + 1], "SERVER_ERROR owner did not answer, may have been done\r\n");
    say_bytes(client[LINK_TRANSFERS_MAX + 1], LARGE);
    talk_say(client[LINK_TRANSFERS_MAX + 1], "\r\nmn\r\n");
    talk_hear(client[LINK_TRANSFERS_MAX + 1], "MN\r\n");
    assert_int_equal(sync_load_acq(&c->dialled), LINK_TRANSFERS_MAX);
    for (unsigned i = 0; i < LINK_TRANSFERS_MAX + 2; i++) close(client[i]);
    for (unsigned i = 0; i < LINK_TRANSFERS_MAX; i++) close(fd[i]);
    nodes_free(c);
}

/* Two real nodes: megabytes there and back; the client reads slowly, so that the owner has to wait. */
static void megabytes_go_there_and_back(void **state) {
    enum { SIZE = 6 << 20 };
    struct nodes *c = nodes_new(2);
    char line[64];
    (void)state;
    assert_int_equal(nodes_start(c, 0, talk_sockets(), "-t 1 -m 64 -I 16m"), 0);
    assert_int_equal(nodes_start(c, 1, talk_sockets(), "-t 1 -m 64 -I 16m"), 0);
    nodes_view_only(c, 0, 7, 1);
    nodes_view_only(c, 1, 7, 1);
    int client = nodes_connect(c, 0);
    snprintf(line, sizeof line, "set k 0 0 %d\r\n", SIZE);
    talk_say(client, line);
    say_bytes(client, SIZE);
    talk_say(client, "\r\nget k\r\nmn\r\nmg k v\r\n");
    talk_hear(client, "STORED\r\n");
    snprintf(line, sizeof line, "VALUE k 0 %d\r\n", SIZE);
    talk_hear(client, line);
    hear_bytes(client, SIZE);
    snprintf(line, sizeof line, "\r\nEND\r\nMN\r\nVA %d\r\n", SIZE);
    talk_hear(client, line);
    hear_bytes(client, SIZE);
    talk_hear(client, "\r\n");
    close(client);
    assert_true(node_drain(c->node[0].node, 20000));
    nodes_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_value_is_fetched),
        cmocka_unit_test(a_fetch_that_breaks_in_the_middle_ends_the_client),
        cmocka_unit_test(a_fetch_that_breaks_at_once_is_tried_once_more),
        cmocka_unit_test(a_fetch_without_a_link_is_a_miss),
        cmocka_unit_test(a_large_block_is_sent_on),
        cmocka_unit_test(a_block_that_is_refused_early_is_swallowed),
        cmocka_unit_test(a_block_whose_link_breaks_is_lost),
        cmocka_unit_test(a_client_that_leaves_takes_its_link_along),
        cmocka_unit_test(links_are_shared),
        cmocka_unit_test(megabytes_go_there_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
