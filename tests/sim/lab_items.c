/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Keys, what purges select of them, and what is checked of every hit. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/lab_state.h"

#define TAG_BASE (UINT64_C(1) << 40) /* above it: tags of items; below: those that are a purge's own */

/* ------------------------------------------------------------------ keys and selectors */

void lab_items_init(struct lab *l) {
    for (unsigned k = 0; k < LAB_KEYS; k++) {
        struct lab_key *key = &l->keys[k];
        snprintf(l->names[k], sizeof l->names[k], "key-%u", k);
        key->ntags = k < LAB_KEYS / 6 ? 0 : k % 3 == 0 ? 1 : 2;
        key->tag[0] = (unsigned)sim_below(l->s, LAB_TAGS - 1);
        key->tag[1] = key->tag[0] + 1 + (unsigned)sim_below(l->s, LAB_TAGS - 1 - key->tag[0]);
        key->pair = k;
        for (unsigned i = 0; i < k; i++)
            if (l->keys[i].ntags == 2 && l->keys[i].tag[0] == key->tag[0] && l->keys[i].tag[1] == key->tag[1])
                key->pair = l->keys[i].pair;
    }
}

void lab_items_fini(struct lab *l) {
    for (unsigned i = 0; i < LAB_TAGS; i++) free(l->by_tag[i].pids);
    for (unsigned i = 0; i < LAB_KEYS; i++) free(l->by_pair[i].pids);
    free(l->of_all.pids);
}

uint64_t lab_items_tag(unsigned tag) {
    return TAG_BASE + tag;
}

struct lab_list *lab_items_list(struct lab *l, const struct purge_selector *s) {
    if (s->ntags == 0) return &l->of_all;
    if (s->ntags == 1) return s->tags[0] < TAG_BASE ? NULL : &l->by_tag[s->tags[0] - TAG_BASE];
    for (unsigned k = 0; k < LAB_KEYS; k++) {
        const struct lab_key *key = &l->keys[k];
        if (key->ntags == 2 && lab_items_tag(key->tag[0]) == s->tags[0] && lab_items_tag(key->tag[1]) == s->tags[1])
            return &l->by_pair[key->pair];
    }
    CHECK(false);
    return NULL;
}

void lab_items_asked(struct lab_list *list, uint32_t pid) {
    if (list->n == list->room) {
        list->room = 2 * list->room + 32;
        list->pids = realloc(list->pids, list->room * sizeof *list->pids);
        CHECK(list->pids != NULL);
    }
    list->pids[list->n++] = pid;
}

/* ------------------------------------------------------------------ hits */

struct hit {
    struct lab *lab;
    const struct lab_process *x;
    unsigned place, key;
    uint64_t invoked_ns, read_ns;
    bool stale;
};

/* Whether the process's vector claims the purge. */
static bool is_claimed(const struct lab_process *x, const struct lab_purge *p) {
    struct peer_purge_seen v[PEER_PURGE_VECTOR_MAX];
    const struct lab_origin *o = &x->lab->origins[p->origin];
    const struct configuration *c = config_current(x->config);
    if (p->origin == 0 || c == NULL || !cluster_id_equal(&o->cluster, &c->cluster)) return false;
    const unsigned n = purging_vector(x->purging, v);
    for (unsigned i = 0; i < n; i++)
        if (v[i].origin == o->number) return v[i].sequence >= p->sequence;
    return false;
}

/* A hit on a value that was read before this purge was asked for. */
static void look_at(const struct hit *h, uint32_t pid) {
    const struct lab_purge *p = &h->lab->purge[pid];
    const bool confirmed = p->confirmed_ns != 0 && p->confirmed_ns < h->invoked_ns;
    if (p->soft && h->stale) {
        /* where it was applied as hard it is gone; else it is served for its time, by a clock that may be slow */
        const uint64_t most_ns = p->confirmed_ns + p->ttl_s * SIM_S * 20 / 19 + 1;
        if (confirmed && h->invoked_ns > most_ns) lab_check_violation(h->lab, LAB_SOFT_LATE, h->place, pid, h->key);
        return;
    }
    if (confirmed) lab_check_violation(h->lab, LAB_STALE, h->place, pid, h->key);
    if (h->x == NULL) return;
    /* Of what it had applied as another node it knows no more than others tell it; but its own purges it sees through.
     */
    const bool own = p->asker == h->x && p->asker_resets == h->x->resets;
    if (lab_check_has_applied(h->x, pid) && (own || h->x->applied_life[pid] == h->x->life))
        lab_check_violation(h->lab, LAB_OLDER, h->place, pid, h->key);
    else if (is_claimed(h->x, p))
        lab_check_violation(h->lab, LAB_BELOW_VECTOR, h->place, pid, h->key);
}

static void look_through(const struct hit *h, const struct lab_list *list) {
    for (unsigned i = list->n; i-- > 0 && h->lab->purge[list->pids[i]].asked_ns > h->read_ns;)
        if (!h->lab->purge[list->pids[i]].refused) look_at(h, list->pids[i]);
}

void lab_items_hit(struct lab *l, const struct lab_process *x, unsigned place, unsigned key, uint64_t invoked_ns,
                   uint64_t read_ns, bool stale) {
    const struct lab_key *k = &l->keys[key];
    const struct hit h = {
        .lab = l, .x = x, .place = place, .key = key, .invoked_ns = invoked_ns, .read_ns = read_ns, .stale = stale};
    look_through(&h, &l->of_all);
    for (unsigned i = 0; i < k->ntags; i++) look_through(&h, &l->by_tag[k->tag[i]]);
    if (k->ntags == 2) look_through(&h, &l->by_pair[k->pair]);
    if (l->deleted_ns[key] == 0 || invoked_ns < l->deleted_ns[key]) return;
    l->r->deletes_checked++;
    if (read_ns < l->written_ns[key]) lab_check_violation(l, LAB_UNDELETED, place, key, 0);
}

/* ------------------------------------------------------------------ deletes */

/* Whether the process gave the copy; or took the key over, by a later ring, from the one that did. */
static bool answers_for(const struct lab_process *x, const struct lab_process *giver, const struct lab_copy *copy,
                        unsigned key) {
    if (x == giver || x->ring == NULL) return x == giver;
    return x->took_from[key] == giver && cluster_id_equal(&x->ring_cluster, &copy->cluster) &&
           ring_version(x->ring) > copy->ring_version;
}

void lab_items_copy(struct lab *l, const struct lab_copy *copy, unsigned place, unsigned key, uint64_t invoked_ns) {
    for (unsigned i = 0; i < l->o.places; i++) {
        const struct lab_process *x = lab_place_at(l, i);
        if (x == NULL || !answers_for(x, l->all[copy->giver], copy, key)) continue;
        if (x->deleted_ns[key] == 0 || invoked_ns <= x->deleted_ns[key]) continue;
        l->r->copies_checked++;
        if (copy->read_ns < x->written_ns[key]) lab_check_violation(l, LAB_COPY_CHANGED, place, key, x->place);
    }
}

/* An owner by the newest ring has deleted the key: who owned it before may answer with the old value as long as its
 * serve lease runs, and no longer. (Without leases an old owner that is cut off answers until it hears of the ring.) */
void lab_items_deleted(struct lab_process *x, unsigned key, uint64_t written_ns) {
    struct lab *l = x->lab;
    const struct configuration *c = config_current(x->config);
    x->deleted_ns[key] = sim_now(l->s);
    if (written_ns > x->written_ns[key]) x->written_ns[key] = written_ns;
    if (c == NULL || !c->leases || !cluster_id_equal(&c->cluster, &l->cluster[l->ring_cluster]) ||
        ring_version(x->ring) != l->ring_version)
        return;
    if (written_ns <= l->written_ns[key]) return;
    const uint64_t lease_ms = c->serve_wait_ms > c->serve_lease_ms ? c->serve_wait_ms : c->serve_lease_ms;
    l->written_ns[key] = written_ns;
    l->deleted_ns[key] = sim_now(l->s) + config_waited_ms(lease_ms) * SIM_MS;
}

/* ------------------------------------------------------------------ the end */

/* Whether some living member has applied the purge as what it still is. */
static bool somebody_has(const struct lab *l, uint32_t pid) {
    for (unsigned i = 0; i < l->o.places; i++) {
        const struct lab_process *x = lab_place_at(l, i);
        if (x != NULL && lab_check_has_applied(x, pid) && x->applied_life[pid] == x->life) return true;
    }
    return false;
}

static void look_for_older(struct lab *l, const struct lab_process *x, unsigned key, const struct lab_list *list) {
    const struct lab_item *it = &x->store.items[key];
    for (unsigned i = list->n; i-- > 0 && l->purge[list->pids[i]].asked_ns > it->read_ns;) {
        const uint32_t pid = list->pids[i];
        if ((l->purge[pid].soft && it->stale) || !somebody_has(l, pid)) continue;
        lab_check_violation(l, LAB_OUTLIVED, x->place, pid, key);
    }
}

void lab_items_end(struct lab *l) {
    for (unsigned i = 0; i < l->o.places; i++) {
        struct lab_process *x = lab_place_at(l, i);
        for (unsigned k = 0; x != NULL && k < LAB_KEYS; k++) {
            if (!lab_store_has(&x->store, k, sim_local(l->s, i), x->since[k])) continue;
            const struct lab_answer a = lab_store_read(&x->store, k, sim_local(l->s, i), x->since[k]); /* folds */
            if (a.found != LAB_HIT) continue;
            look_for_older(l, x, k, &l->of_all);
            for (unsigned t = 0; t < l->keys[k].ntags; t++) look_for_older(l, x, k, &l->by_tag[l->keys[k].tag[t]]);
            if (l->keys[k].ntags == 2) look_for_older(l, x, k, &l->by_pair[l->keys[k].pair]);
        }
    }
}
