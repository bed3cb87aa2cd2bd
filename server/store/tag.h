/* SPDX-License-Identifier: BSD-3-Clause
 *
 * tag - the tags of an item: those stored with it and those that its key's prefixes are. Any thread.
 */
#ifndef TAGCACHED_STORE_TAG_H
#define TAGCACHED_STORE_TAG_H

#include <stdbool.h>
#include <stdint.h>

#include "store/item.h"
#include "store/store.h"

#define TAG_PREFIXES_MAX 16 /* of one key */
#define TAG_ALL_MAX (STORE_TAGS_MAX + TAG_PREFIXES_MAX)
#define TAG_READ_MAX (TAG_ALL_MAX + STORE_READ_TAGS_MAX) /* with those that a reader names */

/* All tags of an item, prefix tags included; out holds TAG_ALL_MAX. */
unsigned tag_all(const struct store *s, const struct item *it, uint64_t *out);
/* Adds the prefix tags of a key to the n tags at out; returns the new count. */
unsigned tag_prefixes(const struct store *s, const char *key, unsigned key_len, uint64_t *out, unsigned n);
/* Adds tags that are not there yet; returns the new count. */
unsigned tag_unite(uint64_t *tags, unsigned n, const uint64_t *more, unsigned nmore);
/* Whether the n tags hold all of the wanted ones; always if none is wanted, as by the selector `*`. */
bool tag_holds(const uint64_t *tags, unsigned n, const uint64_t *wanted, uint64_t nwanted);

#endif
