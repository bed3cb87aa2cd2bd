/* SPDX-License-Identifier: BSD-3-Clause
 *
 * sync - atomics, a spinlock and epoch-based reclamation: the only place that names a memory order.
 *
 * All of it is compiler builtins, so ThreadSanitizer checks the very code that ships. (A library of assembler
 * primitives would be invisible to it, and a second code path for sanitizer builds would be a path nobody ships.)
 */
#ifndef TAGCACHED_BASE_SYNC_H
#define TAGCACHED_BASE_SYNC_H

#include <stdbool.h>
#include <stdint.h>

#define SYNC_CACHE_LINE 64
#define SYNC_TURNS 100 /* pauses, some microseconds in all */

#define sync_load(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define sync_load_acq(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define sync_load_seq(p) __atomic_load_n((p), __ATOMIC_SEQ_CST)
#define sync_store(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define sync_store_rel(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define sync_store_seq(p, v) __atomic_store_n((p), (v), __ATOMIC_SEQ_CST)
#define sync_add(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define sync_add_acqrel(p, v) __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)
#define sync_sub(p, v) __atomic_fetch_sub((p), (v), __ATOMIC_RELAXED)
#define sync_sub_rel(p, v) __atomic_fetch_sub((p), (v), __ATOMIC_RELEASE)
#define sync_or(p, v) __atomic_fetch_or((p), (v), __ATOMIC_ACQ_REL)
#define sync_and(p, v) __atomic_fetch_and((p), (v), __ATOMIC_ACQ_REL)
#define sync_exchange(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)
/* Strong compare and swap: *expected receives the value seen on failure. Success acquires and releases. */
#define sync_cas(p, expected, desired)                                                                                 \
    __atomic_compare_exchange_n((p), (expected), (desired), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
/* Adds to a counter that one thread alone writes and others may read: no locked instruction. */
#define sync_bump(p, v) sync_store((p), sync_load(p) + (v))

static inline void sync_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

/* Sleeps until the value at `word` is no longer `seen`, as far as sync_wake tells of it, but for a millisecond at most:
 * whoever unlocks without a locked instruction may overlook that somebody waits. Threads of lower priority run
 * meanwhile, which yielding would not let them. */
void sync_sleep(const uint32_t *word, uint32_t seen);
/* Wakes one of those that sleep on `word`. */
void sync_wake(const uint32_t *word);
/* Sleeps for some tens of microseconds. */
void sync_nap(void);

/* Once more round a loop that waits for another thread to end some tens of instructions. If it takes longer, that
 * thread is not running: then this one sleeps, so that the other gets the processor whatever its priority. *turns
 * begins at 0. For waits that have no lock's word to sleep on. */
static inline void sync_wait(unsigned *turns) {
    if (++*turns % SYNC_TURNS != 0)
        sync_pause();
    else
        sync_nap();
}

/* ThreadSanitizer does not model a stand-alone fence, so there a fence is a read-modify-write of a dummy. */
#if defined(__SANITIZE_THREAD__)
#define SYNC_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SYNC_TSAN 1
#endif
#endif
#ifdef SYNC_TSAN
#define SYNC_UNSANITIZED __attribute__((no_sanitize("thread"), noinline))
#else
#define SYNC_UNSANITIZED
#endif

#ifdef SYNC_TSAN
#define SYNC_FENCE(order) ((void)__atomic_fetch_add(&(uint32_t){0}, 0, __ATOMIC_ACQ_REL))
#else
#define SYNC_FENCE(order) __atomic_thread_fence(order)
#endif

/* Orders the loads before it before the loads after it (the second half of a seqlock read). */
static inline void sync_fence_load(void) {
    SYNC_FENCE(__ATOMIC_ACQUIRE);
}

/* Orders the stores before it before the stores after it (the first half of a seqlock write). */
static inline void sync_fence_store(void) {
    SYNC_FENCE(__ATOMIC_RELEASE);
}

/* Test and test-and-set spinlock; held for tens of instructions, never across a system call. Whoever finds that it is
 * held for longer sleeps on it (U. Drepper, "Futexes are tricky", 2011, mutex 2): the holder is not running. */
struct sync_spin {
    uint32_t held; /* enum sync_spin_state */
};

enum sync_spin_state { SYNC_SPIN_FREE, SYNC_SPIN_HELD, SYNC_SPIN_AWAITED };

/* Takes a lock that was found held. */
void sync_spin_lock_slow(struct sync_spin *l);

static inline void sync_spin_lock(struct sync_spin *l) {
    uint32_t seen = SYNC_SPIN_FREE;
    if (!sync_cas(&l->held, &seen, (uint32_t)SYNC_SPIN_HELD)) sync_spin_lock_slow(l);
}

static inline void sync_spin_unlock(struct sync_spin *l) {
    /* Two steps without a locked instruction: who comes to wait in between sleeps its millisecond. */
    const bool awaited = sync_load(&l->held) == SYNC_SPIN_AWAITED;
    sync_store_rel(&l->held, SYNC_SPIN_FREE);
    if (__builtin_expect(awaited, 0)) sync_wake(&l->held);
}

/*
 * Epochs (K. Fraser, "Practical lock-freedom", 2004, section 5.2.3, reduced to one reclaimer).
 *
 * A reader wraps its uses of shared memory in enter/leave; one reclaimer unlinks memory, calls epoch_synchronize and
 * may then reuse it. One record per reader thread; sections do not nest.
 */
struct epoch_record {
    uint64_t active; /* the epoch this reader entered in; 0 outside any section */
    char pad[SYNC_CACHE_LINE - sizeof(uint64_t)];
} __attribute__((aligned(SYNC_CACHE_LINE)));

struct epoch {
    uint64_t now; /* starts at 1 */
    char pad[SYNC_CACHE_LINE - sizeof(uint64_t)];
    struct epoch_record *records; /* owned by whoever made the epoch */
    unsigned nrecords;
};

/* Enters a section. Any thread, on its own record. */
static inline void epoch_enter(struct epoch *e, struct epoch_record *r) {
    /* The exchange is a full barrier: no read of the section may pass before the record shows active. */
    (void)__atomic_exchange_n(&r->active, sync_load_acq(&e->now), __ATOMIC_SEQ_CST);
}

/* Leaves the section: the memory seen in it may be reused from here on. */
static inline void epoch_leave(struct epoch_record *r) {
    sync_store_rel(&r->active, 0);
}

/* Begins a grace period and returns its number. One caller at a time. */
static inline uint64_t epoch_advance(struct epoch *e) {
    return __atomic_add_fetch(&e->now, 1, __ATOMIC_SEQ_CST);
}

/* True once every section that began before the grace period numbered `target` has ended. Any thread. */
static inline bool epoch_passed(const struct epoch *e, uint64_t target) {
    for (unsigned i = 0; i < e->nrecords; i++) {
        uint64_t a = __atomic_load_n(&e->records[i].active, __ATOMIC_SEQ_CST);
        if (a != 0 && a < target) return false;
    }
    return true;
}

#endif
