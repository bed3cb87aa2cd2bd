/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_binary.h"

#include <string.h>

#include "base/check.h"
#include "cmd/cmd_batch.h"
#include "cmd/cmd_key.h"
#include "cmd/cmd_parse_block.h"
#include "cmd/cmd_set.h"
#include "cmd/cmd_table.h"
#include "cmd/instance.h"
#include "cmd/packet.h"
#include "cmd/reply.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "proto/binary.h"
#include "proto/text.h"
#include "store/store.h"

/* ------------------------------------------------------------------ opcodes */

/* No text command is like those of SASL. */
#define CMD_ID_sasl CMD_IDS
static const struct cmd_row sasl = {.name = "sasl", .name_len = 4, .class = CMD_CLASS_OUT, .id = CMD_ID_sasl};

const struct cmd_binary_op cmd_binary_ops[256] = {
#define BINARY(name, opcode, like, handler, extras, key, value, marks, help)                                           \
    [opcode] = {handler, CMD_ID_##like == CMD_ID_sasl ? &sasl : &cmd_rows[CMD_ID_##like]},
#include "proto/binary.def"
#undef BINARY
};

void cmd_binary_error(struct session *s, struct request *r) {
    switch ((enum cmd_error)r->error) {
    case CMD_ERROR: packet_error(s, r, BINARY_UNKNOWN); return; /* its body is skipped */
    case CMD_ERROR_TAGS: cmd_reply_error(s, r, BINARY_INVALID, CMD_TOO_MANY_TAGS); return;
    case CMD_ERROR_TOO_LARGE: cmd_set_refuse(s, r, STORE_TOO_LARGE); return;
    case CMD_ERROR_TIMEOUT: cmd_set_refuse(s, r, STORE_NO_MEMORY); return;
    case CMD_ERROR_AUTH_LONG: packet_error(s, r, BINARY_AUTH_FAILED); return; /* likewise */
    case CMD_ERROR_AUTH: packet_error(s, r, BINARY_AUTH_FAILED); break;
    case CMD_ERROR_LENGTHS: packet_error(s, r, BINARY_UNKNOWN); break;
    case CMD_ERROR_CLOSE: break;
    default: packet_error(s, r, BINARY_INVALID); break;
    }
    cmd_end(s, CMD_END_ERROR);
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
    if (row->value && h->extras == 8) {
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
    if (h->opcode == BINARY_get || h->opcode == BINARY_getkq || h->opcode == BINARY_getk || h->opcode == BINARY_getq)
        return r->raw_key_len <= CMD_LONG_KEY ? CMD_PATH_GETS : CMD_PATH_PACKET;
    if ((h->opcode == BINARY_set || h->opcode == BINARY_setq) && h->cas == 0 && r->suffix == KEYTAGS_NONE && !r->base64)
        return CMD_PATH_SETS;
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
    if (unlikely(!s->authenticated) && (binary_rows[h->opcode].marks & BINARY_STRANGER) == 0) return CMD_ERROR_AUTH;
    if (fault == BINARY_FAULT_MALFORMED) return CMD_ERROR_FORMAT;
    return fault == BINARY_FAULT_OPCODE ? CMD_ERROR : CMD_OK;
}

/* A packet that is refused by its header alone. */
static void refuse(struct batch *b, const struct binary_header *h, enum cmd_error error) {
    struct request *r = cmd_batch_take(b, &sasl, b->p + b->at, BINARY_HEADER);
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
static inline void parse_next(struct batch *b) {
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
    if (unlikely(r->row == &sasl)) b->stop = true; /* how the next packet is parsed depends on the outcome */
    b->at = r->end;
}

/* ------------------------------------------------------------------ batches */

unsigned cmd_binary_parse(struct session *s, char *p, size_t n) {
    struct batch b = {
        .s = s, .store = s->worker->cmd->store, .batch = s->worker->batch, .max = CMD_BATCH, .p = p, .n = n};
    s->need = 0;
    while (b.at < n && !b.stop && b.count < CMD_BATCH) parse_next(&b);
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
