/* SPDX-License-Identifier: BSD-3-Clause
 *
 * verbs - the table of verbs, made of verbs.def, and what tagctl says about itself.
 */
#ifndef TAGCACHED_TAGCTL_VERBS_H
#define TAGCACHED_TAGCTL_VERBS_H

#include <stdbool.h>

struct ctl;

#define MANY 1000000

struct verb {
    const char *group, *name; /* name "": the group's name alone */
    int (*run)(struct ctl *c);
    unsigned min, max;
    const char *words;
    unsigned takes;
    const char *help, *example;
};
extern const struct verb verbs[];
extern const unsigned nverbs;

/* The verb that words[0..n) begin with, and how many of them it has; NULL: there is none. */
const struct verb *verb_find(char *const words[], unsigned n, unsigned *used);
bool verb_is_group(const char *word);
/* The verb or group that was probably meant, or NULL. */
const char *verb_like(const char *word);

/* Help on all, a group, or a verb, on standard output. */
void help_all(void);
void help_group(const char *group);
void help_verb(const struct verb *v);
/* How a verb is called, as a complaint. */
int help_misused(const struct verb *v);
/* The verbs and options, as parts of a man page. */
void help_man_verbs(void);
void help_man_options(void);

#define GROUP(name, help)
#define VERB(group, name, function, min, max, words, takes, help, example) int function(struct ctl *c);
#include "tools/tagctl/verbs.def"
#undef GROUP
#undef VERB

#endif
