/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What an administrator asks any node for, or a node for itself: the node asked tells the voters until its own
 * configuration shows it. */
#include <stdio.h>
#include <string.h>

#include "cluster/config.h"
#include "cluster/config_state.h"

static bool is_of_member(enum config_request_kind kind) {
    return kind >= CONFIG_SERVE && kind <= CONFIG_WEIGHT;
}

static bool member_fulfilled(const struct configuration_member *m, enum config_request_kind kind, uint64_t argument) {
    switch (kind) {
    case CONFIG_SERVE: return m == NULL || m->state != CONFIGURATION_JOINING;
    case CONFIG_LEAVE: return m == NULL || m->state == CONFIGURATION_LEAVING;
    case CONFIG_DRAIN: return m == NULL || m->drained == (argument != 0);
    case CONFIG_WEIGHT: return m == NULL || m->weight == argument;
    default: return m == NULL; /* left, forgotten */
    }
}

bool config_fulfilled(const struct configuration *conf, enum config_request_kind kind, uint32_t number,
                      uint64_t argument) {
    switch (kind) {
    case CONFIG_VOTERS: return conf->voters_target == argument;
    case CONFIG_TAG_LEASE: return conf->tag_lease_ms == argument;
    case CONFIG_SERVE_LEASE: return conf->serve_lease_ms == argument;
    case CONFIG_EJECT_AFTER: return conf->eject_after_ms == argument;
    default: return member_fulfilled(configuration_by_number(conf, number), kind, argument);
    }
}

/* Leases are bounded, so that doubling and rounding them cannot overflow: a week. Shorter than 100 ms there would be no
 * time to renew them. */
enum { LEASE_MS_MIN = 100, LEASE_MS_MAX = 7 * 24 * 3600 * 1000 };

static const char *refuse_setting(const struct configuration *conf, enum config_request_kind kind, uint64_t v) {
    if (kind == CONFIG_VOTERS)
        return v > CONFIGURATION_VOTERS_MAX || (v != 0 && v % 2 == 0) ? "voters takes 1, 3, 5, 7, or 0" : NULL;
    if (v < LEASE_MS_MIN || v > LEASE_MS_MAX) return "a lease is between 100 ms and a week";
    if (kind == CONFIG_TAG_LEASE) return v > conf->serve_lease_ms ? "the tag lease is above the serve lease" : NULL;
    if (kind == CONFIG_EJECT_AFTER)
        return v < config_waited_ms(conf->serve_wait_ms) ? "eject-after must be at least the serve lease plus 11 %"
                                                         : NULL;
    if (v < conf->tag_lease_ms) return "the serve lease is below the tag lease";
    return config_waited_ms(v) > conf->eject_after_ms ? "the serve lease plus 11 % is above eject-after" : NULL;
}

const char *config_refusal(const struct configuration *conf, enum config_request_kind kind, uint32_t number,
                           uint64_t argument) {
    if (!is_of_member(kind)) {
        if (kind <= 0 || kind >= CONFIG_RECOVER) return "no such request";
        return refuse_setting(conf, kind, argument);
    }
    const struct configuration_member *m = configuration_by_number(conf, number);
    if (m == NULL) return NULL; /* it is gone: nothing is left to do */
    if (kind == CONFIG_WEIGHT && argument > CONFIGURATION_WEIGHT_MAX) return "a weight is at most 1000000";
    if (kind == CONFIG_LEAVE && m->state == CONFIGURATION_EJECTED) return "it was ejected; forget it";
    if (kind == CONFIG_LEFT && m->state != CONFIGURATION_LEAVING) return "it is not leaving";
    if (kind == CONFIG_LEAVE || kind == CONFIG_FORGET) return config_seat_refusal(conf, m);
    return NULL;
}

/* ---- the voter's side */

static struct config_wish *note_wish(struct config *c, enum config_request_kind kind, uint32_t number) {
    for (unsigned i = 0; i < c->nwishes; i++)
        if (c->wishes[i].kind == kind && c->wishes[i].number == number) return &c->wishes[i];
    if (c->nwishes == CONFIG_WISHES_MAX) return NULL;
    return &c->wishes[c->nwishes++];
}

void config_on_request(struct config *c, const struct config_peer *from, const struct peer_config *m) {
    const struct configuration *conf = config_current(c);
    const enum config_request_kind kind = (enum config_request_kind)m->request;
    if (conf == NULL || !cluster_id_equal(&m->cluster, &conf->cluster)) return;
    if (m->version < conf->version) config_push(c, &from->id, from->address);
    if (config_seat_index(c, &c->self.id) < 0) return;
    const char *refusal = config_refusal(conf, kind, m->number, m->argument);
    if (refusal != NULL) {
        struct peer_config answer = config_message(c, PEER_CONFIG_ANSWER);
        answer.token = m->token;
        snprintf(answer.text, sizeof answer.text, "%s", refusal);
        config_send(c, &from->id, from->address, &answer, NULL, NULL);
        return;
    }
    if (config_fulfilled(conf, kind, m->number, m->argument)) return;
    struct config_wish *w = note_wish(c, kind, is_of_member(kind) ? m->number : 0);
    if (w == NULL) return; /* asked again later */
    *w = (struct config_wish){kind, m->number, m->argument, m->token, from->id, c->now_ns};
    if (!is_of_member(kind)) w->number = 0;
    config_wake(c, c->now_ns);
}

static void expire_wishes(struct config *c) {
    for (unsigned i = c->nwishes; i-- > 0;) {
        const struct config_wish *w = &c->wishes[i];
        if (c->now_ns - w->asked_ns > CONFIG_WISHED_FOR ||
            config_fulfilled(&c->current->configuration, w->kind, w->number, w->argument))
            c->wishes[i] = c->wishes[--c->nwishes];
    }
}

/* ---- the asking side */

static void answer_own(struct config *c, uint64_t token, const char *text) {
    if (token == 0) return;
    struct config_out *o = config_emit(c, CONFIG_OUT_ANSWER);
    if (o == NULL) return;
    o->number = token;
    snprintf(o->text, sizeof o->text, "%s", text);
}

/* The member that an administrator means; 0: none. */
static uint32_t number_of(const struct config *c, const char *name) {
    if (name[0] == '\0') return c->number;
    const struct configuration_member *m =
        c->current == NULL ? NULL : configuration_by_name(&c->current->configuration, name);
    return m == NULL ? 0 : m->number;
}

void config_own_request(struct config *c, const struct config_request *r) {
    if (r->kind == CONFIG_RECOVER) {
        const char *refusal = config_recover(c);
        answer_own(c, r->token, refusal == NULL ? "" : refusal);
        return;
    }
    const uint32_t number = is_of_member(r->kind) ? number_of(c, r->name) : 0;
    const char *refusal = NULL;
    if (c->current == NULL)
        refusal = "no cluster yet";
    else if (is_of_member(r->kind) && number == 0)
        refusal = r->name[0] == '\0' ? "this node is no member" : "no member has this name";
    else
        refusal = config_refusal(&c->current->configuration, r->kind, number, r->argument);
    if (refusal == NULL && config_fulfilled(&c->current->configuration, r->kind, number, r->argument)) refusal = "";
    if (refusal == NULL && c->nown == CONFIG_OWN_MAX) refusal = "too many requests at once";
    if (refusal != NULL) {
        answer_own(c, r->token, refusal);
        return;
    }
    for (unsigned i = 0; i < c->nown; i++) /* the node itself may ask again without harm */
        if (r->token == 0 && c->own[i].request.token == 0 && c->own[i].request.kind == r->kind &&
            c->own[i].number == number)
            return;
    c->own[c->nown++] = (struct config_own){.request = *r, .number = number, .since_ns = c->now_ns};
    config_wake(c, c->now_ns);
}

void config_on_answer(struct config *c, const struct peer_config *m) {
    for (unsigned i = 0; i < c->nown; i++)
        if (m->token != 0 && c->own[i].request.token == m->token) {
            answer_own(c, m->token, m->text[0] != '\0' ? m->text : "refused");
            c->own[i] = c->own[--c->nown];
            return;
        }
}

static void ask(struct config *c, struct config_own *own) {
    const struct configuration *conf = &c->current->configuration;
    struct peer_config m = config_message(c, PEER_CONFIG_REQUEST);
    m.request = own->request.kind;
    m.number = own->number;
    m.argument = own->request.argument;
    m.token = own->request.token;
    own->asked_ns = c->now_ns;
    for (unsigned i = 0; i < conf->nvoters; i++)
        if (!cluster_id_is_zero(&conf->voters[i].id)) config_send(c, &conf->voters[i].id, NULL, &m, NULL, NULL);
}

void config_request_settle(struct config *c) {
    for (unsigned i = c->nown; i-- > 0;) {
        const struct config_own own = c->own[i];
        if (!config_fulfilled(&c->current->configuration, own.request.kind, own.number, own.request.argument)) continue;
        answer_own(c, own.request.token, "");
        c->own[i] = c->own[--c->nown];
    }
    expire_wishes(c);
}

void config_request_step(struct config *c) {
    if (c->current == NULL) return;
    expire_wishes(c);
    for (unsigned i = c->nown; i-- > 0;) {
        struct config_own *own = &c->own[i];
        if (own->request.token != 0 && c->now_ns - own->since_ns >= CONFIG_REQUEST_ENDS) {
            answer_own(c, own->request.token,
                       config_plan_waits(c, own->request.kind)
                           ? "items of the last change of the ring are still being handed over: ask again later"
                           : "no quorum: fewer than half of the voters answer; nothing was changed yet");
            *own = c->own[--c->nown];
        } else if (own->asked_ns == 0 || c->now_ns - own->asked_ns >= CONFIG_ASK_AGAIN) {
            ask(c, own);
        }
    }
}
