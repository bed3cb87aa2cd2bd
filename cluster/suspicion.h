/* SPDX-License-Identifier: BSD-3-Clause
 *
 * suspicion - how long a suspect has to refute (Lifeguard, Dadgar, Phillips and Currey 2018, section IV-B): long when
 * one node alone suspects it, since that node may be the sick one; shorter with each other node that does too. Pure.
 */
#ifndef TAGCACHED_CLUSTER_SUSPICION_H
#define TAGCACHED_CLUSTER_SUSPICION_H

#include <stdint.h>

/* The shortest time: factor x max(1, log10(members)) x probe interval. */
uint64_t suspicion_min_ns(unsigned factor, unsigned members, uint64_t probe_ns);
/* How many further accusers make it the shortest: factor - 2, but not more than there are other members. */
unsigned suspicion_expected(unsigned factor, unsigned members);
/* The time with so many further accusers: max_factor x min with none, min with `expected`, logarithmic in between. */
uint64_t suspicion_timeout_ns(uint64_t min_ns, unsigned max_factor, unsigned confirmations, unsigned expected);

#endif
