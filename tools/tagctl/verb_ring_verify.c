/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/ringdiff.h"
#include "tools/tagctl/nodes.h"
#include "tools/tagctl/rings.h"
#include "tools/tagctl/table.h"
#include "tools/tagctl/tagctl.h"
#include "tools/tagctl/verbs.h"

static const struct table_column columns[] = {{"NODE", "name", TABLE_TEXT},
                                              {"RING", "ring", TABLE_TEXT},
                                              {"VERSION", "version", TABLE_NUMBER},
                                              {"SAME", "same", TABLE_YESNO}};

/* --- all nodes against each other ----------------------------------------------------------------------------------
 */

static int compare_nodes(struct ctl *c, const struct nodes *n, struct reply *answers, const char *digest) {
    struct table t;
    unsigned same = 0;
    table_init(&t, columns, sizeof columns / sizeof *columns);
    for (unsigned i = 0; i < n->n; i++) {
        const struct reply_row *row = reply_next(&answers[i], "RING", NULL);
        const char *theirs = reply_text(row, "digest");
        bool is = theirs && !strcmp(theirs, digest);
        same += is;
        table_text(&t, n->names[i]);
        table_text(&t, reply_text(row, "id"));
        table_number(&t, reply_number(row, "version"));
        table_text(&t, is ? "yes" : "no");
        if (answers[i].refusal) complain(FAILED, "%s: %s", n->names[i], nodes_sentence(answers[i].refusal));
    }
    if (c->output == OUTPUT_JSON) {
        json_print(json_pack("{s:b,s:s,s:o}", "same", same == n->n, "digest", digest, "nodes", table_json(&t)));
    } else {
        if (c->output == OUTPUT_TABLE) printf("ring %.6s on %u/%u\n", digest, same, n->n);
        table_print(&t, c);
    }
    table_free(&t);
    return same == n->n ? DONE : FAILED;
}

static int verify_nodes(struct ctl *c, const struct ring *r) {
    struct nodes n;
    char digest[32];
    int status = nodes_get_cluster(c, &n);
    if (status) return status;
    struct reply *answers = calloc(n.n + 1, sizeof *answers);
    snprintf(digest, sizeof digest, "%016" PRIx64, ring_digest(r));
    status = answers ? nodes_ask(c, &n, "cluster ring", answers) : complain(FAILED, "no memory");
    if (!status) {
        status = compare_nodes(c, &n, answers, digest);
        for (unsigned i = 0; i < n.n; i++) reply_free(&answers[i]);
    }
    free(answers);
    nodes_free(&n);
    return status;
}

/* --- a client's list against the cluster ---------------------------------------------------------------------------
 */

struct list_check {
    const struct ring *ours, *theirs; /* the cluster's, and the list's */
    const struct ring_list *our_list, *their_list;
    json_t *missing, *unknown, *weights;
    uint64_t keys, differ;
};

static void say_name(json_t *to, const struct ring *r, unsigned i) {
    json_array_append_new(to, json_text(rings_name(r, i)));
}

/* Names of one that the other lacks; and, unless all weights are in proportion, weights that differ. */
static void compare_lists(struct list_check *k) {
    bool proportional = true;
    double first = NAN;
    for (unsigned i = 0; i < ring_nmembers(k->ours); i++) {
        unsigned j = ring_find(k->theirs, &ring_member(k->ours, i)->id);
        json_int_t ours = ring_member(k->ours, i)->weight,
                   theirs = j == RING_NONE ? 0 : ring_member(k->theirs, j)->weight;
        if (j == RING_NONE) {
            say_name(k->missing, k->ours, i);
            continue;
        }
        if (isnan(first)) first = (double)theirs / (double)ours;
        proportional = proportional && (double)theirs / (double)ours == first;
        if (ours != theirs)
            json_array_append_new(k->weights, json_pack("{s:s,s:I,s:I}", "name", rings_name(k->ours, i), "cluster",
                                                        ours, "list", theirs));
    }
    if (proportional) json_array_clear(k->weights);
    for (unsigned j = 0; j < ring_nmembers(k->theirs); j++)
        if (ring_find(k->ours, &ring_member(k->theirs, j)->id) == RING_NONE) say_name(k->unknown, k->theirs, j);
}

static void count_key(struct list_check *k, const char *key) {
    unsigned a = rings_owner(k->ours, k->our_list, key), b = rings_owner(k->theirs, k->their_list, key);
    k->keys++;
    k->differ += !cluster_id_equal(&ring_member(k->ours, a)->id, &ring_member(k->theirs, b)->id);
}

static int share_that_differs(struct ctl *c, struct list_check *k, double *share) {
    struct ringdiff *d;
    char *line = NULL;
    size_t room = 0;
    if (!c->opt.from_stdin) {
        if (ringdiff_new(k->ours, k->theirs, &d)) return complain(FAILED, "no memory");
        *share = (double)d->moved / (double)RING_CIRCLE;
        ringdiff_free(d);
        return DONE;
    }
    while (getline(&line, &room, stdin) >= 0) {
        line[strcspn(line, "\r\n")] = 0;
        if (line[0]) count_key(k, line);
    }
    free(line);
    *share = k->keys ? (double)k->differ / (double)k->keys : 0;
    return DONE;
}

static void print_names(const char *what, const json_t *names) {
    for (size_t i = 0; i < json_array_size(names); i++)
        printf("%s\t%s\n", what, json_string_value(json_array_get(names, i)));
}

static int print_list_check(const struct ctl *c, struct list_check *k, double share) {
    bool same = share == 0 && !json_array_size(k->missing) && !json_array_size(k->unknown);
    if (c->output == OUTPUT_JSON) {
        json_t *j = json_pack("{s:b,s:O,s:O,s:O,s:o}", "same", same, "not_in_list", k->missing, "not_in_cluster",
                              k->unknown, "weights", k->weights, "keys_that_differ", json_number(share));
        json_print(j);
    } else {
        print_names("not in the list", k->missing);
        print_names("not in the cluster", k->unknown);
        for (size_t i = 0; i < json_array_size(k->weights); i++) {
            json_t *w = json_array_get(k->weights, i);
            printf("other weight\t%s\tcluster %" JSON_INTEGER_FORMAT ", list %" JSON_INTEGER_FORMAT "\n",
                   json_string_value(json_object_get(w, "name")), json_integer_value(json_object_get(w, "cluster")),
                   json_integer_value(json_object_get(w, "list")));
        }
        if (same)
            printf("the list matches the ring: every key goes to its owner\n");
        else
            printf("%.1f %% of the keys have another owner than the list says; those requests are passed on\n",
                   100 * share);
    }
    return same ? DONE : FAILED;
}

static int verify_list(struct ctl *c, const struct ring *ours, const struct ring_list *our_list) {
    static struct ring_list l;
    struct ring *theirs;
    double share = 0;
    int status = rings_read_servers(c->opt.servers, &l);
    if (!status) status = rings_make(&l, &theirs);
    if (status) return status;
    struct list_check k = {.ours = ours,
                           .theirs = theirs,
                           .our_list = our_list,
                           .their_list = &l,
                           .missing = json_array(),
                           .unknown = json_array(),
                           .weights = json_array()};
    compare_lists(&k);
    status = share_that_differs(c, &k, &share);
    if (!status) status = print_list_check(c, &k, share);
    json_decref(k.missing);
    json_decref(k.unknown);
    json_decref(k.weights);
    ring_free(theirs);
    return status;
}

int verb_ring_verify(struct ctl *c) {
    static struct ring_list l;
    struct reply answer;
    struct ring *r;
    if (c->opt.from_stdin && !c->opt.servers)
        return complain(USAGE, "--stdin is for --servers: keys whose owners are compared");
    int status = rings_ask(c, &l, &answer);
    if (status) return status;
    status = rings_make_same(c, &l, &answer, &r);
    reply_free(&answer);
    if (status) return status;
    status = c->opt.servers ? verify_list(c, r, &l) : verify_nodes(c, r);
    ring_free(r);
    return status;
}
