/* SPDX-License-Identifier: BSD-3-Clause
 *
 * line - the pool of overflow lines. The lowest free one is taken first; so when there were many once, the high ones
 * empty as groups are packed, and their pages go back. */
#include <sys/mman.h>

#include "base/sync.h"
#include "store/index.h"

#define LINES_PAGE (4096 / sizeof(struct index_line)) /* as many as one word of the set's lowest level */
#define TRIM_PAGES 64                                 /* of one step */
#define SPARE 1024                                    /* free lines that are not worth moving others for */

_Static_assert(LINES_PAGE == 64, "a page of lines is one word of the set");

uint32_t index_line_take(struct index *ix) {
    sync_spin_lock(&ix->pool);
    uint32_t n = lowest_first(&ix->free_lines);
    if (n != LOWEST_NONE) {
        lowest_remove(&ix->free_lines, n);
        sync_bump(&ix->lines_free, (uint64_t)-1);
    } else if (ix->line_limit <= ix->max_lines) {
        n = (uint32_t)ix->line_limit;
        sync_store(&ix->line_limit, ix->line_limit + 1);
    } else {
        n = 0;
    }
    sync_spin_unlock(&ix->pool);
    if (n) sync_store_rel(&ix->lines[n].word, 0);
    return n;
}

void index_line_give(struct index *ix, uint32_t n) {
    sync_spin_lock(&ix->pool);
    lowest_add(&ix->free_lines, n);
    sync_bump(&ix->lines_free, 1);
    sync_spin_unlock(&ix->pool);
}

uint32_t index_line_high(struct index *ix) {
    /* Read at two moments: an estimate, which is enough here. */
    uint64_t unused = sync_load(&ix->lines_free), limit = sync_load(&ix->line_limit);
    uint64_t used = limit > unused ? limit - unused : 0;
    return limit > used + used / 4 + SPARE ? (uint32_t)(used + used / 8 + SPARE / 2) : UINT32_MAX;
}

/* Takes the lines of the highest pages, up to TRIM_PAGES, out of the set as long as all of a page are free. Pool
 * locked. Returns the first of them. */
static uint32_t withdraw(struct index *ix) {
    uint32_t end = (uint32_t)ix->line_limit;
    for (unsigned k = 0; k < TRIM_PAGES && end > LINES_PAGE; k++) {
        uint32_t page = (end - 1) / LINES_PAGE * LINES_PAGE;
        if (ix->free_lines.level[0][page / LINES_PAGE] != UINT64_MAX >> (64 - (end - page))) break;
        while (end > page) lowest_remove(&ix->free_lines, --end);
    }
    return end;
}

bool index_trim(struct index *ix) {
    if (sync_load(&ix->lines_free) < SPARE) return false;
    sync_spin_lock(&ix->pool);
    uint32_t limit = (uint32_t)ix->line_limit, first = withdraw(ix);
    sync_spin_unlock(&ix->pool);
    if (first == limit) return false;
    /* Nobody can take these now; late readers of a chain find zeros there, which end it. The page that the limit itself
     * lies in stays, since the next line may be taken. */
    uint32_t whole = limit / LINES_PAGE * LINES_PAGE;
    if (first < whole) madvise(&ix->lines[first], (whole - first) * sizeof *ix->lines, MADV_DONTNEED);
    sync_spin_lock(&ix->pool);
    bool grown = ix->line_limit != limit; /* somebody took one from above meanwhile: all stays as it was */
    if (grown) {
        for (uint32_t n = first; n < limit; n++) lowest_add(&ix->free_lines, n);
    } else {
        sync_bump(&ix->lines_free, (uint64_t)first - limit);
        sync_store(&ix->line_limit, first);
    }
    sync_spin_unlock(&ix->pool);
    return !grown && limit - first >= TRIM_PAGES * LINES_PAGE;
}
