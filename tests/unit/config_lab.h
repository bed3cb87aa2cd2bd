/* SPDX-License-Identifier: BSD-3-Clause
 *
 * config_lab - one struct config on a table: a test says what it hears, moves its clock, and looks at what it answers.
 *
 * Node i is called n<i>:1, has the id {i + 1, 0, ...}, boot 100 + i, address 10.0.0.<i>:2 and, where it is a member of
 * lab_configuration, number i + 1 and origin 11 + i.
 */
#ifndef TAGCACHED_TESTS_UNIT_CONFIG_LAB_H
#define TAGCACHED_TESTS_UNIT_CONFIG_LAB_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "cluster/config.h"

#define LAB_MS UINT64_C(1000000)

struct lab {
    struct config *config;
    struct config_outs outs; /* everything since the last lab_clear */
    uint64_t now_ns;
    unsigned self;
    bool write;         /* confirm writes at once */
    bool busy;          /* does not go on as another node just yet; else at once */
    uint64_t unwritten; /* number of the last record that was not confirmed, 0: none */
};

struct config_peer lab_peer(unsigned node);
struct config_options lab_options(unsigned self);
/* Version 5, epoch 2 (fresh), voters n0, n1, n2; members n0 to n<members - 1>, all serving with state directories. */
void lab_configuration(struct configuration *c, unsigned members);
/* The machine of node self: knows the configuration (NULL: none). With active it is its listed process, active in the
 * epoch; else it just started, with a boot of 1000. */
void lab_begin(struct lab *l, const struct config_options *o, const struct configuration *c, bool active);
void lab_end(struct lab *l);
void lab_clear(struct lab *l);

void lab_input(struct lab *l, const struct config_in *in);
/* Lets the time pass, and the machine look at it whenever it asked for. */
void lab_pass(struct lab *l, unsigned ms);
void lab_hear(struct lab *l, unsigned from, const struct peer_config *m);
/* Tells that a member polled, now. */
void lab_heard(struct lab *l, uint32_t number);
void lab_request(struct lab *l, enum config_request_kind kind, const char *name, uint64_t argument, uint64_t token);

/* The last message of this kind since lab_clear, to this node (-1: to anybody, seeds too); NULL: none. */
const struct config_out *lab_said(const struct lab *l, enum peer_config_kind kind, int to);
/* The last out of this kind, NULL: none. */
const struct config_out *lab_out(const struct lab *l, enum config_out_kind kind);
/* The last log line of this event, NULL: none. */
const char *lab_log(const struct lab *l, const char *event);
/* How many messages of this kind were sent. */
unsigned lab_count(const struct lab *l, enum peer_config_kind kind);

/* A message about the machine's current configuration. */
struct peer_config lab_message(const struct lab *l, enum peer_config_kind kind);
/* A promise or an acceptance that answers the machine's last PREPARE or ACCEPT. */
struct peer_config lab_promise(const struct lab *l, bool active);
void lab_accepted(struct lab *l, unsigned from);
/* What the machine's last ACCEPT proposes; the caller's to put. NULL: it sent none. */
struct configuration_value *lab_proposed(const struct lab *l);

#endif
