/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Options whose effect cannot be seen from outside: a node is made of a command line, and looked into. */
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/fault.h"
#include "net/net.h"
#include "node_lab.h"
#include "store/store.h"

#define SECOND_NS 1000000000ull
#define STEP_NS 2000000ull /* what a step of the sweeper takes in the test */

/* ------------------------------------------------------------------ --sweep-cpu */

static struct clock_manual *swept_by;

/* A step takes STEP_NS, of the thread's CPU and of the node's clock. */
static bool step_takes_long(const char *point) {
    struct timespec now, begun;
    if (strcmp(point, "sweep.stepped") != 0) return false;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begun);
    do clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    while ((uint64_t)(now.tv_sec - begun.tv_sec) * SECOND_NS + (uint64_t)now.tv_nsec - (uint64_t)begun.tv_nsec <
           STEP_NS);
    clock_manual_advance(swept_by, STEP_NS);
    return false;
}

static void put_dead(struct store *s, unsigned worker, const char *key) {
    struct store_put p = {.value = "x", .size = 1};
    struct store_worker *w = store_worker(s, worker);
    store_enter(w);
    p.key = store_key(s, key, strlen(key));
    p.expiry = store_expiry(w, 1);
    assert_int_equal(store_put(w, &p, NULL), STORE_OK);
    store_leave(w);
}

static uint64_t swept(struct store *s) {
    for (int i = 0; i < 100; i++) store_maintain(s);
    return store_metric(s, STORE_METRIC_expired);
}

/* Two dead items of two workers, so in two segments: the second step comes when the first one's time is a share of
 * `percent` of what has passed; not before, and not much later. */
static void sweeps_at(const char *option, unsigned percent) {
    struct node_lab u;
    node_lab_make(&u, "-s", node_lab_file("sock"), "-t2", option, NULL);
    struct store *s = node_store(u.node);
    put_dead(s, 0, "a");
    put_dead(s, 1, "b");
    clock_manual_advance(&u.clock, 5 * SECOND_NS);
    const uint64_t begun = clock_boot_ns(&u.clock.clock), due = begun + STEP_NS * 100 / percent;
    swept_by = &u.clock;
    fault_hook = step_takes_long;
    assert_int_equal(swept(s), 1);
    clock_manual_advance(&u.clock, due - 1 - clock_boot_ns(&u.clock.clock));
    assert_int_equal(swept(s), 1);
    clock_manual_advance(&u.clock, due - begun);
    assert_int_equal(swept(s), 2);
    fault_hook = NULL;
    node_lab_end(&u);
}

static void sweep_cpu(void **state) {
    (void)state;
    sweeps_at("--sweep-cpu=20", 20);
    sweeps_at("--sweep-cpu=1", 1);
}

/* ------------------------------------------------------------------ -R */

enum { ITEMS = 6000 }; /* a few batches of a dump */

/* How often a connection that dumps all keys has let the others go first. */
static uint64_t turns(const char *option, const char *value) {
    struct node_lab u;
    node_lab_make(&u, "-s", node_lab_file("sock"), "-t1", option, value);
    assert_int_equal(node_start(u.node), 0);
    int fd = node_lab_dial_unix();
    FILE *f = fdopen(dup(fd), "w");
    for (int i = 0; i < ITEMS; i++) fprintf(f, "set k%d 0 0 1 noreply\r\nx\r\n", i);
    fprintf(f, "lru_crawler metadump all\r\n");
    fclose(f);
    node_lab_hear(fd, "END\r\n");
    uint64_t n = net_metric(node_net(u.node), NET_METRIC_turns_given);
    close(fd);
    node_lab_end(&u);
    return n;
}

static void batches_per_event(void **state) {
    (void)state;
    assert_true(turns("-R", "1") > 0);
    assert_int_equal(turns(NULL, NULL), 0);
}

/* ------------------------------------------------------------------ ssl_kernel_tls */

static const char pem[] = "-----BEGIN PRIVATE KEY-----\n"
                          "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgAGcaafF2SdV/lUSX\n"
                          "U3Pk200v84DFGA5FFfL3iUSrXC+hRANCAAS0nhWYxH7hu3KLzFKaYCkzWac7wv9y\n"
                          "9KwjmyNe5JD9QQlIrw/817KXppB6ICC+U5uJ5SEINDb0718m+Sy8qORH\n"
                          "-----END PRIVATE KEY-----\n"
                          "-----BEGIN CERTIFICATE-----\n"
                          "MIIBiTCCAS+gAwIBAgIUbnL4Efs0SzdVMBEKMZWXLS4/hZ0wCgYIKoZIzj0EAwIw\n"
                          "GTEXMBUGA1UEAwwOdGFnY2FjaGVkLXRlc3QwIBcNMjYxMTI3MDAyOTM3WhgPMjEy\n"
                          "NjExMDMwMDI5MzdaMBkxFzAVBgNVBAMMDnRhZ2NhY2hlZC10ZXN0MFkwEwYHKoZI\n"
                          "zj0CAQYIKoZIzj0DAQcDQgAEtJ4VmMR+4btyi8xSmmApM1mnO8L/cvSsI5sjXuSQ\n"
                          "/UEJSK8P/Neyl6aQeiAgvlObieUhCDQ29O9fJvksvKjkR6NTMFEwHQYDVR0OBBYE\n"
                          "FE1+CL9vuEpqS8oQWiZHUY9UVlM+MB8GA1UdIwQYMBaAFE1+CL9vuEpqS8oQWiZH\n"
                          "UY9UVlM+MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIhALjbjNxH\n"
                          "enkVDKvQHF6gILWf//8JYFFAa1QJ2h6i7ZZnAiBe24+Jpo8OgMEoUd0Je7ZpKBv6\n"
                          "bJhYFVqAm0MrcLJVuQ==\n"
                          "-----END CERTIFICATE-----\n";

static int kernel_tls_asked; /* how often OpenSSL handed a connection's keys to the kernel, or tried to */

/* In place of the C library's, in this program and the libraries it uses: this kernel may know no TLS, and that it is
 * asked is enough. */
int setsockopt(int fd, int level, int name, const void *value, socklen_t size) {
    enum { SOL_OF_TLS = 282 };
    if (level == SOL_OF_TLS) __atomic_add_fetch(&kernel_tls_asked, 1, __ATOMIC_SEQ_CST);
    return (int)syscall(SYS_setsockopt, fd, level, name, value, size);
}

/* Has one conversation over TLS; how often the kernel was asked to encrypt. */
static int asked(const char *words) {
    struct node_lab u;
    char got[4], options[256];
    snprintf(options, sizeof options, "ssl_chain_cert=%s%s", node_lab_file("pem"), words);
    kernel_tls_asked = 0;
    node_lab_make(&u, "-l", "127.0.0.1:0", "-Z", "-o", options);
    assert_int_equal(node_start(u.node), 0);
    int fd = node_lab_dial_tcp(&u);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    assert_int_equal(SSL_connect(ssl), 1);
    assert_int_equal(SSL_write(ssl, "mn\r\n", 4), 4);
    assert_int_equal(SSL_read(ssl, got, 4), 4);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
    node_lab_end(&u);
    return kernel_tls_asked;
}

static void ssl_kernel_tls(void **state) {
    (void)state;
    assert_int_equal(asked(""), 0);
    assert_true(asked(",ssl_kernel_tls") > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sweep_cpu),
        cmocka_unit_test(batches_per_event),
        cmocka_unit_test(ssl_kernel_tls),
    };
    node_lab_begin();
    FILE *f = fopen(node_lab_file("pem"), "w");
    CHECK(f != NULL && fputs(pem, f) >= 0 && fclose(f) == 0);
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(node_lab_file("pem"));
    node_lab_clean();
    return r;
}
