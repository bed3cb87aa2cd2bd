/* SPDX-License-Identifier: BSD-3-Clause */
#include <math.h>
#include <string.h>
#include <time.h>

#include "tools/tagctl/reply.h"
#include "tools/tagctl/table.h"
#include "tools/tagctl/tagctl.h"
#include "tools/tagctl/verbs.h"

#define POLL_MS 50
#define ANSWER_S 5 /* a node may ask others before it says how a purge is */

static const struct table_column columns[] = {{"ID", "id", TABLE_TEXT},
                                              {"STATE", "state", TABLE_STATE},
                                              {"KIND", "kind", TABLE_TEXT},
                                              {"CONFIRMED", "confirmed", TABLE_NUMBER},
                                              {"OF", "members", TABLE_NUMBER},
                                              {"AGE", "age_ms", TABLE_MS},
                                              {"TOOK", "took_ms", TABLE_MS},
                                              {"ITEMS", "items", TABLE_NUMBER},
                                              {"BYTES", "bytes", TABLE_BYTES},
                                              {"GONE", "gone_ms", TABLE_MS},
                                              {"SELECTORS", "selectors", TABLE_TEXT}};

static const struct table_column ack_columns[] = {
    {"NODE", "name", TABLE_TEXT},     {"CONFIRMED", "confirmed", TABLE_YESNO}, {"TIME", "ms", TABLE_MS},
    {"ITEMS", "items", TABLE_NUMBER}, {"BYTES", "bytes", TABLE_BYTES},         {"GONE", "gone_ms", TABLE_MS}};

/* What a counted purge took out, and when the last copy was gone. */
static void add_counts(struct table *t, const struct reply_row *row) {
    table_number(t, reply_number(row, "items"));
    table_number(t, reply_number(row, "bytes"));
    table_number(t, reply_number(row, "gone_ms"));
}

static void add(struct table *t, const struct reply_row *row) {
    table_text(t, reply_text(row, "id"));
    table_text(t, reply_text(row, "state"));
    table_text(t, reply_text(row, "kind"));
    table_number(t, reply_number(row, "acked"));
    table_number(t, reply_number(row, "members"));
    table_number(t, reply_number(row, "age_ms"));
    table_number(t, reply_number(row, "took_ms"));
    add_counts(t, row);
    table_text(t, reply_text(row, "selectors"));
}

int verb_purge_ls(struct ctl *c) {
    struct reply r;
    struct table t;
    int status = reply_list(c, &r, "cluster purges");
    if (status) return status;
    table_init(&t, columns, sizeof columns / sizeof *columns);
    for (const struct reply_row *row = NULL; (row = reply_next(&r, "PURGE", row));) add(&t, row);
    if (c->output == OUTPUT_JSON)
        json_print(json_pack("{s:o}", "purges", table_json(&t)));
    else
        table_print(&t, c);
    table_free(&t);
    reply_free(&r);
    return DONE;
}

static bool is_id(const char *id) {
    return strspn(id, "v0123456789-") == strlen(id) && strlen(id) < 48 && id[0];
}

/* Asks for one purge. Its row is in *r, which the caller frees if that is DONE. */
static int get(struct ctl *c, struct reply *r, const struct reply_row **row) {
    const char *id = c->args[0];
    if (!is_id(id)) return complain(USAGE, "%s is no purge's id: those are like 4-88422", id);
    int status = reply_list(c, r, "cluster purges %s", id);
    if (status) return status;
    *row = reply_next(r, "PURGE", NULL);
    const char *state = reply_text(*row, "state");
    if (state && strcmp(state, "unknown") != 0) return DONE;
    reply_free(r);
    return complain(NOT_FOUND, "nobody remembers a purge %s", id);
}

/* The time of so many milliseconds ago. */
static void time_text(double ago_ms, char out[32]) {
    const time_t then = time(NULL) - (time_t)(ago_ms / 1000);
    struct tm utc;
    gmtime_r(&then, &utc);
    strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

/* ", by token legal from 10.0.3.9:51230 at 2026-11-26T14:02:11Z", if that is known. */
static void print_by(const struct reply_row *row) {
    const char *by = reply_text(row, "by"), *at = by ? strrchr(by, '@') : NULL;
    const double age_ms = reply_number(row, "age_ms");
    char when[32];
    if (!by) return;
    if (at)
        printf(", by token %.*s from %s", (int)(at - by), by, at + 1);
    else
        printf(", by %s", by);
    if (isnan(age_ms)) return;
    time_text(age_ms, when);
    printf(" at %s", when);
}

/* "; 48110 items, 312 MiB removed; last copy gone 2026-11-27T14:02:13Z", if it was counted. */
static void print_receipt(const struct reply_row *row) {
    const double items = reply_number(row, "items"), bytes = reply_number(row, "bytes"),
                 gone_ms = reply_number(row, "gone_ms"), age_ms = reply_number(row, "age_ms");
    char count[32] = "more than 100,000", size[32], when[32];
    if (isnan(bytes)) return;
    if (!isnan(items)) text_grouped(count, items);
    text_bytes(size, bytes);
    printf("; %s items, %s removed", count, size);
    if (isnan(gone_ms) || isnan(age_ms)) return;
    time_text(age_ms - gone_ms, when);
    printf("; last copy gone %s", when);
}

static void print_one(const struct ctl *c, const struct reply *r, const struct reply_row *row) {
    struct table t, one;
    table_init(&t, ack_columns, sizeof ack_columns / sizeof *ack_columns);
    table_init(&one, columns, sizeof columns / sizeof *columns);
    add(&one, row);
    for (const struct reply_row *ack = NULL; (ack = reply_next(r, "ACK", ack));) {
        table_text(&t, reply_text(ack, "name"));
        table_text(&t, reply_text(ack, "acked"));
        table_number(&t, reply_number(ack, "ms"));
        add_counts(&t, ack);
    }
    if (c->output == OUTPUT_JSON) {
        json_t *rows = table_json(&one), *j = json_incref(json_array_get(rows, 0));
        json_decref(rows);
        json_object_set_new(j, "nodes", table_json(&t));
        json_print(j);
    } else if (c->output == OUTPUT_PLAIN) {
        table_print(&one, c);
        table_print(&t, c);
    } else {
        const char *what = reply_text(row, "selectors"), *kind = reply_text(row, "kind");
        double took = reply_number(row, "took_ms");
        printf("%s%s%s", what ? what : "", what ? "  " : "", kind ? kind : "");
        print_by(row);
        printf("%s%s %.0f/%.0f", kind ? "; " : "", reply_text(row, "state"), reply_number(row, "acked"),
               reply_number(row, "members"));
        if (!isnan(took)) printf(" in %.1f ms", took);
        print_receipt(row);
        putchar('\n');
        table_print(&t, c);
    }
    table_free(&t);
    table_free(&one);
}

int verb_purge_show(struct ctl *c) {
    struct reply r;
    const struct reply_row *row;
    if (c->opt.timeout < 0) c->opt.timeout = ANSWER_S;
    int status = get(c, &r, &row);
    if (status) return status;
    print_one(c, &r, row);
    reply_free(&r);
    return DONE;
}

int verb_purge_wait(struct ctl *c) {
    double left_ms = 1000 * (c->opt.timeout < 0 ? 2 : c->opt.timeout);
    c->opt.timeout = ANSWER_S;
    for (;; left_ms -= POLL_MS) {
        struct reply r;
        const struct reply_row *row;
        int status = get(c, &r, &row);
        if (status) return status;
        bool confirmed = !strcmp(reply_text(row, "state"), "confirmed");
        if (confirmed || left_ms <= 0) {
            print_one(c, &r, row);
            reply_free(&r);
            return confirmed ? DONE : complain(FAILED, "%s is not confirmed yet", c->args[0]);
        }
        reply_free(&r);
        struct timespec t = {.tv_nsec = POLL_MS * 1000000L};
        nanosleep(&t, NULL);
    }
}
