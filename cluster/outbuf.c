/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/outbuf.h"

#include <stdlib.h>
#include <string.h>

#include "proto/peer_codec.h"

static bool make_room(struct outbuf *o, size_t n) {
    size_t held = o->end - o->start;
    if (o->room - o->end >= n) return true;
    if (o->start > 0) {
        memmove(o->p, o->p + o->start, held);
        o->start = 0;
        o->end = held;
        if (o->room - o->end >= n) return true;
    }
    size_t room = o->room == 0 ? 1024 : o->room;
    while (room - held < n) room *= 2;
    char *p = realloc(o->p, room);
    if (p == NULL) return false;
    o->p = p;
    o->room = room;
    return true;
}

bool outbuf_frame(struct outbuf *o, const void *bytes, size_t n) {
    if (n == 0 || n > PEER_CONTROL_MAX) return false; /* nothing packs to that */
    if (o->end - o->start + OUTBUF_HEADER + n > OUTBUF_MAX) return false;
    if (!make_room(o, OUTBUF_HEADER + n)) return false;
    const unsigned char header[OUTBUF_HEADER] = {(unsigned char)(n >> 24), (unsigned char)(n >> 16),
                                                 (unsigned char)(n >> 8), (unsigned char)n};
    memcpy(o->p + o->end, header, sizeof header);
    memcpy(o->p + o->end + sizeof header, bytes, n);
    o->end += sizeof header + n;
    return true;
}

bool outbuf_append(struct outbuf *o, const void *frames, size_t n) {
    if (o->end - o->start + n > OUTBUF_MAX || !make_room(o, n)) return false;
    memcpy(o->p + o->end, frames, n);
    o->end += n;
    return true;
}

void outbuf_fini(struct outbuf *o) {
    free(o->p);
    *o = (struct outbuf){0};
}
