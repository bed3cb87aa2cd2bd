/* SPDX-License-Identifier: BSD-3-Clause
 *
 * keytags - tags, lists of tags, selectors, and the suffix that carries them on a key. Pure functions over bytes.
 *
 * A tag is 1 to 200 bytes, none of them blank, control (below 0x21, or 0x7f), ',' or '+'. A selector is tags joined by
 * '+', or "*". A list is selectors joined by ','.
 */
#ifndef TAGCACHED_PROTO_KEYTAGS_H
#define TAGCACHED_PROTO_KEYTAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/text.h"

#define KEYTAGS_TAG_MAX 200      /* bytes of a tag */
#define KEYTAGS_SELECTOR_MAX 64  /* tags of a selector */
#define KEYTAGS_SELECTORS_MAX 64 /* selectors of a list */

/* The bytes that begin a suffix, "|#|" by default; "t=" or "p=" follows them. len 0: keys have no suffixes. */
struct keytags_marker {
    char p[16];
    uint8_t len;
};

enum keytags_kind { KEYTAGS_NONE, KEYTAGS_TAGS, KEYTAGS_PURGE };

struct keytags_key {
    enum keytags_kind kind;
    size_t bare_len;  /* bytes of the key before the suffix (all of them without one) */
    const char *list; /* what follows "t=" or "p=" */
    size_t list_len;
};

/* Finds the last suffix of a key. */
void keytags_split_key(const struct keytags_marker *m, const char *key, size_t n, struct keytags_key *out);

/* Whether p[0..n) is a tag. */
bool keytags_is_tag(const char *p, size_t n);
/* The next tag of a list separated by `sep` (',' for a list of tags, '+' for a selector), from *at, which it moves
 * behind the separator. 1: a tag in *out; 0: the list ended; -1: no tag there. An empty list is malformed. */
int keytags_next(const char *list, size_t n, char sep, size_t *at, struct text_token *out);
/* Whether p[0..n) is a list of at least one tag, separated by ','. The caller bounds their number, since repeats count
 * once. */
bool keytags_is_list(const char *list, size_t n);
/* Of a malformed list: whether one of its pieces is longer than a tag may be. */
bool keytags_is_too_long(const char *list, size_t n);
/* Whether p[0..n) is a selector: "*", or 1 to 64 tags joined by '+'. */
bool keytags_is_selector(const char *p, size_t n);
/* Whether p[0..n) is a list of 1 to 64 selectors separated by ','. */
bool keytags_is_selectors(const char *list, size_t n);
/* As keytags_next, over the selectors of a list. */
int keytags_next_selector(const char *list, size_t n, size_t *at, struct text_token *out);

#endif
