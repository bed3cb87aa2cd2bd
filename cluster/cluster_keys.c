/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The cluster's keys: the file is read again when an operator says so, on this node or on all, and all nodes are asked
 * which keys they have. No key is ever sent; only its id is. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cluster/cluster_state.h"

#define KEYS_MAX 64     /* different keys that are told of */
#define MISSING_MAX 512 /* bytes of the names of nodes that lack one */

bool cluster_keys_load(struct cluster *c) {
    char err[256];
    if (c->cfg.key_file == NULL) return true;
    if (!keyring_load(&c->keyring, c->cfg.key_file, err, sizeof err)) {
        log_event(c->cfg.log, LOG_ALWAYS, "keyring_failed", "file=\"%s\" reason=\"%s\"", c->cfg.key_file, err);
        return false;
    }
    transport_set_keyring(c->transport, &c->keyring);
    log_event(c->cfg.log, LOG_ALWAYS, "keyring", "keys=%u", c->keyring.n);
    return true;
}

/* ------------------------------------------------------------------ one node */

/* The keys of this node, the one that seals first. */
static char *own_keys(const struct cluster *c) {
    char *text = malloc(KEYRING_MAX * 64 + 16);
    size_t n = 0;
    if (text == NULL) return NULL;
    for (unsigned i = 0; i < c->keyring.n; i++) {
        char id[KEYRING_ID_TEXT];
        keyring_id_text(&c->keyring.keys[i], id);
        n += (size_t)sprintf(text + n, "KEY id=%s use=%s\r\n", id, i == 0 ? "seal" : "open");
    }
    strcpy(text + n, "END\r\n");
    return text;
}

/* ------------------------------------------------------------------ all nodes */

struct key {
    char id[KEYRING_ID_TEXT];
    bool seals; /* on the node that was asked */
    unsigned nodes;
    uint8_t had[CONFIGURATION_MEMBERS_MAX / 8 + 1]; /* a bit for each node, in the order of the configuration */
};

/* A question to all nodes. */
struct gather {
    struct cluster_question *question;
    unsigned waiting, of;
    unsigned nkeys;
    struct key *keys; /* KEYS_MAX */
    char (*names)[CONFIGURATION_NAME_MAX + 1];
};

static struct key *key_of(struct gather *g, const char *id) {
    for (unsigned i = 0; i < g->nkeys; i++)
        if (strcmp(g->keys[i].id, id) == 0) return &g->keys[i];
    if (g->nkeys == KEYS_MAX) return NULL;
    struct key *k = &g->keys[g->nkeys++];
    snprintf(k->id, sizeof k->id, "%s", id);
    return k;
}

/* Takes down what one node, the i-th, has answered. */
static void note(struct gather *g, unsigned i, bool own, const char *text) {
    for (const char *line = text; line != NULL && *line != 0;) {
        char id[KEYRING_ID_TEXT], use[8];
        if (sscanf(line, "KEY id=%16[0-9a-f] use=%7[a-z]", id, use) == 2) {
            struct key *k = key_of(g, id);
            if (k != NULL && (k->had[i / 8] & 1 << i % 8) == 0) {
                k->had[i / 8] |= (uint8_t)(1 << i % 8);
                k->nodes++;
                k->seals |= own && strcmp(use, "seal") == 0;
            }
        }
        line = strchr(line, '\n');
        if (line != NULL) line++;
    }
}

static void gather_free(struct gather *g) {
    free(g->keys);
    free(g->names);
    free(g);
}

static void answer(struct gather *g) {
    const size_t max = (size_t)g->nkeys * (MISSING_MAX + 128) + 16;
    char *text = malloc(max);
    size_t n = 0;
    for (unsigned i = 0; text != NULL && i < g->nkeys; i++) {
        const struct key *k = &g->keys[i];
        char missing[MISSING_MAX] = "-";
        size_t at = 0;
        for (unsigned m = 0; m < g->of; m++) {
            if ((k->had[m / 8] & 1 << m % 8) != 0 || at + strlen(g->names[m]) + 2 > sizeof missing) continue;
            at += (size_t)sprintf(missing + at, "%s%s", at > 0 ? "," : "", g->names[m]);
        }
        n += (size_t)sprintf(text + n, "KEY id=%s use=%s nodes=%u of=%u missing=%s\r\n", k->id,
                             k->seals ? "seal" : "open", k->nodes, g->of, missing);
    }
    if (text != NULL) n += (size_t)sprintf(text + n, "END\r\n");
    g->question->reply = text;
    g->question->reply_bytes = n;
    g->question->done(g->question);
    gather_free(g);
}

static void heard(struct cluster *c, void *arg, const char *name, char *text, size_t n) {
    struct gather *g = arg;
    (void)c;
    (void)n;
    for (unsigned i = 0; text != NULL && i < g->of; i++)
        if (strcmp(g->names[i], name) == 0) note(g, i, false, text);
    free(text);
    if (--g->waiting == 0) answer(g);
}

/* Asks all members that are not gone; this node too. */
static void ask_all(struct cluster *c, struct cluster_question *q, const char *line) {
    const struct configuration *now = config_current(c->config);
    struct gather *g = calloc(1, sizeof *g);
    if (g != NULL) g->keys = calloc(KEYS_MAX, sizeof *g->keys);
    if (g != NULL) g->names = calloc(now->nmembers + 1, sizeof *g->names);
    if (g == NULL || g->keys == NULL || g->names == NULL) {
        if (g != NULL) gather_free(g);
        cluster_answers_line(q, "SERVER_ERROR out of memory");
        return;
    }
    g->question = q;
    g->waiting = 1; /* this node, until all others are asked */
    for (unsigned i = 0; i < now->nmembers; i++) {
        const struct configuration_member *m = &now->members[i];
        if (m->state == CONFIGURATION_EJECTED) continue;
        strcpy(g->names[g->of], m->name);
        if (cluster_id_equal(&m->id, &config_self(c->config)->id)) {
            char *own = own_keys(c);
            if (own != NULL) note(g, g->of, true, own);
            free(own);
        } else if (cluster_relay_begin(c, m, line, q->privileged, heard, g)) {
            g->waiting++;
        }
        g->of++;
    }
    if (--g->waiting == 0) answer(g);
}

/* ------------------------------------------------------------------ questions */

static void answer_own(struct cluster *c, struct cluster_question *q) {
    q->reply = own_keys(c);
    q->reply_bytes = q->reply == NULL ? 0 : strlen(q->reply);
    q->done(q);
}

bool cluster_keys_ask(struct cluster *c, struct cluster_question *q, char *const *word, unsigned n) {
    if (n < 2 || strcmp(word[0], "key") != 0) return false;
    const bool reload = strcmp(word[1], "reload") == 0 || strcmp(word[1], "reload-own") == 0;
    if (n != 2 || (!reload && strcmp(word[1], "ls") != 0 && strcmp(word[1], "own") != 0)) {
        cluster_answers_line(
            q, "CLIENT_ERROR which key seals, and which are known, the key file of each node says: change it, "
               "then say cluster key reload");
    } else if (reload && !q->privileged) {
        cluster_answers_line(q, "CLIENT_ERROR not allowed here");
    } else if (reload && !cluster_keys_load(c)) {
        cluster_answers_line(q, "SERVER_ERROR the key file cannot be used; the log says why");
    } else if (strcmp(word[1], "own") == 0 || strcmp(word[1], "reload-own") == 0) {
        answer_own(c, q);
    } else if (config_current(c->config) == NULL) {
        cluster_answers_line(q, "SERVER_ERROR no cluster yet");
    } else {
        ask_all(c, q, reload ? "cluster key reload-own" : "cluster key own");
    }
    return true;
}

static void run_reload(struct cluster *c, struct cluster_task *t) {
    free(t);
    (void)cluster_keys_load(c);
}

void cluster_reload(struct cluster *c) {
    struct cluster_task *t = calloc(1, sizeof *t);
    if (t != NULL) cluster_post(c, t, run_reload);
}
