/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/idmap.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"

void idmap_fini(struct idmap *m) {
    free(m->v);
    m->v = NULL;
    m->n = m->slots = 0;
}

/* The slot that holds the id, or the empty one where it belongs. */
static struct idmap_entry *find(const struct idmap *m, const struct cluster_id *id) {
    unsigned s = (unsigned)hash_key(id->bytes, sizeof id->bytes, m->seed) & (m->slots - 1);
    while (m->v[s].value != NULL && !cluster_id_equal(&m->v[s].id, id)) s = (s + 1) & (m->slots - 1);
    return &m->v[s];
}

void *idmap_get(const struct idmap *m, const struct cluster_id *id) {
    return m->slots != 0 ? find(m, id)->value : NULL;
}

static int grow(struct idmap *m) {
    struct idmap bigger = {.seed = m->seed, .n = m->n, .slots = m->slots == 0 ? 16 : 2 * m->slots};
    bigger.v = calloc(bigger.slots, sizeof *bigger.v);
    if (bigger.v == NULL) return -ENOMEM;
    for (unsigned s = 0; s < m->slots; s++)
        if (m->v[s].value != NULL) *find(&bigger, &m->v[s].id) = m->v[s];
    free(m->v);
    *m = bigger;
    return 0;
}

int idmap_put(struct idmap *m, const struct cluster_id *id, void *value) {
    CHECK(value != NULL);
    if (2 * (m->n + 1) > m->slots && grow(m) != 0) return -ENOMEM;
    struct idmap_entry *e = find(m, id);
    if (e->value == NULL) m->n++;
    *e = (struct idmap_entry){.id = *id, .value = value};
    return 0;
}

void *idmap_remove(struct idmap *m, const struct cluster_id *id) {
    if (m->slots == 0) return NULL;
    struct idmap_entry *e = find(m, id);
    void *value = e->value;
    if (value == NULL) return NULL;
    e->value = NULL;
    m->n--;
    /* What went further because its slot was taken must be found from its own slot on: all up to the next empty slot
     * are put in again. */
    for (unsigned s = ((unsigned)(e - m->v) + 1) & (m->slots - 1); m->v[s].value != NULL;
         s = (s + 1) & (m->slots - 1)) {
        struct idmap_entry moved = m->v[s];
        m->v[s].value = NULL;
        *find(m, &moved.id) = moved;
    }
    return value;
}

void *idmap_next(const struct idmap *m, unsigned *at) {
    while (*at < m->slots) {
        void *value = m->v[(*at)++].value;
        if (value != NULL) return value;
    }
    return NULL;
}
