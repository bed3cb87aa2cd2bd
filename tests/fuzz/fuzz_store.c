/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A byte string is a row of calls of the store, each made to a small store and to a naive model of it. A hit must be
 * exactly what the model holds; a miss is allowed only where the model has a miss, or after the store told of an
 * eviction. In the end everything that the store counts must agree with what is there.
 *
 * Here: the run, and what concerns more than one key. The calls for one are in store_put.c, store_change.c and
 * store_win.c. */
#include <stdio.h>
#include <string.h>

#include "store/seconds.h"
#include "store_run.h"

#define OPS_MAX 400
#define FILL_MAX (3u << 20) /* bytes stored to make room short, at a time */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct run run;
const char *doing;

/* ------------------------------------------------------------------ calls */

static void op_purge(void) {
    unsigned how = byte(), n = 0;
    uint8_t mask = how % 16 == 0 ? 0 : how % 4 == 0 ? few_tags() : how % 4 == 1 ? byte() : 1u << byte() % MODEL_TAGS;
    uint64_t tags[MODEL_TAGS];
    bool soft = how & 128;
    uint32_t ttl = 1 + byte() % 30;
    if (mask == 0 && how % 16 != 0) return;
    n = tags_of(mask, tags);
    uint64_t number = lab_purge(&run.lab, run.worker, n, tags, soft, ttl);
    id_is_new(number);
    uint32_t now = seconds_now(run.lab.s);
    /* The ninth of its kind is swept at once, softly or not. */
    bool swept = run.lab.s->purge.fence == number;
    model_purge(&run.m, mask, number, soft && !swept, now + ttl, now);
    for (unsigned k = 0; k < MODEL_KEYS; k++) compare(k, false);
}

static void op_flush(void) {
    uint32_t now = seconds_now(run.lab.s), at = now + byte() % 20;
    store_flush_at(run.lab.w[run.worker], at);
    if (at > now) {
        run.m.flush_at = at;
        return;
    }
    run.m.flush_at = 0;
    model_purge(&run.m, 0, run.lab.s->purge.seq, false, 0, now);
}

struct shown {
    struct store_worker *w;
    uint32_t keys;
};

static bool show(void *arg, const struct store_item *it) {
    struct shown *s = arg;
    for (unsigned k = 0; k < MODEL_KEYS; k++) {
        char name[16];
        unsigned n = key_name(k, name);
        if (n != it->key_len || memcmp(name, it->key, n) != 0) continue;
        bool maybe, soft;
        struct model_item *m = model_look(&run.m, k, store_now(s->w), &maybe, &soft);
        if (m == NULL) WRONG("a walk shows key %u, which is gone", k);
        same_value(s->w, it, m);
        s->keys |= 1u << k;
        return true;
    }
    return true; /* a filler */
}

static void op_walk(void) {
    struct shown s = {0};
    struct store_cursor c = {0};
    while (!c.done) {
        s.w = enter();
        store_walk(s.w, &c, 16, show, &s);
        store_leave(s.w);
    }
    for (unsigned k = 0; k < MODEL_KEYS; k++) {
        bool maybe, soft;
        struct model_item *m = model_look(&run.m, k, seconds_now(run.lab.s), &maybe, &soft);
        if (m && !maybe && !(s.keys >> k & 1)) WRONG("a walk misses key %u", k);
    }
}

/* Other keys, to make room short: of sizes at and around what the store treats differently, and read as often as the
 * bytes say, since what was read is kept. */
static void op_fill(void) {
    static unsigned turn;
    static const uint32_t at[8] = {100, 6000, 8192, 16383, 32738, 65536, 131072, 260000};
    const unsigned how = byte(), n = how % 64, reads = how / 64;
    const uint32_t base = at[byte() % 8];
    memset(run.value, '.', base + 64 * 90);
    for (unsigned i = 0; i < n && i * base < FILL_MAX; i++) {
        char name[24];
        struct store_put p = {.value = (const char *)run.value, .size = base + (base < 8000 ? i * 90 : i % 3)};
        p.key = store_key(run.lab.s, name, (size_t)snprintf(name, sizeof name, "filler%u", turn++ % 5000));
        if (p.size > store_inline_max(run.lab.s) && (p.upload = fill_upload(p.size)) == NULL) continue;
        (void)put_now(&p);
        for (unsigned k = 0; k < reads; k++) (void)lab_get(&run.lab, run.worker, name, NULL);
    }
}

static void op_other(void) {
    unsigned what = byte() % 8;
    if (what < 3) {
        for (unsigned n = byte() % 8; n-- > 0;) store_maintain(run.lab.s);
    } else if (what == 3) {
        store_sweep_all(run.lab.s);
    } else if (what == 4) {
        op_walk();
    } else if (what == 5) {
        store_set_limit(run.lab.s, (1 + byte() % 3) << 20);
    } else if (what == 6) {
        const char *wrong = lab_validate(run.lab.s);
        if (wrong) WRONG("%s", wrong);
    } else {
        op_fill();
    }
}

static void evicted(void *arg, const char *key, size_t len, bool fetched, uint32_t e, uint64_t size) {
    (void)arg;
    (void)fetched;
    (void)e;
    (void)size;
    for (unsigned k = 0; k < MODEL_KEYS; k++) {
        char name[16];
        unsigned n = key_name(k, name);
        if (n == len && memcmp(name, key, n) == 0) model_drop(&run.m, k);
    }
}

/* ------------------------------------------------------------------ the run */

static void step(void) {
    unsigned op = byte();
    run.worker = op >> 6 & 1;
#define DO(name)                                                                                                       \
    do {                                                                                                               \
        doing = #name;                                                                                                 \
        op_##name();                                                                                                   \
    } while (0)
    switch (op % 32) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
    case 6:
    case 7: DO(put); break;
    case 8:
    case 9:
    case 10: DO(arith); break;
    case 11:
    case 12: DO(touch); break;
    case 13:
    case 14: DO(delete); break;
    case 15:
    case 16:
    case 17: DO(meta_get); break;
    case 18: DO(win); break;
    case 19:
    case 20: DO(tag_add); break;
    case 21:
    case 22:
    case 23: DO(purge); break;
    case 24: DO(flush); break;
    case 25:
    case 26: clock_manual_advance(&run.lab.clock, byte() % 12 * SECOND / 2); break;
    case 27:
    case 28: DO(other); break;
    default: doing = "get"; compare(byte() % MODEL_KEYS, true);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    run.p = data;
    run.end = data + n;
    memset(run.ids, 0, sizeof run.ids);
    run.worker = 0;
    static const uint8_t megabytes[4] = {1, 1, 2, 5};
    lab_open(&run.lab, (uint64_t)megabytes[n > 0 ? data[n - 1] % 4 : 0] << 20, ':');
    run.lab.s->cfg.events.on_evict = evicted;
    store_watch_evictions(run.lab.s, true);
    run.first = run.lab.s->number;
    run.lab.s->cfg.evict = !coin(4); /* else -M */
    model_init(&run.m);
    for (unsigned i = 0; i < OPS_MAX && run.p < run.end; i++) step();
    doing = "the end";
    for (unsigned k = 0; k < MODEL_KEYS; k++) compare(k, true);
    model_fini(&run.m);
    lab_close(&run.lab);
    return 0;
}
