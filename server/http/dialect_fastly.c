/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Fastly's API (developer.fastly.com/reference/api/purging; npm fastly 13 was recorded, tests/vectors/http_purges.txt):
 * keys in a JSON list or in the header Surrogate-Key, one key in the path, all, a URL. A purge is soft if
 * Fastly-Soft-Purge is there, whatever it says, but for purge_all. */
#include <stdio.h>

#include "http/dialect.h"

static void read_soft(const struct dialect_input *in, struct purge_wanted *w) {
    w->soft = http_request_first(in->request, "Fastly-Soft-Purge").p != NULL;
}

/* The answer names every key as it came. */
static bool keep_names(const struct dialect_input *in, struct purge_wanted *w, const json_t *keys) {
    if ((w->names = json_array()) == NULL) return purge_wanted_refuse(w, 503, "out of memory");
    if (keys != NULL) {
        json_array_extend(w->names, (json_t *)keys);
        return true;
    }
    unsigned at = 0;
    struct text_token value, word;
    while (http_request_header(in->request, "Surrogate-Key", &at, &value))
        for (size_t i = 0; text_next(value.p, value.n, &i, &word);)
            json_array_append_new(w->names, json_stringn(word.p, word.n)); /* not UTF-8: it is purged, not named */
    return true;
}

bool dialect_fastly_keys(const struct dialect_input *in, struct purge_wanted *w) {
    bool found = false;
    read_soft(in, w);
    if (!purge_wanted_header(w, in->request, "Surrogate-Key", " \t", &found)) return false;
    if (found && in->request->body.n == 0) return keep_names(in, w, NULL);
    if (found) return purge_wanted_refuse(w, 400, "keys come in the header or in the body, not in both");
    json_t *j = purge_wanted_json(w, in->request, false), *keys = json_object_get(j, "surrogate_keys");
    const bool good = j != NULL && purge_wanted_strings(w, keys, "surrogate_keys") && keep_names(in, w, keys);
    json_decref(j);
    return good;
}

bool dialect_fastly_key(const struct dialect_input *in, struct purge_wanted *w) {
    char key[HTTP_LINE_MAX];
    const long n = http_request_decode(in->match[1], false, key, sizeof key);
    read_soft(in, w);
    return n < 0 ? purge_wanted_refuse(w, 400, "the key is not well encoded") : purge_wanted_tag(w, key, (size_t)n);
}

bool dialect_fastly_all(const struct dialect_input *in, struct purge_wanted *w) {
    (void)in;
    return purge_wanted_all(w);
}

bool dialect_fastly_url(const struct dialect_input *in, struct purge_wanted *w) {
    read_soft(in, w);
    return dialect_url(in, w, in->match[0].p, in->match[0].n);
}

static void done(const struct dialect_outcome *o, struct dialect_answer *a) {
    const json_t *names = o->wanted->names;
    json_t *body = names != NULL ? json_object() : json_pack("{s:s}", "status", "ok");
    if (names == NULL && !o->wanted->all) json_object_set_new(body, "id", json_string(o->id));
    for (size_t i = 0; i < json_array_size(names); i++)
        json_object_set_new(body, json_string_value(json_array_get(names, i)), json_string(o->id));
    dialect_json(a, 200, body);
}

static void failed(unsigned status, const char *why, const char *id, struct dialect_answer *a) {
    const char *msg = status == 401   ? "Provided credentials are missing or invalid"
                      : status == 403 ? "You are not authorized to perform this action"
                      : status == 429 ? "You have exceeded your hourly rate limit"
                      : status == 504 ? "Purge is not confirmed"
                                      : "Bad request";
    json_t *body = json_pack("{s:s,s:s}", "msg", msg, "detail", why);
    if (id[0] != '\0') json_object_set_new(body, "id", json_string(id));
    dialect_json(a, status, body);
}

const struct dialect dialect_fastly = {done, failed};
