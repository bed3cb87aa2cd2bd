/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_auth - users and passwords (-Y), of both protocols.
 *
 * The file holds one `user:password` a line; what follows the first colon is the password, but for `:admin` at the end,
 * which says that the user may change the cluster. It is read when the server
 * starts and again on SIGHUP; a file that cannot be used then changes nothing. Owned by the struct cmd.
 */
#ifndef TAGCACHED_CMD_CMD_AUTH_H
#define TAGCACHED_CMD_CMD_AUTH_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/text.h"

struct cmd;
struct request;
struct session;

#define AUTH_USERS_MAX 256 /* lines of the file */
#define AUTH_WORD_MAX 255  /* bytes of a user's name, and of a password, which may hold blanks */

/* A word and its length, padded with zeros so that comparing takes the same time whatever it is. */
struct cmd_auth_word {
    unsigned char len;
    unsigned char bytes[AUTH_WORD_MAX];
};

struct cmd_auth_user {
    struct cmd_auth_word name, password;
    bool admin;
};

struct cmd_auth_table {
    unsigned n;
    struct cmd_auth_user users[];
};

/* Reads text[0..n), the contents of a file. 0 and *out (free it with free), or -EINVAL (a line without a colon, or none
 * at all), -E2BIG (too many lines, or one too long), -ENOMEM. Pure. */
int cmd_auth_parse(const char *text, size_t n, struct cmd_auth_table **out);

/* Whether that user has that password; *admin then says whether it may change the cluster. Looks at every user, whole,
 * in any case. Pure. */
bool cmd_auth_check(const struct cmd_auth_table *t, const char *name, size_t name_len, const char *password,
                    size_t password_len, bool *admin);

/* Reads cfg.auth_file into cmd->auth, if there is one; 0 or -errno. Frees it. */
int cmd_auth_new(struct cmd *cmd);
void cmd_auth_free(struct cmd *cmd);
/* Reads the file again. 0, or -errno and what was read before stays. Any thread. */
int cmd_auth_reload(struct cmd *cmd);

/* A session gives a user and a password; NULL: what it gave is none. Counts; the session is authenticated from here on
 * or not, whatever it was before, and that is returned. The session's worker, outside any section. */
bool cmd_auth_login(struct session *s, const struct text_token *user, const struct text_token *password);

/* A session that is not authenticated sent a complete `set`: checks "user password" in its block, answers, and sets
 * s->authenticated. The block is r->body[0..r->body_len), its ending has been checked. The session's worker, outside
 * any section. */
void cmd_auth_set(struct session *s, struct request *r);

#endif
