/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/rng.h"
#include "tests/cluster/faultload.h"

#define READS_UNANSWERED 900  /* of a connection: a node that is stopped is asked no more then */
#define STEADY_UNANSWERED 40  /* the same, of steady reads */
#define PURGES_UNANSWERED 200 /* the same, of purges */
#define TOKEN_TTL_S 3         /* of what a miss leaves for who fills it */

enum request_kind { READ, STEADY_READ, FILL, PLAIN, PURGE };

static unsigned below(struct faultload *l, unsigned n) {
    return (unsigned)(rng_next(&l->random) % n);
}

/* ------------------------------------------------------------------ names */

/* The key's name: its tags follow from it. */
static int put_key(const struct faultload *l, uint32_t key, char *out, size_t room) {
    return key < l->nkeys ? snprintf(out, room, "k%" PRIu32, key) : snprintf(out, room, "t%" PRIu32, key - l->nkeys);
}

static int put_tags(const struct faultload *l, uint32_t key, char *out, size_t room) {
    if (key >= l->nkeys) return snprintf(out, room, "steady");
    return snprintf(out, room, "g%" PRIu32 ",s%" PRIu32, key / FAULTLOAD_SHELVES, key % FAULTLOAD_SHELVES);
}

/* ------------------------------------------------------------------ later */

static void put_later(struct faultload *l, const struct faultload_later *what) {
    if (l->nlater == l->later_room) {
        l->later_room = l->later_room == 0 ? 1024 : 2 * l->later_room;
        l->later = realloc(l->later, l->later_room * sizeof *l->later);
        if (l->later == NULL) abort();
    }
    size_t i = l->nlater++;
    for (; i > 0 && l->later[(i - 1) / 2].due_ns > what->due_ns; i = (i - 1) / 2) l->later[i] = l->later[(i - 1) / 2];
    l->later[i] = *what;
}

static struct faultload_later take_later(struct faultload *l) {
    const struct faultload_later first = l->later[0], last = l->later[--l->nlater];
    size_t i = 0, child;
    for (; (child = 2 * i + 1) < l->nlater; i = child) {
        if (child + 1 < l->nlater && l->later[child + 1].due_ns < l->later[child].due_ns) child++;
        if (l->later[child].due_ns >= last.due_ns) break;
        l->later[i] = l->later[child];
    }
    l->later[i] = last;
    return first;
}

/* ------------------------------------------------------------------ reads and stores */

static struct faultconn *reader(struct faultload *l, unsigned node) {
    struct faultconn *c = &l->readers[node * FAULTLOAD_READERS + below(l, FAULTLOAD_READERS)];
    return faultconn_has_room(c, READS_UNANSWERED) ? c : NULL;
}

static void ask_read(struct faultload *l, struct faultconn *c, uint32_t key, enum request_kind kind, unsigned about) {
    char line[64], name[32];
    put_key(l, key, name, sizeof name);
    const int n = snprintf(line, sizeof line, "mg %s v c N%d\r\n", name, TOKEN_TTL_S);
    const struct faultconn_request r = {.kind = (uint8_t)kind,
                                        .about = (uint8_t)about,
                                        .key = key,
                                        .horizon = faultmodel_horizon(&l->model, key),
                                        .sent_ns = l->now_ns};
    faultconn_ask(c, &r, line, (size_t)n);
    l->sum.reads++;
}

bool faultwork_read(struct faultload *l, uint32_t key, unsigned node, bool is_check) {
    struct faultconn *c = reader(l, node);
    if (c == NULL) return false;
    ask_read(l, c, key, READ, 0);
    l->sum.checks += is_check;
    return true;
}

/* Stores a value under the token of a miss. */
static void ask_fill(struct faultload *l, struct faultconn *c, uint32_t key, uint64_t cas, uint64_t read_at) {
    char text[256], name[32], tags[64], value[FAULTMODEL_VALUE_MAX];
    put_key(l, key, name, sizeof name);
    put_tags(l, key, tags, sizeof tags);
    const size_t n = faultmodel_fill(key, read_at, value);
    const int len = snprintf(text, sizeof text, "ms %s %zu C%" PRIu64 " G%s\r\n%s\r\n", name, n, cas, tags, value);
    const struct faultconn_request r = {.kind = FILL, .key = key, .event = read_at, .sent_ns = l->now_ns};
    faultconn_ask(c, &r, text, (size_t)len);
    l->sum.fills++;
}

static void ask_plain(struct faultload *l, uint32_t key) {
    struct faultconn *c = reader(l, below(l, l->nnodes));
    char text[256], name[32], tags[64], value[FAULTMODEL_VALUE_MAX];
    struct faultconn_request r = {.kind = PLAIN, .key = key, .sent_ns = l->now_ns};
    if (c == NULL) return;
    put_key(l, key, name, sizeof name);
    put_tags(l, key, tags, sizeof tags);
    const size_t n = faultmodel_plain(&l->model, key, value, &r.event);
    const int len = snprintf(text, sizeof text, "ms %s %zu G%s\r\n%s\r\n", name, n, tags, value);
    faultconn_ask(c, &r, text, (size_t)len);
    l->sum.plains++;
}

/* A miss gave a token: the database is read now, and the value stored at once, soon, or late. */
static void fill(struct faultload *l, struct faultconn *c, const struct faultconn_request *r, uint64_t cas) {
    const uint64_t read_at = faultmodel_event(&l->model);
    const unsigned dice = below(l, 100);
    if (r->kind == STEADY_READ) {
        if (faultconn_has_room(c, STEADY_UNANSWERED)) ask_fill(l, c, r->key, cas, read_at);
        return;
    }
    if (dice < 5) {
        ask_plain(l, r->key);
        return;
    }
    const uint64_t late_ms = dice < 65 ? 0 : dice < 90 ? below(l, 50) : below(l, 1500);
    put_later(l, &(struct faultload_later){.due_ns = l->now_ns + late_ms * 1000000,
                                           .key = r->key,
                                           .node = (uint8_t)below(l, l->nnodes),
                                           .is_fill = true,
                                           .cas = cas,
                                           .read_at = read_at});
}

static void tell_bad(const struct faultload *l, const struct faultconn *c, const struct faultconn_request *r,
                     const struct faultconn_answer *a, const char *what) {
    char name[32];
    put_key(l, r->key, name, sizeof name);
    printf("%s at %" PRIu64 " node %u key %s horizon %" PRIu64 " asked %.1f ms ago answer %s value %.*s\n", what,
           l->now_ns, c->node, name, r->horizon, (double)(l->now_ns - r->sent_ns) / 1e6, a->line, (int)a->n, a->data);
}

static void read_answered(struct faultload *l, struct faultconn *c, const struct faultconn_request *r,
                          const struct faultconn_answer *a) {
    struct faultload_seen *seen = &l->seen[c->node][r->about];
    const bool steady = r->kind == STEADY_READ;
    if (strcmp(a->line, "EN") == 0 || (a->data != NULL && a->n == 0)) {
        const char *cas = a->data != NULL ? strstr(a->line, " c") : NULL;
        l->sum.misses++;
        if (steady) seen->misses++;
        /* Who finds the token of another may fill as well: it is as good. */
        if (cas != NULL && (strstr(a->line, " W") != NULL || below(l, 8) == 0))
            fill(l, c, r, strtoull(cas + 2, NULL, 10));
    } else if (a->data != NULL) {
        l->sum.hits++;
        if (steady) seen->hits++;
        switch (faultmodel_check(&l->model, r->key, r->horizon, a->data, a->n)) {
        case FAULTMODEL_FRESH: break;
        case FAULTMODEL_STALE: l->sum.stale++, tell_bad(l, c, r, a, "STALE"); break;
        case FAULTMODEL_WRONG: l->sum.wrong++, tell_bad(l, c, r, a, "WRONG"); break;
        }
    } else {
        l->sum.errors++;
        if (steady) seen->errors++;
    }
}

static void fill_answered(struct faultload *l, const struct faultconn_request *r, const char *line) {
    if (strcmp(line, "HD") == 0) {
        l->sum.filled++;
        l->stored[r->key] = 1;
    } else if (strcmp(line, "EX") == 0) {
        l->sum.overtaken++;
    } else {
        l->sum.unknown++;
    }
}

void faultwork_due(struct faultload *l) {
    while (l->nlater > 0 && l->later[0].due_ns <= l->now_ns) {
        const struct faultload_later what = take_later(l);
        struct faultconn *c = reader(l, what.node);
        if (!what.is_fill)
            faultwork_read(l, what.key, what.node, true);
        else if (c != NULL)
            ask_fill(l, c, what.key, what.cas, what.read_at);
    }
}

void faultwork_steady(struct faultload *l) {
    for (unsigned node = 0; node < l->nnodes; node++)
        for (unsigned owner = 0; owner < l->nnodes; owner++) {
            struct faultconn *c = &l->steady[node * l->nnodes + owner];
            const uint32_t n = l->nsteady_at[owner];
            for (unsigned i = 0; i < 2 && n > 0 && faultconn_has_room(c, STEADY_UNANSWERED); i++)
                ask_read(l, c, l->nkeys + l->steady_at[owner][l->next_steady[node][owner]++ % n], STEADY_READ, owner);
        }
}

/* ------------------------------------------------------------------ purges */

static uint32_t take_idle(struct faultload *l) {
    const uint32_t group = l->idle[l->idle_first];
    l->idle_first = (l->idle_first + 1) % l->groups;
    l->nidle--;
    return group;
}

static void put_idle(struct faultload *l, uint32_t group) {
    l->idle[(l->idle_first + l->nidle++) % l->groups] = group;
}

/* A purge in one of the spellings that take one at a time; its line's length. */
static int put_odd(struct faultload *l, uint32_t group, char *line, size_t room) {
    static const char *const spellings[] = {"purge g%" PRIu32 "\r\n", "delete x|#|p=g%" PRIu32 "\r\n",
                                            "incr x|#|p=g%" PRIu32 " 1\r\n", "md x|#|p=g%" PRIu32 "\r\n"};
    switch (below(l, 4)) {
    case 0: return snprintf(line, room, spellings[0], group);
    case 1: return snprintf(line, room, spellings[1], group);
    case 2: return snprintf(line, room, spellings[2], group);
    default: return snprintf(line, room, spellings[3], group);
    }
}

bool faultwork_purge(struct faultload *l) {
    const unsigned node = below(l, l->nnodes);
    struct faultconn *c = &l->odd[node];
    char line[64];
    int n;
    if (l->nidle == 0) return false;
    const bool is_odd = below(l, 32) == 0 && faultconn_has_room(c, 1), of_shelf = !is_odd && below(l, 8) == 0;
    if (!is_odd) {
        struct faultconn *of_node = &l->purgers[node * FAULTLOAD_PURGERS];
        c = of_node;
        for (unsigned i = 0; i < FAULTLOAD_PURGERS; i++)
            if (of_node[i].is_open && of_node[i].nwaiting < c->nwaiting) c = &of_node[i];
        if (!faultconn_has_room(c, PURGES_UNANSWERED)) return false;
    }
    const uint32_t group = take_idle(l), shelf = below(l, FAULTLOAD_SHELVES);
    struct faultconn_request r = {.kind = PURGE, .key = group * FAULTLOAD_SHELVES, .count = FAULTLOAD_SHELVES};
    if (of_shelf) {
        r.key += shelf;
        r.count = 1;
        n = snprintf(line, sizeof line, "mp g%" PRIu32 "+s%" PRIu32 " n s\r\n", group, shelf);
    } else if (is_odd) {
        n = put_odd(l, group, line, sizeof line);
    } else {
        n = snprintf(line, sizeof line, "mp g%" PRIu32 " n s\r\n", group);
    }
    r.event = faultmodel_event(&l->model);
    r.sent_ns = l->now_ns;
    faultconn_ask(c, &r, line, (size_t)n);
    l->sum.purges++;
    l->purges_under_way++;
    return true;
}

/* Reads one of the keys at every node at once, and each of them at some node within the next second. */
static void look_after(struct faultload *l, const struct faultconn_request *r) {
    const uint32_t chosen = r->key + below(l, r->count);
    const uint64_t before = l->sum.checks;
    for (unsigned node = 0; node < l->nnodes; node++) {
        unsigned at = node;
        /* A node that is down cannot be read: another one is. */
        for (unsigned tries = 0; tries < l->nnodes && !faultwork_read(l, chosen, at, true); tries++)
            at = (at + 1) % l->nnodes;
    }
    l->sum.checks_at_once += l->sum.checks - before;
    for (uint32_t k = r->key; k < r->key + r->count; k++)
        put_later(l, &(struct faultload_later){.due_ns = l->now_ns + (uint64_t)below(l, 1000) * 1000000,
                                               .key = k,
                                               .node = (uint8_t)below(l, l->nnodes)});
}

static void confirmed(struct faultload *l, const struct faultconn_request *r) {
    bool armed = false;
    for (uint32_t k = r->key; k < r->key + r->count; k++) {
        armed |= l->stored[k];
        l->stored[k] = 0;
    }
    l->sum.armed += armed;
    l->sum.confirmed++;
    hist_add(&l->latency, l->now_ns - r->sent_ns);
    faultmodel_purged(&l->model, r->key, r->count, r->event);
    look_after(l, r);
}

static void keep_pending(struct faultload *l, const struct faultconn *c, const struct faultconn_request *r,
                         const char *line) {
    const char *s = strstr(line, " s"), *n = strstr(line, " n");
    printf("pending %zu %" PRIu64 " %u %lu\n", l->npending, s != NULL ? (uint64_t)strtoull(s + 2, NULL, 10) : 0,
           c->node, n != NULL ? strtoul(n + 2, NULL, 10) : 0);
    if (l->npending == l->pending_room) {
        l->pending_room = l->pending_room == 0 ? 256 : 2 * l->pending_room;
        l->pending = realloc(l->pending, l->pending_room * sizeof *l->pending);
        if (l->pending == NULL) abort();
    }
    l->pending[l->npending++] = (struct faultload_pending){.key = r->key, .count = r->count, .asked = r->event};
    l->sum.pending++;
}

static void purge_answered(struct faultload *l, const struct faultconn *c, const struct faultconn_request *r,
                           const char *line) {
    l->purges_under_way--;
    put_idle(l, r->key / FAULTLOAD_SHELVES);
    if (strncmp(line, "HD", 2) == 0 || strcmp(line, "PURGED") == 0 || strcmp(line, "DELETED") == 0 ||
        (*line >= '0' && *line <= '9'))
        confirmed(l, r);
    else if (strncmp(line, "PA", 2) == 0 || strncmp(line, "SERVER_ERROR purge pending", 26) == 0)
        keep_pending(l, c, r, line);
    else
        l->sum.refused++;
}

/* ------------------------------------------------------------------ upcalls */

static void answered(void *owner, struct faultconn *c, const struct faultconn_request *r,
                     const struct faultconn_answer *a) {
    struct faultload *l = owner;
    switch ((enum request_kind)r->kind) {
    case READ:
    case STEADY_READ: read_answered(l, c, r, a); break;
    case FILL: fill_answered(l, r, a->line); break;
    case PLAIN:
        if (strcmp(a->line, "HD") != 0) break;
        l->sum.plains_done++;
        l->stored[r->key] = 1;
        faultmodel_plain_answered(&l->model, r->event);
        break;
    case PURGE: purge_answered(l, c, r, a->line); break;
    }
}

static void lost(void *owner, struct faultconn *c, const struct faultconn_request *r) {
    struct faultload *l = owner;
    (void)c;
    if (r->kind == READ || r->kind == STEADY_READ) l->sum.reads_lost++;
    if (r->kind != PURGE) return;
    l->purges_under_way--;
    put_idle(l, r->key / FAULTLOAD_SHELVES);
    l->sum.purges_lost++;
}

const struct faultconn_upcalls faultwork_upcalls = {answered, lost};
