/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The tables, and what the dialects share. */
#include "http/dialect.h"

#include <stdlib.h>
#include <string.h>

const struct dialect_purge dialect_purges[] = {
#define PURGE(method, pattern, name, reader) {HTTP_DIALECT_##name, &dialect_##name, reader},
#include "http/http.purges.def"
#undef PURGE
};

static const struct {
    enum http_method method;
    const char *path;
} places[] = {
#define PURGE(method, pattern, name, reader) {method, pattern},
#include "http/http.purges.def"
#undef PURGE
};

unsigned dialect_purges_count(void) {
    return sizeof places / sizeof *places;
}

void dialect_routes(struct http_route *out, void (*run)(struct http_exchange *x),
                    void (*refuse)(struct http_exchange *x, unsigned status), void *arg) {
    for (unsigned i = 0; i < dialect_purges_count(); i++)
        out[i] = (struct http_route){
            .methods = 1u << places[i].method,
            .path = places[i].path,
            .scope = HTTP_SCOPE_PURGE,
            .dialect = dialect_purges[i].id,
            .run = run,
            .refuse = refuse,
            .arg = arg,
        };
    out[dialect_purges_count()] = (struct http_route){.path = NULL};
}

bool dialect_read(const struct dialect_purge *row, const struct dialect_input *in, struct purge_wanted *w) {
    if (!purge_wanted_options(w, in->request) || !row->read(in, w)) return false;
    if (w->soft && w->counted)
        return purge_wanted_refuse(w, 400, "a receipt is for a hard purge: a soft one takes nothing out");
    return true;
}

void dialect_json(struct dialect_answer *a, unsigned status, json_t *body) {
    a->status = status;
    a->type = "application/json";
    a->body = body == NULL ? NULL : json_dumps(body, JSON_COMPACT | JSON_REAL_PRECISION(6));
    json_decref(body);
}

void dialect_text(struct dialect_answer *a, unsigned status, const char *line) {
    const size_t n = strlen(line);
    a->status = status;
    a->type = "text/plain; charset=utf-8";
    a->body = malloc(n + 2);
    if (a->body == NULL) return;
    memcpy(a->body, line, n);
    memcpy(a->body + n, "\n", 2);
}

bool dialect_url(const struct dialect_input *in, struct purge_wanted *w, const char *url, size_t n) {
    char tag[HTTP_LINE_MAX];
    if (in->url_tag == NULL)
        return purge_wanted_refuse(w, 400, "URLs, hosts and prefixes are not purged here: name tags");
    const char *scheme = memmem(url, n, "://", 3), *query;
    if (scheme != NULL) {
        n -= (size_t)(scheme + 3 - url);
        url = scheme + 3;
    }
    if ((query = memchr(url, '?', n)) != NULL) n = (size_t)(query - url);
    const size_t prefix = strlen(in->url_tag);
    if (n == 0 || prefix + n > sizeof tag) return purge_wanted_refuse(w, 400, "a URL is empty or too long");
    memcpy(tag, in->url_tag, prefix);
    memcpy(tag + prefix, url, n);
    return purge_wanted_tag(w, tag, prefix + n);
}
