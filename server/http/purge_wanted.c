/* SPDX-License-Identifier: BSD-3-Clause */
#include "http/purge_wanted.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/keytags.h"
#include "proto/tagname.h"

#define JSON_DEPTH_MAX 8     /* of a body: more than any dialect needs */
#define TIMEOUT_DIGITS_MAX 6 /* of ?timeout */

void purge_wanted_init(struct purge_wanted *w) {
    *w = (struct purge_wanted){.wait_ms = PURGE_WANTED_WAIT_MS};
}

void purge_wanted_fini(struct purge_wanted *w) {
    free(w->text);
    json_decref(w->names);
}

bool purge_wanted_refuse(struct purge_wanted *w, unsigned status, const char *fmt, ...) {
    va_list args;
    if (w->status != 0) return false;
    w->status = status;
    va_start(args, fmt);
    vsnprintf(w->why, sizeof w->why, fmt, args);
    va_end(args);
    return false;
}

/* ------------------------------------------------------------------ selectors */

static bool append(struct purge_wanted *w, const char *p, size_t n) {
    if (w->nselectors == PURGE_WANTED_SELECTORS_MAX)
        return purge_wanted_refuse(w, 413, "more than %u tags in one request", PURGE_WANTED_SELECTORS_MAX);
    if (w->all) return purge_wanted_refuse(w, 400, "everything is to be purged, and something else as well");
    if (w->bytes + n + 2 > w->room) {
        const size_t room = 2 * (w->bytes + n + 128);
        char *text = realloc(w->text, room);
        if (text == NULL) return purge_wanted_refuse(w, 503, "out of memory");
        w->text = text;
        w->room = room;
    }
    if (w->nselectors++ > 0) w->text[w->bytes++] = ',';
    memcpy(w->text + w->bytes, p, n);
    w->bytes += n;
    w->text[w->bytes] = '\0';
    return true;
}

bool purge_wanted_tag(struct purge_wanted *w, const char *p, size_t n) {
    char tag[KEYTAGS_TAG_MAX];
    if (n == 0) return purge_wanted_refuse(w, 400, "a tag is empty");
    const size_t length = tagname_encode(p, n, tag);
    if (!keytags_is_tag(tag, length)) return purge_wanted_refuse(w, 400, "* is no tag");
    return append(w, tag, length);
}

bool purge_wanted_words(struct purge_wanted *w, struct text_token text, const char *blanks) {
    for (size_t at = 0; at < text.n;) {
        size_t end = at;
        while (end < text.n && strchr(blanks, text.p[end]) == NULL) end++;
        if (end > at && !purge_wanted_tag(w, text.p + at, end - at)) return false;
        at = end + 1;
    }
    return true;
}

bool purge_wanted_header(struct purge_wanted *w, const struct http_request *r, const char *name, const char *blanks,
                         bool *found) {
    const unsigned before = w->nselectors;
    unsigned at = 0;
    struct text_token value;
    while (http_request_header(r, name, &at, &value))
        if (!purge_wanted_words(w, value, blanks)) return false;
    *found = w->nselectors > before;
    return true;
}

bool purge_wanted_strings(struct purge_wanted *w, const json_t *array, const char *name) {
    if (!json_is_array(array) || json_array_size(array) == 0)
        return purge_wanted_refuse(w, 400, "\"%s\" has to be a list of strings", name);
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *s = json_array_get(array, i);
        if (!json_is_string(s)) return purge_wanted_refuse(w, 400, "\"%s\" has to be a list of strings", name);
        if (!purge_wanted_tag(w, json_string_value(s), json_string_length(s))) return false;
    }
    return true;
}

bool purge_wanted_selector(struct purge_wanted *w, const char *p, size_t n) {
    if (n == 1 && p[0] == '*') return purge_wanted_all(w);
    if (!keytags_is_selector(p, n))
        return purge_wanted_refuse(w, 400, "a selector is a tag, or tags joined by +, or *");
    return append(w, p, n);
}

bool purge_wanted_all(struct purge_wanted *w) {
    if (w->nselectors > 0 && !w->all)
        return purge_wanted_refuse(w, 400, "everything is to be purged, and something else as well");
    if (w->all) return true;
    if (!append(w, "*", 1)) return false;
    w->all = true;
    return true;
}

/* ------------------------------------------------------------------ what any request may say */

bool purge_wanted_set_wait(struct purge_wanted *w, const char *word, size_t n) {
    static const char *const words[] = {
        [PURGE_WAIT_ALL] = "all", [PURGE_WAIT_LOCAL] = "local", [PURGE_WAIT_NONE] = "none"};
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
        if (strlen(words[i]) != n || memcmp(words[i], word, n) != 0) continue;
        w->wait = (enum purge_wait)i;
        return true;
    }
    return purge_wanted_refuse(w, 400, "wait is all, local or none");
}

bool purge_wanted_set_timeout(struct purge_wanted *w, const char *word, size_t n) {
    uint32_t number = 0;
    size_t digits = 0;
    for (; digits < n && digits < TIMEOUT_DIGITS_MAX && word[digits] >= '0' && word[digits] <= '9'; digits++)
        number = number * 10 + (uint32_t)(word[digits] - '0');
    const char *unit = word + digits;
    const size_t left = n - digits;
    const bool ms = left == 2 && unit[0] == 'm' && unit[1] == 's', s = left == 0 || (left == 1 && unit[0] == 's');
    const uint64_t wait_ms = ms ? number : number * UINT64_C(1000);
    if (digits == 0 || (!ms && !s) || wait_ms > PURGE_WANTED_WAIT_MAX_MS)
        return purge_wanted_refuse(w, 400, "timeout is a time up to %us, as 2s or 500ms",
                                   PURGE_WANTED_WAIT_MAX_MS / 1000);
    w->wait_ms = (uint32_t)wait_ms;
    return true;
}

void purge_wanted_set_reason(struct purge_wanted *w, const char *p, size_t n) {
    if (n > AUDIT_REASON_MAX) n = AUDIT_REASON_MAX;
    memcpy(w->reason, p, n);
    w->reason[n] = '\0';
}

static bool set_receipt(struct purge_wanted *w, struct text_token value) {
    const bool yes = value.n == 4 && memcmp(value.p, "true", 4) == 0;
    if (!yes && !(value.n == 5 && memcmp(value.p, "false", 5) == 0))
        return purge_wanted_refuse(w, 400, "receipt is true or false");
    w->counted = yes;
    return true;
}

bool purge_wanted_options(struct purge_wanted *w, const struct http_request *r) {
    struct text_token value;
    char reason[HTTP_LINE_MAX];
    if (http_request_query(r, "wait", &value) && !purge_wanted_set_wait(w, value.p, value.n)) return false;
    if (http_request_query(r, "timeout", &value) && !purge_wanted_set_timeout(w, value.p, value.n)) return false;
    if (http_request_query(r, "reason", &value)) {
        const long n = http_request_decode(value, true, reason, sizeof reason);
        if (n < 0) return purge_wanted_refuse(w, 400, "the reason is not well encoded");
        purge_wanted_set_reason(w, reason, (size_t)n);
    }
    if (http_request_query(r, "receipt", &value) && !set_receipt(w, value)) return false;
    value = http_request_first(r, "X-Tagcached-Receipt");
    if (value.p != NULL && !set_receipt(w, value)) return false;
    value = http_request_first(r, "X-Tagcached-Reason");
    if (value.p != NULL) purge_wanted_set_reason(w, value.p, value.n);
    return true;
}

/* ------------------------------------------------------------------ JSON */

/* Whether brackets are nested deeper than that, outside of texts: asked before the parser, which recurses. */
static bool is_deeper(struct text_token body, unsigned most) {
    unsigned depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < body.n; i++) {
        const char c = body.p[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '[' || c == '{') && ++depth > most)
            return true;
        else if (!quoted && (c == ']' || c == '}') && depth > 0)
            depth--;
    }
    return false;
}

json_t *purge_wanted_json(struct purge_wanted *w, const struct http_request *r, bool optional) {
    json_error_t error;
    if (optional && r->body.n == 0) return json_object();
    if (is_deeper(r->body, JSON_DEPTH_MAX)) {
        purge_wanted_refuse(w, 400, "the body is nested too deeply");
        return NULL;
    }
    json_t *j = json_loadb(r->body.n > 0 ? r->body.p : "", r->body.n, JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(j)) return j;
    if (j != NULL)
        purge_wanted_refuse(w, 400, "the body has to be a JSON object");
    else
        purge_wanted_refuse(w, 400, "the body is no JSON object (line %d, column %d)", error.line, error.column);
    json_decref(j);
    return NULL;
}
