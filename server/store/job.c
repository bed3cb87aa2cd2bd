/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/job.h"

#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/sync.h"
#include "store/account.h"
#include "store/state.h"
#include "store/tag.h"

#define COUNT_MAX 100000 /* items that a counted purge tells of */

/* ------------------------------------------------------------------ from its beginning to its end */

struct store_job *job_new(const struct store_purge *p) {
    size_t words = 0;
    for (unsigned i = 0; i < p->nselectors; i++) words += 1 + p->selectors[i].ntags;
    struct store_job *j = malloc(sizeof *j + words * sizeof *j->words);
    if (j == NULL) return NULL;
    *j = (struct store_job){.token = p->token, .nselectors = p->nselectors};
    uint64_t *to = j->words;
    for (unsigned i = 0; i < p->nselectors; i++) {
        const struct store_selector *sel = &p->selectors[i];
        *to++ = sel->all ? 0 : sel->ntags;
        if (!sel->all) memcpy(to, sel->tags, sel->ntags * sizeof *to);
        if (!sel->all) to += sel->ntags;
    }
    return j;
}

void job_list(struct store *s, struct store_job *job) {
    pthread_mutex_lock(&s->jobs_lock);
    job->next = s->jobs;
    sync_store_rel(&s->jobs, job);
    pthread_mutex_unlock(&s->jobs_lock);
}

struct store_job *job_take(struct store *s, uint64_t version) {
    struct store_job *taken = NULL, *left = NULL;
    pthread_mutex_lock(&s->jobs_lock);
    for (struct store_job *j = s->jobs, *next; j; j = next) {
        next = j->next;
        const uint64_t n = sync_load_acq(&j->version);
        struct store_job **to = n != 0 && n <= version ? &taken : &left;
        j->next = *to;
        *to = j;
    }
    sync_store_rel(&s->jobs, left);
    pthread_mutex_unlock(&s->jobs_lock);
    return taken;
}

void job_end(struct store *s, struct store_job *first) {
    for (struct store_job *j = first, *next; j; j = next) {
        next = j->next;
        if (s->cfg.events.on_job)
            s->cfg.events.on_job(s->cfg.events.arg, j->token, j->removed <= COUNT_MAX ? j->removed : -1, j->bytes);
        free(j);
    }
}

/* ------------------------------------------------------------------ the items it matches */

static bool matches(const struct store_job *j, const struct item *it, const uint64_t *tags, unsigned n) {
    if (it->version >= sync_load_acq(&j->version)) return false;
    const uint64_t *sel = j->words;
    for (unsigned i = 0; i < j->nselectors; i++, sel += 1 + *sel)
        if (tag_holds(tags, n, sel + 1, *sel)) return true;
    return false;
}

struct store_job *job_of(struct store *s, const struct item *it) {
    if (s->maintain.sweep.jobs == NULL) return NULL;
    uint64_t tags[TAG_ALL_MAX];
    unsigned n = tag_all(s, it, tags);
    for (struct store_job *j = s->maintain.sweep.jobs; j; j = j->next)
        if (matches(j, it, tags, n)) return j;
    return NULL;
}

void job_add(struct store_job *j, const struct item *it) {
    j->removed++;
    j->bytes += account_bytes(it);
}

bool job_wants(struct store *s, const struct item *it) {
    struct store_job *j = job_of(s, it);
    if (j == NULL || FAULT_POINT("sweep.mutate.moved_unseen")) return false;
    job_add(j, it);
    return true;
}

void job_count(struct store *s, const struct item *it) {
    if (sync_load_acq(&s->jobs) == NULL) return;
    uint64_t tags[TAG_ALL_MAX];
    unsigned n = tag_all(s, it, tags);
    pthread_mutex_lock(&s->jobs_lock);
    struct store_job *j = s->jobs;
    while (j && !matches(j, it, tags, n)) j = j->next;
    if (j) job_add(j, it);
    pthread_mutex_unlock(&s->jobs_lock);
}
