/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_auth.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd_watch.h"
#include "cmd/instance.h"
#include "cmd/reply.h"
#include "cmd/request.h"
#include "cmd/session.h"

#define AUTH_FILE_MAX ((size_t)AUTH_USERS_MAX * 2 * (AUTH_WORD_MAX + 2)) /* bytes of a file that can be right */

struct cmd_auth {
    pthread_mutex_t lock;
    struct cmd_auth_table *table;
};

#define ADMIN ":admin" /* at the end of a line */

/* ------------------------------------------------------------------ the table */

/* False: too long. */
static bool set_word(struct cmd_auth_word *w, const char *p, size_t n) {
    if (n > AUTH_WORD_MAX) return false;
    memset(w, 0, sizeof *w);
    w->len = (unsigned char)n;
    memcpy(w->bytes, p, n);
    return true;
}

static int parse_line(const char *line, size_t n, struct cmd_auth_user *u) {
    const char *colon = memchr(line, ':', n);
    if (colon == NULL) return -EINVAL;
    const size_t name = (size_t)(colon - line), mark = sizeof ADMIN - 1;
    size_t password = n - name - 1;
    u->admin = password > mark && memcmp(line + n - mark, ADMIN, mark) == 0;
    if (u->admin) password -= mark;
    return set_word(&u->name, line, name) && set_word(&u->password, colon + 1, password) ? 0 : -E2BIG;
}

int cmd_auth_parse(const char *text, size_t n, struct cmd_auth_table **out) {
    struct cmd_auth_table *t = calloc(1, sizeof *t + AUTH_USERS_MAX * sizeof *t->users);
    if (t == NULL) return -ENOMEM;
    int rc = 0;
    for (size_t at = 0; at < n && rc == 0;) {
        const char *line = text + at, *newline = memchr(line, '\n', n - at);
        size_t len = newline != NULL ? (size_t)(newline - line) : n - at;
        at += len + 1;
        if (len > 0 && line[len - 1] == '\r') len--;
        rc = t->n == AUTH_USERS_MAX ? -E2BIG : parse_line(line, len, &t->users[t->n]);
        t->n++;
    }
    if (rc == 0 && t->n == 0) rc = -EINVAL; /* an empty file would lock everybody out */
    if (rc != 0) {
        free(t);
        return rc;
    }
    *out = t;
    return 0;
}

/* 0 if they are the same; takes the same time if they are not. */
static unsigned difference(const struct cmd_auth_word *a, const struct cmd_auth_word *b) {
    volatile unsigned d = a->len ^ b->len;
    for (size_t i = 0; i < AUTH_WORD_MAX; i++) d |= a->bytes[i] ^ b->bytes[i];
    return d;
}

bool cmd_auth_check(const struct cmd_auth_table *t, const char *name, size_t name_len, const char *password,
                    size_t password_len, bool *admin) {
    struct cmd_auth_user given;
    if (!set_word(&given.name, name, name_len) || !set_word(&given.password, password, password_len)) return false;
    unsigned found = 0, admins = 0;
    for (unsigned i = 0; i < t->n; i++) {
        unsigned d = difference(&given.name, &t->users[i].name) | difference(&given.password, &t->users[i].password);
        found |= d == 0;
        admins |= (d == 0) & t->users[i].admin;
    }
    *admin = admins != 0;
    return found != 0;
}

/* ------------------------------------------------------------------ the instance */

static int load(const char *path, struct cmd_auth_table **out) {
    FILE *f = fopen(path, "re");
    if (f == NULL) return -errno;
    char *text = malloc(AUTH_FILE_MAX + 1);
    int rc = -ENOMEM;
    if (text != NULL) {
        size_t n = fread(text, 1, AUTH_FILE_MAX + 1, f);
        rc = ferror(f) ? -EIO : n > AUTH_FILE_MAX ? -E2BIG : cmd_auth_parse(text, n, out);
        explicit_bzero(text, n);
    }
    free(text);
    fclose(f);
    return rc;
}

static void table_free(struct cmd_auth_table *t) {
    if (t != NULL) explicit_bzero(t->users, t->n * sizeof *t->users);
    free(t);
}

int cmd_auth_new(struct cmd *cmd) {
    if (cmd->cfg.auth_file == NULL) return 0;
    struct cmd_auth *a = calloc(1, sizeof *a);
    if (a == NULL) return -ENOMEM;
    int rc = load(cmd->cfg.auth_file, &a->table);
    if (rc != 0) {
        free(a);
        return rc;
    }
    pthread_mutex_init(&a->lock, NULL);
    cmd->auth = a;
    return 0;
}

void cmd_auth_free(struct cmd *cmd) {
    if (cmd->auth == NULL) return;
    table_free(cmd->auth->table);
    pthread_mutex_destroy(&cmd->auth->lock);
    free(cmd->auth);
    cmd->auth = NULL;
}

int cmd_auth_reload(struct cmd *cmd) {
    if (cmd->auth == NULL) return 0;
    struct cmd_auth_table *fresh = NULL, *old;
    int rc = load(cmd->cfg.auth_file, &fresh);
    if (rc != 0) {
        cmd_watch_sysevent(cmd, "auth_reload", "status=failed");
        return rc;
    }
    pthread_mutex_lock(&cmd->auth->lock);
    old = cmd->auth->table;
    cmd->auth->table = fresh;
    pthread_mutex_unlock(&cmd->auth->lock);
    table_free(old);
    cmd_watch_sysevent(cmd, "auth_reload", "status=ok");
    return 0;
}

bool cmd_auth_login(struct session *s, const struct text_token *user, const struct text_token *password) {
    struct cmd_auth *a = s->worker->cmd->auth;
    bool good = false, admin = false;
    cmd_bump(s, CMD_METRIC_auth_cmds);
    if (a != NULL && user != NULL) {
        pthread_mutex_lock(&a->lock);
        good = cmd_auth_check(a->table, user->p, user->n, password->p, password->n, &admin);
        pthread_mutex_unlock(&a->lock);
    }
    if (!good) cmd_bump(s, CMD_METRIC_auth_errors);
    s->authenticated = good;
    s->admin |= good && admin;
    return good;
}

/* The block of the `set` is the user, up to the first blank, and the password, all behind it. */
void cmd_auth_set(struct session *s, struct request *r) {
    const char *user = r->body, *blank = memchr(user, ' ', r->body_len);
    if (blank == NULL) {
        cmd_line_lit(s, "CLIENT_ERROR bad authentication token format");
        return;
    }
    const size_t user_len = (size_t)(blank - user);
    const struct text_token name = {user, user_len}, password = {blank + 1, r->body_len - user_len - 1};
    const bool good = cmd_auth_login(s, &name, &password);
    explicit_bzero(r->body, r->body_len);
    if (good)
        cmd_line_lit(s, "STORED");
    else
        cmd_line_lit(s, "CLIENT_ERROR authentication failure");
}
