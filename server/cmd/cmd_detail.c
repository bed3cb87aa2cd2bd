/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Each worker counts in a table of its own, under a lock that only a dump or a reset ever contends for; a dump adds
 * the tables up. The number of prefixes in all is bounded: keys of further prefixes are only counted as lost. */
#include "cmd/cmd_detail.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/sync.h"
#include "cmd/cmd_dump.h"
#include "cmd/instance.h"
#include "cmd/observers.h"
#include "cmd/reply.h"
#include "cmd/session.h"
#include "proto/text.h"

#define DETAIL_PREFIXES 16384 /* in all tables together */
#define DETAIL_BUCKETS 4096   /* of a table */
#define DETAIL_KINDS 4        /* enum cmd_detail_kind */

struct prefix {
    struct prefix *next;
    uint64_t hash;
    uint64_t count[DETAIL_KINDS];
    uint8_t len;
    char name[];
};

struct table {
    pthread_mutex_t lock;
    struct prefix **buckets; /* made when the first prefix comes */
};

struct cmd_detail {
    uint32_t prefixes;     /* in all tables; relaxed */
    uint64_t lost;         /* keys not counted because there were too many prefixes; relaxed */
    struct table tables[]; /* one a worker */
};

static struct prefix *find(struct prefix *const *buckets, uint64_t hash, const char *name, size_t n) {
    struct prefix *p = buckets[hash % DETAIL_BUCKETS];
    while (p != NULL && !(p->hash == hash && p->len == n && memcmp(p->name, name, n) == 0)) p = p->next;
    return p;
}

/* Adds a prefix; NULL if there is no memory. */
static struct prefix *add(struct prefix **buckets, uint64_t hash, const char *name, size_t n) {
    struct prefix *p = calloc(1, sizeof *p + n);
    if (p == NULL) return NULL;
    p->hash = hash;
    p->len = (uint8_t)n;
    memcpy(p->name, name, n);
    p->next = buckets[hash % DETAIL_BUCKETS];
    buckets[hash % DETAIL_BUCKETS] = p;
    return p;
}

static void empty(struct prefix **buckets) {
    for (unsigned i = 0; i < DETAIL_BUCKETS; i++) {
        for (struct prefix *p = buckets[i], *next; p != NULL; p = next) {
            next = p->next;
            free(p);
        }
        buckets[i] = NULL;
    }
}

/* The counters of a prefix in a worker's table, which is locked; NULL if it is new and there is no room. */
static struct prefix *find_or_add(struct cmd_detail *d, struct table *t, const char *name, size_t n) {
    uint64_t hash = hash_key(name, n, 0);
    if (t->buckets == NULL && (t->buckets = calloc(DETAIL_BUCKETS, sizeof(struct prefix *))) == NULL) return NULL;
    struct prefix *p = find(t->buckets, hash, name, n);
    if (p != NULL) return p;
    if (sync_load(&d->prefixes) >= DETAIL_PREFIXES) return NULL;
    p = add(t->buckets, hash, name, n);
    if (p != NULL) sync_add(&d->prefixes, 1);
    return p;
}

void cmd_detail_count(struct session *s, enum cmd_detail_kind kind, const char *key, size_t n) {
    struct cmd_detail *d = s->worker->cmd->detail;
    const char *end = memchr(key, s->worker->cmd->cfg.stats_delimiter, n < 250 ? n : 250);
    if (end == NULL) return; /* a key without prefix is nobody's, as in memcached */
    struct table *t = &d->tables[s->worker->index];
    pthread_mutex_lock(&t->lock);
    struct prefix *p = find_or_add(d, t, key, (size_t)(end - key));
    if (p != NULL) p->count[kind]++;
    pthread_mutex_unlock(&t->lock);
    if (p == NULL) sync_add(&d->lost, 1);
}

/* ------------------------------------------------------------------ dumping */

/* Adds a worker's table to sum. False if there is no memory. */
static bool add_up(struct prefix **sum, struct table *t, size_t *bytes) {
    bool ok = true;
    pthread_mutex_lock(&t->lock);
    for (unsigned i = 0; ok && t->buckets != NULL && i < DETAIL_BUCKETS; i++) {
        for (const struct prefix *p = t->buckets[i]; ok && p != NULL; p = p->next) {
            struct prefix *to = find(sum, p->hash, p->name, p->len);
            if (to == NULL && (to = add(sum, p->hash, p->name, p->len)) != NULL) *bytes += p->len + 128u;
            ok = to != NULL;
            for (unsigned k = 0; ok && k < DETAIL_KINDS; k++) to->count[k] += p->count[k];
        }
    }
    pthread_mutex_unlock(&t->lock);
    return ok;
}

/* The lines of a dump, END and all; *n: its length. NULL if there is no memory. */
static char *dump_lines(struct prefix *const *sum, size_t bytes, size_t *n) {
    char *text = malloc(bytes + 8), *p = text;
    if (text == NULL) return NULL;
    for (unsigned i = 0; i < DETAIL_BUCKETS; i++)
        for (const struct prefix *e = sum[i]; e != NULL; e = e->next)
            p += sprintf(p, "PREFIX %.*s get %" PRIu64 " hit %" PRIu64 " set %" PRIu64 " del %" PRIu64 "\r\n", e->len,
                         e->name, e->count[CMD_DETAIL_GET], e->count[CMD_DETAIL_HIT], e->count[CMD_DETAIL_SET],
                         e->count[CMD_DETAIL_DELETE]);
    p += sprintf(p, "END\r\n");
    *n = (size_t)(p - text);
    return text;
}

static void detail_dump(struct session *s) {
    struct cmd *cmd = s->worker->cmd;
    struct prefix **sum = calloc(DETAIL_BUCKETS, sizeof(struct prefix *));
    size_t bytes = 0, n = 0;
    bool ok = sum != NULL;
    for (unsigned i = 0; ok && i < cmd->nworkers; i++) ok = add_up(sum, &cmd->detail->tables[i], &bytes);
    char *text = ok ? dump_lines(sum, bytes, &n) : NULL;
    if (sum != NULL) empty(sum);
    free(sum);
    if (text != NULL)
        cmd_dump_text(s, text, n);
    else
        cmd_line_lit(s, "SERVER_ERROR out of memory writing stats");
}

void cmd_detail_command(struct session *s, const struct text_token *arg) {
    struct cmd *cmd = s->worker->cmd;
    if (arg != NULL && text_is_lit(arg, "on")) {
        sync_or(&cmd->observed, CMD_OBSERVE_DETAIL);
        cmd_line_lit(s, "OK");
    } else if (arg != NULL && text_is_lit(arg, "off")) {
        sync_and(&cmd->observed, ~(uint32_t)CMD_OBSERVE_DETAIL);
        cmd_line_lit(s, "OK");
    } else if (arg != NULL && text_is_lit(arg, "dump")) {
        detail_dump(s);
    } else {
        cmd_line_lit(s, "CLIENT_ERROR usage: stats detail on|off|dump");
    }
}

/* ------------------------------------------------------------------ life */

int cmd_detail_new(struct cmd *cmd) {
    struct cmd_detail *d = calloc(1, sizeof *d + cmd->nworkers * sizeof *d->tables);
    if (d == NULL) return -ENOMEM;
    for (unsigned i = 0; i < cmd->nworkers; i++) pthread_mutex_init(&d->tables[i].lock, NULL);
    cmd->detail = d;
    if (cmd->cfg.stats_detail) sync_or(&cmd->observed, CMD_OBSERVE_DETAIL);
    return 0;
}

void cmd_detail_reset(struct cmd *cmd) {
    for (unsigned i = 0; i < cmd->nworkers; i++) {
        struct table *t = &cmd->detail->tables[i];
        uint32_t n = 0;
        pthread_mutex_lock(&t->lock);
        for (unsigned b = 0; t->buckets != NULL && b < DETAIL_BUCKETS; b++)
            for (const struct prefix *p = t->buckets[b]; p != NULL; p = p->next) n++;
        if (t->buckets != NULL) empty(t->buckets);
        pthread_mutex_unlock(&t->lock);
        sync_sub(&cmd->detail->prefixes, n);
    }
    sync_store(&cmd->detail->lost, 0);
}

void cmd_detail_free(struct cmd *cmd) {
    struct cmd_detail *d = cmd->detail;
    if (d == NULL) return;
    for (unsigned i = 0; i < cmd->nworkers; i++) {
        struct table *t = &d->tables[i];
        if (t->buckets != NULL) empty(t->buckets);
        free(t->buckets);
        pthread_mutex_destroy(&t->lock);
    }
    free(d);
    cmd->detail = NULL;
}
