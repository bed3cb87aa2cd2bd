/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_key - the key of a request: without the suffix that carries tags or a purge, checked and hashed.
 *
 * On the session's worker, inside a section.
 */
#ifndef TAGCACHED_CMD_CMD_KEY_H
#define TAGCACHED_CMD_CMD_KEY_H

#include "cmd/request.h"
#include "cmd/session.h"
#include "proto/keytags.h"
#include "proto/text.h"

/* Makes key[0..n) the request's key: splits its suffix, checks lengths and list, hashes the bare key and prefetches its
 * bucket. False, and r->error is CMD_ERROR_FORMAT, when it is no key. `mark` false: the marker's first byte is not in
 * it. */
bool cmd_key_set(struct session *s, struct request *r, const char *key, size_t n, bool mark);

/* Looks for the suffix of key[0..n): fills r's suffix and list when there is one, and *bare with the length of what
 * stands before it. False: the suffix's list is malformed, so it is no key. */
bool cmd_key_split(const struct session *s, struct request *r, const char *key, size_t n, size_t *bare);

/* Finds the word behind the command's own, a key as a rule; *at is where it ends in the line. *mark: the marker's first
 * byte is in it. False: there is none. */
bool cmd_key_word(const struct session *s, const struct request *r, size_t *at, struct text_token *key, bool *mark);

#endif
