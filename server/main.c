/* SPDX-License-Identifier: BSD-3-Clause
 *
 * main - the process: options, privileges, signals, and what a service manager wants to know. Everything else is the
 * node's. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/erase.h"
#include "base/loop.h"
#include "base/pages.h"
#include "base/standard.h"
#include "cluster/statedir.h"
#include "http/http.h"
#include "node.h"
#include "settings.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "0.0.0"
#endif
#define FDS_BESIDE 64   /* descriptors the process needs beside its connections */
#define LISTEN_FDS_AT 3 /* where socket activation puts them */
#define LISTEN_FDS_MAX 64

static int fail(int status, const char *what) {
    fprintf(stderr, "tagcached: %s\n", what);
    return status;
}

static int fail_errno(int status, const char *what) {
    fprintf(stderr, "tagcached: %s: %s\n", what, strerror(errno));
    return status;
}

/* ------------------------------------------------------------------ texts */

static void print_license(void) {
    puts("tagcached " PACKAGE_VERSION "\n"
         "\n"
         "Redistribution and use in source and binary forms, with or without modification, are permitted under the\n"
         "terms of the 3-clause BSD licence (BSD-3-Clause), which comes with the source as the file LICENSE.\n"
         "\n"
         "This program uses libevent (3-clause BSD licence), Concurrency Kit (2-clause BSD licence), xxHash (2-clause\n"
         "BSD licence) and OpenSSL (Apache licence, version 2.0).");
}

/* ------------------------------------------------------------------ the service manager */

/* Tells systemd (sd_notify(3)) how we are; nothing if it did not start us. */
static void notify(const char *state) {
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof to.sun_path) return;
    memcpy(to.sun_path, path, strlen(path));
    if (path[0] == '@') to.sun_path[0] = 0; /* an abstract address */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to, len);
    close(fd);
}

/* Sockets handed over by systemd (sd_listen_fds(3)). Returns how many. */
static unsigned inherited(int *fds) {
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    if (pid == NULL || count == NULL || strtol(pid, NULL, 10) != getpid()) return 0;
    long n = strtol(count, NULL, 10);
    if (n <= 0) return 0;
    if (n > LISTEN_FDS_MAX) n = LISTEN_FDS_MAX;
    for (int i = 0; i < n; i++) fds[i] = LISTEN_FDS_AT + i;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    return (unsigned)n;
}

/* ------------------------------------------------------------------ the process */

static int raise_files(const struct settings *s) {
    struct rlimit r;
    rlim_t want = (rlim_t)s->max_connections + (rlim_t)s->threads * 4 + FDS_BESIDE;
    if (s->http.n > 0) want += HTTP_CONNS_MAX + s->http.n;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0) return fail_errno(EX_OSERR, "failed to getrlimit number of files");
    if (r.rlim_cur >= want) return 0;
    r.rlim_cur = want;
    if (r.rlim_max < want) r.rlim_max = want;
    if (setrlimit(RLIMIT_NOFILE, &r) == 0) return 0;
    return fail(EX_OSERR, "failed to set rlimit for open files. Try starting as root or requesting smaller maxconns "
                          "value.");
}

static int raise_cores(void) {
    struct rlimit r = {RLIM_INFINITY, RLIM_INFINITY};
    if (setrlimit(RLIMIT_CORE, &r) == 0) return 0;
    if (getrlimit(RLIMIT_CORE, &r) != 0) return fail_errno(EX_OSERR, "cannot read the limit of core files");
    r.rlim_cur = r.rlim_max;
    if (setrlimit(RLIMIT_CORE, &r) != 0 || r.rlim_cur == 0) return fail(EX_OSERR, "failed to ensure corefile creation");
    return 0;
}

/* Goes on as that user, who gets the state directory (NULL: none). */
static int become(const char *user, const char *state_dir) {
    char err[1024];
    if (getuid() != 0 && geteuid() != 0) return 0;
    if (user == NULL) return fail(EX_USAGE, "can't run as root without the -u switch");
    errno = 0;
    const struct passwd *pw = getpwnam(user);
    if (pw == NULL) {
        fprintf(stderr, "tagcached: can't find the user %s to switch to\n", user);
        return EX_NOUSER;
    }
    if (pw->pw_uid != 0 && state_dir != NULL && statedir_give(state_dir, pw->pw_uid, pw->pw_gid, err, sizeof err) != 0)
        return fail(EX_OSERR, err);
    if (pw->pw_uid != 0 && initgroups(user, pw->pw_gid) != 0) return fail_errno(EX_OSERR, "failed to drop groups");
    if (setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0) {
        fprintf(stderr, "tagcached: failed to assume identity of user %s: %s\n", user, strerror(errno));
        return EX_OSERR;
    }
    return 0;
}

static int lock_memory(void) {
#ifdef MCL_ONFAULT
    int how = MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT; /* or it would all be written at the start */
#else
    int how = MCL_CURRENT | MCL_FUTURE;
#endif
    if (mlockall(how) != 0) fprintf(stderr, "tagcached: -k: mlockall failed: %s; going on\n", strerror(errno));
    return 0;
}

static bool write_pid(const char *path) {
    char tmp[4096];
    if ((size_t)snprintf(tmp, sizeof tmp, "%s.tmp", path) >= sizeof tmp) return false;
    FILE *f = fopen(tmp, "we");
    if (f == NULL) return false;
    fprintf(f, "%ld\n", (long)getpid());
    if (fclose(f) == 0 && rename(tmp, path) == 0) return true;
    unlink(tmp);
    return false;
}

/* Goes on in a child; the parent stays until the child tells of its state through the pipe, so that who starts us
 * learns whether it worked. Returns the end to tell it on, -1 without -d; exits in the parent. */
static int daemonize(void) {
    int ends[2];
    unsigned char status = EX_SOFTWARE;
    if (pipe2(ends, O_CLOEXEC) != 0) exit(fail_errno(EX_OSERR, "failed to daemon() in order to daemonize"));
    pid_t pid = fork();
    if (pid < 0) exit(fail_errno(EX_OSERR, "failed to daemon() in order to daemonize"));
    if (pid > 0) {
        close(ends[1]);
        ssize_t n = read(ends[0], &status, 1);
        _exit(n == 1 ? status : EX_SOFTWARE);
    }
    close(ends[0]);
    setsid();
    return ends[1];
}

/* The parent may go: it worked. */
static void detach(int ready_fd, bool verbose) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    unsigned char ok = 0;
    if (chdir("/") != 0) fprintf(stderr, "tagcached: cannot change to /\n");
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        if (!verbose) dup2(null, STDERR_FILENO);
        close(null);
    }
    ssize_t n = write(ready_fd, &ok, 1);
    (void)n;
    close(ready_fd);
}

/* ------------------------------------------------------------------ serving */

static const int our_signals[] = {SIGTERM, SIGINT, SIGUSR1, SIGHUP};
#define OUR_SIGNALS (sizeof our_signals / sizeof *our_signals)

/* Holds our signals back (SIG_BLOCK) or lets them come (SIG_UNBLOCK), on this thread and those that it makes. */
static void signals(int how) {
    sigset_t set;
    sigemptyset(&set);
    for (unsigned i = 0; i < OUR_SIGNALS; i++) sigaddset(&set, our_signals[i]);
    pthread_sigmask(how, &set, NULL);
}

/* What main's loop works on. */
struct serving {
    struct event_base *base;
    struct node *node;
    const struct settings *settings;
    struct event *signals[OUR_SIGNALS], *end;
};

static void drain(struct node *n, const struct settings *s) {
    notify("STOPPING=1");
    if (!node_drain(n, (unsigned)s->drain_seconds * 1000))
        log_event(node_log(n), LOG_ALWAYS, "drain_timeout", "seconds=%lld", (long long)s->drain_seconds);
}

static void on_signal(evutil_socket_t sig, short what, void *arg) {
    struct serving *s = arg;
    (void)what;
    if (sig == SIGHUP) {
        notify("RELOADING=1");
        if (node_reload(s->node)) log_event(node_log(s->node), LOG_ALWAYS, "reloaded", NULL);
        notify("READY=1");
        return;
    }
    fprintf(stderr, "Signal handled: %s.\n", strsignal(sig));
    if (sig == SIGUSR1) drain(s->node, s->settings);
    event_base_loopbreak(s->base);
}

/* A client asked for the end. */
static void on_end(evutil_socket_t fd, short what, void *arg) {
    struct serving *s = arg;
    (void)fd;
    (void)what;
    if (node_end(s->node) == NODE_END_GRACEFUL) drain(s->node, s->settings);
    event_base_loopbreak(s->base);
}

static void serving_fini(struct serving *s) {
    for (unsigned i = 0; i < OUR_SIGNALS; i++)
        if (s->signals[i] != NULL) event_free(s->signals[i]);
    if (s->end != NULL) event_free(s->end);
    if (s->base != NULL) event_base_free(s->base);
}

/* Watches for signals and the node's end. False: no memory, or no descriptor. */
static bool serving_init(struct serving *s, struct node *n, const struct settings *settings) {
    *s = (struct serving){.base = loop_new(), .node = n, .settings = settings};
    if (s->base == NULL) return false;
    for (unsigned i = 0; i < OUR_SIGNALS; i++) {
        s->signals[i] = evsignal_new(s->base, our_signals[i], on_signal, s);
        if (s->signals[i] == NULL || evsignal_add(s->signals[i], NULL) != 0) return false;
    }
    s->end = event_new(s->base, node_end_fd(n), EV_READ | EV_PERSIST, on_end, s);
    return s->end != NULL && event_add(s->end, NULL) == 0;
}

/* Until a signal or a client ends it. */
static void serve(struct serving *s) {
    notify("READY=1");
    signals(SIG_UNBLOCK); /* those that came meanwhile are delivered now */
    event_base_dispatch(s->base);
    signals(SIG_BLOCK);
    notify("STOPPING=1");
}

static int write_ports(struct node *n) {
    const char *path = getenv("MEMCACHED_PORT_FILENAME");
    if (path == NULL) return 0;
    int r = node_write_ports(n, path);
    if (r == 0) return 0;
    fprintf(stderr, "tagcached: cannot write MEMCACHED_PORT_FILENAME=%s: %s\n", path, strerror(-r));
    return EX_OSERR;
}

static int run(const struct settings *s, int ready_fd) {
    char err[1024];
    int fds[LISTEN_FDS_MAX];
    struct node *n = NULL;
    struct serving serving = {0};
    struct node_config cfg = {.settings = s, .clock = clock_system(), .log_fd = STDERR_FILENO, .inherited = fds};
    cfg.ninherited = inherited(fds);
    if (s->erase) erase_heap();
    int r = node_new(&cfg, &n, err, sizeof err);
    if (r != 0) return fail(r == -EINVAL ? EX_USAGE : EX_OSERR, err);
    int status = become(s->user, s->cluster != NULL ? s->state_dir : NULL);
    if (s->coredumps) (void)prctl(PR_SET_DUMPABLE, 1); /* changing the user takes it away */
    if (status == 0) status = write_ports(n);
    if (status == 0 && s->lock_memory) status = lock_memory();
    if (status == 0 && s->pid_file != NULL && !write_pid(s->pid_file))
        fprintf(stderr, "tagcached: could not write the pid file %s: %s\n", s->pid_file, strerror(errno));
    if (status == 0 && !serving_init(&serving, n, s)) status = fail_errno(EX_OSERR, "cannot receive signals");
    if (status == 0 && (r = node_start(n)) != 0) {
        errno = -r;
        status = fail_errno(EX_OSERR, "cannot start the threads");
    }
    if (status == 0) {
        if (ready_fd >= 0) detach(ready_fd, s->verbose > 0);
        pages_shed();
        serve(&serving);
    }
    serving_fini(&serving);
    node_free(n);
    if (s->daemonize && s->pid_file != NULL) unlink(s->pid_file);
    return status;
}

/* Tells a waiting parent how it ended before it served. */
static int finish(int status, int ready_fd) {
    unsigned char s = (unsigned char)status;
    if (ready_fd >= 0 && status != 0) {
        ssize_t n = write(ready_fd, &s, 1);
        (void)n;
    }
    return status;
}

static int start(const struct settings *s) {
    int status;
    if (getuid() == 0 && s->user == NULL) return fail(EX_USAGE, "can't run as root without the -u switch");
    if ((status = raise_files(s)) != 0) return status;
    if (s->coredumps && (status = raise_cores()) != 0) return status;
    int ready_fd = s->daemonize ? daemonize() : -1;
    signal(SIGPIPE, SIG_IGN);
    signals(SIG_BLOCK); /* the other threads get none */
    return finish(run(s, ready_fd), ready_fd);
}

int main(int argc, char **argv) {
    struct settings s;
    struct option_report report;
    int status = 0;
    if (!standard_open()) return EX_OSERR;
    setvbuf(stderr, NULL, _IONBF, 0);
    if (settings_init(&s) != 0) return fail(EX_OSERR, "out of memory");
    if (settings_parse(&s, argc, argv, &report) != 0)
        status = fail(EX_USAGE, report.error);
    else if (s.help)
        settings_print_help(stdout);
    else if (s.version)
        puts("tagcached " PACKAGE_VERSION);
    else if (s.license)
        print_license();
    else if (s.man_options)
        settings_print_man(stdout);
    else {
        if (report.ignored[0] != 0)
            fprintf(stderr, "tagcached: warning: without effect, for there are no slabs and no LRU lists here: %s\n",
                    report.ignored);
        status = start(&s);
    }
    settings_fini(&s);
    return status;
}
