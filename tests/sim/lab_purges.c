/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A process: it drives the machine of the purges as cluster/cluster_purges.c does, and applies what it says to its
 * store. */
#include <string.h>

#include "base/check.h"
#include "tests/sim/lab_state.h"

#define SHORT_LOG_BYTES 8192
#define PURGE_BYTES 256 /* of the log for each purge that is likely: it forgets none */

/* ------------------------------------------------------------------ upcalls */

static void send_purge(void *arg, uint32_t member, const struct peer_purge *m) {
    struct lab_process *x = arg;
    const struct configuration *now = config_current(x->config);
    const struct configuration_member *to = now == NULL ? NULL : configuration_by_number(now, member);
    if (to == NULL) return;
    const int place = lab_place_named(x->lab, to->name);
    lab_check_message(x, m);
    if (place >= 0 && lab_links_are(x, (unsigned)place, to)) lab_links_purge(x, (unsigned)place, m);
}

/* From now on no request is answered with what the batch selects. since: the process's clock when it was to be applied;
 * for a soft purge's time stale copies are served from then on, as the store in production has it. */
static void take_effect(struct lab_process *x, const struct purging_batch *b, bool soft, uint64_t since) {
    struct lab *l = x->lab;
    lab_store_purge_begin(&x->store);
    for (unsigned i = 0; i < b->nselectors; i++) {
        const struct purge_selector *sel = &b->selectors[i];
        const struct lab_list *list = lab_items_list(l, sel);
        if (list == NULL) { /* the purge's own tag, which stands behind what it selects */
            const uint32_t pid = (uint32_t)sel->tags[0];
            x->applied[pid / 64] |= UINT64_C(1) << (pid % 64);
            continue;
        }
        struct lab_purged *what = &x->store.all;
        if (list >= l->by_tag && list < l->by_tag + LAB_TAGS) what = &x->store.tag[list - l->by_tag];
        if (list >= l->by_pair && list < l->by_pair + LAB_KEYS) what = &x->store.pair[list - l->by_pair];
        lab_store_purge(&x->store, what, since, soft, b->ttl_s);
    }
}

static bool apply(void *arg, const struct purging_batch *b) {
    struct lab_process *x = arg;
    struct lab *l = x->lab;
    CHECK(x->batch == NULL);
    for (unsigned i = 0; i < b->nselectors; i++)
        if (lab_items_list(l, &b->selectors[i]) == NULL) lab_check_applies(x, (uint32_t)b->selectors[i].tags[0]);
    /* Without a lease it may have been confirmed long ago: no stale copy is served for its time from now on. */
    const uint64_t now = sim_local(l->s, x->place);
    const bool held = lab_node_leases(x).tag_ns > now;
    const bool soft = b->soft && (held || l->o.shortcut == LAB_SOFT_ANYWAY);
    l->r->soft_as_hard += b->soft && !soft;
    if (l->o.faults & LAB_SLOW && sim_chance(l->s, l->calm ? 1000 : 30000)) {
        x->batch = b;
        x->batch_soft = soft;
        x->batch_ns = now;
        const uint64_t takes = sim_below(l->s, 400 * SIM_MS);
        sim_set_timer(l->s, x->place, LAB_TIMER_BATCH, now + takes);
        return false;
    }
    take_effect(x, b, soft, now);
    return true;
}

void lab_purges_applied(struct lab_process *x) {
    const struct purging_batch *b = x->batch;
    if (b == NULL) return;
    x->batch = NULL;
    take_effect(x, b, x->batch_soft, x->batch_ns);
    purging_applied(x->purging, sim_local(x->lab->s, x->place));
}

static void raise_floor(void *arg, bool everything) {
    struct lab_process *x = arg;
    sim_note(x->lab->s, x->place, "raises the floor of %s", everything ? "everything" : "tagged items");
    *(everything ? &x->floor_all_ns : &x->floor_tagged_ns) = sim_now(x->lab->s);
    x->lab->r->floors++;
    x->lab->r->floors_all += everything;
    x->lab->r->floors_epoch += x->adopting && !everything;
    x->lab->r->floors_new += everything && !purging_begun(x->purging);
    lab_store_floor(&x->store, everything);
}

static void outcome(void *arg, uint64_t token, const struct purging_receipt *r) {
    struct lab_process *x = arg;
    struct lab *l = x->lab;
    struct lab_purge *p = &l->purge[token];
    static const char *const names[] = {"confirmed", "pending", "local", "not made", "unknown"};
    const uint64_t took = sim_now(l->s) - p->asked_ns;
    sim_note(l->s, x->place, "tells the client of purge %llu: %s, %u of %u, id %u-%llu", (unsigned long long)token,
             names[r->status], r->acked, r->members, r->origin, (unsigned long long)r->sequence);
    if (r->status == PURGING_LOG_FULL) p->refused = true;
    if (r->status != PURGING_CONFIRMED) return;
    l->r->confirmed++;
    ++*(took < config_waited_ms(config_current(x->config)->tag_lease_ms) * SIM_MS ? &l->r->confirmed_fast
                                                                                  : &l->r->confirmed_slow);
    if (took > l->r->confirm_max_ns) l->r->confirm_max_ns = took;
    lab_check_confirm(l, (uint32_t)token);
}

static void newer(void *arg, uint32_t member, uint64_t version) {
    struct lab_process *x = arg;
    const struct configuration *now = config_current(x->config);
    const struct configuration_member *m = now == NULL ? NULL : configuration_by_number(now, member);
    if (m == NULL) return;
    struct config_in in = {.kind = CONFIG_IN_VERSION, .from = {.id = m->id, .boot = m->boot}, .number = version};
    memcpy(in.from.name, m->name, sizeof in.from.name);
    memcpy(in.from.address, m->address, sizeof in.from.address);
    x->newer = in; /* the machine of the purges may not be called from here, and adopting does */
    x->newer_wanted = true;
}

/* ------------------------------------------------------------------ inputs */

void lab_purges_new(struct lab_process *x) {
    const struct lab_options *o = &x->lab->o;
    const struct purging_config cfg = {
        .log_bytes = o->faults & LAB_HORIZON ? SHORT_LOG_BYTES : PURGE_BYTES * o->purges_per_s * o->seconds,
        .boot = config_self(x->config)->boot,
        .events = {x, send_purge, apply, raise_floor, outcome, newer, NULL, NULL},
    };
    CHECK(purging_new(&cfg, sim_local(x->lab->s, x->place), &x->purging) == 0);
}

void lab_purges_adopt(struct lab_process *x) {
    const uint64_t now = sim_local(x->lab->s, x->place);
    if (x->purging == NULL) return;
    x->adopting = true;
    CHECK(purging_adopt(x->purging, now, config_current(x->config), config_number(x->config)) == 0);
    x->adopting = false;
    for (unsigned i = 0; i < x->lab->o.places; i++)
        if (x->peers[i].known) lab_purges_link(x, &x->peers[i].id, true);
}

void lab_purges_link(struct lab_process *x, const struct cluster_id *id, bool up) {
    const struct configuration *now = config_current(x->config);
    const struct configuration_member *m = now == NULL ? NULL : configuration_by_id(now, id);
    if (m != NULL) purging_link(x->purging, sim_local(x->lab->s, x->place), m->number, up);
}

void lab_purges_receive(struct lab_process *x, unsigned place, const struct peer_purge *m) {
    const struct configuration *now = config_current(x->config);
    const struct lab_peer *from = &x->peers[place];
    const struct configuration_member *sender = now == NULL ? NULL : configuration_by_id(now, &from->id);
    const uint64_t local = sim_local(x->lab->s, x->place);
    if (sender == NULL || sender->boot != from->boot) return; /* not a member as far as this node knows */
    const uint32_t number = sender->number;
    purging_receive(x->purging, local, number, m);
    if (m->kind == PEER_PURGE_POLL && m->boot == from->boot) {
        lab_node_input(x, &(struct config_in){.kind = CONFIG_IN_HEARD, .number = number, .version = m->version});
    } else if (m->kind == PEER_PURGE_POLL_ANSWER) {
        for (unsigned i = 0; i < now->nvoters; i++)
            if (now->voters[i].member == number) x->voter_heard_ns[i] = local;
    }
}

void lab_purges_end(struct lab_process *x) {
    struct purging_counters c;
    if (x->purging == NULL) return;
    purging_read_counters(x->purging, &c);
    x->lab->r->alone += c.alone;
    x->lab->r->floors_horizon += c.floors;
    x->lab->r->repeated += c.repeated;
    purging_free(x->purging);
    x->purging = NULL;
    x->batch = NULL;
}
