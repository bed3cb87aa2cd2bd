/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Keys that move between nodes, as the workers of their former owner see it: what a new owner gets that pulls. */
#include "frames.h"

#include "cluster/handoff.h"
#include "cluster/mutation.h"
#include "cmd/cmd.h"
#include "cmd/cmd_link.h"
#include "cmd/cmd_pull.h"
#include "node_handles.h"
#include "node_handoff.h"
#include "proto/moved_item.h"
#include "store/store.h"
#include "tests/lib/nodes.h"

#define PORT 11300
#define RING 8 /* the ring's version after the change */

static uint64_t metric(struct nodes *c, enum cmd_metric m) {
    return cmd_metric(node_cmd(c->node[0].node), m);
}

static void ask(int fd, uint32_t seq, enum link_kind kind, const char *payload) {
    frame_send(fd, seq, kind, 0, 200, payload, strlen(payload));
}

/* Node 0 has all keys, by a ring of this version. */
static struct nodes *begin_owning(uint64_t version) {
    struct nodes *c = nodes_new(3);
    assert_non_null(c);
    assert_int_equal(nodes_start(c, 0, talk_sockets(), "-t 1"), 0);
    nodes_cover(c, 0, 5);
    nodes_view_ring(c, 0, version, 1 << 0, PORT);
    return c;
}

static void store(struct nodes *c, const char *set) {
    int client = nodes_connect(c, 0);
    talk_say(client, set);
    talk_hear(client, "STORED\r\nMN\r\n");
    close(client);
}

/* Node 0 had all keys; member 1, the test, has them now. Member 2 has none. */
static struct nodes *begin_giving(void) {
    struct nodes *c = begin_owning(RING - 1);
    store(c, "set a|#|t=x,y 9 100 1\r\nA\r\nmn\r\n");
    nodes_view_move(c, 0, RING, 1 << 0, 1 << 1, PORT, MOVE_NONE);
    return c;
}

static void say_cover(int fd, uint32_t number, uint64_t sequence) {
    const struct cover cover = {.version = 1, .epoch = 1, .n = 1, .seen = {{1, sequence}}};
    uint8_t p[PULL_COVER_MAX];
    memcpy(p, &number, sizeof number);
    frame_send(fd, 0, LINK_COVER, 0, 0, p, sizeof number + cover_pack(&cover, p + sizeof number));
}

static void the_new_owner_gets_the_item(void **state) {
    struct nodes *c = begin_giving();
    int fd = nodes_dial(c, 0, CMD_LINK_DATA);
    struct moved_item it;
    (void)state;
    ask(fd, 1, LINK_PULL, "a"); /* without a word about purges */
    frame_answered(fd, 1, LINK_BEHIND, 0, "");
    say_cover(fd, 2, 5);
    ask(fd, 2, LINK_PULL, "a");
    ask(fd, 3, LINK_PULL, "none");
    struct frame f = frame_next(fd);
    assert_int_equal(f.h.kind, LINK_DONE);
    assert_int_equal(moved_item_read((uint8_t *)f.p, f.h.bytes, &it), f.h.bytes);
    assert_int_equal(it.nkey, 1);
    assert_int_equal(it.flags, 9);
    assert_int_equal(it.ntags, 2);
    assert_int_equal(it.ttl_s, 101);
    assert_int_equal(it.nvalue, 1);
    free(f.p);
    frame_answered(fd, 3, LINK_DONE, 0, "");
    say_cover(fd, 3, 5); /* somebody else gets nothing */
    ask(fd, 4, LINK_PULL, "a");
    frame_answered(fd, 4, LINK_DONE, 0, "");
    ask(fd, 5, LINK_GET, "a"); /* nor does anybody by asking as an owner is asked */
    struct frame g = frame_next(fd);
    assert_int_equal(g.h.kind, LINK_NOT_OWNER);
    free(g.p);
    assert_int_equal(metric(c, CMD_METRIC_pulls_received), 4);
    assert_int_equal(metric(c, CMD_METRIC_pulls_given), 1);
    close(fd);
    nodes_free(c);
}

/* What a walk for member 2, the node of index 1, finds to give. */
static unsigned walk(struct nodes *c, struct handoff_key keys[8]) {
    struct node_handoff *h = node_handoff_new(node_store(c->node[0].node), node_handle(1, NODE_HANDLE_HANDOFF), NULL);
    struct handoff_store s;
    struct handoff_cursor at = {0};
    unsigned n = 0;
    assert_non_null(h);
    node_handoff_store(h, &s);
    c->node[0].move->receiver[0] = 2;
    node_handoff_set_move(h, c->node[0].move);
    while (!at.done) n += s.scan(s.arg, 2, &at, 0, keys + n, 8 - n);
    node_handoff_free(h);
    return n;
}

/* Node 0 stored a key, lost the arc, and got it back: it serves only what is newer, and gives only that away. */
static void what_is_outdated_here_is_given_to_nobody(void **state) {
    struct nodes *c = begin_owning(RING - 3);
    struct handoff_key keys[8];
    (void)state;
    store(c, "set old 0 100 1\r\nA\r\nmn\r\n");
    nodes_view_ring(c, 0, RING - 2, 1 << 1, PORT); /* the other node deletes it, and stores it anew */
    nodes_view_ring(c, 0, RING - 1, 1 << 0, PORT);
    store(c, "set new 0 100 1\r\nB\r\nmn\r\n");
    nodes_view_move(c, 0, RING, 1 << 0, 1 << 1, PORT, MOVE_NONE);
    int fd = nodes_dial(c, 0, CMD_LINK_DATA);
    say_cover(fd, 2, 5);
    ask(fd, 1, LINK_PULL, "old");
    frame_answered(fd, 1, LINK_DONE, 0, "");
    ask(fd, 2, LINK_PULL, "new");
    struct frame f = frame_next(fd);
    assert_int_equal(f.h.kind, LINK_DONE);
    assert_true(f.h.bytes > 0);
    free(f.p);
    assert_int_equal(walk(c, keys), 1);
    assert_int_equal(keys[0].nkey, 3);
    assert_memory_equal(keys[0].key, "new", 3);
    close(fd);
    nodes_free(c);
}

static bool gives_behind(enum mutation m) {
    mutation_on = m; /* while nobody else runs */
    struct nodes *c = begin_giving();
    int fd = nodes_dial(c, 0, CMD_LINK_DATA);
    say_cover(fd, 2, 6); /* a purge that node 0 does not know yet */
    ask(fd, 1, LINK_PULL, "a");
    struct frame f = frame_next(fd);
    const bool gives = f.h.kind == LINK_DONE;
    assert_true(gives || f.h.kind == LINK_BEHIND);
    free(f.p);
    nodes_cover(c, 0, 6);
    say_cover(fd, 2, 6);
    ask(fd, 2, LINK_PULL, "a");
    f = frame_next(fd);
    assert_int_equal(f.h.kind, LINK_DONE);
    assert_true(f.h.bytes > 0);
    free(f.p);
    close(fd);
    nodes_free(c);
    mutation_on = MUTATION_NONE;
    return gives;
}

static void nothing_is_given_that_a_purge_may_have_taken(void **state) {
    (void)state;
    assert_false(gives_behind(MUTATION_NONE));
    assert_true(gives_behind(MUTATION_PULL_NO_VECTOR));
}

static void bad_pulls_end_the_link(void **state) {
    struct nodes *c = begin_giving();
    char long_key[STORE_KEY_MAX + 2];
    (void)state;
    memset(long_key, 'k', sizeof long_key - 1);
    long_key[sizeof long_key - 1] = '\0';
    for (unsigned i = 0; i < 4; i++) {
        int fd = nodes_dial(c, 0, CMD_LINK_DATA);
        switch (i) {
        case 0: ask(fd, 1, LINK_PULL, long_key); break;
        case 1: frame_send(fd, 1, LINK_PULL, LINK_PART, 200, "short", 5); break;
        case 2: frame_send(fd, 0, LINK_COVER, 0, 0, "short", 5); break;
        default: frame_send(fd, 0, LINK_COVER, 0, 0, long_key, 4); break;
        }
        frame_ended(fd);
    }
    nodes_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_new_owner_gets_the_item),
        cmocka_unit_test(what_is_outdated_here_is_given_to_nobody),
        cmocka_unit_test(nothing_is_given_that_a_purge_may_have_taken),
        cmocka_unit_test(bad_pulls_end_the_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
