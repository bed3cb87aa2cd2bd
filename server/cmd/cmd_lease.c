/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_lease.h"

#include <string.h>

#include "cluster/lease_ends.h"
#include "cmd/cmd_table.h"
#include "cmd/instance.h"
#include "cmd/observers.h"
#include "cmd/reply.h"
#include "proto/keytags.h"

void cmd_lease_ended(struct cmd_worker *w, uint64_t now_ns) {
    const struct lease_ends *l = w->cmd->leases;
    w->leases_ended = 0;
    if (now_ns >= sync_load_acq(&l->serve_ns)) w->leases_ended |= CMD_LEASE_SERVE;
    if (now_ns >= sync_load_acq(&l->tag_ns)) w->leases_ended |= CMD_LEASE_TAG;
    if (w->leases_ended != 0) w->observed |= CMD_OBSERVE_LEASE;
}

/* Whether purges of tags concern it: it carries one, its key has one (--prefix-tags), or the reader named some. */
static bool is_tagged(const struct session *s, const struct request *r, const struct store_item *it) {
    const struct cmd_worker *w = s->worker;
    const char delimiter = w->cmd->cfg.prefix_delimiter;
    if (it->ntags > 0 || (r->row->id == CMD_ID_mg && w->nread > 0)) return true;
    return delimiter != 0 && memchr(r->key.p, delimiter, r->key.len) != NULL;
}

bool cmd_lease_hides_item(const struct session *s, const struct request *r, const struct store_item *it) {
    return cmd_lease_none(s) || is_tagged(s, r, it);
}

bool cmd_lease_hides_now(const struct session *s, const struct request *r) {
    struct store_item it;
    if (likely(s->worker->leases_ended == 0)) return false;
    return store_peek(s->worker->store, &r->key, &it) && cmd_lease_hides_item(s, r, &it);
}

static bool is_write(const struct request *r) {
    switch ((enum cmd_class)r->row->class) {
    case CMD_CLASS_STORE:
    case CMD_CLASS_MSET: return true;
    case CMD_CLASS_KEYED: break;
    case CMD_CLASS_PLAIN: return r->row->id == CMD_ID_tag_add;
    case CMD_CLASS_GET:
    case CMD_CLASS_OUT: return false;
    }
    if (r->suffix == KEYTAGS_PURGE) return false; /* it is a purge */
    return r->row->id == CMD_ID_incr || r->row->id == CMD_ID_decr || r->row->id == CMD_ID_delete ||
           r->row->id == CMD_ID_md || r->row->id == CMD_ID_ma;
}

bool cmd_lease_refuses(struct session *s, struct request *r) {
    if (likely(!cmd_lease_none(s)) || !is_write(r)) return false;
    const bool block = r->row->class == CMD_CLASS_STORE || r->row->class == CMD_CLASS_MSET;
    if (block && r->body == NULL && r->upload == NULL) r->discard_body = r->body_len + cmd_ending(r);
    cmd_reply_error(s, r, BINARY_TEMPORARY, "SERVER_ERROR no lease");
    return true;
}
