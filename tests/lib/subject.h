/* SPDX-License-Identifier: BSD-3-Clause
 *
 * subject - the server that a test talks to: a node inside this process with a clock of its own, a program started
 * for the purpose (tagcached itself, or memcached to compare with), or a server that runs already.
 *
 * Owned by whoever started it; one thread at a time.
 */
#ifndef TAGCACHED_TESTS_SUBJECT_H
#define TAGCACHED_TESTS_SUBJECT_H

#include <stdbool.h>
#include <stdint.h>

struct subject;

enum subject_via { SUBJECT_ANY, SUBJECT_UNIX, SUBJECT_TCP };

struct subject_config {
    const char *spawn; /* program to start, or NULL */
    const char *to;    /* host:port of a server that runs, or NULL; both NULL: a node in this process */
    const char *dir;   /* a directory for sockets and files */
    bool through;      /* the node in this process owns no key: it asks another one, which is in this process, too */
    bool wait;         /* let real time pass where the clock cannot be moved (to compare by hand, never in tests) */
};

/* Starts a server with these command-line options (blanks part them). NULL with a message on stderr. */
struct subject *subject_start(const struct subject_config *cfg, const char *options);
/* Ends it. 0, or -1 when it did not end well. */
int subject_stop(struct subject *p);
/* A new connection: its descriptor, or -1. SUBJECT_ANY: a UNIX socket, unless the options name a listener. */
int subject_connect(struct subject *p, enum subject_via via);
/* The TCP port it listens on, or 0 when it listens on a UNIX socket only. */
unsigned subject_port(struct subject *p);
/* Lets time pass. 1: its clock cannot be moved. */
int subject_advance(struct subject *p, uint64_t ms);
/* Stops the store's maintenance thread, so that no sweep carries out a purge; it stays so. 1: it cannot be stopped, the
 * server is another program. */
int subject_stop_sweeps(struct subject *p);
/* How many requests the node that owns nothing has forwarded. 0 without one. */
uint64_t subject_forwards(struct subject *p);
/* Waits until the server has stopped of itself (shutdown command). 0, or -1 when it runs on after 10 s. */
int subject_await_end(struct subject *p);
/* Asks it to read its password file and certificates anew, as SIGHUP does. */
int subject_reload(struct subject *p);

#endif
