/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What leases cost a voter of a cluster of a thousand members that nobody asks anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"
#include "cluster/purging.h"

#define MS UINT64_C(1000000)

enum {
    MEMBERS = 1000,
    STEP_MS = 10,
    SECONDS = 2,
    /* around a message: its length and authentication, and headers of TCP, IP and Ethernet as if it travelled alone */
    ENVELOPE = 24 + 66,
    MOST_BYTES = 2000000 /* a second that a voter sends and receives */
};

static struct purging *machines[MEMBERS + 1]; /* by number */
static struct configuration conf;
static uint64_t now_ns;
static uint64_t voter_bytes, voter_messages; /* of the first voter */

/* A message that is to be delivered when the sender is done. */
struct message {
    struct message *next;
    uint32_t from, to;
    struct peer_purge m;
    struct peer_purge_seen vector[CONFIGURATION_VOTERS_MAX];
};
static struct message *first, **end = &first;

static void send(void *arg, uint32_t member, const struct peer_purge *m) {
    static uint8_t packed[4096], lists[1 << 16];
    struct peer_arena scratch;
    struct message *q = malloc(sizeof *q);
    CHECK(q != NULL && m->nvector <= CONFIGURATION_VOTERS_MAX && m->events_bytes == 0 && m->nruns + m->nlacks == 0);
    *q = (struct message){.from = (uint32_t)(uintptr_t)arg, .to = member, .m = *m};
    for (unsigned i = 0; i < m->nvector; i++) q->vector[i] = m->vector[i];
    q->m.vector = q->vector;
    *end = q;
    end = &q->next;
    if (q->from != 1 && member != 1) return;
    peer_arena_init(&scratch, lists, sizeof lists);
    const size_t n = peer_purge_pack(m, &scratch, packed, sizeof packed);
    CHECK(n > 0);
    voter_bytes += n + ENVELOPE;
    voter_messages++;
}

static void deliver(void) {
    for (struct message *q; (q = first) != NULL; free(q)) {
        first = q->next;
        if (first == NULL) end = &first;
        purging_receive(machines[q->to], now_ns, q->from, &q->m);
        purging_flush(machines[q->to], now_ns);
    }
}

static bool apply(void *arg, const struct purging_batch *b) {
    (void)arg;
    (void)b;
    return true;
}

static void raise_floor(void *arg, bool everything) {
    (void)arg;
    (void)everything;
}

static void outcome(void *arg, uint64_t token, const struct purging_receipt *r) {
    (void)arg;
    (void)token;
    (void)r;
}

static void newer(void *arg, uint32_t member, uint64_t version) {
    (void)arg;
    (void)member;
    (void)version;
}

static void confirmed(void *arg, const struct purging_receipt *r) {
    (void)arg;
    (void)r;
}

static void acked(void *arg, uint32_t member, uint32_t origin, uint64_t sequence) {
    (void)arg;
    (void)member;
    (void)origin;
    (void)sequence;
}

static void configure(void) {
    conf.version = conf.epoch = conf.floor_epoch = 1;
    conf.next_number = MEMBERS + 1;
    conf.tag_lease_ms = conf.tag_wait_ms = 1000;
    conf.serve_lease_ms = conf.serve_wait_ms = 30000;
    conf.leases = true;
    for (uint32_t i = 1; i <= MEMBERS; i++) {
        struct configuration_member m = {
            .number = i, .id = {{(uint8_t)i, (uint8_t)(i >> 8)}}, .state = CONFIGURATION_SERVING};
        snprintf(m.name, sizeof m.name, "n%u:1", i);
        CHECK(configuration_add(&conf, &m) == 0);
        if (i > CONFIGURATION_VOTERS_MAX) continue;
        conf.voters[conf.nvoters++] = (struct configuration_voter){.id = m.id, .member = i, .origin = 100 + i};
        conf.origins[conf.norigins++] = 100 + i;
    }
}

static void step(unsigned ms) {
    for (unsigned t = 0; t < ms; t += STEP_MS) {
        now_ns += STEP_MS * MS;
        for (uint32_t i = 1; i <= MEMBERS; i++)
            if (purging_next_ns(machines[i]) <= now_ns) purging_time(machines[i], now_ns);
        deliver();
    }
}

/* Links with voters are up on both sides; polls take no other. */
static void begin(void) {
    now_ns = 1000 * MS;
    configure();
    for (uint32_t i = 1; i <= MEMBERS; i++) {
        const struct purging_config cfg = {
            1 << 16, i, {(void *)(uintptr_t)i, send, apply, raise_floor, outcome, newer, confirmed, acked}};
        CHECK(purging_new(&cfg, now_ns, &machines[i]) == 0);
        CHECK(purging_adopt(machines[i], now_ns, &conf, i) == 0);
    }
    for (uint32_t a = 1; a <= CONFIGURATION_VOTERS_MAX; a++)
        for (uint32_t b = 1; b <= MEMBERS; b++) {
            if (a == b) continue;
            purging_link(machines[a], now_ns, b, true);
            purging_link(machines[b], now_ns, a, true);
        }
    for (uint32_t i = 1; i <= MEMBERS; i++) purging_flush(machines[i], now_ns);
    deliver();
    step(1000);
}

static unsigned holders(void) {
    unsigned n = 0;
    for (uint32_t i = 1; i <= MEMBERS; i++) n += purging_leases(machines[i]).tag_ns > now_ns;
    return n;
}

static void test_a_voter_of_a_thousand_members_has_little_to_do(void **state) {
    (void)state;
    begin();
    assert_int_equal(holders(), MEMBERS);
    voter_bytes = voter_messages = 0;
    step(SECONDS * 1000);
    assert_int_equal(holders(), MEMBERS);
    printf("a voter sends and receives %.2f MB/s in %.0f messages/s\n", (double)voter_bytes / SECONDS / 1e6,
           (double)voter_messages / SECONDS);
    assert_in_range(voter_messages, SECONDS * 2 * 4 * (MEMBERS - 1), SECONDS * 2 * 4 * (MEMBERS + 50));
    assert_in_range(voter_bytes, 1, SECONDS * MOST_BYTES);
    for (uint32_t i = 1; i <= MEMBERS; i++) purging_free(machines[i]);
    configuration_fini(&conf);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_voter_of_a_thousand_members_has_little_to_do)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
