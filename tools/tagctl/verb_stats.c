/* SPDX-License-Identifier: BSD-3-Clause */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tagctl/nodes.h"
#include "tools/tagctl/table.h"
#include "tools/tagctl/tagctl.h"
#include "tools/tagctl/verbs.h"

/* A value as JSON: a number if it is one. */
static json_t *value_json(const struct reply_row *row) {
    const char *value = row->fields[1].value;
    double x = reply_number(row, "value");
    return isnan(x) || strspn(value, "0123456789.-") != strlen(value) ? json_text(value) : json_number(x);
}

static void print_stats(const struct ctl *c, const struct reply *r, const char *node, json_t *j) {
    for (const struct reply_row *row = NULL; (row = reply_next(r, "STAT", row));) {
        const char *name = row->fields[0].value, *value = row->fields[1].value;
        if (j)
            json_object_set_new(j, name, value_json(row));
        else if (c->output == OUTPUT_TABLE && node)
            printf("%-24s %-32s %s\n", node, name, value);
        else if (c->output == OUTPUT_TABLE)
            printf("%-32s %s\n", name, value);
        else
            printf("%s%s%s\t%s\n", node ? node : "", node ? "\t" : "", name, value);
    }
}

static int all_nodes(struct ctl *c, const char *command) {
    struct nodes n;
    unsigned bad = 0;
    int status = nodes_get(c, &n);
    if (status) return status;
    struct reply *answers = calloc(n.n + 1, sizeof *answers);
    json_t *all = c->output == OUTPUT_JSON ? json_object() : NULL;
    status = answers ? nodes_ask(c, &n, command, answers) : complain(FAILED, "no memory");
    for (unsigned i = 0; i < n.n && !status; i++) {
        json_t *j = all ? json_object() : NULL;
        if (answers[i].refusal) complain(FAILED, "%s: %s", n.names[i], nodes_sentence(answers[i].refusal));
        bad += answers[i].refusal != NULL;
        print_stats(c, &answers[i], n.names[i], j);
        if (j) json_object_set_new(all, n.names[i], answers[i].refusal ? json_null() : json_incref(j));
        json_decref(j);
        reply_free(&answers[i]);
    }
    free(answers);
    nodes_free(&n);
    if (all && !status) json_print(json_incref(all));
    json_decref(all);
    return status ? status : bad ? FAILED : DONE;
}

static int one_node(struct ctl *c, const char *command, struct reply *answer) {
    struct nodes n;
    int status = nodes_get_cluster(c, &n);
    if (status) return status;
    const struct reply_row *row = nodes_find(&n, c->opt.node);
    if (row) {
        n.n = 1;
        n.rows[0] = row;
        n.names[0] = c->opt.node;
        status = nodes_ask(c, &n, command, answer);
    } else {
        status = NOT_FOUND;
    }
    if (!status && answer->refusal) {
        status = complain(FAILED, "%s: %s", c->opt.node, nodes_sentence(answer->refusal));
        reply_free(answer);
    }
    nodes_free(&n);
    return status;
}

int verb_stats(struct ctl *c) {
    char command[512];
    struct reply r;
    if (c->opt.all && c->opt.node) return complain(USAGE, "either --all or --node");
    snprintf(command, sizeof command, "stats%s%.400s", c->nargs ? " " : "", c->nargs ? c->args[0] : "");
    if (c->opt.all) return all_nodes(c, command);
    int status = c->opt.node ? one_node(c, command, &r) : reply_list(c, &r, "%s", command);
    if (status) return status;
    json_t *j = c->output == OUTPUT_JSON ? json_object() : NULL;
    print_stats(c, &r, NULL, j);
    if (j) json_print(j);
    reply_free(&r);
    return DONE;
}

int verb_version(struct ctl *c) {
    char line[512];
    int status = reply_line(c, line, sizeof line, "version");
    const char *server = !status && !strncmp(line, "VERSION ", 8) ? line + 8 : NULL;
    if (c->output == OUTPUT_JSON)
        json_print(json_pack("{s:s,s:o}", "tagctl", PACKAGE_VERSION, "node", json_text(server)));
    else if (c->output == OUTPUT_PLAIN)
        printf("tagctl\t" PACKAGE_VERSION "\nnode\t%s\n", server ? server : "-");
    else
        printf("tagctl " PACKAGE_VERSION ", %s speaks memcached's protocol as of %s\n",
               c->conn.name[0] ? c->conn.name : "no node", server ? server : "-");
    return status;
}
