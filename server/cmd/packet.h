/* SPDX-License-Identifier: BSD-3-Clause
 *
 * packet - answers to requests of the binary protocol, appended to the connection's output. On the session's worker.
 */
#ifndef TAGCACHED_CMD_PACKET_H
#define TAGCACHED_CMD_PACKET_H

#include <stddef.h>
#include <stdint.h>

#include "cmd/request.h"
#include "cmd/session.h"
#include "proto/binary.h"

/* The row of the request's opcode. */
static inline const struct binary_row *packet_row(const struct request *r) {
    return &binary_rows[(uint8_t)r->line[1]];
}

/* Whether nothing is said when all went well. */
static inline bool packet_quiet(const struct request *r) {
    return (packet_row(r)->marks & BINARY_QUIET) != 0;
}

/* The request's extras. */
static inline const char *packet_extras(const struct request *r) {
    return r->line + BINARY_HEADER;
}

/* Appends a success without a body, unless the request is quiet. */
void packet_done(struct session *s, const struct request *r, uint64_t cas);
/* Appends an answer whose body is p[0..n), n <= 1024. */
void packet_body(struct session *s, const struct request *r, enum binary_status status, const void *p, size_t n,
                 uint64_t cas);
/* Appends an error with memcached's text for it, quiet or not. */
void packet_error(struct session *s, const struct request *r, enum binary_status status);
/* Appends the error BINARY_NO_MEMORY with its text, a blank and what the memory was for, quiet or not. */
void packet_no_memory(struct session *s, const struct request *r, const char *what);
/* Answers that there is no such item; with its key if the opcode says so, unless the request is a quiet get. */
void packet_miss(struct session *s, const struct request *r);

/* Writes the text command that means the same as far as watchers and the log want it: name and key, for a storage
 * command flags, exptime and length, too. Returns its length, at most `max`. Never what a login brings. */
size_t packet_line(const struct request *r, char *out, size_t max);

#endif
