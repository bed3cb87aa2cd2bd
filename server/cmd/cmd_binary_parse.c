/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_binary_parse.h"

#include "base/check.h"
#include "cmd/cmd_batch.h"
#include "cmd/cmd_binary.h"
#include "cmd/cmd_key.h"
#include "cmd/cmd_parse_block.h"
#include "cmd/cmd_table.h"
#include "cmd/instance.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "proto/binary.h"
#include "proto/keytags.h"
#include "proto/text.h"
#include "store/store.h"

#define SET_EXTRAS 8 /* bytes of the extras of a store: flags and exptime */

static inline bool is_get(unsigned opcode) {
    return opcode == BINARY_get || opcode == BINARY_getkq || opcode == BINARY_getk || opcode == BINARY_getq;
}

static inline bool is_set(unsigned opcode) {
    return opcode == BINARY_set || opcode == BINARY_setq;
}

/* ------------------------------------------------------------------ one packet */

/* Makes key[0..n), which ends the head of a packet, the request's key. False: it is none, and r->error says so. */
static inline bool take_key(struct session *s, struct request *r, const char *key, size_t n) {
    const char *const end = key + n;
    bool mark = false;
    const char *e = text_word_end(r->line, key, end, '\n', s->worker->cmd->marker.p[0], &mark);
    if (unlikely(e != end)) { /* no line could carry it, and nothing is known of what lies behind that byte */
        r->base64 = true;
        mark = true;
    }
    if (unlikely(mark || n > STORE_KEY_MAX)) return cmd_key_set(s, r, key, n, mark);
    r->raw_key = key;
    r->raw_key_len = (uint32_t)n;
    store_key_hash(s->worker->cmd->store, &r->key, key, n);
    return true;
}

/* Fills r with what the head of a packet says, which is all here: r->line[0..r->line_len). */
static inline bool read_head(struct session *s, struct request *r, const struct binary_header *h) {
    const struct binary_row *row = &binary_rows[h->opcode];
    const char *extras = r->line + BINARY_HEADER, *key = extras + h->extras;
    r->cas = h->cas;
    r->flags = 0;
    r->exptime = 0;
    if (row->value && h->extras == SET_EXTRAS) {
        r->flags = binary_u32(extras);
        r->exptime = binary_u32(extras + 4);
        if (unlikely(h->cas != 0)) r->row = &cmd_rows[CMD_ID_cas];
    }
    if (likely(row->key == BINARY_KEY_KEY)) return take_key(s, r, key, h->key);
    r->raw_key = key;
    r->raw_key_len = h->key;
    return true;
}

/* The loop that the packet is for, if it has one. */
static inline enum cmd_path path_of(const struct request *r, const struct binary_header *h) {
    if (is_get(h->opcode)) return r->raw_key_len <= CMD_LONG_KEY ? CMD_PATH_GETS : CMD_PATH_PACKET;
    if (is_set(h->opcode) && h->cas == 0 && r->suffix == KEYTAGS_NONE && !r->base64) return CMD_PATH_SETS;
    return CMD_PATH_PACKET;
}

/* What is wrong with the packet as a request of this session; CMD_OK: nothing. */
static enum cmd_error error_of(const struct session *s, enum binary_fault fault, const struct binary_header *h) {
    switch (fault) {
    case BINARY_FAULT_MAGIC: return CMD_ERROR_CLOSE;
    case BINARY_FAULT_LENGTHS: return CMD_ERROR_LENGTHS;
    case BINARY_FAULT_BODY: return CMD_ERROR_FORMAT;
    case BINARY_FINE:
    case BINARY_FAULT_MALFORMED:
    case BINARY_FAULT_OPCODE: break;
    }
    /* Without -S there is no login in this protocol, so a stranger is told nothing. */
    const bool may = (binary_rows[h->opcode].marks & BINARY_STRANGER) != 0 && s->worker->cmd->cfg.sasl;
    if (unlikely(!s->authenticated) && !may) return CMD_ERROR_AUTH;
    if (fault == BINARY_FAULT_MALFORMED) return CMD_ERROR_FORMAT;
    return fault == BINARY_FAULT_OPCODE ? CMD_ERROR : CMD_OK;
}

/* A packet that is refused by its header alone. */
static void refuse(struct batch *b, const struct binary_header *h, enum cmd_error error) {
    static const struct cmd_row unknown = {.name = "unknown", .class = CMD_CLASS_OUT, .id = CMD_IDS};
    const struct cmd_row *row = cmd_binary_ops[h->opcode].row;
    struct request *r = cmd_batch_take(b, row != NULL ? row : &unknown, b->p + b->at, BINARY_HEADER);
    r->path = CMD_PATH_PACKET;
    r->error = (uint8_t)error;
    r->end = (uint32_t)b->at + BINARY_HEADER;
    if (error == CMD_ERROR) r->discard_body = h->body;
    b->stop = true;
}

/* The value behind a head. False: the request is not to be run now. */
static inline bool take_value(struct batch *b, struct request *r, const struct binary_header *h) {
    const uint32_t length = binary_value(h);
    if (unlikely(binary_rows[h->opcode].key == BINARY_KEY_WORD)) { /* of a login: it waits in the input */
        if (length <= CMD_AUTH_MAX) return cmd_parse_block_small(b, r, b->at, length);
        cmd_parse_block_refuse(b, r, length, CMD_ERROR_AUTH_LONG);
        return true;
    }
    if (unlikely(!cmd_parse_block_fits(b->s, r))) {
        cmd_parse_block_refuse(b, r, length, CMD_ERROR_TAGS);
        return true;
    }
    return cmd_parse_block_take(b, r, b->at, length);
}

/* The packet at b->at. */
static __attribute__((noinline)) void parse_next(struct batch *b) {
    const char *p = b->p + b->at;
    const size_t left = b->n - b->at;
    struct binary_header h;
    if (left < BINARY_HEADER) {
        b->stop = true;
        return;
    }
    const enum binary_fault fault = binary_check(&h, p);
    if (unlikely(fault != BINARY_FINE || !b->s->authenticated)) {
        const enum cmd_error error = error_of(b->s, fault, &h);
        if (error != CMD_OK) {
            refuse(b, &h, error);
            return;
        }
    }
    const size_t head = BINARY_HEADER + h.extras + h.key;
    if (unlikely(left < head)) {
        b->stop = true;
        return;
    }
    struct request *r = cmd_batch_take(b, cmd_binary_ops[h.opcode].row, p, head);
    r->path = CMD_PATH_PACKET;
    r->end = (uint32_t)(b->at + head);
    if (unlikely(!read_head(b->s, r, &h))) {
        b->stop = true; /* the connection will be closed */
        return;
    }
    if (binary_rows[h.opcode].value && unlikely(!take_value(b, r, &h))) {
        b->count--;
        b->lines--;
        b->stop = true;
        return;
    }
    if (likely(r->error == CMD_OK && (r->body != NULL || !binary_rows[h.opcode].value)))
        r->path = (uint8_t)path_of(r, &h);
    if (unlikely(r->row == &cmd_binary_sasl)) b->stop = true; /* how the next packet is parsed depends on the outcome */
    b->at = r->end;
}

/* ------------------------------------------------------------------ as most are */

/* Whether the key can stand in the batch as it is: it is not too long, has no suffix, and (in_line) nothing that a line
 * could not carry. */
static inline bool is_ordinary(const char *packet, const char *key, size_t n, char first, bool in_line) {
    return n - 1 < STORE_KEY_MAX && !text_holds(packet, key, key + n, first, in_line);
}

/* The head of a request that is taken in one pass: what the quick paths, and the handlers of gets and sets, look at. */
static inline void fill_head(const struct batch *b, struct request *r, enum cmd_path path, const struct cmd_row *row,
                             const char *p, size_t extras, size_t key) {
    r->row = row;
    r->line = p;
    r->line_len = (uint32_t)(BINARY_HEADER + extras + key);
    r->marks = 0;
    r->path = (uint8_t)path;
    r->cas = 0;
    r->raw_key = p + BINARY_HEADER + extras;
    r->raw_key_len = (uint32_t)key;
    cmd_batch_key(b, r, r->raw_key, key);
}

/* Parses packets of gets with an ordinary key from b->at on, as many as there are. */
static void parse_gets(struct batch *b) {
    const char first = b->s->worker->cmd->marker.p[0];
    const char *const end = b->p + b->n, *p = b->p + b->at;
    struct request *r = b->batch + b->count;
    const struct request *const begin = r, *const full = b->batch + b->max;
    for (; r < full && end - p >= BINARY_HEADER; r++) {
        const uint32_t key = binary_u16(p + 2);
        if (!is_get((uint8_t)p[1]) || (uint8_t)p[0] != BINARY_REQUEST || p[4] != 0 || binary_u32(p + 8) != key) break;
        if ((size_t)(end - p) < BINARY_HEADER + key) break;
        if (!is_ordinary(p, p + BINARY_HEADER, key, first, false)) break;
        fill_head(b, r, CMD_PATH_GETS, &cmd_rows[CMD_ID_get], p, 0, key);
        p += BINARY_HEADER + key;
        r->end = (uint32_t)(p - b->p);
    }
    b->count = (unsigned)(r - b->batch);
    b->lines += (unsigned)(r - begin);
    b->at = (size_t)(p - b->p);
}

/* The same of sets without a CAS id, whose value is here. */
static void parse_sets(struct batch *b) {
    const struct cmd *cmd = b->s->worker->cmd;
    const char *const end = b->p + b->n, *p = b->p + b->at;
    struct request *r = b->batch + b->count;
    const struct request *const begin = r, *const full = b->batch + b->max;
    for (; r < full && end - p >= BINARY_HEADER; r++) {
        const uint32_t key = binary_u16(p + 2), body = binary_u32(p + 8), head = SET_EXTRAS + key;
        if (!is_set((uint8_t)p[1]) || (uint8_t)p[0] != BINARY_REQUEST || p[4] != SET_EXTRAS) break;
        if (body < head || body - head > cmd->inline_max || binary_u64(p + 16) != 0) break;
        if ((size_t)(end - p) < BINARY_HEADER + body) break;
        if (!is_ordinary(p, p + BINARY_HEADER + SET_EXTRAS, key, cmd->marker.p[0], true)) break;
        fill_head(b, r, CMD_PATH_SETS, &cmd_rows[CMD_ID_set], p, SET_EXTRAS, key);
        r->flags = binary_u32(p + BINARY_HEADER);
        r->exptime = binary_u32(p + BINARY_HEADER + 4);
        r->body = (char *)p + BINARY_HEADER + head;
        r->body_len = body - head;
        r->upload = NULL;
        p += BINARY_HEADER + body;
        r->end = (uint32_t)(p - b->p);
    }
    b->count = (unsigned)(r - b->batch);
    b->lines += (unsigned)(r - begin);
    b->at = (size_t)(p - b->p);
}

/* ------------------------------------------------------------------ batches */

unsigned cmd_binary_parse(struct session *s, char *p, size_t n) {
    struct batch b = cmd_batch_begin(s, p, n);
    s->need = 0;
    while (b.at < n && !b.stop && b.count < CMD_BATCH) {
        const unsigned before = b.count, opcode = n - b.at > 1 ? (uint8_t)p[b.at + 1] : 0;
        if (likely(s->authenticated) && is_get(opcode)) parse_gets(&b);
        if (likely(s->authenticated) && is_set(opcode)) parse_sets(&b);
        if (b.count == before) parse_next(&b);
    }
    s->worker->batch_lines = b.lines;
    return b.count;
}

bool cmd_binary_parse_one(struct session *s, struct request *r, char *p, size_t n) {
    struct batch b = {.s = s, .store = s->worker->cmd->store, .batch = r, .max = 1, .p = p, .n = n};
    s->need = 0;
    if (n < BINARY_HEADER || binary_rows[(uint8_t)p[1]].key != BINARY_KEY_KEY) return false;
    parse_next(&b);
    return b.count == 1;
}

void cmd_binary_parse_kept(struct session *s, const char *head, size_t n, struct request *r) {
    struct batch b = {.s = s, .store = s->worker->cmd->store, .batch = r, .max = 1};
    struct binary_header h;
    binary_read(&h, head);
    cmd_batch_take(&b, cmd_binary_ops[h.opcode].row, head, n);
    r->path = CMD_PATH_PACKET;
    (void)read_head(s, r, &h); /* it was found to be good */
}
