/* SPDX-License-Identifier: BSD-3-Clause
 *
 * ck_tsan - Concurrency Kit's primitives for builds with ThreadSanitizer, which cannot see into ck's assembler: sync.h
 * includes this before <ck_pr.h>, and then ck takes these instead of its own. Whatever is built on them, by ck or here,
 * is checked as it ships. No other file names a compiler's atomic builtin.
 *
 * ThreadSanitizer does not model a fence that stands alone, and ck orders its relaxed accesses by such fences. So each
 * access is as strong here as ck needs it to be with the fences around it: loads acquire, stores release, a
 * read-modify-write does both. That is what x86-64 does in any case. A fence that is missing on arm64 goes unseen.
 *
 * ck_tsan_*: the same accesses without any order, for sync.h's own relaxed ones.
 */
#ifndef TAGCACHED_BASE_CK_TSAN_H
#define TAGCACHED_BASE_CK_TSAN_H

#ifdef CK_PR_H
#error "base/ck_tsan.h comes before ck_pr.h"
#endif

#include <ck_cc.h>
#include <gcc/ck_f_pr.h> /* which primitives ck need not make from others: those below */
#include <sanitizer/tsan_interface.h>
#include <stdbool.h>
#include <stdint.h>

#define CK_USE_CC_BUILTINS 1
#define CK_F_PR /* ck_pr.h defines no primitives of its own then */

#define CK_TSAN_BINARY(op, name, member, type, number)                                                                 \
    CK_CC_INLINE static void ck_pr_##op##_##name(member *p, number v) {                                                \
        (void)__atomic_fetch_##op((number *)(void *)p, v, __ATOMIC_SEQ_CST);                                           \
    }

/* name: ck's suffix; member: what its pointers point to; type: what is there; number: what is added to it. */
#define CK_TSAN_TYPE(name, member, type, number)                                                                       \
    CK_CC_INLINE static type ck_pr_md_load_##name(const member *p) {                                                   \
        return __atomic_load_n((type const *)(const void *)p, __ATOMIC_ACQUIRE);                                       \
    }                                                                                                                  \
    CK_CC_INLINE static bool ck_pr_cas_##name##_value(member *p, type seen, type v, member *out) {                     \
        bool ok = __atomic_compare_exchange_n((type *)(void *)p, &seen, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
        *(type *)(void *)out = seen;                                                                                   \
        return ok;                                                                                                     \
    }                                                                                                                  \
    CK_CC_INLINE static bool ck_pr_cas_##name(member *p, type seen, type v) {                                          \
        return __atomic_compare_exchange_n((type *)(void *)p, &seen, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);    \
    }                                                                                                                  \
    CK_CC_INLINE static number ck_pr_faa_##name(member *p, number v) {                                                 \
        return __atomic_fetch_add((number *)(void *)p, v, __ATOMIC_SEQ_CST);                                           \
    }                                                                                                                  \
    CK_CC_INLINE static void ck_pr_inc_##name(member *p) {                                                             \
        (void)__atomic_fetch_add((number *)(void *)p, 1, __ATOMIC_SEQ_CST);                                            \
    }                                                                                                                  \
    CK_CC_INLINE static void ck_pr_dec_##name(member *p) {                                                             \
        (void)__atomic_fetch_sub((number *)(void *)p, 1, __ATOMIC_SEQ_CST);                                            \
    }                                                                                                                  \
    CK_TSAN_BINARY(add, name, member, type, number)                                                                    \
    CK_TSAN_BINARY(sub, name, member, type, number)                                                                    \
    CK_TSAN_BINARY(and, name, member, type, number)                                                                    \
    CK_TSAN_BINARY(or, name, member, type, number)                                                                     \
    CK_TSAN_BINARY(xor, name, member, type, number)

#define CK_TSAN_NUMBER(name, type)                                                                                     \
    CK_TSAN_TYPE(name, type, type, type)                                                                               \
    CK_CC_INLINE static void ck_pr_md_store_##name(type *p, type v) {                                                  \
        __atomic_store_n(p, v, __ATOMIC_RELEASE);                                                                      \
    }                                                                                                                  \
    CK_CC_INLINE static type ck_tsan_load_##name(const type *p) {                                                      \
        return __atomic_load_n(p, __ATOMIC_RELAXED);                                                                   \
    }                                                                                                                  \
    CK_CC_INLINE static void ck_tsan_store_##name(type *p, type v) {                                                   \
        __atomic_store_n(p, v, __ATOMIC_RELAXED);                                                                      \
    }                                                                                                                  \
    CK_CC_INLINE static type ck_tsan_faa_##name(type *p, type v) {                                                     \
        return __atomic_fetch_add(p, v, __ATOMIC_RELAXED);                                                             \
    }                                                                                                                  \
    CK_CC_INLINE static bool ck_tsan_cas_##name(type *p, type seen, type v) {                                          \
        return __atomic_compare_exchange_n(p, &seen, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);                    \
    }

CK_TSAN_TYPE(ptr, void, void *, uintptr_t)
CK_TSAN_NUMBER(char, char)
CK_TSAN_NUMBER(int, int)
CK_TSAN_NUMBER(uint, unsigned)
CK_TSAN_NUMBER(64, uint64_t)
CK_TSAN_NUMBER(32, uint32_t)
CK_TSAN_NUMBER(16, uint16_t)
CK_TSAN_NUMBER(8, uint8_t)

CK_CC_INLINE static void ck_pr_md_store_ptr(void *p, const void *v) {
    __atomic_store_n((void **)p, CK_CC_DECONST_PTR(v), __ATOMIC_RELEASE);
}

CK_CC_INLINE static void ck_pr_stall(void) {
}

/* The processor still needs those fences that ck_pr.h does not leave out for its memory model. */
#define CK_TSAN_FENCE(name)                                                                                            \
    CK_CC_INLINE static void ck_pr_fence_strict_##name(void) {                                                         \
        __sync_synchronize();                                                                                          \
    }
CK_TSAN_FENCE(atomic)
CK_TSAN_FENCE(atomic_load)
CK_TSAN_FENCE(atomic_store)
CK_TSAN_FENCE(store_atomic)
CK_TSAN_FENCE(load_atomic)
CK_TSAN_FENCE(load)
CK_TSAN_FENCE(load_store)
CK_TSAN_FENCE(store)
CK_TSAN_FENCE(store_load)
CK_TSAN_FENCE(memory)
CK_TSAN_FENCE(acquire)
CK_TSAN_FENCE(release)
CK_TSAN_FENCE(acqrel)
CK_TSAN_FENCE(lock)
CK_TSAN_FENCE(unlock)

#undef CK_TSAN_BINARY
#undef CK_TSAN_TYPE
#undef CK_TSAN_NUMBER
#undef CK_TSAN_FENCE

#endif
