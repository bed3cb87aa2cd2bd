/* SPDX-License-Identifier: BSD-3-Clause
 *
 * internal - what the files of this folder share: the store itself, its workers, and the few steps that every change
 * of an item is made of.
 *
 * Lock order: purge table's mutex; bucket; then one of {open segment, overflow stripe}; then {free list, queue, line
 * pool}.
 */
#ifndef TAGCACHED_STORE_INTERNAL_H
#define TAGCACHED_STORE_INTERNAL_H

#include <pthread.h>
#include <sys/queue.h>

#include "base/check.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/sync.h"
#include "store/age.h"
#include "store/ghost.h"
#include "store/index.h"
#include "store/item.h"
#include "store/purge.h"
#include "store/segment.h"
#include "store/store.h"

#define NUMBER_BLOCK 64
#define PREFIX_TAGS_MAX 16
#define ALL_TAGS_MAX (STORE_TAGS_MAX + PREFIX_TAGS_MAX)
#define ASKED_TAGS_MAX (ALL_TAGS_MAX + STORE_READ_TAGS_MAX)

/* Where records are appended. What does not fit into the rest of a segment goes to the next one meanwhile, since most
 * are smaller: else a large one would leave much of it unused. */
struct opened {
    uint32_t segment, next; /* or SEGMENT_NONE */
    uint32_t used, tries;   /* of the segment: as of the latest record that did not fit; how many since it grew */
};

struct store_worker {
    struct store *s;
    struct epoch_record *epoch;
    unsigned index;
    uint32_t now;                     /* store time of the section */
    bool inside;                      /* a section is open */
    struct opened open;               /* small segments it appends to */
    uint64_t number_next, number_end; /* its block of numbers */
    uint32_t *pins;                   /* of each segment */
    uint32_t *dead;                   /* of each segment, bytes that it has said to be dead (account.h) */
    uint64_t metrics[STORE_METRICS];
} __attribute__((aligned(64)));

/* Segments that several threads append to. */
struct shared_open {
    struct sync_spin lock;
    struct opened open;
};

/* A purge that a pass of the sweeper has to carry out before it is answered. */
struct store_job {
    struct store_job *next;
    uint64_t number; /* the purge's; 0: it is about to get one, and selects nothing until then */
    int64_t removed;
    void *token;
    unsigned nselectors;
    uint64_t words[]; /* of each selector: how many tags (0: everything), and they */
};

/* What the sweeper is doing. */
struct sweep {
    bool running;
    bool ending;            /* every segment was met: the pass ends when a grace period has passed */
    uint32_t at;            /* next segment */
    uint64_t number;        /* purges up to here are done when the pass ends */
    uint64_t grace;         /* the pass begins, or ends, when this grace period has passed */
    uint64_t began_ns;      /* when the pass began */
    uint64_t next_ns;       /* when the next step may be taken */
    uint64_t group;         /* next index group to pack */
    uint64_t removed;       /* items ever taken out that it has packed groups for */
    uint32_t soonest;       /* no item expires before this second; 0: none expires at all. Any thread lowers it */
    uint64_t progress_ns;   /* when it got on last, or no purge waited for it */
    uint64_t floors;        /* of the purge table, as told last */
    uint64_t floors_ns;     /* when */
    struct store_job *jobs; /* those this pass serves */
};

TAILQ_HEAD(upload_list, store_upload);

struct store {
    struct store_config cfg;
    uint64_t number_first;                        /* no number is below this */
    uint64_t number __attribute__((aligned(64))); /* the next number to give */
    struct segments segs __attribute__((aligned(64)));
    struct index ix;
    struct purge_table purge;
    struct ghost ghost;
    struct ages ages;
    struct epoch epoch;
    struct epoch_record *records;
    struct store_worker *handles; /* those of the callers and, last, the maintenance thread's */
    unsigned nhandles;            /* of these */
    struct shared_open main_open, upload_open;
    uint64_t start_ns;
    uint64_t inline_max;
    uint64_t limit; /* bytes; may change while running */
    uint32_t flush_at;
    bool watch_evictions;
    pthread_mutex_t uploads_lock; /* for the lists; nothing is locked under it */
    struct upload_list uploads_waiting, uploads_under_way;
    uint64_t turns;                                  /* uploads that ever began */
    uint64_t uploads, upload_bytes, upload_segments; /* under way; their bytes; segments that hold some of them */
    uint32_t room_wanted;                            /* free segments somebody needs at once */
    uint32_t pinned;                                 /* segments with a pin, estimated */
    bool room_missed;                                /* somebody found no segment since a sweep pass ended */
    bool exhausted;                                  /* and none is to be had: see watch_progress */

    /* maintenance */
    struct segment_list retired; /* waiting to become free; their sealed_at is the grace period they wait for */
    uint32_t stuck;              /* of those only a pin holds back, as of the latest look */
    double density;              /* running average of the median hits per byte of main segments, log2 */
    bool density_known;
    uint64_t credit; /* bytes that eviction may still carry on (evict.c) */
    bool credit_begun;
    double leaving;               /* running average of the size of what leaves small, log2 */
    bool cold;                    /* main is: see cold.c */
    unsigned look_in;             /* evictions until main's oldest segment is compared with small's again */
    uint32_t watched, tried;      /* the segment of main that is; the latest put on trial; or SEGMENT_NONE */
    uint32_t on_trial;            /* segments */
    uint64_t merged_at;           /* grace period after the last merge of index groups; 0: nothing to release */
    uint32_t compact_at, dead_at; /* where the next look for such segments begins */
    uint32_t compacting[2];       /* of each queue the segment that compaction fills, or SEGMENT_NONE */
    uint64_t items_hint;          /* items held, as of this round */
    unsigned idle_rounds;         /* rounds since there was something to do */
    bool line;                    /* uploads wait for their turn, as of this round */
    unsigned starved_rounds;      /* rounds in which segments were wanted and none became free */
    uint64_t starved_ns;          /* when the first of them was */
    struct sweep sweep;
    pthread_t thread;
    pthread_mutex_t mutex; /* of the condition, stop, jobs */
    pthread_cond_t wake;
    bool started, stop, kicked, sleeping;
    struct store_job *jobs; /* for the next pass */
    bool purge_waits;       /* a purge found no room: on_room when there is some; written with the table's mutex */
    uint64_t reset[STORE_METRICS]; /* counters as of the last `stats reset` */
    uint64_t ghost_grace;          /* grace period a ghost table to be freed waits for */
};

#define COUNT(w, name, n) sync_bump(&(w)->metrics[STORE_METRIC_##name], (n))

static inline struct store_worker *maintenance(struct store *s) {
    return &s->handles[s->nhandles - 1];
}
static inline struct segment *segment_by_loc(const struct store *s, uint64_t loc) {
    return &s->segs.seg[segment_of(&s->segs, loc)];
}
static inline bool expired(uint32_t expiry, uint32_t now) {
    return expiry != 0 && expiry <= now;
}
uint32_t store_clock(const struct store *s);
/* When that clock begins to show a second. */
uint64_t store_second_ns(const struct store *s, uint32_t second);
/* Reads the clock for a worker that is in no section. In a new second the worker gives up the numbers that it has
 * reserved: whatever it stores from now on would look as old as they are. */
void worker_second(struct store_worker *w, uint32_t now);
static inline void worker_clock(struct store_worker *w) {
    const uint32_t now = store_clock(w->s);
    if (unlikely(now != w->now)) worker_second(w, now);
}

/* So many segments exist whatever the limit: two open for each handle (the maintenance thread's stand for main), and
 * for uploads, what compaction moves, the reserve, some to evict. Else threads that hold open ones and are idle could
 * leave another none. */
static inline uint32_t segments_least(unsigned nhandles) {
    return 2 * nhandles + 8;
}

/* ---- maintain.c: asked for by workers */
/* Wakes the maintenance thread. Any thread. */
void store_kick(struct store *s);
/* For how long the maintenance thread may sleep after a round that found nothing to do, unless it is woken. */
uint64_t store_idle_ns(struct store *s);
/* Whether so many segments (or half of all, if that is less) are free; if not, the maintenance thread sees to it. */
bool store_want_room(struct store *s, uint32_t segments);
/* Tells that whoever found no room may try again. Maintenance thread. */
void store_tell_room(struct store *s);

/* ---- room.c: appending records */
/* Room for a record in the small segment of the worker, or in main. Returns its location or 0. The record must be
 * complete before room_done; nothing else may be appended meanwhile by this worker. In a section. */
struct room {
    uint64_t loc;
    uint8_t *p;
    struct segment *g;
    uint32_t bytes;
    enum segment_queue queue;
};
bool room_take_slow(struct store_worker *w, uint32_t bytes, enum segment_queue q, struct room *r);
static inline bool room_take(struct store_worker *w, uint32_t bytes, enum segment_queue q, struct room *r) {
    struct segments *segs = &w->s->segs;
    const uint32_t open = w->open.segment;
    if (likely(q == SEGMENT_SMALL && open != SEGMENT_NONE)) {
        struct segment *g = &segs->seg[open];
        uint32_t used = sync_load(&g->used);
        if (likely(bytes <= segs->bytes - used)) {
            uint64_t loc = segment_base(segs, open) + used;
            *r = (struct room){loc, segment_at(segs, loc), g, bytes, q};
            return true;
        }
    }
    return room_take_slow(w, bytes, q, r);
}
static inline void room_done(struct store_worker *w, struct room *r) {
    sync_store_rel(&r->g->used, sync_load(&r->g->used) + r->bytes);
    if (r->queue == SEGMENT_MAIN) sync_spin_unlock(&w->s->main_open.lock);
}
/* Takes a segment for a worker to append to and wakes the maintenance thread, which sees to the next one. SEGMENT_NONE:
 * there is none now. In a section or not. */
uint32_t room_segment(struct store_worker *w, enum segment_queue q);
/* Gives the room back unused. */
void room_drop(struct store_worker *w, struct room *r);

/* ---- purging.c */
#define JOB_COUNT_MAX 100000
/* Tells the ends of jobs, of which nobody else knows any more, and frees them. */
void jobs_end(struct store *s, struct store_job *first);

/* ---- number.c */
/* The next number, above `above`; bucket's lock held. */
uint64_t number_take_slow(struct store_worker *w, uint64_t above);
static inline uint64_t number_take(struct store_worker *w, uint64_t above) {
    const uint64_t n = w->number_next;
    if (unlikely(n == w->number_end || n <= above || sync_load_acq(&w->s->purge.seq) >= n))
        return number_take_slow(w, above);
    w->number_next = n + 1;
    return n;
}

/* ---- tag.c */
/* All tags of an item, prefix tags included; out holds ALL_TAGS_MAX. */
unsigned tag_all(const struct store *s, const struct item *it, uint64_t *out);
/* Adds tags that are not there yet; returns the new count. */
unsigned tags_unite(uint64_t *tags, unsigned n, const uint64_t *more, unsigned nmore);
/* Whether the n tags hold all of the wanted ones; always if none is wanted, as by the selector `*`. */
bool tags_hold(const uint64_t *tags, unsigned n, const uint64_t *wanted, uint64_t nwanted);
/* Adds the prefix tags of a key to the n tags at out. */
unsigned tag_prefixes(const struct store *s, const char *key, unsigned key_len, uint64_t *out, unsigned n);

/* ---- verdict: may an item be served? */
enum verdict { ITEM_LIVE, ITEM_SOFTLY, ITEM_PURGED, ITEM_EXPIRED };
/* What the purge table says of an item to a reader who names tags beside its own. */
enum verdict item_verdict_read(struct store_worker *w, const struct item *it, const uint64_t *read, unsigned nread,
                               uint32_t *deadline);
enum verdict item_verdict_slow(struct store_worker *w, const struct item *it, uint32_t *deadline);

static inline enum verdict item_verdict(struct store_worker *w, const struct item *it, uint32_t *deadline) {
    if (unlikely(expired(it->expiry, w->now))) return ITEM_EXPIRED;
    if (likely(it->birth > sync_load_acq(&w->s->purge.seq))) return ITEM_LIVE;
    return item_verdict_slow(w, it, deadline);
}

_Static_assert(ITEM_LEN_B64 >> 11 == STORE_B64, "item_show moves one to the other");

/* Shows an item to the caller of the store: its header, copied to h or (bucket locked) in place, of the record at p.
 * Whether a purge still to be folded into it makes it `soft` is for the caller to add. */
static inline void item_show(const uint8_t *h, uint8_t *p, uint64_t loc, struct store_item *out) {
    unsigned at = ITEM_FIXED, bits = h[7];
    uint16_t len;
    memcpy(&len, h + 8, 2);
    out->birth = out->cas = item_get48(h);
    out->expiry = out->flags = 0;
    out->ntags = 0;
    if (bits & ITEM_EXPIRY) {
        memcpy(&out->expiry, h + at, 4);
        at += 4;
    }
    if (bits & ITEM_FLAGS) {
        memcpy(&out->flags, h + at, 4);
        at += 4;
    }
    if (unlikely(bits & ITEM_CAS)) {
        memcpy(&out->cas, h + at, 8);
        at += 8;
    }
    if (bits & ITEM_TAGS) {
        out->ntags = h[at];
        at += 1 + 8u * h[at];
    }
    out->key_len = h[6];
    out->key = (const char *)p + at;
    at += h[6];
    out->value = (const char *)p + at;
    out->size = len & ITEM_LEN_MASK;
    out->bits = (uint8_t)((bits & (ITEM_STALE | ITEM_WON | ITEM_FETCHED)) | (len & ITEM_LEN_B64) >> 11);
    out->soft = false;
    out->loc = loc;
    if (unlikely(bits & ITEM_SOFT)) {
        if (item_rearmed(bits)) out->bits |= STORE_REARMED;
        out->soft = item_softened(bits) && !(bits & ITEM_WON);
    }
    if (unlikely(len & ITEM_LEN_LARGE)) {
        out->value = NULL;
        memcpy(&out->size, p + at, 8);
    }
}

/* Whether the record at loc is the key's; its header is copied on the way. */
static inline bool record_is(const struct store *s, uint64_t loc, const struct store_key *k, uint8_t header[32]) {
    const uint8_t *p = segment_at(&s->segs, loc);
    if (unlikely(loc == 0)) return false;
    item_copy_header(header, p);
    return likely(header[6] == k->len) && likely(bytes_same(p + item_key_at(header), k->p, k->len));
}

/* ---- change.c: the steps of a change, bucket locked */
struct change {
    struct store_worker *w;
    struct index_bucket *b;
    const struct store_key *key;
    uint64_t *slot; /* of the present version, or NULL */
    uint64_t loc;
    struct item old; /* when slot != NULL */
    enum verdict verdict;
    uint32_t deadline;    /* when verdict is ITEM_SOFTLY */
    const uint64_t *read; /* tags that the reader whose change it is names beside the item's own, or none */
    unsigned nread;
};
/* Locks the key's bucket and looks the present version up; one that is dead is unlinked and counted on the way. */
void change_begin(struct change *c, struct store_worker *w, const struct store_key *k);
/* Unlocks; readers look again. */
void change_end(struct change *c);
/* Unlocks when nothing was changed. */
void change_end_unchanged(struct change *c);
/* The present version leaves. */
void change_unlink(struct change *c);
/* Links the record at loc as the new version with this birth. False: the index has no room, nothing is linked. */
bool change_link(struct change *c, uint64_t loc, uint64_t birth);
/* Which queue a new version belongs to. */
enum segment_queue change_queue(const struct change *c);
/* Whether a softly purged, or stale by a soft purge, item can still be won by a classic get. */
static inline bool change_soft(const struct change *c) {
    return c->verdict == ITEM_SOFTLY || (item_softened(c->old.bits) && !(c->old.bits & ITEM_WON));
}
/* Rewrites the item with other state bits, expiry, flags or tags but the same value, under `birth` (its own, or a
 * higher one). False: no room. c->old, loc and slot follow. */
struct rewrite {
    uint8_t bits; /* state bits */
    uint32_t expiry, flags;
    bool has_cas; /* else what it had, unless drop_cas */
    bool drop_cas;
    uint64_t cas;
    const uint64_t *tags; /* replaces its tags when not NULL */
    unsigned ntags;
};
bool change_rewrite(struct change *c, const struct rewrite *r, uint64_t birth);
/* Sets state bits, expiry and birth: in place if the record has an expiry field or needs none, else by rewriting. */
bool change_state(struct change *c, uint8_t bits, uint32_t expiry, uint64_t birth);

/* A new version that carries old content on, its number taken: what came over the old one since its birth? A purge
 * that is only announced counts as hard. `tags` are all those of the new version, change_carry_own takes the present
 * one's. */
enum carry { CARRY_LIVE, CARRY_SOFT, CARRY_DEAD };
enum carry change_carry(struct change *c, const uint64_t *tags, unsigned n, uint32_t *deadline);
enum carry change_carry_own(struct change *c, uint32_t *deadline);
/* The state bits, and the expiry (lowered in place), that it then has. */
void change_carry_state(const struct change *c, enum carry carry, uint32_t deadline, uint8_t *bits, uint32_t *expiry);
/* The present version has turned out purged: unlinks and counts it. */
void change_drop(struct change *c);
/* Shows the present version, if out is not NULL. */
void change_show(const struct change *c, struct store_item *out);
/* Writes a value that lies in one piece as the new version, numbers and links it; `carried` when it goes on from the
 * old one, which may turn out dead (STORE_NOT_FOUND). Room is asked for first: STORE_AGAIN, STORE_NO_MEMORY. */
enum store_status change_write(struct change *c, struct item_spec *spec, const char *value, bool carried);
/* A set without conditions of a value that lies in one piece, from beginning to end: the change that most are, so all
 * of it is in one function. STORE_OK, STORE_AGAIN, STORE_NO_MEMORY. */
enum store_status change_set(struct store_worker *w, const struct store_key *k, struct item_spec *spec,
                             const char *value, struct store_item *out);
/* What a change says when there is no room: wait; or no, if none will be made (-M, or nothing is left to evict). */
enum store_status change_no_room(const struct store *s);

/* ---- turn.c: which uploads may take memory */
/* Gives turns to those that wait, and has those that stall give way. False: nobody waits. Any thread, through its own
 * handle. */
bool turn_look(struct store_worker *w);

/* ---- upload.c */
/* An upload of bytes that are here already, which begins at once. Otherwise as store_upload_begin. */
enum store_status upload_join(struct store_worker *w, uint64_t size, struct store_upload **out);
/* Pieces it has; their list, as a large item's value part. */
unsigned upload_pieces(const struct store_upload *u);
void upload_list(const struct store_upload *u, uint8_t *value);
/* The bytes of piece i; false past the last. */
bool upload_span(const struct store *s, const struct store_upload *u, unsigned i, struct iovec *v);
/* The item of its pieces was linked: they no longer belong to the upload. */
void upload_linked(struct store_upload *u);
/* The number that was the latest when it began. */
uint64_t upload_since(const struct store_upload *u);
/* Appends bytes; false if there is no room. */
bool upload_append(struct store_worker *w, struct store_upload *u, const void *p, uint64_t n);
/* The pieces now belong to the item of this hash, which is about to be linked. */
void upload_finish(struct store_worker *w, struct store_upload *u, uint64_t hash);
/* Frees the handle; the pieces stay if their item was linked, else they are dead bytes. After change_end, in the same
 * section. */
void upload_end(struct store_worker *w, struct store_upload *u);

/* ---- evict.c, cold.c, compact.c, sweep.c: maintenance thread */
/* Frees a segment; false if none can be now. */
bool evict_one(struct store *s);
/* The oldest segment of a queue that nobody writes to, or SEGMENT_NONE. */
uint32_t evict_oldest(struct store *s, enum segment_queue q);
/* Main's oldest segment, if main has gone cold and the segment has had its trial; else SEGMENT_NONE. */
uint32_t cold_segment(struct store *s);
/* A segment of compaction's takes its place in a queue behind another one: it is as much on trial. */
void cold_joined(struct store *s, uint32_t segment, uint32_t behind);
/* A segment leaves main, or its old end: its trial is over. */
void cold_left(struct store *s, uint32_t segment);
/* Whether nobody writes to a segment any more. */
bool segment_idle(struct store *s, const struct segment *g);
/* Moves what lives in a segment that is a quarter dead elsewhere and retires it; false if there is none such among the
 * next ones, or no room. */
bool compact_one(struct store *s);
/* Retires those of the next segments in which nothing lives; false if there was none. */
bool free_dead(struct store *s);
/* A sealed segment of which everything is unlinked leaves its queue and waits for its grace period and its pins. */
void retire(struct store *s, uint32_t segment);
/* Frees the retired segments for which both have passed; false if there was none. */
bool reap(struct store *s);
/* One step of the sweeper; false if there is nothing to do now. Without `hurry` it keeps to its share of a core unless
 * somebody waits for it or the purge table fills up. */
bool sweep_step(struct store *s, bool hurry);
/* An item with this expiry is about to be visible in a segment, or has just got it in place. Any thread. */
void sweep_expiry(struct store *s, struct segment *g, uint32_t expiry);
/* When the sweeper has something to do next, as far as is known, or has to look; UINT64_MAX: never. Times of the clock.
 */
uint64_t sweep_due_ns(const struct store *s, uint64_t now);
/* Whether purges need the sweeper to get on. */
static inline bool sweep_urgent(const struct store *s) {
    return sync_load(&s->purge_waits) || purge_crowded(&s->purge);
}
/* Whether the pass under way is to take this item out; counts it. Bucket locked: the caller does it now. */
bool sweep_wants(struct store *s, const struct item *it);
/* An item that a purge has killed is taken out: it counts for the job of that purge if one waits for its own pass. */
void sweep_count(struct store *s, const struct item *it);
/* Packs the overflow lines of some index groups. */
void sweep_index(struct store *s);

#endif
