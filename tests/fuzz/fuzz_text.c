/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Words, numbers and storage lines: the quick ways must say what the careful ones say. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "proto/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* One byte after the other, as the words are defined. */
static bool next_slowly(const char *line, size_t n, size_t *at, struct text_token *out) {
    size_t i = *at;
    while (i < n && line[i] == ' ') i++;
    out->p = line + i;
    size_t from = i;
    while (i < n && line[i] != ' ') i++;
    out->n = i - from;
    *at = i;
    return i > from;
}

static void check_words(const char *line, size_t n) {
    size_t a = 0, b = 0;
    struct text_token x, y;
    bool more;
    do {
        more = next_slowly(line, n, &a, &y);
        CHECK(text_next(line, n, &b, &x) == more);
        CHECK(a == b && x.n == y.n && (!more || x.p == y.p));
    } while (more);
}

static void check_numbers(const char *p, size_t n) {
    uint64_t u;
    int64_t i;
    char text[24], out[24];
    if (n >= sizeof text) return;
    memcpy(text, p, n);
    text[n] = '\0';
    if (text_u64(p, n, &u)) {
        CHECK(strspn(text, "0123456789") == n && n > 0);
        CHECK(strtoull(text, NULL, 10) == u);
        char *e = text_put_u64(out, u);
        uint64_t again;
        CHECK(text_u64(out, (size_t)(e - out), &again) && again == u);
    }
    if (text_i64(p, n, &i)) {
        CHECK(strtoll(text, NULL, 10) == i);
        char *e = text_put_i64(out, i);
        int64_t again;
        CHECK(text_i64(out, (size_t)(e - out), &again) && again == i);
    }
}

/* A word that is no plain number but was taken for one: the C library says which. */
static void check_lenient(const struct text_token *word, int64_t v) {
    char text[64];
    if (word->n >= sizeof text) return;
    memcpy(text, word->p, word->n);
    text[word->n] = '\0';
    CHECK(strtoll(text, NULL, 10) == v);
}

/* The words of a storage line, read with care. */
static void check_store(const char *line, size_t n, bool cas) {
    struct text_store t;
    struct text_token w[6], name;
    size_t at = 0;
    (void)text_next(line, n, &at, &name);
    const size_t behind = at;
    enum text_store_error e = text_parse_store(line, n, behind, cas, '|', &t);
    unsigned count = 0;
    while (count < 6 && next_slowly(line, n, &at, &w[count])) count++;
    if (count < 4) {
        CHECK(e == TEXT_STORE_FEW);
        return;
    }
    uint64_t length, id = 0;
    uint32_t flags;
    int64_t exptime;
    if (!text_u64(w[3].p, w[3].n, &length) || length > TEXT_LENGTH_MAX) {
        CHECK(e == TEXT_STORE_LENGTH);
        return;
    }
    CHECK(t.length == length && t.key.p == w[0].p && t.key.n == w[0].n);
    CHECK(t.mark == (memchr(w[0].p, '|', w[0].n) != NULL));
    const bool known = !cas || (count > 4 && text_u64(w[4].p, w[4].n, &id));
    if (text_u32(w[1].p, w[1].n, &flags) && text_i64(w[2].p, w[2].n, &exptime)) {
        CHECK(known == (e == TEXT_STORE_OK));
        if (known) CHECK(t.flags == flags && t.exptime == exptime && t.cas == id);
    } else { /* numbers as strtol reads them */
        CHECK(known || e == TEXT_STORE_BAD);
        if (e == TEXT_STORE_OK) check_lenient(&w[1], t.flags), check_lenient(&w[2], t.exptime);
    }
    /* What is neither of the grammar nor a last noreply makes the length doubtful. */
    const unsigned most = cas ? 5 : 4;
    const struct text_token *last = &w[count - 1];
    const bool silent = count > 4 && last->n == 7 && memcmp(last->p, "noreply", 7) == 0;
    if (count < 6) CHECK(t.noreply == silent && (t.shifted || count <= most || silent));
}

/* What is read of a line as clients send it is what reading with care makes of it. */
static void check_usual(const char *p, size_t n) {
    struct text_store quick, t;
    const char *body = text_store_usual(p, p, p + n, '|', &quick);
    if (body == NULL) return;
    CHECK(body > p + 2 && body <= p + n && body[-2] == '\r' && body[-1] == '\n');
    if (quick.key.n == 0) return; /* for the caller to refuse */
    enum text_store_error e = text_parse_store(p, (size_t)(body - p) - 2, 0, false, '|', &t);
    CHECK(e == TEXT_STORE_OK && !t.noreply && t.mark == quick.mark && t.key.p == quick.key.p && t.key.n == quick.key.n);
    CHECK(t.flags == quick.flags && t.exptime == quick.exptime && t.length == quick.length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    const char *p = (const char *)data, *end = p + n;
    bool mark = false;
    check_words(p, n);
    check_numbers(p, n);
    check_store(p, n, false);
    check_store(p, n, true);
    check_usual(p, n);
    const char *e = text_word_end(p, p, end, '\n', '|', &mark), *q = p;
    bool seen = false;
    for (; q < end && *q != ' ' && *q != '\n'; q++) seen |= *q == '|';
    CHECK(e == q && mark == seen);
    for (size_t from = 0; from < n && from < 20; from++) { /* whatever may be read before it */
        bool slowly = false;
        mark = false;
        e = text_word_end_slow(p + from, end, '\n', '|', &slowly);
        CHECK(text_word_end(p, p + from, end, '\n', '|', &mark) == e && mark == slowly);
    }
    struct text_token last = text_last(p, n);
    CHECK(last.n == 0 || last.p[last.n - 1] != ' ');
    return 0;
}
