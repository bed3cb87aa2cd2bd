/* SPDX-License-Identifier: BSD-3-Clause
 *
 * purging - the jobs of purges that a pass of the sweeper has to carry out before they end.
 */
#ifndef TAGCACHED_STORE_PURGING_H
#define TAGCACHED_STORE_PURGING_H

#include <stdint.h>

struct store;

struct store_job {
    struct store_job *next;
    uint64_t version; /* the purge's; 0: it is about to get one, and selects nothing until then */
    int64_t removed;
    void *token;
    unsigned nselectors;
    uint64_t words[]; /* of each selector: how many tags (0: everything), and they */
};

/* Tells the ends of jobs, of which nobody else knows any more, and frees them. Maintenance thread, or at the end. */
void purging_end_jobs(struct store *s, struct store_job *first);

#endif
