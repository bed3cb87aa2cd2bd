/* SPDX-License-Identifier: BSD-3-Clause
 *
 * modify - changes of an item that is there: arithmetic, touch, delete, the meta get, winning, one more tag. */
#include "base/fault.h"
#include "base/sync.h"
#include "store/change.h"
#include "store/handle.h"
#include "store/index.h"
#include "store/item.h"
#include "store/number.h"
#include "store/tag.h"
#include "store/verdict.h"

/* The expiry a change may give: what is stale by a soft purge does not outlive its deadline. */
static uint32_t capped_expiry(const struct change *c, uint32_t wanted) {
    if (!item_softly_stale(c->old.bits)) return wanted;
    return wanted == 0 || wanted > c->old.expiry ? c->old.expiry : wanted;
}

/* ------------------------------------------------------------------ arithmetic */

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Digits, at most 2^64 - 1. White space and a plus may come before them; behind them white space, or one NUL: files,
 * shells and C programs store numbers so. */
static bool parse_number(const struct item *it, uint64_t *n) {
    const char *p = (const char *)it->p + it->value_at;
    size_t len = it->len & ITEM_LEN_MASK, i = 0;
    if (item_large(it)) return false;
    while (i < len && is_space(p[i])) i++;
    if (i < len && p[i] == '+') i++;
    const size_t first = i;
    *n = 0;
    for (; i < len && p[i] >= '0' && p[i] <= '9'; i++) {
        unsigned d = (unsigned)(p[i] - '0');
        if (*n > (UINT64_MAX - d) / 10) return false;
        *n = *n * 10 + d;
    }
    if (i == first) return false;
    if (i + 1 == len && p[i] == '\0') return true;
    while (i < len && is_space(p[i])) i++;
    return i == len;
}

static unsigned print_number(char out[20], uint64_t n) {
    char rev[20];
    unsigned k = 0;
    do {
        rev[k++] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    for (unsigned i = 0; i < k; i++) out[i] = rev[k - 1 - i];
    return k;
}

static enum store_status arith_create(struct change *c, const struct store_arith *a, uint64_t *number) {
    char digits[20];
    struct item_spec spec = {.key = a->key.p,
                             .key_len = (uint8_t)a->key.len,
                             .expiry = a->vivify_expiry,
                             .tags = a->tags,
                             .ntags = (uint8_t)a->ntags,
                             .bits = a->has_cas ? ITEM_CAS : 0,
                             .cas = a->cas};
    *number = a->initial;
    spec.value_bytes = print_number(digits, a->initial);
    spec.len = (uint16_t)(spec.value_bytes | (a->bits & STORE_B64 ? ITEM_LEN_B64 : 0));
    return change_write(c, &spec, digits, false);
}

static enum store_status arith_change(struct change *c, const struct store_arith *a, uint64_t *number) {
    char digits[20];
    const struct item *o = &c->old;
    uint64_t n;
    if (a->guarded && o->cas != a->guard) return STORE_EXISTS;
    if (!parse_number(o, &n)) return STORE_NON_NUMERIC;
    n = !a->decrement ? n + a->delta : n > a->delta ? n - a->delta : 0;
    *number = n;
    struct item_spec spec = {.key = a->key.p,
                             .key_len = (uint8_t)a->key.len,
                             .expiry = a->set_expiry ? capped_expiry(c, a->expiry) : o->expiry,
                             .flags = o->flags,
                             .tags = o->p + o->tags_at,
                             .ntags = o->ntags,
                             .bits = (o->bits & ITEM_STATE) | (a->has_cas ? ITEM_CAS : 0),
                             .cas = a->cas};
    if (c->verdict == VERDICT_SOFT && spec.expiry == 0) spec.expiry = c->deadline;
    spec.value_bytes = print_number(digits, n);
    spec.len = (uint16_t)(spec.value_bytes | (o->len & ITEM_LEN_B64));
    return change_write(c, &spec, digits, true);
}

enum store_status store_arith(struct store_worker *w, const struct store_arith *a, uint64_t *number, bool *created,
                              struct store_item *out) {
    struct change c;
    change_begin(&c, w, &a->key);
    enum store_status st = STORE_NOT_FOUND;
    *created = false;
    if (c.slot) st = arith_change(&c, a, number);
    if (st == STORE_NOT_FOUND && c.slot == NULL && a->vivify) {
        st = arith_create(&c, a, number);
        *created = st == STORE_OK;
    }
    if (c.slot) change_show(&c, out);
    change_end(&c);
    return st;
}

/* ------------------------------------------------------------------ touch */

/* An item without an expiry field is written anew, maybe into a segment that the sweep has passed, so what a purge did
 * to it is written into it on the way. False: no segment is free; c->slot is NULL if it turned out dead. */
static bool touch(struct change *c, uint32_t wanted) {
    uint32_t expiry = capped_expiry(c, wanted), deadline = 0;
    uint8_t bits = c->old.bits & ITEM_STATE;
    if (expiry != 0 && !(c->old.bits & ITEM_EXPIRY)) {
        enum carry carry = change_carry_own(c, &deadline);
        if (carry == CARRY_DEAD) {
            change_drop(c);
            return true;
        }
        if (carry == CARRY_SOFT && !FAULT_POINT("modify.mutate.touch_without_soft"))
            change_carry_state(c, carry, deadline, &bits, &expiry);
    }
    return change_state(c, bits, expiry, c->old.version);
}

enum store_status store_touch(struct store_worker *w, const struct store_key *k, uint32_t expiry,
                              struct store_item *out, uint32_t *old_expiry) {
    struct change c;
    change_begin(&c, w, k);
    enum store_status st = STORE_NOT_FOUND;
    if (c.slot) {
        if (old_expiry) *old_expiry = c.old.expiry;
        bool ok = touch(&c, expiry);
        st = !ok ? change_no_segment(w->s) : c.slot ? STORE_OK : STORE_NOT_FOUND;
        if (st == STORE_OK) change_show(&c, out);
    }
    change_end(&c);
    return st;
}

/* ------------------------------------------------------------------ delete */

static enum store_status delete_invalidate(struct change *c, const struct store_delete *d) {
    uint8_t bits = (uint8_t)((c->old.bits & ITEM_FETCHED) | ITEM_STALE);
    uint32_t expiry = d->set_expiry ? capped_expiry(c, d->expiry) : c->old.expiry, deadline = 0;
    uint64_t version = number_take(c->w, c->old.version);
    enum carry carry = change_carry_own(c, &deadline);
    if (carry == CARRY_DEAD) {
        change_drop(c);
        return STORE_NOT_FOUND;
    }
    if (carry == CARRY_SOFT || item_softly_stale(c->old.bits)) bits |= ITEM_SOFT;
    if (carry == CARRY_SOFT && (expiry == 0 || expiry > deadline)) expiry = deadline;
    bool ok;
    if (d->has_cas) {
        struct rewrite r = {.bits = bits, .expiry = expiry, .flags = c->old.flags, .has_cas = true, .cas = d->cas};
        ok = change_rewrite(c, &r, version);
    } else {
        ok = change_state(c, bits, expiry, version);
    }
    return ok ? STORE_OK : change_no_segment(c->w->s);
}

static enum store_status delete_clear(struct change *c, const struct store_delete *d) {
    struct item_spec spec = {.key = d->key.p,
                             .key_len = (uint8_t)d->key.len,
                             .expiry = d->set_expiry ? d->expiry : 0,
                             .flags = d->flags,
                             .tags = c->old.p + c->old.tags_at,
                             .ntags = c->old.ntags,
                             .len = c->old.len & ITEM_LEN_B64,
                             .bits = (d->invalidate ? ITEM_STALE : 0) | (d->has_cas ? ITEM_CAS : 0),
                             .cas = d->cas};
    if (c->verdict == VERDICT_SOFT && spec.expiry == 0) spec.expiry = c->deadline; /* a field for it */
    return change_write(c, &spec, "", true);
}

enum store_status store_delete(struct store_worker *w, const struct store_delete *d, struct store_item *out) {
    struct change c;
    change_begin(&c, w, &d->key);
    enum store_status st = STORE_NOT_FOUND;
    if (c.slot && d->guarded && c.old.cas != d->guard) {
        st = STORE_EXISTS;
        change_show(&c, out);
    } else if (c.slot && d->clear) {
        st = delete_clear(&c, d);
        if (c.slot) change_show(&c, out);
    } else if (c.slot && d->invalidate) {
        st = delete_invalidate(&c, d);
        if (c.slot) change_show(&c, out);
    } else if (c.slot) {
        change_show(&c, out);
        change_unlink(&c);
        st = STORE_OK;
    }
    change_end(&c);
    return st;
}

/* ------------------------------------------------------------------ winning */

/* Writes a soft purge into the item: its deadline becomes the expiry, the winner's id is newer than the purge. */
static bool win_soft(struct change *c) {
    uint32_t expiry = c->old.expiry;
    (void)FAULT_POINT("modify.winning");
    if (c->verdict == VERDICT_SOFT && (expiry == 0 || expiry > c->deadline)) expiry = c->deadline;
    uint64_t version = number_take(c->w, c->old.version);
    uint32_t deadline = 0;
    uint8_t bits = (uint8_t)((c->old.bits & ITEM_FETCHED) | ITEM_STALE | ITEM_SOFT | ITEM_WON);
    /* The new version must not hide a purge that came after the soft one. */
    enum carry carry = change_carry_own(c, &deadline);
    if (carry == CARRY_DEAD) {
        change_drop(c);
        return true;
    }
    if (carry == CARRY_SOFT && (expiry == 0 || expiry > deadline)) expiry = deadline;
    if (!change_state(c, bits, expiry, version)) return false;
    c->verdict = VERDICT_LIVE;
    COUNT(c->w, soft_wins, 1);
    return true;
}

enum store_win store_win(struct store_worker *w, const struct store_key *k, struct store_item *out) {
    struct change c;
    enum store_win win = STORE_WIN_NONE;
    change_begin(&c, w, k);
    if (c.slot && change_soft(&c)) {
        win = win_soft(&c) ? STORE_WIN_WON : STORE_WIN_OTHERS;
        if (c.slot == NULL) win = STORE_WIN_NONE;
    } else if (c.slot && item_softly_stale(c.old.bits)) {
        win = STORE_WIN_OTHERS;
    }
    if (c.slot) change_show(&c, out);
    change_end(&c);
    return win;
}

/* ------------------------------------------------------------------ meta get */

static enum store_status meta_create(struct change *c, const struct store_meta_get *g) {
    struct item_spec spec = {.key = g->key.p,
                             .key_len = (uint8_t)g->key.len,
                             .expiry = g->vivify_expiry,
                             .tags = g->tags,
                             .ntags = (uint8_t)g->ntags,
                             .len = g->bits & STORE_B64 ? ITEM_LEN_B64 : 0,
                             .bits = (g->has_cas ? ITEM_CAS : 0) | ITEM_WON,
                             .cas = g->cas};
    return change_write(c, &spec, "", false);
}

static bool wants_recache(const struct change *c, const struct store_meta_get *g) {
    uint32_t e = c->old.expiry;
    return g->recache && e != 0 && e - c->w->now < g->recache_s;
}

static enum store_status meta_change(struct change *c, const struct store_meta_get *g, enum store_win *win) {
    bool ok = true;
    if (g->touch) ok = touch(c, g->expiry);
    if (c->slot == NULL) return STORE_NOT_FOUND;
    if (ok && change_soft(c)) {
        ok = win_soft(c);
        *win = STORE_WIN_WON;
    } else if (ok && item_rearmed(c->old.bits)) {
        item_set_bits(c->old.p, c->old.bits = (uint8_t)((c->old.bits & ~ITEM_SOFT) | ITEM_WON));
        *win = STORE_WIN_WON;
    } else if (ok && (c->old.bits & ITEM_WON)) {
        *win = STORE_WIN_OTHERS;
    } else if (ok && ((c->old.bits & ITEM_STALE) || wants_recache(c, g))) {
        item_set_bits(c->old.p, c->old.bits |= ITEM_WON);
        *win = STORE_WIN_WON;
    }
    return ok ? STORE_OK : change_no_segment(c->w->s);
}

/* Whether the reader is to see what is there, given the tags that he names; notes if a soft purge of one has it. */
static bool meta_shows(struct change *c, const struct store_meta_get *g) {
    uint32_t deadline;
    if (c->slot == NULL || g->nread == 0) return c->slot != NULL;
    c->read = g->read;
    c->nread = g->nread;
    enum verdict v = verdict_for_reader(c->w, &c->old, g->read, g->nread, &deadline);
    if (v == VERDICT_PURGED) COUNT(c->w, get_purged, 1);
    if (v == VERDICT_SOFT) {
        c->verdict = v;
        c->deadline = deadline;
    }
    return v != VERDICT_PURGED;
}

enum store_status store_meta_get(struct store_worker *w, const struct store_meta_get *g, struct store_item *out,
                                 enum store_win *win, bool *created, uint32_t *old_expiry) {
    struct change c;
    change_begin(&c, w, &g->key);
    *win = STORE_WIN_NONE;
    *created = false;
    enum store_status st = STORE_NOT_FOUND;
    if (meta_shows(&c, g)) {
        if (old_expiry) *old_expiry = c.old.expiry;
        index_bump(c.slot, sync_load(c.slot));
        st = meta_change(&c, g, win);
        if (c.slot == NULL) st = STORE_NOT_FOUND;
    }
    if (st == STORE_NOT_FOUND && g->vivify) {
        st = meta_create(&c, g);
        if (st == STORE_OK) {
            *created = true;
            *win = STORE_WIN_WON;
            if (old_expiry) *old_expiry = c.old.expiry;
        }
    }
    if (c.slot) change_show(&c, out);
    change_end(&c);
    return st;
}

/* ------------------------------------------------------------------ one more tag */

void store_fence(struct store_worker *w, const struct store_key *k, uint64_t since) {
    struct store_item it;
    struct change c;
    if (likely(!store_peek(w, k, &it) || it.version > since)) return;
    change_begin(&c, w, k);
    if (c.slot != NULL && c.old.version <= since) {
        change_unlink(&c);
        change_end(&c);
    } else {
        change_end_unchanged(&c);
    }
}

enum store_status store_tag_add(struct store_worker *w, const struct store_key *k, uint64_t tag) {
    struct change c;
    enum store_status st = STORE_NOT_FOUND;
    change_begin(&c, w, k);
    if (c.slot) {
        uint64_t tags[TAG_ALL_MAX + 1];
        uint32_t deadline = 0;
        unsigned n = c.old.ntags, at = 0;
        memcpy(tags, c.old.p + c.old.tags_at, 8u * n);
        while (at < n && tags[at] != tag) at++;
        tags[at] = tag;
        if (at == n) n++;
        uint64_t version = number_take(w, c.old.version);
        unsigned all = tag_prefixes(w->s, k->p, (unsigned)k->len, tags, n);
        enum carry carry = n > STORE_TAGS_MAX ? CARRY_LIVE : change_carry(&c, tags, all, &deadline);
        struct rewrite r = {.expiry = c.old.expiry, .flags = c.old.flags, .tags = tags, .ntags = n, .drop_cas = true};
        if (n > STORE_TAGS_MAX) {
            st = STORE_TOO_MANY;
        } else if (carry == CARRY_DEAD) {
            change_drop(&c);
        } else {
            change_carry_state(&c, carry, deadline, &r.bits, &r.expiry);
            if (carry == CARRY_LIVE) r.bits = c.old.bits & ITEM_STATE;
            st = change_rewrite(&c, &r, version) ? STORE_OK : change_no_segment(w->s);
        }
    }
    change_end(&c);
    return st;
}
