/* SPDX-License-Identifier: BSD-3-Clause */
#include "http/tokens.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sync.h"
#include "proto/base64.h"

#define NS_IN_S UINT64_C(1000000000)

/* What was read, and how much each token has done of late. */
struct table {
    struct token_table *file;
    uint64_t due_ns[TOKENS_MAX]; /* the time at which what it did would have been spread at its rate */
};

struct tokens {
    char *path;
    const struct clock *clock;
    struct http_actors actors;
    struct table *now;
    struct table *fresh;      /* atomic: read again, not gone by yet */
    struct token_table *last; /* what was read last, for whoever reads it again */
};

/* ------------------------------------------------------------------ the file */

static void table_free(struct table *t) {
    if (t != NULL) free(t->file);
    free(t);
}

static const char *refuse_mode(const struct stat *st) {
    if (!S_ISREG(st->st_mode)) return "is no file";
    if ((st->st_mode & S_IRWXO) != 0) return "may be read by others: chmod o= takes that away";
    return (st->st_mode & S_IWGRP) != 0 ? "may be written by its group: chmod g-w takes that away" : NULL;
}

/* The contents; NULL with a sentence. */
static char *read_file(const char *path, size_t *n, char *err, size_t size) {
    struct stat st;
    const char *wrong = NULL;
    char *text = NULL;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
    if (f == NULL || fstat(fd, &st) != 0)
        wrong = strerror(errno);
    else if ((wrong = refuse_mode(&st)) == NULL && (text = malloc(TOKENS_FILE_MAX + 1)) == NULL)
        wrong = "out of memory";
    if (wrong == NULL) {
        *n = fread(text, 1, TOKENS_FILE_MAX + 1, f);
        if (ferror(f)) wrong = "cannot be read";
        if (*n > TOKENS_FILE_MAX) wrong = "is too long";
    }
    if (f != NULL)
        fclose(f);
    else if (fd >= 0)
        close(fd);
    if (wrong == NULL) return text;
    snprintf(err, size, "--http-tokens %s: %s", path, wrong);
    free(text);
    return NULL;
}

static int table_new(const char *path, struct table **out, char *err, size_t size) {
    char why[128];
    size_t n = 0;
    char *text = read_file(path, &n, err, size);
    if (text == NULL) return -EINVAL;
    struct table *t = calloc(1, sizeof *t);
    int r = t == NULL ? -ENOMEM : token_table_parse(text, n, &t->file, why, sizeof why);
    if (r == -EINVAL) snprintf(err, size, "--http-tokens %s: %s", path, why);
    if (r == -ENOMEM) snprintf(err, size, "--http-tokens %s: out of memory", path);
    free(text);
    if (r == 0)
        *out = t;
    else
        table_free(t);
    return r;
}

/* A table of its own for whoever reads the file again: the listener's thread frees its own when it likes. */
static struct token_table *copy_of(const struct token_table *t) {
    const size_t n = sizeof *t + t->n * sizeof t->tokens[0];
    struct token_table *copy = malloc(n);
    if (copy != NULL) memcpy(copy, t, n);
    return copy;
}

static const struct token *by_name(const struct token_table *t, const char *name) {
    for (unsigned i = 0; i < t->n; i++)
        if (strcmp(t->tokens[i].name, name) == 0) return &t->tokens[i];
    return NULL;
}

static bool is_same(const struct token *a, const struct token *b) {
    return memcmp(a->hash, b->hash, sizeof a->hash) == 0 && a->scopes == b->scopes && a->rate == b->rate &&
           strcmp(a->prefixes, b->prefixes) == 0;
}

static char *changes_between(const struct token_table *before, const struct token_table *after) {
    char *text = malloc((before->n + after->n) * (TOKEN_NAME_MAX + sizeof " created=") + 1);
    size_t n = 0;
    if (text == NULL) return NULL;
    for (unsigned i = 0; i < after->n; i++) {
        const struct token *t = &after->tokens[i], *was = by_name(before, t->name);
        if (was == NULL || !is_same(was, t))
            n += (size_t)sprintf(text + n, "%s%s=%s", n > 0 ? " " : "", was == NULL ? "created" : "changed", t->name);
    }
    for (unsigned i = 0; i < before->n; i++)
        if (by_name(after, before->tokens[i].name) == NULL)
            n += (size_t)sprintf(text + n, "%srevoked=%s", n > 0 ? " " : "", before->tokens[i].name);
    if (n > 0) return text;
    free(text);
    return NULL;
}

int tokens_reload(struct tokens *t, char **changes, char *err, size_t err_size) {
    struct table *fresh;
    const int r = table_new(t->path, &fresh, err, err_size);
    *changes = NULL;
    if (r != 0) return r;
    struct token_table *last = copy_of(fresh->file);
    if (last != NULL) {
        *changes = changes_between(t->last, last);
        free(t->last);
        t->last = last;
    }
    table_free(sync_exchange(&t->fresh, fresh));
    return 0;
}

/* ------------------------------------------------------------------ who */

/* Goes by what was read last. */
static void adopt(struct tokens *t) {
    if (sync_load(&t->fresh) == NULL) return;
    struct table *old = t->now;
    t->now = sync_exchange(&t->fresh, (struct table *)NULL);
    table_free(old);
}

/* What follows a word and blanks; false: it is another word. */
static bool behind(struct text_token text, const char *word, struct text_token *rest) {
    const size_t n = strlen(word);
    if (text.n <= n || strncasecmp(text.p, word, n) != 0 || text.p[n] != ' ') return false;
    *rest = (struct text_token){text.p + n, text.n - n};
    while (rest->n > 0 && rest->p[0] == ' ') rest->p++, rest->n--;
    return true;
}

/* The password of Basic: what follows the colon. */
static const struct token *find_basic(const struct token_table *t, struct text_token coded) {
    char text[TOKEN_SECRET_MAX * 2];
    if (coded.n == 0 || coded.n / 4 * 3 > sizeof text) return NULL;
    const size_t n = base64_decode(coded.p, coded.n, text);
    const char *colon = memchr(text, ':', n);
    const struct token *who = colon == NULL ? NULL : token_find(t, colon + 1, n - (size_t)(colon + 1 - text));
    sodium_memzero(text, sizeof text);
    return who;
}

/* Of several tokens the first one that is known counts. */
static const void *find(void *arg, const struct http_request *r) {
    static const char *const headers[] = {"Fastly-Key", "X-Auth-Key", "AccessKey", "X-Tagcached-Token"};
    struct tokens *t = arg;
    struct text_token value, rest;
    const struct token *who = NULL;
    adopt(t);
    for (unsigned i = 0; who == NULL && i < sizeof headers / sizeof *headers; i++) {
        value = http_request_first(r, headers[i]);
        if (value.n > 0) who = token_find(t->now->file, value.p, value.n);
    }
    value = http_request_first(r, "Authorization");
    if (who != NULL || value.p == NULL) return who;
    if (behind(value, "Bearer", &rest)) return token_find(t->now->file, rest.p, rest.n);
    return behind(value, "Basic", &rest) ? find_basic(t->now->file, rest) : NULL;
}

/* ------------------------------------------------------------------ what */

/* Takes one from the token's rate: a second's worth may come at once. */
static bool take(struct table *t, const struct token *who, uint64_t now_ns) {
    uint64_t *due_ns = &t->due_ns[who - t->file->tokens];
    const uint64_t each_ns = who->rate == 0 ? 0 : NS_IN_S / who->rate;
    if (*due_ns < now_ns) *due_ns = now_ns;
    if (*due_ns - now_ns + each_ns > NS_IN_S) return false;
    *due_ns += each_ns;
    return true;
}

static unsigned refuses(void *arg, const void *actor, enum http_scope scope) {
    static const unsigned needs[] = {
        [HTTP_READ] = TOKEN_READ | TOKEN_ADMIN,
        [HTTP_SCOPE_PURGE] = TOKEN_PURGE | TOKEN_PURGE_ALL, /* which of them shows when it is read: tokens_refuse */
        [HTTP_SCOPE_PURGE_ALL] = TOKEN_PURGE_ALL,
        [HTTP_ADMIN] = TOKEN_ADMIN,
    };
    struct tokens *t = arg;
    const struct token *who = actor;
    if ((who->scopes & needs[scope]) == 0) return 403;
    return take(t->now, who, clock_boot_ns(t->clock)) ? 0 : 429;
}

const char *tokens_refuse(const struct token *who, bool all, const char *selectors, size_t n) {
    if (all && (who->scopes & TOKEN_PURGE_ALL) == 0) return "this token may not purge everything";
    if (!all && (who->scopes & TOKEN_PURGE) == 0) return "this token may not purge tags";
    return token_covers(who, selectors, n) ? NULL : "this token may purge some tags only, and this is none of them";
}

/* ------------------------------------------------------------------ life */

int tokens_new(const char *path, const struct clock *clock, struct tokens **out, char *err, size_t err_size) {
    struct tokens *t = calloc(1, sizeof *t);
    if (t == NULL) return -ENOMEM;
    int r = (t->path = strdup(path)) == NULL ? -ENOMEM : table_new(path, &t->now, err, err_size);
    if (r == 0 && (t->last = copy_of(t->now->file)) == NULL) r = -ENOMEM;
    t->clock = clock;
    t->actors = (struct http_actors){t, find, refuses};
    if (r == 0)
        *out = t;
    else
        tokens_free(t);
    return r;
}

void tokens_free(struct tokens *t) {
    if (t == NULL) return;
    table_free(t->now);
    table_free(t->fresh);
    free(t->last);
    free(t->path);
    free(t);
}

const struct http_actors *tokens_actors(const struct tokens *t) {
    return &t->actors;
}
