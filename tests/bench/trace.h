/* SPDX-License-Identifier: BSD-3-Clause
 *
 * trace - the records of a cache trace file (libCacheSim's oracleGeneral: 24 bytes, little-endian, no header), and
 * of the file of lifetimes that may lie beside it.
 */
#ifndef TAGCACHED_BENCH_TRACE_H
#define TAGCACHED_BENCH_TRACE_H

#include <stdint.h>

struct __attribute__((packed)) trace_record {
    uint32_t time_s;
    uint64_t id;   /* never 0 */
    uint32_t size; /* bytes of the object */
    int64_t next;  /* index of the object's next request, -1: none */
};

/* FILE.ttl: one of these for each record: the seconds (of the trace's time) the object has left to live, 0: no end. */
typedef uint32_t trace_ttl;

#endif
