/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_purge_reply.h"

#include <string.h>

#include "net/conn.h"
#include "proto/text.h"

/* Writes " n2/3". */
static char *put_share(char *out, const struct cmd_purged *got) {
    memcpy(out, " n", 2);
    out = text_put_u64(out + 2, got->acked);
    *out++ = '/';
    return text_put_u64(out, got->members);
}

/* Writes "7 b412": items and bytes; of more items than are counted, "many". */
static char *put_removed(char *out, const struct cmd_purged *got) {
    if (got->n < 0) {
        memcpy(out, "many", 4);
        out += 4;
    } else {
        out = text_put_u64(out, (uint64_t)got->n);
    }
    memcpy(out, " b", 2);
    return text_put_u64(out + 2, got->bytes);
}

void cmd_purge_reply_mp(struct session *s, const struct meta *m, const struct text_token *sel,
                        const struct cmd_purged *got) {
    char head[64 + META_OPAQUE_MAX];
    char *out = head;
    if (meta_has(m, 'q') && got->confirmed) return;
    conn_write(s->conn, got->confirmed ? "HD" : "PA", 2);
    if (!got->confirmed && !meta_has(m, 'n')) { /* shown though nobody asked */
        out = put_share(head, got);
        conn_write(s->conn, head, (size_t)(out - head));
    }
    for (unsigned i = 0; i < m->norder; i++) {
        out = head;
        *out++ = ' ';
        *out++ = m->order[i];
        switch (m->order[i]) {
        case 'n': out = put_share(head, got); break;
        case 's': out = text_put_u64(out, got->number); break;
        case 'c': out = put_removed(out, got); break;
        case 'O': memcpy(out, m->opaque.p, m->opaque.n), out += m->opaque.n; break;
        case 'k': break;
        default: continue;
        }
        conn_write(s->conn, head, (size_t)(out - head));
        if (m->order[i] == 'k') conn_write(s->conn, sel->p, sel->n);
    }
    conn_write(s->conn, "\r\n", 2);
}
