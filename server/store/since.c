/* SPDX-License-Identifier: BSD-3-Clause
 *
 * since - purges that concern what is not in the store: a copy that lies elsewhere. */
#include <string.h>

#include "base/check.h"
#include "base/sync.h"
#include "store/handle.h"
#include "store/purge.h"
#include "store/state.h"
#include "store/tag.h"

bool store_purged_since(struct store_worker *w, const struct store_key *k, const uint64_t *tags, unsigned ntags,
                        uint64_t number) {
    uint64_t all[TAG_ALL_MAX];
    if (likely(number >= sync_load_acq(&w->s->purge.seq))) return false;
    memcpy(all, tags, ntags * sizeof *tags);
    const unsigned n = tag_prefixes(w->s, k->p, (unsigned)k->len, all, ntags);
    return purge_overtook(&w->s->purge, number, all, n, NULL, 0);
}
