/* SPDX-License-Identifier: BSD-3-Clause */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tagctl/handing.h"
#include "tools/tagctl/nodes.h"
#include "tools/tagctl/table.h"
#include "tools/tagctl/tagctl.h"
#include "tools/tagctl/verbs.h"

static const struct table_column columns[] = {
    {"NODE", "name", TABLE_TEXT},       {"STATE", "state", TABLE_STATE},    {NULL, "agreed", TABLE_TEXT},
    {"WEIGHT", "weight", TABLE_NUMBER}, {"VOTER", "voter", TABLE_YESNO},    {"LAG", "lag_ms", TABLE_MS},
    {"ADDRESS", "address", TABLE_TEXT}, {"VERSION", "version", TABLE_TEXT}, {NULL, "number", TABLE_NUMBER},
    {NULL, "boot", TABLE_NUMBER},       {NULL, "id", TABLE_TEXT},
};
#define NCOLUMNS (sizeof columns / sizeof *columns)

static void add(struct table *t, const struct reply_row *row) {
    table_text(t, reply_text(row, "name"));
    table_text(t, nodes_state(row));
    table_text(t, reply_text(row, "state"));
    table_number(t, reply_number(row, "weight"));
    table_text(t, reply_text(row, "voter"));
    table_number(t, reply_number(row, "lag_ms"));
    table_text(t, reply_text(row, "addr"));
    table_text(t, reply_text(row, "version"));
    table_number(t, reply_number(row, "number"));
    table_number(t, reply_number(row, "boot"));
    table_text(t, reply_text(row, "id"));
}

int verb_members_ls(struct ctl *c) {
    struct nodes n;
    struct table t;
    int status = nodes_get_cluster(c, &n);
    if (status) return status;
    table_init(&t, columns, NCOLUMNS);
    for (unsigned i = 0; i < n.n; i++) add(&t, n.rows[i]);
    if (c->output == OUTPUT_JSON)
        json_print(json_pack("{s:o}", "members", table_json(&t)));
    else
        table_print(&t, c);
    table_free(&t);
    nodes_free(&n);
    return DONE;
}

int verb_members_show(struct ctl *c) {
    struct nodes n;
    int status = nodes_get_cluster(c, &n);
    if (status) return status;
    const struct reply_row *row = nodes_find(&n, c->args[0]);
    if (!row) {
        nodes_free(&n);
        return NOT_FOUND;
    }
    json_t *j = json_object();
    for (unsigned i = 0; i < row->n; i++) {
        const char *name = row->fields[i].name, *value = row->fields[i].value;
        double x = strcmp(name, "id") != 0 && strcmp(name, "version") != 0 ? reply_number(row, name) : NAN;
        if (c->output == OUTPUT_JSON)
            json_object_set_new(j, name, isnan(x) ? json_text(value) : json_number(x));
        else if (c->output == OUTPUT_TABLE)
            printf("%-10s %s\n", name, value);
        else
            printf("%s\t%s\n", name, value);
    }
    if (c->output == OUTPUT_JSON)
        json_print(j);
    else
        json_decref(j);
    nodes_free(&n);
    return DONE;
}

/* --- changes -------------------------------------------------------------------------------------------------------
 */

/* handing: the node that is waited for with --wait; NULL: nothing moves. */
static int send_change(struct ctl *c, const char *done, const char *command, const char *handing) {
    char line[512];
    int status = reply_line(c, line, sizeof line, "%s", command);
    if (status) return status;
    if (strncmp(line, "OK", 2) != 0)
        return complain(FAILED, "%s answers \"%.60s\" to `%s`", c->conn.name, line, command);
    const double number = reply_version(line);
    if (handing && c->opt.wait_handed && (status = handing_wait(c, handing, number))) return status;
    if (c->output == OUTPUT_JSON)
        json_print(json_pack("{s:s,s:o}", "done", done, "version", json_number(number)));
    else if (isnan(number))
        printf("%s\n", done);
    else
        printf("%s (version %.0f)\n", done, number);
    return DONE;
}

/* A change of one member: asks whether it exists, says what will happen, asks, and does it. `plan` and `done` are
 * sentences without their subject. */
static int change(struct ctl *c, const char *verb, const char *more, const char *plan, const char *done) {
    struct nodes n;
    struct reply ring;
    char command[1024], what[1024], share[64] = "";
    bool go;
    const char *name = c->args[0];
    int status = nodes_get_cluster(c, &n);
    if (status) return status;
    status = nodes_find(&n, name) ? DONE : NOT_FOUND;
    if (!status) status = reply_list(c, &ring, "cluster ring");
    nodes_free(&n);
    if (status) return status;
    for (const struct reply_row *row = NULL; (row = reply_next(&ring, "NODE", row));) {
        const char *node = reply_text(row, "name");
        if (node && !strcmp(node, name))
            snprintf(share, sizeof share, " (it owns %.1f %% of the keys)", 100 * reply_number(row, "share"));
    }
    reply_free(&ring);
    snprintf(command, sizeof command, "cluster %s %s%s%s", verb, name, more ? " " : "", more ? more : "");
    status = ctl_confirm(c, true, &go, "%s %s%s", name, plan, share);
    if (status || !go) return status;
    snprintf(what, sizeof what, "%s %s", name, done);
    return send_change(c, what, command, name);
}

int verb_members_join(struct ctl *c) {
    char command[1024];
    bool go;
    int status = ctl_confirm(c, false, &go, "the node asked would look for its cluster at %s, too", c->args[0]);
    if (status || !go) return status;
    snprintf(command, sizeof command, "cluster join %s", c->args[0]);
    return send_change(c, "it looks there from now on; `tagctl status` says when it has joined", command, NULL);
}

int verb_members_leave(struct ctl *c) {
    return change(c, "leave", NULL, "leaves the cluster for good", "leaves");
}

int verb_members_drain(struct ctl *c) {
    return change(c, "drain", NULL, "gives its keys to the others and stays a member", "is drained");
}

int verb_members_undrain(struct ctl *c) {
    return change(c, "undrain", NULL, "owns keys again", "owns keys again");
}

int verb_members_forget(struct ctl *c) {
    return change(c, "forget", NULL, "is down for good: its keys go to the others, and nobody waits for it any more",
                  "is forgotten");
}

int verb_members_weight(struct ctl *c) {
    const char *weight = c->args[1];
    char plan[128], done[128], *end;
    unsigned long n = strtoul(weight, &end, 10);
    if (strcmp(weight, "none") != 0 && (!n || n > 1000 || *end || weight[0] < '0' || weight[0] > '9'))
        return complain(USAGE, "a weight is a number from 1 to 1000, or none, not %s", weight);
    snprintf(plan, sizeof plan, "gets the weight %s, and keys move", weight);
    snprintf(done, sizeof done, "has the weight %s", weight);
    return change(c, "weight", weight, plan, done);
}

/* --- what all agree on ---------------------------------------------------------------------------------------------
 */

int verb_cluster_set(struct ctl *c) {
    char command[1024], done[1024];
    bool go;
    int status = ctl_confirm(c, false, &go, "%s would be %s on all nodes", c->args[0], c->args[1]);
    if (status || !go) return status;
    snprintf(command, sizeof command, "cluster set %s %s", c->args[0], c->args[1]);
    snprintf(done, sizeof done, "%s is %s", c->args[0], c->args[1]);
    return send_change(c, done, command, NULL);
}

int verb_cluster_recover(struct ctl *c) {
    struct reply r;
    char command[64];
    bool go;
    int status = reply_list(c, &r, "cluster recover");
    if (status) return status;
    const struct reply_row *base = reply_next(&r, "RECOVER", NULL);
    double version = reply_number(base, "version");
    if (isnan(version)) {
        reply_free(&r);
        return complain(FAILED, "%s does not say from which version it would go on", c->conn.name);
    }
    for (const struct reply_row *row = NULL; (row = reply_next(&r, "DOWN", row));) {
        const char *name = reply_text(row, "name"), *addr = reply_text(row, "addr");
        fprintf(stderr, "must be down for good: %s (%s)\n", name ? name : "-", addr ? addr : "-");
    }
    /* What a node holds was purged without it, perhaps, if a majority could do without it. */
    const char *stored =
        reply_number(base, "voters") < 3 ? "" : ", and all that this node and the others hold is dropped";
    status = ctl_confirm(
        c, true, &go,
        "this node goes on alone from version %.0f; whatever another part of the cluster agreed on since is lost%s",
        version, stored);
    if (!status && go) {
        snprintf(command, sizeof command, "cluster recover %.0f", version);
        status = send_change(c, "recovered", command, NULL);
    }
    reply_free(&r);
    return status;
}
