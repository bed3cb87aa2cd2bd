/* SPDX-License-Identifier: BSD-3-Clause
 *
 * rand - random numbers as instances, so that a test that is given a seed runs the same way every time.
 */
#ifndef TAGCACHED_BASE_RAND_H
#define TAGCACHED_BASE_RAND_H

#include <stdint.h>

/* A generator; one thread at a time. Not for secrets. */
struct rand {
    uint64_t s[4];
};

/* 64 bits nobody can guess, from the kernel. Any thread; blocks only before the kernel's pool is first seeded. */
uint64_t rand_secret(void);
/* Begins a sequence; equal seeds give equal sequences. */
void rand_init(struct rand *r, uint64_t seed);
/* The next 64 bits. */
uint64_t rand_next(struct rand *r);
/* An even choice of 0..n-1; n is at least 1. */
uint64_t rand_below(struct rand *r, uint64_t n);

#endif
