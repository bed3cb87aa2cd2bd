/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The asking side of links: a node, a client, and a peer that owns all keys and does what the test says. */
#include "asking.h"

#include <errno.h>
#include <sched.h>

#include "base/sync.h"
#include "cmd/cmd_link.h"

/* ------------------------------------------------------------------ what goes over */

static void a_get_goes_key_by_key(void **state) {
    struct nodes *c = asking_begin();
    int client = nodes_connect(c, 0);
    (void)state;
    talk_say(client, "get a b|#|t=x c\r\nmn\r\n");
    int peer = nodes_accept(c, 0, NULL);
    struct frame ring = frame_next(peer);
    assert_int_equal(ring.h.kind, LINK_RING);
    assert_int_equal(ring.h.bytes, 8);
    assert_int_equal(ring.p[0], 7);
    free(ring.p);
    uint32_t seq = frame_asked(peer, LINK_GET, "a");
    struct frame b = frame_next(peer);
    assert_int_equal(b.h.flags, LINK_SUFFIX);
    assert_int_equal(b.h.budget_ms, CMD_PEER_TIMEOUT_MS);
    assert_string_equal(b.p, "b|#|t=x");
    free(b.p);
    assert_int_equal(frame_asked(peer, LINK_GET, "c"), seq + 2);
    frame_answer(peer, seq, LINK_DONE, "VALUE a 0 1\r\nA\r\n");
    frame_answer(peer, seq + 1, LINK_DONE, "");
    frame_answer(peer, seq + 2, LINK_DONE, "VALUE c 5 1\r\nC\r\n");
    talk_hear(client, "VALUE a 0 1\r\nA\r\nVALUE c 5 1\r\nC\r\nEND\r\nMN\r\n");
    assert_int_equal(asking_metric(c, CMD_METRIC_forwards_sent), 3);
    assert_int_equal(asking_metric(c, CMD_METRIC_links_open), 1);
    close(client);
    close(peer);
    nodes_free(c);
}

static void a_command_goes_whole(void **state) {
    struct nodes *c = asking_begin();
    int client = nodes_connect(c, 0);
    (void)state;
    talk_say(
        client,
        "set k 1 0 2 noreply\r\nab\r\ndelete k noreply\r\nincr n 1 noreply\r\nms YmFy 2 b S10\r\nhi\r\nmg k v\r\n");
    int peer = nodes_accept(c, 0, NULL);
    uint32_t seq = frame_asked(peer, LINK_COMMAND, "set k 1 0 2 noreply\r\nab\r\n");
    frame_asked(peer, LINK_COMMAND, "delete k noreply\r\n");
    frame_asked(peer, LINK_COMMAND, "incr n 1 noreply\r\n");
    frame_asked(peer, LINK_COMMAND, "ms YmFy 2 b S10\r\nhi\r\n");
    frame_asked(peer, LINK_COMMAND, "mg k v\r\n");
    frame_send(peer, seq, LINK_DONE, 2, 0, "", 0); /* three empty ones */
    frame_answer(peer, seq + 3, LINK_DONE, "HD\r\n");
    frame_answer(peer, seq + 4, LINK_DONE, "VA 1\r\nx\r\n");
    talk_hear(client, "HD\r\nVA 1\r\nx\r\n");
    close(client);
    close(peer);
    nodes_free(c);
}

/* gat sends what is left to live, not a time of this node's. */
static void gat_sends_a_ttl(void **state) {
    struct nodes *c = asking_begin();
    int client = nodes_connect(c, 0);
    const int32_t want[] = {100, LINK_TTL_NEVER, LINK_TTL_PASSED};
    const char *const words[] = {"100", "0", "-1"};
    char text[64];
    int peer = -1;
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        snprintf(text, sizeof text, "gats %s k\r\n", words[i]);
        talk_say(client, text);
        if (peer < 0) peer = nodes_accept(c, 0, NULL);
        struct frame f = frame_next(peer);
        if (f.h.kind == LINK_RING) {
            free(f.p);
            f = frame_next(peer);
        }
        int32_t ttl;
        memcpy(&ttl, f.p, sizeof ttl);
        assert_int_equal(f.h.flags, LINK_TOUCH | LINK_CAS);
        assert_int_equal(ttl, want[i]);
        assert_string_equal(f.p + 4, "k");
        frame_answer(peer, f.h.seq, LINK_DONE, "VALUE k 0 1 99\r\nA\r\n");
        free(f.p);
        talk_hear(client, "VALUE k 0 1 99\r\nA\r\nEND\r\n");
    }
    close(client);
    close(peer);
    nodes_free(c);
}

/* A purge runs when everything before it is answered, and nothing behind it is sent before. */
static void a_purge_is_a_barrier(void **state) {
    struct nodes *c = asking_begin();
    int client = nodes_connect(c, 0);
    (void)state;
    talk_say(client, "set k 0 0 1\r\na\r\nflush_all\r\nget k\r\ndelete k|#|p=tag\r\nget l\r\n");
    int peer = nodes_accept(c, 0, NULL);
    uint32_t seq = frame_asked(peer, LINK_COMMAND, "set k 0 0 1\r\na\r\n");
    nodes_settle(c);
    frame_silent(peer);
    frame_answer(peer, seq, LINK_DONE, "STORED\r\n");
    talk_hear(client, "STORED\r\nOK\r\n");
    assert_int_equal(frame_asked(peer, LINK_GET, "k"), seq + 1);
    nodes_settle(c);
    frame_silent(peer);
    frame_answer(peer, seq + 1, LINK_DONE, "");
    talk_hear(client, "END\r\nDELETED\r\n");
    frame_answer(peer, frame_asked(peer, LINK_GET, "l"), LINK_DONE, "");
    talk_hear(client, "END\r\n");
    close(client);
    close(peer);
    nodes_free(c);
}

/* The answer to a read that has to be asked for again must not show a write that came behind it. */
static void a_write_waits_for_a_read_of_its_key(void **state) {
    struct nodes *c = asking_begin();
    int client = nodes_connect(c, 0);
    (void)state;
    talk_say(client, "get k\r\nset other 0 0 1\r\no\r\nset k 0 0 1\r\na\r\nget z\r\n");
    int peer = nodes_accept(c, 0, NULL);
    uint32_t seq = frame_asked(peer, LINK_GET, "k");
    frame_asked(peer, LINK_COMMAND, "set other 0 0 1\r\no\r\n");
    nodes_settle(c);
    frame_silent(peer);
    frame_answer(peer, seq, LINK_DONE, "");
    frame_answer(peer, seq + 1, LINK_DONE, "STORED\r\n");
    frame_asked(peer, LINK_COMMAND, "set k 0 0 1\r\na\r\n");
    frame_asked(peer, LINK_GET, "z");
    frame_answer(peer, seq + 2, LINK_DONE, "STORED\r\n");
    frame_answer(peer, seq + 3, LINK_DONE, "");
    talk_hear(client, "END\r\nSTORED\r\nSTORED\r\nEND\r\n");
    close(client);
    close(peer);
    nodes_free(c);
}

/* ------------------------------------------------------------------ rings that differ, and keys that move */

static void send_status(int peer, uint32_t seq, enum link_status status, uint64_t version) {
    frame_send(peer, seq, status, 0, 0, &version, status == LINK_NOT_OWNER ? sizeof version : 0);
}

static void a_wrong_owner_is_asked_twice_more(void **state) {
    struct nodes *c = asking_begin();
    int client = nodes_connect(c, 0);
    (void)state;
    talk_say(client, "get a\r\nset b 0 0 1\r\nb\r\n");
    int peer = nodes_accept(c, 0, NULL);
    for (unsigned i = 0; i < 3; i++) {
        if (i > 0) nodes_advance(c, LINK_RING_MS);
        uint32_t seq = frame_asked(peer, LINK_GET, "a");
        frame_asked(peer, LINK_COMMAND, "set b 0 0 1\r\nb\r\n");
        send_status(peer, seq, LINK_NOT_OWNER, 6);
        send_status(peer, seq + 1, LINK_NOT_OWNER, 6);
        nodes_settle(c);
    }
    talk_hear(client, "END\r\n" SILENT);
    assert_int_equal(sync_load_acq(&c->differs), 1); /* once a version */
    assert_int_equal(asking_metric(c, CMD_METRIC_ring_disagreements), 6);
    close(client);
    close(peer);
    nodes_free(c);
}

static void a_newer_ring_is_followed(void **state) {
    struct nodes *c = nodes_new(3);
    (void)state;
    assert_int_equal(nodes_start(c, 0, talk_sockets(), "-t 1"), 0);
    nodes_view_only(c, 0, 7, 1);
    int client = nodes_connect(c, 0);
    talk_say(client, "get a b\r\n");
    struct nodes_wish wish;
    int first = nodes_accept(c, 0, &wish);
    assert_int_equal(wish.to, 1);
    uint32_t seq = frame_asked(first, LINK_GET, "a");
    frame_asked(first, LINK_GET, "b");
    nodes_view_only(c, 0, 8, 2);
    frame_answer(first, seq, LINK_DONE, "VALUE a 0 1\r\nA\r\n"); /* it has it: the record's decision stands */
    send_status(first, seq + 1, LINK_NOT_OWNER, 8);
    int second = nodes_accept(c, 0, &wish);
    assert_int_equal(wish.to, 2);
    frame_answer(second, frame_asked(second, LINK_GET, "b"), LINK_DONE, "VALUE b 0 1\r\nB\r\n");
    talk_hear(client, "VALUE a 0 1\r\nA\r\nVALUE b 0 1\r\nB\r\nEND\r\n");
    /* This node itself owns all now: what is under way is answered, what comes then is its own. */
    talk_say(client, "get c\r\n");
    seq = frame_asked(second, LINK_GET, "c");
    nodes_view_only(c, 0, 9, 0);
    frame_answer(second, seq, LINK_DONE, "VALUE c 0 1\r\nC\r\n");
    talk_hear(client, "VALUE c 0 1\r\nC\r\nEND\r\n");
    talk_say(client, "get c\r\n");
    talk_hear(client, "END\r\n");
    close(client);
    close(first);
    close(second);
    nodes_free(c);
}

static void what_is_moving_is_asked_again(void **state) {
    struct nodes *c = asking_begin();
    int client = nodes_connect(c, 0);
    (void)state;
    talk_say(client, "set a 0 0 1\r\na\r\n");
    int peer = nodes_accept(c, 0, NULL);
    for (unsigned i = 0; i < 5; i++) {
        send_status(peer, frame_asked(peer, LINK_COMMAND, "set a 0 0 1\r\na\r\n"), LINK_RETRY, 0);
        nodes_settle(c);
        nodes_advance(c, LINK_RETRY_MS);
    }
    frame_answer(peer, frame_asked(peer, LINK_COMMAND, "set a 0 0 1\r\na\r\n"), LINK_DONE, "STORED\r\n");
    talk_hear(client, "STORED\r\n");
    talk_say(client, "set a 0 0 1\r\na\r\n");
    send_status(peer, frame_asked(peer, LINK_COMMAND, "set a 0 0 1\r\na\r\n"), LINK_RETRY, 0);
    nodes_advance(c, CMD_PEER_TIMEOUT_MS); /* but not beyond the deadline */
    talk_hear(client, SILENT);
    close(client);
    close(peer);
    nodes_free(c);
}

/* ------------------------------------------------------------------ replies that are not to be believed */

static void a_peer_out_of_step_is_cut_off(void **state) {
    static const struct {
        uint32_t bytes, seq_off;
        uint8_t status, more;
        uint16_t zero;
    } bad[] = {{0, 1, LINK_DONE, 0, 0},
               {LINK_REPLY_MAX + 1, 0, LINK_DONE, 0, 0},
               {0, 0, 0, 0, 0},
               {0, 0, LINK_BEHIND + 1, 0, 0},
               {0, 0, LINK_DONE, 1, 0},
               {0, 0, LINK_DONE, 0, 1},
               {0, 0, LINK_NOT_OWNER, 1, 0}};
    struct nodes *c = asking_begin();
    int client = nodes_connect(c, 0);
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        talk_say(client, "set a 0 0 1\r\na\r\n");
        int peer = nodes_accept(c, 0, NULL);
        uint32_t seq = frame_asked(peer, LINK_COMMAND, "set a 0 0 1\r\na\r\n");
        const struct link_header h = {bad[i].bytes, seq + bad[i].seq_off, bad[i].status, bad[i].more, bad[i].zero};
        talk_send(peer, (const char *)&h, sizeof h);
        talk_hear(client, LOST);
        frame_ended(peer);
    }
    close(client);
    nodes_free(c);
}

/* The first two keys of one letter that this member of the ring owns. */
static void choose_keys(const struct nodes *c, unsigned member, char key[2][2]) {
    unsigned n = 0;
    for (char letter = 'a'; n < 2; letter++) {
        char text[128] = {letter}; /* more may be read behind a key */
        const char *const p = text;
        const uint32_t len = 1;
        uint16_t owner;
        uint64_t since;
        assert_true(letter <= 'z');
        view_owners(c->node[0].view, &p, &len, 1, &owner, &since);
        if (owner == member) memcpy(key[n++], text, 2);
    }
}

static void frame_value(int peer, uint32_t seq, const char *key) {
    char text[32];
    (void)snprintf(text, sizeof text, "VALUE %s 0 1\r\n%s\r\n", key, key);
    frame_answer(peer, seq, LINK_DONE, text);
}

/* Replies of two owners reach the client in the order of its requests, whoever answers first. */
static void replies_of_two_owners_keep_the_order(void **state) {
    struct nodes *c = nodes_new(3);
    char one[2][2], two[2][2], text[256];
    int peer[3];
    (void)state;
    assert_non_null(c);
    assert_int_equal(nodes_start(c, 0, talk_sockets(), "-t 1"), 0);
    nodes_view_ring(c, 0, 7, 6, 11211);
    choose_keys(c, 0, one); /* the ring's first member is node 1 */
    choose_keys(c, 1, two);
    int client = nodes_connect(c, 0);
    for (unsigned round = 0; round < 2; round++) {
        (void)snprintf(text, sizeof text, "get %s %s\r\nget %s\r\nmg %s v\r\n", one[0], two[0], one[1], two[1]);
        talk_say(client, text);
        for (unsigned i = 0; round == 0 && i < 2; i++) {
            struct nodes_wish wish;
            const int fd = nodes_accept(c, 0, &wish);
            peer[wish.to] = fd;
        }
        const uint32_t a = frame_asked(peer[1], LINK_GET, one[0]);
        assert_int_equal(frame_asked(peer[1], LINK_GET, one[1]), a + 1);
        const uint32_t b = frame_asked(peer[2], LINK_GET, two[0]);
        (void)snprintf(text, sizeof text, "mg %s v\r\n", two[1]);
        assert_int_equal(frame_asked(peer[2], LINK_COMMAND, text), b + 1);
        for (unsigned i = 0; i < 2; i++) {
            if (i == round) {
                frame_value(peer[1], a, one[0]);
                frame_value(peer[1], a + 1, one[1]);
            } else {
                frame_value(peer[2], b, two[0]);
                frame_answer(peer[2], b + 1, LINK_DONE, "VA 1\r\nX\r\n");
            }
            nodes_settle(c);
        }
        (void)snprintf(text, sizeof text,
                       "VALUE %s 0 1\r\n%s\r\nVALUE %s 0 1\r\n%s\r\nEND\r\nVALUE %s 0 1\r\n%s\r\nEND\r\nVA 1\r\nX\r\n",
                       one[0], one[0], two[0], two[0], one[1], one[1]);
        talk_hear(client, text);
    }
    assert_int_equal(asking_metric(c, CMD_METRIC_forwards_sent), 8);
    close(client);
    close(peer[1]);
    close(peer[2]);
    nodes_free(c);
}

/* Of a client that asks for others' keys this node's own are not looked at before it is known whose they are. */
static void own_keys_are_found_beside_others(void **state) {
    struct nodes *c = nodes_new(2);
    char own[2][2], other[2][2], text[128];
    (void)state;
    assert_non_null(c);
    assert_int_equal(nodes_start(c, 0, talk_sockets(), "-t 1"), 0);
    nodes_view_ring(c, 0, 7, 3, 11211);
    choose_keys(c, 0, own);
    choose_keys(c, 1, other);
    int client = nodes_connect(c, 0);
    (void)snprintf(text, sizeof text, "set %s 0 0 1\r\n%s\r\n", own[0], own[0]);
    talk_expect(client, text, "STORED\r\n");
    (void)snprintf(text, sizeof text, "get %s\r\n", other[0]);
    talk_say(client, text);
    assert_int_equal(nodes_accept(c, -ECONNREFUSED, NULL), -1);
    talk_hear(client, "END\r\n");
    /* Nothing is sent, for the owner is down: all is answered at once. */
    (void)snprintf(text, sizeof text, "get %s %s\r\n", other[0], own[0]);
    talk_say(client, text);
    (void)snprintf(text, sizeof text, "VALUE %s 0 1\r\n%s\r\nEND\r\n", own[0], own[0]);
    talk_hear(client, text);
    (void)snprintf(text, sizeof text, "get %s\r\nmg %s v\r\n", own[0], own[0]);
    talk_say(client, text);
    (void)snprintf(text, sizeof text, "VALUE %s 0 1\r\n%s\r\nEND\r\nVA 1\r\n%s\r\n", own[0], own[0], own[0]);
    talk_hear(client, text);
    close(client);
    nodes_free(c);
}

static void another_key_never_reaches_a_client(void **state) {
    static const char *const wrong[] = {"VALUE b 0 1\r\nB\r\n", "VALUE aa 0 1\r\nB\r\n", "VALUE a 0 1\r\nB", "x",
                                        "SERVER_ERROR\r\n"};
    struct nodes *c = asking_begin();
    int client = nodes_connect(c, 0);
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        talk_say(client, "get a\r\n");
        int peer = nodes_accept(c, 0, NULL);
        frame_answer(peer, frame_asked(peer, LINK_GET, "a"), LINK_DONE, wrong[i]);
        talk_hear(client, "END\r\n");
        frame_ended(peer);
    }
    close(client);
    nodes_free(c);
}

/* ------------------------------------------------------------------ clients and bounds */

static void a_client_that_leaves_is_forgotten(void **state) {
    struct nodes *c = asking_begin();
    int client = nodes_connect(c, 0), other = nodes_connect(c, 0);
    (void)state;
    talk_say(client, "get a\r\nset b 0 0 1\r\nb\r\n");
    int peer = nodes_accept(c, 0, NULL);
    uint32_t seq = frame_asked(peer, LINK_GET, "a");
    frame_asked(peer, LINK_COMMAND, "set b 0 0 1\r\nb\r\n");
    struct linger hard = {1, 0};
    setsockopt(client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(client);
    talk_say(other, "get c\r\n");
    frame_asked(peer, LINK_GET, "c");
    frame_answer(peer, seq, LINK_DONE, "VALUE a 0 1\r\nA\r\n");
    frame_answer(peer, seq + 1, LINK_DONE, "STORED\r\n");
    frame_answer(peer, seq + 2, LINK_DONE, "VALUE c 0 1\r\nC\r\n");
    talk_hear(other, "VALUE c 0 1\r\nC\r\nEND\r\n");
    close(other);
    close(peer);
    nodes_free(c);
}

static void no_more_than_so_many_are_out(void **state) {
    enum { CLIENTS = LINK_OUT_MAX / CMD_BATCH + 2 };
    struct nodes *c = asking_begin();
    int clients[CLIENTS], peer = -1;
    char line[8 + 2 * CMD_BATCH] = "get";
    unsigned asked = 0;
    (void)state;
    for (unsigned i = 0; i < CMD_BATCH; i++) strcat(line, " k");
    strcat(line, "\r\n");
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = nodes_connect(c, 0);
        talk_say(clients[i], line);
    }
    peer = nodes_accept(c, 0, NULL);
    while (asking_metric(c, CMD_METRIC_forwards_sent) < LINK_OUT_MAX) sched_yield();
    nodes_settle(c);
    assert_int_equal(asking_metric(c, CMD_METRIC_forwards_sent), LINK_OUT_MAX);
    for (unsigned i = 0; i < CLIENTS * CMD_BATCH; i++) {
        struct frame f = frame_next(peer);
        while (f.h.kind == LINK_RING) {
            free(f.p);
            f = frame_next(peer);
        }
        frame_answer(peer, f.h.seq, LINK_DONE, "VALUE k 0 1\r\nK\r\n");
        free(f.p);
        asked++;
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        for (unsigned k = 0; k < CMD_BATCH; k++) talk_hear(clients[i], "VALUE k 0 1\r\nK\r\n");
        talk_hear(clients[i], "END\r\n");
        close(clients[i]);
    }
    assert_int_equal(asked, CLIENTS * CMD_BATCH);
    close(peer);
    nodes_free(c);
}

/* Clients that do not read leave their replies in the node: beyond a bound it asks for no more. */
static void replies_that_wait_are_bounded(void **state) {
    enum { SIZE = 60000, CLIENTS = LINK_REPLIES_MAX / (CMD_BATCH * SIZE) + 1 };
    struct nodes *c = asking_begin();
    int clients[CLIENTS], peer = -1, last;
    char line[8 + 2 * CMD_BATCH] = "get", head[64];
    char *value = malloc(SIZE + 128);
    (void)state;
    assert_non_null(value);
    const int n = snprintf(head, sizeof head, "VALUE k 0 %d\r\n", SIZE);
    memcpy(value, head, (size_t)n);
    memset(value + n, 'x', SIZE);
    memcpy(value + n + SIZE, "\r\n", 3);
    for (unsigned i = 0; i < CMD_BATCH; i++) strcat(line, " k");
    strcat(line, "\r\n");
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = nodes_connect(c, 0);
        talk_say(clients[i], line);
        if (peer < 0) peer = nodes_accept(c, 0, NULL);
        for (unsigned k = 0; k < CMD_BATCH; k++) frame_answer(peer, frame_asked(peer, LINK_GET, "k"), LINK_DONE, value);
    }
    last = nodes_connect(c, 0);
    nodes_settle(c);
    talk_say(last, "get z\r\n");
    nodes_settle(c);
    frame_silent(peer);
    char *got = malloc((size_t)n + SIZE + 2);
    assert_non_null(got);
    for (unsigned i = 0; i < CLIENTS; i++) {
        for (unsigned k = 0; k < CMD_BATCH; k++) {
            talk_take(clients[i], got, (size_t)n + SIZE + 2);
            assert_memory_equal(got, value, (size_t)n + SIZE + 2);
        }
        talk_hear(clients[i], "END\r\n");
        close(clients[i]);
    }
    frame_answer(peer, frame_asked(peer, LINK_GET, "z"), LINK_DONE, "");
    talk_hear(last, "END\r\n");
    free(got);
    free(value);
    close(last);
    close(peer);
    nodes_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_get_goes_key_by_key),
        cmocka_unit_test(a_command_goes_whole),
        cmocka_unit_test(gat_sends_a_ttl),
        cmocka_unit_test(a_purge_is_a_barrier),
        cmocka_unit_test(a_write_waits_for_a_read_of_its_key),
        cmocka_unit_test(a_wrong_owner_is_asked_twice_more),
        cmocka_unit_test(a_newer_ring_is_followed),
        cmocka_unit_test(what_is_moving_is_asked_again),
        cmocka_unit_test(a_peer_out_of_step_is_cut_off),
        cmocka_unit_test(replies_of_two_owners_keep_the_order),
        cmocka_unit_test(own_keys_are_found_beside_others),
        cmocka_unit_test(another_key_never_reaches_a_client),
        cmocka_unit_test(a_client_that_leaves_is_forgotten),
        cmocka_unit_test(no_more_than_so_many_are_out),
        cmocka_unit_test(replies_that_wait_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
