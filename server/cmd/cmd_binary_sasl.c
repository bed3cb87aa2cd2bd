/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The opcodes of SASL (-S): the one mechanism is PLAIN (RFC 4616), against the users of -Y. */
#include <string.h>
#include <strings.h>

#include "cmd/cmd_auth.h"
#include "cmd/cmd_binary.h"
#include "cmd/instance.h"
#include "cmd/packet.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "proto/binary.h"
#include "proto/text.h"

#define MECHANISM "PLAIN"
#define MECHANISM_MAX 32 /* bytes of a mechanism's name */

/* Whether SASL is on, and the mechanism's name not too long for one; if not that is answered. */
static bool may_begin(struct session *s, const struct request *r) {
    if (!s->worker->cmd->cfg.sasl)
        packet_error(s, r, BINARY_UNKNOWN); /* as by a server that does not know the opcode */
    else if (r->raw_key_len > MECHANISM_MAX)
        packet_error(s, r, BINARY_INVALID);
    else
        return true;
    return false;
}

/* The names of mechanisms are compared without regard to case, as Cyrus SASL does for memcached. */
static bool is_plain(const struct request *r) {
    return r->raw_key_len == sizeof MECHANISM - 1 && strncasecmp(r->raw_key, MECHANISM, sizeof MECHANISM - 1) == 0;
}

static void fail(struct session *s, const struct request *r) {
    (void)cmd_auth_login(s, NULL, NULL); /* counts it, and nobody is logged in now */
    packet_error(s, r, BINARY_AUTH_FAILED);
}

/* Logs in with the message of PLAIN that is the request's value. What the connection was before does not count. */
static bool login(struct session *s, const struct request *r) {
    static const char done[] = "Authenticated";
    struct text_token user, password;
    const bool plain = binary_plain(r->body, r->body_len, &user, &password);
    const bool good = cmd_auth_login(s, plain ? &user : NULL, plain ? &password : NULL);
    if (good)
        packet_body(s, r, BINARY_OK, done, sizeof done - 1, 0);
    else
        packet_error(s, r, BINARY_AUTH_FAILED);
    explicit_bzero(r->body, r->body_len);
    return good;
}

/* Who asks begins anew: a login from before ends, as in memcached. */
void cmd_binary_sasl_list(struct session *s, struct request *r) {
    if (!may_begin(s, r)) return;
    s->authenticated = false;
    packet_body(s, r, BINARY_OK, MECHANISM, sizeof MECHANISM - 1, 0);
}

void cmd_binary_sasl_auth(struct session *s, struct request *r) {
    if (!may_begin(s, r)) return;
    s->sasl_begun = is_plain(r) && r->body_len == 0;
    if (s->sasl_begun) { /* the message comes with the next step */
        s->authenticated = false;
        packet_body(s, r, BINARY_AUTH_CONTINUE, "", 0, 0);
    } else if (is_plain(r)) {
        (void)login(s, r);
    } else {
        fail(s, r);
    }
}

/* The mechanism is the one that was begun with, whatever the key says; after a message that was wrong another may come.
 */
void cmd_binary_sasl_step(struct session *s, struct request *r) {
    if (!may_begin(s, r)) return;
    if (!s->sasl_begun)
        fail(s, r);
    else if (login(s, r))
        s->sasl_begun = false;
}

void cmd_binary_sasl_long(struct session *s, struct request *r) {
    if (may_begin(s, r)) fail(s, r);
}
