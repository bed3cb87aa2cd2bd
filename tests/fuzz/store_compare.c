/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the store says beside what the model says. */
#include <string.h>

#include "store/seconds.h"
#include "store_run.h"

struct store_worker *enter(void) {
    struct store_worker *w = run.lab.w[run.worker];
    bool due = run.m.flush_at && seconds_now(run.lab.s) >= run.m.flush_at;
    store_enter(w);
    if (due) {
        model_purge(&run.m, 0, run.lab.s->purge.seq, false, 0, store_now(w));
        run.m.flush_at = 0;
    }
    return w;
}

void id_is_new(uint64_t version) {
    if (version < run.first || version - run.first >= IDS_MAX) WRONG("number %llu out of range", (long long)version);
    uint64_t i = version - run.first;
    if (run.ids[i / 8] >> i % 8 & 1) WRONG("number %llu given twice", (long long)version);
    run.ids[i / 8] |= (uint8_t)(1 << i % 8);
}

void same_value(const struct store_worker *w, const struct store_item *it, const struct model_item *m) {
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
    WANT(it->version == m->version);
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

/* A reader who names tags besides. The store may know less than the model, and then says that it is purged. */
static void compare_read(struct store_worker *w, const struct store_key *k, unsigned key, const struct model_item *m,
                         uint8_t mask) {
    uint64_t read[MODEL_TAGS];
    uint32_t deadline;
    struct store_item it;
    unsigned n = tags_of(mask, read);
    enum model_verdict v =
        model_verdict(&run.m, m->version, m->tags | model_prefixes(key) | mask, store_now(w), &deadline);
    bool hit = store_get_read(w, k, read, n, false, &it);
    if (hit && v == MODEL_DEAD) WRONG("key %u should be gone to a reader of tags %x", key, mask);
    if (hit && v == MODEL_SOFT) WANT(it.soft);
    if (!hit) WANT(v == MODEL_DEAD || m->version < run.lab.s->purge.seq);
}

bool compare(unsigned key, bool bump) {
    struct store_worker *w = enter();
    struct store_key k = key_of(key);
    struct store_item it;
    bool maybe, soft, hit = bump ? store_get(w, &k, &it) : store_peek(w, &k, &it);
    struct model_item *m = model_look(&run.m, key, store_now(w), &maybe, &soft);
    if (!hit && m) {
        if (!maybe) WRONG("key %u is gone", key);
        model_drop(&run.m, key);
    }
    if (hit) {
        if (m == NULL) WRONG("key %u should be gone", key);
        same_item(w, &it, m, soft);
        m->unsure = false;
        compare_read(w, &k, key, m, (uint8_t)(1u << m->version % MODEL_TAGS));
        compare_read(w, &k, key, m, (uint8_t)(m->version * 0x9e37u >> 8));
    }
    store_leave(w);
    return hit;
}

bool no_room(enum store_status st) {
    return st == STORE_AGAIN || st == STORE_NO_MEMORY;
}

void adopt(unsigned key, bool fresh) {
    struct store_worker *w = enter();
    struct store_key k = key_of(key);
    struct store_item it;
    struct model_item *m = &run.m.items[key];
    if (m->there && store_peek(w, &k, &it)) {
        if (it.version != m->version) {
            WANT(fresh);
            id_is_new(it.version);
            WANT(it.version > run.lab.s->purge.seq);
        } else {
            WANT(!fresh);
        }
        m->version = it.version;
        m->cas = it.cas;
        if (!m->has_cas) WANT(it.cas == it.version);
    }
    store_leave(w);
    compare(key, false);
}

struct model_item *present(unsigned key, bool *soft) {
    bool maybe;
    compare(key, false);
    return model_look(&run.m, key, seconds_now(run.lab.s), &maybe, soft);
}
