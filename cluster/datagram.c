/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/datagram.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "cluster/idmap.h"
#include "proto/peer_codec.h"

_Static_assert(DATAGRAM_PAYLOAD_MAX == PEER_DATAGRAM_MAX, "a datagram carries what is packed for one");

/* Places in the header. */
enum { AT_MAGIC = 0, AT_VERSION = 4, AT_KEY = 6, AT_CLUSTER = 8, AT_SENDER = 16, AT_BOOT = 32, AT_COUNTER = 40 };
enum { AT_NONCE = 48, AT_SEALED = 72, TAG = 16 };
_Static_assert(AT_SEALED + TAG == DATAGRAM_OVERHEAD, "the overhead is what the header says");

static const uint8_t magic[4] = {'t', 'c', 'd', '1'};

struct known {
    struct cluster_id id;
    uint64_t boot;
    uint32_t version;
    uint64_t highest;                    /* counter that has come */
    uint64_t seen[DATAGRAM_WINDOW / 64]; /* bit i % 1,024 of counter i: it has come; of the last 1,024 counters */
};

struct datagram {
    struct keyring keyring;
    struct datagram_random random;
    struct cluster_id self;
    uint64_t boot, counter, cluster;
    struct idmap known; /* of struct known */
    uint64_t counts[DATAGRAM_VERDICTS];
};

static void put64(uint8_t *to, uint64_t v) {
    for (int i = 7; i >= 0; i--, v >>= 8) to[i] = (uint8_t)v;
}

static uint64_t get64(const uint8_t *from) {
    uint64_t v = 0;
    for (unsigned i = 0; i < 8; i++) v = v << 8 | from[i];
    return v;
}

struct datagram *datagram_new(const struct datagram_config *cfg) {
    struct datagram *d = calloc(1, sizeof *d);
    if (d == NULL) return NULL;
    CHECK(sodium_init() >= 0);
    d->keyring = *cfg->keyring;
    d->random = cfg->random;
    d->self = cfg->self;
    d->boot = cfg->boot;
    d->cluster = XXH3_64bits(cfg->cluster_name, strlen(cfg->cluster_name));
    d->random.fill(d->random.arg, &d->known.seed, sizeof d->known.seed);
    return d;
}

void datagram_free(struct datagram *d) {
    if (d == NULL) return;
    keyring_wipe(&d->keyring);
    unsigned at = 0;
    for (struct known *k; (k = idmap_next(&d->known, &at)) != NULL;) free(k);
    idmap_fini(&d->known);
    free(d);
}

void datagram_set_keyring(struct datagram *d, const struct keyring *k) {
    d->keyring = *k;
}

/* ------------------------------------------------------------------ who is known */

static struct known *find(const struct datagram *d, const struct cluster_id *id) {
    return idmap_get(&d->known, id);
}

static int add(struct datagram *d, const struct known *k) {
    if (d->known.n == DATAGRAM_SENDERS_MAX) return -ENOSPC;
    struct known *copy = malloc(sizeof *copy);
    if (copy == NULL) return -ENOMEM;
    *copy = *k;
    if (idmap_put(&d->known, &k->id, copy) == 0) return 0;
    free(copy);
    return -ENOMEM;
}

int datagram_know(struct datagram *d, const struct cluster_id *id, uint64_t boot, uint32_t version) {
    struct known *k = find(d, id);
    if (k == NULL) return add(d, &(struct known){.id = *id, .boot = boot, .version = version});
    if (boot < k->boot) return -ESTALE;
    if (boot > k->boot) *k = (struct known){.id = *id, .boot = boot}; /* counters of a new process begin anew */
    k->version = version;
    return 0;
}

void datagram_forget(struct datagram *d, const struct cluster_id *id) {
    free(idmap_remove(&d->known, id));
}

uint32_t datagram_version_of(const struct datagram *d, const struct cluster_id *id) {
    const struct known *k = find(d, id);
    return k != NULL ? k->version : PEER_WIRE_LOWEST;
}

unsigned datagram_known(const struct datagram *d) {
    return d->known.n;
}

/* ------------------------------------------------------------------ the window */

static bool was_seen(const struct known *k, uint64_t counter) {
    if (counter > k->highest) return false;
    if (k->highest - counter >= DATAGRAM_WINDOW) return true; /* nobody knows any more */
    return k->seen[counter % DATAGRAM_WINDOW / 64] >> counter % 64 & 1;
}

static void note_seen(struct known *k, uint64_t counter) {
    if (counter > k->highest) {
        uint64_t ahead = counter - k->highest;
        if (ahead >= DATAGRAM_WINDOW) {
            memset(k->seen, 0, sizeof k->seen);
        } else {
            for (uint64_t c = k->highest + 1; c <= counter; c++)
                k->seen[c % DATAGRAM_WINDOW / 64] &= ~(UINT64_C(1) << c % 64);
        }
        k->highest = counter;
    }
    k->seen[counter % DATAGRAM_WINDOW / 64] |= UINT64_C(1) << counter % 64;
}

/* ------------------------------------------------------------------ sealing and opening */

size_t datagram_seal(struct datagram *d, uint32_t version, const void *payload, size_t n, uint8_t *out) {
    CHECK(n <= DATAGRAM_PAYLOAD_MAX);
    const struct keyring_key *key = &d->keyring.keys[0];
    memcpy(out + AT_MAGIC, magic, sizeof magic);
    out[AT_VERSION] = (uint8_t)version;
    out[AT_VERSION + 1] = 0;
    memcpy(out + AT_KEY, key->id, 2);
    put64(out + AT_CLUSTER, d->cluster);
    memcpy(out + AT_SENDER, d->self.bytes, sizeof d->self.bytes);
    put64(out + AT_BOOT, d->boot);
    put64(out + AT_COUNTER, ++d->counter);
    d->random.fill(d->random.arg, out + AT_NONCE, AT_SEALED - AT_NONCE);
    crypto_aead_xchacha20poly1305_ietf_encrypt(out + AT_SEALED, NULL, payload, n, out, AT_NONCE, NULL, out + AT_NONCE,
                                               key->seal);
    return n + DATAGRAM_OVERHEAD;
}

/* Tries every key with the id that the header names: two bytes can belong to two keys. */
static bool unseal(const struct datagram *d, const uint8_t *p, size_t n, void *payload) {
    for (unsigned i = 0; i < d->keyring.n; i++) {
        const struct keyring_key *key = &d->keyring.keys[i];
        if (memcmp(key->id, p + AT_KEY, 2) == 0 &&
            crypto_aead_xchacha20poly1305_ietf_decrypt(payload, NULL, NULL, p + AT_SEALED, n - AT_SEALED, p, AT_NONCE,
                                                       p + AT_NONCE, key->seal) == 0)
            return true;
    }
    return false;
}

static bool has_key(const struct datagram *d, const uint8_t *id) {
    for (unsigned i = 0; i < d->keyring.n; i++)
        if (memcmp(d->keyring.keys[i].id, id, 2) == 0) return true;
    return false;
}

static enum datagram_verdict look(struct datagram *d, const uint8_t *p, size_t n, void *payload,
                                  struct datagram_sender *from) {
    if (n < DATAGRAM_OVERHEAD || n > DATAGRAM_MAX) return DATAGRAM_LENGTH;
    if (memcmp(p + AT_MAGIC, magic, sizeof magic) != 0) return DATAGRAM_MAGIC;
    if (p[AT_VERSION] < PEER_WIRE_LOWEST || p[AT_VERSION] > PEER_WIRE_HIGHEST || p[AT_VERSION + 1] != 0)
        return DATAGRAM_VERSION;
    if (get64(p + AT_CLUSTER) != d->cluster) return DATAGRAM_CLUSTER;
    if (!has_key(d, p + AT_KEY)) return DATAGRAM_KEY;
    struct cluster_id id;
    memcpy(id.bytes, p + AT_SENDER, sizeof id.bytes);
    struct known *k = find(d, &id);
    if (k == NULL) return DATAGRAM_STRANGER;
    if (get64(p + AT_BOOT) != k->boot) return DATAGRAM_BOOT;
    uint8_t opened[DATAGRAM_PAYLOAD_MAX];
    if (!unseal(d, p, n, opened)) return DATAGRAM_FORGED;
    uint64_t counter = get64(p + AT_COUNTER);
    if (was_seen(k, counter)) return DATAGRAM_REPLAYED;
    note_seen(k, counter);
    memcpy(payload, opened, n - DATAGRAM_OVERHEAD);
    *from = (struct datagram_sender){.id = id, .boot = k->boot, .version = p[AT_VERSION]};
    return DATAGRAM_OPENED;
}

enum datagram_verdict datagram_open(struct datagram *d, const void *bytes, size_t n, void *payload, size_t *payload_n,
                                    struct datagram_sender *from) {
    enum datagram_verdict v = look(d, bytes, n, payload, from);
    d->counts[v]++;
    if (v == DATAGRAM_OPENED) *payload_n = n - DATAGRAM_OVERHEAD;
    return v;
}

/* ------------------------------------------------------------------ counts */

void datagram_count_broken(struct datagram *d) {
    d->counts[DATAGRAM_PAYLOAD]++;
}

uint64_t datagram_count(const struct datagram *d, enum datagram_verdict v) {
    return d->counts[v];
}

uint64_t datagram_refused(const struct datagram *d) {
    uint64_t sum = 0;
    for (unsigned v = DATAGRAM_OPENED + 1; v < DATAGRAM_VERDICTS; v++) sum += d->counts[v];
    return sum;
}

const char *datagram_verdict_name(enum datagram_verdict v) {
    static const char *const names[DATAGRAM_VERDICTS] = {"opened",   "length", "magic",  "version",  "cluster", "key",
                                                         "stranger", "boot",   "forged", "replayed", "payload"};
    return names[v];
}
