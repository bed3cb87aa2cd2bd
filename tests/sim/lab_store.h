/* SPDX-License-Identifier: BSD-3-Clause
 *
 * lab_store - a model of one node's store, as small as the promises allow: numbers that stores and purges take from one
 * counter, births, an exact table of purges, floors, fills guarded by tokens, soft purges. It has no bounds and forgets
 * nothing.
 *
 * Pure: the time comes in, in nanoseconds of the node's clock. One thread.
 */
#ifndef TAGCACHED_TESTS_SIM_LAB_STORE_H
#define TAGCACHED_TESTS_SIM_LAB_STORE_H

#include "tests/sim/lab.h"

/* What a key's items carry: up to two tags, and the number of this pair of tags (keys with equal tags share it). */
struct lab_key {
    unsigned ntags;
    unsigned tag[2], pair;
};

struct lab_item {
    bool on;
    bool empty;       /* the winner of a miss is filling it */
    bool stale, won;  /* softly purged; somebody is filling it */
    uint64_t birth;   /* its number; also the token */
    uint64_t read_ns; /* true time at which the value was read from the database */
    uint64_t expiry_ns;
};

/* The latest purges of a tag, of two tags together, or of everything. */
struct lab_purged {
    uint64_t hard, soft, deadline_ns; /* numbers; until when what `soft` selects may be served stale */
};

struct lab_store {
    const struct lab_key *keys;
    enum lab_shortcut shortcut;
    uint64_t number;
    struct lab_purged tag[LAB_TAGS], pair[LAB_KEYS], all;
    uint64_t floor_tagged, floor_all;
    struct lab_item items[LAB_KEYS];
};

enum lab_found { LAB_MISS, LAB_HIT };
struct lab_answer {
    enum lab_found found;
    bool stale;
    uint64_t read_ns;
    uint64_t token; /* of who is to fill it; 0: somebody else is */
};

enum lab_stored { LAB_STORED, LAB_NOT_FOUND, LAB_OVERTAKEN };

/* An empty store whose numbers begin at `first`. The keys must outlive it. */
void lab_store_init(struct lab_store *s, const struct lab_key *keys, uint64_t first, enum lab_shortcut shortcut);
/* Raises a floor: everything stored before is dead if it is tagged, or (everything) in any case. */
void lab_store_floor(struct lab_store *s, bool everything);
/* Takes the number of a batch of purges, which the following go by. */
void lab_store_purge_begin(struct lab_store *s);
/* Applies a purge: `what` is one of the three kinds of entries of this store. */
void lab_store_purge(struct lab_store *s, struct lab_purged *what, uint64_t now_ns, bool soft, uint32_t ttl_s);
/* Looks a key up. Nothing that is not newer than `since` is there. A miss, or an item that has just become stale, is
 * given to the reader to fill. */
struct lab_answer lab_store_read(struct lab_store *s, unsigned key, uint64_t now_ns, uint64_t since);
/* Stores a value that was read from the database at read_ns, if `token` still stands for what is there and no purge has
 * overtaken it. */
enum lab_stored lab_store_fill(struct lab_store *s, unsigned key, uint64_t now_ns, uint64_t since, uint64_t token,
                               uint64_t read_ns);
/* Stores a value that came from another node, as of the number g. False: a purge above g selects it. */
bool lab_store_receive(struct lab_store *s, unsigned key, uint64_t g, uint64_t read_ns, uint64_t expiry_ns, bool stale,
                       uint64_t now_ns);
/* Makes an item that is stale by a purge one that is marked so, for another node. */
void lab_store_fold(struct lab_store *s, unsigned key, uint64_t now_ns);
/* Whether a purge above this number selects the key's items, or a floor is above it. */
bool lab_store_purged_since(const struct lab_store *s, unsigned key, uint64_t number, uint64_t now_ns);
/* Whether there is a value that is neither stale nor about to be filled and has so long to live. */
bool lab_store_plain(const struct lab_store *s, unsigned key, uint64_t now_ns, uint64_t since, uint64_t ttl_ns);
void lab_store_delete(struct lab_store *s, unsigned key);
/* Whether a value is there that could be served now. */
bool lab_store_has(const struct lab_store *s, unsigned key, uint64_t now_ns, uint64_t since);

#endif
