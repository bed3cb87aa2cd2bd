/* SPDX-License-Identifier: BSD-3-Clause
 *
 * request - one command, or one key of a line of keys, as parsing has found it.
 *
 * A request lives in its worker's batch (instance.h). Its pointers go into the input buffer: they hold while its
 * handler runs. One thread: the worker's.
 */
#ifndef TAGCACHED_CMD_REQUEST_H
#define TAGCACHED_CMD_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cmd/cmd_table.h"
#include "proto/meta.h"
#include "proto/text.h"
#include "store/store.h"

#define CMD_AUTH_MAX 2048  /* bytes of a line, and of a block, before authentication */
#define CMD_LINE_MAX 65536 /* bytes of a line other than a get's */
#define CMD_LONG_KEY 2048  /* raw keys (they may carry a suffix) above this are not formatted in one run */

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
    CMD_ERROR_LENGTHS,   /* of a packet: its lengths contradict each other */
    CMD_ERROR_CLOSE,     /* no answer: the connection is closed */
};

/* Which code runs a request. Most requests are of the last six kinds, each of which has a loop of its own. */
enum cmd_path {
    CMD_PATH_HANDLER, /* its row's handler */
    CMD_PATH_PACKET,  /* its opcode's handler (cmd_binary.h) */
    CMD_PATH_KEY,     /* its row's handler; it is a key of a gets, gat or gats line, or a long one of a get line */
    CMD_PATH_GET,     /* cmd_get_run: a key of a get line */
    CMD_PATH_SET,     /* cmd_set_run: a set line as clients send it (text_store_usual) */
    CMD_PATH_MG,      /* cmd_meta_get_run: an mg line as clients send it (meta_read_usual) */
    CMD_PATH_MS,      /* cmd_meta_set_run: likewise an ms line */
    CMD_PATH_GETS,    /* cmd_binary_get_run: a packet of get, getq, getk or getkq */
    CMD_PATH_SETS,    /* cmd_binary_set_run: a packet of set or setq, without a CAS id or a suffix */
};

struct request {
    const struct cmd_row *row;
    const char *line; /* the command's line without its ending, or a packet but for its value; not set for keys
                         (cmd_is_key) */
    uint32_t line_len;
    uint32_t end;         /* where the request ends in the input, its block included */
    struct store_key key; /* the key without its suffix, hashed; len 0 when the row has none */
    const char *raw_key;  /* the key as the client sent it */
    const char *list;     /* with a suffix: its list of tags or selectors */
    uint32_t raw_key_len;
    uint32_t list_len;
    union {
        struct {
            uint8_t suffix; /* enum keytags_kind */
            uint8_t error;  /* enum cmd_error */
            bool noreply;
            bool last;         /* the last key of a get line: END follows */
            bool discard_line; /* the rest of the line has not come: it is discarded when it does */
            uint8_t path;      /* enum cmd_path */
            /* A storage line whose key seems to be empty, or to hold a blank: where its block ends cannot be known. If
             * it is refused the connection is closed, so that no byte of the block is read as a line. */
            bool shifted;
            bool base64; /* a packet's key that cannot stand in a line: there it is shown in base64 */
        };
        uint64_t marks; /* all of them, to be cleared at once */
    };
    uint32_t rest;         /* where the words behind those already read begin in the line (meta: the flags) */
    uint32_t flags;        /* STORE: the client flags */
    int64_t exptime;       /* STORE: as the client gave it; keys of gat: the expiry */
    uint64_t cas;          /* cas, and any packet: the id; of a packet 0 is none */
    uint64_t discard_body; /* so many bytes behind `end` belong to a refused block */
    char *body;            /* the block, body_len bytes (cmd_ending follow); NULL: none, or uploaded */
    uint64_t body_len;
    struct store_upload *upload; /* a large block, filled */
    struct meta_usual meta;      /* CMD_PATH_MG, CMD_PATH_MS: the flags, which begin at `rest` */
};

/* Whether it is a key of a get, gets, gat or gats line, with nothing wrong. */
static inline bool cmd_is_key(const struct request *r) {
    return r->path == CMD_PATH_KEY || r->path == CMD_PATH_GET;
}

/* Whether it came as a packet of the binary protocol. */
static inline bool cmd_is_packet(const struct request *r) {
    return r->path == CMD_PATH_PACKET || r->path >= CMD_PATH_GETS;
}

/* Bytes that end its block: \r\n, or nothing. */
static inline unsigned cmd_ending(const struct request *r) {
    return cmd_is_packet(r) ? 0 : 2;
}

/* The words of the request's line, the command's own first. Fills at most max and returns how many there are, counting
 * no further than max + 1. */
static inline unsigned cmd_split(const struct request *r, struct text_token *words, unsigned max) {
    return text_split(r->line, r->line_len, words, max);
}

#endif
