/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/tagctl/nodes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tagctl/tagctl.h"

#define WINDOW 16 /* commands under way: their answers fit into the buffers between us and the node */

static int make_list(struct ctl *c, struct nodes *n) {
    unsigned room = n->self ? n->members.n : 1;
    n->rows = calloc(room + 1, sizeof(const struct reply_row *));
    n->names = calloc(room + 1, sizeof *n->names);
    if (!n->rows || !n->names) return complain(FAILED, "no memory");
    if (!n->self) {
        n->names[n->n++] = c->conn.name;
        return DONE;
    }
    for (const struct reply_row *row = NULL; (row = reply_next(&n->members, "MEMBER", row));) {
        const char *name = reply_text(row, "name");
        if (!name) return complain(FAILED, "%s lists a member without a name", c->conn.name);
        n->rows[n->n] = row;
        n->names[n->n++] = name;
    }
    return DONE;
}

int nodes_get(struct ctl *c, struct nodes *n) {
    memset(n, 0, sizeof *n);
    int status = reply_ask(c, "cluster status");
    if (!status) status = reply_read(c, "cluster status", &n->status);
    if (!status && n->status.refusal && !reply_says_no_cluster(n->status.refusal))
        status = reply_say_refusal(c, n->status.refusal);
    if (!status && !n->status.refusal) {
        n->self = reply_next(&n->status, "STATUS", NULL);
        status = n->self ? reply_list(c, &n->members, "cluster members")
                         : complain(FAILED, "%s does not say how it is", c->conn.name);
    }
    if (!status) status = make_list(c, n);
    if (!status && c->opt.timeout < 0) c->conn.timeout = NODES_RELAY_S;
    if (status) nodes_free(n);
    return status;
}

int nodes_get_cluster(struct ctl *c, struct nodes *n) {
    int status = nodes_get(c, n);
    if (status || n->self) return status;
    nodes_free(n);
    return complain(FAILED, "%s belongs to no cluster", c->conn.name);
}

void nodes_free(struct nodes *n) {
    reply_free(&n->status);
    reply_free(&n->members);
    free(n->rows);
    free(n->names);
    memset(n, 0, sizeof *n);
}

const struct reply_row *nodes_find(const struct nodes *n, const char *name) {
    for (unsigned i = 0; i < n->n; i++)
        if (n->rows[i] && !strcmp(n->names[i], name)) return n->rows[i];
    complain(NOT_FOUND, "no member is called %s; `tagctl members ls` lists them", name);
    return NULL;
}

void nodes_path(const struct nodes *n, unsigned i, char *path, size_t size) {
    const char *self = reply_text(n->self, "node");
    if (!n->rows[i] || (self && !strcmp(self, n->names[i])))
        path[0] = 0;
    else
        snprintf(path, size, "cluster at %s ", n->names[i]);
}

bool nodes_passes_nothing_on(const struct nodes *n, unsigned i, const char *refusal) {
    char path[512];
    nodes_path(n, i, path, sizeof path);
    return path[0] && strncmp(refusal, "SERVER_ERROR", strlen("SERVER_ERROR")) != 0;
}

bool nodes_dial(struct ctl *c, const char *name, struct conn *own) {
    const char *server = c->opt.server;
    *own = c->conn;
    c->conn = (struct conn){.fd = -1};
    c->opt.server = name;
    int status = conn_open(&c->conn, &c->opt);
    c->opt.server = server;
    if (status) nodes_hang_up(c, own);
    return !status;
}

void nodes_hang_up(struct ctl *c, const struct conn *own) {
    conn_close(&c->conn);
    c->conn = *own;
}

/* The answer is the refusal that it was if the node cannot be asked. */
static void ask_directly(struct ctl *c, const char *name, const char *command, struct reply *answer) {
    struct conn own;
    struct reply direct;
    if (!nodes_dial(c, name, &own)) return;
    if (!reply_ask(c, "%s", command) && !reply_read(c, command, &direct)) {
        reply_free(answer);
        *answer = direct;
    }
    nodes_hang_up(c, &own);
}

/* Notes that a node was not asked, and why. */
static int refuse(struct reply *answer, const char *state) {
    char line[64];
    snprintf(line, sizeof line, "SERVER_ERROR it is %s", state);
    memset(answer, 0, sizeof *answer);
    answer->refusal = strdup(line);
    return answer->refusal ? DONE : complain(FAILED, "no memory");
}

/* The answers, in the order of the commands: some commands are under way at a time. */
static int ask_all(struct ctl *c, const struct nodes *n, const char *command, struct reply *answers, unsigned *read) {
    char path[512];
    int status = DONE;
    for (unsigned asked = 0; !status && *read < n->n;) {
        if (asked < n->n && asked - *read < WINDOW) {
            nodes_path(n, asked, path, sizeof path);
            if (!nodes_is_gone(n->rows[asked++])) status = reply_ask(c, "%s%s", path, command);
        } else {
            const struct reply_row *row = n->rows[*read];
            status = nodes_is_gone(row) ? refuse(&answers[*read], nodes_state(row))
                                        : reply_read(c, command, &answers[*read]);
            if (!status) ++*read;
        }
    }
    return status;
}

int nodes_ask(struct ctl *c, const struct nodes *n, const char *command, struct reply *answers) {
    unsigned read = 0;
    int status = ask_all(c, n, command, answers, &read);
    for (unsigned i = 0; i < n->n && !status; i++)
        if (answers[i].refusal && nodes_passes_nothing_on(n, i, answers[i].refusal))
            ask_directly(c, n->names[i], command, &answers[i]);
    if (status)
        for (unsigned i = 0; i < read; i++) reply_free(&answers[i]);
    return status;
}

bool nodes_is_gone(const struct reply_row *member) {
    const char *state = member ? nodes_state(member) : NULL;
    return state && (!strcmp(state, "dead") || !strcmp(state, "left") || !strcmp(state, "ejected"));
}

const char *nodes_sentence(const char *refusal) {
    const char *blank = strchr(refusal, ' ');
    return blank ? blank + 1 : refusal;
}

const char *nodes_state(const struct reply_row *member) {
    const char *health = reply_text(member, "health"), *state = reply_text(member, "state");
    if (!member) return "alive"; /* it answered */
    if (health && strcmp(health, "alive") != 0) return health;
    return state && strcmp(state, "serving") != 0 ? state : health ? health : state;
}
