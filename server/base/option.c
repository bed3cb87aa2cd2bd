/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/option.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define LETTERS_MAX 160
#define LONG_FIRST 1000 /* getopt_long's value of the first row; below are letters */
#define VALUE_MAX 4096

struct parse {
    const struct option_table *t;
    void *base;
    struct option_report *r;
};

static int complain(struct parse *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int complain(struct parse *p, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p->r->error, sizeof p->r->error, fmt, ap);
    va_end(ap);
    return -EINVAL;
}

static void *field(const struct option_row *row, const void *base) {
    return (char *)(uintptr_t)base + row->offset;
}

/* ------------------------------------------------------------------ values */

static bool takes_argument(const struct option_row *row) {
    switch (row->type) {
    case OPTION_FLAG:
    case OPTION_ONOFF:
    case OPTION_COUNT: return false;
    case OPTION_REFUSED:
    case OPTION_TUNE: return row->arg != NULL;
    default: return true;
    }
}

/* A number with a suffix, in units of `unit` when there is none. False: it is none, or too large. */
static bool read_size(const char *s, int64_t unit, int64_t *out) {
    static const char suffixes[] = "kmgt";
    char *end;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    if (end == s || errno != 0 || isspace((unsigned char)*s)) return false;
    if (*end != 0) {
        const char *at = strchr(suffixes, tolower((unsigned char)*end));
        if (at == NULL || end[1] != 0) return false;
        unit = (int64_t)1 << (10 * (at - suffixes + 1));
    }
    int64_t result;
    if (__builtin_mul_overflow((int64_t)v, unit, &result)) return false;
    *out = result;
    return true;
}

/* 1024 as 1k and so on, where it comes out even. */
static const char *size_text(int64_t v, char *buf, size_t n) {
    static const char suffixes[] = "kmgt";
    int i = -1;
    while (v != 0 && v % 1024 == 0 && i < 3) {
        v /= 1024;
        i++;
    }
    if (i < 0)
        snprintf(buf, n, "%lld", (long long)v);
    else
        snprintf(buf, n, "%lld%c", (long long)v, suffixes[i]);
    return buf;
}

static int set_number(struct parse *p, const struct option_row *row, const char *as, const char *v) {
    int64_t unit = row->type == OPTION_MEGS ? 1 << 20 : row->type == OPTION_KILOS ? 1 << 10 : 1;
    int64_t n = 0;
    bool sized = row->type == OPTION_SIZE || row->type == OPTION_MEGS || row->type == OPTION_KILOS, ok;
    char *end, a[32], b[32];
    if (sized) {
        ok = read_size(v, unit, &n);
    } else {
        errno = 0;
        n = strtoll(v, &end, row->type == OPTION_OCTAL ? 8 : 10);
        ok = end != v && *end == 0 && errno == 0 && !isspace((unsigned char)*v);
    }
    if (ok && (row->min == 0 && row->max == 0)) ok = n >= 0;
    if (ok && (row->min != 0 || row->max != 0)) ok = n >= row->min && n <= row->max;
    if (!ok && row->type == OPTION_OCTAL)
        return complain(p, "%s takes an octal number up to %llo, not \"%s\"", as, (unsigned long long)row->max, v);
    if (!ok && sized)
        return complain(p, "%s takes a size from %s to %s (k, m or g may follow the number; without: %s), not \"%s\"",
                        as, size_text(row->min, a, sizeof a), size_text(row->max, b, sizeof b),
                        unit == 1      ? "bytes"
                        : unit == 1024 ? "kilobytes"
                                       : "megabytes",
                        v);
    if (!ok)
        return complain(p, "%s takes a number from %lld to %lld, not \"%s\"", as, (long long)row->min,
                        (long long)row->max, v);
    *(int64_t *)field(row, p->base) = n;
    return 0;
}

static int set_text(struct parse *p, const struct option_row *row, const char *v) {
    char *copy = v != NULL ? strdup(v) : NULL;
    if (v != NULL && copy == NULL) {
        complain(p, "out of memory");
        return -ENOMEM;
    }
    char **f = field(row, p->base);
    free(*f);
    *f = copy;
    return 0;
}

static int set_list(struct parse *p, const struct option_row *row, const char *as, const char *v) {
    struct option_list *l = field(row, p->base);
    for (;;) {
        size_t n = strcspn(v, ",");
        if (n == 0) return complain(p, "%s: there is nothing before or after a comma", as);
        char **more = realloc(l->v, (l->n + 1) * sizeof *more);
        if (more == NULL) return -ENOMEM;
        l->v = more;
        if ((l->v[l->n] = strndup(v, n)) == NULL) return -ENOMEM;
        l->n++;
        if (v[n] == 0) return 0;
        v += n + 1;
    }
}

/* Finds v in a list "a|b" or "a=shown|b=shown". Its place, or -1. */
static int choice_find(const char *list, const char *v) {
    size_t want = strlen(v);
    for (int i = 0;; i++) {
        size_t n = strcspn(list, "|"), name = strcspn(list, "=|");
        if (name == want && strncasecmp(list, v, want) == 0) return i;
        if (list[n] == 0) return -1;
        list += n + 1;
    }
}

/* What choice i is shown as, or (shown false) called. */
static void choice_text(const char *list, int64_t i, bool shown, char *out, size_t size) {
    while (i-- > 0) list += strcspn(list, "|") + 1;
    size_t n = strcspn(list, "|"), name = strcspn(list, "=|");
    if (shown && name < n) {
        list += name + 1;
        n -= name + 1;
    } else {
        n = name;
    }
    snprintf(out, size, "%.*s", (int)n, list);
}

/* "a, b or c". */
static void choice_names(const char *list, char *out, size_t size) {
    int count = 1, n = 0;
    for (const char *s = list; *s; s++) count += *s == '|';
    for (int i = 0; i < count && n >= 0 && (size_t)n < size; i++) {
        char name[64];
        choice_text(list, i, false, name, sizeof name);
        n += snprintf(out + n, size - (size_t)n, "%s%s", i == 0 ? "" : i == count - 1 ? " or " : ", ", name);
    }
}

static int set_tune(struct parse *p, const struct option_row *row, const char *as, const char *v) {
    struct option_report *r = p->r;
    char *end;
    if (row->max > 0) { /* bounds are in thousandths, both allowed */
        double x = strtod(v, &end);
        if (end == v || *end != 0 || !(x >= (double)row->min / 1000) || !(x <= (double)row->max / 1000))
            return complain(p, "%s takes a number from %g to %g, not \"%s\"", as, (double)row->min / 1000,
                            (double)row->max / 1000, v);
    }
    size_t n = strlen(r->ignored);
    snprintf(r->ignored + n, sizeof r->ignored - n, "%s%s", n > 0 ? " " : "", as);
    return set_text(p, row, v);
}

/* Whether the test build shall leave out what is given for an option, so that it keeps its default: tools/check-options
 * sees by that whether a test notices. */
static bool is_left_out(const char *name) {
#ifdef TAGCACHED_FAULTS
    const char *which = getenv("TAGCACHED_LEAVE_OUT");
    return which != NULL && strcmp(which, name) == 0;
#else
    (void)name;
    return false;
#endif
}

/* Sets a field to its default or to what was given; `as` is how the option was spelled. */
static int set_value(struct parse *p, const struct option_row *row, const char *as, const char *v) {
    char names[256];
    int i;
    switch (row->type) {
    case OPTION_FLAG:
    case OPTION_ONOFF: *(bool *)field(row, p->base) = strcmp(v, "yes") == 0; return 0;
    case OPTION_COUNT: ++*(int64_t *)field(row, p->base); return 0;
    case OPTION_NUMBER:
    case OPTION_SIZE:
    case OPTION_KILOS:
    case OPTION_MEGS:
    case OPTION_OCTAL: return set_number(p, row, as, v);
    case OPTION_TEXT:
    case OPTION_TEXT0:
        if (v[0] == 0) return complain(p, "%s takes %s, not nothing", as, row->arg);
        return set_text(p, row, v);
    case OPTION_CHAR:
        if (v[0] <= ' ' || v[0] == 0x7f || v[1] != 0) return complain(p, "%s takes one character, not \"%s\"", as, v);
        *(char *)field(row, p->base) = v[0];
        return 0;
    case OPTION_CHOICE:
        if ((i = choice_find(row->arg, v)) < 0) {
            choice_names(row->arg, names, sizeof names);
            return complain(p, "%s takes %s, not \"%s\"", as, names, v);
        }
        *(int64_t *)field(row, p->base) = i;
        return 0;
    case OPTION_LIST: return set_list(p, row, as, v);
    case OPTION_ONLY:
        if (choice_find(row->arg, v) < 0) return complain(p, "%s %s: %s", as, v, row->help);
        return set_text(p, row, v);
    case OPTION_TUNE: return set_tune(p, row, as, v);
    case OPTION_REFUSED: return complain(p, "%s: %s", as, row->help);
    default: CHECK(false); return -EINVAL;
    }
}

/* Sets a field to what was given. is_left_out knows a row by its long name, else by that of -o, else by its letter. */
static int set_given(struct parse *p, const struct option_row *row, const char *as, const char *v) {
    const char letter[2] = {row->letter, 0};
    if (is_left_out(row->name != NULL ? row->name : row->o_name != NULL ? row->o_name : letter)) return 0;
    return set_value(p, row, as, v);
}

static bool set_by_default(const struct option_row *row) {
    return row->fallback != NULL && strcmp(row->fallback, "yes") == 0;
}

/* An option that came without an argument. */
static const char *bare_value(const struct option_row *row) {
    if (row->type == OPTION_FLAG || row->type == OPTION_ONOFF) return set_by_default(row) ? "no" : "yes";
    return "yes";
}

/* ------------------------------------------------------------------ -o */

static const struct option_row *o_find(const struct option_table *t, const char *name) {
    for (unsigned i = 0; i < t->n; i++) {
        const char *o = t->rows[i].o_name;
        if (o == NULL) continue;
        size_t n = strlen(o);
        if (strcmp(o, name) == 0 || (o[n - 1] == '*' && strncmp(o, name, n - 1) == 0)) return &t->rows[i];
    }
    return NULL;
}

static bool is_switch(const struct option_row *row) {
    return row->type == OPTION_FLAG || row->type == OPTION_ONOFF || row->type == OPTION_TUNE;
}

/* no_NAME. */
static int set_off(struct parse *p, const struct option_row *row, const char *as) {
    if (row->type != OPTION_TUNE) return set_given(p, row, as, "no");
    struct option_row bare = *row; /* its bounds are those of a value */
    bare.max = 0;
    return set_tune(p, &bare, as, "no");
}

/* One name or name=value of -o. */
static int o_one(struct parse *p, char *word) {
    char as[128];
    char *v = strchr(word, '=');
    if (v != NULL) *v++ = 0;
    snprintf(as, sizeof as, "-o %s", word);
    const struct option_row *row = o_find(p->t, word);
    bool off = false;
    if (row == NULL && strncmp(word, "no_", 3) == 0) {
        row = o_find(p->t, word + 3);
        off = true;
    }
    if (row != NULL && row->type == OPTION_REFUSED) return set_given(p, row, as, "");
    if (row == NULL || (off && !is_switch(row))) return complain(p, "%s: there is no such option (see --help)", as);
    if (off && v != NULL) return complain(p, "%s takes no value", as);
    if (off) return set_off(p, row, as);
    if (row->type == OPTION_FLAG || row->type == OPTION_ONOFF) {
        if (v != NULL) return complain(p, "%s takes no value; no_%s turns it off", as, word);
        return set_given(p, row, as, "yes");
    }
    if (v == NULL && takes_argument(row)) return complain(p, "%s needs a value: -o %s=%s", as, word, row->arg);
    return set_given(p, row, as, v != NULL ? v : "yes");
}

static int o_list(struct parse *p, const char *list) {
    char *copy = strdup(list), *save = NULL;
    if (copy == NULL) return -ENOMEM;
    int r = 0;
    for (char *w = strtok_r(copy, ",", &save); w != NULL && r == 0; w = strtok_r(NULL, ",", &save)) r = o_one(p, w);
    free(copy);
    return r;
}

/* ------------------------------------------------------------------ the command line */

/* getopt's two tables; rows are found again by LONG_FIRST + index or by letter. */
struct spellings {
    char letters[LETTERS_MAX];
    struct option *longs;
};

static int spellings_make(const struct option_table *t, struct spellings *s) {
    size_t n = 0, l = 0;
    s->longs = calloc(t->n + 2, sizeof *s->longs);
    if (s->longs == NULL) return -ENOMEM;
    s->letters[n++] = ':';
    for (unsigned i = 0; i < t->n; i++) {
        const struct option_row *row = &t->rows[i];
        int arg = takes_argument(row) ? required_argument : no_argument;
        CHECK(n + 4 < LETTERS_MAX);
        if (row->letter) s->letters[n++] = row->letter;
        if (row->letter && arg == required_argument) s->letters[n++] = ':';
        if (row->name != NULL) s->longs[l++] = (struct option){row->name, arg, NULL, LONG_FIRST + (int)i};
    }
    s->letters[n++] = 'o';
    s->letters[n++] = ':';
    s->letters[n] = 0;
    s->longs[l] = (struct option){"extended", required_argument, NULL, 'o'};
    return 0;
}

static const struct option_row *row_of(const struct option_table *t, int c) {
    if (c >= LONG_FIRST) return &t->rows[c - LONG_FIRST];
    for (unsigned i = 0; i < t->n; i++)
        if (t->rows[i].letter == c) return &t->rows[i];
    return NULL;
}

/* The word that getopt choked on, without what follows its '='. */
static const char *culprit(char *const *argv, char *buf, size_t n) {
    if (optopt != 0 && optopt < LONG_FIRST)
        snprintf(buf, n, "-%c", optopt);
    else
        snprintf(buf, n, "%.*s", (int)strcspn(argv[optind - 1], "="), argv[optind - 1]);
    return buf;
}

static int parse_one(struct parse *p, int c, char *const *argv) {
    char as[64];
    if (c == '?') return complain(p, "%s: there is no such option (see --help)", culprit(argv, as, sizeof as));
    if (c == ':') return complain(p, "%s needs a value (see --help)", culprit(argv, as, sizeof as));
    if (c == 'o') return is_left_out("extended") ? 0 : o_list(p, optarg);
    const struct option_row *row = row_of(p->t, c);
    CHECK(row != NULL);
    if (c >= LONG_FIRST)
        snprintf(as, sizeof as, "--%s", row->name);
    else
        snprintf(as, sizeof as, "-%c", c);
    return set_given(p, row, as, optarg != NULL ? optarg : bare_value(row));
}

static int parse_words(struct parse *p, int argc, char *const *argv) {
    struct spellings s;
    int r = spellings_make(p->t, &s);
    char **copy = calloc((size_t)argc + 1, sizeof *copy); /* getopt sorts it */
    if (r != 0 || copy == NULL) {
        if (r == 0) free(s.longs);
        free(copy);
        return -ENOMEM;
    }
    for (int i = 0; i < argc; i++) copy[i] = argv[i];
    opterr = 0;
    optind = 0; /* begin anew, forgetting an earlier line */
    int c;
    while (r == 0 && (c = getopt_long(argc, copy, s.letters, s.longs, NULL)) != -1) r = parse_one(p, c, copy);
    if (r == 0 && optind < argc) r = complain(p, "\"%s\" is no option (see --help)", copy[optind]);
    free(copy);
    free(s.longs);
    return r;
}

/* ------------------------------------------------------------------ the configuration file */

/* The blanks around a text taken off, in place. */
static char *trim(char *s) {
    s += strspn(s, " \t");
    size_t n = strlen(s);
    while (n > 0 && strchr(" \t\r\n", s[n - 1]) != NULL) s[--n] = 0;
    return s;
}

/* One line: "-m 64", "-vv", "--key-tags=off", "key-tags=off" or "memory-limit 64". */
static int config_line(struct parse *p, char *line) {
    char name[256];
    char *words[] = {(char *)(uintptr_t) "config", NULL, NULL, NULL};
    int argc = 2;
    line = trim(line);
    if (*line == 0 || *line == '#') return 0;
    size_t n = strcspn(line, line[0] == '-' && line[1] != '-' ? " \t" : " \t=");
    char *rest = line + n + (line[n] == '=');
    if (line[n] != '=') rest = trim(rest);
    if (n > sizeof name - 3) return complain(p, "an option's name is at most %zu bytes long", sizeof name - 3);
    snprintf(name, sizeof name, "%s%.*s", line[0] == '-' ? "" : "--", (int)n, line);
    /* The start scripts that read such files drop -d: whoever starts the server decides that. */
    if (strcmp(name, "-d") == 0 || strcmp(name, "--daemon") == 0 || strcmp(name, "-h") == 0) return 0;
    if (strncmp(name, "--config", strlen("--config")) == 0) return complain(p, "one file cannot name another");
    words[1] = name;
    if (*rest != 0) words[argc++] = rest;
    return parse_words(p, argc, words);
}

static int config_read(struct parse *p, const char *path) {
    FILE *f = fopen(path, "re");
    if (f == NULL) return complain(p, "--config: cannot read %s: %s", path, strerror(errno));
    char *line = NULL, why[sizeof p->r->error];
    size_t size = 0;
    unsigned number = 0;
    int r = 0;
    while (r == 0 && getline(&line, &size, f) >= 0) {
        number++;
        r = config_line(p, line);
    }
    free(line);
    fclose(f);
    if (r == -EINVAL) {
        memcpy(why, p->r->error, sizeof why);
        complain(p, "%.128s line %u: %.300s", path, number, why);
    }
    return r;
}

/* The last --config of the command line, or NULL. */
static const char *config_named(int argc, char *const *argv) {
    const char *path = NULL;
    for (int i = 1; i < argc; i++) {
        size_t n = strcspn(argv[i], "=");
        if (strcmp(argv[i], "--") == 0) break;
        /* getopt_long takes abbreviations; shorter ones are not unique. */
        if (n < strlen("--conf") || strncmp(argv[i], "--config", n) != 0) continue;
        if (argv[i][n] == '=')
            path = argv[i] + n + 1;
        else if (i + 1 < argc)
            path = argv[++i];
    }
    return path;
}

int option_parse(const struct option_table *t, void *base, int argc, char *const *argv, struct option_report *r) {
    struct parse p = {.t = t, .base = base, .r = r};
    r->error[0] = r->ignored[0] = 0;
    const char *config = config_named(argc, argv);
    int result = config != NULL && !is_left_out("config") ? config_read(&p, config) : 0;
    if (result == 0) result = parse_words(&p, argc, argv);
    if (result == -ENOMEM && r->error[0] == 0) complain(&p, "out of memory");
    return result;
}

/* ------------------------------------------------------------------ life */

int option_defaults(const struct option_table *t, void *base) {
    struct option_report r = {0};
    struct parse p = {.t = t, .base = base, .r = &r};
    for (unsigned i = 0; i < t->n; i++) {
        const struct option_row *row = &t->rows[i];
        int result = 0;
        if (row->type >= OPTION_REFUSED || row->fallback == NULL) continue;
        if (row->type == OPTION_COUNT) continue;
        if (row->type == OPTION_TUNE || row->type == OPTION_ONLY)
            result = set_text(&p, row, row->fallback);
        else
            result = set_value(&p, row, row->name != NULL ? row->name : row->o_name, row->fallback);
        CHECK(result != -EINVAL);
        if (result != 0) return result;
    }
    return 0;
}

void option_free(const struct option_table *t, void *base) {
    for (unsigned i = 0; i < t->n; i++) {
        const struct option_row *row = &t->rows[i];
        switch (row->type) {
        case OPTION_TEXT:
        case OPTION_TEXT0:
        case OPTION_ONLY:
        case OPTION_TUNE:
            free(*(char **)field(row, base));
            *(char **)field(row, base) = NULL;
            break;
        case OPTION_LIST: {
            struct option_list *l = field(row, base);
            for (unsigned k = 0; k < l->n; k++) free(l->v[k]);
            free(l->v);
            *l = (struct option_list){NULL, 0};
            break;
        }
        default: break;
        }
    }
}

/* ------------------------------------------------------------------ stats settings */

static void show_list(const struct option_list *l, char *out, size_t size) {
    size_t n = 0;
    if (l->n == 0) snprintf(out, size, "NULL");
    for (unsigned i = 0; i < l->n && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%s", i ? "," : "", l->v[i]);
}

static bool is_set(const struct option_row *row, const void *f) {
    return row->of == OPTION_CHAR ? *(const char *)f != 0 : *(char *const *)f != NULL;
}

/* The value of a row as text. */
static void show(const struct option_row *row, const void *base, char *out, size_t size) {
    const void *f = field(row, base);
    switch (row->type) {
    case OPTION_FLAG: snprintf(out, size, "%s", *(const bool *)f ? "yes" : "no"); break;
    case OPTION_ONOFF: snprintf(out, size, "%s", *(const bool *)f ? "on" : "off"); break;
    case OPTION_OCTAL: snprintf(out, size, "%llo", (unsigned long long)*(const int64_t *)f); break;
    case OPTION_TEXT:
    case OPTION_TEXT0:
    case OPTION_TUNE: {
        const char *s = *(char *const *)f;
        snprintf(out, size, "%s", s != NULL ? s : row->type == OPTION_TEXT0 ? "(null)" : "NULL");
        break;
    }
    case OPTION_CHAR: {
        char c = *(const char *)f != 0 ? *(const char *)f : (char)row->min;
        if (c != 0)
            snprintf(out, size, "%c", c);
        else
            snprintf(out, size, "NULL");
        break;
    }
    case OPTION_CHOICE: choice_text(row->arg, *(const int64_t *)f, true, out, size); break;
    case OPTION_ONLY: choice_text(row->arg, choice_find(row->arg, *(char *const *)f), true, out, size); break;
    case OPTION_LIST: show_list(f, out, size); break;
    case OPTION_SHOWN: snprintf(out, size, "%s", row->fallback); break;
    case OPTION_SHOWN_IF: snprintf(out, size, "%s", is_set(row, f) ? "yes" : "no"); break;
    default: snprintf(out, size, "%lld", (long long)*(const int64_t *)f); break;
    }
}

void option_each(const struct option_table *t, const void *base,
                 void (*fn)(void *arg, const char *name, const char *value), void *arg) {
    char value[VALUE_MAX];
    for (unsigned last = 0;;) {
        const struct option_row *next = NULL;
        for (unsigned i = 0; i < t->n; i++)
            if (t->rows[i].place > last && (next == NULL || t->rows[i].place < next->place)) next = &t->rows[i];
        if (next == NULL) return;
        last = next->place;
        show(next, base, value, sizeof value);
        fn(arg, next->stat, value);
    }
}

/* ------------------------------------------------------------------ help */

#define HELP_COLUMN 30
#define HELP_WIDTH 100

static void names_of(const struct option_row *row, char *out, size_t size) {
    char arg[128] = "";
    const char *a = row->arg;
    if (takes_argument(row) && a != NULL) {
        if (row->type == OPTION_CHOICE || row->type == OPTION_ONLY)
            snprintf(arg, sizeof arg, "VALUE");
        else
            snprintf(arg, sizeof arg, "%s", a);
    }
    const char *eq = arg[0] != 0 ? "=" : "";
    if (row->letter && row->name)
        snprintf(out, size, "-%c, --%s%s%s", row->letter, row->name, eq, arg);
    else if (row->letter)
        snprintf(out, size, "-%c%s%s", row->letter, arg[0] ? " " : "", arg);
    else if (row->name)
        snprintf(out, size, "    --%s%s%s", row->name, eq, arg);
    else
        snprintf(out, size, "-o %s%s%s", row->o_name, eq, arg);
}

/* The help with what is accepted and the default behind it. */
static void help_of(const struct option_row *row, char *out, size_t size) {
    size_t n = (size_t)snprintf(out, size, "%s", row->help);
    char names[256];
    if (n >= size) return;
    if (row->type == OPTION_CHOICE || row->type == OPTION_ONLY) {
        choice_names(row->arg, names, sizeof names);
        n += (size_t)snprintf(out + n, size - n, ": %s", names);
    }
    if (n >= size) return;
    if ((row->type == OPTION_FLAG || row->type == OPTION_ONOFF) && set_by_default(row) && row->o_name != NULL)
        snprintf(out + n, size - n, " (on; no_%s turns it off)", row->o_name);
    else if (takes_argument(row) && row->fallback != NULL && row->type != OPTION_TUNE && row->fallback[0] != 0)
        snprintf(out + n, size - n, " (default: %s)", row->fallback);
}

static void print_wrapped(FILE *f, const char *s, size_t column) {
    size_t at = column;
    while (*s) {
        size_t n = strcspn(s, " ");
        if (at + n > HELP_WIDTH && at > column) {
            fprintf(f, "\n%*s", (int)column, "");
            at = column;
        }
        fprintf(f, "%.*s", (int)n, s);
        at += n;
        s += n;
        if (*s == ' ') {
            s++;
            if (at < HELP_WIDTH && *s) {
                fputc(' ', f);
                at++;
            }
        }
    }
    fputc('\n', f);
}

static bool documented(const struct option_row *row) {
    return row->type <= OPTION_REFUSED && row->help != NULL && (row->letter || row->name || row->o_name);
}

void option_help(const struct option_table *t, FILE *f) {
    char names[192], help[1024];
    for (unsigned i = 0; i < t->n; i++) {
        const struct option_row *row = &t->rows[i];
        if (row->type == OPTION_GROUP) fprintf(f, "\n%s\n", row->fallback);
        if (!documented(row)) continue;
        names_of(row, names, sizeof names);
        help_of(row, help, sizeof help);
        int n = fprintf(f, "  %s", names);
        if (n + 2 > HELP_COLUMN)
            fprintf(f, "\n%*s", HELP_COLUMN, "");
        else
            fprintf(f, "%*s", HELP_COLUMN - n, "");
        print_wrapped(f, help, HELP_COLUMN);
    }
}

static void roff(FILE *f, const char *s) {
    if (*s == '.' || *s == '\'') fputs("\\&", f);
    for (; *s; s++) {
        if (*s == '\\')
            fputs("\\e", f);
        else if (*s == '-')
            fputs("\\-", f);
        else
            fputc(*s, f);
    }
}

void option_man(const struct option_table *t, FILE *f) {
    char names[192], help[1024];
    for (unsigned i = 0; i < t->n; i++) {
        const struct option_row *row = &t->rows[i];
        if (row->type == OPTION_GROUP) {
            fputs(".SS ", f);
            roff(f, row->fallback);
            fputc('\n', f);
        }
        if (!documented(row)) continue;
        names_of(row, names, sizeof names);
        help_of(row, help, sizeof help);
        fputs(".TP\n.B ", f);
        roff(f, names + strspn(names, " "));
        fputc('\n', f);
        roff(f, help);
        fputs(".\n", f);
    }
}
