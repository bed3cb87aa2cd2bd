/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What changes an item that is there: arithmetic, touches, deletions in all their forms, tags. */
#include <stdio.h>

#include "store/seconds.h"
#include "store_run.h"

static bool is_space(uint8_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_number(const struct model_item *m, uint64_t *n) {
    uint64_t i = 0;
    *n = 0;
    if (m->size > 40) return false;
    while (i < m->size && is_space(m->value[i])) i++;
    if (i < m->size && m->value[i] == '+') i++;
    const uint64_t from = i;
    for (; i < m->size && m->value[i] >= '0' && m->value[i] <= '9'; i++) {
        if (*n > (UINT64_MAX - (m->value[i] - '0')) / 10) return false;
        *n = *n * 10 + (m->value[i] - '0');
    }
    if (i == from) return false;
    if (i + 1 == m->size && m->value[i] == 0) return true;
    while (i < m->size && is_space(m->value[i])) i++;
    return i == m->size;
}

/* An item that is carried on under a new number: what a soft purge has made of it. */
static void carried(struct model_item *m, bool soft) {
    m->has_cas = false;
    if (soft) m->stale = m->softened = true, m->won = m->rearmed = false;
}

void op_arith(void) {
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
                            .cas = run.first + byte(),
                            .tags = hashes};
    a.ntags = tags_of(tags, hashes);
    struct model_item *m = present(key, &soft);
    a.guard = m ? m->cas - (how & 128 ? 1 : 0) : 5;
    enum store_status st = STORE_AGAIN;
    for (unsigned tries = 0; st == STORE_AGAIN && tries < 300; tries++) {
        struct store_worker *w = enter();
        st = store_arith(w, &a, &n, &created, NULL);
        store_leave(w);
        if (st == STORE_AGAIN) store_maintain(run.lab.s);
    }
    if (no_room(st)) return (void)compare(key, false);
    if (m && !run.m.items[key].there) m = NULL;
    if (m == NULL) {
        if (!a.vivify) {
            WANT(st == STORE_NOT_FOUND);
            return;
        }
        WANT(st == STORE_OK && created && n == a.initial);
        m = &run.m.items[key];
        *m = (struct model_item){.there = true, .tags = tags, .has_cas = a.has_cas};
        model_expiry_set(m, a.vivify_expiry);
        model_value(m, run.value, (uint64_t)snprintf((char *)run.value, 32, "%llu", (long long)a.initial));
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
        model_value(m, run.value, (uint64_t)snprintf((char *)run.value, 32, "%llu", (long long)n));
        carried(m, soft);
        m->has_cas = a.has_cas;
        return adopt(key, true);
    }
    compare(key, false);
}

void op_touch(void) {
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
        if (st == STORE_AGAIN) store_maintain(run.lab.s);
    }
    if (no_room(st)) return (void)compare(key, false);
    if (m && !run.m.items[key].there) m = NULL;
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

void op_delete(void) {
    unsigned key = byte() % MODEL_KEYS, how = byte();
    bool soft;
    struct model_item *m = present(key, &soft);
    struct store_delete d = {.key = key_of(key),
                             .guarded = (how & 3) == 3,
                             .invalidate = how & 4,
                             .clear = (how & 24) == 24,
                             .set_expiry = how & 32,
                             .has_cas = (how & 192) == 192,
                             .cas = run.first + byte(),
                             .expiry = expiry(),
                             .flags = byte() % 3};
    d.guard = m ? m->cas + (how & 128 ? 1 : 0) : 5;
    enum store_status st = STORE_AGAIN;
    for (unsigned tries = 0; st == STORE_AGAIN && tries < 300; tries++) {
        struct store_worker *w = enter();
        st = store_delete(w, &d, NULL);
        store_leave(w);
        if (st == STORE_AGAIN) store_maintain(run.lab.s);
    }
    if (no_room(st)) return (void)compare(key, false);
    if (m && !run.m.items[key].there) m = NULL;
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
        soft = model_verdict(&run.m, m->version, m->tags | model_prefixes(key), seconds_now(run.lab.s), &deadline) ==
               MODEL_SOFT;
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
        model_drop(&run.m, key);
    }
    compare(key, false);
}

void op_tag_add(void) {
    unsigned key = byte() % MODEL_KEYS, t = byte() % MODEL_PUT_TAGS;
    bool soft;
    struct model_item *m = present(key, &soft);
    struct store_key k = key_of(key);
    enum store_status st = STORE_AGAIN;
    for (unsigned tries = 0; st == STORE_AGAIN && tries < 300; tries++) {
        struct store_worker *w = enter();
        st = store_tag_add(w, &k, tag_hash(t));
        store_leave(w);
        if (st == STORE_AGAIN) store_maintain(run.lab.s);
    }
    if (no_room(st)) return (void)compare(key, false);
    if (m && !run.m.items[key].there) m = NULL;
    if (m == NULL) {
        WANT(st == STORE_NOT_FOUND);
        return (void)compare(key, false);
    }
    uint32_t deadline = 0;
    uint8_t all = (uint8_t)(m->tags | 1 << t | model_prefixes(key));
    enum model_verdict v = model_verdict(&run.m, m->version, all, seconds_now(run.lab.s), &deadline);
    if (v == MODEL_DEAD) {
        WANT(st == STORE_NOT_FOUND);
        model_drop(&run.m, key);
        return (void)compare(key, false);
    }
    WANT(st == STORE_OK);
    m->tags |= (uint8_t)(1 << t);
    if (v == MODEL_SOFT) model_expiry_cap(m, deadline);
    carried(m, v == MODEL_SOFT); /* a given id names the version without the tag */
    adopt(key, true);
}
