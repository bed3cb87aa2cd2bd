/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Addresses of nodes as text and as sockets have them; where a node may listen without a key. And the table of nodes.
 */
#include "cluster/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hostport.h"
#include "base/rand.h"
#include "cluster/idmap.h"

static struct address numeric(const char *text) {
    struct hostport at;
    struct address a;
    assert_true(hostport_read(text, &at));
    assert_true(address_numeric(at.host, at.port, &a));
    return a;
}

static void test_numbers(void **state) {
    (void)state;
    static const char *const all[] = {"127.0.0.1:1", "255.255.255.255:65535", "[::1]:2", "[2001:db8::1]:3"};
    for (unsigned i = 0; i < 4; i++) {
        struct address a = numeric(all[i]), b;
        char text[ADDRESS_TEXT];
        address_text(&a, text);
        assert_string_equal(text, all[i]);
        assert_true(address_from(&a.any, a.len, &b));
        assert_true(address_equal(&a, &b));
        assert_false(address_from(&a.any, a.len - 1, &b));
        b = a;
        address_set_port(&b, 9);
        assert_false(address_equal(&a, &b));
        assert_int_equal(address_port(&b), 9);
        for (unsigned j = 0; j < i; j++) {
            struct address other = numeric(all[j]);
            address_set_port(&other, address_port(&a));
            assert_false(address_equal(&a, &other));
        }
    }
    struct address a;
    assert_false(address_numeric("localhost", 1, &a));
    assert_false(address_numeric("", 1, &a));
    char text[ADDRESS_TEXT];
    address_text(&a, text);
    assert_string_equal(text, "nowhere");
}

static void test_where_a_node_may_listen(void **state) {
    (void)state;
    static const char *const inside[] = {"127.0.0.1:1", "127.255.3.4:1", "[::1]:1", "[::ffff:127.0.0.1]:1"};
    static const char *const outside[] = {"0.0.0.0:1", "10.0.0.1:1",  "128.0.0.1:1",
                                          "[::]:1",    "[fe80::1]:1", "[::ffff:10.0.0.1]:1"};
    char err[300];
    for (unsigned flags = 0; flags < 8; flags++) {
        bool key = flags & 1, encrypted = flags & 2, insecure = flags & 4;
        for (unsigned i = 0; i < 4; i++) {
            struct address a = numeric(inside[i]);
            assert_true(address_may_listen(&a, key, encrypted, insecure, err, sizeof err));
        }
        for (unsigned i = 0; i < 6; i++) {
            struct address a = numeric(outside[i]);
            err[0] = '\0';
            assert_int_equal(address_may_listen(&a, key, encrypted, insecure, err, sizeof err),
                             (key && encrypted) || insecure);
            if ((key && encrypted) || insecure) continue;
            assert_non_null(strstr(err, key ? "--cluster-links=plain encrypts nothing" : "tagctl keyring generate"));
            assert_non_null(strstr(err, "--insecure-cluster"));
        }
    }
}

/* Against a plain array, with ids whose hashes are left to chance. */
static void test_the_table_of_nodes(void **state) {
    (void)state;
    enum { N = 300 };
    static int values[N];
    bool in[N] = {0};
    struct idmap m = {.seed = 9};
    struct rand r;
    rand_init(&r, 5);
    struct cluster_id none = {{0xff}};
    assert_null(idmap_get(&m, &none));
    assert_null(idmap_remove(&m, &none));
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = (unsigned)rand_below(&r, N), n = 0, at = 0;
        struct cluster_id id = {{(uint8_t)i, (uint8_t)(i >> 8)}};
        if (rand_below(&r, 2)) {
            assert_int_equal(idmap_put(&m, &id, &values[i]), 0);
            in[i] = true;
        } else {
            assert_ptr_equal(idmap_remove(&m, &id), in[i] ? &values[i] : NULL);
            in[i] = false;
        }
        if (step % 100 != 0) continue;
        for (unsigned j = 0; j < N; j++) {
            struct cluster_id other = {{(uint8_t)j, (uint8_t)(j >> 8)}};
            assert_ptr_equal(idmap_get(&m, &other), in[j] ? &values[j] : NULL);
            n += in[j];
        }
        assert_int_equal(m.n, n);
        for (int *v; (v = idmap_next(&m, &at)) != NULL; n--) assert_true(in[v - values]);
        assert_int_equal(n, 0);
        assert_true(2 * m.n <= m.slots && m.slots <= 1024);
    }
    idmap_fini(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_where_a_node_may_listen),
        cmocka_unit_test(test_the_table_of_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
