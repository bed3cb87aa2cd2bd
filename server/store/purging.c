/* SPDX-License-Identifier: BSD-3-Clause
 *
 * purging - a purge as the store is asked for one: at once if the table can file it, else a job for the next pass of
 * the sweeper. Nothing here waits for the sweeper. */
#include <stdlib.h>

#include "base/check.h"
#include "base/fault.h"
#include "base/sync.h"
#include "store/handle.h"
#include "store/job.h"
#include "store/purge.h"
#include "store/seconds.h"
#include "store/state.h"
#include "store/wake.h"

/* Whether a purge may need a job: it is counted, or has a selector that the table may not be able to file. */
static bool may_need_job(const struct store_purge *p) {
    return p->counted || p->nselectors > 1 || p->selectors[0].ntags > 2;
}

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
        if (*pending && !late && job) job_list(s, job);
        *version = purge_commit(&s->purge, &s->number, &plan, p->soft, deadline, now, *pending ? &job->version : NULL);
        (void)FAULT_POINT("store.purge.applied");
        if (*pending && late && job) job_list(s, job);
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

uint64_t store_purge_tagged(struct store_worker *w) {
    CHECK(!w->inside);
    struct store *s = w->s;
    pthread_mutex_lock(&s->purge.lock);
    const uint64_t version = purge_commit_tagged(&s->purge, &s->number);
    pthread_mutex_unlock(&s->purge.lock);
    COUNT(w, purges, 1);
    return version;
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
