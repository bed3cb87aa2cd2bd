/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_tag.h"

#include "base/hash.h"
#include "cmd/cmd_key.h"
#include "cmd/cmd_watch.h"
#include "cmd/instance.h"
#include "cmd/observers.h"
#include "cmd/reply.h"
#include "cmd/session.h"
#include "proto/keytags.h"
#include "proto/text.h"
#include "store/store.h"

/* ------------------------------------------------------------------ sets of tags */

void cmd_tag_begin(struct session *s) {
    s->worker->ntags = s->worker->nread = 0;
}

/* Adds a list of tags to a set of at most `max`. */
static bool add(const char *list, size_t n, uint64_t *tags, unsigned *ntags, unsigned max) {
    struct text_token tag;
    size_t at = 0;
    int got;
    while ((got = keytags_next(list, n, ',', &at, &tag)) > 0) {
        uint64_t h = hash_tag(tag.p, tag.n);
        unsigned i = 0;
        while (i < *ntags && tags[i] != h) i++;
        if (i < *ntags) continue;
        if (*ntags == max) return false;
        tags[(*ntags)++] = h;
    }
    return got == 0;
}

bool cmd_tag_add_list(struct session *s, const char *list, size_t n) {
    struct cmd_worker *w = s->worker;
    return add(list, n, w->tags, &w->ntags, STORE_TAGS_MAX);
}

bool cmd_tag_add_read(struct session *s, const char *list, size_t n) {
    struct cmd_worker *w = s->worker;
    return add(list, n, w->read, &w->nread, STORE_READ_TAGS_MAX);
}

/* ------------------------------------------------------------------ tag_add */

void cmd_tag_add(struct session *s, struct request *r) {
    struct text_token words[3];
    struct request key = *r;
    (void)cmd_split(r, words, 3);
    if (words[1].n > KEYTAGS_TAG_MAX) {
        cmd_reply_lit(s, r, CMD_TAG_TOO_LONG);
        return;
    }
    if (!keytags_is_tag(words[1].p, words[1].n) || !cmd_key_set(s, &key, words[2].p, words[2].n, true)) {
        cmd_reply_lit(s, r, CMD_BAD_FORMAT);
        return;
    }
    cmd_bump(s, CMD_METRIC_tag_add);
    enum store_status st = store_tag_add(s->worker->store, &key.key, hash_tag(words[1].p, words[1].n));
    switch (st) {
    case STORE_OK:
        if (cmd_observed(s, CMD_OBSERVE_TAGS)) cmd_watch_tags(s, "tag_add", &key.key, 1);
        cmd_reply_lit(s, r, "TAG_STORED");
        break;
    case STORE_AGAIN: cmd_retry_later(s); break;
    case STORE_TOO_MANY: cmd_reply_lit(s, r, CMD_TOO_MANY_TAGS); break;
    case STORE_NO_MEMORY: cmd_reply_lit(s, r, "SERVER_ERROR out of memory"); break;
    default: cmd_reply_lit(s, r, "NOT_FOUND"); break;
    }
}
