/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/text.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* The first byte at or behind p that is a space, or (newline) a newline; end if there is none. *mark becomes true when
 * `first` was passed on the way. Never reads outside [p, end). */
static inline const char *word_end(const char *p, const char *end, bool newline, char first, bool *mark) {
#if defined(__SSE2__)
    const __m128i space = _mm_set1_epi8(' '), nl = _mm_set1_epi8(newline ? '\n' : ' '), bar = _mm_set1_epi8(first);
    while (end - p >= 8) {
        bool half = end - p < 16;
        __m128i x = half ? _mm_loadl_epi64((const __m128i *)(const void *)p)
                         : _mm_loadu_si128((const __m128i *)(const void *)p);
        unsigned stop = (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(x, space), _mm_cmpeq_epi8(x, nl)));
        unsigned seen = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(x, bar));
        if (half) { /* the upper half is zeros, and `first` may be one */
            stop &= 0xff;
            seen &= 0xff;
        }
        if (stop != 0) {
            unsigned i = (unsigned)__builtin_ctz(stop);
            if ((seen & ((1u << i) - 1)) != 0) *mark = true;
            return p + i;
        }
        if (seen != 0) *mark = true;
        p += half ? 8 : 16;
    }
#endif
    for (; p < end && *p != ' ' && !(newline && *p == '\n'); p++)
        if (*p == first) *mark = true;
    return p;
}

bool text_next(const char *line, size_t n, size_t *at, struct text_token *out) {
    const char *p = line + *at, *end = line + n;
    bool mark = false;
    while (p < end && *p == ' ') p++;
    const char *e = word_end(p, end, false, ' ', &mark);
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

static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                            "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                            "8081828384858687888990919293949596979899";

char *text_put_u64(char *out, uint64_t v) {
    if (v < 10) {
        *out = (char)('0' + v);
        return out + 1;
    }
    if (v < 100) {
        memcpy(out, pairs + 2 * v, 2);
        return out + 2;
    }
    if (v < 10000) { /* sizes of most values */
        unsigned high = (unsigned)v / 100, low = (unsigned)v % 100;
        if (high < 10)
            *out++ = (char)('0' + high);
        else
            memcpy(out, pairs + 2 * high, 2), out += 2;
        memcpy(out, pairs + 2 * low, 2);
        return out + 2;
    }
    char tmp[20];
    char *p = tmp + sizeof(tmp);
    while (v >= 100) {
        unsigned two = (unsigned)(v % 100);
        v /= 100;
        p -= 2;
        memcpy(p, pairs + 2 * two, 2);
    }
    if (v >= 10) {
        p -= 2;
        memcpy(p, pairs + 2 * v, 2);
    } else {
        *--p = (char)('0' + v);
    }
    size_t n = (size_t)(tmp + sizeof(tmp) - p);
    memcpy(out, p, n);
    return out + n;
}

char *text_put_i64(char *out, int64_t v) {
    if (v >= 0) return text_put_u64(out, (uint64_t)v);
    *out = '-';
    return text_put_u64(out + 1, 0 - (uint64_t)v);
}

const char *text_key_end(const char *p, const char *end, char first, bool *mark) {
    return word_end(p, end, true, first, mark);
}

/* A blank, then 1 to 9 digits that end at a blank or the line's end: what well-behaved clients send. */
static inline bool quick_number(const char **at, const char *end, uint32_t *out) {
    const char *p = *at;
    uint32_t v = 0;
    if (p >= end || *p++ != ' ') return false;
    const char *begin = p;
    for (; p < end; p++) {
        unsigned d = (unsigned char)*p - '0';
        if (d > 9) break;
        v = v * 10 + d;
    }
    if (p == begin || p - begin > 9 || (p < end && *p != ' ')) return false;
    *at = p;
    *out = v;
    return true;
}

/* "key flags exptime length" with nothing unusual about it. False: to be read with care. */
static bool quick_store(const char *line, size_t n, size_t at, char first, struct text_store *out) {
    const char *p = line + at + 1, *end = line + n;
    uint32_t exptime, length;
    if (at + 1 >= n) return false;
    const char *e = word_end(p, end, false, first, &out->mark);
    out->key = (struct text_token){p, (size_t)(e - p)};
    if (e == p || !quick_number(&e, end, &out->flags) || !quick_number(&e, end, &exptime) ||
        !quick_number(&e, end, &length) || e != end)
        return false;
    out->exptime = exptime;
    out->length = length;
    return true;
}

enum text_store_error text_parse_store(const char *line, size_t n, size_t at, bool cas, char first,
                                       struct text_store *out) {
    struct text_token flags, exptime, length, id = {line, 0}, extra;
    out->cas = 0;
    out->noreply = false;
    out->mark = false;
    if (!cas && quick_store(line, n, at, first, out)) return TEXT_STORE_OK;
    if (!text_next(line, n, &at, &out->key) || !text_next(line, n, &at, &flags) || !text_next(line, n, &at, &exptime) ||
        !text_next(line, n, &at, &length))
        return TEXT_STORE_FEW;
    if (cas && !text_next(line, n, &at, &id)) return TEXT_STORE_FEW;
    out->mark = memchr(out->key.p, first, out->key.n) != NULL;
    if (!text_u64(length.p, length.n, &out->length) || out->length > TEXT_LENGTH_MAX) return TEXT_STORE_LENGTH;
    if (at < n && text_next(line, n, &at, &extra)) {
        /* Words beyond are of no meaning; only the last may be noreply. */
        struct text_token last = text_last(line, n);
        out->noreply = text_is_lit(&last, "noreply");
    }
    if (!text_u32(flags.p, flags.n, &out->flags) || !text_i64(exptime.p, exptime.n, &out->exptime))
        return TEXT_STORE_BAD;
    if (cas && !text_u64(id.p, id.n, &out->cas)) return TEXT_STORE_BAD;
    return TEXT_STORE_OK;
}
