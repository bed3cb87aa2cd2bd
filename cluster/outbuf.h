/* SPDX-License-Identifier: BSD-3-Clause
 *
 * outbuf - frames that wait to be sent on a control link: 4 bytes of length, big-endian, then a message.
 *
 * A value that owns its memory; one thread.
 */
#ifndef TAGCACHED_CLUSTER_OUTBUF_H
#define TAGCACHED_CLUSTER_OUTBUF_H

#include <stdbool.h>
#include <stddef.h>

#define OUTBUF_HEADER 4          /* bytes in front of each message */
#define OUTBUF_MAX (1024 * 1024) /* bytes that may wait */

/* All zeros is an empty one. */
struct outbuf {
    char *p;
    size_t start, end, room; /* unsent: p[start..end) */
};

/* How long the message is whose frame begins with this header. */
static inline size_t outbuf_length(const void *header) {
    const unsigned char *h = header;
    return (size_t)h[0] << 24 | (size_t)h[1] << 16 | (size_t)h[2] << 8 | h[3];
}

/* Appends a frame around n bytes. False: n is not 1..PEER_CONTROL_MAX, no memory, or more than OUTBUF_MAX would wait.
 */
bool outbuf_frame(struct outbuf *o, const void *bytes, size_t n);
/* Appends whole frames. False: no memory, or the same bound. */
bool outbuf_append(struct outbuf *o, const void *frames, size_t n);
/* Frees all; it is empty then. */
void outbuf_fini(struct outbuf *o);

#endif
