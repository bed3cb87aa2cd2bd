/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/config_lab.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"

struct config_peer lab_peer(unsigned node) {
    struct config_peer p = {.id = {{(uint8_t)(node + 1)}}, .boot = 100 + node};
    snprintf(p.name, sizeof p.name, "n%u:1", node);
    snprintf(p.address, sizeof p.address, "10.0.0.%u:2", node);
    return p;
}

struct config_options lab_options(unsigned self) {
    struct config_options o = {
        .cluster_name = "lab",
        .self = lab_peer(self),
        .weight = 1,
        .keeps_state = true,
        .nfounders = 3,
        .founders = {"n0:1", "n1:1", "n2:1"},
        .seeds = true,
        .seed = self,
    };
    return o;
}

void lab_configuration(struct configuration *c, unsigned members) {
    *c = (struct configuration){
        .cluster = {{0xc0}},
        .cluster_name = "lab",
        .by = "n0:1",
        .version = 5,
        .epoch = 2,
        .floor_epoch = 2,
        .next_number = 100,
        .tag_lease_ms = 1000,
        .serve_lease_ms = 30000,
        .eject_after_ms = 35000,
        .tag_wait_ms = 1000,
        .serve_wait_ms = 30000,
        .leases = members >= 3,
        .ring_version = 4,
        .ring_version_before = 1,
        .nvoters = 3,
        .norigins = 3,
        .origins = {11, 12, 13},
    };
    for (unsigned i = 0; i < members; i++) {
        const struct config_peer p = lab_peer(i);
        struct configuration_member m = {
            .number = i + 1,
            .id = p.id,
            .boot = p.boot,
            .weight = 1,
            .keeps_state = true,
            .state = CONFIGURATION_SERVING,
        };
        memcpy(m.name, p.name, sizeof m.name);
        memcpy(m.address, p.address, sizeof m.address);
        CHECK(configuration_add(c, &m) == 0);
        if (i >= 3) continue;
        c->voters[i] = (struct configuration_voter){.id = p.id, .member = i + 1, .origin = 11 + i};
        memcpy(c->voters[i].name, p.name, sizeof c->voters[i].name);
    }
}

void lab_begin(struct lab *l, const struct config_options *o, const struct configuration *c, bool active) {
    struct config_record stored = {.id = o->self.id};
    struct config_options options = *o;
    char reason[200];
    int err;
    *l = (struct lab){.now_ns = 1000000 * LAB_MS, .write = true};
    if (!active) options.self.boot = 1000;
    if (c != NULL) stored.current = configuration_value_new(c, &err);
    if (c != NULL) stored.acceptor.instance = c->version + 1;
    /* a process that is listed heard of the configuration from others, after it began */
    l->config = config_new(&options, active ? NULL : &stored, l->now_ns, reason, sizeof reason);
    CHECK(l->config != NULL);
    if (active && c != NULL) {
        const struct peer_config push = {
            .kind = PEER_CONFIG_PUSH, .value = stored.current->bytes, .nvalue = stored.current->nbytes};
        lab_hear(l, 9, &push);
        lab_input(l, &(struct config_in){.kind = CONFIG_IN_ACTIVE, .number = c->epoch});
    }
    config_record_fini(&stored);
    lab_clear(l);
}

void lab_end(struct lab *l) {
    config_outs_fini(&l->outs);
    config_free(l->config);
}

void lab_clear(struct lab *l) {
    config_outs_clear(&l->outs);
}

void lab_input(struct lab *l, const struct config_in *in) {
    const unsigned before = l->outs.n;
    uint64_t written = 0;
    bool reset = false;
    config_input(l->config, l->now_ns, in, &l->outs);
    for (unsigned i = before; i < l->outs.n; i++) {
        const struct config_out *o = &l->outs.out[i];
        if (o->kind == CONFIG_OUT_WRITE) written = o->number;
        reset = reset || o->kind == CONFIG_OUT_BOOT || o->kind == CONFIG_OUT_RESET;
    }
    if (reset && !l->busy) lab_input(l, &(struct config_in){.kind = CONFIG_IN_RESET});
    if (written == 0) return;
    if (l->write)
        lab_input(l, &(struct config_in){.kind = CONFIG_IN_WRITTEN, .number = written});
    else
        l->unwritten = written;
}

void lab_pass(struct lab *l, unsigned ms) {
    const uint64_t end = l->now_ns + ms * LAB_MS;
    while (config_next_ns(l->config) <= end) {
        if (config_next_ns(l->config) > l->now_ns) l->now_ns = config_next_ns(l->config);
        lab_input(l, &(struct config_in){.kind = CONFIG_IN_TIME});
    }
    l->now_ns = end;
}

void lab_hear(struct lab *l, unsigned from, const struct peer_config *m) {
    const struct config_in in = {.kind = CONFIG_IN_MESSAGE, .from = lab_peer(from), .message = m};
    lab_input(l, &in);
}

void lab_heard(struct lab *l, uint32_t number) {
    lab_input(l, &(struct config_in){.kind = CONFIG_IN_HEARD, .number = number});
}

void lab_request(struct lab *l, enum config_request_kind kind, const char *name, uint64_t argument, uint64_t token) {
    struct config_request r = {.kind = kind, .argument = argument, .token = token};
    snprintf(r.name, sizeof r.name, "%s", name);
    lab_input(l, &(struct config_in){.kind = CONFIG_IN_REQUEST, .request = &r});
}

static bool is_message(const struct config_out *o, enum peer_config_kind kind) {
    return (o->kind == CONFIG_OUT_SEND || o->kind == CONFIG_OUT_SEEDS) && o->message.kind == kind;
}

const struct config_out *lab_said(const struct lab *l, enum peer_config_kind kind, int to) {
    for (unsigned i = l->outs.n; i-- > 0;) {
        const struct config_out *o = &l->outs.out[i];
        if (is_message(o, kind) && (to < 0 || strcmp(o->address, lab_peer((unsigned)to).address) == 0)) return o;
    }
    return NULL;
}

unsigned lab_count(const struct lab *l, enum peer_config_kind kind) {
    unsigned n = 0;
    for (unsigned i = 0; i < l->outs.n; i++) n += is_message(&l->outs.out[i], kind);
    return n;
}

const struct config_out *lab_out(const struct lab *l, enum config_out_kind kind) {
    for (unsigned i = l->outs.n; i-- > 0;)
        if (l->outs.out[i].kind == kind) return &l->outs.out[i];
    return NULL;
}

const char *lab_log(const struct lab *l, const char *event) {
    for (unsigned i = l->outs.n; i-- > 0;)
        if (l->outs.out[i].kind == CONFIG_OUT_LOG && strcmp(l->outs.out[i].event, event) == 0)
            return l->outs.out[i].text;
    return NULL;
}

struct peer_config lab_message(const struct lab *l, enum peer_config_kind kind) {
    const struct configuration_value *v = config_current_value(l->config);
    struct peer_config m = {.kind = kind};
    if (v == NULL) return m;
    m.cluster = v->configuration.cluster;
    m.version = v->configuration.version;
    m.hash = v->hash;
    return m;
}

struct peer_config lab_promise(const struct lab *l, bool active) {
    const struct config_out *prepare = lab_said(l, PEER_CONFIG_PREPARE, -1);
    CHECK(prepare != NULL);
    struct peer_config m = lab_message(l, PEER_CONFIG_PROMISE);
    m.ballot = prepare->message.ballot;
    m.active = active;
    return m;
}

void lab_accepted(struct lab *l, unsigned from) {
    const struct config_out *accept = lab_said(l, PEER_CONFIG_ACCEPT, -1);
    CHECK(accept != NULL);
    struct peer_config m = lab_message(l, PEER_CONFIG_ACCEPTED);
    m.ballot = accept->message.ballot;
    lab_hear(l, from, &m);
}

struct configuration_value *lab_proposed(const struct lab *l) {
    const struct config_out *accept = lab_said(l, PEER_CONFIG_ACCEPT, -1);
    int err;
    return accept == NULL ? NULL : configuration_value_read(accept->message.value, accept->message.nvalue, &err);
}
