/* SPDX-License-Identifier: BSD-3-Clause
 *
 * upload - a body that is received piece by piece.
 *
 * An upload belongs to the worker that began it, but for what is said to be shared.
 */
#ifndef TAGCACHED_STORE_UPLOAD_H
#define TAGCACHED_STORE_UPLOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "store/handle.h"
#include "store/store.h"
#include "store/turn.h"

struct upload_piece {
    uint64_t loc; /* of its record */
    uint32_t bytes;
};

struct store_upload {
    struct store *store;
    struct turn turn; /* its shared part, and its size */
    uint64_t got, since;
    uint64_t reserved; /* bytes of all pieces so far */
    unsigned npieces, cap, cuts;
    bool linked; /* its pieces belong to an item */
    struct upload_piece pieces[];
};

/* An upload of bytes that are here already, which begins at once. Otherwise as store_upload_begin. */
enum store_status upload_join(struct store_worker *w, uint64_t size, struct store_upload **out);
/* Pieces it has; their list, as a large item's value part. */
unsigned upload_pieces(const struct store_upload *u);
void upload_list(const struct store_upload *u, uint8_t *value);
/* The bytes of piece i; false past the last. */
bool upload_span(const struct store *s, const struct store_upload *u, unsigned i, struct iovec *v);
/* The item of its pieces was linked: they no longer belong to the upload. */
void upload_linked(struct store_upload *u);
/* The version that was the latest when it began. */
uint64_t upload_since(const struct store_upload *u);
/* Appends bytes; false if no segment is free. */
bool upload_append(struct store_worker *w, struct store_upload *u, const void *p, uint64_t n);
/* The pieces now belong to the item of this hash, which is about to be linked. */
void upload_finish(struct store_worker *w, struct store_upload *u, uint64_t hash);
/* Frees the handle; the pieces stay if their item was linked, else they are dead bytes. After change_end, in the same
 * section. */
void upload_end(struct store_worker *w, struct store_upload *u);

#endif
