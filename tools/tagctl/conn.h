/* SPDX-License-Identifier: BSD-3-Clause
 *
 * conn - a connection to one node, with or without TLS: lines out, lines and blocks in, each with a time limit.
 *
 * What it says when something fails names the node. Functions return as tagctl.h says.
 */
#ifndef TAGCACHED_TAGCTL_CONN_H
#define TAGCACHED_TAGCTL_CONN_H

#include <stdbool.h>
#include <stddef.h>

struct options;

#define CONN_LINE_MAX (1024 * 1024)           /* bytes of a line that a node may send */
#define CONN_BLOCK_MAX (1024UL * 1024 * 1024) /* and of a block */

struct conn {
    int fd;
    struct ssl_ctx_st *ctx;
    struct ssl_st *ssl; /* NULL: plain */
    char name[512];     /* of the node, as it was given */
    double timeout;     /* seconds */
    char *in;           /* bytes that came: in[at..have) are not read yet */
    size_t at, have, room;
};

/* The time in seconds, by a clock that nobody sets. */
double conn_seconds(void);

/* Connects to the first node that answers of those that options, environment and this machine name, and logs in if
 * there is a user. */
int conn_open(struct conn *c, const struct options *o);
/* All fields zero, or as conn_open left them. */
void conn_close(struct conn *c);

/* Sends these bytes. */
int conn_write(struct conn *c, const void *bytes, size_t n);
/* Formats a line and sends it, its ending added. */
int conn_send(struct conn *c, const char *form, ...) __attribute__((format(printf, 2, 3)));
/* Reads a line. *line is without its ending, terminated, and good until the next call. */
int conn_line(struct conn *c, char **line);
/* Reads n bytes and the ending behind them; likewise. */
int conn_block(struct conn *c, size_t n, char **bytes);

#endif
