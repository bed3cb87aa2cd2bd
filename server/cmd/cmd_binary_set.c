/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_binary_set.h"

#include "base/check.h"
#include "base/sync.h"
#include "cmd/cmd_binary.h"
#include "cmd/cmd_expiry.h"
#include "cmd/cmd_hold.h"
#include "cmd/cmd_purge.h"
#include "cmd/cmd_set.h"
#include "cmd/cmd_table.h"
#include "cmd/cmd_tag.h"
#include "cmd/cmd_value.h"
#include "cmd/instance.h"
#include "cmd/packet.h"
#include "cmd/reply.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "net/conn.h"
#include "proto/binary.h"
#include "proto/keytags.h"
#include "store/store.h"

#define NEVER_CREATE                                                                                                   \
    UINT32_MAX /* of increment and decrement: this expiry says that a missing number is not created                    \
                */

/* What memcached answers when the condition of a command does not hold. */
static enum binary_status not_stored(const struct request *r) {
    switch (r->row->id) {
    case CMD_ID_add: return BINARY_EXISTS;
    case CMD_ID_replace: return BINARY_NOT_FOUND;
    default: return BINARY_NOT_STORED;
    }
}

/* What is too large by itself was refused when it was parsed; a join may be too large together with what is there. */
static void refuse(struct session *s, const struct request *r, enum store_status st, bool joins) {
    if (joins && st == STORE_TOO_LARGE) {
        cmd_set_failed(s, r, st);
        packet_error(s, r, BINARY_NOT_STORED);
    } else {
        cmd_set_refuse(s, r, st);
    }
}

void cmd_binary_set(struct session *s, struct request *r) {
    struct store_item it;
    const bool joins = r->row->id == CMD_ID_append || r->row->id == CMD_ID_prepend;
    const enum store_status st = cmd_set_store(s, r, &it);
    switch (st) {
    case STORE_AGAIN: break;
    case STORE_OK: packet_done(s, r, cmd_value_cas(s, &it)); break;
    case STORE_EXISTS: packet_error(s, r, BINARY_EXISTS); break;
    case STORE_NOT_FOUND: packet_error(s, r, joins ? BINARY_NOT_STORED : BINARY_NOT_FOUND); break;
    case STORE_TOO_LARGE:
    case STORE_NO_MEMORY: refuse(s, r, st, joins); break;
    case STORE_TOO_MANY: cmd_reply_error(s, r, BINARY_INVALID, CMD_TOO_MANY_TAGS); break;
    default: packet_error(s, r, not_stored(r)); break;
    }
}

unsigned cmd_binary_set_run(struct session *s, struct request *r, unsigned n, uint64_t since) {
    struct store_worker *w = s->worker->store;
    unsigned i = 0;
    while (i < n && r->path == CMD_PATH_SETS) {
        if (cmd_hold_may(s->worker, r->key.hash)) break;
        const uint32_t expiry = cmd_expiry(s, r->exptime);
        struct store_item it;
        if (unlikely(store_set(w, &r->key, r->body, r->body_len, r->flags, expiry, since, &it) != STORE_OK)) break;
        cmd_expiry_check(s, r->exptime, expiry);
        packet_done(s, r, cmd_value_cas(s, &it));
        i++;
        r++;
        if ((i & 15) == 0 && unlikely(conn_full(s->conn))) break;
    }
    sync_bump(&s->worker->metrics[CMD_METRIC_cmd_set], i);
    return i;
}

static void reply_number(struct session *s, const struct request *r, uint64_t v, uint64_t cas) {
    char text[sizeof v];
    binary_put_u64(text, v);
    if (!packet_quiet(r)) packet_body(s, r, BINARY_OK, text, sizeof text, cas);
}

void cmd_binary_arith(struct session *s, struct request *r) {
    struct cmd_worker *w = s->worker;
    const char *extras = packet_extras(r);
    const uint32_t exptime = binary_u32(extras + 16);
    struct store_item it;
    uint64_t number;
    bool created;
    if (unlikely(r->suffix == KEYTAGS_PURGE)) {
        if (cmd_purge_list(s, r, r->list, r->list_len, &number)) reply_number(s, r, number, 0);
        return;
    }
    struct store_arith a = {
        .key = r->key,
        .delta = binary_u64(extras),
        .decrement = r->row->id == CMD_ID_decr,
        .guarded = r->cas != 0,
        .guard = r->cas,
        .vivify = exptime != NEVER_CREATE,
        .initial = binary_u64(extras + 8),
        .vivify_expiry = exptime == NEVER_CREATE ? 0 : cmd_expiry(s, exptime),
        .bits = r->base64 ? STORE_B64 : 0,
    };
    if (unlikely(r->suffix == KEYTAGS_TAGS)) {
        cmd_tag_begin(s);
        if (!cmd_tag_add_list(s, r->list, r->list_len)) {
            cmd_reply_error(s, r, BINARY_INVALID, CMD_TOO_MANY_TAGS);
            return;
        }
        a.tags = w->tags;
        a.ntags = w->ntags;
    }
    switch (cmd_set_arith(s, r, &a, &number, &created, &it)) {
    case STORE_OK: reply_number(s, r, number, cmd_value_cas(s, &it)); break;
    case STORE_AGAIN: break;
    case STORE_NON_NUMERIC: packet_error(s, r, BINARY_NON_NUMERIC); break;
    case STORE_EXISTS: packet_error(s, r, BINARY_EXISTS); break;
    case STORE_NOT_FOUND: packet_error(s, r, BINARY_NOT_FOUND); break;
    default:
        packet_no_memory(s, r, store_peek(w->store, &r->key, &it) ? "incrementing value" : "allocating new item");
        break;
    }
}

void cmd_binary_delete(struct session *s, struct request *r) {
    uint64_t number;
    if (unlikely(r->suffix == KEYTAGS_PURGE)) {
        if (cmd_purge_list(s, r, r->list, r->list_len, &number)) packet_done(s, r, 0);
        return;
    }
    switch (cmd_set_delete(s, r)) {
    case STORE_AGAIN: break;
    case STORE_OK: packet_done(s, r, 0); break;
    case STORE_EXISTS: packet_error(s, r, BINARY_EXISTS); break;
    default: packet_error(s, r, BINARY_NOT_FOUND); break;
    }
}
