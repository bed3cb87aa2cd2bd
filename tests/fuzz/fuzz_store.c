/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A byte string is a row of calls of the store, each made to a small store and to a naive model of it. A hit must be
 * exactly what the model holds; a miss is allowed only where the model has a miss, or after the store told of an
 * eviction. In the end everything that the store counts must agree with what is there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_store.h"
#include "store_lab.h"

#define OPS_MAX 400
#define VALUE_MAX 70000
#define IDS_MAX (1u << 22)
#define SECOND 1000000000ull

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct run {
    struct lab lab;
    struct model m;
    const uint8_t *p, *end;
    uint64_t first; /* the lowest number there can be */
    uint8_t ids[IDS_MAX / 8];
    uint8_t value[VALUE_MAX];
    unsigned worker;
};

static struct run r;
static const char *doing;

#define WRONG(...)                                                                                                     \
    do {                                                                                                               \
        fprintf(stderr, "%s: ", doing);                                                                                \
        fprintf(stderr, __VA_ARGS__);                                                                                  \
        fprintf(stderr, "\n");                                                                                         \
        abort();                                                                                                       \
    } while (0)
#define WANT(cond)                                                                                                     \
    do {                                                                                                               \
        if (!(cond)) WRONG("line %d: not %s", __LINE__, #cond);                                                        \
    } while (0)

/* ------------------------------------------------------------------ input */

static unsigned byte(void) {
    return r.p < r.end ? *r.p++ : 0;
}

static bool coin(unsigned of) {
    return byte() % of == 0;
}

/* A mask with few bits. */
static uint8_t few_tags(void) {
    unsigned a = byte(), b = byte();
    return (uint8_t)(a & b);
}

static unsigned key_name(unsigned key, char out[16]) {
    static const char *const prefix[4] = {"", "p:", "p:q:", "other"};
    return (unsigned)snprintf(out, 16, "%s%u", prefix[key % 4], key);
}

static struct store_key key_of(unsigned key) {
    static char name[4][16];
    static unsigned turn;
    char *p = name[turn++ % 4];
    unsigned n = key_name(key, p);
    return store_key(r.lab.s, p, n);
}

static uint64_t tag_hash(unsigned t) {
    if (t == 6) return hash_tag("p:", 2);
    if (t == 7) return hash_tag("p:q:", 4);
    char name = (char)('a' + t);
    return hash_tag(&name, 1);
}

static unsigned tags_of(uint8_t mask, uint64_t *out) {
    unsigned n = 0;
    for (unsigned t = 0; t < MODEL_TAGS; t++)
        if (mask >> t & 1) out[n++] = tag_hash(t);
    return n;
}

static uint32_t expiry(void) {
    unsigned b = byte();
    return b < 128 ? 0 : store_clock(r.lab.s) + b % 40;
}

/* Bytes of a value: seldom many, often a number. */
static uint64_t make_value(void) {
    unsigned kind = byte(), seed = byte();
    if (kind < 100) return (uint64_t)snprintf((char *)r.value, VALUE_MAX, "%u%s", seed * 37, kind % 8 ? "" : " ");
    uint64_t n = kind < 200 ? seed : kind < 240 ? seed * 30 : kind < 250 ? 8000 + seed * 8 : seed * 250;
    for (uint64_t i = 0; i < n; i++) r.value[i] = (uint8_t)(seed + i * 11 + kind);
    return n;
}

static struct store_worker *enter(void) {
    struct store_worker *w = r.lab.w[r.worker];
    bool due = r.m.flush_at && store_clock(r.lab.s) >= r.m.flush_at;
    store_enter(w);
    if (due) {
        model_purge(&r.m, 0, r.lab.s->purge.seq, false, 0, store_now(w));
        r.m.flush_at = 0;
    }
    return w;
}

/* ------------------------------------------------------------------ comparing */

static void id_is_new(uint64_t birth) {
    if (birth < r.first || birth - r.first >= IDS_MAX) WRONG("number %llu out of range", (long long)birth);
    uint64_t i = birth - r.first;
    if (r.ids[i / 8] >> i % 8 & 1) WRONG("number %llu given twice", (long long)birth);
    r.ids[i / 8] |= (uint8_t)(1 << i % 8);
}

static void same_value(const struct store_worker *w, const struct store_item *it, const struct model_item *m) {
    if (it->size != m->size) WRONG("%llu bytes, not %llu", (long long)it->size, (long long)m->size);
    struct iovec v[64];
    unsigned n = store_item_spans(w, it, v, 0, 64);
    uint64_t at = 0;
    for (unsigned i = 0; i < n; i++) {
        if (at + v[i].iov_len > m->size || memcmp(v[i].iov_base, m->value + at, v[i].iov_len) != 0)
            WRONG("another value");
        at += v[i].iov_len;
    }
    if (at != m->size) WRONG("not the whole value");
}

static void same_tags(const struct store_item *it, uint8_t mask) {
    uint64_t got[STORE_TAGS_MAX], want[MODEL_TAGS];
    unsigned n = tags_of(mask, want);
    WANT(it->ntags == n);
    store_item_tags(it, got);
    for (unsigned i = 0; i < n; i++) {
        unsigned k = 0;
        while (k < n && got[k] != want[i]) k++;
        WANT(k < n);
    }
}

/* What was found must be what the model holds. */
static void same_item(const struct store_worker *w, const struct store_item *it, struct model_item *m, bool soft) {
    same_value(w, it, m);
    same_tags(it, m->tags);
    WANT(it->flags == m->flags);
    WANT(it->soft == soft);
    WANT(it->cas == m->cas);
    WANT(it->birth == m->birth);
    WANT(!(it->bits & STORE_B64) == !m->b64);
    uint32_t e = it->expiry ? it->expiry : UINT32_MAX;
    if (soft)
        WANT(e >= m->expiry_lo);
    else
        WANT(e >= m->expiry_lo && e <= m->expiry_hi);
    if (!soft) {
        WANT(!(it->bits & STORE_STALE) == !m->stale);
        WANT(!(it->bits & STORE_WON) == !m->won);
        WANT(!(it->bits & STORE_REARMED) == !m->rearmed);
    }
}

/* Looks a key up and compares. bump: as a get does. */
static bool compare(unsigned key, bool bump) {
    struct store_worker *w = enter();
    struct store_key k = key_of(key);
    struct store_item it;
    bool maybe, soft, hit = bump ? store_get(w, &k, &it) : store_peek(w, &k, &it);
    struct model_item *m = model_look(&r.m, key, store_now(w), &maybe, &soft);
    if (!hit && m) {
        if (!maybe) WRONG("key %u is gone", key);
        model_drop(&r.m, key);
    }
    if (hit) {
        if (m == NULL) WRONG("key %u should be gone", key);
        same_item(w, &it, m, soft);
        m->unsure = false;
    }
    store_leave(w);
    return hit;
}

/* Nothing was changed for want of room. */
static bool no_room(enum store_status st) {
    return st == STORE_AGAIN || st == STORE_NO_MEMORY;
}

/* After a change: takes over the numbers it was given. `fresh`: it must have got a new one. */
static void adopt(unsigned key, bool fresh) {
    struct store_worker *w = enter();
    struct store_key k = key_of(key);
    struct store_item it;
    struct model_item *m = &r.m.items[key];
    if (m->there && store_peek(w, &k, &it)) {
        if (it.birth != m->birth) {
            WANT(fresh);
            id_is_new(it.birth);
            WANT(it.birth > r.lab.s->purge.seq);
        } else {
            WANT(!fresh);
        }
        m->birth = it.birth;
        m->cas = it.cas;
        if (!m->has_cas) WANT(it.cas == it.birth);
    }
    store_leave(w);
    compare(key, false);
}

/* The present state of a key, as sure as can be. */
static struct model_item *present(unsigned key, bool *soft) {
    bool maybe;
    compare(key, false);
    return model_look(&r.m, key, store_clock(r.lab.s), &maybe, soft);
}

/* ------------------------------------------------------------------ put */

static struct store_upload *fill_upload(uint64_t size) {
    struct store_upload *u;
    if (store_upload_begin(r.lab.w[r.worker], size, &u) != STORE_OK) return NULL;
    for (unsigned tries = 0; store_upload_left(u) && tries < 300;) {
        if (lab_upload_some(r.lab.w[r.worker], u, r.value, size, 5000) == STORE_OK) continue;
        store_maintain(r.lab.s);
        tries++;
    }
    if (store_upload_left(u) == 0) return u;
    store_upload_abort(r.lab.w[r.worker], u);
    return NULL;
}

static enum store_status put_now(struct store_put *p) {
    enum store_status st = STORE_AGAIN;
    for (unsigned tries = 0; tries < 300 && st == STORE_AGAIN; tries++) {
        struct store_worker *w = enter();
        st = store_put(w, p, NULL);
        store_leave(w);
        if (st == STORE_AGAIN) store_maintain(r.lab.s);
    }
    if (st == STORE_AGAIN && p->upload) store_upload_abort(r.lab.w[r.worker], p->upload);
    return st;
}

/* What a put must answer, as far as the model can tell before it. */
static enum store_status put_expected(const struct store_put *p, const struct model_item *m, bool soft, bool *stale) {
    *stale = false;
    if (p->guarded) {
        if (m == NULL) return STORE_NOT_FOUND;
        if (m->cas != p->guard) {
            if (!p->invalidate || p->guard > m->cas) return STORE_EXISTS;
            *stale = true;
        }
    }
    bool softly = soft || (m && m->softened);
    if (p->mode == STORE_ADD && m && !softly) return STORE_NOT_STORED;
    if (p->mode == STORE_REPLACE && m == NULL) return STORE_NOT_STORED;
    bool join = p->mode == STORE_APPEND || p->mode == STORE_PREPEND;
    if (join && m == NULL && !p->vivify) return STORE_NOT_STORED;
    if (p->size + (join && m ? m->size : 0) > r.lab.s->cfg.item_size_max) return STORE_TOO_LARGE;
    return STORE_OK;
}

/* A refused fill: the version there is has a new number and elects again. */
static void put_refused(unsigned key) {
    struct model_item *m = &r.m.items[key];
    struct store_worker *w = enter();
    struct store_key k = key_of(key);
    struct store_item it;
    if (store_peek(w, &k, &it)) {
        if (it.birth != m->birth) {
            id_is_new(it.birth);
            m->has_cas = false;
            m->won = false;
            m->rearmed = !m->stale;
        } else {
            WANT(m->has_cas); /* no room to rewrite it */
        }
        m->birth = it.birth;
        m->cas = it.cas;
    }
    store_leave(w);
}

static void put_done(const struct store_put *p, unsigned key, uint8_t tags, bool stale, bool soft, bool join) {
    struct model_item *m = &r.m.items[key];
    const struct model_item old = *m;
    if (!join) {
        model_drop(&r.m, key);
        *m = (struct model_item){.there = true, .flags = p->flags, .b64 = p->bits & STORE_B64, .tags = tags};
        model_value(m, r.value, p->size);
        bool created = p->mode == STORE_APPEND || p->mode == STORE_PREPEND;
        model_expiry_set(m, created ? p->vivify_expiry : p->expiry);
        if (stale) {
            m->expiry_lo = old.expiry_lo;
            m->expiry_hi = old.expiry_hi;
            m->won = old.won && !soft;
        }
    } else {
        static uint8_t both[2 * VALUE_MAX];
        uint64_t a = p->mode == STORE_APPEND ? m->size : p->size;
        memcpy(both, p->mode == STORE_APPEND ? m->value : r.value, a);
        memcpy(both + a, p->mode == STORE_APPEND ? r.value : m->value, p->size + m->size - a);
        if (p->size + m->size > VALUE_MAX) WRONG("the model is too small");
        model_value(m, both, p->size + m->size);
        m->tags |= tags;
        if (!soft && !m->softened) m->stale = stale, m->won = false;
        m->rearmed = false;
        if (soft) m->stale = m->softened = true, m->won = false;
    }
    if (!join) m->stale = stale;
    m->has_cas = p->has_cas;
}

static void op_put(void) {
    unsigned key = byte() % MODEL_KEYS, how = byte();
    uint8_t tags = (uint8_t)(coin(2) ? few_tags() & 0x3f : 0);
    uint64_t hashes[MODEL_TAGS], size = make_value();
    bool soft, stale;
    struct store_put p = {.key = key_of(key),
                          .value = (const char *)r.value,
                          .size = size,
                          .mode = how % 8 < 4 ? STORE_SET : (enum store_mode)(how % 8 - 3),
                          .flags = byte() % 3,
                          .expiry = expiry(),
                          .bits = how >> 5 == 7 ? STORE_B64 : 0,
                          .guarded = coin(3),
                          .invalidate = coin(3),
                          .has_cas = coin(6),
                          .vivify = coin(2),
                          .tags = hashes};
    p.vivify_expiry = expiry();
    p.cas = r.first + byte() * 3;
    p.ntags = tags_of(tags, hashes);
    struct model_item *m = present(key, &soft);
    bool join = (p.mode == STORE_APPEND || p.mode == STORE_PREPEND) && m;
    if (join && m->size + size > VALUE_MAX) return;
    uint64_t since = store_number(r.lab.s);
    if (size > store_inline_max(r.lab.s)) {
        p.upload = fill_upload(size);
        if (p.upload == NULL) return;
        if (coin(3)) {
            uint8_t mask = (uint8_t)(1 << byte() % MODEL_TAGS);
            uint64_t number =
                lab_purge(&r.lab, r.worker, 1, &(uint64_t){tag_hash((unsigned)__builtin_ctz(mask))}, false, 0);
            model_purge(&r.m, mask, number, false, 0, store_clock(r.lab.s));
        }
        m = present(key, &soft);
        join = join && m;
    }
    p.guard = m ? m->cas - (coin(4) ? byte() : 0) : r.first;
    uint64_t old_birth = m ? m->birth : 0;
    uint8_t all = (uint8_t)(tags | model_prefixes(key) | (join ? m->tags : 0));
    enum store_status want = put_expected(&p, m, soft, &stale), st = put_now(&p);
    if (no_room(st)) return (void)compare(key, false);
    uint32_t deadline = 0, now = store_clock(r.lab.s);
    /* put_now may have run maintenance, which may have evicted it. */
    if (m && !r.m.items[key].there) {
        m = NULL;
        join = false;
        want = put_expected(&p, NULL, false, &stale);
        all = (uint8_t)(tags | model_prefixes(key));
    }
    if (want == STORE_OK && p.guarded) {
        uint64_t of = stale && p.guard < old_birth ? p.guard : old_birth;
        bool overtaken = model_purged_since(&r.m, of, all);
        if (overtaken && st == STORE_OK) WRONG("an overtaken fill is stored");
        if (st == STORE_EXISTS && !overtaken && r.m.wide <= of) WRONG("a fill is refused for nothing");
        if (st == STORE_EXISTS) {
            if (soft) m->softened = m->stale = true, m->won = false;
            put_refused(key);
            return (void)compare(key, false);
        }
    }
    bool dead = want == STORE_OK && p.upload && model_purged_since(&r.m, since, all);
    if (want == STORE_OK && join) {
        enum model_verdict v = model_verdict(&r.m, old_birth, all, now, &deadline);
        dead |= v == MODEL_DEAD;
        soft = soft || v == MODEL_SOFT;
        if (v == MODEL_SOFT && m->expiry_lo == UINT32_MAX && p.ntags == 0 && m->tags == 0 && !r.m.items[key].there)
            dead = true;
        if (dead) want = STORE_NOT_STORED;
        if (!dead && v == MODEL_SOFT) model_expiry_cap(m, deadline);
        if (!dead && v == MODEL_SOFT && st == STORE_NOT_STORED) dead = true, want = st; /* no field for a deadline */
    }
    if (st != want) WRONG("put mode %d guarded %d says %d, not %d", p.mode, p.guarded, st, want);
    if (dead) {
        /* A body overtaken by a purge of a conjunction may also be refused for less. */
        model_drop(&r.m, key);
    } else if (st == STORE_OK) {
        if (p.upload && r.m.wide > since) r.m.items[key].unsure = true;
        put_done(&p, key, tags, stale, soft, join);
        if (p.upload && r.m.wide > since) r.m.items[key].unsure = true;
        adopt(key, true);
        return;
    }
    compare(key, false);
}

/* ------------------------------------------------------------------ other changes */

static bool is_number(const struct model_item *m, uint64_t *n) {
    uint64_t i = 0;
    *n = 0;
    if (m->size > 40) return false;
    for (; i < m->size && m->value[i] >= '0' && m->value[i] <= '9'; i++) {
        if (*n > (UINT64_MAX - (m->value[i] - '0')) / 10) return false;
        *n = *n * 10 + (m->value[i] - '0');
    }
    if (i == 0) return false;
    while (i < m->size && m->value[i] == ' ') i++;
    return i == m->size;
}

/* An item that is carried on under a new number: what a soft purge has made of it. */
static void carried(struct model_item *m, bool soft) {
    m->has_cas = false;
    if (soft) m->stale = m->softened = true, m->won = m->rearmed = false;
}

static void op_arith(void) {
    unsigned key = byte() % MODEL_KEYS, how = byte();
    uint8_t tags = (uint8_t)(few_tags() & 0x3f);
    uint64_t hashes[MODEL_TAGS], n = 0, old;
    bool soft, created;
    struct store_arith a = {.key = key_of(key),
                            .delta = byte() * 1000,
                            .decrement = how & 1,
                            .guarded = (how & 6) == 6,
                            .has_cas = (how & 24) == 24,
                            .vivify = how & 32,
                            .set_expiry = how & 64,
                            .initial = byte(),
                            .vivify_expiry = expiry(),
                            .expiry = expiry(),
                            .cas = r.first + byte(),
                            .tags = hashes};
    a.ntags = tags_of(tags, hashes);
    struct model_item *m = present(key, &soft);
    a.guard = m ? m->cas - (how & 128 ? 1 : 0) : 5;
    enum store_status st = STORE_AGAIN;
    for (unsigned tries = 0; st == STORE_AGAIN && tries < 300; tries++) {
        struct store_worker *w = enter();
        st = store_arith(w, &a, &n, &created, NULL);
        store_leave(w);
        if (st == STORE_AGAIN) store_maintain(r.lab.s);
    }
    if (no_room(st)) return (void)compare(key, false);
    if (m && !r.m.items[key].there) m = NULL;
    if (m == NULL) {
        if (!a.vivify || a.guarded) {
            WANT(st == STORE_NOT_FOUND);
            return;
        }
        WANT(st == STORE_OK && created && n == a.initial);
        m = &r.m.items[key];
        *m = (struct model_item){.there = true, .tags = tags, .has_cas = a.has_cas};
        model_expiry_set(m, a.vivify_expiry);
        model_value(m, r.value, (uint64_t)snprintf((char *)r.value, 32, "%llu", (long long)a.initial));
        return adopt(key, true);
    }
    WANT(!created);
    if (a.guarded && m->cas != a.guard) {
        WANT(st == STORE_EXISTS);
    } else if (!is_number(m, &old)) {
        WANT(st == STORE_NON_NUMERIC);
    } else {
        WANT(st == STORE_OK);
        WANT(n == (!a.decrement ? old + a.delta : old > a.delta ? old - a.delta : 0));
        uint32_t lo = m->expiry_lo, hi = m->expiry_hi;
        if (a.set_expiry) model_expiry_set(m, a.expiry);
        if (a.set_expiry && (soft || m->softened)) {
            /* Not beyond the deadline, which a sweep may have written into it, joined with what it had. */
            if (m->expiry_lo > lo) m->expiry_lo = lo;
            if (m->softened && m->expiry_hi > hi) m->expiry_hi = hi;
        }
        model_value(m, r.value, (uint64_t)snprintf((char *)r.value, 32, "%llu", (long long)n));
        carried(m, soft);
        m->has_cas = a.has_cas;
        return adopt(key, true);
    }
    compare(key, false);
}

static void op_touch(void) {
    unsigned key = byte() % MODEL_KEYS;
    uint32_t e = expiry();
    bool soft;
    struct model_item *m = present(key, &soft);
    struct store_key k = key_of(key);
    enum store_status st = STORE_AGAIN;
    for (unsigned tries = 0; st == STORE_AGAIN && tries < 300; tries++) {
        struct store_worker *w = enter();
        st = store_touch(w, &k, e, NULL, NULL);
        store_leave(w);
        if (st == STORE_AGAIN) store_maintain(r.lab.s);
    }
    if (no_room(st)) return (void)compare(key, false);
    if (m && !r.m.items[key].there) m = NULL;
    WANT(st == (m ? STORE_OK : STORE_NOT_FOUND));
    if (m) {
        uint32_t lo = m->expiry_lo, hi = m->expiry_hi;
        model_expiry_set(m, e);
        if (soft || m->softened) {
            if (m->expiry_lo > lo) m->expiry_lo = lo;
            if (m->softened && !soft && m->expiry_hi > hi) m->expiry_hi = hi;
        }
    }
    compare(key, false);
}

static void op_delete(void) {
    unsigned key = byte() % MODEL_KEYS, how = byte();
    bool soft;
    struct model_item *m = present(key, &soft);
    struct store_delete d = {.key = key_of(key),
                             .guarded = (how & 3) == 3,
                             .invalidate = how & 4,
                             .clear = (how & 24) == 24,
                             .set_expiry = how & 32,
                             .has_cas = (how & 192) == 192,
                             .cas = r.first + byte(),
                             .expiry = expiry(),
                             .flags = byte() % 3};
    d.guard = m ? m->cas + (how & 128 ? 1 : 0) : 5;
    enum store_status st = STORE_AGAIN;
    for (unsigned tries = 0; st == STORE_AGAIN && tries < 300; tries++) {
        struct store_worker *w = enter();
        st = store_delete(w, &d, NULL);
        store_leave(w);
        if (st == STORE_AGAIN) store_maintain(r.lab.s);
    }
    if (no_room(st)) return (void)compare(key, false);
    if (m && !r.m.items[key].there) m = NULL;
    if (m == NULL) {
        WANT(st == STORE_NOT_FOUND);
    } else if (d.guarded && d.guard != m->cas) {
        WANT(st == STORE_EXISTS);
    } else if (d.clear) {
        WANT(st == STORE_OK);
        m->stale = d.invalidate;
        m->won = m->softened = m->rearmed = false;
        m->flags = d.flags;
        uint32_t lo = m->expiry_lo;
        model_expiry_set(m, d.set_expiry ? d.expiry : 0);
        if (soft && m->expiry_lo > lo) m->expiry_lo = lo;
        /* Folded into the item or not, it stays won by nobody while the table knows of the purge. */
        uint32_t deadline;
        soft =
            model_verdict(&r.m, m->birth, m->tags | model_prefixes(key), store_clock(r.lab.s), &deadline) == MODEL_SOFT;
        carried(m, soft);
        m->has_cas = d.has_cas;
        model_value(m, "", 0);
        return adopt(key, true);
    } else if (d.invalidate) {
        WANT(st == STORE_OK);
        m->stale = true;
        m->won = m->rearmed = false;
        uint32_t lo = m->expiry_lo, hi = m->expiry_hi;
        if (d.set_expiry) model_expiry_set(m, d.expiry);
        if (d.set_expiry && (soft || m->softened)) {
            if (m->expiry_lo > lo) m->expiry_lo = lo;
            if (m->softened && m->expiry_hi > hi) m->expiry_hi = hi;
        }
        carried(m, soft);
        m->has_cas = d.has_cas;
        return adopt(key, true);
    } else {
        WANT(st == STORE_OK);
        model_drop(&r.m, key);
    }
    compare(key, false);
}

static void won(struct model_item *m) {
    m->stale = m->softened = m->won = true;
    m->rearmed = m->has_cas = false;
}

static void op_meta_get(void) {
    unsigned key = byte() % MODEL_KEYS, how = byte();
    uint8_t tags = (uint8_t)(few_tags() & 0x3f);
    uint64_t hashes[MODEL_TAGS];
    bool soft, created = false;
    struct model_item *m = present(key, &soft);
    struct store_meta_get g = {.key = key_of(key),
                               .vivify = how & 1,
                               .recache = how & 2,
                               .touch = (how & 12) == 12,
                               .has_cas = (how & 48) == 48,
                               .vivify_expiry = expiry(),
                               .recache_s = byte() % 40,
                               .expiry = expiry(),
                               .cas = r.first + byte(),
                               .bits = (how & 192) == 192 ? STORE_B64 : 0,
                               .tags = hashes};
    g.ntags = tags_of(tags, hashes);
    enum store_win win = STORE_WIN_NONE, want = STORE_WIN_NONE;
    struct store_item it;
    enum store_status st = STORE_AGAIN;
    uint32_t now = store_clock(r.lab.s);
    for (unsigned tries = 0; st == STORE_AGAIN && tries < 300; tries++) {
        struct store_worker *w = enter();
        st = store_meta_get(w, &g, &it, &win, &created, NULL);
        store_leave(w);
        if (st == STORE_AGAIN) store_maintain(r.lab.s);
    }
    if (no_room(st)) {
        /* Touched, but not won, maybe. */
        if (m) m->expiry_lo = 0;
        if (m && g.touch) m->expiry_hi = UINT32_MAX;
        return (void)compare(key, false);
    }
    if (m && !r.m.items[key].there) m = NULL;
    if (m == NULL) {
        if (!g.vivify) {
            WANT(st == STORE_NOT_FOUND);
            return (void)compare(key, false);
        }
        WANT(st == STORE_OK && created && win == STORE_WIN_WON);
        m = &r.m.items[key];
        *m = (struct model_item){
            .there = true, .won = true, .tags = tags, .has_cas = g.has_cas, .b64 = g.bits & STORE_B64};
        model_expiry_set(m, g.vivify_expiry);
        model_value(m, "", 0);
        return adopt(key, true);
    }
    WANT(st == STORE_OK && !created);
    uint32_t lo = m->expiry_lo, hi = m->expiry_hi;
    if (g.touch) model_expiry_set(m, g.expiry);
    if (g.touch && (soft || m->softened)) {
        if (m->expiry_lo > lo) m->expiry_lo = lo;
        if (m->softened && !soft && m->expiry_hi > hi) m->expiry_hi = hi;
    }
    if (m->expiry_hi <= now) {
        /* A touch into the past: the item may be won as it goes. */
        model_drop(&r.m, key);
        return (void)compare(key, false);
    }
    bool elected = false;
    if (soft) {
        want = STORE_WIN_WON;
        elected = true;
        uint32_t deadline = 0;
        if (model_verdict(&r.m, m->birth, m->tags | model_prefixes(key), now, &deadline) == MODEL_SOFT)
            model_expiry_cap(m, deadline);
    } else if (m->rearmed) {
        want = STORE_WIN_WON;
        m->rearmed = false;
        m->won = true;
    } else if (m->won) {
        want = STORE_WIN_OTHERS;
    } else if (m->stale || (g.recache && m->expiry_hi != UINT32_MAX && m->expiry_hi - now < g.recache_s)) {
        want = STORE_WIN_WON;
        m->won = true;
    }
    if (win != want) WRONG("win %d, not %d", win, want);
    if (elected) {
        won(m);
        return adopt(key, true);
    }
    compare(key, false);
}

static void op_win(void) {
    unsigned key = byte() % MODEL_KEYS;
    bool soft;
    struct model_item *m = present(key, &soft);
    struct store_item it;
    struct store_key k = key_of(key);
    struct store_worker *w = enter();
    enum store_win win = store_win(w, &k, &it);
    store_leave(w);
    enum store_win want = soft ? STORE_WIN_WON : m && m->softened ? STORE_WIN_OTHERS : STORE_WIN_NONE;
    if (want == STORE_WIN_WON && win == STORE_WIN_OTHERS) return (void)compare(key, false); /* no room to rewrite it */
    if (win != want) WRONG("win %d, not %d", win, want);
    if (win != STORE_WIN_WON) return (void)compare(key, false);
    uint32_t deadline = 0;
    if (model_verdict(&r.m, m->birth, m->tags | model_prefixes(key), store_clock(r.lab.s), &deadline) == MODEL_SOFT)
        model_expiry_cap(m, deadline);
    won(m);
    adopt(key, true);
}

static void op_tag_add(void) {
    unsigned key = byte() % MODEL_KEYS, t = byte() % MODEL_PUT_TAGS;
    bool soft;
    struct model_item *m = present(key, &soft);
    struct store_key k = key_of(key);
    enum store_status st = STORE_AGAIN;
    for (unsigned tries = 0; st == STORE_AGAIN && tries < 300; tries++) {
        struct store_worker *w = enter();
        st = store_tag_add(w, &k, tag_hash(t));
        store_leave(w);
        if (st == STORE_AGAIN) store_maintain(r.lab.s);
    }
    if (no_room(st)) return (void)compare(key, false);
    if (m && !r.m.items[key].there) m = NULL;
    if (m == NULL) {
        WANT(st == STORE_NOT_FOUND);
        return (void)compare(key, false);
    }
    uint32_t deadline = 0;
    uint8_t all = (uint8_t)(m->tags | 1 << t | model_prefixes(key));
    enum model_verdict v = model_verdict(&r.m, m->birth, all, store_clock(r.lab.s), &deadline);
    if (v == MODEL_DEAD) {
        WANT(st == STORE_NOT_FOUND);
        model_drop(&r.m, key);
        return (void)compare(key, false);
    }
    WANT(st == STORE_OK);
    m->tags |= (uint8_t)(1 << t);
    bool explicit_id = m->has_cas;
    if (v == MODEL_SOFT) model_expiry_cap(m, deadline);
    carried(m, v == MODEL_SOFT);
    m->has_cas = explicit_id;
    adopt(key, true);
}

/* ------------------------------------------------------------------ everything else */

static void op_purge(void) {
    unsigned how = byte(), n = 0;
    uint8_t mask = how % 16 == 0 ? 0 : how % 4 == 0 ? few_tags() : how % 4 == 1 ? byte() : 1u << byte() % MODEL_TAGS;
    uint64_t tags[MODEL_TAGS];
    bool soft = how & 128;
    uint32_t ttl = 1 + byte() % 30;
    if (mask == 0 && how % 16 != 0) return;
    n = tags_of(mask, tags);
    uint64_t number = lab_purge(&r.lab, r.worker, n, tags, soft, ttl);
    id_is_new(number);
    uint32_t now = store_clock(r.lab.s);
    /* The ninth of its kind is swept at once, softly or not. */
    bool swept = r.lab.s->purge.fence == number;
    model_purge(&r.m, mask, number, soft && !swept, now + ttl, now);
    for (unsigned k = 0; k < MODEL_KEYS; k++) compare(k, false);
}

static void op_flush(void) {
    uint32_t now = store_clock(r.lab.s), at = now + byte() % 20;
    store_flush_at(r.lab.w[r.worker], at);
    if (at > now) {
        r.m.flush_at = at;
        return;
    }
    r.m.flush_at = 0;
    model_purge(&r.m, 0, r.lab.s->purge.seq, false, 0, now);
}

struct shown {
    struct store_worker *w;
    uint32_t keys;
};

static bool show(void *arg, const struct store_item *it) {
    struct shown *s = arg;
    for (unsigned k = 0; k < MODEL_KEYS; k++) {
        char name[16];
        unsigned n = key_name(k, name);
        if (n != it->key_len || memcmp(name, it->key, n) != 0) continue;
        bool maybe, soft;
        struct model_item *m = model_look(&r.m, k, store_now(s->w), &maybe, &soft);
        if (m == NULL) WRONG("a walk shows key %u, which is gone", k);
        same_value(s->w, it, m);
        s->keys |= 1u << k;
        return true;
    }
    return true; /* a filler */
}

static void op_walk(void) {
    struct shown s = {0};
    struct store_cursor c = {0};
    while (!c.done) {
        s.w = enter();
        store_walk(s.w, &c, 16, show, &s);
        store_leave(s.w);
    }
    for (unsigned k = 0; k < MODEL_KEYS; k++) {
        bool maybe, soft;
        struct model_item *m = model_look(&r.m, k, store_clock(r.lab.s), &maybe, &soft);
        if (m && !maybe && !(s.keys >> k & 1)) WRONG("a walk misses key %u", k);
    }
}

/* Other keys, to make room short. */
static void op_fill(void) {
    static unsigned turn;
    unsigned n = byte() % 64;
    memset(r.value, '.', 6000);
    for (unsigned i = 0; i < n; i++) {
        char name[24];
        struct store_put p = {.value = (const char *)r.value, .size = 100 + i * 90};
        p.key = store_key(r.lab.s, name, (size_t)snprintf(name, sizeof name, "filler%u", turn++ % 5000));
        (void)put_now(&p);
    }
}

static void op_other(void) {
    unsigned what = byte() % 8;
    if (what < 3) {
        for (unsigned n = byte() % 8; n-- > 0;) store_maintain(r.lab.s);
    } else if (what == 3) {
        store_sweep_all(r.lab.s);
    } else if (what == 4) {
        op_walk();
    } else if (what == 5) {
        store_set_limit(r.lab.s, (1 + byte() % 3) << 20);
    } else if (what == 6) {
        const char *wrong = lab_validate(r.lab.s);
        if (wrong) WRONG("%s", wrong);
    } else {
        op_fill();
    }
}

static void evicted(void *arg, const char *key, size_t len, bool fetched, uint32_t e, uint64_t size) {
    (void)arg;
    (void)fetched;
    (void)e;
    (void)size;
    for (unsigned k = 0; k < MODEL_KEYS; k++) {
        char name[16];
        unsigned n = key_name(k, name);
        if (n == len && memcmp(name, key, n) == 0) model_drop(&r.m, k);
    }
}

static void step(void) {
    unsigned op = byte();
    r.worker = op >> 6 & 1;
#define DO(name)                                                                                                       \
    do {                                                                                                               \
        doing = #name;                                                                                                 \
        op_##name();                                                                                                   \
    } while (0)
    switch (op % 32) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
    case 6:
    case 7: DO(put); break;
    case 8:
    case 9:
    case 10: DO(arith); break;
    case 11:
    case 12: DO(touch); break;
    case 13:
    case 14: DO(delete); break;
    case 15:
    case 16:
    case 17: DO(meta_get); break;
    case 18: DO(win); break;
    case 19:
    case 20: DO(tag_add); break;
    case 21:
    case 22:
    case 23: DO(purge); break;
    case 24: DO(flush); break;
    case 25:
    case 26: clock_manual_advance(&r.lab.clock, byte() % 12 * SECOND / 2); break;
    case 27:
    case 28: DO(other); break;
    default: doing = "get"; compare(byte() % MODEL_KEYS, true);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    r.p = data;
    r.end = data + n;
    memset(r.ids, 0, sizeof r.ids);
    r.worker = 0;
    lab_open(&r.lab, 1 << 20, ':');
    r.lab.s->cfg.events.on_evict = evicted;
    store_watch_evictions(r.lab.s, true);
    r.first = r.lab.s->number;
    r.lab.s->cfg.evict = !coin(4); /* else -M */
    model_init(&r.m);
    for (unsigned i = 0; i < OPS_MAX && r.p < r.end; i++) step();
    doing = "the end";
    for (unsigned k = 0; k < MODEL_KEYS; k++) compare(k, true);
    model_fini(&r.m);
    lab_close(&r.lab);
    return 0;
}
