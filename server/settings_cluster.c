/* SPDX-License-Identifier: BSD-3-Clause */
#include "settings_cluster.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hostport.h"
#include "settings.h"

#define NAME_MAX_BYTES 64   /* of a cluster's name */
#define PREFIX_MAX_BYTES 64 /* of --ring-strip-prefix */
#define FOUNDERS_MAX 7

/* Where to say why an option is refused. */
struct sentence {
    char *text;
    size_t size;
};

static int bad(struct sentence *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int bad(struct sentence *r, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(r->text, r->size, fmt, ap);
    va_end(ap);
    return -EINVAL;
}

/* Without a cluster, an option of the cluster is a mistake, not to be ignored. */
static int check_alone(const struct settings *s, struct sentence *r) {
    const struct {
        bool given;
        const char *name;
    } options[] = {
        {s->founders.n > 0, "--founders"},
        {s->found, "--found"},
        {s->join.n > 0, "--join"},
        {s->cluster_bind != NULL, "--cluster-bind"},
        {s->cluster_advertise != NULL, "--cluster-advertise"},
        {s->ring_name != NULL, "--ring-name"},
        {strcmp(s->weight, "1") != 0, "--weight"},
        {s->ring_strip_prefix != NULL, "--ring-strip-prefix"},
        {s->cluster_key != NULL, "--cluster-key"},
        {s->insecure_cluster, "--insecure-cluster"},
        {s->cluster_links != 0, "--cluster-links"},
        {s->state_dir != NULL, "--state-dir"},
        {s->voters != 0, "--voters"},
        {s->tag_lease != 1000, "--tag-lease"},
        {s->serve_lease != 30, "--serve-lease"},
        {s->eject_after != 35, "--eject-after"},
        {s->peer_timeout != 200, "--peer-timeout"},
        {s->hot_copies != 0, "--hot-copies"},
        {s->handoff_rate != 32, "--handoff-rate"},
        {s->drain_timeout != 60, "--drain-timeout"},
    };
    for (unsigned i = 0; i < sizeof options / sizeof *options; i++)
        if (options[i].given)
            return bad(r, "%s is an option of a cluster: give its name too, --cluster NAME", options[i].name);
    return 0;
}

static int check_name(const struct settings *s, struct sentence *r) {
    const size_t n = strlen(s->cluster);
    for (const char *p = s->cluster; *p != 0; p++)
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", *p) == NULL)
            return bad(r, "--cluster %s: a name has letters, digits, and . _ -", s->cluster);
    if (n == 0 || n > NAME_MAX_BYTES) return bad(r, "--cluster: a name has 1 to %d characters", NAME_MAX_BYTES);
    return 0;
}

static int check_address(const char *option, const char *text, bool wildcard, struct sentence *r) {
    struct hostport at;
    if (text == NULL) return 0;
    if (!hostport_read(text, &at)) return bad(r, "%s %s: an address is written HOST:PORT or [IPV6]:PORT", option, text);
    if (!wildcard && (strcmp(at.host, "*") == 0 || strcmp(at.host, "0.0.0.0") == 0 || strcmp(at.host, "::") == 0))
        return bad(r, "%s %s: others cannot reach \"every interface\"; name one address", option, text);
    return 0;
}

static int check_list(const char *option, const struct option_list *list, struct sentence *r) {
    for (unsigned i = 0; i < list->n; i++) {
        const int result = check_address(option, list->v[i], false, r);
        if (result != 0) return result;
        for (unsigned j = 0; j < i; j++)
            if (strcmp(list->v[i], list->v[j]) == 0) return bad(r, "%s names %s twice", option, list->v[i]);
    }
    return 0;
}

static int check_founders(const struct settings *s, struct sentence *r) {
    const unsigned n = s->founders.n;
    if (n > FOUNDERS_MAX || (n > 2 && n % 2 == 0))
        return bad(r, "--founders names %u nodes: name 1, 2, 3, 5 or 7, so that a majority is clear; others --join", n);
    if (n > 1 && s->join.n == 0)
        return bad(r, "--founders with other nodes needs --join HOST:PORT[,...]: where to find them");
    return check_list("--founders", &s->founders, r);
}

static int check_values(const struct settings *s, struct sentence *r) {
    char *end;
    const unsigned long weight = strtoul(s->weight, &end, 10);
    if (strcmp(s->weight, "none") != 0 &&
        (s->weight[0] < '0' || s->weight[0] > '9' || *end != 0 || weight < 1 || weight > SETTINGS_WEIGHT_MAX))
        return bad(r, "--weight %s: give 1 to %d, or none", s->weight, SETTINGS_WEIGHT_MAX);
    if (s->voters != 0 && s->voters % 2 == 0)
        return bad(r, "--voters %lld: an even count can be split in halves; give 1, 3, 5 or 7, or 0 for what suits",
                   (long long)s->voters);
    if (s->tag_lease > s->serve_lease * 1000)
        return bad(r, "--tag-lease %lld is above --serve-lease: a lease for tagged items is at most one for all",
                   (long long)s->tag_lease);
    if (s->eject_after * 95 < s->serve_lease * 105)
        return bad(r, "--eject-after %lld: it has to be at least --serve-lease and 11 %% more",
                   (long long)s->eject_after);
    if (s->ring_strip_prefix != NULL) {
        const size_t n = strlen(s->ring_strip_prefix);
        if (n == 0 || n > PREFIX_MAX_BYTES || strpbrk(s->ring_strip_prefix, " \t\r\n") != NULL)
            return bad(r, "--ring-strip-prefix takes 1 to %d characters without blanks", PREFIX_MAX_BYTES);
    }
    return 0;
}

int settings_check_cluster(const struct settings *s, char *err, size_t err_size) {
    struct sentence at = {err, err_size}, *r = &at;
    if (s->cluster == NULL) return check_alone(s, r);
    int result = check_name(s, r);
    if (result == 0) result = check_list("--join", &s->join, r);
    if (result == 0) result = check_founders(s, r);
    if (result == 0) result = check_address("--cluster-bind", s->cluster_bind, true, r);
    if (result == 0) result = check_address("--cluster-advertise", s->cluster_advertise, false, r);
    if (result == 0) result = check_address("--ring-name", s->ring_name, false, r);
    if (result == 0) result = check_values(s, r);
    return result;
}

unsigned settings_weight(const struct settings *s) {
    return (unsigned)strtoul(s->weight, NULL, 10); /* "none" is 0 */
}
