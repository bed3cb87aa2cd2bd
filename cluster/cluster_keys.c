/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The cluster's keys on this node: which it has, which of them seals, and what changes that: its key file, which is
 * read at the start and again when an operator says so, and commands, which hold until it is read again. No key is ever
 * sent; only its id is. (All nodes: cluster_keys_all.c.) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/audit.h"
#include "base/log.h"
#include "cluster/cluster_keys.h"

/* Goes by the keys that are in c->keyring now. */
static void take(struct cluster *c, const char *why) {
    transport_set_keyring(c->transport, &c->keyring);
    c->keys_changed = why;
}

bool cluster_keys_load(struct cluster *c) {
    char err[256];
    if (c->cfg.key_file == NULL) return true;
    if (!keyring_load(&c->keyring, c->cfg.key_file, err, sizeof err)) {
        cluster_log(c, "keyring_failed", "file=\"%s\" reason=\"%s\"", c->cfg.key_file, err);
        return false;
    }
    take(c, "file");
    return true;
}

void cluster_keys_second(struct cluster *c) {
    char seal[KEYRING_ID_TEXT], open[KEYRING_MAX * KEYRING_ID_TEXT] = "-";
    if (c->keys_changed == NULL || c->cfg.key_file == NULL) return;
    keyring_id_text(&c->keyring.keys[0], seal);
    for (unsigned i = 1; i < c->keyring.n; i++) {
        char *to = open + (i - 1) * KEYRING_ID_TEXT; /* a comma takes the place of the zero before it */
        keyring_id_text(&c->keyring.keys[i], to);
        if (i > 1) to[-1] = ',';
    }
    /* Not more than once a second, since this runs so often. */
    char text[sizeof open + KEYRING_ID_TEXT + 32];
    snprintf(text, sizeof text, "seal=%s open=%s by=%s", seal, open, c->keys_changed);
    log_event(c->cfg.log, LOG_ALWAYS, "key_in_use", "%s", text);
    audit_change(c->cfg.audit, "keys", text, NULL, NULL);
    c->keys_changed = NULL;
}

/* ------------------------------------------------------------------ what there is */

/* What the file says of a key. */
static const char *place_in(const struct keyring *file, const struct keyring_key *key) {
    const struct keyring_key *found = keyring_find(file, key->id);
    return file->n == 0 ? "-" : found == NULL ? "no" : found == file->keys ? "first" : "later";
}

/* The keys of this node, the one that seals first, and those that only its file has. */
static char *list_keys(const struct cluster *c) {
    char *text = malloc(2 * KEYRING_MAX * 64 + 16), id[KEYRING_ID_TEXT], err[256];
    struct keyring file = {0}; /* stays empty if it cannot be read */
    size_t n = 0;
    if (text == NULL) return NULL;
    if (c->cfg.key_file != NULL) (void)keyring_load(&file, c->cfg.key_file, err, sizeof err);
    for (unsigned i = 0; i < c->keyring.n; i++) {
        const struct keyring_key *key = &c->keyring.keys[i];
        keyring_id_text(key, id);
        n += (size_t)sprintf(text + n, "KEY id=%s use=%s file=%s\r\n", id, i == 0 ? "seal" : "open",
                             place_in(&file, key));
    }
    for (unsigned i = 0; i < file.n; i++) {
        if (keyring_find(&c->keyring, file.keys[i].id) != NULL) continue;
        keyring_id_text(&file.keys[i], id);
        n += (size_t)sprintf(text + n, "KEY id=%s use=none file=%s\r\n", id, i == 0 ? "first" : "later");
    }
    keyring_wipe(&file);
    strcpy(text + n, "END\r\n");
    return text;
}

/* ------------------------------------------------------------------ changes */

/* Has the key seal. NULL, or the line that says why not. */
static const char *use(struct cluster *c, const uint8_t *id) {
    if (!keyring_use(&c->keyring, id)) return "SERVER_ERROR this node lacks this key\r\n";
    take(c, "command");
    return NULL;
}

/* Takes the key no more. NULL, or the line that says why not. */
static const char *forget(struct cluster *c, const uint8_t *id) {
    if (keyring_find(&c->keyring, id) == NULL) return NULL;
    if (!keyring_remove(&c->keyring, id)) return "SERVER_ERROR this node seals with this key\r\n";
    take(c, "command");
    return NULL;
}

char *cluster_keys_own(struct cluster *c, enum cluster_keys_verb verb, const char *id_text) {
    uint8_t id[KEYRING_ID_BYTES] = {0};
    const char *refusal = NULL;
    (void)keyring_id_read(id_text, id); /* of the verbs that take one it is good */
    switch (verb) {
    case CLUSTER_KEYS_LS: break;
    case CLUSTER_KEYS_USE: refusal = use(c, id); break;
    case CLUSTER_KEYS_REMOVE: refusal = forget(c, id); break;
    case CLUSTER_KEYS_RELOAD:
        if (!cluster_keys_load(c)) refusal = "SERVER_ERROR the key file cannot be used; the log says why\r\n";
    }
    return refusal != NULL ? strdup(refusal) : list_keys(c);
}

/* ------------------------------------------------------------------ questions */

static const struct {
    const char *all, *own; /* as operators ask, and as nodes ask each other */
    bool changes, id;
} verbs[] = {[CLUSTER_KEYS_LS] = {"ls", "own", false, false},
             [CLUSTER_KEYS_RELOAD] = {"reload", "reload-own", true, false},
             [CLUSTER_KEYS_USE] = {"use", "use-own", true, true},
             [CLUSTER_KEYS_REMOVE] = {"remove", "remove-own", true, true}};

const char *cluster_keys_word(enum cluster_keys_verb verb) {
    return verbs[verb].own;
}

bool cluster_keys_ask(struct cluster *c, struct cluster_question *q, char *const *word, unsigned n) {
    const unsigned nverbs = sizeof verbs / sizeof *verbs;
    if (n < 2 || strcmp(word[0], "key") != 0) return false;
    unsigned verb = 0;
    while (verb < nverbs && strcmp(word[1], verbs[verb].all) != 0 && strcmp(word[1], verbs[verb].own) != 0) verb++;
    if (verb == nverbs || n != 2 + (unsigned)verbs[verb].id) return false;
    const char *id = verbs[verb].id ? word[2] : "";
    uint8_t bytes[KEYRING_ID_BYTES];
    q->changes = verbs[verb].changes;
    if (verbs[verb].id && !keyring_id_read(id, bytes)) {
        cluster_answers_line(q, "CLIENT_ERROR a key's id is 16 hexadecimal digits, as cluster key ls shows it");
    } else if (verbs[verb].changes && !q->privileged) {
        cluster_answers_line(q, "CLIENT_ERROR not allowed here");
    } else if (strcmp(word[1], verbs[verb].own) == 0) {
        q->reply = cluster_keys_own(c, verb, id);
        q->reply_bytes = q->reply == NULL ? 0 : strlen(q->reply);
        q->done(q);
    } else if (config_current(c->config) == NULL) {
        cluster_answers_line(q, "SERVER_ERROR no cluster yet");
    } else {
        cluster_keys_ask_all(c, q, verb, id);
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
