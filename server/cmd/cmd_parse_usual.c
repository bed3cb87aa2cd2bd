/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_parse_usual.h"

#include "base/check.h"
#include "cmd/cmd_table.h"
#include "cmd/instance.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "proto/meta.h"
#include "proto/text.h"
#include "store/store.h"

/* ------------------------------------------------------------------ set */

bool cmd_parse_usual_sets(struct batch *b) {
    const struct cmd *cmd = b->s->worker->cmd;
    const char first = cmd->marker.p[0];
    const char *const base = b->p, *const end = base + b->n, *line = base + b->at;
    struct request *r = b->batch + b->count;
    const struct request *const begin = r, *const full = b->batch + b->max;
    for (; r < full && cmd_begins(set, line, end); r++) {
        struct text_store t;
        const char *body = text_store_usual(base, line + 4, end, first, &t);
        if (body == NULL || t.mark || t.key.n - 1 >= STORE_KEY_MAX || t.length > cmd->inline_max ||
            (size_t)(end - body) < t.length + 2 || body[t.length] != '\r' || body[t.length + 1] != '\n')
            break;
        cmd_batch_clear(r, &cmd_rows[CMD_ID_set], line, (size_t)(body - 2 - line));
        cmd_batch_key(b, r, t.key.p, t.key.n);
        r->path = CMD_PATH_SET;
        r->flags = t.flags;
        r->exptime = t.exptime;
        r->body = (char *)body;
        r->body_len = t.length;
        line = body + t.length + 2;
        r->end = (uint32_t)(line - base);
    }
    b->count = (unsigned)(r - b->batch);
    b->lines += (unsigned)(r - begin);
    b->at = (size_t)(line - base);
    return r > begin;
}

/* ------------------------------------------------------------------ mg and ms with an ordinary key */

/* The key at p. Returns where it ends; NULL: it is not ordinary (a suffix, no key), or not all here. */
static inline const char *ordinary_key(const char *base, const char *p, const char *end, char first) {
    bool mark = false;
    const char *e = text_word_end(base, p, end, '\n', first, &mark);
    if (e == end) return NULL;
    if (*e == '\n' && e[-1] == '\r') e--;
    return mark || (size_t)(e - p) - 1 >= STORE_KEY_MAX ? NULL : e;
}

/* Fills r, but for `end` and the block, with a line of mg or ms whose key ends at e and whose flags begin at `flags`.
 * Returns where the next line begins; NULL: the line's end is not here, or is too far away. */
static inline const char *ordinary_meta(struct batch *b, struct request *r, enum cmd_id id, const char *line,
                                        const char *e, const char *flags) {
    const char *const end = b->p + b->n, *next, *nl;
    const enum meta_command command = id == CMD_ID_mg ? META_MG : META_MS;
    enum cmd_path path = id == CMD_ID_mg ? CMD_PATH_MG : CMD_PATH_MS;
    size_t n;
    if (likely((next = meta_read_usual(b->p, flags, end, command, &r->meta)) != NULL)) {
        n = (size_t)(next - 2 - line);
    } else { /* its handler reads the flags */
        nl = text_newline(b->p, flags, end);
        if (nl == NULL || nl - line >= CMD_LINE_MAX) return NULL;
        path = CMD_PATH_HANDLER;
        next = nl + 1;
        n = (size_t)(nl - line) - (nl[-1] == '\r');
    }
    cmd_batch_clear(r, &cmd_rows[id], line, n);
    r->path = (uint8_t)path;
    r->raw_key = line + 3;
    r->raw_key_len = (uint32_t)(e - r->raw_key);
    r->rest = (uint32_t)(flags - line);
    cmd_batch_key(b, r, r->raw_key, r->raw_key_len);
    return next;
}

bool cmd_parse_usual_mgs(struct batch *b) {
    const char first = b->s->worker->cmd->marker.p[0];
    const char *const base = b->p, *const end = base + b->n, *line = base + b->at, *e, *next;
    struct request *r = b->batch + b->count;
    const struct request *const begin = r, *const full = b->batch + b->max;
    for (; r < full && cmd_begins(mg, line, end); r++, line = next) {
        if ((e = ordinary_key(base, line + 3, end, first)) == NULL) break;
        if ((next = ordinary_meta(b, r, CMD_ID_mg, line, e, e)) == NULL) break;
        r->end = (uint32_t)(next - base);
    }
    b->count = (unsigned)(r - b->batch);
    b->lines += (unsigned)(r - begin);
    b->at = (size_t)(line - base);
    return r > begin;
}

bool cmd_parse_usual_mss(struct batch *b) {
    const struct cmd *cmd = b->s->worker->cmd;
    const char first = cmd->marker.p[0];
    const char *const base = b->p, *const end = base + b->n, *line = base + b->at, *e, *flags, *body;
    struct request *r = b->batch + b->count;
    const struct request *const begin = r, *const full = b->batch + b->max;
    uint32_t length;
    for (; r < full && cmd_begins(ms, line, end); r++) {
        if ((e = ordinary_key(base, line + 3, end, first)) == NULL || *e != ' ') break;
        if ((flags = text_usual_number(e + 1, end, &length)) == NULL || flags == end) break;
        if (*flags != ' ' && (end - flags < 2 || flags[0] != '\r' || flags[1] != '\n')) break;
        if (length > cmd->inline_max) break;
        if ((body = ordinary_meta(b, r, CMD_ID_ms, line, e, flags)) == NULL) break;
        if ((size_t)(end - body) < (size_t)length + 2 || body[length] != '\r' || body[length + 1] != '\n') break;
        r->body = (char *)body;
        r->body_len = length;
        line = body + length + 2;
        r->end = (uint32_t)(line - base);
    }
    b->count = (unsigned)(r - b->batch);
    b->lines += (unsigned)(r - begin);
    b->at = (size_t)(line - base);
    return r > begin;
}
