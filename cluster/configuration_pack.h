/* SPDX-License-Identifier: BSD-3-Clause
 *
 * configuration_pack - a configuration as bytes: on the wire (inside control messages), on disk, and under its hash.
 *
 * One configuration has exactly one packed form, so equal hashes mean equal configurations. The form is little-endian
 * and begins with a format number; a reader refuses numbers that it does not know, so a field is added under a new
 * number, and only once the configuration says that all members read it.
 */
#ifndef TAGCACHED_CLUSTER_CONFIGURATION_PACK_H
#define TAGCACHED_CLUSTER_CONFIGURATION_PACK_H

#include "cluster/configuration.h"

/* A configuration that does not change any more, shared by counting; one thread. */
struct configuration_value {
    unsigned references;
    uint64_t hash; /* of the packed form */
    struct configuration configuration;
    uint32_t nbytes;
    uint8_t *bytes; /* packed */
};

/* Packs c into memory of its own. 0, -ENOMEM, or -EFBIG: it has more than CONFIGURATION_BYTES_MAX bytes. */
int configuration_pack(const struct configuration *c, uint8_t **bytes, uint32_t *nbytes);
/* Reads n bytes of anybody's into *out, which must be all zeros. 0, -ENOMEM, or -EINVAL: it is no configuration (a
 * length, a number or a name is out of bounds); *out is all zeros then. */
int configuration_unpack(const uint8_t *bytes, size_t n, struct configuration *out);
/* The hash of a packed form: XXH3, 64 bits. */
uint64_t configuration_hash(const uint8_t *bytes, size_t n);

/* Makes a value of a copy of c, or of packed bytes, with one reference. NULL and *err (-ENOMEM, -EFBIG, -EINVAL). */
struct configuration_value *configuration_value_new(const struct configuration *c, int *err);
struct configuration_value *configuration_value_read(const uint8_t *bytes, size_t n, int *err);
/* One more, one less reference; NULL is allowed. */
struct configuration_value *configuration_value_get(struct configuration_value *v);
void configuration_value_put(struct configuration_value *v);

#endif
