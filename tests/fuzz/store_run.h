/* SPDX-License-Identifier: BSD-3-Clause
 *
 * store_run - what the parts of fuzz_store share: the store and its model, the bytes that say what to do with them, and
 * the comparison of the two.
 *
 * One run at a time, one thread. A difference ends the program.
 */
#ifndef TAGCACHED_TESTS_STORE_RUN_H
#define TAGCACHED_TESTS_STORE_RUN_H

#include <stdio.h>
#include <stdlib.h>

#include "model_store.h"
#include "store_lab.h"

#define VALUE_MAX 400000
#define ROUNDS_MAX 300 /* of maintenance that a call waits for, at most: else it never ends */
#define IDS_MAX (1u << 22)
#define SECOND 1000000000ull

struct run {
    struct lab lab;
    struct model m;
    const uint8_t *p, *end;
    uint64_t first; /* the lowest number there can be */
    uint8_t ids[IDS_MAX / 8];
    uint8_t value[VALUE_MAX];
    unsigned worker;
};

extern struct run run;
extern const char *doing; /* the call under way */

#define WRONG(...)                                                                                                     \
    do {                                                                                                               \
        fprintf(stderr, "%s: ", doing);                                                                                \
        fprintf(stderr, __VA_ARGS__);                                                                                  \
        fprintf(stderr, "\n");                                                                                         \
        abort();                                                                                                       \
    } while (0)
#define WANT(cond)                                                                                                     \
    do {                                                                                                               \
        if (!(cond)) WRONG("%s:%d: not %s", __FILE__, __LINE__, #cond);                                                \
    } while (0)

/* ---- store_input.c: what the next bytes mean; all 0 behind their end */

unsigned byte(void);
bool coin(unsigned of);
/* A mask with few bits. */
uint8_t few_tags(void);
uint32_t expiry(void);
/* Bytes of a value, into run.value: seldom many, often a number. Returns how many. */
uint64_t make_value(void);

/* The name of a key, and its length. */
unsigned key_name(unsigned key, char out[16]);
/* Four of them may be in use. */
struct store_key key_of(unsigned key);
uint64_t tag_hash(unsigned t);
/* The tags of a mask; returns how many. */
unsigned tags_of(uint8_t mask, uint64_t *out);

/* ---- store_compare.c */

/* Begins a section of the run's worker; the model carries out a flush that is due. */
struct store_worker *enter(void);
/* The number was never given before in this run. */
void id_is_new(uint64_t version);
void same_value(const struct store_worker *w, const struct store_item *it, const struct model_item *m);
/* Looks a key up and compares. bump: as a get does. Returns true for a hit. */
bool compare(unsigned key, bool bump);
/* The present state of a key, as sure as can be. */
struct model_item *present(unsigned key, bool *soft);
/* After a change: takes over the numbers it was given. `fresh`: it must have got a new one. */
void adopt(unsigned key, bool fresh);
/* Nothing was changed for want of room. */
bool no_room(enum store_status st);

/* ---- the calls, each with what it must answer and do */

void op_put(void);
void op_arith(void);
void op_touch(void);
void op_delete(void);
void op_tag_add(void);
void op_meta_get(void);
void op_win(void);
/* A filled upload of run.value's first bytes; NULL if there may be none (-M). */
struct store_upload *fill_upload(uint64_t size);
/* A put, with as much maintenance as it needs. */
enum store_status put_now(struct store_put *p);

#endif
