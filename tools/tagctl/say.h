/* SPDX-License-Identifier: BSD-3-Clause
 *
 * say - how tagctl complains, and how it ends.
 */
#ifndef TAGCACHED_TAGCTL_SAY_H
#define TAGCACHED_TAGCTL_SAY_H

/* The exit status. */
enum {
    DONE = 0,
    FAILED = 1,      /* or done in part */
    USAGE = 2,       /* what was typed */
    NOT_FOUND = 3,   /* no such key, node, purge */
    UNREACHABLE = 4, /* no node answers */
    DECLINED = 5,    /* the question was not answered with yes */
};

/* Says "tagctl: ..." on standard error. */
void say(const char *form, ...) __attribute__((format(printf, 1, 2)));
/* The same, and its value is the status. */
#define complain(status, ...) (say(__VA_ARGS__), complained(status))
static inline int complained(int status) {
    return status;
}

#endif
