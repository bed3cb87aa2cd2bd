/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Items that are taken over from another node while others set, delete and purge the same keys: what was written or
 * purged here never shows the other node's value again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/written.h"
#include "stage.h"

#define KEYS 1024        /* each of the first half is written to once */
#define OPS SCALE(65536) /* of each thread */
#define TAGS 32          /* key i carries tag i mod TAGS */

static struct {
    struct written *set;
    uint64_t written[KEYS];  /* a set or a delete of it has ended; atomic */
    uint64_t purged[TAGS];   /* likewise */
    uint64_t cover, covered; /* what was published: the number, and how many purges it goes with; under the mutex */
    uint64_t donor;          /* so many purges the other node has carried out; atomic */
    uint64_t order[TAGS];    /* tags, in the order of their purges */
    pthread_mutex_t lock;
    uint64_t kept; /* atomic */
} move = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct store_key key_of(struct actor *a, unsigned i, char name[16]) {
    return store_key(a->stage->lab.s, name, (size_t)snprintf(name, 16, "key%u", i));
}

static bool refuse(void *arg, uint64_t hash) {
    (void)arg;
    return written_has(move.set, hash);
}

/* Whether the other node's item of this tag has been purged there. */
static bool gone_there(uint64_t donor, unsigned t) {
    for (uint64_t i = 0; i < donor; i++)
        if (sync_load(&move.order[i]) == t) return true;
    return false;
}

/* A pull that is under way: the other node has answered. */
struct pull {
    bool under_way;
    unsigned i;
    uint64_t since;
};

/* Asks the other node for an item. It answers only if it knows all purges that it is shown. */
static void ask(struct pull *p, unsigned i) {
    pthread_mutex_lock(&move.lock);
    const uint64_t shown = move.covered;
    *p = (struct pull){.i = i, .since = move.cover};
    pthread_mutex_unlock(&move.lock);
    const uint64_t donor = sync_load_acq(&move.donor);
    p->under_way = donor >= shown && !gone_there(donor, i % TAGS);
}

/* Takes the item over. */
static void take(struct actor *a, struct pull *p) {
    char name[16];
    const uint64_t tag = tag_of(1 + p->i % TAGS);
    struct store_receive r = {.since = p->since, .refuse = refuse};
    r.put = (struct store_put){.key = key_of(a, p->i, name), .value = "old", .size = 3, .tags = &tag, .ntags = 1};
    store_enter(a->w);
    const enum store_received st = store_receive(a->w, &r);
    store_leave(a->w);
    if (st == STORE_RECEIVED) sync_add(&move.kept, UINT64_C(1));
    p->under_way = false;
}

/* Sets a key of the first half, or deletes it. */
static void change(struct actor *a, unsigned i, bool set) {
    char name[16];
    const struct store_key k = key_of(a, i, name);
    struct store_put p = {.key = k, .value = "new", .size = 3};
    struct store_delete d = {.key = k};
    if (!written_add(move.set, k.hash)) BROKEN("the written set is full\n");
    if (set) {
        if (actor_put(a, &p, NULL) != STORE_OK) BROKEN("a set fails\n");
    } else {
        store_enter(a->w);
        (void)store_delete(a->w, &d, NULL);
        store_leave(a->w);
    }
    sync_store_rel(&move.written[i], 1);
    actor_tick(a);
}

/* Purges the n-th tag, and publishes what is known then. */
static void purge(struct actor *a, unsigned n) {
    const unsigned t = n * 5 % TAGS;
    const struct store_selector sel = {.ntags = 1, .tags = {tag_of(1 + t)}};
    const struct store_purge p = {.selectors = &sel, .nselectors = 1};
    uint64_t version;
    sync_store(&move.order[n], (uint64_t)t);
    if (store_purge(a->w, &p, &version) != STORE_OK) BROKEN("a purge fails\n");
    sync_store_rel(&move.purged[t], 1);
    pthread_mutex_lock(&move.lock);
    move.cover = store_number(a->stage->lab.s);
    move.covered = n + 1;
    pthread_mutex_unlock(&move.lock);
}

static void look(struct actor *a, unsigned i) {
    char name[16];
    struct store_item it;
    const bool written = sync_load_acq(&move.written[i]), purged = sync_load_acq(&move.purged[i % TAGS]);
    const struct store_key k = key_of(a, i, name);
    store_enter(a->w);
    const bool old = store_get(a->w, &k, &it) && memcmp(it.value, "old", 3) == 0;
    store_leave(a->w);
    if (old && written) BROKEN("key %u is back after a write\n", i);
    if (old && purged) BROKEN("key %u is back after a purge\n", i);
}

/* All do everything; the first one purges each tag once, and a little later the other node does. */
static void act(struct actor *a) {
    struct pull p = {0};
    for (unsigned op = 0; op < OPS; op++) {
        const unsigned i = (unsigned)rand_below(&a->rand, KEYS), what = (unsigned)rand_below(&a->rand, 16);
        if (a->index == 0 && op % (OPS / TAGS) == OPS / TAGS / 2 && op / (OPS / TAGS) < TAGS)
            purge(a, op / (OPS / TAGS));
        if (a->index == 0 && op % (OPS / TAGS) == OPS / TAGS - 1) sync_store_rel(&move.donor, move.covered);
        if (what < 8 && p.under_way) take(a, &p);
        if (what < 8) ask(&p, i);
        if (what == 8) change(a, i % (KEYS / 2), op % 2);
        if (what > 8) look(a, i);
    }
}

static void test_nothing_comes_back(void **state) {
    (void)state;
    struct stage s;
    void (*const fns[])(struct actor *) = {act, act, act, act};
    stage_open(&s, 16 << 20);
    move.set = written_new(16 << 20);
    assert_non_null(move.set);
    move.cover = store_number(s.lab.s);
    stage_run(&s, fns, 4);
    assert_true(move.kept > 500);
    written_free(move.set);
    stage_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nothing_comes_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
