/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The quick paths of mg and ms, and of packets that get and set, answer, count and change what the handlers do. A
 * second blank behind the command's name makes any line one for its handler: so each conversation is held twice, and
 * once more in one piece. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cmd/session.h"
#include "tests/fuzz/fake_net.h"
#include "tests/wire/script_packet.h"

#define LINE_MAX_BYTES 8192

struct step {
    const char *request;
    int path; /* how it must be run as it stands; -1: all the same */
};

static const struct step talk[] = {
    /* stores: every flag of the quick path, alone and in each other's company */
    {"ms a 3\r\nabc\r\n", CMD_PATH_MS},
    {"mg a\r\n", CMD_PATH_MG},
    {"mg a v\r\n", CMD_PATH_MG},
    {"mg a h v\r\n", CMD_PATH_MG},
    {"mg a s v c f k Oxyz t h l g\r\n", CMD_PATH_MG},
    {"mg a Oxyz g l h t f s k v q\r\n", CMD_PATH_MG},
    {"mg a O\r\n", CMD_PATH_MG},
    {"mg a Oq\rq v\r\n", CMD_PATH_MG},
    {"mg a O1234567890123456789012345678901 k\r\n", CMD_PATH_MG},
    {"ms b 3 T100\r\nabc\r\n", CMD_PATH_MS},
    {"mg b t\r\n", CMD_PATH_MG},
    {"ms b 3 T0 F4\r\nabc\r\n", CMD_PATH_MS},
    {"mg b t f v\r\n", CMD_PATH_MG},
    {"ms b 4 F123456789 c s k Ox I MS T999999999\r\nabcd\r\n", CMD_PATH_MS},
    {"mg b t f c v\r\n", CMD_PATH_MG},
    {"ms b 4 q\r\nabcd\r\n", CMD_PATH_MS},
    {"ms b 4 q k c\r\nabcd\r\n", CMD_PATH_MS},
    {"ms b 0 s k\r\n\r\n", CMD_PATH_MS},
    {"mg b s v\r\n", CMD_PATH_MG},
    {"ms past 1 T999999999\r\nx\r\n", CMD_PATH_MS}, /* a unix time, in 2001 */
    {"mg past v\r\n", CMD_PATH_MG},
    /* misses */
    {"mg nope\r\n", CMD_PATH_MG},
    {"mg nope k v Oabc s\r\n", CMD_PATH_MG},
    {"mg nope k q Oabc\r\n", CMD_PATH_MG},
    /* what the handlers have to do */
    {"mg nope N30 v c t\r\n", CMD_PATH_HANDLER},
    {"mg nope v t\r\n", -1}, /* somebody has won it */
    {"mg nope R60 v\r\n", CMD_PATH_HANDLER},
    {"ms st 2 T50\r\nab\r\n", CMD_PATH_MS},
    {"md st I T30\r\n", CMD_PATH_HANDLER},
    {"mg st v t c s\r\n", -1}, /* stale: the first one wins */
    {"mg st v t c s\r\n", -1},
    {"ms Zm9v 2 b T60\r\nab\r\n", CMD_PATH_HANDLER},
    {"mg foo k v\r\n", -1}, /* stored in base64, and shown so */
    {"mg Zm9v b k v\r\n", CMD_PATH_HANDLER},
    {"ms tag 2 Gx,y\r\nab\r\n", CMD_PATH_HANDLER},
    {"mg tag g v\r\n", CMD_PATH_MG},
    {"mp x I T40\r\n", CMD_PATH_HANDLER},
    {"mg tag v t\r\n", -1}, /* softly purged */
    {"mg tag v t\r\n", -1},
    {"ms m 1 ME\r\n1\r\n", CMD_PATH_HANDLER},
    {"ms m 1 ME\r\n1\r\n", CMD_PATH_HANDLER},
    {"ms m 1 MSx\r\n2\r\n", CMD_PATH_HANDLER},
    {"ms m 1 M\r\n3\r\n", CMD_PATH_HANDLER},
    {"ms m 1 C5\r\n3\r\n", CMD_PATH_HANDLER},
    {"ms m 1 E77 c\r\n3\r\n", CMD_PATH_HANDLER},
    {"mg m u v\r\n", CMD_PATH_HANDLER},
    {"mg m T60 v t\r\n", CMD_PATH_HANDLER},
    {"ms k|#|t=q 1 k\r\nx\r\n", CMD_PATH_HANDLER},
    {"mg k|#|t=q k v\r\n", CMD_PATH_HANDLER},
    /* lines that are not usual, and wrong ones */
    {"mg a v\n", CMD_PATH_HANDLER},
    {"mg a v \r\n", CMD_PATH_HANDLER},
    {"mg a  v\r\n", CMD_PATH_HANDLER},
    {"mg a v5 s\r\n", CMD_PATH_HANDLER},
    {"mg a v v\r\n", CMD_PATH_HANDLER},
    {"mg a Q\r\n", CMD_PATH_HANDLER},
    {"mg a @\r\n", CMD_PATH_HANDLER},
    {"mg a v\r\r\n", CMD_PATH_HANDLER},
    {"mg a O12345678901234567890123456789012\r\n", CMD_PATH_HANDLER},
    {"ms a 3 T1234567890\r\nabc\r\n", CMD_PATH_HANDLER},
    {"ms a 3 T-1\r\nabc\r\n", CMD_PATH_HANDLER},
    {"mg a v\r\n", -1},
    {"ms a 3 Tx\r\nabc\r\n", CMD_PATH_HANDLER},
    {"ms a 3 T\r\nabc\r\n", CMD_PATH_HANDLER},
    {"ms a 3 F\r\nabc\r\n", CMD_PATH_HANDLER},
    {"ms a 3 F4294967296\r\nabc\r\n", CMD_PATH_HANDLER},
    {"ms a 3 v\r\nabc\r\n", CMD_PATH_HANDLER},
    {"ms a 3 s s\r\nabc\r\n", CMD_PATH_HANDLER},
    {"ms a 2 k\r\nabc\r\nmn\r\n", CMD_PATH_HANDLER},
    {"mg a v c\r\n", -1},
    {"mg a k O1 t v q c\r\n", CMD_PATH_MG},
};

struct side {
    struct fake_node *node;
    struct conn *conn;
};

static struct side begin(void) {
    struct side s = {.node = fake_node_new(&(struct fake_options){0})};
    s.conn = fake_open(s.node);
    return s;
}

static const struct request *first_request(const struct side *s) {
    const struct session *session = conn_session(s->conn);
    return &session->worker->batch[0];
}

/* The request with a second blank behind its name. */
static size_t unusual(const char *request, char *out) {
    const size_t n = strlen(request);
    memcpy(out, request, 3);
    out[3] = ' ';
    memcpy(out + 4, request + 3, n - 3);
    return n + 1;
}

static void same_output(const struct side *a, const struct side *b, const char *of) {
    size_t na, nb;
    const char *pa = fake_output(a->conn, &na), *pb = fake_output(b->conn, &nb);
    if (na != nb || (na > 0 && memcmp(pa, pb, na) != 0))
        fail_msg("%s\nquick: %.*s\nhandler: %.*s", of, (int)na, pa, (int)nb, pb);
}

static void same_counts(const struct side *a, const struct side *b) {
    for (unsigned i = 0; i < CMD_METRICS; i++)
        if (cmd_metric(a->node->cmd, (enum cmd_metric)i) != cmd_metric(b->node->cmd, (enum cmd_metric)i))
            fail_msg("metric %u: %d and %d", i, (int)cmd_metric(a->node->cmd, (enum cmd_metric)i),
                     (int)cmd_metric(b->node->cmd, (enum cmd_metric)i));
}

static void test_same_answers(void **state) {
    (void)state;
    struct side quick = begin(), handler = begin();
    char line[LINE_MAX_BYTES];
    for (unsigned i = 0; i < sizeof talk / sizeof *talk; i++) {
        fake_clear(quick.conn);
        fake_clear(handler.conn);
        fake_feed(quick.conn, talk[i].request, strlen(talk[i].request));
        if (talk[i].path >= 0 && first_request(&quick)->path != talk[i].path)
            fail_msg("%s: way %d", talk[i].request, first_request(&quick)->path);
        fake_feed(handler.conn, line, unusual(talk[i].request, line));
        assert_int_equal(first_request(&handler)->path, CMD_PATH_HANDLER);
        same_output(&quick, &handler, talk[i].request);
    }
    same_counts(&quick, &handler);
    fake_node_free(quick.node);
    fake_node_free(handler.node);
}

/* All of it at once, again and again, so that batches end where they like. */
static void test_one_piece(void **state) {
    (void)state;
    struct side quick = begin(), handler = begin();
    char *whole = malloc(20 * LINE_MAX_BYTES), line[LINE_MAX_BYTES];
    size_t n = 0;
    assert_non_null(whole);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < sizeof talk / sizeof *talk; i++) {
            const size_t len = strlen(talk[i].request);
            memcpy(whole + n, talk[i].request, len);
            n += len;
            fake_feed(handler.conn, line, unusual(talk[i].request, line));
        }
    }
    fake_feed(quick.conn, whole, n);
    same_output(&quick, &handler, "all");
    same_counts(&quick, &handler);
    free(whole);
    fake_node_free(quick.node);
    fake_node_free(handler.node);
}

/* Values too large to be copied, and a reader who does not read: the quick path ends its batch where it must. */
static void test_large_values(void **state) {
    (void)state;
    struct side quick = begin(), handler = begin();
    char *block = malloc(600000), line[LINE_MAX_BYTES];
    assert_non_null(block);
    memset(block, 'v', 600000);
    for (size_t size = 2047; size < 500000; size = size * 3 + 1) {
        const size_t head = (size_t)sprintf(block, "ms big %zu\r\n", size);
        memcpy(block + head + size, "\r\n", 2);
        fake_feed(quick.conn, block, head + size + 2);
        fake_feed(handler.conn, block, head + size + 2);
        memset(block + head, 'v', size + 2);
        for (unsigned i = 0; i < 3; i++) {
            static const char ask[] = "mg big v s Oo\r\n";
            fake_feed(quick.conn, ask, sizeof ask - 1);
            fake_feed(handler.conn, line, unusual(ask, line));
        }
        same_output(&quick, &handler, "large");
    }
    same_counts(&quick, &handler);
    free(block);
    fake_node_free(quick.node);
    fake_node_free(handler.node);
}

/* A request drawn at random: few keys, any flags, right and wrong ones, twice or not. */
static size_t draw(uint32_t *seed, char *out) {
    static const char *const flags[] = {
        "v",  "f",    "s",    "t", "c", "k",   "q",   "h",  "l",  "g",    "Oab", "O",  "T100", "T0",          "F7",
        "F0", "I",    "MS",   "b", "u", "N30", "R50", "E9", "C1", "T-1",  "x",   "ME", "Gt,u", "Q",           "v1",
        "Tx", "Lt=t", "Lr=t", "P", "T", "F",   "!",   "MA", "D1", "O\t1", "",    "w1", "J1",   "T12345678901"};
    static const char *const keys[] = {"a", "b", "Zm9v", "foo", "k|#|t=v", "averyveryveryverylongkey"};
#define DRAW(n) (*seed = *seed * 1664525u + 1013904223u, (*seed >> 16) % (n))
    const char *key = keys[DRAW(6)];
    char *p = out;
    const unsigned kind = DRAW(8);
    if (kind == 0) return (size_t)sprintf(out, "md %s%s\r\n", key, DRAW(2) ? " I T30" : "");
    if (kind == 1) return (size_t)sprintf(out, "mp t%s\r\n", DRAW(2) ? " I" : "");
    p += kind < 5 ? sprintf(p, "mg %s", key) : sprintf(p, "ms %s 3", key);
    for (unsigned n = DRAW(6); n > 0; n--) p += sprintf(p, " %s", flags[DRAW(sizeof flags / sizeof *flags)]);
    p += sprintf(p, "%s", DRAW(16) == 0 ? "\n" : "\r\n");
    if (kind >= 5) p += sprintf(p, "%u\r\n", 100 + DRAW(900));
    return (size_t)(p - out);
#undef DRAW
}

static void test_random_lines(void **state) {
    (void)state;
    struct side quick = begin(), handler = begin();
    char request[LINE_MAX_BYTES], line[LINE_MAX_BYTES];
    uint32_t seed = 12345;
    unsigned ways[CMD_PATH_MS + 1] = {0};
    for (unsigned i = 0; i < 20000; i++) {
        const size_t n = draw(&seed, request);
        request[n] = '\0';
        fake_clear(quick.conn);
        fake_clear(handler.conn);
        fake_feed(quick.conn, request, n);
        ways[first_request(&quick)->path]++;
        fake_feed(handler.conn, line, unusual(request, line));
        same_output(&quick, &handler, request);
    }
    same_counts(&quick, &handler);
    assert_true(ways[CMD_PATH_MG] > 1000 && ways[CMD_PATH_MS] > 500 && ways[CMD_PATH_HANDLER] > 1000);
    fake_node_free(quick.node);
    fake_node_free(handler.node);
}

/* ------------------------------------------------------------------ packets */

/* Gets and sets of the binary protocol, as words of a transcript (tests/wire/script_packet.h). */
static const char *const packets[] = {
    "set k=a v=abc f=7",
    "get k=a",
    "getk k=a o=5",
    "getq k=a",
    "getkq k=a",
    "getkq k=none",
    "getq k=none",
    "getk k=none",
    "get k=none o=9",
    "setq k=a v=",
    "get k=a",
    "set k=a v=x e=100",
    "set k=past v=x e=2592001",
    "get k=past",
    "set k=a\\sb v=x",
    "getk k=a\\sb",
    "set k=tag|#|t=x,y v=ab",
    "getk k=tag|#|t=z",
    "delete k=x|#|p=x",
    "getkq k=tag",
    "set k=a v=y cas=99",
    "setq k=big v=\\{0123456789*300}",
    "getkq k=big",
    "set k=\\{k*250} v=\\{x*2048}",
    "getk k=\\{k*250}",
    "noop",
};

/* While something is observed the handlers run all of them. */
static void test_packets(void **state) {
    (void)state;
    struct side quick = begin(), handler = begin(), piece = begin();
    const struct script_vars vars = {0};
    struct bytes all = {0};
    unsigned ways[CMD_PATH_SETS + 1] = {0};
    struct conn *observer = fake_open(handler.node);
    fake_feed(observer, "stats detail on\r\n", 17);
    for (unsigned i = 0; i < 3 * sizeof packets / sizeof *packets; i++) {
        const char *words = packets[i % (sizeof packets / sizeof *packets)];
        struct bytes one = {0};
        assert_int_equal(script_packet_expand(words, &vars, &one), 0);
        bytes_add(&all, one.p, one.n);
        fake_feed(quick.conn, one.p, one.n);
        ways[first_request(&quick)->path]++;
        fake_feed(handler.conn, one.p, one.n);
        same_output(&quick, &handler, words);
        bytes_free(&one);
    }
    fake_feed(piece.conn, all.p, all.n);
    same_output(&quick, &piece, "all packets");
    same_counts(&quick, &piece);
    same_counts(&quick, &handler);
    assert_int_equal(ways[CMD_PATH_GETS], 3 * 15);
    assert_int_equal(ways[CMD_PATH_SETS], 3 * 6);
    bytes_free(&all);
    fake_node_free(quick.node);
    fake_node_free(handler.node);
    fake_node_free(piece.node);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_answers), cmocka_unit_test(test_one_piece), cmocka_unit_test(test_large_values),
        cmocka_unit_test(test_random_lines), cmocka_unit_test(test_packets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
