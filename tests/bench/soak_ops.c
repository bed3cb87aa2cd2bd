/* SPDX-License-Identifier: BSD-3-Clause
 *
 * soak_ops - what is asked, and what may be answered.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proc.h"
#include "soak.h"

#define COMPLAINTS 20

/* ------------------------------------------------------------------ asking */

static uint64_t hash_of(const struct soak *s, unsigned owner, uint32_t key, uint32_t version) {
    return value_hash(&s->values, ((uint64_t)owner << 56) ^ ((uint64_t)key << 28) ^ version);
}

static void append(struct soak_conn *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void room(struct soak_conn *c, size_t n) {
    if (c->out_len + n <= c->out_cap) return;
    c->out_cap = (c->out_len + n) * 2;
    c->out = realloc(c->out, c->out_cap);
    if (!c->out) soak_die("out of memory");
}

static void append(struct soak_conn *c, const char *fmt, ...) {
    va_list ap;
    room(c, 512);
    va_start(ap, fmt);
    c->out_len += (size_t)vsnprintf(c->out + c->out_len, 512, fmt, ap);
    va_end(ap);
}

static unsigned below(struct soak_thread *t, unsigned n) {
    return (unsigned)(rng_next(&t->rng) % n);
}

/* A key of the thread's own that no request is about; half of them among a hundredth of the keys. */
static bool pick(struct soak_thread *t, uint32_t *key) {
    for (int tries = 0; tries < 64; tries++) {
        uint32_t n = t->soak->keys, k = below(t, tries > 2 || below(t, 2) ? n : n / 100 + 1);
        if (t->keys[k].busy) continue;
        t->keys[k].busy = true;
        *key = k;
        return true;
    }
    return false;
}

/* Why the key may not be found by a read sent now; NULL when it may. */
static const char *must_miss(const struct soak *s, const struct soak_key *k, uint64_t now) {
    const struct soak_purges *p = &s->purges;
    if (k->state == SOAK_ABSENT) return "deleted or never set";
    if (k->state != SOAK_PRESENT) return NULL;
    if (k->expires_ns && now > k->expires_ns) return "expired";
    if (k->acked_ns < atomic_load(&p->all)) return "everything was purged";
    for (unsigned i = 0; i < k->ntags; i++) {
        unsigned tag = k->tags[i];
        if (k->acked_ns < atomic_load(&p->hard[tag])) return "its tag was purged";
        if (!k->touched && k->acked_ns < atomic_load(&p->soft[tag])) return "its tag was softly purged, long ago";
        for (unsigned j = 0; j < k->ntags; j++)
            if (k->tags[j] == (tag ^ 1) && k->acked_ns < atomic_load(&p->both[tag / 2]))
                return "both its tags were purged";
    }
    return NULL;
}

static void add_key(struct soak_thread *t, struct soak_op *op, uint32_t k, uint64_t now) {
    op->must_miss[op->nkeys] = must_miss(t->soak, &t->keys[k], now);
    op->key[op->nkeys++] = k;
}

static void ask_get(struct soak_thread *t, struct soak_conn *c, struct soak_op *op, uint32_t k, uint64_t now) {
    unsigned dice = below(t, 10);
    add_key(t, op, k, now);
    op->kind = dice < 5 ? SOAK_GET : dice < 8 ? SOAK_MG : SOAK_MULTIGET;
    op->meta = op->kind == SOAK_MG;
    if (op->meta) {
        append(c, "mg %s%02u:%08u v f\r\n", t->soak->run, t->id, k);
        return;
    }
    append(c, "get %s%02u:%08u", t->soak->run, t->id, k);
    while (op->kind == SOAK_MULTIGET && op->nkeys < SOAK_MULTI && pick(t, &k)) {
        add_key(t, op, k, now);
        append(c, " %s%02u:%08u", t->soak->run, t->id, k);
    }
    append(c, "\r\n");
}

static void ask_peek(struct soak_thread *t, struct soak_conn *c, struct soak_op *op) {
    struct soak *s = t->soak;
    op->kind = SOAK_PEEK;
    op->owner = (t->id + 1 + below(t, s->threads - 1)) % s->threads;
    op->key[op->nkeys++] = below(t, s->keys / 100 + 1);
    op->least = atomic_load(&s->thread[op->owner].keys[op->key[0]].acked);
    append(c, "get %s%02u:%08u\r\n", s->run, op->owner, op->key[0]);
}

static void choose_tags(struct soak_thread *t, struct soak_op *op) {
    if (!t->soak->tags || below(t, 3)) return;
    unsigned first = below(t, SOAK_TAGS);
    op->ntags = (uint8_t)(1 + below(t, SOAK_TAGS_EACH));
    for (unsigned i = 0; i < op->ntags; i++) op->tags[i] = (uint16_t)((first ^ i) % SOAK_TAGS);
}

static void append_tags(struct soak_conn *c, const struct soak_op *op) {
    for (unsigned i = 0; i < op->ntags; i++) append(c, "%st%u", i ? "," : "", op->tags[i]);
}

static void ask_set(struct soak_thread *t, struct soak_conn *c, struct soak_op *op, uint32_t k) {
    struct soak_key *key = &t->keys[k];
    const struct value_model *v = &t->soak->values;
    op->kind = SOAK_SET;
    op->key[op->nkeys++] = k;
    op->version = ++key->used;
    op->ttl = below(t, 5) ? 0 : 1 + below(t, 20);
    op->meta = below(t, 2);
    choose_tags(t, op);
    uint64_t h = hash_of(t->soak, t->id, k, op->version);
    uint32_t size = value_size(v, h);
    if (op->meta) {
        append(c, "ms %s%02u:%08u %u F%u T%u", t->soak->run, t->id, k, size, op->version, op->ttl ? op->ttl : 0);
        if (op->ntags) append(c, " G");
    } else {
        append(c, "set %s%02u:%08u", t->soak->run, t->id, k);
        if (op->ntags) append(c, "|#|t=");
    }
    append_tags(c, op);
    if (op->meta)
        append(c, "\r\n");
    else
        append(c, " %u %u %u\r\n", op->version, op->ttl, size);
    room(c, (size_t)size + 2);
    memcpy(c->out + c->out_len, value_bytes(v, h), size);
    memcpy(c->out + c->out_len + size, "\r\n", 2);
    c->out_len += (size_t)size + 2;
    c->bytes += size;
}

static void ask(struct soak_thread *t, struct soak_conn *c, uint64_t now) {
    struct soak_op *op = &c->op[c->nops];
    uint32_t k;
    *op = (struct soak_op){.owner = t->id, .begin = c->out_len};
    unsigned dice = below(t, 100);
    if (dice >= 92 && t->soak->threads > 1) {
        ask_peek(t, c, op);
        c->nops++;
        return;
    }
    if (!pick(t, &k)) return;
    if (dice < 60)
        ask_get(t, c, op, k, now);
    else if (dice < 84 || dice >= 92)
        ask_set(t, c, op, k);
    else if (dice < 88) {
        op->kind = SOAK_DELETE;
        op->key[op->nkeys++] = k;
        op->meta = below(t, 2);
        append(c, "%s %s%02u:%08u\r\n", op->meta ? "md" : "delete", t->soak->run, t->id, k);
    } else {
        op->kind = SOAK_TOUCH;
        op->key[op->nkeys++] = k;
        op->ttl = below(t, 3) ? 1 + below(t, 20) : 0;
        append(c, "touch %s%02u:%08u %u\r\n", t->soak->run, t->id, k, op->ttl);
    }
    c->nops++;
}

/* The whole batch is about to be sent: others may see its versions from now on. */
static void publish_versions(struct soak_thread *t, const struct soak_conn *c) {
    for (unsigned i = 0; i < c->nops; i++) {
        const struct soak_op *op = &c->op[i];
        if (op->kind == SOAK_SET) atomic_store(&t->keys[op->key[0]].sent, op->version);
    }
}

static void leave_alone(struct soak_thread *t, uint32_t key) {
    uint32_t cap = t->soak->keys + 1;
    t->lost[t->lost_head] = (struct soak_lost){key, proc_now_ns() + SOAK_LOST_NS};
    t->lost_head = (t->lost_head + 1) % cap;
}

static void release_lost(struct soak_thread *t, uint64_t now) {
    while (t->lost_tail != t->lost_head && t->lost[t->lost_tail].until_ns < now) {
        t->keys[t->lost[t->lost_tail].key].busy = false;
        t->lost_tail = (t->lost_tail + 1) % (t->soak->keys + 1);
    }
}

void soak_build(struct soak_thread *t, struct soak_conn *c) {
    uint64_t now = proc_now_ns();
    unsigned want = 1 + below(t, SOAK_BATCH);
    c->nops = c->cur = 0;
    c->out_len = c->out_off = c->bytes = 0;
    release_lost(t, now);
    while (c->nops < want && c->out_len < 1u << 20) {
        unsigned before = c->nops;
        ask(t, c, now);
        if (c->nops == before) break; /* nothing free to ask about */
        c->op[before].end = c->out_len;
    }
    publish_versions(t, c);
}

/* ------------------------------------------------------------------ answers */

static void mismatch(struct soak_thread *t, const struct soak_op *op, unsigned i, const char *why, uint32_t version) {
    const struct soak_key *k = &t->soak->thread[op->owner].keys[op->key[i]];
    if (t->counts.mismatches++ >= COMPLAINTS) return;
    fprintf(stderr,
            "mismatch: %s%02u:%08u, %s; got version %u, last set %u (highest used %u), answered %.3f s ago, %u tags\n",
            t->soak->run, op->owner, op->key[i], why, version, k->version, k->used,
            (double)(proc_now_ns() - k->acked_ns) / 1e9, k->ntags);
}

/* Why version v of the op's key i may not come back; NULL when it may. */
static const char *wrong_version(const struct soak_thread *t, const struct soak_op *op, unsigned i, uint32_t v) {
    const struct soak_key *k = &t->soak->thread[op->owner].keys[op->key[i]];
    if (op->kind == SOAK_PEEK) {
        if (v < op->least) return "older than a set answered before the read";
        return v > atomic_load(&k->sent) ? "a version never sent" : NULL;
    }
    if (op->must_miss[i]) return op->must_miss[i];
    if (k->state == SOAK_UNCERTAIN) return v < k->version || v > k->used ? "a version out of range" : NULL;
    return v == k->version ? NULL : "not the version last set";
}

static void begin_value(struct soak_thread *t, struct soak_conn *c, unsigned i, uint32_t version, uint64_t len) {
    struct soak_op *op = &c->op[c->cur];
    const char *why = wrong_version(t, op, i, version);
    t->counts.hits++;
    c->in_value = true;
    c->value_left = len + 2;
    c->value_len = len;
    c->value_pos = 0;
    c->value_key = i + 1;
    c->bytes += len;
    c->value_hash = hash_of(t->soak, op->owner, op->key[i], version);
    c->value_check = !why && len == value_size(&t->soak->values, c->value_hash);
    if (why)
        mismatch(t, op, i, why, version);
    else if (!c->value_check)
        mismatch(t, op, i, "wrong size", version);
}

static void op_done(struct soak_thread *t, struct soak_conn *c) {
    struct soak_op *op = &c->op[c->cur++];
    t->counts.ops[op->kind]++;
    c->value_key = 0;
    if (op->kind == SOAK_PEEK) return;
    for (unsigned i = 0; i < op->nkeys; i++) t->keys[op->key[i]].busy = false;
}

static void set_done(struct soak_thread *t, struct soak_op *op, bool stored) {
    struct soak_key *k = &t->keys[op->key[0]];
    uint64_t now = proc_now_ns();
    if (!stored) { /* refused for want of memory: the old value may be gone or not */
        t->counts.refused++;
        if (k->state == SOAK_PRESENT) k->state = SOAK_UNCERTAIN;
        return;
    }
    k->version = op->version;
    k->state = SOAK_PRESENT;
    k->touched = false;
    k->ntags = op->ntags;
    memcpy(k->tags, op->tags, sizeof k->tags);
    k->acked_ns = now;
    k->expires_ns = op->ttl ? now + op->ttl * 1000000000ull + SOAK_SLACK_NS : 0;
    atomic_store(&k->acked, op->version);
}

static void touch_done(struct soak_thread *t, struct soak_op *op) {
    struct soak_key *k = &t->keys[op->key[0]];
    k->touched = true;
    k->expires_ns = op->ttl ? proc_now_ns() + op->ttl * 1000000000ull + SOAK_SLACK_NS : 0;
}

static bool is(const char *l, size_t n, const char *word) {
    return n == strlen(word) && !memcmp(l, word, n);
}

static bool begins(const char *l, size_t n, const char *word) {
    return n >= strlen(word) && !memcmp(l, word, strlen(word));
}

/* "VALUE <key> <flags> <len>": which of the op's keys, in their order. False: not an answer to this. */
static bool on_value_line(struct soak_thread *t, struct soak_conn *c, const char *l, size_t n) {
    char text[128];
    unsigned owner, key, version;
    uint64_t len;
    struct soak_op *op = &c->op[c->cur];
    if (n >= sizeof text) return false;
    memcpy(text, l, n);
    text[n] = 0;
    if (op->meta) {
        if (sscanf(text, "VA %" SCNu64 " f%u", &len, &version) != 2) return false;
        begin_value(t, c, 0, version, len);
        return true;
    }
    size_t run = strlen(t->soak->run);
    if (!begins(text, n, "VALUE ") || strncmp(text + 6, t->soak->run, run) != 0) return false;
    if (sscanf(text + 6 + run, "%u:%u %u %" SCNu64, &owner, &key, &version, &len) != 4 || owner != op->owner)
        return false;
    for (unsigned i = c->value_key; i < op->nkeys; i++)
        if (op->key[i] == key) {
            begin_value(t, c, i, version, len);
            return true;
        }
    return false;
}

static bool on_read_line(struct soak_thread *t, struct soak_conn *c, const char *l, size_t n) {
    struct soak_op *op = &c->op[c->cur];
    if (begins(l, n, "VA")) return on_value_line(t, c, l, n);
    if (!is(l, n, op->meta ? "EN" : "END")) return false;
    op_done(t, c);
    return true;
}

static bool on_write_line(struct soak_thread *t, struct soak_conn *c, const char *l, size_t n) {
    struct soak_op *op = &c->op[c->cur];
    bool good = true;
    switch (op->kind) {
    case SOAK_SET: {
        bool stored = is(l, n, op->meta ? "HD" : "STORED");
        good = stored || is(l, n, "SERVER_ERROR out of memory storing object");
        if (good) set_done(t, op, stored);
        break;
    }
    case SOAK_DELETE:
        good = op->meta ? is(l, n, "HD") || is(l, n, "NF") : is(l, n, "DELETED") || is(l, n, "NOT_FOUND");
        if (good) t->keys[op->key[0]].state = SOAK_ABSENT;
        break;
    default:
        good = is(l, n, "TOUCHED") || is(l, n, "NOT_FOUND");
        if (is(l, n, "TOUCHED")) {
            if (t->keys[op->key[0]].state == SOAK_ABSENT) mismatch(t, op, 0, "touched though deleted", 0);
            touch_done(t, op);
        }
    }
    if (good) op_done(t, c);
    return good;
}

static void on_line(struct soak_thread *t, struct soak_conn *c, const char *l, size_t n) {
    if (n && l[n - 1] == '\r') n--;
    if (c->cur < c->nops) {
        bool read = c->op[c->cur].kind <= SOAK_PEEK;
        if (read ? on_read_line(t, c, l, n) : on_write_line(t, c, l, n)) return;
    }
    /* Out of step, or an error that nothing here calls for. */
    if (t->counts.unexpected++ < COMPLAINTS) fprintf(stderr, "unexpected reply: %.*s\n", n > 200 ? 200 : (int)n, l);
    soak_lose(t, c, SIZE_MAX);
}

static void check_value(struct soak_thread *t, struct soak_conn *c, const char *p, size_t n) {
    struct soak_op *op = &c->op[c->cur];
    size_t in_value = c->value_pos < c->value_len ? c->value_len - c->value_pos : 0;
    if (in_value > n) in_value = n;
    if (c->value_check && memcmp(p, value_bytes(&t->soak->values, c->value_hash) + c->value_pos, in_value) != 0) {
        mismatch(t, op, c->value_key - 1, "wrong bytes", 0);
        c->value_check = false;
    }
    for (size_t i = in_value; i < n; i++)
        if (p[i] != (c->value_pos + i == c->value_len ? '\r' : '\n')) {
            mismatch(t, op, c->value_key - 1, "wrong line end", 0);
            break;
        }
    c->value_pos += n;
}

void soak_reply(struct soak_thread *t, struct soak_conn *c, const char *p, size_t n) {
    const char *e = p + n;
    t->counts.bytes += n;
    while (p < e) {
        size_t left = (size_t)(e - p);
        if (c->in_value) {
            size_t take = left < c->value_left ? left : c->value_left;
            check_value(t, c, p, take);
            p += take;
            c->value_left -= take;
            if (c->value_left) continue;
            c->in_value = false;
            if (c->op[c->cur].meta) op_done(t, c);
            continue;
        }
        const char *nl = memchr(p, '\n', left);
        size_t part = nl ? (size_t)(nl - p) : left;
        if (c->line_len + part > sizeof c->line) soak_die("a reply line is too long");
        memcpy(c->line + c->line_len, p, part);
        c->line_len += part;
        if (!nl) return;
        size_t len = c->line_len;
        c->line_len = 0;
        on_line(t, c, c->line, len);
        p = nl + 1;
    }
}

void soak_lose(struct soak_thread *t, struct soak_conn *c, size_t sent) {
    for (unsigned i = c->cur; i < c->nops; i++) {
        struct soak_op *op = &c->op[i];
        if (op->kind == SOAK_PEEK) continue;
        /* A set cut short must not happen at all, so what is known of the key stays known. */
        bool whole = op->end <= sent;
        for (unsigned j = 0; j < op->nkeys; j++) {
            if (op->kind >= SOAK_SET && whole) t->keys[op->key[j]].state = SOAK_UNCERTAIN;
            leave_alone(t, op->key[j]);
        }
    }
    c->cur = c->nops;
}
