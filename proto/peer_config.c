/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/peer_config.h"

#include <string.h>

int peer_ballot_compare(const struct peer_ballot *a, const struct peer_ballot *b) {
    if (a->counter != b->counter) return a->counter < b->counter ? -1 : 1;
    if (a->boot != b->boot) return a->boot < b->boot ? -1 : 1;
    return memcmp(&a->node, &b->node, sizeof a->node);
}
