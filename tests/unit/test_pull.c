/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Keys that move between nodes, as the workers of their new owner see it: node 0 has gained all keys, and the test is
 * the node that had them; a client; and a third node that asks. */
#include "frames.h"

#include <errno.h>

#include "base/hash.h"
#include "cluster/mutation.h"
#include "cluster/written.h"
#include "cmd/cmd.h"
#include "cmd/cmd_link.h"
#include "cmd/cmd_pull.h"
#include "proto/moved_item.h"
#include "store/store.h"
#include "tests/lib/nodes.h"

#define PORT 11300
#define RING 8 /* the ring's version after the change */

/* Node 0, of one worker, has gained all keys from member 1, the test. */
static struct nodes *begin(enum move_state state) {
    struct nodes *c = nodes_new(3);
    assert_non_null(c);
    assert_int_equal(nodes_start(c, 0, talk_sockets(), "-t 1"), 0);
    nodes_cover(c, 0, 5);
    nodes_view_move(c, 0, RING, 1 << 1, 1 << 0, PORT, state);
    return c;
}

static uint64_t metric(struct nodes *c, enum cmd_metric m) {
    return cmd_metric(node_cmd(c->node[0].node), m);
}

static uint64_t stored(struct nodes *c, enum store_metric m) {
    return store_metric(node_store(c->node[0].node), m);
}

/* The next frame but for RING. */
static struct frame next(int fd) {
    struct frame f = frame_next(fd);
    while (f.h.kind == LINK_RING) {
        free(f.p);
        f = frame_next(fd);
    }
    return f;
}

/* The next pull must be for this key, from byte `at` on; a cover stands before it if `covered`. Its seq. */
static uint32_t pulled_from(int fd, const char *key, uint64_t at, bool covered) {
    struct frame f = next(fd);
    if (covered) {
        uint32_t number;
        struct cover cover;
        assert_int_equal(f.h.kind, LINK_COVER);
        memcpy(&number, f.p, sizeof number);
        assert_int_equal(number, 1);
        assert_true(cover_read((uint8_t *)f.p + sizeof number, f.h.bytes - sizeof number, &cover));
        assert_int_equal(cover.seen[0].origin, 1);
        free(f.p);
        f = frame_next(fd);
    }
    assert_int_equal(f.h.kind, LINK_PULL);
    assert_int_equal(f.h.flags, at > 0 ? LINK_PART : 0);
    if (at > 0) assert_memory_equal(f.p, &at, sizeof at);
    assert_string_equal(f.p + (at > 0 ? sizeof at : 0), key);
    free(f.p);
    return f.h.seq;
}

static uint32_t pulled(int fd, const char *key) {
    return pulled_from(fd, key, 0, true);
}

/* Answers a pull with an item, or the part of one from byte `at` on. */
static void give_part(int fd, uint32_t seq, const struct moved_item *it) {
    uint8_t *record = malloc(moved_item_bytes(it));
    assert_non_null(record);
    frame_send(fd, seq, LINK_DONE, 0, 0, record, moved_item_pack(it, record));
    free(record);
}

static void give(int fd, uint32_t seq, const char *key, const char *value, uint64_t tag) {
    const struct moved_item it = {.key = key,
                                  .nkey = (unsigned)strlen(key),
                                  .value = value,
                                  .nvalue = (uint32_t)strlen(value),
                                  .size = strlen(value),
                                  .version = 3,
                                  .flags = 9,
                                  .ttl_s = 100,
                                  .ntags = tag != 0,
                                  .tags = {tag}};
    give_part(fd, seq, &it);
}

/* ------------------------------------------------------------------ pulling */

static void what_is_not_here_is_pulled_first(void **state) {
    struct nodes *c = begin(MOVE_PULLING);
    int client = nodes_connect(c, 0);
    (void)state;
    talk_say(client, "get a b\r\nmg c t f v\r\nmn\r\n");
    int peer = nodes_accept(c, 0, NULL);
    uint32_t seq = pulled(peer, "a");
    assert_int_equal(pulled_from(peer, "b", 0, false), seq + 1); /* one cover for all of a batch */
    assert_int_equal(pulled_from(peer, "c", 0, false), seq + 2);
    give(peer, seq, "a", "A", 0);
    frame_answer(peer, seq + 1, LINK_DONE, "");
    give(peer, seq + 2, "c", "C", 0);
    talk_hear(client, "VALUE a 9 1\r\nA\r\nEND\r\nVA 1 t99 f9\r\nC\r\nMN\r\n");
    assert_int_equal(metric(c, CMD_METRIC_pulls_sent), 3);
    assert_int_equal(metric(c, CMD_METRIC_pulls_kept), 2);
    /* What has come is here now; what was not there is asked for again. */
    talk_say(client, "get a b\r\n");
    frame_answer(peer, pulled(peer, "b"), LINK_DONE, "");
    talk_hear(client, "VALUE a 9 1\r\nA\r\nEND\r\n");
    /* Once the move has ended, what is here is all there is. */
    move_set_state(c->node[0].move, 0, MOVE_NONE);
    talk_say(client, "get a b\r\n");
    talk_hear(client, "VALUE a 9 1\r\nA\r\nEND\r\n");
    close(client);
    close(peer);
    nodes_free(c);
}

static void changes_find_what_was_there(void **state) {
    struct nodes *c = begin(MOVE_PULLING);
    int client = nodes_connect(c, 0);
    (void)state;
    talk_say(client,
             "incr n 1\r\nappend a 0 0 1\r\n+\r\ndelete d\r\nadd e 0 0 1\r\nE\r\ntouch t 5\r\nma m N0 J7 v\r\n");
    int peer = nodes_accept(c, 0, NULL);
    uint32_t seq = pulled(peer, "n");
    for (const char *p = "adetm"; *p; p++) pulled_from(peer, (char[]){*p, '\0'}, 0, false);
    give(peer, seq++, "n", "41", 0);
    give(peer, seq++, "a", "A", 0);
    give(peer, seq++, "d", "D", 0);
    give(peer, seq++, "e", "old", 0);
    give(peer, seq++, "t", "T", 0);
    frame_answer(peer, seq++, LINK_DONE, "");
    talk_hear(client, "42\r\nSTORED\r\nDELETED\r\nNOT_STORED\r\nTOUCHED\r\nVA 1\r\n7\r\n");
    /* All of them are noted, so nothing of them is asked for any more, not even what was deleted. */
    talk_say(client, "get n a d e t m\r\nmn\r\n");
    talk_hear(client, "VALUE n 9 2\r\n42\r\nVALUE a 9 2\r\nA+\r\nVALUE e 9 3\r\nold\r\nVALUE t 9 1\r\nT\r\n"
                      "VALUE m 0 1\r\n7\r\nEND\r\nMN\r\n");
    frame_silent(peer);
    assert_int_equal(written_count(c->node[0].move->written), 6);
    close(client);
    close(peer);
    nodes_free(c);
}

static void a_set_asks_nobody(void **state) {
    struct nodes *c = begin(MOVE_PULLING);
    int client = nodes_connect(c, 0), packets = nodes_connect_binary(c, 0);
    char packet[24 + 8 + 2] = {(char)0x80, 1, 0, 1, 8, 0, 0, 0, 0, 0, 0, 10};
    (void)state;
    memcpy(packet + 32, "pP", 2);
    talk_send(packets, packet, sizeof packet);
    talk_take(packets, packet, 24);
    assert_int_equal(packet[6] | packet[7], 0);
    talk_say(client, "set a 0 0 1\r\nA\r\nset b|#|t=x 0 0 1\r\nB\r\nms c 1\r\nC\r\nms d 1 Gx\r\nD\r\n");
    int peer = nodes_accept(c, 0, NULL);
    frame_answer(peer, pulled(peer, "d"), LINK_DONE, ""); /* it does not go the quick way, so it counts as guarded */
    talk_hear(client, "STORED\r\nSTORED\r\nHD\r\nHD\r\n");
    talk_say(client, "get a b c d p\r\n");
    talk_hear(client, "VALUE a 0 1\r\nA\r\nVALUE b 0 1\r\nB\r\nVALUE c 0 1\r\nC\r\nVALUE d 0 1\r\nD\r\n"
                      "VALUE p 0 1\r\nP\r\nEND\r\n");
    assert_int_equal(written_count(c->node[0].move->written), 5);
    frame_silent(peer);
    close(client);
    close(packets);
    close(peer);
    nodes_free(c);
}

/* Before a donor that is late is READY nobody is asked and nobody waits; what is changed is noted for when it is. */
static void a_late_donor_is_not_waited_for(void **state) {
    struct nodes *c = begin(MOVE_LATE);
    int client = nodes_connect(c, 0);
    (void)state;
    talk_say(client, "get a b\r\nset a 0 0 1\r\nA\r\ndelete b\r\n");
    talk_hear(client, "END\r\nSTORED\r\nNOT_FOUND\r\n");
    assert_int_equal(written_count(c->node[0].move->written), 2);
    move_set_state(c->node[0].move, 0, MOVE_PULLING);
    talk_say(client, "get a b c\r\n");
    int peer = nodes_accept(c, 0, NULL);
    give(peer, pulled(peer, "c"), "c", "C", 0);
    talk_hear(client, "VALUE a 0 1\r\nA\r\nVALUE c 9 1\r\nC\r\nEND\r\n");
    frame_silent(peer);
    close(client);
    close(peer);
    nodes_free(c);
}

/* An answer that comes after a write, or a delete, of the key is refused. */
static bool comes_back_after_a_delete(enum mutation m) {
    mutation_on = m; /* while nobody else runs */
    struct nodes *c = begin(MOVE_PULLING);
    int reader = nodes_connect(c, 0), writer = nodes_connect(c, 0);
    talk_say(reader, "get k\r\n");
    int peer = nodes_accept(c, 0, NULL);
    uint32_t seq = pulled(peer, "k");
    talk_say(writer, "set k 0 0 3\r\nnew\r\n");
    talk_hear(writer, "STORED\r\n");
    talk_say(writer, "delete k\r\n");
    talk_hear(writer, "DELETED\r\n");
    give(peer, seq, "k", "old", 0);
    char *got = talk_read(reader, "END\r\n");
    const bool back = strcmp(got, "END\r\n") != 0;
    assert_int_equal(stored(c, STORE_METRIC_handoff_refused_written), !back);
    free(got);
    close(reader);
    close(writer);
    close(peer);
    nodes_free(c);
    mutation_on = MUTATION_NONE;
    return back;
}

static void deletes_are_not_undone(void **state) {
    (void)state;
    assert_false(comes_back_after_a_delete(MUTATION_NONE));
    assert_true(comes_back_after_a_delete(MUTATION_NO_WRITTEN));
}

/* An item that was asked for before a purge of its tag is refused. */
static bool comes_back_after_a_purge(enum mutation m) {
    mutation_on = m; /* while nobody else runs */
    struct nodes *c = begin(MOVE_PULLING);
    int reader = nodes_connect(c, 0), other = nodes_connect(c, 0);
    talk_say(reader, "get k\r\n");
    int peer = nodes_accept(c, 0, NULL);
    uint32_t seq = pulled(peer, "k");
    talk_say(other, "purge tag\r\n");
    talk_hear(other, "PURGED\r\n");
    nodes_cover(c, 0, 6); /* what counts is the number from before the pull was sent */
    give(peer, seq, "k", "old", hash_tag("tag", 3));
    char *got = talk_read(reader, "END\r\n");
    const bool back = strcmp(got, "END\r\n") != 0;
    assert_int_equal(stored(c, STORE_METRIC_handoff_refused_purged), !back);
    free(got);
    close(reader);
    close(other);
    close(peer);
    nodes_free(c);
    mutation_on = MUTATION_NONE;
    return back;
}

static void purges_are_not_undone(void **state) {
    (void)state;
    assert_false(comes_back_after_a_purge(MUTATION_NONE));
    assert_true(comes_back_after_a_purge(MUTATION_PULL_NO_GUARD));
}

static void a_donor_that_is_behind_is_asked_again(void **state) {
    struct nodes *c = begin(MOVE_PULLING);
    int client = nodes_connect(c, 0);
    (void)state;
    talk_say(client, "get a\r\nmn\r\n");
    int peer = nodes_accept(c, 0, NULL);
    frame_answer(peer, pulled(peer, "a"), LINK_BEHIND, "");
    nodes_advance(c, PULL_AGAIN_MS - 1);
    nodes_settle(c);
    frame_silent(peer);
    nodes_advance(c, 2);
    give(peer, pulled(peer, "a"), "a", "A", 0);
    talk_hear(client, "VALUE a 9 1\r\nA\r\nEND\r\nMN\r\n");
    close(client);
    close(peer);
    nodes_free(c);
}

/* Misses: the donor does not answer in time, breaks off, is not to be had, sends something else; or this node may not
 * pull, since a purge was applied here alone. */
static void what_cannot_be_pulled_is_a_miss(void **state) {
    struct nodes *c = begin(MOVE_PULLING);
    int client = nodes_connect(c, 0);
    (void)state;
    talk_say(client, "get a\r\n");
    int peer = nodes_accept(c, 0, NULL);
    pulled(peer, "a");
    nodes_advance(c, CMD_PEER_TIMEOUT_MS);
    talk_hear(client, "END\r\n");
    talk_say(client, "get b\r\n");
    pulled(peer, "b");
    close(peer);
    peer = nodes_accept(c, 0, NULL); /* once more */
    pulled(peer, "b");
    close(peer);
    talk_hear(client, "END\r\n");
    talk_say(client, "get c\r\n");
    assert_int_equal(nodes_accept(c, -ECONNREFUSED, NULL), -1);
    talk_hear(client, "END\r\n");
    nodes_advance(c, LINK_FAILED_MS);
    talk_say(client, "get d\r\n");
    peer = nodes_accept(c, 0, NULL);
    give(peer, pulled(peer, "d"), "other", "D", 0);
    talk_hear(client, "END\r\n");
    frame_ended(peer);
    const struct cover none = {.usable = false};
    cover_publish(&c->node[0].cover, &none);
    talk_say(client, "get e\r\nincr f 1\r\n");
    assert_int_equal(metric(c, CMD_METRIC_forward_errors), 0);
    peer = nodes_accept(c, 0, NULL);
    talk_hear(client, "END\r\nNOT_FOUND\r\n");
    frame_silent(peer);
    close(client);
    close(peer);
    nodes_free(c);
}

static void large_values_come_in_parts(void **state) {
    enum { SIZE = 150000 };
    struct nodes *c = begin(MOVE_PULLING);
    int client = nodes_connect(c, 0);
    char *value = malloc(SIZE + 64);
    (void)state;
    assert_non_null(value);
    for (unsigned i = 0; i < SIZE; i++) value[i] = (char)('a' + i % 26);
    talk_say(client, "get big small\r\n");
    int peer = nodes_accept(c, 0, NULL);
    uint32_t seq = pulled(peer, "big");
    pulled_from(peer, "small", 0, false);
    struct moved_item it = {.key = "big", .nkey = 3, .size = SIZE, .version = 8, .ttl_s = MOVED_ITEM_TTL_NEVER};
    for (it.at = 0; it.at < SIZE; it.at += it.nvalue) {
        it.value = value + it.at;
        it.nvalue = SIZE - it.at < 50000 ? (uint32_t)(SIZE - it.at) : 50000;
        if (it.at > 0) seq = pulled_from(peer, "big", it.at, true);
        give_part(peer, seq, &it);
        if (it.at == 0) give(peer, seq + 1, "small", "S", 0);
        nodes_advance(c, CMD_PEER_TIMEOUT_MS - 20); /* each part has its own deadline */
    }
    char head[32], *got = malloc(SIZE);
    assert_non_null(got);
    snprintf(head, sizeof head, "VALUE big 0 %d\r\n", SIZE);
    talk_hear(client, head);
    talk_take(client, got, SIZE);
    assert_memory_equal(got, value, SIZE);
    talk_hear(client, "\r\nVALUE small 9 1\r\nS\r\nEND\r\n");
    free(got);
    free(value);
    close(client);
    close(peer);
    nodes_free(c);
}

/* Once the written set has no room for more, nothing is asked for any more. */
static void a_full_written_set_ends_pulls(void **state) {
    struct nodes *c = begin(MOVE_PULLING);
    int client = nodes_connect(c, 0);
    (void)state;
    talk_say(client, "get a\r\n");
    int peer = nodes_accept(c, 0, NULL);
    uint32_t seq = pulled(peer, "a");
    written_close(c->node[0].move->written);
    give(peer, seq, "a", "A", 0); /* nor is anything taken over */
    talk_hear(client, "END\r\n");
    talk_say(client, "incr a 1\r\nget b\r\n");
    talk_hear(client, "NOT_FOUND\r\nEND\r\n");
    frame_silent(peer);
    close(client);
    close(peer);
    nodes_free(c);
}

/* Blocks that are too large to wait for: what is not a plain set pulls before its block is received, and the key is
 * noted when it is stored; whether a client sends it, or a node on a transfer link. */
static void large_blocks(bool transfer) {
    enum { SIZE = 40000 };
    struct nodes *c = begin(MOVE_PULLING);
    int fd = transfer ? nodes_dial(c, 0, CMD_LINK_TRANSFER) : nodes_connect(c, 0);
    char *block = malloc(SIZE + 3), line[64];
    assert_non_null(block);
    memset(block, 'x', SIZE);
    memcpy(block + SIZE, "\r\n", 3);
    snprintf(line, sizeof line, "set a 0 0 %d\r\n", SIZE);
    talk_say(fd, line);
    talk_say(fd, block);
    talk_hear(fd, "STORED\r\n");
    snprintf(line, sizeof line, "add b 0 0 %d\r\n", SIZE);
    talk_say(fd, line);
    int peer = nodes_accept(c, 0, NULL);
    uint32_t seq = pulled(peer, "b");
    talk_say(fd, block);
    give(peer, seq, "b", "old", 0);
    talk_hear(fd, "NOT_STORED\r\n");
    assert_int_equal(written_count(c->node[0].move->written), 2);
    talk_say(fd, "get b\r\n");
    talk_hear(fd, "VALUE b 9 3\r\nold\r\nEND\r\n");
    free(block);
    close(fd);
    close(peer);
    nodes_free(c);
}

static void large_blocks_of_clients(void **state) {
    (void)state;
    large_blocks(false);
}

static void large_blocks_of_nodes(void **state) {
    (void)state;
    large_blocks(true);
}

/* ------------------------------------------------------------------ before the former owner has stopped */

/* A key that the ring gives to the member with this index. */
static const char *key_of(const struct view *v, unsigned owner) {
    static char key[128];
    const char *p = key;
    uint16_t got = VIEW_NOBODY;
    for (unsigned i = 0; got != owner; i++) {
        const uint32_t len = (uint32_t)snprintf(key, sizeof key, "key%u", i);
        view_owners(v, &p, &len, 1, &got, &(uint64_t){0});
    }
    return key;
}

/* Half of the keys are moving here, the others to member 2, who says so. */
static void clients_wait_until_the_donor_is_ready(void **state) {
    struct nodes *c = nodes_new(3);
    char line[512], own[128], other[128];
    (void)state;
    assert_non_null(c);
    assert_int_equal(nodes_start(c, 0, talk_sockets(), "-t 1"), 0);
    nodes_cover(c, 0, 5);
    nodes_view_move(c, 0, RING, 1 << 1, 1 << 0 | 1 << 2, PORT, MOVE_ASKED);
    strcpy(own, key_of(c->node[0].view, 0));
    strcpy(other, key_of(c->node[0].view, 1));
    int client = nodes_connect(c, 0), second = nodes_connect(c, 0), third = nodes_connect(c, 0);
    snprintf(line, sizeof line, "set %s 0 0 1\r\nA\r\nappend %s 0 0 1\r\nB\r\nget %s\r\n", own, own, own);
    talk_say(client, line);
    snprintf(line, sizeof line, "get %s\r\n", other);
    talk_say(second, line);
    int owner = nodes_accept(c, 0, NULL);
    for (unsigned i = 0; i < CMD_PEER_TIMEOUT_MS / 8; i++) { /* the deadlines run from READY on */
        frame_answer(owner, frame_asked(owner, LINK_GET, other), LINK_RETRY, "");
        nodes_advance(c, 10);
    }
    uint32_t seq = frame_asked(owner, LINK_GET, other);
    frame_silent(client);
    assert_int_equal(stored(c, STORE_METRIC_total_items), 0);
    talk_say(third, "mn\r\n"); /* nobody else is held up */
    talk_hear(third, "MN\r\n");
    move_set_state(c->node[0].move, 0, MOVE_PULLING);
    frame_answer(owner, seq, LINK_RETRY, "");
    nodes_advance(c, 10);
    seq = frame_asked(owner, LINK_GET, other);
    int donor = nodes_accept(c, 0, NULL);
    give(donor, pulled(donor, own), own, "old", 0);
    frame_answer(donor, pulled_from(donor, own, 0, false), LINK_DONE, "");
    frame_answer(owner, seq, LINK_DONE, "");
    talk_hear(second, "END\r\n");
    snprintf(line, sizeof line, "STORED\r\nSTORED\r\nVALUE %s 0 2\r\nAB\r\nEND\r\n", own);
    talk_hear(client, line);
    close(client);
    close(second);
    close(third);
    close(owner);
    close(donor);
    nodes_free(c);
}

/* The ring changes once more: what waited is another node's, or what was pulled is looked at anew. */
static void the_ring_changes_again(void **state) {
    (void)state;
    for (unsigned pulling = 0; pulling < 2; pulling++) {
        struct nodes *c = begin(pulling ? MOVE_PULLING : MOVE_ASKED);
        int client = nodes_connect(c, 0), peer = -1;
        uint32_t seq = 0;
        talk_say(client, "get a\r\n");
        if (pulling) seq = pulled(peer = nodes_accept(c, 0, NULL), "a");
        nodes_settle(c);
        nodes_view_move(c, 0, RING + 1, 1 << 0, 1 << 1, PORT, MOVE_NONE);
        if (pulling) give(peer, seq, "a", "A", 0); /* it is not this node's any more: not kept */
        nodes_advance(c, LINK_RETRY_MS + 1);
        if (!pulling) peer = nodes_accept(c, 0, NULL);
        struct frame f = next(peer);
        assert_int_equal(f.h.kind, LINK_GET);
        frame_answer(peer, f.h.seq, LINK_DONE, "VALUE a 0 1\r\nB\r\n");
        free(f.p);
        talk_hear(client, "VALUE a 0 1\r\nB\r\nEND\r\n");
        assert_int_equal(stored(c, STORE_METRIC_handoff_received), 0);
        close(client);
        close(peer);
        nodes_free(c);
    }
}

/* Node 0 loses a key and gets it back: what it had before is not served, though nobody took it; others wrote meanwhile.
 */
static void what_comes_back_is_not_what_left(void **state) {
    struct nodes *c = begin(MOVE_NONE);
    int client = nodes_connect(c, 0);
    (void)state;
    talk_say(client, "set a 0 0 3\r\nold\r\n");
    talk_hear(client, "STORED\r\n");
    nodes_view_move(c, 0, RING + 1, 1 << 0, 1 << 1, PORT, MOVE_NONE);
    nodes_view_move(c, 0, RING + 2, 1 << 1, 1 << 0, PORT, MOVE_PULLING);
    talk_say(client, "get a\r\n");
    int peer = nodes_accept(c, 0, NULL);
    give(peer, pulled(peer, "a"), "a", "new", 0);
    talk_hear(client, "VALUE a 9 3\r\nnew\r\nEND\r\n");
    close(client);
    close(peer);
    nodes_free(c);
}

/* ------------------------------------------------------------------ what other nodes ask */

static void say_ring(int fd) {
    const uint64_t version = RING;
    frame_send(fd, 0, LINK_RING, 0, 0, &version, sizeof version);
}

static void ask(int fd, uint32_t seq, enum link_kind kind, const char *payload) {
    frame_send(fd, seq, kind, 0, 200, payload, strlen(payload));
}

/* Frames that come together. */
struct frames {
    char p[1024];
    size_t n;
};

static void add_frame(struct frames *f, uint32_t seq, enum link_kind kind, const char *payload) {
    const struct link_header h = {(uint32_t)strlen(payload), seq, (uint8_t)kind, 0, 200};
    memcpy(f->p + f->n, &h, sizeof h);
    memcpy(f->p + f->n + sizeof h, payload, h.bytes);
    f->n += sizeof h + h.bytes;
}

static void send_frames(int fd, struct frames *f) {
    talk_send(fd, f->p, f->n);
    f->n = 0;
}

static void other_nodes_are_told_to_ask_again(void **state) {
    struct nodes *c = begin(MOVE_ASKED);
    int fd = nodes_dial(c, 0, CMD_LINK_DATA);
    (void)state;
    say_ring(fd);
    ask(fd, 1, LINK_COMMAND, "set a 0 0 1\r\n1\r\n");
    frame_answered(fd, 1, LINK_RETRY, 0, "");
    /* Nothing may overtake it: what was sent before the answer was seen is refused, too. */
    move_set_state(c->node[0].move, 0, MOVE_PULLING);
    ask(fd, 2, LINK_COMMAND, "set a 0 0 1\r\n2\r\n");
    frame_answered(fd, 2, LINK_RETRY, 0, "");
    move_set_state(c->node[0].move, 0, MOVE_NONE);
    ask(fd, 3, LINK_COMMAND, "set a 0 0 1\r\n3\r\n");
    frame_answered(fd, 3, LINK_RETRY, 0, "");
    say_ring(fd);
    ask(fd, 4, LINK_COMMAND, "set a 0 0 1\r\n1\r\n");
    ask(fd, 5, LINK_GET, "a");
    frame_answered(fd, 4, LINK_DONE, 0, "STORED\r\n");
    frame_answered(fd, 5, LINK_DONE, 0, "VALUE a 0 1\r\n1\r\n");
    assert_int_equal(stored(c, STORE_METRIC_total_items), 1);
    close(fd);
    nodes_free(c);
}

static void what_other_nodes_ask_for_is_pulled(void **state) {
    struct nodes *c = begin(MOVE_PULLING);
    int fd = nodes_dial(c, 0, CMD_LINK_DATA);
    struct frames f = {.n = 0};
    (void)state;
    say_ring(fd);
    add_frame(&f, 1, LINK_COMMAND, "set s 0 0 1\r\nS\r\n");
    add_frame(&f, 2, LINK_GET, "a");
    add_frame(&f, 3, LINK_COMMAND, "incr n 1\r\n");
    add_frame(&f, 4, LINK_GET, "s");
    send_frames(fd, &f);
    int peer = nodes_accept(c, 0, NULL);
    uint32_t seq = pulled(peer, "a");
    pulled_from(peer, "n", 0, false);
    pulled_from(peer, "s", 0, false); /* which the set before it will have replaced */
    ask(fd, 5, LINK_GET, "a");        /* comes while it waits */
    give(peer, seq, "a", "A", 0);
    frame_answer(peer, seq + 1, LINK_DONE, "");
    give(peer, seq + 2, "s", "old", 0);
    frame_answered(fd, 1, LINK_DONE, 0, "STORED\r\n");
    frame_answered(fd, 2, LINK_DONE, 0, "VALUE a 9 1\r\nA\r\n");
    frame_answered(fd, 3, LINK_DONE, 0, "NOT_FOUND\r\n");
    frame_answered(fd, 4, LINK_DONE, 0, "VALUE s 0 1\r\nS\r\n");
    frame_answered(fd, 5, LINK_DONE, 0, "VALUE a 9 1\r\nA\r\n");
    /* What is answered before is no part of what waits. */
    add_frame(&f, 6, LINK_GET, "a");
    add_frame(&f, 7, LINK_GET, "s");
    add_frame(&f, 8, LINK_GET, "b");
    add_frame(&f, 9, LINK_GET, "a");
    send_frames(fd, &f);
    give(peer, pulled(peer, "b"), "b", "B", 0);
    frame_answered(fd, 6, LINK_DONE, 0, "VALUE a 9 1\r\nA\r\n");
    frame_answered(fd, 7, LINK_DONE, 0, "VALUE s 0 1\r\nS\r\n");
    frame_answered(fd, 8, LINK_DONE, 0, "VALUE b 9 1\r\nB\r\n");
    frame_answered(fd, 9, LINK_DONE, 0, "VALUE a 9 1\r\nA\r\n");
    /* They wait half as long as they would for an answer of their own. */
    ask(fd, 10, LINK_GET, "late");
    pulled(peer, "late");
    for (unsigned i = 0; i < 11; i++) nodes_advance(c, CMD_PEER_TIMEOUT_MS / 20);
    frame_answered(fd, 10, LINK_DONE, 0, "");
    /* A link that ends while it waits. */
    ask(fd, 11, LINK_GET, "gone");
    pulled(peer, "gone");
    close(fd);
    nodes_settle(c);
    close(peer);
    nodes_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_here_is_pulled_first),
        cmocka_unit_test(changes_find_what_was_there),
        cmocka_unit_test(a_set_asks_nobody),
        cmocka_unit_test(a_late_donor_is_not_waited_for),
        cmocka_unit_test(deletes_are_not_undone),
        cmocka_unit_test(purges_are_not_undone),
        cmocka_unit_test(a_donor_that_is_behind_is_asked_again),
        cmocka_unit_test(what_cannot_be_pulled_is_a_miss),
        cmocka_unit_test(large_values_come_in_parts),
        cmocka_unit_test(a_full_written_set_ends_pulls),
        cmocka_unit_test(large_blocks_of_clients),
        cmocka_unit_test(large_blocks_of_nodes),
        cmocka_unit_test(clients_wait_until_the_donor_is_ready),
        cmocka_unit_test(the_ring_changes_again),
        cmocka_unit_test(what_comes_back_is_not_what_left),
        cmocka_unit_test(other_nodes_are_told_to_ask_again),
        cmocka_unit_test(what_other_nodes_ask_for_is_pulled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
