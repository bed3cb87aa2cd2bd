/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The one encoding of tags, beside its vector file. */
#include "proto/tagname.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "page.h"
#include "proto/keytags.h"

#define BYTES_MAX 1024 /* of a name in the file */

static size_t from_hex(const char *hex, size_t n, char *out) {
    unsigned byte;
    assert_true(n / 2 <= BYTES_MAX);
    for (size_t i = 0; i < n / 2; i++) {
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        out[i] = (char)byte;
    }
    return n / 2;
}

static void test_vectors(void **state) {
    char *text = page_read("tests/vectors/tag_encoding.tsv"), bytes[BYTES_MAX], tag[KEYTAGS_TAG_MAX];
    unsigned n = 0;
    (void)state;
    assert_non_null(text);
    for (char *rest = text + 1, *line; (line = strsep(&rest, "\n")) != NULL;) {
        if (line[0] == '#' || line[0] == '\0') continue;
        const size_t hex = strcspn(line, "\t"), want = strlen(line + hex + 1);
        const size_t got = tagname_encode(bytes, from_hex(line, hex, bytes), tag);
        if (got != want || memcmp(tag, line + hex + 1, want) != 0) fail_msg("%s: %.*s", line, (int)got, tag);
        assert_true(keytags_is_tag(tag, got) || (got == 1 && tag[0] == '*'));
        n++;
    }
    free(text);
    assert_true(n >= 25);
}

/* Short names stay apart: no two of them have one tag. */
static void test_no_two_are_one(void **state) {
    char tags[256][KEYTAGS_TAG_MAX];
    size_t n[256];
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        const char name = (char)c;
        n[c] = tagname_encode(&name, 1, tags[c]);
        for (unsigned d = 0; d < c; d++) assert_false(n[d] == n[c] && memcmp(tags[d], tags[c], n[c]) == 0);
    }
}

static void decode(const char *text, const char *want) {
    char out[64];
    const size_t n = tagname_decode(text, strlen(text), out, sizeof out);
    assert_int_equal(n, strlen(want));
    assert_memory_equal(out, want, n);
}

static void test_the_way_back(void **state) {
    char out[2];
    (void)state;
    decode("artist:42/x%20y", "artist:42/x y");
    decode("a%2Bb%2Cc%25", "a+b,c%");
    decode("100%", "100%");
    decode("%2", "%2");
    decode("%2b%zz", "%2b%zz");
    assert_int_equal(tagname_decode("abc", 3, out, sizeof out), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_no_two_are_one),
        cmocka_unit_test(test_the_way_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
