/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Clients: each asks some node, which passes on what is another's. They read, fill what they missed from the database,
 * write to the database and delete, and purge. A read may be hedged: the client asks a second node, too. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/lab_state.h"

#define JOINABLE_NS (500 * SIM_MS)

/* What the asked node sends the owner, and the owner's answer. */
struct message {
    bool is_answer, not_owner, served;
    struct lab_request request;
    struct lab_answer answer;
};

static void ask(struct lab_process *x, const struct lab_op *op);

static struct lab_process *awake(const struct lab *l, unsigned place) {
    return sim_is_paused(l->s, place) ? NULL : lab_place_at(l, place);
}

static unsigned any_place(const struct lab *l) {
    return (unsigned)sim_below(l->s, l->o.places);
}

/* ------------------------------------------------------------------ fills */

/* A client that fills a key. */
struct fill {
    struct lab *lab;
    unsigned place;
    struct lab_op op;
};

static void store(struct sim *s, void *arg, uint64_t late) {
    struct fill *f = arg;
    struct lab *l = f->lab;
    struct lab_process *x = awake(l, sim_chance(s, 500000) ? f->place : any_place(l));
    f->op.invoked_ns = sim_now(s);
    l->r->fills_late += late;
    if (x != NULL) ask(x, &f->op);
    free(f);
}

static void read_database(struct sim *s, void *arg, uint64_t unused) {
    struct fill *f = arg;
    (void)unused;
    f->op.read_ns = sim_now(s);
    uint64_t takes = sim_below(s, 40 * SIM_MS);
    const bool late = sim_chance(s, 50000);
    if (late) takes += sim_below(s, 2 * SIM_S);
    sim_at(s, sim_now(s) + takes, store, f, late);
}

static void fill(struct lab *l, unsigned place, unsigned key, uint64_t token) {
    struct fill *f = malloc(sizeof *f);
    CHECK(f != NULL);
    *f = (struct fill){l, place, {.what = LAB_FILL, .key = key, .token = token}};
    sim_at(l->s, sim_now(l->s) + sim_below(l->s, 20 * SIM_MS), read_database, f, 0);
}

/* ------------------------------------------------------------------ the owner */

static bool may_serve(struct lab_process *x, const struct lab_op *op, bool forwarded) {
    const struct lab *l = x->lab;
    const struct lease_ends ends = lab_node_leases(x);
    const uint64_t now = lab_node_clock(x);
    const bool tagged = l->keys[op->key].ntags > 0;
    if (forwarded && l->o.shortcut == LAB_ASKED_LEASE) return true;
    if (!tagged && op->what == LAB_READ && l->o.shortcut == LAB_NO_SERVE_LEASE) return true;
    if (now >= ends.serve_ns) l->r->no_serve_lease++;
    return now < ends.serve_ns && (op->what != LAB_READ || !tagged || now < ends.tag_ns);
}

static struct lab_answer execute_read(struct lab_process *x, const struct lab_op *op) {
    struct lab *l = x->lab;
    const uint64_t now = sim_local(l->s, x->place), since = x->since[op->key];
    if (!lab_store_has(&x->store, op->key, now, since)) {
        l->r->fenced += lab_store_has(&x->store, op->key, now, 0);
        if (lab_handoff_pull(x, op->key)) return (struct lab_answer){.found = LAB_MISS};
    }
    const struct lab_answer a = lab_store_read(&x->store, op->key, now, since);
    if (a.found != LAB_HIT) return a;
    l->r->untagged_hits += l->keys[op->key].ntags == 0;
    l->r->stale_hits += a.stale;
    l->r->unbound_reads += !purging_needs_lease(x->purging);
    lab_items_hit(l, x, x->place, op->key, op->invoked_ns, a.read_ns, a.stale);
    return a;
}

/* What the owner does. False: it holds no lease for that. */
static bool execute(struct lab_process *x, const struct lab_op *op, bool forwarded, struct lab_answer *answer) {
    struct lab *l = x->lab;
    *answer = (struct lab_answer){0};
    if (!may_serve(x, op, forwarded)) {
        l->r->no_lease++;
        return false;
    }
    if (lab_handoff_state(x, op->key) == MOVE_ASKED) { /* the former owner may still be one: the request waits */
        l->r->asked_waits++;
        return false;
    }
    if (op->what != LAB_READ) lab_handoff_written(x, op->key);
    if (op->what == LAB_READ) {
        *answer = execute_read(x, op);
    } else if (op->what == LAB_DELETE) {
        lab_store_delete(&x->store, op->key);
        sim_note(l->s, x->place, "deletes %s, written at %.6f", l->names[op->key], (double)op->read_ns / 1e9);
        lab_items_deleted(x, op->key, op->read_ns);
        l->r->deletes++;
    } else {
        const enum lab_stored stored =
            lab_store_fill(&x->store, op->key, sim_local(l->s, x->place), x->since[op->key], op->token, op->read_ns);
        if (stored == LAB_STORED)
            sim_note(l->s, x->place, "stores %s, read at %.6f", l->names[op->key], (double)op->read_ns / 1e9);
        l->r->fills += stored == LAB_STORED;
        l->r->fills_refused += stored == LAB_OVERTAKEN;
        l->r->fills_foreign += stored == LAB_NOT_FOUND && op->token >> 32 != x->store.number >> 32;
    }
    return true;
}

/* ------------------------------------------------------------------ the asked node */

/* The answer reaches the client. */
static void answered(struct lab_process *x, const struct lab_op *op, const struct lab_answer *a) {
    struct lab *l = x->lab;
    if (op->what != LAB_READ) return;
    l->r->hits += a->found == LAB_HIT;
    l->r->misses += a->found == LAB_MISS && a->token != 0;
    l->r->waits += a->found == LAB_MISS && a->token == 0; /* for another client's fill */
    if (x->joined_ns[op->key] > op->invoked_ns && a->found == LAB_HIT)
        lab_items_hit(l, NULL, x->place, op->key, x->joined_ns[op->key], a->read_ns, a->stale);
    x->asked_ns[op->key] = x->joined_ns[op->key] = 0;
    if (a->token != 0) fill(l, x->place, op->key, a->token);
}

/* Whether the read waits for the answer to another one. */
static bool joins(struct lab_process *x, const struct lab_op *op) {
    const uint64_t now = sim_now(x->lab->s), since = x->asked_ns[op->key];
    if (x->lab->o.shortcut != LAB_COALESCED || op->what != LAB_READ) return false;
    if (since != 0 && now < since + JOINABLE_NS) {
        x->joined_ns[op->key] = op->invoked_ns;
        return true;
    }
    x->asked_ns[op->key] = now;
    x->joined_ns[op->key] = 0;
    return false;
}

static void ask(struct lab_process *x, const struct lab_op *op) {
    struct lab *l = x->lab;
    const unsigned owner = x->owner[op->key];
    struct lab_answer a;
    l->r->unreached += owner == LAB_NOWHERE || (owner != x->place && !x->peers[owner].known);
    if (owner == LAB_NOWHERE) return;
    if (owner == x->place) {
        if (lab_copies_waits(x, &(struct lab_request){.from = x->place, .op = *op})) return;
        if (execute(x, op, false, &a)) answered(x, op, &a);
        return;
    }
    if (!x->peers[owner].known || joins(x, op)) return;
    if (op->what == LAB_READ && l->o.shortcut == LAB_ASKED_LEASE && !may_serve(x, op, false)) return;
    if (op->what == LAB_READ && lab_copies_answer(x, op->key, op->invoked_ns, &a)) {
        answered(x, op, &a);
        return;
    }
    struct message m;
    memset(&m, 0, sizeof m); /* padding, too: it counts in the simulator's digest */
    m.request.op = *op;
    m.request.from = x->place;
    m.request.cluster = x->ring_cluster;
    m.request.ring_version = ring_version(x->ring);
    l->r->forwarded++;
    sim_datagram(l->s, x->place, owner, &m, sizeof m);
}

/* The asked node went by the same ring, so it has found what would be found here; else it is looked up. */
static bool is_owner(const struct lab_process *x, const struct lab_request *r) {
    if (x->ring == NULL) return false;
    if (ring_version(x->ring) == r->ring_version && cluster_id_equal(&x->ring_cluster, &r->cluster)) return true;
    return x->owner[r->op.key] == x->place;
}

void lab_clients_request(struct lab_process *x, const struct lab_request *r) {
    struct message m;
    if (r->from == x->place) {
        ask(x, &r->op);
        return;
    }
    memset(&m, 0, sizeof m); /* padding, too: it counts in the simulator's digest */
    m.is_answer = true;
    m.request = *r;
    m.not_owner = !is_owner(x, r);
    x->lab->r->not_owner += m.not_owner;
    if (!m.not_owner && lab_copies_waits(x, r)) return;
    if (!m.not_owner) m.served = execute(x, &r->op, true, &m.answer);
    sim_datagram(x->lab->s, x->place, r->from, &m, sizeof m);
}

void lab_clients_datagram(struct lab_process *x, unsigned from, const void *bytes, size_t n) {
    struct message m;
    CHECK(n == sizeof m);
    memcpy(&m, bytes, sizeof m);
    (void)from; /* who passed it on says so itself */
    if (!m.is_answer)
        lab_clients_request(x, &m.request);
    else if (!m.not_owner && m.served)
        answered(x, &m.request.op, &m.answer);
}

/* ------------------------------------------------------------------ load */

struct again {
    struct lab *lab;
    struct lab_op op;
};

static void ask_again(struct sim *s, void *arg, uint64_t unused) {
    struct again *again = arg;
    struct lab_process *x = awake(again->lab, any_place(again->lab));
    (void)s, (void)unused;
    if (x != NULL) ask(x, &again->op);
    free(again);
}

static void hedge(struct lab *l, const struct lab_op *op) {
    struct again *again = malloc(sizeof *again);
    CHECK(again != NULL);
    *again = (struct again){l, *op};
    l->r->hedged++;
    sim_at(l->s, sim_now(l->s) + sim_below(l->s, 5 * SIM_MS), ask_again, again, 0);
}

/* The configuration has members, and none of them is in the ring. */
static bool is_ringless(const struct configuration *c) {
    unsigned n = 0;
    for (unsigned i = 0; c != NULL && i < c->nmembers; i++) n += configuration_in_ring(&c->members[i]);
    return c != NULL && n == 0;
}

static void request(struct sim *s, void *arg, uint64_t unused) {
    struct lab *l = arg;
    const uint64_t every = SIM_S / l->o.reads_per_s;
    struct lab_process *x = awake(l, any_place(l));
    struct lab_op op = {.what = LAB_READ, .key = (unsigned)sim_below(s, LAB_KEYS), .invoked_ns = sim_now(s)};
    (void)unused;
    sim_at(s, sim_now(s) + 1 + sim_below(s, 2 * every), request, l, 0);
    if (x == NULL) return;
    lab_check_leases(x);
    if (sim_chance(s, 20000)) {
        op.what = LAB_DELETE;
        op.read_ns = sim_now(s);
        ask(x, &op);
        return;
    }
    l->r->reads++;
    l->r->ringless += x->ring == NULL && is_ringless(config_current(x->config));
    ask(x, &op);
    if (sim_chance(s, 50000)) hedge(l, &op);
}

/* What a purge selects: everything, a tag, two tags, or only a tag of its own. */
static void choose(struct lab *l, struct purge_selector *sel, uint64_t tags[2], struct lab_purge *p) {
    const unsigned dice = (unsigned)sim_below(l->s, 100);
    const struct lab_key *k = &l->keys[sim_below(l->s, LAB_KEYS)];
    *sel = (struct purge_selector){0, NULL};
    p->everything = dice < 4;
    if (dice < 4) return;
    sel->tags = tags;
    if (dice < 35 && k->ntags > 0) {
        sel->ntags = 1;
        tags[0] = lab_items_tag(k->tag[0]);
    } else if (dice < 50 && k->ntags == 2) {
        sel->ntags = 2;
        tags[0] = lab_items_tag(k->tag[0]);
        tags[1] = lab_items_tag(k->tag[1]);
        l->r->pairs++;
    }
}

static void purge(struct sim *s, void *arg, uint64_t unused) {
    struct lab *l = arg;
    const unsigned place = l->o.asked >= 0 ? (unsigned)l->o.asked : any_place(l);
    struct lab_process *x = awake(l, place);
    const uint64_t every = SIM_S / l->o.purges_per_s;
    (void)unused;
    if (!l->calm) sim_at(s, sim_now(s) + 1 + sim_below(s, 2 * every), purge, l, 0);
    if (x == NULL || l->npurges + 1 >= LAB_PURGES) return;
    const uint64_t pid = l->npurges + 1;
    struct lab_purge *p = &l->purge[pid];
    struct purge_selector sels[2];
    uint64_t tags[2];
    *p = (struct lab_purge){.asked_ns = sim_now(s), .asker = x, .asker_resets = x->resets, .asker_leaves = x->leaves};
    choose(l, &sels[0], tags, p);
    const bool only_own = !p->everything && sels[0].ntags == 0;
    sels[1] = (struct purge_selector){1, &pid};
    p->soft = sim_chance(s, 300000);
    p->ttl_s = (uint8_t)sim_below(s, 3);
    const struct purging_request r = {.selectors = only_own ? sels + 1 : sels,
                                      .nselectors = only_own ? 1 : 2,
                                      .soft = p->soft,
                                      .ttl_s = p->ttl_s,
                                      .wait_ns = 2 * SIM_S,
                                      .token = pid};
    l->npurges++; /* it may be confirmed before the call returns */
    if (!only_own) lab_items_asked(lab_items_list(l, &sels[0]), (uint32_t)pid);
    if (purging_purge(x->purging, sim_local(s, place), &r, NULL) != 0) {
        p->refused = true;
        return;
    }
    sim_note(s, place, "is asked for purge %llu of %s%s", (unsigned long long)pid,
             p->everything        ? "everything"
             : only_own           ? "nothing but its own tag"
             : sels[0].ntags == 1 ? "a tag"
                                  : "two tags",
             p->soft ? ", soft" : "");
    l->r->purges++;
    l->r->flushes += p->everything;
    l->r->soft += p->soft;
    lab_node_round(x);
}

void lab_clients_begin(struct lab *l) {
    sim_at(l->s, 500 * SIM_MS, purge, l, 0);
    sim_at(l->s, 500 * SIM_MS, request, l, 0);
}
