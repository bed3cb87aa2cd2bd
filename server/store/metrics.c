/* SPDX-License-Identifier: BSD-3-Clause
 *
 * metrics - the counters of all handles added up, and the gauges. Any thread. */
#include <string.h>

#include "base/sync.h"
#include "store/ghost.h"
#include "store/handle.h"
#include "store/index.h"
#include "store/purge.h"
#include "store/seconds.h"
#include "store/segment.h"
#include "store/state.h"
#include "store/store.h"

uint64_t store_metric(const struct store *s, enum store_metric m) {
    uint64_t n = 0;
    for (unsigned i = 0; i < s->nhandles; i++) n += sync_load(&s->handles[i].metrics[m]);
    return n - sync_load(&s->reset[m]);
}

void store_metrics_reset(struct store *s) {
    for (unsigned m = 0; m < STORE_METRICS; m++) {
        /* The items and bytes held are differences of these: they are not reset. */
        if (m <= STORE_METRIC_bytes_removed) continue;
        sync_store(&s->reset[m], store_metric(s, m) + sync_load(&s->reset[m]));
    }
}

void store_gauges(const struct store *s, struct store_gauges *g) {
    memset(g, 0, sizeof *g);
    const struct segments *segs = &s->segs;
    g->items = store_items(s);
    g->bytes = store_metric(s, STORE_METRIC_bytes_added) - store_metric(s, STORE_METRIC_bytes_removed);
    g->limit_bytes = sync_load(&s->limit);
    g->segment_bytes = segs->bytes;
    g->segments = sync_load(&segs->exist);
    g->segments_free = segment_available(segs);
    g->segments_small = sync_load(&segs->queues[SEGMENT_SMALL].count);
    g->segments_main = sync_load(&segs->queues[SEGMENT_MAIN].count);
    g->segments_pinned = sync_load(&s->pinned);
    g->index_bytes = index_bytes(&s->ix);
    g->index_groups = sync_load(&s->ix.groups);
    g->index_depth = 63 - (unsigned)__builtin_clzll(g->index_groups);
    g->ghost_bytes = ghost_bytes(&s->ghost);
    g->purge_bytes = sync_load(&s->purge.touched);
    g->purge_entries = sync_load(&s->purge.entries);
    g->purge_capacity = purge_capacity(&s->purge);
    g->purge_unswept = sync_load(&s->purge.unswept[0]) + sync_load(&s->purge.unswept[1]);
    g->purge_floors = sync_load(&s->purge.floors);
    g->number = store_number(s);
    g->purge_number = sync_load(&s->purge.seq);
    uint32_t now = seconds_now(s), oldest = now;
    for (uint32_t i = 0, n = sync_load(&segs->touched); i < n; i++) {
        uint32_t opened = sync_load(&segs->seg[i].opened);
        if (sync_load(&segs->seg[i].state) == SEGMENT_SEALED && opened < oldest) oldest = opened;
    }
    g->oldest_age_s = now - oldest;
    g->uploads = sync_load(&s->uploads);
    g->growing = g->items * 100 > g->index_groups * INDEX_GROUP_SLOTS * 100;
}
