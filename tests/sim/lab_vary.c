/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What a seed stands for, what may be broken on purpose, and by which seed that is found. */
#include "tests/sim/lab_vary.h"

#include <inttypes.h>
#include <string.h>

#include "base/fault.h"

void lab_vary(struct lab_options *o, uint64_t seed) {
    static const unsigned places[] = {3, 4, 5, 6, 7, 6};
    o->seed = seed;
    o->places = places[seed % 6];
    o->founders = o->voters = o->places >= 5 && seed % 3 == 0 ? 5 : 3;
    o->disks = seed % 4 == 0 ? LAB_DISKS_NONE : seed % 4 == 1 ? LAB_DISKS_SOME : LAB_DISKS_ALL;
    o->faults = LAB_ALL;
    o->wall_steps = seed % 2 == 0;
    o->swim = seed % 5 == 0;
    if (seed % 3 != 0) o->faults &= ~(unsigned)LAB_HORIZON;
    if (seed % 7 == 0) o->faults &= ~(unsigned)LAB_CRASHES;
    if (seed % 11 == 0) o->places = 2;
    if (seed % 11 == 0 || seed % 13 == 0) {
        /* Serves without leases, or begins to. A lone founder without a state directory forgets the other node when it
         * restarts, which serves on: that is a stated limit. */
        o->founders = 1;
        o->voters = 0;
        o->disks = LAB_DISKS_ALL;
    }
}

const struct lab_broken lab_brokens[] = {
    {"no_token", .shortcut = LAB_NO_TOKEN, .seed = 1},
    {"any_token", .shortcut = LAB_ANY_TOKEN, .seed = 4},
    {"delete_keeps_token", .shortcut = LAB_DELETE_KEEPS, .seed = 14},
    {"coalesced_reads", .shortcut = LAB_COALESCED, .seed = 3},
    {"asked_node_checks_lease", .shortcut = LAB_ASKED_LEASE, .seed = 2},
    {"no_since", .shortcut = LAB_NO_SINCE, .seed = 197},
    {"no_serve_lease", .shortcut = LAB_NO_SERVE_LEASE, .seed = 9},
    {"soft_without_lease", .shortcut = LAB_SOFT_ANYWAY, .seed = 29},
    {"soft_hides_hard", .shortcut = LAB_SOFT_HIDES_HARD, .seed = 3},
    {"soft_never_hard", .shortcut = LAB_SOFT_NEVER_HARD, .seed = 1},
    {"one_tag_of_two", .shortcut = LAB_ONE_TAG_OF_TWO, .seed = 1},
    {"pull_no_guard", .shortcut = LAB_NO_GUARD, .seed = 9},
    {"pull_over_written", .shortcut = LAB_OVER_WRITTEN, .seed = 56},
    {"local_purge_not_in_vector", .shortcut = LAB_LOCAL_MINTS, .seed = 40},
    {"copy_no_wait", .shortcut = LAB_COPY_NO_WAIT, .seed = 1},
    {"copy_any_answer", .shortcut = LAB_COPY_ANY_ANSWER},
    {"copy_no_changes", .shortcut = LAB_COPY_NO_CHANGES, .seed = 1},
    {"copy_no_lease", .shortcut = LAB_COPY_NO_LEASE, .seed = 7},
    {"copy_no_vector", .shortcut = LAB_COPY_NO_VECTOR, .seed = 1},
    {"copy_no_purges", .shortcut = LAB_COPY_NO_PURGES, .seed = 1},
    {"copy_not_closed", .shortcut = LAB_COPY_NOT_CLOSED},
    {"pull_no_vector", .mutation = MUTATION_PULL_NO_VECTOR, .seed = 1},
    {"pull_no_floor", .mutation = MUTATION_PULL_NO_FLOOR},
    {"max_sequence", .mutation = MUTATION_MAX_SEQUENCE, .seed = 4},
    {"own_twice", .mutation = MUTATION_OWN_TWICE, .seed = 4},
    {"ack_early", .mutation = MUTATION_ACK_EARLY, .seed = 1},
    {"no_via", .mutation = MUTATION_NO_VIA, .seed = 1},
    {"vector_ahead", .mutation = MUTATION_VECTOR_AHEAD, .seed = 1},
    {"no_horizon_floor", .mutation = MUTATION_NO_HORIZON_FLOOR, .step = 3, .seed = 321},
    {"horizon_no_star", .mutation = MUTATION_HORIZON_NO_STAR, .step = 3, .seed = 342},
    {"newcomer_no_floor", .mutation = MUTATION_NEWCOMER_NO_FLOOR, .seed = 2},
    {"confirm_linked", .mutation = MUTATION_CONFIRM_LINKED, .seed = 1},
    {"majority_only", .mutation = MUTATION_MAJORITY_ONLY, .seed = 1},
    {"lease_minority", .mutation = MUTATION_LEASE_MINORITY, .seed = 2},
    {"lease_early", .mutation = MUTATION_LEASE_EARLY, .seed = 2},
    {"lease_from_reply", .mutation = MUTATION_LEASE_FROM_REPLY, .seed = 13},
    {"wait_from_issue", .mutation = MUTATION_WAIT_FROM_ISSUE, .seed = 3},
    {"no_drift", .mutation = MUTATION_NO_DRIFT, .seed = 7},
    {"no_hold", .mutation = MUTATION_NO_HOLD, .seed = 9},
    {"no_seal", .mutation = MUTATION_NO_SEAL, .seed = 2},
    {"mixed_epochs", .mutation = MUTATION_MIXED_EPOCHS},
    {"flush_by_lease", .mutation = MUTATION_FLUSH_BY_LEASE, .seed = 7},
    {"flush_not_all", .mutation = MUTATION_FLUSH_NOT_ALL, .seed = 1},
    {"ejected_forgotten", .mutation = MUTATION_EJECTED_FORGOTTEN, .seed = 0},
    {"retire_blind", .mutation = MUTATION_RETIRE_BLIND, .seed = 5},
    {"no_sync", .mutation = MUTATION_NO_SYNC},
    {"sync_from_one", .mutation = MUTATION_SYNC_FROM_ONE},
    {"no_epoch_floor", .mutation = MUTATION_NO_EPOCH_FLOOR, .seed = 65},
    {"recovered_keeps", .mutation = MUTATION_RECOVERED_KEEPS},
    {"cached_clock", .mutation = MUTATION_CACHED_CLOCK, .seed = 3},
    {"config_minority", .fault = "config_minority", .seed = 1},
    {"config_numbers_reused", .fault = "config_numbers_reused", .seed = 4},
    {"config_accepted_ignored", .fault = "config_accepted_ignored"},
    {"config_acceptor_forgets", .fault = "config_acceptor_forgets"},
    {"config_unbound", .fault = "config_unbound"},
    {"config_leases_bind_at_once", .fault = "config_leases_bind_at_once", .step = 13, .seed = 182},
    {"config_lease_lowered_at_once", .fault = "config_lease_lowered_at_once", .seed = 32},
};
const unsigned lab_nbrokens = sizeof lab_brokens / sizeof *lab_brokens;

static const char *fault_on;

static bool is_on(const char *name) {
    return strcmp(fault_on, name) == 0;
}

const struct lab_broken *lab_broken_named(const char *name) {
    for (unsigned i = 0; i < lab_nbrokens; i++)
        if (strcmp(lab_brokens[i].name, name) == 0) return &lab_brokens[i];
    return NULL;
}

void lab_break(const struct lab_broken *b, struct lab_options *o) {
    o->shortcut = b == NULL ? LAB_HONEST : b->shortcut;
    mutation_on = b == NULL ? MUTATION_NONE : b->mutation;
    fault_on = b == NULL ? NULL : b->fault;
    fault_hook = fault_on == NULL ? NULL : is_on;
}

void lab_add(struct lab_result *sum, const struct lab_result *r) {
    for (unsigned i = 0; i < LAB_VIOLATIONS; i++) sum->violations[i] += r->violations[i] > 0;
    sum->total += r->total > 0;
#define LAB_ADD(name) sum->name += r->name;
    LAB_COUNTS(LAB_ADD)
#undef LAB_ADD
    if (r->longest_vector > sum->longest_vector) sum->longest_vector = r->longest_vector;
    if (r->most_origins > sum->most_origins) sum->most_origins = r->most_origins;
    if (r->confirm_max_ns > sum->confirm_max_ns) sum->confirm_max_ns = r->confirm_max_ns;
    if (r->calm_ns > sum->calm_ns) sum->calm_ns = r->calm_ns;
}

void lab_print(const struct lab_result *sum, unsigned seeds, FILE *to) {
    fprintf(to, "%u seeds, %u broken:", seeds, sum->total);
    for (unsigned i = 0; i < LAB_VIOLATIONS; i++)
        if (sum->violations[i] > 0) fprintf(to, " %s %u;", lab_violation_name(i), sum->violations[i]);
    fprintf(to, "\n ");
#define LAB_SHOW(name) fprintf(to, " " #name " %" PRIu64, sum->name);
    LAB_COUNTS(LAB_SHOW)
#undef LAB_SHOW
    fprintf(to, " longest_vector %u most_origins %u longest calm %.1f s\n", sum->longest_vector, sum->most_origins,
            (double)sum->calm_ns / 1e9);
}

/* A lease comes after some rounds, and a majority that is lost takes hits with it. Where operators have drained all
 * members nobody owns a key. */
bool lab_has_hits(const struct lab_result *r) {
    return r->no_majority > 0 || r->hits * 100 >= (r->reads - r->ringless) * LAB_HITS_PERCENT;
}
