/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_meta - what the files of the meta commands share (cmd_meta.c, and inline what each request runs).
 *
 * All of it runs on the session's worker, inside the batch's section.
 */
#ifndef TAGCACHED_CMD_CMD_META_H
#define TAGCACHED_CMD_CMD_META_H

#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "cmd/cmd_tag.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "net/conn.h"
#include "proto/keytags.h"
#include "proto/meta.h"
#include "proto/text.h"

#define HEAD_MAX 768  /* of a reply's first line, the key not counted: 20 flags of at most 33 bytes */
#define SHORT_KEY 256 /* keys up to this are written in one run with the rest */

/* ------------------------------------------------------------------ requests */

/* Reads flags and key of a line whose key is its second word and which had `words` words before the flags. What it
 * finds wrong is not answered yet: cmd_meta_error does. */
enum meta_error cmd_meta_read(struct session *s, struct request *r, unsigned words, enum meta_command command);

/* Answers what is wrong with flags. */
void cmd_meta_error(struct session *s, enum meta_error error);

/* Unites the tags of G, Lt= and the suffix in the worker's set, and takes those of Lr=. False: they are bad, and that
 * is answered. The sets have begun. */
bool cmd_meta_lists(struct session *s, const struct request *r);
/* The same; a line has none as a rule. */
static inline bool cmd_meta_tags(struct session *s, const struct request *r) {
    cmd_tag_begin(s);
    return likely((s->worker->meta.have & (META_BIT('G') | META_BIT('L'))) == 0 && r->suffix != KEYTAGS_TAGS) ||
           cmd_meta_lists(s, r);
}

/* The exptime a created item gets: of N and T the one that came later. */
int64_t cmd_meta_vivified(const struct meta *m);

/* ------------------------------------------------------------------ replies */

/* A reply's first line while it is written. */
struct head {
    struct session *s;
    char *begin, *out;
};

static inline void head_begin(struct head *h, struct session *s, size_t more) {
    h->s = s;
    h->begin = h->out = conn_reserve(s->conn, HEAD_MAX + SHORT_KEY + more);
}

static inline void head_end(struct head *h) {
    conn_commit(h->s->conn, (size_t)(h->out - h->begin));
}

static inline void head_put(struct head *h, const char *p, size_t n) {
    memcpy(h->out, p, n);
    h->out += n;
}

static inline void head_put_flag(struct head *h, char letter, uint64_t v) {
    *h->out++ = ' ';
    *h->out++ = letter;
    h->out = text_put_u64(h->out, v);
}

static inline void head_put_signed(struct head *h, char letter, int64_t v) {
    *h->out++ = ' ';
    *h->out++ = letter;
    h->out = text_put_i64(h->out, v);
}

/* A flag that echoes what came with it. */
static inline void head_put_echo(struct head *h, char letter, const char *p, size_t n) {
    *h->out++ = ' ';
    *h->out++ = letter;
    bytes_copy(h->out, p, n);
    h->out += n;
}

static inline void head_put_opaque(struct head *h) {
    const struct text_token *opaque = &h->s->worker->meta.opaque;
    head_put_echo(h, 'O', opaque->p, opaque->n);
}

/* Echoes the key as it was asked for, in base64 if `b64`. */
void cmd_meta_put_key(struct head *h, const struct request *r, bool b64);

/* A reply of a status of two letters, and the flags that every reply may carry. */
void cmd_meta_reply(struct session *s, const struct request *r, const char *status);

#endif
