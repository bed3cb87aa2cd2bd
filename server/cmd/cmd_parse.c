/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_parse.h"

/* A batch while it is made. */
struct run {
    struct session *s;
    const struct store *store;
    struct request *batch;
    char *p;
    size_t n;
    size_t at; /* what has been parsed of it */
    unsigned count;
    unsigned lines; /* of which the batch is made; the keys of one are one */
    bool stop;      /* nothing more can be parsed now */
};

/* ------------------------------------------------------------------ keys */

/* Which rows purge when their key carries a list of selectors. */
static bool purges(const struct cmd_row *row) {
    return row->id == CMD_ID_delete || row->id == CMD_ID_incr || row->id == CMD_ID_md || row->id == CMD_ID_ma;
}

/* Splits a key that may have a suffix. False when it is no key. */
static bool split_suffix(const struct session *s, struct request *r, const char *key, size_t n, size_t *bare) {
    struct keytags_key k;
    keytags_split_key(&s->worker->cmd->marker, key, n, &k);
    if (k.kind == KEYTAGS_PURGE && !purges(r->row)) return true; /* an ordinary key */
    if (k.kind == KEYTAGS_NONE) return true;
    if (k.kind == KEYTAGS_TAGS ? !keytags_is_list(k.list, k.list_len) : !keytags_is_selectors(k.list, k.list_len))
        return false;
    *bare = k.bare_len;
    r->suffix = (uint8_t)k.kind;
    r->list = k.list;
    r->list_len = (uint32_t)k.list_len;
    return true;
}

bool cmd_set_key(struct session *s, struct request *r, const char *key, size_t n, bool mark) {
    size_t bare = n;
    r->asked = key;
    r->asked_len = (uint32_t)n;
    r->suffix = KEYTAGS_NONE;
    if (unlikely(mark) && s->worker->cmd->marker.len > 0 && !split_suffix(s, r, key, n, &bare)) goto bad;
    if (bare == 0 || bare > STORE_KEY_MAX) goto bad;
    store_key_hash(s->worker->cmd->store, &r->key, key, bare);
    return true;
bad:
    r->key.len = 0;
    r->error = CMD_ERROR_FORMAT;
    return false;
}

/* The word behind the command's own, a key as a rule. *mark: the marker's first byte is in it. False: there is none. */
static bool key_word(const struct session *s, const struct request *r, size_t *at, struct text_token *key, bool *mark) {
    const char *p = r->line + r->row->name_len, *const end = r->line + r->line_len;
    *mark = false;
    while (p < end && *p == ' ') p++;
    const char *e = text_word_end(r->line, p, end, ' ', s->worker->cmd->marker.p[0], mark);
    *key = (struct text_token){p, (size_t)(e - p)};
    *at = (size_t)(e - r->line);
    return e > p;
}

/* A request as it begins. */
static inline void clear(struct request *r, const struct cmd_row *row, const char *line, size_t n) {
    r->row = row;
    r->line = line;
    r->line_len = (uint32_t)n;
    r->key.len = 0;
    r->marks = 0;
    r->swallow = 0;
    r->body = NULL;
    r->upload = NULL;
}

static struct request *take(struct run *b, const struct cmd_row *row, const char *line, size_t n) {
    struct request *r = &b->batch[b->count++];
    b->lines++;
    clear(r, row, line, n);
    return r;
}

/* ------------------------------------------------------------------ get, gets, gat, gats */

/* One key of a line: what only other requests need is left as it is. False: it is no key. */
static inline bool take_key(struct run *b, struct request *r, const struct cmd_row *row, enum cmd_way way,
                            const char *p, size_t n, bool mark) {
    r->row = row;
    r->marks = 0;
    r->way = (uint8_t)way;
    if (unlikely(mark || n > STORE_KEY_MAX)) {
        if (!cmd_set_key(b->s, r, p, n, mark)) return false;
        if (n > CMD_LONG_KEY) r->way = CMD_WAY_KEY;
    } else {
        r->asked = p;
        r->asked_len = (uint32_t)n;
        store_key_hash(b->store, &r->key, p, n);
    }
    return true;
}

/* The line that began at `begin` is not all here: forget its keys and wait for the rest. */
static void wait_line(struct run *b, size_t begin, unsigned first) {
    b->count = first;
    b->at = begin;
    b->s->scanned = (uint32_t)(b->n - begin);
    b->stop = true;
}

/* Answers a whole get line with one error: the keys of this batch that belong to it are dropped. */
static void refuse_keys(struct run *b, const struct cmd_row *row, size_t begin, unsigned first, bool fresh,
                        enum cmd_error error) {
    const char *nl = memchr(b->p + b->at, '\n', b->n - b->at);
    if (nl == NULL && fresh && b->n - begin < CMD_LINE_MAX) {
        wait_line(b, begin, first);
        return;
    }
    b->count = first;
    struct request *r = take(b, row, b->p + begin, 0);
    r->error = (uint8_t)error;
    r->last = true;
    r->skip = nl == NULL;
    b->at = nl == NULL ? b->n : (size_t)(nl + 1 - b->p);
    r->end = (uint32_t)b->at;
    b->stop = nl == NULL;
}

/* Whether all further keys of a line, up to its end or that of the input, are keys. *ended: its end is here. */
static bool keys_valid(struct run *b, const struct cmd_row *row, bool *ended) {
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
        if (mark && !split_suffix(b->s, &r, p, n, &bare)) return false;
        if (bare > STORE_KEY_MAX || (bare == 0 && n > 0)) return false;
        if (*e == '\n') {
            *ended = true;
            return true;
        }
        p = e + 1;
    }
    return true;
}

/* The line ended in blanks, or held no key at all. */
static void end_keys(struct run *b, const struct cmd_row *row, const char *p, unsigned first, bool fresh) {
    if (b->count > first) {
        b->lines++;
        b->batch[b->count - 1].last = true;
        b->batch[b->count - 1].end = (uint32_t)b->at;
        return;
    }
    struct request *r = take(b, row, p, 0);
    r->error = fresh ? CMD_ERROR_FORMAT : CMD_OK;
    r->last = true;
    r->end = (uint32_t)b->at;
}

/* The batch is full in the middle of a line. A fresh line of usual length is answered as a whole or not at all. */
static void full_keys(struct run *b, const struct cmd_row *row, size_t begin, unsigned first, bool fresh) {
    bool ended = false;
    if (fresh && !keys_valid(b, row, &ended))
        refuse_keys(b, row, begin, first, fresh, CMD_ERROR_FORMAT);
    else if (fresh && !ended && b->n - begin < CMD_LINE_MAX)
        wait_line(b, begin, first);
    b->stop = true;
}

/* The input ends inside the line. A long line's keys are answered as they come. */
static void part_keys(struct run *b, const struct cmd_row *row, size_t begin, unsigned first, bool fresh) {
    if (fresh && b->n - begin < CMD_LINE_MAX) {
        wait_line(b, begin, first);
        return;
    }
    if (b->n - b->at >= CMD_LINE_MAX + STORE_KEY_MAX) {
        b->count = first;
        struct request *r = take(b, row, b->p + begin, 0);
        r->error = CMD_ERROR_CLOSE;
        r->end = (uint32_t)b->n;
    }
    b->stop = true;
}

/* Parses keys from b->at on, and goes on with further get lines. `begin` is where the line began, or b->at in the
 * middle of one; `fresh` whether this is its beginning. */
static void parse_keys(struct run *b, const struct cmd_row *row, size_t begin, bool fresh, uint32_t expiry) {
    enum cmd_way way = row->id == CMD_ID_get ? CMD_WAY_GET : CMD_WAY_KEY;
    unsigned first = b->count;
    const char mark_byte = b->s->worker->cmd->marker.p[0];
    const char *const base = b->p, *const end = base + b->n, *p = base + b->at, *e;
    struct request *r = b->batch + b->count;
    const struct request *const full = b->batch + CMD_BATCH;
    for (;;) {
        while (p < end && *p == ' ') p++;
        bool mark = false;
        e = text_word_end(base, p, end, '\n', mark_byte, &mark);
        if (unlikely(e == end || r == full)) break;
        const bool eol = *e == '\n';
        const size_t n = (size_t)(e - p) - (eol && e > p && e[-1] == '\r');
        if (unlikely(n == 0)) break;
        if (unlikely(!take_key(b, r, row, way, p, n, mark))) {
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
        way = CMD_WAY_GET;
        first = (unsigned)(r - b->batch);
        begin = (size_t)(p - base);
        fresh = true;
        p += 4;
    }
    b->count = (unsigned)(r - b->batch);
    b->at = (size_t)(p - base);
    if (e == NULL) return; /* a line's end */
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
static void parse_gat(struct run *b, const struct cmd_row *row, size_t begin) {
    bool mark = false;
    const unsigned first = b->count;
    const char *p = b->p + b->at, *end = b->p + b->n;
    while (p < end && *p == ' ') p++;
    const char *e = text_word_end(b->p, p, end, '\n', '\n', &mark);
    int64_t exptime;
    if (e == end) {
        /* An expiry that long is none. */
        if (b->n - begin < CMD_LINE_MAX)
            wait_line(b, begin, first);
        else
            refuse_keys(b, row, begin, first, true, CMD_ERROR_EXPTIME);
        return;
    }
    const char *q = e;
    while (q < end && *q == ' ') q++;
    if (q == end && b->n - begin < CMD_LINE_MAX) {
        wait_line(b, begin, first);
        return;
    }
    bool few = *e == '\n' || (q < end && (*q == '\n' || (*q == '\r' && q + 1 < end && q[1] == '\n')));
    if (few) {
        refuse_keys(b, row, begin, first, true, CMD_ERROR_FORMAT);
    } else if (!text_i64(p, (size_t)(e - p), &exptime)) {
        refuse_keys(b, row, begin, first, true, CMD_ERROR_EXPTIME);
    } else {
        b->at = (size_t)(e - b->p);
        parse_keys(b, row, begin, true, store_expiry(b->s->worker->store, exptime));
    }
}

/* ------------------------------------------------------------------ storage */

/* A refused block: the request ends with its line, and the block is swallowed. */
static void refuse_block(struct run *b, struct request *r, uint64_t length, enum cmd_error error) {
    r->error = (uint8_t)error;
    r->swallow = length + 2;
    b->stop = true;
}

/* Finds a block that is waited for in the input. */
static inline bool take_small(struct run *b, struct request *r, size_t begin, uint64_t length) {
    r->body_len = length;
    if (b->n - r->end < length + 2) {
        if (unlikely(b->s->refuse)) {
            refuse_block(b, r, length, CMD_ERROR_TIMEOUT);
            return true;
        }
        b->s->need = r->end - begin + length + 2;
        return false;
    }
    r->body = b->p + r->end;
    if (unlikely(r->body[length] != '\r' || r->body[length + 1] != '\n')) r->error = CMD_ERROR_CHUNK;
    r->end += (uint32_t)length + 2;
    return true;
}

/* Finds the block behind a line. False: it is not all here yet and the request is not to be run now. */
static bool take_block(struct run *b, struct request *r, size_t begin, uint64_t length) {
    struct cmd *cmd = b->s->worker->cmd;
    r->body_len = length;
    if (unlikely(length > cmd->cfg.item_size_max)) {
        refuse_block(b, r, length, CMD_ERROR_TOO_LARGE);
        return true;
    }
    if (unlikely(length > cmd->inline_max)) {
        b->stop = true;
        return b->count == 1; /* what comes before is run first */
    }
    return take_small(b, r, begin, length);
}

/* Whether a key's suffix, found to be a list, holds no more tags than an item may carry. */
static bool suffix_fits(struct session *s, const struct request *r) {
    if (r->suffix != KEYTAGS_TAGS || r->list_len < 2 * STORE_TAGS_MAX) return true;
    cmd_tags_begin(s);
    return cmd_tags_add(s, r->list, r->list_len);
}

/* The line of set & co. True: *length bytes of block follow (and r->error may say that they are refused). */
static bool parse_store_line(struct session *s, struct request *r, uint64_t *length) {
    struct text_store t;
    const char first = s->worker->cmd->marker.p[0];
    enum text_store_error e =
        text_parse_store(r->line, r->line_len, r->row->name_len, r->row->id == CMD_ID_cas, first, &t);
    r->shifted = t.shifted;
    if (unlikely(e == TEXT_STORE_FEW || e == TEXT_STORE_LENGTH)) {
        r->error = CMD_ERROR_FORMAT;
        return false;
    }
    *length = t.length;
    r->noreply = t.noreply;
    r->flags = t.flags;
    r->exptime = t.exptime;
    r->cas = t.cas;
    if (!cmd_set_key(s, r, t.key.p, t.key.n, t.mark)) return true;
    if (unlikely(e != TEXT_STORE_OK))
        r->error = CMD_ERROR_FORMAT;
    else if (unlikely(!suffix_fits(s, r)))
        r->error = CMD_ERROR_TAGS;
    return true;
}

/* Whether the words of an ms line whose second one is no length look as if its key were empty or held a blank: a number
 * is among the others. */
static bool is_shifted(const struct request *r) {
    struct text_token word;
    size_t at = r->row->name_len;
    uint64_t v;
    for (unsigned i = 0; text_next(r->line, r->line_len, &at, &word); i++)
        if (i != 1 && text_u64(word.p, word.n, &v)) return true;
    return false;
}

/* The line of ms. Its flags are read when it is run; a key that needs them to be one is looked at again then. */
static bool parse_mset_line(struct session *s, struct request *r, uint64_t *length) {
    struct text_token key, len;
    size_t at;
    bool mark;
    if (!key_word(s, r, &at, &key, &mark) || !text_next(r->line, r->line_len, &at, &len) ||
        !text_u64(len.p, len.n, length) || *length > TEXT_LENGTH_MAX) {
        r->error = CMD_ERROR_FORMAT;
        r->shifted = is_shifted(r);
        return false;
    }
    r->rest = (uint32_t)at;
    if (!cmd_set_key(s, r, key.p, key.n, mark)) r->error = CMD_OK;
    return true;
}

/* Returns false when the request is not to be run now. */
static bool parse_storage(struct run *b, struct request *r, size_t begin) {
    uint64_t length = 0;
    bool block =
        r->row->class == CMD_CLASS_STORE ? parse_store_line(b->s, r, &length) : parse_mset_line(b->s, r, &length);
    if (unlikely(!block)) return true;
    if (unlikely(r->error != CMD_OK)) {
        refuse_block(b, r, length, (enum cmd_error)r->error);
        return true;
    }
    return take_block(b, r, begin, length);
}

/* Sets as clients send them, their blocks behind them, from b->at on. False: the first one has to be looked at with
 * care. */
static __attribute__((noinline)) bool parse_sets(struct run *b) {
    const struct cmd *cmd = b->s->worker->cmd;
    const char first = cmd->marker.p[0];
    const char *const base = b->p, *const end = base + b->n, *line = base + b->at;
    struct request *r = b->batch + b->count;
    const struct request *const begin = r, *const full = b->batch + CMD_BATCH;
    for (; r < full && cmd_begins(set, line, end); r++) {
        struct text_store t;
        const char *body = text_store_usual(base, line + 4, end, first, &t);
        if (body == NULL || t.mark || t.key.n - 1 >= STORE_KEY_MAX || t.length > cmd->inline_max ||
            (size_t)(end - body) < t.length + 2 || body[t.length] != '\r' || body[t.length + 1] != '\n')
            break;
        clear(r, &cmd_rows[CMD_ID_set], line, (size_t)(body - 2 - line));
        store_key_hash(b->store, &r->key, t.key.p, t.key.n);
        r->way = CMD_WAY_SET;
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

/* Fills r in but for its end and block: a line of mg or ms whose key ends at e and whose flags begin at `flags`.
 * Returns where the next line begins; NULL: its end is not here, or too far away. */
static inline const char *ordinary_meta(struct run *b, struct request *r, enum cmd_id id, const char *line,
                                        const char *e, const char *flags) {
    const char *const end = b->p + b->n, *next, *nl;
    const enum meta_command command = id == CMD_ID_mg ? META_MG : META_MS;
    enum cmd_way way = id == CMD_ID_mg ? CMD_WAY_MG : CMD_WAY_MS;
    size_t n;
    if (likely((next = meta_read_usual(b->p, flags, end, command, &r->meta)) != NULL)) {
        n = (size_t)(next - 2 - line);
    } else { /* its handler reads the flags */
        nl = text_newline(b->p, flags, end);
        if (nl == NULL || nl - line >= CMD_LINE_MAX) return NULL;
        way = CMD_WAY_CAREFUL;
        next = nl + 1;
        n = (size_t)(nl - line) - (nl[-1] == '\r');
    }
    clear(r, &cmd_rows[id], line, n);
    r->way = (uint8_t)way;
    r->asked = line + 3;
    r->asked_len = (uint32_t)(e - r->asked);
    r->rest = (uint32_t)(flags - line);
    store_key_hash(b->store, &r->key, r->asked, r->asked_len);
    return next;
}

/* Lines of mg from b->at on. False: the first one has to be looked at with care. */
static __attribute__((noinline)) bool parse_mgs(struct run *b) {
    const char first = b->s->worker->cmd->marker.p[0];
    const char *const base = b->p, *const end = base + b->n, *line = base + b->at, *e, *next;
    struct request *r = b->batch + b->count;
    const struct request *const begin = r, *const full = b->batch + CMD_BATCH;
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

/* Likewise lines of ms with small blocks, which are all here. */
static __attribute__((noinline)) bool parse_mss(struct run *b) {
    const struct cmd *cmd = b->s->worker->cmd;
    const char first = cmd->marker.p[0];
    const char *const base = b->p, *const end = base + b->n, *line = base + b->at, *e, *flags, *body;
    struct request *r = b->batch + b->count;
    const struct request *const begin = r, *const full = b->batch + CMD_BATCH;
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

void cmd_parse_kept(struct session *s, const struct cmd_row *row, const char *line, size_t n, struct request *r) {
    struct run b = {.s = s, .store = s->worker->cmd->store, .batch = r};
    uint64_t length;
    take(&b, row, line, n);
    if (row->class == CMD_CLASS_STORE)
        parse_store_line(s, r, &length);
    else
        parse_mset_line(s, r, &length);
}

/* ------------------------------------------------------------------ the other classes */

/* Words beyond the `min` that a row needs: at least that many, and noreply as the last of more. */
static void parse_keyed(struct session *s, struct request *r) {
    struct text_token key, word;
    size_t at;
    bool mark, enough = key_word(s, r, &at, &key, &mark);
    r->rest = (uint32_t)at;
    for (unsigned i = 2; enough && i < r->row->min; i++) enough = text_next(r->line, r->line_len, &at, &word);
    if (unlikely(!enough)) {
        r->error = CMD_ERROR_FORMAT;
        return;
    }
    bool meta = r->row->name_len == 2;
    if (!cmd_set_key(s, r, key.p, key.n, mark) && meta) r->error = CMD_OK;
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

/* Before authentication: only a set, with a small block. The block of any other storage line is swallowed, so that
 * none of it is read as a line. Returns false when the request is not to be run now. */
static bool parse_auth(struct run *b, struct request *r, size_t begin) {
    const struct cmd_row *row = r->row;
    uint64_t length = 0;
    bool block = false;
    if (row != NULL && row->class == CMD_CLASS_STORE) block = parse_store_line(b->s, r, &length);
    if (row != NULL && row->class == CMD_CLASS_MSET) block = parse_mset_line(b->s, r, &length);
    r->key.len = 0; /* any will do, and nothing is looked up */
    r->error = CMD_ERROR_AUTH;
    if (!block) return true;
    if (row->id != CMD_ID_set || length > CMD_AUTH_MAX) {
        refuse_block(b, r, length, row->id == CMD_ID_set ? CMD_ERROR_AUTH_LONG : CMD_ERROR_AUTH);
        return true;
    }
    r->error = CMD_OK; /* flags and exptime mean nothing, good or bad */
    if (!take_small(b, r, begin, length)) return false;
    b->stop = true; /* what follows depends on the outcome */
    return true;
}

/* One line, its newline at nl, its row NULL when it is not known yet. Returns false when the request is not to be run
 * now. */
static bool parse_line(struct run *b, const struct cmd_row *row, size_t begin, const char *nl) {
    const char *line = b->p + begin;
    const size_t full = (size_t)(nl + 1 - line);
    size_t n = full - 1;
    if (n > 0 && line[n - 1] == '\r') n--;
    if (row == NULL) row = cmd_names_line(&b->s->worker->cmd->names, line, n);
    struct request *r = take(b, row, line, n);
    r->end = (uint32_t)(begin + full);
    if (unlikely(!b->s->authenticated)) return parse_auth(b, r, begin);
    if (unlikely(full < 4)) {
        r->error = CMD_ERROR_FORMAT;
        return true;
    }
    if (unlikely(row == NULL)) {
        const struct text_token last = text_last(line, n);
        r->error = is_http(line, &last) ? CMD_ERROR_CLOSE : CMD_ERROR;
        r->noreply = text_is_lit(&last, "noreply"); /* whoever says so would take an answer for that of the next */
        return true;
    }
    switch ((enum cmd_class)row->class) {
    case CMD_CLASS_STORE:
    case CMD_CLASS_MSET: return parse_storage(b, r, begin);
    case CMD_CLASS_KEYED: parse_keyed(b->s, r); return true;
    default: parse_plain(r); return true;
    }
}

/* ------------------------------------------------------------------ a batch */

/* Lines whose keys are split one by one: no end need be here. False: it is none of these. */
static bool parse_get(struct run *b, const struct cmd_row *row) {
    const size_t begin = b->at;
    b->at += row->name_len + 1u;
    if (row->id >= CMD_ID_gat)
        parse_gat(b, row, begin);
    else
        parse_keys(b, row, begin, true, 0);
    return true;
}

/* A line of any kind, from b->at on; row: its command's, NULL when that is not known yet. */
static __attribute__((noinline)) void parse_next(struct run *b, const struct cmd_row *row) {
    struct session *s = b->s;
    const size_t begin = b->at;
    const char *p = b->p + begin;
    const size_t left = b->n - begin;
    const char *nl = NULL;
    if (s->scanned > 0) { /* what was here before held no newline */
        size_t from = s->scanned < left ? s->scanned : left;
        s->scanned = 0;
        nl = memchr(p + from, '\n', left - from);
        if (nl == NULL && left < CMD_LINE_MAX) {
            wait_line(b, begin, b->count);
            return;
        }
    }
    if (row != NULL && row->class == CMD_CLASS_GET) {
        parse_get(b, row);
        return;
    }
    if (nl == NULL) nl = text_newline(b->p, p, p + left);
    if (nl == NULL || (size_t)(nl - p) >= CMD_LINE_MAX) {
        if (left < (s->authenticated ? CMD_LINE_MAX : CMD_AUTH_MAX)) {
            wait_line(b, begin, b->count);
            return;
        }
        struct request *r = take(b, NULL, p, 0);
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

/* As many of the next lines as are of one of the usual kinds. False: the first one is for parse_next. */
static inline bool parse_usual(struct run *b, const struct cmd_row *row) {
    if (row->class == CMD_CLASS_GET) return parse_get(b, row);
    switch ((enum cmd_id)row->id) {
    case CMD_ID_set: return parse_sets(b);
    case CMD_ID_mg: return parse_mgs(b);
    case CMD_ID_ms: return parse_mss(b);
    default: return false;
    }
}

unsigned cmd_parse(struct session *s, char *p, size_t n) {
    struct run b = {.s = s, .store = s->worker->cmd->store, .batch = s->worker->batch, .p = p, .n = n};
    const struct cmd_names *names = &s->worker->cmd->names;
    bool more = n > 0;
    s->need = 0;
    if (unlikely(s->phase == CMD_PHASE_KEYS) && more) {
        parse_keys(&b, &cmd_rows[s->keys_row], 0, false, s->keys_expiry);
        more = b.at < n && !b.stop && b.count < CMD_BATCH;
    }
    while (more) {
        const struct cmd_row *row = likely(s->authenticated) ? cmd_names_begin(names, p + b.at, p + n) : NULL;
        if (row == NULL || s->scanned > 0 || !parse_usual(&b, row)) parse_next(&b, row);
        more = b.at < n && !b.stop && b.count < CMD_BATCH;
    }
    s->worker->lines = b.lines;
    return b.count;
}
