/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/handshake.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cluster/hello.h"
#include "cluster/link.h"
#include "cluster/peers.h"

/* ------------------------------------------------------------------ refusing */

static void tell_refused(struct link *l, const struct peer_refusal *why, bool by_them) {
    struct transport *t = l->t;
    transport_state_bump(t, TRANSPORT_METRIC_links_refused, 1);
    if (!t->stopping) t->cfg.events.on_refused(t->cfg.events.arg, l->where, why, by_them);
}

void handshake_refuse(struct link *l, const struct peer_refusal *why) {
    uint8_t bytes[PEER_REFUSAL_BYTES_MAX];
    tell_refused(l, why, false);
    if (l->state == LINK_DEAD) return;
    peers_failed(l, -EACCES, true);
    if (l->state == LINK_DEAD) return;
    link_send(l, bytes, peer_refusal_pack(why, bytes, sizeof bytes));
    link_drain(l);
}

/* A sentence of our own, with the settings that it is about. */
static void refuse(struct link *l, const char *setting, const char *reason) {
    struct peer_refusal why = {0};
    snprintf(why.setting, sizeof why.setting, "%s", setting);
    snprintf(why.reason, sizeof why.reason, "%s", reason);
    handshake_refuse(l, &why);
}

void handshake_tls_failed(struct link *l) {
    struct peer_refusal why = {0};
    const char *setting;
    psk_why(l->s.ssl, &setting, why.reason, sizeof why.reason);
    snprintf(why.setting, sizeof why.setting, "%s", setting);
    tell_refused(l, &why, false);
    if (l->state != LINK_DEAD) peers_failed(l, -EACCES, true);
}

void handshake_spoke_tls(struct link *l) {
    refuse(l, "--cluster-links", "the other side speaks TLS: start all nodes with the same --cluster-links");
}

/* ------------------------------------------------------------------ hello */

static enum peer_link kind_of(const struct link *l) {
    if (l->use != PSK_DATA) return PEER_LINK_CONTROL;
    return l->kind;
}

/* What this node says on this link. */
static struct peer_hello my_hello(const struct link *l) {
    struct peer_hello h = l->t->cfg.hello;
    memset(&h.wanted, 0, sizeof h.wanted);
    if (l->dialled && l->peer != NULL) h.wanted = l->peer->id;
    h.worker = l->dialled ? l->worker : 0;
    h.link = kind_of(l);
    return h;
}

static void send_hello(struct link *l) {
    uint8_t bytes[PEER_HELLO_BYTES_MAX];
    struct peer_hello h = my_hello(l);
    link_send(l, bytes, peer_hello_pack(&h, bytes, sizeof bytes));
}

void handshake_begin(struct link *l) {
    if (l->dialled) send_hello(l);
}

static const char later_process[] = "a process of this node that began later is known: stop one of them";

static void give_data_link(struct link *l, const struct peer_hello *theirs, uint32_t version) {
    struct transport *t = l->t;
    struct peer *p = peers_find(t, &theirs->node);
    if (p != NULL && theirs->boot < p->boot) {
        refuse(l, "--state-dir", later_process);
        return;
    }
    struct transport_data_link d = {
        .id = theirs->node,
        .boot = theirs->boot,
        .version = version,
        .worker = l->dialled ? l->worker : theirs->worker,
        .dialled = l->dialled,
        .kind = l->kind,
        .ring_version = theirs->ring_version,
    };
    if (!l->dialled) { /* the hello has to leave before the socket does */
        send_hello(l);
        link_flush(l);
        if (l->state != LINK_DEAD && l->out.start < l->out.end) link_end(l, -ENOBUFS); /* an empty socket takes it */
        if (l->state == LINK_DEAD) return;
    }
    transport_state_bump(t, TRANSPORT_METRIC_links_up, 1);
    l->told = true;
    struct stream s = link_give(l);
    peers_detach(l);
    if (p != NULL && !p->gone) peers_reached(t, p);
    d.fd = s.fd;
    d.ssl = s.ssl;
    t->cfg.events.on_data_link(t->cfg.events.arg, &d);
}

static void control_up(struct link *l, const struct peer_hello *theirs, uint32_t version) {
    struct transport *t = l->t;
    struct peer *p = peers_get(t, &theirs->node);
    int e = p == NULL ? -ENOSPC : datagram_know(t->datagram, &theirs->node, theirs->boot, version);
    if (e == -ESTALE) {
        refuse(l, "--state-dir", later_process);
    } else if (e != 0) {
        refuse(l, "members", "there is no room for another node: take nodes out that are gone (tagctl members forget)");
    } else {
        if (!l->dialled) send_hello(l);
        peers_link_up(l, theirs, version);
        return;
    }
    if (p != NULL) peers_release(t, p);
}

/* The other side's hello: is it acceptable? */
static void on_hello(struct link *l, const struct peer_hello *theirs) {
    struct transport *t = l->t;
    struct peer_refusal why = {0};
    uint32_t version = 0;
    if (!l->dialled) {
        const bool data = theirs->link >= PEER_LINK_DATA && theirs->link <= PEER_LINK_HANDOFF;
        l->kind = data ? (enum peer_link)theirs->link : PEER_LINK_DATA;
        if (l->s.ssl == NULL && data) l->use = PSK_DATA; /* TLS knew before */
    }
    if (theirs->link != kind_of(l)) {
        transport_state_bump(t, TRANSPORT_METRIC_protocol_errors, 1);
        link_end(l, -EPROTO);
        return;
    }
    struct peer_hello mine = my_hello(l);
    switch (hello_check(&mine, theirs, &version, &why)) {
    case HELLO_SELF: link_end(l, -ELOOP); return;
    case HELLO_REFUSED: handshake_refuse(l, &why); return;
    case HELLO_ACCEPTED: break;
    }
    if (t->cfg.events.on_hello != NULL && !t->cfg.events.on_hello(t->cfg.events.arg, theirs, &why)) {
        handshake_refuse(l, &why);
        return;
    }
    if (l->state == LINK_DEAD) return;
    if (l->use == PSK_DATA)
        give_data_link(l, theirs, version);
    else
        control_up(l, theirs, version);
}

/* ------------------------------------------------------------------ messages */

static void broken(struct link *l) {
    transport_state_bump(l->t, TRANSPORT_METRIC_protocol_errors, 1);
    link_end(l, -EPROTO);
}

static void on_refusal(struct link *l, const Peer__Control *m) {
    struct peer_refusal why;
    (void)peer_refusal_read(m, &why);
    tell_refused(l, &why, true);
    if (l->state == LINK_DEAD) return;
    if (l->state != LINK_DRAINING) peers_failed(l, -EACCES, true);
    link_end(l, -EACCES);
}

static void before_hello(struct link *l, const Peer__Control *m) {
    struct peer_hello theirs;
    enum peer_kind kind = peer_control_kind(m);
    if (kind == PEER_REFUSAL)
        on_refusal(l, m);
    else if (kind == PEER_HELLO && peer_hello_read(m, &theirs))
        on_hello(l, &theirs);
    else
        broken(l);
}

static void on_message(struct link *l, const Peer__Control *m) {
    struct transport *t = l->t;
    uint64_t number;
    uint8_t pong[64];
    switch (peer_control_kind(m)) {
    case PEER_PING:
        if (l->state == LINK_UP && peer_ping_read(m, &number))
            link_send(l, pong, peer_pong_pack(number, pong, sizeof pong));
        return;
    case PEER_PONG:
        if (l->peer != NULL && peer_pong_read(m, &number) && t->cfg.events.on_pong != NULL) {
            const struct transport_peer shown = peers_shown(l->peer);
            t->cfg.events.on_pong(t->cfg.events.arg, &shown, number);
        }
        return;
    case PEER_NONE: return;
    case PEER_HELLO: broken(l); return;
    case PEER_REFUSAL: on_refusal(l, m); return;
    default: break;
    }
    l->used_ns = transport_state_now(t);
    const struct peer *p = l->peer;
    if (p == NULL || p->gone || p->boot != l->boot) return; /* of a process that is gone */
    struct transport_peer from = peers_shown(p);
    t->cfg.events.on_control(t->cfg.events.arg, &from, m);
}

void handshake_frame(struct link *l, const void *bytes, size_t n) {
    struct transport *t = l->t;
    Peer__Control *m = NULL;
    transport_state_bump(t, TRANSPORT_METRIC_messages_received, 1);
    if (l->state == LINK_DRAINING && !l->was_up) return; /* it was refused: nothing it says matters */
    peer_arena_reset(&t->arena);
    enum peer_status status = peer_control_unpack(&t->arena, bytes, n, &t->counts, &m);
    transport_state_count_unknown(t);
    if (status != PEER_OK)
        broken(l);
    else if (l->state == LINK_HELLO)
        before_hello(l, m);
    else
        on_message(l, m);
}
