/* SPDX-License-Identifier: BSD-3-Clause
 *
 * view - what the workers know of the cluster: its members, and who of them owns a key.
 *
 * Whoever decides about the cluster makes a view and hands it to the commands (cmd_set_view); the next one takes its
 * place. It does not change while anybody may read it, but for the members' states, which any thread may change.
 */
#ifndef TAGCACHED_CLUSTER_VIEW_H
#define TAGCACHED_CLUSTER_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sync.h"
#include "cluster/move.h"
#include "cluster/ring.h"

#define VIEW_NOBODY UINT16_MAX /* instead of a member's index */

enum view_state {
    VIEW_ALIVE,
    VIEW_DOWN, /* nothing is asked of it: requests for its keys fail at once */
};

#define VIEW_STRIP_MAX 64 /* bytes of --ring-strip-prefix */

struct view_member {
    uint32_t number;           /* of the process in the cluster, never used again */
    char name[RING_NAME_TEXT]; /* "host:port", as clients write it */
};

struct view {
    uint64_t ring_version;
    struct ring *ring; /* NULL: member `only` owns all keys, and always did as far as this node can tell (no arc has
                        * a `since`); else a ring, be it of one member */
    uint16_t self;     /* this node's index; VIEW_NOBODY: it is no member */
    uint16_t only;     /* without a ring */
    bool fenced;       /* some arcs of this node have a `since`: what was stored before must not be served */
    unsigned nmembers;
    struct view_member *members; /* those of the ring first, in its order; then donors that are not in it any more */
    uint8_t *state;              /* enum view_state; relaxed */
    char strip[VIEW_STRIP_MAX];  /* what clients put before each key and do not hash */
    unsigned nstrip;
    struct move *move; /* what the last change of the ring moves to or from this node; NULL: nothing */
    uint16_t *donor;   /* by index in move->before: the index among members of that process, or VIEW_NOBODY */
};

/* Makes a view of n members (copied). `ring` is taken over if it succeeds, and its version is the view's; it may be
 * NULL, then `version` counts, and member `only` owns all keys. 0; -EINVAL: an index is out of range, or the ring has
 * more members than the view; -ENOMEM. */
int view_new(uint64_t version, struct ring *ring, const struct view_member *members, unsigned n, unsigned self,
             unsigned only, struct view **out);
/* Keys that begin with this text, of at most VIEW_STRIP_MAX bytes, have the owner of what follows it (libmemcached does
 * not hash its namespace). Before anybody else sees the view. NULL: none. */
void view_set_strip(struct view *v, const char *prefix);
/* The view shows this move, and takes a reference. Before anybody else sees it. 0, or -ENOMEM. */
int view_set_move(struct view *v, struct move *m);
/* Frees it, its ring, and its reference to the move. NULL is allowed. */
void view_free(struct view *v);

/* Whether every key is this node's. */
static inline bool view_owns_all(const struct view *v) {
    return v->ring == NULL && v->only == v->self;
}

/* The owners of n keys, as indexes of members, and their arcs' `since` (ring.h). Keys are read as ring_owners does. */
void view_owners(const struct view *v, const char *const key[], const uint32_t len[], unsigned n, uint16_t owner[],
                 uint64_t since[]);

/* Whether keys are moving to this node: else none has a donor. */
static inline bool view_gains(const struct view *v) {
    return v->move != NULL && move_gains(v->move);
}
/* From whom each of n keys that are this node's is moving here: an index of move->before, for move_state and `donor`;
 * RING_NONE: from nobody. Only with a move; keys are read as ring_owners does. */
void view_donors(const struct view *v, const char *const key[], const uint32_t len[], unsigned n, uint16_t donor[]);
/* Whether a key was this node's before the change, and is the member's with this index now: then that member may pull
 * it, if it is newer than *since: see move_taker. The same keys. */
bool view_gave(const struct view *v, const char *key, uint32_t len, unsigned member, uint64_t *since);

static inline enum view_state view_state(const struct view *v, unsigned i) {
    return (enum view_state)sync_load(&v->state[i]);
}
static inline void view_set_state(struct view *v, unsigned i, enum view_state s) {
    sync_store(&v->state[i], (uint8_t)s);
}

#endif
