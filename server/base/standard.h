/* SPDX-License-Identifier: BSD-3-Clause
 *
 * standard - standard input, output and error.
 */
#ifndef TAGCACHED_BASE_STANDARD_H
#define TAGCACHED_BASE_STANDARD_H

#include <stdbool.h>

/* Opens /dev/null in the place of each of the three that whoever started the process has closed. Else the next file or
 * connection that is opened would be it, and what is meant for the operator would be written there. First of all in
 * main. False: it cannot (errno). */
bool standard_open(void);

#endif
