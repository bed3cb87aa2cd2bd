/* SPDX-License-Identifier: BSD-3-Clause
 *
 * floor - what the kernel alone charges: an event loop that reads requests of a fixed length and writes replies of a
 * fixed length, looking at neither. No server that answers the same bytes over the same sockets can cost less.
 *
 * Replies are valid (a hit's VALUE lines, STORED), so that cacheload drives it as it drives a server; the keys in them
 * are not the ones asked for. Without --get or --set it echoes whatever arrives.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES (256u << 10)
#define OUT_BYTES (1u << 20) /* of prepared replies */

static const char usage[] =
    "usage: floor [--port N] [--keysize B] [--get VALUESIZE [--multiget N] | --set VALUESIZE] [--replies N]\n"
    "Answers each request's bytes with the bytes of its reply, prepared beforehand, on 127.0.0.1.\n"
    "  --port N        listen there (0: any; the port is printed)\n"
    "  --keysize B     bytes of a key (20)\n"
    "  --get B         requests are `get KEY`, replies hits of B bytes\n"
    "  --multiget N    N keys to a get (1)\n"
    "  --set B         requests are `set KEY 0 0 B` and B bytes, replies STORED\n"
    "  --replies N     as many different replies, N times the memory, answered at random (1)\n"
    "  otherwise       echoes\n";

struct shape {
    size_t request, reply; /* bytes; request 0: echo */
    char *replies;         /* `batch` of them */
    size_t batch;
    size_t choices; /* an answer begins with one of so many */
    uint64_t random;
};

struct client {
    struct floor *floor;
    struct event *readable, *writable;
    int fd;
    size_t part;   /* bytes of an unfinished request */
    size_t owed;   /* bytes of reply not yet taken by the kernel */
    size_t offset; /* within the replies where they begin */
};

struct floor {
    struct event_base *base;
    struct shape shape;
    char *buf;
};

static void fail(const char *what) {
    perror(what);
    exit(2);
}

static void *allocate(size_t n) {
    void *p = malloc(n);
    if (!p) fail("floor: memory");
    return p;
}

static void close_client(struct client *c) {
    event_free(c->readable);
    event_free(c->writable);
    close(c->fd);
    free(c);
}

/* Writes what is owed, as far as the socket takes it. False: the connection broke. */
static bool pay(struct client *c) {
    const struct shape *s = &c->floor->shape;
    const size_t all = s->batch * s->reply;
    while (c->owed) {
        size_t n = all - c->offset;
        if (n > c->owed) n = c->owed;
        ssize_t w = write(c->fd, s->replies + c->offset, n);
        if (w < 0 && errno == EAGAIN) return event_add(c->writable, NULL) == 0;
        if (w <= 0) return false;
        c->owed -= (size_t)w;
        c->offset = (c->offset + (size_t)w) % all;
    }
    return true;
}

/* Where the next answer begins. */
static size_t choose(struct shape *s) {
    if (s->choices <= 1) return 0;
    s->random = s->random * 6364136223846793005u + 1442695040888963407u;
    return (size_t)((s->random >> 33) % s->choices) * s->reply;
}

static void on_writable(evutil_socket_t fd, short what, void *arg) {
    struct client *c = arg;
    (void)fd;
    (void)what;
    if (!pay(c)) close_client(c);
}

static void on_readable(evutil_socket_t fd, short what, void *arg) {
    struct client *c = arg;
    struct floor *f = c->floor;
    (void)what;
    ssize_t n = read(fd, f->buf, READ_BYTES);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    bool good = n > 0;
    if (good && !f->shape.request)
        good = write(fd, f->buf, (size_t)n) == n;
    else if (good) {
        size_t have = c->part + (size_t)n;
        c->part = have % f->shape.request;
        if (c->owed == 0) c->offset = choose(&f->shape);
        c->owed += have / f->shape.request * f->shape.reply;
        good = pay(c);
    }
    if (!good) close_client(c);
}

static void on_accept(evutil_socket_t fd, short what, void *arg) {
    struct floor *f = arg;
    int one = 1, s = accept(fd, NULL, NULL);
    (void)what;
    if (s < 0) return;
    fcntl(s, F_SETFL, O_NONBLOCK);
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct client *c = allocate(sizeof *c);
    *c = (struct client){.floor = f, .fd = s};
    c->readable = event_new(f->base, s, EV_READ | EV_PERSIST, on_readable, c);
    c->writable = event_new(f->base, s, EV_WRITE, on_writable, c);
    if (!c->readable || !c->writable || event_add(c->readable, NULL)) fail("floor: event");
}

/* The bytes of one request and one reply, as many replies in a row as are written at once. */
static void shape_init(struct shape *s, long key, long get, long multiget, long set, long choices) {
    char head[512], *one;
    size_t n = 0;
    if (set >= 0) {
        s->request = (size_t)(snprintf(head, sizeof head, "set %0*d 0 0 %ld\r\n", (int)key, 0, set) + set + 2);
        one = strdup("STORED\r\n");
        n = 8;
    } else if (get >= 0) {
        size_t h = (size_t)snprintf(head, sizeof head, "VALUE %0*d 0 %ld\r\n", (int)key, 0, get);
        s->request = (size_t)(3 + multiget * (key + 1) + 2);
        one = allocate((size_t)multiget * (h + (size_t)get + 2) + 5);
        for (long i = 0; i < multiget; i++) {
            memcpy(one + n, head, h);
            memset(one + n + h, 'x', (size_t)get);
            memcpy(one + n + h + get, "\r\n", 2);
            n += h + (size_t)get + 2;
        }
        memcpy(one + n, "END\r\n", 5);
        n += 5;
    } else
        return;
    s->reply = n;
    s->choices = (size_t)choices;
    s->batch = OUT_BYTES / n + 2 + s->choices;
    s->replies = allocate(s->batch * n);
    for (size_t i = 0; i < s->batch; i++) memcpy(s->replies + i * n, one, n);
    free(one);
}

static int listen_on(int *port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    a.sin_port = htons((uint16_t)*port);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) || listen(fd, 4096) ||
        getsockname(fd, (struct sockaddr *)&a, &len))
        fail("floor: listen");
    *port = ntohs(a.sin_port);
    return fd;
}

static void on_signal(evutil_socket_t sig, short what, void *arg) {
    struct floor *f = arg;
    (void)sig;
    (void)what;
    event_base_loopbreak(f->base);
}

static void serve(struct floor *f, int fd) {
    struct event *ev[3];
    f->base = event_base_new();
    f->buf = allocate(READ_BYTES);
    if (!f->base) fail("floor: event base");
    ev[0] = event_new(f->base, fd, EV_READ | EV_PERSIST, on_accept, f);
    ev[1] = evsignal_new(f->base, SIGTERM, on_signal, f);
    ev[2] = evsignal_new(f->base, SIGINT, on_signal, f);
    for (int i = 0; i < 3; i++)
        if (!ev[i] || event_add(ev[i], NULL)) fail("floor: event");
    event_base_dispatch(f->base);
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"port", 1, 0, 'p'},     {"keysize", 1, 0, 'K'}, {"get", 1, 0, 'g'},  {"set", 1, 0, 's'},
        {"multiget", 1, 0, 'm'}, {"replies", 1, 0, 'r'}, {"help", 0, 0, 'h'}, {0, 0, 0, 0}};
    long key = 20, get = -1, set = -1, multiget = 1, replies = 1;
    int port = 0;
    for (int o; (o = getopt_long(argc, argv, "p:", options, NULL)) != -1;) switch (o) {
        case 'p': port = atoi(optarg); break;
        case 'K': key = atol(optarg); break;
        case 'g': get = atol(optarg); break;
        case 's': set = atol(optarg); break;
        case 'm': multiget = atol(optarg); break;
        case 'r': replies = atol(optarg); break;
        case 'h': return fputs(usage, stdout) < 0;
        default: fputs(usage, stderr); return 2;
        }
    if (optind < argc || key < 1 || key > 250 || multiget < 1 || replies < 1 || get > 1 << 30 || set > 1 << 30) {
        fputs(usage, stderr);
        return 2;
    }
    struct floor f = {0};
    signal(SIGPIPE, SIG_IGN);
    shape_init(&f.shape, key, get, multiget, set, replies);
    int fd = listen_on(&port);
    printf("port %d\n", port);
    fflush(stdout);
    serve(&f, fd);
    return 0;
}
