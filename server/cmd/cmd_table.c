/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_table.h"

#include <string.h>

#include "base/check.h"

#define MULTIPLIERS 1000000 /* are tried; about one in a hundred will do */

const struct cmd_row cmd_rows[CMD_IDS] = {
#define FORMAT false
#define ERROR true
#define CMD(name, class, handler, min, max, few, help)                                                                 \
    {#name, handler, help, min, max, sizeof(#name) - 1, CMD_CLASS_##class, CMD_ID_##name, few},
#include "proto/cmd.def"
#undef CMD
#undef FORMAT
#undef ERROR
};

/* What names are looked up by, when they may be shorter than four bytes. */
static uint32_t key_of(const char *p, size_t n) {
    char bytes[4];
    memset(bytes, ' ', sizeof bytes);
    memcpy(bytes, p, n < sizeof bytes ? n : sizeof bytes);
    return cmd_names_key(bytes);
}

/* Fills the slots with this multiplier. False: two beginnings share one. */
static bool fill(struct cmd_names *t, uint32_t multiplier) {
    bool taken[CMD_SLOTS] = {false};
    t->multiplier = multiplier;
    for (unsigned i = 0; i < CMD_IDS; i++) {
        const unsigned slot = cmd_names_slot(t, t->begin[i]);
        const uint8_t other = t->slot[slot];
        t->next[i] = CMD_IDS;
        if (taken[slot] && t->begin[other] != t->begin[i]) return false;
        if (taken[slot]) t->next[i] = other;
        taken[slot] = true;
        t->slot[slot] = (uint8_t)i;
    }
    return true;
}

void cmd_names_init(struct cmd_names *t) {
    memset(t, 0, sizeof *t);
    for (unsigned i = 0; i < CMD_IDS; i++) t->begin[i] = key_of(cmd_rows[i].name, cmd_rows[i].name_len);
    for (uint32_t tries = 1; tries <= MULTIPLIERS; tries++)
        if (fill(t, tries * 0x9e3779b9 | 1)) return; /* as good as random */
    CHECK(false);                                    /* test_cmd would have met it: the names are constant */
}

/* Whether the name is the first word of p[0..n); `whole`: which has no more words behind it than are here. */
static bool is_first(const struct cmd_row *row, const char *p, size_t n, bool whole) {
    if (n < row->name_len || memcmp(p, row->name, row->name_len) != 0) return false;
    return n == row->name_len ? whole : p[row->name_len] == ' ';
}

static const struct cmd_row *find(const struct cmd_names *t, unsigned id, const char *p, size_t n, bool whole) {
    for (; id < CMD_IDS; id = t->next[id])
        if (is_first(&cmd_rows[id], p, n, whole)) return &cmd_rows[id];
    return NULL;
}

__attribute__((noinline)) const struct cmd_row *cmd_names_long(const struct cmd_names *t, const struct cmd_row *row,
                                                               const char *p, size_t n) {
    return find(t, row->id, p, n, false);
}

const struct cmd_row *cmd_names_line(const struct cmd_names *t, const char *line, size_t n) {
    return find(t, t->slot[cmd_names_slot(t, key_of(line, n))], line, n, true);
}
