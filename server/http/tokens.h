/* SPDX-License-Identifier: BSD-3-Clause
 *
 * tokens - the tokens of HTTP clients (--http-tokens; proto/token.h has the file's form): which one a request carries,
 * what it may do, and how often.
 *
 * A client gives its token as its kind of API does: Fastly-Key, Authorization: Bearer, the password of Authorization:
 * Basic, X-Auth-Key, AccessKey, X-Tagcached-Token. Owned by the node. All on the listener's thread but for
 * tokens_reload.
 */
#ifndef TAGCACHED_HTTP_TOKENS_H
#define TAGCACHED_HTTP_TOKENS_H

#include <stddef.h>

#include "http/http_route.h"
#include "proto/token.h"

struct clock;
struct tokens;

/* Reads the file. 0, or -errno with a sentence in err: it cannot be read, others than its owner and group may read it,
 * its group may write it, or a line is wrong. */
int tokens_new(const char *path, const struct clock *clock, struct tokens **out, char *err, size_t err_size);
/* NULL is allowed. */
void tokens_free(struct tokens *t);
/* Reads it again (SIGHUP). 0, or as above, and what was read before stays. From the next request on. *changes: what is
 * different, "created=NAME revoked=NAME changed=NAME ...", from malloc; NULL: nothing, or no memory. Any thread, one at
 * a time. */
int tokens_reload(struct tokens *t, char **changes, char *err, size_t err_size);

/* For http_config: who a request is from is a const struct token, which is there until the next request. */
const struct http_actors *tokens_actors(const struct tokens *t);
/* Whether the token may purge what these selectors, joined by commas, select (or everything): NULL, or a sentence that
 * says why not. */
const char *tokens_refuse(const struct token *who, bool all, const char *selectors, size_t n);

#endif
