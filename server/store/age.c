/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/age.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/fault.h"
#include "base/pages.h"

#define LEVELS_BYTES (AGE_LEVELS * sizeof(struct age_level))

/* A level takes the first sample of each of its intervals. */
static void add(struct age_level *l, unsigned shift, uint32_t now, uint64_t version) {
    const uint64_t n = sync_load(&l->count);
    if (n > 0 && sync_load(&l->second[(n - 1) % AGE_SAMPLES]) >> shift == now >> shift) return;
    /* Released: whoever sees them sees the count of before, too. */
    sync_store_rel(&l->second[n % AGE_SAMPLES], now);
    sync_store_rel(&l->version[n % AGE_SAMPLES], version);
    sync_store_rel(&l->count, n + 1);
}

int age_init(struct ages *a, uint32_t now, uint64_t version) {
    memset(a, 0, sizeof *a);
    a->levels = pages_new(LEVELS_BYTES);
    if (a->levels == NULL) return -ENOMEM;
    add(&a->levels[0], 0, now, version);
    a->latest = now;
    return 0;
}

void age_fini(struct ages *a) {
    if (a->levels) pages_free(a->levels, LEVELS_BYTES);
    a->levels = NULL;
}

/* Whether level k is in use; it begins with what the one below has, which is about to lose its first sample. Levels
 * that are not in use cost no memory. */
static bool begun(struct ages *a, unsigned k) {
    struct age_level *l = &a->levels[k];
    if (k == 0 || l->count > 0) return true;
    const struct age_level *below = l - 1;
    if (below->count < AGE_SAMPLES - 1) return false;
    for (unsigned i = 0; i < AGE_SAMPLES - 1; i++) add(l, k, below->second[i], below->version[i]);
    return true;
}

void age_note(struct ages *a, uint32_t now, const uint64_t *counter) {
    if (sync_load_acq(&a->latest) >= now) return;
    sync_spin_lock(&a->lock);
    if (a->latest < now) {
        const uint64_t version = sync_load_acq(counter);
        for (unsigned k = 0; k < AGE_LEVELS && begun(a, k); k++) add(&a->levels[k], k, now, version);
        sync_store_rel(&a->latest, now);
    }
    sync_spin_unlock(&a->lock);
}

/* The second of the latest sample that is not above the version. False: the level does not reach back so far. */
static bool find(const struct age_level *l, uint64_t version, uint32_t *second) {
    for (;;) {
        /* One sample less than there are places: the next one may be being written. */
        const uint64_t end = sync_load_acq(&l->count), begin = end < AGE_SAMPLES ? 0 : end - AGE_SAMPLES + 1;
        const bool reaches = end > 0 && sync_load_acq(&l->version[begin % AGE_SAMPLES]) <= version;
        (void)FAULT_POINT("age.looks");
        uint64_t lo = begin, hi = end; /* the sample is in [lo, hi) */
        while (hi - lo > 1) {
            const uint64_t mid = lo + (hi - lo) / 2;
            if (sync_load_acq(&l->version[mid % AGE_SAMPLES]) <= version)
                lo = mid;
            else
                hi = mid;
        }
        *second = sync_load_acq(&l->second[lo % AGE_SAMPLES]);
        /* Unless one of the samples was written over meanwhile. */
        if (sync_load_acq(&l->count) - begin < AGE_SAMPLES || FAULT_POINT("age.mutate.unchecked")) return reaches;
    }
}

uint32_t age_second(const struct ages *a, uint64_t version) {
    uint32_t second = 0;
    for (unsigned k = 0; k < AGE_LEVELS; k++) {
        if (!find(&a->levels[k], version, &second)) continue;
        if (k == 0) return second;
        /* Somewhere from there to the end of its interval: the middle is wrong by half of it at most. */
        const uint32_t middle = second >> k << k | 1u << (k - 1);
        return middle > second ? middle : second;
    }
    return second;
}
