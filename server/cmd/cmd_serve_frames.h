/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_serve_frames - what a peer asks (proto/link.h), as requests of the worker's batch. On the link's worker, inside a
 * section.
 */
#ifndef TAGCACHED_CMD_CMD_SERVE_FRAMES_H
#define TAGCACHED_CMD_CMD_SERVE_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "cmd/cmd_pull.h"
#include "cmd/instance.h"
#include "cmd/session.h"
#include "proto/link.h"

/* A link of a peer. */
struct serve {
    struct session s;      /* first: the handlers' */
    uint64_t ring_version; /* by which the peer goes */
    bool ring_known;
    bool seq_known;
    uint32_t member;          /* the peer's number; 0: it has not said it */
    uint32_t next_seq;        /* of the next request */
    bool refusing;            /* something was refused: all is, until the peer says by which ring it goes */
    uint64_t retrying;        /* ... was to be asked again: so are keys of the same donors (move.h), bit donor % 64 */
    struct cmd_puller puller; /* what it has said of itself for its pulls */
    uint64_t parked_ns;       /* when it began to wait for room; 0: it did not */
};

/* What travels beside the requests of the worker's batch. */
struct serve_frames {
    unsigned count;
    uint32_t seq; /* of the first; the others' follow it */
    bool plain;   /* none is large or refused */
    size_t bytes; /* of the input that they take */
    struct {
        uint32_t end;
        uint16_t budget_ms;
        bool large; /* not for this link */
        bool refused;
        bool copy; /* a copy is wanted */
    } at[CMD_BATCH];
};

/* Whether it is the seq that comes next. */
static inline bool cmd_serve_frames_take_seq(struct serve *sv, uint32_t seq) {
    if (unlikely(!sv->seq_known)) {
        sv->seq_known = true;
        sv->next_seq = seq;
    }
    return seq == sv->next_seq++;
}

/* Parses frames from p on, as far as they are here, up to one that is no request. False: the peer is out of step. */
bool cmd_serve_frames_read(struct serve *sv, char *p, size_t n, struct serve_frames *f);

#endif
