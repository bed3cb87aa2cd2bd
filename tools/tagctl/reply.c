/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/tagctl/reply.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tagctl/tagctl.h"

#define SHOWN 60 /* bytes of an answer that is none, in the sentence about it */

static bool begins(const char *line, const char *word) {
    size_t n = strlen(word);
    return strncmp(line, word, n) == 0 && (line[n] == 0 || line[n] == ' ');
}

bool reply_refuses(const char *line) {
    return begins(line, "CLIENT_ERROR") || begins(line, "SERVER_ERROR") || begins(line, "ERROR");
}

bool reply_says_no_cluster(const char *line) {
    return !strcmp(line, "ERROR") || !strcmp(line, "CLIENT_ERROR this node belongs to no cluster");
}

int reply_say_refusal(struct ctl *c, const char *line) {
    const char *sentence = strchr(line, ' ');
    if (!sentence)
        return complain(FAILED, "%s does not know this command; it may be older than this tagctl", c->conn.name);
    sentence++;
    complain(FAILED, "%s says: %s", c->conn.name, sentence);
    return begins(sentence, "no member") || begins(sentence, "no such") ? NOT_FOUND : FAILED;
}

/* Whatever a node sends, the terminal gets printable bytes. */
static int say_garbage(struct ctl *c, const char *command, const char *line) {
    char shown[SHOWN + 1];
    size_t n = 0;
    for (; line[n] && n < SHOWN; n++) shown[n] = isprint((unsigned char)line[n]) ? line[n] : '?';
    shown[n] = 0;
    return complain(FAILED, "%s answers `%s` with something else: \"%s\"; is it tagcached?", c->conn.name, command,
                    shown);
}

/* Takes a line apart. False: it does not begin with a word in capitals. */
static bool parse(struct reply_row *row, char *line) {
    row->line = line;
    row->word = line;
    row->n = 0;
    char *p = line;
    while (isupper((unsigned char)*p) || *p == '_') p++;
    if (p == line || (*p && *p != ' ')) return false;
    while (*p) {
        *p++ = 0;
        char *name = p, *equals = strchr(p, '=');
        if (!equals || row->n == REPLY_FIELDS_MAX) return true; /* what is no field: something that we do not know */
        *equals = 0;
        row->fields[row->n].name = name;
        row->fields[row->n++].value = equals + 1;
        if (!strcmp(name, "reason") || !strcmp(name, "text")) return true; /* goes to the end of the line */
        p = equals + 1 + strcspn(equals + 1, " ");
    }
    return true;
}

/* `STAT name value` as a row of two fields. */
static bool parse_stat(struct reply_row *row, char *line) {
    char *name = line + strlen("STAT "), *value = strchr(name, ' ');
    if (!value) return false;
    line[4] = *value++ = 0;
    *row = (struct reply_row){.word = line, .n = 2, .line = line};
    row->fields[0].name = "name";
    row->fields[0].value = name;
    row->fields[1].name = "value";
    row->fields[1].value = value;
    return true;
}

static int add(struct ctl *c, const char *command, struct reply *r, const char *line) {
    if (r->n == REPLY_LINES_MAX) return complain(FAILED, "%s does not end its answer to `%s`", c->conn.name, command);
    if (!(r->n & (r->n - 1))) { /* 0, 1, 2, 4, ...: full */
        struct reply_row *rows = realloc(r->rows, (r->n ? 2 * (size_t)r->n : 1) * sizeof *rows);
        if (!rows) return complain(FAILED, "no memory");
        r->rows = rows;
    }
    char *copy = strdup(line);
    if (!copy) return complain(FAILED, "no memory");
    struct reply_row *row = &r->rows[r->n];
    if (begins(copy, "STAT") ? parse_stat(row, copy) : parse(row, copy)) {
        r->n++;
        return DONE;
    }
    free(copy);
    return say_garbage(c, command, line);
}

int reply_read(struct ctl *c, const char *command, struct reply *r) {
    memset(r, 0, sizeof *r);
    for (;;) {
        char *line;
        int status = conn_line(&c->conn, &line);
        if (!status && !strcmp(line, "END")) return DONE;
        if (!status && !r->n && reply_refuses(line)) {
            r->refusal = strdup(line);
            return r->refusal ? DONE : complain(FAILED, "no memory");
        }
        if (!status) status = add(c, command, r, line);
        if (status) {
            reply_free(r);
            return status;
        }
    }
}

void reply_free(struct reply *r) {
    for (unsigned i = 0; i < r->n; i++) free(r->rows[i].line);
    free(r->rows);
    free(r->refusal);
    memset(r, 0, sizeof *r);
}

static int ask(struct ctl *c, char **command, const char *form, va_list ap) {
    if (vasprintf(command, form, ap) < 0) return complain(FAILED, "no memory");
    int status = ctl_connect(c);
    if (!status) status = conn_send(&c->conn, "%s", *command);
    if (status) free(*command);
    return status;
}

int reply_ask(struct ctl *c, const char *form, ...) {
    char *command;
    va_list ap;
    va_start(ap, form);
    int status = ask(c, &command, form, ap);
    va_end(ap);
    if (!status) free(command);
    return status;
}

int reply_list(struct ctl *c, struct reply *r, const char *form, ...) {
    char *command;
    va_list ap;
    memset(r, 0, sizeof *r);
    va_start(ap, form);
    int status = ask(c, &command, form, ap);
    va_end(ap);
    if (status) return status;
    status = reply_read(c, command, r);
    free(command);
    if (!status && r->refusal) {
        status = reply_say_refusal(c, r->refusal);
        reply_free(r);
    }
    return status;
}

int reply_line(struct ctl *c, char *line, size_t size, const char *form, ...) {
    char *command, *answer;
    va_list ap;
    va_start(ap, form);
    int status = ask(c, &command, form, ap);
    va_end(ap);
    if (status) return status;
    free(command);
    status = conn_line(&c->conn, &answer);
    if (status) return status;
    if (reply_refuses(answer)) return reply_say_refusal(c, answer);
    snprintf(line, size, "%s", answer);
    return DONE;
}

const struct reply_row *reply_next(const struct reply *r, const char *word, const struct reply_row *after) {
    for (unsigned i = after ? (unsigned)(after - r->rows) + 1 : 0; i < r->n; i++)
        if (!strcmp(r->rows[i].word, word)) return &r->rows[i];
    return NULL;
}

const char *reply_text(const struct reply_row *row, const char *field) {
    for (unsigned i = 0; row && i < row->n; i++)
        if (!strcmp(row->fields[i].name, field)) return strcmp(row->fields[i].value, "-") ? row->fields[i].value : NULL;
    return NULL;
}

double reply_number(const struct reply_row *row, const char *field) {
    const char *text = reply_text(row, field);
    char *end;
    double x = text ? strtod(text, &end) : NAN;
    return text && end != text && !*end && isfinite(x) ? x : NAN;
}

double reply_stat(const struct reply *stats, const char *name) {
    for (const struct reply_row *row = NULL; (row = reply_next(stats, "STAT", row));)
        if (!strcmp(row->fields[0].value, name)) return reply_number(row, "value");
    return NAN;
}

double reply_version(const char *line) {
    const char *version = strstr(line, "version=");
    return version ? strtod(version + strlen("version="), NULL) : NAN;
}
