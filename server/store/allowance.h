/* SPDX-License-Identifier: BSD-3-Clause
 *
 * allowance - how many bytes may be copied to make room while stores wait for it: for each segment that stores take
 * those of ALLOWED_EACH, and those of ALLOWED_MOST in a row. So how long a store waits does not grow with the memory.
 * Eviction and compaction have one each. Maintenance thread only.
 */
#ifndef TAGCACHED_STORE_ALLOWANCE_H
#define TAGCACHED_STORE_ALLOWANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "store/maintenance.h"

struct store;

#define ALLOWED_EACH 8
#define ALLOWED_MOST 16

/* Adds what the segments are worth that stores have taken since the last call. */
void allowance_earn(const struct store *s, struct allowance *a);
/* Whether so many bytes may be copied. While the limit is far below what exists, any number: that makes segments go,
 * and no store takes them. */
bool allowance_has(const struct store *s, const struct allowance *a, uint64_t bytes);
/* So many bytes were copied. */
void allowance_spend(struct allowance *a, uint64_t bytes);

#endif
