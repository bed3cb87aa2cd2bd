/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Souin's API (github.com/darkweak/souin, pkg/api/souin.go): surrogate keys, groups, a flush. */
#include <string.h>

#include "http/dialect.h"

bool dialect_souin_keys(const struct dialect_input *in, struct purge_wanted *w) {
    bool found = false;
    if (!purge_wanted_header(w, in->request, "Surrogate-Key", ", \t", &found)) return false;
    return found || purge_wanted_refuse(w, 400, "the header Surrogate-Key is missing");
}

bool dialect_souin_flush(const struct dialect_input *in, struct purge_wanted *w) {
    (void)in;
    return purge_wanted_all(w);
}

/* "purge": false leaves what is there to be served stale. */
static bool read_groups(struct purge_wanted *w, const json_t *j) {
    const char *type = json_string_value(json_object_get(j, "type"));
    const json_t *purge = json_object_get(j, "purge");
    if (type == NULL || strcmp(type, "group") != 0)
        return purge_wanted_refuse(w, 400, "only the type \"group\" is purged here");
    if (purge != NULL && !json_is_boolean(purge))
        return purge_wanted_refuse(w, 400, "\"purge\" has to be true or false");
    w->soft = !json_is_true(purge);
    return purge_wanted_strings(w, json_object_get(j, "groups"), "groups");
}

bool dialect_souin_groups(const struct dialect_input *in, struct purge_wanted *w) {
    json_t *j = purge_wanted_json(w, in->request, false);
    const bool good = j != NULL && read_groups(w, j);
    json_decref(j);
    return good;
}

static void done(const struct dialect_outcome *o, struct dialect_answer *a) {
    (void)o;
    a->status = o->wanted->soft ? 200 : 204;
}

static void failed(unsigned status, const char *why, const char *id, struct dialect_answer *a) {
    (void)id;
    dialect_text(a, status, why);
}

const struct dialect dialect_souin = {done, failed};
