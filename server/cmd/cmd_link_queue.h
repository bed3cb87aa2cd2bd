/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_link_queue - what a link has asked and is not answered, for the files cmd_link_*.c: requests of a record that
 * were sent one behind the other are one entry. On the link's worker.
 */
#ifndef TAGCACHED_CMD_CMD_LINK_QUEUE_H
#define TAGCACHED_CMD_CMD_LINK_QUEUE_H

#include <stdbool.h>

#include "base/check.h"
#include "cmd/cmd_link.h"

/* Requests that are not answered. */
static inline unsigned cmd_link_waiting(const struct cmd_link *l) {
    return l->tail - l->head;
}

/* An entry, by its number. */
static inline struct link_entry *cmd_link_entry(struct cmd_link *l, uint32_t i) {
    return &l->queue[i & (l->cap - 1)];
}

/* Room for n more requests. False: no memory. */
bool cmd_link_queue_room(struct cmd_link *l, unsigned n);

/* What was sent last is a request of this slot of a record; f NULL: a ping, or an ask for a copy. There is room.
 * Returns its entry. */
static inline struct link_entry *cmd_link_push(struct cmd_link *l, struct forward *f, unsigned slot) {
    struct link_entry *e = cmd_link_entry(l, l->past - 1);
    l->tail++;
    if (likely(l->past != l->first && f != NULL && e->f == f && e->slot + e->n == (int)slot)) {
        e->n++;
        return e;
    }
    e = cmd_link_entry(l, l->past++);
    *e = (struct link_entry){.f = f, .slot = (uint8_t)slot, .n = 1};
    if (f != NULL) f->entries++;
    return e;
}

/* The same for n requests of the slots from `slot` on. */
static inline void cmd_link_push_many(struct cmd_link *l, struct forward *f, unsigned slot, unsigned n) {
    cmd_link_push(l, f, slot)->n += (uint8_t)(n - 1);
    l->tail += n - 1;
}

/* Takes n requests off, all of the oldest entry. Returns whether that was the last of it; cmd_forward_unref says so to
 * its record. */
static inline bool cmd_link_pop_many(struct cmd_link *l, unsigned n) {
    struct link_entry *e = cmd_link_entry(l, l->first);
    l->head += n;
    e->slot += (uint8_t)n;
    e->n -= (uint8_t)n;
    if (e->n > 0) return false;
    l->first++;
    return true;
}

/* Takes the oldest request off. *ended: the record's entry, if it has one, is gone; cmd_forward_unref says so to it. */
static inline struct link_entry cmd_link_pop(struct cmd_link *l, bool *ended) {
    const struct link_entry was = *cmd_link_entry(l, l->first);
    *ended = cmd_link_pop_many(l, 1);
    return was;
}

#endif
