/* SPDX-License-Identifier: BSD-3-Clause
 *
 * late - when somebody had to wait, and how much of that the machine itself did: it also kept a probe of the highest
 * priority waiting meanwhile.
 *
 * One writer each; looked at after it has stopped.
 */
#ifndef TAGCACHED_BENCH_LATE_H
#define TAGCACHED_BENCH_LATE_H

#include <stddef.h>
#include <stdint.h>

/* Waits, in the order in which they ended. Zeroed: none. */
struct late {
    struct late_wait {
        uint64_t from_ns, to_ns;
    } * wait;
    size_t n, cap;
    uint64_t lost; /* not kept for want of memory */
};

/* Notes a wait. */
void late_add(struct late *l, uint64_t from_ns, uint64_t to_ns);
/* The same; one that overlaps the wait before joins it. For waits that begin in order. */
void late_join(struct late *l, uint64_t from_ns, uint64_t to_ns);
/* Of one wait, what was not during any of the machine's, which late_join has noted. */
uint64_t late_own(const struct late_wait *w, const struct late *machine);
void late_free(struct late *l);

#endif
