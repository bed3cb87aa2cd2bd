/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What nodes of earlier releases have sent (tests/wire/peer) is read, and says what it said then.
 *
 *     test_captured --write FOLDER      writes one message of each kind there, as this release sends it */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "captured.h"
#include "proto/moved_item.h"
#include "proto/peer_ask.h"
#include "proto/peer_config.h"
#include "proto/peer_handoff.h"
#include "proto/peer_link.h"
#include "proto/peer_purge.h"
#include "proto/peer_swim.h"

static unsigned char memory[PEER_CONTROL_ARENA_BYTES];
static struct peer_arena arena;
static struct peer_counts counts;

static const char *other_folder; /* NULL: that of the source */

static const char *folder(void) {
    static char path[1000];
    if (other_folder != NULL) return other_folder;
    const char *top = getenv("TAGCACHED_SRCDIR");
    snprintf(path, sizeof path, "%s/tests/wire/peer", top != NULL ? top : "../..");
    return path;
}

/* The bytes of a file. Their number. */
static size_t bytes_of(const char *name, uint8_t *to, size_t size) {
    char path[1300], line[4000];
    size_t n = 0;
    snprintf(path, sizeof path, "%s/%s", folder(), name);
    FILE *f = fopen(path, "r");
    if (f == NULL) fail_msg("%s is missing", path);
    while (fgets(line, sizeof line, f) != NULL) {
        unsigned byte;
        int used;
        for (const char *p = line; *p != '#' && sscanf(p, "%2x%n", &byte, &used) == 1; p += used) {
            assert_true(n < size);
            to[n++] = (uint8_t)byte;
        }
    }
    fclose(f);
    return n;
}

static Peer__Control *control(const char *name) {
    uint8_t bytes[PEER_CONTROL_MAX];
    Peer__Control *m = NULL;
    size_t n = bytes_of(name, bytes, sizeof bytes);
    peer_arena_init(&arena, memory, sizeof memory);
    if (peer_control_unpack(&arena, bytes, n, &counts, &m) != PEER_OK) fail_msg("%s cannot be read", name);
    return m;
}

static Peer__Datagram *datagram(const char *name, struct datagram_sender *from) {
    static const struct cluster_id self = {{0x0b}};
    struct datagram *d = captured_datagrams(&self, 1);
    assert_non_null(d);
    assert_int_equal(datagram_know(d, &CAPTURED_SENDER, CAPTURED_BOOT, PEER_WIRE_HIGHEST), 0);
    uint8_t bytes[DATAGRAM_MAX], payload[DATAGRAM_PAYLOAD_MAX];
    size_t n = bytes_of(name, bytes, sizeof bytes), payload_n = 0;
    enum datagram_verdict v = datagram_open(d, bytes, n, payload, &payload_n, from);
    if (v != DATAGRAM_OPENED) fail_msg("%s is refused: %s", name, datagram_verdict_name(v));
    datagram_free(d);
    Peer__Datagram *m = NULL;
    peer_arena_init(&arena, memory, sizeof memory);
    if (peer_datagram_unpack(&arena, payload, payload_n, &counts, &m) != PEER_OK) fail_msg("%s cannot be read", name);
    return m;
}

/* Which kinds of messages there are among the files: kinds of control messages, and what is inside some of them. */
struct kinds {
    bool control[PEER_HANDOFF + 1], swim[PEER_SWIM_OTHER + 1], config[PEER_CONFIG_KINDS], purge[PEER_PURGE_KINDS],
        handoff[PEER_HANDOFF_KINDS];
};

static void note_control(struct kinds *k, const char *name) {
    struct peer_config_reader reader = {0};
    struct peer_config c;
    struct peer_purge p;
    struct peer_handoff h;
    const Peer__Control *m = control(name);
    const enum peer_kind kind = peer_control_kind(m);
    if (kind == PEER_NONE) fail_msg("%s is of no kind", name);
    k->control[kind] = true;
    if (kind == PEER_CONFIG) {
        if (peer_config_read(&reader, m, &counts, &c) != PEER_CONFIG_WHOLE) fail_msg("%s cannot be read", name);
        k->config[c.kind] = true;
    } else if (kind == PEER_PURGE) {
        if (!peer_purge_read(m, &arena, &p)) fail_msg("%s cannot be read", name);
        k->purge[p.kind] = true;
    } else if (kind == PEER_HANDOFF) {
        if (!peer_handoff_read(m, &h)) fail_msg("%s cannot be read", name);
        k->handoff[h.kind] = true;
    }
    peer_config_reader_fini(&reader);
}

static void note_datagram(struct kinds *k, const char *name) {
    struct datagram_sender from;
    struct peer_swim m;
    if (peer_swim_read(datagram(name, &from), &arena, &counts, &m)) k->swim[m.kind] = true;
}

/* Reads all files of the folder, which are all known; returns how many there are. */
static unsigned note_all(struct kinds *k) {
    DIR *d = opendir(folder());
    unsigned n = 0;
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        counts = (struct peer_counts){0};
        if (strstr(e->d_name, "_control_") != NULL)
            note_control(k, e->d_name);
        else if (strstr(e->d_name, "_datagram_") != NULL)
            note_datagram(k, e->d_name);
        else
            continue;
        if (counts.unknown_fields + counts.unknown_kinds > 0) fail_msg("%s has what is not known any more", e->d_name);
        n++;
    }
    closedir(d);
    return n;
}

static void check_all(const char *what, const bool *seen, unsigned from, unsigned to) {
    for (unsigned i = from; i < to; i++)
        if (!seen[i]) fail_msg("no %s of kind %u is captured: tests/wire/peer/README.md says how", what, i);
}

static void check_kinds(const struct kinds *k) {
    check_all("control message", k->control, PEER_HELLO, PEER_HANDOFF + 1);
    check_all("datagram", k->swim, PEER_SWIM_PING, PEER_SWIM_OTHER + 1);
    check_all("message about the configuration", k->config, PEER_CONFIG_NEWS, PEER_CONFIG_KINDS);
    check_all("message about purges", k->purge, PEER_PURGE_SUBMIT, PEER_PURGE_KINDS);
    check_all("message about items that move", k->handoff, PEER_HANDOFF_BEGIN, PEER_HANDOFF_KINDS);
}

static void test_each_is_known_and_every_kind_is_there(void **state) {
    (void)state;
    struct kinds k = {0};
    assert_in_range(note_all(&k), 52, 10000);
    check_kinds(&k);
}

/* Whether captured.c has written a file of the source. */
static bool is_written(const char *name) {
    char path[1300], line[200] = "";
    snprintf(path, sizeof path, "%s/%s", folder(), name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    fclose(f);
    return strstr(line, "as captured.c has it") != NULL;
}

/* What captured.c has written into the source it writes today, byte for byte. Returns how many files those are. */
static unsigned compare_written(const char *made) {
    static uint8_t now[PEER_CONTROL_MAX], then[PEER_CONTROL_MAX];
    unsigned n = 0;
    DIR *d = opendir(made);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (strstr(e->d_name, ".hex") == NULL || !is_written(e->d_name)) continue;
        const size_t nthen = bytes_of(e->d_name, then, sizeof then);
        other_folder = made;
        const size_t nnow = bytes_of(e->d_name, now, sizeof now);
        other_folder = NULL;
        if (nnow != nthen || memcmp(now, then, nnow) != 0) fail_msg("%s is not what it was", e->d_name);
        n++;
    }
    closedir(d);
    return n;
}

/* What would be captured today is read as well; and nothing that is captured is written again. */
static void test_todays_messages(void **state) {
    (void)state;
    static char made[] = "/tmp/tagcached-captured-XXXXXX";
    struct kinds k = {0};
    char command[100];
    assert_int_equal(captured_write(folder()), 0);
    assert_non_null(mkdtemp(made));
    const int n = captured_write(made);
    assert_int_equal(captured_write(made), 0);
    other_folder = made;
    assert_int_equal(note_all(&k), n);
    other_folder = NULL;
    check_kinds(&k);
    assert_in_range(compare_written(made), 31, n);
    snprintf(command, sizeof command, "rm -r %s", made);
    assert_int_equal(system(command), 0);
    assert_int_equal(captured_write("/nonexistent"), -1);
}

static void test_links_of_version_1(void **state) {
    (void)state;
    struct peer_hello h;
    char id[CLUSTER_ID_TEXT];
    assert_true(peer_hello_read(control("1_control_hello.hex"), &h));
    assert_int_equal(h.lowest, 1);
    assert_int_equal(h.highest, 1);
    assert_string_equal(h.cluster_name, "shop");
    cluster_id_text(&h.node, id);
    assert_string_equal(id, "000102030405060708090a0b0c0d0e0f");
    assert_true(h.boot == UINT64_C(0x1122334455667788));
    cluster_id_text(&h.wanted, id);
    assert_string_equal(id, "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
    assert_string_equal(h.ring_name, "cache1.example:11211");
    assert_string_equal(h.address, "[2001:db8::1]:21211");
    assert_string_equal(h.tag_marker, "|#|");
    assert_int_equal(h.tag_prefix, ':');
    assert_string_equal(h.ring_strip_prefix, "prod.");
    assert_int_equal(h.ring_version, 77);
    assert_int_equal(h.worker, 3);
    assert_int_equal(h.link, PEER_LINK_DATA);
    assert_true(peer_hello_read(control("1_control_hello_least.hex"), &h));
    assert_true(cluster_id_is_zero(&h.wanted));
    assert_int_equal(h.link, PEER_LINK_CONTROL);
    assert_string_equal(h.tag_marker, "");
    struct peer_refusal r;
    assert_true(peer_refusal_read(control("1_control_refusal.hex"), &r));
    assert_string_equal(r.setting, "--key-tags");
    assert_string_equal(r.reason, "start all nodes with the same --key-tags: a:1 has none and b:1 has |#|");
    uint64_t number;
    assert_true(peer_ping_read(control("1_control_ping.hex"), &number));
    assert_true(number == UINT64_C(0x0102030405060708));
    assert_true(peer_pong_read(control("1_control_pong.hex"), &number));
    assert_true(number == UINT64_C(0x0102030405060708));
}

/* Of two updates, as a datagram and a part of a push-pull carry them. */
static void check_updates(const struct peer_swim_update *u, unsigned n) {
    assert_int_equal(n, 2);
    assert_int_equal(u[0].id.bytes[0], 1);
    assert_int_equal(u[0].boot, 5);
    assert_int_equal(u[0].incarnation, 6);
    assert_int_equal(u[0].state, PEER_SWIM_SUSPECT);
    assert_int_equal(u[0].naccusers, 2);
    assert_int_equal(u[0].accusers[1].bytes[0], 0x33);
    assert_string_equal(u[0].name, "a:11211");
    assert_string_equal(u[0].address, "a:21211");
    assert_int_equal(u[1].state, PEER_SWIM_LEFT);
    assert_int_equal(u[1].ended_s, 99);
    assert_string_equal(u[1].name, "");
}

static void test_membership_of_version_1(void **state) {
    (void)state;
    struct datagram_sender from;
    struct peer_swim swim;
    struct peer_sync sync;
    assert_true(peer_swim_read(datagram("1_datagram_swim_ping.hex", &from), &arena, &counts, &swim));
    assert_int_equal(swim.kind, PEER_SWIM_PING);
    assert_int_equal(swim.number, 0x01020304);
    assert_int_equal(swim.target.bytes[0], 1);
    assert_int_equal(swim.nmeta, 3);
    assert_memory_equal(swim.meta, "\1\2\3", 3);
    check_updates(swim.updates, swim.nupdates);
    assert_true(peer_sync_read(control("1_control_sync.hex"), &arena, &counts, &sync));
    assert_true(sync.reply && sync.last);
    check_updates(sync.updates, sync.nupdates);
}

static void test_the_configuration_of_version_1(void **state) {
    (void)state;
    struct peer_config_reader reader = {0};
    struct peer_config c;
    assert_int_equal(peer_config_read(&reader, control("1_control_config_promise.hex"), &counts, &c),
                     PEER_CONFIG_WHOLE);
    assert_int_equal(c.kind, PEER_CONFIG_PROMISE);
    assert_int_equal(c.cluster.bytes[0], 0xfe);
    assert_int_equal(c.version, 12);
    assert_int_equal(c.hash, 0xabcdef);
    assert_int_equal(c.ballot.counter, 3);
    assert_int_equal(c.ballot.boot, 4);
    assert_int_equal(c.ballot.node.bytes[0], 1);
    assert_int_equal(c.accepted.counter, 1);
    assert_int_equal(c.accepted.boot, 2);
    assert_int_equal(c.accepted.node.bytes[0], 0x33);
    assert_true(c.active && c.has_lease && c.keeps_state && c.eligible);
    assert_int_equal(c.boot, 8);
    assert_int_equal(c.weight, 2);
    assert_int_equal(c.request, 1);
    assert_int_equal(c.number, 11);
    assert_int_equal(c.argument, 12);
    assert_int_equal(c.token, 13);
    assert_string_equal(c.text, "b:11211");
    assert_int_equal(c.nvalue, 22);
    assert_memory_equal(c.value, "a packed configuration", 22);
    assert_int_equal(c.nsilent, 2);
    assert_int_equal(c.silent[0].number, 7);
    assert_int_equal(c.silent[0].ms, 1500);
    peer_config_reader_fini(&reader);
}

static void test_purges_of_version_1(void **state) {
    (void)state;
    struct peer_purge p;
    struct purge_selector selectors[PURGE_EVENT_SELECTORS_MAX];
    static uint64_t tags[PURGE_EVENT_SELECTORS_MAX * PURGE_EVENT_TAGS_MAX];
    assert_true(peer_purge_read(control("1_control_purge_events.hex"), &arena, &p));
    assert_int_equal(p.kind, PEER_PURGE_EVENTS);
    assert_int_equal(p.flags, PEER_PURGE_PULLED);
    assert_int_equal(p.version, 12);
    assert_int_equal(p.epoch, 3);
    assert_int_equal(p.origin, 4);
    assert_int_equal(p.stream, 1);
    assert_int_equal(p.sequence, 101);
    assert_int_equal(p.boot, 5);
    assert_int_equal(p.nvector, 1);
    assert_int_equal(p.vector[0].sequence, 100);
    assert_int_equal(p.vector[0].star, 7);
    size_t n = purge_event_check(p.events, p.events_bytes);
    assert_true(n > 0 && n < p.events_bytes);
    assert_int_equal(purge_event_via(p.events).number, 4);
    assert_int_equal(purge_event_via(p.events).counter, 88);
    assert_true(purge_event_soft(p.events));
    assert_int_equal(purge_event_ttl_s(p.events), 30);
    assert_int_equal(purge_event_nselectors(p.events), 2);
    assert_int_equal(purge_event_selectors(p.events, selectors, tags), 3);
    assert_int_equal(selectors[1].tags[1], 0x3333);
    assert_int_equal(purge_event_check(p.events + n, p.events_bytes - n), p.events_bytes - n);
    assert_int_equal(purge_event_via(p.events + n).counter, 89);
    assert_true(peer_purge_read(control("1_control_purge_status.hex"), &arena, &p));
    assert_int_equal(p.kind, PEER_PURGE_STATUS);
    assert_int_equal(p.members, 3);
    assert_int_equal(p.nruns, 1);
    assert_int_equal(p.runs[0].count, 2);
    assert_int_equal(p.nlacks, 1);
    assert_int_equal(p.lacks[0].member, 9);
    assert_int_equal(p.lacks[0].sequence, 50);
}

static void test_leases_of_version_1(void **state) {
    (void)state;
    struct peer_purge p;
    assert_true(peer_purge_read(control("1_control_purge_ack_lease.hex"), &arena, &p));
    assert_int_equal(p.flags, PEER_PURGE_ACTIVE | PEER_PURGE_HOLD | PEER_PURGE_HOLD_ALL);
    assert_int_equal(p.nlacks, 1);
    assert_int_equal(p.lacks[0].member, 9);
    assert_true(peer_purge_read(control("1_control_purge_status_lease.hex"), &arena, &p));
    assert_int_equal(p.sequence, 101);
    assert_int_equal(p.everything, 99);
    assert_true(peer_purge_read(control("1_control_purge_poll_answer_lease.hex"), &arena, &p));
    assert_int_equal(p.flags, PEER_PURGE_BEGUN | PEER_PURGE_ACTIVE | PEER_PURGE_GRANTED);
    assert_int_equal(p.stream, 6);
    assert_int_equal(p.active_epoch, 3);
    assert_int_equal(p.nvector, 2);
}

static void test_commands_passed_on_of_version_1(void **state) {
    (void)state;
    struct peer_ask ask;
    struct peer_told told;
    assert_true(peer_ask_read(control("1_control_ask.hex"), &ask));
    assert_int_equal(ask.number, 77);
    assert_true(ask.privileged);
    assert_string_equal(ask.line, "purges 4-101");
    assert_true(peer_told_read(control("1_control_told.hex"), &told));
    assert_int_equal(told.number, 77);
    assert_true(told.last);
    assert_int_equal(told.n, 15);
    assert_memory_equal(told.text, "id=4-101\r\nEND\r\n", 15);
}

static void test_items_on_the_move_of_version_1(void **state) {
    (void)state;
    struct peer_handoff m;
    struct moved_item it;
    assert_true(peer_handoff_read(control("1_control_handoff_next.hex"), &m));
    assert_int_equal(m.chunk, 5);
    assert_true(m.version == 12 && m.epoch == 3 && m.floor_epoch == 2 && m.retire_version == 11 && m.nseen == 2);
    assert_true(m.seen_origin[1] == 6 && m.seen_sequence[1] == 3);
    assert_true(peer_handoff_read(control("1_control_handoff_begin.hex"), &m));
    assert_true(m.ring_version == 77 && m.digest == 0xabcdef);
    assert_true(peer_handoff_read(control("1_control_handoff_items.hex"), &m));
    assert_true(m.last);
    const size_t n = moved_item_read(m.items, m.nitems, &it);
    assert_true(n > 0 && it.size == 5 && it.version == 9 && it.flags == 7 && it.ttl_s == 60 && it.ntags == 2);
    assert_memory_equal(it.key, "key", 3);
    assert_memory_equal(it.value, "value", 5);
    assert_int_equal(it.tags[1], 0x2222);
    assert_int_equal(moved_item_read(m.items + n, m.nitems - n, &it), m.nitems - n);
    assert_true(it.size == 300000 && it.at == 1000 && it.nvalue == 4 && it.has_cas && it.cas == 88 && it.bits == 1);
    assert_int_equal(it.ttl_s, MOVED_ITEM_TTL_NEVER);
}

static void test_a_datagram_of_version_1(void **state) {
    (void)state;
    struct datagram_sender from;
    uint32_t lowest, highest;
    peer_datagram_versions(datagram("1_datagram_empty.hex", &from), &lowest, &highest);
    assert_int_equal(lowest, 1);
    assert_int_equal(highest, 1);
    assert_int_equal(from.id.bytes[0], 0x0a);
    assert_int_equal(from.boot, 100);
    assert_int_equal(from.version, 1);
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "--write") == 0) {
        const int n = captured_write(argv[2]);
        printf("%d files written\n", n < 0 ? 0 : n);
        return n < 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_is_known_and_every_kind_is_there),
        cmocka_unit_test(test_todays_messages),
        cmocka_unit_test(test_links_of_version_1),
        cmocka_unit_test(test_items_on_the_move_of_version_1),
        cmocka_unit_test(test_a_datagram_of_version_1),
        cmocka_unit_test(test_membership_of_version_1),
        cmocka_unit_test(test_the_configuration_of_version_1),
        cmocka_unit_test(test_purges_of_version_1),
        cmocka_unit_test(test_leases_of_version_1),
        cmocka_unit_test(test_commands_passed_on_of_version_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
