/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_hot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/md5.h"
#include "cluster/view.h"
#include "cmd/cmd_hold.h"
#include "cmd/cmd_link.h"
#include "cmd/cmd_place.h"
#include "store/store.h"

#define SHOWN_MAX HOT_TOP /* keys in an answer */
#define SEEN_SAMPLE 256   /* one get in so many is counted: who looks wants to see what stands out */

int cmd_hot_new(struct cmd *cmd) {
    const uint64_t now_ns = clock_boot_ns(cmd->cfg.clock);
    for (unsigned i = 0; i < cmd->nworkers; i++) {
        struct cmd_hot *h = cmd->workers[i].hot = calloc(1, sizeof *h);
        if (h == NULL) return -ENOMEM;
        hot_init(&h->seen, SEEN_SAMPLE, cmd->cfg.seed + 2 * i, now_ns);
        hot_init(&h->asked, HOT_SAMPLE, cmd->cfg.seed + 2 * i + 1, now_ns);
    }
    return 0;
}

void cmd_hot_free(struct cmd *cmd) {
    for (unsigned i = 0; cmd->workers != NULL && i < cmd->nworkers; i++) free(cmd->workers[i].hot);
}

/* ------------------------------------------------------------------ counting */

void cmd_hot_count(struct cmd_worker *w, struct hot *h, const struct store_key *k, uint64_t now_ns) {
    sync_spin_lock(&w->hot->lock);
    hot_count(h, k->hash, k->p, k->len, now_ns);
    sync_spin_unlock(&w->hot->lock);
}

bool cmd_hot_is_hot(struct cmd_worker *w, struct hot *h, uint64_t hash, uint64_t now_ns) {
    sync_spin_lock(&w->hot->lock);
    const bool is = hot_is_hot(h, hash, now_ns);
    sync_spin_unlock(&w->hot->lock);
    return is;
}

void cmd_hot_pick(struct session *s, struct request *r, unsigned n) {
    struct cmd_worker *w = s->worker;
    for (unsigned i = 0; (i += hot_next(&w->hot->seen, n - i)) < n; i++) {
        if (s->forward != NULL) continue; /* they are shown again */
        if (r[i].row == NULL || r[i].key.len == 0 || !cmd_place_is_lookup(&r[i])) continue;
        store_key_complete(w->cmd->store, &r[i].key);
        cmd_hot_count(w, &w->hot->seen, &r[i].key, store_now_ns(w->store));
    }
}

/* ------------------------------------------------------------------ stats hotkeys */

/* A key as all workers have counted it. */
struct shown {
    uint64_t hash, served, asked;
    uint8_t len;
    char key[HOT_KEY_MAX];
};

struct list {
    unsigned n, max;
    uint64_t seen; /* gets a second, of all keys */
    struct shown *key;
};

static struct shown *place(struct list *l, const struct hot_key *k) {
    for (unsigned i = 0; i < l->n; i++)
        if (l->key[i].hash == k->hash && l->key[i].len == k->len && memcmp(l->key[i].key, k->key, k->len) == 0)
            return &l->key[i];
    struct shown *new = &l->key[l->n++];
    *new = (struct shown){.hash = k->hash, .len = k->len};
    memcpy(new->key, k->key, k->len);
    return new;
}

static bool is_own(const struct cmd_worker *w, const struct hot_key *k) {
    const struct view *v = w->peers == NULL ? NULL : w->peers->view;
    char key[HOT_KEY_MAX + MD5_READS]; /* more may be read behind it */
    const char *const p = key;
    const uint32_t len = k->len;
    uint16_t owner;
    uint64_t since;
    if (v == NULL || view_owns_all(v)) return true;
    memcpy(key, k->key, k->len);
    view_owners(v, &p, &len, 1, &owner, &since);
    return owner == v->self;
}

/* Adds what a worker has counted; `to` is who asks. */
static void add(struct list *l, const struct cmd_worker *to, struct hot *h, bool asked, uint64_t now_ns) {
    hot_age(h, now_ns);
    if (!asked) l->seen += hot_rate(h, h->total, now_ns);
    for (unsigned i = 0; i < h->ntop; i++) {
        if (!asked && !is_own(to, &h->top[i])) continue;
        struct shown *k = place(l, &h->top[i]);
        *(asked ? &k->asked : &k->served) += hot_rate(h, h->top[i].count, now_ns);
    }
}

static int by_rate(const void *a, const void *b) {
    const struct shown *x = a, *y = b;
    const uint64_t m = x->served + x->asked, n = y->served + y->asked;
    return m < n ? 1 : m > n ? -1 : 0;
}

/* A key as it may stand in a line: what is no plain letter as %XX. Returns how long it is. */
static size_t encode(const struct shown *k, char *out) {
    static const char digits[] = "0123456789ABCDEF";
    char *p = out;
    for (unsigned i = 0; i < k->len; i++) {
        const unsigned char c = (unsigned char)k->key[i];
        if (c > 0x20 && c < 0x7f && c != '%') {
            *p++ = (char)c;
            continue;
        }
        *p++ = '%';
        *p++ = digits[c >> 4];
        *p++ = digits[c & 15];
    }
    return (size_t)(p - out);
}

static void show(const struct cmd_stat_line *to, const struct list *l, const struct shown *k, unsigned rank) {
    char text[3 * HOT_KEY_MAX + 128] = "key=", name[16];
    const size_t n = 4 + encode(k, text + 4);
    const uint64_t share = l->seen == 0 ? 0 : (k->served + k->asked) * 1000 / l->seen;
    const int more =
        snprintf(text + n, sizeof text - n, " served=%llu asked=%llu share=%llu.%llu holders=%u",
                 (unsigned long long)k->served, (unsigned long long)k->asked, (unsigned long long)(share / 10),
                 (unsigned long long)(share % 10), cmd_hold_count(to->s->worker->cmd, k->hash));
    snprintf(name, sizeof name, "%u", rank);
    cmd_stat_line_text(to, "", name, text, n + (size_t)more);
}

void cmd_hot_stats(const struct cmd_stat_line *to) {
    struct cmd *cmd = to->s->worker->cmd;
    const uint64_t now_ns = clock_boot_ns(cmd->cfg.clock);
    struct list l = {.max = 2 * HOT_TOP * cmd->nworkers};
    l.key = malloc(l.max * sizeof *l.key);
    if (l.key == NULL) {
        cmd_stat_line_error(to, BINARY_NO_MEMORY, "SERVER_ERROR out of memory writing stats");
        return;
    }
    for (unsigned i = 0; i < cmd->nworkers; i++) {
        struct cmd_hot *h = cmd->workers[i].hot;
        sync_spin_lock(&h->lock);
        add(&l, to->s->worker, &h->seen, false, now_ns);
        add(&l, to->s->worker, &h->asked, true, now_ns);
        sync_spin_unlock(&h->lock);
    }
    qsort(l.key, l.n, sizeof *l.key, by_rate);
    for (unsigned i = 0; i < l.n && i < SHOWN_MAX; i++) show(to, &l, &l.key[i], i + 1);
    free(l.key);
    cmd_stat_line_end(to);
}
