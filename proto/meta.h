/* SPDX-License-Identifier: BSD-3-Clause
 *
 * meta - the flags of the meta commands, read in one pass. Pure functions over bytes.
 *
 * All meta commands share one set of flags, as memcached's do: a flag that is known is accepted on every command and
 * does nothing where it has no meaning. G, g, n and w are ours and known only where META_* below allows them.
 */
#ifndef TAGCACHED_PROTO_META_H
#define TAGCACHED_PROTO_META_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/text.h"

#define META_WORDS_MAX 20  /* words of a line, the command's own, key and length counted */
#define META_OPAQUE_MAX 31 /* bytes of an opaque */

/* A flag's bit in struct meta's `have`. */
#define META_BIT(letter) (1ull << ((unsigned char)(letter) - 'A'))

/* What a command knows beside the flags common to all. */
enum meta_allow {
    META_ALLOW_TAGS = 1, /* G, and L when it begins with t=, are lists of tags: mg, ms, ma */
    META_ALLOW_READ = 2, /* g; L when it begins with r= is a list of tags, too: mg */
    META_PURGE = 4,      /* mp: only q O k I T w n s P L */
};

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

struct meta {
    uint64_t have;            /* META_BITs of the flags given */
    uint64_t cas;             /* C */
    uint64_t id;              /* E */
    uint64_t initial;         /* J */
    uint64_t delta;           /* D */
    uint64_t wait_ms;         /* w */
    int64_t vivify;           /* N */
    int64_t ttl;              /* T */
    int64_t recache;          /* R */
    struct text_token opaque; /* O, without the letter */
    struct text_token tags;   /* G's list */
    struct text_token l_tags; /* with L: the list of Lt=; p NULL without one */
    struct text_token r_tags; /* likewise of Lr= */
    uint32_t flags;           /* F */
    uint32_t decoded;         /* with b: bytes of the key decoded */
    uint8_t mode;             /* M: its letter; 0 without one, or without a letter */
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
enum meta_error meta_parse(const char *line, size_t n, size_t at, unsigned words, unsigned allow,
                           const struct text_token *key, char *decoded, struct meta *out);

#endif
