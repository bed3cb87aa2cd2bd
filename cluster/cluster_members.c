/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The membership: SWIM's machine on the cluster's thread. */
#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/rand.h"
#include "cluster/cluster_state.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unversioned"
#endif

#define LAG_STEP_MS 10 /* what pings say of the lag changes by so much at least */

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
    static const char *const events[] = {
        [SWIM_JOINED] = "joined",   [SWIM_SUSPECTED] = "suspect", [SWIM_DIED] = "dead",
        [SWIM_REFUTED] = "refuted", [SWIM_RESTARTED] = "joined",  [SWIM_ENDED] = "left"};
    if (change >= sizeof events / sizeof *events || events[change] == NULL) return;
    cluster_log(c, events[change], "node=%s addr=%s boot=%llu", m->name, m->address, (unsigned long long)m->boot);
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
    if (a == NULL || b == NULL) return;
    /* One node that was started again without its state directory: its older process is gone, and not missed yet. */
    if (strcmp(a->name, b->name) == 0 && strcmp(a->address, b->address) == 0) return;
    cluster_log(c, "conflict",
                "what=%s node=%s addr=%s other=%s other_addr=%s reason=\"two live nodes "
                "have one %s: stop one, or give it another %s\"",
                out->change == SWIM_NAME ? "name" : "address", a->name, a->address, b->name, b->address,
                out->change == SWIM_NAME ? "name" : "address",
                out->change == SWIM_NAME ? "--ring-name" : "--cluster-advertise");
}

/* ------------------------------------------------------------------ what pings carry */

static unsigned pack_meta(uint64_t version, uint64_t hash, uint32_t lag_ms, uint8_t to[PEER_SWIM_META_MAX]) {
    static const char release[] = PACKAGE_VERSION;
    const unsigned most = PEER_SWIM_META_MAX - CLUSTER_META_HEAD;
    const unsigned n = sizeof release - 1 < most ? sizeof release - 1 : most;
    version = htole64(version);
    hash = htole64(hash);
    lag_ms = htole32(lag_ms);
    memcpy(to, &version, sizeof version);
    memcpy(to + 8, &hash, sizeof hash);
    memcpy(to + 16, &lag_ms, sizeof lag_ms);
    memcpy(to + CLUSTER_META_HEAD, release, n);
    return CLUSTER_META_HEAD + n;
}

/* Notes what a member says of itself. */
static void note_said(struct cluster *c, unsigned slot, const struct cluster_id *id, const uint8_t *meta, unsigned n) {
    if (slot >= c->nsaid) {
        const unsigned room = swim_members(c->swim)->nslots; /* slot is one of them */
        struct cluster_said *more = realloc(c->said, room * sizeof *more);
        if (more == NULL) return;
        memset(more + c->nsaid, 0, (room - c->nsaid) * sizeof *more);
        c->said = more;
        c->nsaid = room;
    }
    struct cluster_said *s = &c->said[slot];
    *s = (struct cluster_said){.id = *id};
    memcpy(&s->lag_ms, meta + 16, sizeof s->lag_ms);
    s->lag_ms = le32toh(s->lag_ms);
    for (unsigned i = 0; i < n - CLUSTER_META_HEAD; i++) {
        const uint8_t b = meta[CLUSTER_META_HEAD + i];
        s->release[i] = (char)(isgraph(b) ? b : '?');
    }
}

const struct cluster_said *cluster_members_said(const struct cluster *c, const struct cluster_id *id) {
    const unsigned slot = member_find(swim_members(c->swim), id);
    return slot < c->nsaid && cluster_id_equal(&c->said[slot].id, id) ? &c->said[slot] : NULL;
}

uint64_t cluster_members_silent_ms(const struct cluster *c, const struct cluster_id *id) {
    const struct members *all = swim_members(c->swim);
    const struct member *m = member_at(all, member_find(all, id));
    return m == NULL || member_is_active(m) ? 0 : (cluster_now(c) - m->since_ns) / UINT64_C(1000000);
}

/* A member's pings say which configuration and which vector of purges it has. */
static void hint(struct cluster *c, const struct swim_out *out) {
    const struct member *m = member_at(swim_members(c->swim), out->slot);
    const struct configuration *now = config_current(c->config);
    uint64_t meta[2];
    if (m == NULL || out->n < sizeof meta) return;
    memcpy(meta, out->bytes, sizeof meta);
    meta[0] = le64toh(meta[0]);
    meta[1] = le64toh(meta[1]);
    if (out->n >= CLUSTER_META_HEAD) note_said(c, out->slot, &m->id, out->bytes, out->n);
    if (now == NULL) return;
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
        cluster_log(
            c, "outdated",
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
    const uint64_t lag_ms = purging_lag_ns(c->purging, cluster_now(c)) / 1000000;
    uint8_t meta[PEER_SWIM_META_MAX] = {0};
    const unsigned n = pack_meta(now != NULL ? now->version : 0, purging_hash(c->purging),
                                 lag_ms < UINT32_MAX ? (uint32_t)(lag_ms - lag_ms % LAG_STEP_MS) : UINT32_MAX, meta);
    if (memcmp(meta, c->meta, sizeof meta) == 0) return;
    memcpy(c->meta, meta, sizeof meta);
    note_said(c, SWIM_SELF, &config_self(c->config)->id, meta, n);
    cluster_members_input(c, &(struct swim_in){.kind = SWIM_IN_META, .bytes = meta, .n = n});
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
