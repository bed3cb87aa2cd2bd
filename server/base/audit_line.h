/* SPDX-License-Identifier: BSD-3-Clause
 *
 * audit_line - one event of the audit as a line of JSON (docs/purging-by-http.md has an example). Pure; any thread.
 *
 * The line is valid JSON whatever clients sent: bytes that are no UTF-8 become the characters of Latin-1. With a key,
 * tags are replaced by their keyed hashes, so that the audit holds no name of a person: "b2:" and 32 hexadecimal digits
 * of BLAKE2b.
 */
#ifndef TAGCACHED_BASE_AUDIT_LINE_H
#define TAGCACHED_BASE_AUDIT_LINE_H

#include <stddef.h>
#include <stdint.h>

#define AUDIT_KEY_BYTES 32
#define AUDIT_REASON_MAX 200 /* bytes of a client's reason; whoever reads a longer one cuts it */

/* What a node took out of its store for a purge, and when the last copy there was gone. */
struct audit_gone {
    const char *node;
    int64_t items, bytes; /* below 0: null */
    int64_t wall_ms;      /* unix time */
};

/* Texts are zero-terminated but for the selectors; NULL or "" is written as null. */
struct audit_event {
    const char *event;     /* "purge"; or what has changed: cluster, configuration, keys, tokens */
    const char *stage;     /* asked, confirmed, pending, refused, planned, swept; of a change: applied, refused */
    const char *id;        /* of the purge */
    const char *mode;      /* hard, soft, all */
    const char *selectors; /* parted by commas or blanks; of n bytes */
    size_t n;
    int64_t ttl_s; /* of a soft purge; below 0: null */
    /* Who: */
    const char *token, *kind, *dialect, *addr, *agent;
    /* What came of it: */
    unsigned acked, members;       /* 0 members: not known */
    const char *pending;           /* nodes that lack it, parted by commas */
    double ms;                     /* how long it took; below 0: null */
    int64_t items, bytes;          /* what it removed; below 0: null */
    const struct audit_gone *gone; /* of a swept one: of each node */
    unsigned ngone;
    int64_t erased_ms;  /* unix time since when nothing of it is left in any memory; 0: null */
    const char *detail; /* of a change, what it is; NULL: the line has none */
    const char *reason; /* the client's */
    const char *error;  /* why it was refused */
};

/* Writes the line, which ends in a newline, into to[0..size), and returns how long it is; more than size: it did not
 * fit and to[] is of no use. wall_ms: unix time. key: NULL, or AUDIT_KEY_BYTES bytes. */
size_t audit_line_write(const struct audit_event *e, int64_t wall_ms, const char *node, const unsigned char *key,
                        char *to, size_t size);

#endif
