/* SPDX-License-Identifier: BSD-3-Clause
 *
 * purgelog - the purges of all origins that a node keeps, so that it can send them to who lacks them and recognises one
 * that comes twice.
 *
 * Each origin has a slot. The records of a slot lie in chunks of 4 KiB, as they go over the wire: sending them is
 * copying. The log is bounded by bytes, all origins together. What is oldest goes first, a chunk at a time; what the
 * owner keeps (purgelog_keep) does not go. A chunk more than the bound is used at most, and one partly filled for each
 * origin, so the bound in bytes is what the log holds at least.
 *
 * The log also has each slot's place in the vector (`applied`) and the sequence of its last `*`.
 *
 * A pure data structure: one thread, no clock.
 */
#ifndef TAGCACHED_CLUSTER_PURGELOG_H
#define TAGCACHED_CLUSTER_PURGELOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/peer_purge.h"
#include "proto/purge_event.h"

#define PURGELOG_SLOTS PEER_PURGE_VECTOR_MAX
#define PURGELOG_SEQUENCE_MAX ((UINT64_C(1) << 40) - 1)
#define PURGELOG_BYTES_MIN (2u << 20)
#define PURGELOG_BYTES_MAX (64u << 20)

struct purgelog;

/* Bytes of the log of a node with this memory limit: 1/64 of it, from 2 to 64 MiB. */
uint64_t purgelog_bytes(uint64_t memory_limit);
/* Makes an empty log that holds `bytes` of records. 0 or -ENOMEM. Besides, it needs 16 bytes for each 24 of `bytes`. */
int purgelog_new(uint64_t bytes, struct purgelog **out);
void purgelog_free(struct purgelog *log);

/* The slot of an origin, or -1. */
int purgelog_slot(const struct purgelog *log, uint32_t origin);
/* Opens a slot for an origin that has none. Returns it, or -1: all are taken. Nothing of the origin is applied yet. */
int purgelog_open(struct purgelog *log, uint32_t origin);
/* Forgets an origin. retired: because every member has applied all of it. The vias of what was applied here are known
 * until there is no room for them, so that it is not applied again. */
void purgelog_close(struct purgelog *log, int slot, bool retired);
/* Forgets an origin because this node is another member from now on, and only the vias of purges that it was asked for
 * as `number` stay known. Others' purges it applies again, if they come again as other events: what it takes from
 * others meanwhile may be older. */
void purgelog_leave(struct purgelog *log, int slot, uint32_t number);
/* Forgets the records of a slot, but for the vias of what was applied, and goes on behind `sequence`, which then counts
 * as applied; star: the last `*` up to there. */
void purgelog_reset(struct purgelog *log, int slot, uint64_t sequence, uint64_t star);

/* No slot from this one on is open. */
int purgelog_end(const struct purgelog *log);
/* The origin of a slot, 0: it is not open. */
uint32_t purgelog_origin(const struct purgelog *log, int slot);
/* Of a slot: the last sequence in it; the sequence before its first record; the last `*`; up to where it is applied. */
uint64_t purgelog_last(const struct purgelog *log, int slot);
uint64_t purgelog_begin(const struct purgelog *log, int slot);
uint64_t purgelog_star(const struct purgelog *log, int slot);
uint64_t purgelog_applied(const struct purgelog *log, int slot);
/* All up to `sequence` (at most the last one) is applied now. Never goes back. */
void purgelog_set_applied(struct purgelog *log, int slot, uint64_t sequence);
/* Of this slot nothing above `sequence` may be dropped to make room. UINT64_MAX: everything may. What is not applied
 * stays in any case. */
void purgelog_keep(struct purgelog *log, int slot, uint64_t sequence);

/* Appends a record (checked) under the next sequence of the slot. A record whose via is in the log, or for which
 * `repeated` is set, is marked as repeated. 0; -ENOSPC: the log is full of what may not be dropped, or more than half
 * of it would be what this slot's owner keeps; -ENOMEM. */
int purgelog_append(struct purgelog *log, int slot, const uint8_t *record, bool repeated);
/* Remembers a purge that was applied here and never came as an event, as long as there is room, so that it is marked as
 * repeated if it comes. */
void purgelog_remember(struct purgelog *log, const uint8_t *record);
/* The record of a sequence, or NULL if the log has it no more or not yet. Valid until the log is changed. */
const uint8_t *purgelog_at(const struct purgelog *log, int slot, uint64_t sequence);
/* Copies records from `sequence` on, up to `upto`, as many as fit into `room`. Returns bytes, *count: the records. */
size_t purgelog_copy(const struct purgelog *log, int slot, uint64_t sequence, uint64_t upto, uint8_t *out, size_t room,
                     unsigned *count);
/* Whether it is known here which event the purge of this via is, and which (the latest, if there are several); slot -1:
 * one of a retired origin. */
bool purgelog_find(const struct purgelog *log, struct purge_via via, int *slot, uint64_t *sequence);

/* Bytes of records in it. */
uint64_t purgelog_used(const struct purgelog *log);
/* The vector of what is applied: an entry for each open slot, by slot; `star` may be later than what is applied.
 * Returns how many; out has PURGELOG_SLOTS. */
unsigned purgelog_vector(const struct purgelog *log, struct peer_purge_seen *out);
/* A hash of the vector: of origins and sequences that are not 0, in no order. Equal vectors have equal hashes. */
uint64_t purgelog_hash(const struct purgelog *log);

#endif
