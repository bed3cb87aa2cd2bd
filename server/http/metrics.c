/* SPDX-License-Identifier: BSD-3-Clause */
#include "http/metrics.h"

#include <stdio.h>
#include <string.h>

#include "base/histogram.h"
#include "cmd/cmd_latency.h"
#include "cmd/cmd_snapshot.h"
#include "http/http.h"

/* ------------------------------------------------------------------ memcached_exporter's */

/* The fields of `stats`, `stats items` and `stats slabs` as structs: the values, and what they mean. */
#define TYPE_U uint64_t
#define TYPE_S const char *
#define TYPE_T struct timeval
#define TYPE_IDLE uint64_t
#define TYPE_TLS uint64_t
#define TYPE_CACHE uint64_t

#define STAT(name, kind, value, help) TYPE_##kind name;
struct general {
#include "cmd/stats.general.def"
};
struct items {
#include "cmd/stats.items.def"
};
struct slabs {
#include "cmd/stats.slabs.def"
};
#undef STAT

#define STAT(name, kind, value, help) const char *name;
struct general_help {
#include "cmd/stats.general.def"
};
struct items_help {
#include "cmd/stats.items.def"
};
struct slabs_help {
#include "cmd/stats.slabs.def"
};
#undef STAT

#define STAT(name, kind, value, help) .name = (help),
static const struct general_help general_help = {
#include "cmd/stats.general.def"
};
static const struct items_help items_help = {
#include "cmd/stats.items.def"
};
static const struct slabs_help slabs_help = {
#include "cmd/stats.slabs.def"
};
#undef STAT

/* Which gauge shows a setting. */
static const struct {
    const char *metric, *name, *help;
} settings[] = {
#define FAMILY(metric, type, help)
#define SAMPLE(labels, kind, value)
#define GENERAL(metric, type, kind, field)
#define ITEM(metric, type, field)
#define SLAB(metric, type, field)
#define SETTING(metric, name, help) {#metric, #name, help},
#include "http/metrics.memcached.def"
#undef FAMILY
#undef SAMPLE
#undef GENERAL
#undef ITEM
#undef SLAB
#undef SETTING
};

static void write_setting(void *arg, const char *name, const char *value) {
    struct exposition *e = arg;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        if (strcmp(name, settings[i].name) != 0) continue;
        exposition_family(e, settings[i].metric, EXPOSITION_GAUGE, settings[i].help);
        exposition_S(e, NULL, strcmp(value, "yes") == 0 ? "1" : strcmp(value, "no") == 0 ? "0" : value);
    }
}

#define FAMILY(metric, type, help) exposition_family(e, #metric, EXPOSITION_##type, help);
#define SAMPLE(labels, kind, value) exposition_##kind(e, labels, value);
#define CLASS "slab=\"1\""

static void write_memcached(struct exposition *e, const struct cmd_snapshot *v) {
#define STAT(name, kind, value, help) .name = (value),
    const struct general general = {
#include "cmd/stats.general.def"
    };
    const struct items items = {
#include "cmd/stats.items.def"
    };
    const struct slabs slabs = {
#include "cmd/stats.slabs.def"
    };
#undef STAT
#define GENERAL(metric, type, kind, field) FAMILY(metric, type, general_help.field) SAMPLE(NULL, kind, general.field)
#define ITEM(metric, type, field) FAMILY(metric, type, items_help.field) SAMPLE(CLASS, U, items.field)
#define SLAB(metric, type, field) FAMILY(metric, type, slabs_help.field) SAMPLE(CLASS, U, slabs.field)
#define SETTING(metric, name, help)
#include "http/metrics.memcached.def"
#undef GENERAL
#undef ITEM
#undef SLAB
#undef SETTING
}

/* ------------------------------------------------------------------ our own */

/* What is shown beside the snapshot. */
struct more {
    char version_label[64];
    uint64_t http_purges;
    double owned;
    bool leased;
    struct histogram applied, confirmed, latency[CMD_LATENCIES];
};

static void gather(struct more *m, struct cmd *cmd, const struct http *http, const struct cmd_snapshot *v,
                   const struct cluster_gauges *g, bool clustered) {
    memset(m, 0, sizeof *m);
    m->http_purges = http_purges(http);
    exposition_label(m->version_label, sizeof m->version_label, "version", v->version);
    m->owned = clustered ? (double)g->owned_ppm / 1e6 : 1;
    m->leased = !clustered || g->ready.leased;
    if (clustered) {
        m->applied = g->applied;
    } else {
        cmd_latency_sum_purges(cmd, &m->applied);
        http_sum_applied(http, &m->applied);
    }
    m->confirmed = clustered ? g->confirmed : m->applied; /* alone, a purge that is applied is confirmed */
    for (enum cmd_latency i = 0; i < CMD_LATENCIES; i++) cmd_latency_sum(cmd, i, &m->latency[i]);
}

static void write_lags(struct exposition *e, const struct cluster_gauges *g) {
    char label[CONFIGURATION_NAME_MAX * 2];
    for (unsigned i = 0; i < g->nlag; i++) {
        exposition_label(label, sizeof label, "member", g->lag[i].name);
        exposition_N(e, label, g->lag[i].ms * 1000000);
    }
}

static void write_own(struct exposition *e, const struct cmd_snapshot *v, const struct cluster_gauges *g,
                      const struct more *m) {
#define BUCKETS(labels, histogram, first, last)                                                                        \
    exposition_buckets(e, labels, histogram, HISTOGRAM_BOUND_##first, HISTOGRAM_BOUND_##last);
#define LAGS write_lags(e, g);
#include "http/metrics.tagcached.def"
#undef BUCKETS
#undef LAGS
}
#undef FAMILY
#undef SAMPLE

struct requests {
    struct exposition *e;
    const struct http *http;
    enum http_dialect dialect;
};

static void write_status(void *arg, unsigned status) {
    const struct requests *r = arg;
    char labels[64];
    snprintf(labels, sizeof labels, "dialect=\"%s\",code=\"%u\"", http_dialect_name(r->dialect), status);
    exposition_U(r->e, labels, http_requests(r->http, r->dialect, status));
}

static void write_requests(struct exposition *e, const struct http *http) {
    exposition_family(e, "tagcached_http_requests_total", EXPOSITION_COUNTER, "requests of HTTP that were answered");
    for (enum http_dialect d = 0; d < HTTP_DIALECTS; d++) {
        struct requests r = {e, http, d};
        http_statuses_each(write_status, &r);
    }
}

void metrics_write(struct exposition *e, struct cmd *cmd, const struct http *http) {
    struct cmd_snapshot v;
    struct cluster_gauges g;
    struct more m;
    cmd_snapshot_take(cmd, &v);
    const bool clustered = cmd_snapshot_cluster(cmd, &g);
    gather(&m, cmd, http, &v, &g, clustered);
    write_memcached(e, &v);
    cmd_snapshot_settings(cmd, write_setting, e);
    write_own(e, &v, &g, &m);
    write_requests(e, http);
    exposition_end(e);
}
