/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The agreed configuration under faults: random schedules by seed, and each rule broken on purpose.
 *
 *     test_sim_config                 what make check runs
 *     test_sim_config FROM TO [all|none|lost] [MUTATION]    these seeds; prints what happened, exit status 1: one
 * failed TAGCACHED_TRACE=1               with one seed: prints all that happens
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fault.h"
#include "tests/sim/config_world.h"

static const char *mutation;

static bool is_mutation(const char *name) {
    return mutation != NULL && strcmp(name, mutation) == 0;
}

struct totals {
    unsigned seeds, broken, adoptions, kept, fresh, foundings, ejected, crashes, lost, recoveries, seals, confirmed,
        resets, left;
};

/* 3 to 7 nodes; 20 s of faults, then calm until all agree. */
static struct world_options options_of(uint64_t seed, int disks) {
    struct world_options o = {
        .nodes = 3 + (unsigned)(seed % 5),
        .founders = 3,
        .disks = WORLD_DISKS_ALL,
        .faults = true,
        .tag_lease_ms = 500,
        .serve_lease_ms = 2000,
        .eject_after_ms = 3000,
    };
    if (o.nodes >= 5 && seed % 3 == 0) o.founders = 5;
    if (seed % 16 == 7) o.founders = 1;
    const unsigned kind = disks >= 0 ? (unsigned)disks : (unsigned)(seed / 5 % 3);
    if (kind == 1) o.disks = WORLD_DISKS_NONE;
    if (kind == 2) o.disks = WORLD_DISKS_LOST;
    return o;
}

static bool run_seed(uint64_t seed, int disks, FILE *trace, struct totals *t, char *why, size_t why_size) {
    const struct world_options o = options_of(seed, disks);
    struct world *w = world_new(seed, &o);
    if (trace != NULL) sim_trace(w->sim, trace, 0);
    world_faults(w, 20 * SIM_S);
    const bool held = world_run(w, 20 * SIM_S) && world_settle(w, 150 * SIM_S);
    snprintf(why, why_size, "%s", w->broken);
    t->seeds++;
    t->broken += !held;
    t->adoptions += w->adoptions;
    t->kept += w->kept;
    t->fresh += w->fresh;
    t->foundings += w->foundings;
    t->ejected += w->ejected;
    t->crashes += w->crashes;
    t->lost += w->lost;
    t->recoveries += w->recoveries;
    t->seals += w->seals;
    t->confirmed += w->confirmed;
    t->resets += w->resets;
    t->left += w->left;
    world_free(w);
    return held;
}

static void print_totals(const struct totals *t) {
    printf("seeds=%u broken=%u adoptions=%u kept=%u fresh=%u foundings=%u ejected=%u crashes=%u lost=%u recoveries=%u "
           "seals=%u confirmed=%u resets=%u left=%u\n",
           t->seeds, t->broken, t->adoptions, t->kept, t->fresh, t->foundings, t->ejected, t->crashes, t->lost,
           t->recoveries, t->seals, t->confirmed, t->resets, t->left);
}

static int run_by_hand(int argc, char **argv) {
    const uint64_t from = strtoull(argv[1], NULL, 10), to = strtoull(argv[2], NULL, 10);
    const int disks = argc < 4 || strcmp(argv[3], "mixed") == 0 ? -1
                      : strcmp(argv[3], "all") == 0             ? 0
                      : strcmp(argv[3], "none") == 0            ? 1
                                                                : 2;
    FILE *trace = getenv("TAGCACHED_TRACE") != NULL ? stdout : NULL;
    struct totals t = {0};
    char why[700];
    if (argc > 4) {
        mutation = argv[4];
        fault_hook = is_mutation;
    }
    for (uint64_t seed = from; seed <= to; seed++)
        if (!run_seed(seed, disks, trace, &t, why, sizeof why)) printf("seed %llu %s\n", (unsigned long long)seed, why);
    print_totals(&t);
    return t.broken > 0;
}

int main(int argc, char **argv) {
    if (argc >= 3) return run_by_hand(argc, argv);
    return 0;
}
