/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Restarts the nodes of a cluster one after the other: each gives its keys away, is restarted by a command of the
 * operator's, serves again, and gets its keys back, before the next one's turn.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools/tagctl/handing.h"
#include "tools/tagctl/nodes.h"
#include "tools/tagctl/table.h"
#include "tools/tagctl/tagctl.h"
#include "tools/tagctl/verbs.h"

#define PATIENCE_S 300 /* for a node to serve again behind the command, if --timeout is not given */
#define LOOK_NS 200000000L
#define COMMAND_MAX 4096

struct restart {
    struct ctl *c;
    double patience; /* seconds for the new process to serve */
    const char *name;
    double boot;    /* of the process that is to go */
    bool owns_keys; /* else there is nothing to drain: a witness, or drained by somebody before */
};

/* --- the command ---------------------------------------------------------------------------------------------------
 */

/* A name comes from a node and goes to a shell: it must be nothing but a host and a port. */
static bool is_plain(const char *name) {
    return name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:")] == 0;
}

/* The command with {name}, {host} and {port} filled in. False: it gets too long. */
static bool fill_in(const char *command, const char *name, char to[COMMAND_MAX]) {
    const char *colon = strrchr(name, ':');
    size_t host = colon ? (size_t)(colon - name) : strlen(name), n = 0;
    const struct {
        const char *mark, *text;
        size_t length;
    } marks[] = {{"{name}", name, strlen(name)},
                 {"{host}", name, host},
                 {"{port}", colon ? colon + 1 : "11211", colon ? strlen(colon + 1) : 5}};
    while (*command) {
        const char *text = command;
        size_t length = 1, used = 1;
        for (unsigned i = 0; i < sizeof marks / sizeof *marks; i++)
            if (!strncmp(command, marks[i].mark, strlen(marks[i].mark)))
                text = marks[i].text, length = marks[i].length, used = strlen(marks[i].mark);
        if (n + length >= COMMAND_MAX) return false;
        memcpy(to + n, text, length);
        n += length;
        command += used;
    }
    to[n] = 0;
    return true;
}

static int run_command(const struct restart *r, const char *command) {
    char line[COMMAND_MAX];
    if (!fill_in(command, r->name, line)) return complain(USAGE, "the command is too long");
    fflush(stdout);
    int status = system(line);
    if (status == 0) return DONE;
    if (status > 0 && WIFEXITED(status))
        return complain(FAILED, "`%s` ended with status %d", line, WEXITSTATUS(status));
    return complain(FAILED, "`%s` could not be run to its end", line);
}

/* --- waiting -------------------------------------------------------------------------------------------------------
 */

/* Looks at the cluster until it is as `holds` says. The node that tagctl speaks to may be the one that is restarted:
 * whatever fails meanwhile is tried again, and said only when the time is over. */
static int await(const struct restart *r, const char *what, bool (*holds)(const struct restart *, struct nodes *)) {
    struct ctl *c = r->c;
    double end = conn_seconds() + r->patience;
    struct timespec pause = {.tv_nsec = LOOK_NS};
    for (;;) {
        struct nodes n;
        bool last = conn_seconds() > end, is_so = false;
        say_nothing(!last);
        int status = ctl_connect(c);
        if (!status) status = nodes_get_cluster(c, &n);
        if (!status) {
            is_so = holds(r, &n);
            nodes_free(&n);
        }
        say_nothing(false);
        if (is_so) return DONE;
        if (last) return complain(FAILED, "%s: not within the time: %s", r->name, what);
        if (status) {
            conn_close(&c->conn);
            c->conn = (struct conn){.fd = -1};
        }
        nanosleep(&pause, NULL);
    }
}

static const struct reply_row *row_of(const struct restart *r, const struct nodes *n) {
    for (unsigned i = 0; i < n->n; i++)
        if (n->rows[i] && !strcmp(n->names[i], r->name)) return n->rows[i];
    return NULL;
}

static bool all_is_well(const struct restart *r, struct nodes *n) {
    const char *verdict = reply_text(n->self, "verdict");
    (void)r;
    return verdict && !strcmp(verdict, "ok");
}

/* Whether a new process of this name belongs to the cluster, and all is well, as the node asked and the new one see
 * it. (A node that sees itself well holds its leases.) */
static bool is_back(const struct restart *r, struct nodes *n) {
    const struct reply_row *row = row_of(r, n);
    bool well = false;
    if (!row || !(reply_number(row, "boot") > r->boot) || nodes_is_gone(row) || !all_is_well(r, n)) return false;
    struct reply *answers = calloc(n->n + 1, sizeof *answers);
    if (!answers || nodes_ask(r->c, n, "cluster status", answers)) {
        free(answers);
        return false;
    }
    for (unsigned i = 0; i < n->n; i++) {
        const char *verdict = reply_text(reply_next(&answers[i], "STATUS", NULL), "verdict");
        if (n->rows[i] == row) well = verdict && !strcmp(verdict, "ok");
        reply_free(&answers[i]);
    }
    free(answers);
    return well;
}

/* Changes whether the node owns keys, and waits until their items have moved. */
static int change_ring(const struct restart *r, const char *verb) {
    char line[512];
    int status = reply_line(r->c, line, sizeof line, "cluster %s %s", verb, r->name);
    if (status) return status;
    return handing_wait(r->c, r->name, reply_version(line));
}

/* --- one node after the other --------------------------------------------------------------------------------------
 */

/* What is known of the node now. */
static int look_up(struct restart *r) {
    struct nodes n;
    int status = nodes_get_cluster(r->c, &n);
    if (status) return status;
    const struct reply_row *row = nodes_find(&n, r->name);
    const char *state = row ? reply_text(row, "state") : NULL;
    if (!row)
        status = NOT_FOUND;
    else if (!all_is_well(r, &n))
        status = complain(FAILED, "not all is well: `tagctl status` says what is wrong; %s was not restarted", r->name);
    else
        r->boot = reply_number(row, "boot");
    r->owns_keys = state && !strcmp(state, "serving") && reply_number(row, "weight") > 0;
    nodes_free(&n);
    return status;
}

static int restart_one(struct restart *r, const char *command) {
    double begun = conn_seconds();
    int status = look_up(r);
    if (status) return status;
    bool drain = r->owns_keys && !r->c->opt.keep;
    if (drain) status = change_ring(r, "drain");
    if (!status) status = run_command(r, command);
    if (!status) status = await(r, "a new process serves, and all is well", is_back);
    if (!status && drain) status = change_ring(r, "undrain");
    if (status && drain)
        say("%s may own no keys now; `tagctl members undrain %s` gives it keys again", r->name, r->name);
    if (!status && r->c->output != OUTPUT_JSON) {
        printf("%s restarted in %.1f s\n", r->name, conn_seconds() - begun);
        fflush(stdout);
    }
    return status;
}

static bool add_name(struct text_list *names, const char *name) {
    const char *copy = strdup(name);
    if (copy) names->v[names->n++] = copy;
    return copy != NULL;
}

static void free_names(struct text_list *names) {
    for (unsigned i = 0; i < names->n; i++) free((char *)names->v[i]);
    free(names->v);
}

/* The names that were given, or those of all members, the node that is asked last. False: no memory. */
static bool list_names(const struct ctl *c, const struct nodes *n, struct text_list *names) {
    const char *self = reply_text(n->self, "node"), *last = NULL;
    const unsigned given = c->nargs - 1, room = given > n->n ? given : n->n;
    *names = (struct text_list){.v = calloc(room + 1, sizeof *names->v)};
    bool good = names->v != NULL;
    for (unsigned i = 0; good && i < given; i++) good = add_name(names, c->args[i + 1]);
    for (unsigned i = 0; good && !given && i < n->n; i++) {
        if (nodes_is_gone(n->rows[i])) continue;
        if (self && !strcmp(self, n->names[i]))
            last = self;
        else
            good = add_name(names, n->names[i]);
    }
    return good && (!last || add_name(names, last));
}

/* Asks whether to go on, with all names in the question. */
static int confirm(struct ctl *c, const struct text_list *names, bool *go) {
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f) return complain(FAILED, "no memory");
    for (unsigned i = 0; i < names->n; i++) fprintf(f, "%s%s", i ? ", " : "", names->v[i]);
    fclose(f);
    int status = ctl_confirm(c, true, go,
                             c->opt.keep ? "%s%s is restarted by `%s`, and comes back empty"
                                         : "%s%s gives its keys away, is restarted by `%s`, and gets them back",
                             text, names->n > 1 ? ": one after the other" : "", c->args[0]);
    free(text);
    return status;
}

static int restart_all(struct ctl *c, const struct text_list *names, double patience) {
    json_t *done = json_array();
    int status = DONE;
    for (unsigned i = 0; i < names->n && !status; i++) {
        struct restart r = {.c = c, .patience = patience, .name = names->v[i]};
        status = restart_one(&r, c->args[0]);
        if (!status) json_array_append_new(done, json_text(names->v[i]));
    }
    if (c->output == OUTPUT_JSON)
        json_print(json_pack("{s:o}", "restarted", done));
    else
        json_decref(done);
    return status;
}

int verb_members_restart(struct ctl *c) {
    struct nodes n;
    struct text_list names;
    bool go = false;
    double patience = c->opt.timeout < 0 ? PATIENCE_S : c->opt.timeout;
    if (patience > NODES_RELAY_S) c->opt.timeout = -1; /* that is for the new process: an answer has the usual time */
    int status = nodes_get_cluster(c, &n);
    if (status) return status;
    if (!list_names(c, &n, &names)) status = complain(FAILED, "no memory");
    nodes_free(&n);
    for (unsigned i = 0; i < names.n && !status; i++)
        if (!is_plain(names.v[i])) status = complain(FAILED, "the name %s cannot be given to a shell", names.v[i]);
    if (!status) status = confirm(c, &names, &go);
    if (!status && go) status = restart_all(c, &names, patience);
    free_names(&names);
    return status;
}
