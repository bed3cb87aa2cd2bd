/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_parse.h"

#include <string.h>

#include "base/check.h"
#include "cmd/cmd_batch.h"
#include "cmd/cmd_key.h"
#include "cmd/cmd_parse_block.h"
#include "cmd/cmd_parse_keys.h"
#include "cmd/cmd_parse_usual.h"
#include "cmd/cmd_table.h"
#include "cmd/instance.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "proto/text.h"

/* ------------------------------------------------------------------ the other classes */

/* A line whose second word is a key. It has at least `min` words; the last one may be noreply. */
static void parse_keyed(struct session *s, struct request *r) {
    struct text_token key, word;
    size_t at;
    bool mark, enough = cmd_key_word(s, r, &at, &key, &mark);
    r->rest = (uint32_t)at;
    for (unsigned i = 2; enough && i < r->row->min; i++) enough = text_next(r->line, r->line_len, &at, &word);
    if (unlikely(!enough)) {
        r->error = CMD_ERROR_FORMAT;
        return;
    }
    bool meta = r->row->name_len == 2;
    if (!cmd_key_set(s, r, key.p, key.n, mark) && meta) r->error = CMD_OK;
    if (!meta) {
        struct text_token last = text_last(r->line, r->line_len);
        r->noreply = text_is_lit(&last, "noreply");
    }
}

static void parse_plain(struct request *r) {
    struct text_token word;
    size_t at = r->row->name_len;
    unsigned count = 1;
    const unsigned enough = (r->row->max == 0 ? r->row->min : r->row->max) + 1u;
    while (count < enough && text_next(r->line, r->line_len, &at, &word)) count++;
    if (count < r->row->min || (r->row->max != 0 && count > r->row->max)) {
        r->error = r->row->few_is_error ? CMD_ERROR : CMD_ERROR_FORMAT;
        return;
    }
    if (count == r->row->min || r->row->id == CMD_ID_mp) return;
    word = text_last(r->line, r->line_len);
    r->noreply = text_is_lit(&word, "noreply");
}

static bool is_http(const char *line, const struct text_token *last) {
    return last->n >= 5 && last->p > line && memcmp(last->p, "HTTP/", 5) == 0;
}

/* Before authentication: only a set, with a small block. The block of any other storage line is discarded, so that
 * none of it is read as a line. Returns false when the request is not to be run now. */
static bool parse_auth(struct batch *b, struct request *r, size_t begin) {
    const struct cmd_row *row = r->row;
    uint64_t length = 0;
    bool block = false;
    if (row != NULL && row->class == CMD_CLASS_STORE) block = cmd_parse_block_set_line(b->s, r, &length);
    if (row != NULL && row->class == CMD_CLASS_MSET) block = cmd_parse_block_ms_line(b->s, r, &length);
    r->key.len = 0; /* any key will do: nothing is looked up */
    r->error = CMD_ERROR_AUTH;
    if (!block) return true;
    if (row->id != CMD_ID_set || length > CMD_AUTH_MAX) {
        cmd_parse_block_refuse(b, r, length, row->id == CMD_ID_set ? CMD_ERROR_AUTH_LONG : CMD_ERROR_AUTH);
        return true;
    }
    r->error = CMD_OK; /* flags and exptime have no meaning here and may be wrong */
    if (!cmd_parse_block_small(b, r, begin, length)) return false;
    b->stop = true; /* how the next line is parsed depends on the outcome */
    return true;
}

/* One line, its newline at nl, its row NULL when it is not known yet. Returns false when the request is not to be run
 * now. */
static bool parse_line(struct batch *b, const struct cmd_row *row, size_t begin, const char *nl) {
    const char *line = b->p + begin;
    const size_t full = (size_t)(nl + 1 - line);
    size_t n = full - 1;
    if (n > 0 && line[n - 1] == '\r') n--;
    if (row == NULL) row = cmd_names_line(&b->s->worker->cmd->names, line, n);
    struct request *r = cmd_batch_take(b, row, line, n);
    r->end = (uint32_t)(begin + full);
    if (unlikely(!b->s->authenticated)) return parse_auth(b, r, begin);
    if (unlikely(full < 4)) {
        r->error = CMD_ERROR_FORMAT;
        return true;
    }
    if (unlikely(row == NULL)) {
        const struct text_token last = text_last(line, n);
        r->error = is_http(line, &last) ? CMD_ERROR_CLOSE : CMD_ERROR;
        r->noreply = text_is_lit(
            &last, "noreply"); /* its client reads no answer to it, and would take one for the next command's */
        return true;
    }
    switch ((enum cmd_class)row->class) {
    case CMD_CLASS_STORE:
    case CMD_CLASS_MSET: return cmd_parse_block_line(b, r, begin);
    case CMD_CLASS_KEYED: parse_keyed(b->s, r); return true;
    default: parse_plain(r); return true;
    }
}

/* ------------------------------------------------------------------ a batch */

/* A line of any kind, from b->at on; row: its command's, NULL when that is not known yet. */
static __attribute__((noinline)) void parse_next(struct batch *b, const struct cmd_row *row) {
    struct session *s = b->s;
    const size_t begin = b->at;
    const char *p = b->p + begin;
    const size_t left = b->n - begin;
    const size_t unfinished_max = s->authenticated ? CMD_LINE_MAX : CMD_AUTH_MAX;
    const char *nl = NULL;
    if (s->scanned > 0) { /* the bytes that were here before hold no newline */
        size_t from = s->scanned < left ? s->scanned : left;
        s->scanned = 0;
        nl = memchr(p + from, '\n', left - from);
        if (nl == NULL && left < unfinished_max) {
            cmd_batch_wait(b, begin, b->count);
            return;
        }
    }
    if (row != NULL && row->class == CMD_CLASS_GET) {
        cmd_parse_keys_line(b, row);
        return;
    }
    if (nl == NULL) nl = text_newline(b->p, p, p + left);
    if (nl == NULL || (size_t)(nl - p) >= CMD_LINE_MAX) {
        if (left < unfinished_max) {
            cmd_batch_wait(b, begin, b->count);
            return;
        }
        struct request *r = cmd_batch_take(b, NULL, p, 0);
        r->error = CMD_ERROR_CLOSE;
        r->end = (uint32_t)b->n;
        b->stop = true;
        return;
    }
    unsigned before = b->count;
    if (parse_line(b, row, begin, nl)) {
        b->at = b->batch[before].end;
    } else {
        b->count = before;
        b->lines--;
        b->stop = true;
    }
}

/* Parses the line at b->at, and those of the same kind behind it, if they are of a kind that is read in one pass.
 * False: the line is for parse_next. */
static inline bool parse_usual(struct batch *b, const struct cmd_row *row) {
    if (row->class == CMD_CLASS_GET) {
        cmd_parse_keys_line(b, row);
        return true;
    }
    switch ((enum cmd_id)row->id) {
    case CMD_ID_set: return cmd_parse_usual_sets(b);
    case CMD_ID_mg: return cmd_parse_usual_mgs(b);
    case CMD_ID_ms: return cmd_parse_usual_mss(b);
    default: return false;
    }
}

unsigned cmd_parse(struct session *s, char *p, size_t n) {
    struct batch b = cmd_batch_begin(s, p, n);
    const struct cmd_names *names = &s->worker->cmd->names;
    bool more = n > 0;
    s->need = 0;
    if (unlikely(s->phase == CMD_PHASE_KEYS) && more) {
        cmd_parse_keys(&b, &cmd_rows[s->keys_row], 0, false, s->keys_expiry);
        more = b.at < n && !b.stop && b.count < CMD_BATCH;
    }
    while (more) {
        const struct cmd_row *row = likely(s->authenticated) ? cmd_names_begin(names, p + b.at, p + n) : NULL;
        if (row == NULL || s->scanned > 0 || !parse_usual(&b, row)) parse_next(&b, row);
        more = b.at < n && !b.stop && b.count < CMD_BATCH;
    }
    s->worker->batch_lines = b.lines;
    return b.count;
}

bool cmd_parse_one(struct session *s, struct request *r, char *p, size_t n) {
    struct batch b = {.s = s, .store = s->worker->cmd->store, .batch = r, .max = 1, .p = p, .n = n};
    const struct cmd_row *row = cmd_names_begin(&s->worker->cmd->names, p, p + n);
    if (row == NULL || row->class == CMD_CLASS_GET || row->class == CMD_CLASS_OUT) return false;
    s->need = s->scanned = 0;
    if (!parse_usual(&b, row)) parse_next(&b, row);
    return b.count == 1;
}
