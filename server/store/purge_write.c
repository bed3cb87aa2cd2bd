/* SPDX-License-Identifier: BSD-3-Clause
 *
 * purge_write - applying a purge: all its selectors get places first, then one version. The table's mutex is held. */
#include "base/check.h"
#include "base/fault.h"
#include "base/sync.h"
#include "store/purge.h"

/* ------------------------------------------------------------------ places */

/* The record of a conjunction, or a free or retired one made into it; NULL when the pair's set is full. */
static struct purge_record *record(struct purge_table *t, uint64_t pair, const uint64_t *sorted, unsigned n) {
    struct purge_record *set = &t->records[pair % t->nsets * PURGE_SET], *use = NULL;
    const uint32_t bit = t->nbuckets * PURGE_WAYS + (uint32_t)(set - t->records);
    for (unsigned s = 0; s < PURGE_SET; s++) {
        struct purge_record *r = &set[s];
        if (r->pair == pair && r->ntags == n && memcmp(r->tags, sorted, n * sizeof *sorted) == 0) return r;
        if (purge_held(t, bit + s)) continue;
        if (r->pair == 0 || (r->hard <= t->swept && r->soft <= t->swept)) use = r;
    }
    if (use == NULL) return NULL;
    purge_touch(t, use, sizeof *use);
    if (use->pair) {
        /* Retired, but a fill guarded by something older must still be refused. */
        uint64_t newest = use->hard > use->soft ? use->hard : use->soft;
        struct purge_bucket *b = purge_first(t, purge_more_key(use->pair));
        purge_touch(t, b, sizeof *b);
        purge_raise(&b->fill_floor, newest);
    }
    sync_sequence_write_begin(&use->sequence);
    sync_store_rel(&use->pair, 0);
    sync_store_rel(&use->hard, 0);
    sync_store_rel(&use->soft, 0);
    sync_store_rel(&use->deadline, 0);
    sync_store_rel(&use->ntags, n);
    for (unsigned i = 0; i < n; i++) sync_store_rel(&use->tags[i], sorted[i]);
    sync_store_rel(&use->pair, pair);
    sync_sequence_write_end(&use->sequence);
    return use;
}

static enum purge_place add_key(struct purge_table *t, struct purge_plan *plan, uint64_t key, bool sign) {
    struct purge_cell *c = &plan->cells[plan->ncells];
    enum purge_place got = purge_place(t, key, c);
    if (got != PURGE_PLACED) return got;
    c->sign = sign;
    plan->ncells++;
    return got;
}

/* The pair, or the record that it leads to; and the signposts. */
static enum purge_place add_conjunction(struct purge_table *t, struct purge_plan *plan, const uint64_t *sorted,
                                        unsigned n) {
    const uint64_t pair = purge_pair_key(sorted[0], sorted[1]);
    enum purge_place got = PURGE_PLACED;
    if (n > PURGE_RECORD_TAGS) return PURGE_NEVER;
    if (n > 2) {
        struct purge_record *r = record(t, pair, sorted, n);
        if (r == NULL) return PURGE_NEVER;
        const uint32_t bit = t->nbuckets * PURGE_WAYS + (uint32_t)(r - t->records);
        plan->cells[plan->ncells++] = (struct purge_cell){&r->hard, &r->soft, &r->deadline, bit, false};
        purge_hold(t, bit);
        got = add_key(t, plan, purge_more_key(pair), true);
    } else {
        got = add_key(t, plan, pair, false);
    }
    if (got == PURGE_PLACED) got = add_key(t, plan, purge_signpost_key(sorted[0]), true);
    if (got == PURGE_PLACED) plan->conjunction = true;
    return got;
}

static enum purge_place add_selector(struct purge_table *t, struct purge_plan *plan, const struct store_selector *sel) {
    uint64_t sorted[STORE_SELECTOR_TAGS_MAX];
    unsigned n = 0;
    if (sel->all) {
        plan->cells[plan->ncells++] =
            (struct purge_cell){&t->star_hard, &t->star_soft, &t->star_deadline, PURGE_UNHELD, false};
        plan->star = true;
        return PURGE_PLACED;
    }
    CHECK(sel->ntags > 0 && sel->ntags <= STORE_SELECTOR_TAGS_MAX);
    memcpy(sorted, sel->tags, sel->ntags * sizeof *sorted);
    purge_sort(sorted, sel->ntags);
    for (unsigned i = 0; i < sel->ntags; i++)
        if (n == 0 || sorted[n - 1] != sorted[i]) sorted[n++] = sorted[i];
    return n > 1 ? add_conjunction(t, plan, sorted, n) : add_key(t, plan, sorted[0], false);
}

static void release(struct purge_table *t, const struct purge_plan *plan, unsigned from) {
    for (unsigned i = from; i < plan->ncells; i++)
        if (plan->cells[i].held != PURGE_UNHELD) purge_release(t, plan->cells[i].held);
}

/* A selector that cannot be filed gives back what it got; what those before it have got, too, stays held. */
static void drop_cells(struct purge_table *t, struct purge_plan *plan, unsigned from) {
    release(t, plan, from);
    plan->ncells = from;
    for (unsigned i = 0; i < from; i++)
        if (plan->cells[i].held != PURGE_UNHELD) purge_hold(t, plan->cells[i].held);
}

bool purge_prepare(struct purge_table *t, const struct store_selector *sel, unsigned nsel, struct purge_plan *plan) {
    CHECK(nsel > 0 && nsel <= STORE_SELECTORS_MAX);
    plan->ncells = 0;
    plan->conjunction = plan->star = plan->sweep = false;
    for (unsigned i = 0; i < nsel; i++) {
        const unsigned before = plan->ncells;
        switch (add_selector(t, plan, &sel[i])) {
        case PURGE_PLACED: break;
        case PURGE_FULL: release(t, plan, 0); return false;
        case PURGE_NEVER:
            drop_cells(t, plan, before);
            plan->sweep = true;
            break;
        }
    }
    return true;
}

/* ------------------------------------------------------------------ the version */

static void announce(const struct purge_cell *c) {
    sync_store_seq(c->hard, *c->hard | PURGE_PENDING);
}

/* Writes version p, which ends the announcement. */
static void write_version(const struct purge_cell *c, uint64_t p, bool soft, uint32_t deadline, uint32_t now) {
    uint64_t hard = PURGE_VERSION(*c->hard);
    if (!soft) {
        sync_store_rel(c->hard, p);
        return;
    }
    if (FAULT_POINT("purge.mutate.one_number")) hard = 0;
    if (*c->soft > hard) {
        if (*c->deadline <= now)
            hard = *c->soft; /* its time is over: it counts as hard */
        else if (*c->deadline < deadline)
            deadline = *c->deadline; /* two soft purges share the earlier deadline */
    }
    uint64_t still_pending = hard | PURGE_PENDING;
    sync_store_rel(c->hard, still_pending);
    sync_store_rel(c->deadline, deadline);
    sync_store_rel(c->soft, p);
    sync_store_rel(c->hard, hard);
}

/* An entry that is written for the first time since the latest pass began is for the next one to carry out. */
static void count_unswept(struct purge_table *t, const struct purge_cell *c) {
    const uint64_t hard = PURGE_VERSION(*c->hard), newest = hard > *c->soft ? hard : *c->soft;
    if (c->held < t->nbuckets * PURGE_WAYS && newest <= t->pass) sync_bump(&t->unswept[0], 1);
}

/* Takes the version between the announcement and the writing. */
static uint64_t take_version(uint64_t *counter) {
    (void)FAULT_POINT("purge.announced");
    uint64_t p = sync_add_acqrel(counter, 1);
    (void)FAULT_POINT("purge.versioned");
    return p;
}

uint64_t purge_commit(struct purge_table *t, uint64_t *counter, const struct purge_plan *plan, bool soft,
                      uint32_t deadline, uint32_t now, uint64_t *version) {
    /* Pending: whoever guards a fill looks for conjunctions; or, if one is not in the table, is refused. */
    if (plan->conjunction) sync_store_seq(&t->conj_seq, UINT64_MAX);
    if (plan->sweep) {
        sync_store_seq(&t->fence, UINT64_MAX);
        sync_store_seq(&t->unfiled, UINT64_MAX);
    }
    for (unsigned i = 0; i < plan->ncells; i++)
        if (!FAULT_POINT("purge.mutate.no_announcement")) announce(&plan->cells[i]);
    uint64_t p = take_version(counter);
    if (version) sync_store_rel(version, p);
    if (FAULT_POINT("purge.mutate.seq_first")) {
        sync_store_seq(&t->seq, p);
        (void)FAULT_POINT("purge.mutated");
    }
    for (unsigned i = plan->ncells; i-- > 0;) {
        const struct purge_cell *c = &plan->cells[i];
        count_unswept(t, c);
        write_version(c, p, soft && !c->sign, deadline, now);
    }
    (void)FAULT_POINT("purge.written");
    if (plan->sweep) {
        sync_store_seq(&t->fence, p);
        sync_store_seq(&t->unfiled, p);
    }
    if (plan->conjunction) sync_store_seq(&t->conj_seq, p);
    if (plan->star) sync_store_seq(&t->star_seq, p);
    release(t, plan, 0);
    if (!FAULT_POINT("purge.mutate.no_seq")) sync_store_seq(&t->seq, p);
    return p;
}

uint64_t purge_commit_tagged(struct purge_table *t, uint64_t *counter) {
    sync_store_seq(&t->tagged, t->tagged | PURGE_PENDING);
    const uint64_t p = take_version(counter);
    sync_store_rel(&t->tagged, p);
    sync_store_seq(&t->star_seq, p);
    sync_store_seq(&t->seq, p);
    return p;
}
