/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_job.h"

#include "base/sync.h"
#include "cmd/session.h"
#include "net/conn.h"
#include "net/worker.h"

enum { JOB_UNDER_WAY, JOB_ENDED, JOB_ABANDONED };

void cmd_job_init(struct cmd_job *job, struct session *s, void (*free)(struct cmd_job *job)) {
    *job = (struct cmd_job){.net = conn_worker(s->conn), .session = s, .free = free};
}

void cmd_job_begin(struct session *s, struct cmd_job *job) {
    struct cmd_job **last = &s->job;
    while (*last != NULL) last = &(*last)->next;
    *last = job;
}

bool cmd_job_waits(const struct session *s) {
    return s->job != NULL && !s->job->delivered;
}

void cmd_job_pause(struct session *s) {
    if (cmd_job_waits(s))
        conn_wait(s->conn);
    else
        conn_park(s->conn);
}

unsigned cmd_job_count(const struct session *s) {
    unsigned n = 0;
    for (const struct cmd_job *job = s->job; job != NULL; job = job->next) n++;
    return n;
}

struct cmd_job *cmd_job_take(struct session *s) {
    struct cmd_job *job = s->job;
    if (job != NULL) s->job = job->next;
    return job;
}

static void deliver(struct net_worker *nw, void *arg) {
    struct cmd_job *job = arg;
    (void)nw;
    job->delivered = true;
    if (job->session == NULL)
        job->free(job);
    else if (job->session->job == job)
        conn_resume(job->session->conn);
}

void cmd_job_end(struct cmd_job *job) {
    if (sync_exchange(&job->state, JOB_ENDED) == JOB_ABANDONED)
        job->free(job);
    else
        worker_post(job->net, &job->post, deliver, job);
}

void cmd_job_abandon(struct session *s) {
    for (struct cmd_job *job; (job = cmd_job_take(s)) != NULL;) {
        job->session = NULL;
        if (job->delivered)
            job->free(job);
        else
            (void)sync_exchange(&job->state, JOB_ABANDONED); /* whoever ends it frees it, or what was posted does */
    }
}
