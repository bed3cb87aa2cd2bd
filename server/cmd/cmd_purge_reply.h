/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_purge_reply - what became of a purge, and the answer to mp that says so. On the session's worker.
 */
#ifndef TAGCACHED_CMD_CMD_PURGE_REPLY_H
#define TAGCACHED_CMD_CMD_PURGE_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "cmd/session.h"
#include "proto/meta.h"
#include "proto/text.h"

/* What became of a purge. */
struct cmd_purged {
    uint64_t number; /* of this node; in a cluster its id as one number, 0: it has none yet */
    int64_t n;       /* of a counted one, items and */
    uint64_t bytes;
    bool confirmed;
    unsigned acked, members; /* nodes that have carried it out, of so many */
};

/* Answers an mp line with these flags and this list of selectors. */
void cmd_purge_reply_mp(struct session *s, const struct meta *m, const struct text_token *sel,
                        const struct cmd_purged *got);

#endif
