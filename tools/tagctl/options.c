/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/tagctl/options.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tagctl/say.h"

#define SECONDS_MAX 86400

const struct option_row option_rows[] = {
#define OPT(takes, letter, name, type, field, arg, help)                                                               \
    {takes, letter, name, OPTION_##type, offsetof(struct options, field), arg, help},
#include "tools/tagctl/options.def"
#undef OPT
};
const unsigned option_nrows = sizeof option_rows / sizeof *option_rows;

static bool set_seconds(double *to, const struct option_row *row, const char *value) {
    char *end;
    errno = 0;
    *to = strtod(value, &end);
    if (end != value && !*end && !errno && *to >= 0 && *to <= SECONDS_MAX && isfinite(*to)) return true;
    complain(USAGE, "--%s takes seconds from 0 to %d, not %s", row->name, SECONDS_MAX, value);
    return false;
}

static bool set(struct options *o, const struct option_row *row, const char *value) {
    char *field = (char *)o + row->offset;
    o->given |= row->takes;
    switch (row->kind) {
    case OPTION_FLAG: *(bool *)field = true; return true;
    case OPTION_TEXT: *(const char **)field = value; return true;
    case OPTION_SECONDS: return set_seconds((double *)field, row, value);
    case OPTION_LIST: break;
    }
    struct text_list *l = (struct text_list *)field;
    const char **v = realloc(l->v, (l->n + 1) * sizeof *v);
    if (!v) {
        complain(FAILED, "no memory");
        return false;
    }
    l->v = v;
    l->v[l->n++] = value;
    return true;
}

/* Whether a verb of this group (the first word; NULL: none has come) takes the option. */
static bool is_taken(const struct option_row *row, const char *group) {
    static const struct {
        const char *group;
        unsigned takes;
    } verbs[] = {
#define GROUP(name, help)
#define VERB(group, name, fn, min, max, args, takes, help, example) {group, takes},
#include "tools/tagctl/verbs.def"
#undef VERB
#undef GROUP
    };
    for (unsigned i = 0; group && i < sizeof verbs / sizeof *verbs; i++)
        if (!strcmp(verbs[i].group, group) && (verbs[i].takes & row->takes)) return true;
    return false;
}

/* The row of a word "--name", "--name=value", "-l" or "-lvalue", and the value in the word, if there is one. Of two
 * options of one name that of the group's verbs counts, else the first. */
static const struct option_row *find(const char *word, const char *group, const char **value) {
    const struct option_row *found = NULL;
    *value = NULL;
    for (unsigned i = 0; i < option_nrows; i++) {
        const struct option_row *row = &option_rows[i];
        size_t n = strlen(row->name);
        if (word[1] != '-') {
            if (!row->letter || word[1] != row->letter) continue;
            if (word[2]) *value = word + 2;
            return row;
        }
        if (strncmp(word + 2, row->name, n) != 0 || (word[2 + n] && word[2 + n] != '=')) continue;
        if (word[2 + n]) *value = word + 3 + n;
        if (!found || is_taken(row, group)) found = row;
    }
    return found;
}

bool options_read(struct options *o, int argc, char **argv, char **words, unsigned *nwords, unsigned *nverb) {
    memset(o, 0, sizeof *o);
    for (unsigned i = 0; i < option_nrows; i++)
        if (option_rows[i].kind == OPTION_SECONDS) *(double *)((char *)o + option_rows[i].offset) = -1;
    *nwords = 0;
    int i = 1;
    for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const char *value;
        if (argv[i][0] != '-' || !argv[i][1]) {
            words[(*nwords)++] = argv[i];
            continue;
        }
        const struct option_row *row = find(argv[i], *nwords > 0 ? words[0] : NULL, &value);
        if (!row) {
            complain(USAGE, "there is no option %s; `tagctl --help` lists them", argv[i]);
            return false;
        }
        if (row->kind == OPTION_FLAG && value) {
            complain(USAGE, "--%s takes no value", row->name);
            return false;
        }
        if (row->kind != OPTION_FLAG && !value) {
            if (i + 1 == argc) {
                complain(USAGE, "--%s takes %s behind it", row->name, row->arg);
                return false;
            }
            value = argv[++i];
        }
        if (!set(o, row, value)) return false;
    }
    *nverb = *nwords;
    for (i++; i < argc; i++) words[(*nwords)++] = argv[i];
    return true;
}

void options_free(struct options *o) {
    for (unsigned i = 0; i < option_nrows; i++)
        if (option_rows[i].kind == OPTION_LIST) free(((struct text_list *)((char *)o + option_rows[i].offset))->v);
}
