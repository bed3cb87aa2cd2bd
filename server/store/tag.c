/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/internal.h"

/* Whether a tag's name may hold this byte (protocol: no blank, control, comma, plus). */
static bool is_plain(unsigned char c) {
    return c > 0x20 && c != 0x7f && c != ',' && c != '+';
}

/* Appends a byte to a name, percent-encoded unless it is plain. Returns the name's new length. */
static size_t put_encoded(char *name, size_t n, unsigned char c) {
    static const char digits[] = "0123456789ABCDEF";
    name[n++] = is_plain(c) ? (char)c : '%';
    if (is_plain(c)) return n;
    name[n++] = digits[c >> 4];
    name[n++] = digits[c & 15];
    return n;
}

/* The name of a prefix tag is the prefix with what a tag cannot hold percent-encoded, so that every prefix can be
 * purged; likewise a prefix that is an asterisk alone, which would select everything. */
unsigned tag_prefixes(const struct store *s, const char *key, unsigned key_len, uint64_t *out, unsigned n) {
    const char delimiter = s->cfg.prefix_delimiter, *const end = key + key_len;
    char name[STORE_TAG_MAX + 3];
    size_t len = 0;
    if (delimiter == 0) return n;
    for (unsigned k = 0; k < PREFIX_TAGS_MAX && key < end; k++) {
        const char *last = memchr(key, delimiter, (size_t)(end - key));
        if (last == NULL) return n;
        while (key <= last && len < STORE_TAG_MAX) len = put_encoded(name, len, (unsigned char)*key++);
        if (key <= last || len > STORE_TAG_MAX) return n; /* longer ones have no tag */
        out[n++] = len == 1 && name[0] == '*' ? hash_tag("%2A", 3) : hash_tag(name, len);
    }
    return n;
}

unsigned tag_all(const struct store *s, const struct item *it, uint64_t *out) {
    memcpy(out, it->p + it->tags_at, 8u * it->ntags);
    return tag_prefixes(s, (const char *)it->p + it->key_at, it->key_len, out, it->ntags);
}

bool tags_hold(const uint64_t *tags, unsigned n, const uint64_t *wanted, uint64_t nwanted) {
    for (uint64_t i = 0; i < nwanted; i++) {
        unsigned k = 0;
        while (k < n && tags[k] != wanted[i]) k++;
        if (k == n) return false;
    }
    return true;
}

unsigned tags_unite(uint64_t *tags, unsigned n, const uint64_t *more, unsigned nmore) {
    for (unsigned i = 0; i < nmore; i++) {
        unsigned k = 0;
        while (k < n && tags[k] != more[i]) k++;
        if (k == n) tags[n++] = more[i];
    }
    return n;
}

static enum verdict verdict_of(enum purge_verdict v) {
    return v == PURGE_FRESH ? ITEM_LIVE : v == PURGE_SOFT ? ITEM_SOFTLY : ITEM_PURGED;
}

enum verdict item_verdict_slow(struct store_worker *w, const struct item *it, uint32_t *deadline) {
    const struct purge_table *t = &w->s->purge;
    enum purge_verdict v;
    if (it->ntags == 0 && w->s->cfg.prefix_delimiter == 0) {
        v = purge_check_untagged(t, it->birth, w->now, deadline);
    } else {
        uint64_t tags[ALL_TAGS_MAX];
        unsigned n = tag_all(w->s, it, tags);
        COUNT(w, tag_lookups, n);
        v = purge_unknown(t, it->birth, (const uint8_t *)tags, n)
                ? PURGE_FRESH
                : purge_check(t, it->birth, tags, n, w->now, deadline);
    }
    return verdict_of(v);
}

enum verdict item_verdict_read(struct store_worker *w, const struct item *it, const uint64_t *read, unsigned nread,
                               uint32_t *deadline) {
    uint64_t tags[ASKED_TAGS_MAX];
    if (it->birth > sync_load_acq(&w->s->purge.seq)) return ITEM_LIVE;
    const unsigned nown = tag_all(w->s, it, tags), n = tags_unite(tags, nown, read, nread);
    COUNT(w, tag_lookups, n);
    return verdict_of(purge_check_read(&w->s->purge, it->birth, tags, nown, n, w->now, deadline));
}

bool store_item_selected(const struct store_worker *w, const struct store_item *it, const struct store_selector *sel) {
    uint64_t tags[ALL_TAGS_MAX];
    store_item_tags(it, tags);
    const unsigned n = tag_prefixes(w->s, it->key, it->key_len, tags, it->ntags);
    return tags_hold(tags, n, sel->tags, sel->ntags);
}
