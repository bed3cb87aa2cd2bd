/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/lab_store.h"

#include <string.h>

#define FILLING_NS (300 * SIM_MS) /* for so long others leave a miss to its winner */
#define KEPT_NS (20 * SIM_S)

void lab_store_init(struct lab_store *s, const struct lab_key *keys, uint64_t first, enum lab_shortcut shortcut) {
    memset(s, 0, sizeof *s);
    s->keys = keys;
    s->number = first;
    s->shortcut = shortcut;
}

void lab_store_floor(struct lab_store *s, bool everything) {
    s->number++;
    s->floor_tagged = s->number;
    if (everything) s->floor_all = s->number;
}

/* ------------------------------------------------------------------ purges */

void lab_store_purge_begin(struct lab_store *s) {
    s->number++;
}

void lab_store_purge(struct lab_store *s, struct lab_purged *what, uint64_t now_ns, bool soft, uint32_t ttl_s) {
    const uint64_t deadline_ns = now_ns + ttl_s * SIM_S;
    const bool pending = what->soft > what->hard && what->deadline_ns > now_ns;
    if (what->soft > what->hard && !pending && s->shortcut != LAB_SOFT_NEVER_HARD) what->hard = what->soft;
    if (!soft) {
        what->hard = s->number;
        return;
    }
    if (s->shortcut == LAB_SOFT_HIDES_HARD) what->hard = 0;
    what->soft = s->number;
    if (!pending || deadline_ns < what->deadline_ns) what->deadline_ns = deadline_ns;
}

enum state { LIVE, STALE, DEAD };

static void judge(const struct lab_store *s, const struct lab_purged *e, uint64_t birth, uint64_t now_ns,
                  enum state *state, uint64_t *deadline_ns) {
    if (e->hard > birth) *state = DEAD;
    if (e->soft <= birth || *state == DEAD) return;
    if (e->deadline_ns <= now_ns) {
        if (s->shortcut != LAB_SOFT_NEVER_HARD) *state = DEAD;
        return;
    }
    *state = STALE;
    if (e->deadline_ns < *deadline_ns) *deadline_ns = e->deadline_ns;
}

/* What the purges and floors make of an item of this key and birth; *deadline_ns: of a stale one. */
static enum state state_of(const struct lab_store *s, unsigned key, uint64_t birth, uint64_t now_ns,
                           uint64_t *deadline_ns) {
    const struct lab_key *k = &s->keys[key];
    enum state state = LIVE;
    *deadline_ns = UINT64_MAX;
    if (s->floor_all > birth || (k->ntags > 0 && s->floor_tagged > birth)) return DEAD;
    judge(s, &s->all, birth, now_ns, &state, deadline_ns);
    for (unsigned i = 0; i < k->ntags; i++) judge(s, &s->tag[k->tag[i]], birth, now_ns, &state, deadline_ns);
    if (k->ntags == 2 && s->shortcut != LAB_ONE_TAG_OF_TWO)
        judge(s, &s->pair[k->pair], birth, now_ns, &state, deadline_ns);
    return state;
}

/* ------------------------------------------------------------------ requests */

/* Takes out what is there no more, so that a dead value never counts. NULL: there is nothing. */
static struct lab_item *find(struct lab_store *s, unsigned key, uint64_t now_ns, uint64_t since, enum state *state,
                             uint64_t *deadline_ns) {
    struct lab_item *it = &s->items[key];
    if (!it->on) return NULL;
    *state = state_of(s, key, it->birth, now_ns, deadline_ns);
    if (*state == DEAD || it->expiry_ns <= now_ns || it->birth <= since) {
        it->on = false;
        return NULL;
    }
    return it;
}

static struct lab_answer win_miss(struct lab_store *s, unsigned key, uint64_t now_ns) {
    s->items[key] = (struct lab_item){
        .on = true, .empty = true, .won = true, .birth = ++s->number, .expiry_ns = now_ns + FILLING_NS};
    return (struct lab_answer){.found = LAB_MISS, .token = s->items[key].birth};
}

/* It becomes an item that is marked, and younger than the purge. */
static void fold(struct lab_store *s, struct lab_item *it, uint64_t deadline_ns) {
    it->stale = true;
    it->birth = ++s->number;
    if (deadline_ns < it->expiry_ns) it->expiry_ns = deadline_ns;
}

void lab_store_fold(struct lab_store *s, unsigned key, uint64_t now_ns) {
    uint64_t deadline_ns;
    struct lab_item *it = &s->items[key];
    if (it->on && state_of(s, key, it->birth, now_ns, &deadline_ns) == STALE) fold(s, it, deadline_ns);
}

bool lab_store_receive(struct lab_store *s, unsigned key, uint64_t g, uint64_t read_ns, uint64_t expiry_ns, bool stale,
                       uint64_t now_ns) {
    uint64_t deadline_ns;
    if (s->shortcut != LAB_NO_GUARD && state_of(s, key, g, now_ns, &deadline_ns) != LIVE) return false;
    s->items[key] =
        (struct lab_item){.on = true, .stale = stale, .birth = ++s->number, .read_ns = read_ns, .expiry_ns = expiry_ns};
    return true;
}

struct lab_answer lab_store_read(struct lab_store *s, unsigned key, uint64_t now_ns, uint64_t since) {
    enum state state = LIVE;
    uint64_t deadline_ns = UINT64_MAX, token = 0;
    struct lab_item *it = find(s, key, now_ns, since, &state, &deadline_ns);
    if (it == NULL) return win_miss(s, key, now_ns);
    if (it->empty) {
        if (state == STALE) return win_miss(s, key, now_ns);
        return (struct lab_answer){.found = LAB_MISS};
    }
    if (state == STALE) { /* the first to see it */
        fold(s, it, deadline_ns);
        it->won = true;
        token = it->birth;
    }
    return (struct lab_answer){LAB_HIT, it->stale, it->read_ns, token};
}

enum lab_stored lab_store_fill(struct lab_store *s, unsigned key, uint64_t now_ns, uint64_t since, uint64_t token,
                               uint64_t read_ns) {
    enum state state = LIVE;
    uint64_t deadline_ns;
    const struct lab_item *it = find(s, key, now_ns, since, &state, &deadline_ns);
    if (s->shortcut == LAB_ANY_TOKEN)
        state = state_of(s, key, token, now_ns, &deadline_ns);
    else if (s->shortcut == LAB_NO_TOKEN)
        state = LIVE;
    else if (it == NULL || it->birth != token)
        return LAB_NOT_FOUND;
    if (state != LIVE) {
        s->items[key].on = false; /* the next reader fills it */
        return LAB_OVERTAKEN;
    }
    s->items[key] =
        (struct lab_item){.on = true, .birth = ++s->number, .read_ns = read_ns, .expiry_ns = now_ns + KEPT_NS};
    return LAB_STORED;
}

bool lab_store_purged_since(const struct lab_store *s, unsigned key, uint64_t number, uint64_t now_ns) {
    uint64_t deadline_ns;
    return state_of(s, key, number, now_ns, &deadline_ns) != LIVE;
}

bool lab_store_plain(const struct lab_store *s, unsigned key, uint64_t now_ns, uint64_t since, uint64_t ttl_ns) {
    const struct lab_item *it = &s->items[key];
    return lab_store_has(s, key, now_ns, since) && !lab_store_purged_since(s, key, it->birth, now_ns) && !it->stale &&
           !it->won && it->expiry_ns >= now_ns + ttl_ns;
}

void lab_store_delete(struct lab_store *s, unsigned key) {
    if (s->shortcut == LAB_DELETE_KEEPS && s->items[key].empty) return;
    s->items[key].on = false;
}

bool lab_store_has(const struct lab_store *s, unsigned key, uint64_t now_ns, uint64_t since) {
    const struct lab_item *it = &s->items[key];
    uint64_t deadline_ns;
    return it->on && !it->empty && it->expiry_ns > now_ns && it->birth > since &&
           state_of(s, key, it->birth, now_ns, &deadline_ns) != DEAD;
}
