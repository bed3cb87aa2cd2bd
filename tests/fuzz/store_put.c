/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A put in all its forms, with what it must answer and leave behind. */
#include <string.h>

#include "store/seconds.h"
#include "store_run.h"

/* A round of maintenance for somebody who found no room so many times; in the end time goes by, so that he is refused
 * if there is none to be had. */
static void wait_for_room(unsigned tries) {
    if (tries > ROUNDS_MAX / 2) clock_manual_advance(&run.lab.clock, SECOND / 100);
    store_maintain(run.lab.s);
}

struct store_upload *fill_upload(uint64_t size) {
    struct store_upload *u;
    if (store_upload_begin(run.lab.w[run.worker], size, &u) != STORE_OK) return NULL;
    for (unsigned tries = 0; store_upload_left(u) && tries < ROUNDS_MAX;) {
        enum store_status st = lab_upload_some(run.lab.w[run.worker], u, run.value, size, 50000);
        if (st == STORE_NO_MEMORY) break; /* -M */
        if (st == STORE_OK) continue;
        wait_for_room(tries);
        if (++tries == ROUNDS_MAX) WRONG("a body of %llu bytes finds no room", (unsigned long long)size);
    }
    if (store_upload_left(u) == 0) return u;
    store_upload_abort(run.lab.w[run.worker], u);
    return NULL;
}

enum store_status put_now(struct store_put *p) {
    enum store_status st = STORE_AGAIN;
    for (unsigned tries = 0; st == STORE_AGAIN; tries++) {
        struct store_worker *w = enter();
        st = store_put(w, p, NULL);
        store_leave(w);
        if (st == STORE_AGAIN) wait_for_room(tries);
        if (tries == ROUNDS_MAX) WRONG("a put of %llu bytes finds no room", (unsigned long long)p->size);
    }
    return st;
}

/* What a put must answer, as far as the model can tell before it. */
static enum store_status put_expected(const struct store_put *p, const struct model_item *m, bool soft, bool *stale) {
    const bool join = p->mode == STORE_APPEND || p->mode == STORE_PREPEND;
    *stale = false;
    if (p->guarded) {
        if (m == NULL && !(join && p->vivify)) return STORE_NOT_FOUND;
        if (m != NULL && m->cas != p->guard) {
            if (!p->invalidate || p->guard == 0 || p->guard > m->cas) return STORE_EXISTS;
            *stale = true;
        }
    }
    bool softly = soft || (m && m->softened);
    if (p->mode == STORE_ADD && m && !softly) return STORE_NOT_STORED;
    if (p->mode == STORE_REPLACE && m == NULL) return STORE_NOT_STORED;
    if (join && m == NULL && !p->vivify) return STORE_NOT_STORED;
    if (p->size + (join && m ? m->size : 0) > run.lab.s->cfg.item_size_max) return STORE_TOO_LARGE;
    return STORE_OK;
}

/* A refused fill: the version there is has a new number and elects again. */
static void put_refused(unsigned key) {
    struct model_item *m = &run.m.items[key];
    struct store_worker *w = enter();
    struct store_key k = key_of(key);
    struct store_item it;
    if (store_peek(w, &k, &it)) {
        if (it.version != m->version) {
            id_is_new(it.version);
            m->has_cas = false;
            m->won = false;
            m->rearmed = !m->stale;
        } else {
            WANT(m->has_cas); /* no room to rewrite it */
        }
        m->version = it.version;
        m->cas = it.cas;
    }
    store_leave(w);
}

static void put_done(const struct store_put *p, unsigned key, uint8_t tags, bool stale, bool soft, bool join) {
    struct model_item *m = &run.m.items[key];
    const struct model_item old = *m;
    if (!join) {
        model_drop(&run.m, key);
        *m = (struct model_item){.there = true, .flags = p->flags, .b64 = p->bits & STORE_B64, .tags = tags};
        model_value(m, run.value, p->size);
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
        memcpy(both, p->mode == STORE_APPEND ? m->value : run.value, a);
        memcpy(both + a, p->mode == STORE_APPEND ? run.value : m->value, p->size + m->size - a);
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

void op_put(void) {
    unsigned key = byte() % MODEL_KEYS, how = byte();
    uint8_t tags = (uint8_t)(coin(2) ? few_tags() & 0x3f : 0);
    uint64_t hashes[MODEL_TAGS], size = make_value();
    bool soft, stale;
    struct store_put p = {.key = key_of(key),
                          .value = (const char *)run.value,
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
    p.cas = run.first + byte() * 3;
    p.ntags = tags_of(tags, hashes);
    struct model_item *m = present(key, &soft);
    bool join = (p.mode == STORE_APPEND || p.mode == STORE_PREPEND) && m;
    if (join && m->size + size > VALUE_MAX) return;
    uint64_t since = store_number(run.lab.s);
    if (size > store_inline_max(run.lab.s)) {
        p.upload = fill_upload(size);
        if (p.upload == NULL) return;
        if (coin(3)) {
            uint8_t mask = (uint8_t)(1 << byte() % MODEL_TAGS);
            uint64_t number =
                lab_purge(&run.lab, run.worker, 1, &(uint64_t){tag_hash((unsigned)__builtin_ctz(mask))}, false, 0);
            model_purge(&run.m, mask, number, false, 0, seconds_now(run.lab.s));
        }
        m = present(key, &soft);
        join = join && m;
    }
    p.guard = m ? m->cas - (coin(4) ? byte() : 0) : run.first;
    const uint64_t old_birth = m ? m->version : 0;
    const bool given = m && m->has_cas; /* then the guard is no number */
    uint8_t all = (uint8_t)(tags | model_prefixes(key) | (join ? m->tags : 0));
    enum store_status want = put_expected(&p, m, soft, &stale), st = put_now(&p);
    if (no_room(st)) return (void)compare(key, false);
    uint32_t deadline = 0, now = seconds_now(run.lab.s);
    /* put_now may have run maintenance, which may have evicted it. */
    if (m && !run.m.items[key].there) {
        m = NULL;
        join = false;
        want = put_expected(&p, NULL, false, &stale);
        all = (uint8_t)(tags | model_prefixes(key));
    }
    if (want == STORE_OK && p.guarded && m) {
        uint64_t of = stale && !given && p.guard >= run.first ? p.guard : old_birth;
        bool overtaken = model_purged_since(&run.m, of, all);
        if (overtaken && st == STORE_OK) WRONG("an overtaken fill is stored");
        if (st == STORE_EXISTS && !overtaken && run.m.wide <= of) WRONG("a fill is refused for nothing");
        if (st == STORE_EXISTS) {
            if (soft) m->softened = m->stale = true, m->won = false;
            put_refused(key);
            return (void)compare(key, false);
        }
    }
    bool dead = want == STORE_OK && p.upload && model_purged_since(&run.m, since, all);
    if (want == STORE_OK && join) {
        enum model_verdict v = model_verdict(&run.m, old_birth, all, now, &deadline);
        dead |= v == MODEL_DEAD;
        soft = soft || v == MODEL_SOFT;
        if (v == MODEL_SOFT && m->expiry_lo == UINT32_MAX && p.ntags == 0 && m->tags == 0 && !run.m.items[key].there)
            dead = true;
        if (dead) want = STORE_NOT_STORED;
        if (!dead && v == MODEL_SOFT) model_expiry_cap(m, deadline);
        if (!dead && v == MODEL_SOFT && st == STORE_NOT_STORED) dead = true, want = st; /* no field for a deadline */
    }
    if (st != want) WRONG("put mode %d guarded %d says %d, not %d", p.mode, p.guarded, st, want);
    if (dead) {
        /* A body overtaken by a purge of a conjunction may also be refused for less. */
        model_drop(&run.m, key);
    } else if (st == STORE_OK) {
        if (p.upload && run.m.wide > since) run.m.items[key].unsure = true;
        put_done(&p, key, tags, stale, soft, join);
        if (p.upload && run.m.wide > since) run.m.items[key].unsure = true;
        adopt(key, true);
        return;
    }
    compare(key, false);
}
