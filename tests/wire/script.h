/* SPDX-License-Identifier: BSD-3-Clause
 *
 * script - a wire transcript as a list of steps. Read by one thread, never changed afterwards.
 *
 * A transcript is a text file, one step a line (tests/wire/README.md has the whole language):
 *     # words for the reader             a comment
 *     > get k                            these bytes and \r\n are sent
 *     < VALUE k 0 1                      these bytes and \r\n must come back
 *     >- abc        <- abc               the same without the \r\n
 *     >: get k=a    <: get v=1 cas=\?    a packet of the binary protocol (script_packet.h)
 *     !> ...                             sent and expected only where the server is tagcached (see script_step.ours)
 *     @ advance 3s                       an order to the runner
 */
#ifndef TAGCACHED_TESTS_SCRIPT_H
#define TAGCACHED_TESTS_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

enum script_kind { SCRIPT_SEND, SCRIPT_EXPECT, SCRIPT_ORDER };

struct script_step {
    enum script_kind kind;
    int line;
    bool packet; /* SEND and EXPECT: the text is a packet's words */
    bool ours;   /* marked with '!': plain memcached 1.6.18 answers something else, or cannot be asked */
    char *text;  /* escapes not yet expanded */
};

struct script {
    char *path;
    struct script_step *steps;
    size_t nsteps;
};

/* Reads a file. 0, or -1 with a message on stderr. */
int script_load(const char *path, struct script *out);
void script_free(struct script *s);

/* Bytes that grow. */
struct bytes {
    char *p;
    size_t n, cap;
};
void bytes_add(struct bytes *b, const void *p, size_t n);
void bytes_drop(struct bytes *b, size_t n); /* the first n */
void bytes_free(struct bytes *b);

/* What \(name) stands for: set by the first match, compared and sent from then on. */
#define SCRIPT_VARS 64
struct script_vars {
    unsigned n;
    struct {
        char name[24], value[256];
    } v[SCRIPT_VARS];
};
const char *script_var(const struct script_vars *vars, const char *name);
void script_var_set(struct script_vars *vars, const char *name, size_t name_len, const char *value, size_t value_len);

/* Appends the bytes that a text stands for. 0, or -1 when it has an unknown escape or a variable without a value. */
int script_expand(const char *text, const struct script_vars *vars, struct bytes *out);
/* True if the text holds no \? \* or \(name): then script_expand gives exactly what must arrive. */
bool script_is_literal(const char *text);
/* True if a line (with its \r\n) is what a pattern asks for; captures variables. */
bool script_match(const char *pattern, const char *line, size_t n, struct script_vars *vars);

#endif
