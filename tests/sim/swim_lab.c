/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/swim_lab.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* ---- The driver: what tc-cluster does with sockets ---- */

/* What every message on a stream begins with; a hello of each, so that no stream needs a state. */
struct head {
    struct cluster_id id, wanted;
    uint64_t boot;
    uint32_t number;
    uint32_t kind;
};
enum { HEAD_PING, HEAD_PONG, HEAD_SYNC };

static struct peer_arena arena, scratch;
static struct peer_counts codec_counts;

static void arenas_init(void) {
    if (arena.bytes != NULL) return;
    static unsigned char memory[PEER_CONTROL_ARENA_BYTES], scratch_memory[PEER_CONTROL_ARENA_BYTES];
    peer_arena_init(&arena, memory, sizeof memory);
    peer_arena_init(&scratch, scratch_memory, sizeof scratch_memory);
}

static unsigned place_of_address(const char *address) {
    return address[0] == 'n' ? (unsigned)strtoul(address + 1, NULL, 10) : SIM_NODES_MAX;
}

static const char *address_of(const struct swim_lab_node *n, const struct swim_out *out) {
    const struct member *m = member_at(swim_members(n->swim), out->slot);
    return m != NULL ? m->address : out->address;
}

static unsigned node_index(const struct swim_lab_node *n) {
    return (unsigned)(n - n->lab->nodes);
}

static void send_datagram(struct swim_lab_node *n, const struct swim_out *out) {
    uint8_t wire[sizeof n->id + sizeof n->boot + PEER_DATAGRAM_MAX];
    const size_t head = sizeof n->id + sizeof n->boot; /* in the real header, outside of the packed message */
    memcpy(wire, &n->id, sizeof n->id);
    memcpy(wire + sizeof n->id, &n->boot, sizeof n->boot);
    peer_arena_reset(&scratch);
    const size_t bytes = peer_swim_pack(out->datagram, &scratch, wire + head, PEER_DATAGRAM_MAX);
    CHECK(bytes > 0);
    sim_datagram(n->lab->s, node_index(n), place_of_address(address_of(n, out)), wire, head + bytes);
}

static void send_head(struct swim_lab_node *n, uint64_t stream, uint32_t kind, uint32_t number,
                      const struct cluster_id *wanted) {
    const struct head h = {n->id, *wanted, n->boot, number, kind};
    sim_send(n->lab->s, node_index(n), stream, &h, sizeof h);
}

static void ping_tcp(struct swim_lab_node *n, const struct swim_out *out) {
    const struct member *m = member_at(swim_members(n->swim), out->slot);
    const unsigned to = place_of_address(m->address);
    if (to >= n->lab->n) return;
    n->ping_stream = sim_dial(n->lab->s, node_index(n), to);
    n->ping_number = out->number;
    send_head(n, n->ping_stream, HEAD_PING, out->number, &m->id);
}

static void send_table(struct swim_lab_node *n, uint64_t stream, uint32_t number, bool reply) {
    static struct peer_swim_update updates[PEER_SYNC_UPDATES_MAX];
    static uint8_t wire[sizeof(struct head) + PEER_CONTROL_MAX];
    const struct head h = {.id = n->id, .boot = n->boot, .number = number, .kind = HEAD_SYNC};
    struct peer_sync part = {.reply = reply};
    memcpy(wire, &h, sizeof h);
    for (unsigned next = 0; !part.last;) {
        swim_sync_part(n->swim, &next, updates, PEER_SYNC_UPDATES_MAX, &part);
        peer_arena_reset(&scratch);
        const size_t bytes = peer_sync_pack(&part, &scratch, wire + sizeof h, PEER_CONTROL_MAX);
        CHECK(bytes > 0);
        sim_send(n->lab->s, node_index(n), stream, wire, sizeof h + bytes);
    }
}

static void sync_out(struct swim_lab_node *n, const struct swim_out *out) {
    if (out->reply) {
        send_table(n, out->link, n->answering, true);
        return;
    }
    const unsigned to = place_of_address(out->address);
    if (to < n->lab->n) send_table(n, sim_dial(n->lab->s, node_index(n), to), out->number, false);
}

static void observe(struct swim_lab_node *n, const struct swim_out *out) {
    struct swim_lab *l = n->lab;
    const struct member *m = member_at(swim_members(n->swim), out->slot);
    const struct swim_lab_event e = {node_index(n), m != NULL ? swim_lab_place(l, &m->id) : SIM_NODES_MAX, out->kind,
                                     out->change, m};
    const struct swim_lab_node *subject = e.subject < l->n ? &l->nodes[e.subject] : NULL;
    const bool runs = subject != NULL && m != NULL && subject->swim != NULL && m->boot == subject->boot;
    if (out->kind == SWIM_OUT_CHANGED && out->change == SWIM_DIED) *(runs ? &l->false_deaths : &l->deaths) += 1;
    if (out->kind == SWIM_OUT_CHANGED && out->change == SWIM_SUSPECTED)
        *(runs && !sim_is_paused(l->s, e.subject) ? &l->false_suspicions : &l->suspicions) += 1;
    if (out->kind == SWIM_OUT_OUTDATED) l->outdated++;
    if (out->kind == SWIM_OUT_META) l->metas++;
    if (out->kind == SWIM_OUT_LEFT) l->left++;
    if (l->watch != NULL) l->watch(l->watch_arg, l, &e);
}

static void emit(void *arg, const struct swim_out *out) {
    struct swim_lab_node *n = arg;
    switch (out->kind) {
    case SWIM_OUT_DATAGRAM: send_datagram(n, out); break;
    case SWIM_OUT_PING_TCP: ping_tcp(n, out); break;
    case SWIM_OUT_SYNC: sync_out(n, out); break;
    case SWIM_OUT_CHANGED:
    case SWIM_OUT_CONFLICT:
    case SWIM_OUT_META:
    case SWIM_OUT_OUTDATED:
    case SWIM_OUT_LEFT: observe(n, out); break;
    }
}

static void input(struct swim_lab_node *n, const struct swim_in *in) {
    const struct swim_sink sink = {n, emit};
    const unsigned node = node_index(n);
    swim_input(n->swim, sim_local(n->lab->s, node), in, &sink);
    sim_set_timer(n->lab->s, node, 0, swim_next_ns(n->swim));
}

static void on_timer(void *process, struct sim *s, unsigned node, unsigned timer) {
    (void)s, (void)node, (void)timer;
    input(process, &(struct swim_in){.kind = SWIM_IN_TIME});
}

static void on_datagram(void *process, struct sim *s, unsigned node, unsigned from, const void *bytes, size_t n) {
    struct swim_lab_node *it = process;
    struct swim_in in = {.kind = SWIM_IN_DATAGRAM};
    const size_t head = sizeof in.from + sizeof in.boot;
    static struct peer_swim m;
    Peer__Datagram *d = NULL;
    (void)s, (void)node, (void)from;
    memcpy(&in.from, bytes, sizeof in.from);
    memcpy(&in.boot, (const char *)bytes + sizeof in.from, sizeof in.boot);
    peer_arena_reset(&arena);
    if (peer_datagram_unpack(&arena, (const char *)bytes + head, n - head, &codec_counts, &d) != PEER_OK ||
        !peer_swim_read(d, &arena, &codec_counts, &m)) {
        it->lab->decode_errors++;
        return;
    }
    in.datagram = &m;
    input(it, &in);
}

static void on_sync(struct swim_lab_node *it, const struct head *h, uint64_t stream, const void *bytes, size_t n) {
    struct swim_in in = {.kind = SWIM_IN_SYNC, .from = h->id, .boot = h->boot, .number = h->number};
    struct peer_sync part;
    Peer__Control *c = NULL;
    peer_arena_reset(&arena);
    if (peer_control_unpack(&arena, bytes, n, &codec_counts, &c) != PEER_OK ||
        !peer_sync_read(c, &arena, &codec_counts, &part)) {
        it->lab->decode_errors++;
        return;
    }
    it->answering = h->number;
    in.link = stream;
    in.sync = &part;
    input(it, &in);
    if (part.reply && part.last) sim_close(it->lab->s, node_index(it), stream);
}

static void on_stream(void *process, struct sim *s, unsigned node, uint64_t stream, enum sim_stream_event what,
                      unsigned peer, const void *bytes, size_t n) {
    struct swim_lab_node *it = process;
    struct head h;
    (void)peer;
    if (what == SIM_STREAM_CLOSED && stream == it->ping_stream)
        input(it, &(struct swim_in){.kind = SWIM_IN_FAILED_TCP, .number = it->ping_number});
    if (what != SIM_STREAM_DATA) return;
    memcpy(&h, bytes, sizeof h);
    switch (h.kind) {
    case HEAD_PING: send_head(it, stream, HEAD_PONG, h.number, &h.wanted); break;
    case HEAD_PONG:
        input(it, &(struct swim_in){.kind = SWIM_IN_PONG_TCP, .from = h.id, .boot = h.boot, .number = h.number});
        sim_close(s, node, stream);
        break;
    default: on_sync(it, &h, stream, (const char *)bytes + sizeof h, n - sizeof h); break;
    }
}

static void on_start(void *process, struct sim *s, unsigned node) {
    struct swim_lab_node *n = process;
    struct swim_config c = {.id = n->id,
                            .boot = ++n->boot,
                            .name = n->name,
                            .address = n->address,
                            .seed = sim_random(s),
                            .timing = n->lab->timing};
    n->swim = swim_new(&c, sim_local(s, node));
    CHECK(n->swim != NULL);
}

static void on_crash(void *process, struct sim *s, unsigned node) {
    struct swim_lab_node *n = process;
    (void)s, (void)node;
    swim_free(n->swim);
    n->swim = NULL;
}

static const struct sim_process calls = {on_start, on_crash, on_timer, on_datagram, on_stream};

/* ---- The cluster ---- */

void swim_lab_renew(struct swim_lab *l, unsigned node) {
    struct swim_lab_node *n = &l->nodes[node];
    const uint64_t number = ++l->ids, noise = sim_random(l->s);
    CHECK(n->swim == NULL);
    memcpy(n->id.bytes, &number, sizeof number);
    memcpy(n->id.bytes + sizeof number, &noise, sizeof noise);
    n->boot += 100; /* of a later start */
}

struct swim_lab *swim_lab_new(uint64_t seed, unsigned n) {
    struct swim_lab *l = calloc(1, sizeof *l);
    CHECK(l != NULL);
    arenas_init();
    l->s = sim_new(seed);
    l->n = n;
    l->nodes = calloc(n, sizeof *l->nodes);
    CHECK(l->nodes != NULL);
    swim_timing_default(&l->timing);
    for (unsigned i = 0; i < n; i++) {
        struct swim_lab_node *it = &l->nodes[i];
        const unsigned node = sim_add(l->s);
        CHECK(node == i);
        sim_set_clock(l->s, i, sim_below(l->s, 1000 * SIM_S), (int32_t)sim_below(l->s, 1001) - 500);
        it->lab = l;
        snprintf(it->name, sizeof it->name, "cache-%u:11211", i);
        snprintf(it->address, sizeof it->address, "n%u:21211", i);
        swim_lab_renew(l, i);
    }
    return l;
}

void swim_lab_free(struct swim_lab *l) {
    for (unsigned i = 0; i < l->n; i++) swim_free(l->nodes[i].swim);
    sim_free(l->s);
    free(l->nodes);
    free(l);
}

void swim_lab_input(struct swim_lab *l, unsigned node, const struct swim_in *in) {
    if (l->nodes[node].swim != NULL) input(&l->nodes[node], in);
}

void swim_lab_start(struct swim_lab *l, unsigned node, unsigned nseeds) {
    const char *seeds[SWIM_SEEDS_MAX];
    CHECK(nseeds <= SWIM_SEEDS_MAX && nseeds <= l->n);
    for (unsigned i = 0; i < nseeds; i++) seeds[i] = l->nodes[i].address;
    sim_start(l->s, node, &calls, &l->nodes[node]);
    input(&l->nodes[node], &(struct swim_in){.kind = SWIM_IN_SEEDS, .texts = seeds, .n = nseeds});
}

static void start_later(struct sim *s, void *arg, uint64_t number) {
    struct swim_lab *l = arg;
    (void)s;
    swim_lab_start(l, (unsigned)(number & 0xffff), (unsigned)(number >> 16));
}

bool swim_lab_form(struct swim_lab *l, unsigned nseeds) {
    for (unsigned i = 0; i < l->n; i++)
        sim_at(l->s, sim_now(l->s) + sim_below(l->s, SIM_S), start_later, l, i | (uint64_t)nseeds << 16);
    sim_run(l->s, sim_now(l->s) + SIM_S);
    return swim_lab_settle(l, 500 * SIM_MS, 120 * SIM_S) != UINT64_MAX;
}

unsigned swim_lab_place(const struct swim_lab *l, const struct cluster_id *id) {
    uint64_t number;
    memcpy(&number, id->bytes, sizeof number);
    const unsigned guess = (unsigned)(number - 1);
    if (guess < l->n && cluster_id_equal(&l->nodes[guess].id, id)) return guess;
    for (unsigned i = 0; i < l->n; i++)
        if (cluster_id_equal(&l->nodes[i].id, id)) return i;
    return SIM_NODES_MAX;
}

unsigned swim_lab_view(const struct swim_lab *l, unsigned node, unsigned subject) {
    if (l->nodes[node].swim == NULL) return 0;
    const struct members *m = swim_members(l->nodes[node].swim);
    const struct member *it = member_at(m, member_find(m, &l->nodes[subject].id));
    return it != NULL && it->boot == l->nodes[subject].boot ? it->state : 0;
}

bool swim_lab_agrees(const struct swim_lab *l) {
    unsigned running = 0;
    for (unsigned i = 0; i < l->n; i++) running += l->nodes[i].swim != NULL;
    for (unsigned i = 0; i < l->n; i++) {
        if (l->nodes[i].swim == NULL) continue;
        const struct members *m = swim_members(l->nodes[i].swim);
        if (m->in_state[PEER_SWIM_ALIVE] != running || m->in_state[PEER_SWIM_SUSPECT] != 0) return false;
        for (unsigned k = 0; k < l->n; k++)
            if (l->nodes[k].swim != NULL && swim_lab_view(l, i, k) != PEER_SWIM_ALIVE) return false;
    }
    return true;
}

uint64_t swim_lab_settle(struct swim_lab *l, uint64_t step_ns, uint64_t limit_ns) {
    const uint64_t start = sim_now(l->s);
    while (!swim_lab_agrees(l)) {
        if (sim_now(l->s) - start >= limit_ns) return UINT64_MAX;
        sim_run(l->s, sim_now(l->s) + step_ns);
    }
    return sim_now(l->s) - start;
}
