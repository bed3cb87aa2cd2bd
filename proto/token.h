/* SPDX-License-Identifier: BSD-3-Clause
 *
 * token - the tokens of HTTP clients, as lines of the file of --http-tokens:
 *
 *   NAME blake2b:HASH SCOPE[,SCOPE...] [tags=PREFIX[,PREFIX...]] [rate=N]
 *
 * One token a line, words parted by blanks; empty lines and lines that begin with # mean nothing. HASH is the BLAKE2b
 * digest (32 bytes in hexadecimal digits) of the secret, which is random, so no slow hash is needed. Scopes: read,
 * purge, purge_all, admin. tags: the token purges only what carries a tag that begins with one of these. rate: requests
 * a second. Pure: no I/O, no clock; any thread.
 */
#ifndef TAGCACHED_PROTO_TOKEN_H
#define TAGCACHED_PROTO_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOKEN_NAME_MAX 64
#define TOKEN_HASH_BYTES 32
#define TOKEN_PREFIXES_MAX 1024 /* bytes of all prefixes, with the commas between them */
#define TOKEN_RATE_MAX 1000000
#define TOKEN_SECRET_RANDOM 32                          /* random bytes that a secret is made of */
#define TOKEN_SECRET_TEXT (4 + 2 * TOKEN_SECRET_RANDOM) /* characters of it: tct_ and hexadecimal digits */
#define TOKEN_SECRET_MAX 256                            /* bytes of one that a client may give */
#define TOKEN_LINE_MAX 1536
#define TOKENS_MAX 256
#define TOKENS_FILE_MAX ((size_t)TOKENS_MAX * TOKEN_LINE_MAX) /* bytes of a file */

enum token_scope {
    TOKEN_READ = 1,
    TOKEN_PURGE = 2,
    TOKEN_PURGE_ALL = 4, /* of everything; does not imply TOKEN_PURGE */
    TOKEN_ADMIN = 8,     /* implies TOKEN_READ only */
};

struct token {
    char name[TOKEN_NAME_MAX + 1];
    unsigned char hash[TOKEN_HASH_BYTES];
    unsigned scopes;                       /* enum token_scope */
    unsigned rate;                         /* requests a second; 0: no bound */
    char prefixes[TOKEN_PREFIXES_MAX + 1]; /* parted by commas; "": any tag */
};

struct token_table {
    unsigned n;
    struct token tokens[];
};

/* Reads a line, no line's end in it. NULL, or a sentence that says what is wrong. */
const char *token_parse(const char *line, size_t n, struct token *out);
/* Reads scopes, parted by commas. 0: one is not known, or there is none. */
unsigned token_parse_scopes(const char *p, size_t n);
/* Whether p[0..n) may be a name: letters, digits, and . _ - : @ */
bool token_is_name(const char *p, size_t n);
/* Whether p[0..n) is a list of prefixes of tags. */
bool token_is_prefixes(const char *p, size_t n);
/* Writes the line of a token, zero-terminated, without a line's end; returns its length. */
size_t token_write(const struct token *t, char line[TOKEN_LINE_MAX]);
/* Writes the scopes as they are in a line. */
void token_write_scopes(unsigned scopes, char out[40]);

/* Reads a whole file. 0 and *out, which free() frees; -EINVAL with a sentence in why[0..size) (a bad line, a name or
 * hash twice, too many); -ENOMEM. */
int token_table_parse(const char *text, size_t n, struct token_table **out, char *why, size_t size);

/* The hash of a secret. */
void token_hash(const char *secret, size_t n, unsigned char hash[TOKEN_HASH_BYTES]);
/* Makes a secret of random bytes, zero-terminated. */
void token_secret(const unsigned char random[TOKEN_SECRET_RANDOM], char secret[TOKEN_SECRET_TEXT + 1]);
/* The token of a secret, or NULL. Looks at every token, whole, in any case. */
const struct token *token_find(const struct token_table *t, const char *secret, size_t n);
/* Whether the token's prefixes allow these selectors, joined by commas: of each one tag has one of them. */
bool token_covers(const struct token *t, const char *selectors, size_t n);

#endif
