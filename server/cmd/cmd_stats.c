/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_stats.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sync.h"
#include "cmd/cmd_cluster.h"
#include "cmd/cmd_conns.h"
#include "cmd/cmd_detail.h"
#include "cmd/cmd_dump.h"
#include "cmd/cmd_hot.h"
#include "cmd/cmd_metrics.h"
#include "cmd/cmd_snapshot.h"
#include "cmd/cmd_stat_line.h"
#include "cmd/cmd_watch.h"
#include "cmd/instance.h"
#include "cmd/observers.h"
#include "cmd/reply.h"
#include "cmd/session.h"
#include "proto/text.h"
#include "store/store.h"

#define CACHEDUMP_MAX (2u << 20) /* bytes of a `stats cachedump` */
#define CACHEDUMP_CLASSES 64     /* class ids from here on are illegal */

/* ------------------------------------------------------------------ rows */

/* Kinds of rows that are shown only where there is what they count. */
#define line_if(condition, to, prefix, name, value)                                                                    \
    do {                                                                                                               \
        if (condition) cmd_stat_line_U((to), (prefix), (name), (value));                                               \
    } while (0)
#define cmd_stat_line_IDLE(to, prefix, name, value) line_if(v->net.idle_timeout, to, prefix, name, value)
#define cmd_stat_line_TLS(to, prefix, name, value) line_if(v->net.cert_time != 0, to, prefix, name, value)
#define cmd_stat_line_CACHE(to, prefix, name, value) line_if(v->net.ssl_session_cache, to, prefix, name, value)

/* The rows of a group, each named once, in the group's .def. */
#define STAT(name, kind, value, help) cmd_stat_line_##kind(to, prefix, #name, (value));

static void rows_general(const struct cmd_stat_line *to, const struct cmd_snapshot *v) {
    const char *prefix = "";
#include "cmd/stats.general.def"
}

static void rows_items(const struct cmd_stat_line *to, const struct cmd_snapshot *v) {
    const char *prefix = "items:1:";
#include "cmd/stats.items.def"
}

static void rows_slabs(const struct cmd_stat_line *to, const struct cmd_snapshot *v) {
    const char *prefix = "1:";
#include "cmd/stats.slabs.def"
}

static void rows_tags(const struct cmd_stat_line *to, const struct cmd_snapshot *v) {
    const char *prefix = "";
#include "cmd/stats.tags.def"
}

static void rows_purge(const struct cmd_stat_line *to, const struct cmd_snapshot *v) {
    const char *prefix = "";
#include "cmd/stats.purge.def"
}
#undef STAT

/* ------------------------------------------------------------------ groups */

/* What follows the group's name, and whom to answer. */
struct args {
    struct cmd_stat_line to;
    struct text_token word[2];
    unsigned n;
};

static void end(const struct args *a) {
    cmd_stat_line_end(&a->to);
}

typedef void rows_fn(const struct cmd_stat_line *to, const struct cmd_snapshot *v);

static void show(const struct args *a, rows_fn *rows) {
    struct cmd_snapshot v;
    cmd_snapshot_take(a->to.s->worker->cmd, &v);
    rows(&a->to, &v);
    end(a);
}

/* Answers that something was done: a line, or the packet that ends statistics. */
static void done(const struct args *a, const char *line) {
    if (a->to.packets)
        end(a);
    else
        cmd_line(a->to.s, line, strlen(line));
}

static void no_memory(const struct args *a) {
    cmd_stat_line_error(&a->to, BINARY_NO_MEMORY, "SERVER_ERROR out of memory writing stats");
}

/* memcached has this group for text only. */
static bool is_for_text(const struct args *a) {
    if (a->to.packets) cmd_stat_line_error(&a->to, BINARY_NOT_FOUND, "");
    return !a->to.packets;
}

static void group_general(struct session *s, const struct args *a) {
    (void)s;
    show(a, rows_general);
}

/* No class is listed before it holds something, as in memcached. */
static void group_items(struct session *s, const struct args *a) {
    struct store_gauges g;
    store_gauges(s->worker->cmd->store, &g);
    if (g.items == 0)
        end(a);
    else
        show(a, rows_items);
}

static void group_slabs(struct session *s, const struct args *a) {
    struct cmd_snapshot v;
    cmd_snapshot_take(s->worker->cmd, &v);
    rows_slabs(&a->to, &v);
    cmd_stat_line_U(&a->to, "", "active_slabs", 1);
    cmd_stat_line_U(&a->to, "", "total_malloced", v.store.segments * v.store.segment_bytes);
    end(a);
}

static void group_tags(struct session *s, const struct args *a) {
    (void)s;
    show(a, rows_tags);
}

static void group_purge(struct session *s, const struct args *a) {
    (void)s;
    show(a, rows_purge);
}

static void setting(void *arg, const char *name, const char *value) {
    cmd_stat_line_S(arg, "", name, value);
}

static void group_settings(struct session *s, const struct args *a) {
    struct cmd_stat_line to = a->to;
    cmd_snapshot_settings(s->worker->cmd, setting, &to);
    end(a);
}

static void group_conns(struct session *s, const struct args *a) {
    if (is_for_text(a)) cmd_conns_command(s);
}

static void group_detail(struct session *s, const struct args *a) {
    if (s->worker->cmd->cfg.no_dump) /* it shows parts of keys */
        cmd_stat_line_error(&a->to, BINARY_NOT_FOUND, "CLIENT_ERROR stats detail not allowed");
    else if (a->n > 0 && text_is_lit(&a->word[0], "dump"))
        cmd_detail_dump(&a->to);
    else if (a->n > 0 && cmd_detail_switch(s->worker->cmd, &a->word[0]))
        done(a, "OK");
    else
        cmd_stat_line_error(&a->to, BINARY_NOT_FOUND, "CLIENT_ERROR usage: stats detail on|off|dump");
}

static void group_reset(struct session *s, const struct args *a) {
    struct cmd *cmd = s->worker->cmd;
    cmd_metrics_reset(cmd);
    store_metrics_reset(cmd->store);
    cmd->cfg.up.net_reset(cmd->cfg.up.arg);
    cmd_detail_reset(cmd);
    done(a, "RESET");
}

static void group_sizes(struct session *s, const struct args *a) {
    if (sync_load(&s->worker->cmd->sizes_on) == 0) {
        cmd_stat_line_S(&a->to, "", "sizes_status", "disabled");
        end(a);
    } else if (!cmd_dump_sizes(&a->to)) {
        no_memory(a);
    }
}

/* A line without END behind it, as memcached answers these two; packets do end. */
static void sizes_switched(const struct args *a, const char *status) {
    cmd_stat_line_S(&a->to, "", "sizes_status", status);
    if (a->to.packets) end(a);
}

static void group_sizes_enable(struct session *s, const struct args *a) {
    sync_store(&s->worker->cmd->sizes_on, 1);
    sizes_switched(a, "enabled");
}

static void group_sizes_disable(struct session *s, const struct args *a) {
    sync_store(&s->worker->cmd->sizes_on, 0);
    sizes_switched(a, "disabled");
}

static void group_cachedump(struct session *s, const struct args *a) {
    uint32_t class, limit;
    if (!is_for_text(a)) return;
    if (s->worker->cmd->cfg.no_dump) {
        cmd_line_lit(s, "CLIENT_ERROR stats cachedump not allowed");
    } else if (a->n < 2) {
        cmd_line_lit(s, "CLIENT_ERROR bad command line");
    } else if (!text_u32(a->word[0].p, a->word[0].n, &class) || !text_u32(a->word[1].p, a->word[1].n, &limit)) {
        cmd_line_lit(s, CMD_BAD_FORMAT);
    } else if (class >= CACHEDUMP_CLASSES) {
        cmd_line_lit(s, "CLIENT_ERROR Illegal slab id");
    } else if (class != 1) {
        end(a);
    } else if (!cmd_dump_begin(s, CMD_DUMP_CACHE, NULL, limit == 0 ? UINT64_MAX : limit, CACHEDUMP_MAX)) {
        no_memory(a);
    }
}

/* Storage outside memory: there is none, and nothing to say about it. */
static void group_extstore(struct session *s, const struct args *a) {
    (void)s;
    if (is_for_text(a)) end(a);
}

static void group_cluster(struct session *s, const struct args *a) {
    (void)s;
    cmd_cluster_stats(&a->to);
}

static void group_hotkeys(struct session *s, const struct args *a) {
    if (s->worker->cmd->cfg.no_dump) /* it shows keys */
        cmd_stat_line_error(&a->to, BINARY_NOT_FOUND, "CLIENT_ERROR stats hotkeys not allowed");
    else
        cmd_hot_stats(&a->to);
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
    {"hotkeys", group_hotkeys},
};

void cmd_stats_show(struct session *s, const struct request *r, const struct text_token *words, unsigned n) {
    struct args a = {.to = cmd_stat_line_to(s, r)};
    if (n == 0) {
        group_general(s, &a);
        return;
    }
    for (; a.n < 2 && a.n + 1 < n; a.n++) a.word[a.n] = words[a.n + 1];
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        if (!text_is(&words[0], groups[i].name, strlen(groups[i].name))) continue;
        groups[i].show(s, &a);
        return;
    }
    cmd_stat_line_error(&a.to, BINARY_NOT_FOUND, "ERROR");
}

void cmd_stats(struct session *s, struct request *r) {
    struct text_token words[4];
    const unsigned n = cmd_split(r, words, 4);
    cmd_stats_show(s, r, words + 1, n - 1);
}
