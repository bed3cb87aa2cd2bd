/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_parse_keys.h"

#include <string.h>

#include "base/check.h"
#include "cmd/cmd_key.h"
#include "cmd/cmd_table.h"
#include "cmd/instance.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "proto/text.h"
#include "store/store.h"

/* Fills r with a key of a line; fields that only other requests use keep what they held. False: it is no key. */
static inline bool take_key(struct batch *b, struct request *r, const struct cmd_row *row, enum cmd_path path,
                            const char *p, size_t n, bool mark) {
    r->row = row;
    r->marks = 0;
    r->path = (uint8_t)path;
    if (unlikely(mark || n > STORE_KEY_MAX)) {
        if (!cmd_key_set(b->s, r, p, n, mark)) return false;
        if (n > CMD_LONG_KEY) r->path = CMD_PATH_KEY;
    } else {
        r->raw_key = p;
        r->raw_key_len = (uint32_t)n;
        cmd_batch_key(b, r, p, n);
    }
    return true;
}

/* Answers a whole get line with one error and drops those of its keys that are in the batch. `fresh`: the line began in
 * this batch. */
static void refuse_keys(struct batch *b, const struct cmd_row *row, size_t begin, unsigned first, bool fresh,
                        enum cmd_error error) {
    const char *nl = memchr(b->p + b->at, '\n', b->n - b->at);
    if (nl == NULL && fresh && b->n - begin < CMD_LINE_MAX) {
        cmd_batch_wait(b, begin, first);
        return;
    }
    b->count = first;
    struct request *r = cmd_batch_take(b, row, b->p + begin, 0);
    r->error = (uint8_t)error;
    r->last = true;
    r->discard_line = nl == NULL;
    b->at = nl == NULL ? b->n : (size_t)(nl + 1 - b->p);
    r->end = (uint32_t)b->at;
    b->stop = nl == NULL;
}

/* Whether the rest of a line, as far as it is here, holds nothing but keys. *ended: its end is here. */
static bool keys_valid(struct batch *b, const struct cmd_row *row, bool *ended) {
    const char *p = b->p + b->at, *end = b->p + b->n;
    *ended = false;
    while (p < end) {
        bool mark = false;
        while (p < end && *p == ' ') p++;
        const char *e = text_word_end(b->p, p, end, '\n', b->s->worker->cmd->marker.p[0], &mark);
        if (e == end) return true;
        const size_t n = (size_t)(e - p) - (*e == '\n' && e > p && e[-1] == '\r');
        size_t bare = n;
        struct request r = {.row = row};
        if (mark && !cmd_key_split(b->s, &r, p, n, &bare)) return false;
        if (bare > STORE_KEY_MAX || (bare == 0 && n > 0)) return false;
        if (*e == '\n') {
            *ended = true;
            return true;
        }
        p = e + 1;
    }
    return true;
}

/* A line that ends in blanks, or holds no key at all. */
static void end_keys(struct batch *b, const struct cmd_row *row, const char *p, unsigned first, bool fresh) {
    if (b->count > first) {
        b->lines++;
        b->batch[b->count - 1].last = true;
        b->batch[b->count - 1].end = (uint32_t)b->at;
        return;
    }
    struct request *r = cmd_batch_take(b, row, p, 0);
    r->error = fresh ? CMD_ERROR_FORMAT : CMD_OK;
    r->last = true;
    r->end = (uint32_t)b->at;
}

/* The batch is full in the middle of a line. A line that began in this batch, and is below CMD_LINE_MAX, is first
 * looked at as a whole, so that an error in it is its only answer. */
static void full_keys(struct batch *b, const struct cmd_row *row, size_t begin, unsigned first, bool fresh) {
    bool ended = false;
    if (fresh && !keys_valid(b, row, &ended))
        refuse_keys(b, row, begin, first, fresh, CMD_ERROR_FORMAT);
    else if (fresh && !ended && b->n - begin < CMD_LINE_MAX)
        cmd_batch_wait(b, begin, first);
    b->stop = true;
}

/* The input ends in the middle of a line. The keys of a line above CMD_LINE_MAX are answered as they come. */
static void part_keys(struct batch *b, const struct cmd_row *row, size_t begin, unsigned first, bool fresh) {
    if (fresh && b->n - begin < CMD_LINE_MAX) {
        cmd_batch_wait(b, begin, first);
        return;
    }
    if (b->n - b->at >= CMD_LINE_MAX + STORE_KEY_MAX) {
        b->count = first;
        struct request *r = cmd_batch_take(b, row, b->p + begin, 0);
        r->error = CMD_ERROR_CLOSE;
        r->end = (uint32_t)b->n;
    }
    b->stop = true;
}

void cmd_parse_keys(struct batch *b, const struct cmd_row *row, size_t begin, bool fresh, uint32_t expiry) {
    enum cmd_path path = row->id == CMD_ID_get ? CMD_PATH_GET : CMD_PATH_KEY;
    unsigned first = b->count;
    const char mark_byte = b->s->worker->cmd->marker.p[0];
    const char *const base = b->p, *const end = base + b->n, *p = base + b->at, *e;
    struct request *r = b->batch + b->count;
    const struct request *const full = b->batch + b->max;
    for (;;) {
        while (p < end && *p == ' ') p++;
        bool mark = false;
        e = text_word_end(base, p, end, '\n', mark_byte, &mark);
        if (unlikely(e == end || r == full)) break;
        const bool eol = *e == '\n';
        const size_t n = (size_t)(e - p) - (eol && e > p && e[-1] == '\r');
        if (unlikely(n == 0)) break;
        if (unlikely(!take_key(b, r, row, path, p, n, mark))) {
            b->at = (size_t)(p - base);
            refuse_keys(b, row, begin, first, fresh, CMD_ERROR_FORMAT);
            return;
        }
        p = e + 1;
        r->exptime = expiry;
        r->end = (uint32_t)(p - base);
        r->last = eol;
        r++;
        if (!eol) continue;
        b->lines++;
        if (!cmd_begins(get, p, end) || r == full) {
            e = NULL;
            break;
        }
        row = &cmd_rows[CMD_ID_get];
        path = CMD_PATH_GET;
        first = (unsigned)(r - b->batch);
        begin = (size_t)(p - base);
        fresh = true;
        p += 4;
    }
    b->count = (unsigned)(r - b->batch);
    b->at = (size_t)(p - base);
    if (e == NULL) return; /* the loop ended behind a whole line */
    if (e == end) {
        part_keys(b, row, begin, first, fresh);
    } else if (*e == '\n' && (e == p || (e == p + 1 && *p == '\r'))) {
        b->at = (size_t)(e + 1 - base);
        end_keys(b, row, p, first, fresh);
    } else {
        full_keys(b, row, begin, first, fresh);
    }
}

/* gat and gats: the expiry comes before the keys. */
static void parse_gat(struct batch *b, const struct cmd_row *row, size_t begin) {
    bool mark = false;
    const unsigned first = b->count;
    const char *p = b->p + b->at, *end = b->p + b->n;
    while (p < end && *p == ' ') p++;
    const char *e = text_word_end(b->p, p, end, '\n', '\n', &mark);
    int64_t exptime;
    if (e == end) {
        /* No number is that long. */
        if (b->n - begin < CMD_LINE_MAX)
            cmd_batch_wait(b, begin, first);
        else
            refuse_keys(b, row, begin, first, true, CMD_ERROR_EXPTIME);
        return;
    }
    const char *q = e;
    while (q < end && *q == ' ') q++;
    if (q == end && b->n - begin < CMD_LINE_MAX) {
        cmd_batch_wait(b, begin, first);
        return;
    }
    bool few = *e == '\n' || (q < end && (*q == '\n' || (*q == '\r' && q + 1 < end && q[1] == '\n')));
    if (few) {
        refuse_keys(b, row, begin, first, true, CMD_ERROR_FORMAT);
    } else if (!text_i64(p, (size_t)(e - p), &exptime)) {
        refuse_keys(b, row, begin, first, true, CMD_ERROR_EXPTIME);
    } else {
        b->at = (size_t)(e - b->p);
        cmd_parse_keys(b, row, begin, true, store_expiry(b->s->worker->store, exptime));
    }
}

void cmd_parse_keys_line(struct batch *b, const struct cmd_row *row) {
    const size_t begin = b->at;
    b->at += row->name_len + 1u;
    if (row->id >= CMD_ID_gat)
        parse_gat(b, row, begin);
    else
        cmd_parse_keys(b, row, begin, true, 0);
}
