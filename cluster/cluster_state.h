/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cluster_state - the instance as the files of the cluster's thread share it.
 *
 * cluster_life.c has life and the loop; cluster_members.c drives the membership (swim.h), cluster_agree.c the
 * configuration (config.h), cluster_purges.c the purges (purging.h); cluster_lease.c tells what leases this node holds;
 * cluster_view.c makes what the workers read; cluster_links.c what comes from and goes to the transport;
 * cluster_answers.c, cluster_answers_purges.c, cluster_changes.c and cluster_keys.c what operators ask and change,
 * cluster_audit.c what the audit hears of purges later. Each offers its functions here. All run on the cluster's
 * thread, unless they say otherwise.
 */
#ifndef TAGCACHED_CLUSTER_CLUSTER_STATE_H
#define TAGCACHED_CLUSTER_CLUSTER_STATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/histogram.h"
#include "base/loop.h"
#include "base/sync.h"
#include "cluster/cluster.h"
#include "cluster/cluster_receipts.h"
#include "cluster/config.h"
#include "cluster/cover.h"
#include "cluster/keyring.h"
#include "cluster/mover.h"
#include "cluster/purging.h"
#include "cluster/ring.h"
#include "cluster/statedir.h"
#include "cluster/stream.h"
#include "cluster/swim.h"
#include "cluster/transport.h"
#include "cluster/view.h"
#include "proto/peer_codec.h"

#define CLUSTER_PINGS_MAX 64         /* TCP pings under way */
#define CLUSTER_PING_MS 1000         /* how long one is waited for */
#define CLUSTER_WISHES_MAX 8192      /* links to other nodes that workers wait for */
#define CLUSTER_AHEAD_MAX 64         /* links that are dialled ahead; as many as a node shakes hands at a time */
#define CLUSTER_LEAVE_MS 500         /* how long a node that ends tells the others, at most */
#define CLUSTER_QUIET_MS 1000        /* between two log lines of one event */
#define CLUSTER_EVENTS_MAX 48        /* events that are logged */
#define CLUSTER_LEASE_MS 2000        /* a voter's answer counts for so long */
#define CLUSTER_NAMES_REQUESTS 10000 /* of clients, before it is judged whether they ask the owners */
#define CLUSTER_NAMES_S 3600         /* between two lines names_differ */
#define CLUSTER_META_HEAD 20         /* bytes of what pings carry, before the release */
#define CLUSTER_SECOND_NS UINT64_C(1000000000)

/* When a line of an event was logged last, and how many were not since. */
struct cluster_logged {
    const char *event; /* a literal */
    uint64_t ns;
    unsigned unlogged;
};

/* What the configuration says of this process. */
enum cluster_standing {
    CLUSTER_NO_MEMBER,
    CLUSTER_MEMBER,
    CLUSTER_JOINING, /* wants to serve */
    CLUSTER_LEAVING, /* wants to be off the list */
};

/* A process to which a control link is up. */
struct cluster_peer {
    TAILQ_ENTRY(cluster_peer) entry;
    struct cluster_id id;
    uint64_t boot;
    char name[CONFIGURATION_NAME_MAX + 1], address[CONFIGURATION_ADDRESS_MAX + 1];
    struct peer_config_reader reader; /* puts configuration messages together */
};

/* "Who answers at this address?", asked by a machine. */
struct cluster_ping {
    bool used, for_config; /* else for the membership */
    uint64_t deadline_ns;
    uint32_t number; /* the membership's */
    struct cluster_id id;
    char address[CONFIGURATION_ADDRESS_MAX + 1];
};

/* What a member says of itself with its pings. */
struct cluster_said {
    struct cluster_id id;
    uint32_t lag_ms;
    char release[PEER_SWIM_META_MAX - CLUSTER_META_HEAD + 1]; /* of tagcached */
};

/* A worker's wish for a link. */
struct cluster_wish {
    TAILQ_ENTRY(cluster_wish) entry;
    struct cluster_task task;
    unsigned worker;
    uint32_t member;
    bool transfer;
    void *wish; /* the worker's */
    struct cluster_id id;
};
TAILQ_HEAD(cluster_wishes, cluster_wish);

/* A link that no worker has wished for yet. */
struct cluster_ahead {
    uint32_t member; /* the process that it leads to */
    unsigned worker;
    uint64_t since_ns;    /* 0: none */
    struct stream stream; /* fd -1: it is being dialled */
};

TAILQ_HEAD(cluster_waiters, cluster_waiter);

struct cluster {
    struct cluster_config cfg;
    char ring_name[CONFIGURATION_NAME_MAX + 1], bind[CONFIGURATION_ADDRESS_MAX + 1];
    char advertise[CONFIGURATION_ADDRESS_MAX + 1];

    struct event_base *base;
    struct loop_waker waker;
    struct event *timer; /* when a machine wants the time */
    struct event *round; /* runs at the end of a round in which something happened */
    bool round_wanted;
    uint32_t ending; /* atomic */
    bool started;
    pthread_t thread;
    struct sync_stack tasks; /* messages of other threads */

    struct keyring keyring;
    const char *keys_changed; /* by what the keys have changed since the log was told; NULL: they have not */
    struct statedir *disk;    /* NULL: none */
    uint64_t written;         /* records up to this one are on the disk; atomic: tc-disk raises it */
    uint64_t unwritten;       /* the last record that could not be written, 0: none; atomic: tc-disk raises it */
    int32_t disk_error;       /* atomic: why */
    bool disk_failing;        /* nothing was written since */

    struct transport *transport;
    struct swim *swim;
    struct config *config;
    struct purging *purging;
    struct cluster_receipts *receipts;
    struct lease_ends ends; /* atomic: the workers read them */
    bool lease_held;        /* the tag lease, or none is needed; as of the last look */
    uint32_t lease_number;  /* this node's member number at the last look */
    bool lease_given_up;    /* this node is leaving, and answers from its store no more */
    uint64_t lease_lost_ns; /* when it was lost that is not back yet; 0: it was not */
    bool settings_compared;
    bool reset_wanted;      /* the machines are to be made anew, under the identity that the configuration has now; */
    bool drop_wanted;       /* and all that is stored is to be dropped */
    struct config_in newer; /* a member has said that there is a newer configuration, */
    bool newer_wanted;      /* which the machine of the configuration is to be told */
    uint64_t
        leave_until_ns; /* the thread is to end, and tells the other members until then at the latest; 0: not yet */
    enum cluster_standing standing, asked_as; /* asked_as: for which it has asked the machine to change that */

    TAILQ_HEAD(, cluster_peer) peers;
    unsigned npeers;
    struct cluster_ping pings[CLUSTER_PINGS_MAX];
    struct cluster_id sync_from; /* whose push-pull the membership is reading */
    struct cluster_wishes wishes;
    unsigned nwishes;
    struct cluster_ahead ahead[CLUSTER_AHEAD_MAX];
    struct cluster_waiters waiters;
    unsigned ncounting;                 /* of them, purges that only wait for counts */
    TAILQ_HEAD(, cluster_relay) relays; /* commands passed on to other nodes, oldest first */
    TAILQ_HEAD(, cluster_run) runs;     /* commands that others have passed on to this one */
    unsigned nrelays, nruns;
    uint64_t clients_seen, forwarded_seen, names_ns; /* when names_differ was last judged good or logged: see it */
    uint8_t meta[PEER_SWIM_META_MAX];                /* what pings carry (cluster_members_meta) */
    struct cluster_said *said;                       /* by slot of the membership's table, nsaid of them */
    unsigned nsaid;
    const char *seeds[SWIM_SEEDS_MAX]; /* addresses of --join, and behind them those that operators gave, from malloc */
    unsigned nseeds;
    uint64_t next_token;
    uint64_t flush_at_ns; /* `flush_all N`: when; 0: none */
    uint64_t second_ns;   /* when what is done each second is due */

    /* Who of the configuration's voters answered when; by seat. */
    uint64_t voter_heard_ns[CONFIGURATION_VOTERS_MAX];
    uint64_t adopted_ns; /* when the configuration was adopted */

    struct mover *mover;
    struct move *move;          /* of the last change of the ring; NULL: nothing moves */
    struct handoff_part *parts; /* the transfers that it brings, until the mover has them; nparts of them */
    unsigned nparts;
    bool handing_over;                      /* and it is not over yet, */
    uint64_t others_ns;                     /* when another member may have said so of itself last; 0: never */
    bool told_handing;                      /* what the machine of the configuration was told of both */
    uint64_t handing_ns;                    /* when that began; */
    struct handoff_counters handing_before; /* what was counted before */
    uint64_t handing_ring;                  /* by the change to this version of the ring */
    uint64_t leaving_ns;                    /* when this node began to leave; 0: it does not */
    struct cover_cell cover;                /* what purges this node knows, for those who take items over */

    struct view *view;                   /* the last one that was given to the workers, which have it; NULL: none yet */
    struct cluster_id view_cluster;      /* whose view it is: in another cluster the same numbers mean others */
    bool view_moving;                    /* not all workers go by it yet */
    const struct purging_batch *batch;   /* not applied yet; NULL: none */
    bool batch_waits;                    /* for room; else it is being applied */
    uint64_t batch_since_ns;             /* when it was first tried */
    struct histogram applied, confirmed; /* of the gauges of that name */
    uint32_t again_posted;               /* atomic: again_task is on its way */
    struct cluster_task view_task, applied_task, again_task;
    bool view_wanted; /* another one is to be made when all do */
    struct cluster_logged logged[CLUSTER_EVENTS_MAX];
    unsigned nlogged;
    struct peer_counts counts;
    uint64_t malformed;        /* messages of members that made no sense; some machines count their own */
    struct peer_arena arena;   /* of what is read; and */
    struct peer_arena scratch; /* of packing, while what was read is still in use; both reset for each message */
    uint8_t *packed;           /* PEER_CONTROL_MAX bytes */

    pthread_mutex_t lock; /* guards what follows, which other threads read */
    struct cluster_gauges gauges;
    char *discovery;
    size_t discovery_bytes;
    uint64_t discovery_version;
};

/* ---- cluster_life.c */

uint64_t cluster_now(const struct cluster *c); /* CLOCK_BOOTTIME, nanoseconds */
/* Has the round's end run: something has changed. */
void cluster_touch(struct cluster *c);
/* Whether an event (a literal) may be logged now: it has not been for CLUSTER_QUIET_MS. Counts those that may not. */
bool cluster_may_log(struct cluster *c, const char *event);
/* Logs it, if it may be, with these logfmt fields; and how many lines of it were left out (`unlogged`), if some were.
 */
void cluster_log(struct cluster *c, const char *event, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Has another thread's message run on the cluster's thread. Any thread. */
void cluster_post(struct cluster *c, struct cluster_task *t, void (*run)(struct cluster *c, struct cluster_task *t));

/* ---- cluster_links.c */

/* Finds out what this node advertises, and its name in the ring. */
int cluster_links_address(struct cluster *c, char *err, size_t err_size);
int cluster_links_new(struct cluster *c, char *err, size_t err_size);
void cluster_links_free(struct cluster *c);
struct cluster_peer *cluster_peer_of(struct cluster *c, const struct cluster_id *id);
/* Sends n bytes, packed, to a node at this address (NULL: known already). */
void cluster_send(struct cluster *c, const struct cluster_id *to, const char *address, const void *bytes, size_t n);
/* Asks who answers at an address. */
void cluster_ping(struct cluster *c, bool for_config, const struct cluster_id *id, uint32_t number,
                  const char *address);
void cluster_links_time(struct cluster *c, uint64_t now_ns);
uint64_t cluster_links_next_ns(const struct cluster *c);

/* ---- cluster_members.c */

int cluster_members_new(struct cluster *c);
void cluster_members_input(struct cluster *c, struct swim_in *in);
/* A control link with a process is up. */
void cluster_members_peer_up(struct cluster *c, const struct cluster_peer *p);
void cluster_members_sync(struct cluster *c, const struct cluster_peer *from, const Peer__Control *m);
void cluster_members_datagram(struct cluster *c, const struct datagram_sender *from, const Peer__Datagram *m);
/* Tries this address from now on, beside those of --join. False: there are SWIM_SEEDS_MAX, or no memory. */
bool cluster_members_add_seed(struct cluster *c, const char *address);
/* Brings what pings carry up to date: 8 bytes of the configuration's version, 8 of the vector's hash (purging_hash), 4
 * of the lag in milliseconds, and the release of tagcached as a text. */
void cluster_members_meta(struct cluster *c);
/* For how long a member has been dead, or gone, as far as is known here; 0: it is alive. */
uint64_t cluster_members_silent_ms(const struct cluster *c, const struct cluster_id *id);
/* What a member, or this node, says of itself; NULL: nothing is known. */
const struct cluster_said *cluster_members_said(const struct cluster *c, const struct cluster_id *id);

/* ---- cluster_agree.c */

int cluster_agree_new(struct cluster *c, char *err, size_t err_size);
void cluster_agree_free(struct cluster *c);
void cluster_agree_input(struct cluster *c, const struct config_in *in);
void cluster_agree_message(struct cluster *c, struct cluster_peer *from, const Peer__Control *m);
/* An operator's request; false: the machine cannot take it now. The answer comes to the waiter of this token. */
void cluster_agree_request(struct cluster *c, enum config_request_kind kind, const char *name, uint64_t argument,
                           uint64_t token);
/* Asks for what this process wants of the configuration: to serve, once it knows what was purged; to be off the list,
 * once it has left the ring. */
void cluster_agree_own(struct cluster *c);
/* What is done each second. */
void cluster_agree_second(struct cluster *c);
/* Whether a majority of the voters has answered lately. */
bool cluster_agree_hears_majority(const struct cluster *c, uint64_t now_ns);

/* ---- cluster_purges.c */

int cluster_purges_new(struct cluster *c);
void cluster_purges_adopt(struct cluster *c);
void cluster_purges_message(struct cluster *c, const struct cluster_peer *from, const Peer__Control *m);
void cluster_purges_link(struct cluster *c, const struct cluster_id *id, bool up);
/* Answers all that wait, because the thread ends. */
void cluster_purges_end(struct cluster *c);
/* When a counted purge stops waiting for counts. */
uint64_t cluster_purges_next_ns(const struct cluster *c);
void cluster_purges_time(struct cluster *c, uint64_t now_ns);
/* Begins to wait, under a new token. The caller then says who does. */
void cluster_waiter_begin(struct cluster *c, struct cluster_waiter *w);
struct cluster_waiter *cluster_waiter_of(struct cluster *c, uint64_t token);
/* Waits no more: before what it is part of is answered, and is the asker's again. */
void cluster_waiter_end(struct cluster *c, struct cluster_waiter *w);

/* ---- cluster_lease.c */

/* Tells the workers when the leases end, and the log when one is lost or back. */
void cluster_lease_publish(struct cluster *c);
/* When the tag lease ends unless it is renewed. */
uint64_t cluster_lease_next_ns(const struct cluster *c);
/* Whether this node, a member, may answer from all of its store. */
bool cluster_lease_held(const struct cluster *c);
/* Whether it may answer from what is not tagged, at least. */
bool cluster_lease_serves(const struct cluster *c);
/* Why it may not answer from all, as a sentence; empty: it may. */
void cluster_lease_state(const struct cluster *c, char *text, size_t size);

/* ---- cluster_cover.c */

/* Tells those who take items over which purges this node knows, if that has changed. */
void cluster_cover_publish(struct cluster *c);
/* The node knows none that counts: it goes on as another one, and its origins' numbers mean others. */
void cluster_cover_forget(struct cluster *c);

/* ---- cluster_relay.c */

/* What another node has answered to a command, or one line that says why it did not; text: from malloc, the receiver's,
 * ended by a zero; NULL: no memory. */
typedef void cluster_relay_done(struct cluster *c, void *arg, const char *name, char *text, size_t n);
/* Passes a command on to a member; `done` is called later, once. False: too many are under way, or no memory. */
bool cluster_relay_begin(struct cluster *c, const struct configuration_member *m, const char *line, bool privileged,
                         cluster_relay_done *done, void *arg);
void cluster_relay_ask(struct cluster *c, const struct cluster_peer *from, const Peer__Control *m);
void cluster_relay_told(struct cluster *c, const struct cluster_peer *from, const Peer__Control *m);
void cluster_relay_time(struct cluster *c, uint64_t now_ns);
uint64_t cluster_relay_next_ns(const struct cluster *c);
void cluster_relay_end(struct cluster *c);

/* ---- cluster_audit.c */

/* A purge that its asker was told is pending is confirmed. */
void cluster_audit_confirmed(struct cluster *c, const struct cluster_receipt *k);
/* What a counted purge selects is gone on all nodes. */
void cluster_audit_swept(struct cluster *c, const struct cluster_receipt *k);

/* ---- cluster_changes.c */

/* A change that an operator asks for: answers, now or later. False: it is none. */
bool cluster_changes_ask(struct cluster *c, struct cluster_question *q, char *const *word, unsigned n);

/* ---- cluster_keys.c */

/* Reads the key file again. False: it cannot be used, and the keys stay; the log says why. */
bool cluster_keys_load(struct cluster *c);
/* What is done each second: the log is told which keys are in use, if that has changed. */
void cluster_keys_second(struct cluster *c);
/* `key ...`: answers, now or later. False: it is none of these. */
bool cluster_keys_ask(struct cluster *c, struct cluster_question *q, char *const *word, unsigned n);

/* ---- cluster_handoff.c */

int cluster_handoff_new(struct cluster *c);
/* The ring changes from that of the last view to `next`, in which this node has the index `self` (or VIEW_NOBODY) and
 * members these numbers: plans what moves (c->move, c->parts). Whatever was under way is over. */
void cluster_handoff_plan(struct cluster *c, const struct ring *next, unsigned self, const struct view_member *members,
                          uint64_t since);
/* The ring has changed in a way that nothing can be handed over by, or that does not concern this node; or this process
 * goes on as another node. */
void cluster_handoff_none(struct cluster *c, uint64_t ring_version);
/* The workers have been given the view with what was planned: it begins. */
void cluster_handoff_begin(struct cluster *c);
/* They all go by it. */
void cluster_handoff_settled(struct cluster *c);
/* A link for items is there, or cannot be had. */
void cluster_handoff_link(struct cluster *c, const struct transport_data_link *l);
/* The configuration has changed: donors that are gone are given up. */
void cluster_handoff_adopted(struct cluster *c);
/* A member has said that it hands items over, or takes them. */
void cluster_handoff_heard(struct cluster *c);
/* Tells the machine of the configuration whether items move, here or, as far as is known by their polls, elsewhere: the
 * next change of the ring waits. At the end of a round, for adopting a configuration may have changed it. */
void cluster_handoff_tell(struct cluster *c);
/* The membership believes that a member is dead, or has left. */
void cluster_handoff_down(struct cluster *c, uint32_t number);
/* Fills the gauges of the hand-off; those of `under_way` say whether one is. Any thread. */
void cluster_handoff_gauges(struct cluster *c, bool under_way, struct cluster_gauges *g);
/* Whether this node, which is leaving, has handed over what it can. */
bool cluster_handoff_may_leave(const struct cluster *c);

/* ---- cluster_view.c */

/* ---- cluster_ahead.c */

/* The configuration has changed: dials who joins. */
void cluster_ahead_adopted(struct cluster *c);
/* Gives a worker's link away. CLUSTER_AHEAD_DIALLING: what is being dialled is the worker's once it is up. */
enum cluster_ahead_state { CLUSTER_AHEAD_NONE, CLUSTER_AHEAD_DIALLING, CLUSTER_AHEAD_UP };
enum cluster_ahead_state cluster_ahead_take(struct cluster *c, uint32_t member, unsigned worker, struct stream *out);
/* A link that nobody waits for is up, or could not be had. False: it was not dialled ahead. */
bool cluster_ahead_keep(struct cluster *c, const struct transport_data_link *l);
/* Once a second: closes what no worker has wished for. */
void cluster_ahead_second(struct cluster *c);
void cluster_ahead_free(struct cluster *c);

/* The configuration has changed, or nothing is known yet: gives the workers a view of it. */
void cluster_view_make(struct cluster *c);
/* Makes one that could not be made before, if it can be now. */
void cluster_view_again(struct cluster *c);
/* The membership thinks otherwise of a member. */
void cluster_view_state(struct cluster *c, const struct cluster_id *id, bool alive);

/* ---- cluster_answers.c */

/* Brings gauges and the list of discovery up to date. */
void cluster_answers_publish(struct cluster *c);
/* Answers with a line, without its ending. */
void cluster_answers_line(struct cluster_question *q, const char *line);
/* The question is answered later, when a machine says what became of this token. */
uint64_t cluster_answers_await(struct cluster *c, struct cluster_question *q);
/* Answers a change: done, or (text is not empty) why not. */
void cluster_answers_changed(struct cluster *c, struct cluster_question *q, const char *text);
/* Whether a member does not answer, as far as is known here: it is dead, or has left. */
bool cluster_answers_is_down(const struct cluster *c, const struct configuration_member *m);
/* What this node does, as a sentence of `stats cluster`. */
void cluster_answers_state(const struct cluster *c, char *text, size_t size);

/* ---- cluster_answers_purges.c */

/* Answers with all purges that are pending, and the last ones that were confirmed. */
void cluster_answers_purges(const struct cluster *c, struct cluster_question *q);
/* Answers what became of the purge with this id, now or later. */
void cluster_answers_purge(struct cluster *c, struct cluster_question *q, const char *id);
/* Answers a question about a purge, whose token has come back. */
void cluster_answers_receipt(struct cluster *c, struct cluster_question *q, const struct purging_receipt *r);

#endif
