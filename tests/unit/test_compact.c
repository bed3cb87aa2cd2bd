/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What compaction moves, and that it comes to an end: one thread, compaction called by the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/rand.h"
#include "slow.h"
#include "store/account.h"
#include "store/compact.h"
#include "store/item.h"
#include "store/retire.h"
#include "store/segment.h"
#include "store_lab.h"

#define ITEM_MOST 7000000
#define KEY_MOST 250
#define ENDLESS 1000 /* segments that compaction gave up, of a hundred or two that there are */

/* A load that stores values of one kind, to three quarters of the memory, and leaves some of each segment dead. */
struct kind {
    uint64_t limit;   /* of the memory */
    uint32_t bytes;   /* of a value */
    unsigned tags;    /* of an item; one with tags has a long key, too */
    unsigned percent; /* of the items are deleted */
};

/* What compaction has left. */
struct outcome {
    unsigned segments; /* that it gave up; ENDLESS: it found no end */
    uint64_t dead;     /* bytes of records and pieces in the segments that there are */
};

static size_t nth_key(const struct kind *k, unsigned n, char key[KEY_MOST + 1]) {
    return (size_t)snprintf(key, KEY_MOST + 1, "%0*u", k->tags ? KEY_MOST : 6, n);
}

static void set_nth(struct lab *l, const struct kind *k, unsigned n) {
    static char value[ITEM_MOST + 1];
    uint64_t tags[STORE_TAGS_MAX];
    char key[KEY_MOST + 1];
    struct store_put p = {.value = value, .size = k->bytes, .tags = tags, .ntags = (uint8_t)k->tags};
    assert_true(k->bytes < sizeof value);
    for (unsigned i = 0; i < k->tags; i++) tags[i] = (uint64_t)n * STORE_TAGS_MAX + i;
    p.key = store_key(l->s, key, nth_key(k, n, key));
    if (k->bytes > store_inline_max(l->s)) p.upload = lab_upload(l, 0, value, k->bytes);
    while (lab_put(l, 0, &p) == STORE_AGAIN) store_maintain(l->s);
}

static void store_and_delete(struct lab *l, const struct kind *k) {
    struct rand r;
    char key[KEY_MOST + 1];
    unsigned n = 0;
    rand_init(&r, k->bytes + k->percent);
    for (uint64_t stored = 0; stored < k->limit * 3 / 4; n++) {
        set_nth(l, k, n);
        stored += k->bytes + KEY_MOST + 8 * k->tags;
    }
    for (unsigned i = 0; i < n; i++) {
        nth_key(k, i, key);
        if (rand_below(&r, 100) < k->percent) lab_delete(l, 0, key);
    }
}

static struct outcome compact_all(struct kind k, bool (*broken)(const char *rule)) {
    struct lab l;
    struct outcome o = {0, 0};
    lab_open(&l, k.limit, 0);
    store_and_delete(&l, &k);
    fault_hook = broken;
    for (unsigned vain = 0; vain < 3 && o.segments < ENDLESS;) { /* a call need not look at all segments */
        epoch_advance(&l.s->epoch);
        const bool any = compact_one(l.s);
        o.segments += any;
        vain = any ? 0 : vain + 1;
        retire_reap(l.s);
    }
    fault_hook = NULL;
    for (uint32_t i = 0; i < l.s->segs.touched; i++)
        if (l.s->segs.seg[i].state == SEGMENT_SEALED) o.dead += account_dead_bytes(l.s, i);
    lab_close(&l);
    return o;
}

/* Nobody waits for a store in these tests, so all is allowed. */
static bool none(const char *rule) {
    return strcmp(rule, "allowance.mutate.none") == 0;
}
static bool count_all(const char *rule) {
    return strcmp(rule, "compact.mutate.count_all") == 0 || none(rule);
}
static bool piece_without_head(const char *rule) {
    return strcmp(rule, "compact.mutate.piece_without_head") == 0 || none(rule);
}
static bool both(const char *rule) {
    return count_all(rule) || piece_without_head(rule);
}

/* Of loads of values of all sizes, those for which compaction finds no end. */
static unsigned endless(bool (*broken)(const char *rule)) {
    unsigned n = 0;
    for (uint32_t bytes = 1000; bytes < 40000; bytes += bytes < 8000 ? 3500 : TEST_SLOW ? 4100 : 820)
        for (unsigned percent = 30; percent <= 50; percent += 20)
            for (unsigned tags = 0; tags <= STORE_TAGS_MAX; tags += STORE_TAGS_MAX)
                n += compact_all((struct kind){3u << 20, bytes, tags, percent}, broken).segments == ENDLESS;
    return n;
}

/* No segment is given up again and again for what it leaves in the next one, although nobody stores or deletes. */
static void test_compaction_ends(void **state) {
    (void)state;
    assert_int_equal(endless(none), 0);
    if (!TEST_SLOW) assert_true(endless(both) > 0);
}

/* Of large values with long lists of pieces every piece that moves leaves a record of some KiB dead. */
static void test_compaction_of_large_records_ends(void **state) {
    (void)state;
    const struct kind k = {24u << 20, ITEM_MOST, STORE_TAGS_MAX, 50};
    assert_in_range(compact_all(k, none).segments, 1, 10);
    assert_int_equal(compact_all(k, count_all).segments, ENDLESS);
}

/* A piece whose record does not fit behind it is not copied; else dead copies of pieces are left. Of this size, many.
 */
static void test_a_piece_moves_with_its_record(void **state) {
    (void)state;
    for (unsigned percent = 20; percent < 80; percent += 10) {
        const struct kind k = {3u << 20, 24360, 0, percent};
        const struct outcome o = compact_all(k, none), without = compact_all(k, piece_without_head);
        assert_true(o.segments > 10 && without.dead >= o.dead + 8000);
    }
}

/* The memory is full of values of which one in four is deleted. Compacting gains little, since three of them with their
 * records fill a segment. The most that is copied, in segments, before one store has its place. */
static unsigned most_copied(const char *mutation) {
    const struct kind k = {64u << 20, 8193, STORE_TAGS_MAX, 0};
    struct lab l;
    char key[KEY_MOST + 1];
    unsigned n = 0;
    uint64_t most = 0;
    lab_open(&l, k.limit, 0);
    lab_mutate(mutation);
    while (store_metric(l.s, STORE_METRIC_segments_evicted) == 0) set_nth(&l, &k, n++);
    for (unsigned i = 0; i < n; i += 4) {
        nth_key(&k, i, key);
        lab_delete(&l, 0, key);
    }
    for (unsigned i = 0; i < 100; i++) {
        const uint64_t before = store_metric(l.s, STORE_METRIC_copied_bytes);
        set_nth(&l, &k, n++);
        const uint64_t copied = store_metric(l.s, STORE_METRIC_copied_bytes) - before;
        if (copied > most) most = copied;
    }
    most /= l.s->segs.bytes;
    lab_close(&l);
    return (unsigned)most;
}

static void test_a_store_waits_for_a_few_segments_of_copies(void **state) {
    (void)state;
    assert_in_range(most_copied(NULL), 8, 16);
    assert_in_range(most_copied("allowance.mutate.none"), 40, 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_store_waits_for_a_few_segments_of_copies),
        cmocka_unit_test(test_compaction_ends),
        cmocka_unit_test(test_compaction_of_large_records_ends),
        cmocka_unit_test(test_a_piece_moves_with_its_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
