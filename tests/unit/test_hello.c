/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Hello: which nodes may work together; each refusal names the setting and says what to do, both ways round. */
#include "cluster/hello.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct peer_hello a, b;

static int set_up(void **state) {
    (void)state;
    a = (struct peer_hello){.lowest = 1,
                            .highest = 1,
                            .cluster_name = "shop",
                            .node = {{0xa}},
                            .boot = 5,
                            .ring_name = "a:11211",
                            .address = "a:21211",
                            .tag_marker = "|#|"};
    b = a;
    b.node.bytes[0] = 0xb;
    strcpy(b.ring_name, "b:11211");
    strcpy(b.address, "b:21211");
    return 0;
}

static void assert_refused(const char *setting, const char *a_says, const char *b_says) {
    struct peer_refusal why;
    uint32_t version;
    assert_int_equal(hello_check(&a, &b, &version, &why), HELLO_REFUSED);
    assert_string_equal(why.setting, setting);
    assert_string_equal(why.reason, a_says);
    assert_int_equal(hello_check(&b, &a, &version, &why), HELLO_REFUSED);
    assert_string_equal(why.setting, setting);
    assert_string_equal(why.reason, b_says != NULL ? b_says : a_says);
}

static void assert_accepted(uint32_t expect) {
    struct peer_refusal why;
    uint32_t version = 0;
    assert_int_equal(hello_check(&a, &b, &version, &why), HELLO_ACCEPTED);
    assert_int_equal(version, expect);
    assert_int_equal(hello_check(&b, &a, &version, &why), HELLO_ACCEPTED);
    assert_int_equal(version, expect);
}

static void test_nodes_that_agree(void **state) {
    (void)state;
    assert_accepted(1);
    a.wanted = b.node;
    assert_accepted(1);
    b.worker = 3; /* these may differ */
    b.ring_version = 9;
    b.boot = 4;
    b.address[0] = '\0';
    assert_accepted(1);
}

static void test_the_highest_common_version(void **state) {
    (void)state;
    a.highest = 4;
    b.lowest = 2;
    b.highest = 3;
    assert_accepted(3);
    a.highest = 2;
    assert_accepted(2);
    a.highest = 1;
    assert_refused("version", "a:21211 speaks wire versions 1 to 1 and b:21211 2 to 3: upgrade a:21211",
                   "b:21211 speaks wire versions 2 to 3 and a:21211 1 to 1: upgrade a:21211");
}

static void test_cluster_names(void **state) {
    (void)state;
    strcpy(b.cluster_name, "shop2");
    b.lowest = b.highest = 9; /* another cluster's version is nobody's business */
    assert_refused("--cluster", "start all nodes with the same --cluster: a:21211 has shop and b:21211 has shop2",
                   "start all nodes with the same --cluster: b:21211 has shop2 and a:21211 has shop");
}

static void test_another_node_at_the_address(void **state) {
    (void)state;
    a.wanted.bytes[0] = 0xcc;
    const char *sentence = "a:21211 looks for node cc0000000000 at b:21211, where 0b0000000000 is now: that was "
                           "started again without its --state-dir, or two nodes advertise this address";
    assert_refused("--cluster-advertise", sentence, NULL);
}

static void test_itself(void **state) {
    (void)state;
    struct peer_refusal why;
    uint32_t version;
    b = a;
    assert_int_equal(hello_check(&a, &b, &version, &why), HELLO_SELF);
    a.wanted.bytes[0] = 0xb; /* it was another's address once */
    assert_int_equal(hello_check(&a, &b, &version, &why), HELLO_SELF);
}

static void test_a_copied_state_directory(void **state) {
    (void)state;
    b.node = a.node;
    b.boot = 6;
    assert_refused("--state-dir",
                   "a:21211 and b:21211 are one node by their state: give each process its own directory",
                   "b:21211 and a:21211 are one node by their state: give each process its own directory");
}

static void test_ring_names(void **state) {
    (void)state;
    strcpy(b.ring_name, a.ring_name);
    assert_refused("--ring-name",
                   "a:21211 and b:21211 both have the name a:11211: stop one, or give it another --ring-name",
                   "b:21211 and a:21211 both have the name a:11211: stop one, or give it another --ring-name");
    a.ring_name[0] = b.ring_name[0] = '\0'; /* (tools have none) */
    assert_accepted(1);
}

static void test_settings_of_tags(void **state) {
    (void)state;
    b.tag_marker[0] = '\0';
    assert_refused("--key-tags", "start all nodes with the same --key-tags: a:21211 has |#| and b:21211 has none",
                   "start all nodes with the same --key-tags: b:21211 has none and a:21211 has |#|");
    strcpy(b.tag_marker, "|#|");
    a.tag_prefix = ':';
    assert_refused("--prefix-tags", "start all nodes with the same --prefix-tags: a:21211 has : and b:21211 has none",
                   "start all nodes with the same --prefix-tags: b:21211 has none and a:21211 has :");
    b.tag_prefix = ':';
    strcpy(b.ring_strip_prefix, "prod.");
    assert_refused("--ring-strip-prefix",
                   "start all nodes with the same --ring-strip-prefix: a:21211 has none and b:21211 has prod.",
                   "start all nodes with the same --ring-strip-prefix: b:21211 has prod. and a:21211 has none");
}

static void test_a_long_sentence_is_cut(void **state) {
    (void)state;
    memset(a.ring_strip_prefix, 'p', PEER_STRIP_PREFIX_MAX);
    struct peer_refusal why, back;
    uint32_t version;
    assert_int_equal(hello_check(&a, &b, &version, &why), HELLO_REFUSED);
    assert_int_equal(strlen(why.reason), sizeof why.reason - 1);
    uint8_t wire[PEER_REFUSAL_BYTES_MAX], memory[4096];
    size_t n = peer_refusal_pack(&why, wire, sizeof wire);
    assert_true(n > 0);
    struct peer_arena arena;
    struct peer_counts counts = {0};
    Peer__Control *m;
    peer_arena_init(&arena, memory, sizeof memory);
    assert_int_equal(peer_control_unpack(&arena, wire, n, &counts, &m), PEER_OK);
    assert_true(peer_refusal_read(m, &back));
    assert_string_equal(back.reason, why.reason);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_nodes_that_agree, set_up),
        cmocka_unit_test_setup(test_the_highest_common_version, set_up),
        cmocka_unit_test_setup(test_cluster_names, set_up),
        cmocka_unit_test_setup(test_another_node_at_the_address, set_up),
        cmocka_unit_test_setup(test_itself, set_up),
        cmocka_unit_test_setup(test_a_copied_state_directory, set_up),
        cmocka_unit_test_setup(test_ring_names, set_up),
        cmocka_unit_test_setup(test_settings_of_tags, set_up),
        cmocka_unit_test_setup(test_a_long_sentence_is_cut, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
