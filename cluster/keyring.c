/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "proto/base64.h"

/* ------------------------------------------------------------------ derivation */

static void hmac(const uint8_t *key, size_t key_bytes, const uint8_t *const part[3], const size_t size[3],
                 uint8_t out[32]) {
    crypto_auth_hmacsha256_state s;
    crypto_auth_hmacsha256_init(&s, key, key_bytes);
    for (unsigned i = 0; i < 3; i++)
        if (size[i] > 0) crypto_auth_hmacsha256_update(&s, part[i], size[i]);
    crypto_auth_hmacsha256_final(&s, out);
    sodium_memzero(&s, sizeof s);
}

void keyring_derive(const uint8_t *key, size_t key_bytes, const char *use, uint8_t *out, size_t n) {
    static const uint8_t no_salt[32]; /* RFC 5869, 2.2: as many zeros as a hash has bytes */
    uint8_t prk[32], block[32];
    CHECK(n <= 255 * sizeof block);
    hmac(no_salt, sizeof no_salt, (const uint8_t *[3]){key}, (size_t[3]){key_bytes}, prk);
    for (uint8_t i = 1; n > 0; i++) { /* T(i) = HMAC(PRK, T(i-1) | info | i) */
        hmac(prk, sizeof prk, (const uint8_t *[3]){block, (const uint8_t *)use, &i},
             (size_t[3]){i == 1 ? 0 : sizeof block, strlen(use), 1}, block);
        size_t take = n < sizeof block ? n : sizeof block;
        memcpy(out, block, take);
        out += take;
        n -= take;
    }
    sodium_memzero(prk, sizeof prk);
    sodium_memzero(block, sizeof block);
}

static void key_derive(const uint8_t raw[KEYRING_KEY_BYTES], struct keyring_key *out) {
    keyring_derive(raw, KEYRING_KEY_BYTES, "tagcached key id", out->id, sizeof out->id);
    keyring_derive(raw, KEYRING_KEY_BYTES, "tagcached datagrams", out->seal, sizeof out->seal);
    keyring_derive(raw, KEYRING_KEY_BYTES, "tagcached links", out->psk, sizeof out->psk);
}

/* ------------------------------------------------------------------ reading */

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

/* One line without its end. False, with a sentence in err. */
static bool read_line(struct keyring *k, const char *p, size_t n, unsigned line, char *err, size_t err_size) {
    uint8_t raw[KEYRING_LINE_BYTES / 4 * 3];
    while (n > 0 && is_blank(p[n - 1])) n--;
    while (n > 0 && is_blank(p[0])) p++, n--;
    if (n == 0 || p[0] == '#') return true;
    if (n != KEYRING_LINE_BYTES || base64_decode(p, n, (char *)raw) != KEYRING_KEY_BYTES) {
        snprintf(err, err_size, "line %u is not 32 bytes in base64 (tagctl keyring generate makes a key)", line);
        return false;
    }
    if (k->n == KEYRING_MAX) {
        snprintf(err, err_size, "line %u is one key too many: a keyring holds at most %d", line, KEYRING_MAX);
        return false;
    }
    key_derive(raw, &k->keys[k->n]);
    sodium_memzero(raw, sizeof raw);
    if (keyring_find(k, k->keys[k->n].id) != NULL) {
        snprintf(err, err_size, "line %u repeats a key", line);
        return false;
    }
    k->n++;
    return true;
}

bool keyring_read(struct keyring *k, const char *text, size_t n, char *err, size_t err_size) {
    struct keyring fresh = {0};
    bool ok = true;
    unsigned line = 0;
    while (ok && n > 0) {
        const char *end = memchr(text, '\n', n);
        size_t length = end != NULL ? (size_t)(end - text) : n;
        ok = read_line(&fresh, text, length, ++line, err, err_size);
        text += length + (end != NULL);
        n -= length + (end != NULL);
    }
    if (ok && fresh.n == 0) {
        snprintf(err, err_size, "it holds no key (tagctl keyring generate makes one)");
        ok = false;
    }
    if (ok) *k = fresh;
    keyring_wipe(&fresh);
    return ok;
}

/* The whole file into text. Bytes, or -1 with a sentence in err. */
static ssize_t read_file(int fd, char *text, size_t size, char *err, size_t err_size) {
    struct stat st;
    if (fstat(fd, &st) != 0) {
        snprintf(err, err_size, "%s", strerror(errno));
        return -1;
    }
    if (!S_ISREG(st.st_mode)) {
        snprintf(err, err_size, "it is not a file");
        return -1;
    }
    if (st.st_mode & (S_IWGRP | S_IRWXO)) {
        snprintf(err, err_size, "other users may read or change it (mode %04o); chmod 600 makes it yours alone",
                 (unsigned)st.st_mode & 07777U);
        return -1;
    }
    size_t n = 0;
    ssize_t got;
    while (n < size && (got = read(fd, text + n, size - n)) != 0) {
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            snprintf(err, err_size, "%s", strerror(errno));
            return -1;
        }
        n += (size_t)got;
    }
    if (n < size) return (ssize_t)n;
    snprintf(err, err_size, "it is longer than %d bytes", KEYRING_FILE_MAX);
    return -1;
}

bool keyring_load(struct keyring *k, const char *path, char *err, size_t err_size) {
    char text[KEYRING_FILE_MAX + 1], why[160];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        snprintf(err, err_size, "cannot read the cluster key %s: %s", path, strerror(errno));
        return false;
    }
    ssize_t n = read_file(fd, text, sizeof text, why, sizeof why);
    close(fd);
    bool ok = n >= 0 && keyring_read(k, text, (size_t)n, why, sizeof why);
    if (!ok) snprintf(err, err_size, "cannot use the cluster key %s: %s", path, why);
    sodium_memzero(text, sizeof text);
    return ok;
}

void keyring_without_key(struct keyring *k) {
    static const uint8_t zeros[KEYRING_KEY_BYTES];
    *k = (struct keyring){.n = 1, .open = true};
    key_derive(zeros, &k->keys[0]);
}

void keyring_wipe(struct keyring *k) {
    sodium_memzero(k, sizeof *k);
}

/* ------------------------------------------------------------------ the rest */

void keyring_generate(const uint8_t random[KEYRING_KEY_BYTES], char line[KEYRING_LINE_BYTES + 1]) {
    size_t n = base64_encode((const char *)random, KEYRING_KEY_BYTES, line);
    CHECK(n == KEYRING_LINE_BYTES);
    line[n] = '\0';
}

/* Where the key with this id is; k->n: there is none. */
static unsigned place_of(const struct keyring *k, const uint8_t id[KEYRING_ID_BYTES]) {
    unsigned i = 0;
    while (i < k->n && memcmp(k->keys[i].id, id, KEYRING_ID_BYTES) != 0) i++;
    return i;
}

const struct keyring_key *keyring_find(const struct keyring *k, const uint8_t id[KEYRING_ID_BYTES]) {
    const unsigned i = place_of(k, id);
    return i < k->n ? &k->keys[i] : NULL;
}

bool keyring_use(struct keyring *k, const uint8_t id[KEYRING_ID_BYTES]) {
    const unsigned i = place_of(k, id);
    if (i == k->n) return false;
    struct keyring_key key = k->keys[i];
    memmove(&k->keys[1], &k->keys[0], i * sizeof key);
    k->keys[0] = key;
    sodium_memzero(&key, sizeof key);
    return true;
}

bool keyring_remove(struct keyring *k, const uint8_t id[KEYRING_ID_BYTES]) {
    const unsigned i = place_of(k, id);
    if (i == k->n || i == 0) return false;
    k->n--;
    memmove(&k->keys[i], &k->keys[i + 1], (k->n - i) * sizeof k->keys[0]);
    sodium_memzero(&k->keys[k->n], sizeof k->keys[0]);
    return true;
}

void keyring_id_text(const struct keyring_key *key, char text[KEYRING_ID_TEXT]) {
    for (unsigned i = 0; i < KEYRING_ID_BYTES; i++) snprintf(text + 2 * i, 3, "%02x", key->id[i]);
}

bool keyring_id_read(const char *text, uint8_t id[KEYRING_ID_BYTES]) {
    static const char digits[] = "0123456789abcdef";
    if (strlen(text) != KEYRING_ID_TEXT - 1 || strspn(text, digits) != KEYRING_ID_TEXT - 1) return false;
    for (unsigned i = 0; i < KEYRING_ID_BYTES; i++)
        id[i] = (uint8_t)((strchr(digits, text[2 * i]) - digits) << 4 | (strchr(digits, text[2 * i + 1]) - digits));
    return true;
}
