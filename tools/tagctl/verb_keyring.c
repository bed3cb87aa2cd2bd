/* SPDX-License-Identifier: BSD-3-Clause */
#include <math.h>
#include <string.h>
#include <sys/random.h>

#include "cluster/keyring.h"
#include "tools/tagctl/nodes.h"
#include "tools/tagctl/reply.h"
#include "tools/tagctl/table.h"
#include "tools/tagctl/tagctl.h"
#include "tools/tagctl/verbs.h"

static const struct table_column columns[] = {
    {"ID", "id", TABLE_TEXT},   {"USE", "use", TABLE_TEXT},           {"NODES", "nodes", TABLE_NUMBER},
    {"OF", "of", TABLE_NUMBER}, {"SEALING", "sealing", TABLE_NUMBER}, {"MISSING", "missing", TABLE_TEXT}};

int verb_keyring_generate(struct ctl *c) {
    uint8_t random[KEYRING_KEY_BYTES];
    char line[KEYRING_LINE_BYTES + 1], id[KEYRING_ID_TEXT], why[256];
    struct keyring k;
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return complain(FAILED, "this machine has no random numbers");
    keyring_generate(random, line);
    if (!keyring_read(&k, line, strlen(line), why, sizeof why)) return complain(FAILED, "%s", why);
    keyring_id_text(&k.keys[0], id);
    if (c->output == OUTPUT_JSON)
        json_print(json_pack("{s:s,s:s}", "id", id, "key", line));
    else
        printf("# %s\n%s\n", id, line);
    return DONE;
}

/* What the nodes say besides; a new reference. */
static json_t *notes(const struct reply *r) {
    json_t *j = json_array();
    for (const struct reply_row *row = NULL; (row = reply_next(r, "NOTE", row));)
        json_array_append_new(j, json_text(reply_text(row, "text")));
    return j;
}

static void print_notes(const struct ctl *c, const struct reply *r) {
    for (const struct reply_row *row = NULL; (row = reply_next(r, "NOTE", row));) {
        const char *text = reply_text(row, "text") ? reply_text(row, "text") : "-";
        if (c->output == OUTPUT_TABLE)
            printf("! %s\n", text);
        else if (c->output == OUTPUT_PLAIN)
            complain(DONE, "%s", text);
    }
}

static void print_keys(const struct ctl *c, const struct reply *r) {
    struct table t;
    table_init(&t, columns, sizeof columns / sizeof *columns);
    for (const struct reply_row *row = NULL; (row = reply_next(r, "KEY", row));) {
        table_text(&t, reply_text(row, "id"));
        table_text(&t, reply_text(row, "use"));
        table_number(&t, reply_number(row, "nodes"));
        table_number(&t, reply_number(row, "of"));
        table_number(&t, reply_number(row, "sealing"));
        table_text(&t, reply_text(row, "missing"));
    }
    if (c->output == OUTPUT_JSON)
        json_print(json_pack("{s:o,s:o}", "keys", table_json(&t), "notes", notes(r)));
    else
        table_print(&t, c);
    print_notes(c, r);
    table_free(&t);
}

/* Asks for a list of keys, which all nodes are asked for. */
static int get(struct ctl *c, struct reply *r, const char *verb, const char *id) {
    if (c->opt.timeout < 0) c->opt.timeout = NODES_RELAY_S;
    return reply_list(c, r, "cluster key %s%s%s", verb, id ? " " : "", id ? id : "");
}

int verb_keyring_ls(struct ctl *c) {
    struct reply r;
    int status = get(c, &r, "ls", NULL);
    if (status) return status;
    print_keys(c, &r);
    reply_free(&r);
    return DONE;
}

static int check_id(const char *id) {
    if (strlen(id) == KEYRING_ID_TEXT - 1 && strspn(id, "0123456789abcdef") == KEYRING_ID_TEXT - 1) return DONE;
    return complain(USAGE, "%.100s is no key's id: those have %d hexadecimal digits, as `tagctl keyring ls` shows them",
                    id, KEYRING_ID_TEXT - 1);
}

int verb_keyring_add(struct ctl *c) {
    const char *id = c->nargs ? c->args[0] : NULL;
    struct reply r;
    bool go, found = false;
    int status = id ? check_id(id) : DONE;
    if (!status) status = ctl_confirm(c, false, &go, "every node would read its key file again");
    if (status || !go) return status;
    status = get(c, &r, "reload", NULL);
    if (status) return status;
    print_keys(c, &r);
    for (const struct reply_row *row = NULL; (row = reply_next(&r, "KEY", row));) {
        const char *missing = reply_text(row, "missing"), *this = reply_text(row, "id");
        bool asked = !id || (this && !strcmp(this, id));
        found |= asked;
        if (asked && missing)
            status = complain(FAILED, "%s lacks the key %s: copy the key file there", missing, this ? this : "-");
    }
    reply_free(&r);
    return status || found ? status : complain(NOT_FOUND, "no node has the key %s", id ? id : "");
}

static const struct reply_row *key_row(const struct reply *r, const char *id) {
    const struct reply_row *row = NULL;
    while ((row = reply_next(r, "KEY", row)) && (!reply_text(row, "id") || strcmp(reply_text(row, "id"), id) != 0)) {}
    return row;
}

/* Says what was done, on how many nodes, and what is left to do. */
static void print_change(const struct ctl *c, const struct reply *r, const char *done, const char *next, double nodes,
                         double of) {
    if (c->output == OUTPUT_JSON)
        json_print(json_pack("{s:s,s:s,s:o,s:o,s:o}", "key", c->args[0], "done", done, "nodes", json_number(nodes),
                             "of", json_number(of), "notes", notes(r)));
    else if (c->output == OUTPUT_PLAIN)
        printf("%s\t%s\t%.0f\t%.0f\n", c->args[0], done, nodes, of);
    else
        printf("%s %s on %.0f/%.0f nodes%s\n", c->args[0], done, nodes, of, next);
    print_notes(c, r);
}

int verb_keyring_use(struct ctl *c) {
    bool go;
    struct reply r;
    int status = check_id(c->args[0]);
    if (!status) status = ctl_confirm(c, false, &go, "all nodes would seal with %s", c->args[0]);
    if (status || !go) return status;
    status = get(c, &r, "use", c->args[0]);
    if (status) return status;
    const struct reply_row *row = key_row(&r, c->args[0]);
    const double sealing = reply_number(row, "sealing"), of = reply_number(row, "of");
    const bool all = sealing > 0 && sealing == of;
    print_change(c, &r, "in use", "; the others are still accepted: `tagctl keyring remove ID` ends that",
                 isnan(sealing) ? 0 : sealing, of);
    reply_free(&r);
    return all ? DONE : complain(FAILED, "not all nodes seal with %s: try again", c->args[0]);
}

int verb_keyring_remove(struct ctl *c) {
    bool go;
    struct reply r;
    int status = check_id(c->args[0]);
    if (!status) status = ctl_confirm(c, true, &go, "no node accepts %s any more", c->args[0]);
    if (status || !go) return status;
    status = get(c, &r, "remove", c->args[0]);
    if (status) return status;
    const struct reply_row *row = key_row(&r, c->args[0]), *any = reply_next(&r, "KEY", NULL);
    const double left = row ? reply_number(row, "nodes") : 0, of = reply_number(any, "of");
    print_change(c, &r, "removed", "; take it out of the key files, too", of - left, of);
    reply_free(&r);
    return left > 0 ? complain(FAILED, "not all nodes have removed %s: try again", c->args[0]) : DONE;
}
