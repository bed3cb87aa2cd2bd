/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/configuration_pack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"

enum { FORMAT = 2, FORMAT_WITHOUT_LEASES = 1 };

/* ---- writing */

/* Counts while `at` is NULL, else writes; so one walk over the fields serves both. */
struct writer {
    uint8_t *at;
    size_t n;
};

static void write_number(struct writer *w, uint64_t v, unsigned nbytes) {
    for (unsigned i = 0; i < nbytes && w->at != NULL; i++) w->at[w->n + i] = (uint8_t)(v >> (8 * i));
    w->n += nbytes;
}

static void write_bytes(struct writer *w, const void *from, size_t n) {
    if (w->at != NULL) memcpy(w->at + w->n, from, n);
    w->n += n;
}

static void write_text(struct writer *w, const char *text) {
    const size_t n = strlen(text);
    write_number(w, n, 2);
    write_bytes(w, text, n);
}

static void write_voters(struct writer *w, const struct configuration_voter *v, unsigned n) {
    write_number(w, n, 1);
    for (unsigned i = 0; i < n; i++) {
        write_bytes(w, &v[i].id, sizeof v[i].id);
        write_number(w, v[i].member, 4);
        write_number(w, v[i].origin, 4);
        write_text(w, v[i].name);
    }
}

static void write_member(struct writer *w, const struct configuration_member *m) {
    write_number(w, m->number, 4);
    write_bytes(w, &m->id, sizeof m->id);
    write_number(w, m->boot, 8);
    write_number(w, m->weight, 4);
    write_number(w, (uint64_t)m->state | (m->keeps_state ? 0x10u : 0u) | (m->drained ? 0x20u : 0u), 1);
    write_text(w, m->name);
    write_text(w, m->address);
}

static void write_all(struct writer *w, const struct configuration *c) {
    write_number(w, FORMAT, 2);
    write_bytes(w, &c->cluster, sizeof c->cluster);
    write_text(w, c->cluster_name);
    write_text(w, c->by);
    write_number(w, (c->seats_by_name ? 1u : 0u) | (c->leases ? 2u : 0u), 1);
    write_number(w, c->version, 8);
    write_number(w, c->epoch, 8);
    write_number(w, c->floor_epoch, 8);
    write_number(w, c->retire_version, 8);
    write_number(w, c->next_number, 4);
    write_number(w, c->tag_lease_ms, 4);
    write_number(w, c->serve_lease_ms, 4);
    write_number(w, c->eject_after_ms, 4);
    write_number(w, c->tag_wait_ms, 4);
    write_number(w, c->serve_wait_ms, 4);
    write_number(w, c->voters_target, 4);
    write_number(w, c->ring_version, 8);
    write_number(w, c->ring_version_before, 8);
    write_voters(w, c->voters, c->nvoters);
    write_voters(w, c->previous, c->nprevious);
    write_number(w, c->norigins, 1);
    for (unsigned i = 0; i < c->norigins; i++) write_number(w, c->origins[i], 4);
    write_number(w, c->nclosing, 1);
    for (unsigned i = 0; i < c->nclosing; i++) {
        write_number(w, c->closing[i].origin, 4);
        write_number(w, c->closing[i].version, 8);
    }
    write_number(w, c->nmembers, 2);
    for (unsigned i = 0; i < c->nmembers; i++) write_member(w, &c->members[i]);
}

int configuration_pack(const struct configuration *c, uint8_t **bytes, uint32_t *nbytes) {
    struct writer count = {NULL, 0}, w = {NULL, 0};
    write_all(&count, c);
    if (count.n > CONFIGURATION_BYTES_MAX) return -EFBIG;
    w.at = malloc(count.n);
    if (w.at == NULL) return -ENOMEM;
    write_all(&w, c);
    CHECK(w.n == count.n);
    *bytes = w.at;
    *nbytes = (uint32_t)w.n;
    return 0;
}

/* ---- reading */

/* Once something was out of bounds, `bad` stays set and everything read is zero. */
struct reader {
    const uint8_t *at;
    size_t left;
    bool bad;
};

static bool take(struct reader *r, size_t n, const uint8_t **at) {
    if (r->bad || r->left < n) {
        r->bad = true;
        return false;
    }
    *at = r->at;
    r->at += n;
    r->left -= n;
    return true;
}

static uint64_t read_number(struct reader *r, unsigned nbytes) {
    const uint8_t *at;
    uint64_t v = 0;
    if (!take(r, nbytes, &at)) return 0;
    for (unsigned i = nbytes; i-- > 0;) v = v << 8 | at[i];
    return v;
}

static unsigned read_count(struct reader *r, unsigned nbytes, unsigned max) {
    const unsigned n = (unsigned)read_number(r, nbytes);
    if (n > max) r->bad = true;
    return r->bad ? 0 : n;
}

static void read_id(struct reader *r, struct cluster_id *id) {
    const uint8_t *at;
    if (take(r, sizeof *id, &at)) memcpy(id, at, sizeof *id);
}

/* Texts are names and addresses: visible ASCII, nothing else. */
static void read_text(struct reader *r, char *to, size_t max) {
    const uint8_t *at;
    const size_t n = read_count(r, 2, (unsigned)max);
    if (!take(r, n, &at)) return;
    for (size_t i = 0; i < n; i++)
        if (at[i] <= 0x20 || at[i] >= 0x7f) r->bad = true;
    if (r->bad) return;
    memcpy(to, at, n);
    to[n] = '\0';
}

static unsigned read_voters(struct reader *r, struct configuration_voter *v) {
    const unsigned n = read_count(r, 1, CONFIGURATION_VOTERS_MAX);
    for (unsigned i = 0; i < n; i++) {
        read_id(r, &v[i].id);
        v[i].member = (uint32_t)read_number(r, 4);
        v[i].origin = (uint32_t)read_number(r, 4);
        read_text(r, v[i].name, CONFIGURATION_NAME_MAX);
        if (v[i].name[0] == '\0' || cluster_id_is_zero(&v[i].id) != (v[i].member == 0)) r->bad = true;
    }
    return n;
}

static void read_origins(struct reader *r, struct configuration *c) {
    c->norigins = read_count(r, 1, CONFIGURATION_ORIGINS_MAX);
    for (unsigned i = 0; i < c->norigins; i++) {
        c->origins[i] = (uint32_t)read_number(r, 4);
        if (c->origins[i] >= c->next_number || (i > 0 && c->origins[i] <= c->origins[i - 1])) r->bad = true;
    }
    c->nclosing = read_count(r, 1, CONFIGURATION_ORIGINS_MAX);
    for (unsigned i = 0; i < c->nclosing; i++) {
        c->closing[i].origin = (uint32_t)read_number(r, 4);
        c->closing[i].version = read_number(r, 8);
    }
}

static int read_members(struct reader *r, struct configuration *c) {
    const unsigned n = read_count(r, 2, CONFIGURATION_MEMBERS_MAX);
    enum { LEAST = 4 + 16 + 8 + 4 + 1 + 2 + 2 };
    if (r->bad || n > r->left / LEAST) return -EINVAL;
    if (n > 0 && (c->members = calloc(n, sizeof *c->members)) == NULL) return -ENOMEM;
    c->nmembers = n;
    for (unsigned i = 0; i < n; i++) {
        struct configuration_member *m = &c->members[i];
        m->number = (uint32_t)read_number(r, 4);
        read_id(r, &m->id);
        m->boot = read_number(r, 8);
        m->weight = (uint32_t)read_number(r, 4);
        const unsigned flags = (unsigned)read_number(r, 1);
        m->state = (enum configuration_state)(flags & 0x0f);
        m->keeps_state = flags & 0x10;
        m->drained = flags & 0x20;
        read_text(r, m->name, CONFIGURATION_NAME_MAX);
        read_text(r, m->address, CONFIGURATION_ADDRESS_MAX);
        if (flags >= 0x40 || m->state > CONFIGURATION_EJECTED || m->weight > CONFIGURATION_WEIGHT_MAX ||
            m->name[0] == '\0' || cluster_id_is_zero(&m->id) || m->number == 0 || m->number >= c->next_number ||
            (i > 0 && m->number <= m[-1].number))
            r->bad = true;
    }
    return r->bad ? -EINVAL : 0;
}

/* What stands between the names and the voters. */
static void read_numbers(struct reader *r, struct configuration *c, unsigned format) {
    const unsigned flags = read_count(r, 1, format == FORMAT ? 3 : 1);
    c->seats_by_name = (flags & 1) != 0;
    c->leases = (flags & 2) != 0;
    c->version = read_number(r, 8);
    c->epoch = read_number(r, 8);
    c->floor_epoch = read_number(r, 8);
    c->retire_version = read_number(r, 8);
    c->next_number = (uint32_t)read_number(r, 4);
    c->tag_lease_ms = (uint32_t)read_number(r, 4);
    c->serve_lease_ms = (uint32_t)read_number(r, 4);
    c->eject_after_ms = (uint32_t)read_number(r, 4);
    c->tag_wait_ms = format == FORMAT ? (uint32_t)read_number(r, 4) : c->tag_lease_ms;
    c->serve_wait_ms = format == FORMAT ? (uint32_t)read_number(r, 4) : c->serve_lease_ms;
    c->voters_target = (uint32_t)read_number(r, 4);
    c->ring_version = read_number(r, 8);
    c->ring_version_before = read_number(r, 8);
}

static bool has_sane_leases(const struct configuration *c) {
    return c->tag_lease_ms > 0 && c->tag_lease_ms <= c->serve_lease_ms && c->tag_wait_ms >= c->tag_lease_ms &&
           c->serve_wait_ms >= c->serve_lease_ms && (!c->leases || c->nvoters >= 3);
}

static int read_all(struct reader *r, struct configuration *c) {
    const unsigned format = (unsigned)read_number(r, 2);
    if (format != FORMAT && format != FORMAT_WITHOUT_LEASES) return -EINVAL;
    read_id(r, &c->cluster);
    read_text(r, c->cluster_name, CONFIGURATION_NAME_MAX);
    read_text(r, c->by, CONFIGURATION_NAME_MAX);
    read_numbers(r, c, format);
    c->nvoters = read_voters(r, c->voters);
    c->nprevious = read_voters(r, c->previous);
    read_origins(r, c);
    const int err = read_members(r, c);
    if (err < 0) return err;
    const bool sane = r->left == 0 && !cluster_id_is_zero(&c->cluster) && c->version > 0 && c->epoch > 0 &&
                      c->floor_epoch <= c->epoch && c->retire_version <= c->version && c->ring_version <= c->version &&
                      c->nvoters % 2 == 1 && has_sane_leases(c) && c->voters_target <= CONFIGURATION_VOTERS_MAX;
    return sane && !r->bad ? 0 : -EINVAL;
}

int configuration_unpack(const uint8_t *bytes, size_t n, struct configuration *out) {
    struct reader r = {bytes, n, n > CONFIGURATION_BYTES_MAX};
    const int err = read_all(&r, out);
    if (err < 0) configuration_fini(out);
    return err;
}

uint64_t configuration_hash(const uint8_t *bytes, size_t n) {
    return XXH3_64bits(bytes, n);
}

/* ---- values */

static struct configuration_value *value_of(struct configuration *c, uint8_t *bytes, uint32_t nbytes) {
    struct configuration_value *v = calloc(1, sizeof *v);
    if (v == NULL) return NULL;
    v->references = 1;
    v->hash = configuration_hash(bytes, nbytes);
    v->configuration = *c;
    v->nbytes = nbytes;
    v->bytes = bytes;
    return v;
}

struct configuration_value *configuration_value_new(const struct configuration *c, int *err) {
    struct configuration copy = {0};
    struct configuration_value *v = NULL;
    uint8_t *bytes = NULL;
    uint32_t nbytes = 0;
    *err = configuration_pack(c, &bytes, &nbytes);
    if (*err == 0) *err = configuration_copy(&copy, c);
    if (*err == 0 && (v = value_of(&copy, bytes, nbytes)) == NULL) *err = -ENOMEM;
    if (v != NULL) return v;
    free(bytes);
    configuration_fini(&copy);
    return NULL;
}

struct configuration_value *configuration_value_read(const uint8_t *bytes, size_t n, int *err) {
    struct configuration c = {0};
    *err = configuration_unpack(bytes, n, &c);
    if (*err < 0) return NULL;
    uint8_t *copy = malloc(n);
    struct configuration_value *v = NULL;
    if (copy != NULL) {
        memcpy(copy, bytes, n);
        v = value_of(&c, copy, (uint32_t)n);
    }
    if (v != NULL) return v;
    *err = -ENOMEM;
    free(copy);
    configuration_fini(&c);
    return NULL;
}

struct configuration_value *configuration_value_get(struct configuration_value *v) {
    if (v != NULL) v->references++;
    return v;
}

void configuration_value_put(struct configuration_value *v) {
    if (v == NULL || --v->references > 0) return;
    configuration_fini(&v->configuration);
    free(v->bytes);
    free(v);
}
