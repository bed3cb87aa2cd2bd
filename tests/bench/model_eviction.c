/* SPDX-License-Identifier: BSD-3-Clause
 *
 * model_eviction - what miss ratio the store's eviction ought to reach on a trace, and what LRU reaches, at the same
 * number of bytes. Every item is charged its size and a fixed overhead (header, index, key).
 *
 * The policy: three queues of segments. New objects go to `small` (a tenth), or to `main` if they are in the ghost: it
 * remembers what left small without a hit, if it is not much larger than what leaves small usually, nine tenths as many
 * as the cache holds. Of the oldest small segment the objects hit at least once move on to main; of the oldest main
 * segment those with the most hits per byte, up to half of its live bytes (a running average of each segment's own
 * threshold decides), with a quarter of their hit count (4 bits). (That main goes on trial when all that is asked for
 * changes is left out: these traces change slowly.)
 *
 * LRU is exact; where the trace has lifetimes, what has expired frees its bytes that second.
 */
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "rng.h"
#include "trace.h"

#define NOWHERE UINT32_MAX
#define HITS_MAX 15
#define SMALL_SHARE 0.1
#define KEPT_SHARE 0.5
#define GHOST_SHARE 0.9    /* of the objects held */
#define GHOST_LARGEST 1.25 /* of the geometric mean of the sizes of what leaves small */

static const char usage[] =
    "usage: model_eviction [--overhead B] [--segments N] [--policy model|lru|both] TRACE BYTES\n"
    "Prints {\"model\": miss ratio, \"lru\": miss ratio} of a trace (tracegen) in a cache of BYTES, of which every "
    "object\n"
    "takes its size and B more (44: a key of 20 bytes and 24 of overhead). N segments (100).\n";

struct request {
    uint32_t object;
    uint32_t size; /* charged */
};

/* When an object expires: always the same second, since a later version has another id. */
struct expiry {
    uint32_t at_s, object;
};

struct requests {
    struct request *v;
    uint32_t *at_s;      /* of each request */
    struct expiry *ends; /* of the objects that expire, by time */
    uint64_t n;
    uint32_t objects, nends;
};

static void fail(const char *what) {
    perror(what);
    exit(2);
}

static void *allocate(size_t n, size_t size) {
    void *p = calloc(n ? n : 1, size);
    if (!p) fail("model_eviction: memory");
    return p;
}

static int by_time(const void *a, const void *b) {
    const struct expiry *x = a, *y = b;
    return x->at_s < y->at_s ? -1 : x->at_s > y->at_s;
}

/* Reads the lifetimes beside a trace whose requests are read already, if there are any. */
static void read_lifetimes(struct requests *r, const char *path) {
    char name[4096];
    snprintf(name, sizeof name, "%s.ttl", path);
    FILE *f = fopen(name, "rb");
    if (!f) return;
    bool *known = allocate(r->objects, sizeof *known);
    r->ends = allocate(r->objects, sizeof *r->ends);
    for (uint64_t i = 0; i < r->n; i++) {
        trace_ttl ttl;
        if (fread(&ttl, sizeof ttl, 1, f) != 1) fail(name);
        uint32_t o = r->v[i].object;
        if (ttl && !known[o]) r->ends[r->nends++] = (struct expiry){r->at_s[i] + ttl, o};
        known[o] = true;
    }
    qsort(r->ends, r->nends, sizeof *r->ends, by_time);
    free(known);
    fclose(f);
}

/* Reads a trace, and numbers its objects 0, 1, .. */
static struct requests read_trace(const char *path, uint32_t overhead) {
    struct stat sb;
    FILE *f = fopen(path, "rb");
    if (!f || fstat(fileno(f), &sb)) fail(path);
    struct requests r = {.n = (uint64_t)sb.st_size / sizeof(struct trace_record)};
    uint64_t cap = 16;
    while (cap < 2 * r.n) cap <<= 1;
    uint64_t *ids = allocate(cap, sizeof *ids);
    uint32_t *numbers = allocate(cap, sizeof *numbers);
    r.v = allocate(r.n, sizeof *r.v);
    r.at_s = allocate(r.n, sizeof *r.at_s);
    for (uint64_t i = 0; i < r.n; i++) {
        struct trace_record t;
        if (fread(&t, sizeof t, 1, f) != 1) fail(path);
        uint64_t p = rng_mix(t.id) & (cap - 1);
        while (ids[p] && ids[p] != t.id) p = (p + 1) & (cap - 1);
        if (!ids[p]) {
            ids[p] = t.id;
            numbers[p] = r.objects++;
        }
        r.v[i] = (struct request){numbers[p], t.size + overhead};
        r.at_s[i] = t.time_s;
    }
    read_lifetimes(&r, path);
    fclose(f);
    free(ids);
    free(numbers);
    return r;
}

/* ------------------------------------------------------------------ LRU */

struct link {
    uint32_t older, newer, size;
};

static void unlink_object(struct link *l, uint32_t o) {
    l[l[o].older].newer = l[o].newer;
    l[l[o].newer].older = l[o].older;
}

static void link_newest(struct link *l, uint32_t head, uint32_t o) {
    l[o].older = l[head].older;
    l[o].newer = head;
    l[l[head].older].newer = o;
    l[head].older = o;
}

struct lru {
    struct link *l;
    uint32_t head; /* its `newer` is the oldest, its `older` the newest */
    uint64_t used;
};

static void lru_drop(struct lru *c, uint32_t o) {
    unlink_object(c->l, o);
    c->used -= c->l[o].size;
    c->l[o].size = 0;
}

static double lru(const struct requests *r, uint64_t capacity) {
    struct lru c = {.l = allocate((size_t)r->objects + 1, sizeof *c.l), .head = r->objects};
    uint64_t misses = 0;
    c.l[c.head].older = c.l[c.head].newer = c.head;
    for (uint64_t i = 0, end = 0; i < r->n; i++) {
        uint32_t o = r->v[i].object;
        for (; end < r->nends && r->ends[end].at_s <= r->at_s[i]; end++)
            if (c.l[r->ends[end].object].size) lru_drop(&c, r->ends[end].object);
        if (c.l[o].size)
            unlink_object(c.l, o);
        else {
            misses++;
            if (r->v[i].size > capacity) continue;
            c.l[o].size = r->v[i].size;
            c.used += c.l[o].size;
            while (c.used > capacity) lru_drop(&c, c.l[c.head].newer);
        }
        link_newest(c.l, c.head, o);
    }
    free(c.l);
    return (double)misses / (double)r->n;
}

/* ------------------------------------------------------------------ the segments */

struct segment {
    struct segment *newer;
    uint32_t number;
    uint64_t used;
    uint32_t n, cap;
    struct request *items;
};

struct queue {
    struct segment *oldest, *newest;
    uint32_t n;
};

struct object {
    uint32_t segment; /* number of the one it lives in, or NOWHERE */
    uint8_t hits;
    uint8_t ghosts; /* times it is in the ghost */
};

struct ghost {
    uint32_t *ring;
    uint64_t head, tail, cap;
};

struct model {
    struct object *objects;
    struct queue small, main;
    struct ghost ghost;
    uint64_t segment_bytes, misses, held;
    uint32_t segments_max, small_max, next_number;
    bool thresholded;
    double threshold; /* log of hits per byte */
    double leaving;   /* average log of the size of what leaves small */
};

static void push_segment(struct model *m, struct queue *q) {
    struct segment *s = allocate(1, sizeof *s);
    s->number = m->next_number++;
    if (q->newest)
        q->newest->newer = s;
    else
        q->oldest = s;
    q->newest = s;
    q->n++;
}

static struct segment *pop_segment(struct queue *q) {
    struct segment *s = q->oldest;
    q->oldest = s->newer;
    if (!q->oldest) q->newest = NULL;
    q->n--;
    return s;
}

static void free_segment(struct segment *s) {
    free(s->items);
    free(s);
}

static void append(struct model *m, struct queue *q, struct request it, uint8_t hits) {
    if (!q->newest || q->newest->used + it.size > m->segment_bytes) push_segment(m, q);
    struct segment *s = q->newest;
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 64;
        s->items = realloc(s->items, s->cap * sizeof *s->items);
        if (!s->items) fail("model_eviction: memory");
    }
    s->items[s->n++] = it;
    s->used += it.size;
    m->objects[it.object].segment = s->number;
    m->objects[it.object].hits = hits;
}

static void ghost_add(struct model *m, struct request it) {
    struct ghost *g = &m->ghost;
    if (log(it.size) > m->leaving + log(GHOST_LARGEST)) return;
    g->ring[g->head++ % g->cap] = it.object;
    m->objects[it.object].ghosts++;
    while (g->head - g->tail >= g->cap || (double)(g->head - g->tail) > GHOST_SHARE * (double)m->held)
        m->objects[g->ring[g->tail++ % g->cap]].ghosts--;
}

static double density(unsigned hits, uint32_t size) {
    return hits ? log(hits) - log(size) : -1e9;
}

static int by_density(const void *a, const void *b) {
    double x = ((const double *)a)[0], y = ((const double *)b)[0];
    return x < y ? 1 : x > y ? -1 : 0;
}

/* The density above which a share of the segment's live bytes lies; folds it into the running average. */
static void learn_threshold(struct model *m, const struct segment *s) {
    double(*v)[2] = allocate(s->n, sizeof *v), live = 0, sum = 0, found = m->threshold;
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        const struct object *o = &m->objects[s->items[i].object];
        if (o->segment != s->number) continue;
        v[n][0] = density(o->hits, s->items[i].size);
        v[n++][1] = s->items[i].size;
        live += s->items[i].size;
    }
    qsort(v, n, sizeof *v, by_density);
    for (uint32_t i = 0; i < n; i++)
        if ((sum += v[i][1]) > KEPT_SHARE * live) {
            found = v[i][0];
            break;
        }
    free(v);
    m->threshold = m->thresholded ? 0.9 * m->threshold + 0.1 * found : found;
    m->thresholded = true;
}

static void move_to_main(struct model *m, struct request it) {
    append(m, &m->main, it, m->objects[it.object].hits / 4);
}

static void evict_main(struct model *m) {
    struct segment *s = pop_segment(&m->main);
    double threshold = m->thresholded ? m->threshold : -INFINITY;
    learn_threshold(m, s);
    for (uint32_t i = 0; i < s->n; i++) {
        struct object *o = &m->objects[s->items[i].object];
        if (o->segment != s->number) continue;
        if (o->hits && density(o->hits, s->items[i].size) >= threshold) {
            move_to_main(m, s->items[i]);
        } else {
            o->segment = NOWHERE;
            m->held--;
        }
    }
    free_segment(s);
}

static void evict_small(struct model *m) {
    struct segment *s = pop_segment(&m->small);
    for (uint32_t i = 0; i < s->n; i++) {
        struct object *o = &m->objects[s->items[i].object];
        if (o->segment != s->number) continue;
        double size = log(s->items[i].size);
        m->leaving += m->leaving == 0 ? size : (size - m->leaving) / 1024;
        if (o->hits) {
            move_to_main(m, s->items[i]);
        } else {
            o->segment = NOWHERE;
            ghost_add(m, s->items[i]);
            m->held--;
        }
    }
    free_segment(s);
}

static void request(struct model *m, struct request it) {
    struct object *o = &m->objects[it.object];
    if (o->segment != NOWHERE) {
        if (o->hits < HITS_MAX) o->hits++;
        return;
    }
    m->misses++;
    if (it.size > m->segment_bytes) return;
    m->held++;
    if (o->ghosts)
        append(m, &m->main, it, 1);
    else
        append(m, &m->small, it, 0);
    while (m->small.n + m->main.n > m->segments_max) {
        if (m->main.n <= 2 || m->small.n > m->small_max)
            evict_small(m);
        else
            evict_main(m);
    }
}

static double segments(const struct requests *r, uint64_t capacity, uint32_t n) {
    struct model m = {.segment_bytes = capacity / n, .segments_max = n, .small_max = (uint32_t)(n * SMALL_SHARE)};
    if (!m.small_max) m.small_max = 1;
    m.objects = allocate(r->objects, sizeof *m.objects);
    for (uint32_t i = 0; i < r->objects; i++) m.objects[i].segment = NOWHERE;
    m.ghost.cap = capacity / 32 + 16;
    m.ghost.ring = allocate(m.ghost.cap, sizeof *m.ghost.ring);
    push_segment(&m, &m.small);
    push_segment(&m, &m.main);
    for (uint64_t i = 0; i < r->n; i++) request(&m, r->v[i]);
    while (m.small.n) free_segment(pop_segment(&m.small));
    while (m.main.n) free_segment(pop_segment(&m.main));
    free(m.objects);
    free(m.ghost.ring);
    return (double)m.misses / (double)r->n;
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"overhead", 1, 0, 'o'}, {"segments", 1, 0, 's'}, {"policy", 1, 0, 'p'}, {"help", 0, 0, 'h'}, {0, 0, 0, 0}};
    long overhead = 44, nsegments = 100;
    const char *policy = "both";
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) switch (o) {
        case 'o': overhead = atol(optarg); break;
        case 's': nsegments = atol(optarg); break;
        case 'p': policy = optarg; break;
        case 'h': return fputs(usage, stdout) < 0;
        default: fputs(usage, stderr); return 2;
        }
    if (optind + 2 != argc || overhead < 0 || nsegments < 8) {
        fputs(usage, stderr);
        return 2;
    }
    struct requests r = read_trace(argv[optind], (uint32_t)overhead);
    uint64_t capacity = strtoull(argv[optind + 1], NULL, 10);
    bool both = !strcmp(policy, "both");
    if (!r.n || capacity < (uint64_t)nsegments * 64) {
        fprintf(stderr, "model_eviction: nothing to do with %" PRIu64 " requests in %" PRIu64 " bytes\n", r.n,
                capacity);
        return 2;
    }
    printf("{");
    if (both || !strcmp(policy, "model")) printf("\"model\":%.6f", segments(&r, capacity, (uint32_t)nsegments));
    if (both) printf(",");
    if (both || !strcmp(policy, "lru")) printf("\"lru\":%.6f", lru(&r, capacity));
    printf("}\n");
    free(r.v);
    free(r.at_s);
    free(r.ends);
    return 0;
}
