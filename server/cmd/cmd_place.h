/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_place - which key a request is about, as far as its place on the ring goes, and what kind of request it is.
 *
 * On the session's worker, inside a section.
 */
#ifndef TAGCACHED_CMD_CMD_PLACE_H
#define TAGCACHED_CMD_CMD_PLACE_H

#include "cmd/request.h"
#include "cmd/session.h"

enum cmd_place {
    CMD_PLACE_HERE,    /* it is for the node that was asked: about no key, or wrong */
    CMD_PLACE_KEY,     /* it is for the owner of its key */
    CMD_PLACE_BARRIER, /* for the node that was asked, once all before it is answered, and before all behind it is sent
                        */
};

/* What r is, and in *key (hashed) the key that it is about, without suffix. A key in base64 is decoded to `decoded`,
 * 256 bytes. */
enum cmd_place cmd_place(const struct session *s, const struct request *r, char *decoded, struct store_key *key);

/* The key that r is about if it is for the owner of that, else NULL; as cmd_place. *made: room for it. */
const struct store_key *cmd_place_key(const struct session *s, const struct request *r, char *decoded,
                                      struct store_key *made);

/* What the owner does with it may be asked for twice: nothing is stored, touched or won by it. */
bool cmd_place_is_read(const struct request *r);
/* It changes nothing but, perhaps, when its item expires or who is to refill it. If it fails it was a miss. */
bool cmd_place_is_lookup(const struct request *r);

#endif
