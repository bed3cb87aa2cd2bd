/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What goes from process to process: hellos, messages of the two machines over one stream for each pair of places;
 * pings, and what clients ask, as datagrams. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/config_bytes.h"
#include "tests/sim/lab_state.h"

#define DIAL_NS (200 * SIM_MS)

enum kind { HELLO, PURGE, CONFIG, HANDOFF, TABLE, PING, PONG };

/* What every message begins with. */
struct head {
    enum kind kind;
    bool gossip;  /* of a hello: version and hash are told */
    bool gaining; /* of the hand-off: the receiver of the message is gaining */
    struct cluster_id from, to, cluster;
    uint64_t boot, version, hash;
    struct peer_purge m;
};

static struct head head_of(const struct lab_process *x, enum kind kind) {
    struct head h;
    memset(&h, 0, sizeof h); /* padding, too: it counts in the simulator's digest */
    h.kind = kind;
    h.from = config_self(x->config)->id;
    h.boot = config_self(x->config)->boot;
    return h;
}

/* ------------------------------------------------------------------ sending */

static size_t put(uint8_t *to, const void *from, size_t n) {
    if (n > 0) memcpy(to, from, n);
    return (n + 15) & ~(size_t)15;
}

void lab_links_purge(struct lab_process *x, unsigned place, const struct peer_purge *m) {
    static uint8_t bytes[SIM_STREAM_MESSAGE_MAX];
    struct head h = head_of(x, PURGE);
    size_t n = sizeof h;
    h.m = *m;
    h.m.events = NULL; /* addresses differ from run to run, and the digest must not */
    h.m.vector = NULL;
    h.m.runs = NULL;
    h.m.lacks = NULL;
    memset(bytes + n, 0,
           64 + m->events_bytes + m->nvector * sizeof *m->vector + m->nruns * sizeof *m->runs +
               m->nlacks * sizeof *m->lacks);
    n += put(bytes + n, m->events, m->events_bytes);
    n += put(bytes + n, m->vector, m->nvector * sizeof *m->vector);
    n += put(bytes + n, m->runs, m->nruns * sizeof *m->runs);
    n += put(bytes + n, m->lacks, m->nlacks * sizeof *m->lacks);
    memcpy(bytes, &h, sizeof h);
    sim_send(x->lab->s, x->place, x->peers[place].stream, bytes, n);
}

void lab_links_config(struct lab_process *x, unsigned place, const struct cluster_id *to, const struct peer_config *m) {
    static uint8_t scratch[PEER_CONTROL_ARENA_BYTES], bytes[sizeof(struct head) + 65536];
    struct head h = head_of(x, CONFIG);
    struct peer_arena arena;
    if (x->peers[place].stream == 0) return; /* the machine says it again */
    x->lab->r->promised_values += m->kind == PEER_CONFIG_PROMISE && m->value != NULL;
    x->lab->r->rejected += m->kind == PEER_CONFIG_REJECT;
    h.to = *to;
    memcpy(bytes, &h, sizeof h);
    peer_arena_init(&arena, scratch, sizeof scratch);
    const size_t n = peer_config_pack(m, 0, &arena, bytes + sizeof h, sizeof bytes - sizeof h);
    CHECK(n > 0 && peer_config_parts(m) == 1);
    sim_send(x->lab->s, x->place, x->peers[place].stream, bytes, sizeof h + n);
}

void lab_links_handoff(struct lab_process *x, unsigned place, bool gaining, const struct peer_handoff *m) {
    static uint8_t bytes[sizeof(struct head) + PEER_CONTROL_MAX];
    struct head h = head_of(x, HANDOFF);
    if (x->peers[place].stream == 0) return; /* its end is told */
    h.gaining = gaining;
    memcpy(bytes, &h, sizeof h);
    const size_t n = peer_handoff_pack(m, bytes + sizeof h, sizeof bytes - sizeof h);
    CHECK(n > 0);
    sim_send(x->lab->s, x->place, x->peers[place].stream, bytes, sizeof h + n);
}

void lab_links_table(struct lab_process *x, unsigned place, uint32_t number, const uint8_t *table, size_t n) {
    static uint8_t bytes[sizeof(struct head) + PEER_CONTROL_MAX];
    struct head h = head_of(x, TABLE);
    if (x->peers[place].stream == 0) return; /* it is told when the link is there */
    h.version = number;
    memcpy(bytes, &h, sizeof h);
    memcpy(bytes + sizeof h, table, n);
    sim_send(x->lab->s, x->place, x->peers[place].stream, bytes, sizeof h + n);
}

void lab_links_ping(struct lab_process *x, unsigned place) {
    const struct head h = head_of(x, PING);
    sim_datagram(x->lab->s, x->place, place, &h, sizeof h);
}

bool lab_links_are(const struct lab_process *x, unsigned place, const struct configuration_member *m) {
    const struct lab_peer *p = &x->peers[place];
    return p->stream != 0 && p->known && cluster_id_equal(&p->id, &m->id);
}

/* ------------------------------------------------------------------ streams come and go */

static void say_hello(struct lab_process *x, unsigned place, bool gossip) {
    struct head h = head_of(x, HELLO);
    const struct configuration *c = config_current(x->config);
    if (gossip && c != NULL && x->swim == NULL) { /* as SWIM's messages do */
        h.gossip = true;
        h.cluster = c->cluster;
        h.version = c->version;
        h.hash = purging_hash(x->purging);
    }
    sim_send(x->lab->s, x->place, x->peers[place].stream, &h, sizeof h);
}

static void lose(struct lab_process *x, unsigned place) {
    struct lab_peer *p = &x->peers[place];
    if (p->known) {
        struct config_in in = {.kind = CONFIG_IN_ALIVE, .from = {.id = p->id, .boot = p->boot}};
        p->known = false;
        lab_purges_link(x, &p->id, false);
        lab_handoff_lost(x, place);
        lab_copies_lost(x, place);
        if (x->swim == NULL) lab_node_input(x, &in);
    }
    *p = (struct lab_peer){0};
}

/* Dials whom this place dials, keeps the other links alive, which shows that they are dead, and gossips with one. */
void lab_links_dial(struct lab_process *x) {
    struct sim *s = x->lab->s;
    const unsigned told = (unsigned)sim_below(s, x->lab->o.places);
    for (unsigned i = 0; i < x->lab->o.places; i++) {
        if (x->peers[i].stream != 0)
            say_hello(x, i, i == told);
        else if (i < x->place)
            x->peers[i].stream = sim_dial(s, x->place, i);
    }
    sim_set_timer(s, x->place, LAB_TIMER_LINKS, sim_local(s, x->place) + DIAL_NS);
}

void lab_links_reset(struct lab_process *x) {
    for (unsigned i = 0; i < x->lab->o.places; i++) {
        if (x->peers[i].stream != 0) sim_close(x->lab->s, x->place, x->peers[i].stream);
        x->peers[i] = (struct lab_peer){0};
    }
}

/* ------------------------------------------------------------------ receiving */

static void on_hello(struct lab_process *x, unsigned place, const struct head *h) {
    struct lab_peer *p = &x->peers[place];
    const struct configuration *c = config_current(x->config);
    if (!p->known || !cluster_id_equal(&p->id, &h->from) || p->boot != h->boot) {
        p->known = true;
        p->id = h->from;
        p->boot = h->boot;
        lab_purges_link(x, &p->id, true);
        const struct config_in alive = {.kind = CONFIG_IN_ALIVE, .from = {.id = p->id, .boot = p->boot}, .flag = true};
        if (x->swim == NULL)
            lab_node_input(x, &alive);
        else
            lab_swim_linked(x, place);
    }
    if (!h->gossip || c == NULL || !cluster_id_equal(&c->cluster, &h->cluster)) return;
    struct config_in in = {.kind = CONFIG_IN_VERSION, .from = {.id = h->from, .boot = h->boot}, .number = h->version};
    snprintf(in.from.name, sizeof in.from.name, "%s", x->lab->place[place].name);
    snprintf(in.from.address, sizeof in.from.address, "%s", x->lab->place[place].address);
    const struct configuration_member *m = configuration_by_id(c, &h->from);
    if (m != NULL) purging_hint(x->purging, sim_local(x->lab->s, x->place), m->number, h->hash);
    if (h->version > c->version) lab_node_input(x, &in);
}

static void on_config(struct lab_process *x, unsigned place, const struct head *h, const uint8_t *bytes, size_t n) {
    struct peer_config_reader reader;
    struct peer_config m;
    if (!cluster_id_is_zero(&h->to) && !cluster_id_equal(&h->to, &config_self(x->config)->id)) return;
    config_bytes_message(bytes, n, &reader, &m);
    struct config_in in = {.kind = CONFIG_IN_MESSAGE, .message = &m};
    in.from.id = h->from;
    in.from.boot = h->boot;
    snprintf(in.from.name, sizeof in.from.name, "%s", x->lab->place[place].name);
    snprintf(in.from.address, sizeof in.from.address, "%s", x->lab->place[place].address);
    lab_node_input(x, &in);
    peer_config_reader_fini(&reader);
}

static void on_handoff(struct lab_process *x, unsigned place, const struct head *h, const uint8_t *bytes, size_t n) {
    static uint8_t memory[PEER_CONTROL_ARENA_BYTES];
    struct peer_arena arena;
    struct peer_counts counts = {0};
    struct peer_handoff m;
    Peer__Control *control;
    peer_arena_init(&arena, memory, sizeof memory);
    CHECK(peer_control_unpack(&arena, bytes, n, &counts, &control) == PEER_OK && peer_handoff_read(control, &m));
    lab_handoff_receive(x, place, h->gaining, &m);
}

static void on_purge(struct lab_process *x, unsigned place, struct head *h, const uint8_t *bytes, size_t n) {
    static _Alignas(16) uint8_t copy[SIM_STREAM_MESSAGE_MAX];
    size_t used = 0;
    if (n > 0) memcpy(copy, bytes, n);
    h->m.events = copy;
    used += (h->m.events_bytes + 15) & ~(size_t)15;
    h->m.vector = (const struct peer_purge_seen *)(copy + used);
    used += (h->m.nvector * sizeof *h->m.vector + 15) & ~(size_t)15;
    h->m.runs = (const struct peer_purge_run *)(copy + used);
    used += (h->m.nruns * sizeof *h->m.runs + 15) & ~(size_t)15;
    h->m.lacks = (const struct peer_purge_lack *)(copy + used);
    lab_purges_receive(x, place, &h->m);
}

static void deliver(struct lab_process *x, unsigned place, const void *bytes, size_t n) {
    struct head h;
    CHECK(n >= sizeof h);
    memcpy(&h, bytes, sizeof h);
    const uint8_t *rest = (const uint8_t *)bytes + sizeof h;
    const struct lab_peer *p = &x->peers[place];
    if (h.kind == HELLO)
        on_hello(x, place, &h);
    else if (!p->known || !cluster_id_equal(&p->id, &h.from) || p->boot != h.boot)
        return; /* of the process that was there before */
    else if (h.kind == CONFIG)
        on_config(x, place, &h, rest, n - sizeof h);
    else if (h.kind == TABLE)
        lab_swim_table(x, place, (uint32_t)h.version, rest, n - sizeof h);
    else if (h.kind == HANDOFF)
        on_handoff(x, place, &h, rest, n - sizeof h);
    else
        on_purge(x, place, &h, rest, n - sizeof h);
}

/* A copy of a message that comes once more, later. */
struct late {
    struct lab *lab;
    unsigned to, run, from;
    size_t n;
    uint8_t bytes[];
};

static void deliver_late(struct sim *s, void *arg, uint64_t unused) {
    struct late *l = arg;
    struct lab_process *x = lab_place_at(l->lab, l->to);
    (void)unused;
    if (x != NULL && x->run == l->run && !sim_is_paused(s, l->to)) {
        deliver(x, l->from, l->bytes, l->n);
        lab_node_round(x);
    }
    free(l);
}

static void maybe_again(struct lab_process *x, unsigned from, const void *bytes, size_t n) {
    struct sim *s = x->lab->s;
    enum kind kind;
    memcpy(&kind, bytes, sizeof kind);
    /* chunks of a hand-off come over a link of their own, once and in order */
    if (!(x->lab->o.faults & LAB_LATE) || x->lab->calm || kind == HANDOFF || !sim_chance(s, 10000)) return;
    struct late *l = malloc(sizeof *l + n);
    CHECK(l != NULL);
    *l = (struct late){x->lab, x->place, x->run, from, n};
    memcpy(l->bytes, bytes, n);
    x->lab->r->late++;
    sim_at(s, sim_now(s) + sim_below(s, 2 * SIM_S), deliver_late, l, 0);
}

void lab_links_stream(void *process, struct sim *s, unsigned node, uint64_t stream, enum sim_stream_event what,
                      unsigned peer, const void *bytes, size_t n) {
    struct lab_process *x = process;
    struct lab_peer *p = &x->peers[peer];
    switch (what) {
    case SIM_STREAM_OPENED:
    case SIM_STREAM_ACCEPTED:
        if (p->stream != 0 && p->stream != stream) {
            sim_close(s, node, p->stream);
            lose(x, peer);
        }
        p->stream = stream;
        say_hello(x, peer, false);
        break;
    case SIM_STREAM_DATA:
        if (p->stream != stream) break;
        deliver(x, peer, bytes, n);
        if (n > sizeof(struct head)) maybe_again(x, peer, bytes, n);
        break;
    case SIM_STREAM_CLOSED:
        if (p->stream == stream) lose(x, peer);
        break;
    }
    lab_node_round(x);
}

/* ------------------------------------------------------------------ datagrams */

void lab_links_datagram(void *process, struct sim *s, unsigned node, unsigned from, const void *bytes, size_t n) {
    struct lab_process *x = process;
    struct head h;
    (void)s, (void)node;
    if (n == sizeof(struct lab_pull)) {
        lab_handoff_datagram(x, from, bytes);
        return;
    }
    if (n % 8 == LAB_SWIM_ODD) {
        lab_swim_datagram(x, from, bytes, n);
        return;
    }
    if (n == sizeof(struct lab_copy_message)) {
        lab_copies_datagram(x, from, bytes);
        return;
    }
    if (n != sizeof h) {
        lab_clients_datagram(x, from, bytes, n);
        return;
    }
    memcpy(&h, bytes, sizeof h);
    if (h.kind == PING) {
        const struct head pong = head_of(x, PONG);
        sim_datagram(x->lab->s, x->place, from, &pong, sizeof pong);
        return;
    }
    struct config_in in = {.kind = CONFIG_IN_PONG, .from = {.id = h.from, .boot = h.boot}, .flag = true};
    snprintf(in.from.address, sizeof in.from.address, "%s", x->lab->place[from].address);
    lab_node_input(x, &in);
    lab_node_round(x);
}
