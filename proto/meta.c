/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/meta.h"

#include "proto/base64.h"

/* The letters every meta command knows, and those of mp. */
#define B(c) META_BIT(c)
#define COMMON                                                                                                         \
    (B('b') | B('c') | B('f') | B('h') | B('k') | B('l') | B('q') | B('s') | B('t') | B('u') | B('v') | B('x') |       \
     B('C') | B('D') | B('E') | B('F') | B('I') | B('J') | B('L') | B('M') | B('N') | B('O') | B('P') | B('R') |       \
     B('T'))
#define PURGE (B('q') | B('O') | B('k') | B('I') | B('T') | B('w') | B('n') | B('s') | B('P') | B('L'))
/* Flags that are more than their letter. */
#define VALUED                                                                                                         \
    (B('b') | B('C') | B('D') | B('E') | B('F') | B('G') | B('J') | B('L') | B('M') | B('N') | B('O') | B('R') |       \
     B('T') | B('w'))

static bool is_letter(unsigned char c) {
    return (unsigned char)((c | 0x20) - 'a') < 26;
}

static bool is_digit(unsigned char c) {
    return (unsigned char)(c - '0') < 10;
}

/* Reads one flag's value. An error does not end the reading: a later one replaces it, as memcached has it. */
static void parse_value(char letter, const char *p, size_t n, unsigned allow, const struct text_token *key,
                        char *decoded, struct meta *m, enum meta_error *error) {
    bool ok = true;
    enum meta_error bad = META_TOKEN;
    switch (letter) {
    case 'C': ok = text_u64(p, n, &m->cas); break;
    case 'E': ok = text_u64(p, n, &m->id); break;
    case 'N': ok = text_i64(p, n, &m->vivify); break;
    case 'T': ok = text_i64(p, n, &m->ttl); break;
    case 'R': ok = text_i64(p, n, &m->recache); break;
    case 'w': ok = text_u64(p, n, &m->wait_ms); break;
    case 'J': ok = text_u64(p, n, &m->initial), bad = META_INITIAL; break;
    case 'D': ok = text_u64(p, n, &m->delta), bad = META_DELTA; break;
    case 'F':
        ok = text_u32(p, n, &m->flags);
        bad = *error == META_OK ? META_FORMAT : *error;
        break;
    case 'M': m->mode = n > 0 ? (uint8_t)p[0] : 0; break;
    case 'O': m->opaque = (struct text_token){p, n}; break;
    case 'G': m->tags = (struct text_token){p, n}; break;
    case 'L':
        m->l_tags.p = m->r_tags.p = NULL;
        if (n < 2 || p[1] != '=') break;
        if ((allow & META_ALLOW_TAGS) != 0 && p[0] == 't') m->l_tags = (struct text_token){p + 2, n - 2};
        if ((allow & META_ALLOW_READ) != 0 && p[0] == 'r') m->r_tags = (struct text_token){p + 2, n - 2};
        break;
    case 'b':
        m->decoded = (uint32_t)base64_decode(key->p, key->n, decoded);
        ok = m->decoded > 0;
        bad = META_KEY;
        break;
    default: break;
    }
    if (!ok) *error = bad;
}

static uint64_t known(unsigned allow) {
    if ((allow & META_PURGE) != 0) return PURGE;
    return COMMON | ((allow & META_ALLOW_TAGS) != 0 ? B('G') : 0) | ((allow & META_ALLOW_READ) != 0 ? B('g') : 0);
}

/* Where a flag ends; most are one letter. */
static inline const char *word_end(const char *line, const char *p, const char *end) {
    bool mark = false;
    if (p + 1 == end || p[1] == ' ') return p + 1;
    return text_word_end(line, p, end, ' ', ' ', &mark);
}

enum meta_error meta_parse(const char *line, size_t n, size_t at, unsigned words, unsigned allow,
                           const struct text_token *key, char *decoded, struct meta *m) {
    const char *p = line + at, *const end = line + n, *e;
    const uint64_t allowed = known(allow);
    enum meta_error error = META_OK; /* of a value */
    enum meta_error final = META_OK; /* one that ends the reading; words are still looked at for punctuation */
    m->have = 0;
    m->norder = 0;
    m->mode = 0;
    m->opaque.n = 0;
    for (;; p = e) {
        while (p < end && *p == ' ') p++;
        if (p >= end) break;
        e = word_end(line, p, end);
        unsigned char c = (unsigned char)*p;
        if (!is_letter(c)) {
            if (!is_digit(c)) return META_FORMAT;
            if (final == META_OK) final = META_UNKNOWN;
        }
        if (++words > META_WORDS_MAX) final = META_TOO_MANY;
        if (final != META_OK) continue;
        uint64_t bit = META_BIT(c);
        if ((m->have & bit) != 0) {
            final = META_DUPLICATE;
        } else if ((bit & allowed) == 0) {
            final = META_UNKNOWN;
        } else {
            m->have |= bit;
            m->order[m->norder++] = (char)c;
            if ((bit & VALUED) != 0) parse_value((char)c, p + 1, (size_t)(e - p) - 1, allow, key, decoded, m, &error);
        }
    }
    if (final != META_OK) return final;
    if (error != META_OK) return error;
    return meta_has(m, 'O') && m->opaque.n > META_OPAQUE_MAX ? META_OPAQUE : META_OK;
}
