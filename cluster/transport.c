/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/transport.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/handshake.h"
#include "cluster/link.h"
#include "cluster/peers.h"
#include "cluster/sockets.h"
#include "cluster/transport_state.h"

#define MS UINT64_C(1000000)

/* ------------------------------------------------------------------ time */

/* Others are let in while there is room for their handshakes. */
static void theirs_changed(struct transport *t) {
    sockets_listen(t, t->theirs < TRANSPORT_HANDSHAKES_MAX);
}

/* While others wait to be let in, the oldest handshake that somebody else began makes room as soon as it has had its
 * time. Until when it may stay. */
static uint64_t hurry(struct transport *t, uint64_t now) {
    struct link *oldest = NULL;
    theirs_changed(t);
    if (t->listening) return UINT64_MAX;
    for (struct link *l = t->links; l != NULL; l = l->next)
        if (!l->dialled && link_is_handshake(l) && (oldest == NULL || l->begun_ns < oldest->begun_ns)) oldest = l;
    if (oldest == NULL) return UINT64_MAX;
    uint64_t until = oldest->begun_ns + TRANSPORT_HANDSHAKE_LEAST_MS * MS;
    if (until > now) return until;
    link_end(oldest, -ETIMEDOUT);
    return now;
}

void transport_tick(struct transport *t) {
    uint64_t now = transport_state_now(t), next = UINT64_MAX, at;
    transport_state_enter(t);
    t->armed_ns = UINT64_MAX;
    event_del(&t->timer);
    for (struct link *l = t->links; l != NULL; l = l->next) {
        at = link_tick(l, now);
        if (at < next) next = at;
    }
    at = hurry(t, now);
    if (at < next) next = at;
    at = peers_dial_waiting(t, now);
    if (at < next) next = at;
    if (next != UINT64_MAX) transport_state_due(t, next);
    transport_state_leave(t);
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    transport_tick(arg);
}

/* The end of the loop's round: all that was queued in it leaves. */
static void on_flush(evutil_socket_t fd, short what, void *arg) {
    struct transport *t = arg;
    (void)fd;
    (void)what;
    transport_state_enter(t);
    while (t->dirty != NULL) {
        struct link *l = t->dirty;
        t->dirty = l->dirty_next;
        l->dirty = false;
        link_flush(l);
    }
    transport_state_leave(t);
}

/* ------------------------------------------------------------------ life */

static const struct link_upcalls upcalls = {
    .ready = handshake_begin,
    .frame = handshake_frame,
    .tls_failed = handshake_tls_failed,
    .spoke_tls = handshake_spoke_tls,
    .down = peers_link_down,
    .ended = peers_link_ended,
    .theirs_changed = theirs_changed,
};

static void random_fill(void *arg, void *to, size_t n) {
    (void)arg;
    randombytes_buf(to, n);
}

static int make_parts(struct transport *t, char *err, size_t err_size) {
    const struct transport_config *cfg = &t->cfg;
    uint64_t seed;
    void *arena = malloc(PEER_CONTROL_ARENA_BYTES);
    if (arena == NULL) return -ENOMEM;
    peer_arena_init(&t->arena, arena, PEER_CONTROL_ARENA_BYTES);
    t->scratch = malloc(TRANSPORT_SCRATCH);
    if (t->scratch == NULL) return -ENOMEM;
    if (sodium_init() < 0) return -ENOSYS;
    if (t->cfg.random.fill == NULL) t->cfg.random.fill = random_fill;
    t->cfg.random.fill(t->cfg.random.arg, &seed, sizeof seed);
    rand_init(&t->rand, seed);
    t->peers.seed = rand_next(&t->rand);
    t->datagram = datagram_new(&(struct datagram_config){.cluster_name = cfg->hello.cluster_name,
                                                         .self = cfg->hello.node,
                                                         .boot = cfg->hello.boot,
                                                         .keyring = cfg->keyring,
                                                         .random = t->cfg.random});
    if (t->datagram == NULL) return -ENOMEM;
    if (!cfg->plain) {
        int e = psk_new(cfg->keyring, &t->psk, err, err_size);
        if (e != 0) return e;
    }
    return dns_new(cfg->base, cfg->resolver != NULL ? cfg->resolver : dns_system, peers_found, t, &t->dns);
}

int transport_new(const struct transport_config *cfg, struct transport **out, char *err, size_t err_size) {
    struct transport *t = calloc(1, sizeof *t);
    if (t == NULL) return -ENOMEM;
    t->cfg = *cfg;
    t->up = &upcalls;
    t->spare = -1;
    t->armed_ns = UINT64_MAX;
    event_assign(&t->timer, cfg->base, -1, 0, on_timer, t);
    event_assign(&t->flush, cfg->base, -1, 0, on_flush, t);
    err[0] = '\0';
    int e = make_parts(t, err, err_size);
    if (e == 0) e = sockets_open(t, err, err_size);
    if (e != 0) {
        if (err[0] == '\0') snprintf(err, err_size, "cannot set up the sockets between nodes: %s", strerror(-e));
        transport_free(t);
        return e;
    }
    t->cfg.keyring = NULL; /* the caller's; it may change */
    t->cfg.bind = NULL;
    *out = t;
    return 0;
}

void transport_free(struct transport *t) {
    if (t == NULL) return;
    t->stopping = true;
    transport_state_enter(t);
    for (struct link *l = t->links; l != NULL; l = l->next) link_end(l, -ESHUTDOWN);
    transport_state_leave(t);
    sockets_close(t);
    event_del(&t->timer);
    event_del(&t->flush);
    dns_free(t->dns);
    peers_fini(t);
    psk_free(t->psk);
    datagram_free(t->datagram);
    free(t->scratch);
    free(t->arena.bytes);
    free(t);
}

uint16_t transport_port(const struct transport *t) {
    return t->port;
}

void transport_set_hello(struct transport *t, const struct peer_hello *h) {
    struct peer_hello fresh = *h;
    memcpy(fresh.cluster_name, t->cfg.hello.cluster_name, sizeof fresh.cluster_name);
    fresh.node = t->cfg.hello.node;
    fresh.boot = t->cfg.hello.boot;
    t->cfg.hello = fresh;
}

void transport_set_keyring(struct transport *t, const struct keyring *k) {
    datagram_set_keyring(t->datagram, k);
    if (t->psk != NULL) psk_set_keyring(t->psk, k);
}

/* ------------------------------------------------------------------ what the owner asks for */

int transport_place(struct transport *t, const struct cluster_id *id, const char *address) {
    struct hostport at;
    if (!hostport_read(address, &at) || strcmp(at.host, "*") == 0) return -EINVAL;
    struct peer *p = peers_get(t, id);
    if (p == NULL) return t->peers.n == DATAGRAM_SENDERS_MAX ? -ENOSPC : -ENOMEM;
    p->placed = true;
    if (strcmp(p->address, address) == 0) return 0;
    strcpy(p->address, address);
    p->in_use = 0;
    p->naddresses = address_numeric(at.host, at.port, &p->addresses[0]);
    p->named = p->naddresses == 0;
    p->backoff_ms = 0;
    p->retry_ns = 0;
    return 0;
}

int transport_try(struct transport *t, const char *address) {
    for (unsigned i = 0; i < t->ntries; i++)
        if (strcmp(t->tries[i], address) == 0) return 0;
    if (t->ntries == TRANSPORT_TRIES_MAX) return -ENOSPC;
    int e = dns_ask(t->dns, address);
    if (e == 0) strcpy(t->tries[t->ntries++], address); /* dns_ask has looked at its length */
    return e;
}

void transport_forget(struct transport *t, const struct cluster_id *id) {
    struct peer *p = peers_find(t, id);
    if (p == NULL) return;
    transport_state_enter(t);
    p->placed = false;
    for (struct link *l = t->links; l != NULL; l = l->next) {
        if (l->peer != p) continue;
        link_end(l, -ESHUTDOWN);
    }
    peers_forget(t, p);
    transport_state_leave(t);
}

bool transport_send(struct transport *t, const struct cluster_id *to, const void *bytes, size_t n) {
    struct peer *p = peers_find(t, to);
    if (p != NULL && p->link != NULL) {
        p->link->used_ns = transport_state_now(t);
        return link_send(p->link, bytes, n);
    }
    if (p != NULL && (p->naddresses > 0 || p->named) && outbuf_frame(&p->waiting, bytes, n)) {
        p->nwaiting++;
        if (p->dialing != NULL || peers_dial(t, p, PSK_CONTROL) != NULL) return true;
        peers_drop_waiting(t, p);
        return false;
    }
    transport_state_bump(t, TRANSPORT_METRIC_messages_dropped, 1);
    return false;
}

bool transport_ping(struct transport *t, const struct cluster_id *to, uint64_t number) {
    uint8_t ping[64];
    return transport_send(t, to, ping, peer_ping_pack(number, ping, sizeof ping));
}

int transport_want_data_link(struct transport *t, const struct cluster_id *to, uint32_t worker, enum peer_link kind) {
    struct peer *p = peers_find(t, to);
    if (p == NULL || (p->naddresses == 0 && !p->named)) return -EHOSTUNREACH;
    struct link *l = peers_dial(t, p, PSK_DATA);
    if (l == NULL) return -ENOMEM;
    l->worker = worker;
    l->kind = kind;
    return 0;
}

bool transport_is_up(const struct transport *t, const struct cluster_id *id) {
    const struct peer *p = peers_find(t, id);
    return p != NULL && p->link != NULL;
}

bool transport_datagram(struct transport *t, const struct cluster_id *to, const void *bytes, size_t n) {
    uint8_t sealed[DATAGRAM_MAX];
    struct peer *p = peers_find(t, to);
    if (p != NULL && p->naddresses == 0) peers_ask(t, p);
    if (p == NULL || p->naddresses == 0 || n > DATAGRAM_PAYLOAD_MAX) {
        transport_state_bump(t, TRANSPORT_METRIC_datagrams_unsent, 1);
        return false;
    }
    size_t sealed_n = datagram_seal(t->datagram, datagram_version_of(t->datagram, to), bytes, n, sealed);
    bool sent = sockets_send(t, &p->addresses[p->in_use], sealed, sealed_n);
    transport_state_bump(t, sent ? TRANSPORT_METRIC_datagrams_sent : TRANSPORT_METRIC_datagrams_unsent, 1);
    if (sent) transport_state_bump(t, TRANSPORT_METRIC_datagram_bytes_sent, sealed_n);
    return sent;
}

/* ------------------------------------------------------------------ counters */

uint64_t transport_metric(const struct transport *t, enum transport_metric m) {
    return sync_load(&t->metrics[m]);
}

const char *transport_metric_name(enum transport_metric m) {
    static const char *const names[] = {
#define TRANSPORT_METRIC_TEXT(name, help) #name,
        TRANSPORT_METRICS(TRANSPORT_METRIC_TEXT)
#undef TRANSPORT_METRIC_TEXT
    };
    return names[m];
}

unsigned transport_links_open(const struct transport *t) {
    return sync_load(&t->links_open);
}
