/* SPDX-License-Identifier: BSD-3-Clause */
#include "http/http_parser.h"

#include <string.h>
#include <strings.h>

#define METHOD_MAX 32      /* bytes of a method */
#define CHUNK_LINE_MAX 128 /* bytes of a line that says how long a chunk is */
#define LENGTH_DIGITS_MAX 9

/* ------------------------------------------------------------------ bytes */

/* Fills in why, and is false, so that a function can end with it. */
static bool refuse(struct http_refusal *refusal, unsigned status, const char *why) {
    *refusal = (struct http_refusal){status, why};
    return false;
}

/* RFC 9110, 5.6.2: what names of headers and methods are made of. */
static bool is_token_char(unsigned char c) {
    if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')) return true;
    return c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

/* How many bytes at the beginning are of that kind. */
static size_t token_span(const char *p, size_t n) {
    size_t i = 0;
    while (i < n && is_token_char((unsigned char)p[i])) i++;
    return i;
}

/* Whether every byte is printable ASCII without blanks. */
static bool all_visible(const char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (p[i] < 0x21 || p[i] > 0x7e) return false;
    return true;
}

/* Whether there is no control character but tabs. */
static bool no_controls(const char *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) return false;
    }
    return true;
}

static struct text_token trimmed(const char *p, size_t n) {
    while (n > 0 && (p[0] == ' ' || p[0] == '\t')) p++, n--;
    while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t')) n--;
    return (struct text_token){p, n};
}

/* ------------------------------------------------------------------ the request line */

static bool read_method(struct text_token name, struct http_request *r, struct http_refusal *refusal) {
    for (enum http_method m = 0; m < HTTP_METHODS; m++) {
        const char *known = http_request_method(m);
        if (strlen(known) != name.n || memcmp(known, name.p, name.n) != 0) continue; /* case matters */
        r->method = m;
        return true;
    }
    return refuse(refusal, 405, "this method is not known here");
}

/* host[:port]: letters, digits and what addresses are written with. */
static bool is_authority(struct text_token t) {
    for (size_t i = 0; i < t.n; i++) {
        const char c = t.p[i];
        if (!is_token_char((unsigned char)c) && c != ':' && c != '[' && c != ']') return false;
    }
    return true;
}

/* The target: /path?query, or that behind http://host. */
static bool read_target(struct text_token target, struct http_request *r, struct http_refusal *refusal) {
    static const char root[] = "/";
    const char *p = target.p, *const end = p + target.n;
    if (target.n == 0 || !all_visible(target.p, target.n))
        return refuse(refusal, 400, "the target has characters that no URL has");
    if (*p != '/') {
        const size_t scheme = strncasecmp(p, "http://", 7) == 0 ? 7 : strncasecmp(p, "https://", 8) == 0 ? 8 : 0;
        if (scheme == 0 || scheme > target.n) return refuse(refusal, 400, "the target is neither a path nor a URL");
        p += scheme;
        const char *stop = p;
        while (stop < end && *stop != '/' && *stop != '?') stop++;
        r->absolute = true;
        r->host = (struct text_token){p, (size_t)(stop - p)};
        if (r->host.n == 0 || !is_authority(r->host)) return refuse(refusal, 400, "the URL's host is malformed");
        p = stop;
    }
    const char *question = p < end ? memchr(p, '?', (size_t)(end - p)) : NULL;
    const char *path_end = question != NULL ? question : end;
    r->path = path_end > p ? (struct text_token){p, (size_t)(path_end - p)} : (struct text_token){root, 1};
    if (question != NULL) r->query = (struct text_token){question + 1, (size_t)(end - question - 1)};
    return true;
}

static bool read_request_line(const char *p, size_t n, struct http_request *r, struct http_refusal *refusal) {
    static const char shape[] = "the request line is not METHOD TARGET HTTP/1.1";
    const struct text_token method = {p, token_span(p, n)};
    if (method.n == 0 || method.n > METHOD_MAX || method.n == n || p[method.n] != ' ')
        return refuse(refusal, 400, shape);
    const char *target = p + method.n + 1, *const end = p + n;
    const char *blank = memchr(target, ' ', (size_t)(end - target));
    if (blank == NULL || end - blank != 9 || memcmp(blank, " HTTP/", 6) != 0 || blank[7] != '.')
        return refuse(refusal, 400, shape);
    const char major = blank[6], minor = blank[8];
    if (major < '0' || major > '9' || minor < '0' || minor > '9') return refuse(refusal, 400, shape);
    if (major != '1') return refuse(refusal, 505, "HTTP/1.1 and 1.0 are spoken here");
    r->old = minor == '0';
    return read_method(method, r, refusal) &&
           read_target((struct text_token){target, (size_t)(blank - target)}, r, refusal);
}

/* ------------------------------------------------------------------ header lines */

static bool read_header(const char *p, size_t n, struct http_header *h, struct http_refusal *refusal) {
    if (n > 0 && (p[0] == ' ' || p[0] == '\t'))
        return refuse(refusal, 400, "a header goes on in the next line, which is obsolete");
    const size_t name = token_span(p, n);
    if (name == 0 || name == n || p[name] != ':')
        return refuse(refusal, 400, "a header is not written NAME: VALUE, without a blank before the colon");
    h->name = (struct text_token){p, name};
    h->value = trimmed(p + name + 1, n - name - 1);
    return no_controls(h->value.p, h->value.n) || refuse(refusal, 400, "a header's value has a control character");
}

/* Whether a list, parted by commas, has that word. */
static bool list_has(struct text_token list, const char *word) {
    const char *p = list.p, *const end = p + list.n;
    while (p < end) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        if (comma == NULL) comma = end;
        if (http_request_is(trimmed(p, (size_t)(comma - p)), word)) return true;
        p = comma + 1;
    }
    return false;
}

/* What the headers say of the body and of the connection. */
struct framing {
    unsigned hosts, lengths, codings;
    struct text_token length, coding, expect;
    bool close, keep;
};

static struct framing framing_of(struct http_request *r) {
    struct framing f = {0};
    for (unsigned i = 0; i < r->nheaders; i++) {
        const struct http_header *h = &r->headers[i];
        if (http_request_is(h->name, "Host")) {
            f.hosts++;
            if (!r->absolute) r->host = h->value;
        } else if (http_request_is(h->name, "Content-Length")) {
            f.lengths++;
            f.length = h->value;
        } else if (http_request_is(h->name, "Transfer-Encoding")) {
            f.codings++;
            f.coding = h->value;
        } else if (http_request_is(h->name, "Connection")) {
            f.close |= list_has(h->value, "close");
            f.keep |= list_has(h->value, "keep-alive");
        } else if (http_request_is(h->name, "Expect")) {
            f.expect = h->value;
        }
    }
    return f;
}

/* A length of digits alone. Too many of them: HTTP_BODY_MAX + 1. False: it is something else. */
static bool read_length(struct text_token t, uint32_t *out) {
    uint64_t v = 0;
    if (t.n == 0) return false;
    for (size_t i = 0; i < t.n; i++) {
        if (t.p[i] < '0' || t.p[i] > '9') return false;
        if (v <= HTTP_BODY_MAX) v = v * 10 + (uint64_t)(t.p[i] - '0');
    }
    *out = v > HTTP_BODY_MAX ? HTTP_BODY_MAX + 1 : (uint32_t)v;
    return true;
}

/* How the body comes, and whether the request is one that can be answered. */
static bool read_framing(struct http_parser *ps, struct http_request *r, struct http_refusal *refusal) {
    const struct framing f = framing_of(r);
    if (f.hosts > 1) return refuse(refusal, 400, "there is more than one Host");
    if (f.hosts == 0 && !r->old) return refuse(refusal, 400, "a request of HTTP/1.1 needs a Host");
    if (!is_authority(r->host)) return refuse(refusal, 400, "the Host is malformed");
    if (f.codings > 0 && f.lengths > 0)
        return refuse(refusal, 400, "there are both a Content-Length and a Transfer-Encoding");
    if (f.codings > 0 && (f.codings > 1 || r->old || !http_request_is(f.coding, "chunked")))
        return refuse(refusal, 400, "the only Transfer-Encoding is chunked, once, in HTTP/1.1");
    if (f.lengths > 1) return refuse(refusal, 400, "there is more than one Content-Length");
    if (f.lengths == 1 && !read_length(f.length, &ps->length))
        return refuse(refusal, 400, "the Content-Length is not a number of digits alone");
    if (ps->length > HTTP_BODY_MAX) return refuse(refusal, 413, "a body has 256 KiB at most");
    if (f.expect.p != NULL && !http_request_is(f.expect, "100-continue"))
        return refuse(refusal, 417, "100-continue is all that can be expected here");
    ps->chunked = f.codings == 1;
    ps->expects = f.expect.p != NULL && !r->old;
    r->keep_alive = !f.close && (!r->old || f.keep);
    return true;
}

/* Reads the head, which is whole and whose lines end with CRLF. */
static bool read_head(struct http_parser *ps, const char *p, struct http_request *r, struct http_refusal *refusal) {
    memset(r, 0, offsetof(struct http_request, headers));
    r->nheaders = 0;
    r->body = (struct text_token){NULL, 0};
    const char *line = p + ps->start, *const end = p + ps->head - 2;
    const uint32_t length = ps->length; /* of chunks that were counted when it was read before */
    ps->length = 0;
    if (!read_request_line(line, ps->headers - 2 - ps->start, r, refusal)) return false;
    for (line = p + ps->headers; line < end; r->nheaders++) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        if (!read_header(line, (size_t)(stop - 1 - line), &r->headers[r->nheaders], refusal)) return false;
        line = stop + 1;
    }
    if (!read_framing(ps, r, refusal)) return false;
    if (ps->chunked) ps->length = length;
    return true;
}

/* ------------------------------------------------------------------ finding the ends */

/* Whether what has come of the head is still within its limits. */
static bool head_fits(const struct http_parser *ps, size_t n, struct http_refusal *refusal) {
    if (ps->headers == 0 && n - ps->start > HTTP_LINE_MAX + 2)
        return refuse(refusal, 414, "a request line has 8 KiB at most");
    if (ps->headers != 0 && n - ps->headers > HTTP_HEAD_MAX + 2)
        return refuse(refusal, 431, "the headers have 32 KiB at most");
    return ps->nlines <= HTTP_HEADERS_MAX || refuse(refusal, 431, "there are 64 headers at most");
}

/* Looks for the empty line that ends the head: ps->head is set when it has come. False: refused. */
static bool scan_head(struct http_parser *ps, const char *p, size_t n, struct http_refusal *refusal) {
    while (ps->head == 0) {
        const char *nl = ps->scanned < n ? memchr(p + ps->scanned, '\n', n - ps->scanned) : NULL;
        const uint32_t end = nl != NULL ? (uint32_t)(nl + 1 - p) : (uint32_t)n;
        if (!head_fits(ps, end, refusal)) return false;
        ps->scanned = end;
        if (nl == NULL) return true;
        if (end - ps->line < 2 || nl[-1] != '\r') return refuse(refusal, 400, "a line ends with LF alone");
        const bool empty = end - ps->line == 2;
        ps->line = end;
        if (empty && ps->headers == 0 && ps->start == 0) {
            ps->start = end; /* RFC 9112, 2.2: one empty line before a request is passed over */
        } else if (ps->headers == 0) {
            ps->headers = end;
        } else if (empty) {
            ps->head = end;
        } else {
            ps->nlines++;
        }
    }
    return true;
}

/* Reads the line of a chunk: its length, and where its bytes begin (0: the line has not come whole). */
static bool read_chunk_line(const char *p, size_t n, uint32_t at, uint32_t *size, uint32_t *data,
                            struct http_refusal *refusal) {
    static const char shape[] = "a chunk does not begin with its length in hexadecimal digits";
    const size_t look = n - at < CHUNK_LINE_MAX ? n - at : CHUNK_LINE_MAX;
    const char *line = p + at, *nl = memchr(line, '\n', look);
    *data = 0;
    if (nl == NULL) return look < CHUNK_LINE_MAX || refuse(refusal, 400, shape);
    uint64_t v = 0;
    unsigned i = 0;
    for (; i < LENGTH_DIGITS_MAX; i++) {
        const char c = line[i], low = (char)(c | 0x20);
        if (c >= '0' && c <= '9')
            v = v << 4 | (uint64_t)(c - '0');
        else if (low >= 'a' && low <= 'f')
            v = v << 4 | (uint64_t)(low - 'a' + 10);
        else
            break;
    }
    const char *rest = line + i, *const end = nl - 1; /* an extension may follow, which is passed over */
    if (i == 0 || i == LENGTH_DIGITS_MAX || end < rest || *end != '\r' || (rest < end && *rest != ';') ||
        !no_controls(rest, (size_t)(end - rest)))
        return refuse(refusal, 400, shape);
    if (v > HTTP_BODY_MAX) return refuse(refusal, 413, "a body has 256 KiB at most");
    *size = (uint32_t)v;
    *data = (uint32_t)(nl + 1 - p);
    return true;
}

static bool is_crlf(const char *p) {
    return p[0] == '\r' && p[1] == '\n';
}

/* Goes through the chunks that have come whole. *total: bytes of the request, once the last chunk has come; else 0. */
static bool scan_chunks(struct http_parser *ps, const char *p, size_t n, size_t *total, struct http_refusal *refusal) {
    *total = 0;
    for (;;) {
        uint32_t size, data;
        if (ps->chunk - ps->head > HTTP_CODED_MAX) return refuse(refusal, 413, "the chunks have 512 KiB at most");
        if (!read_chunk_line(p, n, ps->chunk, &size, &data, refusal)) return false;
        if (data == 0) return true;
        if (ps->length + size > HTTP_BODY_MAX) return refuse(refusal, 413, "a body has 256 KiB at most");
        if (n < (size_t)data + size + 2) return true;
        if (!is_crlf(p + data + size))
            return refuse(refusal, 400, size == 0 ? "trailers are not taken" : "a chunk is longer than it says");
        ps->chunk = data + size + 2;
        ps->length += size;
        if (size == 0) {
            *total = ps->chunk;
            return true;
        }
    }
}

/* Moves the bytes of the chunks, which are whole and good, together behind the head. */
static void join_chunks(const struct http_parser *ps, char *p, size_t n) {
    struct http_refusal never;
    uint32_t at = ps->head, to = ps->head, size = 0, data;
    while (read_chunk_line(p, n, at, &size, &data, &never) && size > 0) {
        memmove(p + to, p + data, size);
        to += size;
        at = data + size + 2;
    }
}

enum http_parsed http_parser_feed(struct http_parser *ps, char *p, size_t n, struct http_request *r, size_t *used,
                                  struct http_refusal *refusal) {
    size_t total;
    bool read = false;
    if (ps->head == 0) {
        if (!scan_head(ps, p, n, refusal)) return HTTP_PARSED_REFUSED;
        if (ps->head == 0) return HTTP_PARSED_MORE;
        if (!read_head(ps, p, r, refusal)) return HTTP_PARSED_REFUSED;
        ps->chunk = ps->head;
        read = true;
    }
    if (ps->chunked) {
        if (!scan_chunks(ps, p, n, &total, refusal)) return HTTP_PARSED_REFUSED;
    } else {
        total = n >= (size_t)ps->head + ps->length ? ps->head + ps->length : 0;
    }
    if (total == 0) return HTTP_PARSED_MORE;
    /* The bytes may lie elsewhere by now. */
    if (!read && !read_head(ps, p, r, refusal)) return HTTP_PARSED_REFUSED;
    if (ps->chunked) join_chunks(ps, p, total);
    if (ps->length > 0) r->body = (struct text_token){p + ps->head, ps->length};
    *used = total;
    return HTTP_PARSED_REQUEST;
}
