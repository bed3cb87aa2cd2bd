/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "cluster/config_state.h"

/* This process's member number in the next configuration; one that restarted after the majority was lost takes the
 * place of its older process. 0: there is no room. */
static uint32_t own_member(const struct config *c, struct configuration *n) {
    if (c->number != 0) return c->number;
    const struct configuration_member *old = configuration_by_name(n, c->self.name);
    if (old != NULL) configuration_remove(n, old->number);
    old = configuration_by_id(n, &c->self.id);
    if (old != NULL) configuration_remove(n, old->number);
    struct configuration_member m = {
        .number = n->next_number++,
        .id = c->self.id,
        .boot = c->self.boot,
        .weight = c->options.weight,
        .keeps_state = c->options.keeps_state,
        .state = CONFIGURATION_SERVING,
    };
    memcpy(m.name, c->self.name, sizeof m.name);
    memcpy(m.address, c->self.address, sizeof m.address);
    return configuration_add(n, &m) < 0 ? 0 : m.number;
}

static void sit_alone(const struct config *c, struct configuration *n, uint32_t number) {
    memcpy(n->previous, n->voters, sizeof n->previous);
    n->nprevious = n->nvoters;
    for (unsigned i = 0; i < n->nvoters; i++) /* nobody numbers purges under these any more */
        if (n->voters[i].origin != 0)
            n->closing[n->nclosing++] = (struct configuration_closing){n->voters[i].origin, n->version};
    memset(n->voters, 0, sizeof n->voters);
    n->nvoters = 1;
    n->voters[0] = (struct configuration_voter){.id = c->self.id, .member = number, .origin = n->next_number++};
    memcpy(n->voters[0].name, c->self.name, sizeof n->voters[0].name);
    n->origins[n->norigins++] = n->voters[0].origin;
    n->floor_epoch = n->epoch;
    n->voters_target = 0;
    n->leases = false;
}

/* The others are down for good, the operator says: they get no seat, however short their silence, until they are heard
 * again. (A seat for a dead member would cost the majority that was just won back.) */
static void expect_nobody(struct config *c) {
    for (unsigned i = 0; i < c->current->configuration.nmembers; i++)
        c->heard[i].ns = c->now_ns - CONFIG_SEAT_SILENT; /* only what has passed since counts */
}

static bool adopt(struct config *c, struct configuration *n) {
    if (configuration_same_ring(n, &c->current->configuration) != 1) {
        n->ring_version_before = n->ring_version;
        n->ring_version = n->version;
    }
    int err;
    struct configuration_value *v = configuration_value_new(n, &err);
    struct configuration_value *before = configuration_value_get(c->current);
    const bool adopted = v != NULL && config_adopt(c, v);
    if (adopted) {
        expect_nobody(c);
        config_spread(c, &before->configuration);
    }
    configuration_value_put(before);
    configuration_value_put(v);
    return adopted;
}

/* A majority of the state directories is lost. The version, the numbers and the epoch skip a random step: two
 * recoveries from one configuration (the first survivor was lost, too) must share none of them. With a common epoch a
 * node that had entered the lost one would not notice the fresh one. */
const char *config_recover(struct config *c) {
    struct configuration n = {0};
    if (c->current == NULL) return "this node knows no configuration";
    if (c->left) return "this node left, or a newer process has its name";
    if (c->current->configuration.next_number > CONFIGURATION_NUMBER_MAX) return "the numbers are used up";
    if (c->current->configuration.norigins == CONFIGURATION_ORIGINS_MAX) return "too many origins are not retired yet";
    if (configuration_copy(&n, &c->current->configuration) < 0) return "no memory";
    uint32_t step = CONFIGURATION_RECOVERY_SKIPS;
    if (!FAULT_POINT("config_recover_fixed")) step += (uint32_t)rand_below(&c->rand, 1000000);
    n.version += step;
    n.next_number += step;
    n.epoch += step;
    memcpy(n.by, c->self.name, sizeof n.by);
    const char *refusal = "no room for one more member";
    const uint32_t number = own_member(c, &n);
    if (number != 0) {
        sit_alone(c, &n, number);
        refusal = adopt(c, &n) ? NULL : "no memory";
    }
    configuration_fini(&n);
    return refusal;
}
