/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/config_record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"

/* magic 8 | format 4 | id 16 | boot 8 | instance 8 | two ballots of 32 | two lengths of 4 | values | checksum 8 */
static const char magic[8] = "tcstate";
/* Format 2 is the same, of a node that takes part in a founding. */
enum { FORMAT = 1, FORMAT_FOUNDS = 2, BALLOT = 32, HEAD = 8 + 4 + 16 + 8 + 8 + 2 * BALLOT + 2 * 4, CHECKSUM = 8 };

void config_record_fini(struct config_record *r) {
    configuration_value_put(r->current);
    configuration_value_put(r->acceptor.value);
    *r = (struct config_record){0};
}

static uint8_t *put_number(uint8_t *at, uint64_t v, unsigned n) {
    for (unsigned i = 0; i < n; i++) at[i] = (uint8_t)(v >> (8 * i));
    return at + n;
}

static uint64_t get_number(const uint8_t **at, unsigned n) {
    uint64_t v = 0;
    for (unsigned i = n; i-- > 0;) v = v << 8 | (*at)[i];
    *at += n;
    return v;
}

static uint8_t *put_bytes(uint8_t *at, const void *from, size_t n) {
    if (n > 0) memcpy(at, from, n);
    return at + n;
}

static uint8_t *put_ballot(uint8_t *at, const struct peer_ballot *b) {
    at = put_number(at, b->counter, 8);
    at = put_number(at, b->boot, 8);
    return put_bytes(at, &b->node, sizeof b->node);
}

static void get_id(const uint8_t **at, struct cluster_id *id) {
    memcpy(id, *at, sizeof *id);
    *at += sizeof *id;
}

static void get_ballot(const uint8_t **at, struct peer_ballot *b) {
    b->counter = get_number(at, 8);
    b->boot = get_number(at, 8);
    get_id(at, &b->node);
}

static uint32_t value_bytes(const struct configuration_value *v) {
    return v == NULL ? 0 : v->nbytes;
}

static uint8_t *put_value(uint8_t *at, const struct configuration_value *v) {
    return v == NULL ? at : put_bytes(at, v->bytes, v->nbytes);
}

int config_record_pack(const struct config_record *r, uint8_t **bytes, size_t *nbytes) {
    const size_t n = HEAD + value_bytes(r->current) + value_bytes(r->acceptor.value) + CHECKSUM;
    uint8_t *start = malloc(n), *at = start;
    if (start == NULL) return -ENOMEM;
    at = put_bytes(at, magic, sizeof magic);
    at = put_number(at, r->founds ? FORMAT_FOUNDS : FORMAT, 4);
    at = put_bytes(at, &r->id, sizeof r->id);
    at = put_number(at, r->boot, 8);
    at = put_number(at, r->acceptor.instance, 8);
    at = put_ballot(at, &r->acceptor.promised);
    at = put_ballot(at, &r->acceptor.accepted);
    at = put_number(at, value_bytes(r->current), 4);
    at = put_number(at, value_bytes(r->acceptor.value), 4);
    at = put_value(at, r->current);
    at = put_value(at, r->acceptor.value);
    at = put_number(at, XXH3_64bits(start, n - CHECKSUM), CHECKSUM);
    CHECK(at == start + n);
    *bytes = start;
    *nbytes = n;
    return 0;
}

/* Reads the value of n bytes at `at`; none if n is 0. */
static int get_value(const uint8_t *at, size_t n, struct configuration_value **out) {
    int err = 0;
    *out = n == 0 ? NULL : configuration_value_read(at, n, &err);
    return err;
}

static int refuse(char *err, size_t err_size, const char *reason) {
    snprintf(err, err_size, "%s", reason);
    return -EINVAL;
}

static int unpack(const uint8_t *bytes, size_t n, struct config_record *out, char *err, size_t err_size) {
    const uint8_t *at = bytes + sizeof magic;
    if (n < HEAD + CHECKSUM || n > CONFIG_RECORD_BYTES_MAX || memcmp(bytes, magic, sizeof magic) != 0)
        return refuse(err, err_size, "it is cut short or no record of a cluster's state");
    const uint64_t format = get_number(&at, 4);
    if (format != FORMAT && format != FORMAT_FOUNDS) return refuse(err, err_size, "a newer tagcached wrote it");
    const uint8_t *sum = bytes + n - CHECKSUM;
    if (get_number(&sum, CHECKSUM) != XXH3_64bits(bytes, n - CHECKSUM))
        return refuse(err, err_size, "it is damaged: its checksum does not match");
    out->founds = format == FORMAT_FOUNDS;
    get_id(&at, &out->id);
    out->boot = get_number(&at, 8);
    out->acceptor.instance = get_number(&at, 8);
    get_ballot(&at, &out->acceptor.promised);
    get_ballot(&at, &out->acceptor.accepted);
    const size_t ncurrent = get_number(&at, 4), naccepted = get_number(&at, 4);
    if (ncurrent > n || naccepted > n || HEAD + ncurrent + naccepted + CHECKSUM != n || cluster_id_is_zero(&out->id))
        return refuse(err, err_size, "it is damaged: its lengths do not match");
    int status = get_value(at, ncurrent, &out->current);
    if (status == 0) status = get_value(at + ncurrent, naccepted, &out->acceptor.value);
    if (status == -EINVAL) return refuse(err, err_size, "the configuration in it cannot be read");
    return status;
}

int config_record_unpack(const uint8_t *bytes, size_t n, struct config_record *out, char *err, size_t err_size) {
    const int status = unpack(bytes, n, out, err, err_size);
    if (status < 0) config_record_fini(out);
    return status;
}

uint64_t config_record_next_boot(const struct config_record *r, uint64_t unix_seconds) {
    return r->boot + 1 > unix_seconds ? r->boot + 1 : unix_seconds;
}
