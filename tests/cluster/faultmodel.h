/* SPDX-License-Identifier: BSD-3-Clause
 *
 * faultmodel - what the checker knows of every row of the "database" that a cache stands before: which purges of it
 * were confirmed, and so which values a read may still return.
 *
 * Everything that the load does has an event number; the load is one thread, so these are in the order in which things
 * happened. A value says how it came about:
 *   - a guarded fill carries the number of its reading of the database. It may not be returned by a read that began
 * after the confirmation of a purge which was asked for after that reading (promises P2 and P3 of a purge);
 *   - a plain store carries a serial number of its own. Who stores without a guard may overtake a purge, so only a
 *     store that was answered before a purge was asked for is gone when that purge is confirmed.
 * One thread.
 */
#ifndef TAGCACHED_TESTS_FAULTMODEL_H
#define TAGCACHED_TESTS_FAULTMODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAULTMODEL_VALUE_MAX 64

enum faultmodel_verdict {
    FAULTMODEL_FRESH,
    FAULTMODEL_STALE, /* a purge that was confirmed before the read began has killed this value */
    FAULTMODEL_WRONG  /* not a value that was ever stored under this key */
};

struct faultmodel {
    uint64_t now;       /* the latest event's number */
    uint64_t all;       /* when the latest confirmed purge of everything was asked for; 0: none was */
    uint64_t *horizons; /* [key] when the latest confirmed purge of the key was asked for */
    uint32_t nkeys;
    uint64_t *answered; /* [serial] when a plain store was answered; 0: it was not, or not with success */
    size_t nplain, room;
};

/* A model of nkeys rows; ends the program if there is no memory. */
void faultmodel_init(struct faultmodel *m, uint32_t nkeys);
void faultmodel_fini(struct faultmodel *m);
/* The number of a new event. */
uint64_t faultmodel_event(struct faultmodel *m);
/* A confirmed purge of `count` keys from `first` on, which was asked for at this event. */
void faultmodel_purged(struct faultmodel *m, uint32_t first, uint32_t count, uint64_t asked);
/* A confirmed purge of everything. */
void faultmodel_purged_all(struct faultmodel *m, uint64_t asked);
/* What a read of the key that begins now has to go by, for faultmodel_check. */
uint64_t faultmodel_horizon(const struct faultmodel *m, uint32_t key);
/* Writes the value of a guarded fill whose reading of the database was at this event; its length. */
size_t faultmodel_fill(uint32_t key, uint64_t read_at, char value[FAULTMODEL_VALUE_MAX]);
/* Writes the value of a plain store, whose serial number it gives; its length. */
size_t faultmodel_plain(struct faultmodel *m, uint32_t key, char value[FAULTMODEL_VALUE_MAX], uint64_t *serial);
/* A plain store was answered with success. */
void faultmodel_plain_answered(struct faultmodel *m, uint64_t serial);
/* What a read that began with this horizon and returned these n bytes says. */
enum faultmodel_verdict faultmodel_check(const struct faultmodel *m, uint32_t key, uint64_t horizon, const char *value,
                                         size_t n);

#endif
