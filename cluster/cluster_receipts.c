/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/cluster_receipts.h"

#include <stdlib.h>
#include <string.h>

#define ACKS 64 /* remembered of a member and an origin */

/* What a member has acknowledged of an origin, the oldest overwritten first. */
struct acks {
    uint32_t member, origin;
    unsigned n; /* ever */
    struct {
        uint64_t sequence, ns;
    } at[ACKS];
};

struct cluster_receipts {
    /* By via: a node counts its purges, so the counter says the place. */
    struct cluster_receipt all[CLUSTER_RECEIPTS];
    unsigned nconfirmed; /* ever */
    struct purge_via confirmed[CLUSTER_RECEIPTS_CONFIRMED];
    struct acks acks[CLUSTER_RECEIPTS_MEMBERS]; /* by member and origin; two that fall together push each other out */
};

struct cluster_receipts *cluster_receipts_new(void) {
    return calloc(1, sizeof(struct cluster_receipts));
}

void cluster_receipts_free(struct cluster_receipts *r) {
    for (unsigned i = 0; r != NULL && i < CLUSTER_RECEIPTS; i++) free(r->all[i].counts);
    free(r);
}

/* ------------------------------------------------------------------ what happens */

static bool is_of(const struct cluster_receipt *k, struct purge_via via) {
    return via.number != 0 && k->via.number == via.number && k->via.counter == via.counter;
}

static struct cluster_receipt *find(struct cluster_receipts *r, struct purge_via via) {
    struct cluster_receipt *k = &r->all[via.counter % CLUSTER_RECEIPTS];
    return is_of(k, via) ? k : NULL;
}

/* The words of a purge, cut to what is kept. */
static void write_selectors(char *to, const char *text, size_t n) {
    static const char more[] = "...";
    const size_t kept = n <= CLUSTER_PURGE_TEXT_MAX ? n : CLUSTER_PURGE_TEXT_MAX - strlen(more);
    for (size_t i = 0; i < kept; i++) to[i] = text[i];
    for (size_t i = 0; i < kept; i++)
        if (to[i] == ' ') to[i] = ',';
    strcpy(to + kept, kept < n ? more : "");
}

/* One word. */
static void write_by(char to[CLUSTER_PURGE_BY_MAX + 1], const char *by) {
    size_t n = 0;
    for (; by != NULL && by[n] != 0 && n < CLUSTER_PURGE_BY_MAX; n++) to[n] = (unsigned char)by[n] <= ' ' ? '_' : by[n];
    to[n] = 0;
}

void cluster_receipts_begin(struct cluster_receipts *r, uint64_t now_ns, struct purge_via via,
                            const struct cluster_purge *p) {
    struct cluster_receipt *k = &r->all[via.counter % CLUSTER_RECEIPTS];
    k->via = via;
    k->begun_ns = now_ns;
    k->confirmed_ns = 0;
    k->soft = p->soft;
    k->counted = p->counted;
    k->late = k->swept = false;
    k->ncounts = 0;
    write_by(k->by, p->by);
    write_selectors(k->selectors, p->text, p->text_bytes);
}

void cluster_receipts_confirmed(struct cluster_receipts *r, uint64_t now_ns, const struct purging_receipt *last) {
    struct cluster_receipt *k = find(r, last->via);
    if (k == NULL) return;
    k->confirmed_ns = now_ns;
    k->last = *last;
    r->confirmed[r->nconfirmed++ % CLUSTER_RECEIPTS_CONFIRMED] = k->via;
}

void cluster_receipts_late(struct cluster_receipts *r, struct purge_via via) {
    struct cluster_receipt *k = find(r, via);
    if (k != NULL) k->late = true;
}

struct cluster_receipt *cluster_receipts_swept(struct cluster_receipts *r, struct purge_via via) {
    struct cluster_receipt *k = find(r, via);
    if (k == NULL || k->swept || k->confirmed_ns == 0 || k->ncounts < k->last.members) return NULL;
    k->swept = k->counted;
    return k->counted ? k : NULL;
}

static unsigned place_of(uint32_t member, uint32_t origin) {
    return (member + 101 * origin) % CLUSTER_RECEIPTS_MEMBERS;
}

void cluster_receipts_acked(struct cluster_receipts *r, uint64_t now_ns, uint32_t member, uint32_t origin,
                            uint64_t sequence) {
    struct acks *a = &r->acks[place_of(member, origin)];
    if (a->member != member || a->origin != origin) a->n = 0;
    a->member = member;
    a->origin = origin;
    a->at[a->n % ACKS].sequence = sequence;
    a->at[a->n++ % ACKS].ns = now_ns;
}

/* Room for one more count, which is doubled as it is used up. False: no memory. */
static bool room_for_count(struct cluster_receipt *k) {
    if ((k->ncounts & (k->ncounts - 1)) != 0) return true; /* no power of two, and not 0: there is some */
    struct cluster_receipt_count *more = realloc(k->counts, (k->ncounts > 0 ? 2 * k->ncounts : 1) * sizeof *more);
    if (more == NULL) return false;
    k->counts = more;
    return true;
}

void cluster_receipts_counted(struct cluster_receipts *r, uint64_t now_ns, struct purge_via via,
                              const struct cluster_receipt_count *count) {
    struct cluster_receipt *k = find(r, via);
    if (k == NULL || cluster_receipt_count(k, count->member) != NULL || !room_for_count(k)) return;
    k->counts[k->ncounts] = *count;
    k->counts[k->ncounts++].gone_ns = now_ns;
}

/* ------------------------------------------------------------------ looking */

const struct cluster_receipt_count *cluster_receipt_count(const struct cluster_receipt *k, uint32_t member) {
    for (unsigned i = 0; i < k->ncounts; i++)
        if (k->counts[i].member == member) return &k->counts[i];
    return NULL;
}

const struct cluster_receipt *cluster_receipts_by_via(const struct cluster_receipts *r, struct purge_via via) {
    const struct cluster_receipt *k = &r->all[via.counter % CLUSTER_RECEIPTS];
    return is_of(k, via) ? k : NULL;
}

const struct cluster_receipt *cluster_receipts_by_id(const struct cluster_receipts *r, uint32_t origin,
                                                     uint64_t sequence) {
    for (unsigned i = 0; i < CLUSTER_RECEIPTS; i++) {
        const struct cluster_receipt *k = &r->all[i];
        if (k->confirmed_ns != 0 && k->last.origin == origin && k->last.sequence == sequence) return k;
    }
    return NULL;
}

const struct cluster_receipt *cluster_receipts_recent(const struct cluster_receipts *r, unsigned i) {
    if (i >= CLUSTER_RECEIPTS_CONFIRMED || i >= r->nconfirmed) return NULL;
    return cluster_receipts_by_via(r, r->confirmed[(r->nconfirmed - 1 - i) % CLUSTER_RECEIPTS_CONFIRMED]);
}

uint64_t cluster_receipts_acked_ns(const struct cluster_receipts *r, uint32_t member, uint32_t origin,
                                   uint64_t sequence) {
    const struct acks *a = &r->acks[place_of(member, origin)];
    uint64_t ns = 0;
    if (a->member != member || a->origin != origin) return 0;
    /* From the newest back, as long as it covers the event; one that was there before the oldest is not known. */
    for (unsigned i = 0; i < a->n && i < ACKS; i++) {
        const unsigned at = (a->n - 1 - i) % ACKS;
        if (a->at[at].sequence < sequence) return ns;
        ns = a->at[at].ns;
    }
    return a->n <= ACKS ? ns : 0;
}
