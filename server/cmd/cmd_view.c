/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_view - handing a view of the cluster to the workers.
 *
 * Each worker has a pointer of its own, which it changes itself, so nothing is locked or counted on the way of a
 * request. It takes two rounds: in the first each worker takes the new view, and trusts nothing that it finds in the
 * store. When all have, whatever is stored from then on was tested under the new ring: the number of that moment is
 * what a worker may go by (ring_since), and the old view is nobody's. */
#include "cmd/cmd_view.h"

#include <errno.h>
#include <stdlib.h>

#include "base/sync.h"
#include "cluster/view.h"
#include "cmd/cmd.h"
#include "cmd/cmd_hold.h"
#include "cmd/cmd_link.h"
#include "cmd/instance.h"
#include "net/worker.h"
#include "store/store.h"

struct handing {
    struct net_post post;
    struct cmd_publish *publish;
    struct cmd_worker *worker;
    struct cmd_peers *peers; /* for a worker that has none yet */
    struct cmd_link **links;
};

struct cmd_publish {
    struct cmd *cmd;
    struct view *view, *old;
    void (*done)(void *arg);
    void *arg;
    uint64_t number; /* store_number when all had the new view */
    uint32_t left;   /* workers that have still to come; atomic */
    struct handing to[];
};

void cmd_view_free(struct cmd *cmd) {
    if (cmd->publish == NULL) return;
    view_free(cmd->publish->view);
    free(cmd->publish);
    cmd->publish = NULL;
}

static void free_handings(struct cmd_publish *p, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        cmd_link_peers_free(p->to[i].peers);
        free(p->to[i].links);
    }
    free(p);
}

static void post_all(struct cmd_publish *p, void (*fn)(struct net_worker *w, void *arg)) {
    struct cmd *cmd = p->cmd;
    const unsigned n = cmd->nworkers; /* the last one may free *p as soon as it has its message */
    sync_store_rel(&p->left, n);
    for (unsigned i = 0; i < n; i++) worker_post(cmd->cfg.up.worker(cmd->cfg.up.arg, i), &p->to[i].post, fn, &p->to[i]);
}

static void trust(struct net_worker *nw, void *arg) {
    struct handing *h = arg;
    struct cmd_publish *p = h->publish;
    (void)nw;
    /* Before there is a cluster (cluster_view.c) no item may be trusted, however new: all are fenced. */
    if (p->view->ring == NULL || p->view->ring_version != 0) h->worker->ring_since = p->number;
    if (sync_sub_rel(&p->left, 1) != 1) return;
    view_free(p->old);
    p->old = NULL;
    /* What moves to another owner may be changed there once this is done: no copy of it may be left that the other does
     * not know of. */
    if (p->done != NULL) cmd_hold_when_recalled(h->worker, p->done, p->arg);
}

static void take(struct net_worker *nw, void *arg) {
    struct handing *h = arg;
    struct cmd_publish *p = h->publish;
    struct cmd_worker *w = h->worker;
    (void)nw;
    if (w->peers == NULL) {
        w->peers = h->peers;
        h->peers = NULL;
    }
    cmd_link_view(w->peers, p->view, h->links);
    h->links = NULL;
    w->routes = !view_owns_all(p->view);
    w->ring_since = UINT64_MAX;
    store_renumber(w->store); /* what it stores from now on is newer than what the view's arcs fence */
    if (sync_sub_rel(&p->left, 1) != 1) return;
    cmd_hold_close(w); /* copies of keys that have another owner now are recalled */
    p->number = store_number(p->cmd->store);
    post_all(p, trust);
}

int cmd_set_view(struct cmd *cmd, struct view *v, void (*done)(void *arg), void *arg) {
    struct cmd_publish *p = calloc(1, sizeof *p + cmd->nworkers * sizeof p->to[0]);
    if (p == NULL) return -ENOMEM;
    for (unsigned i = 0; i < cmd->nworkers; i++) {
        struct handing *h = &p->to[i];
        h->publish = p;
        h->worker = &cmd->workers[i];
        h->links = calloc(v->nmembers, sizeof(struct cmd_link *));
        h->peers = cmd->publish == NULL ? cmd_link_peers_new(h->worker) : NULL;
        if (h->links != NULL && (cmd->publish != NULL || h->peers != NULL)) continue;
        free_handings(p, cmd->nworkers);
        return -ENOMEM;
    }
    p->cmd = cmd;
    p->view = v;
    p->done = done;
    p->arg = arg;
    if (cmd->publish != NULL) p->old = cmd->publish->view;
    free(cmd->publish); /* nobody looks at it since it was done */
    cmd->publish = p;
    post_all(p, take);
    return 0;
}
