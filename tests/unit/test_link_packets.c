/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Packets of the binary protocol on links between nodes: what is passed on, which answers are believed, what a client
 * is told when the owner does not answer; and what the owner takes from a peer. Packets are written as in transcripts
 * (tests/wire/README.md). */
#include "frames.h"

#include "cmd/cmd.h"
#include "cmd/cmd_link.h"
#include "proto/binary.h"
#include "tests/lib/nodes.h"
#include "tests/wire/script_packet.h"

static const struct script_vars no_vars;

#define SILENT "v=owner\\sdid\\snot\\sanswer,\\smay\\shave\\sbeen\\sdone"

/* Node 0, of one worker; the test is member 1. `owner`: who owns all. */
static struct nodes *begin(unsigned owner) {
    struct nodes *c = nodes_new(2);
    assert_non_null(c);
    assert_int_equal(nodes_start(c, 0, talk_sockets(), "-t 1"), 0);
    nodes_view_only(c, 0, 7, owner);
    return c;
}

/* Sends packets, a line each, in one piece: so they are one batch. */
static void say(int fd, const char *lines) {
    struct bytes b = {0};
    char words[256];
    while (*lines != '\0') {
        const size_t n = strcspn(lines, "\n");
        assert_true(n < sizeof words);
        memcpy(words, lines, n);
        words[n] = '\0';
        assert_int_equal(script_packet_expand(words, &no_vars, &b), 0);
        lines += n + (lines[n] == '\n');
    }
    talk_send(fd, b.p, b.n);
    bytes_free(&b);
}

/* What comes next must be this packet. */
static void hear(int fd, const char *words) {
    struct script_vars vars = {0};
    char *p = malloc(65536);
    assert_non_null(p);
    talk_take(fd, p, BINARY_HEADER);
    assert_true(binary_u32(p + 8) < 65000);
    talk_take(fd, p + BINARY_HEADER, binary_u32(p + 8));
    if (!script_packet_match(words, p, &vars)) fail_msg("not %s", words);
    free(p);
}

/* The next frame must be this packet; its seq. */
static uint32_t asked(int fd, const char *words) {
    struct bytes b = {0};
    struct frame f = frame_next(fd);
    if (f.h.kind == LINK_RING) {
        free(f.p);
        f = frame_next(fd);
    }
    const uint32_t seq = f.h.seq;
    assert_int_equal(script_packet_expand(words, &no_vars, &b), 0);
    assert_int_equal(f.h.kind, LINK_PACKET);
    assert_int_equal(f.h.bytes, b.n);
    assert_memory_equal(f.p, b.p, b.n);
    free(f.p);
    bytes_free(&b);
    return seq;
}

/* Answers with a packet: as that of a request, but for its first byte. */
static void answer(int fd, uint32_t seq, const char *words) {
    struct bytes b = {0};
    assert_int_equal(script_packet_expand(words, &no_vars, &b), 0);
    frame_send(fd, seq, LINK_DONE, 0, 0, b.p, b.n);
    bytes_free(&b);
}

static void they_go_as_they_are(void **state) {
    struct nodes *c = begin(1);
    int client = nodes_connect_binary(c, 0);
    (void)state;
    say(client, "getkq k=a|#|t=x o=1\n"
                "setq k=b v=hello f=9 e=100 o=2\n"
                "incrementq k=n o=3\n"
                "gat k=g e=5 o=4\n"
                "noop o=5\n");
    int peer = nodes_accept(c, 0, NULL);
    uint32_t seq = asked(peer, "getkq k=a|#|t=x o=1");
    asked(peer, "setq k=b v=hello f=9 e=100 o=2");
    asked(peer, "incrementq k=n o=3");
    asked(peer, "gat k=g e=5 o=4");
    frame_send(peer, seq, LINK_DONE, 2, 0, "", 0); /* three empty answers: the quiet ones */
    answer(peer, seq + 3, "gat magic=0x81 x=00000007 v=value o=4 cas=3");
    hear(client, "gat f=7 v=value o=4 cas=3");
    hear(client, "noop o=5");
    close(client);
    close(peer);
    nodes_free(c);
}

/* An answer that is not one to the request, or not whole, is not passed on, and the link ends. */
static void wrong_answers_are_not_believed(void **state) {
    static const char *const wrong[] = {
        "get magic=0x81 x=00000000 v=a o=8",          /* another opaque */
        "getk magic=0x81 x=00000000 k=k v=a o=7",     /* another opcode */
        "get x=00000000 v=a o=7",                     /* a request */
        "get magic=0x81 x=00000000 v=a o=7 body=6",   /* longer than it is */
        "get magic=0x81 x=00000000 v=abc o=7 body=6", /* shorter */
    };
    (void)state;
    for (size_t i = 0; i <= sizeof wrong / sizeof *wrong; i++) {
        struct nodes *c = begin(1);
        int client = nodes_connect_binary(c, 0);
        say(client, "get k=k o=7\n"
                    "noop\n");
        int peer = nodes_accept(c, 0, NULL);
        const uint32_t seq = asked(peer, "get k=k o=7");
        if (i < sizeof wrong / sizeof *wrong)
            answer(peer, seq, wrong[i]);
        else
            frame_answer(peer, seq, LINK_DONE, ""); /* which only a quiet one may be answered */
        hear(client, "get NOT_FOUND o=7");
        hear(client, "noop");
        frame_ended(peer);
        close(client);
        nodes_free(c);
    }
}

static void failures_are_told_in_packets(void **state) {
    struct nodes *c = begin(1);
    int client = nodes_connect_binary(c, 0);
    (void)state;
    say(client, "get k=a o=1\n"
                "getk k=a o=2\n"
                "getkq k=a o=3\n"
                "touch k=a o=4\n"
                "set k=b v=x o=5\n"
                "deleteq k=c o=6\n"
                "noop o=7\n");
    int peer = nodes_accept(c, 0, NULL);
    asked(peer, "get k=a o=1");
    for (unsigned i = 1; i < 6; i++) free(frame_next(peer).p);
    nodes_advance(c, CMD_PEER_TIMEOUT_MS);
    hear(client, "get NOT_FOUND o=1");
    hear(client, "getk NOT_FOUND k=a o=2");
    hear(client, "touch NOT_FOUND o=4");
    hear(client, "set TEMPORARY o=5 " SILENT);
    hear(client, "deleteq TEMPORARY o=6 " SILENT);
    hear(client, "noop o=7");
    close(client);
    close(peer);
    nodes_free(c);
}

/* The transfer link breaks while a large value is on its way. */
static void a_value_that_is_lost_is_told(void **state) {
    struct nodes *c = begin(1);
    int client = nodes_connect_binary(c, 0);
    (void)state;
    say(client, "set k=k o=9 v=\\{x*30000} body=60009"); /* half of it */
    int peer = nodes_accept(c, 0, NULL);
    char head[BINARY_HEADER + 9];
    talk_take(peer, head, sizeof head);
    assert_int_equal(binary_u32(head + 8), 60009);
    close(peer);
    hear(client, "set TEMPORARY o=9 v=connection\\sto\\sowner\\slost,\\smay\\shave\\sbeen\\sdone");
    close(client);
    nodes_free(c);
}

/* ------------------------------------------------------------------ the owner */

static int dial(struct nodes *c) {
    const uint64_t version = 7;
    int fd = nodes_dial(c, 0, CMD_LINK_DATA);
    frame_send(fd, 0, LINK_RING, 0, 0, &version, sizeof version);
    return fd;
}

static void ask(int fd, uint32_t seq, const char *words) {
    struct bytes b = {0};
    assert_int_equal(script_packet_expand(words, &no_vars, &b), 0);
    frame_send(fd, seq, LINK_PACKET, 0, 200, b.p, b.n);
    bytes_free(&b);
}

/* The next answer must be this packet. */
static void told(int fd, uint32_t seq, const char *words) {
    struct script_vars vars = {0};
    struct frame f = frame_next(fd);
    assert_int_equal(f.h.seq, seq);
    assert_int_equal(f.h.kind, LINK_DONE);
    assert_int_equal(script_packet_length(f.p, f.h.bytes), f.h.bytes);
    if (!script_packet_match(words, f.p, &vars)) fail_msg("not %s", words);
    free(f.p);
}

static void the_owner_answers_as_a_client_s(void **state) {
    struct nodes *c = begin(0);
    int fd = dial(c);
    (void)state;
    ask(fd, 3, "set k=a v=abc f=7 o=1");
    ask(fd, 4, "getkq k=a o=2");
    ask(fd, 5, "get k=none o=3");
    ask(fd, 6, "increment k=n i=5 o=4");
    told(fd, 3, "set cas=\\? o=1");
    told(fd, 4, "getkq f=7 k=a v=abc cas=\\? o=2");
    told(fd, 5, "get NOT_FOUND o=3");
    told(fd, 6, "increment n=5 cas=\\? o=4");
    ask(fd, 7, "getq k=none o=5");
    struct frame f = frame_next(fd);
    assert_int_equal(f.h.seq, 7);
    assert_int_equal(f.h.bytes, 0);
    free(f.p);
    close(fd);
    nodes_free(c);
}

/* What no node passes on ends the link: nothing of it is run. */
static void the_owner_takes_no_other_packets(void **state) {
    static const char *const wrong[] = {
        "flush",
        "noop",
        "quit",
        "sasl_auth k=PLAIN v=x",
        "0x40 k=k",
        "get k=k magic=0x81",
        "get k=k v=x",
        "get k=kk keylen=3",
        "set k=k v=abc body=13",
        "set k=k v=abc body=10",
        "set k=k body=4294967295",
        "delete k=x|#|p=t",
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct nodes *c = begin(0);
        int fd = dial(c);
        ask(fd, 0, wrong[i]);
        frame_ended(fd);
        nodes_free(c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_go_as_they_are),
        cmocka_unit_test(wrong_answers_are_not_believed),
        cmocka_unit_test(failures_are_told_in_packets),
        cmocka_unit_test(a_value_that_is_lost_is_told),
        cmocka_unit_test(the_owner_answers_as_a_client_s),
        cmocka_unit_test(the_owner_takes_no_other_packets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
