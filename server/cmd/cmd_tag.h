/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_tag - the tags of an item that is stored, and those that a reader names; tag_add.
 *
 * On the session's worker: the sets are its scratch.
 */
#ifndef TAGCACHED_CMD_CMD_TAG_H
#define TAGCACHED_CMD_CMD_TAG_H

#include "cmd/session.h"

/* Begins both sets: they are empty. */
void cmd_tag_begin(struct session *s);

/* Adds a list of tags to the item's set, or to the reader's. False: it is malformed, or there would be more than
 * STORE_TAGS_MAX, or STORE_READ_TAGS_MAX. */
bool cmd_tag_add_list(struct session *s, const char *list, size_t n);
bool cmd_tag_add_read(struct session *s, const char *list, size_t n);

#endif
