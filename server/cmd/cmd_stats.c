/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sync.h"
#include "cmd/cmd_cluster.h"
#include "cmd/cmd_conns.h"
#include "cmd/cmd_detail.h"
#include "cmd/cmd_dump.h"
#include "cmd/cmd_metrics.h"
#include "cmd/cmd_watch.h"
#include "cmd/instance.h"
#include "cmd/observers.h"
#include "cmd/reply.h"
#include "cmd/session.h"
#include "proto/text.h"
#include "store/store.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unversioned"
#endif

#define SLAB_CHUNK 32            /* bytes of what `stats slabs` calls a chunk */
#define CACHEDUMP_MAX (2u << 20) /* bytes of a `stats cachedump` */
#define CACHEDUMP_CLASSES 64     /* class ids from here on are illegal */

/* ------------------------------------------------------------------ what is shown */

/* Everything a row may show, as of one moment. */
struct snapshot {
    uint64_t pid, uptime_s, time, used_chunks;
    const char *libevent, *version;
    struct rusage usage;
    struct cmd_net_stats net;
    struct store_gauges store;
    struct cmd_watch_stats watch;
    uint64_t cmd[CMD_METRICS];
    uint64_t items[STORE_METRICS];
};

static void snapshot_take(struct cmd *cmd, struct snapshot *v) {
    memset(v, 0, sizeof *v);
    v->pid = (uint64_t)getpid();
    v->uptime_s = cmd_uptime_s(cmd);
    v->time = (uint64_t)clock_wall_s(cmd->cfg.clock);
    v->libevent = event_get_version();
    v->version = PACKAGE_VERSION;
    getrusage(RUSAGE_SELF, &v->usage);
    cmd->cfg.up.net_stats(cmd->cfg.up.arg, &v->net);
    store_gauges(cmd->store, &v->store);
    cmd_watch_stats(cmd, &v->watch);
    v->used_chunks = (v->store.bytes + SLAB_CHUNK - 1) / SLAB_CHUNK;
    uint64_t chunks = v->store.segments * (v->store.segment_bytes / SLAB_CHUNK);
    if (v->used_chunks > chunks) v->used_chunks = chunks; /* the gauges were read one after the other */
    for (unsigned i = 0; i < CMD_METRICS; i++) v->cmd[i] = cmd_metrics_sum(cmd, (enum cmd_metric)i);
    for (unsigned i = 0; i < STORE_METRICS; i++) v->items[i] = store_metric(cmd->store, (enum store_metric)i);
}

/* ------------------------------------------------------------------ lines */

static void stat_line(struct session *s, const char *name, const char *value) {
    cmd_linef(s, "STAT %s %s", name, value);
}

static void line_U(struct session *s, const char *prefix, const char *name, uint64_t v) {
    cmd_linef(s, "STAT %s%s %" PRIu64, prefix, name, v);
}

static void line_S(struct session *s, const char *prefix, const char *name, const char *v) {
    cmd_linef(s, "STAT %s%s %s", prefix, name, v);
}

static void line_T(struct session *s, const char *prefix, const char *name, struct timeval v) {
    cmd_linef(s, "STAT %s%s %ld.%06ld", prefix, name, (long)v.tv_sec, (long)v.tv_usec);
}

/* Kinds of rows that are shown only where there is what they count. */
#define line_if(condition, s, prefix, name, value)                                                                     \
    do {                                                                                                               \
        if (condition) line_U((s), (prefix), (name), (value));                                                         \
    } while (0)
#define line_IDLE(s, prefix, name, value) line_if(v->net.idle_timeout, s, prefix, name, value)
#define line_TLS(s, prefix, name, value) line_if(v->net.cert_time != 0, s, prefix, name, value)
#define line_CACHE(s, prefix, name, value) line_if(v->net.ssl_session_cache, s, prefix, name, value)

/* The rows of a group, each named once, in the group's .def. */
#define STAT(name, kind, value, help) line_##kind(s, prefix, #name, (value));

static void rows_general(struct session *s, const struct snapshot *v) {
    const char *prefix = "";
#include "cmd/stats.general.def"
}

static void rows_items(struct session *s, const struct snapshot *v) {
    const char *prefix = "items:1:";
#include "cmd/stats.items.def"
}

static void rows_slabs(struct session *s, const struct snapshot *v) {
    const char *prefix = "1:";
#include "cmd/stats.slabs.def"
}

static void rows_tags(struct session *s, const struct snapshot *v) {
    const char *prefix = "";
#include "cmd/stats.tags.def"
}

static void rows_purge(struct session *s, const struct snapshot *v) {
    const char *prefix = "";
#include "cmd/stats.purge.def"
}
#undef STAT

/* ------------------------------------------------------------------ groups */

static void end(struct session *s) {
    cmd_line_lit(s, "END");
}

typedef void rows_fn(struct session *s, const struct snapshot *v);

static void show(struct session *s, rows_fn *rows) {
    struct snapshot v;
    snapshot_take(s->worker->cmd, &v);
    rows(s, &v);
    end(s);
}

/* What follows the group's name. */
struct args {
    struct text_token word[2];
    unsigned n;
};

static void group_general(struct session *s, const struct args *a) {
    (void)a;
    show(s, rows_general);
}

/* No class is listed before it holds something, as in memcached. */
static void group_items(struct session *s, const struct args *a) {
    struct store_gauges g;
    (void)a;
    store_gauges(s->worker->cmd->store, &g);
    if (g.items == 0)
        end(s);
    else
        show(s, rows_items);
}

static void group_slabs(struct session *s, const struct args *a) {
    struct snapshot v;
    (void)a;
    snapshot_take(s->worker->cmd, &v);
    rows_slabs(s, &v);
    line_U(s, "", "active_slabs", 1);
    line_U(s, "", "total_malloced", v.store.segments * v.store.segment_bytes);
    end(s);
}

static void group_tags(struct session *s, const struct args *a) {
    (void)a;
    show(s, rows_tags);
}

static void group_purge(struct session *s, const struct args *a) {
    (void)a;
    show(s, rows_purge);
}

/* Shows a setting; of those that commands may change, its present value. */
static void setting(void *arg, const char *name, const char *value) {
    struct session *s = arg;
    struct cmd *cmd = s->worker->cmd;
    if (strcmp(name, "maxbytes") == 0) {
        struct store_gauges g;
        store_gauges(cmd->store, &g);
        line_U(s, "", name, g.limit_bytes);
    } else if (strcmp(name, "detail_enabled") == 0) {
        stat_line(s, name, (sync_load(&cmd->observed) & CMD_OBSERVE_DETAIL) != 0 ? "yes" : "no");
    } else if (strcmp(name, "track_sizes") == 0) {
        stat_line(s, name, sync_load(&cmd->sizes_on) != 0 ? "yes" : "no");
    } else {
        stat_line(s, name, value);
    }
}

static void group_settings(struct session *s, const struct args *a) {
    const struct cmd_upcalls *up = &s->worker->cmd->cfg.up;
    (void)a;
    up->settings_each(up->arg, setting, s);
    end(s);
}

static void group_conns(struct session *s, const struct args *a) {
    (void)a;
    cmd_conns_command(s);
}

static void group_detail(struct session *s, const struct args *a) {
    if (s->worker->cmd->cfg.no_dump) /* it shows parts of keys */
        cmd_line_lit(s, "CLIENT_ERROR stats detail not allowed");
    else
        cmd_detail_command(s, a->n > 0 ? &a->word[0] : NULL);
}

static void group_reset(struct session *s, const struct args *a) {
    struct cmd *cmd = s->worker->cmd;
    (void)a;
    cmd_metrics_reset(cmd);
    store_metrics_reset(cmd->store);
    cmd->cfg.up.net_reset(cmd->cfg.up.arg);
    cmd_detail_reset(cmd);
    cmd_line_lit(s, "RESET");
}

static void group_sizes(struct session *s, const struct args *a) {
    (void)a;
    if (sync_load(&s->worker->cmd->sizes_on) == 0) {
        stat_line(s, "sizes_status", "disabled");
        end(s);
    } else if (!cmd_dump_begin(s, CMD_DUMP_SIZES, NULL, UINT64_MAX, UINT64_MAX)) {
        cmd_line_lit(s, "SERVER_ERROR out of memory writing stats");
    }
}

/* These two answer without END, as memcached does. */
static void group_sizes_enable(struct session *s, const struct args *a) {
    (void)a;
    sync_store(&s->worker->cmd->sizes_on, 1);
    stat_line(s, "sizes_status", "enabled");
}

static void group_sizes_disable(struct session *s, const struct args *a) {
    (void)a;
    sync_store(&s->worker->cmd->sizes_on, 0);
    stat_line(s, "sizes_status", "disabled");
}

static void group_cachedump(struct session *s, const struct args *a) {
    uint32_t class, limit;
    if (s->worker->cmd->cfg.no_dump) {
        cmd_line_lit(s, "CLIENT_ERROR stats cachedump not allowed");
    } else if (a->n < 2) {
        cmd_line_lit(s, "CLIENT_ERROR bad command line");
    } else if (!text_u32(a->word[0].p, a->word[0].n, &class) || !text_u32(a->word[1].p, a->word[1].n, &limit)) {
        cmd_line_lit(s, CMD_BAD_FORMAT);
    } else if (class >= CACHEDUMP_CLASSES) {
        cmd_line_lit(s, "CLIENT_ERROR Illegal slab id");
    } else if (class != 1) {
        end(s);
    } else if (!cmd_dump_begin(s, CMD_DUMP_CACHE, NULL, limit == 0 ? UINT64_MAX : limit, CACHEDUMP_MAX)) {
        cmd_line_lit(s, "SERVER_ERROR out of memory writing stats");
    }
}

/* Storage outside memory: there is none, and nothing to say about it. */
static void group_extstore(struct session *s, const struct args *a) {
    (void)a;
    end(s);
}

static void group_cluster(struct session *s, const struct args *a) {
    (void)a;
    cmd_cluster_stats(s);
}

static const struct {
    const char *name;
    void (*show)(struct session *s, const struct args *a);
} groups[] = {
    {"settings", group_settings},
    {"items", group_items},
    {"slabs", group_slabs},
    {"sizes", group_sizes},
    {"sizes_enable", group_sizes_enable},
    {"sizes_disable", group_sizes_disable},
    {"conns", group_conns},
    {"reset", group_reset},
    {"detail", group_detail},
    {"cachedump", group_cachedump},
    {"tags", group_tags},
    {"purge", group_purge},
    {"extstore", group_extstore},
    {"cluster", group_cluster},
};

void cmd_stats(struct session *s, struct request *r) {
    struct text_token words[4];
    unsigned n = cmd_split(r, words, 4);
    struct args a = {.n = 0};
    if (n < 2) {
        group_general(s, &a);
        return;
    }
    for (; a.n < 2 && a.n + 2 < n; a.n++) a.word[a.n] = words[a.n + 2];
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        if (!text_is(&words[1], groups[i].name, strlen(groups[i].name))) continue;
        groups[i].show(s, &a);
        return;
    }
    cmd_line_lit(s, "ERROR");
}
