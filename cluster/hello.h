/* SPDX-License-Identifier: BSD-3-Clause
 *
 * hello - whether two nodes may work together: what both must have alike, compared when a link begins.
 *
 * Each side sends its hello (peer_link.h) and checks the other's. A refusal names the setting that is wrong and says
 * in a sentence what to do; it is logged here (event link_refused), and sent, so that the other side logs it too.
 *
 * Pure; any thread.
 */
#ifndef TAGCACHED_CLUSTER_HELLO_H
#define TAGCACHED_CLUSTER_HELLO_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/peer_link.h"

enum hello_verdict {
    HELLO_ACCEPTED,
    HELLO_SELF,    /* it is this very process: an address of its own was dialled */
    HELLO_REFUSED, /* *why says the setting and what to do */
};

/* Checks, in this order: --cluster, the wire versions, the node wanted at this address (either way), one state
 * directory used by two processes, --ring-name (two live nodes of one name), --key-tags, --prefix-tags,
 * --ring-strip-prefix. HELLO_ACCEPTED: *version is the highest wire version that both speak. */
enum hello_verdict hello_check(const struct peer_hello *mine, const struct peer_hello *theirs, uint32_t *version,
                               struct peer_refusal *why);

#endif
