/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Names are resolved on another thread, one at a time; numbers need none; a resolver that hangs holds nobody up. */
#include "cluster/dns.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/loop.h"

static struct event_base *base;
static struct dns *dns;
static char said[2000];
static unsigned calls;

static void on_found(void *arg, const char *name, const struct address *found, unsigned n) {
    size_t at = strlen(said);
    assert_ptr_equal(arg, said);
    at += (size_t)snprintf(said + at, sizeof said - at, "%s=", name);
    for (unsigned i = 0; i < n; i++) {
        char text[ADDRESS_TEXT];
        address_text(&found[i], text);
        at += (size_t)snprintf(said + at, sizeof said - at, "%s,", text);
    }
    snprintf(said + at, sizeof said - at, ";");
    calls++;
}

/* The resolver of these tests; it waits where the test holds it. */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static unsigned asked;

static int pretend(const char *host, uint16_t port, struct address out[DNS_ADDRESSES_MAX]) {
    pthread_mutex_lock(&gate);
    asked++;
    pthread_mutex_unlock(&gate);
    if (strcmp(host, "three") == 0) {
        assert_true(address_numeric("10.0.0.1", port, &out[0]));
        assert_true(address_numeric("10.0.0.2", port, &out[1]));
        assert_true(address_numeric("2001:db8::3", port, &out[2]));
        return 3;
    }
    return -ENOENT;
}

static int set_up(void **state) {
    (void)state;
    said[0] = '\0';
    calls = asked = 0;
    base = loop_new();
    return base == NULL ? -1 : dns_new(base, pretend, on_found, said, &dns);
}

static int tear_down(void **state) {
    (void)state;
    dns_free(dns);
    event_base_free(base);
    return 0;
}

static void run_until(unsigned n) {
    while (calls < n) event_base_loop(base, EVLOOP_ONCE);
}

static void test_all_addresses_of_a_name(void **state) {
    (void)state;
    assert_int_equal(dns_ask(dns, "three:5"), 0);
    assert_string_equal(said, "");
    run_until(1);
    assert_string_equal(said, "three:5=10.0.0.1:5,10.0.0.2:5,[2001:db8::3]:5,;");
    assert_int_equal(dns_ask(dns, "nobody:5"), 0);
    run_until(2);
    assert_non_null(strstr(said, ";nobody:5=;"));
}

static void test_numbers_need_no_thread(void **state) {
    (void)state;
    pthread_mutex_lock(&gate);
    assert_int_equal(dns_ask(dns, "three:1"), 0); /* hangs */
    assert_int_equal(dns_ask(dns, "[::1]:9"), 0);
    assert_string_equal(said, ""); /* never from within */
    run_until(1);
    assert_string_equal(said, "[::1]:9=[::1]:9,;");
    pthread_mutex_unlock(&gate);
    run_until(2);
}

static void test_bounds(void **state) {
    (void)state;
    char name[400];
    assert_int_equal(dns_ask(dns, "no-port"), -EINVAL);
    memset(name, 'n', sizeof name);
    strcpy(name + 300, ":1");
    assert_int_equal(dns_ask(dns, name), -EINVAL);
    pthread_mutex_lock(&gate);
    for (unsigned i = 0; i < 256; i++) {
        snprintf(name, sizeof name, "n%u:1", i);
        assert_int_equal(dns_ask(dns, name), 0);
        if (i == 255) assert_int_equal(dns_ask(dns, "more:1"), -ENOSPC);
        if (i == 254) assert_int_equal(dns_ask(dns, "n254:1"), 0); /* waits already: once is enough */
    }
    pthread_mutex_unlock(&gate);
    run_until(256);
    assert_int_equal(asked, 256);
    assert_int_equal(dns_ask(dns, "three:1"), 0);
    run_until(257);
}

static void test_freeing_waits_for_nobody(void **state) {
    (void)state;
    pthread_mutex_lock(&gate);
    assert_int_equal(dns_ask(dns, "three:1"), 0);
    assert_int_equal(dns_ask(dns, "three:2"), 0);
    dns_free(dns); /* the resolver hangs */
    dns = NULL;
    pthread_mutex_unlock(&gate);
    assert_int_equal(calls, 0);
}

/* A machine without hosts(5) may not know it. */
static void test_the_system_knows_localhost(void **state) {
    (void)state;
    struct address found[DNS_ADDRESSES_MAX];
    struct addrinfo *all = NULL;
    const bool known = getaddrinfo("localhost", NULL, NULL, &all) == 0;
    if (known) freeaddrinfo(all);
    int n = dns_system("localhost", 77, found);
    if (known)
        assert_in_range(n, 1, DNS_ADDRESSES_MAX);
    else
        assert_int_equal(n, -ENOENT);
    for (int i = 0; i < n; i++) {
        assert_true(address_is_loopback(&found[i]));
        assert_int_equal(address_port(&found[i]), 77);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_addresses_of_a_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_numbers_need_no_thread, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bounds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_freeing_waits_for_nobody, set_up, tear_down),
        cmocka_unit_test(test_the_system_knows_localhost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
