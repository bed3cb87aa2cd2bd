/* SPDX-License-Identifier: BSD-3-Clause
 *
 * erase - overwriting memory that held what clients have stored, for --erase. Any thread.
 */
#ifndef TAGCACHED_BASE_ERASE_H
#define TAGCACHED_BASE_ERASE_H

#include <stdbool.h>
#include <stddef.h>

/* Zeros, which the compiler may not leave out because nobody reads them any more. n may be 0, p be NULL then. */
void erase_bytes(void *p, size_t n);
/* Zeros in what the calling thread's stack has held below its present end. For a function that is near the thread's
 * first one, when nothing that the thread has under way needs what lies there. */
void erase_stack(void);

/* From now on the program's heap overwrites what is freed (erase_heap.c, which only the daemon has). There is one heap
 * in a process, so this is the process's. Never taken back. */
void erase_heap(void);
/* Whether it does. */
bool erase_heap_wanted(void);

#endif
