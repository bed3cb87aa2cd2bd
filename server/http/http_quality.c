/* SPDX-License-Identifier: BSD-3-Clause */
#include "http/http_quality.h"

#include <string.h>

static const char *skip_blanks(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\t')) p++;
    return p;
}

/* The q= among the parameters of a member of a list, in thousandths; 1000 if there is none. */
static unsigned quality(const char *p, const char *end) {
    while ((p = memchr(p, ';', (size_t)(end - p))) != NULL) {
        p = skip_blanks(p + 1, end);
        if (end - p < 3 || p[0] != 'q' || p[1] != '=') continue;
        unsigned v = 0, weight = 1000;
        for (p += 2; p < end && weight > 0; p++) {
            if (*p == '.') continue;
            if (*p < '0' || *p > '9') break;
            v += (unsigned)(*p - '0') * weight;
            weight /= 10;
        }
        return v;
    }
    return 1000;
}

unsigned http_quality(const char *p, size_t n, const char *what) {
    if (n == 0) return 0;
    const char *const end = p + n;
    const size_t length = strlen(what);
    unsigned best = 0;
    while (p < end) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        if (comma == NULL) comma = end;
        p = skip_blanks(p, comma);
        const char *behind = (size_t)(comma - p) >= length ? p + length : comma;
        if ((size_t)(comma - p) >= length && memcmp(p, what, length) == 0 &&
            (behind == comma || *behind == ';' || *behind == ' ')) {
            const unsigned q = quality(behind, comma);
            if (q > best) best = q;
        }
        p = comma + 1;
    }
    return best;
}
