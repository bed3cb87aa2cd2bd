/* SPDX-License-Identifier: BSD-3-Clause
 *
 * md5 - MD5 (RFC 1321), for the places of keys and of servers on the ring and for nothing that has to be secure.
 *
 * Clients find a key's server by the first four bytes of its MD5 (libmemcached's ketama), so the owner of every key
 * that may live elsewhere is looked up by it. One MD5 is a chain of 64 steps that wait for each other; a processor has
 * room for many chains at once. `md5_first` therefore works on up to 16 keys side by side.
 *
 * All functions: any thread; no memory is allocated.
 */
#ifndef TAGCACHED_BASE_MD5_H
#define TAGCACHED_BASE_MD5_H

#include <stddef.h>
#include <stdint.h>

#define MD5_BYTES 16

/* Bytes from the beginning of each key that md5_first may read, however short the key is. */
#define MD5_READS 64

/* The MD5 of n bytes. */
void md5(const void *bytes, size_t n, uint8_t out[MD5_BYTES]);

/* The first four bytes of the MD5 of n bytes, read as a little-endian number. */
uint32_t md5_first_of_one(const void *bytes, size_t n);

/* out[i] = md5_first_of_one(key[i], len[i]) for i = 0..n-1. Of a key shorter than MD5_READS bytes, the bytes behind it
 * are read too, up to MD5_READS from its beginning, and must be readable; what they are does not matter. */
void md5_first(const char *const key[], const uint32_t len[], unsigned n, uint32_t out[]);

/* The same without AVX2, as processors that lack it run md5_first: what tests compare with. */
void md5_first_portable(const char *const key[], const uint32_t len[], unsigned n, uint32_t out[]);

#endif
