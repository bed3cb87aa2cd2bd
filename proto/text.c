/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/text.h"

const char *text_word_end_slow(const char *p, const char *end, char other, char first, bool *mark) {
    for (; p < end && *p != ' ' && *p != other; p++)
        if (*p == first) *mark = true;
    return p;
}

bool text_next(const char *line, size_t n, size_t *at, struct text_token *out) {
    const char *p = line + *at, *end = line + n;
    bool mark = false;
    while (p < end && *p == ' ') p++;
    const char *e = text_word_end(line, p, end, ' ', ' ', &mark);
    *at = (size_t)(e - line);
    out->p = p;
    out->n = (size_t)(e - p);
    return e > p;
}

unsigned text_split(const char *line, size_t n, struct text_token *out, unsigned max) {
    struct text_token t;
    size_t at = 0;
    unsigned count = 0;
    while (count <= max && text_next(line, n, &at, &t)) {
        if (count < max) out[count] = t;
        count++;
    }
    return count;
}

struct text_token text_last(const char *line, size_t n) {
    while (n > 0 && line[n - 1] == ' ') n--;
    size_t begin = n;
    while (begin > 0 && line[begin - 1] != ' ') begin--;
    return (struct text_token){line + begin, n - begin};
}

bool text_u64(const char *p, size_t n, uint64_t *out) {
    uint64_t v = 0;
    if (n == 0) return false;
    for (size_t i = 0; i < n; i++) {
        unsigned d = (unsigned char)p[i] - '0';
        if (d > 9) return false;
        /* 19 digits always fit; beyond that ask the arithmetic. */
        if (i >= 19 && (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, d, &v))) return false;
        if (i < 19) v = v * 10 + d;
    }
    *out = v;
    return true;
}

bool text_u32(const char *p, size_t n, uint32_t *out) {
    uint64_t v;
    if (!text_u64(p, n, &v) || v > UINT32_MAX) return false;
    *out = (uint32_t)v;
    return true;
}

bool text_i64(const char *p, size_t n, int64_t *out) {
    uint64_t v;
    bool minus = n > 0 && p[0] == '-';
    if (!text_u64(p + minus, n - minus, &v)) return false;
    if (v > (uint64_t)INT64_MAX + minus) return false;
    *out = minus ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

const char text_pairs[200] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                             "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                             "8081828384858687888990919293949596979899";

/* Exactly four, or eight, digits. */
static inline char *put_4(char *out, uint32_t v) {
    memcpy(out, text_pairs + 2 * (v / 100), 2);
    memcpy(out + 2, text_pairs + 2 * (v % 100), 2);
    return out + 4;
}
static inline char *put_8(char *out, uint32_t v) {
    return put_4(put_4(out, v / 10000), v % 10000);
}

char *text_put_long(char *out, uint64_t v) {
    const uint64_t e8 = 100000000, e16 = e8 * e8;
    if (v >= e16) {
        out = text_put_u64(out, v / e16);
        v %= e16;
        return put_8(put_8(out, (uint32_t)(v / e8)), (uint32_t)(v % e8));
    }
    if (v >= e8) {
        const uint32_t high = (uint32_t)(v / e8);
        out = high < 10000 ? text_put_u64(out, high) : put_4(text_put_u64(out, high / 10000), high % 10000);
        return put_8(out, (uint32_t)(v % e8));
    }
    return put_4(text_put_u64(out, v / 10000), (uint32_t)(v % 10000));
}

char *text_put_i64(char *out, int64_t v) {
    if (v >= 0) return text_put_u64(out, (uint64_t)v);
    *out = '-';
    return text_put_u64(out + 1, 0 - (uint64_t)v);
}

const char *text_usual_number_slow(const char *p, const char *end, uint32_t *out) {
    uint32_t v = 0, d;
    const char *const begin = p;
    for (; p < end && p - begin < 9 && (d = (uint32_t)(unsigned char)*p - '0') <= 9; p++) v = v * 10 + d;
    *out = v;
    return p > begin ? p : NULL;
}

/* A blank, then a number. NULL: anything else. */
static inline const char *usual_number(const char *p, const char *end, uint32_t *out) {
    return p < end && *p == ' ' ? text_usual_number(p + 1, end, out) : NULL;
}

const char *text_store_usual(const char *base, const char *p, const char *end, char first, struct text_store *out) {
    uint32_t exptime, length;
    out->mark = false;
    const char *e = text_word_end(base, p, end, '\n', first, &out->mark);
    out->key = (struct text_token){p, (size_t)(e - p)};
    if (end - e > 4 && memcmp(e, " 0 0 ", 5) == 0) { /* the commonest of all */
        out->flags = exptime = 0;
        e += 4;
    } else if ((e = usual_number(e, end, &out->flags)) == NULL || (e = usual_number(e, end, &exptime)) == NULL) {
        return NULL;
    }
    if ((e = usual_number(e, end, &length)) == NULL || end - e < 2 || *e != '\r' || e[1] != '\n') return NULL;
    out->exptime = exptime;
    out->length = length;
    return e + 2;
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The digits, and the minus before them, of a word that is read as strtol would read it. */
static struct text_token as_strtol(const struct text_token *t) {
    const char *p = t->p, *const end = p + t->n;
    while (p < end && is_space(*p)) p++;
    if (end - p > 1 && *p == '+' && p[1] != '-') p++;
    const char *e = p;
    while (e < end && *e != '\0' && !is_space(*e)) e++;
    return (struct text_token){p, (size_t)(e - p)};
}

static bool parse_flags(const struct text_token *word, uint32_t *flags) {
    if (text_u32(word->p, word->n, flags)) return true;
    const struct text_token t = as_strtol(word);
    int64_t v;
    if (!text_i64(t.p, t.n, &v) || v < 0 || v > UINT32_MAX) return false;
    *flags = (uint32_t)v;
    return true;
}

static bool parse_exptime(const struct text_token *word, int64_t *exptime) {
    if (text_i64(word->p, word->n, exptime)) return true;
    const struct text_token t = as_strtol(word);
    return text_i64(t.p, t.n, exptime);
}

static bool is_number(const struct text_token *t) {
    uint64_t v;
    return text_u64(t->p, t->n, &v);
}

/* What stands behind the length: the id of a cas, noreply. Returns whether there is more. */
static bool parse_tail(const char *line, size_t n, size_t at, bool cas, struct text_token *id, bool *noreply) {
    struct text_token word;
    const struct text_token last = text_last(line, n);
    if (cas) (void)text_next(line, n, &at, id);
    *noreply = text_is_lit(&last, "noreply");
    return text_next(line, n, &at, &word) && (!*noreply || word.p != last.p);
}

enum text_store_error text_parse_store(const char *line, size_t n, size_t at, bool cas, char first,
                                       struct text_store *out) {
    struct text_token flags, exptime, length, id = {line, 0};
    bool more = false;
    out->cas = 0;
    out->noreply = out->shifted = out->mark = false;
    if (!text_next(line, n, &at, &out->key)) return TEXT_STORE_FEW;
    const bool number = is_number(&out->key);
    if (!text_next(line, n, &at, &flags) || !text_next(line, n, &at, &exptime) || !text_next(line, n, &at, &length)) {
        out->shifted = number;
        return TEXT_STORE_FEW;
    }
    out->mark = memchr(out->key.p, first, out->key.n) != NULL;
    if (at < n && text_last(line, n).p > length.p) more = parse_tail(line, n, at, cas, &id, &out->noreply);
    const bool few = text_is_lit(&length, "noreply") || (cas && (id.n == 0 || text_is_lit(&id, "noreply")));
    out->shifted = more || (few && number);
    if (!text_u64(length.p, length.n, &out->length) || out->length > TEXT_LENGTH_MAX) return TEXT_STORE_LENGTH;
    if (!parse_flags(&flags, &out->flags) || !parse_exptime(&exptime, &out->exptime)) return TEXT_STORE_BAD;
    if (cas && !text_u64(id.p, id.n, &out->cas)) return TEXT_STORE_BAD;
    return TEXT_STORE_OK;
}
