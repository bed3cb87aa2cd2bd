/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What is answered while leases of this node have ended: every command on a tagged item and on one without tags, as a
 * table. The clock stands still; the ends move. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/lease_ends.h"
#include "tests/fuzz/fake_net.h"

#define NO_LEASE "SERVER_ERROR no lease\r\n"

static struct lease_ends ends;
static const struct cmd_cluster cluster = {.leases = &ends};

static struct fake_node *begin(char prefix_delimiter) {
    struct fake_node *f = fake_node_new(&(struct fake_options){.prefix_delimiter = prefix_delimiter});
    assert_non_null(f);
    ends = (struct lease_ends){LEASE_ENDLESS, LEASE_ENDLESS};
    cmd_set_cluster(f->cmd, &cluster);
    return f;
}

/* Sends bytes to a fresh connection; what it answers. */
static const char *ask(struct fake_node *f, const char *bytes) {
    static char text[4096];
    size_t n;
    struct conn *c = fake_open(f);
    fake_feed(c, bytes, strlen(bytes));
    const char *out = fake_output(c, &n);
    assert_true(n < sizeof text && !fake_closed(c));
    memcpy(text, out, n);
    text[n] = 0;
    fake_close(c);
    return text;
}

static void expect(struct fake_node *f, const char *request, const char *answer) {
    const char *got = ask(f, request);
    if (strcmp(got, answer) != 0) fail_msg("%s is answered %s instead of %s", request, got, answer);
}

static void fill(struct fake_node *f) {
    ends = (struct lease_ends){LEASE_ENDLESS, LEASE_ENDLESS};
    expect(f, "set plain 0 0 1\r\n5\r\nms tagged 1 Gt\r\n6\r\n", "STORED\r\nHD\r\n");
}

struct row {
    const char *request;               /* %s: the key */
    const char *plain, *tagged, *none; /* without the tag lease, of either; without the serve lease */
};

/* plain is "5", tagged is "6"; both are stored anew for each row. */
static const struct row rows[] = {
    {"get %s\r\n", "VALUE plain 0 1\r\n5\r\nEND\r\n", "END\r\n", "END\r\n"},
    {"get %s no %s\r\n", "VALUE plain 0 1\r\n5\r\nVALUE plain 0 1\r\n5\r\nEND\r\n", "END\r\n", "END\r\n"},
    {"gat 99 %s\r\n", "VALUE plain 0 1\r\n5\r\nEND\r\n", "END\r\n", "END\r\n"},
    {"touch %s 99\r\n", "TOUCHED\r\n", "NOT_FOUND\r\n", "NOT_FOUND\r\n"},
    {"mg %s v\r\n", "VA 1\r\n5\r\n", "EN\r\n", "EN\r\n"},
    {"mg %s v q\r\nmn\r\n", "VA 1\r\n5\r\nMN\r\n", "MN\r\n", "MN\r\n"},
    {"mg %s s T99\r\n", "HD s1\r\n", "EN\r\n", "EN\r\n"},
    {"mg %s v R30\r\n", "VA 1\r\n5\r\n", "EN\r\n", "EN\r\n"},
    {"mg %s v Lr=other\r\n", "EN\r\n", "EN\r\n", "EN\r\n"}, /* the reader names tags */
    {"incr %s 1\r\n", "6\r\n", "NOT_FOUND\r\n", NO_LEASE},
    {"decr %s 1\r\n", "4\r\n", "NOT_FOUND\r\n", NO_LEASE},
    {"ma %s v\r\n", "VA 1\r\n6\r\n", "NF\r\n", NO_LEASE},
    {"delete %s\r\n", "DELETED\r\n", "DELETED\r\n", NO_LEASE},
    {"md %s\r\n", "HD\r\n", "HD\r\n", NO_LEASE},
    {"set %s 0 0 1\r\n7\r\n", "STORED\r\n", "STORED\r\n", NO_LEASE},
    {"set %s 0 0 1 noreply\r\n7\r\nmn\r\n", "MN\r\n", "MN\r\n", "MN\r\n"},
    {"append %s 0 0 1\r\n7\r\n", "STORED\r\n", "STORED\r\n", NO_LEASE},
    {"ms %s 1\r\n7\r\n", "HD\r\n", "HD\r\n", NO_LEASE},
    {"tag_add x %s\r\n", "TAG_STORED\r\n", "TAG_STORED\r\n", NO_LEASE},
};

static void test_every_command_without_a_lease(void **state) {
    struct fake_node *f = begin(0);
    char request[256];
    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        for (unsigned tagged = 0; tagged < 2; tagged++) {
            const char *key = tagged ? "tagged" : "plain";
            snprintf(request, sizeof request, r->request, key, key);
            fill(f);
            const uint64_t now = f->clock.boot_ns;
            ends = (struct lease_ends){now, now + 1}; /* a lease that ends now has ended */
            expect(f, request, tagged ? r->tagged : r->plain);
            fill(f);
            ends = (struct lease_ends){f->clock.boot_ns, f->clock.boot_ns};
            expect(f, request, r->none);
            ends = (struct lease_ends){LEASE_ENDLESS, LEASE_ENDLESS};
            expect(f, tagged ? "get tagged\r\n" : "get plain\r\n", /* nothing was changed by what was refused */
                   tagged ? "VALUE tagged 0 1\r\n6\r\nEND\r\n" : "VALUE plain 0 1\r\n5\r\nEND\r\n");
        }
    }
    fake_node_free(f);
}

static void test_an_arithmetic_that_is_not_shown_is_not_done(void **state) {
    struct fake_node *f = begin(0);
    (void)state;
    fill(f);
    ends.tag_ns = f->clock.boot_ns;
    expect(f, "incr tagged 1\r\nma tagged\r\nma tagged N0 J3 v\r\n", "NOT_FOUND\r\nNF\r\nNF\r\n");
    ends.tag_ns = LEASE_ENDLESS;
    expect(f, "get tagged\r\n", "VALUE tagged 0 1\r\n6\r\nEND\r\n");
    fake_node_free(f);
}

static void test_a_key_with_a_prefix_is_tagged(void **state) {
    struct fake_node *f = begin(':');
    (void)state;
    expect(f, "set a:b 0 0 1\r\n5\r\nset c 0 0 1\r\n6\r\n", "STORED\r\nSTORED\r\n");
    ends.tag_ns = f->clock.boot_ns;
    expect(f, "get a:b c\r\n", "VALUE c 0 1\r\n6\r\nEND\r\n");
    fake_node_free(f);
}

static void test_a_lease_ends_between_two_connections_of_a_round(void **state) {
    struct fake_node *f = begin(0);
    (void)state;
    fill(f);
    ends = (struct lease_ends){f->clock.boot_ns + 1000, LEASE_ENDLESS};
    f->one_round = true;
    expect(f, "get tagged\r\n", "VALUE tagged 0 1\r\n6\r\nEND\r\n");
    clock_manual_advance(&f->clock, 1000);
    expect(f, "get tagged\r\n", "END\r\n"); /* its request may have come after the end */
    f->one_round = false;
    fake_node_free(f);
}

static void test_a_lease_ends_with_the_clock_and_comes_back(void **state) {
    struct fake_node *f = begin(0);
    struct conn *c = fake_open(f);
    size_t n;
    (void)state;
    fill(f);
    ends = (struct lease_ends){f->clock.boot_ns + 1000, LEASE_ENDLESS};
    clock_manual_advance(&f->clock, 999);
    expect(f, "get tagged\r\nmg tagged v\r\n", "VALUE tagged 0 1\r\n6\r\nEND\r\nVA 1\r\n6\r\n");
    /* a connection whose first half of a line came in time */
    fake_feed(c, "get tag", 7);
    clock_manual_advance(&f->clock, 1);
    fake_feed(c, "ged\r\n", 5);
    const char *out = fake_output(c, &n);
    assert_true(n == 5 && memcmp(out, "END\r\n", 5) == 0);
    fake_close(c);
    ends.tag_ns += 1000;
    expect(f, "get tagged\r\n", "VALUE tagged 0 1\r\n6\r\nEND\r\n");
    fake_node_free(f);
}

static void test_a_large_block_is_swallowed(void **state) {
    struct fake_node *f = begin(0);
    const size_t size = 300000;
    char *bytes = malloc(size + 64);
    struct conn *c = fake_open(f);
    size_t n;
    (void)state;
    const size_t head = (size_t)sprintf(bytes, "set big 0 0 %zu\r\n", size);
    memset(bytes + head, 'x', size);
    memcpy(bytes + head + size, "\r\nmn\r\n", 6);
    ends.serve_ns = ends.tag_ns = f->clock.boot_ns; /* from its beginning on */
    fake_feed(c, bytes, head + size + 6);
    const char *out = fake_output(c, &n);
    assert_int_equal(n, strlen(NO_LEASE "MN\r\n"));
    assert_memory_equal(out, NO_LEASE "MN\r\n", n);
    fake_clear(c);
    ends.serve_ns = ends.tag_ns = LEASE_ENDLESS; /* and when it was lost while the bytes came */
    fake_feed(c, bytes, head + size / 2);
    ends.serve_ns = ends.tag_ns = f->clock.boot_ns;
    fake_feed(c, bytes + head + size / 2, size - size / 2 + 6);
    out = fake_output(c, &n);
    assert_int_equal(n, strlen(NO_LEASE "MN\r\n"));
    assert_memory_equal(out, NO_LEASE "MN\r\n", n);
    ends.serve_ns = ends.tag_ns = LEASE_ENDLESS;
    fake_clear(c);
    fake_feed(c, bytes, head + size + 6);
    out = fake_output(c, &n);
    assert_true(n == 12 && memcmp(out, "STORED\r\nMN\r\n", 12) == 0); /* nothing of before is left over */
    fake_close(c);
    free(bytes);
    fake_node_free(f);
}

/* ------------------------------------------------------------------ the binary protocol */

/* Sends a packet to a fresh connection; the status of its answer. */
static unsigned ask_packet(struct fake_node *f, uint8_t opcode, const char *key, unsigned nextras, const char *value) {
    char packet[256] = {(char)0x80, (char)opcode, 0, (char)strlen(key), (char)nextras};
    const size_t nkey = strlen(key), nvalue = strlen(value), body = nextras + nkey + nvalue;
    size_t n;
    struct conn *c = fake_open(f);
    packet[11] = (char)body;
    memcpy(packet + 24 + nextras, key, nkey);
    memcpy(packet + 24 + nextras + nkey, value, nvalue);
    fake_feed(c, packet, 24 + body);
    const unsigned char *out = (const unsigned char *)fake_output(c, &n);
    assert_true(n >= 24 && out[0] == 0x81 && out[1] == opcode && !fake_closed(c));
    const unsigned status = out[6] * 256u + out[7];
    fake_close(c);
    return status;
}

static void test_packets_without_a_lease(void **state) {
    enum { OK = 0, NOT_FOUND = 1, TEMPORARY = 0x86 };
    static const struct {
        uint8_t opcode;
        unsigned nextras;
        const char *value;
        unsigned plain, tagged, none;
    } packets[] = {
        {0x00, 0, "", OK, NOT_FOUND, NOT_FOUND},  /* get */
        {0x1c, 4, "", OK, NOT_FOUND, NOT_FOUND},  /* touch */
        {0x1d, 4, "", OK, NOT_FOUND, NOT_FOUND},  /* gat */
        {0x05, 20, "", OK, NOT_FOUND, TEMPORARY}, /* increment */
        {0x01, 8, "7", OK, OK, TEMPORARY},        /* set */
        {0x0e, 0, "7", OK, OK, TEMPORARY},        /* append */
        {0x04, 0, "", OK, OK, TEMPORARY},         /* delete */
    };
    struct fake_node *f = begin(0);
    (void)state;
    for (unsigned i = 0; i < sizeof packets / sizeof *packets; i++) {
        for (unsigned tagged = 0; tagged < 2; tagged++) {
            const char *key = tagged ? "tagged" : "plain";
            fill(f);
            ends = (struct lease_ends){f->clock.boot_ns, LEASE_ENDLESS};
            assert_int_equal(ask_packet(f, packets[i].opcode, key, packets[i].nextras, packets[i].value),
                             tagged ? packets[i].tagged : packets[i].plain);
            fill(f);
            ends = (struct lease_ends){f->clock.boot_ns, f->clock.boot_ns};
            assert_int_equal(ask_packet(f, packets[i].opcode, key, packets[i].nextras, packets[i].value),
                             packets[i].none);
        }
    }
    fake_node_free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_command_without_a_lease),
        cmocka_unit_test(test_an_arithmetic_that_is_not_shown_is_not_done),
        cmocka_unit_test(test_a_key_with_a_prefix_is_tagged),
        cmocka_unit_test(test_a_lease_ends_between_two_connections_of_a_round),
        cmocka_unit_test(test_a_lease_ends_with_the_clock_and_comes_back),
        cmocka_unit_test(test_a_large_block_is_swallowed),
        cmocka_unit_test(test_packets_without_a_lease),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
