/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Clients of the binary protocol whose packets claim more than they send, or who do not read what they are answered:
 * what is held for each is bounded, and the others are served. Packets are written as in transcripts
 * (tests/wire/README.md). */
#include <stdint.h>

#include "base/sync.h"
#include "proto/binary.h"
#include "slow.h"
#include "talk.h"
#include "tests/wire/script_packet.h"

#define CLIENTS 64
#define MIB (1u << 20)

/* Appends a packet n times. */
static void add(struct bytes *b, const char *words, unsigned n) {
    static const struct script_vars none;
    for (unsigned i = 0; i < n; i++) assert_int_equal(script_packet_expand(words, &none, b), 0);
}

/* Pages of the process that are in memory, in bytes. */
static uint64_t resident(void) {
    unsigned long all, here;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lu %lu", &all, &here), 2);
    fclose(f);
    return (uint64_t)here * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Bytes that connections hold, of whatever kind (server/net/README.md). */
static uint64_t held(int fd) {
    char *text = talk_ask(fd, "stats\r\n", "END\r\n");
    const char *name = "STAT read_buf_bytes ", *at = strstr(text, name);
    assert_non_null(at);
    const uint64_t n = strtoull(at + strlen(name), NULL, 10);
    free(text);
    return n;
}

/* That many clients send this, as much of it as is taken, and do nothing more. All together hold no more than `most`,
 * the process no more than that above what it did. */
static void stall(const char *two_sets, const struct bytes *b, uint64_t most) {
    struct subject *p = talk_node("-m 64 -t 2");
    int fd = talk_open(p), fds[CLIENTS];
    if (two_sets != NULL) talk_expect(fd, two_sets, "STORED\r\nSTORED\r\n");
    const uint64_t before = resident();
    for (unsigned i = 0; i < CLIENTS; i++) {
        fds[i] = talk_open(p);
        for (size_t at = 0; at < b->n;) {
            const ssize_t k = send(fds[i], b->p + at, b->n - at, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (k <= 0) break;
            at += (size_t)k;
        }
    }
    for (unsigned i = 0; i < 3; i++) assert_true(held(fd) <= most);
#if !TEST_SLOW && !defined(SYNC_TSAN)
    assert_true(resident() <= before + most);
#else
    (void)before; /* sanitizers have memory of their own */
#endif
    talk_expect(fd, "mn\r\n", "MN\r\n");
    for (unsigned i = 0; i < CLIENTS; i++) close(fds[i]);
    close(fd);
    subject_stop(p);
}

static void claims_cost_what_was_sent(void **state) {
    static const char *const claims[] = {
        "set k=k v=x body=4294967295",
        "set k=k v=x body=1073741824",
        "appendq k=k v=x body=1073741824",
        "0x40 body=1073741824",
        "0x40 body=4294967295",
        "get k=k body=4294967295",
        "get k=k keylen=65535 body=65535",
        "set k=k v=x keylen=65535 body=1073741824",
        "stat k=k keylen=250 body=1073741824",
        "sasl_auth k=PLAIN body=1073741824",
        "increment k=k keylen=65535 body=65555",
    };
    char *x = malloc(MIB);
    (void)state;
    assert_non_null(x);
    memset(x, 'x', MIB);
    for (unsigned i = 0; i < sizeof claims / sizeof *claims; i++) {
        struct bytes b = {0};
        add(&b, claims[i], 1);
        bytes_add(&b, x, 60000); /* a key is waited for, and not above 64 KiB */
        if (binary_u32(b.p + 8) > MIB) bytes_add(&b, x, MIB - 60000);
        stall(NULL, &b, CLIENTS * 80 * 1024);
        bytes_free(&b);
    }
    free(x);
}

static void answers_that_nobody_reads_are_bounded(void **state) {
    static const char *const asked[] = {
        "addq k=there v=x", "getk k=\\{k*250}",   "getkq k=there", "getkq k=large", "stat", "0x40",
        "sasl_list",        "incrementq k=there",
    };
    char *set = malloc(1000000);
    (void)state;
    assert_non_null(set);
    memset(set, 'v', 1000000);
    const int head = sprintf(set, "set there 0 0 3\r\nabc\r\nset large 0 0 900000\r\n");
    set[head] = 'v';
    memcpy(set + head + 900000, "\r\n", 3);
    for (unsigned i = 0; i < sizeof asked / sizeof *asked; i++) {
        struct bytes b = {0};
        add(&b, asked[i], 10000);
        stall(set, &b, 16 * MIB);
        bytes_free(&b);
    }
    free(set);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(claims_cost_what_was_sent),
        cmocka_unit_test(answers_that_nobody_reads_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
