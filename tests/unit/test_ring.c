/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The ring against what libmemcached computes (tests/vectors), against a slow model of the rule, and its `since`
 * against a record of what happened to single points. */
#include "cluster/ring.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/md5.h"
#include "base/rand.h"

#define KEY_ROOM 300

static FILE *open_vectors(const char *name) {
    char path[1024];
    const char *dir = getenv("TAGCACHED_SRCDIR");
    snprintf(path, sizeof path, "%s/tests/vectors/%s", dir ? dir : "../..", name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    return f;
}

static struct ring *make(const struct ring_member *m, unsigned n) {
    struct ring *r = NULL;
    assert_int_equal(ring_new(1, m, n, &r), 0);
    return r;
}

static unsigned add(struct ring_member *m, unsigned n, const char *name, uint32_t weight) {
    assert_true(ring_member_read(name, &m[n]));
    m[n].weight = weight;
    return n + 1;
}

static struct ring *three(void) {
    struct ring_member m[3];
    for (unsigned n = 0; n < 3;)
        n = add(m, n, (const char *[]){"127.0.0.1:11214", "127.0.0.1:11215", "127.0.0.1:11216"}[n], 1);
    return make(m, 3);
}

/* The four clusters that ketama.tsv has a column for. */
static void make_columns(struct ring *column[4]) {
    struct ring_member m[8];
    char name[64];
    column[0] = three();
    for (unsigned n = 0; n < 3;) {
        snprintf(name, sizeof name, "127.0.0.1:%u", 11214 + n);
        n = add(m, n, name, n + 1);
    }
    column[1] = make(m, 3);
    for (unsigned n = 0; n < 8;) {
        snprintf(name, sizeof name, "127.0.0.1:%u", 11212 + n);
        n = add(m, n, name, 1);
    }
    column[2] = make(m, 8);
    for (unsigned n = 0; n < 3;) {
        snprintf(name, sizeof name, "cache-%c.example.net:11211", 'a' + (int)n);
        n = add(m, n, name, 1);
    }
    column[3] = make(m, 3);
}

static void test_keys_of_libmemcached(void **state) {
    (void)state;
    FILE *f = open_vectors("ketama.tsv");
    char line[1024], keys[64][KEY_ROOM], name[RING_NAME_TEXT];
    struct ring *column[4];
    unsigned rows = 0;
    make_columns(column);
    while (fgets(line, sizeof line, f)) {
        if (line[0] == '#') continue;
        line[strcspn(line, "\n")] = 0;
        char *key = strtok(line, "\t"), *point = strtok(NULL, "\t");
        uint32_t len = (uint32_t)strlen(key), p = (uint32_t)strtoul(point, NULL, 16);
        memset(keys[0], 0, sizeof keys[0]);
        memcpy(keys[0], key, len);
        assert_int_equal(md5_first_of_one(key, len), p);
        for (unsigned c = 0; c < 4; c++) {
            const char *expected = strtok(NULL, "\t");
            uint16_t owner;
            ring_owners(column[c], (const char *[]){keys[0]}, &len, 1, &owner, NULL);
            ring_member_name(ring_member(column[c], owner), name);
            assert_string_equal(name, expected);
            assert_int_equal(ring_owner(column[c], p), owner);
        }
        rows++;
    }
    assert_int_equal(rows, 2000);
    for (unsigned c = 0; c < 4; c++) ring_free(column[c]);
    fclose(f);
}

static void test_points_of_libmemcached(void **state) {
    (void)state;
    FILE *f = open_vectors("ketama_points_eq3.tsv");
    char line[256], name[RING_NAME_TEXT];
    struct ring *r = three();
    struct ring_arcs a = ring_arcs(r);
    unsigned n = 0;
    while (fgets(line, sizeof line, f)) {
        if (line[0] == '#') continue;
        line[strcspn(line, "\n")] = 0;
        char *point = strtok(line, "\t"), *server = strtok(NULL, "\t");
        assert_int_equal(a.last[n], strtoul(point, NULL, 16));
        ring_member_name(ring_member(r, a.owner[n++]), name);
        assert_string_equal(name, server);
    }
    assert_int_equal(n, 480);
    assert_int_equal(a.n, 481); /* the part of the first arc that lies behind the last point */
    assert_int_equal(a.owner[480], a.owner[0]);
    assert_int_equal(ring_points(r), 480);
    ring_free(r);
    fclose(f);
}

static void test_numbers_of_points(void **state) {
    (void)state;
    FILE *f = open_vectors("ketama_equal_weight_points.tsv");
    char line[256];
    unsigned n = 0, points, rows = 0;
    while (fgets(line, sizeof line, f)) {
        if (line[0] == '#') continue;
        assert_int_equal(sscanf(line, "%u %u", &n, &points), 2);
        assert_int_equal(n, ++rows);
        assert_int_equal(ring_points_by_weight(1, n, n), points);
        assert_int_equal(ring_points_by_weight(7, 7 * n, n), points);
    }
    assert_int_equal(rows, 1000);
    fclose(f);
}

/* The rule once more: every point of every member, none sorted. Of points in equal distance, the first name's counts.
 */
static unsigned model_owner(const struct ring_member *m, unsigned n, uint32_t key) {
    uint64_t sum = 0, nearest = UINT64_MAX;
    unsigned owner = RING_NONE;
    char best[RING_NAME_TEXT] = "", name[RING_NAME_TEXT];
    if (n == 1) return 0;
    for (unsigned i = 0; i < n; i++) sum += m[i].weight ? m[i].weight : 1;
    for (unsigned i = 0; i < n; i++) {
        float p = (float)(m[i].weight ? m[i].weight : 1) / (float)sum;
        unsigned digests = (unsigned)((double)(p * 160 / 4 * (float)n) + 0.0000000001);
        ring_member_name(&m[i], name);
        for (unsigned j = 0; j < digests; j++) {
            char text[512];
            uint8_t d[MD5_BYTES];
            if (m[i].port == 11211) {
                snprintf(text, sizeof text, "%s-%u", m[i].host, j);
            } else {
                snprintf(text, sizeof text, "%s:%u-%u", m[i].host, m[i].port, j);
            }
            md5(text, strlen(text), d);
            for (unsigned x = 0; x < 4; x++) {
                uint32_t point = d[4 * x] | (uint32_t)d[4 * x + 1] << 8 | (uint32_t)d[4 * x + 2] << 16 |
                                 (uint32_t)d[4 * x + 3] << 24;
                uint32_t distance = point - key;
                if (distance > nearest || (distance == nearest && strcmp(name, best) > 0)) continue;
                nearest = distance;
                owner = i;
                strcpy(best, name);
            }
        }
    }
    return owner;
}

/* A random cluster: mixed ports, IPv6, weights from equal to so uneven that some members have no point. */
static unsigned random_members(struct rand *rnd, struct ring_member *m, unsigned most) {
    unsigned n = 1 + (unsigned)rand_below(rnd, most), spread = (unsigned)rand_below(rnd, 4);
    for (unsigned i = 0; i < n; i++) {
        char name[64];
        unsigned port = rand_below(rnd, 2) ? 11211 : 1 + (unsigned)rand_below(rnd, 65535);
        snprintf(name, sizeof name, rand_below(rnd, 4) ? "10.0.%u.9:%u" : "[fd00::%x]:%u", i, port);
        uint32_t weight = (uint32_t)rand_below(rnd, spread == 1 ? 4 : 1000);
        add(m, i, name, spread == 0 ? 1 : spread < 3 ? weight : UINT32_MAX >> rand_below(rnd, 32));
    }
    return n;
}

static void test_against_the_model(void **state) {
    (void)state;
    struct rand rnd;
    unsigned pointless = 0;
    rand_init(&rnd, 3);
    for (unsigned round = 0; round < 60; round++) {
        struct ring_member m[12];
        unsigned n = random_members(&rnd, m, 12), points = 0;
        struct ring *r = make(m, n);
        uint64_t share = 0;
        struct ring_arcs a = ring_arcs(r);
        for (unsigned i = 0; i < 20; i++) {
            uint32_t p = (uint32_t)rand_next(&rnd);
            if (i < 8) p = a.last[rand_below(&rnd, a.n)] + i % 3 - 1; /* on a border, and beside it */
            assert_int_equal(ring_owner(r, p), model_owner(m, n, p));
        }
        for (unsigned i = 0; i < n; i++) {
            share += ring_share(r, i);
            points += ring_points_of(r, i);
            if (!ring_points_of(r, i)) {
                assert_int_equal(ring_share(r, i), 0);
                pointless++;
            }
        }
        assert_int_equal(share, RING_CIRCLE);
        assert_int_equal(ring_points(r), points);
        ring_free(r);
    }
    assert_true(pointless > 10);
}

static void test_owners_is_owner(void **state) {
    (void)state;
    enum { MANY = 300 };
    static char bytes[MANY][KEY_ROOM];
    const char *key[MANY];
    uint32_t len[MANY];
    uint16_t owner[MANY];
    uint64_t since[MANY];
    struct rand rnd;
    rand_init(&rnd, 4);
    struct ring *r = three();
    assert_int_equal(ring_follow(r, NULL, 1, 77), 0);
    for (unsigned i = 0; i < MANY; i++) {
        key[i] = bytes[i];
        len[i] = 1 + (uint32_t)rand_below(&rnd, 250);
        for (unsigned j = 0; j < KEY_ROOM; j++) bytes[i][j] = (char)rand_next(&rnd);
    }
    for (unsigned n = 0; n <= MANY; n += n < 70 ? 1 : 46) {
        ring_owners(r, key, len, n, owner, since);
        for (unsigned i = 0; i < n; i++) {
            assert_int_equal(owner[i], ring_owner(r, md5_first_of_one(key[i], len[i])));
            if (owner[i] == 1) assert_int_equal(since[i], 77);
        }
    }
    ring_free(r);
}

/* Points that servers share are nobody's by accident: of these 1,000 servers, libmemcached's order of the list would
 * decide; here the name does, whatever the order. */
static void test_order_of_members_does_not_matter(void **state) {
    (void)state;
    enum { MANY = 1000 };
    static struct ring_member m[MANY];
    char name[RING_NAME_TEXT], other[RING_NAME_TEXT];
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "10.1.%u.%u:11211", i / 256, i % 256);
        add(m, i, name, 1);
    }
    struct ring *r = make(m, MANY);
    struct ring_arcs a = ring_arcs(r);
    assert_true(a.n - 1 < ring_points(r)); /* there are equal points among them */
    for (unsigned i = 0; i < MANY / 2; i++) {
        struct ring_member swap = m[i];
        m[i] = m[MANY - 1 - i];
        m[MANY - 1 - i] = swap;
    }
    struct ring *s = make(m, MANY);
    struct ring_arcs b = ring_arcs(s);
    assert_int_equal(a.n, b.n);
    for (unsigned i = 0; i < a.n; i++) {
        assert_int_equal(a.last[i], b.last[i]);
        assert_int_equal(a.owner[i], MANY - 1 - b.owner[i]);
    }
    assert_true(ring_digest(r) == ring_digest(s));
    ring_member_name(ring_member(r, 7), name);
    ring_member_name(ring_member(s, MANY - 8), other);
    assert_string_equal(name, other);
    assert_int_equal(ring_find(r, &ring_member(s, 0)->id), MANY - 1);
    ring_free(r);
    ring_free(s);
}

static void test_digest(void **state) {
    (void)state;
    struct ring_member m[3];
    char id[RING_ID_TEXT], before[RING_ID_TEXT];
    struct ring *r = three();
    ring_id_text(r, before);
    assert_string_equal(before, "85ef66"); /* what people have seen must not change with a new version */
    ring_free(r);
    for (unsigned n = 0; n < 3;)
        n = add(m, n, (const char *[]){"127.0.0.1:11215", "127.0.0.1:11216", "127.0.0.1:11214"}[n], 0);
    r = make(m, 3); /* weight 0 counts as 1 */
    ring_id_text(r, id);
    assert_string_equal(id, before);
    ring_free(r);
    m[0].weight = 2;
    r = make(m, 3);
    ring_id_text(r, id);
    assert_string_not_equal(id, before);
    ring_free(r);
}

static void test_names(void **state) {
    (void)state;
    static const char *const good[] = {"a:1", "cache-1.example:65535", "[::1]:11211", "[fd00::1%eth0]:11212"};
    static const char *const bad[] = {"",     "a",         "a:",    ":1",   "[]:1",  "a:0",      "a:65536",
                                      "a:1x", "::1:11211", "a b:1", "a:-1", "a,b:1", "a:123456", "*:1"};
    struct ring_member m;
    char name[RING_NAME_TEXT];
    for (unsigned i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(ring_member_read(good[i], &m));
        ring_member_name(&m, name);
        assert_string_equal(name, good[i]);
        assert_null(strchr(m.host, '['));
        assert_int_equal(m.weight, 1);
    }
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(ring_member_read(bad[i], &m));
    char longest[RING_HOST_MAX + 8];
    memset(longest, 'h', sizeof longest);
    strcpy(longest + RING_HOST_MAX, ":65535");
    assert_true(ring_member_read(longest, &m));
    strcpy(longest + RING_HOST_MAX - 1, "hh:1");
    assert_false(ring_member_read(longest, &m));
}

static void test_refused(void **state) {
    (void)state;
    static struct ring_member m[RING_MEMBERS_MAX + 1];
    struct ring *r = NULL;
    add(m, 0, "a:1", 1);
    add(m, 1, "a:1", 2);
    assert_int_equal(ring_new(1, m, 0, &r), -EINVAL);
    assert_int_equal(ring_new(1, m, RING_MEMBERS_MAX + 1, &r), -EINVAL);
    assert_int_equal(ring_new(1, m, 2, &r), -EINVAL);
    m[1].port = 2;
    m[1].host[0] = 0;
    assert_int_equal(ring_new(1, m, 2, &r), -EINVAL);
    memset(m[1].host, 'x', sizeof m[1].host);
    assert_int_equal(ring_new(1, m, 2, &r), -EINVAL);
    assert_null(r);
}

/* --- since ------------------------------------------------------------------------------------------------------- */

#define WATCHED 400

/* What is known of single points of one member's: whether it owns them, and since when. */
struct record {
    uint32_t point[WATCHED];
    bool own[WATCHED];
    uint64_t since[WATCHED];
};

static unsigned arc_of(struct ring_arcs a, uint32_t p) {
    unsigned i = 0;
    while (a.last[i] < p) i++;
    return i;
}

/* A random part of six members, with random weights; member 0 is nearly always among them. Returns its index. */
static unsigned change(struct rand *rnd, const struct ring_member *all, struct ring_member *m, unsigned *n) {
    unsigned self = RING_NONE;
    *n = 0;
    for (unsigned i = 0; i < 6; i++) {
        if (rand_below(rnd, i ? 2 : 20) == 0) continue;
        if (!i) self = *n;
        m[*n] = all[i];
        m[(*n)++].weight = 1 + (uint32_t)rand_below(rnd, 3);
    }
    if (!*n) m[(*n)++] = all[5];
    return self;
}

static void test_since(void **state) {
    (void)state;
    struct rand rnd;
    struct record rec;
    struct ring_member all[6], m[6];
    struct ring *prev = NULL;
    unsigned exact = 0, coarse = 0, alone = 0;
    rand_init(&rnd, 5);
    for (unsigned i = 0; i < 6; i++) {
        char name[32];
        snprintf(name, sizeof name, "n%u:11211", i);
        add(all, i, name, 1);
    }
    memset(&rec, 0, sizeof rec);
    for (unsigned i = 0; i < WATCHED; i++) rec.point[i] = (uint32_t)rand_next(&rnd);
    for (uint64_t number = 1; number <= 300; number++) {
        unsigned n, self = change(&rnd, all, m, &n);
        struct ring *next = make(m, n);
        if (self != RING_NONE) assert_int_equal(ring_follow(next, prev, self, number), 0);
        struct ring_arcs a = ring_arcs(next);
        unsigned most = ring_points(next) + (prev ? ring_points(prev) : 1);
        assert_true(a.n <= RING_SPLITS_MAX * most);
        for (unsigned i = 1; i < a.n; i++) assert_true(a.last[i] > a.last[i - 1]);
        for (unsigned i = 0; i < WATCHED; i++) {
            unsigned arc = arc_of(a, rec.point[i]);
            bool own = self != RING_NONE && a.owner[arc] == self;
            assert_int_equal(a.owner[arc], ring_owner(next, rec.point[i]));
            if (own && !rec.own[i]) rec.since[i] = number;
            rec.own[i] = own;
            if (!own) continue;
            assert_true(a.since[arc] >= rec.since[i] && a.since[arc] <= number);
            *(a.since[arc] == rec.since[i] ? &exact : &coarse) += 1;
        }
        alone += n == 1;
        ring_free(prev);
        prev = next;
    }
    assert_true(alone > 3);
    assert_true(exact > 20000);
    assert_int_equal(coarse, 0); /* this many changes do not fill the room for splits */
    ring_free(prev);
}

/* A ring of many points leaves many splits; two rings of few points behind it, and there is no room for all of them.
 * Parts are then joined, and a joined part has the highest number of them. */
static void test_room_for_splits(void **state) {
    (void)state;
    enum { MANY = 200 };
    static struct ring_member m[MANY];
    struct ring *r[4];
    for (unsigned i = 0; i < MANY; i++) {
        char name[32];
        snprintf(name, sizeof name, "n%u:11211", i);
        add(m, i, name, i ? 1 : MANY);
    }
    r[0] = make(m, MANY);
    for (unsigned i = 1; i < 4; i++) {
        m[0].weight = 1;
        m[1] = m[1 + i];
        r[i] = make(m, 2);
    }
    uint64_t joined = 0;
    for (unsigned i = 0; i < 4; i++) assert_int_equal(ring_follow(r[i], i ? r[i - 1] : NULL, 0, 10 + i), 0);
    assert_true(ring_arcs(r[1]).n > RING_SPLITS_MAX * (ring_points(r[2]) + ring_points(r[1])));
    for (unsigned i = 1; i < 4; i++) {
        struct ring_arcs now = ring_arcs(r[i]), before = ring_arcs(r[i - 1]);
        assert_true(now.n <= RING_SPLITS_MAX * (ring_points(r[i]) + ring_points(r[i - 1])));
        for (unsigned b = 0; b < before.n; b++) { /* the last point of each part of before */
            unsigned arc = arc_of(now, before.last[b]);
            if (now.owner[arc] != 0) continue;
            uint64_t least = before.owner[b] == 0 ? before.since[b] : 10 + i;
            assert_true(now.since[arc] >= least && now.since[arc] <= 10 + i);
            joined += now.since[arc] > least;
        }
    }
    assert_true(joined > 100);
    for (unsigned i = 0; i < 4; i++) ring_free(r[i]);
}

/* What a node owned before and after a change stays its own, also where a neighbour's arc is joined to it. */
static void test_a_leave_fences_only_what_is_gained(void **state) {
    (void)state;
    struct ring_member m[3];
    struct ring *both = three();
    for (unsigned n = 0; n < 2;) n = add(m, n, (const char *[]){"127.0.0.1:11214", "127.0.0.1:11215"}[n], 1);
    assert_int_equal(ring_follow(both, NULL, 0, 10), 0);
    struct ring *less = make(m, 2);
    assert_int_equal(ring_follow(less, both, 0, 20), 0);
    struct ring_arcs a = ring_arcs(less);
    uint64_t kept = 0, gained = 0, begin = 0;
    for (unsigned i = 0; i < a.n; begin = (uint64_t)a.last[i++] + 1) {
        if (a.owner[i] != 0) continue;
        assert_true(a.since[i] == 10 || a.since[i] == 20);
        *(a.since[i] == 10 ? &kept : &gained) += (uint64_t)a.last[i] + 1 - begin;
    }
    assert_int_equal(kept, ring_share(both, 0));
    assert_int_equal(kept + gained, ring_share(less, 0));
    /* The last one left owns all; what is not its own of before is fenced. */
    struct ring *alone = make(m, 1);
    assert_int_equal(ring_follow(alone, less, 0, 30), 0);
    a = ring_arcs(alone);
    uint64_t newly = 0;
    begin = 0;
    for (unsigned i = 0; i < a.n; begin = (uint64_t)a.last[i++] + 1)
        if (a.since[i] == 30) newly += (uint64_t)a.last[i] + 1 - begin;
    assert_int_equal(newly, RING_CIRCLE - ring_share(less, 0));
    ring_free(both);
    ring_free(less);
    ring_free(alone);
}

static void test_a_copy_is_the_same_ring_and_lives_by_itself(void **state) {
    (void)state;
    struct ring *r = three(), *c;
    assert_int_equal(ring_follow(r, NULL, 1, 77), 0);
    const uint64_t digest = ring_digest(r), share = ring_share(r, 2);
    const unsigned points = ring_points_of(r, 2);
    const struct ring_arcs a = ring_arcs(r);
    uint64_t *since = malloc(a.n * sizeof *since);
    assert_non_null(since);
    memcpy(since, a.since, a.n * sizeof *since);
    uint16_t owner[1000];
    for (unsigned i = 0; i < 1000; i++) owner[i] = (uint16_t)ring_owner(r, i * 4294967);
    assert_int_equal(ring_copy(r, &c), 0);
    ring_free(r);
    assert_int_equal(ring_version(c), 1);
    assert_int_equal(ring_nmembers(c), 3);
    assert_int_equal(ring_digest(c), digest);
    assert_int_equal(ring_share(c, 2), share);
    assert_int_equal(ring_points_of(c, 2), points);
    assert_memory_equal(ring_arcs(c).since, since, ring_arcs(c).n * sizeof *since);
    for (unsigned i = 0; i < 1000; i++) assert_int_equal(ring_owner(c, i * 4294967), owner[i]);
    free(since);
    ring_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_of_libmemcached),
        cmocka_unit_test(test_points_of_libmemcached),
        cmocka_unit_test(test_numbers_of_points),
        cmocka_unit_test(test_against_the_model),
        cmocka_unit_test(test_owners_is_owner),
        cmocka_unit_test(test_order_of_members_does_not_matter),
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_since),
        cmocka_unit_test(test_room_for_splits),
        cmocka_unit_test(test_a_leave_fences_only_what_is_gained),
        cmocka_unit_test(test_a_copy_is_the_same_ring_and_lives_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
