/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_meta - what the meta commands share: reading flags, key and tags, and the flags that every reply may carry; mn.
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

/* Adds the tags of G, Lt= and the suffix to the worker's `tags`, and those of Lr= to its `read`. Both have been begun
 * (cmd_tag_begin). False: a list is malformed or too long, and that is answered. */
bool cmd_meta_lists(struct session *s, const struct request *r);
/* The same, and begins the sets. Most lines have no tags. */
static inline bool cmd_meta_tags(struct session *s, const struct request *r) {
    cmd_tag_begin(s);
    return likely((s->worker->meta.have & (META_BIT('G') | META_BIT('L'))) == 0 && r->suffix != KEYTAGS_TAGS) ||
           cmd_meta_lists(s, r);
}

/* The exptime of an item that N creates: that of N or T, whichever came later in the line. */
int64_t cmd_meta_vivified(const struct meta *m);

/* ------------------------------------------------------------------ replies */

/* The first line of a reply while it is written: HEAD_MAX bytes and more are reserved from `begin` on. */
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

/* Writes a flag and what was sent with it. */
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

/* Writes k and the key as the client sent it, in base64 if `b64`. */
void cmd_meta_put_key(struct head *h, const struct request *r, bool b64);

/* Answers a status of two letters with the flags that every reply may carry: opaque and key. */
void cmd_meta_reply(struct session *s, const struct request *r, const char *status);

#endif
