/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A run from its beginning to its end. */
#include "tests/sim/lab.h"

#include <stdlib.h>

#include "base/check.h"
#include "tests/sim/lab_state.h"

#define STREAM_TIMEOUT_NS (700 * SIM_MS)
#define CALM_LEAST_NS (3 * SIM_S)
#define CALM_MOST_NS (150 * SIM_S) /* two clusters of one name need a minute without a lease */
#define CALM_STEP_NS (250 * SIM_MS)
#define LATEST_NS (4 * SIM_S) /* what is on its way is over by then */

static uint64_t digest_of(const struct lab *l) {
    uint64_t digest = UINT64_C(14695981039346656037);
#define LAB_DIGEST(name) digest = (digest ^ l->r->name) * UINT64_C(1099511628211);
    LAB_COUNTS(LAB_DIGEST)
#undef LAB_DIGEST
    return (digest ^ sim_now(l->s) ^ sim_random(l->s) ^ sim_digest(l->s)) * UINT64_C(1099511628211);
}

/* Runs until all agree, and agreed a step ago, too: what an operator asked for before may be carried out only now, and
 * what is checked in the end must not be looked at in the middle of that. */
static void settle(struct lab *l) {
    const uint64_t begin = sim_now(l->s);
    unsigned agreed = 0; /* how often, one time after the other */
    lab_faults_end(l);
    sim_run(l->s, begin + CALM_LEAST_NS);
    while (agreed < 2 && sim_now(l->s) < begin + CALM_MOST_NS) {
        sim_run(l->s, sim_now(l->s) + CALM_STEP_NS);
        agreed = lab_place_agree(l) ? agreed + 1 : 0;
        if (agreed == 1) sim_note(l->s, 0, "all agree");
    }
    l->r->calm_ns = sim_now(l->s) - begin;
    if (agreed < 2) lab_check_violation(l, LAB_PENDING, 0, 0, 0);
}

static void free_all(struct lab *l) {
    lab_place_fini(l);
    sim_run(l->s, sim_now(l->s) + LATEST_NS); /* frees what it holds */
    sim_free(l->s);
    for (unsigned i = 0; i < l->o.places; i++) free(l->place[i].disk.bytes);
    for (unsigned i = 0; i < l->nall; i++) free(l->all[i]);
    free(l->all);
    for (unsigned i = 1; i <= l->norigins; i++) free(l->origins[i].pids);
    free(l->versions);
    ring_free(l->made_ring);
    lab_items_fini(l);
    free(l);
}

struct lab *lab_open(const struct lab_options *options, struct lab_result *r) {
    struct lab *l = calloc(1, sizeof *l);
    CHECK(l != NULL && options->places <= LAB_PLACES && options->founders <= options->places);
    l->o = *options;
    if (l->o.tag_ms == 0) l->o.tag_ms = 800;
    if (l->o.serve_ms == 0) l->o.serve_ms = 3000;
    if (l->o.eject_ms == 0) l->o.eject_ms = 4000;
    *r = (struct lab_result){0};
    l->r = r;
    l->s = sim_new(l->o.seed);
    l->unix_ns = UINT64_C(1800000000) * SIM_S;
    if (l->o.trace != NULL) sim_trace(l->s, l->o.trace, 0);
    sim_keep_digest(l->s, l->o.digest);
    sim_set_stream_timeout(l->s, STREAM_TIMEOUT_NS);
    lab_items_init(l);
    lab_place_init(l);
    lab_clients_begin(l);
    lab_faults_begin(l);
    return l;
}

void lab_pass(struct lab *l, uint64_t ns) {
    sim_run(l->s, sim_now(l->s) + ns);
}

void lab_close(struct lab *l) {
    settle(l);
    lab_check_end(l);
    lab_items_end(l);
    l->r->duplicates = sim_counts(l->s)->duplicated;
    l->r->digest = digest_of(l);
    free_all(l);
}

void lab_run(const struct lab_options *o, struct lab_result *r) {
    struct lab *l = lab_open(o, r);
    lab_pass(l, o->seconds * SIM_S);
    lab_close(l);
}
