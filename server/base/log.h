/* SPDX-License-Identifier: BSD-3-Clause
 *
 * log - lines for the operator: an event's name and logfmt fields, on standard error, one write a line.
 *
 * An instance belongs to the node; its verbosity may be changed by any thread while others log. Nothing logs per
 * request below LOG_INFO. Under systemd (JOURNAL_STREAM is set) lines begin with the priority the journal reads.
 *
 * Logging waits for nobody. Where standard error is a pipe, a socket or a terminal whose reader does not keep up, a
 * line that finds no room is dropped, and the next that does is preceded by `log_lost lines=N`.
 */
#ifndef TAGCACHED_BASE_LOG_H
#define TAGCACHED_BASE_LOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sync.h"

/* memcached's levels: nothing, -v, -vv, -vvv. */
enum log_level {
    LOG_ALWAYS = 0, /* the operator must know */
    LOG_NOTICE = 1, /* -v: errors and warnings of clients and sockets; what an operator had the server do */
    LOG_INFO = 2,   /* -vv: connections come and go, commands */
    LOG_DEBUG = 3,  /* -vvv: connections wait, for room or an answer */
};

enum log_to { LOG_TO_FILE, LOG_TO_PIPE, LOG_TO_SOCKET }; /* a terminal is as a pipe */

struct log {
    int fd;
    uint32_t verbosity; /* atomic */
    bool priorities;
    enum log_to to;
    pthread_mutex_t writing; /* one thread at a time; held while a line is written, which does not wait */
    uint64_t lost;           /* lines since the last that was written; writing */
};

/* Logs to fd (2 in the daemon) up to the given verbosity. */
void log_init(struct log *l, int fd, unsigned verbosity);
/* Nobody logs to it any more. */
void log_fini(struct log *l);
/* Any thread. */
void log_set_verbosity(struct log *l, unsigned verbosity);

/* Whether a line of this level would be written: lets the caller skip the work of preparing one. NULL: no. */
static inline bool log_wanted(const struct log *l, enum log_level level) {
    return l != NULL && sync_load(&l->verbosity) >= (uint32_t)level;
}

/* Writes `event` and the formatted fields (or nothing when fmt is NULL), at most 1 KiB, or drops them (see above). Any
 * thread; a line is never mixed with another's. */
void log_event(struct log *l, enum log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
