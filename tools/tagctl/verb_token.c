/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The file of HTTP clients' tokens (--http-tokens; proto/token.h). No node is asked: the operator has the file read
 * again.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/token.h"
#include "tools/tagctl/table.h"
#include "tools/tagctl/tagctl.h"
#include "tools/tagctl/verbs.h"

static const struct table_column columns[] = {{"NAME", "name", TABLE_TEXT},
                                              {"SCOPES", "scopes", TABLE_TEXT},
                                              {"TAGS", "tags", TABLE_TEXT},
                                              {"RATE", "rate", TABLE_NUMBER}};

/* The file as it is. */
struct tokens_file {
    const char *path;
    char text[TOKENS_FILE_MAX + 1];
    size_t n;
    struct stat st; /* st_mode 0: there is none yet */
    struct token_table *table;
};
static struct tokens_file file; /* the one that a run of this program is about */

static void file_free(void) {
    free(file.table);
}

/* Reads it; file_free behind it, whatever it returns. */
static int file_read(struct ctl *c, bool must_be) {
    struct tokens_file *f = &file;
    char why[128];
    f->path = c->opt.file;
    if (!f->path)
        return complain(USAGE, "--file names the file of tokens, which the server was given as --http-tokens");
    FILE *in = fopen(f->path, "re");
    if (!in && (must_be || errno != ENOENT))
        return complain(errno == ENOENT ? NOT_FOUND : FAILED, "cannot read %s: %s", f->path, strerror(errno));
    if (in) {
        f->n = fread(f->text, 1, sizeof f->text, in);
        const bool bad = ferror(in) || fstat(fileno(in), &f->st) != 0 || f->n == sizeof f->text;
        fclose(in);
        if (bad) return complain(FAILED, "cannot read %s", f->path);
    }
    if (token_table_parse(f->text, f->n, &f->table, why, sizeof why) != 0)
        return complain(FAILED, "%s: %s", f->path, why);
    return DONE;
}

static bool write_all(int fd, const char *p, size_t n) {
    while (n > 0) {
        const ssize_t r = write(fd, p, n);
        if (r < 0 && errno == EINTR) continue;
        if (r <= 0) return false;
        p += r;
        n -= (size_t)r;
    }
    return true;
}

/* Puts a new file in the place of the old one, with its owner and mode; a server that reads meanwhile sees either. */
static int file_replace(const struct tokens_file *f, const char *text, size_t n) {
    char *fresh;
    if (asprintf(&fresh, "%s.new", f->path) < 0) return complain(FAILED, "no memory");
    const int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool good = fd >= 0;
    if (good && f->st.st_mode) {
        good = fchown(fd, f->st.st_uid, f->st.st_gid) == 0 && fchmod(fd, f->st.st_mode & 07777) == 0;
    }
    good = good && write_all(fd, text, n) && fsync(fd) == 0 && rename(fresh, f->path) == 0;
    const int error = errno;
    if (fd >= 0) close(fd);
    if (fd >= 0 && !good) unlink(fresh);
    free(fresh);
    return good ? DONE : complain(FAILED, "cannot write %s: %s", f->path, strerror(error));
}

/* ------------------------------------------------------------------ create */

/* What was typed, as a token without its hash. */
static int read_options(const struct ctl *c, struct token *t) {
    const struct options *o = &c->opt;
    char *end;
    memset(t, 0, sizeof *t);
    if (!token_is_name(c->args[0], strlen(c->args[0])))
        return complain(USAGE, "a token's name has 1 to 64 letters, digits, and . _ - : @");
    strcpy(t->name, c->args[0]);
    t->scopes = o->scope ? token_parse_scopes(o->scope, strlen(o->scope)) : TOKEN_PURGE;
    if (!t->scopes) return complain(USAGE, "--scope takes read, purge, purge_all and admin, parted by commas");
    if (o->prefixes && !token_is_prefixes(o->prefixes, strlen(o->prefixes)))
        return complain(USAGE, "--tags takes prefixes of tags, parted by commas");
    if (o->prefixes) strcpy(t->prefixes, o->prefixes);
    const long rate = o->rate ? strtol(o->rate, &end, 10) : 0;
    if (o->rate && (*end || rate < 1 || rate > TOKEN_RATE_MAX))
        return complain(USAGE, "--rate takes requests a second, from 1 to %d", TOKEN_RATE_MAX);
    t->rate = (unsigned)rate;
    return DONE;
}

/* Adds the token's line to the file. */
static int add(const struct tokens_file *f, const struct token *t) {
    char line[TOKEN_LINE_MAX], *text = malloc(f->n + TOKEN_LINE_MAX + 2);
    size_t n = f->n;
    if (!text) return complain(FAILED, "no memory");
    memcpy(text, f->text, n);
    if (n > 0 && text[n - 1] != '\n') text[n++] = '\n';
    const size_t length = token_write(t, line);
    memcpy(text + n, line, length);
    n += length;
    text[n++] = '\n';
    const int status = file_replace(f, text, n);
    free(text);
    return status;
}

static int create(struct ctl *c, const struct tokens_file *f, struct token *t) {
    unsigned char random[TOKEN_SECRET_RANDOM];
    char secret[TOKEN_SECRET_TEXT + 1];
    bool go;
    for (unsigned i = 0; i < f->table->n; i++)
        if (!strcmp(f->table->tokens[i].name, t->name))
            return complain(FAILED, "%s has a token %s already; `tagctl token revoke %s` ends it", f->path, t->name,
                            t->name);
    if (f->table->n == TOKENS_MAX) return complain(FAILED, "%s has %d tokens already", f->path, TOKENS_MAX);
    int status = ctl_confirm(c, false, &go, "a token %s would be added to %s", t->name, f->path);
    if (status || !go) return status;
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return complain(FAILED, "this machine has no random numbers");
    token_secret(random, secret);
    token_hash(secret, strlen(secret), t->hash);
    status = add(f, t);
    if (status) return status;
    if (c->output == OUTPUT_JSON)
        json_print(json_pack("{s:s,s:s}", "name", t->name, "token", secret));
    else
        printf("%s: kept nowhere else; the server goes by it when it has read the file again (SIGHUP)\n%s\n", t->name,
               secret);
    return DONE;
}

int verb_token_create(struct ctl *c) {
    struct token t;
    int status = read_options(c, &t);
    if (!status) status = file_read(c, false);
    if (!status) status = create(c, &file, &t);
    file_free();
    return status;
}

/* ------------------------------------------------------------------ ls */

int verb_token_ls(struct ctl *c) {
    const struct tokens_file *f = &file;
    struct table t;
    const int status = file_read(c, true);
    table_init(&t, columns, sizeof columns / sizeof *columns);
    for (unsigned i = 0; !status && i < f->table->n; i++) {
        const struct token *k = &f->table->tokens[i];
        char scopes[40];
        token_write_scopes(k->scopes, scopes);
        table_text(&t, k->name);
        table_text(&t, scopes);
        table_text(&t, k->prefixes[0] ? k->prefixes : NULL);
        table_number(&t, k->rate ? k->rate : NAN);
    }
    if (!status && c->output == OUTPUT_JSON)
        json_print(json_pack("{s:o}", "tokens", table_json(&t)));
    else if (!status)
        table_print(&t, c);
    table_free(&t);
    file_free();
    return status;
}

/* ------------------------------------------------------------------ revoke */

/* The file without the token's line; everything else stays as it is. */
static int take_out(const struct tokens_file *f, const char *name) {
    char *text = malloc(f->n + 1);
    size_t n = 0;
    if (!text) return complain(FAILED, "no memory");
    for (size_t at = 0; at < f->n;) {
        const char *line = f->text + at, *newline = memchr(line, '\n', f->n - at);
        const size_t length = newline ? (size_t)(newline - line) + 1 : f->n - at, word = strlen(name);
        const size_t blanks = strspn(line, " \t");
        at += length;
        if (blanks + word < length && !memcmp(line + blanks, name, word) && strchr(" \t", line[blanks + word]))
            continue;
        memcpy(text + n, line, length);
        n += length;
    }
    const int status = file_replace(f, text, n);
    free(text);
    return status;
}

int verb_token_revoke(struct ctl *c) {
    const struct tokens_file *f = &file;
    bool go = false, found = false;
    int status = file_read(c, true);
    for (unsigned i = 0; !status && i < f->table->n; i++) found |= !strcmp(f->table->tokens[i].name, c->args[0]);
    if (!status && !found) status = complain(NOT_FOUND, "%s has no token %.100s", f->path, c->args[0]);
    if (!status) status = ctl_confirm(c, true, &go, "the token %s would be taken out of %s", c->args[0], f->path);
    if (!status && go && !(status = take_out(f, c->args[0]))) {
        if (c->output == OUTPUT_JSON)
            json_print(json_pack("{s:s,s:b}", "name", c->args[0], "revoked", 1));
        else
            printf("%s: taken out; the server goes by it when it has read the file again (SIGHUP)\n", c->args[0]);
    }
    file_free();
    return status;
}
