/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Handler: explain. */
#include <inttypes.h>

#include "cluster/view.h"
#include "cmd/cmd_expiry.h"
#include "cmd/cmd_link.h"
#include "cmd/cmd_metrics.h"
#include "cmd/cmd_purge_known.h"
#include "cmd/cmd_value.h"
#include "cmd/instance.h"
#include "cmd/reply.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "proto/text.h"

/* The node's name in the ring, since a key's owner answers. */
static const char *own_name(const struct session *s) {
    const struct cmd_peers *p = s->worker->peers;
    if (p == NULL || p->view == NULL || p->view->self == VIEW_NOBODY) return "-";
    return p->view->members[p->view->self].name;
}

static const char *state_name(enum store_found found, const struct store_item *it) {
    if (found == STORE_HARD_PURGED) return "dead";
    return found == STORE_SOFT_PURGED || (it->bits & STORE_STALE) != 0 ? "stale" : "live";
}

void cmd_explain(struct session *s, struct request *r) {
    struct cmd_worker *w = s->worker;
    struct text_token words[2];
    struct store_item it;
    struct store_cause cause;
    const unsigned n = cmd_split(r, words, 2);
    if (n < 2 || r->key.len == 0) {
        cmd_line_lit(s, CMD_BAD_FORMAT);
        return;
    }
    const enum store_found found = store_explain(w->store, &r->key, &it, &cause);
    if (found == STORE_ABSENT) {
        cmd_linef(s, "EXPLAIN owner=%s state=absent key=%.*s", own_name(s), (int)words[1].n, words[1].p);
    } else {
        char purge[CMD_PURGE_KNOWN_ID_MAX], tag[CMD_PURGE_KNOWN_TAG_MAX + 1];
        cmd_purge_known_id(w->cmd->purges, &cause, purge);
        cmd_purge_known_tag(w->cmd->purges, cause.tag, tag);
        cmd_linef(s,
                  "EXPLAIN owner=%s state=%s size=%" PRIu64 " ttl=%lld age=%" PRIu32 " cas=%" PRIu64
                  " fetched=%s tags=%u purge=%s tag=%s key=%.*s",
                  own_name(s), state_name(found, &it), it.size, (long long)cmd_expiry_ttl(s, it.expiry),
                  store_item_age(w->store, &it), cmd_value_cas(s, &it), (it.bits & STORE_FETCHED) != 0 ? "yes" : "no",
                  it.ntags, purge, tag, (int)words[1].n, words[1].p);
    }
    cmd_line_lit(s, "END");
}
