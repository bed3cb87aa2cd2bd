/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The HTTP listener over real sockets: answers at once and later, clients that send slowly, do not read, come in crowds
 * or may not do what they ask. Time is a clock that the test moves. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/sync.h"
#include "http/http.h"
#include "net_lab.h"

#define SECOND 1000000000ull
#define BIG PATTERN_BYTES
#define HEAD(status, type, length, end)                                                                                \
    "HTTP/1.1 " status "\r\nContent-Type: " type "\r\nContent-Length: " length                                         \
    "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: " end "\r\n\r\n"
#define TEXT "text/plain; charset=utf-8"
#define GET(path) "GET " path " HTTP/1.1\r\nHost: localhost\r\n\r\n"

/* What docs/http.md promises. */
enum { REQUEST_S = 10, IDLE_S = 60, CONNS = 64, OF_ONE = 16 };

/* ------------------------------------------------------------------ the listener */

struct lab {
    struct net_lab net; /* of which only the net and the clock are used */
    struct http *http;
};

static struct job {
    struct http_job job; /* first */
    char said[32];
} * waiting;                  /* atomic: the job that was begun last */
static uint64_t freed, ended; /* atomic: jobs that were freed; answers given by jobs */

static void run_echo(struct http_exchange *x) {
    const struct http_request *r = x->request;
    const struct text_token said = r->body.n > 0 ? r->body : x->match[0];
    http_reply(x, 200, "text/plain", NULL, said.p, said.n);
}

static void run_big(struct http_exchange *x) {
    http_reply(x, 200, "text/plain", "X-More: a\r\n", pattern, BIG);
}

static void run_nothing(struct http_exchange *x) {
    (void)x;
}

static void reply_job(struct http_job *job, struct http_exchange *x) {
    const struct job *j = (const struct job *)job;
    assert_null(x->request);
    http_reply_reason(x, 200, "Purged 2 objects", "text/plain", NULL, j->said, strlen(j->said));
    sync_add_acqrel(&ended, 1);
}

static void free_job(struct http_job *job) {
    free(job);
    sync_add_acqrel(&freed, 1);
}

static void run_later(struct http_exchange *x) {
    struct job *j = calloc(1, sizeof *j);
    j->job.reply = reply_job;
    j->job.free = free_job;
    snprintf(j->said, sizeof j->said, "%.*s", (int)x->match[0].n, x->match[0].p);
    http_wait(x, &j->job);
    sync_store_rel(&waiting, j);
}

static void refuse_json(struct http_exchange *x, unsigned status) {
    char text[32];
    const int n = snprintf(text, sizeof text, "{\"status\":%u}", status);
    http_reply(x, status, "application/json", NULL, text, (size_t)n);
}

static const struct http_route routes[] = {
    {.methods = 1u << HTTP_GET | 1u << HTTP_POST, .path = "/echo/**", .run = run_echo},
    {.methods = 1u << HTTP_GET, .path = "/big", .run = run_big},
    {.methods = 1u << HTTP_GET, .path = "/nothing", .run = run_nothing},
    {.methods = 1u << HTTP_PURGE, .path = "/later/*", .run = run_later},
    {.methods = 1u << HTTP_GET, .path = "/read/*", .scope = HTTP_READ, .run = run_echo, .refuse = refuse_json},
    {.methods = 1u << HTTP_GET, .path = "/admin/*", .scope = HTTP_ADMIN, .run = run_echo},
    {0},
};
static const struct http_route *const tables[] = {routes, NULL};

/* Tokens: "good" may read, "busy" has read too much. */
static const void *find_actor(void *arg, const struct http_request *r) {
    static const char good[] = "good", busy[] = "busy";
    const struct text_token token = http_request_first(r, "X-Token");
    (void)arg;
    if (token.p == NULL) return NULL;
    return http_request_is(token, good) ? good : http_request_is(token, busy) ? busy : NULL;
}

static unsigned refuses(void *arg, const void *actor, enum http_scope scope) {
    (void)arg;
    if (scope != HTTP_READ) return 403;
    return strcmp(actor, "busy") == 0 ? 429 : 0;
}

static const struct http_actors actors = {NULL, find_actor, refuses};

static void *context(void *arg, unsigned worker) {
    (void)worker;
    return ((struct lab *)arg)->http;
}

static struct lab *lab_new(void) {
    static const char *const hosts[] = {"cache.example"};
    struct net_listen listen = {.host = "0.0.0.0"};
    struct lab *l = calloc(1, sizeof *l);
    char err[256];
    const struct http_config http = {.routes = tables, .hosts = hosts, .nhosts = 1, .actors = &actors};
    assert_int_equal(http_new(&http, &l->http), 0);
    clock_manual_init(&l->net.clock, 1000 * SECOND, 1);
    const struct net_config cfg = {.threads = 1,
                                   .max_connections = HTTP_CONNS_MAX,
                                   .refuse_fast = true,
                                   .refusal = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
                                   .backlog = 64,
                                   .batches_per_event = 1,
                                   .listen = &listen,
                                   .nlisten = 1,
                                   .handler = http_handler(),
                                   .context = context,
                                   .context_arg = l,
                                   .clock = &l->net.clock.clock};
    if (net_new(&cfg, &l->net.net, err, sizeof err) != 0) fail_msg("%s", err);
    assert_int_equal(net_start(l->net.net), 0);
    return l;
}

static void lab_free(struct lab *l) {
    net_stop(l->net.net);
    net_free(l->net.net);
    http_free(l->http);
    free(l);
}

static int call(struct lab *l) {
    return dial_port(net_port(l->net.net, 0));
}

/* From 127.0.0.`last`; with so many bytes of room for what comes, if that is not 0. */
static int call_from(struct lab *l, unsigned last, int room) {
    struct sockaddr_in me = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    me.sin_addr.s_addr = htonl(INADDR_LOOPBACK + last - 1);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons((uint16_t)net_port(l->net.net, 0));
    if (room > 0) (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    assert_int_equal(bind(fd, (struct sockaddr *)&me, sizeof me), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* Moves the clock, second by second, and has the worker look at it. */
static void pass(struct lab *l, unsigned seconds) {
    for (unsigned i = 0; i < seconds; i++) {
        clock_manual_advance(&l->net.clock, SECOND);
        net_tick(l->net.net);
        await_worker(&l->net, 0);
    }
}

static unsigned connections(struct lab *l) {
    struct net_gauges g;
    net_gauges(l->net.net, &g);
    return (unsigned)g.curr_connections;
}

static void hear_text(int fd, const char *status, const char *text, const char *end) {
    char head[512], length[24];
    snprintf(length, sizeof length, "%zu", strlen(text) + 1);
    snprintf(head, sizeof head, HEAD("%s", TEXT, "%s", "%s") "%s\n", status, length, end, text);
    hear(fd, head);
}

/* ------------------------------------------------------------------ answers */

static void requests_follow_each_other(void **state) {
    struct lab *l = lab_new();
    const int fd = call(l);
    (void)state;
    say(fd, GET("/echo/a/b"));
    hear(fd, HEAD("200 OK", "text/plain", "3", "keep-alive") "a/b");
    say(fd, "HEAD /echo/abc HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    hear(fd, HEAD("200 OK", "text/plain", "3", "keep-alive"));
    say(fd, GET("/echo/1") GET("/echo/2") "POST /echo/x HTTP/1.1\r\nHost: a.b\r\nX-Token: good\r\nTransfer-Encoding: "
                                          "chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n" GET("/nope"));
    hear(fd, HEAD("200 OK", "text/plain", "1", "keep-alive") "1");
    hear(fd, HEAD("200 OK", "text/plain", "1", "keep-alive") "2");
    hear(fd, HEAD("200 OK", "text/plain", "2", "keep-alive") "hi");
    hear_text(fd, "404 Not Found", "there is nothing at this path", "keep-alive");
    say(fd, "PURGE /echo/a HTTP/1.1\r\nHost: localhost\r\n\r\n");
    hear(fd, "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD, POST\r\nContent-Length: 0\r\n"
             "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: keep-alive\r\n\r\n");
    say(fd, GET("/nothing"));
    hear_text(fd, "500 Internal Server Error", "no answer was found", "keep-alive");
    say(fd, "GET /echo/z HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    hear(fd, HEAD("200 OK", "text/plain", "1", "close") "z");
    hear_end(fd);
    assert_int_equal(http_requests(l->http, HTTP_DIALECT_own, 200), 6);
    assert_int_equal(http_requests(l->http, HTTP_DIALECT_own, 404), 1);
    lab_free(l);
}

static void a_client_waits_for_continue(void **state) {
    struct lab *l = lab_new();
    const int fd = call(l);
    (void)state;
    say(fd, "POST /echo/x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    hear(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "bo");
    say(fd, "dy");
    hear(fd, HEAD("200 OK", "text/plain", "4", "keep-alive") "body");
    close(fd);
    lab_free(l);
}

static void a_refused_client_reads_why(void **state) {
    struct lab *l = lab_new();
    const int fd = call(l);
    (void)state;
    say(fd, "POST /echo/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999\r\n\r\n");
    hear_text(fd, "413 Content Too Large", "a body has 256 KiB at most", "close");
    put(fd, pattern, 300000); /* it sends on, and is not answered with a reset */
    hear_end(fd);
    const int other = call(l);
    say(other, "GET / HTTP/1.1\nHost: a\n\n" GET("/echo/smuggled"));
    hear_text(other, "400 Bad Request", "a line ends with LF alone", "close");
    hear_end(other);
    lab_free(l);
}

/* ------------------------------------------------------------------ answers that come later */

static struct job *await_job(void) {
    struct job *j;
    while ((j = sync_load_acq(&waiting)) == NULL) poll(NULL, 0, 0);
    sync_store_rel(&waiting, (struct job *)NULL);
    return j;
}

static void others_are_served_while_one_waits(void **state) {
    struct lab *l = lab_new();
    const int fd = call(l), other = call(l);
    (void)state;
    say(fd, "PURGE /later/done HTTP/1.1\r\nHost: localhost\r\n\r\n" GET("/echo/next"));
    struct job *j = await_job();
    say(other, GET("/echo/a"));
    hear(other, HEAD("200 OK", "text/plain", "1", "keep-alive") "a");
    pass(l, 2 * IDLE_S); /* whoever waits for us is not idle */
    http_job_end(&j->job);
    hear(fd, HEAD("200 Purged 2 objects", "text/plain", "4", "keep-alive") "done");
    hear(fd, HEAD("200 OK", "text/plain", "4", "keep-alive") "next");
    await(&freed, 1);
    close(fd);
    lab_free(l);
}

static void a_client_may_go_or_say_no_more(void **state) {
    struct lab *l = lab_new();
    const int goes = call(l), half = call(l);
    (void)state;
    sync_store(&freed, 0);
    sync_store(&ended, 0);
    say(half, "PURGE /later/half HTTP/1.1\r\nHost: localhost\r\n\r\n");
    shutdown(half, SHUT_WR);
    struct job *j = await_job();
    http_job_end(&j->job);
    hear(half, HEAD("200 Purged 2 objects", "text/plain", "4", "keep-alive") "half");
    hear_end(half);
    say(goes, "PURGE /later/lost HTTP/1.1\r\nHost: localhost\r\n\r\n");
    j = await_job();
    net_stop(l->net.net); /* the connection ends while the job is under way */
    http_job_end(&j->job);
    await(&freed, 2);
    assert_int_equal(ended, 1);
    close(goes);
    lab_free(l);
}

/* ------------------------------------------------------------------ clients that take their time */

static void a_slow_sender_has_ten_seconds(void **state) {
    static const char text[] = GET("/echo/a");
    struct lab *l = lab_new();
    const int fd = call(l);
    (void)state;
    for (unsigned i = 0; i < REQUEST_S + 1; i++) { /* a byte each second does not help */
        put(fd, text + i, 1);
        await_read(&l->net, i + 1);
        await_worker(&l->net, 0);
        if (i < REQUEST_S) assert_int_equal(connections(l), 1);
        pass(l, 1);
    }
    hear_text(fd, "408 Request Timeout", "the request did not come whole within 10 seconds", "close");
    hear_end(fd);
    lab_free(l);
}

static void a_refused_client_does_not_stay(void **state) {
    struct lab *l = lab_new();
    const int fd = call(l);
    (void)state;
    say(fd, "nonsense\r\n\r\n");
    hear_text(fd, "400 Bad Request", "the request line is not METHOD TARGET HTTP/1.1", "close");
    assert_int_equal(connections(l), 1);
    pass(l, 4); /* it neither closes nor sends */
    assert_int_equal(connections(l), 0);
    hear_end(fd);
    lab_free(l);
}

static void idle_connections_end(void **state) {
    struct lab *l = lab_new();
    const int never = call(l), served = call(l);
    (void)state;
    say(served, GET("/echo/a"));
    hear(served, HEAD("200 OK", "text/plain", "1", "keep-alive") "a");
    pass(l, REQUEST_S + 1);
    hear_end(never);
    assert_int_equal(connections(l), 1);
    pass(l, IDLE_S - REQUEST_S - 3);
    assert_int_equal(connections(l), 1);
    pass(l, 4);
    hear_end(served);
    assert_int_equal(connections(l), 0);
    lab_free(l);
}

/* Its ten seconds begin with its first byte, however long the connection has rested. */
static void a_request_after_a_rest_has_ten_seconds(void **state) {
    static const char text[] = GET("/echo/a");
    struct lab *l = lab_new();
    const int fd = call(l);
    (void)state;
    say(fd, text);
    hear(fd, HEAD("200 OK", "text/plain", "1", "keep-alive") "a");
    pass(l, IDLE_S - 2);
    put(fd, text, 1);
    await_read(&l->net, sizeof text);
    await_worker(&l->net, 0);
    pass(l, REQUEST_S - 1);
    assert_int_equal(connections(l), 1);
    say(fd, text + 1);
    hear(fd, HEAD("200 OK", "text/plain", "1", "keep-alive") "a");
    close(fd);
    lab_free(l);
}

static void a_client_that_does_not_read_ends(void **state) {
    struct lab *l = lab_new();
    const int fd = call_from(l, 1, 4096);
    (void)state;
    say(fd, GET("/big"));
    while (http_requests(l->http, HTTP_DIALECT_own, 200) == 0) poll(NULL, 0, 0);
    await_worker(&l->net, 0);
    pass(l, REQUEST_S - 1);
    assert_int_equal(connections(l), 1);
    pass(l, 2);
    assert_int_equal(connections(l), 0);
    close(fd);
    lab_free(l);
}

static void a_large_answer_is_whole(void **state) {
    struct lab *l = lab_new();
    const int fd = call(l);
    (void)state;
    say(fd, GET("/big") GET("/echo/a"));
    hear(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-More: a\r\nContent-Length: 8388608\r\n"
             "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: keep-alive\r\n\r\n");
    hear_pattern(fd, BIG);
    hear(fd, HEAD("200 OK", "text/plain", "1", "keep-alive") "a");
    close(fd);
    lab_free(l);
}

/* ------------------------------------------------------------------ crowds */

static void say_and_hear(int fd) {
    say(fd, GET("/echo/a"));
    hear(fd, HEAD("200 OK", "text/plain", "1", "keep-alive") "a");
}

static void crowds_are_turned_away(void **state) {
    struct lab *l = lab_new();
    int fd[CONNS];
    (void)state;
    for (unsigned i = 0; i < CONNS; i++) {
        if (i > 0 && i % OF_ONE == 0) { /* one too many of that address */
            const int more = call_from(l, i / OF_ONE, 0);
            hear_text(more, "429 Too Many Requests", "there are 16 connections from this address already", "close");
            hear_end(more);
        }
        fd[i] = call_from(l, 1 + i / OF_ONE, 0);
        say_and_hear(fd[i]);
    }
    const int last = call_from(l, 9, 0);
    hear(last, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    hear_end(last);
    close(fd[0]);
    while (connections(l) == CONNS) poll(NULL, 0, 0);
    for (;;) { /* there is a place again, once the connection's memory is gone */
        struct net_gauges g;
        net_gauges(l->net.net, &g);
        if (g.structures < CONNS) break;
        poll(NULL, 0, 0);
    }
    fd[0] = call_from(l, 9, 0);
    say_and_hear(fd[0]);
    for (unsigned i = 0; i < CONNS; i++) close(fd[i]);
    lab_free(l);
}

/* ------------------------------------------------------------------ who may do what */

static void hosts_and_tokens(void **state) {
    static const char foreign[] =
        "without a token only localhost, literal addresses and the names of --http-host are hosts";
    struct lab *l = lab_new();
    const int fd = call(l);
    (void)state;
#define ASK(path, headers) say(fd, "GET " path " HTTP/1.1\r\n" headers "\r\n")
    ASK("/echo/a", "Host: api.fastly.com\r\n");
    hear_text(fd, "403 Forbidden", foreign, "keep-alive");
    ASK("http://evil/echo/a", "Host: localhost\r\n");
    hear_text(fd, "403 Forbidden", foreign, "keep-alive");
    ASK("/echo/a", "Host: api.fastly.com\r\nX-Token: bad\r\n");
    hear_text(fd, "403 Forbidden", foreign, "keep-alive");
    ASK("/echo/a", "Host: cache.example:8211\r\n");
    hear(fd, HEAD("200 OK", "text/plain", "1", "keep-alive") "a");
    ASK("/echo/a", "Host: api.fastly.com\r\nX-Token: good\r\n");
    hear(fd, HEAD("200 OK", "text/plain", "1", "keep-alive") "a");
    ASK("/read/a", "Host: localhost\r\nX-Token: good\r\n");
    hear(fd, HEAD("200 OK", "text/plain", "1", "keep-alive") "a");
    ASK("/read/a", "Host: localhost\r\n");
    hear(fd, HEAD("401 Unauthorized", "application/json", "14", "keep-alive") "{\"status\":401}");
    ASK("/read/a", "Host: localhost\r\nX-Token: busy\r\n");
    hear(fd, HEAD("429 Too Many Requests", "application/json", "14", "keep-alive") "{\"status\":429}");
    ASK("/admin/a", "Host: localhost\r\n");
    hear(fd, "HTTP/1.1 401 Unauthorized\r\nContent-Type: " TEXT "\r\nWWW-Authenticate: Bearer\r\nContent-Length: 52\r\n"
             "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: keep-alive\r\n\r\n"
             "this needs a token: see tagcached(1), --http-tokens\n");
    ASK("/admin/a", "Host: localhost\r\nX-Token: good\r\n");
    hear_text(fd, "403 Forbidden", "this token may not do that", "keep-alive");
    close(fd);
    lab_free(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_follow_each_other),
        cmocka_unit_test(a_client_waits_for_continue),
        cmocka_unit_test(a_refused_client_reads_why),
        cmocka_unit_test(others_are_served_while_one_waits),
        cmocka_unit_test(a_client_may_go_or_say_no_more),
        cmocka_unit_test(a_slow_sender_has_ten_seconds),
        cmocka_unit_test(a_refused_client_does_not_stay),
        cmocka_unit_test(idle_connections_end),
        cmocka_unit_test(a_client_that_does_not_read_ends),
        cmocka_unit_test(a_large_answer_is_whole),
        cmocka_unit_test(crowds_are_turned_away),
        cmocka_unit_test(hosts_and_tokens),
        cmocka_unit_test(a_request_after_a_rest_has_ten_seconds),
    };
    memset(pattern, 'p', sizeof pattern);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
