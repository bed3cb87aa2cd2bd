/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/subject.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "cmd/cmd.h"
#include "net/net.h"
#include "node.h"
#include "settings.h"
#include "store/store.h"
#include "tests/lib/nodes.h"

#define ARGS_MAX 64
#define BOOT_NS 1000000000000ull /* where a node's clocks begin */
#define WALL_S 1800000000

struct subject {
    struct subject_config cfg;
    char socket_path[100];
    char port_path[108]; /* where a program writes its TCP port, when the options have -l */
    unsigned port;
    pid_t pid; /* of a program that was started, else 0 */

    struct node *node; /* in this process, else NULL */
    struct settings settings;
    bool have_settings;
    struct clock_manual clock;
    struct nodes *nodes; /* of which the first, which owns nothing, is `node`; else NULL */
};

static int connect_unix(const char *path) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static int connect_tcp(const char *host_port) {
    char host[256];
    const char *colon = strrchr(host_port, ':');
    if (colon == NULL || (size_t)(colon - host_port) >= sizeof host) return -1;
    memcpy(host, host_port, (size_t)(colon - host_port));
    host[colon - host_port] = '\0';
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    if (getaddrinfo(host, colon + 1, &hints, &list) != 0) return -1;
    int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, list->ai_addr, list->ai_addrlen) != 0) {
        close(fd);
        fd = -1;
    }
    freeaddrinfo(list);
    int on = 1;
    if (fd >= 0) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

/* The port that a program has written to its file; 0: not yet. */
static unsigned read_port(const char *path) {
    unsigned port = 0;
    FILE *f = fopen(path, "r");
    if (f == NULL) return 0;
    if (fscanf(f, "TCP INET: %u", &port) != 1) port = 0;
    fclose(f);
    return port;
}

static bool is_ready(struct subject *p) {
    if (p->port_path[0] != '\0') return (p->port = read_port(p->port_path)) != 0;
    int fd = connect_unix(p->socket_path);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

/* A program says it is ready by accepting, or writing its port: there is nothing else to wait on, so this one place
 * tries again. */
static int await_ready(struct subject *p) {
    for (int i = 0; i < 10000; i++) {
        if (is_ready(p)) return 0;
        if (waitpid(p->pid, NULL, WNOHANG) == p->pid) {
            p->pid = 0;
            return -1;
        }
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return -1;
}

/* A command line of the program's name, where to listen, and the words of `options` (which are cut apart). */
static int make_args(struct subject *p, const char *program, char *options, char *argv[ARGS_MAX + 8]) {
    int n = 0;
    char *save = NULL;
    argv[n++] = (char *)program;
    if (strstr(options, "-l ") == NULL) {
        argv[n++] = "-s";
        argv[n++] = p->socket_path;
    } else {
        snprintf(p->port_path, sizeof p->port_path, "%s.port", p->socket_path);
    }
    if (geteuid() == 0) {
        argv[n++] = "-u";
        argv[n++] = "root";
    }
    for (char *w = strtok_r(options, " ", &save); w != NULL && n < ARGS_MAX; w = strtok_r(NULL, " ", &save))
        argv[n++] = w;
    argv[n] = NULL;
    return n;
}

static int spawn(struct subject *p, const char *options) {
    char *argv[ARGS_MAX + 8], *copy = strdup(options);
    CHECK(copy != NULL);
    make_args(p, p->cfg.spawn, copy, argv);
    p->pid = fork();
    if (p->pid == 0) {
        if (p->port_path[0] != '\0') setenv("MEMCACHED_PORT_FILENAME", p->port_path, 1);
        execvp(p->cfg.spawn, argv);
        fprintf(stderr, "%s: %s\n", p->cfg.spawn, strerror(errno));
        _exit(127);
    }
    free(copy);
    return p->pid > 0 ? await_ready(p) : -1;
}

static int embed(struct subject *p, const char *options) {
    char err[1024] = "", *argv[ARGS_MAX + 8], *copy = strdup(options);
    CHECK(copy != NULL);
    struct option_report report = {"", ""};
    int argc = make_args(p, "tagcached", copy, argv), r = settings_init(&p->settings);
    p->have_settings = r == 0;
    clock_manual_init(&p->clock, BOOT_NS, WALL_S);
    if (r == 0) r = settings_parse(&p->settings, argc, argv, &report);
    struct node_config cfg = {.settings = &p->settings, .clock = &p->clock.clock, .log_fd = -1};
    if (r == 0) r = node_new(&cfg, &p->node, err, sizeof err);
    if (r == 0) r = node_start(p->node);
    if (r != 0)
        fprintf(stderr, "%s%s\n", report.error, err);
    else
        p->port = node_port(p->node, 0);
    free(copy);
    return r;
}

/* The node, and one behind it that owns all keys. */
static int embed_two(struct subject *p, const char *options) {
    char first[4096];
    p->nodes = nodes_new(2);
    CHECK(p->nodes != NULL);
    snprintf(first, sizeof first, "%s", options);
    /* Where the first one listens is of no matter to the second. */
    char *listen = strstr(first, "-l ");
    if (listen != NULL) memset(listen, ' ', strcspn(listen + 3, " ") + 3);
    if (nodes_start(p->nodes, 0, p->cfg.dir, options) != 0 || nodes_start(p->nodes, 1, p->cfg.dir, first) != 0)
        return -1;
    nodes_view_only(p->nodes, 0, 1, 1);
    nodes_view_only(p->nodes, 1, 1, 1);
    p->node = p->nodes->node[0].node;
    snprintf(p->socket_path, sizeof p->socket_path, "%s", p->nodes->node[0].socket_path);
    p->port = node_port(p->node, 0);
    return 0;
}

struct subject *subject_start(const struct subject_config *cfg, const char *options) {
    static unsigned serial;
    struct subject *p = calloc(1, sizeof *p);
    CHECK(p != NULL);
    p->cfg = *cfg;
    snprintf(p->socket_path, sizeof p->socket_path, "%s/sock%u", cfg->dir, serial++);
    int bad = 0;
    if (cfg->spawn != NULL)
        bad = spawn(p, options);
    else if (cfg->through)
        bad = embed_two(p, options);
    else if (cfg->to == NULL)
        bad = embed(p, options);
    if (bad == 0) return p;
    fprintf(stderr, "cannot start a server with the options: %s\n", options);
    subject_stop(p);
    return NULL;
}

int subject_stop(struct subject *p) {
    int status = 0;
    if (p->nodes != NULL) {
        /* Every connection has ended, and every request that was passed on is answered. */
        if (p->node != NULL && node_end(p->node) == NODE_RUNS && !node_drain(p->node, 10000)) status = -1;
        nodes_free(p->nodes);
        p->node = NULL;
    }
    if (p->node != NULL) {
        node_stop(p->node);
        node_free(p->node);
    }
    if (p->have_settings) settings_fini(&p->settings);
    if (p->pid > 0) {
        kill(p->pid, SIGTERM);
        waitpid(p->pid, &status, 0);
    }
    unlink(p->socket_path);
    if (p->port_path[0] != '\0') unlink(p->port_path);
    free(p);
    return status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM) ? 0 : -1;
}

int subject_connect(struct subject *p, enum subject_via via) {
    if (p->cfg.to != NULL) return connect_tcp(p->cfg.to);
    if (via == SUBJECT_TCP || (via == SUBJECT_ANY && p->port != 0)) {
        char to[32];
        snprintf(to, sizeof to, "127.0.0.1:%u", p->port);
        return p->port == 0 ? -1 : connect_tcp(to);
    }
    return connect_unix(p->socket_path);
}

unsigned subject_port(struct subject *p) {
    return p->port;
}

int subject_advance(struct subject *p, uint64_t ms) {
    if (p->nodes != NULL) {
        nodes_advance(p->nodes, ms);
        return 0;
    }
    if (p->node != NULL) {
        clock_manual_advance(&p->clock, ms * 1000000);
        net_tick(node_net(p->node));
        return 0;
    }
    if (!p->cfg.wait) return 1;
    struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
    return 0;
}

int subject_stop_sweeps(struct subject *p) {
    if (p->node == NULL) return 1;
    store_stop(node_store(p->node));
    return 0;
}

int subject_await_end(struct subject *p) {
    if (p->node != NULL) {
        struct pollfd asked = {.fd = node_end_fd(p->node), .events = POLLIN};
        while (poll(&asked, 1, 10000) < 0 && errno == EINTR) {}
        enum node_end end = node_end(p->node);
        if (end == NODE_END_GRACEFUL) node_drain(p->node, 10000);
        if (end != NODE_RUNS) node_stop(p->node);
        return end == NODE_RUNS ? -1 : 0;
    }
    if (p->pid <= 0) return -1;
    int status;
    pid_t got = waitpid(p->pid, &status, 0);
    p->pid = 0;
    unlink(p->socket_path);
    return got > 0 && status == 0 ? 0 : -1;
}

uint64_t subject_forwards(struct subject *p) {
    return p->nodes == NULL ? 0 : cmd_metric(node_cmd(p->node), CMD_METRIC_forwards_sent);
}

int subject_reload(struct subject *p) {
    if (p->nodes != NULL && !node_reload(p->nodes->node[1].node)) return -1;
    if (p->node != NULL) return node_reload(p->node) ? 0 : -1;
    return p->pid > 0 ? kill(p->pid, SIGHUP) : -1;
}
