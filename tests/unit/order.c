/* SPDX-License-Identifier: BSD-3-Clause */
#include "order.h"
#include "store/sweep.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

const uint64_t tag[1] = {TAG};

void holds(scenario *f, char prefix) {
    struct lab l;
    lab_open(&l, 2 << 20, prefix);
    lab_mutate(NULL);
    assert_false(f(&l));
    lab_close(&l);
}

void breaks(scenario *f, char prefix, const char *mutation) {
    struct lab l;
    lab_open(&l, 2 << 20, prefix);
    lab_mutate(mutation);
    if (!f(&l)) fail_msg("%s goes unnoticed", mutation);
    lab_mutate(NULL);
    lab_at(NULL, NULL, NULL);
    store_free(l.s);
}

void guarded(scenario *f, const char *mutation) {
    holds(f, 0);
    breaks(f, 0, mutation);
}

void run_purge(void *arg) {
    struct helper *h = arg;
    lab_purge(h->l, 1, h->ntags, h->tags, h->soft, h->ttl);
}
void run_set(void *arg) {
    struct helper *h = arg;
    h->st = lab_set(h->l, 1, h->key, h->value, h->tags, h->ntags);
}
void run_fill(void *arg) {
    struct helper *h = arg;
    h->st = lab_fill(h->l, 1, h->key, h->value, h->guard, h->tags, h->ntags);
}
void run_get(void *arg) {
    struct helper *h = arg;
    h->hit = lab_get(h->l, 1, h->key, NULL);
}
void run_sweep(void *arg) {
    struct helper *h = arg;
    store_sweep_all(h->l->s);
}

void drop_block(struct lab *l, unsigned worker) {
    l->w[worker]->number_next = l->w[worker]->number_end;
}

static uint64_t passes(struct lab *l) {
    return store_metric(l->s, STORE_METRIC_sweep_passes);
}

bool sweep_pass(struct lab *l) {
    uint64_t before = passes(l);
    for (int i = 0; i < 1000 && passes(l) == before; i++) sweep_step(l->s, true);
    return passes(l) != before;
}
