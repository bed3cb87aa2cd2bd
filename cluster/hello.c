/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/hello.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A refusal: the setting, and a sentence (cut if it is too long for the message). */
__attribute__((format(printf, 3, 4))) static bool refuse(struct peer_refusal *why, const char *setting, const char *fmt,
                                                         ...) {
    va_list args;
    *why = (struct peer_refusal){0};
    snprintf(why->setting, sizeof why->setting, "%s", setting);
    va_start(args, fmt);
    vsnprintf(why->reason, sizeof why->reason, fmt, args);
    va_end(args);
    return false;
}

/* How a node is called in a sentence: the address that it advertises. */
static const char *called(const struct peer_hello *h) {
    if (h->address[0] != '\0') return h->address;
    return h->ring_name[0] != '\0' ? h->ring_name : "a node without an address";
}

static bool same_version(const struct peer_hello *mine, const struct peer_hello *theirs, uint32_t *version,
                         struct peer_refusal *why) {
    *version = mine->highest < theirs->highest ? mine->highest : theirs->highest;
    if (*version >= mine->lowest && *version >= theirs->lowest) return true;
    const struct peer_hello *old = mine->highest < theirs->highest ? mine : theirs;
    return refuse(why, "version", "%.80s speaks wire versions %u to %u and %.80s %u to %u: upgrade %.40s", called(mine),
                  mine->lowest, mine->highest, called(theirs), theirs->lowest, theirs->highest, called(old));
}

/* Who dials may say whom it means: behind an address there may be another node by now. That of two nodes which are told
 * to advertise one address is something to mend; that of a node which has lost its identity is not, and neither side
 * can tell them apart. */
static bool is_wanted(const struct peer_hello *from, const struct peer_hello *there, struct peer_refusal *why) {
    char wanted[CLUSTER_ID_TEXT], found[CLUSTER_ID_TEXT];
    if (cluster_id_is_zero(&from->wanted) || cluster_id_equal(&from->wanted, &there->node)) return true;
    cluster_id_text(&from->wanted, wanted);
    cluster_id_text(&there->node, found);
    return refuse(why, "--cluster-advertise",
                  "%.50s looks for node %.12s at %.50s, where %.12s is now: that was started again without its "
                  "--state-dir, or two nodes advertise this address",
                  called(from), wanted, called(there), found);
}

static bool same_text(const char *setting, const struct peer_hello *mine, const char *a,
                      const struct peer_hello *theirs, const char *b, struct peer_refusal *why) {
    if (strcmp(a, b) == 0) return true;
    return refuse(why, setting, "start all nodes with the same %s: %.60s has %s and %.60s has %s", setting,
                  called(mine), a[0] != '\0' ? a : "none", called(theirs), b[0] != '\0' ? b : "none");
}

static bool same_settings(const struct peer_hello *mine, const struct peer_hello *theirs, struct peer_refusal *why) {
    const char my_prefix[] = {mine->tag_prefix, '\0'}, their_prefix[] = {theirs->tag_prefix, '\0'};
    return same_text("--key-tags", mine, mine->tag_marker, theirs, theirs->tag_marker, why) &&
           same_text("--prefix-tags", mine, my_prefix, theirs, their_prefix, why) &&
           same_text("--ring-strip-prefix", mine, mine->ring_strip_prefix, theirs, theirs->ring_strip_prefix, why);
}

enum hello_verdict hello_check(const struct peer_hello *mine, const struct peer_hello *theirs, uint32_t *version,
                               struct peer_refusal *why) {
    if (!same_text("--cluster", mine, mine->cluster_name, theirs, theirs->cluster_name, why) ||
        !same_version(mine, theirs, version, why))
        return HELLO_REFUSED;
    bool same_id = cluster_id_equal(&mine->node, &theirs->node);
    if (same_id && mine->boot == theirs->boot) return HELLO_SELF;
    if (!is_wanted(mine, theirs, why) || !is_wanted(theirs, mine, why)) return HELLO_REFUSED;
    if (same_id)
        refuse(why, "--state-dir", "%.80s and %.80s are one node by their state: give each process its own directory",
               called(mine), called(theirs));
    else if (mine->ring_name[0] != '\0' && strcmp(mine->ring_name, theirs->ring_name) == 0)
        refuse(why, "--ring-name", "%.60s and %.60s both have the name %.90s: stop one, or give it another --ring-name",
               called(mine), called(theirs), mine->ring_name);
    else if (same_settings(mine, theirs, why))
        return HELLO_ACCEPTED;
    return HELLO_REFUSED;
}
