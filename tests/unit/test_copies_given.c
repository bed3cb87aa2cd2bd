/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Copies of a node's own hot keys: the owner, a client that changes them, and a peer that holds copies and does what
 * the test says. */
#include "frames.h"

#include <sched.h>

#include "base/fault.h"
#include "base/hash.h"
#include "base/sync.h"
#include "cluster/cover.h"
#include "cluster/holders.h"
#include "cluster/lease_ends.h"
#include "cmd/cmd.h"
#include "cmd/instance.h"
#include "proto/moved_item.h"
#include "tests/lib/nodes.h"

/* Node 0, of two workers, owns all; the test is member 1, whose number is 2. */
static struct nodes *c;
static int client, holder, told; /* told: where the node tells the holder of changes; -1: it has not yet */
static uint32_t seq, told_seq;
static struct lease_ends ends;
static const char *mutation; /* atomic */

static bool on_fault(const char *name) {
    const char *const m = sync_load_acq(&mutation);
    return m != NULL && strcmp(name, m) == 0;
}

static void ask(enum link_kind kind, unsigned flags, const void *payload, size_t n) {
    frame_send(holder, seq, kind, flags, UINT16_MAX, payload, n);
}

static void announce(void) {
    const uint64_t version = c->node[0].view->ring_version;
    const uint32_t member = 2;
    frame_send(holder, 0, LINK_RING, 0, 0, &version, sizeof version);
    frame_send(holder, 0, LINK_MEMBER, 0, 0, &member, sizeof member);
}

static int begin(void **state) {
    (void)state;
    c = nodes_new(2);
    assert_non_null(c);
    assert_int_equal(nodes_start(c, 0, talk_sockets(), "-t 2 -m 64"), 0);
    ends = (struct lease_ends){LEASE_ENDLESS, LEASE_ENDLESS};
    node_cmd(c->node[0].node)->leases = &ends;
    nodes_view_only(c, 0, 7, 0);
    client = nodes_connect(c, 0);
    holder = nodes_dial(c, 0, CMD_LINK_DATA);
    announce();
    told = -1;
    seq = told_seq = 0;
    sync_store_rel(&mutation, NULL);
    return 0;
}

static int end(void **state) {
    (void)state;
    close(client);
    close(holder);
    if (told >= 0) close(told);
    nodes_free(c);
    return 0;
}

static uint64_t metric(enum cmd_metric m) {
    return cmd_metric(node_cmd(c->node[0].node), m);
}

static void store(const char *request) {
    talk_say(client, request);
    free(talk_read(client, "\r\n"));
}

/* Asks for a copy once. Whether one was given; *it (may be NULL) is the item, with its value in `value`. */
static bool try_copy(const char *key, struct moved_item *it) {
    static char bytes[HOLDERS_VALUE_MAX + COVER_BYTES_MAX + MOVED_ITEM_REST_MAX];
    struct moved_item item;
    struct cover cover;
    uint16_t len;
    ask(LINK_GET, LINK_COPY, key, strlen(key));
    struct frame f = frame_next(holder);
    assert_int_equal(f.h.kind, LINK_COPIED);
    assert_int_equal(f.h.seq, seq++);
    const size_t n = f.h.bytes;
    memcpy(bytes, f.p, n);
    free(f.p);
    if (n == 0) return false;
    memcpy(&len, bytes, 2);
    assert_true(cover_read((uint8_t *)bytes + 2, len, &cover));
    assert_int_equal(moved_item_read((uint8_t *)bytes + 2 + len, n - 2 - len, &item), n - 2 - len);
    if (it != NULL) *it = item;
    return true;
}

/* Becomes a holder of the key: the first time it is asked for, all workers have to know of it. */
static void hold(const char *key) {
    if (try_copy(key, NULL)) return;
    nodes_settle(c);
    assert_true(try_copy(key, NULL));
}

/* The node tells the holder that a key is changed, `ahead` tellings after the next one to be answered. */
static void is_told_ahead(const char *key, uint32_t ahead) {
    uint64_t name;
    if (told < 0) told = nodes_accept(c, 0, NULL);
    struct frame f = frame_next(told);
    assert_int_equal(f.h.kind, LINK_GONE);
    assert_int_equal(f.h.seq, told_seq + ahead);
    assert_int_equal(f.h.bytes, sizeof name);
    memcpy(&name, f.p, sizeof name);
    free(f.p);
    char text[256] = ""; /* gcc warns of reads behind a shorter constant, which are never made */
    snprintf(text, sizeof text, "%s", key);
    assert_true(name == hash_key(text, strlen(text), LINK_COPY_SEED));
}

static void is_told(const char *key) {
    is_told_ahead(key, 0);
}

static void answer_told(void) {
    frame_answer(told, told_seq++, LINK_DONE, "");
}

/* ------------------------------------------------------------------ giving */

static void a_copy_has_all_that_is_needed(void **state) {
    struct moved_item it;
    (void)state;
    store("ms hot 3 F7 Gtag,more\r\nold\r\n");
    assert_false(try_copy("hot", NULL)); /* not before all workers know of it */
    nodes_settle(c);
    assert_true(try_copy("hot", &it));
    assert_int_equal(it.flags, 7);
    assert_int_equal(it.ntags, 2);
    assert_true(it.tags[0] == hash_tag("tag", 3) || it.tags[1] == hash_tag("tag", 3));
    assert_int_equal(it.nvalue, 3);
    assert_memory_equal(it.value, "old", 3);
    assert_int_equal(metric(CMD_METRIC_copies_given), 1);
}

static void not_every_item_is_copied(void **state) {
    static const struct {
        const char *store, *then;
        bool given;
    } cases[] = {
        {"set hot 0 0 3\r\nold\r\n", NULL, true},
        {"set hot 0 2 3\r\nold\r\n", NULL, true},
        {"set hot 0 1 3\r\nold\r\n", NULL, false}, /* it ends before its copy would */
        {"ms hot 3 Ga,b,c,d,e,f,g,h\r\nold\r\n", NULL, true},
        {"ms hot 3 Ga,b,c,d,e,f,g,h,i\r\nold\r\n", NULL, false},
        {"set hot 0 0 3\r\nold\r\n", "md hot I\r\n", false}, /* stale */
        {"ms hot 3 Gtag\r\nold\r\n", "mp tag I\r\n", false}, /* softly purged */
        {"ms aG90 3 b\r\nold\r\n", NULL, false},             /* mg shows its key otherwise */
        {"delete hot\r\n", NULL, false},                     /* none */
        {"delete hot\r\n", "mg hot N30\r\n", false},         /* being filled */
    };
    (void)state;
    (void)try_copy("hot", NULL);
    nodes_settle(c);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        store(cases[i].store);
        if (cases[i].then != NULL) store(cases[i].then);
        nodes_advance(c, HOLDERS_KEPT_MS); /* all copies have ended */
        (void)try_copy("hot", NULL);
        nodes_settle(c);
        /* What has seconds to live has lived one of them. */
        if (strstr(cases[i].store, " 0 2 ") != NULL) store("touch hot 2\r\n");
        if (strstr(cases[i].store, " 0 1 ") != NULL) store("touch hot 1\r\n");
        nodes_advance(c, HOLDERS_QUIET_MS);
        (void)try_copy("hot", NULL);
        nodes_settle(c);
        if (try_copy("hot", NULL) != cases[i].given)
            fail_msg("%s%s", cases[i].store, cases[i].then ? cases[i].then : "");
        nodes_advance(c, HOLDERS_KEPT_MS);
    }
}

static void large_values_are_not_copied(void **state) {
    static char request[HOLDERS_VALUE_MAX + 100];
    (void)state;
    for (unsigned more = 0; more < 2; more++) {
        const int n = snprintf(request, sizeof request, "set k%u 0 0 %u\r\n", more, HOLDERS_VALUE_MAX + more);
        memset(request + n, 'x', HOLDERS_VALUE_MAX + more);
        strcpy(request + n + HOLDERS_VALUE_MAX + more, "\r\n");
        store(request);
        snprintf(request, sizeof request, "k%u", more);
        (void)try_copy(request, NULL);
        nodes_settle(c);
        assert_int_equal(try_copy(request, NULL), more == 0);
    }
}

static void no_copy_without_leases(void **state) {
    (void)state;
    store("set hot 0 0 3\r\nold\r\n");
    hold("hot");
    sync_store_rel(&ends.tag_ns, 1);
    assert_false(try_copy("hot", NULL));
    sync_store_rel(&ends.tag_ns, LEASE_ENDLESS);
    assert_true(try_copy("hot", NULL));
}

static void no_copy_by_another_ring_or_to_nobody(void **state) {
    const uint64_t version = 6;
    (void)state;
    store("set hot 0 0 3\r\nold\r\n");
    hold("hot");
    frame_send(holder, 0, LINK_RING, 0, 0, &version, sizeof version);
    assert_false(try_copy("hot", NULL));
    close(holder);
    holder = nodes_dial(c, 0, CMD_LINK_DATA);
    assert_false(try_copy("hot", NULL)); /* it has not said who it is */
    announce();
    assert_true(try_copy("hot", NULL));
}

/* ------------------------------------------------------------------ changing */

/* The client's change is not done, and not answered, before the holder has said that its copy is gone. */
static void a_change_waits_for_the_holder(void **state) {
    (void)state;
    store("set hot 0 0 3\r\nold\r\n");
    hold("hot");
    int other = nodes_connect(c, 0);
    talk_say(client, "get hot\r\nset hot 0 0 3\r\nnew\r\nget hot\r\n");
    is_told("hot");
    talk_hear(client, "VALUE hot 0 3\r\nold\r\nEND\r\n");
    talk_expect(other, "get hot\r\n", "VALUE hot 0 3\r\nold\r\nEND\r\n");
    assert_false(try_copy("hot", NULL)); /* none is given meanwhile */
    nodes_settle(c);
    frame_silent(client);
    answer_told();
    talk_hear(client, "STORED\r\nVALUE hot 0 3\r\nnew\r\nEND\r\n");
    assert_int_equal(metric(CMD_METRIC_copy_waits), 1);
    assert_int_equal(metric(CMD_METRIC_copies_recalled), 1);
    store("set hot 0 0 3\r\nnow\r\n"); /* nobody holds it now */
    close(other);
}

static void or_until_the_copy_has_ended(void **state) {
    (void)state;
    store("set hot 0 0 3\r\nold\r\n");
    hold("hot");
    talk_say(client, "delete hot\r\n");
    is_told("hot");
    nodes_advance(c, HOLDERS_KEPT_MS - 1);
    nodes_settle(c);
    frame_silent(client);
    nodes_advance(c, 1);
    talk_hear(client, "DELETED\r\n");
}

/* A holder says late that its copy is gone: that one has ended, and the holder has got another, of which the node has
 * told it since. */
static void an_answer_counts_for_the_change_that_was_told_of(void **state) {
    (void)state;
    store("set hot 0 0 3\r\nold\r\n");
    hold("hot");
    talk_say(client, "set hot 0 0 3\r\nnew\r\n");
    is_told("hot");
    nodes_advance(c, HOLDERS_KEPT_MS);
    talk_hear(client, "STORED\r\n");
    nodes_advance(c, HOLDERS_QUIET_MS);
    (void)try_copy("hot", NULL); /* the key is opened again */
    nodes_settle(c);
    hold("hot");
    talk_say(client, "delete hot\r\n");
    is_told_ahead("hot", 1);
    answer_told();
    nodes_settle(c);
    frame_silent(client);
    answer_told();
    talk_hear(client, "DELETED\r\n");
}

static void without_waiting_it_would_be_stale(void **state) {
    (void)state;
    store("set hot 0 0 3\r\nold\r\n");
    hold("hot");
    sync_store_rel(&mutation, "hold.mutate.no_wait");
    talk_say(client, "set hot 0 0 3\r\nnew\r\n");
    talk_hear(client, "STORED\r\n"); /* the shortcut is noticed: the holder was not told */
}

/* A holder that cannot be reached is told again, and its copies end. */
static void a_broken_link_is_made_anew(void **state) {
    (void)state;
    store("set hot 0 0 3\r\nold\r\n");
    hold("hot");
    talk_say(client, "set hot 0 0 3\r\nnew\r\n");
    is_told("hot");
    close(told);
    told = -1;
    nodes_advance(c, 60);
    is_told("hot");
    answer_told();
    talk_hear(client, "STORED\r\n");
}

/* Every command that changes an item, and those that do not. */
static void all_changes_wait(void **state) {
    static const struct {
        const char *request, *answer; /* an answer's beginning */
    } changes[] = {
        {"set hot 0 0 1\r\n1\r\n", "STORED\r\n"},
        {"set hot 0 0 1 noreply\r\n1\r\nmn\r\n", "MN\r\n"},
        {"set hot 7 0 1\r\n123\r\nmn\r\n", "CLIENT_ERROR bad data chunk\r\n"},
        {"add hot 0 0 1\r\n1\r\n", "NOT_STORED\r\n"},
        {"replace hot 0 0 1\r\n1\r\n", "STORED\r\n"},
        {"append hot 0 0 1\r\n1\r\n", "STORED\r\n"},
        {"prepend hot 0 0 1\r\n1\r\n", "STORED\r\n"},
        {"cas hot 0 0 1 1\r\n1\r\n", "EXISTS\r\n"},
        {"set hot|#|t=x 0 0 1\r\n1\r\n", "STORED\r\n"},
        {"incr hot 1\r\n", "6\r\n"},
        {"decr hot 1\r\n", "4\r\n"},
        {"touch hot 100\r\n", "TOUCHED\r\n"},
        {"gat 100 hot\r\n", "VALUE hot 0 1\r\n5\r\nEND\r\n"},
        {"gats 100 hot\r\n", "VALUE hot 0 1 "},
        {"delete hot\r\n", "DELETED\r\n"},
        {"ms hot 1\r\n1\r\n", "HD\r\n"},
        {"ms hot 1 T100 F3\r\n1\r\n", "HD\r\n"},
        {"ms aG90 1 b\r\n1\r\n", "HD\r\n"},
        {"md hot\r\n", "HD\r\n"},
        {"md hot I\r\n", "HD\r\n"},
        {"md aG90 b\r\n", "HD\r\n"},
        {"ma hot v\r\n", "VA 1\r\n6\r\n"},
        {"mg hot v T100\r\n", "VA 1\r\n5\r\n"},
        {"mg hot v N100\r\n", "VA 1\r\n5\r\n"},
        {"mg hot v R100\r\n", "VA 1\r\n5\r\n"},
        {"tag_add x hot\r\n", "TAG_STORED\r\n"},
    };
    static const char *const reads[] = {"get hot\r\n", "gets hot\r\n", "mg hot v c t\r\n", "me hot\r\n",
                                        "mg hot h l\r\n"};
    (void)state;
    for (unsigned i = 0; i < sizeof changes / sizeof *changes; i++) {
        store("set hot 0 0 1\r\n5\r\n");
        nodes_advance(c, HOLDERS_QUIET_MS);
        hold("hot");
        talk_say(client, changes[i].request);
        is_told("hot");
        nodes_settle(c);
        frame_silent(client);
        answer_told();
        talk_hear(client, changes[i].answer);
        talk_say(client, "mn\r\n");
        free(talk_read(client, "MN\r\n"));
    }
    store("set hot 0 0 1\r\n5\r\n");
    nodes_advance(c, HOLDERS_QUIET_MS);
    hold("hot");
    for (unsigned i = 0; i < sizeof reads / sizeof *reads; i++) {
        talk_say(client, reads[i]);
        free(talk_read(client, "\r\n"));
        talk_say(client, "mn\r\n");
        free(talk_read(client, "MN\r\n"));
    }
    frame_silent(told);
}

static void packets_wait_too(void **state) {
    static const char set[] = "\x80\x01\0\3\x8\0\0\0\0\0\0\xe\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0hotnew",
                      quiet[] = "\x80\x11\0\3\x8\0\0\0\0\0\0\xe\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0hotnew"
                                "\x80\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
                      delete[] = "\x80\x04\0\3\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0\0\0\0\0\0hot",
                      touch[] = "\x80\x1c\0\3\4\0\0\0\0\0\0\7\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x64hot";
    static const struct {
        const char *p;
        size_t n;
    } packets[] = {
        {set, sizeof set - 1}, {quiet, sizeof quiet - 1}, {touch, sizeof touch - 1}, {delete, sizeof delete - 1}};
    (void)state;
    int binary = nodes_connect_binary(c, 0);
    for (unsigned i = 0; i < 4; i++) {
        char answer[24];
        store("set hot 0 0 1\r\n5\r\n");
        nodes_advance(c, HOLDERS_QUIET_MS);
        hold("hot");
        talk_send(binary, packets[i].p, packets[i].n);
        is_told("hot");
        nodes_settle(c);
        frame_silent(binary);
        answer_told();
        talk_take(binary, answer, sizeof answer);
        assert_int_equal(answer[6] | answer[7], 0);
        if (answer[11] == 4) talk_take(binary, answer, 4);
    }
    close(binary);
}

/* A large value waits when it is complete, and when it is given up the holders are told all the same. */
static void large_values_wait_too(void **state) {
    enum { LARGE = 100000 };
    char *body = malloc(LARGE + 64);
    (void)state;
    assert_non_null(body);
    store("set hot 0 0 1\r\n5\r\n");
    const int n = sprintf(body, "set hot 0 0 %d\r\n", LARGE);
    memset(body + n, 'x', LARGE);
    memcpy(body + n + LARGE, "\r\n", 2);
    talk_send(client, body, (size_t)n + LARGE / 2);
    nodes_settle(c);
    hold("hot");
    talk_send(client, body + n + LARGE / 2, (size_t)LARGE - LARGE / 2 - (size_t)n + 2);
    talk_send(client, body + LARGE + 2, (size_t)n);
    is_told("hot");
    nodes_settle(c);
    frame_silent(client);
    answer_told();
    talk_hear(client, "STORED\r\n");
    free(body);
}

/* Frames of a peer wait in their order. */
static void a_peers_change_waits(void **state) {
    (void)state;
    store("set hot 0 0 3\r\nold\r\n");
    hold("hot");
    int writer = nodes_dial(c, 0, CMD_LINK_DATA);
    const uint64_t version = 7;
    frame_send(writer, 0, LINK_RING, 0, 0, &version, sizeof version);
    frame_send(writer, 0, LINK_GET, 0, UINT16_MAX, "hot", 3);
    frame_send(writer, 1, LINK_COMMAND, 0, UINT16_MAX, "set hot 0 0 3\r\nnew\r\n", 20);
    frame_send(writer, 2, LINK_GET, 0, UINT16_MAX, "hot", 3);
    frame_answered(writer, 0, LINK_DONE, 0, "VALUE hot 0 3\r\nold\r\n");
    is_told("hot");
    nodes_settle(c);
    frame_silent(writer);
    answer_told();
    frame_answered(writer, 1, LINK_DONE, 0, "STORED\r\n");
    frame_answered(writer, 2, LINK_DONE, 0, "VALUE hot 0 3\r\nnew\r\n");
    close(writer);
}

/* Whoever waits and goes away is not waited for, and its change is not done. */
static void a_client_that_goes_away_waits_no_more(void **state) {
    (void)state;
    store("set hot 0 0 3\r\nold\r\n");
    hold("hot");
    talk_say(client, "set hot 0 0 3\r\nnew\r\n");
    is_told("hot");
    close(client);
    client = nodes_connect(c, 0);
    answer_told();
    nodes_settle(c);
    talk_say(client, "set hot 0 0 3\r\nnow\r\n");
    talk_hear(client, "STORED\r\n");
}

static void on_done(void *arg) {
    sync_store_rel((uint32_t *)arg, 1);
}

/* The next view gives all keys to the peer, which holds a copy and is told; *done is 1 once the node goes by it. */
static void lose_hot(uint32_t *done) {
    const struct view_member members[2] = {{.number = 1}, {.number = 2}};
    struct view *v;
    store("set hot 0 0 3\r\nold\r\n");
    hold("hot");
    assert_int_equal(view_new(8, NULL, members, 2, 0, 1, &v), 0);
    assert_int_equal(cmd_set_view(node_cmd(c->node[0].node), v, on_done, done), 0);
    is_told("hot");
}

/* Another owner may change what was this node's once it goes by the next view: so it does not, before no copy is left.
 */
static void all_copies_are_recalled_with_the_view(void **state) {
    uint32_t done = 0;
    (void)state;
    lose_hot(&done);
    nodes_settle(c);
    assert_int_equal(sync_load_acq(&done), 0);
    answer_told();
    while (!sync_load_acq(&done)) sched_yield();
}

/* ... or until they have ended. */
static void a_view_waits_for_copies_to_end(void **state) {
    uint32_t done = 0;
    (void)state;
    lose_hot(&done);
    nodes_advance(c, HOLDERS_KEPT_MS - 1);
    nodes_settle(c);
    assert_int_equal(sync_load_acq(&done), 0);
    nodes_advance(c, 1);
    while (!sync_load_acq(&done)) sched_yield();
}

/* Waits are many, and end together. */
static void many_wait_for_one_key(void **state) {
    enum { CLIENTS = 20 };
    int many[CLIENTS];
    (void)state;
    store("set hot 0 0 1\r\n0\r\n");
    hold("hot");
    for (unsigned i = 0; i < CLIENTS; i++) {
        many[i] = nodes_connect(c, 0);
        talk_send(many[i], "incr hot 1\r\n", 12);
    }
    is_told("hot");
    nodes_settle(c);
    for (unsigned i = 0; i < CLIENTS; i++) frame_silent(many[i]);
    answer_told();
    for (unsigned i = 0; i < CLIENTS; i++) {
        free(talk_read(many[i], "\r\n"));
        close(many[i]);
    }
    talk_expect(client, "get hot\r\n", "VALUE hot 0 2\r\n20\r\nEND\r\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_copy_has_all_that_is_needed, begin, end),
        cmocka_unit_test_setup_teardown(not_every_item_is_copied, begin, end),
        cmocka_unit_test_setup_teardown(large_values_are_not_copied, begin, end),
        cmocka_unit_test_setup_teardown(no_copy_without_leases, begin, end),
        cmocka_unit_test_setup_teardown(no_copy_by_another_ring_or_to_nobody, begin, end),
        cmocka_unit_test_setup_teardown(a_change_waits_for_the_holder, begin, end),
        cmocka_unit_test_setup_teardown(or_until_the_copy_has_ended, begin, end),
        cmocka_unit_test_setup_teardown(an_answer_counts_for_the_change_that_was_told_of, begin, end),
        cmocka_unit_test_setup_teardown(without_waiting_it_would_be_stale, begin, end),
        cmocka_unit_test_setup_teardown(a_broken_link_is_made_anew, begin, end),
        cmocka_unit_test_setup_teardown(all_changes_wait, begin, end),
        cmocka_unit_test_setup_teardown(packets_wait_too, begin, end),
        cmocka_unit_test_setup_teardown(large_values_wait_too, begin, end),
        cmocka_unit_test_setup_teardown(a_peers_change_waits, begin, end),
        cmocka_unit_test_setup_teardown(a_client_that_goes_away_waits_no_more, begin, end),
        cmocka_unit_test_setup_teardown(all_copies_are_recalled_with_the_view, begin, end),
        cmocka_unit_test_setup_teardown(a_view_waits_for_copies_to_end, begin, end),
        cmocka_unit_test_setup_teardown(many_wait_for_one_key, begin, end),
    };
    fault_hook = on_fault;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
