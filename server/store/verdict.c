/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/verdict.h"

#include "base/fault.h"
#include "store/purge.h"
#include "store/tag.h"

static enum verdict from_purge(enum purge_verdict v) {
    return v == PURGE_FRESH ? VERDICT_LIVE : v == PURGE_SOFT ? VERDICT_SOFT : VERDICT_PURGED;
}

enum verdict verdict_slow(struct store_worker *w, const struct item *it, uint32_t *deadline) {
    const struct purge_table *t = &w->s->purge;
    enum purge_verdict v;
    if (it->ntags == 0 && w->s->cfg.prefix_delimiter == 0) {
        v = purge_check_untagged(t, it->version, w->now, deadline);
    } else {
        uint64_t tags[TAG_ALL_MAX];
        unsigned n = tag_all(w->s, it, tags);
        COUNT(w, tag_lookups, n);
        v = purge_unknown(t, it->version, (const uint8_t *)tags, n)
                ? PURGE_FRESH
                : purge_check(t, it->version, tags, n, w->now, deadline);
    }
    return from_purge(v);
}

enum verdict verdict_for_reader(struct store_worker *w, const struct item *it, const uint64_t *read, unsigned nread,
                                uint32_t *deadline) {
    uint64_t tags[TAG_READ_MAX];
    const bool moved = item_moved(it) && !FAULT_POINT("verdict.mutate.moved_unseen");
    if (it->version > sync_load_acq(&w->s->purge.seq) && !moved) return VERDICT_LIVE;
    const unsigned nown = tag_all(w->s, it, tags), n = tag_unite(tags, nown, read, nread);
    COUNT(w, tag_lookups, n);
    const uint64_t others = moved ? 0 : it->version;
    return from_purge(purge_check_read(&w->s->purge, it->version, others, tags, nown, n, w->now, deadline));
}
