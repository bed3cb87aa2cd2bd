/* SPDX-License-Identifier: BSD-3-Clause */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/tagctl/nodes.h"
#include "tools/tagctl/table.h"
#include "tools/tagctl/tagctl.h"
#include "tools/tagctl/verbs.h"

static const struct table_column columns[] = {
    {"NODE", "name", TABLE_TEXT},
    {"STATE", "state", TABLE_STATE},
    {"OWNS", "owns", TABLE_SHARE},
    {"MEMORY", "memory_bytes", TABLE_BYTES_OF},
    {NULL, "limit_bytes", TABLE_BYTES},
    {"ITEMS", "items", TABLE_COUNT},
    {"HIT%", "hit_ratio", TABLE_PERCENT},
    {"OPS/s", "ops_per_second", TABLE_COUNT},
    {"EVICT/s", "evictions_per_second", TABLE_COUNT},
    {"PURGE/s", "purges_per_second", TABLE_COUNT},
};
#define NCOLUMNS (sizeof columns / sizeof *columns)

/* Counters of a node at one moment. */
struct look {
    double seconds, bytes, limit, items, hits, misses, operations, evictions, purges;
};

struct sight {
    struct nodes nodes;
    struct reply ring;
    struct look *before, *now;
    const char *verdict;
    unsigned failed;
};

static double sum_of(const struct reply *stats, const char *const names[]) {
    double sum = 0;
    for (unsigned i = 0; names[i]; i++) sum += reply_stat(stats, names[i]);
    return sum;
}

static void look_at(const struct reply *stats, double seconds, struct look *l) {
    static const char *const operations[] = {"cmd_get",   "cmd_set",     "cmd_touch", "delete_hits", "delete_misses",
                                             "incr_hits", "incr_misses", "decr_hits", "decr_misses", NULL};
    l->seconds = seconds;
    l->bytes = reply_stat(stats, "bytes");
    l->limit = reply_stat(stats, "limit_maxbytes");
    l->items = reply_stat(stats, "curr_items");
    l->hits = reply_stat(stats, "get_hits");
    l->misses = reply_stat(stats, "get_misses");
    l->operations = sum_of(stats, operations);
    l->evictions = reply_stat(stats, "evictions");
    l->purges = reply_stat(stats, "cmd_purge");
}

/* Counters of all nodes that can be asked; NAN everywhere for the others, which are named. */
static int look(struct ctl *c, struct sight *s, struct look *looks, bool complaining) {
    struct reply *answers = calloc(s->nodes.n + 1, sizeof *answers);
    if (!answers) return complain(FAILED, "no memory");
    int status = nodes_ask(c, &s->nodes, "stats", answers);
    double at = conn_seconds();
    for (unsigned i = 0; i < s->nodes.n && !status; i++) {
        look_at(&answers[i], at, &looks[i]);
        if (answers[i].refusal && complaining &&
            !nodes_is_gone(s->nodes.rows[i])) { /* the table says that it is gone */
            s->failed++;
            complain(FAILED, "%s: %s", s->nodes.names[i], nodes_sentence(answers[i].refusal));
        }
        reply_free(&answers[i]);
    }
    free(answers);
    return status;
}

static double rate(double before, double now, double seconds) {
    return seconds > 0 && now >= before ? (now - before) / seconds : NAN;
}

static void fill(const struct sight *s, struct table *t) {
    for (unsigned i = 0; i < s->nodes.n; i++) {
        const struct look *l = &s->now[i], *b = &s->before[i];
        double owns = s->nodes.self ? 0 : NAN, seconds = l->seconds - b->seconds;
        for (const struct reply_row *row = NULL; (row = reply_next(&s->ring, "NODE", row));) {
            const char *name = reply_text(row, "name");
            if (name && !strcmp(name, s->nodes.names[i])) owns = reply_number(row, "share");
        }
        table_text(t, s->nodes.names[i]);
        table_text(t, nodes_state(s->nodes.rows[i]));
        table_number(t, owns);
        table_number(t, l->bytes);
        table_number(t, l->limit);
        table_number(t, l->items);
        table_number(t, l->hits + l->misses > 0 ? l->hits / (l->hits + l->misses) : NAN);
        table_number(t, rate(b->operations, l->operations, seconds));
        table_number(t, rate(b->evictions, l->evictions, seconds));
        table_number(t, rate(b->purges, l->purges, seconds));
    }
}

/* --- the verdict ---------------------------------------------------------------------------------------------------
 */

/* How far the node that is furthest behind is, as it said last; NAN: nobody said. */
static double max_lag(const struct sight *s) {
    double most = reply_number(s->nodes.self, "lag_ms");
    for (unsigned i = 0; i < s->nodes.n; i++) {
        const struct reply_row *member = s->nodes.rows[i];
        if (member && !nodes_is_gone(member))
            most = fmax(most, reply_number(member, "lag_ms")); /* NAN counts as none */
    }
    return most;
}

/* How far the node asked is with items that move, if some do. */
static void print_handing(const struct reply_row *self) {
    double under_way = reply_number(self, "handoffs"), done = reply_number(self, "handed"),
           all = reply_number(self, "to_hand"), left = reply_number(self, "handoff_left_s");
    if (!(under_way > 0)) return;
    printf("items move: %.0f %%", all > 0 ? fmin(100, 100 * done / all) : 0);
    if (left > 0) printf(", %.0f s left", left);
    printf("  ");
}

static void print_verdict(const struct ctl *c, const struct sight *s) {
    const char *end = c->colour ? "\033[0m" : "";
    bool ok = !strcmp(s->verdict, "ok"), degraded = !strcmp(s->verdict, "degraded");
    const char *colour = !c->colour ? "" : ok ? "\033[32m" : degraded ? "\033[33m" : "\033[31m";
    const char *word = ok ? "OK" : degraded ? "DEGRADED" : "DOWN";
    const struct reply_row *self = s->nodes.self;
    if (!self) {
        printf("%s  no cluster  %s%s%s\n", c->conn.name, colour, word, end);
        return;
    }
    double alive = reply_number(self, "alive"), lag = max_lag(s), pending = reply_number(self, "pending");
    const char *ring = reply_text(self, "ring"), *name = reply_text(self, "cluster"),
               *reason = reply_text(self, "reason");
    printf("cluster %s  %.0f/%u alive  ring %s  ", name ? name : "-", isnan(alive) ? 0 : alive, s->nodes.n,
           ring ? ring : "-");
    if (pending > 0)
        printf("%.0f purges pending  ", pending);
    else
        printf("purge log in sync  ");
    print_handing(self);
    printf("(max lag %.0f ms)  %s%s%s", isnan(lag) ? 0 : lag, colour, word, end);
    printf(!ok && reason && *reason ? ": %s\n" : "\n", reason);
}

static void print_json(const struct sight *s, const struct table *t, const char *node) {
    const struct reply_row *self = s->nodes.self;
    const char *reason = reply_text(self, "reason");
    json_t *j = json_object(), *problems = json_array(), *ring = json_object();
    json_object_set_new(j, "cluster", json_text(reply_text(self, "cluster")));
    json_object_set_new(j, "asked", json_text(self ? reply_text(self, "node") : node));
    json_object_set_new(j, "verdict", json_text(s->verdict));
    json_object_set_new(j, "reason", json_text(reason && *reason ? reason : NULL));
    for (const struct reply_row *row = NULL; (row = reply_next(&s->nodes.status, "PROBLEM", row));)
        json_array_append_new(problems, json_text(reply_text(row, "text")));
    json_object_set_new(j, "problems", problems);
    json_object_set_new(ring, "version", json_number(reply_number(self, "ring_version")));
    json_object_set_new(ring, "id", json_text(reply_text(self, "ring")));
    json_object_set_new(j, "ring", ring);
    static const char *const numbers[] = {"epoch", "version", "voters",  "alive", "suspect",
                                          "dead",  "left",    "pending", "lag_ms"};
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++)
        json_object_set_new(j, numbers[i], json_number(reply_number(self, numbers[i])));
    json_object_set_new(j, "max_lag_ms", json_number(max_lag(s)));
    json_object_set_new(j, "lease", json_text(reply_text(self, "lease")));
    json_object_set_new(j, "nodes", table_json(t));
    json_print(j);
}

static void print(struct ctl *c, const struct sight *s) {
    struct table t;
    table_init(&t, columns, NCOLUMNS);
    fill(s, &t);
    if (c->output == OUTPUT_JSON) {
        print_json(s, &t, c->conn.name);
    } else {
        if (c->output == OUTPUT_TABLE) print_verdict(c, s);
        table_print(&t, c);
        for (const struct reply_row *row = NULL;
             c->output == OUTPUT_TABLE && (row = reply_next(&s->nodes.status, "PROBLEM", row));)
            printf("! %s\n", reply_text(row, "text") ? reply_text(row, "text") : "-");
    }
    fflush(stdout);
    table_free(&t);
}

/* --- looking once, or again and again ------------------------------------------------------------------------------
 */

static void pause_for(double seconds) {
    struct timespec t = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - floor(seconds)) * 1e9)};
    nanosleep(&t, NULL);
}

static void forget(struct sight *s) {
    nodes_free(&s->nodes);
    reply_free(&s->ring);
    free(s->before);
    free(s->now);
    memset(s, 0, sizeof *s);
}

static int see(struct ctl *c, struct sight *s, double interval) {
    memset(s, 0, sizeof *s);
    int status = nodes_get(c, &s->nodes);
    if (!status && s->nodes.self) status = reply_list(c, &s->ring, "cluster ring");
    if (status) return status;
    s->before = calloc(s->nodes.n + 1, sizeof *s->before);
    s->now = calloc(s->nodes.n + 1, sizeof *s->now);
    if (!s->before || !s->now) return complain(FAILED, "no memory");
    status = look(c, s, s->now, interval <= 0);
    if (status) return status;
    memcpy(s->before, s->now, s->nodes.n * sizeof *s->now);
    if (interval > 0) {
        pause_for(interval);
        status = look(c, s, s->now, true);
    }
    const char *verdict = reply_text(s->nodes.self, "verdict");
    s->verdict = verdict ? verdict : s->nodes.self ? "degraded" : "ok";
    return status;
}

int verb_status(struct ctl *c) {
    double interval = c->opt.interval >= 0 ? c->opt.interval : c->opt.watch ? 2 : 0.5;
    struct sight s;
    int status;
    do {
        status = see(c, &s, interval);
        if (!status) {
            if (c->opt.watch && c->output == OUTPUT_TABLE) fputs("\033[H\033[2J", stdout);
            print(c, &s);
            if (s.failed || strcmp(s.verdict, "ok") != 0) status = FAILED;
        }
        forget(&s);
        if (c->opt.watch && interval <= 0) pause_for(0.1);
    } while (c->opt.watch && status <= FAILED);
    return status;
}
