/* SPDX-License-Identifier: BSD-3-Clause
 *
 * mutation - shortcuts that break a promise, to be switched on by a test that has to notice. Only the test build has
 * them; in the daemon every MUTATED is false. A test switches one on for the whole process.
 */
#ifndef TAGCACHED_CLUSTER_MUTATION_H
#define TAGCACHED_CLUSTER_MUTATION_H

enum mutation {
    MUTATION_NONE,
    MUTATION_MAX_SEQUENCE,      /* an event beyond a gap is applied, and the vector shows it */
    MUTATION_OWN_TWICE,         /* a purge applied here alone is applied again when it comes back as an event */
    MUTATION_ACK_EARLY,         /* acknowledged when it is in the log, not when it is applied */
    MUTATION_NO_VIA,            /* a via that is in the log is not recognised */
    MUTATION_VECTOR_AHEAD,      /* the vector that others are told shows what is in the log and not applied */
    MUTATION_NO_HORIZON_FLOOR,  /* what a log has no more is skipped without a floor */
    MUTATION_HORIZON_NO_STAR,   /* ... with a floor for tagged items only, though a `*` may be among it */
    MUTATION_NEWCOMER_NO_FLOOR, /* a newcomer takes a voter's vector and keeps its items */
    MUTATION_CONFIRM_LINKED,    /* members without a link need not acknowledge */
    MUTATION_MAJORITY_ONLY,     /* a majority of the voters is enough, whoever holds leases */
    MUTATION_LEASE_MINORITY,    /* a voter less than a majority is enough for a lease */
    MUTATION_LEASE_EARLY,       /* a lease is taken before what the voters have applied is applied here */
    MUTATION_LEASE_FROM_REPLY,  /* it runs from the reply on, not from the poll */
    MUTATION_WAIT_FROM_ISSUE,   /* they are waited for from the purge on, not from when a majority has it */
    MUTATION_NO_DRIFT,          /* others' leases are waited for without a margin for clocks */
    MUTATION_NO_HOLD,           /* leases of the epoch before are not waited for */
    MUTATION_NO_SEAL,           /* who has accepted another epoch goes on granting and acknowledging in this one */
    MUTATION_MIXED_EPOCHS,      /* what a voter of another epoch, or version, says counts */
    MUTATION_FLUSH_BY_LEASE,    /* a purge of everything is confirmed by the rule of the others */
    MUTATION_FLUSH_NOT_ALL,     /* a purge of everything waits for a majority, and for no member */
    MUTATION_EJECTED_FORGOTTEN, /* leases of who is ejected just when it comes back are not waited for */
    MUTATION_RETIRE_BLIND,      /* an origin that closes may go, whoever has what of it */
    MUTATION_NO_SYNC,           /* a voter of a kept epoch is active at once */
    MUTATION_SYNC_FROM_ONE,     /* ... when it has heard one voter of the epoch before */
    MUTATION_NO_EPOCH_FLOOR,    /* a fresh epoch costs nothing */
    MUTATION_RECOVERED_KEEPS,   /* ... and a recovery costs what is tagged only */
    MUTATION_CACHED_CLOCK,      /* a hit goes by a clock that was read before its request came */
    MUTATION_PULL_NO_VECTOR,    /* an item is given to another node though purges that this one has are missing here */
    MUTATION_PULL_NO_FLOOR,     /* ... or the floor of an epoch, or that an origin was dropped */
    MUTATION_PULL_NO_GUARD,     /* ... and is stored there whatever was purged meanwhile */
    MUTATION_NO_WRITTEN,        /* ... and whatever was written there meanwhile */
};

#ifdef TAGCACHED_FAULTS
extern enum mutation mutation_on;
#define MUTATED(m) (mutation_on == (m))
#else
#define MUTATED(m) (false)
#endif

#endif
