/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/purge_world.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "cluster/mutation.h"
#include "cluster/purgelog.h"

#define NEVER UINT64_MAX
#define CALM_S 12

struct world;

/* A process: what it has in memory, and what the model knows of its store (which outlives it, for the checks). */
struct process {
    struct world *w;
    unsigned node;
    uint64_t boot;
    bool alive;
    bool voted; /* it has had a seat: it may have numbered purges that nobody has seen */
    struct purging *p;
    uint32_t number;
    uint64_t version;
    uint64_t floor_all_ns, floor_tagged_ns; /* true times */
    uint64_t streams[WORLD_NODES], boots[WORLD_NODES];
    bool applying;
    uint32_t batch[PURGING_BATCH_SELECTORS]; /* what takes time to apply */
    unsigned nbatch;
    uint32_t *upto; /* by origin: the highest sequence applied as that event */
    uint64_t applied[WORLD_PIDS / 64];
    uint16_t applied_as[WORLD_PIDS]; /* the number under which */
    uint32_t *verified;              /* by origin: all up to there is covered */
};

struct origin {
    uint32_t *pids; /* by sequence, from 1 */
    uint64_t last;
    uint64_t confirmed; /* checked up to there */
};

struct world {
    struct sim *s;
    const struct world_options *o;
    struct world_result *r;
    struct configuration history[WORLD_HISTORY]; /* by version */
    uint64_t version;
    struct process *all[WORLD_NUMBERS];
    unsigned nall;
    struct process *of_number[WORLD_NUMBERS];
    struct origin origins[WORLD_NUMBERS];
    uint64_t asked_ns[WORLD_PIDS];
    bool everything[WORLD_PIDS];
    uint32_t id_origin[WORLD_PIDS], id_sequence[WORLD_PIDS]; /* the first id that it got */
    bool ids[WORLD_PIDS];                                    /* it got more than one */
    struct process *asker[WORLD_PIDS];
    uint32_t npids;
    uint64_t boots;
    uint64_t down_ns[WORLD_NODES];
    bool cut_off[WORLD_NODES];    /* to be ejected though it lives */
    uint64_t wanted_ns, epoch_ns; /* a change of epoch is wanted since; the epoch began */
    bool calm;
};

const char *world_violation_name(enum world_violation v) {
    static const char *const names[] = {"applied twice",        "claimed and not covered", "confirmed and not covered",
                                        "two purges of one id", "applied early",           "lost",
                                        "pending after calm",   "vector too long"};
    return names[v];
}

static void violation(struct world *w, enum world_violation v, unsigned node, uint64_t a, uint64_t b) {
    w->r->violations[v]++;
    w->r->total++;
    sim_note(w->s, node, "VIOLATION %s %llu %llu", world_violation_name(v), (unsigned long long)a,
             (unsigned long long)b);
    if (w->o->print && w->r->total < 10)
        printf("seed %llu %.6f s node %u: %s (%llu, %llu)\n", (unsigned long long)w->o->seed,
               (double)sim_now(w->s) / 1e9, node, world_violation_name(v), (unsigned long long)a,
               (unsigned long long)b);
}

/* ------------------------------------------------------------------ the model */

static bool has_applied(const struct process *x, uint32_t pid) {
    return x->applied[pid / 64] >> (pid % 64) & 1;
}

static bool covered(const struct process *x, uint32_t pid) {
    const struct world *w = x->w;
    if (has_applied(x, pid) || x->floor_all_ns >= w->asked_ns[pid]) return true;
    return !w->everything[pid] && x->floor_tagged_ns >= w->asked_ns[pid];
}

static void note_event(struct world *w, unsigned node, uint32_t origin, uint64_t sequence, uint32_t pid) {
    struct origin *o = &w->origins[origin];
    if (sequence >= 4 * WORLD_PIDS) return;
    if (o->pids == NULL) o->pids = calloc(4 * WORLD_PIDS, sizeof *o->pids);
    CHECK(o->pids != NULL);
    if (o->pids[sequence] == 0) {
        w->r->events++;
        sim_note(w->s, node, "event %u-%llu is purge %u", origin, (unsigned long long)sequence, pid);
    }
    if (o->pids[sequence] != 0 && o->pids[sequence] != pid) violation(w, WORLD_TWO_EVENTS, node, origin, sequence);
    o->pids[sequence] = pid;
    if (w->id_origin[pid] != 0 && (w->id_origin[pid] != origin || w->id_sequence[pid] != sequence)) w->ids[pid] = true;
    if (w->id_origin[pid] == 0) {
        w->id_origin[pid] = origin;
        w->id_sequence[pid] = (uint32_t)sequence;
    }
    if (sequence > o->last) o->last = sequence;
}

static uint32_t pid_of(const uint8_t *record) {
    struct purge_selector sels[PURGE_EVENT_SELECTORS_MAX];
    uint64_t tags[8];
    const unsigned n = purge_event_selectors(record, sels, tags);
    return (uint32_t)tags[n - 1];
}

static void check_claim(struct process *x, uint32_t origin, uint64_t sequence) {
    const struct origin *o = &x->w->origins[origin];
    if (o->pids == NULL) return;
    for (uint32_t s = x->verified[origin] + 1; s <= sequence && s <= o->last; s++) {
        if (o->pids[s] == 0) return; /* nobody has seen it on the wire yet */
        if (!covered(x, o->pids[s])) violation(x->w, WORLD_CLAIM, x->node, origin, s);
        x->verified[origin] = s;
    }
}

/* A node says that all of an origin up to `sequence` is confirmed. */
static void check_confirmed(struct process *x, uint32_t origin, uint64_t sequence) {
    struct world *w = x->w;
    struct origin *o = &w->origins[origin];
    const struct configuration *c = &w->history[x->version];
    if (o->pids == NULL || sequence <= o->confirmed) return;
    for (unsigned i = 0; i < c->nmembers; i++) {
        const struct process *m = w->of_number[c->members[i].number];
        if (c->members[i].state == CONFIGURATION_EJECTED || m == NULL) continue;
        if (m->number == c->members[i].number && m->alive && !purging_begun(m->p)) continue; /* serves nothing yet */
        for (uint64_t s = o->confirmed + 1; s <= sequence && s <= o->last; s++)
            if (o->pids[s] != 0 && !covered(m, o->pids[s])) violation(w, WORLD_CONFIRMED, m->node, origin, s);
    }
    o->confirmed = sequence;
}

static void note_applied(struct process *x, uint32_t pid) {
    struct world *w = x->w;
    sim_note(w->s, x->node, "applies purge %u as member %u", pid, x->number);
    const bool again = has_applied(x, pid) && (x->applied_as[pid] == x->number || w->asker[pid] == x);
    if (again && !(w->o->faults & WORLD_HORIZON)) violation(w, WORLD_TWICE, x->node, pid, x->number);
    x->applied_as[pid] = (uint16_t)x->number;
    const uint32_t origin = w->id_origin[pid], sequence = w->id_sequence[pid];
    if (origin == 0 || w->ids[pid] || w->asker[pid] == x || x->voted) return;
    if (sequence < x->upto[origin]) violation(w, WORLD_EARLY, x->node, origin, sequence);
    x->upto[origin] = sequence;
}

static void set_applied(struct process *x) {
    for (unsigned i = 0; i < x->nbatch; i++) x->applied[x->batch[i] / 64] |= UINT64_C(1) << (x->batch[i] % 64);
    x->nbatch = 0;
}

/* ------------------------------------------------------------------ the wire */

struct wire {
    uint64_t boot; /* of the sender */
    bool hello;
    struct peer_purge m;
};

static size_t put(uint8_t *to, const void *from, size_t n) {
    if (n > 0) memcpy(to, from, n);
    return (n + 15) & ~(size_t)15;
}

static struct process *at(const struct world *w, unsigned node) {
    return sim_process(w->s, node);
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

static void check_message(struct process *x, const struct peer_purge *m) {
    struct world *w = x->w;
    uint64_t sequence = m->sequence;
    if (m->kind == PEER_PURGE_EVENTS)
        for (size_t i = 0; i < m->events_bytes; i += purge_event_size(m->events + i))
            note_event(w, x->node, m->origin, sequence++, pid_of(m->events + i));
    if (m->kind == PEER_PURGE_ACK && !(m->flags & PEER_PURGE_ALL)) check_claim(x, m->origin, m->sequence);
    if (m->kind == PEER_PURGE_STATUS) check_confirmed(x, m->origin, m->sequence);
    for (unsigned i = 0; i < m->nvector; i++) check_claim(x, m->vector[i].origin, m->vector[i].sequence);
    if (m->nvector > w->r->longest_vector) w->r->longest_vector = m->nvector;
}

static void send_to(void *arg, uint32_t member, const struct peer_purge *m) {
    static uint8_t bytes[SIM_STREAM_MESSAGE_MAX];
    struct process *x = arg;
    struct wire h = {.boot = x->boot, .m = *m};
    size_t n = sizeof h;
    check_message(x, m);
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

static bool apply(void *arg, const struct purging_batch *b) {
    struct process *x = arg;
    CHECK(!x->applying);
    for (unsigned i = 0; i < b->nselectors; i++) {
        if (b->selectors[i].ntags == 0) continue;
        x->batch[x->nbatch++] = (uint32_t)b->selectors[i].tags[0];
        note_applied(x, (uint32_t)b->selectors[i].tags[0]);
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
    if (r->origin != 0) check_confirmed(x, r->origin, r->sequence);
}

static void adopt_later(struct sim *s, void *arg, uint64_t number);

static void newer(void *arg, uint32_t member, uint64_t version) {
    struct process *x = arg;
    (void)member;
    if (version <= x->w->version)
        sim_at(x->w->s, sim_now(x->w->s) + sim_below(x->w->s, 20 * SIM_MS), adopt_later, x->w, x->node | version << 8);
}

/* ------------------------------------------------------------------ processes */

static void arm(struct process *x) {
    sim_set_timer(x->w->s, x->node, 0, purging_next_ns(x->p));
}

static void finish_round(struct process *x) {
    purging_flush(x->p, sim_local(x->w->s, x->node));
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
    x->version = version;
    x->number = number;
    for (unsigned i = 0; i < c->nvoters; i++) x->voted |= number != 0 && c->voters[i].member == number;
    if (number != 0) w->of_number[number] = x;
    sim_note(w->s, x->node, "adopts %llu as %u", (unsigned long long)version, number);
    CHECK(purging_adopt(x->p, sim_local(w->s, x->node), c, number) == 0);
    update_links(x);
    finish_round(x);
}

static void adopt_later(struct sim *s, void *arg, uint64_t number) {
    struct world *w = arg;
    const unsigned node = number & 255;
    if (sim_is_paused(s, node))
        sim_at(s, sim_now(s) + 30 * SIM_MS, adopt_later, w, number);
    else if (at(w, node) != NULL)
        adopt(at(w, node), number >> 8);
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
        .events = {x, send_to, apply, raise_floor, outcome, newer},
    };
    CHECK(purging_new(&cfg, sim_local(s, node), &x->p) == 0);
    x->floor_all_ns = sim_now(s); /* its store is empty */
    x->alive = true;
    x->verified = calloc(WORLD_NUMBERS, sizeof *x->verified);
    x->upto = calloc(WORLD_NUMBERS, sizeof *x->upto);
    CHECK(x->verified != NULL && x->upto != NULL);
    dial(x);
    sim_at(s, sim_now(s) + sim_below(s, 100 * SIM_MS), adopt_later, x->w, node | x->w->version << 8);
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
    finish_round(x);
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
    if (at(l->x->w, l->x->node) == l->x && !sim_is_paused(s, l->x->node)) {
        deliver(l->x, l->peer, l->bytes, l->n);
        finish_round(l->x);
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
    finish_round(x);
}

static const struct sim_process calls = {on_start, on_crash, on_timer, NULL, on_stream};

static void start(struct world *w, unsigned node) {
    struct process *x = calloc(1, sizeof *x);
    CHECK(x != NULL && w->nall < WORLD_NUMBERS);
    x->w = w;
    x->node = node;
    x->boot = ++w->boots;
    w->all[w->nall++] = x;
    sim_start(w->s, node, &calls, x);
}

/* ------------------------------------------------------------------ configurations */

static struct configuration_member *member_of(struct configuration *c, unsigned node) {
    for (unsigned i = 0; i < c->nmembers; i++)
        if (c->members[i].id.bytes[0] == node + 1) return &c->members[i];
    return NULL;
}

static void drop_member(struct configuration *c, const struct configuration_member *m) {
    const size_t i = (size_t)(m - c->members);
    memmove(c->members + i, c->members + i + 1, (c->nmembers - i - 1) * sizeof *m);
    c->nmembers--;
}

static uint32_t add_member(struct world *w, struct configuration *c, unsigned node, uint64_t boot) {
    struct configuration_member m = {
        .number = c->next_number++, .id = {{(uint8_t)(node + 1)}}, .boot = boot, .state = CONFIGURATION_SERVING};
    snprintf(m.name, sizeof m.name, "n%u:1", node);
    CHECK(configuration_add(c, &m) == 0 && m.number < WORLD_NUMBERS);
    w->r->joins++;
    return m.number;
}

static void take_seat(const struct world *w, struct configuration *c, struct configuration_voter *v, unsigned node,
                      uint32_t member) {
    const uint32_t before = v->origin;
    *v = (struct configuration_voter){.id = {{(uint8_t)(node + 1)}}, .member = member};
    v->origin = w->o->origin_again && before != 0 ? before : c->next_number++;
    for (unsigned i = 0; i < c->norigins; i++)
        if (c->origins[i] == v->origin) return;
    CHECK(c->norigins < CONFIGURATION_ORIGINS_MAX);
    c->origins[c->norigins++] = v->origin;
}

/* Origins without a seat close; a closing one that a voter says may go is dropped. */
static bool tidy_origins(struct world *w, struct configuration *c) {
    bool changed = false;
    for (unsigned i = 0; i < c->norigins; i++) {
        bool seat = false, closing = false, drop = false;
        unsigned at_closing = 0;
        for (unsigned n = 0; n < c->nvoters; n++) seat |= c->voters[n].origin == c->origins[i];
        for (unsigned n = 0; n < c->nclosing; n++)
            if (c->closing[n].origin == c->origins[i]) {
                closing = true;
                at_closing = n;
            }
        if (seat) continue;
        if (!closing) {
            c->closing[c->nclosing++] = (struct configuration_closing){c->origins[i], c->version + 1};
            changed = true;
            continue;
        }
        for (unsigned n = 0; n < w->o->nodes; n++) {
            const struct process *x = at(w, n);
            drop |= x != NULL && !sim_is_paused(w->s, n) && x->version == w->version &&
                    purging_may_retire(x->p, sim_local(w->s, n), c->origins[i]);
        }
        if (!drop) continue;
        c->closing[at_closing] = c->closing[--c->nclosing];
        c->origins[i--] = c->origins[--c->norigins];
        c->retire_version = c->version + 1;
        w->r->retired++;
        changed = true;
    }
    return changed;
}

/* Who leaves, joins, is ejected or has a new process; what seats that changes. *voters: they have changed. */
static bool change_members(struct world *w, struct configuration *c, bool *voters) {
    const uint64_t now = sim_now(w->s);
    bool changed = false;
    for (unsigned i = 0; i < w->o->nodes; i++) {
        const struct process *x = at(w, i);
        struct configuration_member *m = member_of(c, i);
        struct configuration_voter *v = NULL;
        for (unsigned n = 0; n < c->nvoters; n++)
            if (c->voters[n].id.bytes[0] == i + 1) v = &c->voters[n];
        const bool listed = m != NULL && m->state != CONFIGURATION_EJECTED;
        if (listed && v == NULL && ((x == NULL && now > w->down_ns[i] + 3 * SIM_S) || w->cut_off[i])) {
            m->state = CONFIGURATION_EJECTED;
            w->cut_off[i] = false;
            w->r->ejected++;
            changed = true;
        } else if (x != NULL && (m == NULL || m->boot != x->boot || (!listed && x->version == w->version))) {
            if (m != NULL) drop_member(c, m);
            const uint32_t number = add_member(w, c, i, x->boot);
            if (v != NULL) take_seat(w, c, v, i, number);
            *voters |= v != NULL;
            changed = true;
        }
    }
    return changed;
}

/* A seat moves to a member that has none: because its node is away for long, or because an operator says so. */
static bool move_seat(struct world *w, struct configuration *c, bool wanted) {
    for (unsigned n = 0; n < c->nvoters; n++) {
        const unsigned node = c->voters[n].id.bytes[0] - 1u;
        const bool gone = at(w, node) == NULL && sim_now(w->s) > w->down_ns[node] + SIM_S;
        if (!gone && !(wanted && sim_chance(w->s, 500000))) continue;
        for (unsigned i = 0; i < w->o->nodes; i++) {
            bool voter = false;
            for (unsigned k = 0; k < c->nvoters; k++) voter |= c->voters[k].id.bytes[0] == i + 1;
            const struct process *x = at(w, i);
            const struct configuration_member *m = member_of(c, i);
            if (voter || x == NULL || m == NULL || m->boot != x->boot || m->state == CONFIGURATION_EJECTED) continue;
            take_seat(w, c, &c->voters[n], i, m->number);
            return true;
        }
    }
    return false;
}

/* Whether a majority of the voters remembers the epoch: they are sealed then, as those who accept the value are. */
static bool seal_majority(struct world *w, const struct configuration *c) {
    struct process *active[CONFIGURATION_VOTERS_MAX];
    unsigned n = 0;
    for (unsigned i = 0; i < c->nvoters; i++) {
        struct process *x = at(w, c->voters[i].id.bytes[0] - 1u);
        uint64_t since;
        if (x == NULL || x->number != c->voters[i].member || sim_is_paused(w->s, x->node)) continue;
        if (x->version == c->version && purging_active(x->p, &since)) active[n++] = x;
    }
    if (n < configuration_majority(c)) return false;
    for (unsigned i = 0; i < n; i++)
        if (i < configuration_majority(c) || sim_chance(w->s, 500000)) purging_seal(active[i]->p, true);
    return true;
}

static bool anybody_active(struct world *w) {
    for (unsigned i = 0; i < w->o->nodes; i++) {
        const struct process *x = at(w, i);
        uint64_t since;
        if (x != NULL && x->version == w->version && purging_active(x->p, &since)) return true;
    }
    return false;
}

static void publish(struct world *w, struct configuration *c, bool calm) {
    c->version++;
    CHECK(c->version < WORLD_HISTORY);
    w->version = c->version;
    w->history[w->version] = *c;
    w->r->versions++;
    sim_note(w->s, 0, "version %llu, epoch %llu, fresh %llu", (unsigned long long)c->version,
             (unsigned long long)c->epoch, (unsigned long long)c->floor_epoch);
    for (unsigned i = 0; i < c->nvoters; i++)
        sim_note(w->s, c->voters[i].id.bytes[0] - 1u, "votes as %u, origin %u", c->voters[i].member,
                 c->voters[i].origin);
    for (unsigned i = 0; i < c->nclosing; i++) sim_note(w->s, 0, "origin %u closes", c->closing[i].origin);
    if (c->norigins > w->r->origins_end) w->r->origins_end = c->norigins;
    for (unsigned i = 0; i < w->o->nodes; i++) {
        const uint64_t delay = sim_below(w->s, calm                       ? 20 * SIM_MS
                                               : sim_chance(w->s, 100000) ? 2 * SIM_S
                                                                          : 200 * SIM_MS);
        sim_at(w->s, sim_now(w->s) + delay, adopt_later, w, i | w->version << 8);
    }
}

static void govern(struct sim *s, void *arg, uint64_t unused) {
    struct world *w = arg;
    const struct configuration *old = &w->history[w->version];
    struct configuration c = {0};
    bool voters = false, kept = true;
    (void)unused;
    sim_at(s, sim_now(s) + 60 * SIM_MS + sim_below(s, 100 * SIM_MS), govern, w, 0);
    CHECK(configuration_copy(&c, old) == 0);
    const bool moves = w->o->faults & WORLD_CHANGES && !w->calm && sim_chance(s, 20000);
    bool changed = change_members(w, &c, &voters);
    if (move_seat(w, &c, moves)) changed = voters = true;
    if (!voters && sim_now(s) > w->epoch_ns + 3 * SIM_S && !anybody_active(w)) { /* the epoch does not come to life */
        changed = voters = true;
        kept = false;
        w->wanted_ns = 0;
    }
    changed |= tidy_origins(w, &c);
    if (voters) {
        if (w->wanted_ns == NEVER) w->wanted_ns = sim_now(s);
        kept = kept && seal_majority(w, old);
        if (!kept && sim_now(s) < w->wanted_ns + 2 * SIM_S) {
            configuration_fini(&c);
            return;
        }
        memcpy(c.previous, old->voters, sizeof c.previous);
        c.nprevious = old->nvoters;
        c.epoch++;
        if (!kept) c.floor_epoch = c.epoch;
        ++*(kept ? &w->r->kept : &w->r->fresh);
        w->wanted_ns = NEVER;
        w->epoch_ns = sim_now(s);
    }
    if (changed)
        publish(w, &c, w->calm);
    else
        configuration_fini(&c);
}

static void found(struct world *w) {
    struct configuration c = {.epoch = 1, .floor_epoch = 1, .next_number = 1, .tag_lease_ms = 1000};
    for (unsigned i = 0; i < w->o->nodes; i++) {
        const uint32_t number = add_member(w, &c, i, at(w, i)->boot);
        if (i < w->o->voters) take_seat(w, &c, &c.voters[c.nvoters++], i, number);
    }
    publish(w, &c, true);
}

/* ------------------------------------------------------------------ faults and load */

static void purge(struct sim *s, void *arg, uint64_t unused) {
    struct world *w = arg;
    const unsigned node = w->o->asked >= 0 ? (unsigned)w->o->asked : (unsigned)sim_below(s, w->o->nodes);
    struct process *x = at(w, node);
    const uint64_t every = SIM_S / w->o->purges_per_s;
    (void)unused;
    if (sim_now(s) < (w->o->seconds + CALM_S / 3) * SIM_S)
        sim_at(s, sim_now(s) + 1 + sim_below(s, 2 * every), purge, w, 0);
    if (x == NULL || sim_is_paused(s, node) || w->npids + 1 >= WORLD_PIDS) return;
    const uint64_t tag = w->npids + 1;
    const bool everything = sim_chance(s, 50000);
    const struct purge_selector sels[] = {{0, NULL}, {1, &tag}};
    const struct purging_request r = {.selectors = everything ? sels : sels + 1,
                                      .nselectors = 1 + everything,
                                      .soft = sim_chance(s, 200000),
                                      .ttl_s = (uint32_t)sim_below(s, 2),
                                      .wait_ns = 2 * SIM_S,
                                      .token = tag};
    w->asked_ns[tag] = sim_now(s);
    w->everything[tag] = everything;
    w->asker[tag] = x;
    if (purging_purge(x->p, sim_local(s, node), &r, NULL) != 0) return;
    sim_note(s, node, "is asked for purge %llu%s", (unsigned long long)tag, everything ? " of everything" : "");
    w->npids++;
    w->r->purges++;
    finish_round(x);
}

static void restart_later(struct sim *s, void *arg, uint64_t node) {
    struct world *w = arg;
    if (!sim_is_running(s, (unsigned)node)) start(w, (unsigned)node);
}

static void resume_later(struct sim *s, void *arg, uint64_t node) {
    (void)arg;
    sim_resume(s, (unsigned)node);
}

static void crash(struct world *w, unsigned node) {
    struct sim *s = w->s;
    if (!sim_is_running(s, node)) return;
    if (sim_chance(s, 500000))
        sim_crash(s, node);
    else
        sim_power_off(s, node);
    const uint64_t away = 20 * SIM_MS + sim_below(s, sim_chance(s, 200000) ? 8 * SIM_S : 2 * SIM_S);
    sim_at(s, sim_now(s) + away, restart_later, w, node);
}

static void trouble(struct sim *s, void *arg, uint64_t unused) {
    struct world *w = arg;
    const unsigned a = (unsigned)sim_below(s, w->o->nodes), b = (unsigned)sim_below(s, w->o->nodes);
    const unsigned faults = w->o->faults;
    (void)unused;
    if (w->calm) return;
    sim_at(s, sim_now(s) + 20 * SIM_MS, trouble, w, 0);
    if (faults & WORLD_CRASHES && sim_chance(s, 8000)) crash(w, a);
    if (faults & WORLD_CRASHES && sim_chance(s, 600))
        for (unsigned i = 0; i < w->o->nodes; i++)
            if (sim_chance(s, 600000)) crash(w, i);
    if (faults & WORLD_PARTITIONS && sim_chance(s, 10000))
        for (unsigned i = 0; i < w->o->nodes; i++) sim_set_group(s, i, (unsigned)sim_below(s, 2));
    if (faults & WORLD_PARTITIONS && sim_chance(s, 30000)) sim_block(s, a, b, true);
    if (faults & WORLD_PARTITIONS && sim_chance(s, 25000)) sim_heal(s);
    if (faults & WORLD_PAUSES && sim_chance(s, 10000) && sim_is_running(s, a)) {
        sim_pause(s, a);
        sim_at(s, sim_now(s) + sim_below(s, sim_chance(s, 100000) ? 4 * SIM_S : SIM_S), resume_later, w, a);
    }
    if (faults & WORLD_CHANGES && sim_chance(s, 2000)) w->cut_off[a] = true;
    if (faults & WORLD_PARTITIONS && sim_chance(s, 10000)) {
        const struct sim_path p = {.loss = (uint32_t)sim_below(s, sim_chance(s, 500000) ? 20000 : 300000),
                                   .delay_min_ns = 200000,
                                   .delay_max_ns = 200000 + sim_below(s, 5 * SIM_MS)};
        sim_set_path(s, &p);
    }
}

/* Kills one voter after the other, each when all are active and know each other again. */
static void roll(struct sim *s, void *arg, uint64_t turn) {
    struct world *w = arg;
    const struct configuration *c = &w->history[w->version];
    bool ready = !w->calm;
    if (w->calm) return;
    for (unsigned i = 0; i < w->o->nodes; i++)
        ready = ready && at(w, i) != NULL && at(w, i)->version == w->version && at(w, i)->number != 0;
    for (unsigned i = 0; ready && i < c->nvoters; i++) {
        uint64_t since;
        ready = purging_active(at(w, c->voters[i].id.bytes[0] - 1u)->p, &since);
    }
    sim_at(s, sim_now(s) + w->o->roll_ms * SIM_MS, roll, w, turn + ready);
    if (!ready) return;
    const unsigned node = c->voters[turn % c->nvoters].id.bytes[0] - 1u;
    w->r->restarts++;
    if (turn % 2 == 0)
        sim_crash(s, node);
    else
        sim_power_off(s, node);
    sim_at(s, sim_now(s) + 20 * SIM_MS + sim_below(s, 20 * SIM_MS), restart_later, w, node);
}

static void calm_down(struct sim *s, void *arg, uint64_t unused) {
    struct world *w = arg;
    const struct sim_path good = {.delay_min_ns = 200000, .delay_max_ns = 1000000};
    (void)unused;
    w->calm = true;
    sim_heal(s);
    sim_set_path(s, &good);
    for (unsigned i = 0; i < w->o->nodes; i++) {
        sim_resume(s, i);
        w->cut_off[i] = false;
        if (!sim_is_running(s, i)) start(w, i);
    }
}

/* ------------------------------------------------------------------ the end */

static void check_end(struct world *w) {
    for (uint32_t pid = 1; pid <= w->npids; pid++) {
        bool known = false;
        for (unsigned i = 0; i < w->o->nodes; i++) known |= at(w, i) != NULL && has_applied(at(w, i), pid);
        known |= w->asker[pid] != NULL && w->asker[pid]->alive;
        for (unsigned i = 0; known && i < w->o->nodes; i++)
            if (!covered(at(w, i), pid)) violation(w, WORLD_LOST, i, pid, 0);
    }
    for (unsigned i = 0; i < w->o->nodes; i++) {
        struct purging_counters c;
        const struct process *x = at(w, i);
        purging_read_counters(x->p, &c);
        w->r->alone += c.alone;
        w->r->repeated += c.repeated;
        if (c.pending > 0 || purging_local(x->p) > 0 || x->number == 0)
            violation(w, WORLD_PENDING, i, c.pending, purging_local(x->p));
        struct peer_purge_seen v[PEER_PURGE_VECTOR_MAX];
        if (purging_vector(x->p, v) > w->o->voters) violation(w, WORLD_LONG, i, purging_vector(x->p, v), w->o->voters);
    }
}

void world_run(const struct world_options *o, struct world_result *r) {
    struct world *w = calloc(1, sizeof *w);
    CHECK(w != NULL);
    *r = (struct world_result){0};
    w->o = o;
    w->r = r;
    w->wanted_ns = NEVER;
    w->s = sim_new(o->seed);
    if (o->trace != NULL) sim_trace(w->s, o->trace, 0);
    sim_set_stream_timeout(w->s, 700 * SIM_MS);
    for (unsigned i = 0; i < o->nodes; i++) {
        sim_add(w->s);
        sim_set_clock(w->s, i, sim_below(w->s, 1000 * SIM_S), (int32_t)sim_below(w->s, 100000) - 50000);
    }
    for (unsigned i = 0; i < o->nodes; i++) start(w, i);
    found(w);
    sim_at(w->s, 200 * SIM_MS, purge, w, 0);
    sim_at(w->s, 500 * SIM_MS, govern, w, 0);
    sim_at(w->s, 500 * SIM_MS, trouble, w, 0);
    if (o->roll_ms > 0) sim_at(w->s, 500 * SIM_MS, roll, w, 0);
    sim_at(w->s, o->seconds * SIM_S, calm_down, w, 0);
    sim_run(w->s, (o->seconds + CALM_S) * SIM_S);
    check_end(w);
    for (unsigned i = 0; i < o->nodes; i++)
        if (sim_is_running(w->s, i)) sim_crash(w->s, i);
    sim_run(w->s, (o->seconds + CALM_S + 3) * SIM_S); /* copies that were to come late are freed */
    sim_free(w->s);
    for (unsigned i = 0; i < w->nall; i++) {
        free(w->all[i]);
    }
    for (unsigned i = 0; i < WORLD_NUMBERS; i++) free(w->origins[i].pids);
    for (unsigned i = 0; i < WORLD_HISTORY; i++) configuration_fini(&w->history[i]);
    free(w);
}
