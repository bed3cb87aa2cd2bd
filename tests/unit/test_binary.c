/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The codec of the binary protocol: the table, what is wrong with a header, the header of an answer, SASL PLAIN. */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/binary.h"
#include "tests/lib/page.h"

/* The header of a request. */
static const char *header(unsigned opcode, unsigned key, unsigned extras, uint32_t body) {
    static char p[BINARY_HEADER];
    memset(p, 0, sizeof p);
    p[0] = (char)0x80;
    p[1] = (char)opcode;
    p[2] = (char)(key >> 8);
    p[3] = (char)key;
    p[4] = (char)extras;
    for (unsigned i = 0; i < 4; i++) p[8 + i] = (char)(body >> (24 - 8 * i));
    return p;
}

static enum binary_fault check(unsigned opcode, unsigned key, unsigned extras, uint32_t body) {
    struct binary_header h;
    return binary_check(&h, header(opcode, key, extras, body));
}

static void test_read(void **state) {
    static const char p[BINARY_HEADER] = {(char)0x80, 0x01, 0x01, 0x02, 8, 0, 0, 0, 0, 1, 2, 3,
                                          'o',        'p',  'a',  'q',  1, 2, 3, 4, 5, 6, 7, 8};
    struct binary_header h;
    (void)state;
    assert_int_equal(binary_check(&h, p), BINARY_FINE);
    assert_int_equal(h.opcode, BINARY_set);
    assert_int_equal(h.key, 0x102);
    assert_int_equal(h.extras, 8);
    assert_int_equal(h.body, 0x10203);
    assert_int_equal(binary_value(&h), 0x10203 - 0x102 - 8);
    assert_true(h.cas == 0x0102030405060708);
}

/* Every opcode: which lengths are its own. */
static void test_lengths(void **state) {
    (void)state;
    unsigned known = 0;
    for (unsigned i = 0; i < 256; i++) {
        const struct binary_row *row = &binary_rows[i];
        if (row->name == NULL) {
            assert_int_equal(check(i, 0, 0, 0), BINARY_FAULT_OPCODE);
            assert_int_equal(check(i, 250, 9, 300), BINARY_FAULT_OPCODE);
            assert_int_equal(check(i, 251, 0, 251), BINARY_FAULT_MALFORMED);
            continue;
        }
        known++;
        const unsigned key = row->key == BINARY_KEY_NONE ? 0 : 5, x = row->extras;
        const bool may_key = row->key != BINARY_KEY_NONE, may_none = !may_key || (row->marks & BINARY_MAY_NAME) != 0,
                   optional = x == 0 || (row->marks & BINARY_OPTIONAL) != 0;
        assert_int_equal(check(i, key, x, key + x), BINARY_FINE);
        assert_int_equal(check(i, key, x, key + x + 1), row->value ? BINARY_FINE : BINARY_FAULT_MALFORMED);
        assert_int_equal(check(i, 0, x, x), may_none ? BINARY_FINE : BINARY_FAULT_MALFORMED);
        assert_int_equal(check(i, 5, x, 5 + x), may_key ? BINARY_FINE : BINARY_FAULT_MALFORMED);
        assert_int_equal(check(i, key, x + 1, key + x + 1), BINARY_FAULT_MALFORMED);
        assert_int_equal(check(i, key, 0, key), optional ? BINARY_FINE : BINARY_FAULT_MALFORMED);
        /* An item's key may have a suffix. */
        const bool item = row->key == BINARY_KEY_KEY;
        assert_int_equal(check(i, 251, x, 251 + x), item ? BINARY_FINE : BINARY_FAULT_MALFORMED);
        assert_int_equal(check(i, 65535, x, 65535 + x), item ? BINARY_FINE : BINARY_FAULT_MALFORMED);
    }
    assert_int_equal(known, 36);
}

/* Lies are met before anything else, and in this order. */
static void test_lies(void **state) {
    struct binary_header h;
    (void)state;
    assert_int_equal(check(BINARY_get, 3, 0, 2), BINARY_FAULT_LENGTHS);
    assert_int_equal(check(BINARY_get, 3, 255, 257), BINARY_FAULT_LENGTHS);
    assert_int_equal(check(0x40, 65535, 255, 0), BINARY_FAULT_LENGTHS);
    assert_int_equal(check(BINARY_set, 1, 8, 1u << 30), BINARY_FINE);
    assert_int_equal(check(BINARY_set, 1, 8, (1u << 30) + 1), BINARY_FAULT_BODY);
    assert_int_equal(check(0x40, 1, 8, UINT32_MAX), BINARY_FAULT_BODY);
    for (unsigned magic = 0; magic < 256; magic++) {
        char p[BINARY_HEADER];
        memcpy(p, header(BINARY_noop, 0, 0, 0), sizeof p);
        p[0] = (char)magic;
        assert_int_equal(binary_check(&h, p), magic == 0x80 ? BINARY_FINE : BINARY_FAULT_MAGIC);
    }
}

static void test_answer(void **state) {
    static const char want[BINARY_HEADER] = {(char)0x81, 0x0d, 0x01, 0x02, 4, 0, 0, (char)0x82, 0, 1, 2, 3,
                                             'o',        'p',  'a',  'q',  1, 2, 3, 4,          5, 6, 7, 8};
    char request[BINARY_HEADER], out[BINARY_HEADER];
    (void)state;
    memcpy(request, header(BINARY_getkq, 1, 0, 1), sizeof request);
    memcpy(request + 12, "opaq", 4);
    binary_put_answer(out, request, BINARY_NO_MEMORY, 4, 0x102, 0x10203, 0x0102030405060708);
    assert_memory_equal(out, want, sizeof want);
}

/* Every status has a text, but for success. */
static void test_texts(void **state) {
    (void)state;
    unsigned texts = 0;
    for (unsigned i = 0; i < 256; i++) texts += binary_status_text((enum binary_status)i) != NULL;
    assert_int_equal(texts, 11);
    assert_null(binary_status_text(BINARY_OK));
}

static bool plain(const char *p, size_t n, const char *user, const char *password) {
    struct text_token u, w;
    char *copy = malloc(n == 0 ? 1 : n); /* of its own size: a read beyond it is found */
    assert_non_null(copy);
    memcpy(copy, p, n);
    const bool good = binary_plain(copy, n, &u, &w);
    if (good) {
        assert_int_equal(u.n, strlen(user));
        assert_memory_equal(u.p, user, u.n);
        assert_int_equal(w.n, strlen(password));
        assert_memory_equal(w.p, password, w.n);
    }
    free(copy);
    return good;
}

static void test_plain(void **state) {
    (void)state;
    assert_true(plain("\0ann\0secret", 11, "ann", "secret"));
    assert_true(plain("ann\0ann\0secret", 14, "ann", "secret"));
    assert_true(plain("\0\0", 2, "", ""));
    assert_true(plain("\0ann\0", 5, "ann", ""));
    assert_false(plain("bob\0ann\0secret", 14, "", ""));
    assert_false(plain("an\0ann\0secret", 13, "", ""));
    assert_false(plain("", 0, "", ""));
    assert_false(plain("\0", 1, "", ""));
    assert_false(plain("\0ann", 4, "", ""));
    assert_false(plain("\0ann\0sec\0ret", 12, "", ""));
    assert_false(plain("\0ann\0secret\0", 12, "", ""));
}

/* The table in PROTOCOL.md shows the rows. */
static void test_page(void **state) {
    char table[16384];
    size_t n = 0;
    (void)state;
#define BINARY(name, opcode, like, handler, extras, key, value, marks, help)                                           \
    n += (size_t)snprintf(table + n, sizeof table - n, "| `0x%02x` | %s | %s | %s%d | %s | %s | %s |\n", opcode,       \
                          #name, strcmp(#like, "sasl") == 0 ? "" : "`" #like "`",                                      \
                          ((marks)&BINARY_OPTIONAL) != 0 ? "0 or " : "", extras,                                       \
                          strcmp(#key, "NONE") == 0        ? ""                                                        \
                          : strcmp(#key, "KEY") == 0       ? "yes"                                                     \
                          : ((marks)&BINARY_MAY_NAME) != 0 ? "may be"                                                  \
                                                           : "a word",                                                 \
                          strcmp(#value, "VALUE") == 0 ? "yes" : "", help);
#include "proto/binary.def"
#undef BINARY
    assert_true(n < sizeof table);
    char *lacks = page_lacks("proto/PROTOCOL.md", table);
    if (lacks != NULL) fail_msg("proto/PROTOCOL.md should have: %s", lacks);
}

/* All conversations in the binary protocol, the caller's to free. */
static char *transcripts(void) {
    const char *top = getenv("TAGCACHED_SRCDIR");
    char pattern[4096], *all = calloc(1, 1);
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/tests/wire/binary_*.tr", top != NULL ? top : ".");
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char *text = page_read(strstr(found.gl_pathv[i], "tests/wire/binary_"));
        assert_non_null(text);
        all = realloc(all, strlen(all) + strlen(text) + 1);
        assert_non_null(all);
        strcat(all, text);
        free(text);
    }
    globfree(&found);
    return all;
}

/* Whether a step of a conversation begins with this, as a word; and whether it then has a status, if that matters. */
static bool has_step(const char *all, const char *begin, const bool *failed) {
    const size_t n = strlen(begin);
    for (const char *p = all; (p = strstr(p, begin)) != NULL; p += n) {
        if (p[n] != ' ' && p[n] != '\n') continue;
        if (p[-1] != '\n' && !(p[-1] == '!' && p[-2] == '\n')) continue;
        const bool status = p[n] == ' ' && p[n + 1] >= 'A' && p[n + 1] <= 'Z';
        if (failed == NULL || status == *failed) return true;
    }
    return false;
}

/* Every opcode is in a transcript, with an error and, unless it is quiet then, without one. */
static void test_transcripts(void **state) {
    static const bool good = false, bad = true;
    char *all = transcripts();
    (void)state;
    for (unsigned i = 0; i < 256; i++) {
        const struct binary_row *row = &binary_rows[i];
        char sent[40], answer[40];
        if (row->name == NULL) continue;
        snprintf(sent, sizeof sent, ">: %s", row->name);
        snprintf(answer, sizeof answer, "<: %s", row->name);
        const bool silent = (row->marks & BINARY_QUIET) != 0;
        if (!has_step(all, sent, NULL) || !has_step(all, answer, &bad) || (!silent && !has_step(all, answer, &good)))
            fail_msg("no transcript has %s, with an error and without", row->name);
    }
    free(all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),   cmocka_unit_test(test_lengths),     cmocka_unit_test(test_lies),
        cmocka_unit_test(test_answer), cmocka_unit_test(test_texts),       cmocka_unit_test(test_plain),
        cmocka_unit_test(test_page),   cmocka_unit_test(test_transcripts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
