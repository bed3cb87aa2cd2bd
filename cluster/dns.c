/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/dns.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/hostport.h"
#include "base/loop.h"

struct question {
    struct question *next;
    char name[HOSTPORT_MAX + 1];
    struct hostport at;
    unsigned n;
    struct address found[DNS_ADDRESSES_MAX];
};

struct list {
    struct question *first, **end;
};

/* What the two threads share. Freed by the one that leaves last: the resolver may block for longer than anybody wants
 * to wait for it. */
struct shared {
    pthread_mutex_t lock;
    pthread_cond_t asked;
    dns_resolver *resolver;
    unsigned users;
    bool stop;
    struct list questions, answers;
    struct loop_waker *waker; /* NULL once the loop's side is gone */
};

struct dns {
    struct shared *shared;
    struct loop_waker waker;
    bool running;
    unsigned waiting;
    dns_found *fn;
    void *arg;
};

static void list_init(struct list *l) {
    l->first = NULL;
    l->end = &l->first;
}

static void list_add(struct list *l, struct question *q) {
    q->next = NULL;
    *l->end = q;
    l->end = &q->next;
}

static struct question *list_take(struct list *l) {
    struct question *q = l->first;
    if (q == NULL) return NULL;
    l->first = q->next;
    if (l->first == NULL) l->end = &l->first;
    return q;
}

static void list_fini(struct list *l) {
    for (struct question *q; (q = list_take(l)) != NULL;) free(q);
}

int dns_system(const char *host, uint16_t port, struct address out[DNS_ADDRESSES_MAX]) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *all;
    unsigned n = 0;
    if (getaddrinfo(host, NULL, &hints, &all) != 0) return -ENOENT;
    for (struct addrinfo *ai = all; ai != NULL && n < DNS_ADDRESSES_MAX; ai = ai->ai_next) {
        if (!address_from(ai->ai_addr, ai->ai_addrlen, &out[n])) continue;
        address_set_port(&out[n++], port);
    }
    freeaddrinfo(all);
    return (int)n;
}

/* ------------------------------------------------------------------ the thread */

static void leave(struct shared *s) {
    pthread_mutex_lock(&s->lock);
    unsigned left = --s->users;
    pthread_mutex_unlock(&s->lock);
    if (left > 0) return;
    list_fini(&s->questions);
    list_fini(&s->answers);
    pthread_cond_destroy(&s->asked);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static void *run(void *arg) {
    struct shared *s = arg;
    pthread_setname_np(pthread_self(), "tc-dns");
    pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        struct question *q = list_take(&s->questions);
        if (q == NULL) {
            pthread_cond_wait(&s->asked, &s->lock);
            continue;
        }
        pthread_mutex_unlock(&s->lock);
        int n = s->resolver(q->at.host, q->at.port, q->found);
        q->n = n > 0 ? (unsigned)n : 0;
        pthread_mutex_lock(&s->lock);
        list_add(&s->answers, q);
        if (s->waker != NULL) loop_wake(s->waker);
    }
    pthread_mutex_unlock(&s->lock);
    leave(s);
    return NULL;
}

static int start(struct dns *d) {
    pthread_attr_t attr;
    pthread_t thread;
    if (d->running) return 0;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    d->shared->users++; /* nobody else looks yet */
    int e = pthread_create(&thread, &attr, run, d->shared);
    pthread_attr_destroy(&attr);
    if (e != 0) d->shared->users--;
    d->running = e == 0;
    return -e;
}

/* ------------------------------------------------------------------ the loop's side */

/* Hands over what was found. fn may ask again; it must not free d. */
static void on_answers(void *arg) {
    struct dns *d = arg;
    for (;;) {
        pthread_mutex_lock(&d->shared->lock);
        struct question *q = list_take(&d->shared->answers);
        pthread_mutex_unlock(&d->shared->lock);
        if (q == NULL) return;
        d->waiting--;
        d->fn(d->arg, q->name, q->found, q->n);
        free(q);
    }
}

int dns_new(struct event_base *base, dns_resolver *resolver, dns_found *fn, void *arg, struct dns **out) {
    struct dns *d = calloc(1, sizeof *d);
    struct shared *s = calloc(1, sizeof *s);
    int e = -ENOMEM;
    if (d == NULL || s == NULL || (e = loop_waker_init(&d->waker, base, on_answers, d)) != 0) {
        free(d);
        free(s);
        return e;
    }
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->asked, NULL);
    list_init(&s->questions);
    list_init(&s->answers);
    s->resolver = resolver;
    s->users = 1;
    s->waker = &d->waker;
    d->shared = s;
    d->fn = fn;
    d->arg = arg;
    *out = d;
    return 0;
}

void dns_free(struct dns *d) {
    if (d == NULL) return;
    pthread_mutex_lock(&d->shared->lock);
    d->shared->stop = true;
    d->shared->waker = NULL;
    pthread_cond_signal(&d->shared->asked);
    pthread_mutex_unlock(&d->shared->lock);
    leave(d->shared);
    loop_waker_fini(&d->waker);
    free(d);
}

static bool is_waiting(const struct list *l, const char *name) {
    for (const struct question *q = l->first; q != NULL; q = q->next)
        if (strcmp(q->name, name) == 0) return true;
    return false;
}

int dns_ask(struct dns *d, const char *name) {
    struct question *q = NULL;
    if (strlen(name) >= sizeof q->name) return -EINVAL;
    if (d->waiting == DNS_WAITING_MAX) return -ENOSPC;
    q = calloc(1, sizeof *q);
    if (q == NULL) return -ENOMEM;
    strcpy(q->name, name);
    if (!hostport_read(name, &q->at)) {
        free(q);
        return -EINVAL;
    }
    bool numeric = address_numeric(q->at.host, q->at.port, &q->found[0]);
    q->n = numeric;
    int e = numeric ? 0 : start(d);
    if (e != 0) {
        free(q);
        return e;
    }
    struct shared *s = d->shared;
    pthread_mutex_lock(&s->lock);
    bool known = is_waiting(&s->questions, name);
    if (!known) list_add(numeric ? &s->answers : &s->questions, q);
    pthread_cond_signal(&s->asked);
    pthread_mutex_unlock(&s->lock);
    if (known)
        free(q);
    else
        d->waiting++;
    if (numeric) loop_wake(&d->waker);
    return 0;
}
