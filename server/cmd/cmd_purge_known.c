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
    char name[PURGE_KNOWN_TAG_MAX];
};

struct purge_known {
    pthread_mutex_t lock; /* guards: */
    unsigned nevents;     /* ever */
    struct event events[PURGE_KNOWN_EVENTS];
    struct tag tags[PURGE_KNOWN_TAGS]; /* by hash: the last one counts */
};

struct purge_known *purge_known_new(void) {
    struct purge_known *k = calloc(1, sizeof *k);
    if (k != NULL) pthread_mutex_init(&k->lock, NULL);
    return k;
}

void purge_known_free(struct purge_known *k) {
    if (k == NULL) return;
    pthread_mutex_destroy(&k->lock);
    free(k);
}

void purge_known_batch(struct purge_known *k, uint64_t number, const struct purging_batch *b) {
    pthread_mutex_lock(&k->lock);
    for (unsigned i = 0; i < b->nselectors; i++)
        k->events[k->nevents++ % PURGE_KNOWN_EVENTS] =
            (struct event){number, b->selectors[i].ntags == 1 ? b->selectors[i].tags[0] : 0, b->sources[i]};
    pthread_mutex_unlock(&k->lock);
}

static void note_tag(struct purge_known *k, const char *name, size_t n) {
    if (n == 0 || n > PURGE_KNOWN_TAG_MAX) return;
    const uint64_t hash = hash_tag(name, n);
    struct tag *t = &k->tags[hash % PURGE_KNOWN_TAGS];
    t->hash = hash;
    t->n = (uint8_t)n;
    memcpy(t->name, name, n);
}

void purge_known_text(struct purge_known *k, const char *text, size_t n) {
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
static bool find(const struct purge_known *k, const struct store_cause *cause, struct purging_source *out) {
    unsigned found = 0;
    for (unsigned i = 0; i < PURGE_KNOWN_EVENTS && i < k->nevents; i++) {
        const struct event *e = &k->events[i];
        if (e->number != cause->number || e->tag != cause->tag) continue;
        *out = e->source;
        found++;
    }
    return found == 1 || (found > 1 && cause->tag != 0);
}

void purge_known_id(struct purge_known *k, const struct store_cause *cause, char to[PURGE_KNOWN_ID_MAX]) {
    struct purging_source s;
    pthread_mutex_lock(&k->lock);
    const bool known = cause->number != 0 && find(k, cause, &s);
    pthread_mutex_unlock(&k->lock);
    if (cause->number == 0)
        strcpy(to, "-");
    else if (!known)
        snprintf(to, PURGE_KNOWN_ID_MAX, "%" PRIu64, cause->number);
    else if (s.origin != 0)
        snprintf(to, PURGE_KNOWN_ID_MAX, "%" PRIu32 "-%" PRIu64, s.origin, s.sequence);
    else
        snprintf(to, PURGE_KNOWN_ID_MAX, "v%" PRIu32 "-%" PRIu64, s.via.number, s.via.counter);
}

void purge_known_tag(struct purge_known *k, uint64_t tag, char to[PURGE_KNOWN_TAG_MAX + 1]) {
    const struct tag *t = &k->tags[tag % PURGE_KNOWN_TAGS];
    strcpy(to, "-");
    pthread_mutex_lock(&k->lock);
    if (tag != 0 && t->hash == tag) {
        memcpy(to, t->name, t->n);
        to[t->n] = '\0';
    }
    pthread_mutex_unlock(&k->lock);
}
