/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/sockets.h"

#include <errno.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cluster/link.h"
#include "cluster/peers.h"

#define BACKLOG 256
#define DATAGRAMS_AT_ONCE 64 /* before others have their turn */
#define RETRY_MS 100         /* how long to leave connections alone when there is not even the spare descriptor */
#define PORT_TRIES 20        /* for a port that is free for UDP and TCP */

/* ------------------------------------------------------------------ datagrams */

static void take(struct transport *t, const uint8_t *bytes, size_t n, const struct address *source) {
    struct datagram_sender from;
    uint8_t payload[DATAGRAM_PAYLOAD_MAX];
    size_t payload_n;
    Peer__Datagram *m = NULL;
    transport_state_bump(t, TRANSPORT_METRIC_datagram_bytes_received, n);
    if (datagram_open(t->datagram, bytes, n, payload, &payload_n, &from) != DATAGRAM_OPENED) {
        transport_state_bump(t, TRANSPORT_METRIC_datagrams_refused, 1);
        return;
    }
    peer_arena_reset(&t->arena);
    enum peer_status status = peer_datagram_unpack(&t->arena, payload, payload_n, &t->counts, &m);
    transport_state_count_unknown(t);
    if (status != PEER_OK) {
        datagram_count_broken(t->datagram);
        transport_state_bump(t, TRANSPORT_METRIC_datagrams_refused, 1);
        return;
    }
    transport_state_bump(t, TRANSPORT_METRIC_datagrams_received, 1);
    peers_heard(t, &from.id);
    t->cfg.events.on_datagram(t->cfg.events.arg, &from, source, m);
}

static void on_readable(evutil_socket_t fd, short what, void *arg) {
    const struct transport_socket *s = arg;
    (void)what;
    transport_state_enter(s->t);
    for (unsigned i = 0; i < DATAGRAMS_AT_ONCE; i++) {
        struct sockaddr_storage from;
        socklen_t from_len = sizeof from;
        uint8_t bytes[DATAGRAM_MAX + 1]; /* one more shows that it is too long */
        ssize_t n = recvfrom(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &from_len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) break;
        struct address source;
        if (address_from((struct sockaddr *)&from, from_len, &source)) take(s->t, bytes, (size_t)n, &source);
    }
    transport_state_leave(s->t);
}

bool sockets_send(struct transport *t, const struct address *to, const void *bytes, size_t n) {
    for (unsigned i = 0; i < t->nsockets; i++) {
        if (t->sockets[i].family != to->any.sa_family) continue;
        ssize_t r = sendto(t->sockets[i].fd, bytes, n, MSG_NOSIGNAL, &to->any, to->len);
        /* An error may be that of an earlier one (a port that nobody listened on): that one is over now. */
        if (r < 0 && errno == ECONNREFUSED) r = sendto(t->sockets[i].fd, bytes, n, MSG_NOSIGNAL, &to->any, to->len);
        return r == (ssize_t)n;
    }
    return false;
}

/* ------------------------------------------------------------------ links that others dial */

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from, int len, void *arg) {
    const struct transport_socket *s = arg;
    struct address remote;
    (void)listener;
    transport_state_enter(s->t);
    if (address_from(from, (socklen_t)len, &remote))
        link_accept(s->t, fd, &remote);
    else
        close(fd);
    transport_state_leave(s->t);
}

/* Without a descriptor the connection would stay in the backlog, and be told of without end: the spare one serves to
 * take it and close it. */
static void on_accept_failed(struct evconnlistener *listener, void *arg) {
    struct transport *t = ((const struct transport_socket *)arg)->t;
    if (errno != EMFILE && errno != ENFILE) return;
    if (t->spare >= 0) close(t->spare);
    int fd = accept4(evconnlistener_get_fd(listener), NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        close(fd);
        transport_state_bump(t, TRANSPORT_METRIC_accepts_without_descriptor, 1);
    } else { /* another thread was quicker */
        sockets_listen(t, false);
        transport_state_due(t, transport_state_now(t) + RETRY_MS * UINT64_C(1000000));
    }
    t->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void sockets_listen(struct transport *t, bool on) {
    if (t->listening == on) return;
    t->listening = on;
    for (unsigned i = 0; i < t->nsockets; i++) {
        if (t->sockets[i].listener == NULL) continue;
        (void)(on ? evconnlistener_enable(t->sockets[i].listener) : evconnlistener_disable(t->sockets[i].listener));
    }
}

/* ------------------------------------------------------------------ binding */

static int bound(const struct address *a, int type) {
    int on = 1;
    int fd = socket(a->any.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    if (type == SOCK_STREAM) (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (a->any.sa_family == AF_INET6) (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, &a->any, a->len) == 0) return fd;
    int e = -errno;
    close(fd);
    return e;
}

/* The two sockets of one address. With port 0 UDP gets the port that TCP was given. */
static int bind_pair(struct address *a, int *tcp, int *udp) {
    struct sockaddr_storage got;
    socklen_t len = sizeof got;
    *tcp = bound(a, SOCK_STREAM);
    if (*tcp < 0) return *tcp;
    if (getsockname(*tcp, (struct sockaddr *)&got, &len) == 0) (void)address_from((struct sockaddr *)&got, len, a);
    *udp = bound(a, SOCK_DGRAM);
    if (*udp >= 0) return 0;
    close(*tcp);
    return *udp;
}

static int open_one(struct transport *t, const struct address *at) {
    struct address a = *at;
    int tcp = -1, udp = -1, e = -EADDRINUSE;
    if (address_port(at) == 0) address_set_port(&a, t->port);
    bool any_port = address_port(&a) == 0;
    for (unsigned i = 0; e == -EADDRINUSE && i < (any_port ? PORT_TRIES : 1); i++) {
        if (any_port) address_set_port(&a, 0);
        e = bind_pair(&a, &tcp, &udp);
    }
    if (e != 0) return e;
    struct transport_socket *s = &t->sockets[t->nsockets++];
    *s = (struct transport_socket){.t = t, .fd = udp, .family = a.any.sa_family};
    t->port = address_port(&a);
    event_assign(&s->event, t->cfg.base, udp, EV_READ | EV_PERSIST, on_readable, s);
    s->listener =
        evconnlistener_new(t->cfg.base, on_accept, s, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG, tcp);
    if (s->listener == NULL) {
        e = errno != 0 ? -errno : -ENOMEM;
        close(tcp);
        return e;
    }
    evconnlistener_set_error_cb(s->listener, on_accept_failed);
    return event_add(&s->event, NULL) == 0 ? 0 : -ENOMEM;
}

/* The addresses that an entry of the configuration stands for. */
static int addresses_of(const struct hostport *h, struct address out[DNS_ADDRESSES_MAX]) {
    if (strcmp(h->host, "*") != 0)
        return address_numeric(h->host, h->port, &out[0]) ? 1 : dns_system(h->host, h->port, out);
    (void)address_numeric("0.0.0.0", h->port, &out[0]);
    (void)address_numeric("::", h->port, &out[1]);
    return 2;
}

static int open_entry(struct transport *t, const struct hostport *h, char *err, size_t err_size) {
    struct address all[DNS_ADDRESSES_MAX];
    char text[HOSTPORT_MAX + 1];
    bool has_key = !t->cfg.keyring->open;
    unsigned opened = 0;
    int n = addresses_of(h, all), e = -EADDRNOTAVAIL;
    hostport_text(h->host, h->port, text);
    if (n <= 0) {
        snprintf(err, err_size, "--cluster-bind %s: no address is known for that name: give one of this machine's own",
                 text);
        return -EINVAL;
    }
    for (int i = 0; i < n; i++) {
        if (!address_may_listen(&all[i], has_key, !t->cfg.plain, t->cfg.insecure, err, err_size)) return -EINVAL;
        if (t->nsockets == TRANSPORT_BIND_MAX) break;
        int one = open_one(t, &all[i]);
        if (one == 0) opened++;
        e = one;
        /* A family that the machine lacks is passed over, if there is another. */
        if (one != 0 && one != -EAFNOSUPPORT && one != -EADDRNOTAVAIL) break;
    }
    if (opened > 0 && (e == 0 || e == -EAFNOSUPPORT || e == -EADDRNOTAVAIL)) return 0;
    snprintf(err, err_size, "cannot bind --cluster-bind %s for other nodes: %s", text, strerror(-e));
    return e;
}

int sockets_open(struct transport *t, char *err, size_t err_size) {
    t->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    t->listening = true;
    for (unsigned i = 0; i < t->cfg.nbind; i++) {
        int e = open_entry(t, &t->cfg.bind[i], err, err_size);
        if (e != 0) return e;
    }
    if (t->nsockets > 0) return 0;
    snprintf(err, err_size, "there is no address to bind for other nodes");
    return -EINVAL;
}

void sockets_close(struct transport *t) {
    for (unsigned i = 0; i < t->nsockets; i++) {
        struct transport_socket *s = &t->sockets[i];
        event_del(&s->event);
        close(s->fd);
        if (s->listener != NULL) evconnlistener_free(s->listener);
    }
    t->nsockets = 0;
    if (t->spare >= 0) close(t->spare);
    t->spare = -1;
}
