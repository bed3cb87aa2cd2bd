/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Cloudflare's API v4 (developers.cloudflare.com/api/resources/cache; npm cloudflare 7 was recorded): purge_cache is
 * hard, invalidate_cache soft; exactly one of tags, files, hosts, prefixes, purge_everything. A Content-Type is not
 * asked for, since FOSHttpCache sends none. */
#include <string.h>

#include "http/dialect.h"

/* Files are URLs, or objects with one. */
static bool read_files(const struct dialect_input *in, struct purge_wanted *w, const json_t *files) {
    if (!json_is_array(files) || json_array_size(files) == 0)
        return purge_wanted_refuse(w, 400, "\"files\" has to be a list");
    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *file = json_array_get(files, i),
                     *url = json_is_object(file) ? json_object_get(file, "url") : file;
        if (!json_is_string(url)) return purge_wanted_refuse(w, 400, "a file has to be a URL");
        if (!dialect_url(in, w, json_string_value(url), json_string_length(url))) return false;
    }
    return true;
}

static bool read_body(const struct dialect_input *in, struct purge_wanted *w, const json_t *body) {
    const char *name;
    json_t *value;
    unsigned n = 0;
    bool good = true;
    json_object_foreach((json_t *)body, name, value) {
        n++;
        if (strcmp(name, "tags") == 0)
            good = purge_wanted_strings(w, value, name);
        else if (strcmp(name, "files") == 0)
            good = read_files(in, w, value);
        else if (strcmp(name, "purge_everything") == 0 && json_is_true(value))
            good = purge_wanted_all(w);
        else if (strcmp(name, "hosts") == 0 || strcmp(name, "prefixes") == 0)
            good = purge_wanted_refuse(w, 400, "URLs, hosts and prefixes are not purged here: name tags");
        else
            n = 2;
        if (!good) return false;
    }
    return n == 1 ||
           purge_wanted_refuse(w, 400,
                               "Request must contain one of \"purge_everything\", \"files\", \"tags\", \"hosts\" "
                               "or \"prefixes\"");
}

bool dialect_cloudflare_purge(const struct dialect_input *in, struct purge_wanted *w) {
    json_t *j = purge_wanted_json(w, in->request, false);
    const bool good = j != NULL && read_body(in, w, j);
    json_decref(j);
    return good;
}

bool dialect_cloudflare_invalidate(const struct dialect_input *in, struct purge_wanted *w) {
    w->soft = true;
    return dialect_cloudflare_purge(in, w);
}

static void done(const struct dialect_outcome *o, struct dialect_answer *a) {
    dialect_json(a, 200,
                 json_pack("{s:b,s:[],s:[],s:{s:s}}", "success", 1, "errors", "messages", "result", "id", o->id));
}

static void failed(unsigned status, const char *why, const char *id, struct dialect_answer *a) {
    const int code = status == 401 ? 10000 : status == 403 ? 9109 : status == 429 ? 971 : status == 400 ? 1012 : 1000;
    json_t *result = id[0] != '\0' ? json_pack("{s:s}", "id", id) : json_null();
    dialect_json(a, status,
                 json_pack("{s:b,s:[{s:i,s:s}],s:[],s:o}", "success", 0, "errors", "code", code, "message", why,
                           "messages", "result", result));
}

const struct dialect dialect_cloudflare = {done, failed};
