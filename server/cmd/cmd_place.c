/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_place.h"

#include "base/check.h"
#include "cmd/cmd_key.h"
#include "cmd/cmd_table.h"
#include "proto/base64.h"
#include "proto/keytags.h"
#include "proto/text.h"
#include "store/store.h"

/* The next word that begins with this letter, from r->rest on. */
static bool has_flag(const struct request *r, char letter) {
    struct text_token word;
    size_t at = r->rest;
    while (text_next(r->line, r->line_len, &at, &word))
        if (word.p[0] == letter) return true;
    return false;
}

/* Whether the key is in base64. me looks at its first flag only. */
static bool in_base64(const struct request *r) {
    struct text_token word;
    size_t at = r->rest;
    if (r->row->id != CMD_ID_me) return has_flag(r, 'b');
    return text_next(r->line, r->line_len, &at, &word) && text_is_lit(&word, "b");
}

/* A key that came as text, a suffix and all. */
static enum cmd_place of_text(const struct session *s, const struct request *r, const char *p, size_t n,
                              struct store_key *key) {
    struct request split = {.row = r->row};
    size_t bare = n;
    if (!cmd_key_split(s, &split, p, n, &bare) || bare == 0 || bare > STORE_KEY_MAX) return CMD_PLACE_HERE;
    if (split.suffix == KEYTAGS_PURGE) return CMD_PLACE_BARRIER;
    store_key_hash(s->worker->cmd->store, key, p, bare);
    return CMD_PLACE_KEY;
}

static enum cmd_place of_key(const struct request *r, struct store_key *key) {
    if (r->key.len == 0) return CMD_PLACE_HERE;
    if (unlikely(r->suffix == KEYTAGS_PURGE)) return CMD_PLACE_BARRIER;
    *key = r->key;
    return CMD_PLACE_KEY;
}

static enum cmd_place of_meta(const struct session *s, const struct request *r, char *decoded, struct store_key *key) {
    if (r->path != CMD_PATH_HANDLER || !in_base64(r)) return of_key(r, key);
    const size_t n = r->raw_key_len <= STORE_KEY_MAX ? base64_decode(r->raw_key, r->raw_key_len, decoded) : 0;
    return n == 0 ? CMD_PLACE_HERE : of_text(s, r, decoded, n, key);
}

enum cmd_place cmd_place(const struct session *s, const struct request *r, char *decoded, struct store_key *key) {
    /* Whether a value is too large is for the owner to say. */
    if (unlikely(r->row == NULL || (r->error != CMD_OK && r->error != CMD_ERROR_TOO_LARGE))) return CMD_PLACE_HERE;
    switch ((enum cmd_class)r->row->class) {
    case CMD_CLASS_GET: return of_key(r, key);
    case CMD_CLASS_STORE: return of_key(r, key);
    case CMD_CLASS_MSET: return of_meta(s, r, decoded, key);
    case CMD_CLASS_KEYED: return r->row->name_len == 2 ? of_meta(s, r, decoded, key) : of_key(r, key);
    case CMD_CLASS_OUT: return CMD_PLACE_BARRIER;
    case CMD_CLASS_PLAIN: break;
    }
    if (r->row->id == CMD_ID_quit) return CMD_PLACE_BARRIER;
    struct text_token words[3];
    if (r->row->id != CMD_ID_tag_add || cmd_split(r, words, 3) < 3) return CMD_PLACE_HERE;
    return of_text(s, r, words[2].p, words[2].n, key);
}

const struct store_key *cmd_place_key(const struct session *s, const struct request *r, char *decoded,
                                      struct store_key *made) {
    if (likely(cmd_is_key(r) && r->key.len > 0)) return &r->key;
    return cmd_place(s, r, decoded, made) == CMD_PLACE_KEY ? made : NULL;
}

bool cmd_place_is_lookup(const struct request *r) {
    return r->row->class == CMD_CLASS_GET || r->row->id == CMD_ID_mg || r->row->id == CMD_ID_me ||
           r->row->id == CMD_ID_touch;
}

bool cmd_place_is_read(const struct request *r) {
    if (r->row->class == CMD_CLASS_GET) return r->row->id < CMD_ID_gat;
    if (r->row->id == CMD_ID_me || r->row->id == CMD_ID_explain || r->path == CMD_PATH_MG) return true;
    return r->row->id == CMD_ID_mg && !has_flag(r, 'N') && !has_flag(r, 'R') && !has_flag(r, 'T');
}
