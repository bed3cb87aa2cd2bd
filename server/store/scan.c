/* SPDX-License-Identifier: BSD-3-Clause
 *
 * scan - showing the items of a store that are to move to another node, step by step, those with many hits first.
 *
 * The groups are visited as a walk does (walk.h). How often an item was hit stands in its slot, so a pass that wants
 * the popular ones reads no record of the others. The keys are copied, for the filter reads beyond their ends, and
 * tested sixteen at a time. Within a bucket the items are shown by ascending hash, so that a scan that was stopped goes
 * on where it was whatever has happened to the bucket since. */
#include <string.h>

#include "base/hash.h"
#include "base/md5.h"
#include "base/sync.h"
#include "store/handle.h"
#include "store/index.h"
#include "store/item.h"
#include "store/record.h"
#include "store/segment.h"
#include "store/state.h"
#include "store/store.h"
#include "store/walk.h"

#define KEYS 16 /* tested at once */
#define KEY_ROOM (STORE_KEY_MAX + MD5_READS)

struct candidate {
    struct store_moving m;
    struct store_cursor at; /* the group that it was found in, and what the walk knew then */
    uint64_t hash;
    unsigned bucket;
};

struct scanning {
    struct store_worker *w;
    struct store_scan *scan;
    const struct store_scanner *how;
    unsigned tested, n;
    struct candidate found[KEYS];
    char keys[KEYS][KEY_ROOM];
};

/* Tests the candidates and shows those that are wanted. False: stopped, and the scan goes on with that one. */
static bool flush(struct scanning *s) {
    const char *key[KEYS];
    uint32_t len[KEYS];
    uint64_t version[KEYS];
    bool wanted[KEYS];
    for (unsigned i = 0; i < s->n; i++) {
        key[i] = s->keys[i];
        len[i] = s->found[i].m.it.key_len;
        version[i] = s->found[i].m.it.version;
    }
    if (s->n > 0) s->how->filter(s->how->arg, key, len, version, s->n, wanted);
    for (unsigned i = 0; i < s->n; i++) {
        const struct candidate *f = &s->found[i];
        if (!wanted[i] || s->how->fn(s->how->arg, &f->m, f->hash)) continue;
        s->scan->at = f->at;
        s->scan->group = f->at.group;
        s->scan->bucket = f->bucket;
        s->scan->hash = f->hash;
        return false;
    }
    s->tested += s->n;
    s->n = 0;
    return true;
}

struct sighting {
    uint64_t loc, hash;
};

/* The items of a bucket that have the hits, and whose hash is not below `from`, by ascending hash. */
static unsigned sight(const struct scanning *s, unsigned bucket, uint64_t from, struct sighting *out) {
    struct store *st = s->w->s;
    uint64_t slots[INDEX_SLOTS + INDEX_OVERFLOW_MAX];
    const unsigned n = index_collect_locked(&st->ix, s->scan->at.group, bucket, slots);
    unsigned m = 0;
    for (unsigned k = 0; k < n; k++) {
        if (index_slot_freq(slots[k]) < s->how->min_freq) continue;
        const uint64_t loc = index_slot_loc(slots[k]);
        const uint8_t *p = segment_at(&st->segs, loc);
        uint8_t header[32];
        item_copy_header(header, p);
        const uint64_t hash = hash_key(p + item_key_at(header), header[6], st->cfg.seed);
        if (hash < from) continue;
        unsigned at = m++;
        for (; at > 0 && out[at - 1].hash > hash; at--) out[at] = out[at - 1];
        out[at] = (struct sighting){loc, hash};
    }
    return m;
}

/* Adds the item at loc to the candidates, if it is one that moves. */
static bool take(struct scanning *s, unsigned bucket, const struct sighting *at) {
    uint8_t header[32], *p = segment_at(&s->w->s->segs, at->loc);
    struct candidate *f = &s->found[s->n];
    struct store_item it;
    item_copy_header(header, p);
    record_show(header, p, at->loc, &it);
    if (!store_moving(s->w, &it, &f->m)) return true;
    f->at = s->scan->at;
    f->bucket = bucket;
    f->hash = at->hash;
    memcpy(s->keys[s->n++], it.key, it.key_len);
    return s->n < KEYS || flush(s);
}

static bool scan_group(struct scanning *s) {
    struct sighting seen[INDEX_SLOTS + INDEX_OVERFLOW_MAX];
    const bool within = s->scan->group == s->scan->at.group; /* stopped in it; else it may be gone by now */
    const unsigned first = within ? s->scan->bucket : 0;
    const uint64_t from = within ? s->scan->hash : 0;
    for (unsigned i = first; i < INDEX_BUCKETS; i++) {
        const unsigned n = sight(s, i, i == first ? from : 0, seen);
        for (unsigned k = 0; k < n; k++)
            if (!take(s, i, &seen[k])) return false;
    }
    return true;
}

void store_scan(struct store_worker *w, struct store_scan *scan, unsigned max, const struct store_scanner *how) {
    const struct index *ix = &w->s->ix;
    struct scanning s; /* mostly scratch: not zeroed */
    s.w = w;
    s.scan = scan;
    s.how = how;
    s.tested = s.n = 0;
    for (unsigned groups = 0; groups < WALK_GROUPS && s.tested < max; groups++) {
        if (!walk_here(ix, &scan->at)) break;
        if (!scan_group(&s)) return;
        walk_on(ix, &scan->at);
        scan->bucket = 0;
        scan->hash = 0;
    }
    (void)flush(&s);
}
