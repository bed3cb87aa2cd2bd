/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_dump.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cmd/cmd_producer.h"
#include "cmd/cmd_watch_line.h"
#include "cmd/instance.h"
#include "cmd/reply.h"
#include "cmd/session.h"
#include "net/conn.h"
#include "proto/base64.h"
#include "proto/meta.h"
#include "proto/text.h"
#include "store/store.h"

#define DUMP_STEP 64        /* items shown in one section of the store, about */
#define DUMP_STEPS 32       /* sections in one upcall; others are served in between */
#define DUMP_LINE_MAX 1024  /* a key of 250 bytes escaped, and the rest */
#define SIZES_RUNNING_MAX 8 /* `stats sizes` under way on one worker: each takes 128 KiB */
#define SIZE_CLASS 32       /* bytes of a class of `stats sizes` */
#define SIZE_CLASSES 32768  /* classes counted in an array, up to 1 MiB; items beyond are listed in `large` */

struct dump {
    enum cmd_dump_kind kind;
    bool selects; /* only items that `of` selects */
    struct store_selector of;
    struct store_cursor cursor;
    uint64_t items, bytes; /* that may still be shown */
    int64_t epoch;         /* unix time of the store's time 0 */
    uint32_t now;          /* the store's time of this step */
    struct conn *conn;
    struct store_worker *store;
    /* CMD_DUMP_SIZES */
    struct cmd_stat_line to;
    uint32_t *classes;  /* SIZE_CLASSES */
    uint32_t *large;    /* the class of each item above 1 MiB: there are at most as many as MiB in the store */
    size_t nlarge, max; /* in use, allocated */
    bool failed;        /* no memory */
    size_t shown;       /* classes written so far, those of `large` counted behind SIZE_CLASSES */
};

uint64_t cmd_dump_item_bytes(const struct store_item *it) {
    uint64_t n = 10 + it->key_len + it->size;
    if (it->size > UINT16_MAX) n += 2;
    if (it->expiry != 0 || it->ntags > 0) n += 4;
    if (it->flags != 0) n += 4;
    if (it->cas != it->version) n += 8;
    if (it->ntags > 0) n += 1 + 8 * (uint64_t)it->ntags;
    return n;
}

/* ------------------------------------------------------------------ one item */

/* The unix time at which an item with an expiry dies. */
static int64_t end_of(const struct dump *d, const struct store_item *it) {
    return d->epoch + d->now + store_ttl(it->expiry, d->now);
}

static size_t meta_line(const struct dump *d, const struct store_item *it, char *out) {
    char *p = out;
    memcpy(p, "key=", 4);
    p = cmd_watch_escape(p + 4, it->key, it->key_len);
    int64_t exp = it->expiry == 0 ? -1 : end_of(d, it);
    p += sprintf(p, " exp=%" PRId64 " la=%" PRId64 " cas=%" PRIu64 " fetch=%s cls=1 size=%" PRIu64 " flags=%" PRIu32,
                 exp, d->epoch + d->now - store_item_age(d->store, it), it->cas,
                 (it->bits & STORE_FETCHED) != 0 ? "yes" : "no", cmd_dump_item_bytes(it), it->flags);
    if (d->selects) p += sprintf(p, " ntags=%u", it->ntags);
    *p++ = '\n';
    return (size_t)(p - out);
}

/* Whether the key can stand in a line as it is. */
static bool is_plain(const struct store_item *it) {
    for (unsigned i = 0; i < it->key_len; i++)
        if ((unsigned char)it->key[i] <= 0x20 || it->key[i] == 0x7f) return false;
    return true;
}

static size_t mg_line(const struct store_item *it, char *out) {
    char *p = out;
    memcpy(p, "mg ", 3);
    p += 3;
    if ((it->bits & STORE_B64) != 0) {
        p += base64_encode(it->key, it->key_len, p);
        memcpy(p, " b", 2);
        p += 2;
    } else {
        memcpy(p, it->key, it->key_len);
        p += it->key_len;
    }
    *p++ = '\r';
    *p++ = '\n';
    return (size_t)(p - out);
}

/* Leaves out a key with blanks or control bytes: it would break the line, and this format has no base64. */
static size_t cache_line(const struct dump *d, const struct store_item *it, char *out) {
    if (!is_plain(it)) return 0;
    int64_t exp = it->expiry == 0 ? 0 : end_of(d, it);
    return (size_t)sprintf(out, "ITEM %.*s [%" PRIu64 " b; %" PRId64 " s]\r\n", it->key_len, it->key, it->size, exp);
}

static void count_size(struct dump *d, const struct store_item *it) {
    uint64_t class = (cmd_dump_item_bytes(it) + SIZE_CLASS - 1) / SIZE_CLASS;
    if (class < SIZE_CLASSES) {
        d->classes[class]++;
        return;
    }
    if (d->nlarge == d->max) {
        size_t max = d->max == 0 ? 64 : d->max * 2;
        uint32_t *more = realloc(d->large, max * sizeof *more);
        if (more == NULL) {
            d->failed = true;
            return;
        }
        d->large = more;
        d->max = max;
    }
    d->large[d->nlarge++] = (uint32_t) class;
}

static bool dump_item(void *arg, const struct store_item *it) {
    struct dump *d = arg;
    if (d->kind == CMD_DUMP_SIZES) {
        count_size(d, it);
        return true;
    }
    if (d->selects && !store_item_selected(d->store, it, &d->of)) return true;
    if (d->items == 0)
        return true; /* all that were asked for are shown; the walk goes on to the group's end, or it would show the
                        group again */
    char *p = conn_reserve(d->conn, DUMP_LINE_MAX);
    size_t n = d->kind == CMD_DUMP_META ? meta_line(d, it, p)
               : d->kind == CMD_DUMP_MG ? mg_line(it, p)
                                        : cache_line(d, it, p);
    if (n > d->bytes) {
        d->items = 0;
        return true;
    }
    conn_commit(d->conn, n);
    d->bytes -= n;
    if (n > 0) d->items--;
    return true;
}

/* ------------------------------------------------------------------ the end */

static int by_class(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void size_line(const struct cmd_stat_line *to, uint64_t class, uint64_t n) {
    char name[24];
    snprintf(name, sizeof name, "%" PRIu64, class * SIZE_CLASS);
    cmd_stat_line_U(to, "", name, n);
}

/* Writes the next lines of `stats sizes` until the output is full. True: all of them are written. */
static bool write_sizes(struct dump *d) {
    if (d->failed) {
        cmd_stat_line_error(&d->to, BINARY_NO_MEMORY, "SERVER_ERROR out of memory writing stats");
        return true;
    }
    if (d->shown == 0 && d->nlarge > 0) qsort(d->large, d->nlarge, sizeof *d->large, by_class);
    for (size_t n = 1; d->shown < SIZE_CLASSES + d->nlarge; d->shown += n) {
        if (conn_full(d->conn)) return false;
        const size_t i = d->shown - (d->shown < SIZE_CLASSES ? 0 : SIZE_CLASSES);
        if (d->shown < SIZE_CLASSES) {
            if (d->classes[i] != 0) size_line(&d->to, i, d->classes[i]);
            continue;
        }
        for (n = 1; i + n < d->nlarge && d->large[i + n] == d->large[i];) n++;
        size_line(&d->to, d->large[i], n);
    }
    cmd_stat_line_end(&d->to);
    return true;
}

static void dump_free(struct session *s) {
    struct dump *d = s->produce_state;
    if (d->kind == CMD_DUMP_SIZES) s->worker->sizes_running--;
    free(d->classes);
    free(d->large);
    free(d);
}

/* Ends a dump whose walk is done. False: `stats sizes` is not written whole yet. */
static bool dump_finish(struct session *s, struct dump *d) {
    if (d->kind == CMD_DUMP_SIZES) {
        if (!write_sizes(d)) return false;
    } else if (d->kind == CMD_DUMP_MG) {
        conn_write(d->conn, "EN\r\n", 4);
    } else {
        conn_write(d->conn, "END\r\n", 5);
    }
    dump_free(s);
    cmd_producer_end(s);
    return true;
}

static void dump_produce(struct session *s) {
    struct dump *d = s->produce_state;
    struct store_worker *w = s->worker->store;
    for (unsigned i = 0; i < DUMP_STEPS; i++) {
        if (conn_full(s->conn)) return; /* it is called again when the output has drained */
        if (d->cursor.done || d->items == 0) {
            if (dump_finish(s, d)) return;
            continue;
        }
        store_enter(w);
        d->now = store_now(w);
        d->epoch = clock_wall_s(s->worker->cmd->cfg.clock) - d->now;
        store_walk(w, &d->cursor, DUMP_STEP, dump_item, d);
        store_leave(w);
    }
    conn_kick(s->conn);
}

static const struct cmd_producer dump_producer = {dump_produce, dump_free};

static struct dump *dump_new(struct session *s, enum cmd_dump_kind kind, uint64_t items, uint64_t bytes) {
    struct dump *d = calloc(1, sizeof *d);
    if (d == NULL) return NULL;
    *d = (struct dump){.kind = kind, .items = items, .bytes = bytes, .conn = s->conn, .store = s->worker->store};
    return d;
}

bool cmd_dump_begin(struct session *s, enum cmd_dump_kind kind, const struct store_selector *of, uint64_t items,
                    uint64_t bytes) {
    struct dump *d = dump_new(s, kind, items, bytes);
    if (d == NULL) return false;
    d->selects = of != NULL;
    if (of != NULL) d->of = *of;
    cmd_producer_begin(s, &dump_producer, d);
    return true;
}

bool cmd_dump_sizes(const struct cmd_stat_line *to) {
    struct session *s = to->s;
    if (s->worker->sizes_running >= SIZES_RUNNING_MAX) return false;
    struct dump *d = dump_new(s, CMD_DUMP_SIZES, UINT64_MAX, UINT64_MAX);
    if (d == NULL || (d->classes = calloc(SIZE_CLASSES, sizeof *d->classes)) == NULL) {
        free(d);
        return false;
    }
    d->to = *to;
    s->worker->sizes_running++;
    cmd_producer_begin(s, &dump_producer, d);
    return true;
}

/* ------------------------------------------------------------------ a text */

struct text {
    char *p;
    size_t n, at;
};

static void text_free(struct session *s) {
    struct text *t = s->produce_state;
    free(t->p);
    free(t);
}

static void text_produce(struct session *s) {
    struct text *t = s->produce_state;
    while (t->at < t->n) {
        if (conn_full(s->conn)) return;
        size_t n = t->n - t->at < 16384 ? t->n - t->at : 16384;
        conn_write(s->conn, t->p + t->at, n);
        t->at += n;
    }
    text_free(s);
    cmd_producer_end(s);
}

static const struct cmd_producer text_producer = {text_produce, text_free};

void cmd_dump_text(struct session *s, char *text, size_t n) {
    struct text *t = malloc(sizeof *t);
    if (t == NULL) { /* without memory for a producer it is written at once */
        conn_write(s->conn, text, n);
        free(text);
        return;
    }
    *t = (struct text){text, n, 0};
    conn_hold(s->conn, sizeof *t + n);
    cmd_producer_begin(s, &text_producer, t);
}
