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
#include "cmd/cmd_stat_line.h"
#include "cmd/instance.h"
#include "cmd/observers.h"
#include "cmd/session.h"
#include "proto/text.h"

#define DETAIL_PREFIXES 16384 /* in all tables together */
#define DETAIL_BUCKETS 4096   /* of a table */
#define DETAIL_KINDS 4        /* enum cmd_detail_kind */
#define HEAD_MAX 64           /* bytes of a packet in front of the lines of a dump, or behind them */

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

/* The prefix in a worker's table, which is locked, added if it is new; NULL: there are too many, or no memory. */
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
    if (end == NULL) return; /* a key without the delimiter is not counted, as in memcached */
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

/* The lines of a dump, END and all, as they are sent; *n: its length. NULL if there is no memory. */
static char *dump_lines(struct prefix *const *sum, size_t bytes, const struct cmd_stat_line *to, size_t *n) {
    char *text = malloc(HEAD_MAX + bytes + 8 + HEAD_MAX);
    if (text == NULL) return NULL;
    char *const lines = text + HEAD_MAX, *p = lines;
    for (unsigned i = 0; i < DETAIL_BUCKETS; i++)
        for (const struct prefix *e = sum[i]; e != NULL; e = e->next)
            p += sprintf(p, "PREFIX %.*s get %" PRIu64 " hit %" PRIu64 " set %" PRIu64 " del %" PRIu64 "\r\n", e->len,
                         e->name, e->count[CMD_DETAIL_GET], e->count[CMD_DETAIL_HIT], e->count[CMD_DETAIL_SET],
                         e->count[CMD_DETAIL_DELETE]);
    p += sprintf(p, "END\r\n");
    *n = (size_t)(p - lines);
    const size_t head = to->packets ? cmd_stat_line_head(to, text, "detailed", (uint32_t)*n) : 0;
    memmove(text + head, lines, *n);
    *n += head;
    if (to->packets) *n += cmd_stat_line_head(to, text + *n, NULL, 0);
    return text;
}

void cmd_detail_dump(const struct cmd_stat_line *to) {
    struct cmd *cmd = to->s->worker->cmd;
    struct prefix **sum = calloc(DETAIL_BUCKETS, sizeof(struct prefix *));
    size_t bytes = 0, n = 0;
    bool ok = sum != NULL;
    for (unsigned i = 0; ok && i < cmd->nworkers; i++) ok = add_up(sum, &cmd->detail->tables[i], &bytes);
    char *text = ok ? dump_lines(sum, bytes, to, &n) : NULL;
    if (sum != NULL) empty(sum);
    free(sum);
    if (text != NULL)
        cmd_dump_text(to->s, text, n);
    else
        cmd_stat_line_error(to, BINARY_NO_MEMORY, "SERVER_ERROR out of memory writing stats");
}

bool cmd_detail_switch(struct cmd *cmd, const struct text_token *word) {
    if (text_is_lit(word, "on"))
        sync_or(&cmd->observed, CMD_OBSERVE_DETAIL);
    else if (text_is_lit(word, "off"))
        sync_and(&cmd->observed, ~(uint32_t)CMD_OBSERVE_DETAIL);
    else
        return false;
    return true;
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
