/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/tagname.h"

#include <sodium.h>
#include <stdbool.h>
#include <string.h>

#define DIGEST_MARK "sha256:"

static bool is_plain(unsigned char c) {
    return c > 0x20 && c != 0x7f && c != ',' && c != '+' && c != '%';
}

static void put_hex(char *to, unsigned char c, const char digits[16]) {
    to[0] = digits[c >> 4];
    to[1] = digits[c & 15];
}

static size_t digest(const char *p, size_t n, char *out) {
    unsigned char hash[crypto_hash_sha256_BYTES];
    const size_t mark = sizeof DIGEST_MARK - 1;
    crypto_hash_sha256(hash, (const unsigned char *)p, n);
    memcpy(out, DIGEST_MARK, mark);
    for (size_t i = 0; i < sizeof hash; i++) put_hex(out + mark + 2 * i, hash[i], "0123456789abcdef");
    return mark + 2 * sizeof hash;
}

size_t tagname_encode(const char *p, size_t n, char out[KEYTAGS_TAG_MAX]) {
    size_t to = 0;
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)p[i];
        const size_t bytes = is_plain(c) ? 1 : 3;
        if (to + bytes > KEYTAGS_TAG_MAX) return digest(p, n, out);
        out[to] = bytes == 1 ? (char)c : '%';
        if (bytes == 3) put_hex(out + to + 1, c, "0123456789ABCDEF");
        to += bytes;
    }
    return to;
}

/* The value of a capital hexadecimal digit; 16: it is none. */
static unsigned digit(char c) {
    const char *digits = "0123456789ABCDEF", *at = c != '\0' ? strchr(digits, c) : NULL;
    return at != NULL ? (unsigned)(at - digits) : 16;
}

size_t tagname_decode(const char *p, size_t n, char *out, size_t size) {
    size_t to = 0;
    for (size_t i = 0; i < n && to < size; i++) {
        const unsigned high = p[i] == '%' && n - i >= 3 ? digit(p[i + 1]) : 16, low = high < 16 ? digit(p[i + 2]) : 16;
        out[to++] = low < 16 ? (char)(high << 4 | low) : p[i];
        if (low < 16) i += 2;
    }
    return to;
}
