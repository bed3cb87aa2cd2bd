/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Copies of hot keys, by the rules of server/cmd: the holder's side is cmd_copy.c, the owner's side cmd_hold.c with the
 * production table of holders, and what owners tell holders is cmd_tell.c. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/lab_state.h"

#define HOT_EVERY 4 /* so many keys there are for a hot one */
#define AGAIN_NS (10 * SIM_MS)
#define PATIENCE_NS (200 * SIM_MS)
#define AHEAD_NS (200 * SIM_MS)
#define TICK_NS (20 * SIM_MS)
#define TELL_NS (50 * SIM_MS)
#define COPY_NS (HOLDERS_COPY_MS * SIM_MS)
#define TTL_LEAST_NS (2 * SIM_S) /* of an item that is copied */

/* A change that waits, and is run from its beginning when no copy is left. */
struct waiting {
    struct holders_waiter waiter; /* first: it is found by it */
    struct lab_request request;
};

static uint64_t local_of(const struct lab_process *x) {
    return sim_local(x->lab->s, x->place);
}

static uint64_t hash_of(unsigned key) {
    return (key + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static bool is_leased(const struct lab_process *x) {
    const struct lease_ends ends = lab_node_leases(x);
    const uint64_t now = lab_node_clock(x);
    return now < ends.tag_ns && now < ends.serve_ns;
}

static void send(struct lab_process *x, unsigned place, const struct lab_copy_message *m) {
    sim_datagram(x->lab->s, x->place, place, m, sizeof *m);
}

/* ------------------------------------------------------------------ the holder */

static uint64_t *changes_of(struct lab_process *x, unsigned key) {
    return &x->copies->changes[key];
}

/* Whether the copy may be served now. */
static bool is_good(struct lab_process *x, unsigned key) {
    const struct lab_copy *y = &x->copies->copy[key];
    const enum lab_shortcut shortcut = x->lab->o.shortcut;
    if (!y->held || local_of(x) >= y->end_ns) return false;
    if (*changes_of(x, key) != y->changes && shortcut != LAB_COPY_NO_CHANGES) {
        x->lab->r->copies_changed++;
        return false;
    }
    if (shortcut == LAB_COPY_NO_PURGES || !lab_store_purged_since(&x->store, key, y->since, local_of(x))) return true;
    x->lab->r->copies_purged++;
    return false;
}

static void ask(struct lab_process *x, unsigned key) {
    struct lab_copy *y = &x->copies->copy[key];
    struct lab_copy_message m;
    const uint64_t now = local_of(x);
    memset(&m, 0, sizeof m);
    lab_handoff_cover(x, &y->cover);
    y->asked_changes = *changes_of(x, key);
    y->asked_ns = now;
    y->ask = ++x->copies->asks;
    y->owner = x->owner[key];
    y->asked = y->cover.usable;
    y->next_ns = now + (y->asked ? PATIENCE_NS : AGAIN_NS);
    if (!y->asked) return;
    m.kind = LAB_COPY_ASK;
    m.key = key;
    m.ask = y->ask;
    m.member = config_number(x->config);
    m.cluster = x->ring_cluster;
    m.ring_version = ring_version(x->ring);
    send(x, y->owner, &m);
}

bool lab_copies_answer(struct lab_process *x, unsigned key, uint64_t invoked_ns, struct lab_answer *a) {
    struct lab *l = x->lab;
    struct lab_copy *y = &x->copies->copy[key];
    const uint64_t now = local_of(x);
    bool answered = false;
    if (key % HOT_EVERY != 2) return false;
    if (y->held && (is_leased(x) || l->o.shortcut == LAB_COPY_NO_LEASE)) {
        y->held = answered = is_good(x, key);
        if (answered) {
            *a = (struct lab_answer){.found = LAB_HIT, .read_ns = y->read_ns};
            l->r->copy_hits++;
            lab_items_hit(l, x, x->place, key, invoked_ns, y->read_ns, false);
            lab_items_copy(l, y, x->place, key, invoked_ns);
        }
    }
    if (now >= y->next_ns && (!y->held || now + AHEAD_NS >= y->end_ns)) ask(x, key);
    return answered;
}

static void take(struct lab_process *x, unsigned from, const struct lab_copy_message *m) {
    struct lab *l = x->lab;
    struct lab_copy *y = &x->copies->copy[m->key];
    const uint64_t now = local_of(x);
    if (!y->asked || y->ask != m->ask || y->owner != from) return;
    y->asked = false;
    y->next_ns = now + AGAIN_NS;
    if (!m->has) return;
    y->held = cover_covers(&m->cover, &y->cover) || l->o.shortcut == LAB_COPY_NO_VECTOR;
    l->r->copies_behind += !y->held;
    y->changes = y->asked_changes;
    y->since = y->cover.g;
    y->end_ns = y->asked_ns + COPY_NS;
    y->read_ns = m->read_ns;
    y->giver = m->giver;
    y->cluster = m->cluster;
    y->ring_version = m->ring_version;
    y->held = y->held && is_good(x, m->key); /* else it was changed, or purged, while it was on its way */
    l->r->copies += y->held;
}

/* An owner changes the key: no copy that was asked for before is served from here on. */
static void told(struct lab_process *x, unsigned from, struct lab_copy_message *m) {
    if (!cluster_id_equal(&m->to, &config_self(x->config)->id) || m->boot != config_self(x->config)->boot) return;
    ++*changes_of(x, m->key);
    m->kind = LAB_COPY_GONE;
    send(x, from, m);
}

void lab_copies_lost(struct lab_process *x, unsigned place) {
    for (unsigned k = 0; k < LAB_KEYS; k++)
        if (x->copies->copy[k].owner == place) x->copies->copy[k].held = x->copies->copy[k].asked = false;
}

/* ------------------------------------------------------------------ the owner: giving */

static bool gains(const struct lab_process *x) {
    return x->move != NULL && move_gains(x->move);
}

/* Gives a copy, if it gives one now. */
static void give(struct lab_process *x, unsigned from, struct lab_copy_message *m) {
    struct lab_copies *c = x->copies;
    struct cover own;
    const uint64_t now = local_of(x), hash = hash_of(m->key);
    m->kind = LAB_COPY_GIVEN;
    const bool same_ring =
        x->ring != NULL && ring_version(x->ring) == m->ring_version && cluster_id_equal(&x->ring_cluster, &m->cluster);
    if (is_leased(x) && !gains(x) && (same_ring || x->owner[m->key] == x->place)) {
        lab_handoff_cover(x, &own);
        enum holders_answer answer = HOLDERS_LATER;
        if (own.usable) answer = holders_ask(&c->table, hash, hash, m->member, c->filter.generation, now);
        c->stale_filter |= answer == HOLDERS_ADDED;
        m->has = answer == HOLDERS_GIVE && lab_store_plain(&x->store, m->key, now, x->since[m->key], TTL_LEAST_NS);
    }
    if (m->has) {
        m->cover = own;
        m->cover.g = 0;
        m->read_ns = x->store.items[m->key].read_ns;
        m->giver = x->serial;
        m->cluster = x->ring_cluster;
        m->ring_version = ring_version(x->ring);
    }
    send(x, from, m);
}

/* ------------------------------------------------------------------ the owner: changing */

/* Tells the holders of a key, until they answer or their copies have ended. */
static void tell(struct lab_process *x, const struct holders_key *k) {
    struct lab_copies *c = x->copies;
    unsigned key = 0;
    while (hash_of(key) != k->hash) key++;
    x->lab->r->recalls++;
    for (unsigned i = 0; i < k->nnodes && c->ntells < LAB_TELLS; i++)
        c->tells[c->ntells++] = (struct lab_tell){key, k->nodes[i].member, k->closing, k->nodes[i].until_ns, 0};
    sim_set_timer(x->lab->s, x->place, LAB_TIMER_COPIES, local_of(x));
}

static void say(struct lab_process *x, struct lab_tell *t) {
    const struct configuration *now = config_current(x->config);
    const struct configuration_member *to = now == NULL ? NULL : configuration_by_number(now, t->member);
    const int place = to == NULL ? -1 : lab_place_named(x->lab, to->name);
    struct lab_copy_message m;
    if (place < 0 || !lab_links_are(x, (unsigned)place, to)) return;
    memset(&m, 0, sizeof m);
    m.kind = LAB_COPY_TOLD;
    m.key = t->key;
    m.member = t->member;
    m.closing = t->closing;
    m.to = to->id;
    m.boot = to->boot;
    send(x, (unsigned)place, &m);
    t->again_ns = local_of(x) + TELL_NS;
}

bool lab_copies_waits(struct lab_process *x, const struct lab_request *r) {
    struct lab_copies *c = x->copies;
    const uint64_t hash = hash_of(r->op.key);
    bool first;
    if (r->op.what == LAB_READ || c->filter.nkeys == 0 || !holders_may_hold(&c->filter, hash) ||
        x->lab->o.shortcut == LAB_COPY_NO_WAIT)
        return false;
    struct holders_key *k = holders_change(&c->table, hash, c->filter.generation, local_of(x), &first);
    if (k == NULL) return false;
    struct waiting *w = malloc(sizeof *w);
    CHECK(w != NULL);
    w->request = *r;
    TAILQ_INSERT_TAIL(&k->waiters, &w->waiter, entry);
    if (first) tell(x, k);
    x->lab->r->changes_waited++;
    return true;
}

static void wake(struct lab_process *x, struct holders_waiters *woken) {
    struct holders_waiter *h;
    while ((h = TAILQ_FIRST(woken)) != NULL) {
        struct waiting *w = (struct waiting *)(void *)h;
        TAILQ_REMOVE(woken, h, entry);
        lab_clients_request(x, &w->request);
        free(w);
    }
}

static void gone(struct lab_process *x, const struct lab_copy_message *m) {
    struct lab_copies *c = x->copies;
    struct holders_waiters woken = TAILQ_HEAD_INITIALIZER(woken);
    const bool any = x->lab->o.shortcut == LAB_COPY_ANY_ANSWER;
    uint64_t closing = m->closing;
    unsigned n = 0;
    for (unsigned i = 0; i < c->ntells; i++) {
        const struct lab_tell *t = &c->tells[i];
        if (any && t->key == m->key && t->member == m->member) closing = t->closing;
        if (t->closing != closing || t->member != m->member) c->tells[n++] = *t;
    }
    c->ntells = n;
    struct holders_key *k = holders_gone(&c->table, closing, m->member);
    if (k != NULL) TAILQ_CONCAT(&woken, &k->waiters, entry);
    wake(x, &woken);
}

void lab_copies_time(struct lab_process *x) {
    struct lab_copies *c = x->copies;
    struct holders_waiters woken = TAILQ_HEAD_INITIALIZER(woken);
    const uint64_t now = local_of(x);
    unsigned n = 0;
    for (unsigned i = 0; i < c->ntells; i++)
        if (c->tells[i].until_ns > now) c->tells[n++] = c->tells[i];
    c->ntells = n;
    for (unsigned i = 0; i < n; i++)
        if (now >= c->tells[i].again_ns) say(x, &c->tells[i]);
    for (struct holders_key *k; (k = holders_ended(&c->table, now)) != NULL;) TAILQ_CONCAT(&woken, &k->waiters, entry);
    if (n > 0 || holders_wait(&c->table)) sim_set_timer(x->lab->s, x->place, LAB_TIMER_COPIES, now + TICK_NS);
    wake(x, &woken);
}

/* ------------------------------------------------------------------ both */

void lab_copies_view(struct lab_process *x) {
    struct lab_copies *c = x->copies;
    const struct holders_key *k;
    for (unsigned i = 0; i < LAB_KEYS; i++) c->copy[i].held = c->copy[i].asked = false;
    memset(x->took_from, 0, sizeof x->took_from);
    for (unsigned i = 0; i < LAB_KEYS; i++) /* what it deletes while another node owns the key is nobody's promise */
        if (x->owner[i] != x->place) x->deleted_ns[i] = x->written_ns[i] = 0;
    while (x->lab->o.shortcut != LAB_COPY_NOT_CLOSED && (k = holders_close(&c->table, local_of(x))) != NULL) tell(x, k);
}

bool lab_copies_recalled(const struct lab_process *x) {
    return holders_recalled(&x->copies->table, local_of(x));
}

void lab_copies_round(struct lab_process *x) {
    if (!x->copies->stale_filter) return;
    x->copies->stale_filter = false;
    holders_filter(&x->copies->table, &x->copies->filter);
}

void lab_copies_datagram(struct lab_process *x, unsigned from, const void *bytes) {
    struct lab_copy_message m;
    memcpy(&m, bytes, sizeof m);
    switch (m.kind) {
    case LAB_COPY_ASK: give(x, from, &m); break;
    case LAB_COPY_GIVEN: take(x, from, &m); break;
    case LAB_COPY_TOLD: told(x, from, &m); break;
    case LAB_COPY_GONE: gone(x, &m); break;
    }
    lab_node_round(x);
}

void lab_copies_new(struct lab_process *x) {
    x->copies = malloc(sizeof *x->copies);
    CHECK(x->copies != NULL);
    memset(x->copies, 0, offsetof(struct lab_copies, table));
    x->copies->filter.nkeys = 0; /* its bits count only when there are some */
    x->copies->filter.generation = 0;
    holders_init(&x->copies->table);
    for (unsigned k = 0; k < LAB_KEYS; k++) x->copies->copy[k].owner = LAB_NOWHERE;
}

void lab_copies_end(struct lab_process *x) {
    for (unsigned i = 0; i < HOLDERS_KEYS_MAX; i++) {
        struct holders_waiters *list = &x->copies->table.keys[i].waiters;
        for (struct holders_waiter *h; (h = TAILQ_FIRST(list)) != NULL;) {
            TAILQ_REMOVE(list, h, entry);
            free(h);
        }
    }
    free(x->copies);
    x->copies = NULL;
}
