/* SPDX-License-Identifier: BSD-3-Clause
 *
 * meta - the flags of the meta commands, read in one pass. Pure functions over bytes.
 *
 * meta.def has a row for each flag. A flag that a command accepts does nothing where it has no meaning, as in
 * memcached.
 */
#ifndef TAGCACHED_PROTO_META_H
#define TAGCACHED_PROTO_META_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/text.h"

#define META_WORDS_MAX 20  /* words of a line, the command's own, key and length counted */
#define META_OPAQUE_MAX 31 /* bytes of an opaque */

/* A letter's bit in a set of flags: the lower six bits of its code are no other letter's. */
#define META_BIT(letter) (1ull << ((letter)&63))

enum meta_command { META_MG, META_MS, META_MD, META_MA, META_MP, META_COMMANDS };

enum meta_error {
    META_OK,
    META_FORMAT,    /* CLIENT_ERROR bad command line format */
    META_TOO_MANY,  /* CLIENT_ERROR options flags are too long */
    META_DUPLICATE, /* CLIENT_ERROR duplicate flag */
    META_UNKNOWN,   /* CLIENT_ERROR invalid flag */
    META_TOKEN,     /* CLIENT_ERROR bad token in command line format */
    META_INITIAL,   /* CLIENT_ERROR invalid numeric initial value */
    META_DELTA,     /* CLIENT_ERROR invalid numeric delta value */
    META_KEY,       /* CLIENT_ERROR error decoding key */
    META_OPAQUE,    /* CLIENT_ERROR opaque token too long (known only after everything else was found right) */
};

/* The flags of a line: for each row of meta.def with an argument the field that receives it. Those of flags that were
 * not given mean nothing. */
struct meta {
    uint64_t have; /* META_BITs of the flags given */
#define META_FIELD_NOTHING(member)
#define META_FIELD_U32(member) uint32_t member;
#define META_FIELD_U64(member) uint64_t member;
#define META_FIELD_I64(member) int64_t member;
#define META_FIELD_LETTER(member) uint8_t member;         /* 0: there is no letter */
#define META_FIELD_TEXT(member) struct text_token member; /* without the flag's own letter */
#define META_FIELD_KEY(member) uint32_t member;           /* bytes of the key decoded */
#define META_FIELD_LISTS(member)
#define META_FLAG(letter, argument, commands, kind, member, ...) META_FIELD_##kind(member)
#include "proto/meta.def"
#undef META_FLAG
    struct text_token l_tags; /* with L: the list of Lt=; p NULL without one */
    struct text_token r_tags; /* likewise of Lr= */
    uint8_t norder;
    char order[META_WORDS_MAX]; /* the letters in the order they came */
};

static inline bool meta_has(const struct meta *m, char letter) {
    return (m->have & META_BIT(letter)) != 0;
}

/*
 * Reads the flags line[at..n), before which the line had `words` words. `key` is decoded from base64 into
 * `decoded`, which holds 3 bytes for each 4 of it, when b is among them. On an error the rest of *out means nothing.
 */
enum meta_error meta_parse(const char *line, size_t n, size_t at, unsigned words, enum meta_command command,
                           const struct text_token *key, char *decoded, struct meta *out);

/* The flags of a line that the quick path of its command serves. The letters in their order are those of the line. */
struct meta_usual {
    uint64_t have;            /* META_BITs of the flags given */
    struct text_token opaque; /* O */
    uint32_t ttl, flags;      /* T, F; 0 without them */
};

static inline bool meta_usual_has(const struct meta_usual *m, char letter) {
    return (m->have & META_BIT(letter)) != 0;
}

/* Reads flags as clients send them: one blank before each, none twice, each of the command's quick ones, numbers of at
 * most nine digits, ended by \r\n. p is where the first one's blank should be. Returns where the next line begins; NULL
 * when the line is any different, or not all here (all bytes from `base` to `end` are): then it is for meta_parse. */
const char *meta_read_usual(const char *base, const char *p, const char *end, enum meta_command command,
                            struct meta_usual *out);

/* The next of the flags that meta_read_usual accepted, p being where its blank is, or their end. Returns where the next
 * one's blank is, or NULL when there was none; *letter is its letter. */
static inline const char *meta_next_usual(const struct meta_usual *m, const char *p, char *letter) {
    if (*p != ' ') return NULL;
    *letter = p[1];
    p += 2;
    if (*letter == 'O') return p + m->opaque.n;
    while (*p > ' ') p++; /* an argument */
    return p;
}

#endif
