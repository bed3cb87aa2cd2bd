/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Processes: their links and messages, and what the machine asks of them. */
#include "tests/sim/purge_state.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* ------------------------------------------------------------------ the wire */

struct wire {
    uint64_t boot; /* of the sender */
    bool hello;
    struct peer_purge m;
};

struct process *purge_life_at(const struct world *w, unsigned node) {
    return sim_process(w->s, node);
}

static size_t put(uint8_t *to, const void *from, size_t n) {
    if (n > 0) memcpy(to, from, n);
    return (n + 15) & ~(size_t)15;
}

/* The number of the process that is at the other end of the stream to a node, by this one's configuration; 0: none. */
static uint32_t number_of(const struct process *x, unsigned node) {
    const struct configuration *c = &x->w->history[x->version];
    for (unsigned i = 0; i < c->nmembers; i++)
        if (c->members[i].boot == x->boots[node] && c->members[i].id.bytes[0] == node + 1 &&
            c->members[i].state != CONFIGURATION_EJECTED)
            return c->members[i].number;
    return 0;
}

static void send_to(void *arg, uint32_t member, const struct peer_purge *m) {
    static uint8_t bytes[SIM_STREAM_MESSAGE_MAX];
    struct process *x = arg;
    struct wire h = {.boot = x->boot, .m = *m};
    size_t n = sizeof h;
    purge_model_message(x, m);
    n += put(bytes + n, m->events, m->events_bytes);
    n += put(bytes + n, m->vector, m->nvector * sizeof *m->vector);
    n += put(bytes + n, m->runs, m->nruns * sizeof *m->runs);
    n += put(bytes + n, m->lacks, m->nlacks * sizeof *m->lacks);
    memcpy(bytes, &h, sizeof h);
    const struct configuration_member *to = configuration_by_number(&x->w->history[x->version], member);
    CHECK(to != NULL && x->streams[to->id.bytes[0] - 1] != 0);
    sim_send(x->w->s, x->node, x->streams[to->id.bytes[0] - 1], bytes, n);
}

/* ------------------------------------------------------------------ upcalls */

static void set_applied(struct process *x) {
    for (unsigned i = 0; i < x->nbatch; i++) x->applied[x->batch[i] / 64] |= UINT64_C(1) << (x->batch[i] % 64);
    x->nbatch = 0;
}

static bool apply(void *arg, const struct purging_batch *b) {
    struct process *x = arg;
    CHECK(!x->applying);
    for (unsigned i = 0; i < b->nselectors; i++) {
        if (b->selectors[i].ntags == 0) continue;
        x->batch[x->nbatch++] = (uint32_t)b->selectors[i].tags[0];
        purge_model_applies(x, (uint32_t)b->selectors[i].tags[0]);
    }
    x->applying = x->w->o->faults & WORLD_SLOW && sim_chance(x->w->s, x->w->calm ? 1000 : 30000);
    if (x->applying) /* it has taken effect at the end of that time only */
        sim_set_timer(x->w->s, x->node, 1, sim_local(x->w->s, x->node) + sim_below(x->w->s, 400 * SIM_MS));
    else
        set_applied(x);
    return !x->applying;
}

static void raise_floor(void *arg, bool everything) {
    struct process *x = arg;
    *(everything ? &x->floor_all_ns : &x->floor_tagged_ns) = sim_now(x->w->s);
    x->w->r->floors++;
}

static void outcome(void *arg, uint64_t token, const struct purging_receipt *r) {
    struct process *x = arg;
    const uint64_t took = sim_now(x->w->s) - x->w->asked_ns[token];
    sim_note(x->w->s, x->node, "purge %llu: outcome %d, %u-%llu, %u of %u", (unsigned long long)token, (int)r->status,
             r->origin, (unsigned long long)r->sequence, r->acked, r->members);
    if (r->status == PURGING_LOG_FULL) x->w->asker[token] = NULL; /* nothing has happened */
    if (r->status != PURGING_CONFIRMED) return;
    x->w->r->confirmed++;
    if (took > x->w->r->confirm_max_ns) x->w->r->confirm_max_ns = took;
    purge_model_confirm(x->w, (uint32_t)token);
}

static void newer(void *arg, uint32_t member, uint64_t version) {
    struct process *x = arg;
    (void)member;
    if (version <= x->w->version)
        sim_at(x->w->s, sim_now(x->w->s) + sim_below(x->w->s, 20 * SIM_MS), purge_life_adopt, x->w,
               x->node | version << 8);
}

/* ------------------------------------------------------------------ processes */

static void arm(struct process *x) {
    sim_set_timer(x->w->s, x->node, 0, purging_next_ns(x->p));
}

void purge_life_finish_round(struct process *x) {
    x->cached_ns = sim_local(x->w->s, x->node);
    purging_flush(x->p, x->cached_ns);
    arm(x);
}

static void update_links(struct process *x) {
    for (unsigned i = 0; i < x->w->o->nodes; i++) {
        const uint32_t number = x->streams[i] != 0 && x->boots[i] != 0 ? number_of(x, i) : 0;
        if (number != 0) purging_link(x->p, sim_local(x->w->s, x->node), number, true);
    }
}

static void adopt(struct process *x, uint64_t version) {
    struct world *w = x->w;
    const struct configuration *c = &w->history[version];
    uint32_t number = 0;
    if (version <= x->version) return;
    for (unsigned i = 0; i < c->nmembers; i++)
        if (c->members[i].boot == x->boot && c->members[i].id.bytes[0] == x->node + 1 &&
            c->members[i].state != CONFIGURATION_EJECTED)
            number = c->members[i].number;
    /* under another number it begins with another vector, and may apply events again that a floor covers */
    if (number != x->number) memset(x->upto, 0, WORLD_NUMBERS * sizeof *x->upto);
    x->version = version;
    x->number = number;
    for (unsigned i = 0; i < c->nvoters; i++) {
        if (number == 0 || c->voters[i].member != number) continue;
        x->voted = true;
        w->origins[c->voters[i].origin].process = x;
    }
    if (number != 0) w->of_number[number] = x;
    sim_note(w->s, x->node, "adopts %llu as %u", (unsigned long long)version, number);
    CHECK(purging_adopt(x->p, sim_local(w->s, x->node), c, number) == 0);
    update_links(x);
    purge_life_finish_round(x);
}

void purge_life_adopt(struct sim *s, void *arg, uint64_t number) {
    struct world *w = arg;
    const unsigned node = number & 255;
    if (sim_is_paused(s, node))
        sim_at(s, sim_now(s) + 30 * SIM_MS, purge_life_adopt, w, number);
    else if (purge_life_at(w, node) != NULL)
        adopt(purge_life_at(w, node), number >> 8);
}

static void dial(struct process *x) {
    const struct wire hello = {.boot = x->boot, .hello = true};
    for (unsigned i = 0; i < x->w->o->nodes; i++) /* what keeps a link alive, and shows that it is dead */
        if (x->streams[i] != 0) sim_send(x->w->s, x->node, x->streams[i], &hello, sizeof hello);
    for (unsigned i = 0; i < x->node; i++)
        if (x->streams[i] == 0) x->streams[i] = sim_dial(x->w->s, x->node, i);
    sim_set_timer(x->w->s, x->node, 2, sim_local(x->w->s, x->node) + 60 * SIM_MS);
}

static void on_start(void *process, struct sim *s, unsigned node) {
    struct process *x = process;
    const struct purging_config cfg = {
        .log_bytes = x->w->o->faults & WORLD_HORIZON ? 8192 : 1 << 20,
        .boot = x->boot,
        .events = {x, send_to, apply, raise_floor, outcome, newer, NULL, NULL},
    };
    CHECK(purging_new(&cfg, sim_local(s, node), &x->p) == 0);
    x->floor_all_ns = sim_now(s); /* its store is empty */
    x->alive = true;
    x->verified = calloc(WORLD_NUMBERS, sizeof *x->verified);
    x->upto = calloc(WORLD_NUMBERS, sizeof *x->upto);
    CHECK(x->verified != NULL && x->upto != NULL);
    dial(x);
    sim_at(s, sim_now(s) + sim_below(s, 100 * SIM_MS), purge_life_adopt, x->w, node | x->w->version << 8);
}

static void on_crash(void *process, struct sim *s, unsigned node) {
    struct process *x = process;
    struct purging_counters c;
    purging_read_counters(x->p, &c);
    x->w->r->alone += c.alone;
    x->w->r->repeated += c.repeated;
    purging_free(x->p);
    free(x->verified);
    free(x->upto);
    x->verified = x->upto = NULL;
    x->p = NULL;
    x->alive = false;
    x->w->down_ns[node] = sim_now(s);
}

static void on_timer(void *process, struct sim *s, unsigned node, unsigned timer) {
    struct process *x = process;
    const uint64_t now = sim_local(s, node);
    if (timer == 2) {
        dial(x);
        return;
    }
    if (timer == 1 && x->applying) {
        x->applying = false;
        set_applied(x);
        purging_applied(x->p, now);
    } else if (timer == 0) {
        purging_time(x->p, now);
    }
    purge_life_finish_round(x);
}

static void deliver(struct process *x, unsigned peer, const void *bytes, size_t n) {
    struct wire h;
    CHECK(n >= sizeof h);
    memcpy(&h, bytes, sizeof h);
    if (h.hello) {
        if (x->boots[peer] == h.boot) return;
        x->boots[peer] = h.boot;
        update_links(x);
        return;
    }
    const uint8_t *from = (const uint8_t *)bytes + sizeof h;
    static _Alignas(16) uint8_t copy[SIM_STREAM_MESSAGE_MAX];
    memcpy(copy, from, n - sizeof h);
    size_t used = 0;
    h.m.events = copy;
    used += (h.m.events_bytes + 15) & ~(size_t)15;
    h.m.vector = (const struct peer_purge_seen *)(copy + used);
    used += (h.m.nvector * sizeof *h.m.vector + 15) & ~(size_t)15;
    h.m.runs = (const struct peer_purge_run *)(copy + used);
    used += (h.m.nruns * sizeof *h.m.runs + 15) & ~(size_t)15;
    h.m.lacks = (const struct peer_purge_lack *)(copy + used);
    const uint32_t number = h.boot == x->boots[peer] ? number_of(x, peer) : 0;
    if (number != 0) purging_receive(x->p, sim_local(x->w->s, x->node), number, &h.m);
}

/* A copy of a message that comes once more, later. */
struct late {
    struct process *x;
    unsigned peer;
    size_t n;
    uint8_t bytes[];
};

static void deliver_late(struct sim *s, void *arg, uint64_t unused) {
    struct late *l = arg;
    (void)unused;
    if (purge_life_at(l->x->w, l->x->node) == l->x && !sim_is_paused(s, l->x->node)) {
        deliver(l->x, l->peer, l->bytes, l->n);
        purge_life_finish_round(l->x);
    }
    free(l);
}

static void on_stream(void *process, struct sim *s, unsigned node, uint64_t stream, enum sim_stream_event what,
                      unsigned peer, const void *bytes, size_t n) {
    struct process *x = process;
    const struct wire hello = {.boot = x->boot, .hello = true};
    switch (what) {
    case SIM_STREAM_OPENED:
    case SIM_STREAM_ACCEPTED:
        if (x->streams[peer] != 0 && x->streams[peer] != stream) {
            sim_close(s, node, x->streams[peer]);
            if (number_of(x, peer) != 0) purging_link(x->p, sim_local(s, node), number_of(x, peer), false);
        }
        x->streams[peer] = stream;
        x->boots[peer] = 0;
        sim_send(s, node, stream, &hello, sizeof hello);
        break;
    case SIM_STREAM_DATA:
        if (x->streams[peer] != stream) break;
        deliver(x, peer, bytes, n);
        if (x->w->o->faults & WORLD_LATE && !x->w->calm && n > sizeof hello && sim_chance(s, 10000)) {
            struct late *l = malloc(sizeof *l + n);
            CHECK(l != NULL);
            *l = (struct late){x, peer, n};
            memcpy(l->bytes, bytes, n);
            sim_at(s, sim_now(s) + sim_below(s, 2 * SIM_S), deliver_late, l, 0);
        }
        break;
    case SIM_STREAM_CLOSED:
        if (x->streams[peer] != stream) break;
        if (number_of(x, peer) != 0) purging_link(x->p, sim_local(s, node), number_of(x, peer), false);
        x->streams[peer] = 0;
        x->boots[peer] = 0;
        break;
    }
    purge_life_finish_round(x);
}

static const struct sim_process calls = {on_start, on_crash, on_timer, NULL, on_stream};

void purge_life_start(struct world *w, unsigned node) {
    struct process *x = calloc(1, sizeof *x);
    CHECK(x != NULL && w->nall < WORLD_NUMBERS);
    x->w = w;
    x->node = node;
    x->boot = ++w->boots;
    w->all[w->nall++] = x;
    sim_start(w->s, node, &calls, x);
}
