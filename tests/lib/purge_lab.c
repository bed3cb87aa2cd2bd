/* SPDX-License-Identifier: BSD-3-Clause */
#include "purge_lab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

struct purge_lab_message {
    struct purge_lab_message *next;
    uint32_t from, to;
    struct peer_purge m;
    /* behind it: records, vector, runs, lacks */
};

struct purge_lab_node *purge_lab_node(struct purge_lab *l, uint32_t number) {
    CHECK(number >= 1 && number <= l->n);
    return &l->nodes[number - 1];
}

static const void *copy(uint8_t **at, const void *from, size_t n) {
    void *to = *at;
    if (n > 0) memcpy(to, from, n);
    *at += (n + 15) & ~(size_t)15;
    return to;
}

static void send(void *arg, uint32_t member, const struct peer_purge *m) {
    struct purge_lab_node *node = arg;
    struct purge_lab *l = node->lab;
    const size_t extra = m->events_bytes + m->nvector * sizeof *m->vector + m->nruns * sizeof *m->runs +
                         m->nlacks * sizeof *m->lacks + 64;
    CHECK(!l->cut[node->number][member]); /* a machine knows which links are up */
    if (l->drop != NULL && l->drop(l, node->number, member, m)) return;
    struct purge_lab_message *q = malloc(sizeof *q + extra);
    CHECK(q != NULL);
    *q = (struct purge_lab_message){.from = node->number, .to = member, .m = *m};
    uint8_t *at = (uint8_t *)(q + 1);
    q->m.events = copy(&at, m->events, m->events_bytes);
    q->m.vector = copy(&at, m->vector, m->nvector * sizeof *m->vector);
    q->m.runs = copy(&at, m->runs, m->nruns * sizeof *m->runs);
    q->m.lacks = copy(&at, m->lacks, m->nlacks * sizeof *m->lacks);
    *l->end = q;
    l->end = &q->next;
}

static bool apply(void *arg, const struct purging_batch *b) {
    struct purge_lab_node *node = arg;
    CHECK(b->nselectors >= 1 && b->nselectors <= 64);
    node->nbatches++;
    for (unsigned i = 0; i < b->nselectors && node->napplied < LAB_APPLIED; i++)
        node->applied[node->napplied++] = b->selectors[i].ntags > 0 ? b->selectors[i].tags[0] : 0;
    return !node->slow;
}

static void raise_floor(void *arg, bool everything) {
    struct purge_lab_node *node = arg;
    ++*(everything ? &node->floors_all : &node->floors_tagged);
}

static void outcome(void *arg, uint64_t token, const struct purging_receipt *r) {
    struct purge_lab_node *node = arg;
    CHECK(purge_lab_outcome(node->lab, node->number, token) == NULL); /* once a token */
    if (node->noutcomes < LAB_OUTCOMES) node->outcomes[node->noutcomes++] = (struct purge_lab_outcome){token, *r};
}

static void confirmed(void *arg, const struct purging_receipt *r) {
    struct purge_lab_node *node = arg;
    node->confirmed = *r;
    node->nconfirmed++;
}

static void acked(void *arg, uint32_t member, uint32_t origin, uint64_t sequence) {
    struct purge_lab_node *node = arg;
    if (origin == 100 + node->number) node->acked[member] = sequence;
}

static void newer(void *arg, uint32_t member, uint64_t version) {
    struct purge_lab_node *node = arg;
    (void)member;
    if (version > node->newer) node->newer = version;
}

void purge_lab_init(struct purge_lab *l, unsigned n, unsigned voters, uint64_t log_bytes) {
    memset(l, 0, sizeof *l);
    l->end = &l->first;
    l->now_ns = 1000000000;
    l->n = n;
    l->c.version = l->c.epoch = l->c.floor_epoch = 1;
    l->c.next_number = 1000;
    l->c.tag_lease_ms = l->c.tag_wait_ms = 1000;
    l->c.serve_lease_ms = l->c.serve_wait_ms = 30000;
    for (uint32_t i = 1; i <= n; i++) {
        struct configuration_member m = {.number = i, .id = {{(uint8_t)i}}, .state = CONFIGURATION_SERVING};
        snprintf(m.name, sizeof m.name, "n%u:1", i);
        CHECK(configuration_add(&l->c, &m) == 0);
        if (i <= voters) {
            l->c.voters[l->c.nvoters++] = (struct configuration_voter){.id = m.id, .member = i, .origin = 100 + i};
            l->c.origins[l->c.norigins++] = 100 + i;
        }
        struct purge_lab_node *node = purge_lab_node(l, i);
        node->lab = l;
        node->number = i;
        const struct purging_config cfg = {
            log_bytes, i, {node, send, apply, raise_floor, outcome, newer, confirmed, acked}};
        CHECK(purging_new(&cfg, l->now_ns, &node->p) == 0);
    }
    purge_lab_adopt(l);
    for (uint32_t a = 1; a <= n; a++)
        for (uint32_t b = 1; b <= n; b++)
            if (a != b) purging_link(purge_lab_node(l, a)->p, l->now_ns, b, true);
    purge_lab_settle(l);
    for (uint32_t i = 1; i <= n; i++) purge_lab_node(l, i)->floors_all = 0; /* that of the founding */
}

void purge_lab_fini(struct purge_lab *l) {
    l->end = &l->first;
    for (struct purge_lab_message *q = l->first, *next; q != NULL; q = next) {
        next = q->next;
        free(q);
    }
    for (unsigned i = 0; i < l->n; i++) purging_free(l->nodes[i].p);
    configuration_fini(&l->c);
}

void purge_lab_adopt_one(struct purge_lab *l, uint32_t number) {
    const struct configuration_member *m = configuration_by_number(&l->c, number);
    const bool member = m != NULL && m->state != CONFIGURATION_EJECTED;
    CHECK(purging_adopt(purge_lab_node(l, number)->p, l->now_ns, &l->c, member ? number : 0) == 0);
    for (uint32_t b = 1; b <= l->n; b++)
        if (b != number && !l->cut[number][b]) purging_link(purge_lab_node(l, number)->p, l->now_ns, b, true);
}

void purge_lab_adopt(struct purge_lab *l) {
    for (uint32_t i = 1; i <= l->n; i++) purge_lab_adopt_one(l, i);
}

void purge_lab_link(struct purge_lab *l, uint32_t a, uint32_t b, bool up) {
    l->cut[a][b] = l->cut[b][a] = !up;
    for (struct purge_lab_message **q = &l->first; *q != NULL;) {
        struct purge_lab_message *m = *q;
        if (!up && ((m->from == a && m->to == b) || (m->from == b && m->to == a))) {
            *q = m->next;
            free(m);
        } else {
            q = &m->next;
        }
    }
    l->end = &l->first;
    while (*l->end != NULL) l->end = &(*l->end)->next;
    purging_link(purge_lab_node(l, a)->p, l->now_ns, b, up);
    purging_link(purge_lab_node(l, b)->p, l->now_ns, a, up);
}

int purge_lab_purge(struct purge_lab *l, uint32_t number, uint64_t tag) {
    const struct purge_selector sel = {tag != 0, &tag};
    const struct purging_request r = {
        .selectors = &sel, .nselectors = 1, .wait_ns = 2000000000, .token = tag + 1000 * number};
    return purging_purge(purge_lab_node(l, number)->p, l->now_ns, &r, NULL);
}

/* Delivers one message. False: there is none. */
static bool deliver(struct purge_lab *l) {
    struct purge_lab_message *q = l->first;
    if (q == NULL) return false;
    l->first = q->next;
    if (l->first == NULL) l->end = &l->first;
    l->messages++;
    l->bytes += q->m.events_bytes;
    purging_receive(purge_lab_node(l, q->to)->p, l->now_ns, q->from, &q->m);
    free(q);
    return true;
}

void purge_lab_settle(struct purge_lab *l) {
    for (unsigned rounds = 0; rounds < 10000; rounds++) {
        for (unsigned i = 0; i < l->n; i++) purging_flush(l->nodes[i].p, l->now_ns);
        if (!deliver(l)) return;
        while (deliver(l)) {}
    }
    CHECK(false); /* the machines chat for ever */
}

void purge_lab_run(struct purge_lab *l, uint64_t ms) {
    const uint64_t until = l->now_ns + ms * 1000000;
    for (;;) {
        uint64_t next = until;
        for (unsigned i = 0; i < l->n; i++) {
            const uint64_t due = purging_next_ns(l->nodes[i].p);
            if (due < next) next = due;
        }
        if (next > l->now_ns) l->now_ns = next;
        if (l->now_ns >= until) return;
        for (unsigned i = 0; i < l->n; i++)
            if (purging_next_ns(l->nodes[i].p) <= l->now_ns) purging_time(l->nodes[i].p, l->now_ns);
        purge_lab_settle(l);
    }
}

void purge_lab_applied(struct purge_lab *l, uint32_t number) {
    purging_applied(purge_lab_node(l, number)->p, l->now_ns);
}

const struct purging_receipt *purge_lab_outcome(const struct purge_lab *l, uint32_t number, uint64_t token) {
    const struct purge_lab_node *node = &l->nodes[number - 1];
    for (unsigned i = 0; i < node->noutcomes; i++)
        if (node->outcomes[i].token == token) return &node->outcomes[i].receipt;
    return NULL;
}

unsigned purge_lab_count(const struct purge_lab *l, uint32_t number, uint64_t tag) {
    const struct purge_lab_node *node = &l->nodes[number - 1];
    unsigned n = 0;
    for (unsigned i = 0; i < node->napplied; i++) n += node->applied[i] == tag;
    return n;
}

uint64_t purge_lab_seen(const struct purge_lab *l, uint32_t number, uint32_t origin) {
    struct peer_purge_seen v[PEER_PURGE_VECTOR_MAX];
    const unsigned n = purging_vector(l->nodes[number - 1].p, v);
    for (unsigned i = 0; i < n; i++)
        if (v[i].origin == origin) return v[i].sequence;
    return 0;
}
