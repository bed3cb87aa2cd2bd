/* SPDX-License-Identifier: BSD-3-Clause
 *
 * script_packet - packets of the binary protocol as words of a transcript (README.md has the notation).
 */
#ifndef TAGCACHED_TESTS_SCRIPT_PACKET_H
#define TAGCACHED_TESTS_SCRIPT_PACKET_H

#include "tests/wire/script.h"

/* Appends the request that the words stand for. 0, or -1 when one is not known, or is a variable without a value. */
int script_packet_expand(const char *text, const struct script_vars *vars, struct bytes *out);

/* The length of the answer that p[0..n) begins with. 0: that is not here yet, or it is none. */
size_t script_packet_length(const char *p, size_t n);

/* Whether the answer at p, which is all here, is what the words ask for; sets variables. */
bool script_packet_match(const char *text, const char *p, struct script_vars *vars);

#endif
