/* SPDX-License-Identifier: BSD-3-Clause
 *
 * model_store - what a store has to answer, worked out the naive way: an array of items, one number per purge selector,
 * no memory to run short of. Keys and tags are small numbers: tags 0..5 are put on items, tags 6 and 7 follow from a
 * key's prefixes; a set of tags is a mask. Numbers (births, purges) are the store's own, as it gave them.
 *
 * One thread.
 */
#ifndef TAGCACHED_TESTS_MODEL_STORE_H
#define TAGCACHED_TESTS_MODEL_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"

#define MODEL_KEYS 20
#define MODEL_TAGS 8 /* the last two are prefixes of keys */
#define MODEL_PUT_TAGS 6

struct model_item {
    bool there;
    bool unsure; /* may be gone: nobody knows until it is looked up */
    uint8_t *value;
    uint64_t size, cas, version;
    uint32_t flags;
    uint32_t expiry_lo, expiry_hi; /* UINT32_MAX: never; between them it depends on when a sweep passed */
    uint8_t tags;                  /* the explicit ones */
    bool b64, has_cas;
    bool stale, won, softened, rearmed;
};

struct model_selector {
    uint64_t hard, soft;
    uint32_t deadline;
};

struct model {
    struct model_item items[MODEL_KEYS];
    struct model_selector purges[1 << MODEL_TAGS]; /* by mask; 0: everything */
    uint64_t wide;                                 /* the latest purge of three tags or more */
    uint32_t flush_at;
};

enum model_verdict { MODEL_FRESH, MODEL_SOFT, MODEL_DEAD };

void model_init(struct model *m);
void model_fini(struct model *m);

/* The tags that a key has by its name. */
uint8_t model_prefixes(unsigned key);
/* What purges say of an item of this version, with these tags (prefixes included). *deadline when soft. */
enum model_verdict model_verdict(const struct model *m, uint64_t version, uint8_t tags, uint32_t now,
                                 uint32_t *deadline);
/* Whether a purge of these tags has a number above. */
bool model_purged_since(const struct model *m, uint64_t version, uint8_t tags);
/* A purge with this number. */
void model_purge(struct model *m, uint8_t mask, uint64_t number, bool soft, uint32_t deadline, uint32_t now);

/* The state of a key now: dead ones are taken out on the way. NULL if it is certainly not there; *maybe if it may have
 * expired; *soft if a reader can win it because of a soft purge. */
struct model_item *model_look(struct model *m, unsigned key, uint32_t now, bool *maybe, bool *soft);
void model_drop(struct model *m, unsigned key);
/* Gives an item a new value (copied). */
void model_value(struct model_item *it, const void *value, uint64_t size);
/* No later than this. */
void model_expiry_cap(struct model_item *it, uint32_t at);
/* As a request says it: 0 is never. */
void model_expiry_set(struct model_item *it, uint32_t expiry);

#endif
