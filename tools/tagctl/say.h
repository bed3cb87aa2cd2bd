/* SPDX-License-Identifier: BSD-3-Clause
 *
 * say - how tagctl complains, and how it ends.
 */
#ifndef TAGCACHED_TAGCTL_SAY_H
#define TAGCACHED_TAGCTL_SAY_H

#include <stdbool.h>

/* The exit status. */
enum {
    DONE = 0,
    FAILED = 1,      /* or done in part */
    USAGE = 2,       /* what was typed */
    NOT_FOUND = 3,   /* no such key, node, purge */
    UNREACHABLE = 4, /* no node answers */
    DECLINED = 5,    /* the question was not answered with yes */
};

/* Whether what is said until then is left out: a look that is repeated need not complain each time. */
void say_nothing(bool nothing);
/* Says "tagctl: ..." on standard error. */
void say(const char *form, ...) __attribute__((format(printf, 1, 2)));
/* The same, and its value is the status. */
#define complain(status, ...) (say(__VA_ARGS__), complained(status))
static inline int complained(int status) {
    return status;
}

#endif
