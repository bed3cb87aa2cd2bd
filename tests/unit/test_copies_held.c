/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Copies of other nodes' hot keys: a node that takes and serves them, a client, and a peer that owns all keys and does
 * what the test says. */
#include "frames.h"

#include "base/fault.h"
#include "base/hash.h"
#include "base/sync.h"
#include "cluster/cover.h"
#include "cluster/holders.h"
#include "cluster/hot.h"
#include "cluster/lease_ends.h"
#include "cluster/mutation.h"
#include "cmd/cmd.h"
#include "cmd/cmd_copy.h"
#include "cmd/instance.h"
#include "proto/moved_item.h"
#include "tests/lib/nodes.h"

#define VALUE "VALUE hot 7 3\r\nold\r\n"

/* Node 0, of one worker; member 1 is the test and owns all. */
static struct nodes *c;
static int client, peer;
static struct lease_ends ends;
static struct cover_cell cell;
static struct cover own, owners; /* what the node has applied, and what the owner says that it has */
static const char *mutation;     /* atomic */

static bool on_fault(const char *name) {
    const char *const m = sync_load_acq(&mutation);
    return m != NULL && strcmp(name, m) == 0;
}

static int begin_with(bool hot_copies) {
    c = nodes_new(2);
    assert_non_null(c);
    assert_int_equal(nodes_start(c, 0, talk_sockets(), "-t 1"), 0);
    struct cmd *cmd = node_cmd(c->node[0].node);
    cmd->cfg.hot_copies = hot_copies;
    cmd->leases = &ends;
    cmd->cover = &cell;
    ends = (struct lease_ends){LEASE_ENDLESS, LEASE_ENDLESS};
    own = owners = (struct cover){.usable = true, .version = 4, .epoch = 2, .n = 1, .seen = {{3, 10}}};
    own.g = store_number(node_store(c->node[0].node));
    cover_publish(&cell, &own);
    nodes_view_only(c, 0, 7, 1);
    client = nodes_connect(c, 0);
    peer = -1;
    return 0;
}

static int begin(void **state) {
    (void)state;
    return begin_with(true);
}

static int end(void **state) {
    (void)state;
    sync_store_rel(&mutation, NULL);
    close(client);
    if (peer >= 0) close(peer);
    nodes_free(c);
    mutation_on = MUTATION_NONE; /* while no thread runs */
    return 0;
}

static uint64_t metric(enum cmd_metric m) {
    return cmd_metric(node_cmd(c->node[0].node), m);
}

/* The next request, but for those that have no answer. */
static struct frame next_request(void) {
    if (peer < 0) peer = nodes_accept(c, 0, NULL);
    for (;;) {
        struct frame f = frame_next(peer);
        if (f.h.kind != LINK_RING && f.h.kind != LINK_MEMBER) return f;
        free(f.p);
    }
}

/* The next request must be a get of this key, and is answered so. */
static void answer_get(const char *key, const char *reply) {
    struct frame f = next_request();
    assert_int_equal(f.h.kind, LINK_GET);
    assert_int_equal(f.h.flags, 0);
    assert_string_equal(f.p, key);
    frame_answer(peer, f.h.seq, LINK_DONE, reply);
    free(f.p);
}

/* The client's get of the key goes to the owner. */
static void forwarded(const char *key) {
    char line[64];
    snprintf(line, sizeof line, "get %s\r\n", key);
    talk_say(client, line);
    answer_get(key, VALUE);
    talk_hear(client, "VALUE ");
    free(talk_read(client, "END\r\n"));
}

/* The next request asks for a copy of the key; its number. */
static uint32_t asked(const char *key) {
    struct frame f = next_request();
    assert_int_equal(f.h.kind, LINK_GET);
    assert_int_equal(f.h.flags, LINK_COPY);
    assert_string_equal(f.p, key);
    const uint32_t seq = f.h.seq;
    free(f.p);
    return seq;
}

#define BATCH 32

/* The client asks for a key so many times at once, and the owner has none. */
static void ask_batch(const char *key) {
    char lines[BATCH * 24] = "";
    size_t n = 0;
    for (unsigned i = 0; i < BATCH; i++) n += (size_t)snprintf(lines + n, sizeof lines - n, "get %s\r\n", key);
    talk_say(client, lines);
    for (unsigned i = 0; i < BATCH; i++) answer_get(key, "");
    for (unsigned i = 0; i < BATCH; i++) talk_hear(client, "END\r\n");
}

/* The client asks for a key until the owner is asked for a copy; the number of that. It comes with the gets. */
static uint32_t heat(const char *key) {
    for (unsigned i = 0; i < 300; i++) {
        ask_batch(key);
        struct pollfd more = {.fd = peer, .events = POLLIN};
        if (poll(&more, 1, 0) == 1) return asked(key);
    }
    fail_msg("the key did not become hot");
    return 0;
}

/* However often the client asks for it, the owner is not asked for a copy. */
static void never_asked(const char *key) {
    for (unsigned i = 0; i < 64; i++) ask_batch(key);
    frame_silent(peer);
}

static void put_copy(uint32_t seq, const char *key, uint32_t size, unsigned ntags) {
    static char value[HOLDERS_VALUE_MAX + 1];
    uint8_t payload[sizeof value + COVER_BYTES_MAX + MOVED_ITEM_REST_MAX];
    memset(value, 'x', sizeof value);
    memcpy(value, "old", 3);
    struct moved_item it = {.key = key,
                            .nkey = (unsigned)strlen(key),
                            .value = value,
                            .nvalue = size,
                            .size = size,
                            .flags = 7,
                            .ttl_s = MOVED_ITEM_TTL_NEVER,
                            .ntags = ntags};
    for (unsigned i = 0; i < ntags; i++) it.tags[i] = i == 0 ? hash_tag("tag", 3) : i;
    const uint16_t len = (uint16_t)cover_pack(&owners, payload + 2);
    memcpy(payload, &len, 2);
    frame_send(peer, seq, LINK_COPIED, 0, 0, payload, 2 + len + moved_item_pack(&it, payload + 2 + len));
    nodes_settle(c);
}

static void give(uint32_t seq, const char *key) {
    put_copy(seq, key, 3, 1);
}

/* The client's get of `hot` is answered from a copy. */
static void served(void) {
    talk_say(client, "get hot\r\n");
    talk_hear(client, VALUE "END\r\n");
}

/* The owner says that a key is being changed. */
static void tell_gone(const char *key) {
    const uint64_t name = hash_key(key, strlen(key), LINK_COPY_SEED);
    int owner = nodes_dial(c, 0, CMD_LINK_DATA);
    frame_send(owner, 0, LINK_GONE, 0, 0, &name, sizeof name);
    frame_answered(owner, 0, LINK_DONE, 0, "");
    close(owner);
}

/* ------------------------------------------------------------------ serving */

static void a_hot_key_is_served_from_a_copy(void **state) {
    (void)state;
    give(heat("hot"), "hot");
    const uint64_t sent = metric(CMD_METRIC_forwards_sent), hits = metric(CMD_METRIC_get_hits);
    served();
    talk_say(client, "get hot hot\r\nmg hot v k Oab f s q\r\nmg hot\r\nmn\r\n");
    talk_hear(client, VALUE VALUE "END\r\nVA 3 khot Oab f7 s3\r\nold\r\nHD\r\nMN\r\n");
    nodes_settle(c);
    frame_silent(peer);
    assert_int_equal(metric(CMD_METRIC_forwards_sent), sent);
    assert_int_equal(metric(CMD_METRIC_copy_hits), 5);
    assert_int_equal(metric(CMD_METRIC_get_hits), hits + 5);
    assert_int_equal(metric(CMD_METRIC_copies_taken), 1);
}

/* What shows or does more than a copy knows goes to the owner. */
static void what_needs_the_owner_goes_there(void **state) {
    static const char *const lines[] = {"gets hot\r\n",      "gat 9 hot\r\n",  "mg hot v c\r\n",      "mg hot t\r\n",
                                        "mg hot v T9\r\n",   "mg hot N9\r\n",  "mg hot v Lr=tag\r\n", "mg hot h\r\n",
                                        "get hot|#|t=x\r\n", "touch hot 1\r\n"};
    (void)state;
    give(heat("hot"), "hot");
    for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++) {
        talk_say(client, lines[i]);
        struct frame f = next_request();
        frame_answer(peer, f.h.seq, LINK_DONE, f.h.kind == LINK_GET ? "" : "OK\r\n");
        talk_hear(client, f.h.kind == LINK_GET ? "END\r\n" : "OK\r\n");
        free(f.p);
    }
    served();
}

/* A second from when it was asked for; the next one is asked for before it ends. */
static void a_copy_is_served_for_a_second(void **state) {
    (void)state;
    const uint32_t seq = heat("hot");
    nodes_advance(c, 50); /* the answer takes its time */
    give(seq, "hot");
    nodes_advance(c, HOLDERS_COPY_MS - COPY_AHEAD_MS - 50 - 1);
    served();
    nodes_settle(c);
    frame_silent(peer);
    nodes_advance(c, COPY_AHEAD_MS);
    assert_int_equal(HOLDERS_COPY_MS, 1000);
    served(); /* 999 ms */
    nodes_advance(c, 1);
    talk_say(client, "get hot\r\n");
    answer_get("hot", VALUE);
    talk_hear(client, VALUE "END\r\n");
}

static void the_next_copy_is_asked_for_while_the_key_is_hot(void **state) {
    (void)state;
    give(heat("hot"), "hot");
    for (unsigned i = 0; i < 400; i++) served();
    nodes_advance(c, HOLDERS_COPY_MS - COPY_AHEAD_MS);
    for (unsigned i = 0; i < 1000; i++) served();
    struct frame f = next_request(); /* by then it was hot enough again */
    assert_int_equal(f.h.flags, LINK_COPY);
    give(f.h.seq, "hot");
    free(f.p);
    nodes_advance(c, COPY_AHEAD_MS);
    served();
}

static void not_more_than_64_keys(void **state) {
    char key[16];
    (void)state;
    assert_int_equal(COPY_KEYS_MAX, 64);
    for (unsigned i = 0; i < COPY_KEYS_MAX; i++) {
        snprintf(key, sizeof key, "k%u", i);
        give(heat(key), key);
    }
    assert_int_equal(metric(CMD_METRIC_copies_taken), 64);
    never_asked("more");
}

/* A copy that is larger, or has more tags, than agreed is not kept. */
static void copies_are_bounded(void **state) {
    (void)state;
    assert_int_equal(HOLDERS_VALUE_MAX, 16384);
    assert_int_equal(HOLDERS_TAGS_MAX, 8);
    uint32_t seq = heat("hot");
    const struct {
        uint32_t size;
        unsigned ntags;
        bool kept;
    } cases[] = {{16385, 8, false}, {16384, 9, false}, {16384, 8, true}};
    for (unsigned i = 0; i < 3; i++) {
        put_copy(seq, "hot", cases[i].size, cases[i].ntags);
        assert_int_equal(metric(CMD_METRIC_copies_taken), cases[i].kept);
        if (cases[i].kept) break;
        nodes_advance(c, COPY_AGAIN_MS);
        seq = heat("hot");
    }
}

/* An older peer answers as to a get: it is left alone. */
static void an_older_peer_is_not_asked_again_soon(void **state) {
    (void)state;
    const uint32_t seq = heat("hot");
    frame_answer(peer, seq, LINK_DONE, VALUE);
    nodes_settle(c);
    nodes_advance(c, COPY_NEVER_MS - 1);
    forwarded("hot");
    nodes_settle(c);
    frame_silent(peer);
}

static void forged_copies_are_not_kept(void **state) {
    static const char *const forged[] = {"\1", "\xff\xff more", "\1\0x"};
    (void)state;
    uint32_t seq = heat("hot");
    for (unsigned i = 0; i < 3; i++) {
        frame_send(peer, seq, LINK_COPIED, 0, 0, forged[i], i == 2 ? 3 : strlen(forged[i]));
        nodes_settle(c);
        nodes_advance(c, COPY_AGAIN_MS);
        seq = heat("hot");
    }
    put_copy(seq, "hat", 3, 0); /* of another key */
    forwarded("hot");
    assert_int_equal(metric(CMD_METRIC_copies_taken), 0);
}

static void without_the_option_none_is_asked_for(void **state) {
    (void)state;
    never_asked("hot");
}

/* ------------------------------------------------------------------ what ends a copy */

static void a_change_that_the_owner_tells_of_ends_it(void **state) {
    (void)state;
    give(heat("hot"), "hot");
    tell_gone("other");
    served();
    tell_gone("hot");
    forwarded("hot");
}

static void without_looking_at_changes_it_would_be_served(void **state) {
    (void)state;
    give(heat("hot"), "hot");
    tell_gone("hot");
    sync_store_rel(&mutation, "copy.mutate.no_changes");
    served();
}

/* The owner's word comes before the copy that it concerns. */
static void a_change_that_overtakes_the_copy_ends_it(void **state) {
    (void)state;
    const uint32_t seq = heat("hot");
    tell_gone("hot");
    give(seq, "hot");
    forwarded("hot");
    assert_int_equal(metric(CMD_METRIC_copies_taken), 0);
}

/* A get behind a change of the same key in one batch is not answered from an older copy. */
static void a_clients_own_change_comes_first(void **state) {
    (void)state;
    give(heat("hot"), "hot");
    talk_say(client, "get hot\r\nset hot 0 0 3\r\nnew\r\nget hot\r\n");
    const uint32_t seq = frame_asked(peer, LINK_COMMAND, "set hot 0 0 3\r\nnew\r\n");
    frame_asked(peer, LINK_GET, "hot");
    frame_answer(peer, seq, LINK_DONE, "STORED\r\n");
    frame_answer(peer, seq + 1, LINK_DONE, "VALUE hot 0 3\r\nnew\r\n");
    talk_hear(client, VALUE "END\r\nSTORED\r\nVALUE hot 0 3\r\nnew\r\nEND\r\n");
}

static void a_purge_of_its_tag_ends_it(void **state) {
    (void)state;
    give(heat("hot"), "hot");
    talk_say(client, "purge other\r\n");
    free(talk_read(client, "\r\n"));
    served();
    talk_say(client, "purge tag\r\n");
    free(talk_read(client, "\r\n"));
    forwarded("hot");
}

static void a_soft_purge_ends_it_too(void **state) {
    (void)state;
    give(heat("hot"), "hot");
    talk_say(client, "mp tag I\r\n");
    talk_hear(client, "HD\r\n");
    forwarded("hot");
}

static void so_does_a_flush(void **state) {
    (void)state;
    give(heat("hot"), "hot");
    talk_say(client, "flush_all\r\n");
    talk_hear(client, "OK\r\n");
    forwarded("hot");
}

/* A purge is carried out here while the copy is on its way. */
static void a_purge_that_overtakes_the_copy_ends_it(void **state) {
    (void)state;
    const uint32_t seq = heat("hot");
    talk_say(client, "purge tag\r\n");
    free(talk_read(client, "\r\n"));
    give(seq, "hot");
    forwarded("hot");
    assert_int_equal(metric(CMD_METRIC_copies_taken), 0);
}

/* The owner lacks a purge that this node has: the copy may be older, and nothing would end it. */
static void a_copy_of_an_owner_that_lacks_a_purge_is_not_kept(void **state) {
    (void)state;
    owners.seen[0].sequence = 9;
    give(heat("hot"), "hot");
    forwarded("hot");
    owners.seen[0].sequence = 10;
    nodes_advance(c, COPY_AGAIN_MS);
    give(heat("hot"), "hot");
    served();
}

static void without_the_cover_it_would_be_kept(void **state) {
    (void)state;
    owners.seen[0].sequence = 9;
    give(heat("hot"), "hot");
    served();
}

/* Purges of this node that no voter has: it takes no copies. */
static void a_node_with_purges_of_its_own_takes_none(void **state) {
    (void)state;
    own.usable = false;
    cover_publish(&cell, &own);
    never_asked("hot");
    own.usable = true;
    cover_publish(&cell, &own);
    nodes_advance(c, COPY_AGAIN_MS);
    give(heat("hot"), "hot");
    served();
}

static void it_needs_the_leases(void **state) {
    (void)state;
    give(heat("hot"), "hot");
    served();
    sync_store_rel(&ends.tag_ns, 1);
    forwarded("hot");
    sync_store_rel(&ends.tag_ns, LEASE_ENDLESS);
    served();
    sync_store_rel(&ends.serve_ns, 1);
    forwarded("hot");
    sync_store_rel(&mutation, "copy.mutate.no_lease"); /* the shortcut is noticed */
    served();
}

static void another_view_ends_it(void **state) {
    (void)state;
    give(heat("hot"), "hot");
    nodes_view_only(c, 0, 8, 1);
    forwarded("hot");
}

static void a_copy_of_another_view_is_not_kept(void **state) {
    (void)state;
    const uint32_t seq = heat("hot");
    nodes_view_only(c, 0, 8, 1);
    give(seq, "hot");
    forwarded("hot");
    assert_int_equal(metric(CMD_METRIC_copies_taken), 0);
}

/* The owner's process may have ended, and a new one would not know of the copy. */
static void a_link_that_ends_ends_it(void **state) {
    (void)state;
    give(heat("hot"), "hot");
    close(peer);
    peer = -1;
    nodes_settle(c);
    forwarded("hot");
}

static int begin_without_cover(void **state) {
    (void)state;
    mutation_on = MUTATION_PULL_NO_VECTOR;
    return begin_with(true);
}

static int begin_off(void **state) {
    (void)state;
    return begin_with(false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_hot_key_is_served_from_a_copy, begin, end),
        cmocka_unit_test_setup_teardown(what_needs_the_owner_goes_there, begin, end),
        cmocka_unit_test_setup_teardown(a_copy_is_served_for_a_second, begin, end),
        cmocka_unit_test_setup_teardown(the_next_copy_is_asked_for_while_the_key_is_hot, begin, end),
        cmocka_unit_test_setup_teardown(not_more_than_64_keys, begin, end),
        cmocka_unit_test_setup_teardown(copies_are_bounded, begin, end),
        cmocka_unit_test_setup_teardown(an_older_peer_is_not_asked_again_soon, begin, end),
        cmocka_unit_test_setup_teardown(forged_copies_are_not_kept, begin, end),
        cmocka_unit_test_setup_teardown(a_change_that_the_owner_tells_of_ends_it, begin, end),
        cmocka_unit_test_setup_teardown(without_looking_at_changes_it_would_be_served, begin, end),
        cmocka_unit_test_setup_teardown(a_change_that_overtakes_the_copy_ends_it, begin, end),
        cmocka_unit_test_setup_teardown(a_clients_own_change_comes_first, begin, end),
        cmocka_unit_test_setup_teardown(a_purge_of_its_tag_ends_it, begin, end),
        cmocka_unit_test_setup_teardown(a_soft_purge_ends_it_too, begin, end),
        cmocka_unit_test_setup_teardown(so_does_a_flush, begin, end),
        cmocka_unit_test_setup_teardown(a_purge_that_overtakes_the_copy_ends_it, begin, end),
        cmocka_unit_test_setup_teardown(a_copy_of_an_owner_that_lacks_a_purge_is_not_kept, begin, end),
        cmocka_unit_test_setup_teardown(without_the_cover_it_would_be_kept, begin_without_cover, end),
        cmocka_unit_test_setup_teardown(a_node_with_purges_of_its_own_takes_none, begin, end),
        cmocka_unit_test_setup_teardown(it_needs_the_leases, begin, end),
        cmocka_unit_test_setup_teardown(another_view_ends_it, begin, end),
        cmocka_unit_test_setup_teardown(a_copy_of_another_view_is_not_kept, begin, end),
        cmocka_unit_test_setup_teardown(a_link_that_ends_ends_it, begin, end),
        cmocka_unit_test_setup_teardown(without_the_option_none_is_asked_for, begin_off, end),
    };
    fault_hook = on_fault;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
