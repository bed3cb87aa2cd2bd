/* SPDX-License-Identifier: BSD-3-Clause
 *
 * config_bytes - the configuration as bytes, for simulations whose nodes run the machine of cluster/config.h: a record
 * on a disk, and a message. Bytes that are not what they should be end the program: nothing in the simulator spoils
 * them.
 */
#ifndef TAGCACHED_TESTS_SIM_CONFIG_BYTES_H
#define TAGCACHED_TESTS_SIM_CONFIG_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/peer_config.h"

/* Whether the record of a state directory has a configuration in it. */
bool config_bytes_has_cluster(const uint8_t *record, size_t n);
/* Reads a whole message. *m holds until the next call, and until peer_config_reader_fini(reader), which is the
 * caller's. */
void config_bytes_message(const uint8_t *bytes, size_t n, struct peer_config_reader *reader, struct peer_config *m);

#endif
