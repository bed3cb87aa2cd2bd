/* SPDX-License-Identifier: BSD-3-Clause */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/ringdiff.h"
#include "tools/tagctl/nodes.h"
#include "tools/tagctl/rings.h"
#include "tools/tagctl/table.h"
#include "tools/tagctl/tagctl.h"
#include "tools/tagctl/verbs.h"

static double share_of(const struct ring *r, unsigned i) {
    return (double)ring_share(r, i) / (double)RING_CIRCLE;
}

static const char *id_of(const struct ring *r) {
    static char id[RING_ID_TEXT];
    ring_id_text(r, id);
    return id;
}

/* --- show ----------------------------------------------------------------------------------------------------------
 */

static void show(const struct ctl *c, const struct ring *r, const struct reply *answer) {
    static const struct table_column columns[] = {{"NODE", "name", TABLE_TEXT},
                                                  {"WEIGHT", "weight", TABLE_NUMBER},
                                                  {"POINTS", "points", TABLE_NUMBER},
                                                  {"OWNS", "owns", TABLE_SHARE}};
    struct table t;
    double version = reply_number(reply_next(answer, "RING", NULL), "version");
    table_init(&t, columns, sizeof columns / sizeof *columns);
    for (unsigned i = 0; i < ring_nmembers(r); i++) {
        table_text(&t, rings_name(r, i));
        table_number(&t, ring_member(r, i)->weight);
        table_number(&t, ring_points_of(r, i));
        table_number(&t, share_of(r, i));
    }
    if (c->output == OUTPUT_JSON) {
        json_print(json_pack("{s:s,s:o,s:i,s:o}", "id", id_of(r), "version", json_number(version), "points",
                             (int)ring_points(r), "nodes", table_json(&t)));
    } else {
        if (c->output == OUTPUT_TABLE) {
            printf("ring %s", id_of(r));
            if (!isnan(version)) printf("  version %.0f", version);
            printf("  %u nodes  %u points\n", ring_nmembers(r), ring_points(r));
        }
        table_print(&t, c);
    }
    table_free(&t);
}

int verb_ring_show(struct ctl *c) {
    static struct ring_list l;
    struct reply answer;
    struct ring *r;
    int status = rings_get(c, &l, &answer);
    if (!status) status = rings_make_same(c, &l, &answer, &r);
    if (!status) {
        show(c, r, &answer);
        ring_free(r);
    }
    reply_free(&answer);
    return status;
}

/* --- locate --------------------------------------------------------------------------------------------------------
 */

typedef int key_fn(struct ctl *c, const char *key, void *arg);

/* Calls fn for each key: the words, or the lines of standard input. */
static int each_key(struct ctl *c, key_fn *fn, void *arg) {
    char *line = NULL;
    size_t room = 0;
    int status = DONE;
    for (unsigned i = 0; i < c->nargs && !status; i++) status = fn(c, c->args[i], arg);
    while (c->opt.from_stdin && !status && getline(&line, &room, stdin) >= 0) {
        line[strcspn(line, "\r\n")] = 0;
        if (line[0]) status = fn(c, line, arg);
    }
    free(line);
    return status;
}

struct locating {
    const struct ring *ring;
    const struct ring_list *list;
    json_t *keys;
};

static int locate(struct ctl *c, const char *key, void *arg) {
    struct locating *l = arg;
    const char *owner = rings_name(l->ring, rings_owner(l->ring, l->list, key));
    if (c->output == OUTPUT_JSON)
        json_array_append_new(l->keys, json_pack("{s:o,s:s}", "key", json_text(key), "owner", owner));
    else
        printf("%s\t%s\n", key, owner);
    return DONE;
}

int verb_ring_locate(struct ctl *c) {
    static struct ring_list l;
    struct reply answer;
    struct ring *r;
    if ((c->nargs == 0) != c->opt.from_stdin)
        return complain(USAGE, "name keys, or give them on standard input with --stdin");
    int status = rings_get(c, &l, &answer);
    if (!status) status = rings_make_same(c, &l, &answer, &r);
    if (!status) {
        struct locating locating = {r, &l, c->output == OUTPUT_JSON ? json_array() : NULL};
        status = each_key(c, locate, &locating);
        if (locating.keys) json_print(json_pack("{s:s,s:o}", "ring", id_of(r), "keys", locating.keys));
        ring_free(r);
    }
    reply_free(&answer);
    return status;
}

/* --- plan ----------------------------------------------------------------------------------------------------------
 */

static unsigned find(const struct ring_list *l, const struct ring_member *m) {
    unsigned i = 0;
    while (i < l->n && !cluster_id_equal(&l->m[i].id, &m->id)) i++;
    return i;
}

/* Makes the change that was asked for in the list. */
static int change(const struct ctl *c, struct ring_list *l) {
    struct ring_member m;
    const char *what = c->args[0], *weight = c->nargs > 2 ? c->args[2] : NULL;
    char *end = "";
    int status = rings_read_server(c->args[1], &m);
    if (status) return status;
    if (weight) m.weight = (uint32_t)strtoul(weight, &end, 10);
    if (weight && (*end || !m.weight || m.weight > 1000))
        return complain(USAGE, "a weight is a number from 1 to 1000, not %s", weight);
    unsigned i = find(l, &m);
    bool add = !strcmp(what, "add"), weigh = !strcmp(what, "weight"), drop = !strcmp(what, "remove");
    if (!add && !weigh && !drop) return complain(USAGE, "ring plan takes add, remove or weight, not %s", what);
    if (weigh && !weight) return complain(USAGE, "ring plan weight takes a name and a weight");
    if (add && i < l->n) return complain(USAGE, "%s is in the ring already", c->args[1]);
    if (!add && i == l->n) return complain(NOT_FOUND, "%s is not in the ring", c->args[1]);
    if (drop && l->n == 1) return complain(USAGE, "%s is the only node of the ring", c->args[1]);
    if (drop)
        l->m[i] = l->m[--l->n];
    else
        l->m[i] = m;
    l->n += add;
    return DONE;
}

/* About how many bytes move: of each donor's items, its part of the keys that it gives away. *most: those of the one
 * that gives most. NAN: not known. */
static double bytes_moved(struct ctl *c, const struct ring *old, const struct ringdiff *d, double *most) {
    struct nodes n;
    double bytes = 0;
    *most = 0;
    if (c->opt.servers || nodes_get_cluster(c, &n)) return NAN;
    struct reply *stats = calloc(n.n + 1, sizeof *stats);
    if (!stats || nodes_ask(c, &n, "stats", stats)) bytes = NAN;
    for (unsigned i = 0; stats && !isnan(bytes) && i < n.n; i++) {
        struct ring_member m;
        unsigned from = ring_member_read(n.names[i], &m) ? ring_find(old, &m.id) : RING_NONE;
        if (from != RING_NONE && ring_share(old, from)) {
            const double part = (double)ringdiff_points(d, from, RING_NONE) / (double)ring_share(old, from);
            const double moves = part * reply_stat(&stats[i], "bytes");
            if (!isnan(moves)) bytes += moves;
            *most = fmax(*most, moves);
        }
        reply_free(&stats[i]);
    }
    free(stats);
    nodes_free(&n);
    return bytes;
}

/* How long it takes, seconds: a node sends at most --handoff-rate MiB a second, as the node asked has it. NAN: not
 * known. */
static double seconds_of(struct ctl *c, double most) {
    struct reply settings;
    if (!(most > 0) || reply_ask(c, "stats settings") || reply_read(c, "stats settings", &settings)) return NAN;
    const double rate = reply_stat(&settings, "handoff_rate");
    reply_free(&settings);
    return rate > 0 ? most / (rate * 1048576) : NAN;
}

static void print_plan(struct ctl *c, const struct ring *old, const struct ring *next, const struct ringdiff *d) {
    static const struct table_column columns[] = {
        {"NODE", "name", TABLE_TEXT}, {"OWNS", "owns", TABLE_SHARE}, {"WOULD OWN", "would_own", TABLE_SHARE}};
    double moved = (double)d->moved / (double)RING_CIRCLE,
           staying = (double)d->moved_between_staying / (double)RING_CIRCLE;
    double most, bytes = bytes_moved(c, old, d, &most), seconds = seconds_of(c, most);
    struct table t;
    char text[64] = "";
    table_init(&t, columns, sizeof columns / sizeof *columns);
    for (unsigned i = 0; i < ring_nmembers(next); i++) {
        unsigned before = ring_find(old, &ring_member(next, i)->id);
        table_text(&t, rings_name(next, i));
        table_number(&t, before == RING_NONE ? 0 : share_of(old, before));
        table_number(&t, share_of(next, i));
    }
    if (c->output == OUTPUT_JSON) {
        json_print(json_pack("{s:o,s:o,s:o,s:o,s:o}", "moved", json_number(moved), "moved_between_staying",
                             json_number(staying), "bytes", json_number(bytes >= 0 ? floor(bytes) : NAN), "seconds",
                             json_number(seconds >= 0 ? ceil(seconds) : NAN), "nodes", table_json(&t)));
    } else {
        if (c->output == OUTPUT_TABLE) {
            if (bytes >= 0) text_bytes(text, bytes);
            printf("moves %.1f %% of the keys (%.1f %% between nodes that stay)%s%s", 100 * moved, 100 * staying,
                   text[0] ? ", about " : "", text);
            if (seconds >= 0) printf(", in %.0f s", ceil(seconds));
            puts("; nothing was changed");
        }
        table_print(&t, c);
    }
    table_free(&t);
}

int verb_ring_plan(struct ctl *c) {
    static struct ring_list l;
    struct reply answer;
    struct ring *old = NULL, *next = NULL;
    struct ringdiff *d = NULL;
    int status = rings_get(c, &l, &answer);
    if (!status) status = rings_make_same(c, &l, &answer, &old);
    reply_free(&answer);
    if (status) return status;
    status = change(c, &l);
    if (!status) status = rings_make(&l, &next);
    if (!status && ringdiff_new(old, next, &d)) status = complain(FAILED, "no memory");
    if (!status) print_plan(c, old, next, d);
    ringdiff_free(d);
    ring_free(old);
    ring_free(next);
    return status;
}
