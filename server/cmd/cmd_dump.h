/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_dump - long answers that are written as the client takes them (cmd_producer.h): dumps of keys, a histogram of all
 * items, a text prepared before.
 *
 * Between its steps a walk holds nothing of the store, only where it is: a client that reads slowly costs the store
 * nothing, and no more output than conn_full() allows. Owned by the session (session->produce_state). All functions run
 * on the session's worker.
 */
#ifndef TAGCACHED_CMD_CMD_DUMP_H
#define TAGCACHED_CMD_CMD_DUMP_H

#include "cmd/cmd_stat_line.h"
#include "cmd/session.h"
#include "store/store.h"

enum cmd_dump_kind {
    CMD_DUMP_META,  /* lru_crawler metadump */
    CMD_DUMP_MG,    /* lru_crawler mgdump */
    CMD_DUMP_CACHE, /* stats cachedump */
    CMD_DUMP_SIZES, /* stats sizes: cmd_dump_sizes */
};

/* Begins to answer with all items, or with those that a purge of the selector would take (NULL: all); `items` and
 * `bytes` bound what is shown (UINT64_MAX: they do not). False if there is no memory; nothing has been written then. */
bool cmd_dump_begin(struct session *s, enum cmd_dump_kind kind, const struct store_selector *of, uint64_t items,
                    uint64_t bytes);
/* Begins to answer `stats sizes`. False likewise, also if too many are under way. */
bool cmd_dump_sizes(const struct cmd_stat_line *to);

/* Answers with text[0..n), which it takes over and frees. */
void cmd_dump_text(struct session *s, char *text, size_t n);

/* Bytes the store spends on an item: header, key, tags and value. */
uint64_t cmd_dump_item_bytes(const struct store_item *it);

#endif
