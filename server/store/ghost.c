/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/ghost.h"

#include <stdlib.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/pages.h"
#include "base/sync.h"

#define PLACES 40
#define LINES_MIN 16

struct ghost_line {
    uint8_t low[PLACES];      /* low 8 bits of each fingerprint */
    uint8_t high[PLACES / 2]; /* its high 4 bits, two a byte */
    uint8_t next;             /* the place that is overwritten next */
    uint8_t pad[3];
} __attribute__((aligned(64)));

void ghost_init(struct ghost *g) {
    memset(g, 0, sizeof *g);
}

static struct ghost_table *table_new(uint64_t nlines) {
    struct ghost_table *t = calloc(1, sizeof *t);
    if (t == NULL) return NULL;
    t->nlines = nlines;
    t->lines = pages_new(nlines * sizeof *t->lines);
    if (t->lines == NULL) {
        free(t);
        return NULL;
    }
    return t;
}

static void table_free(struct ghost_table *t) {
    if (t == NULL) return;
    pages_free(t->lines, t->nlines * sizeof *t->lines);
    free(t);
}

void ghost_fini(struct ghost *g) {
    table_free(g->now);
    table_free(g->before);
    table_free(g->dead);
}

/* The index uses the hash's low bits; the ghost its high ones. */
static unsigned fingerprint(uint64_t hash) {
    unsigned f = (unsigned)(hash >> 20) & 0xfff;
    return f ? f : 1;
}

static struct ghost_line *line_of(const struct ghost_table *t, uint64_t hash) {
    return &t->lines[(hash >> 32) * t->nlines >> 32];
}

/* A bit for each place whose low byte is this. */
SYNC_UNSANITIZED static uint64_t low_match(const struct ghost_line *l, uint8_t low) {
    uint64_t m = 0;
#if defined(__SSE2__) && !defined(SYNC_TSAN)
    /* The last 16 bytes are 8 places and what follows them. */
    const __m128i *v = (const __m128i *)(const void *)l->low, want = _mm_set1_epi8((char)low);
    for (unsigned i = 0; i < (PLACES + 15) / 16; i++)
        m |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_load_si128(v + i), want)) << 16 * i;
#else
    for (unsigned i = 0; i < PLACES; i++) m |= (uint64_t)(l->low[i] == low) << i;
#endif
    return m & ((1ull << PLACES) - 1);
}

SYNC_UNSANITIZED static bool line_has(const struct ghost_line *l, unsigned f) {
    for (uint64_t m = low_match(l, (uint8_t)f); m; m &= m - 1) {
        unsigned i = (unsigned)__builtin_ctzll(m);
        if ((unsigned)(l->high[i / 2] >> (i & 1) * 4 & 15) == f >> 8) return true;
    }
    return false;
}

SYNC_UNSANITIZED static void line_add(struct ghost_line *l, unsigned f) {
    unsigned i = l->next;
    l->low[i] = (uint8_t)f;
    l->high[i / 2] = (uint8_t)((l->high[i / 2] & (i & 1 ? 0x0f : 0xf0)) | (f >> 8) << (i & 1) * 4);
    l->next = (uint8_t)((i + 1) % PLACES);
}

bool ghost_has(const struct ghost *g, uint64_t hash) {
    const struct ghost_table *t = sync_load_acq(&g->now);
    if (t == NULL) return false;
    if (line_has(line_of(t, hash), fingerprint(hash))) return true;
    t = sync_load_acq(&g->before);
    return t != NULL && line_has(line_of(t, hash), fingerprint(hash));
}

/* Tables other threads may ask for the size of may be freed any time; the sum may not. */
static void count_bytes(struct ghost *g) {
    uint64_t n = 0;
    if (g->now) n += g->now->nlines;
    if (g->before) n += g->before->nlines;
    if (g->dead) n += g->dead->nlines;
    sync_store(&g->bytes, n * sizeof(struct ghost_line));
}

/* Makes a table of another size the present one; at most one old table waits to be freed. */
static void resize(struct ghost *g, uint64_t want) {
    if (g->dead) return;
    struct ghost_table *t = table_new(want);
    if (t == NULL) return;
    struct ghost_table *old = g->before;
    sync_store_rel(&g->before, g->now);
    sync_store_rel(&g->now, t);
    g->dead = old;
    count_bytes(g);
}

void ghost_add(struct ghost *g, uint64_t hash, uint64_t items) {
    uint64_t want = items / 10 * 9 / PLACES;
    if (want < LINES_MIN) want = LINES_MIN;
    if (g->now == NULL || want > g->now->nlines + g->now->nlines / 4 || want < g->now->nlines / 2) resize(g, want);
    if (g->now == NULL) return;
    line_add(line_of(g->now, hash), fingerprint(hash));
    if (++g->now->added > g->now->nlines * PLACES && g->before && !g->dead) {
        g->dead = g->before; /* the present one has taken its place */
        sync_store_rel(&g->before, NULL);
    }
}

void ghost_reap(struct ghost *g) {
    table_free(g->dead);
    g->dead = NULL;
    count_bytes(g);
}

uint64_t ghost_bytes(const struct ghost *g) {
    return sync_load(&g->bytes);
}
