/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* ------------------------------------------------------------------ lists */

static struct outbox_link *link_of(struct outbox *o, unsigned list, uint32_t i) {
    return list == OUTBOX_TODO ? &o->entries[i].todo_link : &o->entries[i].link;
}

static void take_out(struct outbox *o, unsigned list, uint32_t i) {
    const struct outbox_link l = *link_of(o, list, i);
    *(l.previous != OUTBOX_NONE ? &link_of(o, list, l.previous)->next : &o->lists[list].next) = l.next;
    *(l.next != OUTBOX_NONE ? &link_of(o, list, l.next)->previous : &o->lists[list].previous) = l.previous;
}

/* Puts it behind the entry `previous`, OUTBOX_NONE: in front. */
static void put_behind(struct outbox *o, unsigned list, uint32_t i, uint32_t previous) {
    uint32_t *from = previous != OUTBOX_NONE ? &link_of(o, list, previous)->next : &o->lists[list].next;
    const uint32_t next = *from;
    *link_of(o, list, i) = (struct outbox_link){previous, next};
    *from = i;
    *(next != OUTBOX_NONE ? &link_of(o, list, next)->previous : &o->lists[list].previous) = i;
    if (list != OUTBOX_TODO) o->entries[i].list = (uint8_t)list;
}

static void move(struct outbox *o, uint32_t i, unsigned list) {
    take_out(o, o->entries[i].list, i);
    put_behind(o, list, i, o->lists[list].previous);
}

uint32_t outbox_first(const struct outbox *o, unsigned list) {
    return o->lists[list].next;
}

uint32_t outbox_next(const struct outbox *o, uint32_t i) {
    return o->entries[i].link.next;
}

/* ------------------------------------------------------------------ life */

int outbox_init(struct outbox *o) {
    *o = (struct outbox){0};
    for (unsigned i = 0; i < OUTBOX_LISTS; i++) o->lists[i] = (struct outbox_link){OUTBOX_NONE, OUTBOX_NONE};
    return viatable_init(&o->vias, 64);
}

void outbox_fini(struct outbox *o) {
    for (uint32_t i = 0; i < o->room; i++) free(o->entries[i].large);
    free(o->entries);
    free(o->heap);
    viatable_fini(&o->vias);
    *o = (struct outbox){0};
}

static int grow(struct outbox *o) {
    const uint32_t room = o->room == 0 ? 256 : o->room * 2;
    if (o->room >= OUTBOX_MAX) return -ENOSPC;
    struct outbox_entry *entries = realloc(o->entries, room * sizeof *entries);
    if (entries == NULL) return -ENOMEM;
    o->entries = entries;
    uint32_t *heap = realloc(o->heap, room * sizeof *heap);
    if (heap == NULL) return -ENOMEM;
    o->heap = heap;
    memset(entries + o->room, 0, (room - o->room) * sizeof *entries);
    for (uint32_t i = o->room; i < room; i++) put_behind(o, OUTBOX_FREE, i, o->lists[OUTBOX_FREE].previous);
    o->room = room;
    return 0;
}

/* Takes a free entry and makes it empty. It is still in the list of free ones. */
static int begin(struct outbox *o, uint64_t now_ns, uint32_t *out) {
    if (o->lists[OUTBOX_FREE].next == OUTBOX_NONE) {
        const int err = grow(o);
        if (err != 0) return err;
    }
    *out = o->lists[OUTBOX_FREE].next;
    struct outbox_entry *e = &o->entries[*out];
    *e = (struct outbox_entry){.since_ns = now_ns, .place = OUTBOX_NONE, .list = OUTBOX_FREE, .link = e->link};
    return 0;
}

int outbox_add(struct outbox *o, const uint8_t *record, uint64_t now_ns, uint32_t *out) {
    const size_t bytes = purge_event_size(record);
    int err = begin(o, now_ns, out);
    if (err != 0) return err;
    struct outbox_entry *e = &o->entries[*out];
    if (bytes > sizeof e->small && (e->large = malloc(bytes)) == NULL) return -ENOMEM;
    memcpy(e->large != NULL ? e->large : e->small, record, bytes);
    e->via = purge_event_via(record);
    e->everything = purge_event_everything(record);
    err = viatable_set(&o->vias, e->via, *out);
    if (err != 0) {
        free(e->large);
        e->large = NULL;
        return err;
    }
    move(o, *out, OUTBOX_UNANSWERED);
    outbox_set_todo(o, *out, true);
    o->used++;
    return 0;
}

int outbox_watch(struct outbox *o, int slot, uint64_t sequence, bool everything, uint64_t now_ns, uint32_t *out) {
    const int err = begin(o, now_ns, out);
    if (err != 0) return err;
    o->used++;
    o->entries[*out].everything = everything;
    outbox_identify(o, *out, slot, sequence);
    return 0;
}

void outbox_remove(struct outbox *o, uint32_t i) {
    struct outbox_entry *e = &o->entries[i];
    CHECK(e->list != OUTBOX_FREE);
    outbox_unwait(o, i);
    outbox_set_todo(o, i, false);
    if (e->via.number != 0) viatable_remove(&o->vias, e->via, i);
    free(e->large);
    e->large = NULL;
    take_out(o, e->list, i);
    put_behind(o, OUTBOX_FREE, i, OUTBOX_NONE);
    o->used--;
}

const uint8_t *outbox_record(const struct outbox *o, uint32_t i) {
    const struct outbox_entry *e = &o->entries[i];
    return e->large != NULL ? e->large : e->small;
}

uint32_t outbox_find(const struct outbox *o, struct purge_via via) {
    uint64_t i;
    return viatable_get(&o->vias, via, &i) ? (uint32_t)i : OUTBOX_NONE;
}

/* ------------------------------------------------------------------ states */

void outbox_identify(struct outbox *o, uint32_t i, int slot, uint64_t sequence) {
    const unsigned list = (o->entries[i].everything ? OUTBOX_STARS : OUTBOX_SLOTS) + (unsigned)slot;
    take_out(o, o->entries[i].list, i);
    uint32_t previous = o->lists[list].previous; /* nearly always the right place */
    while (previous != OUTBOX_NONE && o->entries[previous].sequence > sequence)
        previous = o->entries[previous].link.previous;
    o->entries[i].sequence = sequence;
    put_behind(o, list, i, previous);
}

void outbox_unidentify(struct outbox *o, uint32_t i, uint64_t now_ns) {
    o->entries[i].since_ns = now_ns;
    o->entries[i].numbered = true;
    move(o, i, o->entries[i].local ? OUTBOX_LOCAL : OUTBOX_UNANSWERED);
}

void outbox_set_local(struct outbox *o, uint32_t i) {
    CHECK(o->entries[i].list == OUTBOX_UNANSWERED);
    o->entries[i].local = true;
    move(o, i, OUTBOX_LOCAL);
}

void outbox_set_todo(struct outbox *o, uint32_t i, bool todo) {
    struct outbox_entry *e = &o->entries[i];
    if (e->todo == todo) return;
    e->todo = todo;
    if (todo)
        put_behind(o, OUTBOX_TODO, i, o->lists[OUTBOX_TODO].previous);
    else
        take_out(o, OUTBOX_TODO, i);
}

/* ------------------------------------------------------------------ who waits */

static bool earlier(const struct outbox *o, uint32_t a, uint32_t b) {
    return o->entries[a].deadline_ns < o->entries[b].deadline_ns;
}

static void set_place(struct outbox *o, uint32_t place, uint32_t i) {
    o->heap[place] = i;
    o->entries[i].place = place;
}

/* Moves entry i, which is meant for `place`, up or down to where it belongs. */
static void sift(struct outbox *o, uint32_t place, uint32_t i) {
    while (place > 0 && earlier(o, i, o->heap[(place - 1) / 2])) {
        set_place(o, place, o->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    for (uint32_t child = 2 * place + 1; child < o->waiting; child = 2 * place + 1) {
        if (child + 1 < o->waiting && earlier(o, o->heap[child + 1], o->heap[child])) child++;
        if (!earlier(o, o->heap[child], i)) break;
        set_place(o, place, o->heap[child]);
        place = child;
    }
    set_place(o, place, i);
}

void outbox_wait(struct outbox *o, uint32_t i, uint64_t token, uint64_t deadline_ns) {
    CHECK(o->entries[i].place == OUTBOX_NONE);
    o->entries[i].token = token;
    o->entries[i].deadline_ns = deadline_ns;
    sift(o, o->waiting++, i);
}

void outbox_unwait(struct outbox *o, uint32_t i) {
    const uint32_t place = o->entries[i].place;
    if (place == OUTBOX_NONE) return;
    o->entries[i].place = OUTBOX_NONE;
    const uint32_t last = o->heap[--o->waiting];
    if (last != i) sift(o, place, last);
}

uint32_t outbox_earliest(const struct outbox *o) {
    return o->waiting > 0 ? o->heap[0] : OUTBOX_NONE;
}
