/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/wake.h"

#include "base/sync.h"
#include "store/segment.h"
#include "store/state.h"

void wake_maintenance(struct store *s) {
    sync_store_seq(&s->thread.woken, true);
    if (!sync_load_seq(&s->thread.sleeping)) return;
    pthread_mutex_lock(&s->thread.mutex);
    pthread_cond_signal(&s->thread.wake);
    pthread_mutex_unlock(&s->thread.mutex);
}

bool wake_for_segments(struct store *s, uint32_t segments) {
    uint32_t seen = sync_load(&s->segments_wanted), most = sync_load(&s->segs.limit) / 2;
    if (segments > most) segments = most;
    if (segment_available(&s->segs) >= segments) return true;
    while (seen < segments && !sync_cas(&s->segments_wanted, &seen, segments)) {}
    wake_maintenance(s);
    return false;
}

void wake_waiting(struct store *s) {
    if (s->cfg.events.on_room) s->cfg.events.on_room(s->cfg.events.arg);
}
