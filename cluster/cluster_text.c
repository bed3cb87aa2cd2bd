/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/cluster_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cluster_text_put(struct cluster_text *t, const char *fmt, ...) {
    char line[2048];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n < 0) return;
    if ((size_t)n >= sizeof line) n = sizeof line - 1;
    if (t->n + (size_t)n > t->max) {
        const size_t max = (t->max + (size_t)n) * 2;
        char *p = realloc(t->p, max);
        if (p == NULL) return;
        t->p = p;
        t->max = max;
    }
    memcpy(t->p + t->n, line, (size_t)n);
    t->n += (size_t)n;
}

void cluster_text_finish(struct cluster_question *q, struct cluster_text *t) {
    q->reply = t->p;
    q->reply_bytes = t->n;
    q->done(q);
}
