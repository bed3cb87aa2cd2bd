/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/fault.h"

#ifdef TAGCACHED_FAULTS
bool (*fault_hook)(const char *name);
#else
typedef int fault_not_in_this_build; /* ISO C forbids an empty translation unit */
#endif
