/* SPDX-License-Identifier: BSD-3-Clause
 *
 * http_job - answering later (http_route.h). The same as cmd_job does for commands, with one job a connection. */
#include "http/http_job.h"
#include "base/check.h"
#include "base/sync.h"
#include "http/http_route.h"
#include "http/http_state.h"
#include "net/conn.h"
#include "net/worker.h"

enum { JOB_UNDER_WAY, JOB_ENDED, JOB_ABANDONED };

void http_wait(struct http_exchange *x, struct http_job *job) {
    struct http_session *s = x->session;
    CHECK(s->job == NULL && !s->replied);
    job->net = conn_worker(s->conn);
    job->session = s;
    s->job = job;
    s->phase = HTTP_PHASE_WAIT;
    conn_set_deadline(s->conn, 0); /* whoever works on it sees to it that it ends */
    conn_wait(s->conn);
}

static void deliver(struct net_worker *nw, void *arg) {
    struct http_job *job = arg;
    (void)nw;
    job->ended = true;
    if (job->session == NULL)
        job->free(job);
    else
        conn_resume(job->session->conn);
}

void http_job_end(struct http_job *job) {
    if (sync_exchange(&job->state, JOB_ENDED) == JOB_ABANDONED)
        job->free(job);
    else
        worker_post(job->net, &job->post, deliver, job);
}

void http_job_abandon(struct http_session *s) {
    struct http_job *job = s->job;
    s->job = NULL;
    if (job == NULL) return;
    job->session = NULL;
    if (job->ended)
        job->free(job);
    else
        (void)sync_exchange(&job->state, JOB_ABANDONED); /* whoever ends it frees it, or what was posted does */
}
