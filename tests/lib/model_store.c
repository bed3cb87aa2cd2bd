/* SPDX-License-Identifier: BSD-3-Clause */
#include "model_store.h"

#include <stdlib.h>
#include <string.h>

void model_init(struct model *m) {
    memset(m, 0, sizeof *m);
}

void model_fini(struct model *m) {
    for (unsigned k = 0; k < MODEL_KEYS; k++) free(m->items[k].value);
}

uint8_t model_prefixes(unsigned key) {
    return key % 4 == 1 ? 1 << 6 : key % 4 == 2 ? 3 << 6 : 0;
}

enum model_verdict model_verdict(const struct model *m, uint64_t version, uint8_t tags, uint32_t now,
                                 uint32_t *deadline) {
    enum model_verdict v = MODEL_FRESH;
    for (unsigned mask = tags, last = 0; !last; mask = (mask - 1) & tags) { /* every set of them */
        const struct model_selector *p = &m->purges[mask];
        last = mask == 0;
        if (p->hard > version) return MODEL_DEAD;
        if (p->soft <= version) continue;
        if (p->deadline <= now) return MODEL_DEAD;
        if (v == MODEL_FRESH || p->deadline < *deadline) *deadline = p->deadline;
        v = MODEL_SOFT;
    }
    return v;
}

bool model_purged_since(const struct model *m, uint64_t version, uint8_t tags) {
    for (unsigned mask = 0; mask < 1 << MODEL_TAGS; mask++)
        if ((mask & tags) == mask && (m->purges[mask].hard > version || m->purges[mask].soft > version)) return true;
    return false;
}

void model_purge(struct model *m, uint8_t mask, uint64_t number, bool soft, uint32_t deadline, uint32_t now) {
    struct model_selector *p = &m->purges[mask];
    if (__builtin_popcount(mask) > 2) m->wide = number;
    if (!soft) {
        p->hard = number;
        return;
    }
    if (p->soft > p->hard) {
        if (p->deadline <= now)
            p->hard = p->soft;
        else if (p->deadline < deadline)
            deadline = p->deadline;
    }
    p->soft = number;
    p->deadline = deadline;
}

void model_drop(struct model *m, unsigned key) {
    free(m->items[key].value);
    memset(&m->items[key], 0, sizeof m->items[key]);
}

struct model_item *model_look(struct model *m, unsigned key, uint32_t now, bool *maybe, bool *soft) {
    struct model_item *it = &m->items[key];
    uint32_t deadline = 0;
    *maybe = *soft = false;
    if (!it->there) return NULL;
    enum model_verdict v = model_verdict(m, it->version, it->tags | model_prefixes(key), now, &deadline);
    if (v == MODEL_DEAD || it->expiry_hi <= now) {
        model_drop(m, key);
        return NULL;
    }
    if (v == MODEL_SOFT) {
        /* A sweep, or a move, may write the deadline into the item at any time from now on; with no place for it the
         * item goes. */
        model_expiry_cap(it, deadline);
        if (it->tags == 0) it->unsure = true;
    }
    *maybe = it->unsure || it->expiry_lo <= now;
    *soft = v == MODEL_SOFT || (it->softened && !it->won);
    return it;
}

void model_value(struct model_item *it, const void *value, uint64_t size) {
    uint8_t *copy = malloc(size + 1);
    memcpy(copy, value, size);
    free(it->value);
    it->value = copy;
    it->size = size;
}

void model_expiry_cap(struct model_item *it, uint32_t at) {
    if (it->expiry_lo > at) it->expiry_lo = at;
    if (it->expiry_hi > at) it->expiry_hi = at;
}

void model_expiry_set(struct model_item *it, uint32_t expiry) {
    it->expiry_lo = it->expiry_hi = expiry ? expiry : UINT32_MAX;
}
