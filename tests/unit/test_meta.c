/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/meta.h"

static char decoded[256];

static enum meta_error parse(const char *line, unsigned allow, struct meta *m) {
    struct text_token name, key;
    size_t at = 0, n = strlen(line);
    assert_true(text_next(line, n, &at, &name) && text_next(line, n, &at, &key));
    return meta_parse(line, n, at, 2, allow, &key, decoded, m);
}

static void expect(const char *line, unsigned allow, enum meta_error want) {
    struct meta m;
    if (parse(line, allow, &m) != want) fail_msg("%s: %d", line, (int)parse(line, allow, &m));
}

static void test_values(void **state) {
    (void)state;
    struct meta m;
    assert_int_equal(parse("mg k v C5 E18446744073709551615 N-1 T30 R0 F4294967295 J7 D8 Mx Oab", 0, &m), META_OK);
    assert_true(m.cas == 5 && m.id == UINT64_MAX && m.vivify == -1 && m.ttl == 30 && m.recache == 0);
    assert_true(m.flags == UINT32_MAX && m.initial == 7 && m.delta == 8 && m.mode == 'x');
    assert_true(text_is_lit(&m.opaque, "ab") && meta_has(&m, 'v') && !meta_has(&m, 'q'));
    assert_int_equal(m.norder, 11);
    assert_memory_equal(m.order, "vCENTRFJDMO", 11);
    assert_int_equal(parse("mg k", 0, &m), META_OK);
    assert_true(m.have == 0 && m.norder == 0);
    assert_int_equal(parse("ms k M", 0, &m), META_OK);
    assert_int_equal(m.mode, 0);
}

static void test_errors(void **state) {
    (void)state;
    expect("mg k v v", 0, META_DUPLICATE);
    expect("mg k Q", 0, META_UNKNOWN);
    expect("mg k 1", 0, META_UNKNOWN);
    expect("mg k !", 0, META_FORMAT);
    expect("mg k \xc3\xa4", 0, META_FORMAT);
    expect("mg k Q !", 0, META_FORMAT); /* punctuation is seen before all else */
    expect("mg k C", 0, META_TOKEN);
    expect("mg k T+1", 0, META_TOKEN);
    expect("mg k F", 0, META_FORMAT);
    expect("mg k F4294967296", 0, META_FORMAT);
    expect("mg k J", 0, META_INITIAL);
    expect("mg k Dx", 0, META_DELTA);
    expect("mg k Tx Fx", 0, META_TOKEN); /* F's error has no words of its own */
    expect("mg k Fx Tx", 0, META_TOKEN);
    expect("mg k Dx Jx", 0, META_INITIAL); /* of several bad values the last is told */
    expect("mg k Tx Q", 0, META_UNKNOWN);
    expect("mg k O1234567890123456789012345678901", 0, META_OK);
    expect("mg k O12345678901234567890123456789012", 0, META_OPAQUE);
    expect("mg k O12345678901234567890123456789012 Tx", 0, META_TOKEN);
    expect("mg k b c f h k l q s t u v x I P L O C1 D1", 0, META_KEY);
    expect("mg k c f h k l q s t u v x I P L O C1 D1 E1", 0, META_OK);
    expect("mg k c f h k l q s t u v x I P L O C1 D1 E1 F1", 0, META_TOO_MANY);
}

static void test_base64_key(void **state) {
    (void)state;
    struct meta m;
    assert_int_equal(parse("mg Zm9v b", 0, &m), META_OK);
    assert_int_equal(m.decoded, 3);
    assert_memory_equal(decoded, "foo", 3);
    expect("mg !!!! b", 0, META_KEY);
    expect("mg Zm9 b", 0, META_KEY);
}

static void test_ours(void **state) {
    (void)state;
    struct meta m;
    expect("md k Ga", 0, META_UNKNOWN);
    expect("ms k g", META_ALLOW_TAGS, META_UNKNOWN);
    expect("mg k n", META_ALLOW_TAGS | META_ALLOW_READ, META_UNKNOWN);
    expect("mp s v", META_PURGE, META_UNKNOWN);
    expect("mp s C1", META_PURGE, META_UNKNOWN);
    assert_int_equal(parse("ms k Ga,b Lt=c", META_ALLOW_TAGS, &m), META_OK);
    assert_true(text_is_lit(&m.tags, "a,b") && text_is_lit(&m.l_tags, "c"));
    assert_int_equal(parse("ms k Lx=c", META_ALLOW_TAGS, &m), META_OK);
    assert_null(m.l_tags.p);
    assert_int_equal(parse("md k Lt=c", 0, &m), META_OK);
    assert_null(m.l_tags.p);
    /* One L a line: the tags of an item, or those of a reader. */
    assert_int_equal(parse("mg k Lr=a,b Gc", META_ALLOW_TAGS | META_ALLOW_READ, &m), META_OK);
    assert_true(text_is_lit(&m.r_tags, "a,b") && text_is_lit(&m.tags, "c") && m.l_tags.p == NULL);
    assert_int_equal(parse("mg k Lt=c", META_ALLOW_TAGS | META_ALLOW_READ, &m), META_OK);
    assert_true(text_is_lit(&m.l_tags, "c") && m.r_tags.p == NULL);
    assert_int_equal(parse("ms k Lr=c", META_ALLOW_TAGS, &m), META_OK);
    assert_true(m.l_tags.p == NULL && m.r_tags.p == NULL);
    assert_int_equal(parse("mg k L", META_ALLOW_TAGS | META_ALLOW_READ, &m), META_OK);
    assert_true(m.l_tags.p == NULL && m.r_tags.p == NULL);
    expect("mg k Lr=a Lt=b", META_ALLOW_TAGS | META_ALLOW_READ, META_DUPLICATE);
    assert_int_equal(parse("mp s I T30 w500 n s q k Oa P L", META_PURGE, &m), META_OK);
    assert_true(m.wait_ms == 500 && m.ttl == 30);
    expect("mp s wx", META_PURGE, META_TOKEN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_base64_key),
        cmocka_unit_test(test_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
