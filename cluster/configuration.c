/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/configuration.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

void configuration_fini(struct configuration *c) {
    free(c->members);
    *c = (struct configuration){0};
}

int configuration_copy(struct configuration *to, const struct configuration *from) {
    struct configuration_member *members = NULL;
    if (to == from) return 0;
    if (from->nmembers > 0) {
        members = malloc(from->nmembers * sizeof *members);
        if (members == NULL) return -ENOMEM;
        memcpy(members, from->members, from->nmembers * sizeof *members);
    }
    free(to->members);
    *to = *from;
    to->members = members;
    return 0;
}

int configuration_add(struct configuration *c, const struct configuration_member *m) {
    if (c->nmembers >= CONFIGURATION_MEMBERS_MAX) return -ENOSPC;
    CHECK(c->nmembers == 0 || c->members[c->nmembers - 1].number < m->number);
    struct configuration_member *grown = realloc(c->members, (c->nmembers + 1) * sizeof *grown);
    if (grown == NULL) return -ENOMEM;
    grown[c->nmembers++] = *m;
    c->members = grown;
    return 0;
}

struct configuration_member *configuration_by_number(const struct configuration *c, uint32_t number) {
    unsigned low = 0, high = c->nmembers;
    while (low < high) {
        const unsigned middle = (low + high) / 2;
        if (c->members[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < c->nmembers && c->members[low].number == number ? &c->members[low] : NULL;
}

struct configuration_member *configuration_by_id(const struct configuration *c, const struct cluster_id *id) {
    for (unsigned i = c->nmembers; i-- > 0;)
        if (cluster_id_equal(&c->members[i].id, id)) return &c->members[i];
    return NULL;
}

struct configuration_member *configuration_by_name(const struct configuration *c, const char *name) {
    for (unsigned i = c->nmembers; i-- > 0;)
        if (strcmp(c->members[i].name, name) == 0) return &c->members[i];
    return NULL;
}

const struct configuration_voter *configuration_seat(const struct configuration *c, const struct cluster_id *id) {
    if (cluster_id_is_zero(id)) return NULL;
    for (unsigned i = 0; i < c->nvoters; i++)
        if (cluster_id_equal(&c->voters[i].id, id)) return &c->voters[i];
    return NULL;
}

unsigned configuration_majority(const struct configuration *c) {
    return c->nvoters / 2 + 1;
}

unsigned configuration_present(const struct configuration *c) {
    unsigned n = 0;
    for (unsigned i = 0; i < c->nmembers; i++) n += c->members[i].state != CONFIGURATION_EJECTED;
    return n;
}

bool configuration_in_ring(const struct configuration_member *m) {
    return m->state == CONFIGURATION_SERVING && m->weight > 0 && !m->drained;
}

static int by_name(const void *a, const void *b) {
    const struct configuration_member *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

/* Lists the members in the ring by name; the list is the caller's to free. */
static const struct configuration_member **ring_list(const struct configuration *c, unsigned *n) {
    const struct configuration_member **list = malloc((c->nmembers + 1) * sizeof(void *));
    *n = 0;
    if (list == NULL) return NULL;
    for (unsigned i = 0; i < c->nmembers; i++)
        if (configuration_in_ring(&c->members[i])) list[(*n)++] = &c->members[i];
    qsort(list, *n, sizeof(void *), by_name);
    return list;
}

int configuration_same_ring(const struct configuration *a, const struct configuration *b) {
    unsigned na, nb;
    const struct configuration_member **la = ring_list(a, &na), **lb = ring_list(b, &nb);
    int same = la == NULL || lb == NULL ? -ENOMEM : na == nb;
    for (unsigned i = 0; same == 1 && i < na; i++)
        if (strcmp(la[i]->name, lb[i]->name) != 0 || la[i]->weight != lb[i]->weight) same = 0;
    free(la);
    free(lb);
    return same;
}

bool configuration_remove(struct configuration *c, uint32_t number) {
    struct configuration_member *m = configuration_by_number(c, number);
    if (m == NULL) return false;
    const size_t behind = (size_t)(c->members + c->nmembers - (m + 1));
    memmove(m, m + 1, behind * sizeof *m);
    c->nmembers--;
    return true;
}
