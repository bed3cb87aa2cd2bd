/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include <sys/random.h>

#include "cluster/keyring.h"
#include "tools/tagctl/reply.h"
#include "tools/tagctl/table.h"
#include "tools/tagctl/tagctl.h"
#include "tools/tagctl/verbs.h"

static const struct table_column columns[] = {{"ID", "id", TABLE_TEXT},
                                              {"USE", "use", TABLE_TEXT},
                                              {"NODES", "nodes", TABLE_NUMBER},
                                              {"OF", "of", TABLE_NUMBER},
                                              {"MISSING", "missing", TABLE_TEXT}};

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

static void print_keys(const struct ctl *c, const struct reply *r) {
    struct table t;
    table_init(&t, columns, sizeof columns / sizeof *columns);
    for (const struct reply_row *row = NULL; (row = reply_next(r, "KEY", row));) {
        table_text(&t, reply_text(row, "id"));
        table_text(&t, reply_text(row, "use"));
        table_number(&t, reply_number(row, "nodes"));
        table_number(&t, reply_number(row, "of"));
        table_text(&t, reply_text(row, "missing"));
    }
    if (c->output == OUTPUT_JSON)
        json_print(json_pack("{s:o}", "keys", table_json(&t)));
    else
        table_print(&t, c);
    table_free(&t);
}

int verb_keyring_ls(struct ctl *c) {
    struct reply r;
    int status = reply_list(c, &r, "cluster key ls");
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
    status = reply_list(c, &r, "cluster key reload");
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

static int change(struct ctl *c, const char *verb, const char *done, const char *next) {
    char line[512];
    int status = reply_line(c, line, sizeof line, "cluster key %s %s", verb, c->args[0]);
    if (status) return status;
    if (c->output == OUTPUT_JSON)
        json_print(json_pack("{s:s,s:s}", "key", c->args[0], "done", done));
    else if (c->output == OUTPUT_PLAIN)
        printf("%s\t%s\n", c->args[0], done);
    else
        printf("%s %s%s\n", c->args[0], done, next);
    return DONE;
}

int verb_keyring_use(struct ctl *c) {
    bool go;
    int status = check_id(c->args[0]);
    if (!status) status = ctl_confirm(c, false, &go, "all nodes would seal with %s", c->args[0]);
    if (status || !go) return status;
    return change(c, "use", "in use", "; the others are still accepted: `tagctl keyring remove ID` ends that");
}

int verb_keyring_remove(struct ctl *c) {
    bool go;
    int status = check_id(c->args[0]);
    if (!status)
        status =
            ctl_confirm(c, true, &go, "no node accepts %s any more; one that has no other key is cut off", c->args[0]);
    if (status || !go) return status;
    return change(c, "remove", "removed", "; take it out of the key files, too");
}
