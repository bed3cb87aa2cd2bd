/* SPDX-License-Identifier: BSD-3-Clause
 *
 * lab_state - what the files of the lab share.
 *
 *   lab_run.c       a run from its beginning to its end
 *   lab_place.c     places: disks, processes that start, crash and come back, agreement
 *   lab_node.c      a process: drives the machine of the configuration, and its ring
 *   lab_purges.c    a process: drives the machine of the purges, and applies them to its store
 *   lab_links.c     a process: links, hellos, what goes over them
 *   lab_swim.c      a process: drives the machine of the membership
 *   lab_handoff.c   a process: drives the machine of the hand-off, and takes items from former owners
 *   lab_clients.c   reads, fills, deletes, purges, from the client to the owner and back
 *   lab_copies.c    copies of hot keys: who holds them, who gave them
 *   lab_store.c     the model of a store
 *   lab_check.c     what is checked of purges
 *   lab_items.c     what is checked of hits
 *   lab_faults.c    what goes wrong, and what operators do
 */
#ifndef TAGCACHED_TESTS_SIM_LAB_STATE_H
#define TAGCACHED_TESTS_SIM_LAB_STATE_H

#include "cluster/config.h"
#include "cluster/handoff.h"
#include "cluster/holders.h"
#include "cluster/purging.h"
#include "cluster/ring.h"
#include "cluster/swim.h"
#include "tests/sim/lab_store.h"

#define LAB_ORIGINS 4096
#define LAB_NOWHERE UINT8_MAX

enum {
    LAB_TIMER_CONFIG,
    LAB_TIMER_PURGES,
    LAB_TIMER_BATCH,
    LAB_TIMER_LINKS,
    LAB_TIMER_SECOND,
    LAB_TIMER_HANDOFF,
    LAB_TIMER_COPIES,
    LAB_TIMER_SWIM
};

struct lab;

struct lab_disk {
    bool exists; /* a state directory with a record in it */
    uint8_t *bytes;
    size_t n;
};

enum lab_what { LAB_READ, LAB_FILL, LAB_DELETE };

/* What a client wants. */
struct lab_op {
    enum lab_what what;
    unsigned key;
    uint64_t invoked_ns;
    uint64_t read_ns; /* of a fill: when the value was read; of a delete: when the new one was written */
    uint64_t token;
};

/* What a node has been asked, by a client of its own or by another node. */
struct lab_request {
    unsigned from; /* the place that passes it on; the node's own: a client */
    struct lab_op op;
    struct cluster_id cluster; /* by whose ring it was passed on */
    uint64_t ring_version;
};

/* A copy of another node's key. */
struct lab_copy {
    bool held, asked;
    unsigned owner, giver; /* the owner's place; the process (lab.all) that gave it */
    uint32_t ask;
    uint64_t changes, asked_changes; /* of the key, as of before it was asked for */
    uint64_t since;                  /* purges above this number concern it */
    uint64_t end_ns, next_ns, asked_ns, read_ns;
    struct cluster_id cluster; /* by whose ring it was given, and which */
    uint64_t ring_version;
    struct cover cover; /* as of the last ask */
};

/* A holder that is told of a change, until its copy has ended. */
struct lab_tell {
    unsigned key;
    uint32_t member;
    uint64_t closing, until_ns, again_ns;
};

#define LAB_TELLS (2 * LAB_KEYS * LAB_PLACES)

struct lab_copies {
    struct lab_copy copy[LAB_KEYS];
    uint64_t changes[LAB_KEYS]; /* that owners told of */
    uint32_t asks;
    /* of this node's own keys */
    bool stale_filter; /* it is made anew at the end of the round */
    unsigned ntells;
    struct lab_tell tells[LAB_TELLS];
    struct holders table;
    struct holders_filter filter;
};

/* What an owner and a holder say to each other: a copy is asked for, and is given or not; the key is about to be
 * changed, and the copy is gone. */
struct lab_copy_message {
    enum { LAB_COPY_ASK, LAB_COPY_GIVEN, LAB_COPY_TOLD, LAB_COPY_GONE } kind;
    bool has;
    unsigned key, giver;
    uint32_t ask, member;          /* the holder's number */
    struct cluster_id cluster, to; /* of an ask: whose ring; who is told */
    uint64_t boot, ring_version, read_ns;
    uint64_t closing; /* of which the holder is told, and which it answers (cluster/holders.h) */
    struct cover cover;
};

/* What a process knows of the one at another place. */
struct lab_peer {
    uint64_t stream; /* 0: none */
    bool known;      /* its hello has come */
    struct cluster_id id;
    uint64_t boot;
};

struct lab_process {
    struct lab *lab;
    unsigned place, run; /* run: of its place */
    unsigned serial;     /* its index in lab.all */
    bool alive;
    struct lab_peer peers[LAB_PLACES];
    struct swim *swim; /* NULL: who is alive is known from the links */
    uint64_t swim_meta[2];
    /* the configuration */
    struct config *config;
    struct config_outs outs;
    bool leaving; /* an operator asked it to leave */
    enum configuration_state standing, asked_as;
    bool is_member, lease_given_up, leave_asked;
    bool reset_wanted, drop_wanted, newer_wanted;
    struct config_in newer;
    uint64_t voter_heard_ns[CONFIGURATION_VOTERS_MAX];
    /* who owns which key */
    struct ring *ring;
    struct cluster_id ring_cluster;
    uint32_t ring_numbers;   /* a hash of the owners' member numbers */
    uint8_t owner[LAB_KEYS]; /* places; LAB_NOWHERE: nobody */
    uint64_t since[LAB_KEYS];
    /* keys that move */
    struct handoff *handoff;
    struct move *move; /* NULL: none do */
    struct handoff_part parts[2 * LAB_PLACES];
    uint64_t dials; /* a bit for each part whose donor is to be dialled again */
    unsigned nparts;
    bool handing_over;
    bool settling;       /* it goes by the ring, and waits until no copies of before are left */
    uint64_t leaving_ns; /* its clock, since when it is leaving; 0: it is not */
    struct cover cover;
    uint16_t donor[LAB_KEYS];     /* who had a key before the move: an index of its ring */
    uint64_t was_since[LAB_KEYS]; /* and, if this process had it, since when */
    bool written[LAB_KEYS];       /* changed here since */
    bool pulled[LAB_KEYS];        /* the donor has been asked for it */
    /* the process that owned a key before and has said that it does no more; NULL: nobody has */
    const struct lab_process *took_from[LAB_KEYS];
    struct lab_copies *copies;
    /* purges */
    struct purging *purging;
    const struct purging_batch *batch; /* that takes time to apply */
    bool batch_soft;
    uint64_t batch_ns; /* its clock, when it was to be applied */
    struct lab_store store;
    uint64_t asked_ns[LAB_KEYS], joined_ns[LAB_KEYS]; /* reads under way to owners since; the last that joined them */
    /* what is known of it, which outlives it */
    uint32_t number; /* its member number, in this cluster */
    struct cluster_id cluster;
    unsigned life, resets;                  /* how often that has changed; how often it went on as another node */
    unsigned leaves;                        /* how often it had a number and has lost it */
    bool voted;                             /* it has had a seat: it may have numbered purges that nobody has seen */
    uint64_t floor_all_ns, floor_tagged_ns; /* true times */
    uint64_t checked;                       /* of the confirmed purges, those that are covered */
    bool adopting, leased; /* it takes a configuration over; it held a tag lease when that was looked at last */
    uint64_t active_ns;    /* its clock, since when it was an active voter when that was looked at last */
    uint64_t cached_ns;    /* its clock, when it was last looked at for something else than a request */
    uint64_t applied[LAB_PURGES / 64];
    uint32_t *applied_life;                              /* by purge: in which life */
    uint32_t *upto;                                      /* by origin: the highest sequence applied as that event */
    uint32_t *verified;                                  /* by origin: all up to there is covered */
    uint64_t deleted_ns[LAB_KEYS], written_ns[LAB_KEYS]; /* it answered a delete then, of what was written then */
};

/* A purge, and what became of it. */
struct lab_purge {
    uint64_t asked_ns, confirmed_ns; /* true times; 0: not */
    struct lab_process *asker;
    unsigned asker_resets, asker_leaves;
    bool refused; /* nothing has happened */
    bool everything, soft;
    uint8_t ttl_s;
    uint16_t origin; /* of the first id that it got; 0: none */
    uint32_t sequence;
    bool ids; /* it got more than one */
    bool submitted;
};

struct lab_origin {
    struct cluster_id cluster;
    uint32_t number;
    const struct lab_process *process; /* whose seat it is or was */
    uint32_t *pids;                    /* by sequence, from 1 */
    uint32_t room;
    uint64_t last, confirmed, everything;
};

/* Purges that select the same items, oldest first. */
struct lab_list {
    uint32_t *pids;
    unsigned n, room;
};

struct lab_place {
    char name[24], address[24];
    bool keeps_state;
    struct lab_disk disk;
    struct lab_process *process; /* NULL: down */
    unsigned run;
    uint64_t up_at;      /* true time at which a process starts again; 0: one runs, or none will */
    uint64_t cut_off_ns; /* from all others, until then */
};

/* A single item asked of the former owner of its key, and the answer. */
struct lab_pull {
    bool is_answer, behind, has, stale;
    uint32_t ttl_s;
    uint64_t key, ring_version, read_ns;
    uint64_t asked_ns;  /* by the clock of who asks; it and g come back with the answer */
    struct cover cover; /* of who asks */
};

/* A version that somebody adopted. */
struct lab_version {
    struct cluster_id cluster;
    uint64_t version, hash, epoch;
    uint64_t seats; /* a hash of the voters' names */
    bool leases;
    uint32_t tag_lease_ms, serve_lease_ms, ejected, next_number;
};

struct lab {
    struct sim *s;
    struct lab_options o;
    struct lab_result *r;
    struct lab_place place[LAB_PLACES];
    struct lab_process **all;
    unsigned nall, all_room;
    uint64_t unix_ns; /* time of day at true time 0 */
    bool calm;
    /* keys and their items */
    struct lab_key keys[LAB_KEYS];
    char names[LAB_KEYS][32];
    unsigned npairs;
    uint64_t written_ns[LAB_KEYS]; /* the last write to the database whose delete was acknowledged by the owner */
    uint64_t deleted_ns[LAB_KEYS]; /* when it was */
    uint64_t clusters, ring_cluster, ring_version; /* founded so far; the newest ring that somebody has */
    struct cluster_id cluster[64];
    struct ring *made_ring; /* the last one that somebody made, of which cluster and members' numbers; NULL: none */
    struct cluster_id made_cluster;
    uint32_t made_numbers;
    /* purges */
    struct lab_purge purge[LAB_PURGES];
    uint32_t npurges;
    uint32_t confirmed[LAB_PURGES]; /* in the order of confirmation */
    uint64_t nconfirmed;
    struct lab_list by_tag[LAB_TAGS], by_pair[LAB_KEYS], of_all;
    struct lab_origin origins[LAB_ORIGINS]; /* from 1 */
    unsigned norigins;
    uint16_t origin_at[2 * LAB_ORIGINS]; /* a hash table */
    struct lab_version *versions;
    unsigned nversions, versions_room;
    /* the operator */
    uint64_t lost_since_ns, lost_version;
};

/* lab_place.c */
void lab_place_init(struct lab *l);
void lab_place_fini(struct lab *l);
void lab_place_start(struct lab *l, unsigned place);
void lab_place_crash(struct lab *l, unsigned place, bool power, uint64_t back_at, bool keep_disk);
void lab_place_write(struct lab_process *x, struct config_out *o); /* a record to the disk */
int lab_place_of(const struct lab *l, const char *address);        /* -1: none */
int lab_place_named(const struct lab *l, const char *name);
struct lab_process *lab_place_at(const struct lab *l, unsigned place); /* NULL: none runs */
/* Whether all processes agree, serve and wait for nothing. */
bool lab_place_agree(const struct lab *l);

/* lab_node.c */
extern const struct sim_process lab_node_calls;
int lab_node_new(struct lab_process *x, const struct config_options *o, const struct config_record *stored);
void lab_node_input(struct lab_process *x, const struct config_in *in);
void lab_node_request(struct lab_process *x, enum config_request_kind kind, const char *name, uint64_t argument);
void lab_node_round(struct lab_process *x); /* ends a round of its loop */
struct lease_ends lab_node_leases(const struct lab_process *x);
uint64_t lab_node_clock(const struct lab_process *x); /* as a request sees it */

/* lab_purges.c */
void lab_purges_new(struct lab_process *x);
void lab_purges_adopt(struct lab_process *x);
void lab_purges_link(struct lab_process *x, const struct cluster_id *id, bool up);
void lab_purges_receive(struct lab_process *x, unsigned place, const struct peer_purge *m);
void lab_purges_applied(struct lab_process *x); /* the batch that takes time is done */
void lab_purges_end(struct lab_process *x);     /* counts what its machine has counted, and frees it */

/* lab_links.c */
void lab_links_dial(struct lab_process *x);
void lab_links_reset(struct lab_process *x); /* goes on as another node */
void lab_links_purge(struct lab_process *x, unsigned place, const struct peer_purge *m);
void lab_links_config(struct lab_process *x, unsigned place, const struct cluster_id *to, const struct peer_config *m);
void lab_links_table(struct lab_process *x, unsigned place, uint32_t number, const uint8_t *table, size_t n);
void lab_links_ping(struct lab_process *x, unsigned place);
void lab_links_stream(void *process, struct sim *s, unsigned node, uint64_t stream, enum sim_stream_event what,
                      unsigned peer, const void *bytes, size_t n);
void lab_links_datagram(void *process, struct sim *s, unsigned node, unsigned from, const void *bytes, size_t n);
bool lab_links_are(const struct lab_process *x, unsigned place, const struct configuration_member *m);

void lab_links_handoff(struct lab_process *x, unsigned place, bool gaining, const struct peer_handoff *m);

/* lab_handoff.c */
void lab_handoff_new(struct lab_process *x);
void lab_handoff_end(struct lab_process *x);
void lab_handoff_plan(struct lab_process *x, const struct ring *before, const struct ring *next);
void lab_handoff_begin(struct lab_process *x);                /* once it goes by the ring that was planned for */
void lab_handoff_none(struct lab_process *x);                 /* the change moves nothing */
void lab_handoff_lost(struct lab_process *x, unsigned place); /* the link */
void lab_handoff_receive(struct lab_process *x, unsigned place, bool gaining, const struct peer_handoff *m);
void lab_handoff_datagram(struct lab_process *x, unsigned from, const void *bytes); /* a lab_pull */
void lab_handoff_round(struct lab_process *x);
bool lab_handoff_may_leave(const struct lab_process *x);
enum move_state lab_handoff_state(const struct lab_process *x, unsigned key);
void lab_handoff_written(struct lab_process *x, unsigned key); /* it is changed here */
/* Asks the former owner for the key. False: it is not to be asked. */
bool lab_handoff_pull(struct lab_process *x, unsigned key);

/* Calls handoff_settled once no copies are left that were given before the ring changed. */
void lab_handoff_settle(struct lab_process *x);
void lab_handoff_cover(void *process, struct cover *out);

/* lab_copies.c */
void lab_copies_new(struct lab_process *x);
void lab_copies_end(struct lab_process *x);
/* A read of a key of another node: answers it from a copy, or (false) may ask for one. */
bool lab_copies_answer(struct lab_process *x, unsigned key, uint64_t invoked_ns, struct lab_answer *a);
/* Whether a change of an own key waits until no copies are left; then it is run again from its beginning. */
bool lab_copies_waits(struct lab_process *x, const struct lab_request *r);
void lab_copies_view(struct lab_process *x); /* it goes by another ring, or by none */
void lab_copies_lost(struct lab_process *x, unsigned place);
bool lab_copies_recalled(const struct lab_process *x);
void lab_copies_time(struct lab_process *x);
void lab_copies_round(struct lab_process *x);
void lab_copies_datagram(struct lab_process *x, unsigned from, const void *bytes);

/* lab_swim.c */
#define LAB_SWIM_ODD 1 /* its datagrams are so much longer than a multiple of 8, which all others are */
void lab_swim_new(struct lab_process *x);
void lab_swim_end(struct lab_process *x);
void lab_swim_datagram(struct lab_process *x, unsigned from, const uint8_t *bytes, size_t n);
void lab_swim_table(struct lab_process *x, unsigned from, uint32_t number, const uint8_t *bytes, size_t n);
void lab_swim_linked(struct lab_process *x, unsigned place); /* a hello has come */
void lab_swim_time(struct lab_process *x);
void lab_swim_round(struct lab_process *x); /* tells its version and vector, if they have changed */

/* lab_clients.c */
void lab_clients_request(struct lab_process *x, const struct lab_request *r); /* from its beginning */
void lab_clients_begin(struct lab *l);
void lab_clients_datagram(struct lab_process *x, unsigned from, const void *bytes, size_t n);

/* lab_check.c */
void lab_check_violation(struct lab *l, enum lab_violation v, unsigned place, uint64_t a, uint64_t b);
struct lab_origin *lab_check_origin(struct lab *l, const struct cluster_id *cluster, uint32_t number);
bool lab_check_has_applied(const struct lab_process *x, uint32_t pid);
bool lab_check_covered(const struct lab_process *x, uint32_t pid);
void lab_check_applies(struct lab_process *x, uint32_t pid);
void lab_check_message(struct lab_process *x, const struct peer_purge *m); /* that leaves it */
void lab_check_confirm(struct lab *l, uint32_t pid);
void lab_check_leases(struct lab_process *x); /* whether what they allow is covered */
void lab_check_adopted(struct lab_process *x);
void lab_check_end(struct lab *l);

/* lab_items.c */
void lab_items_init(struct lab *l);
void lab_items_fini(struct lab *l);
struct lab_list *lab_items_list(struct lab *l, const struct purge_selector *s); /* NULL: of a purge's own tag */
uint64_t lab_items_tag(unsigned tag);                                           /* its hash */
void lab_items_asked(struct lab_list *list, uint32_t pid);
/* Checks a hit. x: who answered from its store, NULL: it is looked at elsewhere. */
void lab_items_hit(struct lab *l, const struct lab_process *x, unsigned place, unsigned key, uint64_t invoked_ns,
                   uint64_t read_ns, bool stale);
/* Checks a hit on a copy. */
void lab_items_copy(struct lab *l, const struct lab_copy *copy, unsigned place, unsigned key, uint64_t invoked_ns);
void lab_items_deleted(struct lab_process *x, unsigned key, uint64_t written_ns);
void lab_items_end(struct lab *l);

/* lab_faults.c */
bool lab_faults_has_majority(const struct lab *l); /* voters of the newest configuration that reach each other */
void lab_faults_begin(struct lab *l);
void lab_faults_end(struct lab *l); /* everything heals */

#endif
