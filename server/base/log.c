/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LOG_LINE_MAX 1024

void log_init(struct log *l, int fd, unsigned verbosity) {
    l->fd = fd;
    l->priorities = fd == STDERR_FILENO && getenv("JOURNAL_STREAM") != NULL;
    log_set_verbosity(l, verbosity);
}

void log_set_verbosity(struct log *l, unsigned verbosity) {
    sync_store(&l->verbosity, verbosity);
}

void log_event(const struct log *l, enum log_level level, const char *event, const char *fmt, ...) {
    static const char priority[] = {'4', '5', '6', '7'}; /* warning, notice, info, debug */
    if (!log_wanted(l, level)) return;
    char line[LOG_LINE_MAX];
    int n = l->priorities ? snprintf(line, sizeof line, "<%c>%s", priority[level], event)
                          : snprintf(line, sizeof line, "%s", event);
    if (n > 0 && (size_t)n < sizeof line - 2 && fmt != NULL) {
        line[n++] = ' ';
        va_list ap;
        va_start(ap, fmt);
        int m = vsnprintf(line + n, sizeof line - (size_t)n, fmt, ap);
        va_end(ap);
        if (m > 0) n += m;
    }
    if (n < 0) return;
    size_t len = (size_t)n < sizeof line - 1 ? (size_t)n : sizeof line - 2;
    line[len++] = '\n';
    /* A log that cannot be written is no reason to stop serving. */
    ssize_t written = write(l->fd, line, len);
    (void)written;
}
