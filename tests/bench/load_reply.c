/* SPDX-License-Identifier: BSD-3-Clause
 *
 * load_reply - replies of the four protocols, and the check of every value when it is wanted.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

#define COMPLAINTS 5 /* printed a thread */

static void mismatch(struct load_thread *t, const struct load_conn *c, const char *why, const char *p, size_t n) {
    if (t->stats.mismatches++ >= COMPLAINTS) return;
    uint64_t id = c->cur < c->nreq ? c->keys[c->req[c->cur].first] : 0;
    fprintf(stderr, "mismatch (%s), request of key %" PRIu64 ": %.*s\n", why, id, n > 120 ? 120 : (int)n, p);
}

static void count_trace_get(struct load_thread *t, struct load_conn *c, const struct load_request *r) {
    const struct load_miss *it = &c->item[c->cur];
    t->stats.trace_gets++;
    t->stats.trace_get_bytes += it->size;
    if (r->hits) return;
    /* Asked twice in one batch: the first miss fills it, so the second counts as the hit it would have been. */
    for (int i = 0; i < c->npending; i++)
        if (c->pending[i].id == it->id) {
            t->stats.misses--;
            t->stats.hits++;
            return;
        }
    t->stats.trace_misses++;
    t->stats.trace_miss_bytes += it->size;
    c->pending[c->npending++] = *it;
}

static void remember_miss(struct load_thread *t, struct load_conn *c, const struct load_request *r) {
    const struct value_model *v = &t->load->values;
    uint64_t id = c->keys[r->first];
    c->pending[c->npending++] = (struct load_miss){id, value_size(v, value_hash(v, id)), t->cfg->ttl};
}

static void request_done(struct load_thread *t, struct load_conn *c, uint64_t now_ns) {
    struct load_request *r = &c->req[c->cur];
    t->stats.requests++;
    c->answered++;
    if (r->kind == LOAD_GET) {
        t->stats.gets += r->nkeys;
        t->stats.hits += r->hits;
        t->stats.misses += r->nkeys - r->hits;
        if (t->phase == LOAD_TRACE)
            count_trace_get(t, c, r);
        else if (t->cfg->set_misses && !r->hits && t->phase != LOAD_SCAN)
            remember_miss(t, c, r);
    } else
        t->stats.sets++;
    if (t->phase != LOAD_TRACE || r->kind == LOAD_GET) hist_add(&t->stats.latency, now_ns - c->sent_ns);
    if (t->cfg->echo_port && now_ns - c->sent_ns >= LOAD_LATE_NS) late_add(&t->stats.late, c->sent_ns, now_ns);
    c->cur++;
    c->next_key = 0;
}

/* The number of a key that came back; UINT64_MAX if it is none of ours. */
static uint64_t key_number(const struct load_config *cfg, const char *k, size_t n) {
    char again[LOAD_KEY_MAX];
    uint64_t id = 0;
    if (n != (size_t)cfg->key_size) return UINT64_MAX;
    for (size_t i = (size_t)cfg->prefix_len; i < n; i++) id = id * 10 + (uint64_t)(k[i] - '0');
    load_key(cfg, again, id);
    return memcmp(again, k, n) ? UINT64_MAX : id;
}

/* A value of `len` bytes begins, of key k, or (k NULL) of the next key in the order of the request. */
static void begin_value(struct load_thread *t, struct load_conn *c, const char *k, size_t klen, uint64_t len) {
    struct load_request *r = &c->req[c->cur];
    r->hits++;
    t->stats.hit_bytes += len;
    c->in_value = true;
    c->value_left = len + (t->cfg->proto == LOAD_BINARY ? 0 : 2);
    c->value_len = len;
    c->value_pos = 0;
    c->value_check = false;
    if (!t->cfg->verify) return;
    uint32_t i = c->next_key < r->nkeys ? c->next_key : 0;
    if (k) {
        uint64_t id = key_number(t->cfg, k, klen);
        for (i = c->next_key; i < r->nkeys && c->keys[r->first + i] != id; i++) {}
        if (i == r->nkeys) {
            mismatch(t, c, "unexpected key", k, klen);
            return;
        }
        c->next_key = i + 1;
    }
    c->value_hash = value_hash(&t->load->values, c->keys[r->first + i]);
    uint64_t want = t->phase == LOAD_TRACE ? c->item[c->cur].size : value_size(&t->load->values, c->value_hash);
    if (len != want) {
        mismatch(t, c, "size", k ? k : "", klen);
        return;
    }
    c->value_check = true;
}

static uint64_t number_at(const char *p, const char *e) {
    uint64_t v = 0;
    for (; p < e && *p >= '0' && *p <= '9'; p++) v = v * 10 + (uint64_t)(*p - '0');
    return v;
}

static bool is(const char *l, size_t n, const char *word) {
    return n == strlen(word) && !memcmp(l, word, n);
}

static bool starts(const char *l, size_t n, const char *word) {
    return n >= strlen(word) && !memcmp(l, word, strlen(word));
}

/* Each on_*_line returns false for a line that is no reply to the present request. */
static bool on_text_get(struct load_thread *t, struct load_conn *c, const char *l, size_t n, uint64_t now_ns) {
    const char *e = l + n;
    if (n == 3 && !memcmp(l, "END", 3)) {
        request_done(t, c, now_ns);
        return true;
    }
    if (!starts(l, n, "VALUE ")) return false;
    const char *k = l + 6, *p = memchr(k, ' ', (size_t)(e - k));
    if (!p) return false;
    size_t klen = (size_t)(p - k);
    p = memchr(p + 1, ' ', (size_t)(e - p - 1));
    if (!p) return false;
    begin_value(t, c, k, klen, number_at(p + 1, e));
    return true;
}

static bool on_meta_get(struct load_thread *t, struct load_conn *c, const char *l, size_t n, uint64_t now_ns) {
    const char *e = l + n, *k = NULL;
    size_t klen = 0;
    if (is(l, n, "EN") || is(l, n, "MN")) {
        request_done(t, c, now_ns);
        return true;
    }
    if (!starts(l, n, "VA ")) return false;
    if (c->req[c->cur].nkeys > 1) {
        for (const char *p = l + 3; p + 1 < e && !k; p++)
            if (p[0] == ' ' && p[1] == 'k') k = p + 2;
        if (!k) return false;
        const char *end = memchr(k, ' ', (size_t)(e - k));
        klen = (size_t)((end ? end : e) - k);
    }
    begin_value(t, c, k, klen, number_at(l + 3, e));
    return true;
}

static void resp_one_done(struct load_thread *t, struct load_conn *c, uint64_t now_ns) {
    if (c->req[c->cur].nkeys > 1) {
        c->next_key++;
        if (--c->bulks) return;
    }
    request_done(t, c, now_ns);
}

static bool on_resp_get(struct load_thread *t, struct load_conn *c, const char *l, size_t n, uint64_t now_ns) {
    if (l[0] == '*') {
        c->bulks = (long)number_at(l + 1, l + n);
        c->next_key = 0;
        return true;
    }
    if (l[0] != '$') return false;
    if (l[1] == '-')
        resp_one_done(t, c, now_ns);
    else
        begin_value(t, c, NULL, 0, number_at(l + 1, l + n));
    return true;
}

static bool on_set(struct load_thread *t, struct load_conn *c, const char *l, size_t n, uint64_t now_ns) {
    bool resp = t->cfg->proto == LOAD_RESP, meta = c->req[c->cur].meta;
    if (is(l, n, resp ? "+OK" : meta ? "HD" : "STORED")) {
        request_done(t, c, now_ns);
        return true;
    }
    /* Refused for want of memory: a cache may do that, and the report shows it. */
    if (resp || !(is(l, n, meta ? "NS" : "NOT_STORED") || is(l, n, "SERVER_ERROR out of memory storing object")))
        return false;
    t->stats.not_stored++;
    request_done(t, c, now_ns);
    return true;
}

static void on_line(struct load_thread *t, struct load_conn *c, const char *l, size_t n, uint64_t now_ns) {
    static bool (*const on_get[])(struct load_thread *, struct load_conn *, const char *, size_t,
                                  uint64_t) = {on_text_get, on_meta_get, on_resp_get, NULL};
    if (n && l[n - 1] == '\r') n--;
    bool due = c->cur < c->nreq;
    if (due && n && (c->req[c->cur].kind == LOAD_SET ? on_set : on_get[t->cfg->proto])(t, c, l, n, now_ns)) return;
    if (t->stats.errors++ < COMPLAINTS) fprintf(stderr, "unexpected reply: %.*s\n", n > 200 ? 200 : (int)n, l);
    if (!due) return;
    c->req[c->cur].hits = 0; /* an error line ends the request */
    request_done(t, c, now_ns);
}

static void value_done(struct load_thread *t, struct load_conn *c, uint64_t now_ns) {
    const bool one = c->req[c->cur].nkeys == 1;
    c->in_value = false;
    if ((t->cfg->proto == LOAD_META || t->cfg->proto == LOAD_BINARY) && one)
        request_done(t, c, now_ns);
    else if (t->cfg->proto == LOAD_RESP)
        resp_one_done(t, c, now_ns);
}

static void check_value(struct load_thread *t, struct load_conn *c, const char *p, size_t n) {
    size_t in_value = c->value_pos < c->value_len ? c->value_len - c->value_pos : 0;
    if (in_value > n) in_value = n;
    if (c->value_check && memcmp(p, value_bytes(&t->load->values, c->value_hash) + c->value_pos, in_value) != 0) {
        mismatch(t, c, "bytes", p, in_value);
        c->value_check = false;
    }
    for (size_t i = in_value; i < n; i++)
        if (p[i] != (c->value_pos + i == c->value_len ? '\r' : '\n')) {
            mismatch(t, c, "line end", p + i, 1);
            break;
        }
    c->value_pos += n;
}

static void keep_line(struct load_conn *c, const char *p, size_t n) {
    if (c->line_len + n > sizeof c->line) load_die("a reply line is too long");
    memcpy(c->line + c->line_len, p, n);
    c->line_len += n;
}

#define BINARY_HEADER 24

/* Bytes of the packet at p that come before its value, or before the text of an error. */
static size_t packet_head(const char *p) {
    return BINARY_HEADER + (uint8_t)p[4] + ((size_t)(uint8_t)p[2] << 8) + (uint8_t)p[3];
}

/* A packet up to its value. */
static void on_packet(struct load_thread *t, struct load_conn *c, const char *p, uint64_t now_ns) {
    const uint8_t *b = (const uint8_t *)p;
    const uint32_t body = (uint32_t)b[8] << 24 | (uint32_t)b[9] << 16 | (uint32_t)b[10] << 8 | b[11];
    const size_t head = packet_head(p), key = (size_t)b[2] << 8 | b[3];
    const unsigned status = (unsigned)b[6] << 8 | b[7];
    if (b[0] != 0x81 || head > BINARY_HEADER + body || c->cur >= c->nreq) load_die("no answer of the binary protocol");
    const bool get = c->req[c->cur].kind == LOAD_GET;
    if (get && status == 0 && b[1] != LOAD_OPCODE_NOOP) {
        begin_value(t, c, key > 0 ? p + head - key : NULL, key, BINARY_HEADER + body - head);
        if (c->value_left == 0) value_done(t, c, now_ns);
        return;
    }
    /* A miss, what ends keys, a store that was done or refused: the text of an error is skipped. */
    c->skip = BINARY_HEADER + body - head;
    if (status != 0 && !(get && status == 1)) {
        if (status == 0x82 && !get)
            t->stats.not_stored++;
        else if (t->stats.errors++ < COMPLAINTS)
            fprintf(stderr, "unexpected status %u\n", status);
    }
    request_done(t, c, now_ns);
}

/* The next bytes of packets; returns how many were used. */
static size_t take_packet(struct load_thread *t, struct load_conn *c, const char *p, size_t n, uint64_t now_ns) {
    if (c->skip > 0) {
        const size_t skip = n < c->skip ? n : c->skip;
        c->skip -= skip;
        return skip;
    }
    const size_t had = c->line_len;
    const size_t want = had < BINARY_HEADER ? BINARY_HEADER : packet_head(c->line);
    const size_t take = n < want - had ? n : want - had;
    keep_line(c, p, take);
    if (c->line_len >= BINARY_HEADER && c->line_len == packet_head(c->line)) {
        c->line_len = 0;
        on_packet(t, c, c->line, now_ns);
    }
    return take;
}

void load_reply(struct load_thread *t, struct load_conn *c, const char *p, size_t n, uint64_t now_ns) {
    const char *e = p + n;
    while (p < e) {
        size_t left = (size_t)(e - p);
        if (c->in_value) {
            size_t take = left < c->value_left ? left : c->value_left;
            if (t->cfg->verify) check_value(t, c, p, take);
            p += take;
            c->value_left -= take;
            if (!c->value_left) value_done(t, c, now_ns);
            continue;
        }
        if (t->cfg->proto == LOAD_BINARY) {
            p += take_packet(t, c, p, left, now_ns);
            continue;
        }
        const char *nl = memchr(p, '\n', left);
        if (!nl) {
            keep_line(c, p, left);
            return;
        }
        if (c->line_len) {
            keep_line(c, p, (size_t)(nl - p));
            size_t len = c->line_len;
            c->line_len = 0;
            on_line(t, c, c->line, len, now_ns);
        } else
            on_line(t, c, p, (size_t)(nl - p), now_ns);
        p = nl + 1;
    }
}
