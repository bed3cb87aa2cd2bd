/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What requests of CDNs' and caches' clients mean, and how they are answered: tests/vectors/http_purges.txt through the
 * parser, the table of routes and the dialects. */
#include "http/dialect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/http_parser.h"
#include "http/http_router.h"
#include "page.h"

#define REQUEST_MAX 16384
#define MEANING_MAX 2048

static struct http_route routes[64];
static const struct http_route *const tables[] = {routes, NULL};

static void run(struct http_exchange *x) {
    (void)x;
}

static void refuse(struct http_exchange *x, unsigned status) {
    (void)x;
    (void)status;
}

static int set_up(void **state) {
    (void)state;
    assert_true(dialect_purges_count() < sizeof routes / sizeof *routes);
    dialect_routes(routes, run, refuse, NULL);
    return 0;
}

/* A request of the file as it is on the wire: lines up to the empty one end in CRLF, the body follows as it is. */
static size_t on_wire(const char *text, char *to) {
    const char *end = strstr(text, "\n\n");
    size_t n = 0;
    assert_non_null(end);
    for (const char *p = text; p < end + 2; p++) {
        if (*p == '\n') to[n++] = '\r';
        to[n++] = *p;
    }
    const size_t body = strlen(end + 2);
    assert_true(n + body < REQUEST_MAX);
    memcpy(to + n, end + 2, body);
    n += body;
    return n;
}

/* Reads a request; the row of the table, or NULL if there is none. */
static const struct dialect_purge *read_request(char *bytes, size_t n, const char *url_tag, struct purge_wanted *w) {
    struct http_parser parser = {0};
    struct http_request r;
    struct text_token match[HTTP_MATCHES_MAX];
    struct http_refusal refusal = {0, ""};
    size_t used;
    unsigned methods;
    if (http_parser_feed(&parser, bytes, n, &r, &used, &refusal) != HTTP_PARSED_REQUEST)
        fail_msg("not parsed: %u %s\n%s", refusal.status, refusal.why, bytes);
    const struct http_route *route = http_router_find(tables, &r, match, &methods);
    if (route == NULL) return NULL;
    const struct dialect_input in = {&r, match, url_tag};
    const struct dialect_purge *row = &dialect_purges[route - routes];
    assert_ptr_equal(route->run, run);
    assert_int_equal(route->dialect, row->id);
    (void)dialect_read(row, &in, w);
    return row;
}

/* The good answer, or the refusal, of what was read. */
static void answer(const struct dialect_purge *row, const struct purge_wanted *w, struct dialect_answer *a) {
    const struct dialect_outcome o = {w, "4-88422", true, 3, 3, 1.9, 7, 412};
    *a = (struct dialect_answer){0};
    if (w->status == 0)
        row->dialect->done(&o, a);
    else
        row->dialect->failed(w->status, w->why, "", a);
}

static void describe(const struct dialect_purge *row, const struct purge_wanted *w, bool phrase, char *out) {
    static const char *const names[] = {
#define DIALECT(name) [HTTP_DIALECT_##name] = #name,
#include "http/http.dialects.def"
#undef DIALECT
    };
    static const char *const waits[] = {"", " wait=local", " wait=none"};
    struct dialect_answer a;
    answer(row, w, &a);
    int n = sprintf(out, "%s %u", names[row->id], a.status);
    if (w->status == 0) {
        n += sprintf(out + n, " %s", w->soft ? "soft" : "hard");
        if (w->ttl_s != 0) n += sprintf(out + n, " ttl=%u", w->ttl_s);
        n += sprintf(out + n, "%s%s", w->counted ? " receipt" : "", waits[w->wait]);
        if (w->wait_ms != PURGE_WANTED_WAIT_MS) n += sprintf(out + n, " timeout=%u", w->wait_ms);
        if (w->reason[0] != 0) n += sprintf(out + n, " reason=%s", w->reason);
        n += sprintf(out + n, " %s", w->text);
    }
    if (phrase) sprintf(out + n, " | %s", a.reason);
    free(a.body);
}

static void check_block(char *block) {
    char *name = block, *want = strstr(block, "\n> "), bytes[REQUEST_MAX], got[MEANING_MAX];
    assert_non_null(want);
    *want = 0;
    want += 3;
    char *request = strchr(want, '\n');
    *request++ = 0;
    request[strlen(request) - 1] = 0; /* the end of the block's last line */
    const size_t n = on_wire(request, bytes);
    struct purge_wanted w;
    purge_wanted_init(&w);
    const struct dialect_purge *row = read_request(bytes, n, NULL, &w);
    if (row == NULL) fail_msg("%s: no route", name);
    describe(row, &w, strchr(want, '|') != NULL, got);
    if (strcmp(got, want) != 0) fail_msg("%s:\n  wanted %s\n  got    %s (%s)", name, want, got, w.why);
    purge_wanted_fini(&w);
}

static void test_vectors(void **state) {
    char *text = page_read("tests/vectors/http_purges.txt");
    unsigned n = 0;
    (void)state;
    assert_non_null(text);
    for (char *block = strstr(text, "\n---- "), *next; block != NULL; block = next, n++) {
        next = strstr(block + 1, "\n---- ");
        if (next != NULL) *next = 0;
        char copy[REQUEST_MAX];
        snprintf(copy, sizeof copy, "%s%s", block + 6, next != NULL ? "\n" : "");
        check_block(copy);
        if (next != NULL) *next = '\n';
    }
    free(text);
    assert_true(n > 90);
}

/* ------------------------------------------------------------------ answers, byte for byte */

static void read_text(const char *head, const char *body, const char *url_tag, struct purge_wanted *w,
                      const struct dialect_purge **row) {
    char bytes[REQUEST_MAX];
    const int n = snprintf(bytes, sizeof bytes, "%s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n%s", head,
                           strlen(body), body);
    purge_wanted_init(w);
    *row = read_request(bytes, (size_t)n, url_tag, w);
    assert_non_null(*row);
}

static void check_done(const char *head, const char *body, unsigned status, const char *want) {
    struct purge_wanted w;
    const struct dialect_purge *row;
    struct dialect_answer a;
    read_text(head, body, NULL, &w, &row);
    assert_int_equal(w.status, 0);
    answer(row, &w, &a);
    assert_int_equal(a.status, status);
    if (want == NULL)
        assert_null(a.body);
    else
        assert_string_equal(a.body, want);
    free(a.body);
    purge_wanted_fini(&w);
}

static void test_good_answers(void **state) {
    (void)state;
    check_done("POST /service/S/purge", "{\"surrogate_keys\":[\"a\",\"b c\"]}", 200,
               "{\"a\":\"4-88422\",\"b c\":\"4-88422\"}");
    check_done("POST /service/S/purge/a", "", 200, "{\"status\":\"ok\",\"id\":\"4-88422\"}");
    check_done("POST /service/S/purge_all", "", 200, "{\"status\":\"ok\"}");
    check_done("POST /client/v4/zones/Z/purge_cache", "{\"tags\":[\"a\"]}", 200,
               "{\"success\":true,\"errors\":[],\"messages\":[],\"result\":{\"id\":\"4-88422\"}}");
    check_done("POST /ccu/v3/delete/tag/production", "{\"objects\":[\"a\"]}", 201,
               "{\"httpStatus\":201,\"detail\":\"Request accepted\",\"estimatedSeconds\":0,\"purgeId\":\"4-88422\","
               "\"supportId\":\"4-88422\"}");
    check_done("POST /pullzone/1/purgeCache", "{\"CacheTag\":\"a\"}", 204, NULL);
    check_done("POST /api/purge", "{\"tags\":[\"a\"]}", 200,
               "{\"id\":\"4-88422\",\"confirmed\":true,\"acked\":3,\"members\":3,\"took_ms\":1.9}");
}

static void test_receipt(void **state) {
    (void)state;
    check_done(
        "POST /api/purge", "{\"tags\":[\"a\"],\"receipt\":true}", 200,
        "{\"id\":\"4-88422\",\"confirmed\":true,\"acked\":3,\"members\":3,\"took_ms\":1.9,\"items\":7,\"bytes\":412}");
}

static void check_failed(enum http_dialect id, unsigned status, const char *want) {
    struct dialect_answer a = {0};
    for (unsigned i = 0; i < dialect_purges_count(); i++) {
        if (dialect_purges[i].id != id) continue;
        dialect_purges[i].dialect->failed(status, "why", status == 504 ? "4-1" : "", &a);
        break;
    }
    assert_int_equal(a.status, status);
    assert_string_equal(a.body, want);
    free(a.body);
}

static void test_errors(void **state) {
    (void)state;
    check_failed(HTTP_DIALECT_fastly, 401,
                 "{\"msg\":\"Provided credentials are missing or invalid\",\"detail\":\"why\"}");
    check_failed(HTTP_DIALECT_fastly, 504, "{\"msg\":\"Purge is not confirmed\",\"detail\":\"why\",\"id\":\"4-1\"}");
    check_failed(
        HTTP_DIALECT_cloudflare, 401,
        "{\"success\":false,\"errors\":[{\"code\":10000,\"message\":\"why\"}],\"messages\":[],\"result\":null}");
    check_failed(HTTP_DIALECT_cloudflare, 504,
                 "{\"success\":false,\"errors\":[{\"code\":1000,\"message\":\"why\"}],\"messages\":[],"
                 "\"result\":{\"id\":\"4-1\"}}");
    check_failed(HTTP_DIALECT_akamai, 413,
                 "{\"httpStatus\":413,\"title\":\"Request body too large\",\"detail\":\"why\",\"supportId\":\"\"}");
    check_failed(HTTP_DIALECT_bunny, 403, "{\"ErrorKey\":\"unauthorized\",\"Field\":\"CacheTag\",\"Message\":\"why\"}");
    check_failed(HTTP_DIALECT_souin, 429, "why\n");
    check_failed(HTTP_DIALECT_varnish, 504, "why 4-1\n");
    check_failed(HTTP_DIALECT_own, 504, "{\"error\":\"why\",\"id\":\"4-1\"}");
}

/* ------------------------------------------------------------------ bounds */

/* 2,048 tags are one request, one more is none. */
static void test_too_many(void **state) {
    struct purge_wanted w;
    (void)state;
    purge_wanted_init(&w);
    assert_int_equal(w.wait_ms, 2000);
    for (unsigned i = 0; i < 2048; i++) assert_true(purge_wanted_tag(&w, "a", 1));
    assert_false(purge_wanted_tag(&w, "a", 1));
    assert_int_equal(w.status, 413);
    purge_wanted_fini(&w);
}

static void test_urls(void **state) {
    static const struct {
        const char *head, *body, *tag;
    } rows[] = {
        {"POST /purge/www.example.com/a/b?c=d", "", "url:www.example.com/a/b"},
        {"POST /client/v4/zones/Z/purge_cache", "{\"files\":[\"https://www.example.com/x?y\"]}",
         "url:www.example.com/x"},
        {"POST /client/v4/zones/Z/purge_cache", "{\"files\":[{\"url\":\"http://e.com/\"}]}", "url:e.com/"},
        {"PURGE /page", "", "url:a/page"},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct purge_wanted w;
        const struct dialect_purge *row;
        read_text(rows[i].head, rows[i].body, "url:", &w, &row);
        assert_int_equal(w.status, 0);
        assert_string_equal(w.text, rows[i].tag);
        purge_wanted_fini(&w);
        read_text(rows[i].head, rows[i].body, NULL, &w, &row);
        assert_int_equal(w.status, 400);
        purge_wanted_fini(&w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors), cmocka_unit_test(test_good_answers), cmocka_unit_test(test_errors),
        cmocka_unit_test(test_receipt), cmocka_unit_test(test_too_many),     cmocka_unit_test(test_urls),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
