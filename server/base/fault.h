/* SPDX-License-Identifier: BSD-3-Clause
 *
 * fault - named pause points, so that a test can hold a thread exactly there and make a race happen every time.
 *
 * In the daemon a FAULT_POINT is nothing. The test build (-DTAGCACHED_FAULTS) calls the hook that the test installed;
 * the hook may block until the test lets it go on, or return true to ask the code to break its own rule there
 * (a mutation: the test that guards the rule must then fail).
 */
#ifndef TAGCACHED_BASE_FAULT_H
#define TAGCACHED_BASE_FAULT_H

#include <stdbool.h>
#include <stddef.h>

#ifdef TAGCACHED_FAULTS
/* Called with the point's name by whichever thread passes it. Set before threads start; NULL for none. */
extern bool (*fault_hook)(const char *name);
#define FAULT_POINT(name) (fault_hook != NULL && fault_hook(name))
#else
#define FAULT_POINT(name) (false)
#endif

#endif
