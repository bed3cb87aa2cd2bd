/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_purge_known.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "cluster/purging.h"

/* A selector that was carried out. */
struct event {
    uint64_t number, tag; /* of one tag its hash, else 0, as store_cause has it */
    struct purging_source source;
};

struct tag {
    uint64_t hash; /* 0: none */
    uint8_t n;
    char name[CMD_PURGE_KNOWN_TAG_MAX];
};

struct cmd_purge_known {
    pthread_mutex_t lock; /* guards: */
    unsigned nevents;     /* ever */
    struct event events[CMD_PURGE_KNOWN_EVENTS];
    struct tag tags[CMD_PURGE_KNOWN_TAGS]; /* by hash: the last one counts */
};

struct cmd_purge_known *cmd_purge_known_new(void) {
    struct cmd_purge_known *k = calloc(1, sizeof *k);
    if (k != NULL) pthread_mutex_init(&k->lock, NULL);
    return k;
}

void cmd_purge_known_free(struct cmd_purge_known *k) {
    if (k == NULL) return;
    pthread_mutex_destroy(&k->lock);
    free(k);
}

void cmd_purge_known_batch(struct cmd_purge_known *k, uint64_t number, const struct purging_batch *b) {
    pthread_mutex_lock(&k->lock);
    for (unsigned i = 0; i < b->nselectors; i++)
        k->events[k->nevents++ % CMD_PURGE_KNOWN_EVENTS] =
            (struct event){number, b->selectors[i].ntags == 1 ? b->selectors[i].tags[0] : 0, b->sources[i]};
    pthread_mutex_unlock(&k->lock);
}

static void note_tag(struct cmd_purge_known *k, const char *name, size_t n) {
    if (n == 0 || n > CMD_PURGE_KNOWN_TAG_MAX) return;
    const uint64_t hash = hash_tag(name, n);
    struct tag *t = &k->tags[hash % CMD_PURGE_KNOWN_TAGS];
    t->hash = hash;
    t->n = (uint8_t)n;
    memcpy(t->name, name, n);
}

void cmd_purge_known_text(struct cmd_purge_known *k, const char *text, size_t n) {
    size_t begin = 0;
    pthread_mutex_lock(&k->lock);
    for (size_t i = 0; i <= n; i++) {
        if (i < n && text[i] != ',' && text[i] != ' ' && text[i] != '+') continue;
        note_tag(k, text + begin, i - begin);
        begin = i + 1;
    }
    pthread_mutex_unlock(&k->lock);
}

/* What the purge of this cause was; false: not known. Several selectors without a tag of their own may have been
 * carried out as one, so that which of them it was is not known either. */
static bool find(const struct cmd_purge_known *k, const struct store_cause *cause, struct purging_source *out) {
    unsigned found = 0;
    for (unsigned i = 0; i < CMD_PURGE_KNOWN_EVENTS && i < k->nevents; i++) {
        const struct event *e = &k->events[i];
        if (e->number != cause->number || e->tag != cause->tag) continue;
        *out = e->source;
        found++;
    }
    return found == 1 || (found > 1 && cause->tag != 0);
}

void cmd_purge_known_id(struct cmd_purge_known *k, const struct store_cause *cause, char to[CMD_PURGE_KNOWN_ID_MAX]) {
    struct purging_source s;
    pthread_mutex_lock(&k->lock);
    const bool known = cause->number != 0 && find(k, cause, &s);
    pthread_mutex_unlock(&k->lock);
    if (cause->number == 0)
        strcpy(to, "-");
    else if (!known)
        snprintf(to, CMD_PURGE_KNOWN_ID_MAX, "%" PRIu64, cause->number);
    else
        cluster_purge_source_id(&s, to);
}

void cmd_purge_known_tag(struct cmd_purge_known *k, uint64_t tag, char to[CMD_PURGE_KNOWN_TAG_MAX + 1]) {
    const struct tag *t = &k->tags[tag % CMD_PURGE_KNOWN_TAGS];
    strcpy(to, "-");
    pthread_mutex_lock(&k->lock);
    if (tag != 0 && t->hash == tag) {
        memcpy(to, t->name, t->n);
        to[t->n] = '\0';
    }
    pthread_mutex_unlock(&k->lock);
}
