/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_hold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/sync.h"
#include "cluster/cover.h"
#include "cluster/view.h"
#include "cmd/cmd_deadline.h"
#include "cmd/cmd_job.h"
#include "cmd/cmd_link.h"
#include "cmd/cmd_moving.h"
#include "cmd/cmd_owner.h"
#include "cmd/cmd_place.h"
#include "cmd/cmd_tell.h"
#include "net/conn.h"
#include "net/worker.h"
#include "proto/link.h"
#include "proto/moved_item.h"
#include "store/store.h"

#define MS UINT64_C(1000000)
#define TTL_MIN_S 2 /* an item that has less to live is not copied: so a copy ends before its item */

/* A worker's message to itself: its filter is to be made anew. */
struct refresh {
    struct net_post post;
    struct cmd_worker *worker;
};

struct cmd_hold {
    struct sync_spin lock; /* guards the table, and what each worker has seen of it */
    struct holders table;
    uint64_t *seen;              /* generations of the workers' filters */
    void (*recalled)(void *arg); /* to be called when no copy of a closed key is left; NULL: nobody waits for that */
    void *recalled_arg;
    struct refresh *refresh; /* one a worker */
};

/* A request that waits until copies are gone. */
struct waiting {
    struct cmd_job job; /* first: it is found by it */
    struct holders_waiter waiter;
};

static uint64_t now_ns(const struct cmd *cmd) {
    return clock_boot_ns(cmd->cfg.clock);
}

/* ------------------------------------------------------------------ life */

int cmd_hold_new(struct cmd *cmd) {
    if (!cmd->cfg.hot_copies) return 0;
    struct cmd_hold *h = cmd->hold = calloc(1, sizeof *h);
    if (h == NULL) return -ENOMEM;
    holders_init(&h->table);
    h->seen = calloc(cmd->nworkers, sizeof *h->seen);
    h->refresh = calloc(cmd->nworkers, sizeof *h->refresh);
    if (h->seen == NULL || h->refresh == NULL) return -ENOMEM;
    for (unsigned i = 0; i < cmd->nworkers; i++) {
        cmd->workers[i].held = calloc(1, sizeof *cmd->workers[i].held);
        cmd->workers[i].tells = cmd_tell_new(&cmd->workers[i], cmd_hold_gone);
        if (cmd->workers[i].held == NULL || cmd->workers[i].tells == NULL) return -ENOMEM;
        h->refresh[i].worker = &cmd->workers[i];
    }
    return 0;
}

static struct waiting *waiting_of(struct holders_waiter *w) {
    return (struct waiting *)(void *)((char *)w - offsetof(struct waiting, waiter));
}

static void free_waiting(struct cmd_job *job) {
    free(job);
}

void cmd_hold_free(struct cmd *cmd) {
    struct cmd_hold *h = cmd->hold;
    for (unsigned i = 0; h != NULL && i < HOLDERS_KEYS_MAX; i++) {
        struct holders_waiters *list = &h->table.keys[i].waiters;
        for (struct holders_waiter *w; (w = TAILQ_FIRST(list)) != NULL;) {
            TAILQ_REMOVE(list, w, entry);
            free(waiting_of(w)); /* its session is gone, and has let go of it */
        }
    }
    for (unsigned i = 0; cmd->workers != NULL && i < cmd->nworkers; i++) {
        free(cmd->workers[i].held);
        cmd_tell_free(cmd->workers[i].tells);
    }
    if (h != NULL) free(h->seen);
    if (h != NULL) free(h->refresh);
    free(h);
}

/* ------------------------------------------------------------------ filters */

static void refresh(struct net_worker *nw, void *arg) {
    struct cmd_worker *w = ((struct refresh *)arg)->worker;
    struct cmd_hold *h = w->cmd->hold;
    (void)nw;
    sync_spin_lock(&h->lock);
    holders_filter(&h->table, w->held);
    h->seen[w->index] = w->held->generation;
    sync_spin_unlock(&h->lock);
    w->nheld = w->held->nkeys;
}

static void refresh_all(struct cmd *cmd) {
    const struct cmd_upcalls *up = &cmd->cfg.up;
    for (unsigned i = 0; i < cmd->nworkers; i++)
        worker_post(up->worker(up->arg, i), &cmd->hold->refresh[i].post, refresh, &cmd->hold->refresh[i]);
}

static uint64_t seen_by_all(const struct cmd *cmd) {
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < cmd->nworkers; i++)
        if (cmd->hold->seen[i] < least) least = cmd->hold->seen[i];
    return least;
}

/* ------------------------------------------------------------------ changes */

/* Has those go on that waited for a key. */
static void wake(struct holders_waiters *list) {
    for (struct holders_waiter *w; (w = TAILQ_FIRST(list)) != NULL;) {
        TAILQ_REMOVE(list, w, entry);
        cmd_job_end(&waiting_of(w)->job);
    }
}

/* Who is to be told of a key, once the lock is not held any more. */
struct news {
    uint64_t name, closing;
    unsigned n;
    struct holders_node nodes[HOLDERS_NODES_MAX];
};

static void collect(struct news *news, const struct holders_key *k) {
    news->name = k->name;
    news->closing = k->closing;
    news->n = k->nnodes;
    memcpy(news->nodes, k->nodes, k->nnodes * sizeof k->nodes[0]);
}

/* What has been waited for, taken while the lock is held and done when it is not any more. */
struct due {
    struct holders_waiters woken;
    void (*recalled)(void *arg);
    void *arg;
};

static void collect_due(struct cmd_hold *h, struct due *d, uint64_t now) {
    d->recalled = NULL;
    if (h->recalled == NULL || !holders_recalled(&h->table, now)) return;
    d->recalled = h->recalled;
    d->arg = h->recalled_arg;
    h->recalled = NULL;
}

static void do_due(struct due *d) {
    wake(&d->woken);
    if (d->recalled != NULL) d->recalled(d->arg);
}

/* On the worker, while somebody waits, or something that it has told is not answered. */
static bool look(struct cmd_worker *w) {
    struct cmd_hold *h = w->cmd->hold;
    const uint64_t now = now_ns(w->cmd);
    struct due d = {.woken = TAILQ_HEAD_INITIALIZER(d.woken)};
    sync_spin_lock(&h->lock);
    for (struct holders_key *k; (k = holders_ended(&h->table, now)) != NULL;)
        TAILQ_CONCAT(&d.woken, &k->waiters, entry);
    collect_due(h, &d, now);
    const bool waits = h->recalled != NULL || holders_wait(&h->table);
    sync_spin_unlock(&h->lock);
    do_due(&d);
    return cmd_tell_time(w->tells) || waits;
}

static void tell_all(struct cmd_worker *w, const struct news *news) {
    if (news->n == 0) return;
    for (unsigned i = 0; i < news->n; i++)
        cmd_tell(w->tells, news->nodes[i].member, news->name, news->closing, news->nodes[i].until_ns);
    sync_bump(&w->metrics[CMD_METRIC_copies_recalled], news->n);
    cmd_deadline_tick(w->peers, look);
}

/* Whether the session's first job is of this file. */
static bool is_ours(const struct session *s) {
    return s->job != NULL && s->job->free == free_waiting;
}

/* Whether it changes an item, and which. A store that is refused may delete it. */
static bool changes(const struct session *s, const struct request *r, struct store_key *k) {
    char decoded[STORE_KEY_MAX];
    if (r->row == NULL || cmd_place_is_read(r)) return false;
    struct request done = *r;
    done.error = CMD_OK;
    return cmd_place(s, &done, decoded, k) == CMD_PLACE_KEY;
}

/* Closes a key that is about to be changed, and tells its holders. True: it has holders, and a session waits for them;
 * *failed: it cannot, for want of memory. */
static bool change(struct cmd_worker *w, uint64_t hash, struct session *s, bool *failed) {
    struct cmd_hold *h = w->cmd->hold;
    struct waiting *t = s == NULL ? NULL : malloc(sizeof *t);
    struct news news = {.n = 0};
    bool tell;
    sync_spin_lock(&h->lock);
    struct holders_key *k = holders_change(&h->table, hash, w->held->generation, now_ns(w->cmd), &tell);
    if (k != NULL && tell) collect(&news, k);
    if (k != NULL && t != NULL) {
        cmd_job_init(&t->job, s, free_waiting);
        cmd_job_begin(s, &t->job);
        TAILQ_INSERT_TAIL(&k->waiters, &t->waiter, entry);
    }
    sync_spin_unlock(&h->lock);
    *failed = k != NULL && t == NULL;
    if (k == NULL) free(t);
    tell_all(w, &news);
    if (k != NULL) cmd_deadline_tick(w->peers, look); /* it may be another worker that has told */
    return k != NULL;
}

bool cmd_hold_looks(struct session *s, const struct request *r) {
    struct cmd_worker *w = s->worker;
    struct store_key key;
    bool failed;
    if (is_ours(s)) {
        w->retry = cmd_job_waits(s);
        if (w->retry) return true;
        free_waiting(cmd_job_take(s));
    }
    if (!changes(s, r, &key) || !cmd_hold_may(w, key.hash) || FAULT_POINT("hold.mutate.no_wait")) return false;
    if (!change(w, key.hash, s, &failed)) return false;
    w->retry = true;
    if (failed)
        conn_close(s->conn); /* it must neither be done now nor be said to be */
    else
        cmd_bump(s, CMD_METRIC_copy_waits);
    return true;
}

void cmd_hold_forget(struct cmd_worker *w, const struct store_key *k) {
    bool failed; /* nobody waits */
    if (cmd_hold_may(w, k->hash)) (void)change(w, k->hash, NULL, &failed);
}

void cmd_hold_close(struct cmd_worker *w) {
    struct cmd_hold *h = w->cmd->hold;
    struct news news = {.n = 1};
    while (h != NULL && news.n > 0) {
        news.n = 0;
        sync_spin_lock(&h->lock);
        const struct holders_key *k = holders_close(&h->table, now_ns(w->cmd));
        if (k != NULL) collect(&news, k);
        sync_spin_unlock(&h->lock);
        tell_all(w, &news);
    }
}

void cmd_hold_gone(struct cmd *cmd, uint64_t closing, uint32_t member) {
    struct cmd_hold *h = cmd->hold;
    struct due d = {.woken = TAILQ_HEAD_INITIALIZER(d.woken)};
    sync_spin_lock(&h->lock);
    struct holders_key *k = holders_gone(&h->table, closing, member);
    if (k != NULL) TAILQ_CONCAT(&d.woken, &k->waiters, entry);
    collect_due(h, &d, now_ns(cmd));
    sync_spin_unlock(&h->lock);
    do_due(&d);
}

void cmd_hold_when_recalled(struct cmd_worker *w, void (*fn)(void *arg), void *arg) {
    struct cmd_hold *h = w->cmd->hold;
    struct due d = {.woken = TAILQ_HEAD_INITIALIZER(d.woken), .recalled = fn, .arg = arg};
    if (h != NULL) {
        sync_spin_lock(&h->lock);
        h->recalled = fn;
        h->recalled_arg = arg;
        collect_due(h, &d, now_ns(w->cmd));
        sync_spin_unlock(&h->lock);
        cmd_deadline_tick(w->peers, look);
    }
    do_due(&d);
}

/* ------------------------------------------------------------------ giving */

/* Whether an item may be copied as it is now. */
static bool is_plain(const struct cmd_worker *w, const struct store_item *it) {
    if (it->soft || (it->bits & (STORE_STALE | STORE_WON | STORE_REARMED | STORE_B64)) != 0) return false;
    if (it->size > HOLDERS_VALUE_MAX || it->ntags > HOLDERS_TAGS_MAX) return false;
    return it->expiry == 0 || store_ttl(it->expiry, store_now(w->store)) >= TTL_MIN_S;
}

/* The value of an item in one piece. */
static const char *whole_value(const struct cmd_worker *w, const struct store_item *it, char *to) {
    struct iovec piece;
    size_t done = 0;
    if (it->value != NULL) return it->value;
    for (unsigned i = 0; done < it->size && store_item_spans(w->store, it, &piece, i, 1) > i; i++) {
        memcpy(to + done, piece.iov_base, piece.iov_len);
        done += piece.iov_len;
    }
    return to;
}

static void put_copy(struct session *s, const struct request *r, const struct cover *cover,
                     const struct store_item *it) {
    char value[HOLDERS_VALUE_MAX];
    struct moved_item m = {.key = r->key.p,
                           .nkey = (unsigned)r->key.len,
                           .value = whole_value(s->worker, it, value),
                           .nvalue = (uint32_t)it->size,
                           .size = it->size,
                           .version = it->version,
                           .flags = it->flags,
                           .ttl_s = MOVED_ITEM_TTL_NEVER,
                           .ntags = it->ntags};
    store_item_tags(it, m.tags);
    char *const begin = conn_reserve(s->conn, 2 + COVER_BYTES_MAX + moved_item_bytes(&m));
    const uint16_t len = (uint16_t)cover_pack(cover, (uint8_t *)begin + 2);
    memcpy(begin, &len, sizeof len);
    conn_commit(s->conn, 2 + len + moved_item_pack(&m, (uint8_t *)begin + 2 + len));
}

/* Whether the member is entered among the holders of the key. */
static bool enter(struct cmd *cmd, const struct store_key *k, uint32_t member) {
    struct cmd_hold *h = cmd->hold;
    const uint64_t name = hash_key(k->p, k->len, LINK_COPY_SEED);
    sync_spin_lock(&h->lock);
    const enum holders_answer answer = holders_ask(&h->table, k->hash, name, member, seen_by_all(cmd), now_ns(cmd));
    sync_spin_unlock(&h->lock);
    if (answer == HOLDERS_ADDED) refresh_all(cmd);
    return answer == HOLDERS_GIVE;
}

void cmd_hold_give(struct session *s, const struct request *r, uint32_t member) {
    struct cmd_worker *w = s->worker;
    struct cover cover;
    struct store_item it;
    if (w->cmd->hold == NULL || w->leases_ended != 0 || cmd_moving(w)) return;
    if (!cmd_owner_is_here(s, r)) return; /* which fences the key */
    cover_copy(w->cmd->cover, &cover);
    if (!cover.usable || !enter(w->cmd, &r->key, member)) return;
    if (!store_get(w->store, &r->key, &it) || !is_plain(w, &it)) return;
    put_copy(s, r, &cover, &it);
    cmd_bump(s, CMD_METRIC_copies_given);
}

unsigned cmd_hold_count(struct cmd *cmd, uint64_t hash) {
    struct cmd_hold *h = cmd->hold;
    if (h == NULL) return 0;
    sync_spin_lock(&h->lock);
    const unsigned n = holders_count(&h->table, hash, now_ns(cmd));
    sync_spin_unlock(&h->lock);
    return n;
}
