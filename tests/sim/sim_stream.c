/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Streams: a queue of items in each direction, of which the head is on its way. Loss delays it as TCP's repetitions do;
 * a path that is blocked, in either direction, holds it up, and breaks the stream for its sender when that lasts too
 * long. The other end learns of that only when it sends something itself, as with TCP. */
#include "base/check.h"
#include "tests/sim/sim_world.h"

enum stream_item {
    ITEM_SYN,   /* the dial */
    ITEM_OPEN,  /* its answer */
    ITEM_DATA,  /* one message */
    ITEM_CLOSE, /* the sender closed its end, behind all it sent */
    ITEM_RESET, /* nobody is there any more */
};

#define REPEAT_NS (200 * SIM_MS) /* TCP's first repetition */
#define REPEATS 5

static struct sim_stream *find(const struct sim *s, uint64_t number) {
    const uint32_t i = (uint32_t)(number & 0xffffffff) - 1;
    return i < s->nstreams && s->streams[i].number == number ? &s->streams[i] : NULL;
}

static void schedule(struct sim *s, struct sim_stream *t, unsigned direction, uint64_t delay) {
    t->scheduled[direction] = true;
    sim_push(s, s->now + delay, SIM_EVENT_STREAM, direction, t->number);
}

/* The head sets out. */
static void set_out(struct sim *s, struct sim_stream *t, unsigned direction) {
    if (t->scheduled[direction] || t->queue[direction].head == NULL) return;
    const unsigned from = t->node[direction], to = t->node[!direction];
    uint64_t delay = sim_path_delay(s, from, to);
    for (unsigned k = 0; k < REPEATS && sim_path_loses(s, from, to); k++) delay += REPEAT_NS << k;
    schedule(s, t, direction, delay);
}

static void put(struct sim *s, struct sim_stream *t, unsigned direction, enum stream_item what, const void *bytes,
                size_t n) {
    struct sim_message *m = sim_message_new(s, t->node[direction], bytes, n);
    m->what = (uint8_t)what;
    sim_queue_put(&t->queue[direction], m);
    set_out(s, t, direction);
}

static void free_if_over(struct sim *s, struct sim_stream *t) {
    for (unsigned d = 0; d < 2; d++)
        if (t->end[d] != SIM_END_CLOSED || t->scheduled[d] || t->queue[d].head != NULL) return;
    t->number = 0;
    t->next_free = s->free_stream;
    s->free_stream = (uint32_t)(t - s->streams) + 1;
}

void sim_set_stream_timeout(struct sim *s, uint64_t timeout_ns) {
    s->stream_timeout = timeout_ns;
}

uint64_t sim_dial(struct sim *s, unsigned from, unsigned to) {
    CHECK(from < s->nnodes && to < s->nnodes && sim_is_running(s, from));
    if (s->streams == NULL) {
        /* All at once, so that no stream moves while its process is called. */
        s->streams_room = 1u << 20;
        s->streams = sim_alloc(s->streams_room * sizeof *s->streams);
    }
    uint32_t i = s->free_stream;
    if (i != 0) {
        s->free_stream = s->streams[i - 1].next_free;
    } else {
        CHECK(s->nstreams < s->streams_room);
        i = ++s->nstreams;
    }
    struct sim_stream *t = &s->streams[i - 1];
    *t = (struct sim_stream){.number = ++s->streams_made << 32 | i,
                             .node = {from, to},
                             .run = {s->nodes[from].run, 0},
                             .end = {SIM_END_OPEN, SIM_END_NEW}};
    s->counts.dials++;
    s->nodes[from].counts.dials++;
    put(s, t, 0, ITEM_SYN, NULL, 0);
    return t->number;
}

/* Which end of it the process at `node` has; 2: none that is open. (A node that dialled itself has both: the dialler's
 * end is found first, and once that is closed the other.) */
static unsigned end_of(const struct sim *s, const struct sim_stream *t, unsigned node) {
    for (unsigned d = 0; d < 2; d++)
        if (t->node[d] == node && t->end[d] == SIM_END_OPEN && t->run[d] == s->nodes[node].run) return d;
    return 2;
}

bool sim_send(struct sim *s, unsigned node, uint64_t stream, const void *bytes, size_t n) {
    CHECK(n <= SIM_STREAM_MESSAGE_MAX && node < s->nnodes);
    struct sim_stream *t = find(s, stream);
    const unsigned d = t == NULL ? 2 : end_of(s, t, node);
    if (d == 2) return false;
    s->counts.stream_messages++, s->nodes[node].counts.stream_messages++;
    s->counts.stream_bytes += n, s->nodes[node].counts.stream_bytes += n;
    put(s, t, d, ITEM_DATA, bytes, n);
    return true;
}

/* The process at this end is done with it; what it sent goes on its way. */
static void close_end(struct sim *s, struct sim_stream *t, unsigned end) {
    t->end[end] = SIM_END_CLOSED;
    put(s, t, end, ITEM_CLOSE, NULL, 0);
}

void sim_close(struct sim *s, unsigned node, uint64_t stream) {
    struct sim_stream *t = find(s, stream);
    const unsigned d = t == NULL ? 2 : end_of(s, t, node);
    if (d < 2) close_end(s, t, d);
}

/* ---- What a process is told ---- */

/* Tells the process at node what came out of a stream: m->what is an enum sim_stream_event, m->from its end. */
void sim_stream_hand(struct sim *s, unsigned node, struct sim_message *m) {
    static const char *const names[] = {"opened", "accepted", "data", "closed"};
    struct sim_node *n = &s->nodes[node];
    struct sim_stream *t = find(s, m->stream);
    if (t == NULL) return;
    const unsigned end = m->from;
    if (m->what == SIM_STREAM_ACCEPTED && t->end[1] == SIM_END_WAITING) {
        t->end[1] = SIM_END_OPEN;
        t->run[1] = n->run;
    }
    if (t->end[end] != SIM_END_OPEN || t->run[end] != n->run) return;
    if (m->what == SIM_STREAM_CLOSED) {
        t->end[end] = SIM_END_CLOSED;
        sim_drop_queue(s, &t->queue[end]);
    }
    sim_saw(s, names[m->what], node, t->node[!end], m->data, m->bytes);
    if (n->calls->on_stream != NULL)
        n->calls->on_stream(n->process, s, node, m->stream, (enum sim_stream_event)m->what, t->node[!end], m->data,
                            m->bytes);
    if (find(s, m->stream) == t) free_if_over(s, t);
}

/* Tells the process at an end now, or when it is no longer paused. Takes m. */
static void tell(struct sim *s, struct sim_stream *t, unsigned end, struct sim_message *m, enum sim_stream_event what) {
    struct sim_node *n = &s->nodes[t->node[end]];
    m->stream = t->number;
    m->what = (uint8_t)what;
    m->from = end;
    if (n->state == SIM_NODE_PAUSED) {
        sim_queue_put(&n->inbox, m);
        return;
    }
    if (n->state == SIM_NODE_UP) sim_stream_hand(s, t->node[end], m);
    sim_message_free(s, m);
}

/* ---- What arrives ---- */

/* Answers an item that nobody is there for: whoever sent it hears that the stream is gone. */
static void refuse(struct sim *s, struct sim_stream *t, unsigned direction, struct sim_message *m) {
    const bool answer = m->what != ITEM_CLOSE && m->what != ITEM_RESET;
    if (m->what == ITEM_SYN) {
        s->counts.streams_refused++;
        t->end[1] = SIM_END_CLOSED;
    }
    sim_message_free(s, m);
    if (!answer || t->end[direction] == SIM_END_CLOSED) return;
    sim_drop_queue(s, &t->queue[direction]);
    put(s, t, !direction, ITEM_RESET, NULL, 0);
}

/* The kernel at the receiving end has the item; takes m. */
static void arrives(struct sim *s, struct sim_stream *t, unsigned direction, struct sim_message *m) {
    const unsigned end = !direction;
    const struct sim_node *n = &s->nodes[t->node[end]];
    const bool running = n->state == SIM_NODE_UP || n->state == SIM_NODE_PAUSED;
    const bool mine = m->what == ITEM_SYN ? running : t->end[end] != SIM_END_CLOSED;
    if (!running || !mine) {
        refuse(s, t, direction, m);
        return;
    }
    switch ((enum stream_item)m->what) {
    case ITEM_SYN:
        t->end[1] = SIM_END_WAITING;
        put(s, t, end, ITEM_OPEN, NULL, 0);
        tell(s, t, end, m, SIM_STREAM_ACCEPTED);
        break;
    case ITEM_OPEN: tell(s, t, end, m, SIM_STREAM_OPENED); break;
    case ITEM_DATA: tell(s, t, end, m, SIM_STREAM_DATA); break;
    case ITEM_CLOSE:
    case ITEM_RESET: tell(s, t, end, m, SIM_STREAM_CLOSED); break;
    }
}

static void tell_broken(struct sim *s, struct sim_stream *t, unsigned end) {
    if (t->end[end] == SIM_END_NEW) t->end[end] = SIM_END_CLOSED; /* the dial never arrived */
    if (t->end[end] != SIM_END_OPEN) return;
    s->counts.streams_broken++;
    tell(s, t, end, sim_message_new(s, t->node[end], NULL, 0), SIM_STREAM_CLOSED);
}

/* The path was blocked for too long: the sender's end breaks. A dial ends for both when either way is blocked. */
static void breaks(struct sim *s, struct sim_stream *t, unsigned direction) {
    const uint8_t what = t->queue[direction].head->what;
    const uint64_t number = t->number;
    sim_drop_queue(s, &t->queue[direction]);
    tell_broken(s, t, direction);
    if ((what == ITEM_SYN || what == ITEM_OPEN) && find(s, number) == t) tell_broken(s, t, !direction);
}

void sim_stream_step(struct sim *s, uint64_t stream, unsigned direction) {
    struct sim_stream *t = find(s, stream);
    CHECK(t != NULL);
    t->scheduled[direction] = false;
    struct sim_message *head = t->queue[direction].head;
    const unsigned from = t->node[direction], to = t->node[!direction];
    if (head != NULL) {
        const bool open = sim_is_open(s, from, to) && sim_is_open(s, to, from) && s->nodes[to].state != SIM_NODE_DARK;
        if (open) {
            arrives(s, t, direction, sim_queue_get(&t->queue[direction]));
        } else if (head->blocked_since == 0) {
            head->blocked_since = s->now;
            schedule(s, t, direction, REPEAT_NS);
        } else if (s->now - head->blocked_since < s->stream_timeout) {
            schedule(s, t, direction, REPEAT_NS);
        } else {
            breaks(s, t, direction);
        }
    }
    t = find(s, stream);
    if (t == NULL) return;
    set_out(s, t, direction);
    free_if_over(s, t);
}

void sim_stream_crash(struct sim *s, unsigned node, bool told) {
    for (uint32_t i = 0; i < s->nstreams; i++) {
        struct sim_stream *t = &s->streams[i];
        for (unsigned d = 0; d < 2; d++) {
            if (t->number == 0 || t->node[d] != node) continue;
            if (t->end[d] != SIM_END_OPEN && t->end[d] != SIM_END_WAITING) continue;
            close_end(s, t, d);
            if (!told) sim_drop_queue(s, &t->queue[d]);
            free_if_over(s, t);
        }
    }
}

void sim_stream_free_all(struct sim *s) {
    for (uint32_t i = 0; i < s->nstreams; i++)
        for (unsigned d = 0; d < 2; d++)
            if (s->streams[i].number != 0) sim_drop_queue(s, &s->streams[i].queue[d]);
    free(s->streams);
}
