/* SPDX-License-Identifier: BSD-3-Clause */
#include "node_erase.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/sync.h"
#include "cmd/cmd_config.h"
#include "cmd/cmd_erase.h"
#include "net/net.h"
#include "net/worker.h"
#include "net/worker_erase.h"
#include "store/store.h"

struct part {
    struct net_erasing erasing;
    struct node_erase *owner;
};

struct node_erase {
    struct node_erase_parts parts;
    pthread_mutex_t lock;                /* guards: */
    struct cmd_ended *waiting, *current; /* for the next round; for the one under way */
    bool active;                         /* there is one */
    bool stopped;
    /* Of the round: */
    uint64_t since_ns; /* when it began */
    uint32_t left;     /* atomic: threads that are not done */
    struct store_erasing in_store;
    struct part part[]; /* of each worker */
};

static void start(struct node_erase *ne);

/* ------------------------------------------------------------------ the steps of a round */

static void tell(struct cmd_ended *first) {
    for (struct cmd_ended *e = first, *next; e != NULL; e = next) {
        next = e->next;
        e->ended(e, e->n, e->bytes);
    }
}

static void on_store(struct store_erasing *w) {
    struct node_erase *ne = (struct node_erase *)((char *)w - offsetof(struct node_erase, in_store));
    pthread_mutex_lock(&ne->lock);
    struct cmd_ended *ended = ne->current, *waiting = ne->waiting;
    const bool more = ne->active = waiting != NULL && !ne->stopped;
    ne->current = more ? waiting : NULL;
    ne->waiting = NULL;
    pthread_mutex_unlock(&ne->lock);
    tell(ended);
    if (more)
        start(ne);
    else
        tell(waiting);
}

static void on_thread(void *arg) {
    struct node_erase *ne = arg;
    if (sync_sub_rel(&ne->left, 1) == 1) store_erase(ne->parts.store, &ne->in_store);
}

static bool on_more(struct net_worker *w, void *arg, bool first) {
    const struct node_erase *ne = ((struct part *)arg)->owner;
    return cmd_erase(ne->parts.cmd, worker_index(w), first, ne->since_ns);
}

static void on_worker(struct net_worker *w, void *arg) {
    (void)w;
    on_thread(((struct part *)arg)->owner);
}

static void start(struct node_erase *ne) {
    const unsigned n = net_threads(ne->parts.net);
    ne->since_ns = clock_boot_ns(ne->parts.clock);
    ne->in_store.done = on_store;
    sync_store_rel(&ne->left, n + (ne->parts.erase_cluster != NULL));
    for (unsigned i = 0; i < n; i++) {
        struct part *p = &ne->part[i];
        p->owner = ne;
        p->erasing.more = on_more;
        p->erasing.done = on_worker;
        p->erasing.arg = p;
        p->erasing.marked = false;
        worker_erase(net_worker_at(ne->parts.net, i), &p->erasing);
    }
    if (ne->parts.erase_cluster != NULL) ne->parts.erase_cluster(ne->parts.cluster, on_thread, ne);
}

void node_erase_end(struct node_erase *ne, struct cmd_ended *e, int64_t n, uint64_t bytes) {
    e->n = n;
    e->bytes = bytes;
    pthread_mutex_lock(&ne->lock);
    const bool stopped = ne->stopped, begin = !stopped && !ne->active;
    struct cmd_ended **list = begin ? &ne->current : &ne->waiting;
    e->next = stopped ? NULL : *list;
    if (!stopped) *list = e;
    if (begin) ne->active = true;
    pthread_mutex_unlock(&ne->lock);
    if (begin) start(ne);
    if (stopped) tell(e);
}

/* ------------------------------------------------------------------ life */

int node_erase_new(const struct node_erase_parts *parts, struct node_erase **out) {
    const unsigned n = net_threads(parts->net);
    struct node_erase *ne = calloc(1, sizeof *ne + n * sizeof ne->part[0]);
    if (ne == NULL) return -ENOMEM;
    ne->parts = *parts;
    pthread_mutex_init(&ne->lock, NULL);
    *out = ne;
    return 0;
}

void node_erase_stop(struct node_erase *ne) {
    if (ne == NULL) return;
    pthread_mutex_lock(&ne->lock);
    ne->stopped = true;
    pthread_mutex_unlock(&ne->lock);
}

void node_erase_free(struct node_erase *ne) {
    if (ne == NULL) return;
    pthread_mutex_destroy(&ne->lock);
    free(ne);
}
