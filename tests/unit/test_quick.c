/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The quick paths of mg and ms answer, count and change what the handlers do. A second blank behind the command's name
 * makes any line one for its handler: so each conversation is held twice, and once more in one piece. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cmd/session.h"
#include "tests/fuzz/fake_net.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_answers),
        cmocka_unit_test(test_one_piece),
        cmocka_unit_test(test_large_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
