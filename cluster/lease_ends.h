/* SPDX-License-Identifier: BSD-3-Clause
 *
 * lease_ends - until when a node may answer from its store (lease.h). The cluster's thread writes them, and workers
 * read them, as atomics.
 */
#ifndef TAGCACHED_CLUSTER_LEASE_ENDS_H
#define TAGCACHED_CLUSTER_LEASE_ENDS_H

#include <stdint.h>

#define LEASE_ENDLESS UINT64_MAX /* no lease is needed */

/* Nanoseconds of CLOCK_BOOTTIME. A hit or a write needs a lease that ends later than the clock that was read after its
 * request came: the serve lease, and for a tagged item the tag lease, too. */
struct lease_ends {
    uint64_t tag_ns, serve_ns;
};

#endif
