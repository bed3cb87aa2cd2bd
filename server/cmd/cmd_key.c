/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_key.h"

#include "base/check.h"
#include "cmd/cmd_table.h"
#include "cmd/instance.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "proto/keytags.h"
#include "proto/text.h"
#include "store/store.h"

/* Which rows purge when their key carries a list of selectors. */
static bool purges(const struct cmd_row *row) {
    return row->id == CMD_ID_delete || row->id == CMD_ID_incr || row->id == CMD_ID_md || row->id == CMD_ID_ma;
}

bool cmd_key_split(const struct session *s, struct request *r, const char *key, size_t n, size_t *bare) {
    struct keytags_key k;
    keytags_split_key(&s->worker->cmd->marker, key, n, &k);
    if (k.kind == KEYTAGS_PURGE && !purges(r->row)) return true; /* an ordinary key */
    if (k.kind == KEYTAGS_NONE) return true;
    if (k.kind == KEYTAGS_TAGS ? !keytags_is_list(k.list, k.list_len) : !keytags_is_selectors(k.list, k.list_len))
        return false;
    *bare = k.bare_len;
    r->suffix = (uint8_t)k.kind;
    r->list = k.list;
    r->list_len = (uint32_t)k.list_len;
    return true;
}

bool cmd_key_set(struct session *s, struct request *r, const char *key, size_t n, bool mark) {
    size_t bare = n;
    r->raw_key = key;
    r->raw_key_len = (uint32_t)n;
    r->suffix = KEYTAGS_NONE;
    if (unlikely(mark) && s->worker->cmd->marker.len > 0 && !cmd_key_split(s, r, key, n, &bare)) goto bad;
    if (bare == 0 || bare > STORE_KEY_MAX) goto bad;
    store_key_hash(s->worker->cmd->store, &r->key, key, bare);
    return true;
bad:
    r->key.len = 0;
    r->error = CMD_ERROR_FORMAT;
    return false;
}

bool cmd_key_word(const struct session *s, const struct request *r, size_t *at, struct text_token *key, bool *mark) {
    const char *p = r->line + r->row->name_len, *const end = r->line + r->line_len;
    *mark = false;
    while (p < end && *p == ' ') p++;
    const char *e = text_word_end(r->line, p, end, ' ', s->worker->cmd->marker.p[0], mark);
    *key = (struct text_token){p, (size_t)(e - p)};
    *at = (size_t)(e - r->line);
    return e > p;
}
