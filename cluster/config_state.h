/* SPDX-License-Identifier: BSD-3-Clause
 *
 * config_state - the inside of struct config, shared by the files that make up the machine, and by nobody else:
 *
 *   config_machine.c        inputs, adopting a configuration, the clock's step
 *   config_outs.c     what goes out; answers that wait for the disk
 *   config_news.c     who has which version; two clusters of one name; starting anew
 *   config_paxos.c    acceptor and proposer
 *   config_plan.c     what the next configuration should be: members, requests, ejects
 *   config_seats.c    ... its voters, epoch and origins
 *   config_leases.c   ... whether leases bind, and how long one may still run
 *   config_join.c     asking to be a member, and being asked
 *   config_request.c  what an administrator, or the node itself, asks for
 *   config_recover.c  going on after a majority of the voters was lost for good
 *   config_found.c    founding
 *   config_describe.c what changed, in words
 *
 * README.md, "The configuration", says what all of it is for.
 */
#ifndef TAGCACHED_CLUSTER_CONFIG_STATE_H
#define TAGCACHED_CLUSTER_CONFIG_STATE_H

#include "base/fault.h"
#include "base/rand.h"
#include "cluster/config_io.h"

#define CONFIG_MS UINT64_C(1000000)
#define CONFIG_S (1000 * CONFIG_MS)

enum {
    CONFIG_JOINS_MAX = 128,   /* asked for at once; others ask again */
    CONFIG_WISHES_MAX = 64,   /* requests that a voter knows of at once */
    CONFIG_OWN_MAX = 16,      /* requests of this node's own administrator at once */
    CONFIG_LOOP_MAX = 32,     /* messages to oneself in one input */
    CONFIG_DEFERRED_MAX = 32, /* answers that wait for the disk */
    CONFIG_ORIGINS_BUSY = 48, /* with so many origins a new voter gets none until one is retired, if another has one */
};

/* Times, in nanoseconds of the local clock. */
#define CONFIG_STEP_BUSY (50 * CONFIG_MS)
#define CONFIG_STEP_IDLE (500 * CONFIG_MS)
#define CONFIG_ASK_AGAIN (500 * CONFIG_MS) /* joins, requests, fetches */
#define CONFIG_WRITE_AGAIN (1 * CONFIG_S)  /* after a record could not be written */
#define CONFIG_FETCH_AGAIN (100 * CONFIG_MS)
#define CONFIG_ASKED_FOR (2 * CONFIG_S)     /* a join counts for so long after it was asked */
#define CONFIG_WISHED_FOR (3 * CONFIG_S)    /* a request counts for so long after it was asked */
#define CONFIG_REQUEST_ENDS (10 * CONFIG_S) /* an administrator is told that no voter answers */
#define CONFIG_UNFINISHED (300 * CONFIG_MS) /* an accepted value that is not chosen by then is taken up */
#define CONFIG_SEAT_SILENT (10 * CONFIG_S)  /* then a voter's seat is given away */
#define CONFIG_MEMORY_WAIT (5 * CONFIG_S)   /* how long a majority that remembers the epoch is waited for */
#define CONFIG_BOUND (10 * CONFIG_S)        /* a founder is bound to one founding for so long */
#define CONFIG_FOUNDING_ENDS (9 * CONFIG_S) /* and its proposer gives up earlier than any clock's 10 s */
#define CONFIG_FOUNDER_SEEN (1 * CONFIG_S)
#define CONFIG_FOUNDERS_ALL (500 * CONFIG_MS) /* so long a majority of the founders waits for the others */
#define CONFIG_FOUNDER_ASK (200 * CONFIG_MS)
#define CONFIG_NAMES_TAKEN (6 * CONFIG_S)
#define CONFIG_ANEW_AFTER (10 * CONFIG_S)  /* without a lease, once most founders' names are taken by others */
#define CONFIG_YIELD_AFTER (60 * CONFIG_S) /* without a lease, when another cluster of the name has one */
#define CONFIG_PING_WAIT (1 * CONFIG_S)
#define CONFIG_NAMED_SILENT_MS 1000         /* a promise names who was not heard for so long */
#define CONFIG_CANDIDATE_SILENT_MS 3000     /* who takes a seat, if its voter stays, was heard within this */
#define CONFIG_HANDOFF_WAIT (60 * CONFIG_S) /* then the next change of the ring no longer waits for hand-offs */

/* Somebody who asks this voter to be listed. */
struct config_join {
    struct config_peer peer;
    uint32_t weight;
    bool keeps_state;
    uint64_t asked_ns, version; /* when, and which version it knew: it counts for the next one only, so that a late
                                   message of a dead process lists nobody (H8) */
    uint64_t ping_until_ns;     /* 0: no ping is waited for */
    char pinged[CONFIGURATION_ADDRESS_MAX + 1]; /* of the listed process; it did not answer, once ping_until_ns is 0 */
};

/* What this voter was asked for, by which node. */
struct config_wish {
    enum config_request_kind kind;
    uint32_t number;
    uint64_t argument, token;
    struct cluster_id from;
    uint64_t asked_ns;
};

/* What this node asks the voters for, until its configuration shows it. */
struct config_own {
    struct config_request request;
    uint32_t number;
    uint64_t since_ns, asked_ns;
};

/* When a member last polled this node, and the latest version that it named. */
struct config_heard {
    uint64_t ns, version;
};

struct config_proposal {
    enum { CONFIG_IDLE, CONFIG_PREPARING, CONFIG_ACCEPTING } phase;
    struct peer_ballot ballot, best; /* best: highest ballot that a promise names a value of */
    struct configuration_value *best_value, *value;
    uint64_t started_ns, sent_ns, resend;
    unsigned answered, active; /* bits by seat */
    uint32_t *silent_ms;       /* by member: the least that any promising voter says */
    unsigned rounds;           /* prepared without getting anywhere, since the last adoption */
};

struct config_founder {
    struct config_peer peer;
    uint64_t seen_ns; /* 0: never */
    uint32_t weight;
    bool eligible, keeps_state;
};

struct config_deferred {
    uint64_t after; /* the record that must be on disk */
    struct config_out out;
};

struct config {
    struct config_options options;
    struct config_peer self;
    struct rand rand;
    uint64_t now_ns, due_ns;
    struct config_outs *outs; /* of the input that is being worked on */
    struct config_out loop[CONFIG_LOOP_MAX];
    unsigned nloop;

    struct configuration_value *current;
    struct config_acceptor acceptor;
    struct cluster_id dropped; /* the cluster that was given up last, */
    uint64_t dropped_ns;       /* and when; others may not know yet that it is dead */
    uint32_t number;
    bool was_member, left;
    bool resetting;       /* the driver still has machines of the node that this process was before */
    bool dirty;           /* the record on disk is older than the state */
    bool writing;         /* one write at a time */
    uint64_t write_ns;    /* the next one not before this: the last could not be written */
    uint64_t record_next; /* number of the next record */
    struct config_deferred deferred[CONFIG_DEFERRED_MAX];
    unsigned ndeferred;

    struct config_heard *heard; /* by member of the current configuration */
    uint64_t three_version;     /* the first of the present versions that has three voters and is not bound; 0: none */
    uint64_t lowered_version;   /* the first of those whose leases were lowered; 0: none */
    uint64_t lowered_ns;        /* since when a majority of the voters goes by it, 0: not yet */
    uint64_t adopted_ns;        /* when the current configuration was adopted, */
    uint64_t epoch_ns;          /* and when its epoch */
    uint64_t active_epoch;      /* this voter is active in it; 0: none */
    uint64_t lease_ns;          /* when this node last had a lease; 0: never */
    uint64_t start_ns;          /* when the process began, or began anew */
    bool handoff;
    uint64_t ring_ns;                             /* when the ring last changed */
    bool believed_dead[CONFIGURATION_VOTERS_MAX]; /* by seat: SWIM's opinion */
    uint64_t taken_ns[CONFIGURATION_VOTERS_MAX]; /* by seat: when another process was seen to have its name; 0: never */
    uint32_t retirable[CONFIGURATION_ORIGINS_MAX];
    unsigned nretirable;

    struct config_proposal proposal;
    uint64_t counter;          /* highest of a ballot seen */
    uint64_t wanted_ns;        /* since when a change is wanted, 0: none */
    uint64_t propose_ns;       /* not before this */
    uint64_t memory_wanted_ns; /* since when a majority that remembers the epoch is looked for, 0: not */
    uint64_t unfinished_ns;    /* since when the acceptor holds a value that is not chosen, 0: none */

    struct config_join joins[CONFIG_JOINS_MAX];
    unsigned njoins;
    struct config_wish wishes[CONFIG_WISHES_MAX];
    unsigned nwishes;
    struct config_own own[CONFIG_OWN_MAX];
    unsigned nown;
    uint64_t fetched_ns; /* when a configuration was last asked for, 0: never */
    uint64_t join_asked_ns, seeds_asked_ns, news_ns, news_seeds_ns;

    int founder_index; /* of one's own name among the founders, -1: none */
    uint64_t founders_hash;
    struct config_founder founders[CONFIG_FOUNDERS_MAX];
    struct cluster_id bound, bound_by; /* the founding that this founder is bound to, and whose it is */
    uint64_t bound_ns;
    bool founding;                        /* it is its own founding */
    unsigned found_asked, found_answered; /* bits by founder */
    uint64_t majority_ns;                 /* since when a majority of the founders is ready, 0: none */
    uint64_t found_asked_ns, found_bind_ns, found_not_before_ns;

    uint64_t refused_logged_ns, two_logged_ns, differ_logged_ns;
};

/* ---- config_outs.c */

/* A new entry of the outs, or NULL: no memory, the message is lost. */
struct config_out *config_emit(struct config *c, enum config_out_kind kind);
/* A message of this kind that names the own cluster and version. */
struct peer_config config_message(const struct config *c, enum peer_config_kind kind);
/* Sends to a node (at its listed or given address; NULL: unknown), to oneself too. `value` and `silent` (taken over, or
 * NULL) are attached. */
void config_send(struct config *c, const struct cluster_id *to, const char *address, const struct peer_config *m,
                 struct configuration_value *value, struct peer_silent *silent);
/* The same once everything that the state is now is on disk. */
void config_send_durable(struct config *c, const struct config_peer *to, const struct peer_config *m,
                         struct configuration_value *value, struct peer_silent *silent);
void config_send_seeds(struct config *c, const struct peer_config *m);
void config_push(struct config *c, const struct cluster_id *to, const char *address);
/* Writes a record if the state has changed and no write is under way. */
void config_flush(struct config *c);
void config_written(struct config *c, uint64_t number);
void config_log(struct config *c, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));
void config_out_fini(struct config_out *o);

/* ---- config_machine.c */

/* Adopts the value if it is newer and of the own cluster. */
bool config_adopt(struct config *c, struct configuration_value *v);
/* Asks for a step no later than at_ns. */
void config_wake(struct config *c, uint64_t at_ns);
/* The value with these bytes: one at hand, or a new one. The reference is the caller's. NULL: it cannot be read. */
struct configuration_value *config_read_value(struct config *c, const uint8_t *bytes, uint32_t n);
/* A member's silence, as this node hears it, in milliseconds; i: place among the members. */
uint32_t config_silent_ms(const struct config *c, unsigned i);
/* How long a silence has to last, in milliseconds, to say something: at_least_ms, and three polls, of which a member
 * sends four in a tag lease. */
uint32_t config_missed_ms(const struct configuration *conf, uint32_t at_least_ms);
/* This node's seat (by node id), -1: none. */
int config_seat_index(const struct config *c, const struct cluster_id *id);
/* Sends the current configuration to the voters, of the version before too, and tells the other members of it. */
void config_spread(struct config *c, const struct configuration *before);

/* ---- config_news.c */
void config_on_news(struct config *c, const struct config_peer *from, const struct peer_config *m);
void config_on_fetch(struct config *c, const struct config_peer *from, const struct peer_config *m);
void config_on_push(struct config *c, const struct config_peer *from, const struct peer_config *m);
void config_news_step(struct config *c);
/* Tells a node which version this one has. */
void config_send_news(struct config *c, const struct config_peer *to);
/* Begins anew as a node that knows nothing. */
void config_reset(struct config *c, const char *why);
/* Notes that another process has the name of a seat; a vacant seat's counts, too. */
void config_note_name(struct config *c, const struct config_peer *who, const struct peer_config *m);

/* ---- config_paxos.c */
void config_on_paxos(struct config *c, const struct config_peer *from, const struct peer_config *m);
void config_paxos_step(struct config *c);
void config_paxos_stop(struct config *c); /* the proposal is void */

/* ---- config_plan.c, config_seats.c */
enum config_plan_result {
    CONFIG_PLAN_NOTHING,
    CONFIG_PLAN_READY,
    CONFIG_PLAN_WAITS, /* for more voters that remember the epoch */
};

struct config_plan {
    struct config *c;
    const struct configuration *from;
    struct configuration *next;
    const uint32_t *silent_ms; /* by member of `from` */
    unsigned active;           /* how many voters promised while active in the epoch */
    bool trial;                /* is anything wanted at all? */
    bool changed, seats_changed;
    unsigned renewed; /* seats whose process is known to be gone */
};

/* Writes into *next (all zeros before) what the next configuration should be. The caller's to fini, whatever is
 * returned. */
enum config_plan_result config_plan(struct config *c, const uint32_t *silent_ms, unsigned active, bool trial,
                                    struct configuration *next);
/* Whether such a request waits, because it changes the ring, until the hand-offs of the last change ended, or were
 * given a minute. */
bool config_plan_waits(const struct config *c, enum config_request_kind kind);
/* The silence of a member of `from`, by number; 0 for one that is new in the plan. */
uint32_t config_plan_silent(const struct config_plan *p, uint32_t number);
/* A number that was never used. */
uint32_t config_plan_number(struct config_plan *p);
void config_plan_seats(struct config_plan *p);
/* Whether the leaving or forgotten member's seat, if it has one, finds somebody; else a text says why not. */
const char *config_seat_refusal(const struct configuration *conf, const struct configuration_member *m);
/* Decides whether the plan may be proposed, and finishes epoch, origins and versions. */
enum config_plan_result config_plan_epoch(struct config_plan *p);
void config_plan_origins(struct config_plan *p);

/* ---- config_leases.c */

/* Notes what the configuration just adopted says of leases. */
void config_leases_adopted(struct config *c, const struct configuration *before);
/* Whether a change of them is to come, which time or the members' polls bring about. */
bool config_leases_busy(const struct config *c);
void config_plan_leases(struct config_plan *p);

/* ---- config_join.c */
void config_on_join(struct config *c, const struct config_peer *from, const struct peer_config *m);
void config_on_join_refused(struct config *c, const struct config_peer *from, const struct peer_config *m);
void config_on_pong(struct config *c, const struct config_in *in);
void config_join_step(struct config *c);
/* The process that a joining one would replace, or NULL; by node id, else by name. */
const struct configuration_member *config_join_conflict(const struct configuration *conf, const struct config_peer *p);
/* Whether the listed process m is this one and present. */
bool config_same_process(const struct configuration_member *m, const struct config_peer *p);
/* Whether a joining process is too old to replace m. */
bool config_join_older(const struct configuration_member *m, const struct config_peer *p);
/* Forgets the joins that the current configuration has fulfilled. */
void config_join_settle(struct config *c);

/* ---- config_request.c */
void config_on_request(struct config *c, const struct config_peer *from, const struct peer_config *m);
void config_on_answer(struct config *c, const struct peer_config *m);
void config_own_request(struct config *c, const struct config_request *r);
void config_request_step(struct config *c);
/* Whether the configuration shows what was asked for. */
bool config_fulfilled(const struct configuration *conf, enum config_request_kind kind, uint32_t number,
                      uint64_t argument);
/* Why it is refused, or NULL; conf may be one that is being made, so that two requests of one step are no surprise. */
const char *config_refusal(const struct configuration *conf, enum config_request_kind kind, uint32_t number,
                           uint64_t argument);
void config_request_settle(struct config *c);

/* ---- config_recover.c */

/* Goes on as the only voter, at once. NULL, or why not. */
const char *config_recover(struct config *c);

/* ---- config_found.c */
void config_on_founding(struct config *c, const struct config_peer *from, const struct peer_config *m);
void config_found_step(struct config *c);
/* Whether this node may take part in a founding. */
bool config_eligible(const struct config *c);
int config_founder(const struct config *c, const char *name);

/* ---- config_describe.c */
void config_describe(const struct configuration *before, const struct configuration *after, char *text, size_t size);

#endif
