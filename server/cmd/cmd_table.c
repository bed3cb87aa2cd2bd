/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_table - the commands, and which one a name means. */
#include <string.h>

#include "cmd/cmd_internal.h"

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

/* The only row that a name of n bytes could belong to; a test looks every row up. */
static enum cmd_id candidate(const char *p, size_t n) {
    switch (n) {
    case 2:
        switch (p[1]) {
        case 'g': return CMD_ID_mg;
        case 's': return CMD_ID_ms;
        case 'd': return CMD_ID_md;
        case 'a': return CMD_ID_ma;
        case 'n': return CMD_ID_mn;
        case 'e': return CMD_ID_me;
        default: return CMD_ID_mp;
        }
    case 3:
        switch (p[0]) {
        case 's': return CMD_ID_set;
        case 'a': return CMD_ID_add;
        case 'c': return CMD_ID_cas;
        case 'l': return CMD_ID_lru;
        default: return p[1] == 'e' ? CMD_ID_get : CMD_ID_gat;
        }
    case 4:
        switch (p[0]) {
        case 'i': return CMD_ID_incr;
        case 'd': return CMD_ID_decr;
        case 'q': return CMD_ID_quit;
        default: return p[1] == 'e' ? CMD_ID_gets : CMD_ID_gats;
        }
    case 5:
        return p[0] == 't'   ? CMD_ID_touch
               : p[0] == 'p' ? CMD_ID_purge
               : p[0] == 'w' ? CMD_ID_watch
               : p[1] == 't' ? CMD_ID_stats
                             : CMD_ID_slabs;
    case 6: return p[0] == 'd' ? CMD_ID_delete : CMD_ID_append;
    case 7:
        return p[0] == 'r'   ? CMD_ID_replace
               : p[0] == 'p' ? CMD_ID_prepend
               : p[0] == 'v' ? CMD_ID_version
                             : CMD_ID_tag_add;
    case 8: return CMD_ID_shutdown;
    case 9: return p[0] == 'f' ? CMD_ID_flush_all : CMD_ID_verbosity;
    case 10: return CMD_ID_tag_delete;
    case 11: return p[0] == 't' ? CMD_ID_tags_delete : CMD_ID_lru_crawler;
    case 13: return CMD_ID_refresh_certs;
    default: return CMD_ID_cache_memlimit;
    }
}

const struct cmd_row *cmd_find(const char *name, size_t n) {
    if (n < 2) return NULL;
    const struct cmd_row *row = &cmd_rows[candidate(name, n)];
    return row->name_len == n && memcmp(row->name, name, n) == 0 ? row : NULL;
}
