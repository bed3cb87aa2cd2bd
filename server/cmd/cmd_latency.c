/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_latency.h"

#include <string.h>

#include "base/clock.h"
#include "cmd/cmd_binary.h"
#include "cmd/cmd_input.h"
#include "cmd/cmd_table.h"
#include "cmd/instance.h"
#include "cmd/session.h"
#include "proto/binary.h"

static enum cmd_latency kind_of(const struct cmd_row *row) {
    switch ((enum cmd_id)row->id) {
    case CMD_ID_mg: return CMD_LATENCY_meta_get;
    case CMD_ID_delete:
    case CMD_ID_md: return CMD_LATENCY_delete;
    case CMD_ID_purge:
    case CMD_ID_mp:
    case CMD_ID_tag_delete:
    case CMD_ID_tags_delete:
    case CMD_ID_flush_all: return CMD_LATENCY_purge;
    default: break;
    }
    switch ((enum cmd_class)row->class) {
    case CMD_CLASS_GET: return CMD_LATENCY_get;
    case CMD_CLASS_STORE: return CMD_LATENCY_set;
    case CMD_CLASS_MSET: return CMD_LATENCY_meta_set;
    default: return CMD_LATENCIES;
    }
}

/* The kind of the command that the bytes begin with. */
static enum cmd_latency first_kind(const struct session *s, const char *p, size_t n) {
    const struct cmd_row *row = NULL;
    if (s->phase != CMD_PHASE_LINE && s->phase != CMD_PHASE_BEGIN) return CMD_LATENCIES; /* of one that came before */
    if (n >= BINARY_HEADER && (unsigned char)p[0] == BINARY_REQUEST)
        row = cmd_binary_ops[(unsigned char)p[1]].row;
    else
        row = cmd_names_begin(&s->worker->cmd->names, p, p + n);
    return row != NULL ? kind_of(row) : CMD_LATENCIES;
}

/* Whether an answer has still to come. */
static bool awaits(const struct session *s) {
    return s->job != NULL || s->forward != NULL;
}

size_t cmd_latency_input(struct session *s, char *p, size_t n) {
    struct cmd_worker *w = s->worker;
    struct cmd_latencies *l = &w->latencies;
    const struct clock *clock = w->cmd->cfg.clock;
    w->until_sample = 1; /* until it is known that nothing is awaited */
    if (l->session == NULL) {
        if (awaits(s) || s->role != CMD_ROLE_CLIENT) return cmd_input(s, p, n);
        l->kind = first_kind(s, p, n);
        if (l->kind == CMD_LATENCIES) return cmd_input(s, p, n);
        l->session = s;
        l->since_ns = clock_boot_ns(clock);
    }
    const size_t used = cmd_input(s, p, n);
    if (l->session != s || awaits(s)) return used;
    if (used > 0) histogram_add(&l->of[l->kind], clock_boot_ns(clock) - l->since_ns);
    l->session = NULL;
    w->until_sample = CMD_LATENCY_SAMPLE;
    return used;
}

void cmd_latency_close(const struct session *s) {
    if (s->worker->latencies.session == s) s->worker->latencies.session = NULL;
}

void cmd_latency_sum(const struct cmd *cmd, enum cmd_latency kind, struct histogram *out) {
    memset(out, 0, sizeof *out);
    for (unsigned i = 0; i < cmd->nworkers; i++) histogram_sum(out, &cmd->workers[i].latencies.of[kind]);
}

void cmd_latency_sum_purges(const struct cmd *cmd, struct histogram *out) {
    memset(out, 0, sizeof *out);
    for (unsigned i = 0; i < cmd->nworkers; i++) histogram_sum(out, &cmd->workers[i].latencies.purge_apply);
}
