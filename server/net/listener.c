/* SPDX-License-Identifier: BSD-3-Clause */
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/sync.h"
#include "net/net_state.h"

/* ------------------------------------------------------------------ making sockets */

static int complain(char *err, size_t err_size, const char *what, const char *where, int r) {
    snprintf(err, err_size, "failed to %s %s: %s", what, where, strerror(-r));
    return r;
}

static struct net_listener *listener_add(struct net *n, int fd) {
    struct net_listener *l = realloc(n->listeners, (n->nlisteners + 1) * sizeof *l);
    if (l == NULL) return NULL;
    n->listeners = l;
    l += n->nlisteners;
    *l = (struct net_listener){.fd = fd, .net = n, .handler = n->cfg.handler};
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0) return NULL;
    l->family = ss.ss_family;
    if (ss.ss_family == AF_INET) l->port = ntohs(((struct sockaddr_in *)&ss)->sin_port);
    if (ss.ss_family == AF_INET6) l->port = ntohs(((struct sockaddr_in6 *)&ss)->sin6_port);
    if (ss.ss_family == AF_UNIX) l->path = strdup(((struct sockaddr_un *)&ss)->sun_path);
    n->nlisteners++;
    return l;
}

/* A bound and listening socket, or -errno. */
static int socket_open(const struct addrinfo *ai, int backlog) {
    int on = 1;
    int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, ai->ai_protocol);
    if (fd < 0) return -errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (ai->ai_family == AF_INET6) (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, backlog) == 0) return fd;
    int r = -errno;
    close(fd);
    return r;
}

static void set_port(struct addrinfo *ai, unsigned port) {
    if (ai->ai_family == AF_INET) ((struct sockaddr_in *)ai->ai_addr)->sin_port = htons((uint16_t)port);
    if (ai->ai_family == AF_INET6) ((struct sockaddr_in6 *)ai->ai_addr)->sin6_port = htons((uint16_t)port);
}

/* Opens every address a name stands for. An address family that the machine lacks is passed over if another is there.
 * With port 0 they all get the port that the first was given. */
static int open_tcp(struct net *n, const struct net_listen *spec, char *err, size_t err_size) {
    char where[300], service[8];
    int port = spec->port >= 0 ? spec->port : n->cfg.default_port;
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *all, *ai;
    snprintf(where, sizeof where, "%s:%d", spec->host[0] != 0 ? spec->host : "*", port);
    snprintf(service, sizeof service, "%d", port);
    int r = getaddrinfo(spec->host[0] != 0 ? spec->host : NULL, service, &hints, &all);
    if (r != 0) {
        snprintf(err, err_size, "failed to listen on %s: %s", where,
                 r == EAI_SYSTEM ? strerror(errno) : gai_strerror(r));
        return -EADDRNOTAVAIL;
    }
    unsigned opened = 0;
    r = -EADDRNOTAVAIL;
    for (ai = all; ai != NULL; ai = ai->ai_next) {
        if (port == 0 && opened > 0) set_port(ai, n->listeners[n->nlisteners - 1].port);
        int fd = socket_open(ai, n->cfg.backlog);
        if (fd < 0) {
            r = fd;
            if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL) continue;
            break;
        }
        struct net_listener *l = listener_add(n, fd);
        if (l == NULL) {
            close(fd);
            r = -ENOMEM;
            break;
        }
        l->tls = spec->tls;
        l->protocol = spec->protocol;
        if (spec->handler != NULL) l->handler = spec->handler;
        memcpy(l->tag, spec->tag, sizeof l->tag);
        opened++;
    }
    bool all_tried = ai == NULL;
    freeaddrinfo(all);
    return opened > 0 && all_tried ? 0 : complain(err, err_size, "listen on", where, r);
}

/* A socket file nobody answers on is left from a server that is gone; anything else there is not ours to remove. */
static int remove_stale(const struct sockaddr_un *un) {
    struct stat st;
    if (lstat(un->sun_path, &st) != 0) return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode)) return -EEXIST;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -errno;
    int r = connect(fd, (const struct sockaddr *)un, sizeof *un);
    int why = errno;
    close(fd);
    if (r == 0 || why == EAGAIN) return -EADDRINUSE;
    return unlink(un->sun_path) == 0 || errno == ENOENT ? 0 : -errno;
}

/* Listens on a socket file with these permissions; `tag` is the listener's name. */
static int open_unix(struct net *n, const char *path, unsigned mask, const char *tag, char *err, size_t err_size) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof un.sun_path) return complain(err, err_size, "listen on", path, -ENAMETOOLONG);
    strcpy(un.sun_path, path);
    int r = remove_stale(&un);
    if (r != 0) return complain(err, err_size, "listen on", path, r);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return complain(err, err_size, "listen on", path, -errno);
    mode_t old = umask(~mask & 0777);
    r = bind(fd, (struct sockaddr *)&un, sizeof un) == 0 ? 0 : -errno;
    umask(old);
    if (r == 0 && listen(fd, n->cfg.backlog) != 0) r = -errno;
    if (r == 0 && listener_add(n, fd) == NULL) r = -ENOMEM;
    if (r == 0) {
        struct net_listener *l = &n->listeners[n->nlisteners - 1];
        l->unlink = true;
        snprintf(l->tag, sizeof l->tag, "%s", tag);
        return 0;
    }
    close(fd);
    return complain(err, err_size, "listen on", path, r);
}

static int adopt(struct net *n, int fd, char *err, size_t err_size) {
    char where[32];
    int listening = 0;
    socklen_t len = sizeof listening;
    snprintf(where, sizeof where, "descriptor %d", fd);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) != 0)
        return complain(err, err_size, "use", where, -errno);
    if (!listening) return complain(err, err_size, "use", where, -EINVAL);
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        return complain(err, err_size, "use", where, -errno);
    return listener_add(n, fd) != NULL ? 0 : -ENOMEM;
}

int listener_open_all(struct net *n, char *err, size_t err_size) {
    const struct net_config *cfg = &n->cfg;
    int r = 0;
    for (unsigned i = 0; i < cfg->ninherited && r == 0; i++) r = adopt(n, cfg->inherited[i], err, err_size);
    for (unsigned i = 0; i < cfg->nlisten && r == 0; i++) r = open_tcp(n, &cfg->listen[i], err, err_size);
    if (cfg->unix_path != NULL && r == 0) r = open_unix(n, cfg->unix_path, cfg->unix_mask, "", err, err_size);
    if (cfg->admin_path != NULL && r == 0) r = open_unix(n, cfg->admin_path, 0700, NET_ADMIN, err, err_size);
    return r;
}

void listener_close_all(struct net *n) {
    for (unsigned i = 0; i < n->nlisteners; i++) {
        struct net_listener *l = &n->listeners[i];
        if (l->fd < 0) continue;
        close(l->fd);
        sync_store(&l->fd, -1);
        if (l->unlink && l->path != NULL) unlink(l->path);
    }
}
