/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What is remembered of purges for `explain`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "cluster/purging.h"
#include "cmd/cmd_purge_known.h"

static void expect_id(struct cmd_purge_known *k, uint64_t number, uint64_t tag, const char *want) {
    char id[CMD_PURGE_KNOWN_ID_MAX];
    cmd_purge_known_id(k, &(struct store_cause){number, tag}, id);
    assert_string_equal(id, want);
}

static void expect_tag(struct cmd_purge_known *k, const char *tag, const char *want) {
    char name[CMD_PURGE_KNOWN_TAG_MAX + 1];
    cmd_purge_known_tag(k, hash_tag(tag, strlen(tag)), name);
    assert_string_equal(name, want);
}

/* Of a batch each selector keeps the name of its own purge. */
static void test_ids(void **state) {
    (void)state;
    struct cmd_purge_known *k = cmd_purge_known_new();
    const uint64_t a = 11, b = 12, both[2] = {a, b};
    const struct purge_selector selectors[] = {{1, &a}, {1, &b}, {2, both}};
    const struct purging_source sources[] = {{{7, 70}, 4, 88419}, {{7, 71}, 4, 88420}, {{9, 5}, 4, 88421}};
    struct purging_batch batch = {.selectors = selectors, .sources = sources, .nselectors = 3};
    expect_id(k, 0, 0, "-");
    expect_id(k, 100, a, "100");
    cmd_purge_known_batch(k, 100, &batch);
    expect_id(k, 100, a, "4-88419");
    expect_id(k, 100, b, "4-88420");
    expect_id(k, 100, 0, "4-88421");
    expect_id(k, 101, a, "101");
    /* Two that stand for no single tag: which one it was is not known. */
    const struct purge_selector all[] = {{0, NULL}, {2, both}};
    batch = (struct purging_batch){.selectors = all, .sources = sources, .nselectors = 2};
    cmd_purge_known_batch(k, 102, &batch);
    expect_id(k, 102, 0, "102");
    /* One that no voter has numbered yet. */
    const struct purging_source alone = {{7, 72}, 0, 0};
    batch = (struct purging_batch){.selectors = selectors, .sources = &alone, .nselectors = 1};
    cmd_purge_known_batch(k, 103, &batch);
    expect_id(k, 103, a, "v7-72");
    for (unsigned i = 0; i < CMD_PURGE_KNOWN_EVENTS; i++) cmd_purge_known_batch(k, 1000 + i, &batch);
    expect_id(k, 103, a, "103"); /* forgotten */
    expect_id(k, 1000, a, "v7-72");
    cmd_purge_known_free(k);
}

static void test_tags(void **state) {
    (void)state;
    struct cmd_purge_known *k = cmd_purge_known_new();
    char longest[CMD_PURGE_KNOWN_TAG_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    expect_tag(k, "shop", "-");
    cmd_purge_known_text(k, "shop,user:7+de more", 19);
    expect_tag(k, "shop", "shop");
    expect_tag(k, "user:7", "user:7");
    expect_tag(k, "de", "de");
    expect_tag(k, "more", "more");
    cmd_purge_known_text(k, longest, CMD_PURGE_KNOWN_TAG_MAX + 1);
    expect_tag(k, longest, "-");
    longest[CMD_PURGE_KNOWN_TAG_MAX] = '\0';
    cmd_purge_known_text(k, longest, CMD_PURGE_KNOWN_TAG_MAX);
    expect_tag(k, longest, longest);
    char name[CMD_PURGE_KNOWN_TAG_MAX + 1];
    cmd_purge_known_tag(k, 0, name);
    assert_string_equal(name, "-");
    cmd_purge_known_free(k);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_tags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
