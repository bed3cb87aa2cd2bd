/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Akamai's Fast Purge, CCU v3 (techdocs.akamai.com/purge-cache/reference): by tags, deleted or invalidated; the network
 * (production, staging) is the same here. Its signatures (EG1-HMAC-SHA256) cannot be checked, since of a token only its
 * hash is kept; such a client names its token in X-Tagcached-Token besides. */
#include "http/dialect.h"

static bool read_objects(const struct dialect_input *in, struct purge_wanted *w) {
    if (!http_request_is(in->match[0], "production") && !http_request_is(in->match[0], "staging"))
        return purge_wanted_refuse(w, 400, "the network is production or staging");
    json_t *j = purge_wanted_json(w, in->request, false);
    const bool good = j != NULL && purge_wanted_strings(w, json_object_get(j, "objects"), "objects");
    json_decref(j);
    return good;
}

bool dialect_akamai_delete(const struct dialect_input *in, struct purge_wanted *w) {
    return read_objects(in, w);
}

bool dialect_akamai_invalidate(const struct dialect_input *in, struct purge_wanted *w) {
    w->soft = true;
    return read_objects(in, w);
}

static void done(const struct dialect_outcome *o, struct dialect_answer *a) {
    dialect_json(a, 201,
                 json_pack("{s:i,s:s,s:i,s:s,s:s}", "httpStatus", 201, "detail", "Request accepted", "estimatedSeconds",
                           o->confirmed ? 0 : 5, "purgeId", o->id, "supportId", o->id));
}

static void failed(unsigned status, const char *why, const char *id, struct dialect_answer *a) {
    const char *title = status == 401   ? "unauthorized"
                        : status == 403 ? "unauthorized arl"
                        : status == 413 ? "Request body too large"
                        : status == 429 ? "Rate Limit exceeded"
                        : status == 504 ? "not confirmed"
                                        : "bad request";
    dialect_json(a, status,
                 json_pack("{s:i,s:s,s:s,s:s}", "httpStatus", status, "title", title, "detail", why, "supportId", id));
    a->type = "application/problem+json";
}

const struct dialect dialect_akamai = {done, failed};
