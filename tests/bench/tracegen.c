/* SPDX-License-Identifier: BSD-3-Clause
 *
 * tracegen - makes synthetic cache traces (trace.h) for cacheload --trace and for the eviction model.
 */
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"
#include "trace.h"
#include "zipf.h"

#define REQUESTS_PER_S 2000
#define RELEASE_OBJECTS 2000

static const char usage[] =
    "usage: tracegen KIND ALPHA OBJECTS REQUESTS SEED OUT\n"
    "Writes REQUESTS records of 24 bytes (libCacheSim oracleGeneral) to OUT, 2,000 requests to a second of its time.\n"
    "  zipf    popularity rank^-ALPHA over OBJECTS objects\n"
    "  scan    the same, and about a fifth of all requests in runs of 1,000 to 50,000 ids never used again (a backup,\n"
    "          a crawler)\n"
    "  drift   zipf whose ranks change objects (each 1 % of the trace 2 % of them), and from 40 % to 60 % of the "
    "trace\n"
    "          a release day: 30 % of the requests go to 2,000 objects never seen before\n"
    "  ttl     zipf; each object lives 60 s (30 % of them), 600 s (40 %) or 3,600 s (30 %) and then gets a new id;\n"
    "          OUT.ttl holds for each record the seconds its object has left\n"
    "  onehit  zipf for 60 % of the requests, ids used once for 40 %\n"
    "Sizes are a function of the object: lognormal, median 400 bytes, sigma 1.2, within 32..32768.\n";

enum kind { KIND_ZIPF, KIND_SCAN, KIND_DRIFT, KIND_TTL, KIND_ONEHIT, KINDS };
static const char *const kind_names[KINDS] = {"zipf", "scan", "drift", "ttl", "onehit"};

struct gen {
    enum kind kind;
    uint64_t objects, requests, rng;
    struct zipf zipf, release;
    uint32_t *object_of_rank; /* drift */
    uint64_t unique;          /* next id used once */
    uint64_t run;             /* of a scan: requests left */
    uint64_t next_drift;
    uint64_t version; /* of the object drawn last (ttl) */
    trace_ttl ttl;    /* it has left */
};

static void fail(const char *what) {
    perror(what);
    exit(2);
}

static void *allocate(size_t n, size_t size) {
    void *p = calloc(n, size);
    if (!p) fail("tracegen: memory");
    return p;
}

static uint32_t size_of(uint64_t id) {
    uint64_t h = rng_mix(id ^ 0xabcdef), g = rng_mix(h + 1);
    double u1 = (double)((h >> 11) + 1) * 0x1p-53, u2 = (double)(g >> 11) * 0x1p-53;
    double v = 400 * exp(1.2 * sqrt(-2 * log(u1)) * cos(6.283185307179586 * u2));
    return v < 32 ? 32 : v > 32768 ? 32768 : (uint32_t)v;
}

static uint64_t draw_scan(struct gen *g) {
    if (g->run) {
        g->run--;
        return g->unique++;
    }
    if (rng_unit(&g->rng) < 0.2 / 25500 * 1.25) g->run = 1000 + rng_next(&g->rng) % 49001;
    return zipf_draw(&g->zipf, &g->rng) - 1;
}

static uint64_t draw_drift(struct gen *g, uint64_t i) {
    if (i >= g->next_drift) {
        g->next_drift += g->requests / 100 + 1;
        for (uint64_t j = 0; j < g->objects / 50; j++) {
            uint64_t x = rng_next(&g->rng) % g->objects, y = rng_next(&g->rng) % g->objects;
            uint32_t was = g->object_of_rank[x];
            g->object_of_rank[x] = g->object_of_rank[y];
            g->object_of_rank[y] = was;
        }
    }
    if (i > g->requests * 4 / 10 && i < g->requests * 6 / 10 && rng_unit(&g->rng) < .3)
        return (1ull << 41) + zipf_draw(&g->release, &g->rng) - 1;
    return g->object_of_rank[zipf_draw(&g->zipf, &g->rng) - 1];
}

static uint64_t draw_ttl(struct gen *g, uint64_t now_s) {
    uint64_t k = zipf_draw(&g->zipf, &g->rng) - 1, h = rng_mix(k + 99);
    uint64_t ttl = h % 10 < 3 ? 60 : h % 10 < 7 ? 600 : 3600, at = now_s + h % 7919;
    g->version = at / ttl;
    g->ttl = (trace_ttl)(ttl - at % ttl);
    return k;
}

/* The object of request i. */
static uint64_t draw(struct gen *g, uint64_t i) {
    switch (g->kind) {
    case KIND_SCAN: return draw_scan(g);
    case KIND_DRIFT: return draw_drift(g, i);
    case KIND_TTL: return draw_ttl(g, i / REQUESTS_PER_S);
    case KIND_ONEHIT:
        if (rng_unit(&g->rng) < .4) return g->unique++;
        break;
    case KIND_ZIPF:
    case KINDS: break;
    }
    return zipf_draw(&g->zipf, &g->rng) - 1;
}

/* Fills in `next` from the end backwards, and tells what the trace holds. */
static void link_requests(struct trace_record *r, uint64_t n, uint64_t *objects, uint64_t *bytes) {
    uint64_t cap = 16;
    while (cap < 2 * n) cap <<= 1;
    uint64_t *ids = allocate(cap, sizeof *ids);
    int64_t *at = allocate(cap, sizeof *at);
    *objects = *bytes = 0;
    for (uint64_t i = n; i-- > 0;) {
        uint64_t p = rng_mix(r[i].id) & (cap - 1);
        while (ids[p] && ids[p] != r[i].id) p = (p + 1) & (cap - 1);
        r[i].next = ids[p] ? at[p] : -1;
        if (!ids[p]) {
            ids[p] = r[i].id;
            ++*objects;
            *bytes += r[i].size;
        }
        at[p] = (int64_t)i;
    }
    free(ids);
    free(at);
}

static void write_file(const char *path, const void *p, size_t size, uint64_t n) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(p, size, n, f) != n || fclose(f)) fail(path);
}

static void generate(struct gen *g, struct trace_record *r, trace_ttl *ttl) {
    for (uint64_t i = 0; i < g->requests; i++) {
        uint64_t k = draw(g, i);
        uint64_t id = rng_mix(k * 1000003 + g->version * 0x9e3779b97f4a7c15ull + 7);
        r[i].time_s = (uint32_t)(i / REQUESTS_PER_S);
        r[i].id = (id % 9999999999999999999ull) | 1; /* 19 digits, never 0 */
        r[i].size = size_of(k);
        if (ttl) ttl[i] = g->ttl;
    }
}

static bool parse(struct gen *g, char **argv) {
    for (g->kind = 0; g->kind < KINDS && strcmp(kind_names[g->kind], argv[1]) != 0; g->kind++) {}
    double alpha = atof(argv[2]);
    g->objects = strtoull(argv[3], NULL, 10);
    g->requests = strtoull(argv[4], NULL, 10);
    g->rng = rng_mix(strtoull(argv[5], NULL, 10));
    g->unique = 1ull << 40;
    g->next_drift = g->requests / 100;
    if (g->kind == KINDS || alpha <= 0 || !g->objects || g->objects > UINT32_MAX || !g->requests) return false;
    zipf_init(&g->zipf, alpha, g->objects);
    zipf_init(&g->release, .9, RELEASE_OBJECTS);
    return true;
}

int main(int argc, char **argv) {
    struct gen g = {0};
    if (argc == 2 && !strcmp(argv[1], "--help")) return fputs(usage, stdout) < 0;
    if (argc != 7 || !parse(&g, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    g.object_of_rank = allocate(g.objects, sizeof *g.object_of_rank);
    for (uint64_t i = 0; i < g.objects; i++) g.object_of_rank[i] = (uint32_t)i;
    struct trace_record *r = allocate(g.requests, sizeof *r);
    trace_ttl *ttl = g.kind == KIND_TTL ? allocate(g.requests, sizeof *ttl) : NULL;
    generate(&g, r, ttl);
    uint64_t objects, bytes;
    link_requests(r, g.requests, &objects, &bytes);
    write_file(argv[6], r, sizeof *r, g.requests);
    if (ttl) {
        char path[4096];
        snprintf(path, sizeof path, "%s.ttl", argv[6]);
        write_file(path, ttl, sizeof *ttl, g.requests);
    }
    printf("{\"trace\":\"%s\",\"alpha\":%s,\"requests\":%" PRIu64 ",\"objects\":%" PRIu64 ",\"bytes\":%" PRIu64 "}\n",
           argv[1], argv[2], g.requests, objects, bytes);
    free(ttl);
    free(r);
    free(g.object_of_rank);
    return 0;
}
