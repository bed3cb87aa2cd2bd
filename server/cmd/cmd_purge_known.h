/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_purge_known - what `explain` may say of a purge: by which name the cluster knows it, and how a tag was written.
 * The store knows neither; it has its own number of a purge, and hashes of tags.
 *
 * Remembered are the selectors that this node carried out last, CMD_PURGE_KNOWN_EVENTS of them, and names of tags that
 * its clients purged, as many at most as CMD_PURGE_KNOWN_TAGS; no promise depends on it. 200 KiB, touched as they are
 * used. Any thread.
 */
#ifndef TAGCACHED_CMD_CMD_PURGE_KNOWN_H
#define TAGCACHED_CMD_CMD_PURGE_KNOWN_H

#include <stddef.h>
#include <stdint.h>

#include "cluster/cluster_task.h"
#include "store/store.h"

struct purging_batch;

#define CMD_PURGE_KNOWN_EVENTS 2048
#define CMD_PURGE_KNOWN_TAGS 1024
#define CMD_PURGE_KNOWN_TAG_MAX 51                   /* bytes of a tag's name; longer ones are not remembered */
#define CMD_PURGE_KNOWN_ID_MAX CLUSTER_PURGE_ID_TEXT /* bytes of a purge's name, NUL included */

struct cmd_purge_known;

/* NULL: no memory. */
struct cmd_purge_known *cmd_purge_known_new(void);
void cmd_purge_known_free(struct cmd_purge_known *k);

/* The store has carried out this batch of the cluster's purges under this number. */
void cmd_purge_known_batch(struct cmd_purge_known *k, uint64_t number, const struct purging_batch *b);
/* A client purges what text[0..n) selects, selectors parted by commas or blanks. */
void cmd_purge_known_text(struct cmd_purge_known *k, const char *text, size_t n);

/* The name of the purge: its id, its via while it has no id, or else this node's number; "-" if that is not known. */
void cmd_purge_known_id(struct cmd_purge_known *k, const struct store_cause *cause, char to[CMD_PURGE_KNOWN_ID_MAX]);
/* The name of the tag, "-" if it is not known or 0. */
void cmd_purge_known_tag(struct cmd_purge_known *k, uint64_t tag, char to[CMD_PURGE_KNOWN_TAG_MAX + 1]);

#endif
