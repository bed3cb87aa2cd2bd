/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/transport_state.h"

#include <stdlib.h>

/* Frees the links that are dead, which nobody holds any more. */
static void reap(struct transport *t) {
    for (struct link **at = &t->dirty; *at != NULL;)
        if ((*at)->state == LINK_DEAD)
            *at = (*at)->dirty_next;
        else
            at = &(*at)->dirty_next;
    for (struct link **at = &t->links; *at != NULL;) {
        struct link *l = *at;
        if (l->state != LINK_DEAD) {
            at = &l->next;
            continue;
        }
        *at = l->next;
        free(l->in);
        outbuf_fini(&l->out);
        free(l);
    }
    t->ndead = 0;
}

void transport_state_enter(struct transport *t) {
    t->depth++;
}

void transport_state_leave(struct transport *t) {
    if (--t->depth > 0) return;
    if (t->ndead > 0) reap(t);
    while (t->dead_peers != NULL) {
        struct peer *p = t->dead_peers;
        t->dead_peers = p->dead_next;
        free(p);
    }
}

void transport_state_due(struct transport *t, uint64_t ns) {
    if (ns >= t->armed_ns || t->stopping) return;
    uint64_t now = transport_state_now(t), wait_us = ns > now ? (ns - now + 999) / 1000 : 0;
    const struct timeval wait = {.tv_sec = (time_t)(wait_us / 1000000), .tv_usec = (suseconds_t)(wait_us % 1000000)};
    t->armed_ns = ns;
    event_add(&t->timer, &wait);
}

void transport_state_count_unknown(struct transport *t) {
    transport_state_bump(t, TRANSPORT_METRIC_unknown_fields, t->counts.unknown_fields);
    transport_state_bump(t, TRANSPORT_METRIC_unknown_kinds, t->counts.unknown_kinds);
    t->counts = (struct peer_counts){0};
}
