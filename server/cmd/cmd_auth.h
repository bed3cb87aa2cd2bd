/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_auth - users and passwords of the text protocol (-Y).
 *
 * The file holds one `user:password` a line; what follows the first colon is the password. It is read when the server
 * starts and again on SIGHUP; a file that cannot be used then changes nothing. Owned by the struct cmd.
 */
#ifndef TAGCACHED_CMD_CMD_AUTH_H
#define TAGCACHED_CMD_CMD_AUTH_H

#include <stdbool.h>
#include <stddef.h>

#define AUTH_USERS_MAX 256 /* lines of the file */
#define AUTH_WORD_MAX 255  /* bytes of a user's name, and of a password, which may hold blanks */

/* A word and its length, padded with zeros so that comparing takes the same time whatever it is. */
struct cmd_auth_word {
    unsigned char len;
    unsigned char bytes[AUTH_WORD_MAX];
};

struct cmd_auth_user {
    struct cmd_auth_word name, password;
};

struct cmd_auth_table {
    unsigned n;
    struct cmd_auth_user users[];
};

/* Reads text[0..n), the contents of a file. 0 and *out (free it with free), or -EINVAL (a line without a colon, or none
 * at all), -E2BIG (too many lines, or one too long), -ENOMEM. Pure. */
int cmd_auth_parse(const char *text, size_t n, struct cmd_auth_table **out);

/* Whether that user has that password. Looks at every user, whole, in any case. Pure. */
bool cmd_auth_check(const struct cmd_auth_table *t, const char *name, size_t name_len, const char *password,
                    size_t password_len);

#endif
