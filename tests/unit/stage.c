/* SPDX-License-Identifier: BSD-3-Clause */
#include "stage.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define MS 1000000ull

static void room_told(void *arg) {
    struct stage *s = arg;
    pthread_mutex_lock(&s->lock);
    sync_add(&s->rooms, 1);
    pthread_cond_broadcast(&s->room);
    pthread_mutex_unlock(&s->lock);
}

void stage_open(struct stage *s, uint64_t limit) {
    memset(s, 0, sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->room, NULL);
    lab_open(&s->lab, limit, 0);
    s->lab.s->cfg.events.arg = s;
    s->lab.s->cfg.events.on_room = room_told;
    assert_int_equal(store_start(s->lab.s), 0);
}

void stage_close(struct stage *s) {
    store_stop(s->lab.s);
    lab_close(&s->lab);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->room);
}

void stage_wait(struct stage *s, uint64_t seen) {
    pthread_mutex_lock(&s->lock);
    while (s->rooms == seen) pthread_cond_wait(&s->room, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

static void *actor_main(void *arg) {
    struct actor *a = arg;
    pthread_barrier_wait(&a->stage->begin);
    a->fn(a);
    return NULL;
}

void stage_run(struct stage *s, void (*const fns[])(struct actor *), unsigned n) {
    struct actor a[LAB_WORKERS];
    pthread_barrier_init(&s->begin, NULL, n);
    for (unsigned i = 0; i < n; i++) {
        a[i] = (struct actor){.stage = s, .w = s->lab.w[i], .index = i, .fn = fns[i]};
        rand_init(&a[i].rand, 1000 + i);
        assert_int_equal(pthread_create(&a[i].thread, NULL, actor_main, &a[i]), 0);
    }
    for (unsigned i = 0; i < n; i++) pthread_join(a[i].thread, NULL);
    pthread_barrier_destroy(&s->begin);
}

enum store_status actor_put(struct actor *a, struct store_put *p, struct store_item *out) {
    for (;;) {
        uint64_t seen = sync_load_acq(&a->stage->rooms);
        store_enter(a->w);
        enum store_status st = store_put(a->w, p, out);
        store_leave(a->w);
        if (st == STORE_AGAIN)
            stage_wait(a->stage, seen);
        else if (st == STORE_NO_MEMORY && p->upload == NULL)
            sched_yield(); /* actors move the clock, so half a second may pass before the store's thread has its turn */
        else
            return st;
    }
}

void actor_tick(struct actor *a) {
    if (rand_below(&a->rand, 32) == 0) clock_manual_advance(&a->stage->lab.clock, 50 * MS);
}
