/* SPDX-License-Identifier: BSD-3-Clause
 *
 * sync - atomics, a spinlock, sequences, a stack of messages and epochs: what threads share memory by. It is a layer on
 * Concurrency Kit (ck), and the only place that names a fence or ck.
 *
 * ck's loads and stores have no order of their own, and on arm64 its read-modify-writes have none either: each function
 * here names the fences that it needs beside them. On x86-64 all of these but ck_pr_fence_memory() only hold the
 * compiler back.
 *
 * ThreadSanitizer cannot see into ck's assembler. Its builds put the compiler's builtins in the place of ck's
 * primitives (base/ck_tsan.h), so that it checks everything above them as it ships; tests/unit/test_tsan.py shows what
 * it finds.
 */
#ifndef TAGCACHED_BASE_SYNC_H
#define TAGCACHED_BASE_SYNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SANITIZE_THREAD__)
#define SYNC_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SYNC_TSAN 1
#endif
#endif

#ifdef SYNC_TSAN
#include "base/ck_tsan.h"
#define SYNC_UNSANITIZED __attribute__((no_sanitize("thread"), noinline))
#define SYNC_RELAXED(op) ck_tsan_##op
/* What is ordered by code that ThreadSanitizer cannot see: all that came before the release of an object comes before
 * whatever follows its acquire. */
#define SYNC_TSAN_ACQUIRE(object) __tsan_acquire(object)
#define SYNC_TSAN_RELEASE(object) __tsan_release(object)
#else
#define SYNC_UNSANITIZED
#define SYNC_RELAXED(op) ck_pr_##op
#define SYNC_TSAN_ACQUIRE(object) ((void)0)
#define SYNC_TSAN_RELEASE(object) ((void)0)
#endif

#include <ck_epoch.h>
#include <ck_pr.h>
#include <ck_sequence.h>
#include <ck_spinlock.h>
#include <ck_stack.h>

#define SYNC_CACHE_LINE 64
#define SYNC_TURNS 100 /* pauses, some microseconds in all */

/* ------------------------------------------------------------------ atomics */

/* `p` points to an integer, a boolean, an enum or a pointer, and values have that type. An access is atomic and nothing
 * more unless its name ends in an order. _acq: whatever follows in this thread happens after it. _rel: whatever
 * precedes happens before it. _seq: both; and of two threads that each sync_store_seq one object and then sync_load_seq
 * the other's, at least one sees what the other stored. */
#define sync_load(p) ((SYNC_TYPE(p))sync_sized_load((p), SYNC_SIZE(p)))
#define sync_load_acq(p) ((SYNC_TYPE(p))sync_sized_load_acq((p), SYNC_SIZE(p)))
#define sync_load_seq(p) sync_load_acq(p) /* the fence behind the store is what makes the difference */
#define sync_store(p, v) SYNC_STORE(sync_sized_store, p, v)
#define sync_store_rel(p, v) SYNC_STORE(sync_sized_store_rel, p, v)
#define sync_store_seq(p, v) SYNC_STORE(sync_sized_store_seq, p, v)
/* Return what was there before. */
#define sync_add(p, v) SYNC_CHANGE(sync_sized_add, p, v)
#define sync_sub(p, v) SYNC_CHANGE(sync_sized_add, p, -(SYNC_TYPE(p))(v))
#define sync_add_acqrel(p, v) SYNC_CHANGE(sync_sized_add_acqrel, p, v)
#define sync_sub_rel(p, v) SYNC_CHANGE(sync_sized_add_acqrel, p, -(SYNC_TYPE(p))(v))
/* Stores and returns what was there before; acquires and releases. */
#define sync_exchange(p, v) SYNC_CHANGE(sync_sized_exchange, p, v)
/* Compares and swaps: false only if *p was not *expected, which then receives what it was. Acquires and releases. */
#define sync_cas(p, expected, desired)                                                                                 \
    ({                                                                                                                 \
        SYNC_TYPE(p) *cas_expected = (expected), cas_v = (desired);                                                    \
        sync_sized_cas((p), SYNC_SIZE(p), cas_expected, (uint64_t)cas_v);                                              \
    })
/* The same without an order: stores v if *p is `seen`. Returns whether it was. */
#define sync_cas_relaxed(p, seen, v)                                                                                   \
    ({                                                                                                                 \
        SYNC_TYPE(p) cas_seen = (seen), cas_v = (v);                                                                   \
        sync_sized_cas_relaxed((p), SYNC_SIZE(p), (uint64_t)cas_seen, (uint64_t)cas_v);                                \
    })
/* Set bits of *p; clear all but these. They return nothing; acquire and release. */
#define sync_or(p, v) sync_sized_or((p), SYNC_SIZE(p), (v))
#define sync_and(p, v) sync_sized_and((p), SYNC_SIZE(p), (v))
/* Adds to a counter that only one thread writes at a time, and others may read: no locked instruction. */
#define sync_bump(p, v) sync_store((p), *(p) + (v))

/* The type of *p, without const; and its size. */
#define SYNC_TYPE(p) __typeof__(((void)0, *(p)))
#define SYNC_SIZE(p)                                                                                                   \
    (sizeof(SYNC_TYPE(p)) + 0 * sizeof(struct {                                                                        \
                                _Static_assert(sizeof *(p) <= 8 && _Generic(*(p), float : 0, double : 0, default : 1), \
                                               "not of an atomic type");                                               \
                                char c;                                                                                \
                            }))
#define SYNC_STORE(store, p, v)                                                                                        \
    ({                                                                                                                 \
        SYNC_TYPE(p) store_v = (v);                                                                                    \
        store((p), SYNC_SIZE(p), (uint64_t)store_v);                                                                   \
    })
#define SYNC_CHANGE(change, p, v)                                                                                      \
    ({                                                                                                                 \
        SYNC_TYPE(p) change_v = (v);                                                                                   \
        change_v = (SYNC_TYPE(p))change((p), SYNC_SIZE(p), (uint64_t)change_v);                                        \
        change_v;                                                                                                      \
    })

/* ck's names end in a width. Defines a function of p and its size, a constant where it is called, that is op_8(p, ...)
 * to op_64(p, ...). */
#define SYNC_INLINE __attribute__((always_inline)) inline
#define SYNC_SIZED(result, name, params, op, ...) SYNC_SIZED_OP(result, name, params, op, ##__VA_ARGS__)
#define SYNC_SIZED_OP(result, name, params, op, ...)                                                                   \
    static SYNC_INLINE result name params {                                                                            \
        switch (size) {                                                                                                \
        case 1: return (result)op##_8((uint8_t *)p, ##__VA_ARGS__);                                                    \
        case 2: return (result)op##_16((uint16_t *)p, ##__VA_ARGS__);                                                  \
        case 4: return (result)op##_32((uint32_t *)p, ##__VA_ARGS__);                                                  \
        default: return (result)op##_64((uint64_t *)p, ##__VA_ARGS__);                                                 \
        }                                                                                                              \
    }
SYNC_SIZED(uint64_t, sync_sized_load, (const void *p, size_t size), SYNC_RELAXED(load))
SYNC_SIZED(uint64_t, sync_ck_load, (const void *p, size_t size), ck_pr_load)
SYNC_SIZED(void, sync_sized_store, (void *p, size_t size, uint64_t v), SYNC_RELAXED(store), v)
SYNC_SIZED(void, sync_ck_store, (void *p, size_t size, uint64_t v), ck_pr_store, v)
SYNC_SIZED(uint64_t, sync_sized_add, (void *p, size_t size, uint64_t v), SYNC_RELAXED(faa), v)
SYNC_SIZED(uint64_t, sync_ck_faa, (void *p, size_t size, uint64_t v), ck_pr_faa, v)
SYNC_SIZED(uint64_t, sync_ck_fas, (void *p, size_t size, uint64_t v), ck_pr_fas, v)
SYNC_SIZED(void, sync_ck_or, (void *p, size_t size, uint64_t v), ck_pr_or, v)
SYNC_SIZED(void, sync_ck_and, (void *p, size_t size, uint64_t v), ck_pr_and, v)
SYNC_SIZED(bool, sync_sized_cas_relaxed, (void *p, size_t size, uint64_t seen, uint64_t v), SYNC_RELAXED(cas), seen, v)
#undef SYNC_SIZED
#undef SYNC_SIZED_OP

static SYNC_INLINE uint64_t sync_sized_load_acq(const void *p, size_t size) {
    const uint64_t v = sync_ck_load(p, size);
    ck_pr_fence_acquire();
    return v;
}

static SYNC_INLINE void sync_sized_store_rel(void *p, size_t size, uint64_t v) {
    ck_pr_fence_release();
    sync_ck_store(p, size, v);
}

/* On x86-64 an exchange is cheaper than a store and a fence that holds later loads back. */
static SYNC_INLINE void sync_sized_store_seq(void *p, size_t size, uint64_t v) {
    ck_pr_fence_release();
    (void)sync_ck_fas(p, size, v);
    ck_pr_fence_atomic_load();
}

static SYNC_INLINE uint64_t sync_sized_add_acqrel(void *p, size_t size, uint64_t v) {
    ck_pr_fence_release();
    v = sync_ck_faa(p, size, v);
    ck_pr_fence_acquire();
    return v;
}

static SYNC_INLINE uint64_t sync_sized_exchange(void *p, size_t size, uint64_t v) {
    ck_pr_fence_release();
    v = sync_ck_fas(p, size, v);
    ck_pr_fence_acquire();
    return v;
}

static SYNC_INLINE void sync_sized_or(void *p, size_t size, uint64_t v) {
    ck_pr_fence_release();
    sync_ck_or(p, size, v);
    ck_pr_fence_acquire();
}

static SYNC_INLINE void sync_sized_and(void *p, size_t size, uint64_t v) {
    ck_pr_fence_release();
    sync_ck_and(p, size, v);
    ck_pr_fence_acquire();
}

#define SYNC_CAS(width)                                                                                                \
    do {                                                                                                               \
        uint##width##_t was, seen;                                                                                     \
        memcpy(&was, expected, sizeof was); /* it may be a pointer */                                                  \
        ok = ck_pr_cas_##width##_value((uint##width##_t *)p, was, (uint##width##_t)v, &seen);                          \
        memcpy(expected, &seen, sizeof seen);                                                                          \
    } while (0)
static SYNC_INLINE bool sync_sized_cas(void *p, size_t size, void *expected, uint64_t v) {
    bool ok;
    ck_pr_fence_release();
    switch (size) {
    case 1: SYNC_CAS(8); break;
    case 2: SYNC_CAS(16); break;
    case 4: SYNC_CAS(32); break;
    default: SYNC_CAS(64); break;
    }
    ck_pr_fence_acquire();
    return ok;
}
#undef SYNC_CAS

/* Sets a bit; returns whether it was set. Acquires and releases. */
static inline bool sync_set_bit(uint32_t *p, unsigned bit) {
    ck_pr_fence_release();
    const bool was = ck_pr_bts_32(p, bit);
    ck_pr_fence_acquire();
    return was;
}

/* Orders the loads before it before the loads after it (the second half of a seqlock read). */
static inline void sync_fence_load(void) {
    ck_pr_fence_load();
}

/* Orders the stores before it before the stores after it (the first half of a seqlock write). */
static inline void sync_fence_store(void) {
    ck_pr_fence_store();
}

/* ------------------------------------------------------------------ waiting */

/* For the body of a loop that waits for some instructions of another thread. */
static inline void sync_pause(void) {
    ck_pr_stall();
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

/* ------------------------------------------------------------------ a spinlock */

/* ck's lock, held for tens of instructions, never across a system call. ck would spin for as long as it is held; here,
 * whoever finds that it is held for longer sleeps on it (U. Drepper, "Futexes are tricky", 2011): the holder is not
 * running. */
struct sync_spin {
    ck_spinlock_t lock;
    uint32_t awaited; /* somebody sleeps on it, or is about to; a word of its own, since ck writes all of the lock's */
};

/* Takes a lock that was found held. */
void sync_spin_lock_slow(struct sync_spin *l);

static inline void sync_spin_lock(struct sync_spin *l) {
    if (!ck_spinlock_trylock(&l->lock)) sync_spin_lock_slow(l);
}

static inline bool sync_spin_is_held(const struct sync_spin *l) {
    return sync_load(&l->lock.value) != 0;
}

static inline void sync_spin_unlock(struct sync_spin *l) {
    /* Two steps without a locked instruction: who comes to wait in between sleeps its millisecond. */
    const bool awaited = sync_load(&l->awaited) != 0;
    if (__builtin_expect(awaited, 0)) sync_store(&l->awaited, 0);
    ck_spinlock_unlock(&l->lock);
    if (__builtin_expect(awaited, 0)) sync_wake(&l->lock.value);
}

/* ------------------------------------------------------------------ a sequence */

/* A seqlock: one writer at a time (a lock sees to that) changes several fields, and readers, who take no lock, read
 * them again when it did meanwhile. Fields are read and written by sync_load and sync_store, for both may happen at
 * once. */
struct sync_sequence {
    ck_sequence_t ck; /* odd while somebody writes */
};

static inline void sync_sequence_write_begin(struct sync_sequence *s) {
    ck_sequence_write_begin(&s->ck);
}

static inline void sync_sequence_write_end(struct sync_sequence *s) {
    ck_sequence_write_end(&s->ck);
}

/* Begins to read, when nobody writes; returns what sync_sequence_read_retry is to be given. (Not
 * ck_sequence_read_begin, which spins until the writer ends even if that one waits for this processor.) */
static inline unsigned sync_sequence_read_begin(const struct sync_sequence *s) {
    unsigned version, turns = 0;
    while ((version = ck_pr_load_uint(&s->ck.sequence)) & 1) sync_wait(&turns);
    ck_pr_fence_load();
    return version;
}

/* True: what was read since may not belong together, so it has to be read again. */
static inline bool sync_sequence_read_retry(const struct sync_sequence *s, unsigned version) {
    return ck_sequence_read_retry(&s->ck, version);
}

/* ------------------------------------------------------------------ a stack of messages */

/* Messages from any thread to one. An entry lies in the message, so pushing allocates nothing and cannot fail. */
struct sync_stack {
    ck_stack_t ck; /* all zero: empty */
};
struct sync_stack_entry {
    ck_stack_entry_t ck;
};

/* Any thread. The message is complete, and belongs to whoever takes it from here on. */
static inline void sync_stack_push(struct sync_stack *s, struct sync_stack_entry *e) {
    ck_pr_fence_release(); /* ck orders only this thread's stores before the push */
    ck_stack_push_upmc(&s->ck, &e->ck);
}

/* Takes all entries, the oldest first; NULL if there is none. One thread at a time. */
struct sync_stack_entry *sync_stack_take_all(struct sync_stack *s);

/* The entry after `e` of those that were taken; NULL behind the last. To be asked before the message is freed. */
static inline struct sync_stack_entry *sync_stack_next(const struct sync_stack_entry *e) {
    return (struct sync_stack_entry *)e->ck.next;
}

/* ------------------------------------------------------------------ epochs */

/*
 * Epoch-based reclamation by ck_epoch, which follows K. Fraser, "Practical lock-freedom" (2004), section 5.2.3.
 *
 * A reader wraps its uses of shared memory in enter and leave; one record per reader thread, and sections do not nest.
 * One thread, the reclaimer, unlinks memory, begins a grace period and may reuse the memory when that has passed. It
 * never waits: ck tells it by a mark, an entry that it defers as others defer an object to be freed.
 *
 * Three rules of ck 0.7.1 are kept here, each beside the call that needs it: (1) a fence follows ck_epoch_begin, (2) a
 * full fence precedes ck_epoch_call, (3) one thread alone calls and polls.
 */
struct epoch_record {
    ck_epoch_record_t ck;
};

struct epoch_mark {
    ck_epoch_entry_t entry;
    struct epoch *epoch;
    uint64_t number; /* grace periods up to here pass with it; 0: not deferred */
};

struct epoch {
    uint64_t now;  /* number of the latest grace period; begins at 1. Read by anybody */
    ck_epoch_t ck; /* read by everybody who enters */
    /* The reclaimer's own: */
    uint64_t passed __attribute__((aligned(SYNC_CACHE_LINE))); /* grace periods up to here have passed */
    struct epoch_record *reclaimer, *records;
    unsigned nrecords;
    struct epoch_mark marks[CK_EPOCH_LENGTH];
};

/* n records of readers, which stay with the caller, and which of them is the reclaimer's. */
void epoch_init(struct epoch *e, struct epoch_record *records, unsigned n, struct epoch_record *reclaimer);

/* Enters a section. Any thread, on its own record. */
static inline void epoch_enter(struct epoch *e, struct epoch_record *r) {
    ck_epoch_begin(&r->ck, NULL);
    /* Rule 1: no read of the section may pass ahead of ck's look at the epoch. (x86-64 reads in order.) */
    ck_pr_fence_acquire();
    SYNC_TSAN_ACQUIRE(&e->ck);
    (void)e;
}

/* Leaves the section: the memory seen in it may be reused from here on. */
static inline void epoch_leave(struct epoch_record *r) {
    SYNC_TSAN_RELEASE(&r->ck);
    (void)ck_epoch_end(&r->ck, NULL);
}

/* Begins a grace period, for what was unlinked before, and returns its number. Reclaimer only. */
uint64_t epoch_advance(struct epoch *e);

/* True once every section that began before the grace period numbered `target` has ended; sections that began just
 * after it may hold that up. A number above `now` has not passed. Reclaimer only, for it is ck's work that this gets on
 * with: asked again and again it ends up true. */
bool epoch_passed(struct epoch *e, uint64_t target);

#endif
