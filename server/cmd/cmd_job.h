/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_job - something that a request has asked of another thread, and whose outcome it answers with.
 *
 * A handler begins a job, calls cmd_retry_later and returns; its connection waits. The other thread ends the job. Then
 * the connection is resumed, the request is run again from the start, and its handler takes the job, in which it finds
 * the outcome, and answers. Jobs of requests that follow each other may be begun together: they are taken in the same
 * order, and the connection is resumed when the first one has ended.
 *
 * While a job is under way both the other thread and the session hold it. If the connection closes first, the session
 * abandons the job; whoever finds that the other has let go already frees it. On the session's worker, but for
 * cmd_job_end.
 */
#ifndef TAGCACHED_CMD_CMD_JOB_H
#define TAGCACHED_CMD_CMD_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "net/worker.h"

struct session;

struct cmd_job {
    struct net_worker *net;
    struct net_post post;
    struct session *session; /* who waits for it; NULL: the connection is gone */
    struct cmd_job *next;    /* the session's next one, or NULL */
    void (*free)(struct cmd_job *job);
    uint32_t state; /* atomic; cmd_job.c */
    bool delivered; /* the worker knows that it has ended */
};

/* Prepares a job of the session; `free` frees it and what it is part of, on any thread. */
void cmd_job_init(struct cmd_job *job, struct session *s, void (*free)(struct cmd_job *job));
/* Makes it the session's last one: a request waits for it. The other thread may have got it before, and even have ended
 * it. */
void cmd_job_begin(struct session *s, struct cmd_job *job);
/* Whether the session's first job is still under way. */
bool cmd_job_waits(const struct session *s);
/* A request of the session's is to be run again: its connection waits for the first job, if that is still under way,
 * else until there is room in the store. */
void cmd_job_pause(struct session *s);
/* How many jobs the session has: the first so many requests of its input wait. */
unsigned cmd_job_count(const struct session *s);
/* The session's first job, which has ended, or NULL when it has none. It is the caller's from here on. */
struct cmd_job *cmd_job_take(struct session *s);
/* The connection closes: lets go of the session's jobs. */
void cmd_job_abandon(struct session *s);

/* Ends a job; the outcome is in it. Any thread, once. */
void cmd_job_end(struct cmd_job *job);

#endif
