/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <string.h>

#include "tools/tagctl/tagctl.h"
#include "tools/tagctl/verbs.h"

#define COLUMN 31
#define WIDTH 100

const struct verb verbs[] = {
#define GROUP(name, help)
#define VERB(group, name, function, min, max, words, takes, help, example)                                             \
    {group, name, function, min, max, words, takes, help, example},
#include "tools/tagctl/verbs.def"
#undef GROUP
#undef VERB
};
const unsigned nverbs = sizeof verbs / sizeof *verbs;

static const struct {
    const char *name, *help;
} groups[] = {
#define GROUP(name, help) {name, help},
#define VERB(group, name, function, min, max, words, takes, help, example)
#include "tools/tagctl/verbs.def"
#undef GROUP
#undef VERB
};
#define NGROUPS (sizeof groups / sizeof *groups)

/* --- finding -------------------------------------------------------------------------------------------------------
 */

const struct verb *verb_find(char *const words[], unsigned n, unsigned *used) {
    const struct verb *found = NULL;
    *used = 0;
    for (unsigned i = 0; i < nverbs && n; i++) {
        unsigned length = verbs[i].name[0] ? 2 : 1;
        if (length > n || length <= *used || strcmp(verbs[i].group, words[0]) != 0) continue;
        if (length == 2 && strcmp(verbs[i].name, words[1]) != 0) continue;
        found = &verbs[i];
        *used = length;
    }
    return found;
}

bool verb_is_group(const char *word) {
    for (unsigned i = 0; i < NGROUPS; i++)
        if (!strcmp(groups[i].name, word)) return true;
    return false;
}

/* Whether one letter more, less, other or exchanged with its neighbour makes b of a. */
static bool nearly(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    if (!*a || !*b) return strlen(a) + strlen(b) <= 1;
    if (a[0] == b[1] && a[1] == b[0] && !strcmp(a + 2, b + 2)) return true;
    return !strcmp(a + 1, b + 1) || !strcmp(a + 1, b) || !strcmp(a, b + 1);
}

const char *verb_like(const char *word) {
    for (unsigned i = 0; i < NGROUPS; i++)
        if (nearly(word, groups[i].name)) return groups[i].name;
    for (unsigned i = 0; i < nverbs; i++)
        if (verbs[i].name[0] && nearly(word, verbs[i].name)) return verbs[i].example + strlen("tagctl ");
    return NULL;
}

/* --- help ----------------------------------------------------------------------------------------------------------
 */

/* Ends the line with a text that has COLUMN bytes before it, on as many lines as it takes. */
static void print_wrapped(const char *text) {
    for (;;) {
        size_t n = strlen(text);
        if (n > WIDTH - COLUMN)
            for (n = WIDTH - COLUMN; n && text[n] != ' ';) n--;
        printf("%.*s\n", (int)n, text);
        if (!text[n]) return;
        text += n + 1;
        printf("%*s", COLUMN, "");
    }
}

/* What stands before COLUMN, and the text from there. */
static void print_entry(const char *entry, const char *text) {
    if (strlen(entry) < COLUMN - 1)
        printf("%-*s", COLUMN, entry);
    else
        printf("%s\n%*s", entry, COLUMN, "");
    print_wrapped(text);
}

static void print_option(const struct option_row *row) {
    char entry[96];
    snprintf(entry, sizeof entry, "  %c%c%s--%s %s", row->letter ? '-' : ' ', row->letter ? row->letter : ' ',
             row->letter ? ", " : "  ", row->name, row->arg);
    print_entry(entry, row->help);
}

static void print_options(unsigned takes) {
    for (unsigned i = 0; i < option_nrows; i++)
        if (option_rows[i].takes & takes) print_option(&option_rows[i]);
}

void help_all(void) {
    printf("usage: tagctl VERB [WORD...] [OPTION...]\n\n"
           "Asks a node of tagcached about its cluster, and changes it.\n\n");
    for (unsigned i = 0; i < NGROUPS; i++) printf("  %-10s %s\n", groups[i].name, groups[i].help);
    printf("\nExamples:\n");
    for (unsigned i = 0; i < nverbs; i++)
        if (!strcmp(verbs[i].name, "") || !strcmp(verbs[i].name, "explain")) printf("  %s\n", verbs[i].example);
    printf("\nOptions of all verbs:\n");
    for (unsigned i = 0; i < option_nrows; i++)
        if (option_rows[i].takes == TAKES_ALL) print_option(&option_rows[i]);
    printf("\n`tagctl VERB --help` says more. Exit status: 0 done, 1 failed or done in part, 2 usage, 3 not found,\n"
           "4 unreachable, 5 declined. A word that begins with - or is a verb stands behind --.\n");
}

static void print_call(const struct verb *v) {
    char call[128];
    snprintf(call, sizeof call, "  %s%s%s%s%s", v->group, v->name[0] ? " " : "", v->name, v->words[0] ? " " : "",
             v->words);
    print_entry(call, v->help);
}

void help_group(const char *group) {
    printf("usage: tagctl %s VERB [WORD...] [OPTION...]\n\n", group);
    for (unsigned i = 0; i < nverbs; i++)
        if (!strcmp(verbs[i].group, group)) print_call(&verbs[i]);
    printf("\nExamples:\n");
    for (unsigned i = 0; i < nverbs; i++)
        if (!strcmp(verbs[i].group, group)) printf("  %s\n", verbs[i].example);
    printf("\n`tagctl %s VERB --help` lists a verb's options, `tagctl --help` those of all verbs.\n", group);
}

static bool has_siblings(const struct verb *v) {
    unsigned n = 0;
    for (unsigned i = 0; i < nverbs; i++) n += !strcmp(verbs[i].group, v->group);
    return n > 1;
}

static void usage_line(FILE *f, const struct verb *v) {
    fprintf(f, "usage: tagctl %s%s%s%s%s%s\n", v->group, v->name[0] ? " " : "", v->name, v->words[0] ? " " : "",
            v->words, v->takes ? " [OPTION...]" : "");
}

void help_verb(const struct verb *v) {
    usage_line(stdout, v);
    putchar('\n');
    for (const char *p = v->help; *p;) { /* a paragraph */
        int n = (int)strlen(p);
        if (n > WIDTH)
            for (n = WIDTH; n && p[n] != ' ';) n--;
        printf("%.*s\n", n, p);
        p += n + (p[n] == ' ');
    }
    if (v->takes) printf("\nOptions, beside those that `tagctl --help` lists:\n");
    print_options(v->takes);
    if (!v->name[0] && has_siblings(v)) {
        printf("\nAlso:\n");
        for (unsigned i = 0; i < nverbs; i++)
            if (&verbs[i] != v && !strcmp(verbs[i].group, v->group)) print_call(&verbs[i]);
    }
    printf("\nExample:\n  %s\n", v->example);
}

int help_misused(const struct verb *v) {
    fputs("tagctl: ", stderr);
    usage_line(stderr, v);
    return USAGE;
}

/* --- the man page --------------------------------------------------------------------------------------------------
 */

/* What roff would take for something else. */
static void roff(const char *p) {
    for (; *p; p++) {
        if (*p == '\\')
            fputs("\\e", stdout);
        else if (*p == '-')
            fputs("\\-", stdout);
        else
            putchar(*p);
    }
}

void help_man_verbs(void) {
    for (unsigned i = 0; i < nverbs; i++) {
        const struct verb *v = &verbs[i];
        printf(".TP\n\\fB%s%s%s\\fR", v->group, v->name[0] ? " " : "", v->name);
        if (v->words[0]) printf(" \\fI");
        roff(v->words);
        if (v->words[0]) printf("\\fR");
        for (unsigned j = 0; j < option_nrows; j++) {
            const struct option_row *row = &option_rows[j];
            if (!(row->takes & v->takes)) continue;
            printf(" [\\fB\\-\\-");
            roff(row->name);
            printf("\\fR]");
        }
        putchar('\n');
        roff(v->help);
        printf(".\n.br\nExample: \n.B ");
        roff(v->example);
        putchar('\n');
    }
}

void help_man_options(void) {
    for (unsigned i = 0; i < option_nrows; i++) {
        const struct option_row *row = &option_rows[i];
        printf(".TP\n\\fB");
        if (row->letter) printf("\\-%c\\fR, \\fB", row->letter);
        printf("\\-\\-");
        roff(row->name);
        printf("\\fR \\fI");
        roff(row->arg);
        printf("\\fR\n");
        roff(row->help);
        putchar('\n');
    }
}
