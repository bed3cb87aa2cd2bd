/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/keytags.h"

static bool is_suffix(const struct keytags_marker *m, const char *p) {
    return memcmp(p, m->p, m->len) == 0 && (p[m->len] == 't' || p[m->len] == 'p') && p[m->len + 1] == '=';
}

void keytags_split_key(const struct keytags_marker *m, const char *key, size_t n, struct keytags_key *out) {
    *out = (struct keytags_key){KEYTAGS_NONE, n, key + n, 0};
    size_t suffix = m->len + 2u;
    if (m->len == 0 || n < suffix) return;
    for (size_t i = n - suffix + 1; i-- > 0;) {
        if (key[i] != m->p[0] || !is_suffix(m, key + i)) continue;
        out->kind = key[i + m->len] == 't' ? KEYTAGS_TAGS : KEYTAGS_PURGE;
        out->bare_len = i;
        out->list = key + i + suffix;
        out->list_len = n - i - suffix;
        return;
    }
}

bool keytags_is_tag(const char *p, size_t n) {
    if (n == 0 || n > KEYTAGS_TAG_MAX) return false;
    if (n == 1 && p[0] == '*') return false;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c <= 0x20 || c == 0x7f || c == ',' || c == '+') return false;
    }
    return true;
}

int keytags_next(const char *list, size_t n, char sep, size_t *at, struct text_token *out) {
    /* *at is n + 1 once the last piece is taken, so that a separator at the end leaves an empty piece to be refused. */
    if (*at > n) return 0;
    const char *begin = list + *at;
    const char *end = memchr(begin, sep, n - *at);
    out->p = begin;
    out->n = end == NULL ? n - *at : (size_t)(end - begin);
    *at += out->n + 1;
    if (sep == '+' && out->n == n && n == 1 && begin[0] == '*') return 1; /* the selector * */
    return keytags_is_tag(out->p, out->n) ? 1 : -1;
}

bool keytags_is_list(const char *list, size_t n) {
    struct text_token tag;
    size_t at = 0;
    int got;
    while ((got = keytags_next(list, n, ',', &at, &tag)) > 0) {}
    return got == 0;
}

bool keytags_is_too_long(const char *list, size_t n) {
    struct text_token tag;
    size_t at = 0;
    while (keytags_next(list, n, ',', &at, &tag) != 0)
        if (tag.n > KEYTAGS_TAG_MAX) return true;
    return false;
}

bool keytags_is_selector(const char *p, size_t n) {
    struct text_token tag;
    size_t at = 0;
    unsigned count = 0;
    int got;
    while ((got = keytags_next(p, n, '+', &at, &tag)) > 0)
        if (++count > KEYTAGS_SELECTOR_MAX) return false;
    return got == 0;
}

int keytags_next_selector(const char *list, size_t n, size_t *at, struct text_token *out) {
    if (*at > n) return 0;
    const char *begin = list + *at;
    const char *end = memchr(begin, ',', n - *at);
    out->p = begin;
    out->n = end == NULL ? n - *at : (size_t)(end - begin);
    *at += out->n + 1;
    return keytags_is_selector(out->p, out->n) ? 1 : -1;
}

bool keytags_is_selectors(const char *list, size_t n) {
    struct text_token selector;
    size_t at = 0;
    unsigned count = 0;
    int got;
    while ((got = keytags_next_selector(list, n, &at, &selector)) > 0)
        if (++count > KEYTAGS_SELECTORS_MAX) return false;
    return got == 0;
}
