/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/cover.h"

#include <string.h>

#include "cluster/mutation.h"

static const struct cover_seen *find(const struct cover *c, uint64_t origin) {
    for (unsigned i = 0; i < c->n; i++)
        if (c->seen[i].origin == origin) return &c->seen[i];
    return NULL;
}

bool cover_covers(const struct cover *own, const struct cover *theirs) {
    if (!own->usable) return false;
    if ((own->epoch < theirs->floor_epoch || own->version < theirs->retire_version) && !MUTATED(MUTATION_PULL_NO_FLOOR))
        return false;
    for (unsigned i = 0; i < theirs->n && !MUTATED(MUTATION_PULL_NO_VECTOR); i++) {
        const struct cover_seen *s = find(own, theirs->seen[i].origin);
        /* An origin that is not known here was dropped since then, and all had its purges; or it is newer than the
         * configuration here. */
        if (s == NULL ? own->version < theirs->version : s->sequence < theirs->seen[i].sequence) return false;
    }
    return true;
}

/* ------------------------------------------------------------------ as bytes */

static uint8_t *put(uint8_t *p, uint64_t v) {
    memcpy(p, &v, sizeof v);
    return p + sizeof v;
}

static const uint8_t *get(const uint8_t *p, uint64_t *v) {
    memcpy(v, p, sizeof *v);
    return p + sizeof *v;
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers travel as they lie");

size_t cover_pack(const struct cover *c, uint8_t to[COVER_BYTES_MAX]) {
    uint8_t *p = put(put(put(put(to, c->version), c->epoch), c->floor_epoch), c->retire_version);
    *p++ = (uint8_t)c->n;
    for (unsigned i = 0; i < c->n; i++) p = put(put(p, c->seen[i].origin), c->seen[i].sequence);
    return (size_t)(p - to);
}

bool cover_read(const uint8_t *p, size_t n, struct cover *out) {
    *out = (struct cover){0};
    if (n < COVER_HEAD_BYTES) return false;
    p = get(get(get(get(p, &out->version), &out->epoch), &out->floor_epoch), &out->retire_version);
    out->n = *p++;
    if (out->n > PEER_PURGE_VECTOR_MAX || n != COVER_HEAD_BYTES + out->n * 2 * sizeof(uint64_t)) return false;
    for (unsigned i = 0; i < out->n; i++) p = get(get(p, &out->seen[i].origin), &out->seen[i].sequence);
    out->usable = true;
    return true;
}

/* ------------------------------------------------------------------ the cell */

void cover_publish(struct cover_cell *cell, const struct cover *c) {
    const uint64_t head[6] = {
        (uint64_t)c->n << 1 | c->usable, c->g, c->version, c->epoch, c->floor_epoch, c->retire_version};
    sync_sequence_write_begin(&cell->sequence);
    for (unsigned i = 0; i < 6; i++) sync_store(&cell->word[i], head[i]);
    for (unsigned i = 0; i < c->n; i++) {
        sync_store(&cell->word[6 + 2 * i], c->seen[i].origin);
        sync_store(&cell->word[7 + 2 * i], c->seen[i].sequence);
    }
    sync_sequence_write_end(&cell->sequence);
}

void cover_copy(const struct cover_cell *cell, struct cover *out) {
    unsigned version;
    do {
        version = sync_sequence_read_begin(&cell->sequence);
        const uint64_t first = sync_load(&cell->word[0]);
        *out = (struct cover){
            .usable = first & 1,
            .n = (unsigned)(first >> 1),
            .g = sync_load(&cell->word[1]),
            .version = sync_load(&cell->word[2]),
            .epoch = sync_load(&cell->word[3]),
            .floor_epoch = sync_load(&cell->word[4]),
            .retire_version = sync_load(&cell->word[5]),
        };
        if (out->n > PEER_PURGE_VECTOR_MAX) continue; /* torn: the writer is not done */
        for (unsigned i = 0; i < out->n; i++)
            out->seen[i] = (struct cover_seen){sync_load(&cell->word[6 + 2 * i]), sync_load(&cell->word[7 + 2 * i])};
    } while (sync_sequence_read_retry(&cell->sequence, version));
}
