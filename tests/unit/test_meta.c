/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "page.h"
#include "proto/meta.h"

static char decoded[256];

static enum meta_error parse(const char *line, enum meta_command command, struct meta *m) {
    struct text_token name, key;
    size_t at = 0, n = strlen(line);
    assert_true(text_next(line, n, &at, &name) && text_next(line, n, &at, &key));
    return meta_parse(line, n, at, 2, command, &key, decoded, m);
}

static void expect(const char *line, enum meta_command command, enum meta_error want) {
    struct meta m;
    if (parse(line, command, &m) != want) fail_msg("%s: %d", line, (int)parse(line, command, &m));
}

static void test_values(void **state) {
    (void)state;
    struct meta m;
    assert_int_equal(parse("mg k v C5 E18446744073709551615 N-1 T30 R0 F4294967295 J7 D8 Mx Oab", META_MG, &m),
                     META_OK);
    assert_true(m.cas == 5 && m.id == UINT64_MAX && m.vivify == -1 && m.ttl == 30 && m.recache == 0);
    assert_true(m.flags == UINT32_MAX && m.initial == 7 && m.delta == 8 && m.mode == 'x');
    assert_true(text_is_lit(&m.opaque, "ab") && meta_has(&m, 'v') && !meta_has(&m, 'q'));
    assert_int_equal(m.norder, 11);
    assert_memory_equal(m.order, "vCENTRFJDMO", 11);
    assert_int_equal(parse("mg k", META_MG, &m), META_OK);
    assert_true(m.have == 0 && m.norder == 0);
    assert_int_equal(parse("ms k M", META_MS, &m), META_OK);
    assert_int_equal(m.mode, 0);
}

static void test_errors(void **state) {
    (void)state;
    expect("mg k v v", META_MG, META_DUPLICATE);
    expect("mg k Q", META_MG, META_UNKNOWN);
    expect("mg k 1", META_MG, META_UNKNOWN);
    expect("mg k !", META_MG, META_FORMAT);
    expect("mg k \xc3\xa4", META_MG, META_FORMAT);
    expect("mg k Q !", META_MG, META_FORMAT); /* punctuation is seen before all else */
    expect("mg k C", META_MG, META_TOKEN);
    expect("mg k T+1", META_MG, META_TOKEN);
    expect("mg k F", META_MG, META_FORMAT);
    expect("mg k F4294967296", META_MG, META_FORMAT);
    expect("mg k J", META_MG, META_INITIAL);
    expect("mg k Dx", META_MG, META_DELTA);
    expect("mg k Tx Fx", META_MG, META_TOKEN); /* F's error has no words of its own */
    expect("mg k Fx Tx", META_MG, META_TOKEN);
    expect("mg k Dx Jx", META_MG, META_INITIAL); /* of several bad values the last is told */
    expect("mg k Tx Q", META_MG, META_UNKNOWN);
    expect("mg k O1234567890123456789012345678901", META_MG, META_OK);
    expect("mg k O12345678901234567890123456789012", META_MG, META_OPAQUE);
    expect("mg k O12345678901234567890123456789012 Tx", META_MG, META_TOKEN);
    expect("mg k b c f h k l q s t u v x I P L O C1 D1", META_MG, META_KEY);
    expect("mg k c f h k l q s t u v x I P L O C1 D1 E1", META_MG, META_OK);
    expect("mg k c f h k l q s t u v x I P L O C1 D1 E1 F1", META_MG, META_TOO_MANY);
}

static void test_base64_key(void **state) {
    (void)state;
    struct meta m;
    assert_int_equal(parse("mg Zm9v b", META_MG, &m), META_OK);
    assert_int_equal(m.decoded, 3);
    assert_memory_equal(decoded, "foo", 3);
    expect("mg !!!! b", META_MG, META_KEY);
    expect("mg Zm9 b", META_MG, META_KEY);
}

static void test_ours(void **state) {
    (void)state;
    struct meta m;
    expect("md k Ga", META_MD, META_UNKNOWN);
    expect("ms k g", META_MS, META_UNKNOWN);
    expect("mg k n", META_MG, META_UNKNOWN);
    expect("mp s v", META_MP, META_UNKNOWN);
    expect("mp s C1", META_MP, META_UNKNOWN);
    assert_int_equal(parse("ms k Ga,b Lt=c", META_MS, &m), META_OK);
    assert_true(text_is_lit(&m.tags, "a,b") && text_is_lit(&m.l_tags, "c"));
    assert_int_equal(parse("ms k Lx=c", META_MS, &m), META_OK);
    assert_null(m.l_tags.p);
    assert_int_equal(parse("md k Lt=c", META_MD, &m), META_OK);
    assert_null(m.l_tags.p);
    /* One L a line: the tags of an item, or those of a reader. */
    assert_int_equal(parse("mg k Lr=a,b Gc", META_MG, &m), META_OK);
    assert_true(text_is_lit(&m.r_tags, "a,b") && text_is_lit(&m.tags, "c") && m.l_tags.p == NULL);
    assert_int_equal(parse("mg k Lt=c", META_MG, &m), META_OK);
    assert_true(text_is_lit(&m.l_tags, "c") && m.r_tags.p == NULL);
    assert_int_equal(parse("ms k Lr=c", META_MS, &m), META_OK);
    assert_true(m.l_tags.p == NULL && m.r_tags.p == NULL);
    assert_int_equal(parse("mg k L", META_MG, &m), META_OK);
    assert_true(m.l_tags.p == NULL && m.r_tags.p == NULL);
    expect("mg k Lr=a Lt=b", META_MG, META_DUPLICATE);
    assert_int_equal(parse("mp s I T30 w500 n s q k Oa P L", META_MP, &m), META_OK);
    assert_true(m.wait_ms == 500 && m.ttl == 30);
    expect("mp s wx", META_MP, META_TOKEN);
}

/* ------------------------------------------------------------------ the rows */

enum { MG = 1 << META_MG, MS = 1 << META_MS, MD = 1 << META_MD, MA = 1 << META_MA, MP = 1 << META_MP };
enum { KEYED = MG | MS | MD | MA };

static const struct {
    char letter;
    const char *argument;
    unsigned commands, quick;
    const char *help[META_COMMANDS];
} rows[] = {
#define META_FLAG(letter, argument, commands, kind, member, error, quick, shows, ...)                                  \
    {letter, argument, commands, quick, {__VA_ARGS__}},
#include "proto/meta.def"
#undef META_FLAG
};

/* Each command accepts the flags whose rows name it, and no other. */
static void test_accepted(void **state) {
    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (unsigned c = 0; c < META_COMMANDS; c++) {
            const bool known = (rows[i].commands >> c & 1) != 0;
            struct meta m;
            char line[40];
            snprintf(line, sizeof line, "xx Zm9v %c", rows[i].letter);
            const enum meta_error e = parse(line, (enum meta_command)c, &m);
            if ((e != META_UNKNOWN) != known) fail_msg("%s: command %u, error %d", line, c, (int)e);
            if (known) assert_true(meta_has(&m, rows[i].letter));
        }
    }
}

/* The quick path of a command serves only what the command accepts; all of it together is not too many words, with the
 * command's own, the key and the length. */
static void test_quick_flags(void **state) {
    (void)state;
    unsigned count[META_COMMANDS] = {0};
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(rows[i].quick & ~rows[i].commands, 0);
        for (unsigned c = 0; c < META_COMMANDS; c++) {
            const bool quick = (rows[i].quick >> c & 1) != 0, has = rows[i].argument[0] != '\0';
            char text[20];
            struct meta_usual m;
            const char *argument = !has ? "" : rows[i].letter == 'M' ? "S" : "1";
            const size_t n = (size_t)snprintf(text, sizeof text, " %c%s\r\n", rows[i].letter, argument);
            const char *end = meta_read_usual(text, text, text + n, (enum meta_command)c, &m);
            if (end != (quick ? text + n : NULL)) fail_msg("%s: command %u", text, c);
            count[c] += quick;
        }
    }
    for (unsigned c = 0; c < META_COMMANDS; c++) assert_true(count[c] + 3 <= META_WORDS_MAX);
}

/* The table of flags in PROTOCOL.md shows the rows. */
static void test_page(void **state) {
    (void)state;
    char table[8192], *p = table;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        p += sprintf(p, "| `%c%s` |", rows[i].letter, rows[i].argument);
        for (unsigned c = 0; c < META_COMMANDS; c++) {
            const char *help = (rows[i].commands >> c & 1) != 0 ? rows[i].help[c] : "no";
            p += sprintf(p, "%s%s |", help[0] == '\0' ? "" : " ", help);
        }
        *p++ = '\n';
    }
    *p = '\0';
    char *lacks = page_lacks("proto/PROTOCOL.md", table);
    if (lacks != NULL) fail_msg("proto/PROTOCOL.md should have: %s", lacks);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values), cmocka_unit_test(test_errors),   cmocka_unit_test(test_base64_key),
        cmocka_unit_test(test_ours),   cmocka_unit_test(test_accepted), cmocka_unit_test(test_quick_flags),
        cmocka_unit_test(test_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
