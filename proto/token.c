/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/token.h"

#include <ctype.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/keytags.h"
#include "proto/text.h"

#define HASH_MARK "blake2b:"
#define SECRET_MARK "tct_"

static const struct {
    const char *name;
    unsigned scope;
} scope_names[] = {
    {"read", TOKEN_READ}, {"purge", TOKEN_PURGE}, {"purge_all", TOKEN_PURGE_ALL}, {"admin", TOKEN_ADMIN}};

#define NSCOPES (sizeof scope_names / sizeof *scope_names)

/* ------------------------------------------------------------------ words of a line */

static bool is_word(const char *p, size_t n, const char *word) {
    return strlen(word) == n && memcmp(p, word, n) == 0;
}

bool token_is_name(const char *p, size_t n) {
    if (n == 0 || n > TOKEN_NAME_MAX || p[0] == '#') return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)p[i]) && memchr("._-:@", p[i], 5) == NULL) return false;
    return true;
}

unsigned token_parse_scopes(const char *p, size_t n) {
    unsigned scopes = 0;
    for (size_t at = 0; at <= n;) {
        const char *comma = memchr(p + at, ',', n - at);
        const size_t length = comma != NULL ? (size_t)(comma - p) - at : n - at;
        unsigned i = 0;
        while (i < NSCOPES && !is_word(p + at, length, scope_names[i].name)) i++;
        if (i == NSCOPES) return 0;
        scopes |= scope_names[i].scope;
        at += length + 1;
    }
    return scopes;
}

void token_write_scopes(unsigned scopes, char out[40]) {
    size_t n = 0;
    for (unsigned i = 0; i < NSCOPES; i++)
        if ((scopes & scope_names[i].scope) != 0)
            n += (size_t)sprintf(out + n, "%s%s", n > 0 ? "," : "", scope_names[i].name);
    out[n] = '\0';
}

bool token_is_prefixes(const char *p, size_t n) {
    return n <= TOKEN_PREFIXES_MAX && keytags_is_list(p, n);
}

static bool read_rate(const char *p, size_t n, unsigned *rate) {
    int64_t value;
    if (!text_i64(p, n, &value) || value < 1 || value > TOKEN_RATE_MAX) return false;
    *rate = (unsigned)value;
    return true;
}

static bool read_hash(const char *p, size_t n, unsigned char hash[TOKEN_HASH_BYTES]) {
    const size_t mark = sizeof HASH_MARK - 1;
    size_t got;
    return n == mark + 2 * (size_t)TOKEN_HASH_BYTES && memcmp(p, HASH_MARK, mark) == 0 &&
           sodium_hex2bin(hash, TOKEN_HASH_BYTES, p + mark, n - mark, NULL, &got, NULL) == 0 && got == TOKEN_HASH_BYTES;
}

/* One of the words behind the scopes. */
static const char *read_option(const char *p, size_t n, struct token *t) {
    static const char tags[] = "tags=", rate[] = "rate=";
    const size_t skip = sizeof tags - 1;
    if (n > skip && memcmp(p, tags, skip) == 0 && t->prefixes[0] == '\0') {
        if (!token_is_prefixes(p + skip, n - skip)) return "tags= takes prefixes of tags, parted by commas";
        memcpy(t->prefixes, p + skip, n - skip);
        return NULL;
    }
    if (n > skip && memcmp(p, rate, skip) == 0 && t->rate == 0)
        return read_rate(p + skip, n - skip, &t->rate) ? NULL : "rate= takes a number from 1 to 1000000";
    return "behind the scopes come tags= and rate=, each once";
}

const char *token_parse(const char *line, size_t n, struct token *out) {
    struct text_token word;
    size_t at = 0;
    const char *why = NULL;
    memset(out, 0, sizeof *out);
    if (!text_next(line, n, &at, &word) || !token_is_name(word.p, word.n))
        return "a name has 1 to 64 letters, digits, and . _ - : @";
    memcpy(out->name, word.p, word.n);
    if (!text_next(line, n, &at, &word) || !read_hash(word.p, word.n, out->hash))
        return "behind the name comes blake2b: and 64 hexadecimal digits";
    if (!text_next(line, n, &at, &word) || (out->scopes = token_parse_scopes(word.p, word.n)) == 0)
        return "scopes are read, purge, purge_all and admin, parted by commas";
    while (why == NULL && text_next(line, n, &at, &word)) why = read_option(word.p, word.n, out);
    return why;
}

size_t token_write(const struct token *t, char line[TOKEN_LINE_MAX]) {
    char hash[2 * TOKEN_HASH_BYTES + 1], scopes[40], rate[24] = "";
    sodium_bin2hex(hash, sizeof hash, t->hash, sizeof t->hash);
    token_write_scopes(t->scopes, scopes);
    if (t->rate != 0) snprintf(rate, sizeof rate, " rate=%u", t->rate);
    return (size_t)snprintf(line, TOKEN_LINE_MAX, "%s " HASH_MARK "%s %s%s%s%s", t->name, hash, scopes,
                            t->prefixes[0] != '\0' ? " tags=" : "", t->prefixes, rate);
}

/* ------------------------------------------------------------------ the file */

static const char *add_line(struct token_table *t, const char *line, size_t n) {
    struct token *fresh = &t->tokens[t->n];
    if (t->n == TOKENS_MAX) return "there are more than 256 tokens";
    const char *why = token_parse(line, n, fresh);
    if (why != NULL) return why;
    for (unsigned i = 0; i < t->n; i++) {
        if (strcmp(t->tokens[i].name, fresh->name) == 0) return "this name is there already";
        if (memcmp(t->tokens[i].hash, fresh->hash, sizeof fresh->hash) == 0) return "this hash is there already";
    }
    t->n++;
    return NULL;
}

int token_table_parse(const char *text, size_t n, struct token_table **out, char *why, size_t size) {
    struct token_table *t = calloc(1, sizeof *t + (TOKENS_MAX + 1) * sizeof *t->tokens);
    unsigned number = 0;
    if (t == NULL) return -ENOMEM;
    for (size_t at = 0; at < n;) {
        const char *line = text + at, *newline = memchr(line, '\n', n - at);
        size_t length = newline != NULL ? (size_t)(newline - line) : n - at;
        at += length + 1;
        number++;
        while (length > 0 && isspace((unsigned char)line[length - 1])) length--;
        if (length == 0 || line[0] == '#') continue;
        const char *wrong = add_line(t, line, length);
        if (wrong == NULL) continue;
        snprintf(why, size, "line %u: %s", number, wrong);
        free(t);
        return -EINVAL;
    }
    *out = t;
    return 0;
}

/* ------------------------------------------------------------------ secrets */

void token_hash(const char *secret, size_t n, unsigned char hash[TOKEN_HASH_BYTES]) {
    crypto_generichash(hash, TOKEN_HASH_BYTES, (const unsigned char *)secret, n, NULL, 0);
}

void token_secret(const unsigned char random[TOKEN_SECRET_RANDOM], char secret[TOKEN_SECRET_TEXT + 1]) {
    memcpy(secret, SECRET_MARK, sizeof SECRET_MARK - 1);
    sodium_bin2hex(secret + sizeof SECRET_MARK - 1, 2 * TOKEN_SECRET_RANDOM + 1, random, TOKEN_SECRET_RANDOM);
}

const struct token *token_find(const struct token_table *t, const char *secret, size_t n) {
    unsigned char hash[TOKEN_HASH_BYTES];
    const struct token *found = NULL;
    if (n == 0 || n > TOKEN_SECRET_MAX) return NULL;
    token_hash(secret, n, hash);
    for (unsigned i = 0; i < t->n; i++)
        if (sodium_memcmp(hash, t->tokens[i].hash, sizeof hash) == 0) found = &t->tokens[i];
    return found;
}

/* ------------------------------------------------------------------ prefixes */

static bool has_prefix(const char *prefixes, struct text_token tag) {
    const size_t n = strlen(prefixes);
    struct text_token prefix;
    for (size_t at = 0; keytags_next(prefixes, n, ',', &at, &prefix) > 0;)
        if (tag.n >= prefix.n && memcmp(tag.p, prefix.p, prefix.n) == 0) return true;
    return false;
}

bool token_covers(const struct token *t, const char *selectors, size_t n) {
    struct text_token selector, tag;
    if (t->prefixes[0] == '\0') return true;
    for (size_t at = 0; keytags_next_selector(selectors, n, &at, &selector) > 0;) {
        bool found = false;
        for (size_t i = 0; !found && keytags_next(selector.p, selector.n, '+', &i, &tag) > 0;)
            found = has_prefix(t->prefixes, tag);
        if (!found) return false;
    }
    return true;
}
