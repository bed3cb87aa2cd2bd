/* SPDX-License-Identifier: BSD-3-Clause
 *
 * settings - every option of a node, as one struct made of the rows that the modules declare (base/option.h).
 *
 * Owned by whoever made it; read by any thread once parsed. The only exceptions while running are the rows marked live,
 * whose current value the node reports.
 */
#ifndef TAGCACHED_SETTINGS_H
#define TAGCACHED_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/option.h"
#include "net/net_config.h"

struct settings {
#define OPTION(field, type, ...) OPTION_C_##type field;
#define GROUP(...)
#define SHOWN(...)
#define SHOWN_IF(...)
#define REFUSED(...)
#include "audit.options.def"
#include "cluster/cluster.options.def"
#include "cmd/cmd.options.def"
#include "http/http.options.def"
#include "main.options.def"
#include "net/net.options.def"
#include "store/store.options.def"
#undef OPTION
#undef GROUP
#undef SHOWN
#undef SHOWN_IF
#undef REFUSED
};

/* The defaults. 0 or -ENOMEM. */
int settings_init(struct settings *s);
/* Reads a command line over them and checks what must fit together. 0, -EINVAL or -ENOMEM with a sentence in r->error;
 * r->ignored names what was accepted without effect. */
int settings_parse(struct settings *s, int argc, char *const *argv, struct option_report *r);
void settings_fini(struct settings *s);

/* Reads one address of --http. 0, or -EINVAL with a sentence in err. */
int settings_http_listen(const char *spec, struct net_listen *out, char *err, size_t err_size);
/* What --audit says. */
struct settings_audit {
    const char *path; /* NULL: there is no audit */
    bool required;    /* purges wait for their lines */
    bool reasons;     /* and are refused without a reason */
};
/* Reads it. False: it names several files, or none. */
bool settings_audit(const struct settings *s, struct settings_audit *out);
/* The certificates and rules of TLS, all listeners' alike; false: there is no TLS (-Z). */
bool settings_tls(const struct settings *s, struct net_tls_config *out);

/* The marker of tag suffixes, or NULL when they are off. */
const char *settings_key_tags(const struct settings *s);

/* Shows every line of `stats settings`, memcached's first in its order. Any thread. */
void settings_each(const struct settings *s, void (*fn)(void *arg, const char *name, const char *value), void *arg);
/* --help, and the options as a section of the man page. */
void settings_print_help(FILE *f);
void settings_print_man(FILE *f);

#endif
