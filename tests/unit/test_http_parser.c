/* SPDX-License-Identifier: BSD-3-Clause
 *
 * HTTP requests: what is read, and what is refused, whole and piece by piece; and looking things up in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/http_parser.h"
#include "http/http_router.h"

#define HOST "Host: localhost\r\n"

/* What docs/http.md promises, in bytes; the last one says what chunks may take with their lengths. */
enum { LINE = 8192, HEADERS = 32768, BODY = 262144, CODED = 524288 };

static struct http_request request;
static struct http_refusal refusal;
static size_t used;
static char *bytes; /* that the request lies in */

/* Feeds text[0..n) at once (step 0), or step bytes more each time, always in a place of its own. */
static enum http_parsed feed(const char *text, size_t n, size_t step) {
    struct http_parser ps = {0};
    enum http_parsed how = HTTP_PARSED_MORE;
    used = 0;
    for (size_t at = step == 0 ? n : step; how == HTTP_PARSED_MORE; at += step) {
        if (at > n) at = n;
        free(bytes);
        bytes = malloc(at > 0 ? at : 1); /* nothing may be read beyond it */
        memcpy(bytes, text, at);
        how = http_parser_feed(&ps, bytes, at, &request, &used, &refusal);
        if (at == n) break;
    }
    return how;
}

/* The status with which it is refused, however it comes; 0: it is not refused; 1: it is not whole. */
static unsigned refused(const char *text, size_t n) {
    static const size_t steps[] = {0, 1, 3, 7};
    unsigned status = 0;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        const enum http_parsed how = feed(text, n, steps[i]);
        const unsigned now = how == HTTP_PARSED_REFUSED ? refusal.status : how == HTTP_PARSED_MORE ? 1 : 0;
        if (i > 0 && now != status) fail_msg("%u at once, %u by %zu bytes: %.60s", status, now, steps[i], text);
        status = now;
    }
    return status;
}

static void expect_text(struct text_token t, const char *text) {
    assert_int_equal(t.n, strlen(text));
    if (t.n > 0) assert_memory_equal(t.p, text, t.n);
}

/* ------------------------------------------------------------------ what is read */

static void test_request(void **state) {
    static const char text[] = "POST /service/x/purge/artist:42/x%20y?soft=1&wait HTTP/1.1\r\n"
                               "Host: api.fastly.com:8211\r\nSurrogate-Key:  a b \t\r\nX-Empty:\r\n"
                               "surrogate-key: c\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\n";
    (void)state;
    for (size_t step = 0; step < 12; step++) {
        assert_int_equal(feed(text, sizeof text - 1, step), HTTP_PARSED_REQUEST);
        assert_int_equal(used, strlen(text) - strlen("GET / HTTP/1.1\r\n"));
        assert_int_equal(request.method, HTTP_POST);
        assert_true(request.keep_alive && !request.old && !request.absolute);
        expect_text(request.path, "/service/x/purge/artist:42/x%20y");
        expect_text(request.query, "soft=1&wait");
        expect_text(request.host, "api.fastly.com:8211");
        expect_text(request.body, "hello");
        assert_int_equal(request.nheaders, 5);
        struct text_token value;
        unsigned at = 0;
        assert_true(http_request_header(&request, "SURROGATE-KEY", &at, &value));
        expect_text(value, "a b");
        assert_true(http_request_header(&request, "Surrogate-Key", &at, &value));
        expect_text(value, "c");
        assert_false(http_request_header(&request, "Surrogate-Key", &at, &value));
        expect_text(http_request_first(&request, "x-empty"), "");
        assert_null(http_request_first(&request, "Surrogate").p);
        assert_true(http_request_query(&request, "soft", &value));
        expect_text(value, "1");
        assert_true(http_request_query(&request, "wait", &value));
        expect_text(value, "");
        assert_false(http_request_query(&request, "wai", &value));
        assert_false(http_request_query(&request, "1", &value));
    }
}

static void test_methods(void **state) {
    char text[128];
    (void)state;
    for (enum http_method m = 0; m < HTTP_METHODS; m++) {
        snprintf(text, sizeof text, "%s / HTTP/1.1\r\n" HOST "\r\n", http_request_method(m));
        assert_int_equal(refused(text, strlen(text)), 0);
        assert_int_equal(request.method, m);
    }
}

static void test_chunks(void **state) {
    static const char text[] = "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n"
                               "3\r\nabc\r\n00A;name=\"v\"\r\ndefghijklm\r\n1\r\nn\r\n0\r\n\r\nrest";
    (void)state;
    for (size_t step = 0; step < 12; step++) {
        assert_int_equal(feed(text, sizeof text - 1, step), HTTP_PARSED_REQUEST);
        expect_text(request.body, "abcdefghijklmn");
        assert_int_equal(used, sizeof text - 1 - strlen("rest"));
    }
}

static void test_forms(void **state) {
    (void)state;
#define GOOD(text) assert_int_equal(refused(text, sizeof(text) - 1), 0)
    GOOD("GET / HTTP/1.0\r\n\r\n");
    assert_true(request.old && !request.keep_alive);
    expect_text(request.host, "");
    GOOD("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    assert_true(request.keep_alive);
    GOOD("GET / HTTP/1.1\r\n" HOST "Connection: TE , close\r\n\r\n");
    assert_false(request.keep_alive);
    GOOD("\r\nGET / HTTP/1.1\r\n" HOST "\r\n"); /* an empty line before it, RFC 9112, 2.2 */
    GOOD("PURGE http://www.example.com?a HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_true(request.absolute);
    expect_text(request.host, "www.example.com"); /* RFC 9112, 3.2.2: the target's, not the header's */
    expect_text(request.path, "/");
    expect_text(request.query, "a");
    GOOD("GET / HTTP/1.1\r\n" HOST "X: \xc3\xa4\r\n\r\n"); /* a value may have any byte above 0x7f */
    GOOD("GET /? HTTP/1.1\r\n" HOST "\r\n");
    assert_non_null(request.query.p);
    assert_int_equal(request.query.n, 0);
#undef GOOD
}

/* ------------------------------------------------------------------ attacks */

#define BAD(status, text)                                                                                              \
    { status, text, sizeof(text) - 1 }
#define POST(headers, body) "POST / HTTP/1.1\r\n" HOST headers "\r\n" body
static const struct {
    unsigned status;
    const char *text;
    size_t n;
} attacks[] = {
    /* Two readings of where the body ends. */
    BAD(400, POST("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
    BAD(400, POST("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n")),
    BAD(400, POST("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n")),
    BAD(400, POST("Transfer-Encoding: identity\r\n", "")),
    BAD(400, POST("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n")),
    BAD(400, POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
    BAD(400, "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    BAD(400, POST("Content-Length: 5\r\nContent-Length: 0\r\n", "hello")),
    BAD(400, POST("Content-Length: 5\r\nContent-Length: 5\r\n", "hello")),
    BAD(400, POST("Content-Length: 5, 5\r\n", "hello")),
    BAD(400, POST("Content-Length: +5\r\n", "hello")),
    BAD(400, POST("Content-Length: -5\r\n", "hello")),
    BAD(400, POST("Content-Length: 0x5\r\n", "hello")),
    BAD(400, POST("Content-Length: 5 \t5\r\n", "hello")),
    BAD(400, POST("Content-Length:\r\n", "hello")),
    BAD(400, POST("Content-Length : 5\r\n", "hello")),
    BAD(400, POST("Content-Length\t: 5\r\n", "hello")),
    BAD(400, POST("X: a\r\n Content-Length: 5\r\n", "hello")),
    BAD(400, POST("X: a\r\n\tb\r\n", "")),
    BAD(400, POST("Content-Length: 5\n", "hello")),
    BAD(400, "POST / HTTP/1.1\n" HOST "\r\n"),
    BAD(400, "POST / HTTP/1.1\r\n" HOST "\n"),
    BAD(400, "POST / HTTP/1.1\r\rHost: a\r\n\r\n"),
    BAD(400, POST("X: a\rContent-Length: 5\r\n", "hello")),
    BAD(400, POST("X: a\0b\r\n", "")),
    BAD(400, POST("X\0: a\r\n", "")),
    BAD(400, POST("X: a\x7f\r\n", "")),
    BAD(400, POST(": a\r\n", "")),
    BAD(400, POST("no colon\r\n", "")),
    BAD(400, POST("(x): a\r\n", "")),
/* Chunks that are not what they say. */
#define CHUNKED(body) POST("Transfer-Encoding: chunked\r\n", body)
    BAD(400, CHUNKED("5\nhello\r\n0\r\n\r\n")),
    BAD(400, CHUNKED("5\r\nhello0\r\n\r\n")),
    BAD(400, CHUNKED("5\r\nhelloGET / HTTP/1.1\r\n")),
    BAD(400, CHUNKED("+5\r\nhello\r\n0\r\n\r\n")),
    BAD(400, CHUNKED("0x5\r\nhello\r\n0\r\n\r\n")),
    BAD(400, CHUNKED(" 5\r\nhello\r\n0\r\n\r\n")),
    BAD(400, CHUNKED("5 \r\nhello\r\n0\r\n\r\n")),
    BAD(400, CHUNKED("5;a\rb\r\nhello\r\n0\r\n\r\n")),
    BAD(400, CHUNKED("\r\n0\r\n\r\n")),
    BAD(400, CHUNKED("0\r\nX: trailer\r\n\r\n")),
    BAD(400, CHUNKED("000000005\r\nhello\r\n0\r\n\r\n")),
    BAD(413, CHUNKED("ffffffff\r\n")),
    BAD(413, CHUNKED("40001\r\n")),
    /* Request lines. */
    BAD(400, "GET /\r\n\r\n"),
    BAD(400, "GET  / HTTP/1.1\r\n" HOST "\r\n"),
    BAD(400, "GET / HTTP/1.1 \r\n" HOST "\r\n"),
    BAD(400, "GET / x HTTP/1.1\r\n" HOST "\r\n"),
    BAD(400, " GET / HTTP/1.1\r\n" HOST "\r\n"),
    BAD(400, "GET\t/\tHTTP/1.1\r\n" HOST "\r\n"),
    BAD(400, "GET / http/1.1\r\n" HOST "\r\n"),
    BAD(400, "GET / HTTP/1.11\r\n" HOST "\r\n"),
    BAD(400, "GET / HTTP/+.1\r\n" HOST "\r\n"),
    BAD(400, "GET x HTTP/1.1\r\n" HOST "\r\n"),
    BAD(400, "GET * HTTP/1.1\r\n" HOST "\r\n"),
    BAD(400, "GET /\x01 HTTP/1.1\r\n" HOST "\r\n"),
    BAD(400, "GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n"),
    BAD(400, "GET http:// HTTP/1.1\r\n" HOST "\r\n"),
    BAD(400, "GET http:///x HTTP/1.1\r\n" HOST "\r\n"),
    BAD(400, "GET http://a@b/ HTTP/1.1\r\n" HOST "\r\n"),
    BAD(400, "\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n"),
    BAD(405, "PUT / HTTP/1.1\r\n" HOST "\r\n"),
    BAD(405, "get / HTTP/1.1\r\n" HOST "\r\n"),
    BAD(405, "PURGEKEY / HTTP/1.1\r\n" HOST "\r\n"),
    BAD(405, "CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n"),
    BAD(505, "GET / HTTP/2.0\r\n" HOST "\r\n"),
    BAD(505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    /* Hosts. */
    BAD(400, "GET / HTTP/1.1\r\n\r\n"),
    BAD(400, "GET / HTTP/1.1\r\n" HOST HOST "\r\n"),
    BAD(400, "GET / HTTP/1.0\r\n" HOST HOST "\r\n"),
    BAD(400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    BAD(400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    BAD(400, "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"),
    BAD(417, POST("Expect: 200-maybe\r\n", "")),
    BAD(413, POST("Content-Length: 262145\r\n", "")),
    BAD(413, POST("Content-Length: 99999999999999999999999999\r\n", "")),
};

static void test_attacks(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++) {
        const unsigned status = refused(attacks[i].text, attacks[i].n);
        if (status != attacks[i].status) fail_msg("%u instead of %u: %s", status, attacks[i].status, attacks[i].text);
        assert_non_null(refusal.why);
    }
}

/* The body of any method is never the next request. */
static void test_bodies_stay(void **state) {
    static const char inner[] = "DELETE /smuggled HTTP/1.1\r\n" HOST "\r\n";
    char text[512];
    (void)state;
    for (enum http_method m = 0; m < HTTP_METHODS; m++) {
        const int n = snprintf(text, sizeof text, "%s / HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n%s",
                               http_request_method(m), sizeof inner - 1, inner);
        assert_int_equal(feed(text, (size_t)n, 0), HTTP_PARSED_REQUEST);
        assert_int_equal(used, n);
        expect_text(request.body, inner);
        assert_int_equal(feed(text, (size_t)n - 1, 0), HTTP_PARSED_MORE); /* truncated: nothing */
    }
}

/* ------------------------------------------------------------------ limits */

/* head, n times fill, tail: whether that is refused, and with what. */
static unsigned long_one(const char *head, char fill, size_t n, const char *tail) {
    const size_t size = strlen(head) + n + strlen(tail);
    char *text = malloc(size);
    memcpy(text, head, strlen(head));
    memset(text + strlen(head), fill, n);
    memcpy(text + size - strlen(tail), tail, strlen(tail));
    const enum http_parsed whole = feed(text, size, 0);
    const unsigned status = whole == HTTP_PARSED_REFUSED ? refusal.status : whole == HTTP_PARSED_MORE ? 1 : 0;
    const enum http_parsed steps = feed(text, size, 4096);
    assert_int_equal(steps, whole);
    free(text);
    return status;
}

static void test_limits(void **state) {
    static const char line[] = "GET / HTTP/1.1", host[] = "Host: localhost\r\n", x[] = "X: ";
    char many[4096];
    (void)state;
    const char *tail = " HTTP/1.1\r\n" HOST "\r\n";
    const size_t most = LINE - (sizeof line - 1);
    assert_int_equal(long_one("GET /", 'a', most, tail), 0);
    assert_int_equal(long_one("GET /", 'a', most + 1, tail), 414);
    assert_int_equal(long_one("GET /", 'a', 3 * LINE, ""), 414); /* no end in sight */
    const size_t value = HEADERS - (sizeof host - 1) - (sizeof x - 1) - 2;
    assert_int_equal(long_one("GET / HTTP/1.1\r\n" HOST "X: ", 'a', value, "\r\n\r\n"), 0);
    assert_int_equal(long_one("GET / HTTP/1.1\r\n" HOST "X: ", 'a', value + 1, "\r\n\r\n"), 431);
    assert_int_equal(long_one("GET / HTTP/1.1\r\n" HOST "X: ", 'a', 2 * HEADERS, ""), 431);
    for (unsigned n = 63; n <= 64; n++) {
        size_t at = (size_t)sprintf(many, "GET / HTTP/1.1\r\n" HOST);
        for (unsigned i = 0; i < n; i++) at += (size_t)sprintf(many + at, "X%u: a\r\n", i);
        at += (size_t)sprintf(many + at, "\r\n");
        assert_int_equal(refused(many, at), n == 63 ? 0 : 431);
    }
    assert_int_equal(long_one(POST("Content-Length: 262144\r\n", ""), 'a', BODY, ""), 0);
    assert_int_equal(long_one(POST("Content-Length: 262144\r\n", ""), 'a', BODY - 1, ""), 1);
    assert_int_equal(long_one(CHUNKED("40000\r\n"), 'a', BODY, "\r\n0\r\n\r\n"), 0);
    assert_int_equal(long_one(CHUNKED("40000\r\n"), 'a', BODY, "\r\n1\r\na\r\n0\r\n\r\n"), 413);
    assert_int_equal(long_one(CHUNKED("1;"), 'a', 200, "\r\n"), 400);
}

/* A body of chunks of a byte each, which is mostly lengths. */
static void test_tiny_chunks(void **state) {
    static const char head[] = CHUNKED(""), chunk[] = "1;aaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n";
    const size_t n = CODED / (sizeof chunk - 1) + 2, size = sizeof head - 1 + n * (sizeof chunk - 1);
    char *text = malloc(size);
    (void)state;
    memcpy(text, head, sizeof head - 1);
    for (size_t i = 0; i < n; i++) memcpy(text + sizeof head - 1 + i * (sizeof chunk - 1), chunk, sizeof chunk - 1);
    assert_int_equal(feed(text, size, 0), HTTP_PARSED_REFUSED);
    assert_int_equal(refusal.status, 413);
    free(text);
}

static void test_continue(void **state) {
    static const char text[] = POST("Expect: 100-continue\r\nContent-Length: 2\r\n", "ab");
    struct http_parser ps = {0};
    char copy[sizeof text];
    (void)state;
    memcpy(copy, text, sizeof text);
    assert_int_equal(http_parser_feed(&ps, copy, 10, &request, &used, &refusal), HTTP_PARSED_MORE);
    assert_false(ps.expects); /* not before the head is whole */
    assert_int_equal(http_parser_feed(&ps, copy, sizeof text - 3, &request, &used, &refusal), HTTP_PARSED_MORE);
    assert_true(ps.expects);
    assert_int_equal(http_parser_feed(&ps, copy, sizeof text - 1, &request, &used, &refusal), HTTP_PARSED_REQUEST);
}

/* ------------------------------------------------------------------ looking things up */

static void test_decode(void **state) {
    char out[16];
#define DECODES(text, plus, to)                                                                                        \
    assert_int_equal(http_request_decode((struct text_token){text, strlen(text)}, plus, out, sizeof out), strlen(to)); \
    assert_memory_equal(out, to, strlen(to))
    (void)state;
    DECODES("artist:42%2Fx%20y", false, "artist:42/x y");
    DECODES("a+b%2b", true, "a b+");
    DECODES("a+b", false, "a+b");
    DECODES("0123456789abcdef", false, "0123456789abcdef");
    static const char *const bad[] = {"%", "%1", "%g0", "%0g", "a%2", "0123456789abcdefg"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(http_request_decode((struct text_token){bad[i], strlen(bad[i])}, false, out, sizeof out), -1);
}

static void test_hosts(void **state) {
    static char one[] = "cache.example", *const names[] = {one};
    static const struct {
        const char *host;
        bool ours;
    } hosts[] = {
        {"", true},
        {"localhost", true},
        {"LOCALHOST:8211", true},
        {"127.0.0.1", true},
        {"10.0.3.9:1", true},
        {"[::1]", true},
        {"[::1]:8211", true},
        {"Cache.Example:80", true},
        {"evil", false},
        {"localhost.evil", false},
        {"127.0.0.1.evil", false},
        {"[::1", false},
        {"[::1]x", false},
        {"[cache.example]", false},
        {":8211", false},
        {"127.1", false},
        {"[]", false},
        {"::1", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        const struct text_token host = {hosts[i].host, strlen(hosts[i].host)};
        if (http_router_is_own_host(host, names, 1) != hosts[i].ours) fail_msg("%s", hosts[i].host);
    }
}

static void test_routes(void **state) {
    static const struct http_route first[] = {{.methods = 1u << HTTP_GET, .path = "/metrics"}, {0}},
                                   second[] = {{.methods = 1u << HTTP_POST, .path = "/service/*/purge/**"},
                                               {.methods = 1u << HTTP_POST, .path = "/service/*/purge"},
                                               {.methods = 1u << HTTP_PURGE, .path = "/**"},
                                               {0}};
    static const struct http_route *const tables[] = {first, second, NULL};
    struct text_token match[HTTP_MATCHES_MAX];
    unsigned methods;
    struct http_request r = {.method = HTTP_HEAD};
#define FIND(m, text)                                                                                                  \
    (r.method = (m), r.path = (struct text_token){text, sizeof(text) - 1},                                             \
     http_router_find(tables, &r, match, &methods))
    (void)state;
    assert_ptr_equal(FIND(HTTP_GET, "/metrics"), &first[0]);
    assert_ptr_equal(FIND(HTTP_HEAD, "/metrics"), &first[0]);
    assert_ptr_equal(FIND(HTTP_POST, "/service/7/purge/artist:42/x"), &second[0]);
    expect_text(match[0], "7");
    expect_text(match[1], "artist:42/x");
    assert_ptr_equal(FIND(HTTP_POST, "/service/7/purge"), &second[1]);
    assert_ptr_equal(FIND(HTTP_PURGE, "/metrics"), &second[2]);
    assert_null(FIND(HTTP_PURGE, "/")); /* ** is not empty */
    assert_int_equal(methods, 0);
    assert_null(FIND(HTTP_POST, "/metrics"));
    assert_int_equal(methods, 1u << HTTP_GET | 1u << HTTP_HEAD | 1u << HTTP_PURGE);
    assert_null(FIND(HTTP_POST, "/service//purge"));
    assert_null(FIND(HTTP_POST, "/service/7/purgex"));
    assert_null(FIND(HTTP_GET, "/metric"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request), cmocka_unit_test(test_methods),     cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_forms),   cmocka_unit_test(test_attacks),     cmocka_unit_test(test_bodies_stay),
        cmocka_unit_test(test_limits),  cmocka_unit_test(test_tiny_chunks), cmocka_unit_test(test_continue),
        cmocka_unit_test(test_decode),  cmocka_unit_test(test_hosts),       cmocka_unit_test(test_routes),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(bytes);
    return failed;
}
