/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The own form, which can say all that the text protocol can: POST /api/purge with
 *
 *   {"selectors":["a+b"], "tags":["any bytes"], "soft":true, "ttl":60, "receipt":true, "wait":"all",
 *    "timeout":"2s", "reason":"..."}
 */
#include <string.h>

#include "http/dialect.h"
#include "store/store.h"

static bool read_selectors(struct purge_wanted *w, const json_t *list) {
    if (!json_is_array(list)) return purge_wanted_refuse(w, 400, "\"selectors\" has to be a list of strings");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *s = json_array_get(list, i);
        if (!json_is_string(s)) return purge_wanted_refuse(w, 400, "\"selectors\" has to be a list of strings");
        if (!purge_wanted_selector(w, json_string_value(s), json_string_length(s))) return false;
    }
    return true;
}

static bool read_ttl(struct purge_wanted *w, const json_t *value) {
    const json_int_t ttl = json_integer_value(value);
    if (!json_is_integer(value) || ttl < 1 || ttl > STORE_SOFT_TTL_MAX_S)
        return purge_wanted_refuse(w, 400, "\"ttl\" is a number of seconds, from 1 to ten years");
    w->ttl_s = (uint32_t)ttl;
    return true;
}

static bool read_member(struct purge_wanted *w, const char *name, const json_t *value) {
    const char *word = json_string_value(value);
    const size_t n = json_string_length(value);
    if (strcmp(name, "selectors") == 0) return read_selectors(w, value);
    if (strcmp(name, "tags") == 0) return purge_wanted_strings(w, value, name);
    if (strcmp(name, "ttl") == 0) return read_ttl(w, value);
    if (strcmp(name, "soft") == 0 && json_is_boolean(value)) {
        w->soft = json_is_true(value);
        return true;
    }
    if (strcmp(name, "receipt") == 0 && json_is_boolean(value)) {
        w->counted = json_is_true(value);
        return true;
    }
    if (word == NULL)
        return purge_wanted_refuse(w, 400, "the body has a member that is not known, or of the wrong type");
    if (strcmp(name, "wait") == 0) return purge_wanted_set_wait(w, word, n);
    if (strcmp(name, "timeout") == 0) return purge_wanted_set_timeout(w, word, n);
    if (strcmp(name, "reason") != 0)
        return purge_wanted_refuse(w, 400, "the body has a member that is not known, or of the wrong type");
    purge_wanted_set_reason(w, word, n);
    return true;
}

bool dialect_own_purge(const struct dialect_input *in, struct purge_wanted *w) {
    json_t *j = purge_wanted_json(w, in->request, false), *value;
    const char *name;
    bool good = j != NULL;
    json_object_foreach(j, name, value) good = good && read_member(w, name, value);
    json_decref(j);
    if (!good) return false;
    if (w->nselectors == 0) return purge_wanted_refuse(w, 400, "\"selectors\" or \"tags\" is missing");
    return w->soft || w->ttl_s == 0 || purge_wanted_refuse(w, 400, "\"ttl\" is for a soft purge");
}

static void done(const struct dialect_outcome *o, struct dialect_answer *a) {
    json_t *body = json_pack("{s:s,s:b,s:i,s:i,s:f}", "id", o->id, "confirmed", o->confirmed, "acked", o->acked,
                             "members", o->members, "took_ms", o->took_ms);
    if (o->wanted->counted) {
        json_object_set_new(body, "items", o->items < 0 ? json_null() : json_integer(o->items));
        json_object_set_new(body, "bytes", json_integer((json_int_t)o->bytes));
    }
    dialect_json(a, 200, body);
}

static void failed(unsigned status, const char *why, const char *id, struct dialect_answer *a) {
    json_t *body = json_pack("{s:s}", "error", why);
    if (id[0] != '\0') json_object_set_new(body, "id", json_string(id));
    dialect_json(a, status, body);
}

const struct dialect dialect_own = {done, failed};
