/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/tag.h"

#include <string.h>

#include "base/hash.h"
#include "store/state.h"

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
    for (unsigned k = 0; k < TAG_PREFIXES_MAX && key < end; k++) {
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

bool tag_holds(const uint64_t *tags, unsigned n, const uint64_t *wanted, uint64_t nwanted) {
    for (uint64_t i = 0; i < nwanted; i++) {
        unsigned k = 0;
        while (k < n && tags[k] != wanted[i]) k++;
        if (k == n) return false;
    }
    return true;
}

unsigned tag_unite(uint64_t *tags, unsigned n, const uint64_t *more, unsigned nmore) {
    for (unsigned i = 0; i < nmore; i++) {
        unsigned k = 0;
        while (k < n && tags[k] != more[i]) k++;
        if (k == n) tags[n++] = more[i];
    }
    return n;
}
