/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_producer.h"

#include "cmd/session.h"
#include "net/conn.h"

void cmd_producer_begin(struct session *s, const struct cmd_producer *p, void *state) {
    s->producer = p;
    s->produce_state = state;
    conn_wait(s->conn);
    conn_set_producer(s->conn, true);
    conn_kick(s->conn);
}

void cmd_producer_end(struct session *s) {
    s->producer = NULL;
    s->produce_state = NULL;
    conn_hold(s->conn, 0);
    conn_set_producer(s->conn, false);
    conn_resume(s->conn);
}
