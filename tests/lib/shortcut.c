/* SPDX-License-Identifier: BSD-3-Clause
 *
 * shortcut - a test build of the daemon that breaks one rule from its start on: the number of the mutation
 * (cluster/mutation.h) that TAGCACHED_MUTATION names. A test of real processes has to notice.
 */
#include <stdlib.h>

#include "cluster/mutation.h"

__attribute__((constructor)) static void break_rule(void) {
    const char *which = getenv("TAGCACHED_MUTATION");
    if (which != NULL) mutation_on = (enum mutation)strtoul(which, NULL, 10);
}
