/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/wire/script.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

void bytes_add(struct bytes *b, const void *p, size_t n) {
    if (b->n + n + 1 > b->cap) {
        b->cap = (b->n + n + 1) * 2;
        b->p = realloc(b->p, b->cap);
        CHECK(b->p != NULL);
    }
    if (n > 0) memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = '\0';
}

void bytes_drop(struct bytes *b, size_t n) {
    CHECK(n <= b->n);
    if (n == 0) return;
    memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
}

void bytes_free(struct bytes *b) {
    free(b->p);
    *b = (struct bytes){0};
}

/* One line into a step; false if it is not of the language. */
static bool parse_line(char *l, struct script_step *out) {
    if (*l == '!') {
        out->ours = true;
        l++;
    }
    if (*l != '>' && *l != '<' && *l != '@') return false;
    out->kind = *l == '>' ? SCRIPT_SEND : *l == '<' ? SCRIPT_EXPECT : SCRIPT_ORDER;
    out->packet = out->kind != SCRIPT_ORDER && l[1] == ':';
    bool bare = out->kind != SCRIPT_ORDER && (l[1] == '-' || out->packet);
    l += bare ? 2 : 1;
    if (*l == ' ')
        l++;
    else if (*l != '\0')
        return false;
    size_t n = strlen(l);
    out->text = malloc(n + 5);
    CHECK(out->text != NULL);
    memcpy(out->text, l, n + 1);
    if (!bare && out->kind != SCRIPT_ORDER && strcmp(l, "\\...") != 0) memcpy(out->text + n, "\\r\\n", 5);
    return true;
}

int script_load(const char *path, struct script *out) {
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    *out = (struct script){.path = strdup(path)};
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    int result = 0;
    for (int number = 1; (n = getline(&line, &cap, f)) >= 0; number++) {
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r')) line[--n] = '\0';
        if (n == 0 || line[0] == '#') continue;
        struct script_step step = {.line = number};
        if (!parse_line(line, &step)) {
            fprintf(stderr, "%s:%d: not a line of a transcript: %s\n", path, number, line);
            result = -1;
            break;
        }
        out->steps = realloc(out->steps, (out->nsteps + 1) * sizeof *out->steps);
        CHECK(out->steps != NULL);
        out->steps[out->nsteps++] = step;
    }
    free(line);
    fclose(f);
    if (result != 0) script_free(out);
    return result;
}

void script_free(struct script *s) {
    for (size_t i = 0; i < s->nsteps; i++) free(s->steps[i].text);
    free(s->steps);
    free(s->path);
    *s = (struct script){0};
}

static const char *var_n(const struct script_vars *vars, const char *name, size_t n) {
    for (unsigned i = 0; i < vars->n; i++)
        if (strlen(vars->v[i].name) == n && memcmp(vars->v[i].name, name, n) == 0) return vars->v[i].value;
    return NULL;
}

const char *script_var(const struct script_vars *vars, const char *name) {
    return var_n(vars, name, strlen(name));
}

void script_var_set(struct script_vars *vars, const char *name, size_t name_len, const char *value, size_t value_len) {
    unsigned i = 0;
    while (i < vars->n && !(strlen(vars->v[i].name) == name_len && memcmp(vars->v[i].name, name, name_len) == 0)) i++;
    CHECK(i < SCRIPT_VARS && name_len < sizeof vars->v[i].name && value_len < sizeof vars->v[i].value);
    if (i == vars->n) vars->n++;
    memcpy(vars->v[i].name, name, name_len);
    vars->v[i].name[name_len] = '\0';
    memcpy(vars->v[i].value, value, value_len);
    vars->v[i].value[value_len] = '\0';
}

/* \{TEXT*N}: TEXT N times; TEXT may hold escapes. Returns where the text goes on, or NULL. */
static const char *expand_repeat(const char *t, const struct script_vars *vars, struct bytes *out) {
    const char *end = strchr(t, '}');
    if (end == NULL) return NULL;
    const char *star = end;
    while (star > t && *star != '*') star--;
    if (star == t) return NULL;
    unsigned long n = strtoul(star + 1, NULL, 10);
    char *one = strndup(t, (size_t)(star - t));
    CHECK(one != NULL);
    int bad = 0;
    for (unsigned long i = 0; i < n && !bad; i++) bad = script_expand(one, vars, out);
    free(one);
    return bad ? NULL : end + 1;
}

static const char *expand_var(const char *t, const struct script_vars *vars, struct bytes *out) {
    const char *end = strchr(t, ')');
    const char *value = end == NULL ? NULL : var_n(vars, t, (size_t)(end - t));
    if (value == NULL) return NULL;
    bytes_add(out, value, strlen(value));
    return end + 1;
}

/* The escape behind a backslash; returns where the text goes on, or NULL. */
static const char *expand_escape(const char *t, const struct script_vars *vars, struct bytes *out) {
    char hex[3] = {0};
    char c;
    switch (*t) {
    case 'r': c = '\r'; break;
    case 'n': c = '\n'; break;
    case 't': c = '\t'; break;
    case '0': c = '\0'; break;
    case 's': c = ' '; break; /* a blank at the end of a line, for the eye */
    case '\\': c = '\\'; break;
    case 'x':
        if (!isxdigit((unsigned char)t[1]) || !isxdigit((unsigned char)t[2])) return NULL;
        memcpy(hex, t + 1, 2);
        c = (char)strtoul(hex, NULL, 16);
        t += 2;
        break;
    case '{': return expand_repeat(t + 1, vars, out);
    case '(': return expand_var(t + 1, vars, out);
    default: return NULL;
    }
    bytes_add(out, &c, 1);
    return t + 1;
}

int script_expand(const char *text, const struct script_vars *vars, struct bytes *out) {
    for (const char *t = text; t != NULL && *t != '\0';) {
        size_t plain = strcspn(t, "\\");
        bytes_add(out, t, plain);
        t += plain;
        if (*t == '\\') t = expand_escape(t + 1, vars, out);
        if (t == NULL) return -1;
    }
    return 0;
}

bool script_is_literal(const char *text) {
    for (const char *t = strchr(text, '\\'); t != NULL; t = strchr(t, '\\')) {
        if (t[1] == '?' || t[1] == '*' || t[1] == '(' || t[1] == '\0') return false;
        t += 2;
    }
    return true;
}

/* One of \? \* \(name) against the line at *at; advances both. */
static bool match_wild(const char **pattern, const char *line, size_t n, size_t *at, struct script_vars *vars) {
    const char *p = *pattern;
    size_t from = *at;
    if (*p == '*') { /* the rest of the line, its ending excepted */
        size_t end = n;
        if (end > from && line[end - 1] == '\n') end--;
        if (end > from && line[end - 1] == '\r') end--;
        *at = end;
        *pattern = p + 1;
        return true;
    }
    if (*p == '?') {
        while (*at < n && (isdigit((unsigned char)line[*at]) || line[*at] == '.')) (*at)++;
        *pattern = p + 1;
        return *at > from;
    }
    const char *end = strchr(p, ')');
    if (end == NULL) return false;
    while (*at < n && line[*at] != ' ' && line[*at] != '\r') (*at)++;
    const char *known = var_n(vars, p + 1, (size_t)(end - p - 1));
    size_t len = *at - from;
    *pattern = end + 1;
    if (len == 0 || len > 200) return false;
    if (known != NULL) return strlen(known) == len && memcmp(known, line + from, len) == 0;
    script_var_set(vars, p + 1, (size_t)(end - p - 1), line + from, len);
    return true;
}

bool script_match(const char *pattern, const char *line, size_t n, struct script_vars *vars) {
    size_t at = 0;
    const char *p = pattern;
    while (*p != '\0') {
        if (*p == '\\' && (p[1] == '?' || p[1] == '*' || p[1] == '(')) {
            p++;
            if (!match_wild(&p, line, n, &at, vars)) return false;
            continue;
        }
        struct bytes lit = {0};
        const char *next = p + 1;
        if (*p == '\\')
            next = expand_escape(p + 1, vars, &lit);
        else
            bytes_add(&lit, p, 1);
        bool same = next != NULL && lit.n <= n - at && memcmp(lit.p, line + at, lit.n) == 0;
        at += lit.n;
        bytes_free(&lit);
        if (!same) return false;
        p = next;
    }
    return at == n;
}
