/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/sim.h"

#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "tests/sim/sim_world.h"

void *sim_alloc(size_t n) {
    void *p = calloc(1, n);
    CHECK(p != NULL);
    return p;
}

/* An array of `count` elements with room for one more. */
static void *grow(void *array, size_t count, size_t *room, size_t element) {
    if (count < *room) return array;
    *room = *room == 0 ? 8 : *room * 2;
    array = realloc(array, *room * element);
    CHECK(array != NULL);
    return array;
}

/* ---- The heap of events ---- */

static bool event_before(const struct sim_event *a, const struct sim_event *b) {
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static struct sim_event *push(struct sim *s, uint64_t at, enum sim_event_kind kind, uint32_t node) {
    const struct sim_event e = {.at = at < s->now ? s->now : at, .order = s->order++, .kind = kind, .node = node};
    s->heap = grow(s->heap, s->nheap, &s->heap_room, sizeof *s->heap);
    size_t i = s->nheap++;
    for (; i > 0 && event_before(&e, &s->heap[(i - 1) / 2]); i = (i - 1) / 2) s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = e;
    return &s->heap[i];
}

static struct sim_event pop(struct sim *s) {
    const struct sim_event first = s->heap[0], last = s->heap[--s->nheap];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= s->nheap) break;
        if (child + 1 < s->nheap && event_before(&s->heap[child + 1], &s->heap[child])) child++;
        if (event_before(&last, &s->heap[child])) break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = last;
    return first;
}

void sim_push(struct sim *s, uint64_t at, enum sim_event_kind kind, uint32_t node, uint64_t number) {
    push(s, at, kind, node)->number = number;
}

void sim_push_message(struct sim *s, uint64_t at, uint32_t node, struct sim_message *m) {
    push(s, at, SIM_EVENT_DATAGRAM, node)->message = m;
}

/* ---- Messages ---- */

struct sim_message *sim_message_new(struct sim *s, unsigned from, const void *bytes, size_t n) {
    struct sim_message *m = malloc(sizeof *m + n);
    CHECK(m != NULL);
    *m = (struct sim_message){.bytes = (uint32_t)n, .from = from};
    if (n > 0) memcpy(m->data, bytes, n);
    s->in_flight += n;
    if (s->in_flight > s->in_flight_max) s->in_flight_max = s->in_flight;
    return m;
}

void sim_message_free(struct sim *s, struct sim_message *m) {
    s->in_flight -= m->bytes;
    free(m);
}

void sim_queue_put(struct sim_queue *q, struct sim_message *m) {
    m->next = NULL;
    *(q->head == NULL ? &q->head : &q->last->next) = m;
    q->last = m;
}

struct sim_message *sim_queue_get(struct sim_queue *q) {
    struct sim_message *m = q->head;
    if (m == NULL) return NULL;
    q->head = m->next;
    return m;
}

void sim_drop_queue(struct sim *s, struct sim_queue *q) {
    for (struct sim_message *m; (m = sim_queue_get(q)) != NULL;) sim_message_free(s, m);
}

/* ---- The world ---- */

struct sim *sim_new(uint64_t seed) {
    struct sim *s = sim_alloc(sizeof *s);
    rand_init(&s->rand, seed);
    s->path = (struct sim_path){.delay_min_ns = 200000, .delay_max_ns = SIM_MS};
    s->stream_timeout = 5 * SIM_S;
    s->keeps_digest = true;
    return s;
}

void sim_free(struct sim *s) {
    while (s->nheap > 0) {
        const struct sim_event e = pop(s);
        if (e.kind == SIM_EVENT_DATAGRAM) sim_message_free(s, e.message);
        if (e.kind == SIM_EVENT_CALL) free(e.call);
    }
    for (unsigned i = 0; i < s->nnodes; i++) sim_drop_queue(s, &s->nodes[i].inbox);
    sim_stream_free_all(s);
    free(s->heap);
    free(s->nodes);
    free(s->blocked);
    free(s);
}

unsigned sim_add(struct sim *s) {
    CHECK(s->nnodes < SIM_NODES_MAX);
    s->nodes = grow(s->nodes, s->nnodes, &s->nodes_room, sizeof *s->nodes);
    struct sim_node *n = &s->nodes[s->nnodes];
    *n = (struct sim_node){0};
    for (unsigned t = 0; t < SIM_TIMERS; t++) n->timer[t] = (struct sim_timer){UINT64_MAX, UINT64_MAX};
    return s->nnodes++;
}

unsigned sim_nodes(const struct sim *s) {
    return s->nnodes;
}

static struct sim_node *node_of(const struct sim *s, unsigned node) {
    CHECK(node < s->nnodes);
    return &s->nodes[node];
}

/* ---- Processes ---- */

void sim_start(struct sim *s, unsigned node, const struct sim_process *calls, void *process) {
    struct sim_node *n = node_of(s, node);
    CHECK(n->state == SIM_NODE_DOWN || n->state == SIM_NODE_DARK);
    n->state = SIM_NODE_UP;
    n->run++;
    n->calls = calls;
    n->process = process;
    sim_saw(s, "start", node, node, NULL, 0);
    if (calls->on_start != NULL) calls->on_start(process, s, node);
}

static void end_process(struct sim *s, unsigned node, enum sim_node_state state) {
    struct sim_node *n = node_of(s, node);
    if (!sim_is_running(s, node)) return;
    const struct sim_process *calls = n->calls;
    void *process = n->process;
    n->state = state;
    n->run++;
    n->calls = NULL;
    n->process = NULL;
    n->inbox_bytes = 0;
    sim_drop_queue(s, &n->inbox);
    for (unsigned t = 0; t < SIM_TIMERS; t++) n->timer[t].local = UINT64_MAX;
    sim_saw(s, state == SIM_NODE_DARK ? "power-off" : "crash", node, node, NULL, 0);
    sim_stream_crash(s, node, state == SIM_NODE_DOWN);
    if (calls->on_crash != NULL) calls->on_crash(process, s, node);
}

void sim_crash(struct sim *s, unsigned node) {
    end_process(s, node, SIM_NODE_DOWN);
}

void sim_power_off(struct sim *s, unsigned node) {
    end_process(s, node, SIM_NODE_DARK);
}

bool sim_is_running(const struct sim *s, unsigned node) {
    const enum sim_node_state state = node_of(s, node)->state;
    return state == SIM_NODE_UP || state == SIM_NODE_PAUSED;
}

bool sim_is_paused(const struct sim *s, unsigned node) {
    return node_of(s, node)->state == SIM_NODE_PAUSED;
}

void *sim_process(const struct sim *s, unsigned node) {
    return node_of(s, node)->process;
}

void sim_pause(struct sim *s, unsigned node) {
    struct sim_node *n = node_of(s, node);
    if (n->state != SIM_NODE_UP) return;
    n->state = SIM_NODE_PAUSED;
    sim_saw(s, "pause", node, node, NULL, 0);
}

static void timer_fires(struct sim *s, unsigned node, unsigned timer);

void sim_resume(struct sim *s, unsigned node) {
    struct sim_node *n = node_of(s, node);
    if (n->state != SIM_NODE_PAUSED) return;
    n->state = SIM_NODE_UP;
    sim_saw(s, "resume", node, node, NULL, 0);
    const uint32_t run = n->run;
    struct sim_message *m;
    while (n->run == run && n->state == SIM_NODE_UP && (m = sim_queue_get(&n->inbox)) != NULL) {
        if (m->stream != 0) {
            sim_stream_hand(s, node, m);
        } else {
            n->inbox_bytes -= m->bytes;
            sim_datagram_hand(s, node, m);
        }
        sim_message_free(s, m);
    }
    for (unsigned t = 0; t < SIM_TIMERS; t++)
        if (n->run == run && n->state == SIM_NODE_UP) timer_fires(s, node, t);
}

/* ---- Time ---- */

void sim_set_clock(struct sim *s, unsigned node, uint64_t offset_ns, int32_t ppm) {
    struct sim_node *n = node_of(s, node);
    CHECK(ppm > -500000 && ppm < 500000);
    n->offset = offset_ns;
    n->ppm = ppm;
}

uint64_t sim_now(const struct sim *s) {
    return s->now;
}

static uint64_t local_at(const struct sim_node *n, uint64_t true_ns) {
    const int64_t whole = (int64_t)(true_ns / 1000000) * n->ppm;
    const int64_t part = (int64_t)(true_ns % 1000000) * n->ppm / 1000000;
    return n->offset + true_ns + (uint64_t)(whole + part);
}

uint64_t sim_local(const struct sim *s, unsigned node) {
    return local_at(node_of(s, node), s->now);
}

/* The first true time, from now on, at which the node's clock shows at least `local`. */
static uint64_t true_of(const struct sim *s, const struct sim_node *n, uint64_t local) {
    const uint64_t rate = (uint64_t)(1000000 + n->ppm);
    uint64_t at = s->now;
    for (uint64_t shown; (shown = local_at(n, at)) < local;) {
        const uint64_t left = local - shown;
        const uint64_t step = left / rate * 1000000 + left % rate * 1000000 / rate;
        at += step > 0 ? step : 1;
    }
    return at;
}

static void timer_schedule(struct sim *s, unsigned node, unsigned timer) {
    struct sim_node *n = &s->nodes[node];
    struct sim_timer *t = &n->timer[timer];
    if (t->local == UINT64_MAX) return;
    const uint64_t at = true_of(s, n, t->local);
    if (t->scheduled <= at) return; /* that event looks again when it comes */
    t->scheduled = at;
    sim_push(s, at, SIM_EVENT_TIMER, node, timer);
}

void sim_set_timer(struct sim *s, unsigned node, unsigned timer, uint64_t local_ns) {
    CHECK(timer < SIM_TIMERS);
    struct sim_timer *t = &node_of(s, node)->timer[timer];
    if (t->local == local_ns && t->scheduled != UINT64_MAX) return; /* an event is there, and comes early enough */
    t->local = local_ns;
    timer_schedule(s, node, timer);
}

/* Calls the process if the timer is due, else schedules it. */
static void timer_fires(struct sim *s, unsigned node, unsigned timer) {
    struct sim_node *n = &s->nodes[node];
    struct sim_timer *t = &n->timer[timer];
    if (t->local == UINT64_MAX || n->state != SIM_NODE_UP) return;
    if (sim_local(s, node) < t->local) {
        timer_schedule(s, node, timer);
        return;
    }
    t->local = UINT64_MAX;
    s->counts.timers++;
    n->counts.timers++;
    sim_saw(s, "timer", node, timer, NULL, 0);
    if (n->calls->on_timer != NULL) n->calls->on_timer(n->process, s, node, timer);
}

static void timer_event(struct sim *s, unsigned node, unsigned timer, uint64_t at) {
    struct sim_timer *t = &s->nodes[node].timer[timer];
    if (t->scheduled != at) return; /* an earlier one took its place */
    t->scheduled = UINT64_MAX;
    timer_fires(s, node, timer);
}

void sim_at(struct sim *s, uint64_t true_ns, void (*fn)(struct sim *s, void *arg, uint64_t number), void *arg,
            uint64_t number) {
    struct sim_call *c = malloc(sizeof *c);
    CHECK(c != NULL);
    *c = (struct sim_call){fn, arg, number};
    push(s, true_ns, SIM_EVENT_CALL, 0)->call = c;
}

static void run_event(struct sim *s, const struct sim_event *e) {
    switch (e->kind) {
    case SIM_EVENT_TIMER: timer_event(s, e->node, (unsigned)e->number, e->at); break;
    case SIM_EVENT_DATAGRAM: sim_datagram_arrives(s, e->node, e->message); break;
    case SIM_EVENT_STREAM: sim_stream_step(s, e->number, e->node); break;
    case SIM_EVENT_CALL: {
        const struct sim_call c = *e->call;
        free(e->call);
        c.fn(s, c.arg, c.number);
        break;
    }
    }
}

bool sim_run(struct sim *s, uint64_t until_true_ns) {
    s->stopped = false;
    while (!s->stopped && s->nheap > 0 && s->heap[0].at <= until_true_ns) {
        const struct sim_event e = pop(s);
        s->now = e.at;
        run_event(s, &e);
    }
    if (!s->stopped && s->now < until_true_ns) s->now = until_true_ns;
    return !s->stopped;
}

void sim_stop(struct sim *s) {
    s->stopped = true;
}

/* ---- Chance ---- */

uint64_t sim_random(struct sim *s) {
    return rand_next(&s->rand);
}

uint64_t sim_below(struct sim *s, uint64_t n) {
    return rand_below(&s->rand, n);
}

bool sim_chance(struct sim *s, uint32_t of_a_million) {
    return of_a_million > 0 && sim_below(s, 1000000) < of_a_million;
}

/* ---- Looking on ---- */

void sim_saw(struct sim *s, const char *what, unsigned node, unsigned peer, const void *bytes, size_t n) {
    if (s->keeps_digest) {
        const uint64_t mixed[4] = {s->now, (uint64_t)node << 32 | peer, hash_key(what, strlen(what), n),
                                   n > 0 ? hash_key(bytes, n, 0) : 0};
        s->digest = hash_key(mixed, sizeof mixed, s->digest);
    }
    if (s->trace != NULL && s->now >= s->trace_from)
        fprintf(s->trace, "%.9f %u %s %u %zu\n", (double)s->now / 1e9, node, what, peer, n);
}

void sim_note(struct sim *s, unsigned node, const char *format, ...) {
    char line[400];
    va_list args;
    if (!s->keeps_digest && s->trace == NULL) return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    sim_saw(s, line, node, node, NULL, 0);
}

void sim_trace(struct sim *s, FILE *to, uint64_t from_true_ns) {
    s->trace = to;
    s->trace_from = from_true_ns;
}

const struct sim_counts *sim_counts(const struct sim *s) {
    return &s->counts;
}

const struct sim_counts *sim_node_counts(const struct sim *s, unsigned node) {
    return &node_of(s, node)->counts;
}

void sim_keep_digest(struct sim *s, bool on) {
    s->keeps_digest = on;
}

uint64_t sim_digest(const struct sim *s) {
    return s->digest;
}

size_t sim_bytes_in_flight(const struct sim *s) {
    return s->in_flight;
}

size_t sim_bytes_in_flight_max(const struct sim *s) {
    return s->in_flight_max;
}
