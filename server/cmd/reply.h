/* SPDX-License-Identifier: BSD-3-Clause
 *
 * reply - lines of an answer, appended to the connection's output; and what both protocols answer, each in its words.
 */
#ifndef TAGCACHED_CMD_REPLY_H
#define TAGCACHED_CMD_REPLY_H

#include <stddef.h>
#include <string.h>

#include "cmd/request.h"
#include "cmd/session.h"
#include "net/conn.h"
#include "proto/binary.h"
#include "proto/keytags.h"
#include "store/store.h"

#define CMD_BAD_FORMAT "CLIENT_ERROR bad command line format"
#define CMD_TOO_MANY_TAGS "CLIENT_ERROR too many tags (at most 128)"
#define CMD_TOO_MANY_READ_TAGS "CLIENT_ERROR too many tags (at most 64)"
#define CMD_TAG_TOO_LONG "CLIENT_ERROR tag too long (at most 200 bytes)"
_Static_assert(STORE_TAGS_MAX == 128 && STORE_READ_TAGS_MAX == 64 && KEYTAGS_TAG_MAX == 200, "as those lines say");

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

/* Answers a line that says OK, or a packet without a body; nothing if the request is quiet or says noreply. */
void cmd_reply_ok(struct session *s, const struct request *r);
/* Answers an error that either protocol can meet: a formatted line, "CLIENT_ERROR ..." or "SERVER_ERROR ...", unless
 * the request says noreply; or a packet with the status, and the line's text behind its first word. At most 1 KiB. */
void cmd_reply_error(struct session *s, const struct request *r, enum binary_status status, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
