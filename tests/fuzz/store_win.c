/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Who is told to fill: a meta get and an election. */
#include "store/seconds.h"
#include "store_run.h"

static void won(struct model_item *m) {
    m->stale = m->softened = m->won = true;
    m->rearmed = m->has_cas = false;
}

void op_meta_get(void) {
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
                               .cas = run.first + byte(),
                               .bits = (how & 192) == 192 ? STORE_B64 : 0,
                               .tags = hashes};
    g.ntags = tags_of(tags, hashes);
    enum store_win win = STORE_WIN_NONE, want = STORE_WIN_NONE;
    struct store_item it;
    enum store_status st = STORE_AGAIN;
    uint32_t now = seconds_now(run.lab.s);
    for (unsigned tries = 0; st == STORE_AGAIN && tries < 300; tries++) {
        struct store_worker *w = enter();
        st = store_meta_get(w, &g, &it, &win, &created, NULL);
        store_leave(w);
        if (st == STORE_AGAIN) store_maintain(run.lab.s);
    }
    if (no_room(st)) {
        /* Touched, but not won, maybe. */
        if (m) m->expiry_lo = 0;
        if (m && g.touch) m->expiry_hi = UINT32_MAX;
        return (void)compare(key, false);
    }
    if (m && !run.m.items[key].there) m = NULL;
    if (m == NULL) {
        if (!g.vivify) {
            WANT(st == STORE_NOT_FOUND);
            return (void)compare(key, false);
        }
        WANT(st == STORE_OK && created && win == STORE_WIN_WON);
        m = &run.m.items[key];
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
        model_drop(&run.m, key);
        return (void)compare(key, false);
    }
    bool elected = false;
    if (soft) {
        want = STORE_WIN_WON;
        elected = true;
        uint32_t deadline = 0;
        if (model_verdict(&run.m, m->version, m->tags | model_prefixes(key), now, &deadline) == MODEL_SOFT)
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

void op_win(void) {
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
    if (model_verdict(&run.m, m->version, m->tags | model_prefixes(key), seconds_now(run.lab.s), &deadline) ==
        MODEL_SOFT)
        model_expiry_cap(m, deadline);
    won(m);
    adopt(key, true);
}
