/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/sync.h"
#include "cluster/cover.h"
#include "cluster/holders.h"
#include "cluster/view.h"
#include "cmd/cmd_hot.h"
#include "cmd/cmd_place.h"
#include "cmd/instance.h"
#include "proto/meta.h"
#include "proto/moved_item.h"
#include "store/store.h"

#define MS UINT64_C(1000000)
#define PLACES 256    /* of the table of copies by hash: four times as many as there are copies */
#define REPLY_MAX 400 /* bytes of an answer beside the key and the value */

/* One key: the copy, if there is one, and what is being done to get the next. */
struct copy {
    bool used;
    bool held;  /* there is a copy */
    bool asked; /* its owner is being asked */
    uint8_t len, ntags;
    uint16_t member;   /* the owner's index in the view */
    uint32_t ask;      /* number of the last ask */
    uint32_t flags;    /* the item's */
    uint32_t size;     /* of the value */
    uint64_t hash;     /* this node's, of the key; */
    uint64_t name;     /* and all nodes' */
    uint64_t changes;  /* of this name, as of before the copy was asked for */
    uint64_t since;    /* purges above this number concern it */
    uint64_t end_ns;   /* it is not served from then on */
    uint64_t next_ns;  /* its owner is not asked again before */
    uint64_t asked_ns; /* when it was asked last, and what was true then: */
    uint64_t asked_changes;
    struct cover cover;
    uint64_t tags[HOLDERS_TAGS_MAX];
    char *value;
    char key[STORE_KEY_MAX];
};

struct cmd_copies {
    struct cmd_worker *worker;
    unsigned n;         /* keys in use; 0: `copy` may be NULL */
    uint64_t wanted;    /* bit i: the owner of copy[i] is to be asked */
    uint32_t asks;      /* ever */
    uint8_t at[PLACES]; /* which copy, and 1; 0: none. By hash, the next free place */
    struct copy *copy;  /* COPY_KEYS_MAX of them */
};

_Static_assert(COPY_KEYS_MAX <= 64 && COPY_KEYS_MAX < PLACES / 2, "wanted has a bit for each, at has room");

/* ------------------------------------------------------------------ life */

int cmd_copy_begin(struct cmd *cmd) {
    if (!cmd->cfg.hot_copies) return 0;
    cmd->copy_changes = calloc(COPY_CHANGES, sizeof *cmd->copy_changes);
    return cmd->copy_changes == NULL ? -ENOMEM : 0;
}

struct cmd_copies *cmd_copy_new(struct cmd_worker *w) {
    struct cmd_copies *c = calloc(1, sizeof *c);
    if (c == NULL) return NULL;
    c->worker = w;
    return c;
}

void cmd_copy_drop(struct cmd_copies *c) {
    for (unsigned i = 0; c->copy != NULL && i < COPY_KEYS_MAX; i++) free(c->copy[i].value);
    free(c->copy);
    c->copy = NULL;
    c->n = 0;
    c->wanted = 0;
    memset(c->at, 0, sizeof c->at);
}

void cmd_copy_free(struct cmd_copies *c) {
    if (c == NULL) return;
    cmd_copy_drop(c);
    free(c);
}

/* ------------------------------------------------------------------ the table */

static inline struct copy *find(const struct cmd_copies *c, const struct store_key *k) {
    for (unsigned i = k->hash % PLACES; c->at[i] != 0; i = (i + 1) % PLACES) {
        struct copy *y = &c->copy[c->at[i] - 1];
        if (y->hash == k->hash && y->len == k->len && bytes_same(y->key, k->p, k->len)) return y;
    }
    return NULL;
}

/* Makes the places anew. */
static void settle_places(struct cmd_copies *c) {
    memset(c->at, 0, sizeof c->at);
    c->n = 0;
    for (unsigned k = 0; k < COPY_KEYS_MAX; k++) {
        if (!c->copy[k].used) continue;
        unsigned i = c->copy[k].hash % PLACES;
        while (c->at[i] != 0) i = (i + 1) % PLACES;
        c->at[i] = (uint8_t)(k + 1);
        c->n++;
    }
}

static void let_go(struct cmd_copies *c, struct copy *y) {
    free(y->value);
    memset(y, 0, sizeof *y);
    c->wanted &= ~(UINT64_C(1) << (y - c->copy));
    settle_places(c);
}

void cmd_copy_lost(struct cmd_copies *c, unsigned member) {
    for (unsigned i = 0; c->n > 0 && i < COPY_KEYS_MAX; i++)
        if (c->copy[i].used && c->copy[i].member == member) let_go(c, &c->copy[i]);
}

/* A free one, or one whose copy has ended and that nobody has asked for since. NULL: there is none, or no memory. */
static struct copy *make_room(struct cmd_copies *c, uint64_t now_ns) {
    if (c->copy == NULL) c->copy = calloc(COPY_KEYS_MAX, sizeof *c->copy);
    for (unsigned i = 0; c->copy != NULL && i < COPY_KEYS_MAX; i++) {
        struct copy *y = &c->copy[i];
        if (y->used && (y->end_ns > now_ns || now_ns < y->asked_ns + HOLDERS_COPY_MS * MS)) continue;
        if (y->used) let_go(c, y);
        return y;
    }
    return NULL;
}

/* A key has become hot. */
static void begin(struct cmd_copies *c, const struct store_key *k, unsigned member, uint64_t now_ns) {
    struct copy *y = make_room(c, now_ns);
    if (y == NULL) return;
    y->used = true;
    y->hash = k->hash;
    y->name = hash_key(k->p, k->len, LINK_COPY_SEED);
    y->len = (uint8_t)k->len;
    y->member = (uint16_t)member;
    memcpy(y->key, k->p, k->len);
    settle_places(c);
    c->wanted |= UINT64_C(1) << (y - c->copy);
}

/* ------------------------------------------------------------------ changes that owners tell of */

static uint64_t *changes(const struct cmd *cmd, uint64_t name) {
    return &cmd->copy_changes[name % COPY_CHANGES];
}

void cmd_copy_gone(struct cmd *cmd, uint64_t name) {
    (void)sync_add_acqrel(changes(cmd, name), 1);
}

/* Whether the copy may be served now. */
static bool is_good(const struct cmd_copies *c, const struct copy *y, uint64_t now_ns) {
    const struct store_key k = {.p = y->key, .len = y->len};
    if (!y->held || now_ns >= y->end_ns) return false;
    if (sync_load_acq(changes(c->worker->cmd, y->name)) != y->changes && !FAULT_POINT("copy.mutate.no_changes"))
        return false;
    return !store_purged_since(c->worker->store, &k, y->tags, y->ntags, y->since);
}

/* ------------------------------------------------------------------ asking */

static void ask_one(struct cmd_peers *p, struct copy *y) {
    const struct cmd *cmd = p->worker->cmd;
    const uint64_t now_ns = clock_boot_ns(cmd->cfg.clock);
    cover_copy(cmd->cover, &y->cover);
    y->asked_changes = sync_load_acq(changes(cmd, y->name));
    y->asked_ns = now_ns;
    y->ask = ++p->copies->asks;
    y->asked = y->cover.usable && cmd_link_ask_copy(p, y->member, y->key, y->len, y->ask);
    y->next_ns = now_ns + (y->asked ? COPY_PATIENCE_MS : COPY_AGAIN_MS) * MS;
}

void cmd_copy_ask(struct cmd_peers *p) {
    struct cmd_copies *c = p->copies;
    while (unlikely(c->wanted != 0)) {
        const unsigned i = (unsigned)__builtin_ctzll(c->wanted);
        c->wanted &= c->wanted - 1;
        ask_one(p, &c->copy[i]);
    }
}

/* Reads what the owner has given; the copy is good if the owner knew all purges that were known here. */
static bool read_copy(struct copy *y, const char *payload, size_t n) {
    struct moved_item it;
    struct cover owner;
    uint16_t len;
    if (n < sizeof len) return false;
    memcpy(&len, payload, sizeof len);
    payload += sizeof len;
    n -= sizeof len;
    if (len > n || !cover_read((const uint8_t *)payload, len, &owner)) return false;
    if (moved_item_read((const uint8_t *)payload + len, n - len, &it) == 0 || it.size != it.nvalue) return false;
    if (it.nkey != y->len || memcmp(it.key, y->key, y->len) != 0) return false;
    if (it.nvalue > HOLDERS_VALUE_MAX || it.ntags > HOLDERS_TAGS_MAX || !cover_covers(&owner, &y->cover)) return false;
    char *value = realloc(y->value, it.nvalue + 1u);
    if (value == NULL) return false;
    memcpy(value, it.value, it.nvalue);
    memcpy(y->tags, it.tags, it.ntags * sizeof y->tags[0]);
    y->value = value;
    y->size = it.nvalue;
    y->ntags = (uint8_t)it.ntags;
    y->flags = it.flags;
    return true;
}

void cmd_copy_take(struct cmd_peers *p, uint32_t ask, enum link_status status, const char *payload, size_t n) {
    struct cmd_copies *c = p->copies;
    struct copy *y = NULL;
    for (unsigned i = 0; c->copy != NULL && i < COPY_KEYS_MAX && y == NULL; i++)
        if (c->copy[i].used && c->copy[i].asked && c->copy[i].ask == ask) y = &c->copy[i];
    if (y == NULL) return;
    const uint64_t now_ns = clock_boot_ns(p->worker->cmd->cfg.clock);
    y->asked = false;
    y->next_ns = now_ns + (status == LINK_DONE ? COPY_NEVER_MS : COPY_AGAIN_MS) * MS;
    if (status != LINK_COPIED || n == 0) return;
    y->held = read_copy(y, payload, n);
    if (!y->held) return;
    y->changes = y->asked_changes;
    y->since = y->cover.g;
    y->end_ns = y->asked_ns + HOLDERS_COPY_MS * MS;
    if (!is_good(c, y, now_ns))
        y->held = false; /* it was changed, or purged, while it was on its way */
    else
        sync_bump(&p->worker->metrics[CMD_METRIC_copies_taken], 1);
}

/* ------------------------------------------------------------------ answering */

/* Flags of mg that a copy can answer: all others show, or do, what only the owner knows. */
#define MG_FLAGS (META_BIT('v') | META_BIT('k') | META_BIT('O') | META_BIT('q') | META_BIT('f') | META_BIT('s'))

static inline bool can_be_copied(const struct request *r) {
    if (r->path == CMD_PATH_GET) return r->row->id == CMD_ID_get && r->raw_key_len == r->key.len;
    return r->path == CMD_PATH_MG && (r->meta.have & ~MG_FLAGS) == 0;
}

static char *put(char *out, const char *p, size_t n) {
    memcpy(out, p, n);
    return out + n;
}

/* "VALUE key flags size", the value. */
static char *put_get(char *out, const struct copy *y) {
    out = put(put(out, "VALUE ", 6), y->key, y->len);
    *out++ = ' ';
    out = text_put_u64(out, y->flags);
    *out++ = ' ';
    out = put(text_put_u64(out, y->size), "\r\n", 2);
    return put(put(out, y->value, y->size), "\r\n", 2);
}

/* "VA size flags", the value; or "HD flags". */
static char *put_mg(char *out, const struct request *r, const struct copy *y) {
    const char *p = r->line + r->rest;
    const bool value = meta_usual_has(&r->meta, 'v');
    char letter;
    out = put(out, value ? "VA " : "HD", value ? 3 : 2);
    if (value) out = text_put_u64(out, y->size);
    while ((p = meta_next_usual(&r->meta, p, &letter)) != NULL) {
        if (letter == 'v' || letter == 'q') continue;
        *out++ = ' ';
        *out++ = letter;
        if (letter == 'k') out = put(out, y->key, y->len);
        if (letter == 'O') out = put(out, r->meta.opaque.p, r->meta.opaque.n);
        if (letter == 'f') out = text_put_u64(out, y->flags);
        if (letter == 's') out = text_put_u64(out, y->size);
    }
    out = put(out, "\r\n", 2);
    return value ? put(put(out, y->value, y->size), "\r\n", 2) : out;
}

/* Answers a request from a copy. False: no memory. */
static bool answer(struct cmd_peers *p, struct forward *f, unsigned slot, const struct request *r,
                   const struct copy *y) {
    uint64_t *m = p->worker->metrics;
    char *out = cmd_forward_room(f, REPLY_MAX + y->len + (size_t)y->size);
    if (out == NULL) return false;
    const bool mg = r->path == CMD_PATH_MG;
    cmd_forward_given(p, f, slot, (size_t)((mg ? put_mg(out, r, y) : put_get(out, y)) - out));
    sync_bump(&m[CMD_METRIC_copy_hits], 1);
    sync_bump(&m[CMD_METRIC_cmd_get], 1);
    sync_bump(&m[CMD_METRIC_get_hits], 1);
    if (mg) sync_bump(&m[CMD_METRIC_cmd_meta], 1);
    return true;
}

/* Whether the owner is to be asked for the next copy. A key that is hot no more is let go of when its copy has ended.
 */
static void consider(struct cmd_copies *c, struct copy *y, uint64_t now_ns) {
    if (now_ns < y->next_ns || (y->held && now_ns + COPY_AHEAD_MS * MS < y->end_ns)) return;
    if (cmd_hot_is_hot(c->worker, &c->worker->hot->asked, y->hash, now_ns))
        c->wanted |= UINT64_C(1) << (y - c->copy);
    else if (!y->held)
        let_go(c, y);
}

/* Counts a get that goes to a member and is in the sample; a key that becomes hot so is asked for. */
static void sample(struct cmd_copies *c, struct request *r, unsigned member, uint64_t now_ns) {
    struct hot *h = &c->worker->hot->asked;
    if (!cmd_place_is_read(r) || r->key.len == 0) return;
    store_key_complete(c->worker->cmd->store, &r->key);
    cmd_hot_count(c->worker, h, &r->key, now_ns);
    if (!c->worker->cmd->cfg.hot_copies || !can_be_copied(r) || (c->n > 0 && find(c, &r->key) != NULL)) return;
    if (cmd_hot_is_hot(c->worker, h, r->key.hash, now_ns)) begin(c, &r->key, member, now_ns);
}

/* A bit for the key that a request changes, by its hash: what follows it in the batch must not be answered from an
 * older copy. */
static uint64_t changed(const struct request *r) {
    if (cmd_place_is_read(r)) return 0;
    return r->key.len > 0 ? UINT64_C(1) << (r->key.hash & 63) : UINT64_MAX;
}

/* Whether the slot's request is about to be sent to another node, as a client asked. */
static inline bool is_asked(const struct forward *f, unsigned slot) {
    return f->slot[slot].state == FORWARD_WANTED && !forward_pulls(f, slot);
}

/* Answers what it can of r[0..n), and notes of which copies the next ones are wanted. */
static void answer_all(struct cmd_peers *p, struct forward *f, struct request *r, unsigned n, uint64_t now_ns) {
    struct cmd_copies *c = p->copies;
    const bool leased = p->worker->leases_ended == 0 || FAULT_POINT("copy.mutate.no_lease");
    uint64_t written = 0; /* bits of `changed` */
    for (unsigned i = 0; i < n; i++) {
        if (!is_asked(f, f->next + i)) continue;
        if (r[i].key.len > 0) store_key_complete(p->worker->cmd->store, &r[i].key);
        struct copy *y = can_be_copied(&r[i]) ? find(c, &r[i].key) : NULL;
        if (likely(y == NULL)) {
            written |= changed(&r[i]);
            continue;
        }
        if (leased && (written & UINT64_C(1) << (y->hash & 63)) == 0) {
            if (!is_good(c, y, now_ns))
                y->held = false;
            else if (!answer(p, f, f->next + i, &r[i], y))
                continue;
        }
        consider(c, y, now_ns);
    }
}

void cmd_copy_answer(struct session *s, struct forward *f, struct request *r, unsigned n) {
    struct cmd_worker *w = s->worker;
    struct cmd_copies *c = w->peers->copies;
    struct hot *h = &w->hot->asked;
    cmd_enter(w);
    const uint64_t now_ns = store_now_ns(w->store);
    for (unsigned i = 0; unlikely((i += hot_next(h, n - i)) < n); i++)
        if (is_asked(f, f->next + i)) sample(c, &r[i], f->slot[f->next + i].member, now_ns);
    if (unlikely(c->n > 0)) answer_all(w->peers, f, r, n, now_ns);
}
