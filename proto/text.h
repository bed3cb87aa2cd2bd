/* SPDX-License-Identifier: BSD-3-Clause
 *
 * text - words and numbers of the text protocol. Pure functions over bytes: no state, no allocation, any thread.
 *
 * Words are separated by one or more spaces and nothing else: tabs and other control bytes belong to words. A line
 * ends with \n; one \r before it belongs to the ending.
 */
#ifndef TAGCACHED_PROTO_TEXT_H
#define TAGCACHED_PROTO_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

struct text_token {
    const char *p;
    size_t n;
};

/* Splits line[0..n) into words. Fills at most max of them and returns how many there are, counting no further than
 * max + 1. */
unsigned text_split(const char *line, size_t n, struct text_token *out, unsigned max);

/* The word that begins at or behind *at; moves *at behind it. False at the end of the line. */
bool text_next(const char *line, size_t n, size_t *at, struct text_token *out);

/* The last word of line[0..n). Without one: an empty word at the line's beginning. */
struct text_token text_last(const char *line, size_t n);

/* Read a whole word p[0..n) of decimal digits, without a sign. False: it is anything else, or does not fit the type. */
bool text_u64(const char *p, size_t n, uint64_t *out);
bool text_u32(const char *p, size_t n, uint32_t *out);
/* The same; a minus may stand before the digits. */
bool text_i64(const char *p, size_t n, int64_t *out);

/* text_usual_number of any length. */
const char *text_usual_number_slow(const char *p, const char *end, uint32_t *out);

/* A number of 1 to 9 digits at p: returns where it ends, NULL when there is none. A tenth digit is left where it is.
 * Short ones are read without a loop. */
static inline const char *text_usual_number(const char *p, const char *end, uint32_t *out) {
    uint32_t v, d;
    if (__builtin_expect(end - p < 6, 0)) return text_usual_number_slow(p, end, out);
    if ((v = (uint32_t)(unsigned char)p[0] - '0') > 9) return NULL;
#define TEXT_DIGIT(i)                                                                                                  \
    if ((d = (uint32_t)(unsigned char)p[i] - '0') > 9) return *out = v, p + (i);                                       \
    v = v * 10 + d;
    TEXT_DIGIT(1)
    TEXT_DIGIT(2)
    TEXT_DIGIT(3)
    TEXT_DIGIT(4)
    TEXT_DIGIT(5)
#undef TEXT_DIGIT
    return text_usual_number_slow(p, end, out);
}

/* The decimal digits of 00 to 99, one pair after the other. */
extern const char text_pairs[200];
/* text_put_u64 of any number. */
char *text_put_long(char *out, uint64_t v);

/* Writes a number in decimal, at most 20 bytes (21 for a signed one), and returns the end. There must be room for four
 * bytes, however small the number. */
static inline char *text_put_u64(char *out, uint64_t v) {
    if (v < 10) {
        *out = (char)('0' + v);
        return out + 1;
    }
    if (v >= 10000) return text_put_long(out, v);
    /* As most sizes are: two pairs of digits are written, the zeros in front shifted out. */
    char four[4];
    const unsigned high = (unsigned)v / 100, skip = (unsigned)(v < 1000) + (v < 100);
    memcpy(four, text_pairs + 2 * high, 2);
    memcpy(four + 2, text_pairs + 2 * ((unsigned)v - 100 * high), 2);
    uint32_t digits;
    memcpy(&digits, four, 4);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    digits >>= 8 * skip;
#else
    digits <<= 8 * skip;
#endif
    memcpy(out, &digits, 4);
    return out + 4 - skip;
}
char *text_put_i64(char *out, int64_t v);

static inline bool text_is(const struct text_token *t, const char *literal, size_t n) {
    return t->n == n && memcmp(t->p, literal, n) == 0;
}
#define text_is_lit(t, literal) text_is((t), (literal), sizeof(literal) - 1)

/* text_word_end, one byte at a time. */
const char *text_word_end_slow(const char *p, const char *end, char other, char first, bool *mark);

#if defined(__SSE2__)
/* Which of the 16 bytes at p are a, b or c: a bit each. */
static inline unsigned text_hits(const char *p, __m128i a, __m128i b, __m128i c) {
    const __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
    const __m128i hits = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(x, a), _mm_cmpeq_epi8(x, b)), _mm_cmpeq_epi8(x, c));
    return (unsigned)_mm_movemask_epi8(hits);
}
#endif

/* Where a word ends: the first space, or `other` byte, at or behind p, or `end`. *mark becomes true when `first`, the
 * first byte of the key-tags marker, was passed on the way. All bytes from `base` to `end` may be read: the last ones
 * are looked at together with what lies before them. */
static inline const char *text_word_end(const char *base, const char *p, const char *end, char other, char first,
                                        bool *mark) {
#if defined(__SSE2__)
    const __m128i space = _mm_set1_epi8(' '), too = _mm_set1_epi8(other);
    __m128i bar = _mm_set1_epi8(first);
    for (;;) {
        unsigned hit;
        if (__builtin_expect(end - p >= 16, 1)) {
            hit = text_hits(p, space, too, bar);
            if (hit == 0) {
                p += 16;
                continue;
            }
        } else {
            const unsigned over = 16 - (unsigned)(end - p);
            if (end - base < 16) break;
            if (p >= end || (hit = text_hits(p - over, space, too, bar) >> over) == 0) return end;
        }
        p += __builtin_ctz(hit);
        if (__builtin_expect(*p != first, 1) || first == ' ' || first == other) return p;
        *mark = true; /* from here on only the word's end is looked for */
        first = ' ';
        bar = space;
        p++;
    }
#endif
    return text_word_end_slow(p, end, other, first, mark);
}

/* Whether the bytes from p to end hold c or, if `more`, a blank or a newline. All bytes from `base` to `end` may be
 * read. */
static inline bool text_holds(const char *base, const char *p, const char *end, char c, bool more) {
#if defined(__SSE2__)
    const __m128i one = _mm_set1_epi8(c), blank = _mm_set1_epi8(more ? ' ' : c), line = _mm_set1_epi8(more ? '\n' : c);
    if (__builtin_expect(end - base >= 16, 1)) {
        for (; end - p >= 16; p += 16)
            if (text_hits(p, one, blank, line) != 0) return true;
        return p < end && text_hits(end - 16, one, blank, line) >> (16 - (end - p)) != 0;
    }
#endif
    for (; p < end; p++)
        if (*p == c || (more && (*p == ' ' || *p == '\n'))) return true;
    return false;
}

/* The first newline at or behind p, or NULL; all bytes from `base` to `end` may be read. Most lines are short: the
 * first 64 bytes are searched in line. */
static inline const char *text_newline(const char *base, const char *p, const char *end) {
#if defined(__SSE2__)
    const __m128i newline = _mm_set1_epi8('\n');
    for (int i = 0; i < 4 && p < end && end - base >= 16; i++, p += 16) {
        const long over = end - p >= 16 ? 0 : 16 - (end - p);
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(p - over));
        unsigned stop = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(x, newline)) >> over;
        if (stop != 0) return p + __builtin_ctz(stop);
    }
#endif
    return p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
}

/* A line of set, add, replace, append, prepend or cas, without its ending. */
enum text_store_error {
    TEXT_STORE_OK,
    TEXT_STORE_FEW,    /* too few words: there is no length, so nothing is known of a block */
    TEXT_STORE_LENGTH, /* the length is no number: likewise */
    TEXT_STORE_BAD,    /* flags, exptime or id are bad, or the id is missing: the block follows and must be discarded */
};

struct text_store {
    struct text_token key;
    uint64_t length; /* of the block, at most TEXT_LENGTH_MAX */
    int64_t exptime;
    uint64_t cas;
    uint32_t flags;
    bool noreply; /* the last word, behind the length, is "noreply" */
    bool shifted; /* there is a word too many, as if the key held a blank; or one too few and the first is a number, as
                     if the key were empty: then the length may be another word */
    bool mark;    /* the key holds the first byte of the key-tags marker */
};

#define TEXT_LENGTH_MAX (INT32_MAX - 2)

/* The same of a line as clients send it: KEY FLAGS EXPTIME LENGTH from p on with single blanks between, numbers of at
 * most nine digits, ended by \r\n. Returns where the block begins; NULL when the line is any different, or not all
 * here (all bytes from `base` to `end` are): then it is for text_parse_store. */
const char *text_store_usual(const char *base, const char *p, const char *end, char first, struct text_store *out);

/* Reads any line of these commands. `at` is where the command's own word ends, `cas` whether an id belongs to it,
 * `first` the first byte of the key-tags marker. Flags and exptime are read as C programs read numbers: white space (a
 * tab, say: a blank would end the word) and a plus may come before the digits, and white space or a NUL ends them. */
enum text_store_error text_parse_store(const char *line, size_t n, size_t at, bool cas, char first,
                                       struct text_store *out);

#endif
