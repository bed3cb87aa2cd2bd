/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/tagctl/rings.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/md5.h"
#include "proto/keytags.h"
#include "tools/tagctl/tagctl.h"

#define NAMES 8

int rings_read_server(const char *text, struct ring_member *m) {
    char name[RING_NAME_TEXT];
    const char *colon = strrchr(text, ':');
    if (ring_member_read(text, m)) return DONE;
    if (colon && (size_t)(colon - text) < sizeof name) {
        char *end;
        unsigned long weight = strtoul(colon + 1, &end, 10);
        snprintf(name, sizeof name, "%.*s", (int)(colon - text), text);
        if (colon[1] >= '0' && colon[1] <= '9' && !*end && weight && weight <= UINT32_MAX &&
            ring_member_read(name, m)) {
            m->weight = (uint32_t)weight;
            return DONE;
        }
    }
    return complain(USAGE, "%.300s is no server: those are host:port, or host:port:weight", text);
}

int rings_read_servers(const char *text, struct ring_list *l) {
    char *list = strdup(text), *rest = list, *server;
    int status = list ? DONE : complain(FAILED, "no memory");
    l->n = 0;
    l->marker.len = 0;
    l->prefix[0] = 0;
    while (!status && (server = strsep(&rest, ","))) {
        status = l->n == RING_MEMBERS_MAX ? complain(USAGE, "more than %d servers", RING_MEMBERS_MAX)
                                          : rings_read_server(server, &l->m[l->n++]);
    }
    free(list);
    return status;
}

/* What the nodes hash of a key: a node that does not say it has the usual marker. */
static void read_rule(const struct reply_row *row, struct ring_list *l) {
    const char *marker = "|#|", *prefix = reply_text(row, "strip_prefix");
    for (unsigned i = 0; row && i < row->n; i++)
        if (!strcmp(row->fields[i].name, "marker"))
            marker = reply_text(row, "marker"); /* NULL: there are no suffixes */
    l->marker.len = marker && strlen(marker) <= sizeof l->marker.p ? (uint8_t)strlen(marker) : 0;
    if (marker) memcpy(l->marker.p, marker, l->marker.len);
    snprintf(l->prefix, sizeof l->prefix, "%s", prefix ? prefix : "");
}

int rings_ask(struct ctl *c, struct ring_list *l, struct reply *answer) {
    struct reply r;
    int status = reply_list(c, &r, "cluster ring");
    if (status) return status;
    l->n = 0;
    read_rule(reply_next(&r, "RING", NULL), l);
    for (const struct reply_row *row = NULL; !status && (row = reply_next(&r, "NODE", row));) {
        const char *name = reply_text(row, "name");
        double weight = reply_number(row, "weight");
        if (!name || l->n == RING_MEMBERS_MAX || !ring_member_read(name, &l->m[l->n]) ||
            !(weight >= 0 && weight <= UINT32_MAX))
            status = complain(FAILED, "%s describes a ring that cannot be", c->conn.name);
        else
            l->m[l->n++].weight = (uint32_t)weight;
    }
    if (!status && !l->n) status = complain(FAILED, "no node owns any key");
    if (status || !answer)
        reply_free(&r);
    else
        *answer = r;
    return status;
}

int rings_get(struct ctl *c, struct ring_list *l, struct reply *answer) {
    memset(answer, 0, sizeof *answer);
    return c->opt.servers ? rings_read_servers(c->opt.servers, l) : rings_ask(c, l, answer);
}

int rings_make(const struct ring_list *l, struct ring **out) {
    int err = ring_new(0, l->m, l->n, out);
    if (!err) return DONE;
    return complain(FAILED, err == -EINVAL ? "one server is named twice" : "no memory");
}

int rings_make_same(struct ctl *c, const struct ring_list *l, const struct reply *answer, struct ring **out) {
    char ours[32];
    int status = rings_make(l, out);
    if (status) return status;
    const char *theirs = reply_text(reply_next(answer, "RING", NULL), "digest");
    snprintf(ours, sizeof ours, "%016" PRIx64, ring_digest(*out));
    if (!theirs || !strcmp(ours, theirs)) return DONE;
    ring_free(*out);
    return complain(FAILED, "%s says that its ring is %.16s, and its nodes make %s; is this tagctl of another version?",
                    c->conn.name, theirs, ours);
}

unsigned rings_owner(const struct ring *r, const struct ring_list *l, const char *key) {
    struct keytags_key k;
    size_t prefix = strlen(l->prefix);
    keytags_split_key(&l->marker, key, strlen(key), &k);
    if (prefix > k.bare_len || strncmp(key, l->prefix, prefix) != 0) prefix = 0;
    return ring_owner(r, md5_first_of_one(key + prefix, k.bare_len - prefix));
}

const char *rings_name(const struct ring *r, unsigned i) {
    static char names[NAMES][RING_NAME_TEXT];
    static unsigned next;
    char *name = names[next++ % NAMES];
    ring_member_name(ring_member(r, i), name);
    return name;
}
