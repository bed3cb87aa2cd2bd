/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/suspicion.h"

#include <math.h>

uint64_t suspicion_min_ns(unsigned factor, unsigned members, uint64_t probe_ns) {
    const double scale = members > 10 ? log10(members) : 1.0;
    return (uint64_t)(factor * scale * (double)probe_ns);
}

unsigned suspicion_expected(unsigned factor, unsigned members) {
    const unsigned others = members > 2 ? members - 2 : 0; /* without the suspect and the first accuser */
    const unsigned wanted = factor > 2 ? factor - 2 : 0;
    return wanted < others ? wanted : others;
}

uint64_t suspicion_timeout_ns(uint64_t min_ns, unsigned max_factor, unsigned confirmations, unsigned expected) {
    if (confirmations >= expected) return min_ns;
    const double part = log(confirmations + 1.0) / log(expected + 1.0);
    const double max = (double)min_ns * max_factor;
    return (uint64_t)(max - part * (max - (double)min_ns));
}
