/* SPDX-License-Identifier: BSD-3-Clause
 *
 * options - what was typed: options (rows of options.def) and other words.
 */
#ifndef TAGCACHED_TAGCTL_OPTIONS_H
#define TAGCACHED_TAGCTL_OPTIONS_H

#include <stdbool.h>

enum takes {
    TAKES_ALL = 0,
    TAKES_YES = 1,
    TAKES_DRY = 2,
    TAKES_WATCH = 4,
    TAKES_INTERVAL = 8,
    TAKES_PURGE = 16,
    TAKES_TTL = 32,
    TAKES_STDIN = 64,
    TAKES_SERVERS = 128,
    TAKES_NODE = 256,
    TAKES_STORE = 512,
    TAKES_FILE = 1024,
    TAKES_WAIT = 2048,
};

struct text_list {
    const char **v;
    unsigned n;
};

enum option_kind { OPTION_FLAG, OPTION_TEXT, OPTION_SECONDS, OPTION_LIST };

#define OPTIONS_C_FLAG bool
#define OPTIONS_C_TEXT const char *
#define OPTIONS_C_SECONDS double
#define OPTIONS_C_LIST struct text_list

struct options {
#define OPT(takes, letter, name, type, field, arg, help) OPTIONS_C_##type field;
#include "tools/tagctl/options.def"
#undef OPT
    unsigned given; /* bits of enum takes of the options that were given */
};

struct option_row {
    unsigned takes;
    char letter;
    const char *name;
    enum option_kind kind;
    unsigned long offset; /* in struct options */
    const char *arg, *help;
};
extern const struct option_row option_rows[];
extern const unsigned option_nrows;

/* Takes the options out of argv, wherever they stand; up to a "--", which is taken out as well, words that follow are
 * none. What is left are words[0..*nwords), of which the first *nverb stood before the "--". Numbers that were not
 * given are -1. False: a sentence was said. */
bool options_read(struct options *o, int argc, char **argv, char **words, unsigned *nwords, unsigned *nverb);
/* Frees what lists hold. */
void options_free(struct options *o);

#endif
