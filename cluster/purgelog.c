/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/purgelog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "cluster/mutation.h"
#include "cluster/viatable.h"

#define CHUNK_BYTES 4096u

#ifdef TAGCACHED_FAULTS
enum mutation mutation_on;
#endif

/* What the table of vias says of a purge that was applied under an id that counts no more. */
enum {
    RETIRED = PURGELOG_SLOTS, /* its origin is retired: everybody has applied it */
    FORGOTTEN                 /* nothing more is known of it */
};

/* Records of one origin with consecutive sequences. */
struct chunk {
    struct chunk *older, *newer; /* of all origins */
    uint64_t first;              /* sequence of its first record */
    uint64_t before;             /* bytes that the slot ever had before it */
    uint32_t count, bytes, room;
    uint8_t slot; /* to which the vias lead; or RETIRED, FORGOTTEN */
    bool buried;  /* in no slot any more: it is there for the vias of what was applied */
    _Alignas(8) uint8_t data[];
};

/* The chunks of an origin are a ring of pointers, so that one is found by halving. */
struct slot {
    uint32_t origin;
    uint64_t last, applied, keep, star;
    uint64_t total; /* bytes that it ever had */
    bool scanned;   /* a chunk of it is older than `scan` */
    struct chunk **ring;
    uint32_t head, used, mask; /* mask: entries - 1 */
};

struct purgelog {
    uint64_t limit, used;
    struct chunk *oldest, *newest;
    struct chunk *scan; /* what is older may not be dropped; NULL: nothing may */
    struct slot slots[PURGELOG_SLOTS];
    int end;              /* no slot from here on is open */
    struct viatable vias; /* to slot << 40 | sequence */
};

uint64_t purgelog_bytes(uint64_t memory_limit) {
    const uint64_t bytes = memory_limit / 64;
    return bytes < PURGELOG_BYTES_MIN ? PURGELOG_BYTES_MIN : bytes > PURGELOG_BYTES_MAX ? PURGELOG_BYTES_MAX : bytes;
}

int purgelog_new(uint64_t bytes, struct purgelog **out) {
    struct purgelog *log = calloc(1, sizeof *log);
    if (log == NULL) return -ENOMEM;
    log->limit = bytes;
    if (viatable_init(&log->vias, bytes / PURGE_EVENT_ONE_TAG) != 0) {
        free(log);
        return -ENOMEM;
    }
    *out = log;
    return 0;
}

static struct chunk *chunk_at(const struct slot *s, uint32_t i) {
    return s->ring[(s->head + i) & s->mask];
}

static uint64_t via_value(int slot, uint64_t sequence) {
    return (uint64_t)slot << 40 | sequence;
}

/* ------------------------------------------------------------------ slots */

int purgelog_slot(const struct purgelog *log, uint32_t origin) {
    for (int i = 0; origin != 0 && i < log->end; i++)
        if (log->slots[i].origin == origin) return i;
    return -1;
}

int purgelog_open(struct purgelog *log, uint32_t origin) {
    CHECK(origin != 0 && purgelog_slot(log, origin) < 0);
    for (int i = 0; i < PURGELOG_SLOTS; i++)
        if (log->slots[i].origin == 0) {
            log->slots[i] = (struct slot){.origin = origin, .keep = UINT64_MAX};
            if (i >= log->end) log->end = i + 1;
            return i;
        }
    return -1;
}

/* Where the via of the i-th record leads. */
static uint64_t lead(const struct chunk *c, uint32_t i) {
    return via_value(c->slot, c->slot < PURGELOG_SLOTS ? c->first + i : 0);
}

static void free_chunk(struct purgelog *log, struct chunk *c) {
    const uint8_t *record = c->data;
    for (uint32_t i = 0; i < c->count; i++, record += purge_event_size(record))
        viatable_remove(&log->vias, purge_event_via(record), lead(c, i));
    *(c->older != NULL ? &c->older->newer : &log->oldest) = c->newer;
    *(c->newer != NULL ? &c->newer->older : &log->newest) = c->older;
    if (log->scan == c) log->scan = c->newer;
    log->used -= c->bytes;
    free(c);
}

/* Takes the oldest chunk out of a slot. */
static struct chunk *take_chunk(struct slot *s) {
    struct chunk *c = chunk_at(s, 0);
    s->head = (s->head + 1) & s->mask;
    s->used--;
    return c;
}

void purgelog_reset(struct purgelog *log, int slot, uint64_t sequence, uint64_t star) {
    struct slot *s = &log->slots[slot];
    while (s->used > 0) {
        struct chunk *c = take_chunk(s);
        const uint8_t *record = c->data;
        c->buried = true;
        for (uint32_t i = 0; i < c->count; i++, record += purge_event_size(record))
            if (c->first + i > s->applied) viatable_remove(&log->vias, purge_event_via(record), lead(c, i));
    }
    log->scan = log->oldest;
    s->last = s->applied = sequence;
    s->star = star;
}

/* number: only vias of this one stay known; 0: all do. */
static void close_slot(struct purgelog *log, int slot, uint8_t kind, uint32_t number) {
    struct slot *s = &log->slots[slot];
    uint64_t known;
    purgelog_reset(log, slot, 0, 0);
    for (struct chunk *c = log->oldest; c != NULL; c = c->newer) {
        const uint8_t *record = c->data;
        if (c->slot != slot) continue;
        for (uint32_t i = 0; i < c->count; i++, record += purge_event_size(record)) {
            const struct purge_via via = purge_event_via(record);
            if (number != 0 && via.number != number)
                viatable_remove(&log->vias, via, lead(c, i));
            else if (viatable_get(&log->vias, via, &known) && known == lead(c, i))
                CHECK(viatable_set(&log->vias, via, via_value(kind, 0)) == 0); /* it is there: nothing grows */
        }
        c->slot = kind;
    }
    free(s->ring);
    *s = (struct slot){0};
    while (log->end > 0 && log->slots[log->end - 1].origin == 0) log->end--;
}

void purgelog_close(struct purgelog *log, int slot, bool retired) {
    close_slot(log, slot, retired ? RETIRED : FORGOTTEN, 0);
}

void purgelog_leave(struct purgelog *log, int slot, uint32_t number) {
    close_slot(log, slot, FORGOTTEN, number);
}

void purgelog_free(struct purgelog *log) {
    if (log == NULL) return;
    for (int i = 0; i < PURGELOG_SLOTS; i++)
        if (log->slots[i].origin != 0) purgelog_close(log, i, false);
    while (log->oldest != NULL) free_chunk(log, log->oldest);
    viatable_fini(&log->vias);
    free(log);
}

int purgelog_end(const struct purgelog *log) {
    return log->end;
}

uint32_t purgelog_origin(const struct purgelog *log, int slot) {
    return log->slots[slot].origin;
}

uint64_t purgelog_last(const struct purgelog *log, int slot) {
    return log->slots[slot].last;
}

uint64_t purgelog_begin(const struct purgelog *log, int slot) {
    const struct slot *s = &log->slots[slot];
    return s->used > 0 ? chunk_at(s, 0)->first - 1 : s->last;
}

uint64_t purgelog_star(const struct purgelog *log, int slot) {
    return log->slots[slot].star;
}

uint64_t purgelog_applied(const struct purgelog *log, int slot) {
    return log->slots[slot].applied;
}

/* Nothing above this sequence may be dropped. */
static uint64_t kept_above(const struct slot *s) {
    return s->applied < s->keep ? s->applied : s->keep;
}

static void move_keep(struct purgelog *log, struct slot *s, uint64_t applied, uint64_t keep) {
    const uint64_t before = kept_above(s);
    s->applied = applied;
    s->keep = keep;
    if (kept_above(s) == before || !s->scanned) return;
    s->scanned = false;
    log->scan = log->oldest;
}

void purgelog_set_applied(struct purgelog *log, int slot, uint64_t sequence) {
    struct slot *s = &log->slots[slot];
    CHECK(sequence <= s->last);
    if (sequence > s->applied) move_keep(log, s, sequence, s->keep);
}

void purgelog_keep(struct purgelog *log, int slot, uint64_t sequence) {
    move_keep(log, &log->slots[slot], log->slots[slot].applied, sequence);
}

/* ------------------------------------------------------------------ looking up */

/* The index of the chunk that holds a sequence, which lies within what the slot has. */
static uint32_t chunk_of(const struct slot *s, uint64_t sequence) {
    uint32_t low = 0, high = s->used - 1;
    while (low < high) {
        const uint32_t middle = (low + high + 1) / 2;
        if (chunk_at(s, middle)->first <= sequence)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

static const uint8_t *record_in(const struct chunk *c, uint64_t sequence) {
    const uint8_t *record = c->data;
    for (uint64_t i = c->first; i < sequence; i++) record += purge_event_size(record);
    return record;
}

/* ------------------------------------------------------------------ appending */

/* Makes room for `bytes`. False: nothing may be dropped, and the log is full. */
static bool make_room(struct purgelog *log, size_t bytes) {
    struct chunk *c = log->scan;
    while (c != NULL && log->used + bytes > log->limit) {
        struct chunk *newer = c->newer;
        struct slot *s = c->buried ? NULL : &log->slots[c->slot];
        if (s == NULL || c->first + c->count - 1 <= kept_above(s)) {
            if (log->used + bytes - c->bytes < log->limit)
                return true;                          /* without it less than the bound would be held */
            if (s != NULL) CHECK(take_chunk(s) == c); /* what is kept of a slot is its newest part */
            free_chunk(log, c);
        } else {
            s->scanned = true;
            log->scan = newer;
        }
        c = newer;
    }
    return log->used + bytes <= log->limit + CHUNK_BYTES;
}

static int widen(struct slot *s) {
    const uint32_t n = s->mask == 0 ? 8 : 2 * (s->mask + 1);
    struct chunk **ring = malloc(n * sizeof(void *));
    if (ring == NULL) return -ENOMEM;
    for (uint32_t i = 0; i < s->used; i++) ring[i] = chunk_at(s, i);
    free(s->ring);
    s->ring = ring;
    s->head = 0;
    s->mask = n - 1;
    return 0;
}

/* A new chunk, the newest of all. NULL: no memory. */
static struct chunk *new_chunk(struct purgelog *log, uint8_t slot, size_t room) {
    struct chunk *c = malloc(sizeof *c + room);
    if (c == NULL) return NULL;
    *c = (struct chunk){.older = log->newest, .room = (uint32_t)room, .slot = slot};
    *(log->newest != NULL ? &log->newest->newer : &log->oldest) = c;
    log->newest = c;
    if (log->scan == NULL) log->scan = c;
    return c;
}

/* The chunk of the slot that takes a record of this size. NULL: no memory. */
static struct chunk *tail(struct purgelog *log, int slot, size_t bytes) {
    struct slot *s = &log->slots[slot];
    if (s->used > 0 && chunk_at(s, s->used - 1)->room - chunk_at(s, s->used - 1)->bytes >= bytes)
        return chunk_at(s, s->used - 1);
    if ((s->ring == NULL || s->used > s->mask) && widen(s) != 0) return NULL;
    struct chunk *c = new_chunk(log, (uint8_t)slot, bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES);
    if (c == NULL) return NULL;
    c->first = s->last + 1;
    c->before = s->total;
    s->ring[(s->head + s->used++) & s->mask] = c;
    return c;
}

/* Bytes of the slot that its owner keeps. */
static uint64_t kept_bytes(const struct slot *s) {
    if (s->keep >= s->last || s->used == 0) return 0;
    const struct chunk *c = chunk_at(s, chunk_of(s, s->keep + 1));
    return s->total - c->before - (uint64_t)(record_in(c, s->keep + 1) - c->data);
}

int purgelog_append(struct purgelog *log, int slot, const uint8_t *record, bool repeated) {
    struct slot *s = &log->slots[slot];
    const size_t bytes = purge_event_size(record);
    const struct purge_via via = purge_event_via(record);
    uint64_t known;
    /* what is kept leaves room for others' events, else two voters could wait for each other with full logs */
    if (s->keep != UINT64_MAX && kept_bytes(s) + bytes > log->limit / 2) return -ENOSPC;
    if (s->last == PURGELOG_SEQUENCE_MAX || !make_room(log, bytes)) return -ENOSPC;
    struct chunk *c = tail(log, slot, bytes);
    if (c == NULL) return -ENOMEM;
    repeated = (viatable_get(&log->vias, via, &known) && !MUTATED(MUTATION_NO_VIA)) || repeated;
    if (viatable_set(&log->vias, via, via_value(slot, s->last + 1)) != 0) return -ENOMEM;
    memcpy(c->data + c->bytes, record, bytes);
    purge_event_set_repeated(c->data + c->bytes, repeated);
    c->bytes += (uint32_t)bytes;
    c->count++;
    log->used += bytes;
    s->total += bytes;
    s->last++;
    if (purge_event_everything(record)) s->star = s->last;
    return 0;
}

void purgelog_remember(struct purgelog *log, const uint8_t *record) {
    const size_t bytes = purge_event_size(record);
    uint64_t known;
    if (viatable_get(&log->vias, purge_event_via(record), &known) || !make_room(log, bytes)) return;
    struct chunk *c = new_chunk(log, FORGOTTEN, bytes);
    if (c == NULL) return;
    c->buried = true;
    memcpy(c->data, record, bytes);
    c->bytes = (uint32_t)bytes;
    c->count = 1;
    log->used += bytes;
    (void)viatable_set(&log->vias, purge_event_via(record), lead(c, 0)); /* else it is not recognised */
}

const uint8_t *purgelog_at(const struct purgelog *log, int slot, uint64_t sequence) {
    const struct slot *s = &log->slots[slot];
    if (sequence > s->last || sequence <= purgelog_begin(log, slot)) return NULL;
    return record_in(chunk_at(s, chunk_of(s, sequence)), sequence);
}

size_t purgelog_copy(const struct purgelog *log, int slot, uint64_t sequence, uint64_t upto, uint8_t *out, size_t room,
                     unsigned *count) {
    const struct slot *s = &log->slots[slot];
    size_t filled = 0;
    *count = 0;
    if (upto > s->last) upto = s->last;
    if (sequence > upto || sequence <= purgelog_begin(log, slot)) return 0;
    for (uint32_t i = chunk_of(s, sequence); i < s->used; i++) {
        const struct chunk *c = chunk_at(s, i);
        const uint8_t *from = record_in(c, sequence), *record = from;
        const uint64_t end = c->first + c->count;
        while (sequence < end && sequence <= upto &&
               filled + (size_t)(record - from) + purge_event_size(record) <= room) {
            record += purge_event_size(record);
            sequence++;
            ++*count;
        }
        memcpy(out + filled, from, (size_t)(record - from));
        filled += (size_t)(record - from);
        if (sequence < end || sequence > upto) break;
    }
    return filled;
}

bool purgelog_find(const struct purgelog *log, struct purge_via via, int *slot, uint64_t *sequence) {
    uint64_t value;
    if (!viatable_get(&log->vias, via, &value) || value >> 40 == FORGOTTEN) return false;
    *slot = value >> 40 == RETIRED ? -1 : (int)(value >> 40);
    *sequence = value & PURGELOG_SEQUENCE_MAX;
    return true;
}

uint64_t purgelog_used(const struct purgelog *log) {
    return log->used;
}

unsigned purgelog_vector(const struct purgelog *log, struct peer_purge_seen *out) {
    unsigned n = 0;
    for (int i = 0; i < log->end; i++) {
        const struct slot *s = &log->slots[i];
        if (s->origin != 0) out[n++] = (struct peer_purge_seen){s->origin, s->applied, s->star};
    }
    return n;
}

uint64_t purgelog_hash(const struct purgelog *log) {
    uint64_t hash = 0;
    for (int i = 0; i < log->end; i++) {
        uint64_t x = log->slots[i].origin * UINT64_C(0x9e3779b97f4a7c15) ^ log->slots[i].applied;
        if (log->slots[i].applied == 0) continue;
        x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
        hash += x ^ x >> 31;
    }
    return hash;
}
