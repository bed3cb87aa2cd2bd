/* SPDX-License-Identifier: BSD-3-Clause
 *
 * reply - what a node answers: lists of lines of a word and fields, `OK` lines, refusals.
 *
 * A list is read whole and kept, so that pointers into it stay good until it is freed. What tagctl does not know in it
 * is skipped; what is missing is NULL, or the value that the caller names.
 */
#ifndef TAGCACHED_TAGCTL_REPLY_H
#define TAGCACHED_TAGCTL_REPLY_H

#include <stdbool.h>
#include <stddef.h>

struct ctl;

#define REPLY_FIELDS_MAX 40
#define REPLY_LINES_MAX 1000000

struct reply_row {
    const char *word;
    unsigned n;
    struct {
        const char *name, *value;
    } fields[REPLY_FIELDS_MAX];
    char *line; /* what all of them point into */
};

struct reply {
    unsigned n;
    struct reply_row *rows;
    char *refusal; /* the line that came instead of the list, or NULL */
};

/* Sends a command. */
int reply_ask(struct ctl *c, const char *form, ...) __attribute__((format(printf, 2, 3)));
/* Reads a list. DONE also if the node refused: then there are no rows, and the refusal is kept. `command` is what it
 * was asked for, for the sentence when what comes is no answer to that. */
int reply_read(struct ctl *c, const char *command, struct reply *r);
/* Both, and a refusal is said and is a failure. */
int reply_list(struct ctl *c, struct reply *r, const char *form, ...) __attribute__((format(printf, 3, 4)));
void reply_free(struct reply *r);

/* Sends a command that is answered by one line, and copies the line. A refusal is said and is a failure. */
int reply_line(struct ctl *c, char *line, size_t size, const char *form, ...) __attribute__((format(printf, 4, 5)));
/* Whether a line says that the command was refused: CLIENT_ERROR, SERVER_ERROR or ERROR. */
bool reply_refuses(const char *line);
/* Says why a node refused, and returns the status: NOT_FOUND for what does not exist, else FAILED. */
int reply_say_refusal(struct ctl *c, const char *line);
/* Whether a refusal means that the node belongs to no cluster (or is too old to know what a cluster is). */
bool reply_says_no_cluster(const char *line);

/* The rows of one word, one after the other: the first behind `after` (NULL: of all), or NULL. */
const struct reply_row *reply_next(const struct reply *r, const char *word, const struct reply_row *after);
/* A field's value, or NULL if it is not there or is "-". */
const char *reply_text(const struct reply_row *row, const char *field);
/* A field as a number; NAN if it is not there or is none. */
double reply_number(const struct reply_row *row, const char *field);
/* The number of this name in a list of STAT rows; NAN: it is not there or is none. */
double reply_stat(const struct reply *stats, const char *name);
/* The version of the configuration that a line "OK version=..." tells; NAN: it tells none. */
double reply_version(const char *line);

#endif
