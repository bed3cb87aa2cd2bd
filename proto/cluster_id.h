/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cluster_id - 128 random bits that name a node (kept in its state directory) or a cluster (made when it is founded).
 */
#ifndef TAGCACHED_PROTO_CLUSTER_ID_H
#define TAGCACHED_PROTO_CLUSTER_ID_H

#include <stdbool.h>
#include <stdint.h>

struct cluster_id {
    uint8_t bytes[16];
};
#define CLUSTER_ID_TEXT 33 /* bytes of its text, the terminating zero included */

bool cluster_id_equal(const struct cluster_id *a, const struct cluster_id *b);
bool cluster_id_is_zero(const struct cluster_id *id);
/* Writes it as 32 hexadecimal digits. */
void cluster_id_text(const struct cluster_id *id, char text[CLUSTER_ID_TEXT]);
/* Reads 32 hexadecimal digits. False: it is none. */
bool cluster_id_read(const char *text, struct cluster_id *out);

#endif
