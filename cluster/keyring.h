/* SPDX-License-Identifier: BSD-3-Clause
 *
 * keyring - the cluster's keys: what seals datagrams (datagram.h) and authenticates links (psk.h).
 *
 * A file holds one key a line, 32 bytes in base64; empty lines and lines that begin with # are skipped. The first key
 * seals and is offered on links, all of them open, so that a key can be changed while nodes run: the new one goes
 * behind the old one in every node's file, then it is used everywhere, then the old one is taken out (docs/cluster.md).
 *
 * What is used is never the key itself but what HKDF (RFC 5869, SHA-256) derives from it, a different secret for each
 * use; the id by which keys are told apart is derived, too, so it may be shown.
 *
 * A keyring is a value of plain memory; one thread works on one value. Only keyring_load does I/O.
 */
#ifndef TAGCACHED_CLUSTER_KEYRING_H
#define TAGCACHED_CLUSTER_KEYRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEYRING_MAX 8         /* keys in a file */
#define KEYRING_KEY_BYTES 32  /* of a key, and of each secret that is derived from it */
#define KEYRING_LINE_BYTES 44 /* of a key in base64 */
#define KEYRING_FILE_MAX (16 * 1024)
#define KEYRING_ID_BYTES 8
#define KEYRING_ID_TEXT 17 /* bytes of an id's text, the terminating zero included */

struct keyring_key {
    uint8_t id[KEYRING_ID_BYTES];
    uint8_t seal[KEYRING_KEY_BYTES]; /* of datagrams */
    uint8_t psk[KEYRING_KEY_BYTES];  /* of TLS */
};

struct keyring {
    unsigned n; /* at least 1 in a keyring that was read */
    struct keyring_key keys[KEYRING_MAX];
    bool open; /* its key is no secret: see keyring_without_key */
};

/* Reads the text of a file. True; or false with a sentence in err that names the line, *k unchanged. */
bool keyring_read(struct keyring *k, const char *text, size_t n, char *err, size_t err_size);
/* Reads a file. True; or false with a sentence in err: it cannot be read, other users of the machine may read or change
 * it, or its text is wrong; *k is unchanged then, so this reloads as well. */
bool keyring_load(struct keyring *k, const char *path, char *err, size_t err_size);
/* The keyring of a cluster that runs without a key (--insecure-cluster, or loopback only): one key that everybody can
 * derive. Everything works the same way, and nothing is secret. */
void keyring_without_key(struct keyring *k);
/* Overwrites all keys. */
void keyring_wipe(struct keyring *k);

/* Writes the line of a key made of 32 random bytes, with a terminating zero. */
void keyring_generate(const uint8_t random[KEYRING_KEY_BYTES], char line[KEYRING_LINE_BYTES + 1]);
/* The key with this id, or NULL. */
const struct keyring_key *keyring_find(const struct keyring *k, const uint8_t id[KEYRING_ID_BYTES]);
/* Has the key with this id seal: it goes to the front, the others keep their order. False: there is no such key. */
bool keyring_use(struct keyring *k, const uint8_t id[KEYRING_ID_BYTES]);
/* Takes the key with this id out. False: there is no such key, or it is the one that seals. */
bool keyring_remove(struct keyring *k, const uint8_t id[KEYRING_ID_BYTES]);
/* The id as 16 hexadecimal digits; as an identity in TLS it is this text. */
void keyring_id_text(const struct keyring_key *key, char text[KEYRING_ID_TEXT]);
/* The id that such a text, lower case, stands for. False: it is none. */
bool keyring_id_read(const char *text, uint8_t id[KEYRING_ID_BYTES]);
/* HKDF-SHA256 (RFC 5869) without a salt: n bytes, at most 255 x 32, from a key and a text that names the use. */
void keyring_derive(const uint8_t *key, size_t key_bytes, const char *use, uint8_t *out, size_t n);

#endif
