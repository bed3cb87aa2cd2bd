/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Publishes which purges this node knows, for those who take items from other nodes or give them (cover.h). */
#include "cluster/cluster_state.h"

/* As the machines have it now. The number is right for the vector because purges are carried out by this thread alone,
 * and none is under way. */
static struct cover find_cover(const struct cluster *c) {
    struct peer_purge_seen vector[PEER_PURGE_VECTOR_MAX];
    const struct configuration *at = config_current(c->config);
    if (c->purging == NULL || at == NULL || config_number(c->config) == 0) return (struct cover){0};
    struct cover v = {
        .usable = purging_begun(c->purging) && purging_local(c->purging) == 0,
        .g = c->cfg.up.number(c->cfg.up.arg),
        .version = at->version,
        .epoch = purging_entered(c->purging),
        .floor_epoch = at->floor_epoch,
        .retire_version = at->retire_version,
        .n = purging_vector(c->purging, vector),
    };
    for (unsigned i = 0; i < v.n; i++) v.seen[i] = (struct cover_seen){vector[i].origin, vector[i].sequence};
    return v;
}

/* Whether they say the same. The number alone may be older: then the store refuses more. */
static bool is_same(const struct cover *a, const struct cover *b) {
    if (a->usable != b->usable || a->version != b->version || a->epoch != b->epoch || a->n != b->n) return false;
    if (a->floor_epoch != b->floor_epoch || a->retire_version != b->retire_version) return false;
    for (unsigned i = 0; i < a->n; i++)
        if (a->seen[i].origin != b->seen[i].origin || a->seen[i].sequence != b->seen[i].sequence) return false;
    return true;
}

void cluster_cover_publish(struct cluster *c) {
    struct cover before;
    if (c->batch != NULL) return; /* it has a number, and is not in the vector yet */
    const struct cover now = find_cover(c);
    cover_copy(&c->cover, &before);
    if (!is_same(&now, &before)) cover_publish(&c->cover, &now);
}

void cluster_cover_forget(struct cluster *c) {
    cover_publish(&c->cover, &(struct cover){0});
}

const struct cover_cell *cluster_cover(const struct cluster *c) {
    return &c->cover;
}
