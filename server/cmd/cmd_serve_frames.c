/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_serve_frames.h"

#include <string.h>

#include "base/check.h"
#include "cmd/cmd_binary_parse.h"
#include "cmd/cmd_key.h"
#include "cmd/cmd_parse.h"
#include "cmd/cmd_table.h"
#include "proto/keytags.h"
#include "store/store.h"

#define LONG_LINE 16384 /* a line above this takes a transfer link: its key may be in the reply */

/* A key. False: it is none. */
static bool read_get(struct serve *sv, struct request *r, const struct link_header *h, const char *p) {
    struct session *s = &sv->s;
    struct cmd_worker *w = s->worker;
    const bool cas = (h->flags & LINK_CAS) != 0, touch = (h->flags & LINK_TOUCH) != 0;
    size_t n = h->bytes;
    int32_t ttl = 0;
    r->row = &cmd_rows[touch ? (cas ? CMD_ID_gats : CMD_ID_gat) : cas ? CMD_ID_gets : CMD_ID_get];
    r->marks = 0;
    r->path = cas || touch ? CMD_PATH_KEY : CMD_PATH_GET;
    if (touch) {
        if (n < sizeof ttl) return false;
        memcpy(&ttl, p, sizeof ttl);
        p += sizeof ttl;
        n -= sizeof ttl;
        r->exptime = ttl == LINK_TTL_NEVER ? 0 : ttl < 0 ? STORE_EXPIRED : (int64_t)store_now(w->store) + ttl + 1;
        if (r->exptime > UINT32_MAX) r->exptime = UINT32_MAX;
    }
    if (unlikely(h->flags & LINK_SUFFIX)) {
        if (n > CMD_LONG_KEY) r->path = CMD_PATH_KEY;
        return cmd_key_set(s, r, p, n, true);
    }
    if (unlikely(n - 1 >= STORE_KEY_MAX)) return false;
    r->raw_key = p;
    r->raw_key_len = (uint32_t)n;
    store_key_hash(w->cmd->store, &r->key, p, n);
    return true;
}

/* A line, and its block, or a packet. False: it is not about one key. *large: it does not belong on this link. */
static bool read_command(struct serve *sv, struct request *r, bool packet, char *p, size_t n, bool *large) {
    *large = false;
    if (!(packet ? cmd_binary_parse_one(&sv->s, r, p, n) : cmd_parse_one(&sv->s, r, p, n))) return false;
    if (packet && r->error != CMD_OK && r->error != CMD_ERROR_TOO_LARGE) return false; /* such are not passed on */
    if (r->row->class == CMD_CLASS_PLAIN && r->row->id != CMD_ID_tag_add) return false;
    if (r->suffix == KEYTAGS_PURGE) return false;
    if ((r->row->class == CMD_CLASS_STORE || r->row->class == CMD_CLASS_MSET) && r->error == CMD_OK && r->body == NULL)
        *large = true;
    else if (r->discard_body == 0 && r->end != n)
        return false;
    *large |= r->line_len > LONG_LINE;
    return true;
}

bool cmd_serve_frames_read(struct serve *sv, char *p, size_t n, struct serve_frames *f) {
    struct cmd_worker *w = sv->s.worker;
    f->count = 0;
    f->seq = 0;
    f->bytes = 0;
    f->plain = true;
    while (f->count < CMD_BATCH && n - f->bytes >= LINK_HEADER) {
        struct link_header h;
        link_read(&h, p + f->bytes);
        if (unlikely(h.bytes > LINK_REQUEST_MAX || h.bytes == 0) && h.kind != LINK_PING) return false;
        if (n - f->bytes < LINK_HEADER + h.bytes) break;
        struct request *r = &w->batch[f->count];
        char *payload = p + f->bytes + LINK_HEADER;
        bool large = false;
        if (likely(h.kind == LINK_GET)) {
            if (!read_get(sv, r, &h, payload)) return false;
            large = r->raw_key_len > LONG_LINE;
        } else if (h.kind == LINK_COMMAND || h.kind == LINK_PACKET) {
            if (!read_command(sv, r, h.kind == LINK_PACKET, payload, h.bytes, &large)) return false;
        } else {
            break;
        }
        if (unlikely(!cmd_serve_frames_take_seq(sv, h.seq))) return false;
        if (f->count == 0) f->seq = h.seq;
        f->bytes += LINK_HEADER + h.bytes;
        const bool copy = h.kind == LINK_GET && (h.flags & LINK_COPY) != 0;
        f->plain &= !large && !copy;
        f->at[f->count].copy = copy;
        f->at[f->count].budget_ms = h.budget_ms;
        f->at[f->count].large = large;
        f->at[f->count].refused = false;
        f->at[f->count].end = (uint32_t)f->bytes;
        f->count++;
    }
    return true;
}
