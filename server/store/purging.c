/* SPDX-License-Identifier: BSD-3-Clause
 *
 * purging - a purge as the store is asked for one: at once if the table can file it, else a job for the next pass of
 * the sweeper. Nothing here waits for the sweeper. */
#include "store/purging.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/fault.h"
#include "base/sync.h"
#include "store/handle.h"
#include "store/purge.h"
#include "store/seconds.h"
#include "store/state.h"
#include "store/wake.h"

#define COUNT_MAX 100000 /* items that a counted purge tells of */

/* ------------------------------------------------------------------ jobs */

static struct store_job *job_new(const struct store_purge *p) {
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

/* Lists a job for the next pass that begins after it has a version. */
static void list_job(struct store *s, struct store_job *job) {
    if (job == NULL) return;
    pthread_mutex_lock(&s->jobs_lock);
    job->next = s->jobs;
    sync_store_rel(&s->jobs, job);
    pthread_mutex_unlock(&s->jobs_lock);
}

void purging_end_jobs(struct store *s, struct store_job *first) {
    for (struct store_job *j = first, *next; j; j = next) {
        next = j->next;
        if (s->cfg.events.on_job)
            s->cfg.events.on_job(s->cfg.events.arg, j->token, j->removed <= COUNT_MAX ? j->removed : -1);
        free(j);
    }
}

/* Whether a purge may need a job: it is counted, or has a selector that the table may not be able to file. */
static bool may_need_job(const struct store_purge *p) {
    return p->counted || p->nselectors > 1 || p->selectors[0].ntags > 2;
}

/* ------------------------------------------------------------------ purges */

/* The job is listed before the purge takes its version, so that whoever meets an item that the purge has killed also
 * finds the job that counts it. */
static bool apply(struct store *s, const struct store_purge *p, struct store_job *job, bool *pending,
                  uint64_t *version) {
    struct purge_plan plan;
    const uint32_t now = seconds_now(s);
    uint32_t deadline = now + (p->soft_ttl_s ? p->soft_ttl_s : STORE_SOFT_TTL_S);
    if (deadline < now) deadline = UINT32_MAX - 1;
    pthread_mutex_lock(&s->purge.lock);
    const bool placed = purge_prepare(&s->purge, p->selectors, p->nselectors, &plan);
    if (placed) {
        const bool late = FAULT_POINT("store.mutate.list_late");
        *pending = p->counted || plan.sweep;
        if (*pending && !late) list_job(s, job);
        *version = purge_commit(&s->purge, &s->number, &plan, p->soft, deadline, now, *pending ? &job->version : NULL);
        (void)FAULT_POINT("store.purge.applied");
        if (*pending && late) list_job(s, job);
    } else {
        sync_store(&s->purge_waits, true);
    }
    pthread_mutex_unlock(&s->purge.lock);
    return placed;
}

enum store_status store_purge(struct store_worker *w, const struct store_purge *p, uint64_t *version) {
    CHECK(!w->inside);
    struct store *s = w->s;
    struct store_job *job = NULL;
    bool pending = false;
    if (may_need_job(p) && (job = job_new(p)) == NULL) return STORE_NO_MEMORY;
    const bool crowded = purge_crowded(&s->purge), placed = apply(s, p, job, &pending, version);
    if (!pending) free(job);
    /* Whoever fills the second half of the table wakes the sweeper; it knows by itself that there is more to do. */
    if (pending || !placed || (!crowded && purge_crowded(&s->purge))) wake_maintenance(s);
    if (!placed) {
        COUNT(w, purge_waits, 1);
        return STORE_AGAIN;
    }
    if (p->soft)
        COUNT(w, purges_soft, 1);
    else
        COUNT(w, purges, 1);
    return pending ? STORE_PENDING : STORE_OK;
}

void store_flush_at(struct store_worker *w, uint32_t at) {
    struct store_selector all = {.all = true};
    struct store_purge p = {.selectors = &all, .nselectors = 1};
    uint64_t version;
    if (at > seconds_now(w->s)) {
        sync_store_rel(&w->s->flush_at, at);
        return;
    }
    sync_store_rel(&w->s->flush_at, 0);
    enum store_status st = store_purge(w, &p, &version);
    CHECK(st == STORE_OK); /* everything has a place of its own */
}
