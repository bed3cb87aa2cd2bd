/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The opcodes of SASL (-S): the one mechanism is PLAIN (RFC 4616), against the users of -Y. */
#include <string.h>

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

/* Whether SASL is on; if not that is answered, as by a server that does not know the opcode. */
static bool is_on(struct session *s, const struct request *r) {
    const bool on = s->worker->cmd->cfg.sasl;
    if (!on) packet_error(s, r, BINARY_UNKNOWN);
    return on;
}

void cmd_binary_sasl_list(struct session *s, struct request *r) {
    if (is_on(s, r)) packet_body(s, r, BINARY_OK, MECHANISM, sizeof MECHANISM - 1, 0);
}

/* Logs in with the message of PLAIN that is the request's value. What the connection was before does not count. */
static void login(struct session *s, const struct request *r) {
    static const char done[] = "Authenticated";
    struct text_token user, password;
    const bool good = binary_plain(r->body, r->body_len, &user, &password);
    if (cmd_auth_login(s, good ? &user : NULL, good ? &password : NULL))
        packet_body(s, r, BINARY_OK, done, sizeof done - 1, 0);
    else
        packet_error(s, r, BINARY_AUTH_FAILED);
    explicit_bzero(r->body, r->body_len);
}

/* Whether the key names the mechanism; if not that is answered. */
static bool is_plain(struct session *s, const struct request *r) {
    if (r->raw_key_len == sizeof MECHANISM - 1 && memcmp(r->raw_key, MECHANISM, sizeof MECHANISM - 1) == 0) return true;
    if (r->raw_key_len > MECHANISM_MAX)
        packet_error(s, r, BINARY_INVALID);
    else if (!cmd_auth_login(s, NULL, NULL))
        packet_error(s, r, BINARY_AUTH_FAILED);
    return false;
}

void cmd_binary_sasl_auth(struct session *s, struct request *r) {
    if (!is_on(s, r) || !is_plain(s, r)) return;
    if (r->body_len > 0) {
        login(s, r);
        return;
    }
    s->authenticated = false;
    s->sasl_begun = true; /* the message comes with the next step */
    packet_body(s, r, BINARY_AUTH_CONTINUE, "", 0, 0);
}

void cmd_binary_sasl_step(struct session *s, struct request *r) {
    if (!is_on(s, r) || !is_plain(s, r)) return;
    const bool begun = s->sasl_begun;
    s->sasl_begun = false;
    if (begun)
        login(s, r);
    else if (!cmd_auth_login(s, NULL, NULL))
        packet_error(s, r, BINARY_AUTH_FAILED);
}
