/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Suffixes of keys, lists of tags, selectors. */
#include <string.h>

#include "base/check.h"
#include "proto/keytags.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_list(const char *p, size_t n, char sep) {
    size_t at = 0;
    struct text_token t;
    unsigned count = 0;
    while (keytags_next(p, n, sep, &at, &t) > 0) {
        bool all = sep == '+' && n == 1 && p[0] == '*'; /* the selector of everything */
        CHECK(all || (keytags_is_tag(t.p, t.n) && t.n <= KEYTAGS_TAG_MAX));
        CHECK(t.p >= p && t.p + t.n <= p + n && at <= n + 1);
        CHECK(++count <= n + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    const char *p = (const char *)data;
    const struct keytags_marker marker = {"|#|", 3};
    struct keytags_key k;
    keytags_split_key(&marker, p, n, &k);
    CHECK(k.bare_len <= n);
    if (k.kind != KEYTAGS_NONE) {
        CHECK(k.list + k.list_len == p + n && memcmp(p + k.bare_len, "|#|", 3) == 0);
        CHECK(k.list == p + k.bare_len + 5 && k.list[-1] == '=');
    } else {
        CHECK(k.bare_len == n);
    }
    check_list(p, n, ',');
    check_list(p, n, '+');
    if (keytags_is_list(p, n)) CHECK(n > 0 && memchr(p, '+', n) == NULL && memchr(p, ' ', n) == NULL);
    if (keytags_is_selector(p, n)) CHECK(keytags_is_selectors(p, n));
    size_t at = 0;
    unsigned count = 0;
    struct text_token t;
    bool all = keytags_is_selectors(p, n);
    while (keytags_next_selector(p, n, &at, &t) > 0) CHECK(++count <= n + 1 && (!all || keytags_is_selector(t.p, t.n)));
    CHECK(!all || (count >= 1 && count <= KEYTAGS_SELECTORS_MAX));
    return 0;
}
