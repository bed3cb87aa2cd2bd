/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/cluster/faultmodel.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *need(void *p) {
    if (p == NULL) abort();
    return p;
}

void faultmodel_init(struct faultmodel *m, uint32_t nkeys) {
    *m = (struct faultmodel){.nkeys = nkeys, .horizons = need(calloc(nkeys, sizeof *m->horizons))};
}

void faultmodel_fini(struct faultmodel *m) {
    free(m->horizons);
    free(m->answered);
}

uint64_t faultmodel_event(struct faultmodel *m) {
    return ++m->now;
}

void faultmodel_purged(struct faultmodel *m, uint32_t first, uint32_t count, uint64_t asked) {
    for (uint32_t k = first; k < first + count; k++)
        if (m->horizons[k] < asked) m->horizons[k] = asked;
}

void faultmodel_purged_all(struct faultmodel *m, uint64_t asked) {
    if (m->all < asked) m->all = asked;
}

uint64_t faultmodel_horizon(const struct faultmodel *m, uint32_t key) {
    return m->horizons[key] > m->all ? m->horizons[key] : m->all;
}

size_t faultmodel_fill(uint32_t key, uint64_t read_at, char value[FAULTMODEL_VALUE_MAX]) {
    return (size_t)snprintf(value, FAULTMODEL_VALUE_MAX, "fill %" PRIu32 " %" PRIu64, key, read_at);
}

size_t faultmodel_plain(struct faultmodel *m, uint32_t key, char value[FAULTMODEL_VALUE_MAX], uint64_t *serial) {
    if (m->nplain == m->room) {
        m->room = m->room == 0 ? 4096 : 2 * m->room;
        m->answered = need(realloc(m->answered, m->room * sizeof *m->answered));
    }
    *serial = m->nplain;
    m->answered[m->nplain++] = 0;
    return (size_t)snprintf(value, FAULTMODEL_VALUE_MAX, "plain %" PRIu32 " %" PRIu64, key, *serial);
}

void faultmodel_plain_answered(struct faultmodel *m, uint64_t serial) {
    m->answered[serial] = faultmodel_event(m);
}

enum faultmodel_verdict faultmodel_check(const struct faultmodel *m, uint32_t key, uint64_t horizon, const char *value,
                                         size_t n) {
    char text[FAULTMODEL_VALUE_MAX], kind[8];
    uint32_t of;
    uint64_t number;
    if (n >= sizeof text) return FAULTMODEL_WRONG;
    memcpy(text, value, n);
    text[n] = 0;
    if (sscanf(text, "%7s %" SCNu32 " %" SCNu64, kind, &of, &number) != 3 || of != key) return FAULTMODEL_WRONG;
    if (strcmp(kind, "fill") == 0) {
        if (number == 0 || number > m->now) return FAULTMODEL_WRONG;
        return number < horizon ? FAULTMODEL_STALE : FAULTMODEL_FRESH;
    }
    if (strcmp(kind, "plain") != 0 || number >= m->nplain) return FAULTMODEL_WRONG;
    return m->answered[number] != 0 && m->answered[number] < horizon ? FAULTMODEL_STALE : FAULTMODEL_FRESH;
}
