/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/peers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/link.h"

#define MS UINT64_C(1000000)

struct transport_peer peers_shown(const struct peer *p) {
    return (struct transport_peer){
        .id = p->id, .boot = p->boot, .version = p->version, .address = p->said_address, .ring_name = p->ring_name};
}

struct peer *peers_find(const struct transport *t, const struct cluster_id *id) {
    return idmap_get(&t->peers, id);
}

struct peer *peers_get(struct transport *t, const struct cluster_id *id) {
    struct peer *p = peers_find(t, id);
    if (p != NULL || t->peers.n == DATAGRAM_SENDERS_MAX) return p;
    p = calloc(1, sizeof *p);
    if (p == NULL) return NULL;
    p->id = *id;
    if (idmap_put(&t->peers, id, p) == 0) return p;
    free(p);
    return NULL;
}

void peers_drop_waiting(struct transport *t, struct peer *p) {
    transport_state_bump(t, TRANSPORT_METRIC_messages_dropped, p->nwaiting);
    p->nwaiting = 0;
    outbuf_fini(&p->waiting);
}

void peers_forget(struct transport *t, struct peer *p) {
    if (p->gone) return;
    p->gone = true;
    (void)idmap_remove(&t->peers, &p->id);
    datagram_forget(t->datagram, &p->id);
    peers_drop_waiting(t, p);
    p->dead_next = t->dead_peers;
    t->dead_peers = p;
}

void peers_release(struct transport *t, struct peer *p) {
    if (!p->placed && p->nlinks == 0) peers_forget(t, p);
}

void peers_fini(struct transport *t) {
    unsigned at = 0;
    for (struct peer *p; (p = idmap_next(&t->peers, &at)) != NULL;) {
        outbuf_fini(&p->waiting);
        free(p);
    }
    idmap_fini(&t->peers);
}

void peers_attach(struct peer *p, struct link *l) {
    l->peer = p;
    p->nlinks++;
}

void peers_detach(struct link *l) {
    struct peer *p = l->peer;
    if (p == NULL) return;
    if (p->dialing == l) p->dialing = NULL;
    l->peer = NULL;
    p->nlinks--;
    peers_release(l->t, p);
}

/* ------------------------------------------------------------------ where it is */

void peers_ask(struct transport *t, struct peer *p) {
    if (p->asking || !p->named) return;
    p->asking = dns_ask(t->dns, p->address) == 0;
}

static void peer_found(struct transport *t, struct peer *p, const struct address *found, unsigned n) {
    p->asking = false;
    p->in_use = 0;
    p->naddresses = n < TRANSPORT_PEER_ADDRESSES ? n : TRANSPORT_PEER_ADDRESSES;
    memcpy(p->addresses, found, p->naddresses * sizeof *found);
    transport_state_due(t, 0);
    if (n > 0) return;
    for (struct link *l = t->links; l != NULL; l = l->next)
        if (l->peer == p && l->state == LINK_WAITING) link_end(l, -ENOENT);
}

/* Whether a link leads to this address already. */
static bool is_linked(const struct transport *t, const struct address *a) {
    for (const struct link *l = t->links; l != NULL; l = l->next)
        if (l->dialled && l->use == PSK_CONTROL && l->state < LINK_DRAINING && address_equal(&l->remote, a))
            return true;
    unsigned at = 0;
    for (const struct peer *p; (p = idmap_next(&t->peers, &at)) != NULL;)
        for (unsigned i = 0; p->link != NULL && i < p->naddresses; i++)
            if (address_equal(&p->addresses[i], a)) return true;
    return false;
}

void peers_found(void *arg, const char *name, const struct address *found, unsigned n) {
    struct transport *t = arg;
    unsigned at = 0;
    transport_state_enter(t);
    for (struct peer *p; (p = idmap_next(&t->peers, &at)) != NULL;) {
        if (!p->asking || strcmp(p->address, name) != 0) continue;
        peer_found(t, p, found, n);
        if (p->gone) at = 0; /* the table has changed; those that are done do not ask any more */
    }
    for (unsigned i = 0; i < t->ntries; i++) {
        if (strcmp(t->tries[i], name) != 0) continue;
        memmove(t->tries[i], t->tries[--t->ntries], sizeof t->tries[i]);
        for (unsigned j = 0; j < n; j++)
            if (!is_linked(t, &found[j])) (void)link_new(t, &found[j], PSK_CONTROL);
        break;
    }
    transport_state_due(t, 0);
    transport_state_leave(t);
}

/* ------------------------------------------------------------------ dialling */

struct link *peers_dial(struct transport *t, struct peer *p, enum psk_use use) {
    struct link *l = link_new(t, NULL, use);
    if (l == NULL) return NULL;
    peers_attach(p, l);
    l->start_ns = p->retry_ns;
    if (use == PSK_CONTROL) p->dialing = l;
    if (p->naddresses == 0) peers_ask(t, p);
    transport_state_due(t, l->start_ns);
    return l;
}

uint64_t peers_dial_waiting(struct transport *t, uint64_t now) {
    uint64_t next = UINT64_MAX;
    for (struct link *l = t->links; l != NULL; l = l->next) {
        if (l->state != LINK_WAITING) continue;
        if (l->start_ns > now) {
            if (l->start_ns < next) next = l->start_ns;
        } else if (l->peer != NULL && l->peer->naddresses == 0) {
            if (!l->peer->asking) link_end(l, -EHOSTUNREACH); /* nobody can say where it is */
        } else if (t->ours < TRANSPORT_HANDSHAKES_MAX) {
            link_dial(l);
        }
    }
    return next;
}

static void dial_at_once(struct transport *t, struct peer *p) {
    p->backoff_ms = 0;
    p->retry_ns = 0;
    for (struct link *l = t->links; l != NULL; l = l->next)
        if (l->peer == p) link_hurry(l);
    transport_state_due(t, 0);
}

void peers_reached(struct transport *t, struct peer *p) {
    p->refused = false;
    dial_at_once(t, p);
}

void peers_heard(struct transport *t, const struct cluster_id *id) {
    struct peer *p = peers_find(t, id);
    if (p != NULL && p->nlinks > (p->link != NULL) && !p->refused) dial_at_once(t, p);
}

static void back_off(struct transport *t, struct peer *p, bool refused) {
    uint32_t ms = p->backoff_ms == 0 ? TRANSPORT_BACKOFF_MIN_MS : 2 * p->backoff_ms;
    if (ms > TRANSPORT_BACKOFF_MAX_MS) ms = TRANSPORT_BACKOFF_MAX_MS;
    if (refused) ms = TRANSPORT_REFUSED_MS;
    p->refused = refused;
    p->backoff_ms = ms;
    p->retry_ns = transport_state_now(t) + (ms - rand_below(&t->rand, ms / 2)) * MS;
    if (p->named) p->naddresses = 0; /* its name may stand for another address by now */
}

/* Tells whoever waits for a data link that there is none. */
static void tell_no_data_link(struct link *l, const struct cluster_id *id, int err) {
    const struct transport_data_link d = {
        .id = *id, .worker = l->worker, .kind = l->kind, .dialled = true, .fd = -1, .err = err};
    l->t->cfg.events.on_data_link(l->t->cfg.events.arg, &d);
}

void peers_failed(struct link *l, int err, bool refused) {
    struct transport *t = l->t;
    struct peer *p = l->peer;
    if (l->told) return;
    l->told = true;
    transport_state_bump(t, TRANSPORT_METRIC_links_failed, 1);
    if (!l->dialled || p == NULL || t->stopping) return;
    const struct cluster_id id = p->id; /* the upcall may forget it */
    if (p->dialing == l) p->dialing = NULL;
    back_off(t, p, refused);
    if (l->use == PSK_DATA) {
        tell_no_data_link(l, &id, err);
    } else if (p->link == NULL) {
        peers_drop_waiting(t, p);
        t->cfg.events.on_unreachable(t->cfg.events.arg, &id);
    }
}

/* ------------------------------------------------------------------ links that are up */

/* Two links between the same processes: of two dialled at once that of the node with the lower id stays. Both sides see
 * it so. Else the later one stays: whoever dialled it knows that the earlier one is broken. */
bool peers_is_better(const struct link *l, const struct peer *p) {
    if (l->dialled == p->link->dialled || l->begun_ns > p->link->up_ns + TRANSPORT_TWINS_MS * MS) return true;
    bool mine_is_lower = memcmp(l->t->cfg.hello.node.bytes, p->id.bytes, sizeof p->id.bytes) < 0;
    return l->dialled == mine_is_lower;
}

void peers_link_down(struct link *l) {
    struct transport *t = l->t;
    struct peer *p = l->peer;
    if (p == NULL || p->link != l) return;
    const struct cluster_id id = p->id;
    p->link = NULL;
    sync_store(&t->links_open, t->links_open - 1);
    if (!t->stopping) t->cfg.events.on_peer_down(t->cfg.events.arg, &id, l->boot);
}

/* What was to be sent by the link that is being dialled goes by this one. */
static void take_waiting(struct link *l, struct peer *p) {
    struct transport *t = l->t;
    size_t n = p->waiting.end - p->waiting.start;
    struct link *dialing = p->dialing;
    if (n > 0 && !outbuf_append(&l->out, p->waiting.p + p->waiting.start, n)) {
        peers_drop_waiting(t, p);
    } else {
        transport_state_bump(t, TRANSPORT_METRIC_messages_sent, p->nwaiting);
        p->nwaiting = 0;
        outbuf_fini(&p->waiting);
    }
    if (dialing == NULL || dialing == l) {
        p->dialing = NULL;
    } else if (dialing->state == LINK_WAITING) { /* not needed any more */
        dialing->told = true;
        link_end(dialing, 0);
    }
    link_flush_soon(l);
}

/* A node that says itself where it is: believed unless the owner knows better. */
static void note_said(struct peer *p, const struct peer_hello *hello, uint32_t version) {
    struct hostport at;
    p->boot = hello->boot;
    p->version = version;
    strcpy(p->said_address, hello->address);
    strcpy(p->ring_name, hello->ring_name);
    if (p->placed || strcmp(p->address, hello->address) == 0 || !hostport_read(hello->address, &at)) return;
    strcpy(p->address, hello->address);
    p->in_use = 0;
    p->naddresses = address_numeric(at.host, at.port, &p->addresses[0]);
    p->named = p->naddresses == 0;
}

void peers_link_up(struct link *l, const struct peer_hello *hello, uint32_t version) {
    struct transport *t = l->t;
    struct peer *p = peers_find(t, &hello->node);
    struct link *before = p->link;
    if (l->peer == NULL) peers_attach(p, l);
    link_set_state(l, LINK_UP);
    l->was_up = l->told = true;
    l->boot = hello->boot;
    l->up_ns = l->used_ns = l->heard_ns = transport_state_now(t);
    transport_state_bump(t, TRANSPORT_METRIC_links_up, 1);
    transport_state_due(t, l->heard_ns + TRANSPORT_PING_MS * MS);
    peers_reached(t, p);
    if (before != NULL && before->boot == hello->boot) {
        bool better = peers_is_better(l, p);
        if (better) p->link = l;
        if (p->dialing == l) p->dialing = NULL;
        link_drain(better ? before : l);
        return;
    }
    if (before != NULL) link_end(before, -ESTALE); /* of the process before */
    if (l->state != LINK_UP || p->gone) return;    /* the upcall did not like it */
    p->link = l;
    sync_store(&t->links_open, t->links_open + 1);
    note_said(p, hello, version);
    take_waiting(l, p);
    struct transport_peer shown = peers_shown(p);
    t->cfg.events.on_peer_up(t->cfg.events.arg, &shown);
}

void peers_link_ended(struct link *l, enum link_state was, int err) {
    if (was == LINK_UP && err != 0) transport_state_bump(l->t, TRANSPORT_METRIC_links_lost, 1);
    if (was <= LINK_HELLO) peers_failed(l, err != 0 ? err : -ECONNRESET, false);
    peers_detach(l);
}
