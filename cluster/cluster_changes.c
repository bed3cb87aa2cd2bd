/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What operators change: `cluster leave`, `set`, `recover`, ... proto/PROTOCOL.md, "Cluster commands", says every line.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hostport.h"
#include "cluster/cluster_state.h"
#include "cluster/cluster_text.h"
#include "proto/text.h"

/* ------------------------------------------------------------------ changing */

void cluster_answers_changed(struct cluster *c, struct cluster_question *q, const char *text) {
    const struct configuration *now = config_current(c->config);
    struct cluster_text t = {0};
    if (text[0] != 0)
        cluster_text_put(&t, "SERVER_ERROR %s\r\n", text);
    else
        cluster_text_put(&t, "OK version=%" PRIu64 "\r\n", now == NULL ? 0 : now->version);
    cluster_text_finish(q, &t);
}

/* A change of the configuration, as an operator names it. */
struct change {
    const char *verb, *name; /* name: of `cluster set`, or NULL */
    enum config_request_kind kind;
    bool member; /* the first word behind the verb is a member */
    bool number; /* then comes a number; else: */
    uint64_t argument;
};
static const struct change changes[] = {
    {"leave", NULL, CONFIG_LEAVE, true, false, 0},
    {"drain", NULL, CONFIG_DRAIN, true, false, 1},
    {"undrain", NULL, CONFIG_DRAIN, true, false, 0},
    {"forget", NULL, CONFIG_FORGET, true, false, 0},
    {"weight", NULL, CONFIG_WEIGHT, true, true, 0},
    {"set", "tag-lease", CONFIG_TAG_LEASE, false, true, 0},
    {"set", "serve-lease", CONFIG_SERVE_LEASE, false, true, 0},
    {"set", "eject-after", CONFIG_EJECT_AFTER, false, true, 0},
    {"set", "voters", CONFIG_VOTERS, false, true, 0},
};

static void request(struct cluster *c, struct cluster_question *q, const struct change *ch, const char *name,
                    uint64_t argument) {
    const struct configuration *now = config_current(c->config);
    char text[400];
    if (now == NULL) {
        cluster_answers_line(q, "SERVER_ERROR no cluster yet");
        return;
    }
    if (ch->member && configuration_by_name(now, name) == NULL) {
        snprintf(text, sizeof text, "CLIENT_ERROR no member %s", name);
        cluster_answers_line(q, text);
        return;
    }
    cluster_agree_request(c, ch->kind, ch->member ? name : "", argument, cluster_answers_await(c, q));
}

/* Reads what follows the verb. False: it is not that change, or not well formed. */
static bool read_change(const struct change *ch, char *const *word, unsigned n, const char **name, uint64_t *argument) {
    unsigned at = 1;
    if (strcmp(word[0], ch->verb) != 0) return false;
    *name = "";
    *argument = ch->argument;
    if (ch->name != NULL && (n <= at || strcmp(word[at++], ch->name) != 0)) return false;
    if (ch->member) {
        if (n <= at) return false;
        *name = word[at++];
    }
    if (ch->number) {
        if (n <= at) return false;
        const char *w = word[at++];
        if (ch->kind == CONFIG_WEIGHT && strcmp(w, "none") == 0)
            *argument = 0;
        else if (!text_u64(w, strlen(w), argument) ||
                 (ch->kind == CONFIG_WEIGHT && (*argument < 1 || *argument > 1000)))
            return false;
    }
    return at == n;
}

/* ------------------------------------------------------------------ recovering, and further seeds */

/* What recovering would do: everybody else must be down for good. */
static void plan_recovery(struct cluster *c, struct cluster_question *q) {
    const struct configuration *now = config_current(c->config);
    const struct config_peer *self = config_self(c->config);
    struct cluster_text t = {0};
    cluster_text_put(&t,
                     "RECOVER version=%" PRIu64
                     " voters=%u gone=%u text=this node goes on alone, as the only voter, from version %" PRIu64 "\r\n",
                     now->version, now->nvoters, configuration_present(now) - 1, now->version);
    for (unsigned i = 0; i < now->nmembers; i++) {
        const struct configuration_member *m = &now->members[i];
        if (m->state == CONFIGURATION_EJECTED || cluster_id_equal(&m->id, &self->id)) continue;
        cluster_text_put(&t, "DOWN name=%s number=%" PRIu32 " addr=%s silent_ms=%" PRIu64 "\r\n", m->name, m->number,
                         m->address, cluster_members_silent_ms(c, &m->id));
    }
    cluster_text_put(&t, "END\r\n");
    cluster_text_finish(q, &t);
}

/* `recover [VERSION]`: the version is that of the plan, so that nobody recovers from another one than was shown. */
static void recover(struct cluster *c, struct cluster_question *q, char *const *word, unsigned n) {
    const struct configuration *now = config_current(c->config);
    uint64_t version;
    q->changes = n == 2;
    if (!q->privileged) {
        cluster_answers_line(q, "CLIENT_ERROR not allowed here");
    } else if (now == NULL) {
        cluster_answers_line(q, "SERVER_ERROR no cluster yet");
    } else if (n == 1) {
        plan_recovery(c, q);
    } else if (n != 2 || !text_u64(word[1], strlen(word[1]), &version)) {
        cluster_answers_line(q, "CLIENT_ERROR bad command line format");
    } else if (version != now->version) {
        cluster_answers_line(q, "CLIENT_ERROR the configuration has another version now: look at the plan again");
    } else {
        cluster_agree_request(c, CONFIG_RECOVER, "", 0, cluster_answers_await(c, q));
    }
}

/* `join HOST:PORT`: this seed is tried from now on, too. */
static void join(struct cluster *c, struct cluster_question *q, const char *address) {
    struct hostport at;
    q->changes = true;
    if (!q->privileged)
        cluster_answers_line(q, "CLIENT_ERROR not allowed here");
    else if (!hostport_read(address, &at) || strcmp(at.host, "*") == 0)
        cluster_answers_line(q, "CLIENT_ERROR an address is HOST:PORT or [IPV6]:PORT");
    else if (!cluster_members_add_seed(c, address))
        cluster_answers_line(q, "SERVER_ERROR too many seeds");
    else
        cluster_answers_line(q, "OK");
}

static bool try_change(struct cluster *c, struct cluster_question *q, char *const *word, unsigned n) {
    for (unsigned i = 0; i < sizeof changes / sizeof *changes; i++) {
        const char *name;
        uint64_t argument;
        if (!read_change(&changes[i], word, n, &name, &argument)) continue;
        q->changes = true;
        if (!q->privileged)
            cluster_answers_line(q, "CLIENT_ERROR not allowed here");
        else
            request(c, q, &changes[i], name, argument);
        return true;
    }
    return false;
}

bool cluster_changes_ask(struct cluster *c, struct cluster_question *q, char *const *word, unsigned n) {
    if (strcmp(word[0], "recover") == 0)
        recover(c, q, word, n);
    else if (n == 2 && strcmp(word[0], "join") == 0)
        join(c, q, word[1]);
    else
        return try_change(c, q, word, n);
    return true;
}
