/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The bytes of a block go straight into the store's memory; when the last one is there the line, which was kept, is
 * parsed again and its handler run. */
#include "cmd/cmd_body.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/sync.h"
#include "cmd/cmd_binary_parse.h"
#include "cmd/cmd_handle.h"
#include "cmd/cmd_hold.h"
#include "cmd/cmd_job.h"
#include "cmd/cmd_lease.h"
#include "cmd/cmd_meta_set.h"
#include "cmd/cmd_moving.h"
#include "cmd/cmd_owner.h"
#include "cmd/cmd_parse_block.h"
#include "cmd/cmd_set.h"
#include "cmd/cmd_table.h"
#include "cmd/instance.h"
#include "cmd/reply.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "net/conn.h"
#include "net/worker.h"
#include "store/store.h"

struct cmd_upload {
    TAILQ_ENTRY(cmd_upload) link; /* in its worker's list */
    struct session *session;
    struct store_upload *bytes;
    const struct cmd_row *row;
    bool packet;
    uint8_t ending; /* bytes that end the block (cmd_ending) */
    uint64_t length;
    uint32_t line_len;
    char line[]; /* or the head of a packet */
};

static struct cmd_upload *keep_line(const struct request *r) {
    struct cmd_upload *u = malloc(sizeof(*u) + r->line_len);
    if (u == NULL) return NULL;
    u->bytes = NULL;
    u->row = r->row;
    u->packet = cmd_is_packet(r);
    u->ending = (uint8_t)cmd_ending(r);
    u->length = r->body_len;
    u->line_len = r->line_len;
    memcpy(u->line, r->line, r->line_len);
    return u;
}

static void end_upload(struct session *s) {
    struct cmd_upload *u = s->upload;
    TAILQ_REMOVE(&s->worker->uploads, u, link);
    conn_set_body(s->conn, false);
    conn_hold(s->conn, 0);
    free(u);
    s->upload = NULL;
}

void cmd_body_begin(struct session *s, struct request *r) {
    /* An error of the line is answered now, not after a megabyte has come. */
    if (r->row->class == CMD_CLASS_MSET && !cmd_meta_set_valid(s, r)) {
        r->discard_body = r->body_len + cmd_ending(r);
        return;
    }
    struct cmd_upload *u = keep_line(r);
    enum store_status st = u == NULL ? STORE_NO_MEMORY : store_upload_begin(s->worker->store, r->body_len, &u->bytes);
    if (st != STORE_OK) {
        free(u);
        cmd_set_refuse(s, r, st);
        r->discard_body = r->body_len + cmd_ending(r);
        return;
    }
    u->session = s;
    s->upload = u;
    TAILQ_INSERT_TAIL(&s->worker->uploads, u, link);
    conn_set_body(s->conn, true);
    conn_hold(s->conn, sizeof(*u) + u->line_len);
}

void cmd_body_abort(struct session *s) {
    store_upload_abort(s->worker->store, s->upload->bytes);
    end_upload(s);
}

/* Waits for room for the next bytes, or for this upload's turn. */
static void wait_room(struct session *s) {
    if (store_upload_waits(s->upload->bytes))
        conn_wait(s->conn);
    else
        conn_park(s->conn);
}

/* ------------------------------------------------------------------ receiving */

/* Parses the line or the head that was kept. */
static void parse_kept(struct session *s, struct request *r) {
    const struct cmd_upload *u = s->upload;
    if (u->packet)
        cmd_binary_parse_kept(s, u->line, u->line_len, r);
    else
        cmd_parse_block_kept(s, u->row, u->line, u->line_len, r);
    r->body_len = u->length;
}

/* Runs a store whose block is complete, under a key that may be moving here. */
static void handle(struct session *s, struct request *r) {
    cmd_moving_note(s, r, 1);
    cmd_handle(s, r);
}

/* Runs the request whose block is complete; good: the block ends as it should. False: it is run again when there is
 * room. */
static bool finish(struct session *s, bool good) {
    struct cmd_worker *w = s->worker;
    struct cmd_upload *u = s->upload;
    struct request *r = &w->batch[0];
    cmd_enter(w);
    parse_kept(s, r);
    r->upload = u->bytes;
    const bool here = likely(!w->routes) || cmd_owner_is_here(s, r);
    const bool refused = good && here && cmd_lease_refuses(s, r);
    if (good && unlikely(!here))
        cmd_reply_error(s, r, BINARY_TEMPORARY, "SERVER_ERROR key has moved to another node");
    else if (good && !refused && !cmd_hold_waits(s, r))
        handle(s, r);
    else if (!good)
        cmd_reply_lit(s, r, "CLIENT_ERROR bad data chunk");
    cmd_leave(w);
    if (w->retry) {
        w->retry = false;
        cmd_job_pause(s);
        return false;
    }
    if (!good || !here || refused) store_upload_abort(w->store, u->bytes);
    if (!good && r->shifted) cmd_end(s, CMD_END_ERROR);
    end_upload(s);
    s->phase = CMD_PHASE_LINE;
    return true;
}

/* Refuses the request, and discards what is still to come of the block: the store has no room for it and will make none
 * (-M), or the block has to give way to others, or its bytes do not come. */
static void give_up(struct session *s) {
    struct cmd_worker *w = s->worker;
    struct cmd_upload *u = s->upload;
    struct request *r = &w->batch[0];
    s->left = store_upload_left(u->bytes) + u->ending;
    s->phase = s->left > 0 ? CMD_PHASE_DISCARD_BODY : CMD_PHASE_LINE;
    cmd_enter(w);
    parse_kept(s, r);
    if (u->row->class != CMD_CLASS_MSET || cmd_meta_set_valid(s, r)) {
        cmd_hold_forget(w, &r->key);
        cmd_set_refuse(s, r, STORE_NO_MEMORY);
    }
    cmd_leave(w);
    cmd_body_abort(s);
}

size_t cmd_body_input(struct session *s, const char *p, size_t n) {
    struct store_upload *bytes = s->upload->bytes;
    size_t done = 0;
    while (store_upload_left(bytes) > 0) {
        char *to;
        size_t room;
        enum store_status st = store_upload_span(s->worker->store, bytes, &to, &room);
        if (st == STORE_AGAIN) {
            wait_room(s);
            return done;
        }
        if (st != STORE_OK) {
            give_up(s);
            return done;
        }
        if (done == n) return done;
        size_t take = n - done < room ? n - done : room;
        memcpy(to, p + done, take);
        store_upload_fill(bytes, take);
        done += take;
    }
    const unsigned ending = s->upload->ending;
    if (n - done < ending) return done;
    return finish(s, ending == 0 || (p[done] == '\r' && p[done + 1] == '\n')) ? done + ending : done;
}

char *cmd_body_space(struct session *s, size_t *n) {
    char *to;
    if (store_upload_left(s->upload->bytes) == 0) return NULL; /* the block's ending comes to the input */
    enum store_status st = store_upload_span(s->worker->store, s->upload->bytes, &to, n);
    if (st == STORE_AGAIN) wait_room(s);
    return st == STORE_OK ? to : NULL; /* refused: the bytes go to the input, which answers */
}

void cmd_body_received(struct session *s, size_t n) {
    const struct cmd_upload *u = s->upload;
    store_upload_fill(u->bytes, n);
    if (u->ending == 0 && store_upload_left(u->bytes) == 0) conn_feed(s->conn); /* no more bytes come that do so */
}

/* ------------------------------------------------------------------ turns */

/* On the worker: resumes those of its uploads that have their turn, gives up those that were displaced. */
static void visit_uploads(struct net_worker *nw, void *arg) {
    struct cmd_worker *w = arg;
    struct cmd_upload *u, *next;
    (void)nw;
    for (u = TAILQ_FIRST(&w->uploads); u != NULL; u = next) {
        struct session *s = u->session;
        next = TAILQ_NEXT(u, link);
        /* Now, and not when input is next shown: if the client does not read either that may be never. */
        if (store_upload_displaced(u->bytes)) give_up(s);
        if (conn_parked(s->conn) && (s->upload == NULL || !store_upload_waits(u->bytes))) conn_resume(s->conn);
    }
}

void cmd_body_turn(struct cmd *cmd, unsigned worker) {
    struct cmd_worker *w = &cmd->workers[worker];
    struct net_worker *nw = cmd->cfg.up.worker(cmd->cfg.up.arg, worker);
    worker_post(nw, &w->turns_post, visit_uploads, w);
}

bool cmd_body_stalled(struct session *s) {
    if (s->phase == CMD_PHASE_BODY) {
        give_up(s);
        return true;
    }
    /* A short block waits in the connection's buffer: its request is refused when the input is shown once more. */
    if (s->phase != CMD_PHASE_LINE || s->need == 0 || !s->authenticated) return false;
    s->need = 0;
    s->refuse = true;
    return true;
}
