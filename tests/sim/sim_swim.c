/* SPDX-License-Identifier: BSD-3-Clause
 *
 * sim_swim - membership at any size, under faults, from a seed.
 *
 *     sim_swim                            the short runs of `make check`, each held to its bar
 *     sim_swim update N LOSS RUNS [SEED]  how long until all know of a change
 *     sim_swim kill N LOSS RUNS [SEED]    how long until all know of a kill
 *     sim_swim health N LOSS HOURS [SEED] false deaths while 1 % are paused for 0.5 to 3 s at any time
 *     sim_swim idle N SECONDS [SEED]      bytes on the wire
 *     sim_swim split N SECONDS [SEED]     how long until all agree after a partition that lasted so long
 *     sim_swim storm N RUNS [SEED]        starts, kills, pauses, cuts and restarts at random; then all must agree
 *
 * LOSS is in percent, of datagrams and of what streams carry. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/swim_lab.h"

static const struct sim_path usual = {.delay_min_ns = 200000, .delay_max_ns = 1500000};

static struct swim_lab *formed(uint64_t seed, unsigned n, unsigned loss) {
    struct swim_lab *l = swim_lab_new(seed, n);
    struct sim_path p = usual;
    sim_set_path(l->s, &p);
    CHECK(swim_lab_form(l, n < 3 ? n : 3));
    sim_run(l->s, sim_now(l->s) + 10 * SIM_S); /* all that joining made them say is said */
    p.loss = loss * 10000;
    sim_set_path(l->s, &p);
    sim_run(l->s, sim_now(l->s) + 20 * SIM_S);
    l->false_deaths = l->deaths = l->suspicions = l->false_suspicions = 0;
    return l;
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double quantile(double *v, unsigned n, double q) {
    qsort(v, n, sizeof *v, by_value);
    const unsigned at = (unsigned)(q * n);
    return v[at < n ? at : n - 1];
}

/* ---- When do all know? ---- */

struct knowing {
    unsigned subject;
    enum swim_change change;
    unsigned known, wanted;
    bool *knows;
};

static void on_known(void *arg, struct swim_lab *l, const struct swim_lab_event *e) {
    struct knowing *k = arg;
    if (e->kind != SWIM_OUT_CHANGED || e->subject != k->subject || e->change != k->change) return;
    if (k->knows[e->node]) return;
    k->knows[e->node] = true;
    if (++k->known == k->wanted) sim_stop(l->s);
}

/* Runs until all but the subject itself know; seconds; < 0: not within two minutes. */
static double until_known(struct swim_lab *l, unsigned subject, enum swim_change change, bool update) {
    struct knowing k = {subject, change, 0, l->n - 1, calloc(l->n, sizeof(bool))};
    const uint64_t start = sim_now(l->s);
    CHECK(k.knows != NULL);
    l->watch = on_known;
    l->watch_arg = &k;
    if (update) {
        swim_lab_input(l, subject, &(struct swim_in){.kind = SWIM_IN_LEAVE});
    } else {
        sim_crash(l->s, subject);
    }
    const bool timed_out = sim_run(l->s, start + 120 * SIM_S);
    l->watch = NULL;
    free(k.knows);
    return timed_out ? -1 : (double)(sim_now(l->s) - start) / 1e9;
}

/* The p99 in seconds; < 0: some run never ended. */
static double measure(bool update, unsigned n, unsigned loss, unsigned runs, uint64_t seed) {
    double *took = calloc(runs, sizeof *took), p99 = -1;
    CHECK(took != NULL);
    struct swim_lab *l = formed(seed, n, loss);
    unsigned r = 0;
    for (; r < runs; r++) {
        const unsigned subject = (unsigned)sim_below(l->s, n);
        sim_run(l->s, sim_now(l->s) + sim_below(l->s, SIM_S));
        took[r] = until_known(l, subject, update ? SWIM_ENDED : SWIM_DIED, update);
        if (took[r] < 0) break;
        sim_crash(l->s, subject);
        swim_lab_start(l, subject, n < 3 ? n : 3);
        if (swim_lab_settle(l, SIM_S, 120 * SIM_S) == UINT64_MAX) break;
        sim_run(l->s, sim_now(l->s) + 5 * SIM_S);
    }
    if (r == runs) {
        p99 = quantile(took, runs, 0.99);
        printf("%s: %u nodes, %u %% loss, %u runs from seed %" PRIu64 ": p50 %.2f s, p99 %.2f s, most %.2f s\n",
               update ? "update known to all" : "kill known to all", n, loss, runs, seed, quantile(took, runs, 0.5),
               p99, took[runs - 1]);
    } else {
        printf("run %u of seed %" PRIu64 " did not end\n", r, seed);
    }
    free(took);
    swim_lab_free(l);
    return p99;
}

/* ---- False deaths ---- */

static void resume(struct sim *s, void *arg, uint64_t node) {
    (void)arg;
    sim_resume(s, (unsigned)node);
}

/* Pauses somebody for 0.5 to 3 s, so often that one of a hundred is paused at any time. */
static void pause_one(struct sim *s, void *arg, uint64_t n) {
    const unsigned node = (unsigned)sim_below(s, n);
    const uint64_t mean_ns = 1750 * SIM_MS * 100 / n;
    if (!sim_is_paused(s, node)) {
        sim_pause(s, node);
        sim_at(s, sim_now(s) + 500 * SIM_MS + sim_below(s, 2500 * SIM_MS), resume, arg, node);
    }
    sim_at(s, sim_now(s) + sim_below(s, 2 * mean_ns), pause_one, arg, n);
}

static uint64_t health(unsigned n, unsigned loss, double hours, uint64_t seed) {
    struct swim_lab *l = formed(seed, n, loss);
    const uint64_t start = sim_now(l->s), end = start + (uint64_t)(hours / n * 3600e9);
    const struct sim_counts before = *sim_counts(l->s);
    sim_at(l->s, start, pause_one, NULL, n);
    sim_run(l->s, end);
    const double seconds = (double)(end - start) / 1e9 * n;
    const uint64_t bytes = sim_counts(l->s)->datagram_bytes - before.datagram_bytes;
    const uint64_t datagrams = sim_counts(l->s)->datagrams - before.datagrams;
    printf("health: %u nodes, %u %% loss, %.0f node-hours from seed %" PRIu64 ": %" PRIu64
           " false deaths; suspicions %.2f "
           "a node-hour of paused and dead, %.2f of others; %.0f B/s a node in datagrams\n",
           n, loss, hours, seed, l->false_deaths, (double)l->suspicions / hours / n,
           (double)l->false_suspicions / hours / n,
           ((double)bytes + (double)datagrams * (SWIM_LAB_DATAGRAM_OVERHEAD - 24)) / seconds);
    const uint64_t deaths = l->false_deaths;
    CHECK(l->decode_errors == 0);
    swim_lab_free(l);
    return deaths;
}

/* ---- Bytes ---- */

/* Bytes a second that a node sends. */
static double idle(unsigned n, unsigned seconds, uint64_t seed) {
    struct swim_lab *l = formed(seed, n, 0);
    uint8_t meta[PEER_SWIM_META_MAX];
    memset(meta, 1, sizeof meta);
    for (unsigned i = 0; i < n; i++)
        swim_lab_input(l, i, &(struct swim_in){.kind = SWIM_IN_META, .bytes = meta, .n = sizeof meta});
    sim_run(l->s, sim_now(l->s) + 10 * SIM_S);
    const struct sim_counts before = *sim_counts(l->s);
    sim_run(l->s, sim_now(l->s) + seconds * SIM_S);
    const struct sim_counts *after = sim_counts(l->s);
    /* The simulator's datagrams carry the 24 bytes of the sender, which the 88 of the seal have in them. */
    const double datagrams = (double)(after->datagram_bytes - before.datagram_bytes) +
                             (double)(after->datagrams - before.datagrams) * (SWIM_LAB_DATAGRAM_OVERHEAD - 24);
    const double streams = (double)(after->stream_bytes - before.stream_bytes);
    const double each = (double)n * seconds;
    printf("idle: %u nodes, %u s from seed %" PRIu64 ": %.0f B/s a node in datagrams (%.2f a second), %.0f B/s in "
           "push-pulls; %" PRIu64 " metas reported, %" PRIu64 " suspicions\n",
           n, seconds, seed, datagrams / each, (double)(after->datagrams - before.datagrams) / each, streams / each,
           l->metas, l->false_suspicions);
    swim_lab_free(l);
    return (datagrams + streams) / each;
}

/* ---- Partitions ---- */

/* Seconds until all agree again; < 0: never within ten minutes. */
static double split(unsigned n, unsigned seconds, uint64_t seed) {
    struct swim_lab *l = formed(seed, n, 0);
    for (unsigned i = 0; i < n; i++) sim_set_group(l->s, i, i % 2);
    sim_run(l->s, sim_now(l->s) + seconds * SIM_S);
    sim_heal(l->s);
    const uint64_t took = swim_lab_settle(l, 100 * SIM_MS, 600 * SIM_S);
    printf("split: %u nodes, in halves for %u s, from seed %" PRIu64 ": one view after %.1f s\n", n, seconds, seed,
           took == UINT64_MAX ? -1.0 : (double)took / 1e9);
    swim_lab_free(l);
    return took == UINT64_MAX ? -1 : (double)took / 1e9;
}

static void disturb(struct swim_lab *l, unsigned nseeds) {
    const unsigned a = (unsigned)sim_below(l->s, l->n), b = (unsigned)sim_below(l->s, l->n);
    switch (sim_below(l->s, 9)) {
    case 0: sim_crash(l->s, a); break;
    case 1: sim_power_off(l->s, a); break;
    case 2: sim_pause(l->s, a); break;
    case 3: sim_block(l->s, a, b, true); break;
    case 4: sim_set_group(l->s, a, (unsigned)sim_below(l->s, 2)); break;
    case 5: sim_heal(l->s); break;
    case 6: swim_lab_input(l, a, &(struct swim_in){.kind = SWIM_IN_LEAVE}); break;
    default: sim_resume(l->s, a); break;
    }
    if (l->nodes[b].swim != NULL) return;
    if (sim_chance(l->s, 300000)) swim_lab_renew(l, b); /* its disk was new, too */
    swim_lab_start(l, b, nseeds);
}

/* Whoever left and runs on is restarted, since it stays away by its own will. */
static void restart_leavers(struct swim_lab *l, unsigned nseeds) {
    for (unsigned i = 0; i < l->n; i++) {
        if (l->nodes[i].swim != NULL && swim_members(l->nodes[i].swim)->all[SWIM_SELF].state == PEER_SWIM_LEFT)
            sim_crash(l->s, i);
        if (l->nodes[i].swim == NULL) swim_lab_start(l, i, nseeds);
        sim_resume(l->s, i);
    }
}

/* Whether all agree in the end; prints the seed otherwise. */
static bool storm(unsigned n, uint64_t seed) {
    struct swim_lab *l = swim_lab_new(seed, n);
    const struct sim_path bad = {100000, 20000, 20000, 200000, 5 * SIM_MS, 100 * SIM_MS};
    const unsigned nseeds = n < 3 ? n : 3;
    sim_set_path(l->s, &usual);
    bool ok = swim_lab_form(l, nseeds);
    sim_set_path(l->s, &bad);
    for (unsigned step = 0; step < 60; step++) {
        disturb(l, nseeds);
        sim_run(l->s, sim_now(l->s) + sim_below(l->s, 4 * SIM_S));
    }
    sim_heal(l->s);
    sim_set_path(l->s, &usual);
    restart_leavers(l, nseeds);
    ok = ok && swim_lab_settle(l, 500 * SIM_MS, 120 * SIM_S) != UINT64_MAX && l->decode_errors == 0;
    if (!ok) printf("storm: %u nodes, seed %" PRIu64 ": they do not agree\n", n, seed);
    swim_lab_free(l);
    return ok;
}

static unsigned storms(unsigned n, unsigned runs, uint64_t seed) {
    unsigned failed = 0;
    for (unsigned r = 0; r < runs; r++) failed += !storm(n, seed + r);
    printf("storm: %u nodes, %u seeds from %" PRIu64 ": %u failed\n", n, runs, seed, failed);
    return failed;
}

/* ---- The program ---- */

static bool at_most(double value, double bar, const char *what) {
    if (value >= 0 && value <= bar) return true;
    printf("FAILED: %s: %.2f, the bar is %.2f\n", what, value, bar);
    return false;
}

/* With fewer runs the same bars hold by far; what is measured is measured by other builds. */
static int check(void) {
    bool ok = true;
    if (TEST_SLOW) {
        ok &= at_most(measure(true, 50, 20, 3, 2), 1.4, "an update known to 50, 20 % loss");
        ok &= at_most(measure(false, 10, 0, 5, 3), 4.5, "a kill known to 10");
        ok &= at_most(split(5, 600, 7), 2, "seconds until all agree after a partition");
        ok &= at_most(storms(8, 5, 8), 0, "storms");
        return ok ? 0 : 1;
    }
    ok &= at_most(measure(true, 100, 0, 10, 1), 1.0, "an update known to 100");
    ok &= at_most(measure(true, 100, 20, 10, 2), 1.4, "an update known to 100, 20 % loss");
    ok &= at_most(measure(false, 10, 0, 20, 3), 4.5, "a kill known to 10");
    ok &= at_most(measure(false, 100, 0, 5, 4), 7.5, "a kill known to 100");
    ok &= at_most((double)health(100, 20, 2, 5), 0, "false deaths");
    ok &= at_most(idle(100, 30, 6), 2500, "bytes a second");
    ok &= at_most(split(5, 600, 7), 2, "seconds until all agree after a partition");
    ok &= at_most(storms(8, 10, 8), 0, "storms");
    return ok ? 0 : 1;
}

int main(int argc, char **argv) {
    unsigned long v[4] = {0, 0, 0, 1};
    if (argc < 2) return check();
    for (int i = 2; i < argc && i < 6; i++) v[i - 2] = strtoul(argv[i], NULL, 10);
    const char *what = argv[1];
    const bool four = argc > 4, three = argc > 3;
    const uint64_t third = argc > 4 ? v[2] : 1;
    const unsigned n = (unsigned)v[0], second = (unsigned)v[1];
    if (n == 0 || n > SIM_NODES_MAX) return 2;
    if (strcmp(what, "update") == 0 && four) return measure(true, n, second, (unsigned)v[2], v[3]) < 0;
    if (strcmp(what, "kill") == 0 && four) return measure(false, n, second, (unsigned)v[2], v[3]) < 0;
    if (strcmp(what, "health") == 0 && four) return health(n, second, (double)v[2], v[3]) > 0;
    if (strcmp(what, "idle") == 0 && three) return idle(n, second, third) < 0;
    if (strcmp(what, "split") == 0 && three) return split(n, second, third) < 0;
    if (strcmp(what, "storm") == 0 && three) return storms(n, second, third) > 0;
    fprintf(stderr, "sim_swim: unknown run, or too few numbers; the head of sim_swim.c lists them\n");
    return 2;
}
