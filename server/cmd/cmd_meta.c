/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_meta - what the meta commands share: flags, keys and tags, the flags that every reply may carry; mn. */
#include "cmd/cmd_meta.h"

#include "base/check.h"
#include "cmd/cmd_key.h"
#include "cmd/instance.h"
#include "cmd/reply.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "net/conn.h"
#include "proto/base64.h"
#include "proto/keytags.h"
#include "proto/meta.h"
#include "proto/text.h"
#include "store/store.h"

#define BASE64_MAX 186 /* bytes of a bare key whose base64 has at most 250 */

/* ------------------------------------------------------------------ flags and key */

void cmd_meta_error(struct session *s, enum meta_error error) {
    switch (error) {
    case META_OK: break;
    case META_FORMAT: cmd_line_lit(s, CMD_BAD_FORMAT); break;
    case META_TOO_MANY: cmd_line_lit(s, "CLIENT_ERROR options flags are too long"); break;
    case META_DUPLICATE: cmd_line_lit(s, "CLIENT_ERROR duplicate flag"); break;
    case META_UNKNOWN: cmd_line_lit(s, "CLIENT_ERROR invalid flag"); break;
    case META_TOKEN: cmd_line_lit(s, "CLIENT_ERROR bad token in command line format"); break;
    case META_INITIAL: cmd_line_lit(s, "CLIENT_ERROR invalid numeric initial value"); break;
    case META_DELTA: cmd_line_lit(s, "CLIENT_ERROR invalid numeric delta value"); break;
    case META_KEY: cmd_line_lit(s, "CLIENT_ERROR error decoding key"); break;
    case META_OPAQUE: cmd_line_lit(s, "CLIENT_ERROR opaque token too long"); break;
    }
}

/* The key as the store knows it. False: it is none. */
static bool resolve_key(struct session *s, struct request *r) {
    struct cmd_worker *w = s->worker;
    if (!meta_has(&w->meta, 'b')) return r->key.len > 0;
    if (!cmd_key_set(s, r, w->decoded, w->meta.decoded, true)) {
        r->error = CMD_OK;
        return false;
    }
    return r->key.len <= BASE64_MAX;
}

enum meta_error cmd_meta_read(struct session *s, struct request *r, unsigned words, enum meta_command command) {
    struct cmd_worker *w = s->worker;
    w->wire = (struct text_token){r->raw_key, r->raw_key_len};
    enum meta_error e = meta_parse(r->line, r->line_len, r->rest, words, command, &w->wire, w->decoded, &w->meta);
    if (likely(e == META_OK)) return resolve_key(s, r) ? META_OK : META_FORMAT;
    /* A key that is none comes before what is wrong with flags. */
    const bool none = meta_has(&w->meta, 'b') ? w->wire.n > STORE_KEY_MAX : r->key.len == 0;
    return none ? META_FORMAT : e;
}

/* The list of G, Lt= or Lr=; p NULL without one. */
static struct text_token list_of(const struct meta *m, char which) {
    if (which == 'G' && meta_has(m, 'G')) return m->tags;
    if (which == 't' && meta_has(m, 'L')) return m->l_tags;
    if (which == 'r' && meta_has(m, 'L')) return m->r_tags;
    return (struct text_token){NULL, 0};
}

bool cmd_meta_lists(struct session *s, const struct request *r) {
    const struct meta *m = &s->worker->meta;
    const struct text_token lists[] = {list_of(m, 'G'), list_of(m, 't'), list_of(m, 'r')};
    for (unsigned i = 0; i < 3; i++) {
        if (lists[i].p == NULL || keytags_is_list(lists[i].p, lists[i].n)) continue;
        if (keytags_is_too_long(lists[i].p, lists[i].n))
            cmd_line_lit(s, CMD_TAG_TOO_LONG);
        else
            cmd_meta_error(s, META_TOKEN);
        return false;
    }
    bool fits = true;
    for (unsigned i = 0; i < 2; i++)
        if (fits && lists[i].p != NULL) fits = cmd_tag_add_list(s, lists[i].p, lists[i].n);
    if (fits && r->suffix == KEYTAGS_TAGS) fits = cmd_tag_add_list(s, r->list, r->list_len);
    if (!fits) {
        cmd_line_lit(s, CMD_TOO_MANY_TAGS);
    } else if (lists[2].p != NULL && !cmd_tag_add_read(s, lists[2].p, lists[2].n)) {
        cmd_line_lit(s, CMD_TOO_MANY_READ_TAGS);
        fits = false;
    }
    return fits;
}

int64_t cmd_meta_vivified(const struct meta *m) {
    int64_t exptime = m->vivify;
    for (unsigned i = 0; i < m->norder; i++) {
        if (m->order[i] == 'N') exptime = m->vivify;
        if (m->order[i] == 'T') exptime = m->ttl;
    }
    return exptime;
}

/* ------------------------------------------------------------------ replies */

/* Echoes a key that is too long to fit what was reserved: such a one has a suffix. */
static void put_long(struct head *h, const char *p, size_t n) {
    head_end(h);
    conn_write(h->s->conn, p, n);
    head_begin(h, h->s, 0);
}

void cmd_meta_put_key(struct head *h, const struct request *r, bool b64) {
    const struct cmd_worker *w = h->s->worker;
    const bool sent_b64 = meta_has(&w->meta, 'b');
    struct text_token key = w->wire;
    char encoded[SHORT_KEY * 4 / 3 + 4];
    if (sent_b64 && !b64) key = (struct text_token){r->raw_key, r->raw_key_len};
    head_put(h, " k", 2);
    if (!sent_b64 && b64) {
        /* What does not fit was asked for with a suffix: the stored key is what a client can use. */
        size_t n = r->raw_key_len <= STORE_KEY_MAX ? r->raw_key_len : r->key.len;
        key = (struct text_token){encoded, base64_encode(r->raw_key, n, encoded)};
        put_long(h, key.p, key.n);
    } else if (key.n <= SHORT_KEY) {
        head_put(h, key.p, key.n);
    } else {
        put_long(h, key.p, key.n);
    }
    if (b64) head_put(h, " b", 2);
}

/* The flags that every reply may carry: opaque and key. */
static void put_common(struct head *h, const struct request *r) {
    const struct meta *m = &h->s->worker->meta;
    for (unsigned i = 0; i < m->norder; i++) {
        if (m->order[i] == 'O')
            head_put_opaque(h);
        else if (m->order[i] == 'k')
            cmd_meta_put_key(h, r, meta_has(m, 'b'));
    }
}

void cmd_meta_reply(struct session *s, const struct request *r, const char *status) {
    struct head h;
    head_begin(&h, s, 0);
    head_put(&h, status, 2);
    put_common(&h, r);
    head_put(&h, "\r\n", 2);
    head_end(&h);
}

void cmd_mn(struct session *s, struct request *r) {
    (void)r;
    cmd_line_lit(s, "MN");
}
