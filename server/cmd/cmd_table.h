/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_table - the commands as rows, made from proto/cmd.def, and the one place that recognises a command's name.
 *
 * The rows are constant. struct cmd_names is made once for an instance and not changed afterwards: any thread may read.
 */
#ifndef TAGCACHED_CMD_CMD_TABLE_H
#define TAGCACHED_CMD_CMD_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CMD_NAME_MAX 16 /* bytes of a command's name, at most */

enum cmd_class { CMD_CLASS_GET, CMD_CLASS_STORE, CMD_CLASS_MSET, CMD_CLASS_KEYED, CMD_CLASS_PLAIN, CMD_CLASS_OUT };

enum cmd_id {
#define CMD(name, class, handler, min, max, few, help) CMD_ID_##name,
#include "proto/cmd.def"
#undef CMD
    CMD_IDS
};

struct session;
struct request;

typedef void cmd_handler_fn(struct session *s, struct request *r);

struct cmd_row {
    const char *name;
    cmd_handler_fn *handler;
    const char *help;
    uint16_t min, max; /* words of the line; max 0: no limit */
    uint8_t name_len;
    uint8_t class;     /* enum cmd_class */
    uint8_t id;        /* enum cmd_id */
    bool few_is_error; /* too few words: ERROR instead of CLIENT_ERROR bad command line format */
};

/* The table, in the order of cmd.def. */
extern const struct cmd_row cmd_rows[CMD_IDS];

/* Every handler of cmd.def, declared once (a handler serving several rows is declared several times: harmless). */
#define CMD(name, class, handler, min, max, few, help) cmd_handler_fn handler;
#include "proto/cmd.def"
#undef CMD

/* ------------------------------------------------------------------ names */

#define CMD_SLOTS 128 /* of the hash table; a power of two */

/* The names by what they begin with: a hash table without collisions, but for names that begin alike. */
struct cmd_names {
    uint32_t multiplier;
    uint8_t slot[CMD_SLOTS]; /* enum cmd_id; what does not belong there does not compare */
    uint32_t begin[CMD_IDS]; /* the first four bytes of the name and a blank; of two letters the first three */
    uint8_t next[CMD_IDS];   /* the next name that begins alike; CMD_IDS: none */
};

/* Makes the table: tries multipliers until no two beginnings share a slot. */
void cmd_names_init(struct cmd_names *t);

/* What a line that begins with these four bytes is looked up by. */
static inline uint32_t cmd_names_key(const char *p) {
    static const unsigned char three[4] = {0xff, 0xff, 0xff, 0};
    uint32_t x, mask;
    memcpy(&x, p, sizeof x);
    memcpy(&mask, three, sizeof mask);
    return p[2] == ' ' ? x & mask : x;
}

static inline unsigned cmd_names_slot(const struct cmd_names *t, uint32_t key) {
    return (uint32_t)(key * t->multiplier) >> 25;
}

/* The same of names of four bytes and more: p[0..n) begins as row's name does. */
const struct cmd_row *cmd_names_long(const struct cmd_names *t, const struct cmd_row *row, const char *p, size_t n);

/* The row of the command whose name and a blank the bytes from p to end begin with; NULL: there is none. */
static inline const struct cmd_row *cmd_names_begin(const struct cmd_names *t, const char *p, const char *end) {
    if (end - p < 4) return NULL;
    const uint32_t key = cmd_names_key(p);
    const unsigned id = t->slot[cmd_names_slot(t, key)];
    const struct cmd_row *row = &cmd_rows[id];
    if (t->begin[id] != key) return NULL;
    return row->name_len < 4 ? row : cmd_names_long(t, row, p, (size_t)(end - p));
}

/* The row of the first word of line[0..n), which has no ending; NULL: no command has that name. */
const struct cmd_row *cmd_names_line(const struct cmd_names *t, const char *line, size_t n);

/* Whether p begins with the name and a blank, and goes on: for a command that is expected there. */
#define cmd_begins(name, p, end)                                                                                       \
    ((end) - (p) > (ptrdiff_t)sizeof(#name) && CMD_ID_##name < CMD_IDS && memcmp((p), #name " ", sizeof(#name)) == 0)

#endif
