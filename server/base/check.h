/* SPDX-License-Identifier: BSD-3-Clause
 *
 * check - assertions about our own code that stay on in every build.
 *
 * A CHECK states what only a bug of ours can break; it is never reachable from bytes off the network.
 * On failure it prints the place and the expression and aborts, so that a core shows the state.
 */
#ifndef TAGCACHED_BASE_CHECK_H
#define TAGCACHED_BASE_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(expr)                                                                                                    \
    do {                                                                                                               \
        if (__builtin_expect(!(expr), 0)) {                                                                            \
            fprintf(stderr, "tagcached: CHECK failed at %s:%d: %s\n", __FILE__, __LINE__, #expr);                      \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#endif
