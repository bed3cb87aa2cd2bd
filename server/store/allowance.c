/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/allowance.h"

#include "base/fault.h"
#include "base/sync.h"
#include "store/segment.h"
#include "store/state.h"

void allowance_earn(const struct store *s, struct allowance *a) {
    const uint64_t most = (uint64_t)ALLOWED_MOST * s->segs.bytes;
    const uint32_t given = sync_load(&s->segs.given);
    a->bytes += (uint64_t)(given - a->given) * ALLOWED_EACH * s->segs.bytes;
    a->given = given;
    if (a->bytes > most) a->bytes = most;
}

static bool shrinking(const struct store *s) {
    return sync_load(&s->segs.exist) > sync_load(&s->segs.limit) + ALLOWED_MOST &&
           !FAULT_POINT("allowance.mutate.shrink_as_usual");
}

bool allowance_has(const struct store *s, const struct allowance *a, uint64_t bytes) {
    return a->bytes >= bytes || shrinking(s) || FAULT_POINT("allowance.mutate.none");
}

void allowance_spend(struct allowance *a, uint64_t bytes) {
    a->bytes -= a->bytes < bytes ? a->bytes : bytes;
}
