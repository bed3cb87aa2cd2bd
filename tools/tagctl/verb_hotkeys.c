/* SPDX-License-Identifier: BSD-3-Clause */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tagctl/nodes.h"
#include "tools/tagctl/table.h"
#include "tools/tagctl/tagctl.h"
#include "tools/tagctl/verbs.h"

#define SHOWN 20    /* rows on a terminal; others get all */
#define KEY_MAX 752 /* of 250 bytes, each as %XX */

static const struct table_column columns[] = {
    {"KEY", "key", TABLE_TEXT},      {"OWNER", "owner", TABLE_TEXT},          {"SERVED/S", "served_per_s", TABLE_COUNT},
    {"OF IT", "share", TABLE_SHARE}, {"ASKED/S", "asked_per_s", TABLE_COUNT}, {"COPIES", "copies", TABLE_NUMBER},
};

/* A key as all nodes have counted it. */
struct key {
    char *name;
    const char *owner;    /* the node that serves it most */
    double served, share; /* its gets a second there, and their part of all that the node serves or passes on */
    double asked;         /* gets a second that came to other nodes */
    double copies;
};

struct list {
    struct key *keys;
    unsigned n;
};

/* One line: `key=K served=N asked=N share=N holders=N`. False: it is something else. */
static bool read_line(const char *value, char name[KEY_MAX], struct key *k) {
    return sscanf(value, "key=%751s served=%lf asked=%lf share=%lf holders=%lf", name, &k->served, &k->asked, &k->share,
                  &k->copies) == 5;
}

static struct key *find(struct list *l, const char *name) {
    for (unsigned i = 0; i < l->n; i++)
        if (!strcmp(l->keys[i].name, name)) return &l->keys[i];
    struct key *grown = realloc(l->keys, (l->n + 1) * sizeof *grown);
    char *copy = strdup(name);
    if (grown) l->keys = grown;
    if (!grown || !copy) {
        free(copy);
        return NULL;
    }
    l->keys[l->n] = (struct key){.name = copy};
    return &l->keys[l->n++];
}

static int add(struct list *l, const struct reply *answer, const char *node) {
    char name[KEY_MAX];
    struct key one;
    for (const struct reply_row *row = NULL; (row = reply_next(answer, "STAT", row));) {
        if (!read_line(row->fields[1].value, name, &one)) continue;
        struct key *k = find(l, name);
        if (!k) return complain(FAILED, "no memory");
        k->asked += one.asked;
        if (k->owner && one.served <= k->served) continue;
        k->owner = one.served > 0 ? node : NULL;
        k->served = one.served;
        k->share = one.share / 100;
        k->copies = one.copies;
    }
    return DONE;
}

static int by_rate(const void *a, const void *b) {
    const struct key *x = a, *y = b;
    const double m = x->served + x->asked, n = y->served + y->asked;
    return m != n ? (m < n ? 1 : -1) : strcmp(x->name, y->name);
}

static void print(const struct ctl *c, struct list *l) {
    struct table t;
    if (l->n) qsort(l->keys, l->n, sizeof *l->keys, by_rate);
    table_init(&t, columns, sizeof columns / sizeof *columns);
    for (unsigned i = 0; i < l->n && (i < SHOWN || c->output != OUTPUT_TABLE); i++) {
        const struct key *k = &l->keys[i];
        table_text(&t, k->name);
        table_text(&t, k->owner);
        table_number(&t, k->served);
        table_number(&t, k->owner ? k->share : NAN);
        table_number(&t, k->asked);
        table_number(&t, k->copies);
    }
    if (c->output == OUTPUT_JSON)
        json_print(json_pack("{s:o}", "keys", table_json(&t)));
    else
        table_print(&t, c);
    table_free(&t);
}

int verb_hotkeys(struct ctl *c) {
    struct nodes n;
    struct list l = {NULL, 0};
    unsigned bad = 0;
    int status = nodes_get(c, &n);
    if (status) return status;
    struct reply *answers = calloc(n.n + 1, sizeof *answers);
    status = answers ? nodes_ask(c, &n, "stats hotkeys", answers) : complain(FAILED, "no memory");
    for (unsigned i = 0; answers && i < n.n; i++) {
        if (!status && answers[i].refusal) complain(FAILED, "%s: %s", n.names[i], nodes_sentence(answers[i].refusal));
        bad += answers[i].refusal != NULL;
        if (!status) status = add(&l, &answers[i], n.names[i]);
    }
    if (!status) print(c, &l);
    for (unsigned i = 0; answers && i < n.n; i++) reply_free(&answers[i]);
    for (unsigned i = 0; i < l.n; i++) free(l.keys[i].name);
    free(l.keys);
    free(answers);
    nodes_free(&n);
    return status ? status : bad ? FAILED : DONE;
}
