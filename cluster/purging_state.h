/* SPDX-License-Identifier: BSD-3-Clause
 *
 * purging_state - what the files of the purging machine share. Nobody else includes it.
 *
 *   purging_machine.c   life, time, rounds, outcomes, questions
 *   purging_adopt.c     configurations: peers, origins, own seat, floors of epochs
 *   purging_submit.c    the asked node: outbox to a voter, answers, local purges
 *   purging_origin.c    the voter: numbers purges, answers who submitted them
 *   purging_collect.c   sends an origin's events, collects acknowledgements
 *   purging_confirm.c   decides what is confirmed
 *   purging_member.c    takes events, applies them in order, acknowledges
 *   purging_poll.c      polls, repair, a newcomer's beginning, activation
 *   purging_lease.c     leases: asked for, granted, held
 */
#ifndef TAGCACHED_CLUSTER_PURGING_STATE_H
#define TAGCACHED_CLUSTER_PURGING_STATE_H

#include "cluster/lease.h"
#include "cluster/mutation.h"
#include "cluster/outbox.h"
#include "cluster/purgelog.h"
#include "cluster/purging.h"

#define MS UINT64_C(1000000)
#define NEVER UINT64_MAX

enum {
    TICK_MS = 20,           /* while something is under way */
    RESEND_MS = 100,        /* until a member that has not acknowledged is asked what it has */
    VOTER_SILENT_MS = 200,  /* until another voter is asked for a number */
    STATUS_SILENT_MS = 600, /* a voter that has numbered a purge says every STATUS_MS how it goes */
    STATUS_MS = 100,
    ALONE_MS = 600,          /* without any voter, until a purge is applied here alone */
    REFUSED_MS = 20,         /* before another voter is asked after a refusal */
    REPAIR_MS = 100,         /* what another's vector shows may be on its way: pulled if it is not here after that */
    PATIENCE_MS = 500,       /* others are asked for events that somebody's log has no more, before a floor is raised */
    HURRY_MS = 50,           /* between polls of a newcomer, of a voter that is not active yet, and without a lease;
                              * LEASE_ROUNDS of them outlast a slow answer */
    PROMPT_ROUNDS = 4,       /* who owes answers to as many rounds of polls is polled in a hurry no more */
    FRESH_POLLS = 3,         /* polls that a member may have missed and still counts as heard lately */
    WINDOW_FRAMES = 16,      /* frames of events without any progress of the member */
    WINDOW_EVENTS = 1 << 16, /* events sent and not acknowledged */
    SUBMIT_FRAMES = 8,       /* submissions without an answer */
    PULL_FRAMES = 4,         /* in reply to one pull */
    PUSHERS = 8,             /* who collects acknowledgements of one origin at one time */
    RUNS = 256,
    RETIRED = 64,
    RENAMED = 4096,
    COUNT_ALWAYS = 32 /* peers: with more, not every acknowledgement is a reason to count */
};

/* Acknowledgements that a collector waits for from one member. */
struct purging_stream {
    uint64_t acked, sent;
    uint64_t asked, told;     /* it submitted purges up to `asked`; it knows that all up to `told` is confirmed, */
    uint64_t told_everything; /* and that purges of everything up to there are */
    uint64_t status_ns;       /* when it was told how things are */
    uint64_t progress_ns;     /* of the last acknowledgement that said more, or of the last question */
    uint32_t stream;          /* counts how often sending began anew */
    uint32_t frames;          /* since the last progress */
};

/* Who sent events of an origin and waits for acknowledgements. */
struct purging_pusher {
    uint32_t member, stream;
    uint64_t upto; /* it hears of every progress up to there */
    bool due, gap;
};

/* A voter's acknowledgement, at the version of the configuration here. */
struct purging_vote {
    bool cast;
    uint64_t upto;
    uint32_t flags;
    uint32_t *none; /* present members that hold no tag lease of it, ascending */
    unsigned nnone;
};

/* What is known of one origin, beside its log. By slot of the log. */
struct purging_slot {
    uint64_t closing;    /* the version since which it closes, 0: it does not */
    uint64_t confirmed;  /* all up to there is confirmed, by whoever found it out, but for purges of everything: */
    uint64_t everything; /* those up to there are; at most `confirmed` */
    bool count;          /* something has changed: what is confirmed is to be counted */
    struct purging_vote votes[CONFIGURATION_VOTERS_MAX]; /* while collecting, by seat */
    struct lease_marks marks;                            /* while collecting, of this epoch */
    bool collecting;
    uint64_t want;                  /* collects up to there; UINT64_MAX: all, it is this node's own */
    struct purging_stream *streams; /* while collecting: one for each peer */
    bool tell;                      /* who submitted purges has to hear that more is confirmed */
    unsigned low;                   /* peers that have acknowledged no more than `confirmed` */
    struct purging_pusher pushers[PUSHERS];
    unsigned npushers;
    /* what some member has and this one lacks */
    uint64_t need, need_since_ns, pulled_ns;
    uint64_t pulled_last; /* what there was at pulled_ns */
    uint32_t vain_pulls;  /* since then, that one included */
    uint32_t need_from;   /* whose vector has shown it last */
    uint32_t asked;       /* who was asked for it last */
    uint64_t behind_ns;   /* since when somebody's log has begun too late, 0: none has */
    /* as a collector has told */
    uint32_t told_members;
    uint64_t told_upto;
    struct peer_purge_lack *lacks;
    unsigned nlacks;
    /* activation: the highest sequence that the voters asked have */
    uint64_t sync;
    uint64_t known; /* what there was of it at lag_ns, here or elsewhere */
};

/* Another member that is present in the configuration. */
struct purging_peer {
    uint32_t number;
    bool up;
    uint32_t answered; /* the last round of polls that it answered; or that came before its link or this
                        * configuration */
    uint64_t polled_ns, polled_version; /* 0: has not polled here */
    uint64_t *polled;                   /* its vector then, by slot; NULL: has not polled */
    uint64_t granted_ns;                /* a tag lease that this voter granted in this epoch may run until then */
    uint64_t granted_all_ns;            /* a serve lease that this voter granted may */
};

struct purging_seat {
    uint32_t member, origin;
};

/* An id that a purge of this node had until the voter that gave it was gone. */
struct purging_name {
    uint64_t sequence;
    struct purge_via via;
    uint32_t origin;
};

/* Events of one slot that are to be applied, in the order in which they came: a copy of a purge under another via comes
 * behind the first, and must not count as applied before it is. */
struct purging_run {
    uint64_t upto;
    int slot;
};

struct purging {
    struct purging_events events;
    uint64_t boot;
    /* the configuration */
    uint32_t number; /* own, 0: none */
    uint64_t version, epoch, floor_epoch;
    uint32_t next_number;
    uint64_t poll_every_ns;
    uint32_t tag_lease_ms, tag_wait_ms, serve_wait_ms;
    bool leases;
    bool ejected;       /* ejected members are listed */
    bool seats_by_name; /* founders without state directories may have forgotten an older cluster, whose members' leases
                         * go on: a voter that has been active for shorter than such a lease cannot know better */
    uint64_t bound_ns;  /* since when the configuration says that leases bind */
    uint64_t gone_ns, gone_all_ns; /* leases granted to members that were ejected may run until then: by this voter; or
                                    * in an epoch before (gone_all_ns), of which a voter of it has told this one */
    uint64_t ended_ns, ended_all_ns; /* leases have ended; those that any voter granted to such may run until then */
    struct lease lease;
    unsigned nvoters, nprevious, npeers;
    struct purging_seat voters[CONFIGURATION_VOTERS_MAX];
    uint32_t previous[CONFIGURATION_VOTERS_MAX];
    struct purging_peer *peers; /* ascending by number */
    /* own part in it */
    bool sits;    /* it is a voter */
    int own_slot; /* of the own origin, -1: it has none: no voter, or one that waits for a number */
    bool sealed;
    bool begun;
    uint64_t entered;         /* the last epoch whose floor is raised, if it had one */
    uint64_t active_epoch;    /* the last one in which this node was an active voter; 0: none */
    uint64_t first_active_ns; /* as this member; 0: it never was */
    uint64_t active_ns;
    bool sync_active;   /* a voter that is active in this epoch has answered */
    bool sync_holds;    /* who has answered knows of leases of ejected members */
    uint32_t sync_from; /* previous voters that have answered, by seat */
    /* purges */
    struct purgelog *log;
    struct purging_slot slots[PURGELOG_SLOTS];
    struct peer_purge_seen retired[RETIRED]; /* origins dropped last, a ring */
    unsigned nretired;
    struct outbox out;
    struct purging_name renamed[RENAMED]; /* a ring: clients were told these ids */
    unsigned nrenamed;
    uint64_t counter; /* of vias */
    uint32_t nlocal;
    /* submitting */
    uint32_t voter;        /* to whom purges go, 0: nobody chosen */
    uint64_t submitted;    /* counts submissions */
    uint64_t answered;     /* the last one that was answered */
    uint64_t submitted_ns; /* when the oldest unanswered one was sent, or the last answer came */
    uint64_t heard_ns;     /* of the voter */
    uint64_t try_ns;       /* not before */
    /* applying */
    struct purging_run runs[RUNS];
    unsigned first_run, nruns;
    bool applying;     /* a batch takes time */
    int applying_slot; /* -1: a purge that is applied here alone */
    uint64_t applying_upto;
    struct purge_selector batch_selectors[PURGING_BATCH_SELECTORS];
    struct purging_source batch_sources[PURGING_BATCH_SELECTORS];
    uint64_t batch_tags[PURGE_EVENT_SELECTORS_MAX * PURGE_EVENT_TAGS_MAX];
    struct purging_batch batch;
    /* time */
    uint64_t tick_ns, poll_ns;
    uint64_t poll_all_ns; /* until then polls go only to those that answer promptly */
    uint64_t lag_ns;      /* what was known at this time is not all applied yet; 0: everything is applied */
    struct purging_counters counters;
    struct peer_purge_lack lapsed[PEER_PURGE_LACKS_MAX]; /* of acknowledgements */
    uint8_t frame[PEER_PURGE_EVENTS_MAX];
    uint8_t records[PURGE_EVENT_MAX];
};

/* purging_machine.c */
struct purging_peer *purging_peer(const struct purging *p, uint32_t number);
void purging_send(const struct purging *p, uint32_t member, struct peer_purge *m); /* nothing if the link is down */
void purging_tell(struct purging *p, uint32_t entry, enum purging_status status);  /* the outcome to who waits */
bool purging_votes(const struct purging *p);                                       /* it is an active voter */
bool purging_can_number(const struct purging *p);                                  /* ... with an origin */

/* purging_submit.c */
void purging_submit_flush(struct purging *p, uint64_t now_ns);
void purging_submit_tick(struct purging *p, uint64_t now_ns);
void purging_submit_link(struct purging *p, uint64_t now_ns, uint32_t member, bool up);
/* The purge of this entry is no event any more, as far as is known here: it gets another id. */
void purging_submit_unidentify(struct purging *p, uint32_t i, uint64_t now_ns);
void purging_submit_again(struct purging *p, uint64_t now_ns); /* everything, to another voter */
void purging_submit_answer(struct purging *p, uint64_t now_ns, uint32_t from, const struct peer_purge *m);
void purging_submit_status(struct purging *p, uint64_t now_ns, uint32_t from, const struct peer_purge *m);
void purging_submit_confirmed(struct purging *p, int slot); /* more of the slot is confirmed */

/* purging_origin.c */
int purging_origin_number(struct purging *p, uint64_t now_ns, const uint8_t *record, bool repeated, int *slot,
                          uint64_t *sequence);
void purging_origin_submitted(struct purging *p, uint64_t now_ns, uint32_t from, const struct peer_purge *m);
void purging_origin_flush(struct purging *p);
void purging_origin_tick(struct purging *p, uint64_t now_ns);

/* purging_collect.c */
int purging_collect_begin(struct purging *p, uint64_t now_ns, int slot, uint64_t want); /* 0 or -ENOMEM */
void purging_collect_end(struct purging *p, int slot);
void purging_collect_link(struct purging *p, uint64_t now_ns, unsigned peer);
void purging_collect_flush(struct purging *p, uint64_t now_ns);
void purging_collect_tick(struct purging *p, uint64_t now_ns);
void purging_collect_acked(struct purging *p, uint64_t now_ns, unsigned peer, const struct peer_purge *m);
uint32_t purging_collect_have(const struct purging *p, int slot, uint64_t sequence, uint32_t *members);
unsigned purging_collect_lacks(const struct purging *p, int slot, uint64_t upto, struct peer_purge_lack *out,
                               unsigned max);

/* purging_confirm.c */
void purging_confirm_forget(struct purging_slot *s, bool epoch); /* the votes; and what a majority had in the epoch */
void purging_confirm_vote(struct purging *p, int slot, uint32_t from, const struct peer_purge *m);
bool purging_confirm_wants_vote(const struct purging *p, int slot, uint32_t member, uint64_t upto);
/* All up to `tags` is confirmed, purges of everything up to `everything`; neither goes back. */
void purging_confirmed_upto(struct purging *p, int slot, uint64_t tags, uint64_t everything);
void purging_confirm_flush(struct purging *p, uint64_t now_ns); /* counts the slots that say so */
void purging_confirm_tick(struct purging *p);

/* purging_lease.c */
int purging_seat(const struct purging *p, uint32_t member);     /* a voter's, -1: it is none */
uint32_t purging_lease_ask(struct purging *p, uint64_t now_ns); /* begins a round of polls: its number */
void purging_lease_answered(struct purging *p, uint64_t now_ns, uint32_t from, const struct peer_purge *m);
void purging_lease_try(struct purging *p); /* takes leases that are complete */
bool purging_lease_grant(struct purging *p, uint64_t now_ns, struct purging_peer *peer, const struct peer_purge *m);
/* Peers that may hold no tag lease of this voter; returns how many. And what it does not know of: HOLD, HOLD_ALL. */
unsigned purging_lease_lapsed(const struct purging *p, uint64_t now_ns, struct peer_purge_lack *out);
uint32_t purging_lease_holds(const struct purging *p, uint64_t now_ns);
void purging_lease_activated(struct purging *p, uint64_t now_ns);
/* Before the peers of this configuration take the place of the old ones: notes leases of those that it ejects. */
void purging_lease_eject(struct purging *p, uint64_t now_ns, const struct configuration *c);
void purging_lease_adopt(struct purging *p, uint64_t now_ns, const struct configuration *c, bool same_number,
                         bool new_epoch);
bool purging_lease_held(const struct purging *p, uint64_t now_ns);

/* purging_member.c */
void purging_member_events(struct purging *p, uint64_t now_ns, uint32_t from, const struct peer_purge *m);
int purging_member_log(struct purging *p, int slot, const uint8_t *record, bool repeated); /* 0, -ENOSPC, -ENOMEM */
void purging_member_apply(struct purging *p);
bool purging_member_apply_alone(struct purging *p, uint32_t entry); /* false: not now */
void purging_member_end_batch(struct purging *p, int slot);         /* before its records are forgotten */
void purging_member_flush(struct purging *p, uint64_t now_ns);

/* purging_poll.c */
void purging_poll_tick(struct purging *p, uint64_t now_ns);
bool purging_poll_hurries(const struct purging *p, uint64_t now_ns); /* until it has begun, is active, has a lease */
void purging_poll_asked(struct purging *p, uint64_t now_ns, uint32_t from, const struct peer_purge *m);
void purging_poll_answered(struct purging *p, uint64_t now_ns, uint32_t from, const struct peer_purge *m);
void purging_poll_pulled(struct purging *p, uint32_t from, const struct peer_purge *m);
void purging_poll_activate(struct purging *p, uint64_t now_ns); /* if everything for it is here */
void purging_poll_repair(struct purging *p, uint64_t now_ns);

#endif
