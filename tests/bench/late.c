/* SPDX-License-Identifier: BSD-3-Clause */
#include "late.h"

#include <stdlib.h>

void late_add(struct late *l, uint64_t from_ns, uint64_t to_ns) {
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 1024;
        struct late_wait *more = realloc(l->wait, cap * sizeof *more);
        if (more == NULL) {
            l->lost++;
            return;
        }
        l->wait = more;
        l->cap = cap;
    }
    l->wait[l->n++] = (struct late_wait){from_ns, to_ns};
}

void late_join(struct late *l, uint64_t from_ns, uint64_t to_ns) {
    struct late_wait *last = l->n ? &l->wait[l->n - 1] : NULL;
    if (last == NULL || from_ns > last->to_ns)
        late_add(l, from_ns, to_ns);
    else if (to_ns > last->to_ns)
        last->to_ns = to_ns;
}

uint64_t late_own(const struct late_wait *w, const struct late *machine) {
    uint64_t own = w->to_ns - w->from_ns;
    size_t low = 0, high = machine->n;
    while (low < high) { /* the first that ends after this one began: they do not overlap, so they end in order */
        size_t mid = low + (high - low) / 2;
        if (machine->wait[mid].to_ns <= w->from_ns)
            low = mid + 1;
        else
            high = mid;
    }
    for (; low < machine->n && machine->wait[low].from_ns < w->to_ns; low++) {
        const struct late_wait *m = &machine->wait[low];
        own -= (m->to_ns < w->to_ns ? m->to_ns : w->to_ns) - (m->from_ns > w->from_ns ? m->from_ns : w->from_ns);
    }
    return own;
}

void late_free(struct late *l) {
    free(l->wait);
    *l = (struct late){0};
}
