/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/audit_line.h"
#include "proto/keytags.h"
#include "tools/tagctl/reply.h"
#include "tools/tagctl/table.h"
#include "tools/tagctl/tagctl.h"
#include "tools/tagctl/verbs.h"

#define LIST_MAX 60000 /* bytes of a purge's selectors: a line has 64 KiB */
#define WINDOW 16      /* purges under way */

#define ID_TEXT 48

static const struct table_column columns[] = {{"ID", "id", TABLE_TEXT},
                                              {"STATE", "state", TABLE_STATE},
                                              {"CONFIRMED", "confirmed", TABLE_NUMBER},
                                              {"OF", "members", TABLE_NUMBER},
                                              {"SELECTORS", "selectors", TABLE_NUMBER}};

/* What is sent, and what came of it. */
struct purging {
    struct ctl *c;
    char list[LIST_MAX + 1]; /* the next purge's selectors */
    size_t length;
    unsigned in_list, sent, under_way[WINDOW]; /* how many selectors each purge has whose answer is not read */
    unsigned answered, selectors, unconfirmed;
    double wait_ms;
    double acked, members; /* of the worst purge */
    double items, bytes;   /* taken out, with --receipt; NAN: more items than are counted */
    char first_id[ID_TEXT], last_id[ID_TEXT];
    struct table table;
    bool dry;
};

/* --- one purge -----------------------------------------------------------------------------------------------------
 */

/* The number that `mp s` answers, as an id. */
static void id_of(const char *number, char id[ID_TEXT]) {
    uint64_t n = strtoull(number, NULL, 10), origin = n >> 40, sequence = n & ((UINT64_C(1) << 40) - 1);
    if (origin)
        snprintf(id, ID_TEXT, "%" PRIu64 "-%" PRIu64, origin, sequence);
    else
        snprintf(id, ID_TEXT, "%" PRIu64, n);
}

/* `HD n3/3 s123`, or PA. */
static int read_answer(struct purging *p) {
    char *line, id[ID_TEXT] = "";
    double acked = NAN, members = NAN;
    int status = conn_line(&p->c->conn, &line);
    if (status) return status;
    if (reply_refuses(line)) return reply_say_refusal(p->c, line);
    bool confirmed = !strncmp(line, "HD ", 3);
    if (!confirmed && strncmp(line, "PA ", 3) != 0)
        return complain(FAILED, "%s answers `mp` with something else: \"%.60s\"", p->c->conn.name, line);
    for (char *rest = line + 3, *word; (word = strsep(&rest, " "));) {
        if (word[0] == 'n' && sscanf(word + 1, "%lf/%lf", &acked, &members) != 2) acked = members = NAN;
        if (word[0] == 's') id_of(word + 1, id);
        if (word[0] == 'c') p->items += !strcmp(word + 1, "many") ? NAN : strtod(word + 1, NULL);
        if (word[0] == 'b') p->bytes += strtod(word + 1, NULL);
    }
    table_text(&p->table, id[0] ? id : NULL);
    table_text(&p->table, confirmed ? "confirmed" : "pending");
    table_number(&p->table, acked);
    table_number(&p->table, members);
    table_number(&p->table, p->under_way[p->answered % WINDOW]);
    if (!p->answered || acked < p->acked) p->acked = acked;
    p->members = members;
    p->unconfirmed += !confirmed;
    if (!p->answered) strcpy(p->first_id, id);
    strcpy(p->last_id, id);
    p->answered++;
    if (p->c->opt.from_stdin && p->answered % WINDOW == 0 && isatty(STDERR_FILENO))
        fprintf(stderr, "\r%u selectors in %u purges", p->selectors, p->answered);
    return DONE;
}

/* Writes " r..." with the reason, if there is one. */
static void write_reason(const char *reason, char out[AUDIT_REASON_MAX * 3 + 3]) {
    size_t n = 2;
    out[0] = '\0';
    if (!reason || !reason[0]) return;
    memcpy(out, " r", 2);
    for (unsigned i = 0; reason[i] && i < AUDIT_REASON_MAX; i++) {
        const unsigned char c = (unsigned char)reason[i];
        n += (size_t)sprintf(out + n, c <= 0x20 || c == 0x7f || c == '%' ? "%%%02X" : "%c", c);
    }
}

static int send_list(struct purging *p) {
    const struct options *o = &p->c->opt;
    char soft[64] = "", reason[AUDIT_REASON_MAX * 3 + 3];
    int status = DONE;
    if (!p->in_list) return DONE;
    if (p->sent - p->answered == WINDOW) status = read_answer(p);
    if (status) return status;
    if (o->soft && o->ttl)
        snprintf(soft, sizeof soft, " I T%s", o->ttl);
    else if (o->soft)
        strcpy(soft, " I");
    bool waits = !o->wait || !strcmp(o->wait, "all");

    write_reason(o->reason, reason);
    if (!p->dry)
        status = reply_ask(p->c, "mp %s n s w%.0f%s%s%s", p->list, waits ? p->wait_ms : 0, soft, o->receipt ? " c" : "",
                           reason);
    p->under_way[p->sent % WINDOW] = p->in_list;
    p->sent++;
    p->in_list = 0;
    p->length = 0;
    return status;
}

static int add(struct purging *p, const char *selector) {
    size_t n = strlen(selector);
    int status = DONE;
    if (!keytags_is_selector(selector, n))
        return complain(USAGE, "%.200s is no selector: a tag, or tags joined by +, or *", selector);
    if (p->in_list == KEYTAGS_SELECTORS_MAX || p->length + n + 1 > LIST_MAX) status = send_list(p);
    if (status) return status;
    p->length += (size_t)sprintf(p->list + p->length, "%s%s", p->in_list ? "," : "", selector);
    p->in_list++;
    p->selectors++;
    return DONE;
}

static int add_stdin(struct purging *p) {
    char *line = NULL;
    size_t room = 0;
    int status = DONE;
    for (ssize_t n; !status && (n = getline(&line, &room, stdin)) >= 0;) {
        line[strcspn(line, "\r\n")] = 0;
        if (!strcmp(line, "*") && !p->c->opt.yes && !p->dry)
            status = complain(DECLINED, "* purges everything; --yes does it");
        else if (line[0])
            status = add(p, line);
    }
    free(line);
    return status;
}

/* --- what came of it -----------------------------------------------------------------------------------------------
 */

static void print_ids(const struct purging *p) {
    if (p->first_id[0]) printf("  id %s", p->first_id);
    if (strcmp(p->first_id, p->last_id) != 0) printf(" to %s", p->last_id);
}

/* Who has a purge, in one line, if the node knows. */
static void print_nodes(struct purging *p) {
    struct reply r;
    unsigned n = 0;
    if (p->sent != 1 || !p->last_id[0] || reply_ask(p->c, "cluster purges %s", p->last_id) ||
        reply_read(p->c, "cluster purges", &r))
        return;
    for (const struct reply_row *row = NULL; (row = reply_next(&r, "ACK", row));) {
        const char *name = reply_text(row, "name"), *acked = reply_text(row, "acked");
        double ms = reply_number(row, "ms");
        printf("%s%s", n++ ? "   " : "", name ? name : "-");
        if (!acked || strcmp(acked, "yes") != 0)
            printf(" missing");
        else if (!isnan(ms))
            printf(" %.1f ms", ms);
    }
    if (n) putchar('\n');
    reply_free(&r);
}

/* What was taken out by then. */
static void print_removed(const struct purging *p) {
    char items[32] = "more than 100,000", bytes[32];
    if (!isnan(p->items)) text_grouped(items, p->items);
    text_bytes(bytes, p->bytes);
    printf("%s items, %s removed%s\n", items, bytes, p->unconfirmed ? " so far" : "");
}

static int report(struct purging *p, double took_ms) {
    const char *wait = p->c->opt.wait;
    bool none = wait && !strcmp(wait, "none"), local = wait && !strcmp(wait, "local");
    bool good = none || (local ? p->acked >= 1 : !p->unconfirmed);
    if (p->c->output == OUTPUT_JSON) {
        json_print(json_pack("{s:b,s:o,s:o}", "confirmed", p->unconfirmed == 0, "took_ms",
                             json_number(round(took_ms * 1000) / 1000), "purges", table_json(&p->table)));
    } else if (p->c->output == OUTPUT_PLAIN) {
        table_print(&p->table, p->c);
    } else {
        print_nodes(p);
        if (p->sent > 1) printf("%u selectors in %u purges: ", p->selectors, p->sent);
        printf("%s on %.0f/%.0f in %.1f ms", p->unconfirmed ? "pending" : "confirmed", p->acked, p->members, took_ms);
        print_ids(p);
        putchar('\n');
        if (p->c->opt.receipt) print_removed(p);
    }
    if (good) return DONE;
    return complain(FAILED, "not confirmed in time by all nodes; it goes on: `tagctl purge wait %s`",
                    p->last_id[0] ? p->last_id : "ID");
}

static int check_options(const struct ctl *c) {
    const struct options *o = &c->opt;
    char *end;
    if (o->receipt && o->soft) return complain(USAGE, "--receipt is for a hard purge: a soft one takes nothing out");
    if (o->ttl && !o->soft) return complain(USAGE, "--ttl is for --soft: how long the old value may be served");
    if (o->ttl && (strtoul(o->ttl, &end, 10) > 315360000 || *end || o->ttl[0] < '0' || o->ttl[0] > '9'))
        return complain(USAGE, "--ttl takes seconds, not %s", o->ttl);
    if (o->wait && strcmp(o->wait, "all") != 0 && strcmp(o->wait, "local") != 0 && strcmp(o->wait, "none") != 0)
        return complain(USAGE, "--wait takes all, local or none, not %s", o->wait);
    if (o->from_stdin ? c->nargs != 0 : c->nargs == 0)
        return complain(USAGE, "name selectors, or give them on standard input with --stdin");
    return DONE;
}

static int purge(struct purging *p) {
    struct ctl *c = p->c;
    double begin = conn_seconds();
    int status = p->dry ? DONE : ctl_connect(c);

    for (unsigned i = 0; i < c->nargs && !status; i++) status = add(p, c->args[i]);
    if (!status && c->opt.from_stdin) status = add_stdin(p);
    if (!status) status = send_list(p);
    if (p->dry || status) return status;
    while (!status && p->answered < p->sent) status = read_answer(p);
    if (c->opt.from_stdin && p->answered >= WINDOW && isatty(STDERR_FILENO)) fputs("\r\033[K", stderr);
    return status ? status : report(p, (conn_seconds() - begin) * 1e3);
}

int verb_purge(struct ctl *c) {
    bool everything = false, go = true;
    int status = check_options(c);
    for (unsigned i = 0; i < c->nargs; i++) everything |= !strcmp(c->args[i], "*");
    if (!status && everything && !c->opt.dry_run)
        status = ctl_confirm(c, true, &go, "everything goes, on all nodes, whatever its tags");
    if (status || !go) return status;
    struct purging *p = calloc(1, sizeof *p);
    if (!p) return complain(FAILED, "no memory");
    p->c = c;
    p->dry = c->opt.dry_run;
    p->wait_ms = 1000 * (c->opt.timeout < 0 ? 2 : c->opt.timeout);
    c->opt.timeout = p->wait_ms / 1000 + 2; /* the node has that long, and then has to answer */
    table_init(&p->table, columns, sizeof columns / sizeof *columns);
    status = purge(p);
    if (!status && p->dry)
        status =
            ctl_confirm(c, false, &go, "%u selector%s would be purged (%s), in %u purge%s", p->selectors,
                        p->selectors == 1 ? "" : "s", c->opt.soft ? "soft" : "hard", p->sent, p->sent == 1 ? "" : "s");
    table_free(&p->table);
    free(p);
    return status;
}
