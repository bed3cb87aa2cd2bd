/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Bunny's API (docs.bunny.net/reference/pullzonepublic_purgecachepostbytag): one tag, or everything without a body. */
#include "http/dialect.h"

bool dialect_bunny_purge(const struct dialect_input *in, struct purge_wanted *w) {
    json_t *j = purge_wanted_json(w, in->request, true), *tag = json_object_get(j, "CacheTag");
    bool good = j != NULL;
    if (good && tag == NULL)
        good = json_object_size(j) == 0 ? purge_wanted_all(w) : purge_wanted_refuse(w, 400, "\"CacheTag\" is missing");
    else if (good)
        good = json_is_string(tag) ? purge_wanted_tag(w, json_string_value(tag), json_string_length(tag))
                                   : purge_wanted_refuse(w, 400, "\"CacheTag\" has to be a string");
    json_decref(j);
    return good;
}

static void done(const struct dialect_outcome *o, struct dialect_answer *a) {
    (void)o;
    a->status = 204;
}

static void failed(unsigned status, const char *why, const char *id, struct dialect_answer *a) {
    dialect_json(a, status,
                 json_pack("{s:s,s:s,s:s}", "ErrorKey",
                           status == 504                    ? "purge.pending"
                           : status == 401 || status == 403 ? "unauthorized"
                                                            : "validation_error",
                           "Field", id[0] != '\0' ? id : "CacheTag", "Message", why));
}

const struct dialect dialect_bunny = {done, failed};
