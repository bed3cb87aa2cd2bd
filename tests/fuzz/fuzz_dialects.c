/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Requests that purge: any bytes through the parser, the table of routes and the readers of all dialects. The first
 * byte chooses a row for its reader, whatever the method and path are; so bodies reach all of them. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "http/dialect.h"
#include "http/http_parser.h"
#include "proto/keytags.h"

#define INPUT_MAX (64 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What was read is one purge, or several, as the text protocol knows them. */
static void check_wanted(const struct purge_wanted *w) {
    size_t at = 0, count = 0;
    struct text_token selector;
    CHECK(w->nselectors >= 1 && w->nselectors <= PURGE_WANTED_SELECTORS_MAX && strlen(w->text) == w->bytes);
    CHECK(!w->all || strcmp(w->text, "*") == 0);
    while (keytags_next_selector(w->text, w->bytes, &at, &selector) > 0) {
        CHECK(keytags_is_selector(selector.p, selector.n));
        CHECK(w->all || selector.n != 1 || selector.p[0] != '*');
        count++;
    }
    CHECK(count == w->nselectors && w->wait_ms <= PURGE_WANTED_WAIT_MAX_MS);
}

static void check_answers(const struct dialect_purge *row, const struct purge_wanted *w) {
    struct dialect_answer a = {0};
    const struct dialect_outcome o = {w, "4-1", true, 1, 1, 0.5, 7, 412};
    if (w->status == 0)
        row->dialect->done(&o, &a);
    else
        row->dialect->failed(w->status, w->why, "", &a);
    CHECK(a.status >= 200 && a.status < 600 && strpbrk(a.reason, "\r\n") == NULL && (a.body == NULL || a.type != NULL));
    free(a.body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct http_parser parser = {0};
    struct http_request r;
    struct http_refusal refusal;
    size_t used;
    if (n == 0 || n > INPUT_MAX) return 0;
    const struct dialect_purge *row = &dialect_purges[data[0] % dialect_purges_count()];
    char *bytes = malloc(n);
    memcpy(bytes, data + 1, n - 1);
    if (http_parser_feed(&parser, bytes, n - 1, &r, &used, &refusal) == HTTP_PARSED_REQUEST) {
        const struct text_token match[HTTP_MATCHES_MAX] = {r.path, r.path, r.path, r.path};
        const struct dialect_input in = {&r, match, (data[0] & 0x80) != 0 ? "url:" : NULL};
        struct purge_wanted w;
        purge_wanted_init(&w);
        const bool good = purge_wanted_options(&w, &r) && row->read(&in, &w);
        CHECK(good == (w.status == 0));
        if (good) check_wanted(&w);
        check_answers(row, &w);
        purge_wanted_fini(&w);
    }
    free(bytes);
    return 0;
}
