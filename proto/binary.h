/* SPDX-License-Identifier: BSD-3-Clause
 *
 * binary - packets of memcached's binary protocol (doc/protocol-binary.txt of memcached has the layout): reading and
 * checking the header of a request, writing that of an answer, and the message of SASL PLAIN. Pure functions over
 * bytes: no state, no allocation, any thread.
 *
 *     request  0x80 | opcode u8 | key u16 | extras u8 | type u8 | reserved u16 | body u32 | opaque 4 B | cas u64
 *     answer   0x81 | opcode u8 | key u16 | extras u8 | type u8 | status u16   | body u32 | opaque 4 B | cas u64
 *
 * and then the body: extras, key, value. Numbers are big-endian; `body` counts all of it. type and reserved are not
 * looked at.
 */
#ifndef TAGCACHED_PROTO_BINARY_H
#define TAGCACHED_PROTO_BINARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/text.h"

#define BINARY_REQUEST 0x80 /* the first byte of a request */
#define BINARY_ANSWER 0x81
#define BINARY_HEADER 24           /* bytes */
#define BINARY_WORD_MAX 250        /* bytes of a key, a suffix not counted, or of another word in its place */
#define BINARY_BODY_MAX (1u << 30) /* bytes of a body: one that claims more is not waited for */

enum binary_opcode {
#define BINARY(name, opcode, like, handler, extras, key, value, marks, help) BINARY_##name = (opcode),
#include "proto/binary.def"
#undef BINARY
};

enum binary_mark {
    BINARY_QUIET = 1,
    BINARY_WITH_KEY = 2,
    BINARY_OPTIONAL = 4,
    BINARY_MAY_NAME = 8,
    BINARY_STRANGER = 16,
};

enum binary_key { BINARY_KEY_NONE, BINARY_KEY_KEY, BINARY_KEY_WORD };

/* A row of binary.def. */
struct binary_row {
    const char *name; /* NULL: there is no such opcode */
    uint8_t extras;
    uint8_t key; /* enum binary_key */
    bool value;
    uint8_t marks; /* enum binary_mark */
};

/* By opcode. */
extern const struct binary_row binary_rows[256];

enum binary_status {
    BINARY_OK = 0x00,
    BINARY_NOT_FOUND = 0x01,
    BINARY_EXISTS = 0x02,
    BINARY_TOO_LARGE = 0x03,
    BINARY_INVALID = 0x04,
    BINARY_NOT_STORED = 0x05,
    BINARY_NON_NUMERIC = 0x06,
    BINARY_AUTH_FAILED = 0x20,
    BINARY_AUTH_CONTINUE = 0x21,
    BINARY_UNKNOWN = 0x81,
    BINARY_NO_MEMORY = 0x82,
    BINARY_TEMPORARY = 0x86, /* ours: another node did not do it, or not yet; the text says which */
};

/* What memcached says with a status other than BINARY_OK. NULL: there is no such status. */
const char *binary_status_text(enum binary_status status);

/* ------------------------------------------------------------------ numbers */

static inline uint16_t binary_u16(const char *p) {
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? __builtin_bswap16(v) : v;
}
static inline uint32_t binary_u32(const char *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? __builtin_bswap32(v) : v;
}
static inline uint64_t binary_u64(const char *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? __builtin_bswap64(v) : v;
}
static inline void binary_put_u32(char *out, uint32_t v) {
    v = binary_u32((const char *)&v);
    memcpy(out, &v, sizeof v);
}
static inline void binary_put_u64(char *out, uint64_t v) {
    v = binary_u64((const char *)&v);
    memcpy(out, &v, sizeof v);
}

/* ------------------------------------------------------------------ requests */

/* What the header of a request says. */
struct binary_header {
    uint8_t opcode;
    uint8_t extras; /* bytes */
    uint16_t key;   /* bytes */
    uint32_t body;  /* bytes: extras, key and value */
    uint64_t cas;   /* 0: none */
};

/* What is wrong with a header. */
enum binary_fault {
    BINARY_FINE,
    BINARY_FAULT_MAGIC,     /* it is no request: the connection is closed without an answer */
    BINARY_FAULT_LENGTHS,   /* key and extras are longer than the body: BINARY_UNKNOWN, and the connection is closed */
    BINARY_FAULT_BODY,      /* the body is above BINARY_BODY_MAX: BINARY_INVALID, and the connection is closed */
    BINARY_FAULT_MALFORMED, /* not what the opcode has: BINARY_INVALID, and the connection is closed */
    BINARY_FAULT_OPCODE,    /* there is none such: BINARY_UNKNOWN, and the body is skipped */
};

/* Reads the header at p, BINARY_HEADER bytes. */
static inline void binary_read(struct binary_header *h, const char *p) {
    h->opcode = (uint8_t)p[1];
    h->key = binary_u16(p + 2);
    h->extras = (uint8_t)p[4];
    h->body = binary_u32(p + 8);
    h->cas = binary_u64(p + 16);
}

/* Reads the header at p, and says what is wrong with it: the first of the faults above. The length of an item's key is
 * not looked at: it is that without a suffix. */
enum binary_fault binary_check(struct binary_header *h, const char *p);

/* Bytes of the value: its body is at least key and extras. */
static inline uint32_t binary_value(const struct binary_header *h) {
    return h->body - h->key - h->extras;
}

/* ------------------------------------------------------------------ answers */

/* Writes the header of an answer to the request that begins at `request`, whose opcode and opaque it repeats, with so
 * many bytes of extras, key and body. BINARY_HEADER bytes. */
static inline void binary_put_answer(char *out, const char *request, enum binary_status status, uint8_t extras,
                                     uint16_t key, uint32_t body, uint64_t cas) {
    const uint64_t first = (uint64_t)BINARY_ANSWER << 56 | (uint64_t)(uint8_t)request[1] << 48 | (uint64_t)key << 32 |
                           (uint64_t)extras << 24 | (uint64_t)status;
    binary_put_u64(out, first);
    binary_put_u32(out + 8, body);
    memcpy(out + 12, request + 12, 4);
    binary_put_u64(out + 16, cas);
}

/* ------------------------------------------------------------------ SASL */

/* Reads the message of SASL PLAIN (RFC 4616), p[0..n): the user and the password in it. False: it has not exactly two
 * NULs, or asks to act as somebody else. */
bool binary_plain(const char *p, size_t n, struct text_token *user, struct text_token *password);

#endif
