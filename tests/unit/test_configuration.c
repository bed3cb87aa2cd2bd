/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The configuration as a value: copies are copies, members are found, a majority counts vacant seats. */
#include "cluster/configuration.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void add(struct configuration *c, uint32_t number, uint8_t id, const char *name,
                enum configuration_state state) {
    struct configuration_member m = {.number = number, .id = {{id}}, .state = state};
    snprintf(m.name, sizeof m.name, "%s", name);
    assert_int_equal(configuration_add(c, &m), 0);
}

static void test_members_are_found(void **state) {
    (void)state;
    struct configuration c = {0};
    add(&c, 3, 1, "a:1", CONFIGURATION_EJECTED);
    add(&c, 7, 2, "b:1", CONFIGURATION_SERVING);
    add(&c, 9, 3, "a:1", CONFIGURATION_JOINING);
    assert_int_equal(configuration_by_number(&c, 7)->id.bytes[0], 2);
    assert_null(configuration_by_number(&c, 8));
    assert_null(configuration_by_number(&c, 10));
    assert_int_equal(configuration_by_id(&c, &(struct cluster_id){{2}})->number, 7);
    assert_null(configuration_by_id(&c, &(struct cluster_id){{4}}));
    assert_int_equal(configuration_by_name(&c, "a:1")->number, 9);
    assert_null(configuration_by_name(&c, "c:1"));
    assert_int_equal(configuration_present(&c), 2);
    configuration_fini(&c);
    assert_int_equal(c.nmembers, 0);
}

static void test_a_copy_stands_alone(void **state) {
    (void)state;
    struct configuration a = {.version = 4}, b = {0};
    add(&a, 1, 1, "a:1", CONFIGURATION_SERVING);
    assert_int_equal(configuration_copy(&b, &a), 0);
    a.members[0].state = CONFIGURATION_LEAVING;
    assert_int_equal(b.members[0].state, CONFIGURATION_SERVING);
    assert_int_equal(b.version, 4);
    assert_int_equal(configuration_copy(&b, &(struct configuration){0}), 0);
    assert_null(b.members);
    configuration_fini(&a);
    configuration_fini(&b);
}

static void test_members_are_bounded(void **state) {
    (void)state;
    struct configuration c = {0};
    struct configuration_member m = {0};
    c.nmembers = 1990;
    c.members = calloc(c.nmembers, sizeof *c.members);
    for (m.number = 1991; m.number <= 2000; m.number++) assert_int_equal(configuration_add(&c, &m), 0);
    assert_int_equal(configuration_add(&c, &m), -ENOSPC);
    configuration_fini(&c);
}

static void test_a_majority_counts_vacant_seats(void **state) {
    (void)state;
    struct configuration c = {.nvoters = 3};
    c.voters[1].id.bytes[0] = 5;
    assert_int_equal(configuration_majority(&c), 2);
    assert_ptr_equal(configuration_seat(&c, &(struct cluster_id){{5}}), &c.voters[1]);
    assert_null(configuration_seat(&c, &(struct cluster_id){{0}})); /* nobody sits on a vacant one */
}

static void test_ids_as_text(void **state) {
    (void)state;
    struct cluster_id id = {{0x00, 0x9f, 0xff, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}}, back;
    char text[CLUSTER_ID_TEXT];
    cluster_id_text(&id, text);
    assert_string_equal(text, "009fff0102030405060708090a0b0c0d");
    assert_true(cluster_id_read(text, &back));
    assert_true(cluster_id_equal(&id, &back));
    assert_true(cluster_id_read("009FFF0102030405060708090A0B0C0D", &back));
    assert_true(cluster_id_equal(&id, &back));
    assert_false(cluster_id_read("009fff0102030405060708090a0b0c0", &back));
    assert_false(cluster_id_read("009fff0102030405060708090a0b0c0dd", &back));
    assert_false(cluster_id_read("009fff0102030405060708090a0b0c0g", &back));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members_are_found),   cmocka_unit_test(test_a_copy_stands_alone),
        cmocka_unit_test(test_members_are_bounded), cmocka_unit_test(test_a_majority_counts_vacant_seats),
        cmocka_unit_test(test_ids_as_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
