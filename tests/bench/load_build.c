/* SPDX-License-Identifier: BSD-3-Clause
 *
 * load_build - batches of requests, in memcached's classic, meta or binary form or in RESP.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "load.h"
#include "proc.h"

#define BATCH_BYTES_MAX (1u << 20) /* a fill's batch ends above this */
#define SCAN_KEYS 50
#define SCAN_DEPTH 4

static const char digit_pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                                  "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                                  "8081828384858687888990919293949596979899";

void load_key(const struct load_config *cfg, char *p, uint64_t id) {
    memcpy(p, cfg->key_template, (size_t)cfg->key_size);
    char *e = p + cfg->key_size;
    while (id >= 100) {
        e -= 2;
        memcpy(e, digit_pairs + id % 100 * 2, 2);
        id /= 100;
    }
    if (id >= 10)
        memcpy(e - 2, digit_pairs + id * 2, 2);
    else
        e[-1] = (char)('0' + id);
}

static char *put_number(char *p, uint64_t v) {
    char b[24], *e = b + sizeof b;
    do *--e = (char)('0' + v % 10);
    while (v /= 10);
    size_t n = (size_t)(b + sizeof b - e);
    memcpy(p, e, n);
    return p + n;
}

static char *put_bytes(char *p, const char *s, size_t n) {
    memcpy(p, s, n);
    return p + n;
}
#define PUT_LITERAL(p, s) put_bytes(p, s, sizeof(s) - 1)

static char *put_key(const struct load_config *cfg, char *p, uint64_t id) {
    load_key(cfg, p, id);
    return p + cfg->key_size;
}

static char *room(struct load_conn *c, size_t n) {
    if (c->out_len + n > c->out_cap) {
        c->out_cap = (c->out_len + n) * 2;
        c->out = realloc(c->out, c->out_cap);
        if (!c->out) load_die("out of memory");
    }
    return c->out + c->out_len;
}

/* The tags of an item: " Gt5,t19,t3", neighbours in the tag space so that no two are equal. */
static char *put_tags(const struct load_config *cfg, char *p, uint64_t id) {
    uint64_t first = rng_mix(id + 0x7a65) % cfg->tag_space;
    *p++ = ' ';
    *p++ = cfg->tag_flag;
    if (cfg->tag_flag == 'L') p = PUT_LITERAL(p, "t=");
    for (int i = 0; i < cfg->tags; i++) {
        if (i) *p++ = ',';
        *p++ = 't';
        p = put_number(p, (first + (uint64_t)i) % cfg->tag_space);
    }
    return p;
}

static char *put_set_head(const struct load_config *cfg, char *p, uint64_t id, uint32_t size, uint32_t ttl, bool meta) {
    if (!meta) {
        p = put_key(cfg, PUT_LITERAL(p, "set "), id);
        p = put_number(PUT_LITERAL(p, " 0 "), ttl);
        *p++ = ' ';
        return PUT_LITERAL(put_number(p, size), "\r\n");
    }
    p = put_key(cfg, PUT_LITERAL(p, "ms "), id);
    *p++ = ' ';
    p = put_number(p, size);
    if (ttl) p = put_number(PUT_LITERAL(p, " T"), ttl);
    if (cfg->tags) p = put_tags(cfg, p, id);
    return PUT_LITERAL(p, "\r\n");
}

static char *put_resp_bulk(char *p, const char *s, size_t n) {
    *p++ = '$';
    p = PUT_LITERAL(put_number(p, n), "\r\n");
    return PUT_LITERAL(put_bytes(p, s, n), "\r\n");
}

static char *put_resp_set(const struct load_config *cfg, char *p, uint64_t id, const char *value, uint32_t size,
                          uint32_t ttl) {
    char key[LOAD_KEY_MAX], digits[24];
    load_key(cfg, key, id);
    p = ttl ? PUT_LITERAL(p, "*5\r\n$3\r\nSET\r\n") : PUT_LITERAL(p, "*3\r\n$3\r\nSET\r\n");
    p = put_resp_bulk(p, key, (size_t)cfg->key_size);
    p = put_resp_bulk(p, value, size);
    if (!ttl) return p;
    return put_resp_bulk(PUT_LITERAL(p, "$2\r\nEX\r\n"), digits, (size_t)(put_number(digits, ttl) - digits));
}

#define BINARY_HEADER 24

/* The header of a packet of the binary protocol with so many bytes of extras, key and value. */
static char *put_packet(char *p, unsigned opcode, unsigned extras, unsigned key, uint32_t value) {
    const uint32_t body = extras + key + value;
    memset(p, 0, BINARY_HEADER);
    p[0] = (char)0x80;
    p[1] = (char)opcode;
    p[2] = (char)(key >> 8);
    p[3] = (char)key;
    p[4] = (char)extras;
    for (int i = 0; i < 4; i++) p[8 + i] = (char)(body >> (24 - 8 * i));
    return p + BINARY_HEADER;
}

static char *put_binary_set(const struct load_config *cfg, char *p, uint64_t id, const char *value, uint32_t size,
                            uint32_t ttl) {
    p = put_packet(p, LOAD_OPCODE_SET, 8, (unsigned)cfg->key_size, size);
    memset(p, 0, 4); /* client flags */
    for (int i = 0; i < 4; i++) p[4 + i] = (char)(ttl >> (24 - 8 * i));
    return put_bytes(put_key(cfg, p + 8, id), value, size);
}

static struct load_request *add_request(struct load_conn *c, enum load_kind kind, uint32_t nkeys) {
    struct load_request *r = &c->req[c->nreq++];
    *r = (struct load_request){.kind = kind, .nkeys = nkeys, .first = (uint32_t)c->nkeys};
    return r;
}

static void add_set(struct load_thread *t, struct load_conn *c, uint64_t id, uint32_t size, uint32_t ttl) {
    const struct load_config *cfg = t->cfg;
    const char *value = value_bytes(&t->load->values, value_hash(&t->load->values, id));
    char *p = room(c, (size_t)size + (size_t)cfg->key_size + 160 + (size_t)cfg->tags * 24);
    struct load_request *r = add_request(c, LOAD_SET, 1);
    c->keys[c->nkeys++] = id;
    if (cfg->proto == LOAD_RESP)
        p = put_resp_set(cfg, p, id, value, size, ttl);
    else if (cfg->proto == LOAD_BINARY)
        p = put_binary_set(cfg, p, id, value, size, ttl);
    else {
        r->meta = cfg->proto == LOAD_META || cfg->tags;
        p = put_bytes(put_set_head(cfg, p, id, size, ttl, r->meta), value, size);
        p = PUT_LITERAL(p, "\r\n");
    }
    c->out_len = (size_t)(p - c->out);
}

static char *put_get_key(const struct load_config *cfg, char *p, uint64_t id, uint32_t nkeys) {
    switch (cfg->proto) {
    case LOAD_TEXT: *p++ = ' '; return put_key(cfg, p, id);
    case LOAD_META:
        p = put_key(cfg, PUT_LITERAL(p, "mg "), id);
        return nkeys > 1 ? PUT_LITERAL(p, " v k q\r\n") : PUT_LITERAL(p, " v\r\n");
    case LOAD_BINARY:
        p = put_packet(p, nkeys > 1 ? LOAD_OPCODE_GETKQ : LOAD_OPCODE_GET, 0, (unsigned)cfg->key_size, 0);
        return put_key(cfg, p, id);
    default:
        *p++ = '$';
        p = PUT_LITERAL(put_number(p, (uint64_t)cfg->key_size), "\r\n");
        return PUT_LITERAL(put_key(cfg, p, id), "\r\n");
    }
}

static void add_get(struct load_thread *t, struct load_conn *c, uint32_t nkeys,
                    uint64_t (*next)(struct load_thread *)) {
    const struct load_config *cfg = t->cfg;
    char *p = room(c, (size_t)nkeys * ((size_t)cfg->key_size + 24) + 64);
    add_request(c, LOAD_GET, nkeys);
    if (cfg->proto == LOAD_TEXT)
        p = PUT_LITERAL(p, "get");
    else if (cfg->proto == LOAD_RESP && nkeys == 1)
        p = PUT_LITERAL(p, "*2\r\n$3\r\nGET\r\n");
    else if (cfg->proto == LOAD_RESP) {
        *p++ = '*';
        p = PUT_LITERAL(put_number(p, nkeys + 1), "\r\n$4\r\nMGET\r\n");
    }
    for (uint32_t i = 0; i < nkeys; i++) {
        uint64_t id = next(t);
        c->keys[c->nkeys++] = id;
        p = put_get_key(cfg, p, id, nkeys);
    }
    if (cfg->proto == LOAD_TEXT)
        p = PUT_LITERAL(p, "\r\n");
    else if (cfg->proto == LOAD_META && nkeys > 1)
        p = PUT_LITERAL(p, "mn\r\n");
    else if (cfg->proto == LOAD_BINARY && nkeys > 1)
        p = put_packet(p, LOAD_OPCODE_NOOP, 0, 0, 0);
    c->out_len = (size_t)(p - c->out);
}

static uint64_t next_in_order(struct load_thread *t) {
    return t->cfg->base + t->id_next++;
}

static uint64_t next_drawn(struct load_thread *t) {
    uint32_t k = t->sequence[t->sequence_at];
    if (++t->sequence_at == t->cfg->sequence) t->sequence_at = 0;
    return t->cfg->base + k;
}

static uint64_t next_traced(struct load_thread *t) {
    return t->load->trace[t->trace_next++].id;
}

static void build_fill(struct load_thread *t, struct load_conn *c) {
    const struct value_model *v = &t->load->values;
    for (int i = 0; i < t->cfg->fill_depth && t->id_next < t->id_end && c->out_len <= BATCH_BYTES_MAX; i++) {
        uint64_t id = next_in_order(t);
        add_set(t, c, id, value_size(v, value_hash(v, id)), t->cfg->ttl);
    }
}

static void build_scan(struct load_thread *t, struct load_conn *c) {
    for (int i = 0; i < SCAN_DEPTH && t->id_next < t->id_end; i++) {
        uint64_t left = t->id_end - t->id_next;
        add_get(t, c, left < SCAN_KEYS ? (uint32_t)left : SCAN_KEYS, next_in_order);
    }
}

static void set_pending(struct load_thread *t, struct load_conn *c) {
    for (int i = 0; i < c->npending; i++) add_set(t, c, c->pending[i].id, c->pending[i].size, c->pending[i].ttl);
    c->npending = 0;
}

/* Waits until the trace's own clock has come to its next record. */
static void wait_for_trace(const struct load_thread *t) {
    double at_ns = t->load->trace[t->trace_next].time_s / t->cfg->trace_speed * 1e9;
    uint64_t due = t->start_ns + (uint64_t)at_ns;
    if (proc_now_ns() >= due) return;
    struct timespec until = {.tv_sec = (time_t)(due / 1000000000), .tv_nsec = (long)(due % 1000000000)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static uint32_t trace_lifetime(const struct load_thread *t, uint64_t i) {
    if (!t->load->trace_ttls || !t->load->trace_ttls[i]) return t->cfg->ttl;
    double speed = t->cfg->trace_speed > 0 ? t->cfg->trace_speed : 1;
    return (uint32_t)(t->load->trace_ttls[i] / speed) + 1;
}

static void build_trace(struct load_thread *t, struct load_conn *c) {
    const struct load_config *cfg = t->cfg;
    set_pending(t, c);
    if (cfg->trace_speed > 0 && t->trace_next < t->trace_end) wait_for_trace(t);
    for (int i = 0; i < cfg->depth && t->trace_next < t->trace_end; i++) {
        const struct trace_record *r = &t->load->trace[t->trace_next];
        uint32_t size = r->size < cfg->value_min ? cfg->value_min : r->size > cfg->value_max ? cfg->value_max : r->size;
        c->item[c->nreq] = (struct load_miss){r->id, size, trace_lifetime(t, t->trace_next)};
        add_get(t, c, 1, next_traced);
    }
}

static void build_mix(struct load_thread *t, struct load_conn *c) {
    const struct load_config *cfg = t->cfg;
    const struct value_model *v = &t->load->values;
    if (cfg->set_misses) set_pending(t, c);
    for (int i = 0; i < cfg->depth && t->requests_left; i++) {
        if (t->requests_left != UINT64_MAX) t->requests_left--;
        bool get = cfg->get_share >= 1 || (cfg->get_share > 0 && rng_unit(&t->rng) < cfg->get_share);
        if (get)
            add_get(t, c, (uint32_t)cfg->multiget, next_drawn);
        else {
            uint64_t id = next_drawn(t);
            add_set(t, c, id, value_size(v, value_hash(v, id)), cfg->ttl);
        }
    }
}

bool load_build(struct load_thread *t, struct load_conn *c) {
    c->nreq = c->cur = c->nkeys = 0;
    c->out_len = c->out_off = 0;
    c->next_key = 0;
    c->bulks = 0;
    switch (t->phase) {
    case LOAD_FILL: build_fill(t, c); break;
    case LOAD_SCAN: build_scan(t, c); break;
    case LOAD_TRACE: build_trace(t, c); break;
    case LOAD_WARM:
    case LOAD_RUN: build_mix(t, c); break;
    }
    return c->nreq > 0;
}
