/* SPDX-License-Identifier: BSD-3-Clause
 *
 * node_lab - a node made of a command line, in this process, for tests that look into it and stand in its threads' way.
 *
 * A program uses one folder for its sockets and files: node_lab_begin makes it, node_lab_clean removes it.
 */
#ifndef TAGCACHED_TESTS_NODE_LAB_H
#define TAGCACHED_TESTS_NODE_LAB_H

#include "base/clock.h"
#include "node.h"
#include "settings.h"

struct node_lab {
    struct settings settings;
    struct clock_manual clock;
    struct node *node;
};

void node_lab_begin(void);
/* Removes the folder, and the socket "sock" in it; what else is in it must be gone. */
void node_lab_clean(void);
/* The path of a file in the folder; valid until the call after the next one. */
const char *node_lab_file(const char *name);

/* Makes a node of up to five words of a command line (NULL: no more), not started. */
void node_lab_make(struct node_lab *u, const char *a, const char *b, const char *c, const char *d, const char *e);
void node_lab_end(struct node_lab *u);
/* A connection to the socket "sock"; to the first port. */
int node_lab_dial_unix(void);
int node_lab_dial_tcp(const struct node_lab *u);
/* Reads until the end of what has come is `last`. */
void node_lab_hear(int fd, const char *last);

#endif
