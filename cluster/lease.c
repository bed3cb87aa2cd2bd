/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/lease.h"

#include "cluster/config.h"
#include "cluster/mutation.h"

#define MS UINT64_C(1000000)

uint64_t lease_waited_ns(uint64_t ms) {
    return (MUTATED(MUTATION_NO_DRIFT) ? ms : config_waited_ms(ms)) * MS;
}

uint32_t lease_ask(struct lease *l, uint64_t now_ns) {
    if (++l->rounds == 0) l->rounds = 1;
    struct lease_round *r = &l->round[l->rounds % LEASE_ROUNDS];
    *r = (struct lease_round){.number = l->rounds, .asked_ns = now_ns};
    return r->number;
}

struct lease_round *lease_granted(struct lease *l, uint32_t number, unsigned seat) {
    struct lease_round *r = &l->round[number % LEASE_ROUNDS];
    if (number == 0 || r->number != number || seat >= 32) return NULL;
    r->granted |= 1u << seat;
    return r;
}

void lease_take(struct lease *l, struct lease_round *r) {
    const uint64_t tag_ns = r->asked_ns + l->tag_ns, serve_ns = r->asked_ns + l->serve_ns;
    if (l->ends.tag_ns < tag_ns) l->ends.tag_ns = tag_ns;
    if (l->ends.serve_ns < serve_ns) l->ends.serve_ns = serve_ns;
    r->number = 0;
}

void lease_void(struct lease *l) {
    for (unsigned i = 0; i < LEASE_ROUNDS; i++) l->round[i].number = 0;
}

void lease_marks_note(struct lease_marks *m, uint64_t sequence, uint64_t now_ns, uint64_t wait_ns) {
    if (sequence <= m->sequence) return;
    m->sequence = sequence;
    struct lease_mark *last = m->n > 0 ? &m->mark[(m->first + m->n - 1) % LEASE_MARKS] : NULL;
    if (last == NULL || (now_ns >= last->first_ns + wait_ns / (LEASE_MARKS - 8) && m->n < LEASE_MARKS)) {
        last = &m->mark[(m->first + m->n++) % LEASE_MARKS];
        last->first_ns = now_ns;
    }
    last->sequence = sequence; /* those that the mark had before wait a little longer than they had to */
    last->last_ns = now_ns;
}

uint64_t lease_marks_passed(struct lease_marks *m, uint64_t now_ns, uint64_t wait_ns) {
    while (m->n > 0 && now_ns >= m->mark[m->first].last_ns + wait_ns) {
        m->passed = m->mark[m->first].sequence;
        m->first = (m->first + 1) % LEASE_MARKS;
        m->n--;
    }
    return m->passed;
}
