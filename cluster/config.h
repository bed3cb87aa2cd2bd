/* SPDX-License-Identifier: BSD-3-Clause
 *
 * config - how the nodes of a cluster agree on their configuration (configuration.h): founding, one Paxos decision a
 * version, joins, leaves, ejects, weights, the voters' seats, epochs, recovery.
 *
 * A pure machine: the driver tells it what happened (config_input) and carries out what it answers (struct
 * config_outs). It does no I/O and reads no clock; `now_ns` is CLOCK_BOOTTIME, and its random numbers come from the
 * seed. One thread owns an instance. The same file runs in the daemon and under the simulator (tests/sim).
 *
 * Who the sender of a message is, the driver knows from the link's Hello; addresses and datagrams prove nothing.
 *
 * Decisions are those of single-decree Paxos (L. Lamport, Paxos Made Simple, 2001), one instance a version, among the
 * voters of the version before; an acceptor is a seat, that is a node id. With a state directory an acceptor's answer
 * waits until its record is on disk. Without one a node has a new id at each start, so it can forget nothing.
 */
#ifndef TAGCACHED_CLUSTER_CONFIG_H
#define TAGCACHED_CLUSTER_CONFIG_H

#include "cluster/config_io.h"

struct config;

/* Makes a machine. `stored` is the state directory's record (its id and boot as in options->self), or NULL; its values
 * are shared. NULL, and the reason in err: the options contradict each other, or there is no memory. */
struct config *config_new(const struct config_options *options, const struct config_record *stored, uint64_t now_ns,
                          char *err, size_t err_size);
void config_free(struct config *c);
/* Tells it what happened; appends what is to be done to outs. While it waits for CONFIG_IN_RESET (config_io.h), all but
 * CONFIG_IN_WRITTEN counts as lost. */
void config_input(struct config *c, uint64_t now_ns, const struct config_in *in, struct config_outs *outs);
/* When CONFIG_IN_TIME is due. */
uint64_t config_next_ns(const struct config *c);

/* ---- questions; answers hold until the next input */

/* The configuration, or NULL. */
const struct configuration *config_current(const struct config *c);
const struct configuration_value *config_current_value(const struct config *c);
/* One's own identity: id and boot may have changed (CONFIG_OUT_BOOT, CONFIG_OUT_RESET). */
const struct config_peer *config_self(const struct config *c);
/* One's own member number as the configuration lists this process, 0: not a member. */
uint32_t config_number(const struct config *c);
/* Whether this process is a voter: the one that its seat lists. */
bool config_sits(const struct config *c);
/* The origin number of one's purges, 0: this process is no voter, or one that waits for a number. */
uint32_t config_origin(const struct config *c);
/* Whether this voter has accepted a configuration of another epoch: it grants and acknowledges nothing in the current
 * epoch any more. */
bool config_sealed(const struct config *c);
/* Whether the current epoch is a fresh one: nothing was handed over from the one before. */
bool config_fresh(const struct config *c);
/* Whether this process may no longer serve as a member: it left, or a newer process has its name. */
bool config_left(const struct config *c);
/* W(d): how long to wait so that d milliseconds have passed on every node's clock, whose rates differ by up to 5 %. */
uint64_t config_waited_ms(uint64_t ms);
/* One line for the operator: what the node waits for ("waiting: 1 of 3 founders", "joining", ""). */
void config_waiting(const struct config *c, uint64_t now_ns, char *text, size_t text_size);

#endif
