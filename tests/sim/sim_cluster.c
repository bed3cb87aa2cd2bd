/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The whole cluster under faults; lab.h says what is promised. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "cluster/mutation.h"
#include "tests/sim/lab.h"

static const char *fault_on;
static bool is_on(const char *name) {
    return fault_on != NULL && strcmp(fault_on, name) == 0;
}

static void vary(struct lab_options *o, uint64_t seed) {
    static const unsigned places[] = {3, 4, 5, 6, 7, 6};
    o->seed = seed;
    o->places = places[seed % 6];
    o->founders = o->places >= 5 && seed % 3 == 0 ? 5 : 3;
    o->voters = o->founders;
    o->disks = seed % 4 == 0 ? LAB_DISKS_NONE : seed % 4 == 1 ? LAB_DISKS_SOME : LAB_DISKS_ALL;
    o->faults = LAB_ALL;
    if (seed % 3 != 0) o->faults &= ~(unsigned)LAB_HORIZON;
    if (seed % 7 == 0) o->faults &= ~(unsigned)LAB_CRASHES;
    if (seed % 11 == 0) o->places = 2;
    if (seed % 11 == 0 || seed % 13 == 0) { /* serves without leases, or begins to; see lab.h on its directory */
        o->founders = 1;
        o->voters = 0;
        o->disks = LAB_DISKS_ALL;
    }
}

int main(int argc, char **argv) {
    struct lab_options o = {.purges_per_s = 15, .reads_per_s = 300, .seconds = 20, .asked = -1, .print = true};
    struct lab_result sum = {0};
    uint64_t from = 1;
    unsigned seeds = 20, broken = 0;
    for (int i = 1; i < argc; i++) {
        const char *is = strchr(argv[i], '=');
        const unsigned long v = is != NULL ? strtoul(is + 1, NULL, 0) : 0;
        if (strncmp(argv[i], "seeds=", 6) == 0)
            seeds = (unsigned)v;
        else if (strncmp(argv[i], "from=", 5) == 0)
            from = v;
        else if (strncmp(argv[i], "seconds=", 8) == 0)
            o.seconds = (unsigned)v;
        else if (strncmp(argv[i], "mutation=", 9) == 0)
            mutation_on = (enum mutation)v;
        else if (strncmp(argv[i], "shortcut=", 9) == 0)
            o.shortcut = (enum lab_shortcut)v;
        else if (strncmp(argv[i], "fault=", 6) == 0) {
            fault_on = is + 1;
            fault_hook = is_on;
        } else if (strncmp(argv[i], "trace=", 6) == 0)
            o.trace = stdout;
        else if (strncmp(argv[i], "v=", 2) == 0)
            o.print = v;
    }
    unsigned violations[LAB_VIOLATIONS] = {0};
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (uint64_t seed = from; seed < from + seeds; seed++) {
        struct lab_result r;
        vary(&o, seed);
        lab_run(&o, &r);
        broken += r.total > 0;
        for (unsigned i = 0; i < LAB_VIOLATIONS; i++) violations[i] += r.violations[i] > 0;
#define ADD(name) sum.name += r.name;
        LAB_COUNTS(ADD)
#undef ADD
        if (o.print)
            printf("seed %" PRIu64 " places %u hits %.2f calm %.1f s fresh %" PRIu64 " digest %016" PRIx64 "\n", seed,
                   o.places, (double)r.hits / (double)(r.reads + 1), (double)r.calm_ns / 1e9, r.fresh, r.digest);
    }
    printf("%u seeds, %u broken:", seeds, broken);
    for (unsigned i = 0; i < LAB_VIOLATIONS; i++)
        if (violations[i] > 0) printf(" %s %u;", lab_violation_name(i), violations[i]);
    puts("");
#define SHOW(name) printf(" " #name "=%" PRIu64, sum.name);
    LAB_COUNTS(SHOW)
#undef SHOW
    puts("");
    return broken > 0;
}
