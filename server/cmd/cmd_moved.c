/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_moved.h"

#include <string.h>

#include "cluster/mutation.h"
#include "store/store.h"

_Static_assert(MOVED_ITEM_KEY_MAX == STORE_KEY_MAX && MOVED_ITEM_TAGS_MAX == STORE_TAGS_MAX, "what a record can hold");

/* ------------------------------------------------------------------ giving */

/* The bytes of the value from `at` on that lie in one piece. False: there are none. */
static bool find_bytes(struct store_worker *w, const struct store_item *it, uint64_t at, struct moved_item *out) {
    if (it->value != NULL) {
        out->value = it->value + at;
        out->nvalue = (uint32_t)(it->size - at);
        return true;
    }
    struct iovec v;
    for (unsigned i = 0; store_item_spans(w, it, &v, i, 1) > i; i++) {
        if (at < v.iov_len) {
            out->value = (const char *)v.iov_base + at;
            out->nvalue = (uint32_t)(v.iov_len - at);
            return true;
        }
        at -= v.iov_len;
    }
    return false;
}

bool cmd_moved_show(struct store_worker *w, const struct store_item *it, uint64_t at, uint32_t most,
                    struct moved_item *out) {
    struct store_moving m;
    if (!store_moving(w, it, &m) || at > it->size || (at > 0 && at == it->size)) return false;
    out->key = it->key;
    out->nkey = it->key_len;
    out->size = it->size;
    out->at = at;
    out->version = it->version;
    out->cas = m.cas;
    out->has_cas = m.has_cas;
    out->flags = it->flags;
    out->ttl_s = m.ttl_s == 0 ? MOVED_ITEM_TTL_NEVER : m.ttl_s;
    out->bits = m.bits;
    out->ntags = it->ntags;
    store_item_tags(it, out->tags);
    if (!find_bytes(w, it, at, out)) return false;
    if (out->nvalue > most) out->nvalue = most;
    return true;
}

/* ------------------------------------------------------------------ taking */

void cmd_moved_forget(struct store_worker *w, struct cmd_moved_parts *p) {
    if (p->upload != NULL) store_upload_abort(w, p->upload);
    *p = (struct cmd_moved_parts){0};
}

/* Asked with the key's bucket locked. A worker that has seen the donor's move end no longer adds to the written set
 * what it changes, so from then on nothing may come in. */
static bool refuse(void *arg, uint64_t hash) {
    const struct cmd_moved_guard *g = arg;
    return move_state(g->move, g->donor) != MOVE_PULLING || written_has(g->move->written, hash);
}

/* When the item ends here: its ttl counts from when it was asked for, which is no later than when it was given. */
static uint64_t ends(const struct store *s, const struct moved_item *it, const struct cmd_moved_guard *g) {
    return it->ttl_s == MOVED_ITEM_TTL_NEVER ? 0 : (uint64_t)store_second(s, g->asked_ns) + it->ttl_s;
}

static enum store_received receive(const struct store *s, struct store_worker *w, const struct moved_item *it,
                                   const struct store_key *k, const struct cmd_moved_guard *guard,
                                   struct store_upload *upload) {
    const uint64_t expiry = ends(s, it, guard);
    struct cmd_moved_guard mine = *guard;
    const struct store_receive r = {
        .put = {.key = *k,
                .value = it->value,
                .size = it->size,
                .upload = upload,
                .flags = it->flags,
                .expiry = expiry > UINT32_MAX ? UINT32_MAX : (uint32_t)expiry,
                .bits = it->bits,
                .has_cas = it->has_cas,
                .cas = it->cas,
                .tags = it->tags,
                .ntags = it->ntags},
        .since = MUTATED(MUTATION_PULL_NO_GUARD) ? UINT64_MAX : guard->g,
        .fenced = guard->fenced,
        .refuse = refuse,
        .arg = &mine,
    };
    return store_receive(w, &r);
}

/* Copies the rest of a part to where the value is received. */
static enum store_status append(struct store_worker *w, const struct moved_item *it, struct cmd_moved_parts *p) {
    while (p->got < it->at + it->nvalue) {
        char *to;
        size_t room;
        const enum store_status st = store_upload_span(w, p->upload, &to, &room);
        if (st != STORE_OK) return st;
        const size_t left = it->at + it->nvalue - p->got, n = left < room ? left : room;
        memcpy(to, it->value + (p->got - it->at), n);
        store_upload_fill(p->upload, n);
        p->got += n;
    }
    return STORE_OK;
}

/* Whether the record goes on with what has come so far; one that begins at 0 makes a beginning. */
static enum store_status begin(struct store_worker *w, const struct moved_item *it, struct cmd_moved_parts *p) {
    const bool same =
        p->upload != NULL && p->version == it->version && p->got >= it->at && p->got <= it->at + it->nvalue;
    if (same) return STORE_OK;
    cmd_moved_forget(w, p);
    if (it->at != 0) return STORE_EXISTS;
    p->version = it->version;
    return store_upload_begin(w, it->size, &p->upload);
}

enum store_received cmd_moved_take(const struct store *s, struct store_worker *w, const struct moved_item *it,
                                   const struct store_key *k, const struct cmd_moved_guard *guard,
                                   struct cmd_moved_parts *p) {
    const bool whole = it->at == 0 && moved_item_is_last(it);
    const uint64_t end = ends(s, it, guard);
    if ((end != 0 && end <= store_now(w)) || (it->nvalue == 0 && !whole)) return STORE_RECEIVE_PRESENT;
    if (whole && it->size <= store_inline_max(s)) return receive(s, w, it, k, guard, NULL);
    enum store_status st = begin(w, it, p);
    if (st == STORE_EXISTS) return STORE_RECEIVE_PRESENT;
    if (st == STORE_OK) st = append(w, it, p);
    if (st == STORE_AGAIN) return STORE_RECEIVE_AGAIN;
    if (st != STORE_OK) {
        cmd_moved_forget(w, p);
        return STORE_RECEIVE_NO_MEMORY;
    }
    if (!moved_item_is_last(it)) return STORE_RECEIVED;
    const enum store_received got = receive(s, w, it, k, guard, p->upload);
    if (got != STORE_RECEIVE_AGAIN) *p = (struct cmd_moved_parts){0}; /* the store has taken the upload over */
    return got;
}
