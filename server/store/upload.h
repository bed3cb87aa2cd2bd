/* SPDX-License-Identifier: BSD-3-Clause
 *
 * upload - a body that is received piece by piece, and whose turn it is to be: what upload.c and turn.c share.
 *
 * An upload belongs to the worker that began it, but for what is said to be shared.
 */
#ifndef TAGCACHED_STORE_UPLOAD_H
#define TAGCACHED_STORE_UPLOAD_H

#include "store/internal.h"

struct upload_piece {
    uint64_t loc; /* of its record */
    uint32_t bytes;
};

enum upload_state {
    UPLOAD_WAITS,     /* for its turn */
    UPLOAD_UNDER_WAY, /* has it */
    UPLOAD_DISPLACED, /* has to be given up */
};

struct store_upload {
    struct store *store;
    /* Shared, under the lock of uploads; `state` and `moved_ns` are read, and moved_ns written, without it. */
    TAILQ_ENTRY(store_upload) link;
    struct upload_list *list; /* that it is on: those that wait or those under way; NULL: neither */
    uint32_t state;           /* enum upload_state */
    uint64_t moved_ns;        /* when it came, began or last made progress */
    unsigned worker;          /* index of its worker */

    uint64_t size, got, since;
    uint64_t moved_got; /* bytes there were at moved_ns */
    uint64_t room;      /* bytes of all pieces so far */
    unsigned npieces, cap, cuts;
    bool linked; /* its pieces belong to an item */
    struct upload_piece pieces[];
};

/* Gives a new upload its turn, or puts it in line. */
void turn_begin(struct store_worker *w, struct store_upload *u);
/* Bytes have come. On its own worker. */
void turn_progress(struct store_upload *u);
/* Its segments were let go: others may have the room. */
void turn_end(struct store_worker *w, struct store_upload *u);

#endif
