/* SPDX-License-Identifier: BSD-3-Clause
 *
 * With -Y, -S or both no command of either protocol runs on a connection before its login: every text command and every
 * opcode is tried on a connection of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cmd/cmd_table.h"
#include "proto/binary.h"
#include "tests/fuzz/fake_net.h"

static char users[] = "/tmp/tagcached-users-XXXXXX";

static int write_users(void **state) {
    (void)state;
    const int fd = mkstemp(users);
    const bool good = fd >= 0 && write(fd, "ann:secret\n", 11) == 11;
    return close(fd) == 0 && good ? 0 : -1;
}

static int remove_users(void **state) {
    (void)state;
    return unlink(users);
}

/* A packet of the opcode as it should be, about key k. Returns its length. */
static size_t packet(char *p, unsigned opcode) {
    const struct binary_row *row = &binary_rows[opcode];
    const unsigned key = row->key != BINARY_KEY_NONE, value = row->value;
    memset(p, 0, BINARY_HEADER + 64);
    p[0] = (char)0x80;
    p[1] = (char)opcode;
    p[3] = (char)key;
    p[4] = (char)row->extras;
    p[11] = (char)(row->extras + key + value);
    if (key) p[BINARY_HEADER + row->extras] = 'k';
    if (value) p[BINARY_HEADER + row->extras + key] = '1';
    return BINARY_HEADER + row->extras + key + value;
}

/* Nobody has logged in: the item that there is stays as it is, and nothing else is there. */
static void check_untouched(struct fake_node *f) {
    struct store_worker *w = store_worker(f->store, 0);
    const struct store_key k = store_key(f->store, "k", 1);
    struct store_gauges g;
    struct store_item it;
    store_enter(w);
    assert_true(store_peek(w, &k, &it));
    assert_int_equal(it.size, 1);
    assert_int_equal(it.value[0], '5');
    assert_int_equal(it.expiry, 0);
    store_leave(w);
    store_gauges(f->store, &g);
    assert_int_equal(g.items, 1);
}

/* The answer to an opcode of a stranger. */
static void check_opcode(struct fake_node *f, unsigned opcode, bool sasl) {
    char p[BINARY_HEADER + 64];
    size_t n;
    struct conn *c = fake_open(f);
    fake_feed(c, p, packet(p, opcode));
    const char *got = fake_output(c, &n);
    const bool told = sasl && (opcode == BINARY_version || opcode == BINARY_sasl_list),
               login = sasl && (opcode == BINARY_sasl_auth || opcode == BINARY_sasl_step);
    const unsigned status = told ? BINARY_OK : BINARY_AUTH_FAILED;
    assert_true(n >= BINARY_HEADER);
    assert_int_equal((uint8_t)got[1], opcode);
    assert_int_equal((uint8_t)got[7], status);
    assert_int_equal(n, BINARY_HEADER + binary_u32(got + 8));
    assert_int_equal(fake_closed(c), !told && !login);
    fake_close(c);
}

/* The answer to a text command of a stranger. */
static void check_command(struct fake_node *f, const struct cmd_row *row, bool refused) {
    static const char unauthenticated[] = "CLIENT_ERROR unauthenticated\r\n",
                      wrong[] = "CLIENT_ERROR bad authentication token format\r\n";
    char line[96];
    size_t n;
    struct conn *c = fake_open(f);
    if (row->class == CMD_CLASS_STORE)
        snprintf(line, sizeof line, "%s k 0 0 1 1\r\n1\r\n%24s", row->name, "");
    else
        snprintf(line, sizeof line, "%s k 1%s%24s", row->name, row->class == CMD_CLASS_MSET ? "\r\n1\r\n" : "\r\n", "");
    const size_t sent = refused ? strlen(line) : (size_t)(strrchr(line, '\n') + 1 - line); /* enough for a header */
    fake_feed(c, line, sent);
    const char *got = fake_output(c, &n);
    if (refused) {
        assert_int_equal(n, 0);
        assert_true(fake_closed(c));
    } else {
        const char *want = row->id == CMD_ID_set ? wrong : unauthenticated;
        assert_int_equal(n, strlen(want));
        assert_memory_equal(got, want, n);
    }
    fake_close(c);
}

static void try_all(const char *auth_file, bool sasl) {
    struct fake_node *f = fake_node_new(&(struct fake_options){.auth_file = auth_file, .sasl = sasl});
    struct store_worker *w = store_worker(f->store, 0);
    const struct store_key k = store_key(f->store, "k", 1);
    store_enter(w);
    assert_int_equal(store_set(w, &k, "5", 1, 0, 0, 0, NULL), STORE_OK);
    store_leave(w);
    for (unsigned i = 0; i < 256; i++) check_opcode(f, i, sasl);
    for (unsigned i = 0; i < CMD_IDS; i++) check_command(f, &cmd_rows[i], auth_file == NULL);
    check_untouched(f);
    assert_int_equal(f->shutdowns, 0);
    fake_node_free(f);
}

static void test_passwords(void **state) {
    (void)state;
    try_all(users, false);
}

static void test_sasl(void **state) {
    (void)state;
    try_all(users, true);
}

static void test_sasl_alone(void **state) {
    (void)state;
    try_all(NULL, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_passwords),
        cmocka_unit_test(test_sasl),
        cmocka_unit_test(test_sasl_alone),
    };
    return cmocka_run_group_tests(tests, write_users, remove_users);
}
