/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A configuration as bytes, and the record in a state directory: what was written is read, and nothing else is. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "cluster/config_record.h"
#include "tests/unit/config_lab.h"

/* One that uses every field. */
static void full_configuration(struct configuration *c) {
    lab_configuration(c, 5);
    c->seats_by_name = true;
    c->retire_version = 3;
    c->voters_target = 5;
    c->nprevious = 1;
    c->previous[0] = c->voters[2];
    c->nclosing = 1;
    c->closing[0] = (struct configuration_closing){12, 4};
    c->voters[1].id = (struct cluster_id){{0}};
    c->voters[1].member = c->voters[1].origin = 0;
    c->members[2].drained = true;
    c->members[3].keeps_state = false;
    c->members[4].state = CONFIGURATION_EJECTED;
}

static void test_a_packed_configuration_is_read_back(void **state) {
    struct configuration c, back = {0};
    uint8_t *bytes, *again;
    uint32_t n, nagain;
    (void)state;
    full_configuration(&c);
    assert_int_equal(configuration_pack(&c, &bytes, &n), 0);
    assert_int_equal(configuration_unpack(bytes, n, &back), 0);
    assert_int_equal(back.closing[0].version, 4);
    assert_true(back.members[2].drained && back.seats_by_name);
    assert_int_equal(back.members[4].state, CONFIGURATION_EJECTED);
    assert_int_equal(configuration_pack(&back, &again, &nagain), 0); /* there is one packed form only */
    assert_int_equal(nagain, n);
    assert_memory_equal(again, bytes, n);
    free(bytes);
    free(again);
    configuration_fini(&back);
    configuration_fini(&c);
}

static void test_cut_or_longer_bytes_are_no_configuration(void **state) {
    struct configuration c, back = {0};
    uint8_t *bytes;
    uint32_t n;
    (void)state;
    full_configuration(&c);
    assert_int_equal(configuration_pack(&c, &bytes, &n), 0);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t *cut = malloc(i + 1); /* its own memory, so that a byte read behind it is noticed */
        memcpy(cut, bytes, i);
        assert_int_equal(configuration_unpack(cut, i, &back), -EINVAL);
        assert_null(back.members);
        free(cut);
    }
    bytes = realloc(bytes, n + 1);
    bytes[n] = 0;
    assert_int_equal(configuration_unpack(bytes, n + 1, &back), -EINVAL);
    free(bytes);
    configuration_fini(&c);
}

/* Any bytes are read without harm; what is taken for a configuration is within all bounds, and packs to the same bytes.
 */
static void test_changed_bytes_never_break_a_bound(void **state) {
    struct configuration c;
    struct rand r;
    uint8_t *bytes;
    uint32_t n;
    unsigned taken = 0;
    (void)state;
    full_configuration(&c);
    assert_int_equal(configuration_pack(&c, &bytes, &n), 0);
    rand_init(&r, 1);
    for (unsigned i = 0; i < 20000; i++) {
        struct configuration back = {0};
        uint8_t *again;
        uint32_t nagain;
        const uint64_t at = rand_below(&r, n);
        const uint8_t was = bytes[at];
        bytes[at] = (uint8_t)rand_next(&r);
        if (configuration_unpack(bytes, n, &back) == 0) {
            taken++;
            assert_true(back.nvoters <= CONFIGURATION_VOTERS_MAX && back.nvoters % 2 == 1);
            assert_true(back.norigins <= CONFIGURATION_ORIGINS_MAX && back.nmembers <= CONFIGURATION_MEMBERS_MAX);
            assert_int_equal(configuration_pack(&back, &again, &nagain), 0);
            assert_int_equal(nagain, n);
            assert_memory_equal(again, bytes, n);
            free(again);
        }
        configuration_fini(&back);
        bytes[at] = was;
    }
    assert_true(taken > 100);
    free(bytes);
    configuration_fini(&c);
}

static void test_values_out_of_bounds_are_no_configuration(void **state) {
    struct configuration c, back = {0};
    uint8_t *bytes;
    uint32_t n;
    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        full_configuration(&c);
        switch (i) {
        case 0: c.version = 0; break;
        case 1: c.nvoters = 2; break;
        case 2: c.tag_lease_ms = c.serve_lease_ms + 1; break;
        case 3: c.floor_epoch = c.epoch + 1; break;
        case 4: c.members[0].name[1] = ' '; break; /* it could forge a log line */
        case 5: c.members[0].name[0] = '\0'; break;
        case 6: c.members[4].number = 100; break; /* not below next_number */
        case 7: c.members[1].weight = 1000001; break;
        case 8: c.origins[1] = c.origins[0]; break;
        default: c.cluster = (struct cluster_id){{0}}; break;
        }
        assert_int_equal(configuration_pack(&c, &bytes, &n), 0);
        assert_int_equal(configuration_unpack(bytes, n, &back), -EINVAL);
        free(bytes);
        configuration_fini(&c);
    }
}

static void test_a_configuration_has_256_kib_at_most(void **state) {
    struct configuration c;
    struct configuration_member m = {.id = {{1}}, .weight = 1};
    uint8_t *bytes;
    uint32_t n;
    (void)state;
    lab_configuration(&c, 1);
    c.next_number = 3000;
    memset(m.name, 'n', CONFIGURATION_NAME_MAX);
    memset(m.address, 'a', 200);
    int status = 0;
    for (m.number = 2; status == 0 && m.number < 1500; m.number++) {
        assert_int_equal(configuration_add(&c, &m), 0);
        status = configuration_pack(&c, &bytes, &n);
        if (status == 0) free(bytes);
    }
    assert_int_equal(status, -EFBIG);
    assert_in_range(n, 256 * 1024 - 500, 256 * 1024);
    configuration_fini(&c);
}

/* ---- the record */

static void make_record(struct config_record *r, uint8_t **bytes, size_t *n) {
    struct configuration c;
    int err;
    full_configuration(&c);
    *r = (struct config_record){.id = {{7}}, .boot = 42};
    r->current = configuration_value_new(&c, &err);
    c.version++;
    r->acceptor = (struct config_acceptor){.instance = c.version,
                                           .promised = {9, 3, {{2}}},
                                           .accepted = {8, 4, {{3}}},
                                           .value = configuration_value_new(&c, &err)};
    configuration_fini(&c);
    assert_int_equal(config_record_pack(r, bytes, n), 0);
}

static void test_a_record_is_read_back(void **state) {
    struct config_record r, back = {0};
    uint8_t *bytes;
    size_t n;
    char err[200];
    (void)state;
    make_record(&r, &bytes, &n);
    assert_int_equal(config_record_unpack(bytes, n, &back, err, sizeof err), 0);
    assert_true(cluster_id_equal(&back.id, &r.id));
    assert_int_equal(back.boot, 42);
    assert_int_equal(back.current->hash, r.current->hash);
    assert_int_equal(back.acceptor.instance, 6);
    assert_int_equal(peer_ballot_compare(&back.acceptor.promised, &r.acceptor.promised), 0);
    assert_int_equal(peer_ballot_compare(&back.acceptor.accepted, &r.acceptor.accepted), 0);
    assert_int_equal(back.acceptor.value->hash, r.acceptor.value->hash);
    config_record_fini(&back);
    config_record_fini(&r);
    free(bytes);
}

static void test_a_record_of_a_node_without_a_cluster(void **state) {
    struct config_record r = {.id = {{7}}, .boot = 1};
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct config_record back = {0};
        uint8_t *bytes;
        size_t n;
        char err[200];
        r.founds = i == 1;
        assert_int_equal(config_record_pack(&r, &bytes, &n), 0);
        assert_int_equal(config_record_unpack(bytes, n, &back, err, sizeof err), 0);
        assert_null(back.current);
        assert_null(back.acceptor.value);
        assert_int_equal(back.founds, r.founds);
        config_record_fini(&back);
        free(bytes);
    }
}

static void test_a_damaged_record_is_refused_with_a_sentence(void **state) {
    struct config_record r, back = {0};
    uint8_t *bytes;
    size_t n;
    char err[200];
    (void)state;
    make_record(&r, &bytes, &n);
    for (size_t i = 0; i < n; i++) { /* every single byte counts */
        bytes[i] ^= 0x10;
        err[0] = '\0';
        assert_int_equal(config_record_unpack(bytes, n, &back, err, sizeof err), -EINVAL);
        assert_true(strlen(err) > 10);
        assert_null(back.current);
        bytes[i] ^= 0x10;
    }
    for (size_t i = 0; i < n; i++) assert_int_equal(config_record_unpack(bytes, i, &back, err, sizeof err), -EINVAL);
    bytes[8] += 2; /* the format */
    assert_int_equal(config_record_unpack(bytes, n, &back, err, sizeof err), -EINVAL);
    assert_string_equal(err, "a newer tagcached wrote it");
    config_record_fini(&r);
    free(bytes);
}

static void test_a_boot_is_above_the_last_one_and_not_below_the_time(void **state) {
    const struct config_record r = {.boot = 1000}, none = {0};
    (void)state;
    assert_int_equal(config_record_next_boot(&r, 500), 1001);
    assert_int_equal(config_record_next_boot(&r, 5000), 5000);
    assert_int_equal(config_record_next_boot(&none, 5000), 5000);
    assert_int_equal(config_record_next_boot(&none, 0), 1);
}

static void test_the_same_ring_is_the_same_whoever_runs_it(void **state) {
    struct configuration a, b;
    (void)state;
    lab_configuration(&a, 4);
    lab_configuration(&b, 4);
    assert_int_equal(configuration_same_ring(&a, &b), 1);
    assert_true(configuration_remove(&b, 2)); /* a new process of n1 comes last in the list */
    struct configuration_member m = a.members[1];
    m.number = 50;
    m.boot++;
    assert_int_equal(configuration_add(&b, &m), 0);
    assert_int_equal(configuration_same_ring(&a, &b), 1);
    b.members[3].weight = 2;
    assert_int_equal(configuration_same_ring(&a, &b), 0);
    b.members[3].weight = 1;
    b.members[3].drained = true;
    assert_int_equal(configuration_same_ring(&a, &b), 0);
    assert_false(configuration_remove(&b, 2));
    configuration_fini(&a);
    configuration_fini(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_packed_configuration_is_read_back),
        cmocka_unit_test(test_cut_or_longer_bytes_are_no_configuration),
        cmocka_unit_test(test_changed_bytes_never_break_a_bound),
        cmocka_unit_test(test_values_out_of_bounds_are_no_configuration),
        cmocka_unit_test(test_a_configuration_has_256_kib_at_most),
        cmocka_unit_test(test_a_record_is_read_back),
        cmocka_unit_test(test_a_record_of_a_node_without_a_cluster),
        cmocka_unit_test(test_a_damaged_record_is_refused_with_a_sentence),
        cmocka_unit_test(test_a_boot_is_above_the_last_one_and_not_below_the_time),
        cmocka_unit_test(test_the_same_ring_is_the_same_whoever_runs_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
