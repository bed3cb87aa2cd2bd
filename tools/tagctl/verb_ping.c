/* SPDX-License-Identifier: BSD-3-Clause */
#include <math.h>
#include <string.h>

#include "tools/tagctl/nodes.h"
#include "tools/tagctl/table.h"
#include "tools/tagctl/tagctl.h"
#include "tools/tagctl/verbs.h"

#define SENTENCE 256

static const struct table_column columns[] = {
    {"NODE", "name", TABLE_TEXT}, {"TIME", "ms", TABLE_MS}, {"ANSWER", "answer", TABLE_TEXT}};

/* Asks the node over this way, and copies the line that it answers. */
static int ask(struct ctl *c, const char *path, char line[SENTENCE], double *ms) {
    char *answer;
    double begin = conn_seconds();
    int status = reply_ask(c, "%smn", path);
    if (!status) status = conn_line(&c->conn, &answer);
    if (status) return status;
    *ms = (conn_seconds() - begin) * 1e3;
    snprintf(line, SENTENCE, "%s", answer);
    return DONE;
}

/* One node's time. An answer other than MN is what is wrong with it. */
static int ping(struct ctl *c, const struct nodes *n, unsigned i, struct table *t, unsigned *bad) {
    char path[512], line[SENTENCE];
    struct conn own;
    double ms = NAN;
    nodes_path(n, i, path, sizeof path);
    snprintf(line, sizeof line, "SERVER_ERROR it is %s", nodes_state(n->rows[i]));
    int status = nodes_is_gone(n->rows[i]) ? DONE : ask(c, path, line, &ms);
    if (status) return status;
    if (reply_refuses(line) && nodes_passes_nothing_on(n, i, line) && nodes_dial(c, n->names[i], &own)) {
        ask(c, "", line, &ms); /* if that fails, the line is still the refusal */
        nodes_hang_up(c, &own);
    }
    bool ok = !strcmp(line, "MN");
    *bad += !ok;
    table_text(t, n->names[i]);
    table_number(t, ok ? ms : NAN);
    table_text(t, ok ? "ok" : nodes_sentence(line));
    return DONE;
}

int verb_ping(struct ctl *c) {
    struct nodes n;
    struct table t;
    unsigned bad = 0;
    int status = nodes_get(c, &n);
    if (status) return status;
    table_init(&t, columns, sizeof columns / sizeof *columns);
    for (unsigned i = 0; i < n.n && !status; i++) status = ping(c, &n, i, &t, &bad);
    if (!status) {
        if (c->output == OUTPUT_JSON)
            json_print(json_pack("{s:o}", "nodes", table_json(&t)));
        else
            table_print(&t, c);
        if (bad) status = complain(UNREACHABLE, "%u of %u unreachable", bad, n.n);
    }
    table_free(&t);
    nodes_free(&n);
    return status;
}
