/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What packets are answered when the memory is full and nothing may be evicted (-M): status 0x82, and memcached's
 * words. Packets are written as in transcripts (tests/wire/README.md). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/binary.h"
#include "tests/fuzz/fake_net.h"
#include "tests/wire/script_packet.h"

/* Sends a packet; the answer, of so many bytes. */
static const char *ask(struct conn *c, const char *words, size_t *n) {
    static const struct script_vars none;
    struct bytes b = {0};
    fake_clear(c);
    assert_int_equal(script_packet_expand(words, &none, &b), 0);
    fake_feed(c, b.p, b.n);
    bytes_free(&b);
    return fake_output(c, n);
}

static void expect(struct conn *c, const char *request, const char *answer) {
    struct script_vars vars = {0};
    size_t n;
    const char *got = ask(c, request, &n);
    if (n == 0 || script_packet_length(got, n) != n || !script_packet_match(answer, got, &vars))
        fail_msg("%s: not %s", request, answer);
}

/* Stores values under keys of their own until one is refused. */
static void fill(struct conn *c, const char *name, unsigned size) {
    size_t n = 0;
    for (unsigned i = 0; n == 0; i++) {
        char words[64];
        assert_true(i < 1000000);
        snprintf(words, sizeof words, "setq k=%s%u v=\\{x*%u}", name, i, size);
        ask(c, words, &n);
    }
}

static void test_full(void **state) {
    struct fake_node *f = fake_node_new(&(struct fake_options){.no_evict = true});
    struct conn *c = fake_open(f);
    (void)state;
    expect(c, "set k=here v=abc", "set cas=\\?");
    expect(c, "increment k=n i=9", "increment n=9 cas=\\?");
    fill(c, "large", 2000);
    fill(c, "small", 1);
    expect(c, "add k=no v=\\{x*100}", "add NO_MEMORY v=Out\\sof\\smemory\\sallocating\\sitem");
    expect(c, "replaceq k=here v=\\{x*100}", "replaceq NO_MEMORY v=Out\\sof\\smemory\\sallocating\\sitem");
    expect(c, "appendq k=here v=\\{x*100}", "appendq NO_MEMORY v=Out\\sof\\smemory\\sallocating\\sitem");
    expect(c, "prepend k=here v=\\{x*100}", "prepend NO_MEMORY v=Out\\sof\\smemory\\sallocating\\sitem");
    expect(c, "incrementq k=n d=18446744073709551600",
           "incrementq NO_MEMORY v=Out\\sof\\smemory\\sincrementing\\svalue");
    expect(c, "increment k=\\{k*200} i=1", "increment NO_MEMORY v=Out\\sof\\smemory\\sallocating\\snew\\sitem");
    expect(c, "get k=n", "get f=0 v=9 cas=\\?");
    expect(c, "get k=here", "get f=0 v=abc cas=\\?");
    /* A set that is refused leaves nothing old behind. */
    expect(c, "setq k=here v=\\{x*100}", "setq NO_MEMORY v=Out\\sof\\smemory\\sallocating\\sitem");
    expect(c, "get k=here", "get NOT_FOUND");
    fake_node_free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_full)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
