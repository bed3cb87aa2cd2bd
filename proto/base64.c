/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/base64.h"

#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int value(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+') return 62;
    return c == '/' ? 63 : -1;
}

size_t base64_decode(const char *p, size_t n, char *out) {
    if (n == 0 || n % 4 != 0) return 0;
    size_t pad = p[n - 1] != '=' ? 0 : p[n - 2] != '=' ? 1 : 2;
    char *o = out;
    for (size_t i = 0; i < n; i += 4) {
        size_t digits = i + 4 == n ? 4 - pad : 4;
        uint32_t v = 0;
        for (size_t j = 0; j < 4; j++) {
            int d = j < digits ? value(p[i + j]) : 0;
            if (d < 0) return 0;
            v = v << 6 | (uint32_t)d;
        }
        *o++ = (char)(v >> 16);
        if (digits > 2) *o++ = (char)(v >> 8);
        if (digits > 3) *o++ = (char)v;
    }
    return (size_t)(o - out);
}

size_t base64_encode(const char *p, size_t n, char *out) {
    const unsigned char *u = (const unsigned char *)p;
    char *o = out;
    for (; n >= 3; n -= 3, u += 3) {
        uint32_t v = (uint32_t)u[0] << 16 | (uint32_t)u[1] << 8 | u[2];
        for (int shift = 18; shift >= 0; shift -= 6) *o++ = alphabet[v >> shift & 63];
    }
    if (n > 0) {
        uint32_t v = (uint32_t)u[0] << 16 | (n > 1 ? (uint32_t)u[1] << 8 : 0);
        *o++ = alphabet[v >> 18];
        *o++ = alphabet[v >> 12 & 63];
        *o++ = n > 1 ? alphabet[v >> 6 & 63] : '=';
        *o++ = '=';
    }
    return (size_t)(o - out);
}
