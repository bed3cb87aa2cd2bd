/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Publishes what this node has applied, for workers that pull items or give them (pull.h). */
#include <string.h>

#include "cluster/cluster_state.h"

/* What was applied and is not in the vector has a number above the store's present one: purges are carried out by this
 * thread alone, and none is under way. */
static bool stand_now(const struct cluster *c, struct pull_stand *s) {
    struct peer_purge_seen vector[PEER_PURGE_VECTOR_MAX];
    const struct configuration *at = config_current(c->config);
    if (c->batch != NULL) return false;
    memset(s, 0, offsetof(struct pull_stand, seen));
    if (c->purging == NULL || at == NULL || config_number(c->config) == 0) return true;
    s->known = purging_begun(c->purging);
    s->usable = s->known != 0 && purging_local(c->purging) == 0;
    s->epoch = purging_entered(c->purging);
    s->version = at->version;
    s->floor_epoch = at->floor_epoch;
    s->retire_version = at->retire_version;
    s->n = purging_vector(c->purging, vector);
    for (unsigned i = 0; i < s->n; i++) s->seen[i] = (struct pull_seen){vector[i].origin, vector[i].sequence};
    s->number = c->cfg.up.number(c->cfg.up.arg);
    return true;
}

_Static_assert(PEER_PURGE_VECTOR_MAX <= PULL_ORIGINS_MAX, "a vector fits");

/* Whether they say the same but for the number, which rises with every store. */
static bool is_same(const struct pull_stand *a, const struct pull_stand *b) {
    const size_t from = offsetof(struct pull_stand, usable);
    return a->n == b->n &&
           memcmp((const char *)a + from, (const char *)b + from, offsetof(struct pull_stand, seen) - from) == 0 &&
           memcmp(a->seen, b->seen, a->n * sizeof a->seen[0]) == 0;
}

void cluster_pull_publish(struct cluster *c) {
    struct pull_stand now;
    if (!stand_now(c, &now) || is_same(&now, &c->board.stand)) return;
    pull_publish(&c->board, &now);
}

const struct pull_board *cluster_board(const struct cluster *c) {
    return &c->board;
}
