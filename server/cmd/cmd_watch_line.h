/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_watch_line - what watchers are told of: events, the rings they travel in, and the lines they become.
 *
 * An event is recorded by the thread it happens on, unformatted, in a ring that this thread alone fills; the watcher's
 * own worker takes it out and formats it.
 */
#ifndef TAGCACHED_CMD_CMD_WATCH_LINE_H
#define TAGCACHED_CMD_CMD_WATCH_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sync.h"

#define WATCH_TEXT_MAX 1024 /* bytes kept of a raw command or a list of selectors */
#define WATCH_LINE_MAX 4608 /* bytes of a formatted line: key and text escaped, and the rest */

enum watch_kind {
    WATCH_GET,
    WATCH_STORE,
    WATCH_DELETED,
    WATCH_EVICTION,
    WATCH_CONN_NEW,
    WATCH_CONN_CLOSE,
    WATCH_RAWCMD,
    WATCH_TAGS,
    WATCH_PURGE,
    WATCH_SYSEVENT,
};

/* One thing that happened. Its key and text lie behind it in the ring. */
struct watch_event {
    uint64_t gid;       /* its place among all events of the node */
    int64_t time_us;    /* unix time */
    uint64_t size;      /* of the value */
    uint64_t number;    /* of a purge */
    const char *status; /* literals: they outlive the event */
    const char *cmd;    /* the command; of a closed connection, the reason (NULL: it was closed as usual) */
    int32_t fd;
    uint32_t expiry; /* the store's time; 0 never */
    uint16_t bit;    /* enum cmd_observer */
    uint16_t text_len;
    uint16_t rport;
    uint8_t key_len;
    uint8_t kind; /* enum watch_kind */
    uint8_t ntags;
    bool flag; /* found, fetched or soft */
};

/* Formats an event as memcached prints it, newline and all, into out[0..WATCH_LINE_MAX); returns its length.
 * `now`: the store's time, to turn an expiry into seconds left. Pure. */
size_t cmd_watch_format(const struct watch_event *n, const char *key, const char *text, uint32_t now, char *out);

/* One thread fills, one empties; neither waits. */
struct watch_ring {
    char *buf;
    uint32_t size; /* a power of two */
    uint64_t head; /* bytes ever taken; the taker's */
    uint64_t seen; /* of `skipped`, told already; the taker's */
    uint64_t tail  /* bytes ever put; the filler's */
        __attribute__((aligned(SYNC_CACHE_LINE)));
    uint64_t skipped; /* events that found no room; the filler's */
} __attribute__((aligned(SYNC_CACHE_LINE)));

/* Puts an event with its key and text. False, and counted, if there is no room. The filler only. */
bool cmd_watch_ring_put(struct watch_ring *r, const struct watch_event *n, const char *key, const char *text);
/* Copies the oldest event's head without taking it. False: there is none. The taker only. */
bool cmd_watch_ring_peek(const struct watch_ring *r, struct watch_event *n);
/* Takes the event just peeked: its key (to key[256]) and text (to text[WATCH_TEXT_MAX]). The taker only. */
void cmd_watch_ring_take(struct watch_ring *r, const struct watch_event *n, char *key, char *text);

/* Bytes as a URI would carry them: letters, digits and - . _ ~ as they are, others %XX. Writes at most 3 n bytes,
 * returns the end. Pure. */
char *cmd_watch_escape(char *out, const char *p, size_t n);

#endif
