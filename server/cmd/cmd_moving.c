/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_moving.h"

#include "cmd/cmd_place.h"
#include "store/store.h"

/* Whether it stores its value whatever there is. */
static bool is_plain_set(const struct request *r) {
    switch ((enum cmd_path)r->path) {
    case CMD_PATH_SET:
    case CMD_PATH_MS:
    case CMD_PATH_SETS: return true;
    case CMD_PATH_HANDLER:
    case CMD_PATH_PACKET: return r->row->id == CMD_ID_set && (!cmd_is_packet(r) || r->cas == 0);
    default: return false;
    }
}

enum cmd_turn cmd_moving_turn(struct session *s, const struct request *r, const struct store_key *key, unsigned donor) {
    const struct view *v = s->worker->peers->view;
    struct store_item it;
    if (donor == RING_NONE) return CMD_TURN_NOW;
    switch (move_state(v->move, donor)) {
    case MOVE_NONE:
    case MOVE_LATE: return CMD_TURN_NOW;
    case MOVE_ASKED: return CMD_TURN_WAIT;
    case MOVE_PULLING: break;
    }
    if (v->donor[donor] == VIEW_NOBODY || is_plain_set(r) || written_has(v->move->written, key->hash))
        return CMD_TURN_NOW;
    return store_peek(s->worker->store, key, &it) ? CMD_TURN_NOW : CMD_TURN_PULL;
}

/* ------------------------------------------------------------------ the written set */

/* Whether r may change an item when it is run now. A large block changes it when it is complete (cmd_body.c). */
static bool changes(const struct request *r) {
    if (r->row == NULL || cmd_place_is_read(r)) return false;
    const bool block = r->row->class == CMD_CLASS_STORE || r->row->class == CMD_CLASS_MSET;
    return !block || r->body != NULL || r->upload != NULL;
}

static void add(struct cmd_worker *w, const char *const key[], const uint32_t len[], const uint64_t hash[],
                unsigned n) {
    const struct view *v = w->peers->view;
    uint16_t donor[CMD_BATCH];
    if (n == 0) return;
    view_donors(v, key, len, n, donor);
    for (unsigned i = 0; i < n; i++)
        if (donor[i] != RING_NONE) (void)written_add(v->move->written, hash[i]); /* full: it has everything */
}

void cmd_moving_note(struct session *s, const struct request *r, unsigned n) {
    struct cmd_worker *w = s->worker;
    const char *key[CMD_BATCH];
    uint32_t len[CMD_BATCH];
    uint64_t hash[CMD_BATCH];
    unsigned m = 0;
    if (likely(!cmd_moving(w))) return;
    for (unsigned i = 0; i < n; i++) {
        struct store_key made;
        const struct store_key *k = changes(&r[i]) ? cmd_place_key(s, &r[i], w->peers->decoded[i], &made) : NULL;
        if (k == NULL) continue;
        key[m] = k->p;
        len[m] = (uint32_t)k->len;
        hash[m++] = k->hash;
    }
    add(w, key, len, hash, m);
}

void cmd_moving_note_key(struct session *s, const struct store_key *key) {
    const char *const p = key->p;
    const uint32_t len = (uint32_t)key->len;
    if (likely(!cmd_moving(s->worker))) return;
    add(s->worker, &p, &len, &key->hash, 1);
}
