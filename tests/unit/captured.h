/* SPDX-License-Identifier: BSD-3-Clause
 *
 * captured - writes one message of each kind, as this release sends it, into files for tests/wire/peer. The README.md
 * there says how such a file looks.
 */
#ifndef TAGCACHED_TESTS_CAPTURED_H
#define TAGCACHED_TESTS_CAPTURED_H

#include "cluster/datagram.h"

#define CAPTURED_KEY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" /* seals the datagrams */
#define CAPTURED_CLUSTER "shop"
#define CAPTURED_SENDER ((struct cluster_id){{0x0a}}) /* of datagrams */
#define CAPTURED_BOOT 100

/* The datagrams of a process that has this key, and random bytes that are all zero. NULL: no memory. */
struct datagram *captured_datagrams(const struct cluster_id *self, uint64_t boot);
/* Writes the messages that the folder does not have yet; what is there stays. How many it wrote; -1: it could not,
 * which was said. */
int captured_write(const char *folder);

#endif
