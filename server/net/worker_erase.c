/* SPDX-License-Identifier: BSD-3-Clause */
#include "net/worker_erase.h"

#include "base/erase.h"
#include "net/conn_link_state.h"
#include "net/conn_out.h"
#include "net/conn_state.h"
#include "net/conn_write.h"
#include "net/worker.h"
#include "net/worker_state.h"

/* ------------------------------------------------------------------ a connection */

/* The bytes of a buffer but for those from `begin` to `end`. */
static void erase_but(char *p, size_t size, size_t begin, size_t end) {
    erase_bytes(p, begin);
    erase_bytes(p + end, size - end);
}

static void erase_unused(struct conn *c, void *arg) {
    const struct conn_link *l = c->link;
    (void)arg;
    if (c->in != NULL) erase_but(c->in, c->in_cap + NET_PADDING, c->in_off, c->in_off + (size_t)c->in_len);
    for (struct conn_chunk *k = c->out_head; k != NULL; k = k->next)
        if (k->cap != 0) erase_but(k->data, k->cap, k->off, k->len);
    if (l != NULL && l->buf != NULL) erase_but(l->buf, l->cap, l->start, (size_t)(l->room.next - l->buf));
}

/* What it has to be sent now is waited for. */
static void mark(struct conn *c, void *arg) {
    (void)arg;
    c->owed = c->out_pending;
    if (c->link != NULL) c->link->owed = c->link->sent + conn_link_waiting(c->link);
}

static void add_owed(struct conn *c, void *arg) {
    bool *any = arg;
    *any |= c->owed > 0 || (c->link != NULL && c->link->owed > c->link->sent);
}

/* ------------------------------------------------------------------ the worker */

static void finish(struct net_worker *w) {
    struct net_erasing *e = w->erasing;
    w->erasing = NULL;
    e->done(w, e->arg);
}

static void look(struct net_worker *w) {
    struct net_erasing *e = w->erasing;
    bool owed = false;
    conn_flush_out(w);
    const bool more = e->more(w, e->arg, !e->marked);
    if (more || !e->marked) worker_each_conn(w, mark, NULL); /* what is under way may become output */
    e->marked = true;
    worker_each_conn(w, erase_unused, NULL);
    erase_bytes(w->in, NET_KEPT_MAX + NET_READ_MAX + NET_PADDING);
    erase_bytes(w->out->buf, NET_OUT_BYTES);
    erase_bytes(w->scratch, CONN_RESERVE_MAX);
    erase_stack();
    worker_each_conn(w, add_owed, &owed);
    if (more || owed)
        worker_stir(w); /* ticks come while it waits */
    else
        finish(w);
}

static void begin(struct net_worker *w, void *arg) {
    w->erasing = arg;
    if (w->stop)
        finish(w);
    else
        look(w);
}

void worker_erase(struct net_worker *w, struct net_erasing *e) {
    worker_post(w, &e->post, begin, e);
}

void worker_erase_tick(struct net_worker *w) {
    if (w->erasing != NULL) look(w);
}

void worker_erase_end(struct net_worker *w) {
    if (w->erasing != NULL) finish(w);
}
