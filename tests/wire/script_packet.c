/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/wire/script_packet.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "proto/binary.h"

#define WORD_MAX 4096 /* bytes of a word as it is written */

/* Statuses, and what memcached says with them. */
static const struct {
    const char *name, *text;
    unsigned status;
} statuses[] = {
    {"NOT_FOUND", "Not found", 0x01},         {"EXISTS", "Data exists for key.", 0x02},
    {"TOO_LARGE", "Too large.", 0x03},        {"INVALID", "Invalid arguments", 0x04},
    {"NOT_STORED", "Not stored.", 0x05},      {"NON_NUMERIC", "Non-numeric server-side value for incr or decr", 0x06},
    {"AUTH", "Auth failure.", 0x20},          {"CONTINUE", "", 0x21},
    {"UNKNOWN", "Unknown command", 0x81},     {"NO_MEMORY", "Out of memory", 0x82},
    {"TEMPORARY", "Temporary failure", 0x86},
};

/* What the words of a packet say. Fields of NULL: nothing. */
struct words {
    unsigned opcode;
    unsigned status;
    const char *said; /* the text of the status */
    struct bytes field[128];
    bool has[128]; /* by the field's letter, see `fields` */
};

static const struct {
    const char *name;
    char letter;
} fields[] = {
    {"k", 'k'},    {"v", 'v'},     {"f", 'f'},    {"e", 'e'},        {"d", 'd'},      {"i", 'i'},
    {"n", 'n'},    {"o", 'o'},     {"cas", 'c'},  {"x", 'x'},        {"keylen", 'K'}, {"extras", 'X'},
    {"body", 'B'}, {"magic", 'M'}, {"type", 'T'}, {"reserved", 'R'},
};

static void words_free(struct words *w) {
    for (unsigned i = 0; i < 128; i++) bytes_free(&w->field[i]);
}

static int opcode_of(const char *word) {
    if (strncmp(word, "0x", 2) == 0) return (int)strtoul(word, NULL, 16) & 0xff;
    for (int i = 0; i < 256; i++)
        if (binary_rows[i].name != NULL && strcmp(binary_rows[i].name, word) == 0) return i;
    return -1;
}

static bool take_status(struct words *w, const char *word) {
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        if (strcmp(word, statuses[i].name) != 0) continue;
        w->status = statuses[i].status;
        w->said = statuses[i].text;
        return true;
    }
    return false;
}

/* A word name=text. Its text is kept as it is written if `vars` is NULL. */
static bool take_field(struct words *w, const char *word, const struct script_vars *vars) {
    const char *eq = strchr(word, '=');
    for (size_t i = 0; eq != NULL && i < sizeof fields / sizeof *fields; i++) {
        if (strlen(fields[i].name) != (size_t)(eq - word) || memcmp(word, fields[i].name, (size_t)(eq - word)) != 0)
            continue;
        const unsigned letter = (unsigned char)fields[i].letter;
        w->has[letter] = true;
        if (vars != NULL) return script_expand(eq + 1, vars, &w->field[letter]) == 0;
        bytes_add(&w->field[letter], eq + 1, strlen(eq + 1));
        return true;
    }
    return false;
}

/* Reads the words. `vars` NULL: fields are kept as they are written. */
static bool read_words(const char *text, const struct script_vars *vars, struct words *w) {
    char word[WORD_MAX];
    memset(w, 0, sizeof *w);
    for (bool first = true; *text != '\0'; first = false) {
        const size_t n = strcspn(text, " ");
        if (n >= sizeof word) return false;
        memcpy(word, text, n);
        word[n] = '\0';
        text += n;
        while (*text == ' ') text++;
        if (first) {
            const int opcode = opcode_of(word);
            if (opcode < 0) return false;
            w->opcode = (unsigned)opcode;
        } else if (!take_status(w, word) && !take_field(w, word, vars)) {
            return false;
        }
    }
    return true;
}

static uint64_t number(const struct words *w, char letter, uint64_t otherwise) {
    const struct bytes *b = &w->field[(unsigned char)letter];
    return b->n > 0 ? strtoull(b->p, NULL, 0) : otherwise;
}

/* Appends v, most significant byte first. */
static void put(struct bytes *out, uint64_t v, unsigned bytes) {
    for (unsigned i = bytes; i-- > 0;) {
        const char c = (char)(v >> (8 * i));
        bytes_add(out, &c, 1);
    }
}

/* ------------------------------------------------------------------ requests */

static void put_extras(const struct words *w, struct bytes *out) {
    const unsigned n = binary_rows[w->opcode].extras;
    if (w->has['x']) { /* as they are, in hexadecimal */
        for (const char *p = w->field['x'].p; p != NULL && p[0] != '\0' && p[1] != '\0'; p += 2)
            put(out, strtoul((char[]){p[0], p[1], '\0'}, NULL, 16), 1);
    } else if (n == 8) {
        put(out, number(w, 'f', 0), 4);
        put(out, number(w, 'e', 0), 4);
    } else if (n == 20) {
        put(out, number(w, 'd', 1), 8);
        put(out, number(w, 'i', 0), 8);
        put(out, number(w, 'e', 0), 4);
    } else if (n == 4 && (w->has['e'] || (binary_rows[w->opcode].marks & BINARY_OPTIONAL) == 0)) {
        put(out, number(w, 'e', 0), 4);
    }
}

int script_packet_expand(const char *text, const struct script_vars *vars, struct bytes *out) {
    struct words w;
    struct bytes extras = {0};
    const bool good = read_words(text, vars, &w);
    const struct bytes *key = &w.field['k'], *value = &w.field['v'];
    if (good) {
        put_extras(&w, &extras);
        put(out, number(&w, 'M', BINARY_REQUEST), 1);
        put(out, w.opcode, 1);
        put(out, number(&w, 'K', key->n), 2);
        put(out, number(&w, 'X', extras.n), 1);
        put(out, number(&w, 'T', 0), 1);
        put(out, number(&w, 'R', 0), 2);
        put(out, number(&w, 'B', extras.n + key->n + value->n), 4);
        put(out, number(&w, 'o', 0), 4);
        put(out, number(&w, 'c', 0), 8);
        bytes_add(out, extras.p, extras.n);
        bytes_add(out, key->p, key->n);
        bytes_add(out, value->p, value->n);
    }
    bytes_free(&extras);
    words_free(&w);
    return good ? 0 : -1;
}

/* ------------------------------------------------------------------ answers */

size_t script_packet_length(const char *p, size_t n) {
    if (n < BINARY_HEADER || (uint8_t)p[0] != BINARY_ANSWER) return 0;
    const size_t all = BINARY_HEADER + binary_u32(p + 8);
    return n >= all ? all : 0;
}

/* Whether a field is a number, or was captured. \? is any but 0. */
static bool match_number(const char *pattern, uint64_t v, struct script_vars *vars) {
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, v);
    if (strcmp(pattern, "\\?") == 0) return v != 0;
    return script_match(pattern, text, strlen(text), vars);
}

static bool match_text(const struct words *w, char letter, const char *otherwise, const char *p, size_t n,
                       struct script_vars *vars) {
    const struct bytes *b = &w->field[(unsigned char)letter];
    struct bytes want = {0};
    if (b->n > 0 && strcmp(b->p, "\\*") == 0) return true;
    if (b->n > 0 && script_expand(b->p, vars, &want) != 0) return false;
    if (!w->has[(unsigned char)letter]) bytes_add(&want, otherwise, strlen(otherwise));
    const bool same = want.n == n && (n == 0 || memcmp(want.p, p, n) == 0);
    bytes_free(&want);
    return same;
}

/* The value, or the number in its place. */
static bool match_value(const struct words *w, const char *p, size_t n, struct script_vars *vars) {
    if (w->has['n']) return n == 8 && match_number(w->field['n'].p, binary_u64(p), vars);
    return match_text(w, 'v', w->said != NULL && !w->has['k'] ? w->said : "", p, n, vars);
}

bool script_packet_match(const char *text, const char *p, struct script_vars *vars) {
    struct words w;
    struct binary_header h;
    bool good = read_words(text, NULL, &w);
    binary_read(&h, p);
    const char *extras = p + BINARY_HEADER, *key = extras + h.extras, *value = key + h.key;
    good = good && (size_t)h.key + h.extras <= h.body && h.opcode == w.opcode && binary_u16(p + 6) == w.status;
    good = good && p[5] == 0 && h.extras == (w.has['f'] ? 4 : 0);
    good = good && (!w.has['f'] || match_number(w.field['f'].p, binary_u32(extras), vars));
    good = good && binary_u32(p + 12) == number(&w, 'o', 0);
    good = good && (w.has['c'] ? match_number(w.field['c'].p, h.cas, vars) : h.cas == 0);
    good = good && match_text(&w, 'k', "", key, h.key, vars);
    good = good && match_value(&w, value, binary_value(&h), vars);
    words_free(&w);
    return good;
}
