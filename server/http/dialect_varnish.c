/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What is sent to Varnish: PURGEKEYS as FOSHttpCache's VCL has it (Resources/config/varnish/fos_tags_xkey.vcl),
 * PURGETAGS of its Symfony proxy, BAN by expressions (FOSHttpCache, Magento) or by Drupal's headers, PURGE with xkey
 * (vmod_xkey's documentation), with Magento's pattern, or to clear all. Answers say it in the reason phrase. Varnish
 * counts objects there; nobody counts before the answer here, so there is a dash. */
#include <stdio.h>
#include <string.h>

#include "http/dialect.h"
#include "http/purge_pattern.h"

#define XKEY_BLANKS " \t," /* vmod_xkey.c */

/* Both headers at once: hard, which is the stronger one. */
bool dialect_varnish_purgekeys(const struct dialect_input *in, struct purge_wanted *w) {
    bool hard = false, soft = false;
    if (!purge_wanted_header(w, in->request, "xkey-purge", XKEY_BLANKS, &hard) ||
        !purge_wanted_header(w, in->request, "xkey-softpurge", XKEY_BLANKS, &soft))
        return false;
    w->soft = soft && !hard;
    return hard || soft || purge_wanted_refuse(w, 400, "Neither header XKey-Purge or XKey-SoftPurge set");
}

bool dialect_varnish_purgetags(const struct dialect_input *in, struct purge_wanted *w) {
    bool found = false;
    w->phrase = "Purged";
    if (!purge_wanted_header(w, in->request, "X-Cache-Tags", ",", &found)) return false;
    return found || purge_wanted_refuse(w, 400, "the header X-Cache-Tags is missing");
}

/* Adds the tags of Drupal's header: plain ones, of which an expression would join several. */
static bool read_plain(const struct dialect_input *in, struct purge_wanted *w, const char *name, bool *found) {
    const struct text_token value = http_request_first(in->request, name);
    if (value.p != NULL && purge_pattern_is_likely(value))
        return purge_wanted_refuse(w, 400, "%s has to name tags, not an expression", name);
    return purge_wanted_header(w, in->request, name, ", \t|", found);
}

static bool is_any(struct text_token pattern) {
    return pattern.p == NULL || http_request_is(pattern, ".*");
}

bool dialect_varnish_ban(const struct dialect_input *in, struct purge_wanted *w) {
    const struct http_request *r = in->request;
    const struct text_token tags = http_request_first(r, "X-Cache-Tags"), url = http_request_first(r, "X-Url");
    bool drupal = false, acquia = false;
    w->phrase = "Banned";
    if (!read_plain(in, w, "Cache-Tags", &drupal) || !read_plain(in, w, "X-Acquia-Purge-Tags", &acquia)) return false;
    if (drupal || acquia) return true;
    if (!is_any(url) || !is_any(http_request_first(r, "X-Host")) || !is_any(http_request_first(r, "X-Content-Type")))
        return purge_wanted_refuse(w, 400, "URLs, hosts and prefixes are not purged here: name tags");
    if (tags.p != NULL) return purge_pattern_read(w, tags);
    return url.p != NULL ? purge_wanted_all(w) : purge_wanted_refuse(w, 400, "the header X-Cache-Tags is missing");
}

bool dialect_varnish_purge(const struct dialect_input *in, struct purge_wanted *w) {
    const struct http_request *r = in->request;
    const struct text_token magento = http_request_first(r, "X-Magento-Tags-Pattern");
    bool found = false;
    w->phrase = "Purged";
    if (magento.p != NULL) return purge_pattern_read(w, magento);
    if (http_request_is(http_request_first(r, "Clear-Cache"), "true")) return purge_wanted_all(w);
    if (!purge_wanted_header(w, r, "xkey", XKEY_BLANKS, &found)) return false;
    if (found) w->phrase = "Invalidated - objects";
    if (found) return true;
    if (in->url_tag == NULL || r->host.n == 0)
        return purge_wanted_refuse(w, 400, "URLs, hosts and prefixes are not purged here: name tags");
    char url[HTTP_LINE_MAX + HTTP_HEAD_MAX];
    memcpy(url, r->host.p, r->host.n);
    memcpy(url + r->host.n, r->path.p, r->path.n);
    return dialect_url(in, w, url, r->host.n + r->path.n);
}

static void done(const struct dialect_outcome *o, struct dialect_answer *a) {
    const char *counts =
        o->wanted->soft ? "Purged 0 objects, expired - objects" : "Purged - objects, expired 0 objects";
    a->status = 200;
    snprintf(a->reason, sizeof a->reason, "%s", o->wanted->phrase != NULL ? o->wanted->phrase : counts);
}

static void failed(unsigned status, const char *why, const char *id, struct dialect_answer *a) {
    if (status == 400) snprintf(a->reason, sizeof a->reason, "%s", why);
    char line[256];
    snprintf(line, sizeof line, "%s%s%s", why, id[0] != '\0' ? " " : "", id);
    dialect_text(a, status, line);
}

const struct dialect dialect_varnish = {done, failed};
