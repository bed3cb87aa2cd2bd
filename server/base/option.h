/* SPDX-License-Identifier: BSD-3-Clause
 *
 * option - settings as rows: one row gives the field, the command-line flag, the key in the configuration file, the
 * `stats settings` line, the line of --help and the entry of the man page.
 *
 * A module lists its rows in *.options.def with these macros (settings.h includes the files to make the struct,
 * settings.c to make the table):
 *
 *   GROUP(title)                                    a heading of --help
 *   OPTION(field, type, default, min, max, letter, long, o_name, live, place, stat, arg, help)
 *   SHOWN(place, stat, value)                       a fixed line of `stats settings`
 *   SHOWN_IF(place, stat, field, type)              "yes" when the field is set, else "no"
 *   REFUSED(letter, long, o_name, arg, sentence)    ends the program with a sentence; o_name may end in *
 *
 * letter 0, long NULL, o_name NULL: there is no such spelling. default is text, read as if it had been given. live: may
 * change while the server runs. place orders `stats settings`; 0: not shown. arg names the argument in the help; for
 * CHOICE and ONLY it lists what is accepted, "a|b", or "a=shown|b=shown". min, max bound numbers; both 0: any.
 *
 * No global state but getopt's own: one thread at a time may parse.
 */
#ifndef TAGCACHED_BASE_OPTION_H
#define TAGCACHED_BASE_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum option_type {
    OPTION_FLAG,   /* bool; being named turns the default round, no_NAME turns it off; shown yes/no */
    OPTION_ONOFF,  /* the same, shown on/off */
    OPTION_COUNT,  /* int64_t; every mention adds one */
    OPTION_NUMBER, /* int64_t */
    OPTION_SIZE,   /* int64_t, bytes; k, m, g, t after a number multiply */
    OPTION_KILOS,  /* the same, a bare number meaning KiB */
    OPTION_MEGS,   /* the same, a bare number meaning MiB */
    OPTION_OCTAL,  /* int64_t */
    OPTION_TEXT,   /* char *, NULL when not given; shown NULL */
    OPTION_TEXT0,  /* the same, shown (null) */
    OPTION_CHAR,   /* char; 0 when not given, and shown as min or NULL */
    OPTION_CHOICE, /* int64_t: which of arg's list, from 0 */
    OPTION_LIST,   /* struct option_list; every mention appends, commas part */
    OPTION_ONLY,   /* char *; what is in arg's list, else refused with the help as the sentence */
    OPTION_TUNE,   /* char *; accepted for memcached's sake and shown, nothing comes of it: one warning */
    OPTION_REFUSED,
    OPTION_SHOWN,
    OPTION_SHOWN_IF,
    OPTION_GROUP,
};

struct option_list {
    char **v;
    unsigned n;
};

/* The C type of a field. */
#define OPTION_C_FLAG bool
#define OPTION_C_ONOFF bool
#define OPTION_C_COUNT int64_t
#define OPTION_C_NUMBER int64_t
#define OPTION_C_SIZE int64_t
#define OPTION_C_KILOS int64_t
#define OPTION_C_MEGS int64_t
#define OPTION_C_OCTAL int64_t
#define OPTION_C_TEXT char *
#define OPTION_C_TEXT0 char *
#define OPTION_C_CHAR char
#define OPTION_C_CHOICE int64_t
#define OPTION_C_LIST struct option_list
#define OPTION_C_ONLY char *
#define OPTION_C_TUNE char *

struct option_row {
    enum option_type type;
    enum option_type of; /* SHOWN_IF: the field's type */
    size_t offset;
    const char *fallback; /* default; SHOWN: the value; GROUP: the title */
    int64_t min, max;
    char letter;
    bool live;
    uint16_t place;
    const char *name, *o_name, *stat, *arg, *help;
};

struct option_table {
    const struct option_row *rows;
    unsigned n;
};

/* What parsing has to say. */
struct option_report {
    char error[512];   /* why it failed */
    char ignored[512]; /* the options accepted for memcached's sake, parted by blanks; "" if none */
};

/* Fills the struct at `base` with the defaults. 0 or -ENOMEM. */
int option_defaults(const struct option_table *t, void *base);
/* Reads a command line (argv[0] is skipped) over what is there. A --config file is read first, so that the command line
 * wins. 0, -EINVAL or -ENOMEM with a sentence in r->error. */
int option_parse(const struct option_table *t, void *base, int argc, char *const *argv, struct option_report *r);
/* Frees what the fields hold. */
void option_free(const struct option_table *t, void *base);

/* Shows each `stats settings` line in order. Any thread, as long as nobody parses. */
void option_each(const struct option_table *t, const void *base,
                 void (*fn)(void *arg, const char *name, const char *value), void *arg);
/* The options by group, for --help. */
void option_help(const struct option_table *t, FILE *f);
/* The same as a section of a man page, in roff. */
void option_man(const struct option_table *t, FILE *f);

#endif
