/* SPDX-License-Identifier: BSD-3-Clause
 *
 * How long things live, to the millisecond: whatever part of a second has passed when a command gives something n
 * seconds, it lives n seconds at least and n + 1 at most; a softly purged one lives n at most. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cmd/session.h"
#include "tests/fuzz/fake_net.h"

#define SECOND 1000000000ull
#define MS 1000000ull

static const uint64_t phases[] = {0, 10 * MS, 500 * MS, 990 * MS};
static const unsigned ttls[] = {1, 2, 60};

/* Every command that takes an exptime, here %lld. */
static const struct {
    const char *before, *request;
} commands[] = {
    {"", "set k 0 %lld 1\r\nx\r\n"},
    {"", "set k 0 %lld 1 noreply\r\nx\r\n"},
    {"", "add k 0 %lld 1\r\nx\r\n"},
    {"set k 0 0 1\r\ny\r\n", "replace k 0 %lld 1\r\nx\r\n"},
    {"ms k 1 E77\r\ny\r\n", "cas k 0 %lld 1 77\r\nx\r\n"},
    {"set k 0 0 1\r\ny\r\n", "touch k %lld\r\n"},
    {"set k 0 9 1\r\ny\r\n", "touch k %lld\r\n"},
    {"set k 0 0 1\r\ny\r\n", "gat %lld k\r\n"},
    {"set k 0 0 1\r\ny\r\n", "gats %lld k\r\n"},
    {"", "ms k 1 T%lld\r\nx\r\n"},
    {"", "ms k 1 ME T%lld\r\nx\r\n"},
    {"", "ms k 1 MA N%lld\r\nx\r\n"},
    {"", "ms k 1 MP N%lld Ga\r\nx\r\n"},
    {"", "mg k N%lld\r\n"},
    {"set k 0 0 1\r\ny\r\n", "mg k T%lld\r\n"},
    {"", "ma k N%lld\r\n"},
    {"set k 0 0 1\r\n1\r\n", "ma k T%lld\r\n"},
    {"set k 0 0 1\r\n1\r\n", "md k I T%lld\r\n"},
    {"set k 0 0 1\r\n1\r\n", "md k x T%lld\r\n"},
};
#define COMMANDS (sizeof commands / sizeof commands[0])

static const char *ask(struct conn *c, const char *request) {
    static char copy[512];
    size_t n;
    fake_clear(c);
    fake_feed(c, request, strlen(request));
    const char *out = fake_output(c, &n);
    if (n >= sizeof copy) n = sizeof copy - 1;
    memcpy(copy, out, n);
    copy[n] = '\0';
    return copy;
}

/* Moves the clock on to this part of the next second. */
static void begin_at(struct fake_node *f, uint64_t phase) {
    clock_manual_advance(&f->clock, SECOND - f->clock.boot_ns % SECOND + phase);
}

/* One command at one moment; `unix_time`: the same moment is said in that way. */
static void live_and_die(struct fake_node *f, struct conn *c, unsigned i, unsigned ttl, bool unix_time) {
    char request[128], shown[16];
    const uint64_t born = f->clock.boot_ns;
    (void)ask(c, "delete k\r\n");
    (void)ask(c, commands[i].before);
    snprintf(request, sizeof request, commands[i].request, (long long)ttl + (unix_time ? f->clock.wall_s : 0));
    (void)ask(c, request);
    snprintf(shown, sizeof shown, " t%u", ttl);
    if (strstr(ask(c, "mg k t\r\n"), shown) == NULL) fail_msg("%s: no%s", request, shown);
    clock_manual_advance(&f->clock, ttl * SECOND - MS);
    if (memcmp(ask(c, "mg k\r\n"), "HD", 2) != 0) fail_msg("%s: dead too early", request);
    clock_manual_advance(&f->clock, born + (ttl + 1) * SECOND - f->clock.boot_ns);
    if (memcmp(ask(c, "mg k\r\n"), "EN", 2) != 0) fail_msg("%s: alive too long", request);
}

static void test_every_command_gives_at_least_what_it_says(void **state) {
    (void)state;
    struct fake_node *f = fake_node_new(&(struct fake_options){0});
    struct conn *c = fake_open(f);
    for (unsigned i = 0; i < COMMANDS; i++)
        for (unsigned p = 0; p < 4; p++)
            for (unsigned t = 0; t < 3; t++)
                for (unsigned u = 0; u < 2; u++) {
                    begin_at(f, phases[p]);
                    live_and_die(f, c, i, ttls[t], u);
                }
    fake_node_free(f);
}

/* What a lock is: add with a second to live. The second one to come gets it a second later at the earliest. */
static void test_a_lock_holds(void **state) {
    (void)state;
    struct fake_node *f = fake_node_new(&(struct fake_options){0});
    struct conn *c = fake_open(f);
    begin_at(f, 999 * MS);
    assert_string_equal(ask(c, "add lock 0 1 1\r\na\r\n"), "STORED\r\n");
    clock_manual_advance(&f->clock, 2 * MS); /* another second of the clock */
    assert_string_equal(ask(c, "add lock 0 1 1\r\nb\r\n"), "NOT_STORED\r\n");
    clock_manual_advance(&f->clock, SECOND);
    assert_string_equal(ask(c, "add lock 0 1 1\r\nb\r\n"), "STORED\r\n");
    fake_node_free(f);
}

/* A delayed flush takes effect no sooner than it was asked for, and no more than a second later. */
static void test_a_flush_waits(void **state) {
    (void)state;
    struct fake_node *f = fake_node_new(&(struct fake_options){0});
    struct conn *c = fake_open(f);
    for (unsigned p = 0; p < 4; p++)
        for (unsigned t = 0; t < 3; t++) {
            char request[32];
            begin_at(f, phases[p]);
            (void)ask(c, "set k 0 0 1\r\nx\r\n");
            snprintf(request, sizeof request, "flush_all %u\r\n", ttls[t]);
            assert_string_equal(ask(c, request), "OK\r\n");
            clock_manual_advance(&f->clock, ttls[t] * SECOND - MS);
            assert_string_equal(ask(c, "mg k\r\n"), "HD\r\n");
            clock_manual_advance(&f->clock, SECOND + MS);
            assert_string_equal(ask(c, "mg k\r\n"), "EN\r\n");
        }
    fake_node_free(f);
}

/* How long a stale copy may still be served is a bound above: it is never stretched. */
static void test_a_stale_copy_is_not_served_longer(void **state) {
    (void)state;
    struct fake_node *f = fake_node_new(&(struct fake_options){0});
    struct conn *c = fake_open(f);
    for (unsigned p = 0; p < 4; p++) {
        begin_at(f, phases[p]);
        (void)ask(c, "ms k 1 Ga T600\r\nx\r\n");
        assert_string_equal(ask(c, "mp a I T5\r\n"), "HD\r\n");
        clock_manual_advance(&f->clock, 4 * SECOND);
        assert_string_equal(ask(c, "mg k\r\n"), "HD X W\r\n");
        clock_manual_advance(&f->clock, SECOND);
        assert_string_equal(ask(c, "mg k\r\n"), "EN\r\n");
        (void)ask(c, "mp a\r\n");
    }
    fake_node_free(f);
}

/* R compares with what t shows. */
static void test_recache_agrees_with_what_is_shown(void **state) {
    (void)state;
    struct fake_node *f = fake_node_new(&(struct fake_options){0});
    struct conn *c = fake_open(f);
    for (unsigned p = 0; p < 4; p++) {
        begin_at(f, phases[p]);
        (void)ask(c, "set k 0 30 1\r\nx\r\n");
        assert_string_equal(ask(c, "mg k t R30\r\n"), "HD t30\r\n");
        assert_string_equal(ask(c, "mg k t R31\r\n"), "HD t30 W\r\n");
    }
    fake_node_free(f);
}

/* What a worker does in one round of its loop goes by one reading of the clock, but for 64 requests at most. */
static void a_round_reads_the_clock_again(void **state) {
    struct fake_node *f = fake_node_new(&(struct fake_options){0});
    struct conn *c = fake_open(f);
    unsigned n = 0;
    (void)state;
    f->one_round = true;
    (void)ask(c, "set k 0 1 1\r\nx\r\n");
    clock_manual_advance(&f->clock, 2 * SECOND);
    while (n < 100 && memcmp(ask(c, "mg k\r\n"), "HD", 2) == 0) n++;
    assert_in_range(n, 1, 63);
    f->one_round = false;
    (void)ask(c, "mn\r\n");
    fake_close(c);
    fake_node_free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_round_reads_the_clock_again),
        cmocka_unit_test(test_every_command_gives_at_least_what_it_says),
        cmocka_unit_test(test_a_lock_holds),
        cmocka_unit_test(test_a_flush_waits),
        cmocka_unit_test(test_a_stale_copy_is_not_served_longer),
        cmocka_unit_test(test_recache_agrees_with_what_is_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
