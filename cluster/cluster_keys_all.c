/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The cluster's keys on all nodes: each member is asked for its list, and the lists are put together. Before a key is
 * used or removed everywhere, all members are asked what they have, and it is done only if none would be cut off by it:
 * neither at once nor when it starts again, and goes by its key file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/cluster_keys.h"
#include "cluster/cluster_text.h"

#define KEYS_MAX 64    /* different keys that are told of */
#define NAMES_TEXT 512 /* bytes of a list of nodes' names */

/* A bit for each node that is asked, in the order of the configuration. */
typedef uint8_t node_set[CONFIGURATION_MEMBERS_MAX / 8 + 1];

static void put_in(uint8_t *set, unsigned i) {
    set[i / 8] |= (uint8_t)(1u << i % 8);
}

static bool is_in(const uint8_t *set, unsigned i) {
    return (set[i / 8] & 1u << i % 8) != 0;
}

struct key {
    char id[KEYRING_ID_TEXT];
    bool seals_here; /* on the node that was asked */
    node_set has, seals;
    node_set first, filed, unfiled; /* its key file begins with it, has it, does not have it at its beginning */
};

/* A question to all nodes. */
struct gather {
    struct cluster_question *question;
    enum cluster_keys_verb verb;
    char id[KEYRING_ID_TEXT];
    bool looking; /* it is asked first what there is */
    unsigned waiting, of;
    node_set heard; /* who has answered with a list */
    unsigned nkeys;
    struct key *keys; /* KEYS_MAX */
    char (*names)[CONFIGURATION_NAME_MAX + 1];
};

/* ------------------------------------------------------------------ taking down */

static struct key *key_of(struct gather *g, const char *id) {
    for (unsigned i = 0; i < g->nkeys; i++)
        if (strcmp(g->keys[i].id, id) == 0) return &g->keys[i];
    if (g->nkeys == KEYS_MAX) return NULL;
    struct key *k = &g->keys[g->nkeys++];
    snprintf(k->id, sizeof k->id, "%s", id);
    return k;
}

static void note_key(struct gather *g, unsigned i, bool own, const char *id, const char *use, const char *file) {
    struct key *k = key_of(g, id);
    if (k == NULL) return;
    const bool seals = strcmp(use, "seal") == 0, first = strcmp(file, "first") == 0, later = strcmp(file, "later") == 0;
    if (seals || strcmp(use, "open") == 0) put_in(k->has, i);
    if (seals) put_in(k->seals, i);
    if (first) put_in(k->first, i);
    if (first || later) put_in(k->filed, i);
    if (later || strcmp(file, "no") == 0) put_in(k->unfiled, i);
    k->seals_here |= own && seals;
}

/* Takes down what one node, the i-th, has answered. */
static void note(struct gather *g, unsigned i, bool own, const char *text) {
    for (const char *line = text; line != NULL && *line != 0;) {
        char id[KEYRING_ID_TEXT], use[8], file[8] = "-"; /* a node may not say what is in its file */
        if (sscanf(line, "KEY id=%16[0-9a-f] use=%7[a-z] file=%7[a-z]", id, use, file) >= 2)
            note_key(g, i, own, id, use, file);
        if (strncmp(line, "END", 3) == 0) put_in(g->heard, i);
        line = strchr(line, '\n');
        if (line != NULL) line++;
    }
}

/* ------------------------------------------------------------------ telling */

/* Nodes for which test() is true, parted by commas. How many; none: the text is "-". */
static unsigned list_nodes(const struct gather *g, const struct key *k,
                           bool (*test)(const struct gather *g, const struct key *k, unsigned i), char *text) {
    unsigned n = 0;
    size_t at = 0;
    strcpy(text, "-");
    for (unsigned i = 0; i < g->of; i++) {
        if (!test(g, k, i)) continue;
        n++;
        if (at + strlen(g->names[i]) + 8 <= NAMES_TEXT)
            at += (size_t)sprintf(text + at, "%s%s", at > 0 ? "," : "", g->names[i]);
        else if (text[at - 1] != '.')
            at += (size_t)sprintf(text + at, ",...");
    }
    return n;
}

static bool is_silent(const struct gather *g, const struct key *k, unsigned i) {
    (void)k;
    return !is_in(g->heard, i);
}

static bool has(const struct gather *g, const struct key *k, unsigned i) {
    (void)g;
    return is_in(k->has, i);
}

static bool lacks(const struct gather *g, const struct key *k, unsigned i) {
    return !has(g, k, i);
}

static bool seals(const struct gather *g, const struct key *k, unsigned i) {
    (void)g;
    return is_in(k->seals, i);
}

static bool would_seal(const struct gather *g, const struct key *k, unsigned i) {
    (void)g;
    return is_in(k->first, i);
}

/* It seals with the key and would not if it started again. */
static bool forgets_use(const struct gather *g, const struct key *k, unsigned i) {
    return seals(g, k, i) && is_in(k->unfiled, i);
}

/* It does not take the key and would if it started again. */
static bool forgets_removal(const struct gather *g, const struct key *k, unsigned i) {
    return is_in(g->heard, i) && is_in(k->filed, i) && lacks(g, k, i);
}

static void put_notes(const struct gather *g, struct cluster_text *t) {
    char names[NAMES_TEXT];
    if (list_nodes(g, NULL, is_silent, names) > 0) cluster_text_put(t, "NOTE text=no list of keys from %s\r\n", names);
    for (unsigned i = 0; i < g->nkeys; i++) {
        const struct key *k = &g->keys[i];
        if (list_nodes(g, k, forgets_use, names) > 0)
            cluster_text_put(t,
                             "NOTE text=the key file of %s does not begin with %s: change it, too; a node that starts "
                             "seals with the first key of its file\r\n",
                             names, k->id);
        if (list_nodes(g, k, forgets_removal, names) > 0)
            cluster_text_put(t,
                             "NOTE text=the key file of %s has %s, which is not in use there: take it out, or have the "
                             "file read again\r\n",
                             names, k->id);
    }
}

static void put_keys(const struct gather *g, struct cluster_text *t) {
    char missing[NAMES_TEXT], names[NAMES_TEXT];
    for (unsigned i = 0; i < g->nkeys; i++) {
        const struct key *k = &g->keys[i];
        const unsigned n = list_nodes(g, k, has, names), sealing = list_nodes(g, k, seals, names);
        if (n == 0) continue; /* it is in a file only, which a note says */
        list_nodes(g, k, lacks, missing);
        cluster_text_put(t, "KEY id=%s use=%s nodes=%u of=%u sealing=%u missing=%s\r\n", k->id,
                         k->seals_here ? "seal" : "open", n, g->of, sealing, missing);
    }
}

/* Whether the key may be used, or removed, everywhere. False: not, and the line in text says why. */
static bool may_change(struct gather *g, char *text, size_t size) {
    char names[NAMES_TEXT];
    const struct key *k = key_of(g, g->id);
    const bool use = g->verb == CLUSTER_KEYS_USE;
    if (list_nodes(g, NULL, is_silent, names) > 0)
        snprintf(text, size, "SERVER_ERROR nothing was changed: no list of keys from %s", names);
    else if (k == NULL || list_nodes(g, k, has, names) == 0)
        snprintf(text, size, "CLIENT_ERROR no such key: no node has %s", g->id);
    else if (use && list_nodes(g, k, lacks, names) > 0)
        snprintf(text, size, "SERVER_ERROR nothing was changed: %s lacks the key: copy the key file there", names);
    else if (!use && list_nodes(g, k, seals, names) > 0)
        snprintf(text, size, "SERVER_ERROR nothing was changed: %s seals with the key: have another one used first",
                 names);
    else if (!use && list_nodes(g, k, would_seal, names) > 0)
        snprintf(text, size,
                 "SERVER_ERROR nothing was changed: the key file of %s begins with the key, so a node that starts "
                 "would seal with it and be cut off: put another one first",
                 names);
    else
        return true;
    return false;
}

/* ------------------------------------------------------------------ asking */

static void gather_free(struct gather *g) {
    free(g->keys);
    free(g->names);
    free(g);
}

static void end(struct gather *g, const char *line) {
    cluster_answers_line(g->question, line);
    gather_free(g);
}

static void ask_members(struct cluster *c, struct gather *g);

/* All have answered, or cannot. */
static void finish(struct cluster *c, struct gather *g) {
    struct cluster_text t = {0};
    char refusal[NAMES_TEXT + 256];
    if (!g->looking) {
        put_keys(g, &t);
        put_notes(g, &t);
        cluster_text_put(&t, "END\r\n");
        cluster_text_finish(g->question, &t);
        gather_free(g);
    } else if (!may_change(g, refusal, sizeof refusal)) {
        end(g, refusal);
    } else {
        g->looking = false;
        ask_members(c, g);
    }
}

static void heard(struct cluster *c, void *arg, const char *name, char *text, size_t n) {
    struct gather *g = arg;
    (void)n;
    for (unsigned i = 0; text != NULL && i < g->of; i++)
        if (strcmp(g->names[i], name) == 0) note(g, i, false, text);
    free(text);
    if (--g->waiting == 0) finish(c, g);
}

/* Asks the other members; who is down is not asked. own: what this node has answered. */
static void ask_others(struct cluster *c, struct gather *g, enum cluster_keys_verb verb, const char *own) {
    const struct configuration *now = config_current(c->config);
    char line[64];
    snprintf(line, sizeof line, "cluster key %s%s%s", cluster_keys_word(verb), g->looking || g->id[0] == 0 ? "" : " ",
             g->looking ? "" : g->id);
    g->waiting = 1; /* until all others are asked */
    for (unsigned i = 0; i < now->nmembers; i++) {
        const struct configuration_member *m = &now->members[i];
        if (m->state == CONFIGURATION_EJECTED) continue;
        strcpy(g->names[g->of], m->name);
        if (cluster_id_equal(&m->id, &config_self(c->config)->id))
            note(g, g->of, true, own);
        else if (!cluster_answers_is_down(c, m) && cluster_relay_begin(c, m, line, g->question->privileged, heard, g))
            g->waiting++;
        g->of++;
    }
    if (--g->waiting == 0) finish(c, g);
}

static void ask_members(struct cluster *c, struct gather *g) {
    const enum cluster_keys_verb verb = g->looking ? CLUSTER_KEYS_LS : g->verb;
    char *own = cluster_keys_own(c, verb, g->looking ? "" : g->id);
    free(g->names);
    g->names = calloc(config_current(c->config)->nmembers + 1, sizeof *g->names);
    memset(g->keys, 0, KEYS_MAX * sizeof *g->keys);
    memset(g->heard, 0, sizeof g->heard);
    g->nkeys = g->of = 0;
    if (own == NULL || g->names == NULL) {
        end(g, "SERVER_ERROR out of memory");
    } else if (strncmp(own, "KEY ", 4) != 0) { /* this node cannot: nobody else is asked */
        own[strcspn(own, "\r")] = 0;
        end(g, own);
    } else {
        ask_others(c, g, verb, own);
    }
    free(own);
}

void cluster_keys_ask_all(struct cluster *c, struct cluster_question *q, enum cluster_keys_verb verb, const char *id) {
    struct gather *g = calloc(1, sizeof *g);
    if (g != NULL) g->keys = calloc(KEYS_MAX, sizeof *g->keys);
    if (g == NULL || g->keys == NULL) {
        free(g);
        cluster_answers_line(q, "SERVER_ERROR out of memory");
        return;
    }
    g->question = q;
    g->verb = verb;
    g->looking = verb == CLUSTER_KEYS_USE || verb == CLUSTER_KEYS_REMOVE;
    snprintf(g->id, sizeof g->id, "%s", id);
    ask_members(c, g);
}
