/* SPDX-License-Identifier: BSD-3-Clause
 *
 * table - rows for people and for programs: aligned and rounded on a terminal, exact and parted by tabs elsewhere, or
 * JSON.
 */
#ifndef TAGCACHED_TAGCTL_TABLE_H
#define TAGCACHED_TAGCTL_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "tools/tagctl/tagctl.h"

enum table_kind {
    TABLE_TEXT,
    TABLE_STATE,    /* a text; coloured where there are colours: alive is fine */
    TABLE_YESNO,    /* the texts yes and no; a truth value in JSON; coloured */
    TABLE_COUNT,    /* 9,2M on a terminal */
    TABLE_NUMBER,   /* exact everywhere */
    TABLE_BYTES,    /* 412 MiB */
    TABLE_BYTES_OF, /* 6.1/8.0 GiB: the next column, which a terminal does not show by itself, is the limit */
    TABLE_SHARE,    /* 0..1; 33.4% */
    TABLE_PERCENT,  /* 0..1; 96.1 under a heading that says % */
    TABLE_MS,       /* milliseconds; 1.3 ms */
};

struct table_column {
    const char *heading; /* NULL: a terminal does not show it */
    const char *key;     /* in JSON */
    enum table_kind kind;
};

struct table {
    const struct table_column *columns;
    unsigned ncolumns, n, room; /* cells, filled row after row */
    struct table_cell {
        char *text;
        double number;
    } * cells;
};

void table_init(struct table *t, const struct table_column *columns, unsigned ncolumns);
void table_free(struct table *t);
/* The next cell. A text is copied; NULL and NAN are not known: "-", null. */
void table_text(struct table *t, const char *text);
void table_number(struct table *t, double number);
/* Prints it as c says, as a table or plain; of a table also the headings, unless it is empty. */
void table_print(const struct table *t, const struct ctl *c);
/* Its rows as an array of objects; a new reference. */
json_t *table_json(const struct table *t);

/* Prints a JSON value, indented, and gives up the reference. */
void json_print(json_t *j);
/* A text as JSON, null for NULL; bytes that are no UTF-8 become '?'. */
json_t *json_text(const char *text);
/* A number as JSON, null for NAN; whole numbers as integers. */
json_t *json_number(double number);

/* "9.2M", "6.1 GiB": to[32]. */
void text_count(char to[32], double n);
void text_bytes(char to[32], double n);
/* "1,234,567": to[32]. */
void text_grouped(char to[32], double n);

#endif
