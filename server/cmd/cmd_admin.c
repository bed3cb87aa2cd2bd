/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_admin - commands for whoever runs the server. Those that tune what memcached has and this server has not (slabs,
 * LRU lists, the crawler) check their arguments as memcached does, answer OK, and say once in the log that they do
 * nothing. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/sync.h"
#include "cmd/cmd_dump.h"
#include "cmd/cmd_purge.h"
#include "cmd/cmd_table.h"
#include "cmd/cmd_watch.h"
#include "cmd/instance.h"
#include "cmd/reply.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "proto/keytags.h"
#include "proto/text.h"
#include "store/store.h"

#define CRAWLER_CLASSES 64        /* class ids are below this */
#define SLAB_CLASSES 63           /* those of slabs below this */
#define CRAWLER_SLEEP_MAX 1000000 /* microseconds */
#define AUTOMOVE_WINDOW_MIN 3     /* seconds */
#define AUTOMOVE_WINDOW_MAX 1800
#define MEMLIMIT_MIN 8 /* megabytes */
#define MEMLIMIT_MAX 1000000000

/* The last word when it says noreply: rare commands are parsed here, not by the dispatcher. */
static unsigned split(struct request *r, struct text_token *words, unsigned max) {
    unsigned n = cmd_split(r, words, max);
    if (n > 0 && n <= max && text_is_lit(&words[n - 1], "noreply")) r->noreply = true;
    return n;
}

static void ok(struct session *s, const struct request *r) {
    cmd_reply_lit(s, r, "OK");
}

static void error(struct session *s, const struct request *r) {
    cmd_reply_lit(s, r, "ERROR");
}

static void bad_format(struct session *s, const struct request *r) {
    cmd_reply_lit(s, r, CMD_BAD_FORMAT);
}

/* OK to a command that has no effect here; `bit` numbers the command. */
static void ok_without_effect(struct session *s, const struct request *r, unsigned bit) {
    struct cmd *cmd = s->worker->cmd;
    if (!sync_set_bit(&cmd->no_effect_logged, bit))
        log_event(cmd->cfg.log, LOG_ALWAYS, "no_effect",
                  "command=%s reason=\"accepted for memcached's sake, nothing to tune\"", r->row->name);
    ok(s, r);
}

/* A word as a floating-point number; as strict as text_u64. */
static bool word_double(const struct text_token *t, double *out) {
    char copy[64], *end;
    if (t->n == 0 || t->n >= sizeof copy) return false;
    memcpy(copy, t->p, t->n);
    copy[t->n] = '\0';
    errno = 0;
    *out = strtod(copy, &end);
    return errno == 0 && *end == '\0';
}

static bool word_u32(const struct text_token *t, uint32_t *out) {
    return text_u32(t->p, t->n, out);
}

void cmd_shutdown(struct session *s, struct request *r) {
    struct cmd *cmd = s->worker->cmd;
    struct text_token w[3];
    unsigned n = cmd_split(r, w, 3);
    enum cmd_shutdown mode = CMD_SHUTDOWN_NOW;
    if (!cmd->cfg.shutdown) {
        cmd_reply_lit(s, r, "SERVER_ERROR: shutdown not enabled");
        return;
    }
    if (n == 2 && text_is_lit(&w[1], "graceful")) {
        mode = CMD_SHUTDOWN_GRACEFUL;
    } else if (n > 1) {
        cmd_reply_lit(s, r, "CLIENT_ERROR invalid shutdown mode");
        return;
    }
    cmd_watch_sysevent(cmd, "shutdown", mode == CMD_SHUTDOWN_GRACEFUL ? "mode=graceful" : "mode=now");
    cmd_end(s, CMD_END_SHUTDOWN);
    cmd->cfg.up.shutdown(cmd->cfg.up.arg, mode);
}

void cmd_refresh_certs(struct session *s, struct request *r) {
    const struct cmd_upcalls *up = &s->worker->cmd->cfg.up;
    struct text_token w[3];
    struct cmd_net_stats net;
    char err[256] = "";
    (void)split(r, w, 3);
    up->net_stats(up->arg, &net);
    if (net.cert_time == 0) { /* none were ever loaded */
        cmd_reply_lit(s, r, "Error TLS not enabled");
    } else if (up->refresh_certs(up->arg, err, sizeof err)) {
        cmd_watch_sysevent(s->worker->cmd, "refresh_certs", "status=ok");
        ok(s, r);
    } else {
        cmd_watch_sysevent(s->worker->cmd, "refresh_certs", "status=failed");
        if (!r->noreply) cmd_linef(s, "Error %s", err);
    }
}

void cmd_cache_memlimit(struct session *s, struct request *r) {
    struct cmd *cmd = s->worker->cmd;
    struct text_token w[4];
    unsigned n = split(r, w, 4);
    uint64_t mb;
    if (n < 2 || n > 3 || !text_u64(w[1].p, w[1].n, &mb)) {
        error(s, r);
    } else if (mb < MEMLIMIT_MIN) {
        cmd_reply_lit(s, r, "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m");
    } else if (mb > MEMLIMIT_MAX) {
        cmd_reply_lit(s, r, "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes");
    } else if (!store_set_limit(cmd->store, mb << 20)) {
        cmd_reply_lit(s, r, "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust");
    } else {
        char text[40];
        snprintf(text, sizeof text, "megabytes=%llu", (unsigned long long)mb);
        cmd_watch_sysevent(cmd, "memlimit", text);
        ok(s, r);
    }
}

/* ------------------------------------------------------------------ lru_crawler */

/* Whether a list of classes, "1,2,3", is one; *ours: class 1 is in it. */
static bool class_list(const struct text_token *t, bool *ours) {
    size_t at = 0;
    *ours = false;
    while (at < t->n) {
        const char *p = t->p + at, *comma = memchr(p, ',', t->n - at);
        size_t n = comma != NULL ? (size_t)(comma - p) : t->n - at;
        uint32_t class;
        at += n + 1;
        if (n == 0) continue; /* 1,,2 */
        if (!text_u32(p, n, &class) || class == 0 || class >= CRAWLER_CLASSES) return false;
        *ours |= class == 1;
    }
    return true;
}

/* Reads tag=SELECTOR in place of classes; *of is NULL when it is not that. False: there is no selector behind it. */
static bool tag_selector(struct session *s, const struct text_token *which, struct store_selector **of) {
    *of = NULL;
    if (which->n < 4 || memcmp(which->p, "tag=", 4) != 0) return true;
    if (!keytags_is_selector(which->p + 4, which->n - 4)) return false;
    *of = s->worker->selectors;
    cmd_purge_selector(which->p + 4, which->n - 4, *of);
    return true;
}

static void crawler_dump(struct session *s, const struct request *r, const struct text_token *which, bool meta) {
    struct store_selector *of;
    bool ours = true;
    if (s->worker->cmd->cfg.no_dump) {
        if (meta)
            cmd_line_lit(s, "ERROR metadump not allowed");
        else
            cmd_line_lit(s, "ERROR key dump not allowed");
    } else if (!tag_selector(s, which, &of)) {
        bad_format(s, r);
    } else if (of == NULL && !text_is_lit(which, "all") && !text_is_lit(which, "hash") && !class_list(which, &ours)) {
        cmd_reply_lit(s, r, "BADCLASS invalid class id");
    } else if (!ours) { /* every item is of class 1 */
        cmd_line_lit(s, "OK");
        if (meta)
            cmd_line_lit(s, "END");
        else
            cmd_line_lit(s, "EN");
    } else if (cmd_dump_begin(s, meta ? CMD_DUMP_META : CMD_DUMP_MG, of, UINT64_MAX, UINT64_MAX)) {
        cmd_line_lit(s, "OK"); /* the dump itself begins after this upcall */
    } else {
        cmd_line_lit(s, "SERVER_ERROR out of memory");
    }
}

static void crawler_crawl(struct session *s, const struct request *r, const struct text_token *which) {
    bool ours;
    if (text_is_lit(which, "all") || class_list(which, &ours))
        ok_without_effect(s, r, CMD_ID_lru_crawler - CMD_ID_cache_memlimit);
    else
        cmd_reply_lit(s, r, "BADCLASS invalid class id");
}

static void crawler_number(struct session *s, const struct request *r, const struct text_token *word, bool sleep) {
    uint32_t v;
    if (!word_u32(word, &v))
        bad_format(s, r);
    else if (sleep && v > CRAWLER_SLEEP_MAX)
        cmd_reply_lit(s, r, "CLIENT_ERROR sleep must be one second or less");
    else
        ok_without_effect(s, r, CMD_ID_lru_crawler - CMD_ID_cache_memlimit);
}

void cmd_lru_crawler(struct session *s, struct request *r) {
    struct text_token w[4];
    unsigned n = split(r, w, 4);
    if (n == 3 && text_is_lit(&w[1], "metadump"))
        crawler_dump(s, r, &w[2], true);
    else if (n == 3 && text_is_lit(&w[1], "mgdump"))
        crawler_dump(s, r, &w[2], false);
    else if (n == 3 && text_is_lit(&w[1], "crawl"))
        crawler_crawl(s, r, &w[2]);
    else if (n == 3 && text_is_lit(&w[1], "tocrawl"))
        crawler_number(s, r, &w[2], false);
    else if (n == 3 && text_is_lit(&w[1], "sleep"))
        crawler_number(s, r, &w[2], true);
    else if (n == 2 && (text_is_lit(&w[1], "enable") || text_is_lit(&w[1], "disable")))
        ok_without_effect(s, r, CMD_ID_lru_crawler - CMD_ID_cache_memlimit);
    else
        error(s, r);
}

/* ------------------------------------------------------------------ lru, slabs */

static void lru_tune(struct session *s, const struct request *r, const struct text_token *w) {
    uint32_t hot, warm;
    double hot_age, warm_age;
    if (!word_u32(&w[0], &hot) || !word_u32(&w[1], &warm) || !word_double(&w[2], &hot_age) ||
        !word_double(&w[3], &warm_age))
        error(s, r);
    else if ((uint64_t)hot + warm > 80)
        cmd_reply_lit(s, r, "ERROR hot and warm pcts must not exceed 80");
    else if (!(hot_age > 0) || !(warm_age > 0))
        cmd_reply_lit(s, r, "ERROR hot/warm age factors must be greater than 0");
    else
        ok_without_effect(s, r, CMD_ID_lru - CMD_ID_cache_memlimit);
}

void cmd_lru(struct session *s, struct request *r) {
    struct text_token w[8];
    unsigned n = split(r, w, 8), bit = CMD_ID_lru - CMD_ID_cache_memlimit;
    int64_t ttl;
    if (n >= 6 && text_is_lit(&w[1], "tune"))
        lru_tune(s, r, w + 2);
    else if (n >= 3 && text_is_lit(&w[1], "mode") && (text_is_lit(&w[2], "flat") || text_is_lit(&w[2], "segmented")))
        ok_without_effect(s, r, bit);
    else if (n >= 3 && text_is_lit(&w[1], "temp_ttl") && text_i64(w[2].p, w[2].n, &ttl))
        ok_without_effect(s, r, bit);
    else
        error(s, r);
}

static void slabs_reassign(struct session *s, const struct request *r, const struct text_token *w) {
    int64_t from, to;
    if (!text_i64(w[0].p, w[0].n, &from) || !text_i64(w[1].p, w[1].n, &to))
        bad_format(s, r);
    else if (from == to)
        cmd_reply_lit(s, r, "SAME src and dst class are identical");
    else if (from < 0 || to < 0 || from >= SLAB_CLASSES || to >= SLAB_CLASSES)
        cmd_reply_lit(s, r, "BADCLASS invalid src or dst class id");
    else
        ok_without_effect(s, r, CMD_ID_slabs - CMD_ID_cache_memlimit);
}

/* slabs automove window <number>. */
static void automove_window(struct session *s, const struct request *r, const struct text_token *word) {
    uint32_t v;
    if (!word_u32(word, &v))
        bad_format(s, r);
    else if (v < AUTOMOVE_WINDOW_MIN || v > AUTOMOVE_WINDOW_MAX)
        cmd_reply_lit(s, r, "CLIENT_ERROR automove window too low or too high");
    else
        ok_without_effect(s, r, CMD_ID_slabs - CMD_ID_cache_memlimit);
}

/* slabs automove <0|1|2>, or ratio|freeratio|window <number>. */
static void slabs_automove(struct session *s, const struct request *r, const struct text_token *w, unsigned n) {
    unsigned bit = CMD_ID_slabs - CMD_ID_cache_memlimit;
    double d;
    uint32_t v;
    if (text_is_lit(&w[0], "window")) {
        automove_window(s, r, n >= 2 ? &w[1] : &w[0]); /* without one, the word itself is no number */
    } else if (text_is_lit(&w[0], "ratio") || text_is_lit(&w[0], "freeratio")) {
        n >= 2 && word_double(&w[1], &d) ? ok_without_effect(s, r, bit) : error(s, r);
    } else if (!word_u32(&w[0], &v)) {
        bad_format(s, r);
    } else if (v > 2) {
        error(s, r);
    } else {
        ok_without_effect(s, r, bit);
    }
}

void cmd_slabs(struct session *s, struct request *r) {
    struct text_token w[6];
    unsigned n = split(r, w, 6);
    if (n == 4 && text_is_lit(&w[1], "reassign"))
        slabs_reassign(s, r, w + 2);
    else if (n >= 3 && text_is_lit(&w[1], "automove"))
        slabs_automove(s, r, w + 2, n - 2);
    else
        error(s, r);
}
