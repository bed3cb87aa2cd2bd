/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The leases that this node holds, as the workers, the log and operators are told of them. */
#include <stdio.h>
#include <string.h>

#include "cluster/cluster_state.h"

#define MS UINT64_C(1000000)

/* Before this node has ever been a member it takes what it is given, and all reads miss, since nothing that it stores
 * counts as stored under a ring. */
static struct lease_ends find_ends(const struct cluster *c) {
    if (c->lease_given_up) return (struct lease_ends){0, 0};
    if (config_current(c->config) != NULL) return purging_leases(c->purging);
    if (c->view == NULL || c->view->ring_version == 0) return (struct lease_ends){LEASE_ENDLESS, LEASE_ENDLESS};
    return (struct lease_ends){0, 0};
}

bool cluster_lease_held(const struct cluster *c) {
    return config_number(c->config) != 0 && sync_load(&c->ends.tag_ns) > cluster_now(c);
}

uint64_t cluster_lease_next_ns(const struct cluster *c) {
    return c->lease_held ? sync_load(&c->ends.tag_ns) : UINT64_MAX;
}

/* Names the voters that have not answered for a second, or for as long as half a tag lease; returns how many, and
 * (*silent_ns) for how long all of them have not. */
static unsigned name_silent(const struct cluster *c, uint64_t now_ns, char *text, size_t size, uint64_t *silent_ns) {
    const struct configuration *at = config_current(c->config);
    const uint64_t least_ns =
        at->tag_lease_ms / 2 * MS < CLUSTER_SECOND_NS ? at->tag_lease_ms / 2 * MS : CLUSTER_SECOND_NS;
    unsigned n = 0;
    size_t used = 0;
    *silent_ns = UINT64_MAX;
    for (unsigned i = 0; i < at->nvoters; i++) {
        const uint64_t since_ns = c->voter_heard_ns[i] != 0 ? c->voter_heard_ns[i] : c->adopted_ns;
        const uint64_t silent = now_ns > since_ns ? now_ns - since_ns : 0;
        if (at->voters[i].member == config_number(c->config) || silent < least_ns) continue;
        if (silent < *silent_ns) *silent_ns = silent;
        const int wrote = snprintf(text + used, size - used, "%s%s", n++ > 0 ? ", " : "", at->voters[i].name);
        used = used + (size_t)wrote < size ? used + (size_t)wrote : size - 1;
    }
    return n;
}

void cluster_lease_state(const struct cluster *c, char *text, size_t size) {
    char names[160] = "";
    uint64_t silent_ns;
    text[0] = 0;
    if (config_current(c->config) == NULL || config_number(c->config) == 0 || cluster_lease_held(c)) return;
    const unsigned n = name_silent(c, cluster_now(c), names, sizeof names, &silent_ns);
    if (c->lease_given_up)
        snprintf(text, size, "leaving");
    else if (n > 0)
        snprintf(text, size, "no lease: voter%s %s silent %llu s", n == 1 ? "" : "s", names,
                 (unsigned long long)(silent_ns / CLUSTER_SECOND_NS));
    else
        snprintf(text, size, "no lease: voters are not ready, or purges are missing here");
}

static void log_change(struct cluster *c, bool held, uint64_t now_ns) {
    char text[200] = "";
    if (!held) {
        c->lease_lost_ns = now_ns;
        cluster_lease_state(c, text, sizeof text);
        cluster_log(c, "lease_lost", "reason=\"%s\"", text);
    } else if (c->lease_lost_ns != 0) {
        cluster_log(c, "lease_back", "after_ms=%llu", (unsigned long long)((now_ns - c->lease_lost_ns) / MS));
        c->lease_lost_ns = 0;
    }
}

void cluster_lease_publish(struct cluster *c) {
    const struct lease_ends e = find_ends(c);
    const uint64_t now = cluster_now(c);
    /* Released: who sees a lease sees the purges, too, that it was granted for. */
    sync_store_rel(&c->ends.serve_ns, e.serve_ns);
    sync_store_rel(&c->ends.tag_ns, e.tag_ns);
    const bool held = e.tag_ns > now, same = c->lease_number != 0 && c->lease_number == config_number(c->config);
    c->lease_number = config_number(c->config);
    if (held == c->lease_held) return;
    c->lease_held = held;
    if (same && !c->lease_given_up) log_change(c, held, now);
}
