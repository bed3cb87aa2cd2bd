/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/written.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/pages.h"
#include "base/sync.h"
#include "cluster/mutation.h"

struct written {
    uint64_t *slots; /* atomic; 0: free */
    uint64_t nslots;
    uint64_t room;
    uint64_t count; /* atomic: may go past room by the number of threads */
    uint32_t full;  /* atomic */
};

struct written *written_new(uint64_t memory_limit) {
    struct written *w = calloc(1, sizeof *w);
    uint64_t bytes = memory_limit / WRITTEN_PARTS;
    if (w == NULL) return NULL;
    if (bytes < WRITTEN_LEAST_BYTES) bytes = WRITTEN_LEAST_BYTES;
    w->nslots = bytes / sizeof *w->slots;
    w->room = bytes / WRITTEN_BYTES_A_KEY;
    w->slots = pages_new(w->nslots * sizeof *w->slots);
    if (w->slots != NULL) return w;
    free(w);
    return NULL;
}

void written_free(struct written *w) {
    if (w == NULL) return;
    pages_free(w->slots, w->nslots * sizeof *w->slots);
    free(w);
}

/* Finds the hash, or the free slot where it belongs. There always is one: a third of the table stays free. */
static uint64_t *find(const struct written *w, uint64_t hash, uint64_t *seen) {
    uint64_t i = (uint64_t)(((unsigned __int128)hash * w->nslots) >> 64);
    while ((*seen = sync_load(&w->slots[i])) != 0 && *seen != hash)
        if (++i == w->nslots) i = 0;
    return &w->slots[i];
}

/* 0 marks a free slot. */
static uint64_t stored(uint64_t hash) {
    return hash != 0 ? hash : 1;
}

bool written_add(struct written *w, uint64_t hash) {
    const uint64_t h = stored(hash);
    uint64_t seen, *slot;
    while (!written_is_full(w)) {
        slot = find(w, h, &seen);
        if (seen == h) return true;
        if (sync_load(&w->count) >= w->room || sync_add(&w->count, UINT64_C(1)) >= w->room) break;
        if (sync_cas(slot, &seen, h)) return true;
        sync_sub(&w->count, UINT64_C(1)); /* another thread took the slot */
    }
    sync_store_seq(&w->full, 1);
    return false;
}

bool written_has(const struct written *w, uint64_t hash) {
    uint64_t seen;
    if (MUTATED(MUTATION_NO_WRITTEN)) return false;
    if (written_is_full(w)) return true;
    (void)find(w, stored(hash), &seen);
    return seen != 0 || written_is_full(w); /* closed meanwhile, its pages may have been given back */
}

bool written_is_full(const struct written *w) {
    return sync_load_acq(&w->full) != 0;
}

void written_close(struct written *w) {
    sync_store_seq(&w->full, 1);
    pages_empty(w->slots, w->nslots * sizeof *w->slots);
}

uint64_t written_count(const struct written *w) {
    return sync_load(&w->count);
}

uint64_t written_room(const struct written *w) {
    return w->room;
}
