/* SPDX-License-Identifier: BSD-3-Clause */
#include "handoff_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static unsigned char memory[PEER_CONTROL_ARENA_BYTES];
static char zeros[PEER_CONTROL_MAX];

/* ------------------------------------------------------------------ the store */

static struct lab_item *find(struct lab_node *n, const char *key, size_t nkey) {
    for (unsigned i = 0; i < n->nitems; i++)
        if (!n->items[i].dropped && strlen(n->items[i].key) == nkey && memcmp(n->items[i].key, key, nkey) == 0)
            return &n->items[i];
    return NULL;
}

static void put(struct lab_node *n, const char *key, size_t nkey, uint64_t size, unsigned freq, uint32_t to) {
    if ((n->nitems & (n->nitems - 1)) == 0) /* a power of two, all of them used */
        n->items = realloc(n->items, (n->nitems ? 2 * n->nitems : 1) * sizeof *n->items);
    struct lab_item *it = &n->items[n->nitems++];
    *it = (struct lab_item){.version = n->nitems, .size = size, .freq = freq, .to = to};
    snprintf(it->key, sizeof it->key, "%.*s", (int)nkey, key);
}

static enum handoff_import import(void *arg, uint32_t donor, const struct moved_item *it, uint64_t g,
                                  uint64_t asked_ns) {
    struct lab_node *n = arg;
    n->asked_ns = asked_ns;
    (void)donor;
    n->calls++;
    if (n->no_room > 0) {
        n->no_room--;
        return HANDOFF_AGAIN;
    }
    if (it->at == 0) n->value_n = 0;
    if (it->at != n->value_n) return HANDOFF_PRESENT; /* a part is missing */
    n->value_n += it->nvalue;
    if (!moved_item_is_last(it)) return HANDOFF_KEPT;
    assert_int_equal(n->value_n, it->size);
    if (n->written != NULL && strlen(n->written) == it->nkey && memcmp(n->written, it->key, it->nkey) == 0)
        return HANDOFF_WRITTEN;
    if (n->purged > g) return HANDOFF_PURGED;
    if (find(n, it->key, it->nkey) != NULL) return HANDOFF_PRESENT;
    put(n, it->key, it->nkey, it->size, 0, n->number);
    return HANDOFF_KEPT;
}

static unsigned scan(void *arg, uint32_t receiver, struct handoff_cursor *c, unsigned min_freq,
                     struct handoff_key *keys, unsigned max) {
    struct lab_node *n = arg;
    unsigned shown = 0;
    n->calls++;
    while (shown < max && c->word[0] < n->nitems) {
        const struct lab_item *it = &n->items[c->word[0]++];
        if (it->dropped || it->to != receiver || it->freq < min_freq) continue;
        struct handoff_key *k = &keys[shown++];
        k->version = it->version;
        k->nkey = (uint8_t)strlen(it->key);
        memcpy(k->key, it->key, k->nkey);
    }
    c->done = c->word[0] == n->nitems;
    return shown;
}

static bool read_item(void *arg, const struct handoff_key *k, uint64_t at, uint32_t most,
                      void (*show)(void *to, const struct moved_item *it), void *to) {
    const struct lab_item *it = find(arg, k->key, k->nkey);
    ((struct lab_node *)arg)->calls++;
    if (it == NULL || it->version != k->version) return false;
    const uint64_t left = it->size - at;
    const struct moved_item m = {.key = k->key,
                                 .nkey = k->nkey,
                                 .value = zeros,
                                 .nvalue = (uint32_t)(left < most ? left : most),
                                 .size = it->size,
                                 .at = at,
                                 .version = it->version,
                                 .ttl_s = MOVED_ITEM_TTL_NEVER};
    show(to, &m);
    return true;
}

static void drop(void *arg, const struct moved_item *moved) {
    struct lab_item *it = find(arg, moved->key, moved->nkey);
    ((struct lab_node *)arg)->calls++;
    if (it != NULL && it->version == moved->version) it->dropped = true;
}

/* ------------------------------------------------------------------ upcalls */

static void enqueue(struct lab *l, uint32_t from, uint32_t to, bool gaining, const struct peer_handoff *m) {
    uint8_t bytes[PEER_CONTROL_MAX];
    const size_t n = peer_handoff_pack(m, bytes, sizeof bytes);
    assert_true(n > 0);
    struct lab_message *msg = malloc(sizeof *msg + n);
    *msg = (struct lab_message){.from = from, .to = to, .gaining = gaining, .n = n};
    memcpy(msg->bytes, bytes, n);
    *l->tail = msg;
    l->tail = &msg->next;
}

static void send_message(void *arg, uint32_t member, bool gaining, const struct peer_handoff *m) {
    struct lab_node *n = arg;
    struct lab *l = n->lab;
    if (member > LAB_NODES) return; /* nobody is there */
    if (m->kind == PEER_HANDOFF_NEXT) {
        n->asked++;
        if (++l->open[n->number] > n->most_open) n->most_open = l->open[n->number];
    }
    if (m->kind == PEER_HANDOFF_ITEMS) {
        n->chunk_bytes += m->nitems;
        if (n->chunk_bytes > n->most_bytes) n->most_bytes = n->chunk_bytes;
        if (m->last) n->chunk_bytes = 0;
    }
    if (m->kind == PEER_HANDOFF_BEHIND || m->kind == PEER_HANDOFF_END) l->open[member]--;
    if (m->kind == PEER_HANDOFF_ACK && l->open[n->number] > 0) l->open[n->number]--;
    if (!n->link_down[member]) enqueue(l, n->number, member, !gaining, m);
}

static void dial(void *arg, uint32_t member) {
    (void)member;
    ((struct lab_node *)arg)->dialled++;
}

static void set_state(void *arg, uint32_t member, enum move_state s) {
    ((struct lab_node *)arg)->state[member] = s;
}

static void show_cover(void *arg, struct cover *out) {
    *out = ((struct lab_node *)arg)->cover;
}

static bool is_full(void *arg) {
    return ((struct lab_node *)arg)->full;
}

static void newer(void *arg, uint32_t member, uint64_t version) {
    (void)member;
    ((struct lab_node *)arg)->newer = version;
}

static void ended(void *arg, const struct handoff_progress *p, enum handoff_end how) {
    ((struct lab_node *)arg)->ended[p->gaining][p->member] = how;
}

/* ------------------------------------------------------------------ the lab */

void lab_start(struct lab *l, uint64_t rate) {
    *l = (struct lab){.now = 1000 * LAB_MS};
    l->tail = &l->first;
    for (uint32_t i = 1; i <= LAB_NODES; i++) {
        struct lab_node *n = &l->node[i];
        *n = (struct lab_node){.lab = l, .number = i, .cover = {.usable = true, .g = 100, .version = 5, .epoch = 1}};
        for (unsigned j = 0; j <= LAB_NODES; j++) n->ended[0][j] = n->ended[1][j] = HANDOFF_ENDS;
        const struct handoff_config cfg = {
            .rate = rate,
            .store = {n, import, scan, read_item, drop},
            .events = {n, send_message, dial, set_state, show_cover, is_full, newer, ended},
        };
        n->h = handoff_new(&cfg);
        assert_non_null(n->h);
    }
}

void lab_stop(struct lab *l) {
    for (struct lab_message *m = l->first, *next; m != NULL; m = next) {
        next = m->next;
        free(m);
    }
    for (uint32_t i = 1; i <= LAB_NODES; i++) {
        handoff_free(l->node[i].h);
        free(l->node[i].items);
    }
}

void lab_item(struct lab *l, uint32_t node, const char *key, uint64_t size, unsigned freq, uint32_t to) {
    put(&l->node[node], key, strlen(key), size, freq, to);
}

const struct lab_item *lab_find(const struct lab *l, uint32_t node, const char *key) {
    return find((struct lab_node *)&l->node[node], key, strlen(key));
}

void lab_change(struct lab *l, uint32_t node, uint32_t from, uint32_t to) {
    struct handoff_part p = {.member = node == to ? from : to, .gaining = node == to, .digest = 77};
    p.share = UINT32_MAX / 2;
    if (p.gaining) l->node[node].state[from] = MOVE_ASKED;
    assert_int_equal(handoff_change(l->node[node].h, l->now, LAB_RING, &p, 1), 0);
}

void lab_settle(struct lab *l, uint32_t node) {
    handoff_settled(l->node[node].h, l->now, LAB_RING, l->node[node].nitems);
}

void lab_begin(struct lab *l, uint32_t from, uint32_t to) {
    lab_change(l, from, from, to);
    lab_settle(l, from);
    lab_change(l, to, from, to);
    lab_settle(l, to);
    handoff_up(l->node[to].h, l->now, from);
}

void lab_inject(struct lab *l, uint32_t node, uint32_t from, bool gaining, const struct peer_handoff *m) {
    handoff_receive(l->node[node].h, l->now, from, gaining, m);
}

void lab_deliver(struct lab *l) {
    for (struct lab_message *msg; (msg = l->first) != NULL;) {
        struct peer_arena arena;
        struct peer_counts counts = {0};
        Peer__Control *c;
        struct peer_handoff m;
        if ((l->first = msg->next) == NULL) l->tail = &l->first;
        peer_arena_init(&arena, memory, sizeof memory);
        assert_int_equal(peer_control_unpack(&arena, msg->bytes, msg->n, &counts, &c), PEER_OK);
        assert_true(peer_handoff_read(c, &m));
        handoff_receive(l->node[msg->to].h, l->now, msg->from, msg->gaining, &m);
        free(msg);
    }
}

/* A step of a node's machine. */
static void step(struct lab *l, struct lab_node *n) {
    n->calls = 0;
    handoff_time(n->h, l->now);
    if (n->calls > n->most_calls) n->most_calls = n->calls;
}

/* When the next timer is due. */
static uint64_t next_ns(const struct lab *l) {
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 1; i <= LAB_NODES; i++) {
        const uint64_t due = handoff_next_ns(l->node[i].h);
        if (due < next) next = due;
    }
    return next;
}

void lab_run(struct lab *l, uint64_t ms) {
    const uint64_t end = l->now + ms * LAB_MS;
    lab_deliver(l);
    for (uint64_t due; (due = next_ns(l)) <= end;) {
        if (due > l->now) l->now = due;
        for (uint32_t i = 1; i <= LAB_NODES; i++)
            if (handoff_next_ns(l->node[i].h) <= l->now) step(l, &l->node[i]);
        lab_deliver(l);
    }
    l->now = end;
}
