/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/segment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"
#include "base/erase.h"
#include "base/pages.h"
#include "base/sync.h"

/* Its pages all at once: one by one, as records reach them, they cost a tenth of what storing does. Linux 5.14; what an
 * older one refuses comes as it did. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define ARENA_SLACK 4096 /* a header is copied 32 bytes at a time, also at the very end */
#define OLDEST_SCAN 64   /* segments that one look for a quiet one goes through */

int segments_init(struct segments *s, uint64_t max_bytes, uint32_t bytes, bool hugepages) {
    memset(s, 0, sizeof *s);
    s->bytes = bytes;
    s->shift = (unsigned)__builtin_ctz(bytes);
    s->max = (uint32_t)(max_bytes / bytes);
    s->hugepages = hugepages;
    s->free.head = s->free.tail = s->absent.head = s->absent.tail = SEGMENT_NONE;
    for (int q = 0; q < 2; q++) s->queues[q].head = s->queues[q].tail = SEGMENT_NONE;
    s->arena = pages_new((uint64_t)s->max * bytes + ARENA_SLACK);
    if (s->arena == NULL) return -ENOMEM;
    if (hugepages) madvise(s->arena, (uint64_t)s->max * bytes, MADV_HUGEPAGE);
    s->seg = calloc(s->max, sizeof *s->seg);
    if (s->seg == NULL) {
        segments_fini(s);
        return -ENOMEM;
    }
    return 0;
}

void segments_fini(struct segments *s) {
    pages_free(s->arena, (uint64_t)s->max * s->bytes + ARENA_SLACK);
    free(s->seg);
    s->arena = NULL;
    s->seg = NULL;
}

/* ------------------------------------------------------------------ lists */

static void list_append(struct segments *s, struct segment_list *l, uint32_t i) {
    s->seg[i].prev = l->tail;
    s->seg[i].next = SEGMENT_NONE;
    if (l->tail == SEGMENT_NONE)
        l->head = i;
    else
        s->seg[l->tail].next = i;
    l->tail = i;
    sync_bump(&l->count, 1);
}

static void list_remove(struct segments *s, struct segment_list *l, uint32_t i) {
    struct segment *g = &s->seg[i];
    if (g->prev == SEGMENT_NONE)
        l->head = g->next;
    else
        s->seg[g->prev].next = g->next;
    if (g->next == SEGMENT_NONE)
        l->tail = g->prev;
    else
        s->seg[g->next].prev = g->prev;
    sync_bump(&l->count, (uint32_t)-1);
}

/* ------------------------------------------------------------------ free segments */

uint32_t segment_available(const struct segments *s) {
    uint32_t exist = sync_load(&s->exist), limit = sync_load(&s->limit);
    return sync_load(&s->free.count) + (limit > exist ? limit - exist : 0);
}

static uint32_t take_locked(struct segments *s) {
    uint32_t i = s->free.head;
    if (i != SEGMENT_NONE) {
        list_remove(s, &s->free, i);
        return i;
    }
    i = s->absent.head;
    if (i != SEGMENT_NONE)
        list_remove(s, &s->absent, i);
    else if (s->touched < s->max)
        i = sync_add(&s->touched, 1);
    if (i != SEGMENT_NONE) sync_bump(&s->exist, 1);
    return i;
}

uint32_t segment_take(struct segments *s, enum segment_queue q, uint32_t now, uint32_t leave) {
    uint32_t i = SEGMENT_NONE;
    sync_spin_lock(&s->free_lock);
    if (leave == SEGMENT_OVERDRAW || segment_available(s) > leave) i = take_locked(s);
    uint32_t taken = s->taken;
    if (i != SEGMENT_NONE) {
        sync_bump(&s->taken, 1);
        if (leave != SEGMENT_OVERDRAW) sync_bump(&s->given, 1);
    }
    sync_spin_unlock(&s->free_lock);
    if (i == SEGMENT_NONE) return SEGMENT_NONE;
    struct segment *g = &s->seg[i];
    if (g->state == SEGMENT_ABSENT) (void)madvise(s->arena + segment_base(s, i), s->bytes, MADV_POPULATE_WRITE);
    CHECK(g->state == SEGMENT_FREE || g->state == SEGMENT_ABSENT);
    CHECK(sync_load(&g->uploads) == 0);
    sync_store(&g->queue, q);
    sync_store(&g->soonest, 0);
    sync_store(&g->opened, now);
    sync_store(&g->whole, 0);
    sync_store(&g->swept, 0);
    g->taken = g->since = taken;
    g->inherited = g->packed_dead = 0;
    g->trial = false;
    sync_store_rel(&g->used, segment_first(i));
    sync_store_rel(&g->state, SEGMENT_OPEN);
    return i;
}

void segment_free(struct segments *s, uint32_t i) {
    struct segment *g = &s->seg[i];
    sync_spin_lock(&s->free_lock);
    bool drop = s->exist > s->limit;
    sync_spin_unlock(&s->free_lock);
    /* Before anybody else can take it. Only this thread frees, so `exist` has not fallen meanwhile. */
    if (drop)
        madvise(s->arena + segment_base(s, i), s->bytes, MADV_DONTNEED);
    else if (s->erase)
        erase_bytes(s->arena + segment_base(s, i), s->bytes);
    sync_spin_lock(&s->free_lock);
    sync_store_rel(&g->state, drop ? SEGMENT_ABSENT : SEGMENT_FREE);
    if (drop) sync_bump(&s->exist, (uint32_t)-1);
    list_append(s, drop ? &s->absent : &s->free, i);
    sync_spin_unlock(&s->free_lock);
}

/* ------------------------------------------------------------------ queues */

void segment_seal(struct segments *s, uint32_t i, uint64_t grace) {
    struct segment *g = &s->seg[i];
    sync_spin_lock(&s->queue_lock);
    g->sealed_at = grace;
    list_append(s, &s->queues[g->queue], i);
    sync_store_rel(&g->state, SEGMENT_SEALED);
    sync_spin_unlock(&s->queue_lock);
}

void segment_unqueue(struct segments *s, uint32_t i) {
    sync_spin_lock(&s->queue_lock);
    list_remove(s, &s->queues[s->seg[i].queue], i);
    sync_spin_unlock(&s->queue_lock);
}

void segment_requeue(struct segments *s, uint32_t i, enum segment_queue q) {
    sync_spin_lock(&s->queue_lock);
    list_remove(s, &s->queues[s->seg[i].queue], i);
    sync_store(&s->seg[i].queue, q);
    list_append(s, &s->queues[q], i);
    sync_spin_unlock(&s->queue_lock);
}

void segment_requeue_after(struct segments *s, uint32_t i, uint32_t after) {
    sync_spin_lock(&s->queue_lock);
    struct segment_list *l = &s->queues[s->seg[i].queue];
    list_remove(s, l, i);
    struct segment *g = &s->seg[i], *a = &s->seg[after];
    g->prev = after;
    g->next = a->next;
    if (a->next == SEGMENT_NONE)
        l->tail = i;
    else
        s->seg[a->next].prev = i;
    a->next = i;
    sync_bump(&l->count, 1);
    sync_spin_unlock(&s->queue_lock);
}

bool segment_quiet(const struct segment *g, struct epoch *e) {
    return sync_load(&g->uploads) == 0 && sync_load(&e->now) >= g->sealed_at && epoch_passed(e, g->sealed_at);
}

uint32_t segment_oldest(struct segments *s, struct epoch *e, enum segment_queue q) {
    sync_spin_lock(&s->queue_lock);
    uint32_t i = s->queues[q].head;
    for (unsigned n = 0; i != SEGMENT_NONE && n < OLDEST_SCAN && !segment_quiet(&s->seg[i], e); n++) i = s->seg[i].next;
    sync_spin_unlock(&s->queue_lock);
    return i != SEGMENT_NONE && segment_quiet(&s->seg[i], e) ? i : SEGMENT_NONE;
}

bool segment_expiry(struct segment *g, uint32_t expiry) {
    if (expiry == 0) return false;
    uint32_t seen = sync_load(&g->soonest);
    while (seen == 0 || seen > expiry)
        if (sync_cas(&g->soonest, &seen, expiry)) return true;
    return false;
}
