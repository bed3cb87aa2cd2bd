/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/config_state.h"

void config_out_fini(struct config_out *o) {
    configuration_value_put(o->value);
    free(o->record);
    free(o->owned);
}

void config_outs_clear(struct config_outs *outs) {
    for (unsigned i = 0; i < outs->n; i++) config_out_fini(&outs->out[i]);
    outs->n = 0;
}

void config_outs_fini(struct config_outs *outs) {
    config_outs_clear(outs);
    free(outs->out);
    *outs = (struct config_outs){0};
}

struct config_out *config_emit(struct config *c, enum config_out_kind kind) {
    struct config_outs *outs = c->outs;
    if (outs->n == outs->capacity) {
        const unsigned capacity = outs->capacity == 0 ? 16 : 2 * outs->capacity;
        struct config_out *grown = realloc(outs->out, capacity * sizeof *grown);
        if (grown == NULL) return NULL;
        outs->out = grown;
        outs->capacity = capacity;
    }
    struct config_out *o = &outs->out[outs->n++];
    memset(o, 0, sizeof *o);
    o->kind = kind;
    return o;
}

struct peer_config config_message(const struct config *c, enum peer_config_kind kind) {
    struct peer_config m = {.kind = kind, .keeps_state = c->options.keeps_state};
    if (c->current != NULL) {
        m.cluster = c->current->configuration.cluster;
        m.version = c->current->configuration.version;
        m.hash = c->current->hash;
    }
    return m;
}

static void fill(struct config_out *o, const struct cluster_id *to, const char *address, const struct peer_config *m,
                 struct configuration_value *value, struct peer_silent *silent) {
    o->kind = CONFIG_OUT_SEND;
    if (to != NULL) o->to = *to;
    if (address != NULL) snprintf(o->address, sizeof o->address, "%s", address);
    o->message = *m;
    o->value = configuration_value_get(value);
    if (value != NULL) {
        o->message.value = value->bytes;
        o->message.nvalue = value->nbytes;
    }
    o->message.silent = silent;
    o->owned = silent;
}

/* Hands a filled entry on: to oneself by the loop, to others by the outs. */
static void deliver(struct config *c, struct config_out *o) {
    if (cluster_id_equal(&o->to, &c->self.id)) {
        if (c->nloop < CONFIG_LOOP_MAX)
            c->loop[c->nloop++] = *o;
        else
            config_out_fini(o);
        return;
    }
    struct config_out *to = config_emit(c, CONFIG_OUT_SEND);
    if (to != NULL)
        *to = *o;
    else
        config_out_fini(o);
}

void config_send(struct config *c, const struct cluster_id *to, const char *address, const struct peer_config *m,
                 struct configuration_value *value, struct peer_silent *silent) {
    struct config_out o = {0};
    const struct configuration_member *listed = NULL;
    if (address == NULL && to != NULL && c->current != NULL)
        listed = configuration_by_id(&c->current->configuration, to);
    fill(&o, to, listed != NULL ? listed->address : address, m, value, silent);
    deliver(c, &o);
}

void config_send_durable(struct config *c, const struct config_peer *to, const struct peer_config *m,
                         struct configuration_value *value, struct peer_silent *silent) {
    if (!c->options.keeps_state || FAULT_POINT("config_answer_before_disk")) {
        config_send(c, &to->id, to->address, m, value, silent);
        return;
    }
    if (c->ndeferred == CONFIG_DEFERRED_MAX) { /* the oldest counts as lost; who asked asks again */
        config_out_fini(&c->deferred[0].out);
        memmove(&c->deferred[0], &c->deferred[1], --c->ndeferred * sizeof c->deferred[0]);
    }
    struct config_deferred *d = &c->deferred[c->ndeferred++];
    *d = (struct config_deferred){.after = c->dirty ? c->record_next : c->record_next - 1};
    fill(&d->out, &to->id, to->address, m, value, silent);
    if (!c->dirty && !c->writing) config_written(c, c->record_next - 1);
}

void config_send_seeds(struct config *c, const struct peer_config *m) {
    struct config_out *o = config_emit(c, CONFIG_OUT_SEEDS);
    if (o != NULL) o->message = *m;
}

void config_push(struct config *c, const struct cluster_id *to, const char *address) {
    const struct peer_config m = config_message(c, PEER_CONFIG_PUSH);
    if (c->current != NULL) config_send(c, to, address, &m, c->current, NULL);
}

void config_flush(struct config *c) {
    if (!c->options.keeps_state) c->dirty = false;
    if (!c->dirty || c->writing || c->now_ns < c->write_ns) return;
    const struct config_record r = {.id = c->self.id,
                                    .boot = c->self.boot,
                                    .current = c->current,
                                    .acceptor = c->acceptor,
                                    .founds = c->current == NULL && (c->options.found || c->options.began_to_found)};
    uint8_t *bytes;
    size_t n;
    if (config_record_pack(&r, &bytes, &n) < 0) return; /* the next input tries again */
    struct config_out *o = config_emit(c, CONFIG_OUT_WRITE);
    if (o == NULL) {
        free(bytes);
        return;
    }
    o->record = bytes;
    o->nrecord = n;
    o->number = c->record_next++;
    c->dirty = false;
    c->writing = true;
}

void config_written(struct config *c, uint64_t number) {
    unsigned kept = 0;
    for (unsigned i = 0; i < c->ndeferred; i++) {
        if (c->deferred[i].after > number)
            c->deferred[kept++] = c->deferred[i];
        else
            deliver(c, &c->deferred[i].out);
    }
    c->ndeferred = kept;
}

void config_log(struct config *c, const char *event, const char *format, ...) {
    struct config_out *o = config_emit(c, CONFIG_OUT_LOG);
    if (o == NULL) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(o->text, sizeof o->text, format, arguments);
    va_end(arguments);
    o->event = event;
}
