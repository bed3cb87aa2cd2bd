/* SPDX-License-Identifier: BSD-3-Clause */
#include "http/purge_pattern.h"

#include <ctype.h>
#include <string.h>

#define BEFORE "(^|,)"
#define BEHIND "(,|$)"
#define SPECIAL "\\^$.|?*+()[]{}"

static bool refuse(struct purge_wanted *w) {
    return purge_wanted_refuse(w, 400, "of expressions only lists of tags are understood: (^|,)(TAG|TAG)(,|$)");
}

/* Moves behind a literal, if it is what comes next. */
static bool skip(struct text_token *rest, const char *literal) {
    const size_t n = strlen(literal);
    if (rest->n < n || memcmp(rest->p, literal, n) != 0) return false;
    rest->p += n;
    rest->n -= n;
    return true;
}

/* Reads a tag up to a character that ends it, and adds it. */
static bool take_tag(struct purge_wanted *w, struct text_token *rest) {
    char tag[HTTP_HEAD_MAX];
    size_t n = 0, at = 0;
    while (at < rest->n && n < sizeof tag) {
        char c = rest->p[at];
        const bool quoted = c == '\\' && at + 1 < rest->n && !isalnum((unsigned char)rest->p[at + 1]);
        if (quoted)
            c = rest->p[++at];
        else if (memchr(SPECIAL, c, sizeof SPECIAL - 1) != NULL)
            break;
        tag[n++] = c;
        at++;
    }
    rest->p += at;
    rest->n -= at;
    return n > 0 ? purge_wanted_tag(w, tag, n) : refuse(w);
}

static bool read_one_list(struct purge_wanted *w, struct text_token rest) {
    if (!skip(&rest, BEFORE "(")) return refuse(w);
    do {
        if (!take_tag(w, &rest)) return false;
    } while (skip(&rest, "|"));
    return (skip(&rest, ")" BEHIND) && rest.n == 0) || refuse(w);
}

static bool read_lists(struct purge_wanted *w, struct text_token rest) {
    do {
        if (!skip(&rest, "(" BEFORE)) return refuse(w);
        if (!take_tag(w, &rest)) return false;
        if (!skip(&rest, BEHIND ")")) return refuse(w);
    } while (skip(&rest, "|"));
    return rest.n == 0 || refuse(w);
}

bool purge_pattern_read(struct purge_wanted *w, struct text_token pattern) {
    if (pattern.n == 2 && memcmp(pattern.p, ".*", 2) == 0) return purge_wanted_all(w);
    struct text_token rest = pattern;
    return skip(&rest, "(" BEFORE) ? read_lists(w, pattern) : read_one_list(w, pattern);
}

bool purge_pattern_is_likely(struct text_token text) {
    for (size_t i = 0; i < text.n; i++)
        if (memchr("\\^$*()[]", text.p[i], 8) != NULL) return true;
    return false;
}
