/* SPDX-License-Identifier: BSD-3-Clause
 *
 * job - a purge that a pass of the sweeper has to carry out before it ends: because it is counted, or because the purge
 * table cannot file it. It is listed, taken by a pass, counts the items that it matches, and ends with that pass.
 */
#ifndef TAGCACHED_STORE_JOB_H
#define TAGCACHED_STORE_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "store/item.h"
#include "store/store.h"

struct store_job {
    struct store_job *next;
    uint64_t version; /* the purge's; 0: it is about to get one, and selects nothing until then */
    int64_t removed;  /* items that it took out, and */
    uint64_t bytes;   /* their bytes */
    void *token;
    unsigned nselectors;
    uint64_t words[]; /* of each selector: how many tags (0: everything), and they */
};

/* Makes one, which free() frees until it is listed. NULL: no memory. */
struct store_job *job_new(const struct store_purge *p);
/* Lists it for the next pass that begins after it has a version. Any thread. */
void job_list(struct store *s, struct store_job *job);

/* Takes the listed jobs that a pass up to this version carries out; the others are left for the next one. Maintenance
 * thread, as all below. */
struct store_job *job_take(struct store *s, uint64_t version);
/* The job of the pass under way that asks for this item's end, or NULL. */
struct store_job *job_of(struct store *s, const struct item *it);
/* Counts an item for a job: it is taken out because of it. Maintenance thread, or the jobs' lock held. */
void job_add(struct store_job *j, const struct item *it);
/* Whether the pass under way is to take this item out; counts it. Bucket locked: the caller does it now. */
bool job_wants(struct store *s, const struct item *it);
/* An item that a purge has killed is taken out: it counts for the job of that purge if one waits for its own pass. */
void job_count(struct store *s, const struct item *it);
/* Tells the ends of jobs, of which nobody else knows any more, and frees them. Also whoever frees the store. */
void job_end(struct store *s, struct store_job *first);

#endif
