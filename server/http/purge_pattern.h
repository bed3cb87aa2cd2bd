/* SPDX-License-Identifier: BSD-3-Clause
 *
 * purge_pattern - the regular expressions that caches of Varnish's kind are sent to ban tags by, read as the lists of
 * tags that they stand for. Pure.
 *
 *   (^|,)(TAG|TAG)(,|$)                         FOSHttpCache; characters may be quoted by a backslash
 *   ((^|,)TAG(,|$))|((^|,)TAG(,|$))             Magento
 *   .*                                          everything
 *
 * Any other expression is refused: nothing here matches tags by expressions.
 */
#ifndef TAGCACHED_HTTP_PURGE_PATTERN_H
#define TAGCACHED_HTTP_PURGE_PATTERN_H

#include <stdbool.h>

#include "http/purge_wanted.h"

/* Adds the tags of a pattern. False: refused. */
bool purge_pattern_read(struct purge_wanted *w, struct text_token pattern);
/* Whether the text holds a character that only an expression would have. */
bool purge_pattern_is_likely(struct text_token text);

#endif
