/* SPDX-License-Identifier: BSD-3-Clause
 *
 * store - the items of one node: a log of segments in one arena, an index over it, tags and purges.
 *
 * Owned by the node. Reads take no lock; writes lock one index bucket; eviction, index growth and sweeping run on one
 * maintenance thread that the store owns (or are stepped by a test). No sockets, no text, no system calls per request.
 *
 * Sections. Everything that looks at or changes items happens between store_enter and store_leave of the calling
 * thread's own worker handle. What a section found (keys, values, tags) stays in place until it ends, or while it is
 * pinned. A section must be short (a hundred keys or so), since no segment becomes free before it ends, and must never
 * wait: a call that would have to wait says STORE_AGAIN, the caller ends its section, parks its connection and tries
 * again after on_room.
 *
 * Time is in whole seconds since the store began, plus 2, in 32 bits; 0 means "never expires".
 */
#ifndef TAGCACHED_STORE_STORE_H
#define TAGCACHED_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/clock.h"

#define STORE_KEY_MAX 250                            /* bytes of a bare key */
#define STORE_TAG_MAX 200                            /* bytes of a tag's name */
#define STORE_TAGS_MAX 128                           /* tags of an item */
#define STORE_SELECTOR_TAGS_MAX 64                   /* tags that a selector joins */
#define STORE_SELECTORS_MAX 64                       /* selectors of one purge */
#define STORE_READ_TAGS_MAX 64                       /* tags that a reader may name beside the item's own */
#define STORE_RELATIVE_TTL_MAX_S (30 * 24 * 60 * 60) /* relative_ttl_max when none is given */
#define STORE_EXPIRED 1u                             /* an expiry that has always passed */
#define STORE_SOFT_TTL_S 60            /* how long a softly purged item may be served when the purge does not say */
#define STORE_SOFT_TTL_MAX_S 315360000 /* how long it may say: ten years */

struct store;
struct store_worker;
struct store_upload;

enum store_metric {
#define METRIC(name, help) STORE_METRIC_##name,
#include "store/store.metrics.def"
#undef METRIC
    STORE_METRICS
};

/* ------------------------------------------------------------------ life */

/* Upcalls; any may be NULL. They run on the maintenance thread or a worker and must not block or call the store. */
struct store_events {
    void *arg;
    /* A segment became free, places for purges, or slots of the index: workers told STORE_AGAIN may try again.
     * Maintenance thread. */
    void (*on_room)(void *arg);
    /* A live item is evicted; called only while store_watch_evictions is on. Maintenance thread. */
    void (*on_evict)(void *arg, const char *key, size_t key_len, bool fetched, uint32_t expiry, uint64_t size);
    /* A purge that was STORE_PENDING has ended. n: the items it took out if it was `counted`, or -1 above 100,000;
     * bytes: theirs, headers counted. Maintenance thread; or store_free's caller, if there was no end before. */
    void (*on_job)(void *arg, void *token, int64_t n, uint64_t bytes);
    /* Purges were let go of before a sweep had carried them out, `floors` ever: items that nobody purged may have died.
     * At most once a minute. Maintenance thread. */
    void (*on_floors)(void *arg, uint64_t floors);
    /* Of the uploads that were begun through this handle some got their turn, or have to be given up: store_upload_span
     * says which. Any thread, under a lock that uploads take. */
    void (*on_upload)(void *arg, unsigned handle);
};

struct store_config {
    uint64_t memory_limit;  /* bytes, everything counted: items, index, ghost, purge table; at least 1 MiB */
    uint64_t item_size_max; /* bytes of the largest value (-I); above it STORE_TOO_LARGE */
    unsigned workers;       /* threads that serve requests, 1..1024: by these free memory is kept ready */
    unsigned handles;       /* for callers of the store: the workers' and, behind them, those of other threads; 0: the
                               workers' only. One costs some hundred bytes, and open segments once it stores */
    bool evict;             /* false (-M): a full store refuses instead */
    char prefix_delimiter;  /* keys carry their prefixes up to this byte as tags (--prefix-tags); 0: they do not */
    unsigned sweep_cpu_percent; /* bound of the background sweep in % of one core while no purge needs it; 0 means 5 */
    int64_t relative_ttl_max;   /* exptimes up to this many seconds count from now, larger ones are unix time; 0 means
                                   STORE_RELATIVE_TTL_MAX_S */
    bool hugepages;             /* ask for huge pages */
    bool erase;                 /* overwrite what is dead after each pass of the sweeper (README.md, "Erasing") */
    uint64_t seed;              /* hash seed and where the counter of versions begins; random in production */
    const struct clock *clock;
    struct store_events events;
};

/* Makes a store. Returns 0, or -EINVAL or -ENOMEM. */
int store_new(const struct store_config *cfg, struct store **out);
/* Frees it. No thread may be in a section; stop it first if it was started. */
void store_free(struct store *s);
/* Starts and stops the maintenance thread. Return 0 or -errno. Without it a test calls store_maintain. */
int store_start(struct store *s);
void store_stop(struct store *s);
/* One round of maintenance: frees segments, grows the index, sweeps one segment. Returns true if there was something
 * to do. Never while the maintenance thread runs; the caller is then the maintenance thread. */
bool store_maintain(struct store *s);
/* Runs a full sweep pass at once (all rounds it takes). Same rule. */
void store_sweep_all(struct store *s);

/* Handle i, 0 <= i < handles: worker i's, or from `workers` on another thread's. One thread at a time uses a handle. */
struct store_worker *store_worker(struct store *s, unsigned i);

/* ------------------------------------------------------------------ sections */

/* Begins a section and reads the clock. Not nested. */
void store_enter(struct store_worker *w);
/* Ends it. */
void store_leave(struct store_worker *w);
/* The store's time as of this section's beginning, seconds. */
uint32_t store_now(const struct store_worker *w);
/* The store's second that a time of its clock (CLOCK_BOOTTIME, nanoseconds) is in; not before the store began. Any
 * thread. */
uint32_t store_second(const struct store *s, uint64_t ns);
/* The clock (CLOCK_BOOTTIME, nanoseconds) as of this section's beginning. */
uint64_t store_now_ns(const struct store_worker *w);
/* memcached's exptime (0 never, negative at once, up to relative_ttl_max seconds from now, above that unix time) as an
 * expiry. What has n seconds to live lives n seconds at least and n + 1 at most; what lives until a unix time, until
 * then at least and less than two seconds longer. STORE_EXPIRED for a time that has passed. Saturates. Inside or
 * outside a section (reads the clock when outside). */
uint32_t store_expiry(struct store_worker *w, int64_t exptime);
/* The whole seconds that are left until an expiry other than 0: right behind store_expiry the n it was given. */
static inline int64_t store_ttl(uint32_t expiry, uint32_t now) {
    return (int64_t)expiry - now - 1;
}

/* ------------------------------------------------------------------ keys and reading */

struct index_bucket;
struct store_key {
    const char *p;
    size_t len; /* 1..STORE_KEY_MAX */
    uint64_t hash;
    struct index_bucket *bucket; /* where it belonged when it was hashed; every use looks whether it still does */
    uint64_t *slot;              /* of that bucket, the likely one; or NULL */
};

/* Hashes a key, and has its bucket brought into the cache. Any thread. */
void store_key_hash(const struct store *s, struct store_key *k, const char *p, size_t len);
/* A key that is looked up later, or never: store_key_complete has to come before anything but its bytes is used. */
static inline void store_key_later(struct store_key *k, const char *p, size_t len) {
    k->p = p;
    k->len = len;
    k->hash = 0; /* whoever forgets about it finds nothing */
    k->bucket = NULL;
}
/* Hashes a key of store_key_later, unless that is done. */
static inline void store_key_complete(const struct store *s, struct store_key *k) {
    if (k->bucket == NULL) store_key_hash(s, k, k->p, k->len);
}
/* The same, as a value. */
static inline struct store_key store_key(const struct store *s, const char *p, size_t len) {
    struct store_key k;
    store_key_hash(s, &k, p, len);
    return k;
}

/* Once the key's bucket is there: has its likely item brought into the cache. Inside a section. */
void store_prefetch_item(const struct store_worker *w, struct store_key *k);
/* Once the item is there: has what is known of its tags brought into the cache. Inside a section. */
void store_prefetch_tags(const struct store_worker *w, const struct store_key *k);
/* Whether anything was ever purged: else there is nothing to know of tags. */
bool store_purged(const struct store_worker *w);

enum store_bits {
    STORE_STALE = 1,    /* marked stale (md I, a soft purge) */
    STORE_WON = 2,      /* one reader has been told to refill it */
    STORE_FETCHED = 4,  /* read at least once by a request that asks for it to be noted (mg h and the counters) */
    STORE_REARMED = 16, /* a guarded fill was refused: the next meta get wins, so it has to be a store_meta_get */
    STORE_B64 = 8,      /* the key came in base64 (meta flag b) */
    STORE_SOFT = 32,    /* with STORE_STALE, of items that move: because of a soft purge */
};

/* A consistent copy of an item's header, and where the rest lies. Valid until the section ends, or while pinned. */
struct store_item {
    const char *key;
    const char *value; /* the value's bytes if it lies in one piece, else NULL: ask store_item_spans */
    uint64_t size;     /* bytes of the value */
    uint64_t cas;      /* as clients see it: an explicit one (meta E) or the version */
    uint64_t version;  /* a number of the store's counter: later ones are higher, those of purges too */
    uint32_t flags;    /* the client's */
    uint32_t expiry;   /* seconds of the store's time; 0 never */
    uint8_t key_len;
    uint8_t bits;  /* enum store_bits */
    uint8_t ntags; /* tags it carries, prefix tags not counted */
    bool soft;     /* softly purged and nobody has won yet: the next reader should call store_win */
    uint64_t loc;  /* where it is; opaque outside the store */
};

/*
 * Looks a key up and counts the hit for eviction. False: there is none, or it has expired, or was purged (also when a
 * soft purge's deadline has passed). Inside a section. Never waits.
 */
bool store_get(struct store_worker *w, const struct store_key *k, struct store_item *out);
/* The same without counting the hit (mg k, audits). */
bool store_peek(struct store_worker *w, const struct store_key *k, struct store_item *out);

enum store_found { STORE_ABSENT, STORE_LIVE, STORE_SOFT_PURGED, STORE_HARD_PURGED };
/* Which purge: its number (store_purge), 0: not known; and the hash of the tag that it purged, 0: everything, or
 * several tags together. */
struct store_cause {
    uint64_t number, tag;
};
/* The same, also if a purge has taken the item and its record is still there (then a miss to everybody else). What has
 * expired is absent. *cause: the purge that took it, or made it stale. Counts no hit. */
enum store_found store_explain(struct store_worker *w, const struct store_key *k, struct store_item *out,
                               struct store_cause *cause);
/* The same (`count`: as store_get) for a reader who names up to STORE_READ_TAGS_MAX tags beside the item's own: false
 * also if one of those was purged since the item was stored; soft also if softly, or if it was purged together with
 * tags of the item's. What a sweep has carried out and the table has let go of counts as purged. */
bool store_get_read(struct store_worker *w, const struct store_key *k, const uint64_t *read, unsigned nread, bool count,
                    struct store_item *out);
/* Notes that the item was read (STORE_FETCHED). Cheap when it is noted already. Inside the section that found it. */
void store_note_fetch(struct store_worker *w, const struct store_item *it);

/* The pieces of a value, first to last; returns how many there are and fills at most max. Inside the section that
 * found the item or while it is pinned. */
unsigned store_item_spans(const struct store_worker *w, const struct store_item *it, struct iovec *iov, unsigned from,
                          unsigned max);
/* Seconds since the item was stored (mg l), that is since it got its version: right to within a second up to an
 * hour, to within 1/4000 of itself beyond. */
uint32_t store_item_age(const struct store_worker *w, const struct store_item *it);
/* The hashes of its tags (ntags of them) copied to out. */
void store_item_tags(const struct store_item *it, uint64_t *out);
struct store_selector;
/* Whether a purge of the selector would take it: whether it carries all those tags, prefix tags counted. Inside the
 * section that found the item. */
bool store_item_selected(const struct store_worker *w, const struct store_item *it, const struct store_selector *sel);

/*
 * Pins: keep the segment that holds these bytes (a value's, or one of its spans) in place beyond the section. Inside
 * the section that found them; one pin a span. Returns a token to give back with store_unpin by the same worker, or 0
 * if too many segments are pinned (at most 1/8 may be): copy the bytes out instead, or, for a large value, give back
 * what was pinned and close the connection.
 */
uint64_t store_pin(struct store_worker *w, const void *bytes);
void store_unpin(struct store_worker *w, uint64_t token);

/* ------------------------------------------------------------------ changing */

enum store_status {
    STORE_OK,          /* done */
    STORE_NOT_STORED,  /* add found one, replace/append/prepend found none */
    STORE_EXISTS,      /* guard did not hold, or a purge has overtaken it */
    STORE_NOT_FOUND,   /* guard or change of an item that is not there */
    STORE_TOO_LARGE,   /* above item_size_max (the caller answers and may delete the old value) */
    STORE_NO_MEMORY,   /* -M and full, or an upload that gave way to others */
    STORE_AGAIN,       /* no segment or slot of the index is free now: leave the section, wait for on_room, repeat */
    STORE_NON_NUMERIC, /* incr/decr of something that is no number */
    STORE_TOO_MANY,    /* more than STORE_TAGS_MAX tags in the union */
    STORE_PENDING,     /* store_purge: under way, on_job tells its end */
};

enum store_mode { STORE_SET, STORE_ADD, STORE_REPLACE, STORE_APPEND, STORE_PREPEND };

struct store_put {
    struct store_key key;
    const char *value; /* small bodies (at most store_inline_max) */
    uint64_t size;
    struct store_upload *upload; /* instead of value: a filled upload; the call takes it over unless STORE_AGAIN */
    enum store_mode mode;
    uint32_t flags;
    uint32_t expiry;
    uint8_t bits;    /* STORE_B64 only */
    bool guarded;    /* store only if the current CAS id is `guard`, and no purge of its tags came after it */
    bool invalidate; /* ms I: a lower guard (but 0) stores the value as stale */
    bool has_cas;    /* give it the id `cas` (meta E) */
    bool vivify;     /* append/prepend to a missing key creates it (ms N) with vivify_expiry */
    uint64_t guard;
    uint64_t cas;
    uint32_t vivify_expiry;
    const uint64_t *tags; /* hashes, no repeats; append and prepend add them */
    unsigned ntags;
};

/* Stores. `out` (may be NULL) receives the new item's header on STORE_OK and, for STORE_EXISTS, the present one's.
 * A guarded store of a missing key is STORE_NOT_FOUND, unless vivify creates it. Inside a section. */
enum store_status store_put(struct store_worker *w, const struct store_put *put, struct store_item *out);

/* store_put of a plain set: no conditions, no tags, at most store_inline_max bytes. STORE_OK, STORE_AGAIN or
 * STORE_NO_MEMORY. With `since` above 0 also STORE_NOT_FOUND: nothing has happened, because the key has no item whose
 * version is above it. `out` as in store_put. */
enum store_status store_set(struct store_worker *w, const struct store_key *k, const char *value, uint64_t size,
                            uint32_t flags, uint32_t expiry, uint64_t since, struct store_item *out);

struct store_arith {
    struct store_key key;
    uint64_t delta;
    bool decrement; /* stops at 0; increment wraps at 2^64 */
    bool guarded, has_cas, vivify, set_expiry;
    uint64_t guard, cas;
    uint64_t initial;       /* stored when vivify creates it */
    uint32_t vivify_expiry; /* its expiry */
    uint32_t expiry;        /* new expiry with set_expiry (ma T) */
    uint8_t bits;           /* STORE_B64, for a created one */
    const uint64_t *tags;   /* for a created one */
    unsigned ntags;
};

/* Adds or subtracts. `*number` is the new number; `*created` whether vivify made it. `out` as in store_put. */
enum store_status store_arith(struct store_worker *w, const struct store_arith *a, uint64_t *number, bool *created,
                              struct store_item *out);

/* Gives the item a new expiry, keeping version, id and tags. May need space (STORE_AGAIN) if it had none before.
 * `out` (may be NULL) shows the item after; its `expiry` is the new one, `*old_expiry` (may be NULL) the one before. */
enum store_status store_touch(struct store_worker *w, const struct store_key *k, uint32_t expiry,
                              struct store_item *out, uint32_t *old_expiry);

struct store_delete {
    struct store_key key;
    bool guarded, invalidate, clear, set_expiry, has_cas;
    uint64_t guard;
    uint64_t cas;    /* with invalidate or clear: the new id (E) */
    uint32_t expiry; /* with invalidate or clear and set_expiry: the new expiry (T); clear without it: none */
    uint32_t flags;  /* with clear: the new client flags (F) */
};

/* Deletes; or (invalidate, md I) keeps the value, marks it stale with a new id and re-arms the win; or (clear, md x)
 * leaves an item of 0 bytes. `out` (may be NULL): what there was (delete) or is now. */
enum store_status store_delete(struct store_worker *w, const struct store_delete *d, struct store_item *out);

struct store_meta_get {
    struct store_key key;
    bool vivify, recache, touch, has_cas;
    uint32_t vivify_expiry; /* N: create an empty, won item when there is none */
    uint32_t recache_s;     /* R: the reader wins when less than this is left to live */
    uint32_t expiry;        /* T */
    uint64_t cas;           /* E, used when it creates */
    uint8_t bits;           /* STORE_B64, for a created one */
    const uint64_t *tags;   /* for a created one */
    unsigned ntags;
    const uint64_t *read; /* tags that the reader names, see store_get_read; what counts as purged is not found, and N
                             replaces it */
    unsigned nread;
};

enum store_win { STORE_WIN_NONE, STORE_WIN_WON, STORE_WIN_OTHERS };

/* A meta get that may change the item: the reader may win the right to refill (`*win`: W or Z), the item may be
 * created (`*created`, found as an empty item) or touched. STORE_OK, STORE_NOT_FOUND, STORE_AGAIN, STORE_NO_MEMORY.
 * A soft purge is written into the item: stale bit, deadline, new id for the winner. `out->expiry` is the new one after
 * T;
 * `*old_expiry` (may be NULL) the one before. Inside a section. */
enum store_status store_meta_get(struct store_worker *w, const struct store_meta_get *g, struct store_item *out,
                                 enum store_win *win, bool *created, uint32_t *old_expiry);

/* Classic get of an item whose `soft` is set: STORE_WIN_WON means this caller gets a miss (it is the one to refill),
 * STORE_WIN_OTHERS the stale value in *out, STORE_WIN_NONE that it is gone or fresh by now: look it up again. */
enum store_win store_win(struct store_worker *w, const struct store_key *k, struct store_item *out);

/* Takes the key's item out if its version is not above `since`: it was stored before this node owned the key, and
 * others have written since. Cheap when there is no such item. Inside a section. */
void store_fence(struct store_worker *w, const struct store_key *k, uint64_t since);

/* Adds one tag to an item (tag_add). STORE_OK, STORE_NOT_FOUND, STORE_AGAIN, STORE_TOO_MANY. */
enum store_status store_tag_add(struct store_worker *w, const struct store_key *k, uint64_t tag);

/* ------------------------------------------------------------------ items that move between nodes */

/* What a node hands over of an item. Its bytes and tags lie in the item (store_item_spans, store_item_tags). */
struct store_moving {
    struct store_item it;
    uint64_t cas;   /* the id that a client gave it (meta E), with has_cas */
    uint32_t ttl_s; /* seconds left to live, at least 1; 0: it does not expire. Rounded down if a soft purge set it */
    uint8_t bits;   /* for store_put.bits */
    bool has_cas;
};

/* Fills *m from an item that was found in this section. A softly purged item goes as a stale one that lives until the
 * purge's deadline; the right to refill that somebody has won stays behind. False: it is not to be moved, because it is
 * the empty item of somebody who is about to fill it, or because it ends within the second. */
bool store_moving(struct store_worker *w, const struct store_item *it, struct store_moving *m);

/* An item that comes from another node. The put says key, value or upload, flags, expiry, bits (any of STORE_B64,
 * STORE_STALE, STORE_SOFT, STORE_REARMED, STORE_FETCHED), id and tags; its other fields count for nothing. */
struct store_receive {
    struct store_put put;
    uint64_t since;  /* store_number() as the other node was asked: no later than it read the item */
    uint64_t fenced; /* an item of the key that is not newer is as good as none (ring.h, `since`); 0: none is */
    bool (*refuse)(void *arg, uint64_t hash); /* whether the key (store_key.hash) was written to meanwhile. Called with
                                                 the key's bucket locked: whoever changes the key says so before he
                                                 locks the bucket. May be NULL */
    void *arg;
};

enum store_received {
    STORE_RECEIVED,          /* stored, with a new version, as one that was moved */
    STORE_RECEIVE_AGAIN,     /* as STORE_AGAIN: nothing has happened, the upload is the caller's still */
    STORE_RECEIVE_NO_MEMORY, /* as STORE_NO_MEMORY or STORE_TOO_LARGE */
    STORE_RECEIVE_PRESENT,   /* refused: the key has a live item */
    STORE_RECEIVE_WRITTEN,   /* refused by `refuse` */
    STORE_RECEIVE_PURGED,    /* refused: one of its tags, or everything, may have been purged after `since` */
};

/* Stores a moved item unless that could undo anything that happened here since `since`. From then on its value counts
 * as older than every purge as to tags that it does not carry: those that a reader names, and those that are added.
 * Inside a section. */
enum store_received store_receive(struct store_worker *w, const struct store_receive *r);

/* Takes out the item that another node has taken over, if it is still the one of this version. Inside a section. */
void store_drop_moved(struct store_worker *w, const struct store_key *k, uint64_t version);

/* Where a walk is. Zero it to begin. */
struct store_cursor {
    uint64_t group, merges;
    bool begun, done;
};

/* Where a scan is. Zero it to begin. */
struct store_scan {
    struct store_cursor at;
    uint64_t group; /* that it stopped in: what comes before this hash in this bucket of it was shown */
    unsigned bucket;
    uint64_t hash;
};

struct store_scanner {
    unsigned min_freq; /* only items with at least so many hits, 0..15, as eviction counts them */
    /* Which of n items (at most 16) of these keys and versions are wanted. MD5_READS bytes may be read of each key
     * (base/md5.h). */
    void (*filter)(void *arg, const char *const key[], const uint32_t len[], const uint64_t version[], unsigned n,
                   bool wanted[]);
    /* One of those, its key's hash as in store_key. False: stop here; the next call begins with this item. */
    bool (*fn)(void *arg, const struct store_moving *m, uint64_t hash);
    void *arg;
};

/* Shows the items to be moved (store_moving), some hundreds of index groups a call, of which about `max` items go
 * through the filter, until scan->at.done. An item present throughout the scan, with the hits all the time, is shown at
 * least once. Items with fewer hits cost nothing but a look at their slots. Inside a section. */
void store_scan(struct store_worker *w, struct store_scan *scan, unsigned max, const struct store_scanner *how);

/* ------------------------------------------------------------------ large bodies */

/* Bodies above this many bytes are uploaded piece by piece, the others are handed to store_put whole. */
uint64_t store_inline_max(const struct store *s);

/* Begins an upload of `size` bytes. STORE_OK, STORE_TOO_LARGE, STORE_NO_MEMORY. Takes no memory of the arena yet: those
 * that are under way are announced to hold an eighth of the limit together, or are one of any size; the others wait for
 * their turn. While others wait, those whose bytes do not come for a second are displaced. Outside or inside a section.
 * Takes a mutex. */
enum store_status store_upload_begin(struct store_worker *w, uint64_t size, struct store_upload **out);
/* Where the next bytes go: *p and up to *n bytes there (n is never 0 before the end). STORE_OK; STORE_AGAIN: no segment
 * is free just now (on_room), or it waits for its turn (on_upload); STORE_NO_MEMORY: -M and full, or it was displaced,
 * and has to be given up. Outside or inside a section; only the worker that began it. */
enum store_status store_upload_span(struct store_worker *w, struct store_upload *u, char **p, size_t *n);
/* `n` bytes have been written there. */
void store_upload_fill(struct store_upload *u, size_t n);
/* Whether it waits for its turn; whether it was displaced: nothing but giving it up is left to do then. Its worker. */
bool store_upload_waits(const struct store_upload *u);
bool store_upload_displaced(const struct store_upload *u);
/* Bytes still to come. */
uint64_t store_upload_left(const struct store_upload *u);
/* Gives it up. */
void store_upload_abort(struct store_worker *w, struct store_upload *u);

/* ------------------------------------------------------------------ purging */

/* One selector: every tag of it must be on an item; none at all and `all` set means `*`. */
struct store_selector {
    bool all;
    unsigned ntags;
    uint64_t tags[STORE_SELECTOR_TAGS_MAX];
};

struct store_purge {
    const struct store_selector *selectors;
    unsigned nselectors; /* 1..STORE_SELECTORS_MAX */
    bool soft;
    bool counted;        /* not with soft: count the items that it takes out */
    uint32_t soft_ttl_s; /* with soft; 0 means STORE_SOFT_TTL_S */
    void *token;         /* for on_job */
};

/*
 * Purges by all selectors, with one version, which is *version on STORE_OK and STORE_PENDING.
 *
 * STORE_OK: no request that starts from here on is served what it selects and was stored before. STORE_PENDING: it is
 * counted, or has a selector that the table cannot file (which then takes items out even if it is soft): the promise
 * holds once on_job tells its end, guarded fills obey it already. STORE_AGAIN: a sweep has to make places for it first,
 * nothing has happened. STORE_NO_MEMORY: nothing has happened.
 *
 * Never waits but for a mutex that is held for microseconds, and takes time O(1) in the number of items. Outside a
 * section; any thread through its own worker handle.
 */
enum store_status store_purge(struct store_worker *w, const struct store_purge *p, uint64_t *version);

/* Purges everything that carries a tag, at once; returns the purge's version. An item whose key has a tag by the prefix
 * tags counts, and so does a request that names tags. It has a place of its own, so it never has to wait. Otherwise as
 * store_purge. */
uint64_t store_purge_tagged(struct store_worker *w);

/* flush_all at the store's time `at`; now or earlier: at once. A later call replaces a pending one. A pending flush
 * takes effect in the first section that begins at or after `at`. Outside a section. */
void store_flush_at(struct store_worker *w, uint32_t at);

/* Whether a purge, hard or soft, of one of these tags, of one that the key has by itself (--prefix-tags), or of
 * everything may have a number above this one. What the table of purges has let go of counts as purged. Any thread,
 * through a handle of its own; a purge that was answered before is seen. */
bool store_purged_since(struct store_worker *w, const struct store_key *k, const uint64_t *tags, unsigned ntags,
                        uint64_t number);

/* The latest number given out or reserved: all that is stored has it or a lower one. What is purged from now on has a
 * higher one, and so has what a handle stores after its next store_renumber. */
uint64_t store_number(const struct store *s);
/* The handle gives up the versions that it has reserved: what it stores from now on is above store_number. Its thread.
 */
void store_renumber(struct store_worker *w);

/* Somebody who waits until what is dead is overwritten (store_config.erase); a member of what it is about. */
struct store_erasing {
    struct store_erasing *next;
    /* Nothing is left in the store of a value that was dead when store_erase was called: that was purged and swept,
     * replaced, deleted, evicted or has left. Maintenance thread; or store_free's caller, if there was no end before.
     */
    void (*done)(struct store_erasing *e);
};
/* Has what is dead overwritten now; *e stays in place until `done`. That waits for pins, and for bodies that are being
 * received. Any thread, also within on_job. */
void store_erase(struct store *s, struct store_erasing *e);

/* ------------------------------------------------------------------ looking around */

/* Shows live items, some hundreds of index groups' worth at most `max` items a call give or take one group, until
 * cursor->done. An item present throughout the walk is shown at least once. Inside a section. Stops early when fn
 * returns false; the group is then shown again by the next call. */
void store_walk(struct store_worker *w, struct store_cursor *c, unsigned max,
                bool (*fn)(void *arg, const struct store_item *it), void *arg);

struct store_gauges {
    uint64_t items, bytes;               /* bytes: headers, keys, tags and values of live items */
    uint64_t limit_bytes, segment_bytes; /* the configured limit; the size of a segment */
    uint64_t segments, segments_free;    /* in existence; of those free */
    uint64_t segments_small, segments_main, segments_pinned;
    uint64_t index_bytes, index_groups, index_depth; /* committed bytes; groups; log2 of groups, rounded down */
    uint64_t ghost_bytes, purge_bytes;
    uint64_t purge_entries, purge_capacity; /* tags in the table; places */
    uint64_t purge_unswept;                 /* tags purged that no sweep has carried out yet, about */
    uint64_t purge_floors;                  /* purges let go of before a sweep had carried them out */
    uint64_t number, purge_number;          /* the latest version given out; the latest purge's */
    uint64_t oldest_age_s;                  /* age of the oldest sealed segment */
    uint64_t uploads;                       /* under way */
    bool growing;                           /* index being resized */
};

/* The gauges now; any thread. */
void store_gauges(const struct store *s, struct store_gauges *g);
/* Sum of a counter over all threads; any thread. */
uint64_t store_metric(const struct store *s, enum store_metric m);
/* `stats reset`. */
void store_metrics_reset(struct store *s);

/* Changes the limit while running (cache_memlimit); takes effect as segments are freed. Returns false if too small. */
bool store_set_limit(struct store *s, uint64_t bytes);
/* Turns on_evict on or off. Any thread. */
void store_watch_evictions(struct store *s, bool on);

#endif
