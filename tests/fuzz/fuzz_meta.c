/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Flags of meta commands and base64: what is accepted is consistent, and what is decoded encodes back. */
#include <string.h>

#include "base/check.h"
#include "proto/base64.h"
#include "proto/meta.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_flags(const char *line, size_t n, enum meta_command command) {
    static char decoded[65536];
    struct text_token name, key;
    struct meta m;
    size_t at = 0;
    if (!text_next(line, n, &at, &name) || !text_next(line, n, &at, &key) || n > 65536) return;
    if (meta_parse(line, n, at, 2, command, &key, decoded, &m) != META_OK) return;
    CHECK(m.norder <= META_WORDS_MAX);
    uint64_t have = 0;
    for (unsigned i = 0; i < m.norder; i++) {
        CHECK((have & META_BIT(m.order[i])) == 0); /* no flag twice */
        have |= META_BIT(m.order[i]);
    }
    CHECK(have == m.have);
    CHECK(!meta_has(&m, 'O') || m.opaque.n <= META_OPAQUE_MAX);
    if (meta_has(&m, 'L')) {
        const struct text_token *list = m.l_tags.p != NULL ? &m.l_tags : &m.r_tags;
        CHECK(m.l_tags.p == NULL || m.r_tags.p == NULL);
        CHECK(list->p == NULL || (list->p >= line + 3 && list->p + list->n <= line + n && list->p[-3] == 'L'));
    }
    if (meta_has(&m, 'b')) {
        char back[65536 * 2];
        CHECK(m.decoded > 0 && m.decoded <= key.n);
        size_t k = base64_encode(decoded, m.decoded, back);
        CHECK(k <= (m.decoded + 2) / 3 * 4);
        CHECK(base64_decode(back, k, back + 65536) == m.decoded && memcmp(back + 65536, decoded, m.decoded) == 0);
    }
}

/* What meta_read_usual makes of a line is what meta_parse makes of it. */
static void check_usual(const char *line, size_t n, enum meta_command command) {
    static char decoded[65536];
    struct meta_usual u;
    struct meta m;
    struct text_token key;
    size_t at = 0;
    if (!text_next(line, n, &at, &key)) return;
    const char *next = meta_read_usual(line, line + at, line + n, command, &u), *p = line + at;
    if (next == NULL) return;
    CHECK(next <= line + n && next[-2] == '\r' && next[-1] == '\n');
    CHECK(meta_parse(line, (size_t)(next - line) - 2, at, 3, command, &key, decoded, &m) == META_OK);
    CHECK(m.have == u.have);
    CHECK(!meta_has(&m, 'T') || m.ttl == u.ttl);
    CHECK(!meta_has(&m, 'F') || m.flags == u.flags);
    CHECK(!meta_has(&m, 'O') || (m.opaque.p == u.opaque.p && m.opaque.n == u.opaque.n));
    char letter = 0;
    unsigned i = 0;
    for (; (p = meta_next_usual(&u, p, &letter)) != NULL; i++) CHECK(i < m.norder && m.order[i] == letter);
    CHECK(i == m.norder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (n == 0 || n > 40000) return 0;
    check_flags((const char *)data + 1, n - 1, (enum meta_command)(data[0] % META_COMMANDS));
    check_usual((const char *)data + 1, n - 1, data[0] & 1 ? META_MG : META_MS);
    return 0;
}
