/* SPDX-License-Identifier: BSD-3-Clause
 *
 * tsan_probe - small uses of base/sync by two threads, each as it should be and with one mistake in it. test_tsan.py
 * runs them: ThreadSanitizer has to report every mistake, and nothing else.
 *
 *     tsan_probe                      prints the names of the probes
 *     tsan_probe NAME right|broken    runs one
 *
 * The two threads take turns by a variable that ThreadSanitizer does not see. So each probe always runs in the same
 * order, and whether its accesses are ordered depends on the use of base/sync alone. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sync.h"

static bool right; /* set before the threads start */
static int data;   /* what the two threads share; accessed plainly */
static uint32_t flag;

/* ------------------------------------------------------------------ turns */

static volatile int turn;

SYNC_UNSANITIZED static void await_turn(int t) {
    while (turn != t) sched_yield();
    sync_fence_load();
}

SYNC_UNSANITIZED static void give_turn(int t) {
    sync_fence_store();
    turn = t;
}

/* Ends the program with a status that is neither success nor ThreadSanitizer's. */
static void expect(bool ok) {
    if (!ok) {
        fprintf(stderr, "tsan_probe: a step of the probe went wrong\n");
        _Exit(3);
    }
}

/* ------------------------------------------------------------------ atomics: one thread writes data, the other reads
 * it */

static void release_first(void) {
    data = 1;
    if (right)
        sync_store_rel(&flag, 1);
    else
        sync_store(&flag, 1);
}
static void acquire_and_use(void) {
    expect(sync_load_acq(&flag) == 1 && data == 1);
}

static void publish(void) {
    data = 1;
    sync_store_rel(&flag, 1);
}
static void acquire_second(void) {
    expect((right ? sync_load_acq(&flag) : sync_load(&flag)) == 1 && data == 1);
}

static void store_seq_first(void) {
    data = 1;
    if (right)
        sync_store_seq(&flag, 1);
    else
        sync_store(&flag, 1);
}
static void load_seq_and_use(void) {
    expect(sync_load_seq(&flag) == 1 && data == 1);
}

static void add_first(void) {
    data = 1;
    if (right)
        sync_add_acqrel(&flag, 1);
    else
        sync_add(&flag, 1);
}

static void exchange_first(void) {
    data = 1;
    if (right)
        (void)sync_exchange(&flag, 1);
    else
        sync_store(&flag, 1);
}

static void cas_first(void) {
    uint32_t seen = 0;
    data = 1;
    expect(right ? sync_cas(&flag, &seen, 1) : sync_cas_relaxed(&flag, 0, 1));
}

static void or_first(void) {
    data = 1;
    if (right)
        sync_or(&flag, 1);
    else
        sync_bump(&flag, 1);
}

/* The last of two users of an object writes to it: the other one has to have let go of it by a release. */
static void let_go(void) {
    data = 1;
    if (right)
        sync_sub_rel(&flag, 1);
    else
        sync_sub(&flag, 1);
}
static void last_user(void) {
    expect(sync_sub_rel(&flag, 1) == (uint32_t)-1);
    data = 2;
}

/* A counter that others read. */
static void count(void) {
    sync_bump(&flag, 1);
}
static void read_count(void) {
    const uint32_t *plain = &flag;
    expect((right ? sync_load(&flag) : *plain) == 1);
}

/* ------------------------------------------------------------------ the spinlock */

static struct sync_spin lock;

static void add_locked(void) {
    sync_spin_lock(&lock);
    data++;
    sync_spin_unlock(&lock);
}
static void add_forgetful(void) {
    if (right) sync_spin_lock(&lock);
    data++;
    if (right) sync_spin_unlock(&lock);
}
static void add_after_unlock(void) {
    sync_spin_lock(&lock);
    if (right) data++;
    sync_spin_unlock(&lock);
    if (!right) data++;
}

/* ------------------------------------------------------------------ a sequence */

static struct sync_sequence sequence;
static uint32_t field; /* where data may be looked at; guarded by the sequence */

static void write_fields(void) {
    data = 1;
    sync_sequence_write_begin(&sequence);
    sync_store(&field, 1);
    sync_sequence_write_end(&sequence);
}

/* Written while it is read: who does not look again has a field that nothing orders. */
static void write_meanwhile(void) {
    await_turn(1);
    write_fields();
    give_turn(2);
}
static void read_retrying(void) {
    unsigned version;
    uint32_t seen;
    bool again = false;
    do {
        version = sync_sequence_read_begin(&sequence);
        if (!again) give_turn(1);
        await_turn(2);
        seen = sync_load(&field);
        again = true;
    } while (right && sync_sequence_read_retry(&sequence, version));
    expect(seen == 1 && data == 1);
}

static void read_begun(void) {
    unsigned version = 0;
    uint32_t seen;
    do {
        if (right) version = sync_sequence_read_begin(&sequence);
        seen = sync_load(&field);
    } while (right && sync_sequence_read_retry(&sequence, version));
    expect(seen == 1 && data == 1);
}

static void read_plainly(void) {
    unsigned version;
    uint32_t seen;
    const uint32_t *plain = &field;
    version = sync_sequence_read_begin(&sequence);
    seen = right ? sync_load(&field) : *plain;
    give_turn(1);
    await_turn(2);
    expect(seen == 0 && sync_sequence_read_retry(&sequence, version));
}

/* ------------------------------------------------------------------ the stack */

struct message {
    struct sync_stack_entry entry;
    int text;
};

static struct sync_stack stack;
static struct message message;

static void push(void) {
    if (right) message.text = 1;
    sync_stack_push(&stack, &message.entry);
    if (!right) message.text = 1;
}
static void take(void) {
    struct sync_stack_entry *e = sync_stack_take_all(&stack);
    expect(e == &message.entry && sync_stack_next(e) == NULL);
    expect(message.text == 1);
}

/* A message that nobody has taken is not the taker's. */
static void push_read(void) {
    message.text = 1;
    sync_stack_push(&stack, &message.entry);
}
static void take_late(void) {
    if (right) expect(sync_stack_take_all(&stack) != NULL);
    expect(message.text == 1);
}

/* ------------------------------------------------------------------ epochs: data is memory that is unlinked and reused
 */

static struct epoch epoch;
static struct epoch_record records[2]; /* of the reader and, last, of the reclaimer */

static void read_in_section(void) {
    epoch_enter(&epoch, &records[0]);
    if (right) expect(data == 0);
    epoch_leave(&records[0]);
    if (!right) expect(data == 0);
}
static void wait_and_reuse(void) {
    const uint64_t grace = epoch_advance(&epoch);
    while (!epoch_passed(&epoch, grace)) sched_yield();
    data = 1;
}

static void read_section(void) {
    epoch_enter(&epoch, &records[0]);
    expect(data == 0);
    epoch_leave(&records[0]);
}
static void reuse_at_once(void) {
    if (right)
        wait_and_reuse();
    else
        data = 1;
}

/* The reader is inside when the grace period begins, and ends only then. */
static void read_long(void) {
    epoch_enter(&epoch, &records[0]);
    give_turn(1);
    await_turn(2);
    expect(data == 0);
    epoch_leave(&records[0]);
    give_turn(3);
}
static void reuse_behind_reader(void) {
    await_turn(1);
    const uint64_t grace = epoch_advance(&epoch);
    expect(!epoch_passed(&epoch, grace));
    give_turn(2);
    await_turn(3);
    if (right) expect(epoch_passed(&epoch, grace));
    data = 1;
}

/* What was written before a grace period began is seen by the sections that begin after it. */
static void unlink_and_advance(void) {
    data = 1;
    (void)epoch_advance(&epoch);
}
static void read_entering(void) {
    if (right) epoch_enter(&epoch, &records[0]);
    expect(data == 1);
    if (right) epoch_leave(&records[0]);
}

/* ------------------------------------------------------------------ running one */

/* `second` begins when `first` has ended, unless the two take turns. */
static const struct probe {
    const char *name;
    void (*first)(void), (*second)(void);
    bool turns;
} probes[] = {
    {"store_rel", release_first, acquire_and_use, false},
    {"load_acq", publish, acquire_second, false},
    {"store_seq", store_seq_first, load_seq_and_use, false},
    {"add_acqrel", add_first, acquire_and_use, false},
    {"exchange", exchange_first, acquire_and_use, false},
    {"cas", cas_first, acquire_and_use, false},
    {"or", or_first, acquire_and_use, false},
    {"sub_rel", let_go, last_user, false},
    {"bump", count, read_count, false},
    {"spin_forgotten", add_locked, add_forgetful, false},
    {"spin_unlocked_early", add_after_unlock, add_locked, false},
    {"sequence_retry", write_meanwhile, read_retrying, true},
    {"sequence_begin", write_fields, read_begun, false},
    {"sequence_fields", write_meanwhile, read_plainly, true},
    {"stack_written_late", push, take, false},
    {"stack_not_taken", push_read, take_late, false},
    {"epoch_left_early", read_in_section, wait_and_reuse, false},
    {"epoch_no_grace", read_section, reuse_at_once, false},
    {"epoch_long_section", read_long, reuse_behind_reader, true},
    {"epoch_not_entered", unlink_and_advance, read_entering, false},
};
#define PROBES (sizeof probes / sizeof probes[0])

static void *run_first(void *arg) {
    const struct probe *p = arg;
    p->first();
    if (!p->turns) give_turn(1);
    return NULL;
}

static void *run_second(void *arg) {
    const struct probe *p = arg;
    if (!p->turns) await_turn(1);
    p->second();
    return NULL;
}

int main(int argc, char **argv) {
    const struct probe *p = probes;
    pthread_t a, b;
    if (argc == 1) {
        for (unsigned i = 0; i < PROBES; i++) puts(probes[i].name);
        return 0;
    }
    if (argc != 3) return 2;
    while (p < probes + PROBES && strcmp(p->name, argv[1]) != 0) p++;
    if (p == probes + PROBES) return 2;
    right = strcmp(argv[2], "right") == 0;
    epoch_init(&epoch, records, 2, &records[1]);
    if (pthread_create(&a, NULL, run_first, (void *)p) != 0) return 3;
    if (pthread_create(&b, NULL, run_second, (void *)p) != 0) return 3;
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    return 0;
}
