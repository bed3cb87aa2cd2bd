/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/binary.h"

const struct binary_row binary_rows[256] = {
#define BINARY_IS_NONE false
#define BINARY_IS_VALUE true
#define BINARY(name, opcode, like, handler, extras, key, value, marks, help)                                           \
    [opcode] = {#name, extras, BINARY_KEY_##key, BINARY_IS_##value, marks},
#include "proto/binary.def"
#undef BINARY
#undef BINARY_IS_NONE
#undef BINARY_IS_VALUE
};

const char *binary_status_text(enum binary_status status) {
    switch (status) {
    case BINARY_NOT_FOUND: return "Not found";
    case BINARY_EXISTS: return "Data exists for key.";
    case BINARY_TOO_LARGE: return "Too large.";
    case BINARY_INVALID: return "Invalid arguments";
    case BINARY_NOT_STORED: return "Not stored.";
    case BINARY_NON_NUMERIC: return "Non-numeric server-side value for incr or decr";
    case BINARY_AUTH_FAILED: return "Auth failure.";
    case BINARY_AUTH_CONTINUE: return "";
    case BINARY_UNKNOWN: return "Unknown command";
    case BINARY_NO_MEMORY: return "Out of memory";
    case BINARY_TEMPORARY: return "Temporary failure";
    case BINARY_OK: break;
    }
    return NULL;
}

/* Whether the lengths are those that the opcode has. */
static bool fits(const struct binary_header *h, const struct binary_row *row) {
    if (h->extras != row->extras && !(h->extras == 0 && (row->marks & BINARY_OPTIONAL) != 0)) return false;
    if (!row->value && binary_value(h) > 0) return false;
    switch ((enum binary_key)row->key) {
    case BINARY_KEY_NONE: return h->key == 0;
    case BINARY_KEY_KEY: return h->key > 0;
    case BINARY_KEY_WORD: break;
    }
    return h->key > 0 ? h->key <= BINARY_WORD_MAX : (row->marks & BINARY_MAY_NAME) != 0;
}

enum binary_fault binary_check(struct binary_header *h, const char *p) {
    binary_read(h, p);
    const struct binary_row *row = &binary_rows[h->opcode];
    if ((uint8_t)p[0] != BINARY_REQUEST) return BINARY_FAULT_MAGIC;
    if ((uint32_t)h->key + h->extras > h->body) return BINARY_FAULT_LENGTHS;
    if (h->body > BINARY_BODY_MAX) return BINARY_FAULT_BODY;
    if (row->name != NULL) return fits(h, row) ? BINARY_FINE : BINARY_FAULT_MALFORMED;
    return h->key > BINARY_WORD_MAX ? BINARY_FAULT_MALFORMED : BINARY_FAULT_OPCODE;
}

bool binary_plain(const char *p, size_t n, struct text_token *user, struct text_token *password) {
    const char *const end = p + n, *first = n > 0 ? memchr(p, 0, n) : NULL;
    const char *second = first != NULL ? memchr(first + 1, 0, (size_t)(end - first - 1)) : NULL;
    if (second == NULL || memchr(second + 1, 0, (size_t)(end - second - 1)) != NULL) return false;
    *user = (struct text_token){first + 1, (size_t)(second - first - 1)};
    *password = (struct text_token){second + 1, (size_t)(end - second - 1)};
    const size_t other = (size_t)(first - p); /* whom to act as: nobody, or the same */
    return other == 0 || (other == user->n && memcmp(p, user->p, other) == 0);
}
