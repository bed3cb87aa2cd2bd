/* SPDX-License-Identifier: BSD-3-Clause
 *
 * slow - TEST_SLOW is 1 in a build with the address sanitizer, else 0: it is slow, and looks for wrong uses of memory.
 * What needs long runs to judge (statistics, many seeds, rules that are broken on purpose) is judged by other builds.
 */
#ifndef TAGCACHED_TESTS_LIB_SLOW_H
#define TAGCACHED_TESTS_LIB_SLOW_H

#if defined(__SANITIZE_ADDRESS__)
#define TEST_SLOW 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_SLOW 1
#endif
#endif
#ifndef TEST_SLOW
#define TEST_SLOW 0
#endif

#endif
