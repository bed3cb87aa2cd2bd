/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Paths between nodes, and datagrams. */
#include <string.h>

#include "base/check.h"
#include "tests/sim/sim_world.h"

#define WORDS (SIM_NODES_MAX / 64) /* of a node's bits */

void sim_set_path(struct sim *s, const struct sim_path *p) {
    CHECK(p->delay_min_ns <= p->delay_max_ns);
    s->path = *p;
}

void sim_set_node_path(struct sim *s, unsigned node, const struct sim_path *p) {
    CHECK(node < s->nnodes && (p == NULL || p->delay_min_ns <= p->delay_max_ns));
    s->nodes[node].has_path = p != NULL;
    if (p != NULL) s->nodes[node].path = *p;
}

void sim_block(struct sim *s, unsigned from, unsigned to, bool blocked) {
    CHECK(from < s->nnodes && to < s->nnodes);
    if (from >= s->nblocked) {
        s->blocked = realloc(s->blocked, (size_t)s->nnodes * WORDS * sizeof *s->blocked);
        CHECK(s->blocked != NULL);
        memset(s->blocked + (size_t)s->nblocked * WORDS, 0,
               (size_t)(s->nnodes - s->nblocked) * WORDS * sizeof *s->blocked);
        s->nblocked = s->nnodes;
    }
    uint64_t *word = &s->blocked[(size_t)from * WORDS + to / 64];
    const uint64_t bit = 1ull << (to % 64);
    *word = blocked ? *word | bit : *word & ~bit;
}

void sim_set_group(struct sim *s, unsigned node, unsigned group) {
    CHECK(node < s->nnodes);
    s->nodes[node].group = group;
}

void sim_heal(struct sim *s) {
    free(s->blocked);
    s->blocked = NULL;
    s->nblocked = 0;
    for (unsigned i = 0; i < s->nnodes; i++) s->nodes[i].group = 0;
    sim_saw(s, "heal", 0, 0, NULL, 0);
}

bool sim_is_open(const struct sim *s, unsigned from, unsigned to) {
    if (from >= s->nnodes || to >= s->nnodes) return false;
    if (s->nodes[from].group != s->nodes[to].group) return false;
    return from >= s->nblocked || (s->blocked[(size_t)from * WORDS + to / 64] >> (to % 64) & 1) == 0;
}

/* The paths that a message takes: the sender's and the receiver's own ones, or the one that is everybody's. */
static unsigned paths_of(const struct sim *s, unsigned from, unsigned to, const struct sim_path *out[2]) {
    unsigned n = 0;
    if (s->nodes[from].has_path) out[n++] = &s->nodes[from].path;
    if (s->nodes[to].has_path) out[n++] = &s->nodes[to].path;
    if (n == 0) out[n++] = &s->path;
    return n;
}

bool sim_path_loses(struct sim *s, unsigned from, unsigned to) {
    const struct sim_path *path[2];
    bool lost = false;
    for (unsigned i = paths_of(s, from, to, path); i-- > 0;) lost |= sim_chance(s, path[i]->loss);
    return lost;
}

uint64_t sim_path_delay(struct sim *s, unsigned from, unsigned to) {
    const struct sim_path *path[2];
    uint64_t delay = 0;
    for (unsigned i = paths_of(s, from, to, path); i-- > 0;) {
        const struct sim_path *p = path[i];
        delay += p->delay_min_ns;
        if (p->delay_max_ns > p->delay_min_ns) delay += sim_below(s, p->delay_max_ns - p->delay_min_ns + 1);
    }
    return delay;
}

static void send_copy(struct sim *s, unsigned from, unsigned to, const void *bytes, size_t n) {
    const struct sim_path *path[2];
    uint64_t delay = sim_path_delay(s, from, to);
    for (unsigned i = paths_of(s, from, to, path); i-- > 0;)
        if (sim_chance(s, path[i]->reorder)) delay += sim_below(s, path[i]->reorder_ns + 1);
    sim_push_message(s, s->now + delay, to, sim_message_new(s, from, bytes, n));
}

void sim_datagram(struct sim *s, unsigned from, unsigned to, const void *bytes, size_t n) {
    CHECK(from < s->nnodes && n <= SIM_DATAGRAM_MAX);
    struct sim_counts *mine = &s->nodes[from].counts, *all = &s->counts;
    mine->datagrams++, all->datagrams++;
    mine->datagram_bytes += n, all->datagram_bytes += n;
    if (!sim_is_open(s, from, to)) {
        mine->blocked++, all->blocked++;
        return;
    }
    if (sim_path_loses(s, from, to)) {
        mine->lost++, all->lost++;
        return;
    }
    const struct sim_path *path[2];
    bool twice = false;
    for (unsigned i = paths_of(s, from, to, path); i-- > 0;) twice |= sim_chance(s, path[i]->duplicate);
    send_copy(s, from, to, bytes, n);
    if (!twice) return;
    mine->duplicated++, all->duplicated++;
    send_copy(s, from, to, bytes, n);
}

void sim_datagram_hand(struct sim *s, unsigned node, struct sim_message *m) {
    struct sim_node *n = &s->nodes[node];
    n->counts.delivered++, s->counts.delivered++;
    sim_saw(s, "datagram", node, m->from, m->data, m->bytes);
    if (n->calls->on_datagram != NULL) n->calls->on_datagram(n->process, s, node, m->from, m->data, m->bytes);
}

void sim_datagram_arrives(struct sim *s, unsigned node, struct sim_message *m) {
    struct sim_node *n = &s->nodes[node];
    if (n->state == SIM_NODE_PAUSED) {
        if (n->inbox_bytes + m->bytes <= SIM_INBOX_BYTES) {
            n->inbox_bytes += m->bytes;
            sim_queue_put(&n->inbox, m);
            return;
        }
        n->counts.inbox_full++, s->counts.inbox_full++;
    } else if (n->state == SIM_NODE_UP) {
        sim_datagram_hand(s, node, m);
    }
    sim_message_free(s, m);
}
