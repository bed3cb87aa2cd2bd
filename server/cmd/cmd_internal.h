/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_internal - what the files of this folder share: the instance, a worker's part of it, a connection's session, one
 * request, the dispatch table, and the helpers that write replies. Included by server/cmd only (and its tests).
 *
 * How a request runs. cmd_input (cmd.c) parses as many complete requests as there are, at most CMD_BATCH, into the
 * worker's array, hashing keys and prefetching; then runs their handlers in order inside one section of the store.
 * A handler is
 *
 *     void cmd_xxx(struct session *s, struct request *r);
 *
 * and finds its row in proto/cmd.def. It reads the words of its line with cmd_split, does its work through
 * s->worker->store and appends its whole reply with cmd_reply & co, or conn_* of s->conn. Handlers of class OUT run
 * outside any section and open their own (store_enter/store_leave) when they look at items; those of the other classes
 * run inside the batch's. A handler that meets STORE_AGAIN must have written nothing, calls cmd_again(s) and returns:
 * the request is run again from the start once there is room. So it is with a purge that takes time (cmd_tag.c): run
 * again when it has ended, its handler finds the outcome in the session. A handler that must wait for something else
 * calls conn_park and goes on later through a callback on its worker (worker_post).
 *
 * Threads: a session and its requests belong to one worker. A struct cmd_worker is written by its worker alone; others
 * may read its metrics. struct cmd is constant but for `notes`, `base` and what cmd_watch.c and cmd_stats.c keep.
 */
#ifndef TAGCACHED_CMD_CMD_INTERNAL_H
#define TAGCACHED_CMD_CMD_INTERNAL_H

#include <string.h>
#include <sys/queue.h>

#include "base/check.h"
#include "base/sync.h"
#include "cmd/cmd.h"
#include "cmd/cmd_table.h"
#include "proto/keytags.h"
#include "proto/meta.h"
#include "proto/text.h"

#define CMD_BATCH 64           /* requests (keys of a multi-get count singly) run in one section */
#define CMD_AUTH_MAX 2048      /* bytes of a line, and of a block, before authentication */
#define CMD_LINE_MAX 65536     /* bytes of a line other than a get's */
#define CMD_LONG_KEY 2048      /* keys with a suffix may be long: those are not formatted in one run */
#define CMD_COPY_MAX 2048      /* values up to this are copied into the reply, larger ones sent from the segment */
#define CMD_MARKER_MAX 16      /* bytes of the key-tags marker */
#define CMD_MEMCACHED "1.6.45" /* what VERSION says */

/* ------------------------------------------------------------------ notes: watchers and detailed statistics */

/* Bits of cmd->notes: somebody wants to be told. The mask is the only cost when nobody does. */
enum cmd_note {
    CMD_NOTE_FETCHERS = 1 << 0,
    CMD_NOTE_MUTATIONS = 1 << 1,
    CMD_NOTE_EVICTIONS = 1 << 2,
    CMD_NOTE_CONNEVENTS = 1 << 3,
    CMD_NOTE_DELETIONS = 1 << 4,
    CMD_NOTE_TAGS = 1 << 5,
    CMD_NOTE_PURGES = 1 << 6,
    CMD_NOTE_RAWCMDS = 1 << 7,
    CMD_NOTE_SYSEVENTS = 1 << 8,
    CMD_NOTE_DETAIL = 1 << 9, /* `stats detail on` */
    CMD_NOTE_LOG = 1 << 10,   /* the log's verbosity is LOG_INFO or more */
};

struct cmd_watch; /* cmd_watch.c's own state: rings, watchers */
struct cmd_stats; /* cmd_stats.c's own state: detailed statistics */
struct cmd_auth;  /* cmd_auth.c's own state: the users */

/* ------------------------------------------------------------------ a request */

/* What parsing found wrong with a request: it is answered instead of run. */
enum cmd_error {
    CMD_OK,
    CMD_ERROR,           /* ERROR */
    CMD_ERROR_FORMAT,    /* CLIENT_ERROR bad command line format */
    CMD_ERROR_EXPTIME,   /* CLIENT_ERROR invalid exptime argument */
    CMD_ERROR_TAGS,      /* CLIENT_ERROR too many tags */
    CMD_ERROR_CHUNK,     /* CLIENT_ERROR bad data chunk */
    CMD_ERROR_TOO_LARGE, /* SERVER_ERROR object too large for cache */
    CMD_ERROR_TIMEOUT,   /* SERVER_ERROR out of memory storing object: its block has not come in time */
    CMD_ERROR_AUTH,      /* CLIENT_ERROR unauthenticated */
    CMD_ERROR_AUTH_LONG, /* CLIENT_ERROR auth token too long */
    CMD_ERROR_CLOSE,     /* close without a word */
};

/* How a request is run: most are of two kinds, and go in loops of their own. */
enum cmd_way {
    CMD_WAY_CAREFUL, /* by its row's handler */
    CMD_WAY_KEY,     /* likewise, and it is a key of a gets, gat or gats line (or a long one of a get line) */
    CMD_WAY_GET,     /* a key of a get line: cmd_get_run */
    CMD_WAY_SET,     /* a set with nothing unusual: cmd_set_run */
    CMD_WAY_MG,      /* an mg whose line is a usual one (meta_read_usual): cmd_mg_run */
    CMD_WAY_MS,      /* likewise an ms: cmd_ms_run */
};

/* One command, or one key of a get. Pointers go into the input buffer; valid while its handler runs. */
struct request {
    const struct cmd_row *row;
    const char *line; /* the command's line without its ending; not set for keys (cmd_is_key) */
    uint32_t line_len;
    uint32_t end;         /* where the request ends in the input, block and all */
    struct store_key key; /* the bare key, hashed; len 0 when the row has none */
    const char *asked;    /* the key as it came, with its suffix */
    const char *list;     /* the suffix's list of tags or selectors */
    uint32_t asked_len;
    uint32_t list_len;
    union {
        struct {
            uint8_t suffix; /* enum keytags_kind */
            uint8_t error;  /* enum cmd_error */
            bool noreply;
            bool last;   /* the last key of a get line: END follows */
            bool skip;   /* the rest of the line has not come: skip it */
            uint8_t way; /* enum cmd_way */
            /* A storage line whose key seems to be empty, or to hold a blank: where its block ends cannot be known. If
             * it is refused the connection is closed, so that no byte of the block is read as a line. */
            bool shifted;
        };
        uint64_t marks; /* all of them, to be cleared at once */
    };
    uint32_t rest;    /* where the words behind those already read begin in the line (meta: the flags) */
    uint32_t flags;   /* STORE: the client flags */
    int64_t exptime;  /* STORE: as the client gave it; keys of gat: the expiry */
    uint64_t cas;     /* cas: the id */
    uint64_t swallow; /* so many bytes behind `end` belong to a refused block */
    char *body;       /* the block, body_len bytes (its \r\n follows); NULL: none, or uploaded */
    uint64_t body_len;
    struct store_upload *upload; /* a large block, filled */
    struct meta_usual meta;      /* CMD_WAY_MG, CMD_WAY_MS: the flags, which begin at `rest` */
};

/* ------------------------------------------------------------------ a connection */

/* Something that writes to a connection whenever its output has drained: a dump, a watcher. The owner allocates
 * session->produce_state; `end` frees it when the connection closes or the producer is replaced. */
struct cmd_producer {
    void (*produce)(struct session *s);
    void (*end)(struct session *s);
};

enum cmd_phase {
    CMD_PHASE_LINE,    /* a command line comes next */
    CMD_PHASE_KEYS,    /* in the middle of a get line: keys come next */
    CMD_PHASE_SKIP,    /* the rest of the line is of no interest */
    CMD_PHASE_SWALLOW, /* `left` bytes of a refused body are of no interest */
    CMD_PHASE_BODY,    /* a large body is being uploaded */
};

/* Why a handler closed a connection. */
enum cmd_end { CMD_END_NORMAL, CMD_END_ERROR, CMD_END_SHUTDOWN };

/* Zeroed by the net layer. Small: one per connection, idle ones too. */
struct session {
    struct conn *conn;
    struct cmd_worker *worker;
    uint8_t phase;                       /* enum cmd_phase */
    bool authenticated;                  /* true from the start without -Y; set by cmd_auth_set */
    bool started;                        /* a first byte was seen */
    bool refuse;                         /* CMD_PHASE_LINE: the block that is waited for has not come in time */
    uint8_t keys_row;                    /* CMD_PHASE_KEYS: enum cmd_id of the line */
    uint8_t ended;                       /* enum cmd_end: why it was closed from here */
    uint32_t keys_expiry;                /* CMD_PHASE_KEYS: the expiry of gat */
    uint32_t scanned;                    /* CMD_PHASE_LINE: so many bytes hold no newline */
    uint64_t need;                       /* CMD_PHASE_LINE: fewer bytes than this are of no use yet */
    uint64_t left;                       /* CMD_PHASE_SWALLOW */
    struct cmd_upload *upload;           /* CMD_PHASE_BODY (cmd_body.c) */
    struct cmd_job *job;                 /* of the purge whose request comes first, or NULL (cmd_tag.c) */
    const struct cmd_producer *producer; /* NULL: none */
    void *produce_state;
};

/* ------------------------------------------------------------------ running one */

/* ------------------------------------------------------------------ instances */

struct cmd_worker {
    struct cmd *cmd;
    struct store_worker *store;
    unsigned index;
    bool inside;    /* in a section of the store */
    bool halt;      /* the handler asks for the batch to end behind this request */
    bool again;     /* the handler asks to be run again when there is room */
    uint32_t notes; /* cmd->notes as of the batch's beginning, or its last command that may change them */
    TAILQ_HEAD(, cmd_upload) uploads; /* under way, or waiting for their turn */
    uint32_t turns;                   /* atomic: it has been told to look at them */
    unsigned sizing;                  /* `stats sizes` under way */
    uint64_t metrics[CMD_METRICS];

    /* Scratch of the request being run. */
    uint64_t tags[STORE_TAGS_MAX]; /* hashes of its tags */
    unsigned ntags, nread;
    uint64_t read[STORE_READ_TAGS_MAX]; /* mg: those of Lr= */
    struct meta meta;                   /* its flags */
    struct text_token wire;             /* a meta command's key as it is on the wire, base64 or not */
    struct store_selector *selectors;   /* KEYTAGS_SELECTORS_MAX of them */
    struct cmd_job *spare;              /* for the next purge; NULL: none yet */
    struct request batch[CMD_BATCH];
    unsigned lines; /* requests in the batch: the keys of a line are one */
    unsigned run;   /* requests run in this upcall */

    char decoded[CMD_LINE_MAX / 4 * 3 +
                 4]; /* a meta command's key, decoded from base64; last, since it is not cleared */
} __attribute__((aligned(SYNC_CACHE_LINE)));

struct cmd {
    uint32_t notes; /* enum cmd_note; relaxed */
    struct store *store;
    struct cmd_config cfg; /* its strings are this instance's own */
    struct cmd_names names;
    struct keytags_marker marker; /* len 0: key tags are off */
    uint64_t inline_max;          /* bodies up to this wait in the input buffer */
    unsigned nworkers;
    struct cmd_worker *workers;
    uint64_t base[CMD_METRICS]; /* sums at the last `stats reset`; relaxed */
    uint64_t binary_told_s;     /* when the log was last told of the binary protocol, seconds since boot; 0 never */

    uint32_t asked; /* atomic: `stats conns` under way */

    struct cmd_watch *watch;
    struct cmd_stats *stats;
    struct cmd_auth *auth; /* NULL: no authentication */
    bool stillborn;        /* cmd_stillborn has logged one */
};

/* ------------------------------------------------------------------ helpers of handlers */

/* Enters or leaves the batch's section; harmless when that is so already. */
static inline void cmd_enter(struct cmd_worker *w) {
    if (w->inside) return;
    w->inside = true;
    store_enter(w->store);
}
static inline void cmd_leave(struct cmd_worker *w) {
    if (!w->inside) return;
    w->inside = false;
    store_leave(w->store);
}

/* Asks for the request to be run again when there is room. Nothing may have been written. */
static inline void cmd_again(struct session *s) {
    s->worker->again = true;
}

/* Whether it is a key of a get, gets, gat or gats line, with nothing wrong. */
static inline bool cmd_is_key(const struct request *r) {
    return r->way == CMD_WAY_KEY || r->way == CMD_WAY_GET;
}

/* cmd_get.c, cmd_set.c. Answers r[0..n) as far as their way is get, or set, as the first one's is; returns how many it
 * answered (a set may find no room: then it is for its handler). Inside the section, when nobody has asked for
 * notes. */
__attribute__((noinline)) unsigned cmd_get_run(struct session *s, struct request *r, unsigned n);
__attribute__((noinline)) unsigned cmd_set_run(struct session *s, struct request *r, unsigned n);
__attribute__((noinline)) unsigned cmd_mg_run(struct session *s, struct request *r, unsigned n);
__attribute__((noinline)) unsigned cmd_ms_run(struct session *s, struct request *r, unsigned n);

/* cmd_parse.c. Makes key[0..n) the request's key: splits its suffix, checks lengths and list, hashes the bare key and
 * prefetches its bucket. False, and r->error is CMD_ERROR_FORMAT, when it is no key. `mark` false: the marker's first
 * byte is not in it. Inside a section. */
bool cmd_set_key(struct session *s, struct request *r, const char *key, size_t n, bool mark);

/* The words of the request's line, the command's own first; at most max are filled, the number in all is returned
 * counting no further than max + 1. */
static inline unsigned cmd_split(const struct request *r, struct text_token *words, unsigned max) {
    return text_split(r->line, r->line_len, words, max);
}

static inline void cmd_bump(struct session *s, enum cmd_metric m) {
    sync_bump(&s->worker->metrics[m], 1);
}

/* Whether somebody wants to be told. */
static inline bool cmd_noted(const struct session *s, unsigned notes) {
    return unlikely((sync_load(&s->worker->cmd->notes) & notes) != 0);
}

/* Closes the connection once its replies are sent. */
static inline void cmd_end(struct session *s, enum cmd_end why) {
    s->ended = (uint8_t)why;
    conn_close(s->conn);
}

/* ------------------------------------------------------------------ replies */

/* Appends one line, text and \r\n, unless the request says noreply. */
void cmd_reply(struct session *s, const struct request *r, const char *text, size_t n);
#define cmd_reply_lit(s, r, literal)                                                                                   \
    do {                                                                                                               \
        if (!(r)->noreply) cmd_line_lit((s), literal);                                                                 \
    } while (0)
/* Appends one line whether it says noreply or not. */
void cmd_line(struct session *s, const char *text, size_t n);
#define cmd_line_lit(s, literal)                                                                                       \
    do {                                                                                                               \
        memcpy(conn_reserve((s)->conn, sizeof(literal) + 1), literal "\r\n", sizeof(literal) + 1);                     \
        conn_commit((s)->conn, sizeof(literal) + 1);                                                                   \
    } while (0)
/* Appends a formatted line. For rare replies; at most 1 KiB. */
void cmd_linef(struct session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define CMD_BAD_FORMAT "CLIENT_ERROR bad command line format"
#define CMD_TOO_MANY_TAGS "CLIENT_ERROR too many tags (at most 128)"
#define CMD_TOO_MANY_READ_TAGS "CLIENT_ERROR too many tags (at most 64)"
#define CMD_TAG_TOO_LONG "CLIENT_ERROR tag too long (at most 200 bytes)"
_Static_assert(STORE_TAGS_MAX == 128 && STORE_READ_TAGS_MAX == 64 && KEYTAGS_TAG_MAX == 200, "as those lines say");

/* ------------------------------------------------------------------ what other files of the folder provide */

/* cmd_auth.c. A session that is not authenticated sent a complete `set`: check "user password" in the block, answer,
 * and set s->authenticated. The block is r->body[0..r->body_len), its ending has been checked. Any other command of
 * such a session is answered CLIENT_ERROR unauthenticated by the dispatcher. Runs outside any section. */
void cmd_auth_set(struct session *s, struct request *r);
int cmd_auth_new(struct cmd *cmd); /* reads cfg.auth_file into cmd->auth; 0 or -errno */
void cmd_auth_free(struct cmd *cmd);

/* cmd_log.c. Tells the log, once a minute at most, that a client speaks the binary protocol. */
void cmd_log_binary(struct session *s);
/* Brings CMD_NOTE_LOG in line with the log's verbosity. */
void cmd_log_adapt(struct cmd *cmd);
/* Logs a command: p[0..n) is its line. */
void cmd_log_command(struct session *s, const char *p, size_t n);

/* cmd_stats.c, cmd_watch.c: make and free their own parts. 0 or -ENOMEM. */
int cmd_stats_new(struct cmd *cmd);
void cmd_stats_free(struct cmd *cmd);
int cmd_watch_new(struct cmd *cmd);
void cmd_watch_free(struct cmd *cmd);

/* cmd_watch.c: called only when the note's bit is set. Any worker, inside a section or not; they copy what they need.
 * `r` may be NULL where there is none. Keys are raw bytes, to be escaped by the callee. */
void cmd_watch_fetch(struct session *s, const char *key, size_t n, const struct store_item *it, const char *status);
void cmd_watch_mutation(struct session *s, const char *cmd, const struct store_key *key, enum store_status status,
                        uint32_t expiry, uint64_t size);
void cmd_watch_deletion(struct session *s, const char *cmd, const struct store_key *key, uint64_t size);
void cmd_watch_tags(struct session *s, const char *cmd, const struct store_key *key, unsigned ntags);
/* selectors: as they came, separated by commas; number: of the purge. */
void cmd_watch_purge(struct session *s, const char *cmd, const char *selectors, size_t n, bool soft, uint64_t number);
void cmd_watch_rawcmd(struct session *s, const char *line, size_t n);
/* The connection is new, or closed for a reason, NULL being the usual one. */
void cmd_watch_conn(struct session *s, bool closed, const char *reason);

/* cmd_stats.c: `stats detail`; only while CMD_NOTE_DETAIL is set. */
enum cmd_detail { CMD_DETAIL_GET, CMD_DETAIL_HIT, CMD_DETAIL_SET, CMD_DETAIL_DELETE };
void cmd_detail(struct session *s, enum cmd_detail what, const char *key, size_t n);

/* ------------------------------------------------------------------ values, tags and bodies */

/* cmd_value.c. Appends the item's value, then tail[0..n), at most 8 bytes: small values copied, large ones from where
 * they lie. One that cannot be held all at once is sent in parts: then the connection is parked, and no request may
 * follow in this batch (`halt`). Inside the section that found the item. */
void cmd_value(struct session *s, const struct store_item *it, const char *tail, size_t n);
/* Whether a value is to be copied into the reply: small, and in one piece. */
static inline bool cmd_value_fits(const struct store_item *it) {
    return likely(it->value != NULL && it->size <= CMD_COPY_MAX);
}
/* memcached's exptime as an expiry: store_expiry, without a call for the usual 0. */
static inline uint32_t cmd_expiry(struct session *s, int64_t exptime) {
    return exptime == 0 ? 0 : store_expiry(s->worker->store, exptime);
}
/* cmd_expiry.c. The whole seconds an item has left to live: -1 without end. */
int64_t cmd_ttl(const struct session *s, uint32_t expiry);
/* cmd_expiry.c. Counts an item that was stored with an exptime which is a unix time that had passed; logs the first. */
void cmd_stillborn(struct session *s, int64_t exptime);
/* An item was stored with this exptime, and has this expiry. */
static inline void cmd_born(struct session *s, int64_t exptime, uint32_t expiry) {
    if (unlikely(expiry == STORE_EXPIRED && exptime > 0)) cmd_stillborn(s, exptime);
}
/* The id as clients see it (-C: 0). */
static inline uint64_t cmd_cas(const struct session *s, const struct store_item *it) {
    return unlikely(s->worker->cmd->cfg.no_cas) ? 0 : it->cas;
}

/* cmd_tag.c. Begins the worker's sets of tags, and adds a list to the item's, or to the reader's; false when it is
 * malformed or there would be more than STORE_TAGS_MAX, or STORE_READ_TAGS_MAX. */
void cmd_tags_begin(struct session *s);
bool cmd_tags_add(struct session *s, const char *list, size_t n);
bool cmd_read_tags_add(struct session *s, const char *list, size_t n);
/* Reads a well-formed selector. */
void cmd_read_selector(const char *p, size_t n, struct store_selector *out);
/* Purges by a list of selectors, joined by commas, that was found well-formed; *number is the purge's. Leaves the
 * section. False: refused (`*` under -F) and answered, or the request is run again when the purge has ended or has room
 * (the worker's `again`). */
bool cmd_purge_list(struct session *s, const struct request *r, const char *list, size_t n, uint64_t *number);
/* Whether the session's purge is still under way; the connection of one is gone. */
bool cmd_job_waits(const struct session *s);
void cmd_job_orphan(struct session *s);

/* cmd_body.c. A storage request whose block is too large to wait for in the input: its line is kept and the block
 * uploaded, then the request is run. */
void cmd_body_begin(struct session *s, struct request *r);
/* Takes bytes of it from the input; returns how many were used. */
size_t cmd_body_input(struct session *s, const char *p, size_t n);
char *cmd_body_sink(struct session *s, size_t *n);
void cmd_body_sunk(struct session *s, size_t n);
/* No byte of a block has come for too long. True: its request is refused, now or when input is shown
 * again. */
bool cmd_body_stalled(struct session *s);
void cmd_body_abort(struct session *s);

/* cmd_set.c. Answers a store that found no room, or too large a value, and deletes what was stored before when it was a
 * set. Of an ms, the flags have been read. */
void cmd_refuse_store(struct session *s, const struct request *r, enum store_status status);

/* cmd_meta.c. Answers what is wrong with flags. */
void cmd_meta_error(struct session *s, enum meta_error error);
/* cmd_meta_set.c. Reads the flags of an ms line into the worker's `meta` and settles its key; answers if they are
 * wrong. */
bool cmd_ms_valid(struct session *s, struct request *r);

/* `stats reset` of the counters of this folder (cmd_stats.c). */
void cmd_metrics_reset(struct cmd *cmd);

#endif
