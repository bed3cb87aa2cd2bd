/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/meta.h"

#include "proto/base64.h"

/* ------------------------------------------------------------------ what the rows say */

enum { MG = 1 << META_MG, MS = 1 << META_MS, MD = 1 << META_MD, MA = 1 << META_MA, MP = 1 << META_MP };
enum { KEYED = MG | MS | MD | MA };

enum kind { NOTHING, U32, U64, I64, LETTER, TEXT, LISTS, KEY };

/* Of each byte: whether it is a flag, and of what kind. */
static const struct flag {
    uint8_t commands, quick; /* sets of commands */
    uint8_t kind;            /* enum kind */
    uint8_t unused;          /* so that one is four bytes */
} flags[256] = {
#define META_FLAG(letter, argument, commands, kind, member, error, quick, ...)                                         \
    [letter] = {(commands), (quick), (kind), 0},
#include "proto/meta.def"
#undef META_FLAG
};

static bool is_letter(unsigned char c) {
    return (unsigned char)((c | 0x20) - 'a') < 26;
}

static bool is_digit(unsigned char c) {
    return (unsigned char)(c - '0') < 10;
}

/* ------------------------------------------------------------------ any line */

/* What is known while the flags of a line are read. */
struct reading {
    enum meta_command command;
    const struct text_token *key;
    char *decoded;
    struct meta *m;
    enum meta_error error; /* of an argument: the last one is told, as in memcached */
};

static void read_lists(const struct reading *g, const char *p, size_t n) {
    struct meta *m = g->m;
    const bool tags = (flags['G'].commands >> g->command & 1) != 0, reads = g->command == META_MG;
    m->l_tags.p = m->r_tags.p = NULL;
    if (n < 2 || p[1] != '=') return;
    if (tags && p[0] == 't') m->l_tags = (struct text_token){p + 2, n - 2};
    if (reads && p[0] == 'r') m->r_tags = (struct text_token){p + 2, n - 2};
}

/* How each kind of argument p[0..n) is read; false when it cannot be. */
#define READ_NOTHING(member) true
#define READ_U32(member) text_u32(p, n, &g->m->member)
#define READ_U64(member) text_u64(p, n, &g->m->member)
#define READ_I64(member) text_i64(p, n, &g->m->member)
#define READ_LETTER(member) (g->m->member = n > 0 ? (uint8_t)p[0] : 0, true)
#define READ_TEXT(member) (g->m->member = (struct text_token){p, n}, true)
#define READ_LISTS(member) (read_lists(g, p, n), true)
#define READ_KEY(member) ((g->m->member = (uint32_t)base64_decode(g->key->p, g->key->n, g->decoded)) > 0)

/* Reads one flag's argument. An error does not end the reading. */
static void read_argument(struct reading *g, char letter, const char *p, size_t n) {
    enum meta_error bad = META_OK;
    switch (letter) {
#define META_FLAG(letter, argument, commands, kind, member, error, ...)                                                \
    case letter:                                                                                                       \
        if (!READ_##kind(member)) bad = (error);                                                                       \
        break;
#include "proto/meta.def"
#undef META_FLAG
    default: break;
    }
    if (bad != META_OK && (bad != META_FORMAT || g->error == META_OK)) g->error = bad;
}

/* Where a flag ends; most are one letter. */
static inline const char *word_end(const char *line, const char *p, const char *end) {
    bool mark = false;
    if (p + 1 == end || p[1] == ' ') return p + 1;
    return text_word_end(line, p, end, ' ', ' ', &mark);
}

enum meta_error meta_parse(const char *line, size_t n, size_t at, unsigned words, enum meta_command command,
                           const struct text_token *key, char *decoded, struct meta *m) {
    const char *p = line + at, *const end = line + n, *e;
    struct reading g = {.command = command, .key = key, .decoded = decoded, .m = m, .error = META_OK};
    enum meta_error final = META_OK; /* one that ends the reading; words are still looked at for punctuation */
    m->have = 0;
    m->norder = 0;
    for (;; p = e) {
        while (p < end && *p == ' ') p++;
        if (p >= end) break;
        e = word_end(line, p, end);
        const unsigned char c = (unsigned char)*p;
        if (!is_letter(c)) {
            if (!is_digit(c)) return META_FORMAT;
            if (final == META_OK) final = META_UNKNOWN;
        }
        if (++words > META_WORDS_MAX) final = META_TOO_MANY;
        if (final != META_OK) continue;
        const uint64_t bit = META_BIT(c);
        const struct flag *f = &flags[c];
        if ((m->have & bit) != 0) {
            final = META_DUPLICATE;
        } else if ((f->commands >> command & 1) == 0) {
            final = META_UNKNOWN;
        } else {
            m->have |= bit;
            m->order[m->norder++] = (char)c;
            if (f->kind != NOTHING) read_argument(&g, (char)c, p + 1, (size_t)(e - p) - 1);
        }
    }
    if (final != META_OK) return final;
    if (g.error != META_OK) return g.error;
    return meta_has(m, 'O') && m->opaque.n > META_OPAQUE_MAX ? META_OPAQUE : META_OK;
}

/* ------------------------------------------------------------------ lines as clients send them */

/* The argument of a flag that has one, from p on. Returns where it ends; NULL: it is not a usual one. */
static const char *usual_argument(const char *base, const char *p, const char *end, char letter,
                                  struct meta_usual *out) {
    bool mark = false;
    switch (letter) {
    case 'T': return text_usual_number(p, end, &out->ttl);
    case 'F': return text_usual_number(p, end, &out->flags);
    case 'M': return p < end && *p == 'S' ? p + 1 : NULL; /* a mode of ms: set, as without it */
    case 'O': {
        const char *e = text_word_end(base, p, end, '\n', '\n', &mark);
        if (e < end && *e == '\n' && e > p && e[-1] == '\r') e--;
        out->opaque = (struct text_token){p, (size_t)(e - p)};
        return out->opaque.n <= META_OPAQUE_MAX ? e : NULL;
    }
    default: return NULL;
    }
}

const char *meta_read_usual(const char *base, const char *p, const char *end, enum meta_command command,
                            struct meta_usual *out) {
    const unsigned served = 1u << command;
    uint64_t have = 0;
    out->ttl = out->flags = 0;
    while (end - p >= 2 && *p == ' ') {
        const unsigned char c = (unsigned char)p[1];
        const struct flag *f = &flags[c];
        if ((f->quick & served) == 0 || (have & META_BIT(c)) != 0) return NULL;
        have |= META_BIT(c);
        p += 2;
        if (f->kind == NOTHING) continue;
        p = usual_argument(base, p, end, (char)c, out);
        if (p == NULL) return NULL;
    }
    if (end - p < 2 || p[0] != '\r' || p[1] != '\n') return NULL;
    out->have = have;
    return p + 2;
}
