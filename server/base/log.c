/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"

#define LOG_LINE_MAX 1024 /* less than PIPE_BUF: a pipe takes a line as a whole */

static enum log_to kind_of(int fd) {
    struct stat st;
    if (fstat(fd, &st) != 0) return LOG_TO_FILE;
    if (S_ISSOCK(st.st_mode)) return LOG_TO_SOCKET;
    return (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) && fd < FD_SETSIZE ? LOG_TO_PIPE : LOG_TO_FILE;
}

void log_init(struct log *l, int fd, unsigned verbosity) {
    l->fd = fd;
    l->priorities = fd == STDERR_FILENO && getenv("JOURNAL_STREAM") != NULL;
    l->to = kind_of(fd);
    l->lost = 0;
    CHECK(pthread_mutex_init(&l->writing, NULL) == 0);
    log_set_verbosity(l, verbosity);
}

void log_fini(struct log *l) {
    pthread_mutex_destroy(&l->writing);
}

void log_set_verbosity(struct log *l, unsigned verbosity) {
    sync_store(&l->verbosity, verbosity);
}

/* Puts `event` and the fields together, in at most LOG_LINE_MAX bytes; returns how many. */
static __attribute__((format(printf, 5, 0))) size_t compose(const struct log *l, char *line, enum log_level level,
                                                            const char *event, const char *fmt, va_list ap) {
    static const char priority[] = {'4', '5', '6', '7'}; /* warning, notice, info, debug */
    int n = l->priorities ? snprintf(line, LOG_LINE_MAX, "<%c>%s", priority[level], event)
                          : snprintf(line, LOG_LINE_MAX, "%s", event);
    if (n > 0 && n < LOG_LINE_MAX - 2 && fmt != NULL) {
        line[n++] = ' ';
        int m = vsnprintf(line + n, LOG_LINE_MAX - (size_t)n, fmt, ap);
        if (m > 0) n += m;
    }
    if (n < 0) return 0;
    size_t len = n < LOG_LINE_MAX - 1 ? (size_t)n : LOG_LINE_MAX - 2;
    line[len++] = '\n';
    return len;
}

/* Whether a pipe or a terminal takes a line at once. */
static bool has_room(int fd) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    return select(fd + 1, NULL, &set, NULL, &(struct timeval){0, 0}) == 1;
}

/* False: writing it now would have to wait. Any other error is none of ours: a log that cannot be written is no reason
 * to stop serving. To set O_NONBLOCK would do the same, but for every process that was given this standard error, a
 * shell for one. */
static bool put(const struct log *l, const char *line, size_t bytes) {
    if (l->to == LOG_TO_SOCKET) return send(l->fd, line, bytes, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || errno != EAGAIN;
    if (l->to == LOG_TO_PIPE && !has_room(l->fd)) return false;
    ssize_t written = write(l->fd, line, bytes);
    (void)written;
    return true;
}

/* How many lines were dropped goes before the first that is not. */
static bool say_lost(struct log *l) {
    char line[64];
    if (l->lost == 0) return true;
    int n =
        snprintf(line, sizeof line, "%slog_lost lines=%llu\n", l->priorities ? "<4>" : "", (unsigned long long)l->lost);
    if (!put(l, line, (size_t)n)) return false;
    l->lost = 0;
    return true;
}

void log_event(struct log *l, enum log_level level, const char *event, const char *fmt, ...) {
    if (!log_wanted(l, level)) return;
    char line[LOG_LINE_MAX];
    va_list ap;
    va_start(ap, fmt);
    const size_t bytes = compose(l, line, level, event, fmt, ap);
    va_end(ap);
    if (bytes == 0) return;
    if (l->to == LOG_TO_FILE) {
        put(l, line, bytes);
        return;
    }
    pthread_mutex_lock(&l->writing);
    if (!say_lost(l) || !put(l, line, bytes)) l->lost++;
    pthread_mutex_unlock(&l->writing);
}
