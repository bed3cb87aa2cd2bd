/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The membership: SWIM's machine on the cluster's thread. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/rand.h"
#include "cluster/cluster_state.h"

/* ------------------------------------------------------------------ what the machine wants */

static void send_datagram(struct cluster *c, const struct swim_out *out) {
    const struct member *m = member_at(swim_members(c->swim), out->slot);
    uint8_t bytes[PEER_DATAGRAM_MAX];
    peer_arena_reset(&c->scratch);
    const size_t n = peer_swim_pack(out->datagram, &c->scratch, bytes, sizeof bytes);
    if (n == 0) return;
    (void)transport_place(c->transport, &m->id, m->address);
    (void)transport_datagram(c->transport, &m->id, bytes, n);
}

/* Sends the whole table to a node. */
static void send_table(struct cluster *c, const struct cluster_id *to, const char *address, bool reply) {
    struct peer_swim_update updates[256];
    unsigned next = 0;
    struct peer_sync part = {.reply = reply};
    do {
        swim_sync_part(c->swim, &next, updates, sizeof updates / sizeof *updates, &part);
        peer_arena_reset(&c->scratch);
        const size_t n = peer_sync_pack(&part, &c->scratch, c->packed, PEER_CONTROL_MAX);
        if (n == 0) return;
        cluster_send(c, to, address, c->packed, n);
    } while (!part.last);
}

static void sync(struct cluster *c, const struct swim_out *out) {
    const struct member *m = member_at(swim_members(c->swim), out->slot);
    if (out->reply)
        send_table(c, &c->sync_from, NULL, true);
    else if (m != NULL)
        send_table(c, &m->id, m->address, false);
    else
        (void)transport_try(c->transport, out->address); /* cluster_members_peer_up goes on */
}

static void log_change(struct cluster *c, const struct member *m, enum swim_change change) {
    static const struct {
        enum cluster_event event;
        const char *name;
    } lines[] = {
        [SWIM_JOINED] = {CLUSTER_EVENT_JOINED, "joined"},    [SWIM_SUSPECTED] = {CLUSTER_EVENT_SUSPECT, "suspect"},
        [SWIM_DIED] = {CLUSTER_EVENT_DEAD, "dead"},          [SWIM_REFUTED] = {CLUSTER_EVENT_REFUTED, "refuted"},
        [SWIM_RESTARTED] = {CLUSTER_EVENT_JOINED, "joined"}, [SWIM_ENDED] = {CLUSTER_EVENT_LEFT, "left"},
    };
    if (change >= sizeof lines / sizeof *lines || lines[change].name == NULL) return;
    if (!cluster_may_log(c, lines[change].event)) return;
    log_event(c->cfg.log, LOG_ALWAYS, lines[change].name, "node=%s addr=%s boot=%llu", m->name, m->address,
              (unsigned long long)m->boot);
}

static void changed(struct cluster *c, const struct swim_out *out) {
    const struct member *m = member_at(swim_members(c->swim), out->slot);
    if (m == NULL) return;
    const bool active = member_is_active(m);
    log_change(c, m, out->change);
    if (out->change != SWIM_REMOVED) (void)transport_place(c->transport, &m->id, m->address);
    cluster_view_state(c, &m->id, m->state == PEER_SWIM_ALIVE || m->state == PEER_SWIM_SUSPECT);
    struct config_in in = {.kind = CONFIG_IN_ALIVE, .from = {.id = m->id, .boot = m->boot}, .flag = active};
    cluster_agree_input(c, &in);
    if (out->change == SWIM_REMOVED) transport_forget(c->transport, &m->id);
}

static void conflict(struct cluster *c, const struct swim_out *out) {
    const struct member *a = member_at(swim_members(c->swim), out->slot);
    const struct member *b = member_at(swim_members(c->swim), out->other);
    if (a == NULL || b == NULL || !cluster_may_log(c, CLUSTER_EVENT_CONFLICT)) return;
    log_event(c->cfg.log, LOG_ALWAYS, "conflict",
              "what=%s node=%s addr=%s other=%s other_addr=%s reason=\"two live nodes "
              "have one %s: stop one, or give it another %s\"",
              out->change == SWIM_NAME ? "name" : "address", a->name, a->address, b->name, b->address,
              out->change == SWIM_NAME ? "name" : "address",
              out->change == SWIM_NAME ? "--ring-name" : "--cluster-advertise");
}

/* A member has another configuration, or another vector of purges. */
static void hint(struct cluster *c, const struct swim_out *out) {
    const struct member *m = member_at(swim_members(c->swim), out->slot);
    const struct configuration *now = config_current(c->config);
    uint64_t meta[2];
    if (m == NULL || out->n != sizeof meta || now == NULL) return;
    memcpy(meta, out->bytes, sizeof meta);
    const struct configuration_member *listed = configuration_by_id(now, &m->id);
    if (meta[0] > now->version) {
        struct config_in in = {.kind = CONFIG_IN_VERSION, .from = {.id = m->id, .boot = m->boot}, .number = meta[0]};
        snprintf(in.from.address, sizeof in.from.address, "%s", m->address);
        snprintf(in.from.name, sizeof in.from.name, "%s", m->name);
        cluster_agree_input(c, &in);
    } else if (meta[0] == now->version && listed != NULL) {
        purging_hint(c->purging, cluster_now(c), listed->number, meta[1]);
    }
}

/* ------------------------------------------------------------------ driving it */

static void emit(void *arg, const struct swim_out *out) {
    struct cluster *c = arg;
    switch (out->kind) {
    case SWIM_OUT_DATAGRAM: send_datagram(c, out); break;
    case SWIM_OUT_PING_TCP: {
        const struct member *m = member_at(swim_members(c->swim), out->slot);
        cluster_ping(c, false, &m->id, out->number, m->address);
        break;
    }
    case SWIM_OUT_SYNC: sync(c, out); break;
    case SWIM_OUT_CHANGED: changed(c, out); break;
    case SWIM_OUT_CONFLICT: conflict(c, out); break;
    case SWIM_OUT_META: hint(c, out); break;
    case SWIM_OUT_OUTDATED:
        if (cluster_may_log(c, CLUSTER_EVENT_CONFLICT))
            log_event(
                c->cfg.log, LOG_ALWAYS, "outdated",
                "boot=%llu reason=\"a newer process has the identity of this node's state directory: give each node "
                "a directory of its own\"",
                (unsigned long long)out->boot);
        break;
    case SWIM_OUT_LEFT: event_base_loopbreak(c->base); break;
    }
}

void cluster_members_input(struct cluster *c, struct swim_in *in) {
    const struct swim_sink sink = {c, emit};
    swim_input(c->swim, cluster_now(c), in, &sink);
    cluster_touch(c);
}

void cluster_members_datagram(struct cluster *c, const struct datagram_sender *from, const Peer__Datagram *m) {
    struct peer_swim message;
    peer_arena_reset(&c->arena);
    if (!peer_swim_read(m, &c->arena, &c->counts, &message)) {
        c->malformed++;
        return;
    }
    struct swim_in in = {.kind = SWIM_IN_DATAGRAM, .from = from->id, .boot = from->boot, .datagram = &message};
    cluster_members_input(c, &in);
}

void cluster_members_sync(struct cluster *c, const struct cluster_peer *from, const Peer__Control *m) {
    struct peer_sync part;
    peer_arena_reset(&c->arena);
    if (!peer_sync_read(m, &c->arena, &c->counts, &part)) {
        c->malformed++;
        return;
    }
    c->sync_from = from->id;
    struct swim_in in = {.kind = SWIM_IN_SYNC, .from = from->id, .boot = from->boot, .link = 1, .sync = &part};
    cluster_members_input(c, &in);
}

/* Who is not known yet, or believed dead, is asked for all it knows, and told all. */
void cluster_members_peer_up(struct cluster *c, const struct cluster_peer *p) {
    const struct members *all = swim_members(c->swim);
    const struct member *m = member_at(all, member_find(all, &p->id));
    if (m == NULL || m->boot != p->boot || !member_is_active(m)) send_table(c, &p->id, NULL, false);
}

void cluster_members_meta(struct cluster *c) {
    const struct configuration *now = config_current(c->config);
    const uint64_t meta[2] = {now != NULL ? now->version : 0, purging_hash(c->purging)};
    if (memcmp(meta, c->meta, sizeof meta) == 0) return;
    memcpy(c->meta, meta, sizeof meta);
    cluster_members_input(c, &(struct swim_in){.kind = SWIM_IN_META, .bytes = meta, .n = sizeof meta});
}

static void tell_seeds(struct cluster *c) {
    cluster_members_input(c, &(struct swim_in){.kind = SWIM_IN_SEEDS, .texts = c->seeds, .n = c->nseeds});
}

bool cluster_members_add_seed(struct cluster *c, const char *address) {
    char *text = c->nseeds < SWIM_SEEDS_MAX ? strdup(address) : NULL;
    if (text == NULL) return false;
    c->seeds[c->nseeds++] = text;
    tell_seeds(c);
    return true;
}

int cluster_members_new(struct cluster *c) {
    const struct config_peer *self = config_self(c->config);
    struct swim_config cfg = {
        .id = self->id, .boot = self->boot, .name = c->ring_name, .address = c->advertise, .seed = rand_secret()};
    swim_timing_default(&cfg.timing);
    c->swim = swim_new(&cfg, cluster_now(c));
    if (c->swim == NULL) return -ENOMEM;
    memset(c->meta, 0, sizeof c->meta);
    if (c->nseeds == 0)
        for (; c->nseeds < c->cfg.njoin && c->nseeds < SWIM_SEEDS_MAX; c->nseeds++)
            c->seeds[c->nseeds] = c->cfg.join[c->nseeds];
    tell_seeds(c);
    return 0;
}
