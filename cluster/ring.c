/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/ring.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hostport.h"
#include "base/md5.h"

#define POINTS_PER_MEMBER 160 /* if all weights are equal, and the rounding is kind */
#define POINTS_PER_DIGEST 4
#define PORT_UNNAMED 11211 /* libmemcached leaves this port out of the text that it hashes */
#define TABLE_BITS_MIN 12
#define TABLE_BITS_MAX 16
#define BATCH 64

/* The arcs, and the way into them. */
struct arcs {
    unsigned n;
    uint32_t *last;
    uint16_t *owner;
    uint64_t *since;
    unsigned shift;
    uint32_t *first; /* [point >> shift]: the first arc that may hold such a point */
};

struct ring {
    uint64_t version, digest;
    unsigned nmembers, npoints;
    struct ring_member *members;
    unsigned *points_of;
    uint64_t *share;
    struct arcs arcs;
};

/* --- names ------------------------------------------------------------------------------------------------------- */

bool ring_member_read(const char *name, struct ring_member *m) {
    struct hostport hp;
    memset(m, 0, sizeof *m);
    if (!hostport_read(name, &hp) || !strcmp(hp.host, "*")) return false;
    strcpy(m->host, hp.host);
    m->port = hp.port;
    m->weight = 1;
    md5(name, strlen(name), m->id.bytes);
    return true;
}

void ring_member_name(const struct ring_member *m, char name[RING_NAME_TEXT]) {
    hostport_text(m->host, m->port, name);
}

/* --- making one -------------------------------------------------------------------------------------------------- */

/* Single precision, rounded after every step, as libmemcached's compiled code does; `volatile` keeps compilers from
 * joining two steps into one. */
unsigned ring_points_by_weight(uint32_t weight, uint64_t sum, unsigned n) {
    volatile float a = (float)weight / (float)sum;
    a = a * (float)POINTS_PER_MEMBER;
    a = a / (float)POINTS_PER_DIGEST;
    a = a * (float)n;
    a = a + 1e-10f;
    return POINTS_PER_DIGEST * (unsigned)a;
}

/* A member's name and place, for sorting. */
struct named {
    char name[RING_NAME_TEXT];
    unsigned member;
};

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

static bool is_member(const struct ring_member *m) {
    return m->host[0] && memchr(m->host, 0, sizeof m->host);
}

/* The members in the order of their names. */
static int sort_names(const struct ring *r, struct named **out) {
    struct named *names = calloc(r->nmembers, sizeof *names);
    if (!names) return -ENOMEM;
    for (unsigned i = 0; i < r->nmembers; i++) {
        ring_member_name(&r->members[i], names[i].name);
        names[i].member = i;
    }
    qsort(names, r->nmembers, sizeof *names, by_name);
    for (unsigned i = 1; i < r->nmembers; i++) {
        if (!by_name(&names[i - 1], &names[i])) {
            free(names);
            return -EINVAL;
        }
    }
    *out = names;
    return 0;
}

/* Names and weights, one after the other: MD5(what the ones before made of it, name, weight). */
static uint64_t digest_of(const struct ring *r, const struct named *names) {
    struct {
        uint8_t before[MD5_BYTES];
        char text[RING_NAME_TEXT + 16];
    } one = {{0}, ""};
    for (unsigned i = 0; i < r->nmembers; i++) {
        int n = snprintf(one.text, sizeof one.text, "%s %u", names[i].name, r->members[names[i].member].weight);
        md5(&one, sizeof one.before + (size_t)n, one.before);
    }
    uint64_t digest = 0;
    for (unsigned i = 0; i < sizeof digest; i++) digest = digest << 8 | one.before[i];
    return digest;
}

static void arcs_fini(struct arcs *a) {
    free(a->last);
    free(a->owner);
    free(a->since);
    free(a->first);
    *a = (struct arcs){0};
}

static int arcs_init(struct arcs *a, size_t room) {
    *a = (struct arcs){0};
    a->last = calloc(room, sizeof *a->last);
    a->owner = calloc(room, sizeof *a->owner);
    a->since = calloc(room, sizeof *a->since);
    if (a->last && a->owner && a->since) return 0;
    arcs_fini(a);
    return -ENOMEM;
}

static void arcs_add(struct arcs *a, uint32_t last, uint16_t owner, uint64_t since) {
    a->last[a->n] = last;
    a->owner[a->n] = owner;
    a->since[a->n++] = since;
}

/* Makes the table, when all arcs are there. */
static int arcs_finish(struct arcs *a) {
    unsigned bits = TABLE_BITS_MIN;
    while (bits < TABLE_BITS_MAX && 1u << bits < 2 * a->n) bits++;
    a->shift = 32 - bits;
    a->first = calloc((size_t)1 << bits, sizeof *a->first);
    if (!a->first) return -ENOMEM;
    for (uint32_t t = 0, arc = 0; t < 1u << bits; t++) {
        while (a->last[arc] < t << a->shift) arc++;
        a->first[t] = arc;
    }
    return 0;
}

/* Sorts by the point, which is the upper half of a number; of equal points the first stays the first. A byte at a time,
 * from the lowest one up, each time into the other array. */
static void sort_points(uint64_t *points, uint64_t *other, size_t n) {
    for (unsigned shift = 32; shift < 64; shift += 8) {
        size_t begin[256] = {0}, sum = 0;
        for (size_t i = 0; i < n; i++) begin[points[i] >> shift & 255]++;
        for (unsigned b = 0; b < 256; b++) {
            size_t count = begin[b];
            begin[b] = sum;
            sum += count;
        }
        for (size_t i = 0; i < n; i++) other[begin[points[i] >> shift & 255]++] = points[i];
        uint64_t *swap = points;
        points = other;
        other = swap;
    }
}

/* Writes a number in decimal digits; how many. */
static size_t append_number(char *to, unsigned x) {
    char digits[10];
    size_t n = 0, i = 0;
    do digits[n++] = (char)('0' + x % 10);
    while ((x /= 10) > 0);
    while (n > 0) to[i++] = digits[--n];
    return i;
}

/* The points of all members, sorted: point, rank of the name, member, from the highest bits down. */
static uint64_t *sorted_points(const struct ring *r, const struct named *names) {
    uint64_t *points = calloc(r->npoints, sizeof *points), *other = calloc(r->npoints, sizeof *other);
    size_t n = 0;
    if (!points || !other) {
        free(points);
        free(other);
        return NULL;
    }
    for (unsigned rank = 0; rank < r->nmembers; rank++) {
        const struct ring_member *m = &r->members[names[rank].member];
        char text[RING_HOST_MAX + 32];
        int len = m->port == PORT_UNNAMED ? snprintf(text, sizeof text, "%s-", m->host)
                                          : snprintf(text, sizeof text, "%s:%u-", m->host, m->port);
        for (unsigned j = 0; j < r->points_of[names[rank].member] / POINTS_PER_DIGEST; j++) {
            uint8_t out[MD5_BYTES];
            md5(text, (size_t)len + append_number(text + len, j), out);
            for (const uint8_t *p = out; p < out + MD5_BYTES; p += 4) {
                uint64_t point = p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24;
                points[n++] = point << 32 | (uint64_t)rank << 16 | names[rank].member;
            }
        }
    }
    sort_points(points, other, n); /* the names come in the order of their ranks */
    free(other);
    return points;
}

static int make_arcs(struct ring *r, const struct named *names) {
    int err = arcs_init(&r->arcs, (size_t)r->npoints + 1);
    if (err) return err;
    if (r->nmembers == 1) {
        arcs_add(&r->arcs, UINT32_MAX, 0, 0);
        return arcs_finish(&r->arcs);
    }
    uint64_t *points = sorted_points(r, names);
    if (!points) return -ENOMEM;
    for (unsigned i = 0; i < r->npoints; i++) /* of equal points the first one counts */
        if (!i || points[i] >> 32 != points[i - 1] >> 32)
            arcs_add(&r->arcs, (uint32_t)(points[i] >> 32), (uint16_t)points[i], 0);
    if (r->arcs.last[r->arcs.n - 1] != UINT32_MAX) arcs_add(&r->arcs, UINT32_MAX, r->arcs.owner[0], 0);
    free(points);
    return arcs_finish(&r->arcs);
}

static int make(struct ring *r, const struct ring_member *m, unsigned n) {
    uint64_t sum = 0;
    struct named *names;
    r->members = calloc(n, sizeof *r->members);
    r->points_of = calloc(n, sizeof *r->points_of);
    r->share = calloc(n, sizeof *r->share);
    if (!r->members || !r->points_of || !r->share) return -ENOMEM;
    r->nmembers = n;
    for (unsigned i = 0; i < n; i++) {
        if (!is_member(&m[i])) return -EINVAL;
        r->members[i] = m[i];
        if (!r->members[i].weight) r->members[i].weight = 1;
        sum += r->members[i].weight;
    }
    for (unsigned i = 0; i < n; i++) {
        r->points_of[i] = ring_points_by_weight(r->members[i].weight, sum, n);
        r->npoints += r->points_of[i];
    }
    int err = sort_names(r, &names);
    if (err) return err;
    r->digest = digest_of(r, names);
    err = make_arcs(r, names);
    free(names);
    if (err) return err;
    uint64_t begin = 0;
    for (unsigned a = 0; a < r->arcs.n; begin = (uint64_t)r->arcs.last[a++] + 1)
        r->share[r->arcs.owner[a]] += (uint64_t)r->arcs.last[a] + 1 - begin;
    return 0;
}

int ring_new(uint64_t version, const struct ring_member *m, unsigned n, struct ring **out) {
    if (!n || n > RING_MEMBERS_MAX) return -EINVAL;
    struct ring *r = calloc(1, sizeof *r);
    if (!r) return -ENOMEM;
    r->version = version;
    int err = make(r, m, n);
    if (err) {
        ring_free(r);
        return err;
    }
    *out = r;
    return 0;
}

/* The array once more. NULL: no memory. */
static void *copy_of(const void *array, size_t n, size_t element) {
    void *copy = malloc(n * element);
    if (copy) memcpy(copy, array, n * element);
    return copy;
}

int ring_copy(const struct ring *r, struct ring **out) {
    struct ring *c = malloc(sizeof *c);
    if (!c) return -ENOMEM;
    *c = *r;
    c->members = copy_of(r->members, r->nmembers, sizeof *r->members);
    c->points_of = copy_of(r->points_of, r->nmembers, sizeof *r->points_of);
    c->share = copy_of(r->share, r->nmembers, sizeof *r->share);
    c->arcs.last = copy_of(r->arcs.last, r->arcs.n, sizeof *r->arcs.last);
    c->arcs.owner = copy_of(r->arcs.owner, r->arcs.n, sizeof *r->arcs.owner);
    c->arcs.since = copy_of(r->arcs.since, r->arcs.n, sizeof *r->arcs.since);
    c->arcs.first = copy_of(r->arcs.first, (size_t)1 << (32 - r->arcs.shift), sizeof *r->arcs.first);
    if (!c->members || !c->points_of || !c->share || !c->arcs.last || !c->arcs.owner || !c->arcs.since ||
        !c->arcs.first) {
        ring_free(c);
        return -ENOMEM;
    }
    *out = c;
    return 0;
}

void ring_free(struct ring *r) {
    if (!r) return;
    arcs_fini(&r->arcs);
    free(r->members);
    free(r->points_of);
    free(r->share);
    free(r);
}

/* --- following another one --------------------------------------------------------------------------------------- */

struct follow {
    const struct ring *prev; /* or NULL */
    unsigned self_prev;      /* RING_NONE: self gains everything */
    uint64_t number;
    unsigned at; /* the arc of prev that the next point to look at lies in */
};

/* Adds the parts, if there is room for more than one of them, of an arc of self that reaches up to `last`. */
static void follow_arc(struct follow *f, struct arcs *to, uint32_t last, uint16_t self, size_t room) {
    unsigned begin = to->n;
    for (;;) {
        const struct arcs *p = f->prev ? &f->prev->arcs : NULL;
        uint32_t part = p && p->last[f->at] < last ? p->last[f->at] : last;
        uint64_t since = p && p->owner[f->at] == f->self_prev ? p->since[f->at] : f->number;
        if (to->n > begin && to->n >= room) { /* no room for another part: the last one grows over this one */
            to->last[to->n - 1] = part;
            if (since > to->since[to->n - 1]) to->since[to->n - 1] = since;
        } else if (to->n > begin && to->since[to->n - 1] == since) {
            to->last[to->n - 1] = part;
        } else {
            arcs_add(to, part, self, since);
        }
        if (part == last) return;
        f->at++;
    }
}

int ring_follow(struct ring *next, const struct ring *prev, unsigned self, uint64_t number) {
    unsigned self_prev = prev ? ring_find(prev, &next->members[self].id) : RING_NONE;
    struct follow f = {.prev = prev, .self_prev = self_prev, .number = number};
    struct arcs arcs, *now = &next->arcs;
    /* Each arc of prev ends inside one of next, so this many parts there are at most. */
    size_t room = now->n, most = RING_SPLITS_MAX * (size_t)(next->npoints + (f.prev ? f.prev->npoints : 1));
    if (f.prev) room += f.prev->arcs.n;
    if (room > most) room = most;
    int err = arcs_init(&arcs, room);
    if (err) return err;
    for (unsigned i = 0; i < now->n; i++) {
        while (f.prev && i && f.prev->arcs.last[f.at] <= now->last[i - 1]) f.at++;
        if (now->owner[i] == self) {
            follow_arc(&f, &arcs, now->last[i], (uint16_t)self, room - (now->n - 1 - i));
        } else {
            arcs_add(&arcs, now->last[i], now->owner[i], 0);
        }
    }
    err = arcs_finish(&arcs);
    if (err) {
        arcs_fini(&arcs);
        return err;
    }
    arcs_fini(now);
    *now = arcs;
    return 0;
}

/* --- reading one ------------------------------------------------------------------------------------------------- */

static inline unsigned find_arc(const struct arcs *a, uint32_t point) {
    unsigned i = a->first[point >> a->shift];
    while (a->last[i] < point) i++;
    return i;
}

unsigned ring_owner(const struct ring *r, uint32_t point) {
    return r->arcs.owner[find_arc(&r->arcs, point)];
}

uint64_t ring_since(const struct ring *r, uint32_t point) {
    return r->arcs.since[find_arc(&r->arcs, point)];
}

void ring_owners(const struct ring *r, const char *const key[], const uint32_t len[], unsigned n, uint16_t owner[],
                 uint64_t since[]) {
    for (unsigned from = 0; from < n; from += BATCH) {
        uint32_t point[BATCH];
        unsigned some = n - from < BATCH ? n - from : BATCH;
        md5_first(key + from, len + from, some, point);
        for (unsigned i = 0; i < some; i++) {
            unsigned arc = find_arc(&r->arcs, point[i]);
            owner[from + i] = r->arcs.owner[arc];
            if (since) since[from + i] = r->arcs.since[arc];
        }
    }
}

uint64_t ring_version(const struct ring *r) {
    return r->version;
}

unsigned ring_nmembers(const struct ring *r) {
    return r->nmembers;
}

const struct ring_member *ring_member(const struct ring *r, unsigned i) {
    return &r->members[i];
}

unsigned ring_find(const struct ring *r, const struct cluster_id *id) {
    for (unsigned i = 0; i < r->nmembers; i++)
        if (cluster_id_equal(&r->members[i].id, id)) return i;
    return RING_NONE;
}

unsigned ring_points_of(const struct ring *r, unsigned i) {
    return r->points_of[i];
}

unsigned ring_points(const struct ring *r) {
    return r->npoints;
}

uint64_t ring_share(const struct ring *r, unsigned i) {
    return r->share[i];
}

uint64_t ring_digest(const struct ring *r) {
    return r->digest;
}

void ring_id_text(const struct ring *r, char text[RING_ID_TEXT]) {
    snprintf(text, RING_ID_TEXT, "%06x", (unsigned)(r->digest >> 40));
}

struct ring_arcs ring_arcs(const struct ring *r) {
    return (struct ring_arcs){r->arcs.n, r->arcs.last, r->arcs.owner, r->arcs.since};
}
