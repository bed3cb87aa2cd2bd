/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_erase.h"

#include <stdlib.h>

#include "base/erase.h"
#include "cluster/view.h"
#include "cmd/cmd_copy.h"
#include "cmd/cmd_forward.h"
#include "cmd/cmd_link.h"
#include "cmd/instance.h"

/* Whether a link has still to answer what it had been asked then. */
static bool link_owes(struct cmd_link *l, bool first) {
    if (l == NULL || l->conn == NULL) return false;
    if (first) l->erase_upto = l->tail;
    return (int32_t)(l->erase_upto - l->head) > 0;
}

/* The buffers of records: spare ones are freed, of the others what no reply is in is overwritten. */
static void erase_records(struct cmd_peers *p) {
    struct forward *f;
    TAILQ_FOREACH(f, &p->spare, age) {
        free(f->buf); /* which overwrites it */
        f->buf = NULL;
        f->cap = 0;
    }
    TAILQ_FOREACH(f, &p->live, age)
    if (f->buf != NULL) erase_bytes(f->buf + f->len, f->cap - f->len);
}

static bool is_under_way(struct cmd_peers *p, bool first, uint64_t since_ns) {
    const struct forward *f;
    bool any = false;
    for (unsigned i = 0; p->view != NULL && i < p->view->nmembers; i++) any |= link_owes(p->links[i], first);
    TAILQ_FOREACH(f, &p->live, age)
    any |= f->begun_ns <= since_ns;
    return any;
}

bool cmd_erase(struct cmd *cmd, unsigned i, bool first, uint64_t since_ns) {
    struct cmd_worker *w = &cmd->workers[i];
    struct cmd_peers *p = w->peers;
    erase_bytes(w->decoded, sizeof w->decoded);
    if (p == NULL) return false;
    erase_bytes(p->decoded, sizeof p->decoded);
    erase_records(p);
    if (is_under_way(p, first, since_ns)) return true;
    if (p->copies != NULL) cmd_copy_drop(p->copies);
    return false;
}
