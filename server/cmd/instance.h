/* SPDX-License-Identifier: BSD-3-Clause
 *
 * instance - the commands of one node, and each worker's part of them.
 *
 * Threads: a struct cmd_worker is written by its worker alone; others may read its metrics. A struct cmd is constant
 * once it is made, but for the fields that say otherwise.
 */
#ifndef TAGCACHED_CMD_INSTANCE_H
#define TAGCACHED_CMD_INSTANCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/sync.h"
#include "cluster/lease_ends.h"
#include "cmd/cmd_config.h"
#include "cmd/cmd_latencies.h"
#include "cmd/cmd_table.h"
#include "cmd/request.h"
#include "net/worker.h"
#include "proto/keytags.h"
#include "proto/meta.h"
#include "proto/text.h"
#include "store/store.h"

#define CMD_BATCH 64 /* requests (keys of a multi-get count singly) of a batch; with that many a section ends */

struct cmd_auth;        /* the users (cmd_auth.c) */
struct cmd_detail;      /* detailed statistics (cmd_detail.c) */
struct cmd_job;         /* something asked of another thread (cmd_job.h) */
struct cmd_upload;      /* a large block under way (cmd_body.c) */
struct cmd_watch;       /* the watchers and their rings (cmd_watch.c) */
struct cmd_peers;       /* a worker's links to other nodes (cmd_link.h) */
struct cmd_purge_known; /* what is remembered of purges (cmd_purge_known.h) */
struct cmd_hot;         /* what a worker is asked for most (cmd_hot.h) */
struct cmd_hold;        /* copies of this node's keys that other nodes hold (cmd_hold.c) */
struct cmd_tells;       /* what a worker tells other nodes of copies (cmd_tell.h) */
struct cmd_publish;     /* a view that is being handed to the workers (cmd_view.c) */

/* Leases of this node that have ended. */
enum cmd_lease { CMD_LEASE_SERVE = 1, CMD_LEASE_TAG = 2 };

struct cmd_worker {
    struct cmd *cmd;
    struct store_worker *store;
    unsigned index;
    bool inside;          /* in a section of the store */
    int section_left;     /* requests that it may go on for, behind the batch that began it */
    bool end_batch;       /* the handler asks for the batch to end behind this request */
    bool retry;           /* the handler asks to be run again when there is room */
    bool routes;          /* some keys are other nodes' */
    bool too_large;       /* CMD_ROLE_PEER: the value does not fit into a reply, and nothing was written */
    uint64_t reply_max;   /* CMD_ROLE_PEER: bytes of a value that do */
    uint8_t leases_ended; /* enum cmd_lease, as of the section's beginning */
    uint32_t observed;    /* cmd->observed as of the batch's beginning, or its last command that may change it */
    TAILQ_HEAD(, cmd_upload) uploads; /* under way, or waiting for their turn */
    struct net_post turns_post;       /* has it look at them */
    unsigned sizes_running;           /* answers to `stats sizes` under way */
    uint64_t metrics[CMD_METRICS];

    /* Scratch of the request being run. */
    uint64_t tags[STORE_TAGS_MAX]; /* hashes of its tags */
    unsigned ntags, nread;
    uint64_t read[STORE_READ_TAGS_MAX]; /* mg: those of Lr= */
    struct meta meta;                   /* its flags */
    struct text_token wire;             /* a meta command's key as it is on the wire, base64 or not */
    struct store_selector *selectors;   /* KEYTAGS_SELECTORS_MAX of them */
    struct cmd_job *spare;              /* for the next purge; NULL: none yet */
    uint64_t ring_since;                /* what has a higher version was stored here under the present ring */
    struct cmd_peers *peers;            /* NULL: there never was a view */
    struct cmd_hot *hot;
    struct holders_filter *held; /* keys of which other nodes may hold copies */
    unsigned nheld;              /* how many; 0 without --hot-copies */
    struct cmd_tells *tells;     /* NULL without them */
    struct request batch[CMD_BATCH];
    unsigned batch_lines;  /* lines that the batch comes from: the keys of a line are one */
    unsigned requests_run; /* in this upcall */
    unsigned until_sample; /* times that bytes are read until the next is timed (cmd_latency.h) */
    struct cmd_latencies latencies;

    /* A meta command's key, decoded from base64; last, since it is not cleared. */
    char decoded[CMD_LINE_MAX / 4 * 3 + 4];
} __attribute__((aligned(SYNC_CACHE_LINE)));

struct cmd {
    uint32_t observed; /* enum cmd_observer: what somebody wants to be told of; relaxed */
    struct store *store;
    const struct cmd_cluster *cluster; /* NULL: this node stands alone */
    const struct lease_ends *leases;   /* endless without a cluster */
    const struct cover_cell *cover;    /* which purges this node knows */
    struct cmd_config cfg;             /* its strings are this instance's own */
    struct cmd_names names;
    struct keytags_marker marker; /* len 0: key tags are off */
    uint64_t inline_max;          /* bodies up to this wait in the input buffer */
    unsigned nworkers;
    struct cmd_worker *workers;
    uint64_t base[CMD_METRICS]; /* sums at the last `stats reset`; relaxed */
    uint64_t started_ns;        /* the clock when the instance was made */
    uint32_t conns_running;     /* atomic: answers to `stats conns` under way */
    uint32_t sizes_on;          /* `stats sizes` is on; relaxed */
    uint32_t no_effect_logged;  /* commands without effect that have been logged; bits, atomic */
    bool expiry_logged;         /* a store whose time had passed has been logged; atomic */
    struct cmd_watch *watch;
    struct cmd_detail *detail;
    struct cmd_purge_known *purges;
    struct cmd_auth *auth;       /* NULL: no authentication */
    struct cmd_hold *hold;       /* NULL without --hot-copies; so is */
    uint64_t *copy_changes;      /* counts of changes that other nodes have told of (cmd_copy.h) */
    struct cmd_publish *publish; /* the last view that was set; NULL: none */
};

/* A lease may have ended by this clock: notes which (cmd_lease.c). */
void cmd_lease_ended(struct cmd_worker *w, uint64_t now_ns);

/* Enters or leaves a section; harmless when that is so already. The batches that a worker runs in a round of its loop
 * share sections, a few of them each, since to enter one takes a locked instruction and a look at the clock.
 *
 * Not in a cluster: whether a lease holds, and whether a copy of another node's key may still be served, is asked by a
 * clock that is read after the request has come, so each batch has a section of its own. (A node alone asks the clock
 * for seconds only.) */
static inline void cmd_enter(struct cmd_worker *w) {
    if (w->inside) return;
    w->inside = true;
    w->section_left = w->cmd->cluster == NULL ? CMD_BATCH : 0;
    store_enter(w->store);
    /* The clock first: what it is compared with may have become later meanwhile, which does no harm. */
    const uint64_t now_ns = store_now_ns(w->store);
    const struct lease_ends *l = w->cmd->leases;
    w->leases_ended = 0;
    if (unlikely(now_ns >= sync_load_acq(&l->tag_ns) || now_ns >= sync_load_acq(&l->serve_ns)))
        cmd_lease_ended(w, now_ns);
}
static inline void cmd_leave(struct cmd_worker *w) {
    if (!w->inside) return;
    w->inside = false;
    store_leave(w->store);
}

/* Seconds since the instance was made. Any thread. */
static inline uint64_t cmd_uptime_s(const struct cmd *cmd) {
    return (clock_boot_ns(cmd->cfg.clock) - cmd->started_ns) / 1000000000;
}

#endif
