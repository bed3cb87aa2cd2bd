/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A process: it drives the machine of the hand-off as cluster/cluster_handoff.c and the mover do, with its store; and
 * takes single items from former owners as workers do. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/lab_state.h"

#define RATE (1 << 20)
#define DRAIN_NS (10 * SIM_S)
#define STALE_BIT 1

static uint64_t local_of(const struct lab_process *x) {
    return sim_local(x->lab->s, x->place);
}

static int place_of(const struct lab_process *x, uint32_t number) {
    const struct configuration *c = config_current(x->config);
    const struct configuration_member *m = c == NULL ? NULL : configuration_by_number(c, number);
    return m == NULL ? -1 : lab_place_named(x->lab, m->name);
}

static uint32_t number_at(const struct lab_process *x, unsigned place) {
    const struct configuration *c = config_current(x->config);
    const struct configuration_member *m = c == NULL ? NULL : configuration_by_id(c, &x->peers[place].id);
    return m != NULL && m->boot == x->peers[place].boot && m->state != CONFIGURATION_EJECTED ? m->number : 0;
}

/* ------------------------------------------------------------------ items */

static unsigned key_of(const struct lab *l, const char *key, unsigned nkey) {
    for (unsigned k = 0; k < LAB_KEYS; k++)
        if (strlen(l->names[k]) == nkey && memcmp(l->names[k], key, nkey) == 0) return k;
    CHECK(false);
    return 0;
}

static void show(const struct lab_process *x, unsigned key, uint64_t *value, struct moved_item *out) {
    const struct lab_item *it = &x->store.items[key];
    const uint64_t left_ns = it->expiry_ns - local_of(x);
    *value = it->read_ns;
    *out = (struct moved_item){.key = x->lab->names[key],
                               .nkey = (unsigned)strlen(x->lab->names[key]),
                               .value = (const char *)value,
                               .nvalue = sizeof *value,
                               .size = sizeof *value,
                               .version = it->birth,
                               .ttl_s = (uint32_t)(left_ns / SIM_S),
                               .bits = it->stale ? STALE_BIT : 0};
}

/* A key whose donor's store is asked first: its former owner, as the move has it. RING_NONE: nothing moves. */
static unsigned donor_of(const struct lab_process *x, unsigned key) {
    return x->move == NULL || x->owner[key] != x->place ? RING_NONE : x->donor[key];
}

static enum handoff_import take(struct lab_process *x, const struct moved_item *it, uint64_t g, uint64_t asked_ns) {
    struct lab *l = x->lab;
    const unsigned key = key_of(l, it->key, it->nkey);
    const uint64_t now = local_of(x), end = asked_ns + it->ttl_s * SIM_S;
    uint64_t read_ns;
    CHECK(it->nvalue == sizeof read_ns);
    memcpy(&read_ns, it->value, sizeof read_ns);
    if (x->written[key] && l->o.shortcut != LAB_OVER_WRITTEN) {
        l->r->refused_written++;
        return HANDOFF_WRITTEN;
    }
    if (x->owner[key] != x->place || lab_store_has(&x->store, key, now, x->since[key]) || end <= now)
        return HANDOFF_PRESENT;
    if (!lab_store_receive(&x->store, key, g, read_ns, end, (it->bits & STALE_BIT) != 0, now)) {
        l->r->refused_purged++;
        return HANDOFF_PURGED;
    }
    sim_note(l->s, x->place, "takes over %s, read at %.6f", l->names[key], (double)read_ns / 1e9);
    l->r->moved++;
    return HANDOFF_KEPT;
}

static enum handoff_import import(void *arg, uint32_t donor, const struct moved_item *it, uint64_t g,
                                  uint64_t asked_ns) {
    (void)donor;
    return take(arg, it, g, asked_ns);
}

static unsigned scan(void *arg, uint32_t receiver, struct handoff_cursor *c, unsigned min_freq,
                     struct handoff_key *keys, unsigned max) {
    struct lab_process *x = arg;
    const int place = place_of(x, receiver);
    unsigned n = 0;
    CHECK(x->move != NULL);
    for (; n < max && c->word[0] < LAB_KEYS; c->word[0]++) {
        const unsigned k = (unsigned)c->word[0];
        if (place < 0 || x->owner[k] != place || x->donor[k] != x->move->self || k % 5 < min_freq ||
            !lab_store_has(&x->store, k, local_of(x), x->was_since[k]))
            continue;
        struct handoff_key *to = &keys[n++];
        lab_store_fold(&x->store, k, local_of(x));
        to->version = x->store.items[k].birth;
        to->nkey = (uint8_t)strlen(x->lab->names[k]);
        memcpy(to->key, x->lab->names[k], to->nkey);
    }
    c->done = c->word[0] == LAB_KEYS;
    return n;
}

static bool read_item(void *arg, const struct handoff_key *k, uint64_t at, uint32_t most,
                      void (*fn)(void *to, const struct moved_item *it), void *to) {
    struct lab_process *x = arg;
    const unsigned key = key_of(x->lab, k->key, k->nkey);
    struct moved_item it;
    uint64_t value;
    CHECK(at == 0 && most >= sizeof value);
    if (!lab_store_has(&x->store, key, local_of(x), 0) || x->store.items[key].birth != k->version) return false;
    lab_store_fold(&x->store, key, local_of(x));
    show(x, key, &value, &it);
    fn(to, &it);
    return true;
}

static void drop(void *arg, const struct moved_item *it) {
    struct lab_process *x = arg;
    const unsigned key = key_of(x->lab, it->key, it->nkey);
    if (x->store.items[key].birth == it->version) x->store.items[key].on = false;
}

/* ------------------------------------------------------------------ upcalls */

static void send_message(void *arg, uint32_t member, bool gaining, const struct peer_handoff *m) {
    struct lab_process *x = arg;
    const int place = place_of(x, member);
    if (place >= 0) lab_links_handoff(x, (unsigned)place, !gaining, m);
}

static void set_state(void *arg, uint32_t member, enum move_state s) {
    struct lab_process *x = arg;
    const unsigned donor = x->move == NULL ? RING_NONE : move_donor(x->move, member);
    if (donor == RING_NONE) return;
    move_set_state(x->move, donor, s);
    const int place = s == MOVE_PULLING ? place_of(x, member) : -1;
    const struct lab_process *from = place < 0 ? NULL : lab_place_at(x->lab, (unsigned)place);
    for (unsigned k = 0; from != NULL && config_number(from->config) == member && k < LAB_KEYS; k++)
        if (donor_of(x, k) == donor) x->took_from[k] = from;
}

/* The number first, and what is applied behind it; while a batch is being applied the last one stays. */
void lab_handoff_cover(void *arg, struct cover *out) {
    struct lab_process *x = arg;
    const struct configuration *c = config_current(x->config);
    struct peer_purge_seen vector[PEER_PURGE_VECTOR_MAX];
    struct cover *own = &x->cover;
    if (x->batch == NULL && c != NULL) {
        *own = (struct cover){.g = x->store.number, .version = c->version, .epoch = c->epoch};
        own->n = purging_vector(x->purging, vector);
        for (unsigned i = 0; i < own->n; i++) own->seen[i] = (struct cover_seen){vector[i].origin, vector[i].sequence};
        own->usable = config_number(x->config) != 0 && purging_begun(x->purging) &&
                      (purging_local(x->purging) == 0 || x->lab->o.shortcut == LAB_LOCAL_MINTS);
        own->floor_epoch = c->floor_epoch;
        own->retire_version = c->retire_version;
    }
    *out = *own;
    if (c == NULL) out->usable = false;
}

static bool is_full(void *arg) {
    (void)arg;
    return false;
}

static void dial(void *arg, uint32_t member) {
    struct lab_process *x = arg;
    for (unsigned i = 0; i < x->nparts; i++)
        if (x->parts[i].gaining && x->parts[i].member == member) x->dials |= UINT64_C(1) << i;
}

static void newer(void *arg, uint32_t member, uint64_t version) {
    (void)arg, (void)member, (void)version; /* gossip brings it soon enough */
}

static void ended(void *arg, const struct handoff_progress *p, enum handoff_end how) {
    struct lab_process *x = arg;
    sim_note(x->lab->s, x->place, "hand-off %s member %u ends: %s, %llu items", p->gaining ? "from" : "to", p->member,
             handoff_end_text(how), (unsigned long long)p->items);
    ++*(how == HANDOFF_DONE ? &x->lab->r->handoffs : &x->lab->r->handoffs_broken);
}

/* ------------------------------------------------------------------ a change of the ring */

static void forget(struct lab_process *x) {
    move_put(x->move);
    x->move = NULL;
    x->nparts = 0;
    x->dials = 0;
}

static void note_donors(struct lab_process *x) {
    const char *keys[LAB_KEYS];
    uint32_t len[LAB_KEYS];
    for (unsigned k = 0; k < LAB_KEYS; k++) {
        keys[k] = x->lab->names[k];
        len[k] = (uint32_t)strlen(keys[k]);
    }
    ring_owners(x->move->before, keys, len, LAB_KEYS, x->donor, x->was_since);
    memset(x->written, 0, sizeof x->written);
    memset(x->pulled, 0, sizeof x->pulled);
}

static void add_part(struct lab_process *x, uint32_t member, bool gaining, uint64_t digest) {
    x->parts[x->nparts++] =
        (struct handoff_part){.member = member, .gaining = gaining, .digest = digest, .share = UINT32_MAX / 2};
}

static uint32_t number_of(const struct lab_process *x, const struct ring *r, unsigned index) {
    const struct configuration_member *m = configuration_by_id(config_current(x->config), &ring_member(r, index)->id);
    return m == NULL || m->state == CONFIGURATION_EJECTED ? 0 : m->number;
}

void lab_handoff_plan(struct lab_process *x, const struct ring *before, const struct ring *next) {
    const struct cluster_id *id = &config_self(x->config)->id;
    const unsigned was = ring_find(before, id), is = ring_find(next, id);
    forget(x);
    CHECK(move_new(before, next, (uint16_t)was, (uint16_t)is, is == RING_NONE ? 0 : 1 << 20, NULL, &x->move) == 0);
    for (unsigned i = 0; i < ring_nmembers(before) && is != RING_NONE; i++) {
        const uint32_t number = number_of(x, before, i);
        if (i == was || number == 0 || ringdiff_points(x->move->diff, i, is) == 0) continue;
        x->move->donor[i].number = number;
        move_set_state(x->move, i, MOVE_ASKED);
        add_part(x, number, true, handoff_digest(x->move->diff, i, is));
    }
    for (unsigned i = 0; i < ring_nmembers(next) && was != RING_NONE; i++) {
        const uint32_t number = number_of(x, next, i);
        if (i == is || number == 0 || ringdiff_points(x->move->diff, was, i) == 0) continue;
        x->move->receiver[i] = number;
        add_part(x, number, false, handoff_digest(x->move->diff, was, i));
    }
    note_donors(x);
    if (x->nparts == 0) forget(x);
}

void lab_handoff_none(struct lab_process *x) {
    forget(x);
    CHECK(handoff_change(x->handoff, local_of(x), x->ring == NULL ? 0 : ring_version(x->ring), NULL, 0) == 0);
}

/* Dials a donor. */
static void connect(struct lab_process *x, uint32_t member) {
    const int place = place_of(x, member);
    if (place >= 0 && x->peers[place].known)
        handoff_up(x->handoff, local_of(x), member);
    else
        handoff_lost(x->handoff, local_of(x), member, true);
}

void lab_handoff_settle(struct lab_process *x) {
    if (!x->settling || x->ring == NULL || !lab_copies_recalled(x)) return;
    x->settling = false;
    handoff_settled(x->handoff, local_of(x), ring_version(x->ring), LAB_KEYS);
}

void lab_handoff_begin(struct lab_process *x) {
    const uint64_t now = local_of(x), version = ring_version(x->ring);
    if (x->move == NULL) {
        lab_handoff_none(x);
        return;
    }
    CHECK(handoff_change(x->handoff, now, version, x->parts, x->nparts) == 0);
    x->handing_over = true;
    lab_node_input(x, &(struct config_in){.kind = CONFIG_IN_HANDOFF, .flag = true});
    if (x->move == NULL || x->ring == NULL || ring_version(x->ring) != version) return; /* the ring has changed again */
    x->settling = true;
    lab_handoff_settle(x);
    for (unsigned i = 0; i < x->nparts; i++)
        if (x->parts[i].gaining) connect(x, x->parts[i].member);
}

void lab_handoff_lost(struct lab_process *x, unsigned place) {
    const uint32_t number = number_at(x, place);
    if (number == 0 || x->handoff == NULL) return;
    handoff_lost(x->handoff, local_of(x), number, true);
    handoff_lost(x->handoff, local_of(x), number, false);
}

void lab_handoff_receive(struct lab_process *x, unsigned place, bool gaining, const struct peer_handoff *m) {
    const uint32_t number = number_at(x, place);
    if (number != 0) handoff_receive(x->handoff, local_of(x), number, gaining, m);
}

void lab_handoff_round(struct lab_process *x) {
    const struct configuration_member *m;
    const struct configuration *c = config_current(x->config);
    while (handoff_next_ns(x->handoff) <= local_of(x)) handoff_time(x->handoff, local_of(x));
    for (unsigned i = 0; c != NULL && x->move != NULL && x->handing_over && i < x->nparts; i++) {
        m = configuration_by_number(c, x->parts[i].member);
        if (x->parts[i].gaining && (m == NULL || m->state == CONFIGURATION_EJECTED))
            handoff_lost(x->handoff, local_of(x), x->parts[i].member, true);
    }
    lab_handoff_settle(x);
    for (unsigned i = 0; x->dials != 0 && i < x->nparts; i++)
        if (x->dials >> i & 1) {
            x->dials &= ~(UINT64_C(1) << i);
            connect(x, x->parts[i].member);
        }
    if (x->handing_over && handoff_progress(x->handoff, NULL, 0) == 0) {
        x->handing_over = false;
        lab_node_input(x, &(struct config_in){.kind = CONFIG_IN_HANDOFF});
    }
    if (x->standing != CONFIGURATION_LEAVING)
        x->leaving_ns = 0;
    else if (x->leaving_ns == 0)
        x->leaving_ns = local_of(x);
    sim_set_timer(x->lab->s, x->place, LAB_TIMER_HANDOFF, handoff_next_ns(x->handoff));
}

bool lab_handoff_may_leave(const struct lab_process *x) {
    return !x->handing_over || local_of(x) - x->leaving_ns >= DRAIN_NS;
}

/* ------------------------------------------------------------------ requests for keys that move */

enum move_state lab_handoff_state(const struct lab_process *x, unsigned key) {
    const unsigned donor = donor_of(x, key);
    return donor == RING_NONE || x->move->donor[donor].number == 0 ? MOVE_NONE : move_state(x->move, donor);
}

void lab_handoff_written(struct lab_process *x, unsigned key) {
    x->written[key] = true;
}

bool lab_handoff_pull(struct lab_process *x, unsigned key) {
    struct lab_pull p;
    if (lab_handoff_state(x, key) != MOVE_PULLING || x->written[key] || x->pulled[key]) return false;
    const int place = place_of(x, x->move->donor[x->donor[key]].number);
    memset(&p, 0, sizeof p);
    lab_handoff_cover(x, &p.cover);
    if (place < 0 || !p.cover.usable) return false;
    p.key = key;
    p.ring_version = ring_version(x->ring);
    p.asked_ns = local_of(x);
    x->lab->r->pulls++;
    sim_datagram(x->lab->s, x->place, (unsigned)place, &p, sizeof p);
    return true;
}

static void give(struct lab_process *x, unsigned to, struct lab_pull *p) {
    const unsigned key = (unsigned)p->key;
    struct cover own;
    struct moved_item it;
    uint64_t value;
    lab_handoff_cover(x, &own);
    p->is_answer = true;
    x->lab->r->pulls_behind_floor +=
        own.usable && (own.epoch < p->cover.floor_epoch || own.version < p->cover.retire_version);
    p->behind = x->ring == NULL || ring_version(x->ring) != p->ring_version || !cover_covers(&own, &p->cover);
    if (p->behind || x->move == NULL || x->donor[key] != x->move->self || x->owner[key] != (int)to ||
        !lab_store_has(&x->store, key, local_of(x), x->was_since[key]))
        return;
    lab_store_fold(&x->store, key, local_of(x));
    show(x, key, &value, &it);
    p->has = true;
    p->read_ns = value;
    p->ttl_s = it.ttl_s;
    p->stale = (it.bits & STALE_BIT) != 0;
}

void lab_handoff_datagram(struct lab_process *x, unsigned from, const void *bytes) {
    struct lab_pull p;
    memcpy(&p, bytes, sizeof p);
    const unsigned key = (unsigned)p.key;
    if (!p.is_answer) {
        give(x, from, &p);
        sim_datagram(x->lab->s, x->place, from, &p, sizeof p);
        return;
    }
    x->lab->r->pulls_behind += p.behind;
    if (p.behind || x->ring == NULL || ring_version(x->ring) != p.ring_version ||
        lab_handoff_state(x, key) != MOVE_PULLING)
        return;
    x->pulled[key] = true;
    if (!p.has) return;
    const struct moved_item it = {.key = x->lab->names[key],
                                  .nkey = (unsigned)strlen(x->lab->names[key]),
                                  .value = (const char *)&p.read_ns,
                                  .nvalue = sizeof p.read_ns,
                                  .ttl_s = p.ttl_s,
                                  .bits = p.stale ? STALE_BIT : 0};
    x->lab->r->pulled += take(x, &it, p.cover.g, p.asked_ns) == HANDOFF_KEPT;
}

/* ------------------------------------------------------------------ life */

void lab_handoff_new(struct lab_process *x) {
    const struct handoff_config cfg = {
        .rate = RATE,
        .store = {x, import, scan, read_item, drop},
        .events = {x, send_message, dial, set_state, lab_handoff_cover, is_full, newer, ended},
    };
    x->handoff = handoff_new(&cfg);
    CHECK(x->handoff != NULL);
}

void lab_handoff_end(struct lab_process *x) {
    forget(x);
    handoff_free(x->handoff);
    x->handoff = NULL;
    x->handing_over = false;
}
