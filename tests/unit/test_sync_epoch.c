/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Grace periods: what holds them up, what does not, and that memory is not reused under a reader. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/sync.h"
#include "threads.h"

#define READERS 2
#define ENOUGH 4 /* times that asking suffices when nobody is in a section any more */

struct lab {
    struct epoch_record records[READERS + 1]; /* the last one is the reclaimer's */
    struct epoch epoch;
};

static void lab_init(struct lab *l) {
    memset(l, 0, sizeof *l);
    epoch_init(&l->epoch, l->records, READERS + 1, &l->records[READERS]);
}

static void enter(struct lab *l, unsigned reader) {
    epoch_enter(&l->epoch, &l->records[reader]);
}

static void leave(struct lab *l, unsigned reader) {
    epoch_leave(&l->records[reader]);
}

/* Whether a grace period has passed after so many questions. */
static bool passes(struct lab *l, uint64_t grace, unsigned questions) {
    for (unsigned i = 0; i < questions; i++)
        if (epoch_passed(&l->epoch, grace)) return true;
    return false;
}

static void test_nobody_holds_it_up(void **state) {
    (void)state;
    struct lab l;
    lab_init(&l);
    const uint64_t first = epoch_advance(&l.epoch);
    enter(&l, 0); /* too late to matter: nobody was in a section when it began */
    assert_true(epoch_passed(&l.epoch, first));
    leave(&l, 0);
    assert_int_equal(epoch_advance(&l.epoch), first + 1);
    assert_int_equal(sync_load(&l.epoch.now), first + 1);
}

static void test_one_that_has_not_begun_has_not_passed(void **state) {
    (void)state;
    struct lab l;
    lab_init(&l);
    const uint64_t grace = epoch_advance(&l.epoch);
    assert_false(passes(&l, grace + 1, 100));
    assert_int_equal(epoch_advance(&l.epoch), grace + 1);
    assert_true(epoch_passed(&l.epoch, grace + 1));
}

static void test_a_section_holds_it_up_until_it_ends(void **state) {
    (void)state;
    for (unsigned before = 0; before < 9; before++) { /* in whichever of ck's epochs it begins */
        struct lab l;
        lab_init(&l);
        for (unsigned i = 0; i < before; i++) {
            enter(&l, 1);
            (void)epoch_advance(&l.epoch);
            leave(&l, 1);
        }
        enter(&l, 0);
        const uint64_t grace = epoch_advance(&l.epoch);
        assert_false(passes(&l, grace, 100));
        enter(&l, 1);
        leave(&l, 1);
        assert_false(passes(&l, grace, 100));
        leave(&l, 0);
        assert_true(passes(&l, grace, ENOUGH));
    }
}

/* A number that a reader notes inside its section is one that the section itself holds up. */
static void test_a_section_holds_up_the_next_number(void **state) {
    (void)state;
    struct lab l;
    lab_init(&l);
    enter(&l, 0);
    const uint64_t noted = sync_load(&l.epoch.now) + 1;
    assert_int_equal(epoch_advance(&l.epoch), noted);
    assert_false(passes(&l, noted, 100));
    leave(&l, 0);
    assert_true(passes(&l, noted, ENOUGH));
}

/* Many more grace periods than there are marks wait for one section. */
static void test_many_wait_for_one_section(void **state) {
    (void)state;
    struct lab l;
    uint64_t grace = 0, first;
    lab_init(&l);
    enter(&l, 0);
    first = epoch_advance(&l.epoch);
    for (unsigned i = 0; i < 1000; i++) grace = epoch_advance(&l.epoch);
    assert_int_equal(grace, first + 1000);
    assert_false(epoch_passed(&l.epoch, first));
    leave(&l, 0);
    assert_true(passes(&l, grace, ENOUGH));
    assert_true(epoch_passed(&l.epoch, first));
}

/* Somebody is in a section at every moment, though nobody stays: grace periods pass all the same, each after a few
 * sections, and none before those end that it has to wait for. */
static void test_sections_that_overlap_do_not_hold_it_up_for_good(void **state) {
    (void)state;
    struct lab l;
    uint64_t grace[200], began[200], done = 0; /* section that was open when each began */
    lab_init(&l);
    enter(&l, 0);
    for (unsigned i = 0; i < 200; i++) { /* section i is open, by reader i % 2 */
        grace[i] = epoch_advance(&l.epoch);
        began[i] = i;
        enter(&l, (i + 1) % 2);
        assert_false(epoch_passed(&l.epoch, grace[i]));
        leave(&l, i % 2);
        while (done <= i && epoch_passed(&l.epoch, grace[done])) done++;
        assert_true(done + 4 > i);
        assert_true(done == 0 || began[done - 1] <= i);
    }
    leave(&l, 0);
}

/* ------------------------------------------------------------------ readers and a reclaimer */

#define OBJECTS 16
#define REUSES 20000u
#define UNUSED 0xdeadu

/* Objects are written plainly, so that ThreadSanitizer sees whoever reads one that is being reused. */
struct object {
    uint32_t a, b;
    uint64_t grace; /* the reclaimer's: when it may be used again */
};

struct stage {
    struct lab lab;
    struct object objects[OBJECTS], *shown;
    bool ended;
    struct actor {
        struct stage *stage;
        unsigned reader;
        uint64_t sections, torn;
    } actors[READERS];
};

static void *read_objects(void *arg) {
    struct actor *a = arg;
    struct stage *s = a->stage;
    while (!sync_load_acq(&s->ended)) {
        enter(&s->lab, a->reader);
        for (unsigned i = 0; i < 4; i++) {
            const struct object *o = sync_load_acq(&s->shown);
            const uint32_t first = o->a;
            for (unsigned k = 0; k < 8; k++) sync_pause();
            a->torn += first != o->b || first == UNUSED;
        }
        leave(&s->lab, a->reader);
        sync_store_rel(&a->sections, a->sections + 1);
    }
    return NULL;
}

/* Shows another object, and unlinks the one shown so far. */
static void show(struct stage *s, struct object *o, uint32_t value) {
    o->a = o->b = value;
    struct object *old = sync_exchange(&s->shown, o);
    old->grace = epoch_advance(&s->lab.epoch);
}

static void test_memory_is_not_reused_under_a_reader(void **state) {
    (void)state;
    static struct stage s;
    pthread_t t[READERS];
    lab_init(&s.lab);
    s.shown = &s.objects[0];
    for (unsigned i = 0; i < READERS; i++) {
        s.actors[i] = (struct actor){&s, i, 0, 0};
        assert_int_equal(pthread_create(&t[i], NULL, read_objects, &s.actors[i]), 0);
    }
    for (unsigned i = 0; i < READERS; i++) /* they read while the objects go round */
        while (sync_load_acq(&s.actors[i].sections) == 0) sched_yield();
    for (unsigned n = 1; n <= REUSES; n++) {
        struct object *o = &s.objects[n % OBJECTS];
        while (o->grace != 0 && !epoch_passed(&s.lab.epoch, o->grace)) sched_yield();
        o->a = UNUSED;
        o->b = UNUSED + 1;
        show(&s, o, n);
    }
    sync_store_rel(&s.ended, true);
    for (unsigned i = 0; i < READERS; i++) assert_true(threads_join(t[i]));
    for (unsigned i = 0; i < READERS; i++) assert_int_equal(s.actors[i].torn, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_holds_it_up),
        cmocka_unit_test(test_one_that_has_not_begun_has_not_passed),
        cmocka_unit_test(test_a_section_holds_it_up_until_it_ends),
        cmocka_unit_test(test_a_section_holds_up_the_next_number),
        cmocka_unit_test(test_many_wait_for_one_section),
        cmocka_unit_test(test_sections_that_overlap_do_not_hold_it_up_for_good),
        cmocka_unit_test(test_memory_is_not_reused_under_a_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
