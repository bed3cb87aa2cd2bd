/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A process: it drives the machine of the membership as cluster/cluster_members.c does, in the seeds that have it. Who
 * is alive, and which version and vector others have, it knows from there; else from its links (lab_links.c).
 *
 * What SWIM tries over TCP is a datagram here that may be lost like any other, and is never refused. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/lab_state.h"

/* What a datagram begins with. */
struct swim_head {
    struct cluster_id from;
    uint64_t boot;
    uint32_t number; /* of a ping over TCP and its answer */
    uint16_t bytes;  /* of the packed message behind it */
    uint8_t kind;
};
enum { PROBE, PING_TCP, PONG_TCP };

static struct peer_arena arena, scratch;
static struct peer_counts counts;

static void make_arenas(void) {
    static unsigned char memory[PEER_CONTROL_ARENA_BYTES], scratch_memory[PEER_CONTROL_ARENA_BYTES];
    if (arena.bytes != NULL) return;
    peer_arena_init(&arena, memory, sizeof memory);
    peer_arena_init(&scratch, scratch_memory, sizeof scratch_memory);
}

static const struct member *member_of(const struct lab_process *x, unsigned slot) {
    return member_at(swim_members(x->swim), slot);
}

/* ------------------------------------------------------------------ what the machine wants */

static void send(struct lab_process *x, int place, uint8_t kind, uint32_t number, const struct peer_swim *m) {
    uint8_t wire[sizeof(struct swim_head) + PEER_DATAGRAM_MAX + 8] = {0};
    struct swim_head h;
    if (place < 0) return;
    memset(&h, 0, sizeof h);
    h.from = config_self(x->config)->id;
    h.boot = config_self(x->config)->boot;
    h.number = number;
    h.kind = kind;
    if (m != NULL) {
        peer_arena_reset(&scratch);
        h.bytes = (uint16_t)peer_swim_pack(m, &scratch, wire + sizeof h, PEER_DATAGRAM_MAX);
        CHECK(h.bytes > 0);
    }
    memcpy(wire, &h, sizeof h);
    sim_datagram(x->lab->s, x->place, (unsigned)place, wire, ((sizeof h + h.bytes) & ~(size_t)7) + 8 + LAB_SWIM_ODD);
}

static void send_table(struct lab_process *x, unsigned place, uint32_t number, bool reply) {
    struct peer_swim_update updates[LAB_PLACES * 8];
    struct peer_sync part = {.reply = reply};
    unsigned next = 0;
    do {
        uint8_t bytes[PEER_CONTROL_MAX];
        swim_sync_part(x->swim, &next, updates, sizeof updates / sizeof *updates, &part);
        peer_arena_reset(&scratch);
        const size_t n = peer_sync_pack(&part, &scratch, bytes, sizeof bytes);
        CHECK(n > 0);
        lab_links_table(x, place, number, bytes, n);
    } while (!part.last);
}

static void sync(struct lab_process *x, const struct swim_out *out) {
    const struct member *m = member_of(x, out->slot);
    const int place = out->reply ? (int)out->link - 1 : m != NULL ? lab_place_of(x->lab, m->address) : -1;
    if (place >= 0) send_table(x, (unsigned)place, out->number, out->reply);
}

static void changed(struct lab_process *x, const struct swim_out *out) {
    const struct member *m = member_of(x, out->slot);
    if (m == NULL) return;
    const struct config_in in = {
        .kind = CONFIG_IN_ALIVE, .from = {.id = m->id, .boot = m->boot}, .flag = member_is_active(m)};
    x->lab->r->suspected += out->change == SWIM_SUSPECTED;
    x->lab->r->died += out->change == SWIM_DIED;
    x->lab->r->refuted += out->change == SWIM_REFUTED;
    sim_note(x->lab->s, x->place, "%s %s", m->name, in.flag ? "is there" : "is not there");
    lab_node_input(x, &in);
}

/* A member's pings say which configuration and which vector of purges it has. */
static void hint(struct lab_process *x, const struct swim_out *out) {
    const struct member *m = member_of(x, out->slot);
    const struct configuration *now = config_current(x->config);
    uint64_t meta[2];
    if (m == NULL || now == NULL || out->n != sizeof meta) return;
    memcpy(meta, out->bytes, sizeof meta);
    const struct configuration_member *listed = configuration_by_id(now, &m->id);
    if (meta[0] > now->version) {
        struct config_in in = {.kind = CONFIG_IN_VERSION, .from = {.id = m->id, .boot = m->boot}, .number = meta[0]};
        snprintf(in.from.address, sizeof in.from.address, "%s", m->address);
        snprintf(in.from.name, sizeof in.from.name, "%s", m->name);
        lab_node_input(x, &in);
    } else if (meta[0] == now->version && listed != NULL) {
        purging_hint(x->purging, sim_local(x->lab->s, x->place), listed->number, meta[1]);
    }
}

static void emit(void *arg, const struct swim_out *out) {
    struct lab_process *x = arg;
    const struct member *m = member_of(x, out->slot);
    const int place = m == NULL ? -1 : lab_place_of(x->lab, m->address);
    switch (out->kind) {
    case SWIM_OUT_DATAGRAM: send(x, place, PROBE, 0, out->datagram); break;
    case SWIM_OUT_PING_TCP: send(x, place, PING_TCP, out->number, NULL); break;
    case SWIM_OUT_SYNC: sync(x, out); break;
    case SWIM_OUT_CHANGED: changed(x, out); break;
    case SWIM_OUT_META: hint(x, out); break;
    case SWIM_OUT_CONFLICT:
    case SWIM_OUT_OUTDATED:
    case SWIM_OUT_LEFT: break;
    }
}

static void input(struct lab_process *x, const struct swim_in *in) {
    const struct swim_sink sink = {x, emit};
    swim_input(x->swim, sim_local(x->lab->s, x->place), in, &sink);
    sim_set_timer(x->lab->s, x->place, LAB_TIMER_SWIM, swim_next_ns(x->swim));
}

/* ------------------------------------------------------------------ what comes */

void lab_swim_datagram(struct lab_process *x, unsigned from, const uint8_t *bytes, size_t n) {
    struct swim_head h;
    static struct peer_swim m;
    Peer__Datagram *d;
    if (x->swim == NULL) return;
    CHECK(n >= sizeof h);
    memcpy(&h, bytes, sizeof h);
    struct swim_in in = {.from = h.from, .boot = h.boot, .number = h.number, .datagram = &m};
    switch (h.kind) {
    case PING_TCP: send(x, (int)from, PONG_TCP, h.number, NULL); return;
    case PONG_TCP: in.kind = SWIM_IN_PONG_TCP; break;
    default:
        in.kind = SWIM_IN_DATAGRAM;
        if (!swim_knows(x->swim, &h.from, h.boot)) return;
        peer_arena_reset(&arena);
        CHECK(peer_datagram_unpack(&arena, bytes + sizeof h, h.bytes, &counts, &d) == PEER_OK &&
              peer_swim_read(d, &arena, &counts, &m));
    }
    input(x, &in);
    lab_node_round(x);
}

void lab_swim_table(struct lab_process *x, unsigned from, uint32_t number, const uint8_t *bytes, size_t n) {
    struct swim_in in = {.kind = SWIM_IN_SYNC, .link = from + 1, .number = number};
    struct peer_sync part;
    Peer__Control *c;
    if (x->swim == NULL) return;
    peer_arena_reset(&arena);
    CHECK(peer_control_unpack(&arena, bytes, n, &counts, &c) == PEER_OK && peer_sync_read(c, &arena, &counts, &part));
    in.from = x->peers[from].id;
    in.boot = x->peers[from].boot;
    in.sync = &part;
    input(x, &in);
}

void lab_swim_linked(struct lab_process *x, unsigned place) {
    if (x->swim == NULL) return;
    const struct lab_peer *p = &x->peers[place];
    const struct member *m = member_of(x, member_find(swim_members(x->swim), &p->id));
    if (m == NULL || m->boot != p->boot || !member_is_active(m)) send_table(x, place, 0, false);
}

void lab_swim_time(struct lab_process *x) {
    input(x, &(struct swim_in){.kind = SWIM_IN_TIME});
}

void lab_swim_round(struct lab_process *x) {
    const struct configuration *now = config_current(x->config);
    if (x->swim == NULL) return;
    const uint64_t meta[2] = {now == NULL ? 0 : now->version, purging_hash(x->purging)};
    if (memcmp(meta, x->swim_meta, sizeof meta) == 0) return;
    memcpy(x->swim_meta, meta, sizeof meta);
    input(x, &(struct swim_in){.kind = SWIM_IN_META, .bytes = meta, .n = sizeof meta});
}

/* ------------------------------------------------------------------ life */

void lab_swim_new(struct lab_process *x) {
    const struct lab *l = x->lab;
    const char *seeds[LAB_PLACES];
    unsigned n = 0;
    if (!l->o.swim) return;
    make_arenas();
    struct swim_config cfg = {.id = config_self(x->config)->id,
                              .boot = config_self(x->config)->boot,
                              .name = l->place[x->place].name,
                              .address = l->place[x->place].address,
                              .seed = sim_random(l->s)};
    swim_timing_default(&cfg.timing);
    x->swim = swim_new(&cfg, sim_local(l->s, x->place));
    CHECK(x->swim != NULL);
    memset(x->swim_meta, 0, sizeof x->swim_meta);
    for (unsigned i = 0; i < l->o.places; i++)
        if (i != x->place) seeds[n++] = l->place[i].address;
    input(x, &(struct swim_in){.kind = SWIM_IN_SEEDS, .texts = seeds, .n = n});
    for (unsigned i = 0; i < l->o.places; i++)
        if (x->peers[i].known) lab_swim_linked(x, i);
}

void lab_swim_end(struct lab_process *x) {
    swim_free(x->swim);
    x->swim = NULL;
}
