/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "base/sync.h"

#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SLEEP_NS 1000000
#define NAP_NS 50000

void sync_sleep(const uint32_t *word, uint32_t seen) {
    const struct timespec most = {.tv_nsec = SLEEP_NS};
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, &most, NULL, 0);
}

void sync_wake(const uint32_t *word) {
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void sync_nap(void) {
    const struct timespec nap = {.tv_nsec = NAP_NS};
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
}

/* Holders work for tens of instructions, so a short spin nearly always sees the lock free again. */
static bool spin(struct sync_spin *l) {
    for (unsigned i = 0; i < SYNC_TURNS; i++) {
        if (!ck_spinlock_locked(&l->lock) && ck_spinlock_trylock(&l->lock)) return true;
        sync_pause();
    }
    return false;
}

void sync_spin_lock_slow(struct sync_spin *l) {
    if (spin(l)) return;
    for (;;) {
        sync_store(&l->awaited, 1);
        if (ck_spinlock_trylock(&l->lock)) break;
        sync_sleep(&l->lock.value, true);
    }
    sync_store(&l->awaited, 1); /* others may sleep on it, too */
}

struct sync_stack_entry *sync_stack_take_all(struct sync_stack *s) {
    ck_stack_entry_t *newest = ck_stack_batch_pop_upmc(&s->ck), *oldest = NULL;
    ck_pr_fence_acquire(); /* ck orders only this thread's loads behind the pop */
    while (newest != NULL) {
        ck_stack_entry_t *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return (struct sync_stack_entry *)oldest;
}

void epoch_init(struct epoch *e, struct epoch_record *records, unsigned n, struct epoch_record *reclaimer) {
    *e = (struct epoch){.now = 1, .records = records, .nrecords = n, .reclaimer = reclaimer};
    ck_epoch_init(&e->ck);
    for (unsigned i = 0; i < n; i++) ck_epoch_register(&e->ck, &records[i].ck, NULL);
    for (unsigned i = 0; i < CK_EPOCH_LENGTH; i++) e->marks[i].epoch = e;
}

CK_EPOCH_CONTAINER(struct epoch_mark, entry, mark_of)

/* Every section that began before this mark was deferred has ended. */
static void mark_passed(ck_epoch_entry_t *entry) {
    struct epoch_mark *m = mark_of(entry);
    if (m->number > m->epoch->passed) m->epoch->passed = m->number;
    m->number = 0;
}

/* Has ck go on to its next epoch if it can, and so learns which marks have passed. */
static void get_on(struct epoch *e) {
    const uint64_t passed = e->passed;
    (void)ck_epoch_poll(&e->reclaimer->ck);
    for (unsigned i = 0; passed != e->passed && i < e->nrecords; i++) SYNC_TSAN_ACQUIRE(&e->records[i].ck);
}

uint64_t epoch_advance(struct epoch *e) {
    SYNC_TSAN_RELEASE(&e->ck);
    sync_store(&e->now, e->now + 1);
    /* Rule 2: what was unlinked must be visible before ck looks at its epoch to defer the mark, since it dispatches
     * what was deferred two epochs ago before it looks at anybody's record. */
    ck_pr_fence_memory();
    /* All that is deferred in one of ck's epochs is dispatched at once, so one mark does for each; and ck goes round
     * its CK_EPOCH_LENGTH lists of deferred entries, so that the mark of so many epochs ago has long passed. */
    struct epoch_mark *m = &e->marks[ck_epoch_value(&e->ck) % CK_EPOCH_LENGTH];
    if (m->number == 0) ck_epoch_call(&e->reclaimer->ck, &m->entry, mark_passed);
    m->number = e->now;
    get_on(e); /* if nobody is in a section, it has passed already */
    return e->now;
}

bool epoch_passed(struct epoch *e, uint64_t target) {
    if (e->passed < target && target <= e->now) get_on(e);
    return e->passed >= target;
}
