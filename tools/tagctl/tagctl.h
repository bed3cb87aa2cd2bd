/* SPDX-License-Identifier: BSD-3-Clause
 *
 * tagctl - what all of the cluster tool's files share: how it ends, what it was told, how it complains.
 *
 * tagctl is a program of one thread that speaks the text protocol (proto/PROTOCOL.md, "Cluster commands") to one node
 * and learns the rest from it. A function that can fail returns how the program shall end, DONE (0) if it did not fail,
 * and has then said why.
 */
#ifndef TAGCACHED_TAGCTL_TAGCTL_H
#define TAGCACHED_TAGCTL_TAGCTL_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/tagctl/conn.h"
#include "tools/tagctl/options.h"
#include "tools/tagctl/say.h"

enum output { OUTPUT_TABLE, OUTPUT_PLAIN, OUTPUT_JSON };

struct ctl {
    struct options opt;
    char **args; /* behind the verb's words */
    unsigned nargs;
    enum output output;
    bool colour;
    struct conn conn; /* open as of ctl_connect */
};

/* Connects, unless it is done. Says what happened if that fails. */
int ctl_connect(struct ctl *c);

/* What a verb that changes something does first. With --dry-run it says `plan` and that nothing was changed, and
 * returns DONE with *go false. A dangerous one shows the plan and asks, unless --yes; without a terminal to ask on it
 * declines. */
int ctl_confirm(struct ctl *c, bool dangerous, bool *go, const char *plan, ...) __attribute__((format(printf, 4, 5)));

#endif
