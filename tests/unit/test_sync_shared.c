/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Atomics of every type, the stack of messages, the sequence. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/sync.h"
#include "threads.h"

#ifdef SYNC_TSAN
#define SCALE(n) ((n) / 10)
#else
#define SCALE(n) (n)
#endif

/* ------------------------------------------------------------------ atomics */

enum colour { RED, GREEN = 7, BLUE = 1000000 };

static void test_every_type_keeps_its_values(void **state) {
    (void)state;
    bool b = false;
    uint8_t u8 = 1;
    uint16_t u16 = 1;
    int32_t i32 = 1;
    int64_t i64 = 1;
    uint64_t u64 = 1;
    enum colour c = RED;
    sync_store(&b, 4); /* as an assignment would */
    assert_true(sync_load(&b) == true && *(uint8_t *)&b == 1);
    sync_store_rel(&u8, 0xff);
    assert_int_equal(sync_load_acq(&u8), 0xff);
    sync_store_seq(&u16, 0xfffe);
    assert_int_equal(sync_load_seq(&u16), 0xfffe);
    sync_store(&i32, -5);
    assert_true(sync_load(&i32) == -5 && sync_load_acq(&i32) < 0);
    sync_store_seq(&i64, INT64_MIN);
    assert_true(sync_load(&i64) == INT64_MIN);
    sync_store_seq(&u64, UINT64_MAX);
    assert_true(sync_load(&u64) == UINT64_MAX);
    sync_store(&c, BLUE);
    assert_int_equal(sync_load(&c), BLUE);
}

static void test_a_store_leaves_its_neighbours_alone(void **state) {
    (void)state;
    uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    sync_store(&bytes[1], 0);
    sync_store_seq(&bytes[3], 0);
    sync_or(&bytes[5], 0x80);
    assert_int_equal(sync_add(&bytes[6], 250), 7);
    const uint8_t want[8] = {1, 0, 3, 0, 5, 0x86, 1, 8};
    assert_memory_equal(bytes, want, sizeof bytes);
}

static void test_pointers(void **state) {
    (void)state;
    int a, b;
    int *p = &a, *seen = &b;
    int *const *where = &p;
    assert_ptr_equal(sync_load(where), &a);
    assert_false(sync_cas(&p, &seen, &b));
    assert_ptr_equal(seen, &a);
    assert_true(sync_cas(&p, &seen, &b));
    assert_ptr_equal(sync_exchange(&p, NULL), &b);
    assert_null(sync_load_acq(&p));
    sync_store_rel(&p, &a);
    assert_ptr_equal(p, &a);
}

static void test_changes_return_what_was_there(void **state) {
    (void)state;
    uint64_t wide = 10;
    uint32_t three = 3, bits = 0x10;
    int32_t n = -1;
    bool b = false;
    assert_int_equal(sync_sub(&wide, three), 10); /* a value narrower than the counter */
    assert_int_equal(sync_sub_rel(&wide, three), 7);
    assert_int_equal(sync_add_acqrel(&wide, 1ull << 40), 4);
    assert_true(wide == (1ull << 40) + 4);
    assert_int_equal(sync_add(&n, 1), -1);
    assert_int_equal(sync_sub(&n, 2), 0);
    assert_int_equal(n, -2);
    assert_false(sync_exchange(&b, true));
    assert_true(sync_exchange(&b, false));
    sync_bump(&wide, -4ull);
    assert_true(wide == 1ull << 40);
    sync_or(&bits, 0x3);
    sync_and(&bits, 0x12);
    assert_int_equal(bits, 0x12);
    assert_false(sync_set_bit(&bits, 31));
    assert_true(sync_set_bit(&bits, 31));
    assert_int_equal(bits, 0x80000012u);
}

static void test_compare_and_swap(void **state) {
    (void)state;
    uint8_t u8 = 5, u8_seen = 4;
    uint16_t u16 = 5, u16_seen = 5;
    uint64_t u64 = 1ull << 63, u64_seen = 0;
    assert_false(sync_cas(&u8, &u8_seen, 9));
    assert_true(u8 == 5 && u8_seen == 5);
    assert_true(sync_cas(&u8, &u8_seen, 9));
    assert_int_equal(u8, 9);
    assert_true(sync_cas(&u16, &u16_seen, 0xffff) && u16 == 0xffff);
    assert_false(sync_cas(&u64, &u64_seen, 1));
    assert_true(u64_seen == 1ull << 63);
    assert_false(sync_cas_relaxed(&u64, 0, 1));
    assert_true(sync_cas_relaxed(&u64, 1ull << 63, 1) && u64 == 1);
}

/* ------------------------------------------------------------------ two threads that each say something and then look
 */

#define LOOKS 10000u

struct side {
    uint8_t *mine, *other, *saw; /* LOOKS bytes each */
};

static void *say_and_look(void *arg) {
    struct side *s = arg;
    for (unsigned i = 0; i < LOOKS; i++) {
        for (unsigned turns = 0; i > 0 && sync_load(&s->other[i - 1]) == 0;) sync_wait(&turns); /* side by side */
        sync_store_seq(&s->mine[i], 1);
        s->saw[i] = sync_load_seq(&s->other[i]);
    }
    return NULL;
}

static void test_one_of_two_sees_the_other(void **state) {
    (void)state;
    uint8_t *x = calloc(4, LOOKS);
    unsigned neither = 0;
    struct side a = {x, x + LOOKS, x + 2 * LOOKS}, b = {x + LOOKS, x, x + 3 * LOOKS};
    pthread_t ta, tb;
    assert_non_null(x);
    assert_int_equal(pthread_create(&ta, NULL, say_and_look, &a), 0);
    assert_int_equal(pthread_create(&tb, NULL, say_and_look, &b), 0);
    assert_true(threads_join(ta));
    assert_true(threads_join(tb));
    for (unsigned i = 0; i < LOOKS; i++) neither += a.saw[i] == 0 && b.saw[i] == 0;
    assert_int_equal(neither, 0);
    free(x);
}

/* ------------------------------------------------------------------ the stack */

struct message {
    struct sync_stack_entry entry;
    unsigned sender, number;
};

static struct message *message_of(struct sync_stack_entry *e) {
    return (struct message *)(void *)e;
}

static void test_the_oldest_message_is_taken_first(void **state) {
    (void)state;
    struct sync_stack s = {0};
    struct message m[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
    assert_null(sync_stack_take_all(&s));
    for (unsigned i = 0; i < 3; i++) sync_stack_push(&s, &m[i].entry);
    struct sync_stack_entry *e = sync_stack_take_all(&s);
    assert_null(sync_stack_take_all(&s));
    for (unsigned i = 0; i < 3; i++, e = sync_stack_next(e)) assert_int_equal(message_of(e)->number, i);
    assert_null(e);
    sync_stack_push(&s, &m[1].entry); /* entries may be used again */
    e = sync_stack_take_all(&s);
    assert_ptr_equal(e, &m[1].entry);
    assert_null(sync_stack_next(e));
}

#define SENDERS 3
#define MESSAGES SCALE(50000u)

struct sender {
    struct sync_stack *to;
    unsigned index;
};

static void *send_all(void *arg) {
    struct sender *s = arg;
    for (unsigned i = 0; i < MESSAGES; i++) {
        struct message *m = malloc(sizeof *m);
        if (m == NULL) abort();
        m->sender = s->index;
        m->number = i;
        sync_stack_push(s->to, &m->entry);
    }
    return NULL;
}

static void test_every_message_arrives_once_and_in_order(void **state) {
    (void)state;
    struct sync_stack s = {0};
    struct sender senders[SENDERS];
    pthread_t t[SENDERS];
    unsigned next[SENDERS] = {0}, taken = 0;
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){&s, i};
        assert_int_equal(pthread_create(&t[i], NULL, send_all, &senders[i]), 0);
    }
    while (taken < SENDERS * MESSAGES) {
        struct sync_stack_entry *e = sync_stack_take_all(&s);
        if (e == NULL) sched_yield();
        while (e != NULL) {
            struct message *m = message_of(e);
            e = sync_stack_next(e);
            assert_in_range(m->sender, 0, SENDERS - 1);
            assert_int_equal(m->number, next[m->sender]);
            next[m->sender]++;
            taken++;
            free(m);
        }
    }
    for (unsigned i = 0; i < SENDERS; i++) assert_true(threads_join(t[i]));
    assert_null(sync_stack_take_all(&s));
}

/* ------------------------------------------------------------------ the sequence */

static void test_a_reader_learns_of_a_change(void **state) {
    (void)state;
    struct sync_sequence s = {0};
    unsigned version = sync_sequence_read_begin(&s);
    assert_false(sync_sequence_read_retry(&s, version));
    sync_sequence_write_begin(&s);
    assert_true(sync_sequence_read_retry(&s, version));
    sync_sequence_write_end(&s);
    assert_true(sync_sequence_read_retry(&s, version));
    version = sync_sequence_read_begin(&s);
    assert_false(sync_sequence_read_retry(&s, version));
}

#define READS SCALE(1000000u)

struct fields {
    struct sync_sequence sequence;
    uint64_t a, b;
    bool ended;
};

static void *write_fields(void *arg) {
    struct fields *f = arg;
    for (uint64_t i = 1; !sync_load_acq(&f->ended); i++) {
        sync_sequence_write_begin(&f->sequence);
        sync_store(&f->a, i);
        sync_store(&f->b, i);
        sync_sequence_write_end(&f->sequence);
        sync_pause();
    }
    return NULL;
}

static void test_fields_belong_together(void **state) {
    (void)state;
    struct fields f = {.a = 0};
    pthread_t t;
    uint64_t a, b;
    unsigned wrong = 0;
    assert_int_equal(pthread_create(&t, NULL, write_fields, &f), 0);
    while (sync_load(&f.b) == 0) sched_yield();
    for (unsigned i = 0; i < READS; i++) {
        unsigned version;
        do {
            version = sync_sequence_read_begin(&f.sequence);
            a = sync_load(&f.a);
            b = sync_load(&f.b);
        } while (sync_sequence_read_retry(&f.sequence, version));
        wrong += a != b;
    }
    sync_store_rel(&f.ended, true);
    assert_true(threads_join(t));
    assert_int_equal(wrong, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type_keeps_its_values),
        cmocka_unit_test(test_a_store_leaves_its_neighbours_alone),
        cmocka_unit_test(test_pointers),
        cmocka_unit_test(test_changes_return_what_was_there),
        cmocka_unit_test(test_compare_and_swap),
        cmocka_unit_test(test_one_of_two_sees_the_other),
        cmocka_unit_test(test_the_oldest_message_is_taken_first),
        cmocka_unit_test(test_every_message_arrives_once_and_in_order),
        cmocka_unit_test(test_a_reader_learns_of_a_change),
        cmocka_unit_test(test_fields_belong_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
