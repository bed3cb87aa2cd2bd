/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_parse_block.h"

#include "base/check.h"
#include "cmd/cmd_key.h"
#include "cmd/cmd_table.h"
#include "cmd/cmd_tag.h"
#include "cmd/instance.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "proto/keytags.h"
#include "proto/text.h"
#include "store/store.h"

void cmd_parse_block_refuse(struct batch *b, struct request *r, uint64_t length, enum cmd_error error) {
    r->error = (uint8_t)error;
    r->discard_body = length + cmd_ending(r);
    b->stop = true;
}

bool cmd_parse_block_small(struct batch *b, struct request *r, size_t begin, uint64_t length) {
    const uint64_t whole = length + cmd_ending(r);
    r->body_len = length;
    if (b->n - r->end < whole) {
        if (unlikely(b->s->refuse)) {
            cmd_parse_block_refuse(b, r, length, CMD_ERROR_TIMEOUT);
            return true;
        }
        b->s->need = r->end - begin + whole;
        return false;
    }
    r->body = b->p + r->end;
    if (!cmd_is_packet(r) && unlikely(r->body[length] != '\r' || r->body[length + 1] != '\n'))
        r->error = CMD_ERROR_CHUNK;
    r->end += (uint32_t)whole;
    return true;
}

bool cmd_parse_block_take(struct batch *b, struct request *r, size_t begin, uint64_t length) {
    struct cmd *cmd = b->s->worker->cmd;
    r->body_len = length;
    if (unlikely(length > cmd->cfg.item_size_max)) {
        cmd_parse_block_refuse(b, r, length, CMD_ERROR_TOO_LARGE);
        return true;
    }
    if (unlikely(length > cmd->inline_max)) {
        b->stop = true;
        return b->count == 1; /* it is received by cmd_body, once all before it has been run */
    }
    return cmd_parse_block_small(b, r, begin, length);
}

bool cmd_parse_block_fits(struct session *s, const struct request *r) {
    if (r->suffix != KEYTAGS_TAGS || r->list_len < 2 * STORE_TAGS_MAX) return true;
    cmd_tag_begin(s);
    return cmd_tag_add_list(s, r->list, r->list_len);
}

bool cmd_parse_block_set_line(struct session *s, struct request *r, uint64_t *length) {
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
    if (!cmd_key_set(s, r, t.key.p, t.key.n, t.mark)) return true;
    if (unlikely(e != TEXT_STORE_OK))
        r->error = CMD_ERROR_FORMAT;
    else if (unlikely(!cmd_parse_block_fits(s, r)))
        r->error = CMD_ERROR_TAGS;
    return true;
}

/* Of an ms line whose third word is no length: whether another word is a number. Then its key may be empty or hold a
 * blank, and that number be the length. */
static bool is_shifted(const struct request *r) {
    struct text_token word;
    size_t at = r->row->name_len;
    uint64_t v;
    for (unsigned i = 0; text_next(r->line, r->line_len, &at, &word); i++)
        if (i != 1 && text_u64(word.p, word.n, &v)) return true;
    return false;
}

bool cmd_parse_block_ms_line(struct session *s, struct request *r, uint64_t *length) {
    struct text_token key, len;
    size_t at;
    bool mark;
    if (!cmd_key_word(s, r, &at, &key, &mark) || !text_next(r->line, r->line_len, &at, &len) ||
        !text_u64(len.p, len.n, length) || *length > TEXT_LENGTH_MAX) {
        r->error = CMD_ERROR_FORMAT;
        r->shifted = is_shifted(r);
        return false;
    }
    r->rest = (uint32_t)at;
    if (!cmd_key_set(s, r, key.p, key.n, mark)) r->error = CMD_OK;
    return true;
}

bool cmd_parse_block_line(struct batch *b, struct request *r, size_t begin) {
    uint64_t length = 0;
    bool block = r->row->class == CMD_CLASS_STORE ? cmd_parse_block_set_line(b->s, r, &length)
                                                  : cmd_parse_block_ms_line(b->s, r, &length);
    if (unlikely(!block)) return true;
    if (unlikely(r->error != CMD_OK)) {
        cmd_parse_block_refuse(b, r, length, (enum cmd_error)r->error);
        return true;
    }
    return cmd_parse_block_take(b, r, begin, length);
}

void cmd_parse_block_kept(struct session *s, const struct cmd_row *row, const char *line, size_t n, struct request *r) {
    struct batch b = {.s = s, .store = s->worker->cmd->store, .batch = r, .max = 1};
    uint64_t length;
    cmd_batch_take(&b, row, line, n);
    if (row->class == CMD_CLASS_STORE)
        cmd_parse_block_set_line(s, r, &length);
    else
        cmd_parse_block_ms_line(s, r, &length);
}
