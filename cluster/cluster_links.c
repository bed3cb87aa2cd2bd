/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Between the transport and the machines: who is connected, what arrives and for whom it is, links for the workers. */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hostport.h"
#include "cluster/address.h"
#include "cluster/cluster_state.h"

/* ------------------------------------------------------------------ addresses */

static bool is_wildcard(const char *host) {
    return strcmp(host, "*") == 0 || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

/* Adds an interface's address to those found, if other machines can reach it. */
static unsigned add_interface(const struct ifaddrs *i, char found[ADDRESS_TEXT], unsigned n) {
    struct address a;
    if (i->ifa_addr == NULL || (i->ifa_flags & IFF_UP) == 0) return n;
    const int family = i->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) return n;
    const socklen_t len = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    if (!address_from(i->ifa_addr, len, &a) || address_is_loopback(&a)) return n;
    if (family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&a.v6.sin6_addr)) return n;
    char text[INET6_ADDRSTRLEN];
    inet_ntop(family, family == AF_INET ? (const void *)&a.v4.sin_addr : (const void *)&a.v6.sin6_addr, text,
              sizeof text);
    snprintf(found, ADDRESS_TEXT, "%s", text);
    return n + 1;
}

/* The one address of this machine that others can reach; loopback if there is none. */
static int own_address(char host[ADDRESS_TEXT], char *err, size_t err_size) {
    struct ifaddrs *all;
    unsigned n = 0;
    if (getifaddrs(&all) != 0) {
        snprintf(err, err_size, "cannot list this machine's addresses: %s: give --cluster-advertise HOST:PORT",
                 strerror(errno));
        return -EINVAL;
    }
    for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next) n = add_interface(i, host, n);
    freeifaddrs(all);
    if (n == 0) snprintf(host, ADDRESS_TEXT, "127.0.0.1");
    if (n <= 1) return 0;
    snprintf(
        err, err_size,
        "this machine has %u addresses: say which one other nodes are told, --cluster-advertise HOST:PORT (or bind "
        "one only, --cluster-bind HOST:PORT)",
        n);
    return -EINVAL;
}

/* Whether what is bound and said there may be, with the keys and links that were chosen. */
static int check_exposure(const struct cluster *c, const struct hostport *bind, char *err, size_t err_size) {
    struct address a;
    if (!address_numeric(is_wildcard(bind->host) ? "0.0.0.0" : bind->host, bind->port, &a)) {
        /* A name may stand for any address. */
        if (!address_numeric("0.0.0.0", bind->port, &a)) return -EINVAL;
    }
    const bool may =
        address_may_listen(&a, c->cfg.key_file != NULL, !c->cfg.plain_links, c->cfg.insecure, err, err_size);
    return may ? 0 : -EINVAL;
}

int cluster_links_address(struct cluster *c, char *err, size_t err_size) {
    struct hostport bind, advertise, ring;
    char host[ADDRESS_TEXT];
    int r = 0;
    if (!hostport_read(c->cfg.bind, &bind)) return -EINVAL;
    if (c->cfg.advertise != NULL) {
        snprintf(c->advertise, sizeof c->advertise, "%s", c->cfg.advertise);
    } else if (is_wildcard(bind.host)) {
        r = own_address(host, err, err_size);
        if (r == 0) hostport_text(host, bind.port, c->advertise);
    } else {
        snprintf(c->advertise, sizeof c->advertise, "%s", c->cfg.bind);
    }
    if (r != 0) return r;
    if (c->cfg.ring_name != NULL) {
        snprintf(c->ring_name, sizeof c->ring_name, "%s", c->cfg.ring_name);
    } else if (hostport_read(c->advertise, &advertise)) {
        char name[HOSTPORT_MAX + 1];
        hostport_text(advertise.host, c->cfg.client_port, name);
        if (strlen(name) < sizeof c->ring_name) strcpy(c->ring_name, name);
    }
    if (!hostport_read(c->ring_name, &ring)) {
        snprintf(err, err_size, "--ring-name %s: give HOST:PORT, as clients have it", c->ring_name);
        return -EINVAL;
    }
    return check_exposure(c, &bind, err, err_size);
}

/* ------------------------------------------------------------------ peers */

struct cluster_peer *cluster_peer_of(struct cluster *c, const struct cluster_id *id) {
    struct cluster_peer *p;
    TAILQ_FOREACH(p, &c->peers, entry)
    if (cluster_id_equal(&p->id, id)) return p;
    return NULL;
}

static void peer_free(struct cluster *c, struct cluster_peer *p) {
    TAILQ_REMOVE(&c->peers, p, entry);
    c->npeers--;
    peer_config_reader_fini(&p->reader);
    free(p);
}

void cluster_send(struct cluster *c, const struct cluster_id *to, const char *address, const void *bytes, size_t n) {
    if (address != NULL && address[0] != 0) (void)transport_place(c->transport, to, address);
    (void)transport_send(c->transport, to, bytes, n);
}

/* ------------------------------------------------------------------ who answers at an address */

static void tell_pong(struct cluster *c, struct cluster_ping *ping, const struct cluster_id *id, uint64_t boot,
                      const char *name) {
    const bool answered = id != NULL;
    ping->used = false;
    if (ping->for_config) {
        struct config_in in = {.kind = CONFIG_IN_PONG, .flag = answered};
        if (answered) {
            in.from.id = *id;
            in.from.boot = boot;
            snprintf(in.from.name, sizeof in.from.name, "%s", name);
        }
        memcpy(in.from.address, ping->address, sizeof in.from.address);
        cluster_agree_input(c, &in);
    } else if (answered) {
        struct swim_in in = {.kind = SWIM_IN_PONG_TCP, .from = *id, .boot = boot, .number = ping->number};
        cluster_members_input(c, &in);
    }
}

void cluster_ping(struct cluster *c, bool for_config, const struct cluster_id *id, uint32_t number,
                  const char *address) {
    for (unsigned i = 0; i < CLUSTER_PINGS_MAX; i++) {
        struct cluster_ping *ping = &c->pings[i];
        if (ping->used) continue;
        *ping = (struct cluster_ping){.used = true, .for_config = for_config, .number = number, .id = *id};
        ping->deadline_ns = cluster_now(c) + CLUSTER_PING_MS * UINT64_C(1000000);
        snprintf(ping->address, sizeof ping->address, "%s", address);
        if (!cluster_id_is_zero(id)) (void)transport_place(c->transport, id, address);
        if (cluster_id_is_zero(id) || !transport_ping(c->transport, id, i)) (void)transport_try(c->transport, address);
        return;
    }
}

static void on_pong(void *arg, const struct transport_peer *from, uint64_t number) {
    struct cluster *c = arg;
    if (number < CLUSTER_PINGS_MAX && c->pings[number].used && cluster_id_equal(&c->pings[number].id, &from->id))
        tell_pong(c, &c->pings[number], &from->id, from->boot, from->ring_name);
    cluster_touch(c);
}

void cluster_links_time(struct cluster *c, uint64_t now_ns) {
    for (unsigned i = 0; i < CLUSTER_PINGS_MAX; i++)
        if (c->pings[i].used && c->pings[i].deadline_ns <= now_ns) tell_pong(c, &c->pings[i], NULL, 0, NULL);
}

uint64_t cluster_links_next_ns(const struct cluster *c) {
    uint64_t next = UINT64_MAX;
    for (unsigned i = 0; i < CLUSTER_PINGS_MAX; i++)
        if (c->pings[i].used && c->pings[i].deadline_ns < next) next = c->pings[i].deadline_ns;
    return next;
}

/* ------------------------------------------------------------------ what the transport tells */

static void on_datagram(void *arg, const struct datagram_sender *from, const struct address *source,
                        const Peer__Datagram *m) {
    (void)source;
    cluster_members_datagram(arg, from, m);
}

static void on_peer_up(void *arg, const struct transport_peer *peer) {
    struct cluster *c = arg;
    struct cluster_peer *p = cluster_peer_of(c, &peer->id);
    if (p == NULL) {
        if ((p = calloc(1, sizeof *p)) == NULL) return;
        p->id = peer->id;
        TAILQ_INSERT_TAIL(&c->peers, p, entry);
        c->npeers++;
    }
    p->boot = peer->boot;
    snprintf(p->name, sizeof p->name, "%s", peer->ring_name);
    snprintf(p->address, sizeof p->address, "%s", peer->address);
    for (unsigned i = 0; i < CLUSTER_PINGS_MAX; i++)
        if (c->pings[i].used && strcmp(c->pings[i].address, p->address) == 0)
            tell_pong(c, &c->pings[i], &p->id, p->boot, p->name);
    cluster_members_peer_up(c, p);
    cluster_purges_link(c, &p->id, true);
}

static void on_peer_down(void *arg, const struct cluster_id *id, uint64_t boot) {
    struct cluster *c = arg;
    struct cluster_peer *p = cluster_peer_of(c, id);
    if (p == NULL || p->boot != boot) return;
    cluster_purges_link(c, id, false);
    peer_free(c, p);
}

static void on_control(void *arg, const struct transport_peer *from, const Peer__Control *m) {
    struct cluster *c = arg;
    struct cluster_peer *p = cluster_peer_of(c, &from->id);
    if (p == NULL || p->boot != from->boot) return;
    switch (peer_control_kind(m)) {
    case PEER_SYNC: cluster_members_sync(c, p, m); break;
    case PEER_CONFIG: cluster_agree_message(c, p, m); break;
    case PEER_PURGE: cluster_purges_message(c, p, m); break;
    case PEER_ASK: cluster_relay_ask(c, p, m); break;
    case PEER_TOLD: cluster_relay_told(c, p, m); break;
    default: break; /* the transport's own, or of a later release, which it has counted */
    }
    cluster_touch(c);
}

/* Nobody accepts connections there: whoever asked need not wait any longer. */
static void on_unreachable(void *arg, const struct cluster_id *id) {
    struct cluster *c = arg;
    for (unsigned i = 0; i < CLUSTER_PINGS_MAX; i++) {
        struct cluster_ping *ping = &c->pings[i];
        if (!ping->used || !cluster_id_equal(&ping->id, id)) continue;
        if (ping->for_config) {
            tell_pong(c, ping, NULL, 0, NULL);
        } else {
            ping->used = false;
            cluster_members_input(c, &(struct swim_in){.kind = SWIM_IN_FAILED_TCP, .number = ping->number});
        }
    }
}

static void on_refused(void *arg, const char *where, const struct peer_refusal *why, bool by_them) {
    struct cluster *c = arg;
    cluster_log(c, "link_refused", "peer=%s by=%s setting=%s reason=\"%s\"", where, by_them ? "peer" : "us",
                why->setting, why->reason);
}

/* ------------------------------------------------------------------ links for the workers */

static void wish_free(struct cluster *c, struct cluster_wish *w) {
    TAILQ_REMOVE(&c->wishes, w, entry);
    c->nwishes--;
    free(w);
}

static void refuse_wish(struct cluster *c, struct cluster_wish *w, int error) {
    c->cfg.up.link(c->cfg.up.arg, w->wish, -1, NULL, error);
    free(w);
}

static void run_wish(struct cluster *c, struct cluster_task *t) {
    struct cluster_wish *w = (struct cluster_wish *)((char *)t - offsetof(struct cluster_wish, task));
    const struct configuration *now = config_current(c->config);
    const struct configuration_member *m = now == NULL ? NULL : configuration_by_number(now, w->member);
    if (m == NULL || c->nwishes >= CLUSTER_WISHES_MAX) {
        refuse_wish(c, w, m == NULL ? -EHOSTUNREACH : -EAGAIN);
        return;
    }
    w->id = m->id;
    struct stream s;
    const enum cluster_ahead_state ahead =
        w->transfer ? CLUSTER_AHEAD_NONE : cluster_ahead_take(c, w->member, w->worker, &s);
    if (ahead == CLUSTER_AHEAD_UP) {
        c->cfg.up.link(c->cfg.up.arg, w->wish, s.fd, s.ssl, 0);
        free(w);
        return;
    }
    TAILQ_INSERT_TAIL(&c->wishes, w, entry);
    c->nwishes++;
    if (ahead == CLUSTER_AHEAD_DIALLING) return;
    (void)transport_place(c->transport, &m->id, m->address);
    const int r =
        transport_want_data_link(c->transport, &w->id, w->worker, w->transfer ? PEER_LINK_TRANSFER : PEER_LINK_DATA);
    if (r == 0) return;
    TAILQ_REMOVE(&c->wishes, w, entry);
    c->nwishes--;
    refuse_wish(c, w, r);
}

void cluster_want_link(struct cluster *c, unsigned worker, uint32_t member, bool transfer, void *wish) {
    struct cluster_wish *w = calloc(1, sizeof *w);
    if (w == NULL) {
        c->cfg.up.link(c->cfg.up.arg, wish, -1, NULL, -ENOMEM);
        return;
    }
    w->worker = worker;
    w->member = member;
    w->transfer = transfer;
    w->wish = wish;
    cluster_post(c, &w->task, run_wish);
}

static void on_data_link(void *arg, const struct transport_data_link *l) {
    struct cluster *c = arg;
    struct cluster_wish *w;
    if (l->kind == PEER_LINK_HANDOFF) {
        cluster_handoff_link(c, l);
        return;
    }
    if (!l->dialled) {
        if (l->fd >= 0) c->cfg.up.serve(c->cfg.up.arg, l->worker, l->kind == PEER_LINK_TRANSFER, l->fd, l->ssl);
        return;
    }
    TAILQ_FOREACH(w, &c->wishes, entry)
    if (w->worker == l->worker && w->transfer == (l->kind == PEER_LINK_TRANSFER) && cluster_id_equal(&w->id, &l->id))
        break;
    if (w == NULL) {
        if (!cluster_ahead_keep(c, l) && l->fd >= 0)
            c->cfg.up.link(c->cfg.up.arg, NULL, l->fd, l->ssl, 0); /* nobody waits for it: it is closed */
        return;
    }
    c->cfg.up.link(c->cfg.up.arg, w->wish, l->fd, l->ssl, l->fd < 0 ? l->err : 0);
    wish_free(c, w);
}

struct differs {
    struct cluster_task task;
    uint32_t member;
    uint64_t version;
};

static void run_differs(struct cluster *c, struct cluster_task *t) {
    struct differs *d = (struct differs *)t;
    const struct configuration *now = config_current(c->config);
    const struct configuration_member *m = now == NULL ? NULL : configuration_by_number(now, d->member);
    if (m != NULL && d->version > now->version) {
        struct config_in in = {.kind = CONFIG_IN_VERSION, .from = {.id = m->id, .boot = m->boot}, .number = d->version};
        memcpy(in.from.name, m->name, sizeof in.from.name);
        memcpy(in.from.address, m->address, sizeof in.from.address);
        cluster_agree_input(c, &in);
    }
    free(d);
}

void cluster_ring_differs(struct cluster *c, uint32_t member, uint64_t version) {
    struct differs *d = calloc(1, sizeof *d);
    if (d == NULL) return; /* polls tell of the newer configuration as well */
    d->member = member;
    d->version = version;
    cluster_post(c, &d->task, run_differs);
}

/* ------------------------------------------------------------------ life */

static void fill_hello(const struct cluster *c, struct peer_hello *h) {
    const struct config_peer *self = config_self(c->config);
    *h = (struct peer_hello){.lowest = PEER_WIRE_LOWEST,
                             .highest = PEER_WIRE_HIGHEST,
                             .node = self->id,
                             .boot = self->boot,
                             .tag_prefix = c->cfg.prefix_delimiter};
    snprintf(h->cluster_name, sizeof h->cluster_name, "%s", c->cfg.name);
    snprintf(h->ring_name, sizeof h->ring_name, "%s", c->ring_name);
    snprintf(h->address, sizeof h->address, "%s", c->advertise);
    if (c->cfg.key_tags != NULL) snprintf(h->tag_marker, sizeof h->tag_marker, "%s", c->cfg.key_tags);
    if (c->cfg.strip_prefix != NULL)
        snprintf(h->ring_strip_prefix, sizeof h->ring_strip_prefix, "%s", c->cfg.strip_prefix);
}

int cluster_links_new(struct cluster *c, char *err, size_t err_size) {
    struct hostport bind;
    if (!hostport_read(c->cfg.bind, &bind)) return -EINVAL;
    struct transport_config cfg = {
        .base = c->base,
        .clock = c->cfg.clock,
        .keyring = &c->keyring,
        .plain = c->cfg.plain_links,
        .insecure = c->cfg.insecure,
        .bind = &bind,
        .nbind = 1,
        .events = {c, on_datagram, on_control, on_peer_up, on_peer_down, on_unreachable, on_data_link, on_refused, NULL,
                   on_pong},
    };
    fill_hello(c, &cfg.hello);
    return transport_new(&cfg, &c->transport, err, err_size);
}

void cluster_links_free(struct cluster *c) {
    struct cluster_wish *w, *next_wish;
    struct cluster_peer *p, *next_peer;
    transport_free(c->transport);
    c->transport = NULL;
    cluster_ahead_free(c);
    for (w = TAILQ_FIRST(&c->wishes); w != NULL; w = next_wish) {
        next_wish = TAILQ_NEXT(w, entry);
        c->cfg.up.link(c->cfg.up.arg, w->wish, -1, NULL, -ESHUTDOWN);
        wish_free(c, w);
    }
    for (p = TAILQ_FIRST(&c->peers); p != NULL; p = next_peer) {
        next_peer = TAILQ_NEXT(p, entry);
        peer_free(c, p);
    }
    memset(c->pings, 0, sizeof c->pings);
}
