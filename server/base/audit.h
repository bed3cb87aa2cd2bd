/* SPDX-License-Identifier: BSD-3-Clause
 *
 * audit - a file of events, one JSON line each (audit_line.h), written by a thread of its own so that nobody who has
 * something to tell waits for a disk. Lines are appended (O_APPEND) whole, in the order in which they were told.
 *
 * What cannot be written is counted and logged, once a second at most: the queue holds AUDIT_QUEUE_BYTES; a disk may be
 * full; the file may be a pipe (/dev/stdout) whose reader makes no room within AUDIT_PATIENCE_MS. Who must know waits
 * for its line: audit_put_waiting. Owned by the node.
 */
#ifndef TAGCACHED_BASE_AUDIT_H
#define TAGCACHED_BASE_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/audit_line.h"

#define AUDIT_QUEUE_BYTES (4u << 20)
#define AUDIT_PATIENCE_MS 1000

struct audit;
struct clock;
struct log;

struct audit_config {
    const char *path; /* of the file; copied */
    const char *node; /* this node's name in the lines; copied */
    /* A file of 64 hexadecimal digits, the key of audit_line.h; NULL: tags are written in clear. */
    const char *key_path;
    bool required; /* purges wait for their line: audit_required */
    bool reasons;  /* audit_wants_reason */
    const struct clock *clock;
    struct log *log;
};

/* Somebody who waits for a line; a member of what it is about. */
struct audit_wait {
    struct audit_wait *next;
    uint64_t upto; /* audit.c's */
    /* The line is in the file, or (false) will never be. On the audit's thread, or, before audit_put_waiting returns,
     * on the caller's. */
    void (*done)(struct audit_wait *w, bool written);
};

/* Opens the file and makes an instance. 0, or -errno with a sentence in err. */
int audit_new(const struct audit_config *cfg, struct audit **out, char *err, size_t err_size);
/* Has the lines name the node so, if there is memory for it. Before the thread is started. */
void audit_name(struct audit *a, const char *node);
/* Starts its thread. 0 or -errno. */
int audit_start(struct audit *a);
/* Ends its thread, which first writes what is there and tells those who wait. NULL is allowed. */
void audit_stop(struct audit *a);
/* Stops it, writes what was told since, and frees it. Nobody may tell anything any more. NULL is allowed. */
void audit_free(struct audit *a);

/* Whether a purge may be carried out only when its line is in the file. a may be NULL: no. */
bool audit_required(const struct audit *a);
/* Whether a purge may be carried out only with a reason. a may be NULL: no. */
bool audit_wants_reason(const struct audit *a);
/* Tells an event; never waits for the disk. Any thread. a may be NULL: nothing happens. */
void audit_put(struct audit *a, const struct audit_event *e);
/* The same, and w->done is called, once. */
void audit_put_waiting(struct audit *a, const struct audit_event *e, struct audit_wait *w);
/* Tells that a node that stands alone has taken out what the purge selects; erased: and overwritten it. */
void audit_put_swept(struct audit *a, const struct audit_event *e, bool erased);
/* Tells that something about the node or its cluster was changed: event and detail as in audit_line.h; addr: who asked,
 * NULL: the node found it so (a file was read again, the cluster has agreed). refusal: NULL, or why it was not done. */
void audit_change(struct audit *a, const char *event, const char *detail, const char *addr, const char *refusal);
/* Has the file opened anew under its name (SIGHUP): whoever rotates it has moved it away. Any thread. */
void audit_reopen(struct audit *a);
/* Lines that were lost, ever. Any thread. */
uint64_t audit_lost(const struct audit *a);

#endif
