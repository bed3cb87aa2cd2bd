/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The machine that brings purges to all members, behind the TLS record: control messages as packed bytes, from members
 * and strangers, with purges, breaking links, new configurations and time in between. The first byte says how the node
 * begins; then each record is: what (1 byte), sender (1), length (2), so many bytes. Some records put the node's own
 * version, epoch and what it has of an origin into the message, so that it gets further than the first comparison. */
#include <string.h>

#include "base/check.h"
#include "cluster/purging.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { WHAT_FITS = 0x80, WHAT_SLOW = 0x40, MEMBERS = 4, VOTERS = 3, SENDERS = 6, LONGEST = 4000, LOG_BYTES = 8192 };

struct fuzz {
    struct purging *p;
    struct configuration c;
    uint32_t number;
    uint64_t now_ns, token;
    bool up[SENDERS + 1];
    bool slow, applying;
    uint64_t waiting; /* outcomes that are still to come */
};

static unsigned char memory[PEER_CONTROL_ARENA_BYTES], scratch_memory[PEER_CONTROL_ARENA_BYTES];
static uint8_t frame[PEER_CONTROL_MAX];

/* ------------------------------------------------------------------ upcalls */

static void send(void *arg, uint32_t member, const struct peer_purge *m) {
    const struct fuzz *f = arg;
    struct peer_arena scratch;
    CHECK(member >= 1 && member <= SENDERS && member != f->number && f->up[member]);
    peer_arena_init(&scratch, scratch_memory, sizeof scratch_memory);
    CHECK(peer_purge_pack(m, &scratch, frame, sizeof frame) > 0);
}

static bool apply(void *arg, const struct purging_batch *b) {
    struct fuzz *f = arg;
    uint64_t sum = 0;
    CHECK(!f->applying && b->nselectors >= 1 && b->nselectors <= PURGING_BATCH_SELECTORS);
    for (unsigned i = 0; i < b->nselectors; i++) /* all of it can be read */
        for (unsigned t = 0; t < b->selectors[i].ntags; t++) sum += b->selectors[i].tags[t];
    f->applying = f->slow || sum == 1;
    return !f->applying;
}

static void raise_floor(void *arg, bool everything) {
    (void)arg;
    (void)everything;
}

static void outcome(void *arg, uint64_t token, const struct purging_receipt *r) {
    struct fuzz *f = arg;
    CHECK(token >= 1 && token <= f->token && f->waiting > 0 && r->acked <= r->members);
    f->waiting--;
}

static void newer(void *arg, uint32_t member, uint64_t version) {
    const struct fuzz *f = arg;
    CHECK(member != f->number && version > f->c.version);
}

/* ------------------------------------------------------------------ the configuration */

static void adopt(struct fuzz *f) {
    CHECK(purging_adopt(f->p, f->now_ns, &f->c, f->number) == 0);
    for (uint32_t i = 1; i <= SENDERS; i++)
        if (f->up[i] && i != f->number) purging_link(f->p, f->now_ns, i, true);
}

static void add_member(struct fuzz *f, uint32_t number) {
    struct configuration_member m = {
        .number = number, .id = {{(uint8_t)number}}, .boot = 1, .state = CONFIGURATION_SERVING};
    m.name[0] = (char)('a' + number);
    m.name[1] = '\0';
    CHECK(configuration_add(&f->c, &m) == 0);
}

/* A voter, one of three (bit 0: none); with 2: a newcomer, that has no vector yet; with 4: leases bind. */
static void begin(struct fuzz *f, uint8_t how) {
    const struct purging_config cfg = {
        .log_bytes = LOG_BYTES, .boot = 1, .events = {f, send, apply, raise_floor, outcome, newer, NULL, NULL}};
    *f = (struct fuzz){.number = how & 1 ? 4 : 1, .now_ns = 1000000000};
    f->c.version = how & 2 ? 2 : 1;
    f->c.epoch = f->c.floor_epoch = 1;
    f->c.next_number = 1000;
    f->c.leases = how & 4;
    f->c.tag_lease_ms = f->c.tag_wait_ms = 1000;
    f->c.serve_lease_ms = f->c.serve_wait_ms = 30000;
    for (uint32_t i = 1; i <= MEMBERS; i++) add_member(f, i);
    for (uint32_t i = 1; i <= VOTERS; i++) {
        f->c.voters[f->c.nvoters++] =
            (struct configuration_voter){.id = {{(uint8_t)i}}, .member = i, .origin = 100 + i};
        f->c.origins[f->c.norigins++] = 100 + i;
    }
    CHECK(purging_new(&cfg, f->now_ns, &f->p) == 0);
    for (uint32_t i = 1; i <= MEMBERS; i++) f->up[i] = true;
    adopt(f);
}

/* Drops the origin that closes first, if the last configuration closes one. */
static void retire(struct configuration *c) {
    if (c->nclosing == 0) return;
    for (unsigned i = 0; i < c->norigins; i++)
        if (c->origins[i] == c->closing[0].origin) c->origins[i--] = c->origins[--c->norigins];
    c->closing[0] = c->closing[--c->nclosing];
    c->retire_version = c->version;
}

/* A seat goes to another member, or to the same one under a new origin. */
static void move_seat(struct configuration *c, unsigned seat, uint32_t member, bool fresh) {
    if (c->norigins == CONFIGURATION_ORIGINS_MAX) return;
    for (unsigned i = 0; i < c->nvoters; i++) {
        if (i != seat && c->voters[i].member == member) return;
        c->previous[i] = c->voters[i];
    }
    c->nprevious = c->nvoters;
    c->closing[c->nclosing++] = (struct configuration_closing){c->voters[seat].origin, c->version};
    c->voters[seat] =
        (struct configuration_voter){.id = {{(uint8_t)member}}, .member = member, .origin = c->next_number++};
    c->origins[c->norigins++] = c->voters[seat].origin;
    c->epoch++;
    if (fresh) c->floor_epoch = c->epoch;
}

/* The next configuration, after what two bytes say. */
static void change(struct fuzz *f, uint8_t what, uint8_t which) {
    struct configuration_member *m = configuration_by_number(&f->c, 1 + which % SENDERS);
    f->c.version++;
    switch (what % 4) {
    case 0: retire(&f->c); break;
    case 1: move_seat(&f->c, which % VOTERS, 1 + which / 16 % MEMBERS, which & 8); break;
    case 2:
        if (m == NULL)
            add_member(f, 1 + which % SENDERS);
        else
            m->state = m->state == CONFIGURATION_EJECTED ? CONFIGURATION_SERVING : CONFIGURATION_EJECTED;
        break;
    default: break; /* something that is none of this machine's concern */
    }
    m = configuration_by_number(&f->c, f->number != 0 ? f->number : 4);
    f->number = m == NULL || m->state == CONFIGURATION_EJECTED ? 0 : m->number;
    adopt(f);
}

/* ------------------------------------------------------------------ records */

/* What the node has of an origin. */
static uint64_t seen(const struct fuzz *f, uint32_t origin) {
    struct peer_purge_seen v[PEER_PURGE_VECTOR_MAX];
    const unsigned n = purging_vector(f->p, v);
    CHECK(n <= PEER_PURGE_VECTOR_MAX);
    for (unsigned i = 0; i < n; i++)
        if (v[i].origin == origin) return v[i].sequence;
    return 0;
}

static void make_fit(const struct fuzz *f, struct peer_purge *m) {
    m->version = f->c.version - m->version % 2;
    m->epoch = f->c.epoch - m->epoch % 2;
    m->active_epoch = f->c.epoch - m->active_epoch % 2;
    if (f->c.norigins > 0) m->origin = f->c.origins[m->origin % f->c.norigins];
    m->sequence = seen(f, m->origin) + m->sequence % 16;
}

static void message(struct fuzz *f, uint8_t what, uint32_t sender, const uint8_t *bytes, size_t n) {
    struct peer_arena arena;
    struct peer_counts counts = {0};
    struct peer_purge m;
    Peer__Control *c = NULL;
    peer_arena_init(&arena, memory, sizeof memory);
    if (peer_control_unpack(&arena, bytes, n, &counts, &c) != PEER_OK || !peer_purge_read(c, &arena, &m)) return;
    if (what & WHAT_FITS) make_fit(f, &m);
    purging_receive(f->p, f->now_ns, sender, &m);
}

static void purge(struct fuzz *f, const uint8_t *bytes, size_t n) {
    uint64_t tags[16];
    unsigned ntags = n > 0 ? bytes[0] % 16 : 0;
    for (unsigned i = 0; i < ntags; i++) tags[i] = i < n ? bytes[i] : i;
    const struct purge_selector sel = {ntags, tags};
    const struct purging_request r = {.selectors = &sel,
                                      .nselectors = 1,
                                      .soft = n > 1 && bytes[1] & 1,
                                      .counted = n > 1 && bytes[1] & 2,
                                      .ttl_s = n > 2 ? bytes[2] : 0,
                                      .wait_ns = 2000000000,
                                      .token = ++f->token};
    f->waiting++;
    if (purging_purge(f->p, f->now_ns, &r, NULL) != 0) f->waiting--;
}

static void ask(struct fuzz *f, uint32_t sender, const uint8_t *bytes, size_t n) {
    const uint64_t which = n > 1 ? bytes[1] : 1;
    const uint32_t origin = f->c.norigins > 0 ? f->c.origins[which % f->c.norigins] : 101;
    uint32_t members[SENDERS];
    f->waiting++;
    f->token++;
    const int err = n > 0 && bytes[0] & 1
                        ? purging_ask_via(f->p, f->now_ns, (struct purge_via){sender, which}, 1000000, f->token)
                        : purging_ask_id(f->p, f->now_ns, origin, which, 1000000, f->token);
    if (err != 0) f->waiting--;
    CHECK(purging_lacking(f->p, origin, which, members, SENDERS) <= SENDERS);
}

static void pass_time(struct fuzz *f, uint64_t ms) {
    const uint64_t until = f->now_ns + ms * 1000000;
    for (unsigned i = 0; purging_next_ns(f->p) <= until; i++) {
        if (purging_next_ns(f->p) > f->now_ns) f->now_ns = purging_next_ns(f->p);
        purging_time(f->p, f->now_ns);
        CHECK(i < 10 + ms); /* it asks for no time again and again that has come */
    }
    f->now_ns = until;
}

static void other(struct fuzz *f, uint8_t what, uint32_t sender, const uint8_t *bytes, size_t n) {
    switch (what % 8) {
    case 3: purge(f, bytes, n); break;
    case 4: pass_time(f, n > 0 ? bytes[0] * 4u : 20); break;
    case 5:
        f->up[sender] = !f->up[sender];
        purging_link(f->p, f->now_ns, sender, f->up[sender]);
        break;
    case 6: change(f, n > 0 ? bytes[0] : 0, n > 1 ? bytes[1] : 0); break;
    default:
        if (n > 0 && bytes[0] & 2) purging_seal(f->p, bytes[0] & 4);
        if (n > 0 && bytes[0] & 8) purging_hint(f->p, f->now_ns, sender, bytes[0]);
        ask(f, sender, bytes, n);
        break;
    }
}

static void finish_round(struct fuzz *f, bool slow) {
    if (f->applying && !slow) {
        f->applying = f->slow = false;
        purging_applied(f->p, f->now_ns);
    }
    purging_flush(f->p, f->now_ns);
    for (unsigned i = 0; i < f->c.norigins; i++) (void)purging_may_retire(f->p, f->now_ns, f->c.origins[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct fuzz f;
    if (n == 0) return 0;
    begin(&f, data[0]);
    for (size_t at = 1, bytes; at + 4 <= n; at += 4 + bytes) {
        const uint8_t what = data[at];
        const uint32_t sender = 1 + data[at + 1] % SENDERS;
        bytes = (size_t)(data[at + 2] | data[at + 3] << 8) % LONGEST;
        if (bytes > n - at - 4) bytes = n - at - 4;
        f.slow = what & WHAT_SLOW;
        if (what % 8 < 3)
            message(&f, what, sender, data + at + 4, bytes);
        else
            other(&f, what, sender, data + at + 4, bytes);
        finish_round(&f, f.slow);
    }
    pass_time(&f, 3000);
    CHECK(f.waiting == 0); /* who waits is told, whatever others say */
    purging_free(f.p);
    configuration_fini(&f.c);
    return 0;
}
