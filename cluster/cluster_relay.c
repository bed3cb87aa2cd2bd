/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Commands passed on to another node (`cluster at NAME COMMAND`), for operators who cannot reach it themselves. The
 * other node runs the command as a client's: on a connection to itself, whose answer ends where that of an `mn` behind
 * it begins. */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cluster/cluster_state.h"
#include "proto/peer_ask.h"

#define ANSWER_MAX (1024 * 1024) /* bytes of an answer */
#define RUNS_MAX 64              /* commands of other nodes that run at a time */
#define RELAYS_MAX 4096          /* commands passed on that are under way at a time */
#define WAIT_S 5                 /* how long an answer may take */

/* A command that this node has passed on. */
struct cluster_relay {
    TAILQ_ENTRY(cluster_relay) entry;
    cluster_relay_done *done;
    void *arg;
    uint64_t number, deadline_ns;
    char name[CONFIGURATION_NAME_MAX + 1];
    struct evbuffer *answer;
};

/* A command of another node that this one runs. */
struct cluster_run {
    TAILQ_ENTRY(cluster_run) entry;
    struct cluster *c;
    struct bufferevent *connection;
    struct cluster_id asker;
    uint64_t number;
    size_t least; /* bytes of the answer and the mark behind it: the answer to an `mn` looks like the mark */
};

/* ------------------------------------------------------------------ running for others */

static void run_free(struct cluster_run *r) {
    TAILQ_REMOVE(&r->c->runs, r, entry);
    r->c->nruns--;
    bufferevent_free(r->connection);
    free(r);
}

/* Sends an answer, in parts. */
static void tell(struct cluster *c, const struct cluster_id *asker, uint64_t number, const char *text, size_t n) {
    size_t at = 0;
    do {
        const size_t part = n - at < PEER_TOLD_PART_MAX ? n - at : PEER_TOLD_PART_MAX;
        const struct peer_told t = {.number = number, .text = text + at, .n = part, .last = at + part == n};
        const size_t packed = peer_told_pack(&t, c->packed, PEER_CONTROL_MAX);
        if (packed > 0) cluster_send(c, asker, NULL, c->packed, packed);
        at += part;
    } while (at < n);
}

static void tell_line(struct cluster *c, const struct cluster_id *asker, uint64_t number, const char *line) {
    tell(c, asker, number, line, strlen(line));
}

static void on_answer(struct bufferevent *b, void *arg) {
    static const char mark[] = "MN\r\n";
    struct cluster_run *r = arg;
    struct evbuffer *in = bufferevent_get_input(b);
    const size_t n = evbuffer_get_length(in), m = sizeof mark - 1;
    if (n > ANSWER_MAX + m) {
        tell_line(r->c, &r->asker, r->number, "SERVER_ERROR the answer is too large\r\n");
        run_free(r);
        return;
    }
    const char *p = n < r->least ? NULL : (const char *)evbuffer_pullup(in, -1);
    if (p == NULL || memcmp(p + n - m, mark, m) != 0 || (n > m && p[n - m - 1] != '\n')) return;
    tell(r->c, &r->asker, r->number, p, n - m);
    run_free(r);
}

static void on_end(struct bufferevent *b, short what, void *arg) {
    struct cluster_run *r = arg;
    (void)b;
    tell_line(r->c, &r->asker, r->number,
              (what & BEV_EVENT_TIMEOUT) != 0 ? "SERVER_ERROR the node did not answer in time\r\n"
                                              : "SERVER_ERROR the node closed the connection\r\n");
    run_free(r);
}

void cluster_relay_ask(struct cluster *c, const struct cluster_peer *from, const Peer__Control *m) {
    static const struct timeval wait = {WAIT_S - 1, 0};
    struct peer_ask ask;
    if (!peer_ask_read(m, &ask)) {
        c->malformed++;
        return;
    }
    struct cluster_run *r = c->nruns < RUNS_MAX ? calloc(1, sizeof *r) : NULL;
    const int fd = r == NULL ? -1 : c->cfg.up.client(c->cfg.up.arg, ask.privileged);
    if (fd >= 0) r->connection = bufferevent_socket_new(c->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (r == NULL || r->connection == NULL) {
        if (fd >= 0) close(fd);
        free(r);
        tell_line(c, &from->id, ask.number, "SERVER_ERROR too many commands under way there\r\n");
        return;
    }
    r->c = c;
    r->asker = from->id;
    r->number = ask.number;
    r->least = strlen("MN\r\n") * (strcmp(ask.line, "mn") == 0 ? 2 : 1);
    TAILQ_INSERT_TAIL(&c->runs, r, entry);
    c->nruns++;
    bufferevent_setcb(r->connection, on_answer, NULL, on_end, r);
    bufferevent_set_timeouts(r->connection, &wait, &wait);
    bufferevent_enable(r->connection, EV_READ | EV_WRITE);
    evbuffer_add_printf(bufferevent_get_output(r->connection), "%s\r\nmn\r\n", ask.line);
}

/* ------------------------------------------------------------------ passing on */

static void relay_free(struct cluster *c, struct cluster_relay *r) {
    TAILQ_REMOVE(&c->relays, r, entry);
    c->nrelays--;
    evbuffer_free(r->answer);
    free(r);
}

static void finish(struct cluster *c, struct cluster_relay *r) {
    const size_t n = evbuffer_get_length(r->answer);
    char *text = malloc(n + 1);
    if (text != NULL) {
        evbuffer_remove(r->answer, text, n);
        text[n] = 0;
    }
    r->done(c, r->arg, r->name, text, n);
    relay_free(c, r);
}

/* The answer is that there is none. */
static void fail(struct cluster *c, struct cluster_relay *r, const char *why) {
    evbuffer_drain(r->answer, evbuffer_get_length(r->answer));
    evbuffer_add_printf(r->answer, "SERVER_ERROR node %s %s\r\n", r->name, why);
    finish(c, r);
}

void cluster_relay_told(struct cluster *c, const struct cluster_peer *from, const Peer__Control *m) {
    struct peer_told t;
    struct cluster_relay *r;
    (void)from;
    if (!peer_told_read(m, &t)) {
        c->malformed++;
        return;
    }
    TAILQ_FOREACH(r, &c->relays, entry)
    if (r->number == t.number) break;
    if (r == NULL) return; /* it was given up */
    if (evbuffer_get_length(r->answer) + t.n > ANSWER_MAX)
        fail(c, r, "answers too much");
    else if (evbuffer_add(r->answer, t.text, t.n) == 0 && t.last)
        finish(c, r);
}

bool cluster_relay_begin(struct cluster *c, const struct configuration_member *m, const char *line, bool privileged,
                         cluster_relay_done *done, void *arg) {
    struct peer_ask ask = {.number = c->next_token++, .privileged = privileged};
    struct cluster_relay *r = c->nrelays < RELAYS_MAX ? calloc(1, sizeof *r) : NULL;
    if (r == NULL || (r->answer = evbuffer_new()) == NULL) {
        free(r);
        return false;
    }
    r->done = done;
    r->arg = arg;
    r->number = ask.number;
    r->deadline_ns = cluster_now(c) + WAIT_S * CLUSTER_SECOND_NS;
    snprintf(r->name, sizeof r->name, "%s", m->name);
    snprintf(ask.line, sizeof ask.line, "%s", line);
    TAILQ_INSERT_TAIL(&c->relays, r, entry);
    c->nrelays++;
    const size_t n = peer_ask_pack(&ask, c->packed, PEER_CONTROL_MAX);
    cluster_send(c, &m->id, m->address, c->packed, n);
    return true;
}

/* ------------------------------------------------------------------ time and life */

void cluster_relay_time(struct cluster *c, uint64_t now_ns) {
    struct cluster_relay *r, *next;
    for (r = TAILQ_FIRST(&c->relays); r != NULL && r->deadline_ns <= now_ns; r = next) {
        next = TAILQ_NEXT(r, entry);
        fail(c, r, "cannot be reached");
    }
}

uint64_t cluster_relay_next_ns(const struct cluster *c) {
    return TAILQ_EMPTY(&c->relays) ? UINT64_MAX : TAILQ_FIRST(&c->relays)->deadline_ns;
}

void cluster_relay_end(struct cluster *c) {
    struct cluster_relay *r, *next;
    struct cluster_run *run, *next_run;
    for (r = TAILQ_FIRST(&c->relays); r != NULL; r = next) {
        next = TAILQ_NEXT(r, entry);
        fail(c, r, "was not asked: this node is ending");
    }
    for (run = TAILQ_FIRST(&c->runs); run != NULL; run = next_run) {
        next_run = TAILQ_NEXT(run, entry);
        run_free(run);
    }
}
