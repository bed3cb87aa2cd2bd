/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Items that move between nodes, as the store sees it: what goes along, what is refused, what a moved item counts as,
 * and the scan that finds what is to move. Each rule is broken once, and that must be noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/md5.h"
#include "store/index.h"
#include "store_lab.h"

#define SECOND 1000000000ull

static const uint64_t TAG = 0x1234567800000001ull, OTHER = 0x8234567800000002ull, THIRD = 0x4234567800000003ull;

/* ------------------------------------------------------------------ taking over */

struct offer {
    const char *key, *value;
    uint64_t since, fenced, cas;
    uint32_t ttl_s;
    uint8_t bits;
    unsigned ntags;
    uint64_t tags[4];
    bool written; /* the receiver says that the key was written to */
};

static bool refuse(void *arg, uint64_t hash) {
    const struct offer *o = arg;
    (void)hash;
    return o->written;
}

static enum store_received receive(struct lab *l, struct offer *o) {
    store_enter(l->w[0]);
    struct store_receive r = {.put = {.value = o->value,
                                      .size = strlen(o->value),
                                      .flags = 7,
                                      .expiry = o->ttl_s ? store_now(l->w[0]) + o->ttl_s : 0,
                                      .bits = o->bits,
                                      .has_cas = o->cas != 0,
                                      .cas = o->cas,
                                      .tags = o->tags,
                                      .ntags = o->ntags},
                              .since = o->since,
                              .fenced = o->fenced,
                              .refuse = refuse,
                              .arg = o};
    r.put.key = store_key(l->s, o->key, strlen(o->key));
    const enum store_received st = store_receive(l->w[0], &r);
    store_leave(l->w[0]);
    return st;
}

/* The same, as of now and under one tag. */
static void receive_now(struct lab *l, const char *key, uint64_t tag) {
    struct offer o = {.key = key, .value = "v", .since = store_number(l->s), .ntags = 1, .tags = {tag}};
    assert_int_equal(receive(l, &o), STORE_RECEIVED);
}

static uint64_t metric(struct lab *l, enum store_metric m) {
    return store_metric(l->s, m);
}

static void test_what_goes_along(void **state) {
    (void)state;
    struct lab l;
    struct store_item it;
    lab_open(&l, 4 << 20, 0);
    const uint64_t g = store_number(l.s);
    struct offer o = {.key = "k",
                      .value = "value",
                      .since = g,
                      .cas = 99,
                      .ttl_s = 10,
                      .bits = STORE_STALE | STORE_FETCHED,
                      .ntags = 2,
                      .tags = {TAG, OTHER}};
    assert_int_equal(receive(&l, &o), STORE_RECEIVED);
    assert_true(lab_has(&l, 0, "k", "value"));
    assert_true(lab_get(&l, 0, "k", &it));
    assert_true(it.version > g);
    assert_int_equal(it.cas, 99);
    assert_int_equal(it.flags, 7);
    assert_int_equal(it.ntags, 2);
    assert_int_equal(it.bits, STORE_STALE | STORE_FETCHED);
    assert_int_equal(metric(&l, STORE_METRIC_handoff_received), 1);
    l.clock.boot_ns += 9 * SECOND;
    assert_true(lab_get(&l, 0, "k", NULL));
    l.clock.boot_ns += SECOND;
    assert_false(lab_get(&l, 0, "k", NULL));
    struct offer bare = {.key = "bare", .value = "", .since = g};
    assert_int_equal(receive(&l, &bare), STORE_RECEIVED);
    assert_true(lab_has(&l, 0, "bare", ""));
    lab_close(&l);
}

static void test_a_large_value(void **state) {
    (void)state;
    static char body[100000];
    struct lab l;
    struct store_item it;
    lab_open(&l, 16 << 20, 0);
    memset(body, 'b', sizeof body);
    for (unsigned written = 0; written < 2; written++) {
        struct offer o = {.written = written};
        struct store_receive r = {.since = store_number(l.s), .refuse = refuse, .arg = &o};
        r.put.key = store_key(l.s, written ? "no" : "yes", written ? 2 : 3);
        r.put.size = sizeof body;
        r.put.upload = lab_upload(&l, 0, body, sizeof body);
        store_enter(l.w[0]);
        assert_int_equal(store_receive(l.w[0], &r), written ? STORE_RECEIVE_WRITTEN : STORE_RECEIVED);
        store_leave(l.w[0]);
    }
    assert_true(lab_get(&l, 0, "yes", &it));
    assert_int_equal(it.size, sizeof body);
    assert_false(lab_get(&l, 0, "no", NULL));
    lab_close(&l); /* what was refused is accounted for */
}

static void test_it_never_replaces(void **state) {
    (void)state;
    struct lab l;
    struct store_item it;
    lab_open(&l, 4 << 20, 0);
    struct offer o = {.key = "k", .value = "old", .since = store_number(l.s)};
    lab_set(&l, 0, "k", "new", NULL, 0);
    assert_int_equal(receive(&l, &o), STORE_RECEIVE_PRESENT);
    assert_int_equal(metric(&l, STORE_METRIC_handoff_refused_present), 1);
    lab_mutate("receive.mutate.over_present");
    assert_int_equal(receive(&l, &o), STORE_RECEIVED);
    lab_mutate(NULL);
    lab_set(&l, 0, "k", "new", NULL, 0);
    /* It was stored before this node lost the arc: it is as good as none. */
    assert_true(lab_get(&l, 0, "k", &it));
    o.fenced = it.version - 1;
    assert_int_equal(receive(&l, &o), STORE_RECEIVE_PRESENT);
    o.fenced = it.version;
    assert_int_equal(receive(&l, &o), STORE_RECEIVED);
    assert_true(lab_has(&l, 0, "k", "old"));
    /* So is what has expired, or was purged. */
    const struct offer purged = {.key = "p", .value = "old", .since = store_number(l.s) + 1000};
    lab_set(&l, 0, "p", "dead", &TAG, 1);
    lab_purge(&l, 0, 1, &TAG, false, 0);
    o = purged;
    assert_int_equal(receive(&l, &o), STORE_RECEIVED);
    assert_true(lab_has(&l, 0, "p", "old"));
    lab_close(&l);
}

static void test_it_undoes_no_write(void **state) {
    (void)state;
    struct lab l;
    lab_open(&l, 4 << 20, 0);
    struct offer o = {.key = "k", .value = "old", .since = store_number(l.s), .written = true};
    assert_int_equal(receive(&l, &o), STORE_RECEIVE_WRITTEN);
    assert_false(lab_get(&l, 0, "k", NULL));
    assert_int_equal(metric(&l, STORE_METRIC_handoff_refused_written), 1);
    lab_close(&l);
}

/* Whether an item with two tags is refused after a purge of so many of them that came after `since`. */
static bool refuses_after(unsigned which, bool before, const char *mutation) {
    struct lab l;
    lab_open(&l, 4 << 20, ':');
    struct offer o = {.key = "a:k", .value = "v", .since = store_number(l.s), .ntags = 2, .tags = {TAG, OTHER}};
    const uint64_t both[2] = {OTHER, TAG}, strange[2] = {THIRD, TAG}, prefix = hash_tag("a:", 2);
    switch (which) {
    case 0: lab_purge(&l, 0, 1, &TAG, false, 0); break;
    case 1: lab_purge(&l, 0, 1, &TAG, true, 60); break;
    case 2: lab_purge(&l, 0, 2, both, false, 0); break;
    case 3: lab_purge(&l, 0, 1, &prefix, false, 0); break;
    case 4: lab_purge(&l, 0, 0, NULL, false, 0); break;
    case 5: store_purge_tagged(l.w[0]); break;
    case 6: /* forgotten: only a floor is left */
        lab_purge(&l, 0, 1, &TAG, false, 0);
        lab_shed(&l, 0, TAG);
        break;
    case 7: lab_purge(&l, 0, 1, &THIRD, false, 0); break;
    default: lab_purge(&l, 0, 2, strange, false, 0); break;
    }
    if (before) o.since = store_number(l.s) + 1000; /* numbers that handles have reserved are below */
    lab_mutate(mutation);
    const enum store_received st = receive(&l, &o);
    assert_true(st == STORE_RECEIVED || st == STORE_RECEIVE_PURGED);
    assert_int_equal(metric(&l, STORE_METRIC_handoff_refused_purged), st == STORE_RECEIVE_PURGED);
    lab_mutate(NULL);
    lab_close(&l);
    return st == STORE_RECEIVE_PURGED;
}

static void test_it_undoes_no_purge(void **state) {
    (void)state;
    for (unsigned which = 0; which < 9; which++) {
        assert_int_equal(refuses_after(which, false, NULL), which < 7);
        assert_false(refuses_after(which, true, NULL));
        assert_false(refuses_after(which, false, "receive.mutate.unguarded"));
    }
}

struct race {
    struct lab *l;
    struct offer o;
    enum store_received st;
};

static void do_receive(void *arg) {
    struct race *r = arg;
    r->st = receive(r->l, &r->o);
}

/* A purge that begins while the item is being stored: refused, or stored and dead. */
static void test_a_purge_in_between(void **state) {
    (void)state;
    struct lab l;
    struct lab_thread t;
    lab_open(&l, 4 << 20, 0);
    struct race r = {&l, {.key = "k", .value = "v", .since = store_number(l.s), .ntags = 1, .tags = {TAG}}, 0};
    assert_true(lab_run(&t, "receive.versioned", do_receive, &r));
    lab_purge(&l, 1, 1, &TAG, false, 0);
    lab_finish(&t);
    assert_int_equal(r.st, STORE_RECEIVE_PURGED);
    assert_false(lab_get(&l, 1, "k", NULL));
    r.o.since = store_number(l.s) + 1000;
    assert_true(lab_run(&t, "store.versioned", do_receive, &r));
    lab_purge(&l, 1, 1, &TAG, false, 0);
    lab_finish(&t);
    assert_int_equal(r.st, STORE_RECEIVED);
    assert_false(lab_get(&l, 1, "k", NULL));
    lab_close(&l);
}

/* ------------------------------------------------------------------ what a moved item counts as */

static bool read_with(struct lab *l, const char *key, uint64_t tag) {
    struct store_item it;
    const struct store_key k = store_key(l->s, key, strlen(key));
    store_enter(l->w[0]);
    const bool hit = store_get_read(l->w[0], &k, &tag, 1, true, &it);
    store_leave(l->w[0]);
    return hit;
}

static bool win_with(struct lab *l, const char *key, uint64_t tag) {
    struct store_item it;
    enum store_win win;
    bool created;
    struct store_meta_get g = {.key = store_key(l->s, key, strlen(key)), .read = &tag, .nread = 1};
    store_enter(l->w[0]);
    const enum store_status st = store_meta_get(l->w[0], &g, &it, &win, &created, NULL);
    store_leave(l->w[0]);
    return st == STORE_OK;
}

static enum store_status add_tag(struct lab *l, const char *key, uint64_t tag) {
    const struct store_key k = store_key(l->s, key, strlen(key));
    store_enter(l->w[0]);
    const enum store_status st = store_tag_add(l->w[0], &k, tag);
    store_leave(l->w[0]);
    return st;
}

static enum store_status append_tag(struct lab *l, const char *key, uint64_t tag) {
    struct store_put p = {.key = store_key(l->s, key, strlen(key)),
                          .value = "+",
                          .size = 1,
                          .mode = STORE_APPEND,
                          .tags = &tag,
                          .ntags = 1};
    return lab_put(l, 0, &p);
}

/* Whether a tag that was purged before the item came concerns it, by one way of naming it. */
static bool concerns(unsigned way, uint64_t tag, const char *mutation) {
    struct lab l;
    bool dead = false;
    lab_open(&l, 4 << 20, 0);
    lab_set(&l, 0, "native", "v", &TAG, 1);
    lab_purge(&l, 0, 1, &OTHER, false, 0);
    lab_mutate(mutation);
    struct offer o = {.key = "k", .value = "v", .cas = 5, .ntags = 1, .tags = {TAG}};
    o.since = store_number(l.s) + 1000;
    assert_int_equal(receive(&l, &o), STORE_RECEIVED);
    switch (way) {
    case 0: dead = !read_with(&l, "k", tag); break;
    case 1: dead = !win_with(&l, "k", tag); break;
    case 2: dead = add_tag(&l, "k", tag) == STORE_NOT_FOUND; break;
    case 3: dead = append_tag(&l, "k", tag) == STORE_NOT_STORED; break;
    default: dead = lab_fill(&l, 0, "k", "w", 5, &tag, 1) == STORE_EXISTS; break;
    }
    lab_mutate(NULL);
    lab_close(&l);
    return dead;
}

static void test_older_than_every_purge(void **state) {
    (void)state;
    for (unsigned way = 0; way < 5; way++) {
        assert_true(concerns(way, OTHER, NULL));
        assert_false(concerns(way, TAG, NULL));
        assert_false(concerns(way, THIRD, NULL));
        assert_false(concerns(way, OTHER, "receive.mutate.not_marked"));
        assert_false(concerns(way, OTHER, way < 2 ? "verdict.mutate.moved_unseen" : "change.mutate.moved_unseen"));
    }
}

/* Once another tag is on it, that counts as of then. */
static void test_tags_added_later(void **state) {
    (void)state;
    struct lab l;
    lab_open(&l, 4 << 20, 0);
    receive_now(&l, "k", TAG);
    assert_int_equal(add_tag(&l, "k", OTHER), STORE_OK);
    assert_true(read_with(&l, "k", OTHER));
    lab_purge(&l, 0, 1, &OTHER, false, 0);
    assert_false(lab_get(&l, 0, "k", NULL));
    lab_close(&l);
}

/* What keeps the value keeps that it was moved; a new value does not. */
static void test_how_long_it_counts_as_moved(void **state) {
    (void)state;
    struct lab l;
    struct store_item it;
    char key[16];
    lab_open(&l, 4 << 20, 0);
    lab_purge(&l, 0, 1, &OTHER, false, 0);
    for (unsigned i = 0; i < 7; i++) {
        snprintf(key, sizeof key, "k%u", i);
        struct offer o = {.key = key, .value = "5", .since = store_number(l.s) + 1000, .ntags = i % 2, .tags = {TAG}};
        assert_int_equal(receive(&l, &o), STORE_RECEIVED);
        const struct store_key k = store_key(l.s, key, strlen(key));
        uint64_t number;
        bool created;
        struct store_arith a = {.key = k, .delta = 1};
        struct store_delete d = {.key = k, .invalidate = true};
        store_enter(l.w[0]);
        switch (i) {
        case 0: break;
        case 1: assert_int_equal(store_arith(l.w[0], &a, &number, &created, NULL), STORE_OK); break;
        case 2: assert_int_equal(store_touch(l.w[0], &k, store_now(l.w[0]) + 9, NULL, NULL), STORE_OK); break;
        case 3: assert_int_equal(store_delete(l.w[0], &d, NULL), STORE_OK); break;
        case 4: assert_int_equal(store_tag_add(l.w[0], &k, THIRD), STORE_OK); break;
        case 5: break;
        default: assert_int_equal(store_set(l.w[0], &k, "6", 1, 0, 0, 0, NULL), STORE_OK); break;
        }
        store_leave(l.w[0]);
        if (i == 5) store_sweep_all(l.s);
        assert_true(lab_get(&l, 0, key, &it));
        assert_int_equal(read_with(&l, key, OTHER), i == 6);
    }
    lab_close(&l);
}

/* ------------------------------------------------------------------ letting go */

static bool moving(struct lab *l, const char *key, struct store_moving *m) {
    struct store_item it;
    const struct store_key k = store_key(l->s, key, strlen(key));
    store_enter(l->w[0]);
    const bool moves = store_peek(l->w[0], &k, &it) && store_moving(l->w[0], &it, m);
    store_leave(l->w[0]);
    return moves;
}

static void test_what_a_donor_says(void **state) {
    (void)state;
    struct lab l;
    struct store_moving m;
    lab_open(&l, 4 << 20, 0);
    struct store_put p = {.value = "v", .size = 1, .flags = 3, .tags = &TAG, .ntags = 1, .has_cas = true, .cas = 12};
    p.key = store_key(l.s, "k", 1);
    store_enter(l.w[0]);
    p.expiry = store_now(l.w[0]) + 100;
    store_leave(l.w[0]);
    assert_int_equal(lab_put(&l, 0, &p), STORE_OK);
    assert_true(moving(&l, "k", &m));
    assert_int_equal(m.ttl_s, 100);
    assert_int_equal(m.bits, 0);
    assert_true(m.has_cas && m.cas == 12 && m.it.flags == 3 && m.it.ntags == 1 && m.it.size == 1);
    /* A soft purge: stale, for no longer than the purge says; also once somebody has won, who is not told of. */
    lab_purge(&l, 0, 1, &TAG, true, 30);
    for (unsigned won = 0; won < 2; won++) {
        assert_true(moving(&l, "k", &m));
        assert_int_equal(m.ttl_s, 29);
        assert_int_equal(m.bits, STORE_STALE | STORE_SOFT);
        lab_token(&l, 0, "k");
    }
    l.clock.boot_ns += 29 * SECOND;
    assert_true(lab_get(&l, 0, "k", NULL));
    assert_false(moving(&l, "k", &m));
    /* The empty item of somebody who is about to fill it. */
    lab_token(&l, 0, "empty");
    assert_true(lab_get(&l, 0, "empty", NULL));
    assert_false(moving(&l, "empty", &m));
    /* Purged, or not there. */
    lab_set(&l, 0, "gone", "v", &TAG, 1);
    lab_purge(&l, 0, 1, &TAG, false, 0);
    assert_false(moving(&l, "gone", &m));
    assert_false(moving(&l, "never", &m));
    lab_close(&l);
}

/* A softly purged item that has moved can still be won by a classic get. */
static void test_stale_by_a_soft_purge_there(void **state) {
    (void)state;
    struct lab l;
    struct store_item it;
    lab_open(&l, 4 << 20, 0);
    struct offer o = {
        .key = "k", .value = "v", .since = store_number(l.s), .ttl_s = 9, .bits = STORE_STALE | STORE_SOFT};
    assert_int_equal(receive(&l, &o), STORE_RECEIVED);
    assert_true(lab_get(&l, 0, "k", &it));
    assert_true(it.soft);
    const struct store_key k = store_key(l.s, "k", 1);
    store_enter(l.w[0]);
    assert_int_equal(store_win(l.w[0], &k, &it), STORE_WIN_WON);
    store_leave(l.w[0]);
    lab_close(&l);
}

static void test_dropping(void **state) {
    (void)state;
    struct lab l;
    struct store_item it;
    lab_open(&l, 4 << 20, 0);
    lab_set(&l, 0, "k", "v", NULL, 0);
    assert_true(lab_get(&l, 0, "k", &it));
    const struct store_key k = store_key(l.s, "k", 1);
    const uint64_t version = it.version;
    lab_set(&l, 0, "k", "w", NULL, 0);
    store_enter(l.w[0]);
    store_drop_moved(l.w[0], &k, version);
    store_leave(l.w[0]);
    assert_true(lab_has(&l, 0, "k", "w"));
    assert_true(lab_get(&l, 0, "k", &it));
    store_enter(l.w[0]);
    store_drop_moved(l.w[0], &k, it.version);
    store_leave(l.w[0]);
    assert_false(lab_get(&l, 0, "k", NULL));
    assert_int_equal(metric(&l, STORE_METRIC_handoff_dropped), 1);
    lab_mutate("receive.mutate.drop_any");
    lab_set(&l, 0, "k", "v", NULL, 0);
    store_enter(l.w[0]);
    store_drop_moved(l.w[0], &k, version);
    store_leave(l.w[0]);
    lab_mutate(NULL);
    assert_false(lab_get(&l, 0, "k", NULL));
    lab_close(&l);
}

/* ------------------------------------------------------------------ scanning */

#define SCANNED 3000

struct scanned {
    struct lab *l;
    unsigned times[SCANNED], shown, tested, stop_at; /* every so many shown it stops once; 0: never */
    bool stopped;
};

/* Even ones are wanted, by their keys; and the hash of the key is the ring's. */
static void wants_even(void *arg, const char *const key[], const uint32_t len[], const uint64_t version[], unsigned n,
                       bool wanted[]) {
    struct scanned *s = arg;
    uint32_t point[16];
    assert_in_range(n, 1, 16);
    md5_first(key, len, n, point);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(point[i], md5_first_of_one(key[i], len[i]));
        assert_true(version[i] > 0);
        wanted[i] = (key[i][len[i] - 1] - '0') % 2 == 0;
    }
    s->tested += n;
}

static bool note(void *arg, const struct store_moving *m, uint64_t hash) {
    struct scanned *s = arg;
    char key[16] = "";
    unsigned i = SCANNED;
    memcpy(key, m->it.key, m->it.key_len);
    assert_int_equal(hash, store_key(s->l->s, m->it.key, m->it.key_len).hash);
    assert_int_equal(sscanf(key, "k%u", &i), 1);
    if (s->stop_at && s->shown % s->stop_at == s->stop_at - 1 && !s->stopped) {
        s->stopped = true;
        return false;
    }
    s->stopped = false;
    s->shown++;
    s->times[i]++;
    return true;
}

static void scan_all(struct scanned *s, unsigned min_freq, void (*between)(struct lab *l, unsigned step)) {
    struct store_scan scan = {0};
    const struct store_scanner how = {.min_freq = min_freq, .filter = wants_even, .fn = note, .arg = s};
    for (unsigned step = 0; !scan.at.done; step++) {
        store_enter(s->l->w[0]);
        store_scan(s->l->w[0], &scan, 64, &how);
        store_leave(s->l->w[0]);
        if (between) between(s->l, step);
        assert_true(step < 100000);
    }
}

static void fill_to_scan(struct lab *l) {
    lab_open(l, 8 << 20, 0);
    for (unsigned i = 0; i < SCANNED; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%u", i);
        lab_set(l, 0, key, "x", NULL, 0);
        for (unsigned hits = 0; hits < i / 1000; hits++) assert_true(lab_get(l, 0, key, NULL));
    }
}

/* Each once, whether the scan is stopped or not; and only what has the hits is looked at. */
static void test_scanning_by_hits(void **state) {
    (void)state;
    struct lab l;
    fill_to_scan(&l);
    for (unsigned round = 0; round < 6; round++) {
        struct scanned s = {.l = &l, .stop_at = round % 2 ? 7 : 0};
        scan_all(&s, round / 2, NULL);
        for (unsigned i = 0; i < SCANNED; i++) assert_int_equal(s.times[i], i % 2 == 0 && i / 1000 >= round / 2);
        if (round % 2 == 0) assert_int_equal(s.tested, SCANNED - 1000 * (round / 2));
    }
    lab_close(&l);
}

static void resize(struct lab *l, unsigned step) {
    const uint64_t least = l->s->ix.min_groups, groups = step % 40 < 20 ? least * 9 : least;
    if (step % 20 != 10) return;
    while (l->s->ix.groups < groups) assert_true(index_split(&l->s->ix));
    while (l->s->ix.groups > groups && index_merge(&l->s->ix)) {}
}

static void test_scanning_while_the_index_changes(void **state) {
    (void)state;
    struct lab l;
    fill_to_scan(&l);
    for (unsigned stop_at = 0; stop_at < 12; stop_at += 3) {
        struct scanned s = {.l = &l, .stop_at = stop_at};
        scan_all(&s, 0, resize);
        for (unsigned i = 0; i < SCANNED; i += 2) assert_true(s.times[i] > 0);
    }
    lab_close(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_goes_along),
        cmocka_unit_test(test_a_large_value),
        cmocka_unit_test(test_it_never_replaces),
        cmocka_unit_test(test_it_undoes_no_write),
        cmocka_unit_test(test_it_undoes_no_purge),
        cmocka_unit_test(test_a_purge_in_between),
        cmocka_unit_test(test_older_than_every_purge),
        cmocka_unit_test(test_tags_added_later),
        cmocka_unit_test(test_how_long_it_counts_as_moved),
        cmocka_unit_test(test_what_a_donor_says),
        cmocka_unit_test(test_stale_by_a_soft_purge_there),
        cmocka_unit_test(test_dropping),
        cmocka_unit_test(test_scanning_by_hits),
        cmocka_unit_test(test_scanning_while_the_index_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
