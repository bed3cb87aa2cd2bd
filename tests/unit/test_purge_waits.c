/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Purges that the sweeper has to carry out, or to make room for, over connections in memory: their connection waits,
 * others of the same worker do not, and the answer is the one that would have come at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cmd/session.h"
#include "tests/fuzz/fake_net.h"

/* More tags than the purge table can file as one selector. */
#define TAGS(sep)                                                                                                      \
    "a" sep "b" sep "c" sep "d" sep "e" sep "f" sep "g" sep "h" sep "i" sep "j" sep "k" sep "l" sep "m" sep "n" sep    \
    "o" sep "p" sep "q"
#define WIDE TAGS("+")

static void expect(struct conn *c, const char *answer) {
    size_t n;
    const char *got = fake_output(c, &n);
    if (n != strlen(answer) || (n > 0 && memcmp(got, answer, n) != 0))
        fail_msg("expected: %.400s\nreceived: %.*s", answer, (int)(n > 400 ? 400 : n), n > 0 ? got : "");
    fake_clear(c);
}

static void ask(struct conn *c, const char *request, const char *answer) {
    fake_feed(c, request, strlen(request));
    expect(c, answer);
}

/* ------------------------------------------------------------------ a sweep has to carry it out */

struct verb {
    const char *request, *answer;
};

/* ~ stands for the purge's number. */
static const struct verb verbs[] = {
    {"purge " WIDE "\r\n", "PURGED\r\n"},
    {"purge x " WIDE " y\r\n", "PURGED\r\n"},
    {"purge " WIDE " noreply\r\n", ""},
    {"delete z|#|p=" WIDE "\r\n", "DELETED\r\n"},
    {"delete z|#|p=x," WIDE " noreply\r\n", ""},
    {"incr z|#|p=" WIDE " 1\r\n", "~\r\n"},
    {"incr z|#|p=" WIDE " 1 noreply\r\n", ""},
    {"md z|#|p=" WIDE " k Oabc\r\n", "HD kz|#|p=" WIDE " Oabc\r\n"},
    {"md z|#|p=" WIDE " q\r\n", ""},
    {"ma z|#|p=" WIDE " v O7\r\n", "VA ~ O7\r\n~\r\n"},
    {"ma z|#|p=" WIDE "\r\n", "HD\r\n"},
    {"mp " WIDE " n k Oxyz\r\n", "HD n1/1 k" WIDE " Oxyz\r\n"},
    {"mp x," WIDE ",y s k\r\n", "HD s~ kx," WIDE ",y\r\n"},
    {"mp " WIDE " I T10 q\r\n", ""},
    {"mp " WIDE " w5 n\r\n", "HD n1/1\r\n"},
    {"tag_delete a\r\n", "2 ITEMS_DELETED\r\n"},
    {"tags_delete b c x\r\n", "2 ITEMS_DELETED\r\n"},
    {"tags_delete q noreply\r\n", ""},
};

/* Whether the answer is `want`, whose ~ stands for a number. */
static bool fits(const char *got, size_t n, const char *want) {
    const char *end = got + n;
    for (; *want; want++) {
        if (*want != '~' && (got == end || *got++ != *want)) return false;
        if (*want != '~') continue;
        if (got == end || *got < '1' || *got > '9') return false;
        while (got < end && *got >= '0' && *got <= '9') got++;
    }
    return got == end;
}

static void fill(struct conn *c) {
    ask(c, "ms one 1 G" TAGS(",") "\r\n1\r\nms two 1 G" TAGS(",") ",r\r\n2\r\nms other 1 Gr\r\n3\r\n",
        "HD\r\nHD\r\nHD\r\n");
}

/* The sweeper stands still: the purge waits and what is behind it in its pipeline; the other connection is served. Then
 * the answers come in order, and what the purge names is gone. */
static void waits(const struct verb *v) {
    struct fake_node *f = fake_node_new(&(struct fake_options){0});
    struct conn *c = fake_open(f), *d = fake_open(f);
    char request[1024], answer[1024];
    size_t n;
    fill(c);
    f->held = true;
    snprintf(request, sizeof request, "mn\r\n%smg other v\r\nmn\r\n", v->request);
    ask(c, request, "MN\r\n");
    ask(d, "set k 0 0 1\r\nx\r\nget k\r\npurge r2\r\nmp r3 n\r\n",
        "STORED\r\nVALUE k 0 1\r\nx\r\nEND\r\nPURGED\r\nHD n1/1\r\n");
    worker_resume_all(f->worker); /* as when somebody else gets room: it goes on waiting */
    fake_settle(c);
    expect(c, "");
    f->held = false;
    fake_settle(c);
    snprintf(answer, sizeof answer, "%sVA 1\r\n3\r\nMN\r\n", v->answer);
    const char *got = fake_output(c, &n);
    if (!fits(got, n, answer)) fail_msg("%s\nexpected: %s\nreceived: %.*s", request, answer, (int)n, got);
    ask(d, "get one two other k\r\n", "VALUE other 0 1\r\n3\r\nVALUE k 0 1\r\nx\r\nEND\r\n");
    ask(d, "get one\r\n", "END\r\n");
    fake_node_free(f);
}

static void test_only_its_connection_waits(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) waits(&verbs[i]);
}

static uint64_t metric(struct fake_node *f, enum cmd_metric m) {
    return cmd_metric(f->cmd, m);
}

/* Run twice, counted once. */
static void test_it_counts_once(void **state) {
    (void)state;
    struct fake_node *f = fake_node_new(&(struct fake_options){0});
    struct conn *c = fake_open(f);
    ask(c, "mp " WIDE "\r\nmd z|#|p=" WIDE "\r\nma z|#|p=" WIDE "\r\ntag_delete a\r\n",
        "HD\r\nHD\r\nHD\r\n0 ITEMS_DELETED\r\n");
    assert_int_equal(metric(f, CMD_METRIC_cmd_meta), 3);
    assert_int_equal(metric(f, CMD_METRIC_cmd_purge), 4);
    assert_int_equal(store_metric(f->store, STORE_METRIC_purges), 4);
    fake_node_free(f);
}

/* Several connections wait at the same time, each for its own. */
static void test_many_wait(void **state) {
    (void)state;
    struct fake_node *f = fake_node_new(&(struct fake_options){0});
    struct conn *c[20];
    for (unsigned i = 0; i < 20; i++) c[i] = fake_open(f);
    fill(c[0]);
    ask(c[0], "ms third 1 Gs\r\n3\r\n", "HD\r\n");
    f->held = true;
    for (unsigned i = 0; i < 20; i++) ask(c[i], i % 2 ? "tag_delete s\r\n" : "purge " WIDE "\r\n", "");
    f->held = false;
    for (unsigned i = 0; i < 20; i++) fake_settle(c[i]);
    uint64_t counted = 0;
    for (unsigned i = 0; i < 20; i++) {
        size_t n;
        const char *got = fake_output(c[i], &n);
        if (i % 2 && fits(got, n, "~ ITEMS_DELETED\r\n")) counted++;
        assert_true(fits(got, n, i % 2 ? got[0] == '1' ? "1 ITEMS_DELETED\r\n" : "0 ITEMS_DELETED\r\n" : "PURGED\r\n"));
    }
    assert_int_equal(counted, 1); /* it was deleted once */
    fake_node_free(f);
}

/* The connection ends first: the purge goes on, and nothing is left behind, whichever end comes first. */
static void test_the_connection_ends_first(void **state) {
    (void)state;
    for (unsigned late = 0; late < 3; late++) {
        struct fake_node *f = fake_node_new(&(struct fake_options){0});
        struct conn *c = fake_open(f), *d = fake_open(f);
        fill(d);
        f->held = true;
        ask(c, "purge " WIDE "\r\n", "");
        if (late == 2) { /* the purge has ended, its connection does not know yet */
            f->held = false;
            fake_settle(d);
        }
        fake_close(c);
        if (late == 1) f->held = false; /* else the node ends while it is under way */
        if (late == 1) fake_settle(d);
        if (late > 0) ask(d, "get one two other\r\n", "VALUE other 0 1\r\n3\r\nEND\r\n");
        fake_node_free(f);
    }
}

/* ------------------------------------------------------------------ a sweep has to make room */

#define BURST 20000 /* purges, more than the table of this node holds */

static char *burst(size_t *n) {
    char *requests = malloc(BURST * 16 + 64), *to = requests;
    assert_non_null(requests);
    for (unsigned i = 0; i < BURST; i++) to += sprintf(to, i % 2 ? "mp t%u s\r\n" : "purge t%u\r\n", i);
    *n = (size_t)(to - requests);
    return requests;
}

/* Number and order of what has been answered. */
static unsigned answered(struct conn *c) {
    size_t n;
    const char *got = fake_output(c, &n), *end = got + n;
    unsigned count = 0;
    uint64_t last = 0;
    for (; got < end; count++) {
        if (count % 2 == 0) {
            assert_memory_equal(got, "PURGED\r\n", 8);
            got += 8;
            continue;
        }
        assert_memory_equal(got, "HD s", 4);
        char *rest;
        uint64_t number = strtoull(got + 4, &rest, 10);
        assert_true(number > last);
        last = number;
        got = rest + 2;
    }
    return count;
}

static void test_a_burst_waits_for_room(void **state) {
    (void)state;
    struct fake_node *f = fake_node_new(&(struct fake_options){0});
    struct conn *c = fake_open(f), *d = fake_open(f);
    struct store_gauges g;
    size_t n;
    char line[64];
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(line, sizeof line, "ms k%u 1 Gu%u\r\nx\r\n", i, i);
        ask(d, line, "HD\r\n");
    }
    char *requests = burst(&n);
    f->held = true;
    fake_feed(c, requests, n);
    unsigned before = answered(c);
    store_gauges(f->store, &g);
    assert_true(before < BURST && before > g.purge_capacity * 8 / 10);
    ask(d, "mn\r\nmg k1\r\nset s 0 0 1\r\nx\r\n", "MN\r\nHD\r\nSTORED\r\n");
    worker_resume_all(f->worker);
    fake_settle(c);
    assert_int_equal(answered(c), before);
    f->held = false;
    fake_settle(c);
    assert_int_equal(answered(c), BURST);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(line, sizeof line, "mg k%u\r\n", i);
        ask(d, line, "HD\r\n");
    }
    store_gauges(f->store, &g);
    assert_int_equal(g.purge_floors, 0);
    assert_int_equal(store_metric(f->store, STORE_METRIC_purges) + 0, BURST);
    assert_int_equal(metric(f, CMD_METRIC_cmd_purge), BURST);
    assert_int_equal(metric(f, CMD_METRIC_cmd_meta), BURST / 2 + 2000 + 1);
    free(requests);
    fake_node_free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_its_connection_waits),
        cmocka_unit_test(test_it_counts_once),
        cmocka_unit_test(test_many_wait),
        cmocka_unit_test(test_the_connection_ends_first),
        cmocka_unit_test(test_a_burst_waits_for_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
