/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_watch - `watch`: what happens in the node, as lines to whoever asked for them.
 *
 * A watcher is a connection that sent `watch`. What happens is noted by the thread it happens on, unformatted, in a
 * ring that this thread alone fills for this watcher; the watcher's own worker formats and sends. So nobody waits for
 * anybody: a note costs a copy of the key, a full ring costs a counter (the watcher is told `skipped=N`), and while
 * nobody watches a request costs one relaxed load of cmd->notes.
 *
 * Rings and watchers belong to the struct cmd and live until it is freed (there are at most WATCH_MAX), because a
 * thread may be filling the ring of a watcher that is leaving. Threads: cmd_watch_sysevent from any; the notes of
 * cmd_internal.h on the session's worker; the rest as each says.
 */
#ifndef TAGCACHED_CMD_CMD_WATCH_H
#define TAGCACHED_CMD_CMD_WATCH_H

#include "cmd/cmd_internal.h"

#define WATCH_MAX 20              /* watchers at a time, as memcached */
#define WATCH_RING_MIN (32 << 10) /* bytes of a ring, at least (a power of two) */
#define WATCH_BUDGET (512 << 10)  /* bytes of a watcher's rings together, unless there are too many of them */
#define WATCH_TEXT_MAX 1024       /* bytes kept of a raw command or a list of selectors */
#define WATCH_LINE_MAX 4608       /* bytes of a formatted line: key and text escaped, and the rest */

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
struct watch_note {
    uint64_t gid;       /* its place among all notes of the node */
    int64_t time_us;    /* unix time */
    uint64_t size;      /* of the value */
    uint64_t number;    /* of a purge */
    const char *status; /* literals: they outlive the note */
    const char *cmd;    /* the command; of a closed connection, the reason (NULL: it was closed as usual) */
    int32_t fd;
    uint32_t expiry; /* the store's time; 0 never */
    uint16_t bit;    /* enum cmd_note */
    uint16_t text_len;
    uint16_t rport;
    uint8_t key_len;
    uint8_t kind; /* enum watch_kind */
    uint8_t ntags;
    bool flag; /* found, fetched or soft */
};

/* Formats a note as memcached prints it, newline and all, into out[0..WATCH_LINE_MAX); returns its length.
 * `now`: the store's time, to turn an expiry into seconds left. Pure. */
size_t cmd_watch_format(const struct watch_note *n, const char *key, const char *text, uint32_t now, char *out);

/* One thread fills, one empties; neither waits. */
struct watch_ring {
    char *buf;
    uint32_t size; /* a power of two */
    uint64_t head; /* bytes ever taken; the taker's */
    uint64_t seen; /* of `skipped`, told already; the taker's */
    uint64_t tail  /* bytes ever put; the filler's */
        __attribute__((aligned(SYNC_CACHE_LINE)));
    uint64_t skipped; /* notes that found no room; the filler's */
} __attribute__((aligned(SYNC_CACHE_LINE)));

/* Puts a note with its key and text. False, and counted, if there is no room. The filler only. */
bool cmd_watch_ring_put(struct watch_ring *r, const struct watch_note *n, const char *key, const char *text);
/* Copies the oldest note's head without taking it. False: there is none. The taker only. */
bool cmd_watch_ring_peek(const struct watch_ring *r, struct watch_note *n);
/* Takes the note just peeked: its key (to key[256]) and text (to text[WATCH_TEXT_MAX]). The taker only. */
void cmd_watch_ring_take(struct watch_ring *r, const struct watch_note *n, char *key, char *text);

/* Something about the node itself, for the watchers of sysevents and (-v) the log: `type` a literal word, `text` more
 * about it as key=value words. Any thread. */
void cmd_watch_sysevent(struct cmd *cmd, const char *type, const char *text);

/* For `stats`: watchers now, lines sent, and notes that found no room, since the start. Any thread. */
struct cmd_watch_stats {
    uint64_t watchers, sent, skipped, noted, dropped;
};
void cmd_watch_stats(struct cmd *cmd, struct cmd_watch_stats *out);
/* Whether the session is a watcher (`stats conns` says conn_watch). Its worker. */
bool cmd_watch_is(const struct session *s);

/* Bytes as a URI would carry them: letters, digits and - . _ ~ as they are, others %XX. Writes at most 3 n bytes,
 * returns the end. Pure. */
char *cmd_watch_escape(char *out, const char *p, size_t n);

#endif
