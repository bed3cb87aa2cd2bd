/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_stat_line - statistics one by one, to whoever asked: as lines `STAT name value` and END, or as packets of the
 * binary protocol, name and value of each in a packet, and one without either. On the session's worker.
 */
#ifndef TAGCACHED_CMD_CMD_STAT_LINE_H
#define TAGCACHED_CMD_CMD_STAT_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>

#include "cmd/request.h"
#include "cmd/session.h"
#include "proto/binary.h"

/* Whom to tell. A copy of it holds for longer than the request. */
struct cmd_stat_line {
    struct session *s;
    bool packets;
    char request[BINARY_HEADER]; /* the header that packets answer */
};

/* Whoever sent r. */
struct cmd_stat_line cmd_stat_line_to(struct session *s, const struct request *r);

/* One statistic: the name is prefix and name together, shorter than 200 bytes; the value of _text is text[0..n), n <=
 * 64,000. */
void cmd_stat_line_text(const struct cmd_stat_line *to, const char *prefix, const char *name, const char *text,
                        size_t n);
void cmd_stat_line_U(const struct cmd_stat_line *to, const char *prefix, const char *name, uint64_t v);
void cmd_stat_line_S(const struct cmd_stat_line *to, const char *prefix, const char *name, const char *v);
void cmd_stat_line_T(const struct cmd_stat_line *to, const char *prefix, const char *name, struct timeval v);

/* Of packets: writes what comes before a value of so many bytes, or (name NULL, value 0) the packet that ends them.
 * Returns its length, at most 64 bytes for a name of 40. */
size_t cmd_stat_line_head(const struct cmd_stat_line *to, char *out, const char *name, uint32_t value);
/* There are no more. */
void cmd_stat_line_end(const struct cmd_stat_line *to);
/* Instead of any: a line of text, or a packet with the status and memcached's text for it. */
void cmd_stat_line_error(const struct cmd_stat_line *to, enum binary_status status, const char *line);

#endif
