/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/member.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"

#define INDEX_MIN 64

void members_init(struct members *m, uint64_t seed) {
    *m = (struct members){.seed = seed};
}

void members_fini(struct members *m) {
    for (uint32_t i = 0; i < m->nslots; i++) free(m->all[i].name);
    free(m->all);
    free(m->index);
    *m = (struct members){0};
}

unsigned members_count(const struct members *m) {
    return m->nslots - m->nfree;
}

struct member *member_at(const struct members *m, unsigned slot) {
    return slot < m->nslots && !cluster_id_is_zero(&m->all[slot].id) ? &m->all[slot] : NULL;
}

/* ---- The index by id: open addressing, never more than half full ---- */

static uint32_t index_home(const struct members *m, const struct cluster_id *id) {
    return (uint32_t)hash_key(id->bytes, sizeof id->bytes, m->seed) & (m->index_size - 1);
}

/* Where the id is in the index, or where it would be put. */
static uint32_t index_place(const struct members *m, const struct cluster_id *id) {
    uint32_t i = index_home(m, id);
    while (m->index[i] != 0 && !cluster_id_equal(&m->all[m->index[i] - 1].id, id)) i = (i + 1) & (m->index_size - 1);
    return i;
}

static bool index_grow(struct members *m) {
    const uint32_t size = m->index_size == 0 ? INDEX_MIN : m->index_size * 2;
    uint16_t *index = calloc(size, sizeof *index);
    if (index == NULL) return false;
    free(m->index);
    m->index = index;
    m->index_size = size;
    for (uint32_t slot = 0; slot < m->nslots; slot++)
        if (member_at(m, slot) != NULL) m->index[index_place(m, &m->all[slot].id)] = (uint16_t)(slot + 1);
    return true;
}

/* Empties a place and moves up those behind it that could not have it (Knuth, 6.4, algorithm R). */
static void index_remove(struct members *m, uint32_t hole) {
    const uint32_t mask = m->index_size - 1;
    for (uint32_t i = (hole + 1) & mask; m->index[i] != 0; i = (i + 1) & mask) {
        const uint32_t home = index_home(m, &m->all[m->index[i] - 1].id);
        if (((i - home) & mask) < ((i - hole) & mask)) continue; /* its home lies behind the hole */
        m->index[hole] = m->index[i];
        hole = i;
    }
    m->index[hole] = 0;
}

unsigned member_find(const struct members *m, const struct cluster_id *id) {
    if (m->index_size == 0 || cluster_id_is_zero(id)) return MEMBER_NONE;
    const uint16_t found = m->index[index_place(m, id)];
    return found != 0 ? found - 1u : MEMBER_NONE;
}

/* ---- Members ---- */

static uint32_t text_hash(const char *text) {
    return (uint32_t)hash_key(text, strlen(text), 0);
}

static bool set_texts(struct member *member, const char *name, const char *address) {
    if (member->name != NULL && strcmp(member->name, name) == 0 && strcmp(member->address, address) == 0) return true;
    const size_t name_size = strlen(name) + 1, address_size = strlen(address) + 1;
    char *texts = malloc(name_size + address_size);
    if (texts == NULL) return false;
    memcpy(texts, name, name_size);
    memcpy(texts + name_size, address, address_size);
    free(member->name);
    member->name = texts;
    member->address = texts + name_size;
    member->name_hash = text_hash(member->name);
    member->address_hash = text_hash(member->address);
    return true;
}

/* A free slot; MEMBER_NONE: full, or no memory. */
static unsigned free_slot(struct members *m) {
    for (uint32_t slot = 0; m->nfree > 0 && slot < m->nslots; slot++)
        if (member_at(m, slot) == NULL) return slot;
    if (m->nslots == MEMBERS_MAX) return MEMBER_NONE;
    if (m->nslots == m->room) {
        const uint32_t room = m->room == 0 ? 8 : m->room * 2;
        struct member *all = realloc(m->all, room * sizeof *all);
        if (all == NULL) return MEMBER_NONE;
        m->all = all;
        m->room = room;
    }
    m->all[m->nslots] = (struct member){0};
    m->nslots++;
    m->nfree++;
    return m->nslots - 1;
}

unsigned member_add(struct members *m, const struct peer_swim_update *u, uint64_t now_ns) {
    CHECK(u->name[0] != '\0' && u->address[0] != '\0' && member_find(m, &u->id) == MEMBER_NONE);
    if ((members_count(m) + 1) * 2 > m->index_size && !index_grow(m)) return MEMBER_NONE;
    const unsigned slot = free_slot(m);
    if (slot == MEMBER_NONE || !set_texts(&m->all[slot], u->name, u->address)) return MEMBER_NONE;
    const uint32_t place = index_place(m, &u->id);
    struct member *member = &m->all[slot];
    member->id = u->id;
    member->sent = UINT8_MAX;
    m->index[place] = (uint16_t)(slot + 1);
    m->nfree--;
    member->state = (uint8_t)u->state;
    m->in_state[u->state]++;
    member_take(m, slot, u, now_ns);
    return slot;
}

void member_remove(struct members *m, unsigned slot) {
    struct member *member = member_at(m, slot);
    CHECK(member != NULL);
    index_remove(m, index_place(m, &member->id));
    m->in_state[member->state]--;
    free(member->name);
    *member = (struct member){0};
    m->nfree++;
}

int member_compare(const struct member *member, const struct peer_swim_update *u) {
    if (u->boot != member->boot) return u->boot > member->boot ? 1 : -1;
    if (u->incarnation != member->incarnation) return u->incarnation > member->incarnation ? 1 : -1;
    return (int)u->state - (int)member->state;
}

void member_set_state(struct members *m, unsigned slot, enum peer_swim_state state, uint64_t now_ns) {
    struct member *member = member_at(m, slot);
    m->in_state[member->state]--;
    m->in_state[state]++;
    member->state = (uint8_t)state;
    member->since_ns = now_ns;
}

void member_take(struct members *m, unsigned slot, const struct peer_swim_update *u, uint64_t now_ns) {
    struct member *member = member_at(m, slot);
    member->boot = u->boot;
    member->incarnation = u->incarnation;
    member_set_state(m, slot, u->state, now_ns - u->ended_s * UINT64_C(1000000000));
    if (u->name[0] != '\0' && u->address[0] != '\0') (void)set_texts(member, u->name, u->address);
}

uint32_t member_age_s(const struct member *member, uint64_t now_ns) {
    const uint64_t age = (now_ns - member->since_ns) / UINT64_C(1000000000);
    return age < UINT32_MAX ? (uint32_t)age : UINT32_MAX;
}

/* ---- Names and addresses ---- */

bool member_is_active(const struct member *member) {
    return member->state == PEER_SWIM_ALIVE || member->state == PEER_SWIM_SUSPECT;
}

unsigned member_by_name(const struct members *m, const char *name) {
    const uint32_t hash = text_hash(name);
    const struct member *best = NULL;
    for (uint32_t slot = 0; slot < m->nslots; slot++) {
        const struct member *it = member_at(m, slot);
        if (it == NULL || it->name_hash != hash || strcmp(it->name, name) != 0) continue;
        const bool active = member_is_active(it);
        if (best == NULL || (active && !member_is_active(best)) ||
            (active == member_is_active(best) && it->boot > best->boot))
            best = it;
    }
    return best != NULL ? (unsigned)(best - m->all) : MEMBER_NONE;
}

unsigned member_other_of_name(const struct members *m, unsigned slot) {
    const struct member *mine = member_at(m, slot);
    for (uint32_t i = 0; i < m->nslots; i++) {
        const struct member *it = member_at(m, i);
        if (it != NULL && it != mine && member_is_active(it) && it->name_hash == mine->name_hash &&
            strcmp(it->name, mine->name) == 0)
            return i;
    }
    return MEMBER_NONE;
}

static unsigned active_at(const struct members *m, const char *address, uint32_t hash, const struct member *but) {
    for (uint32_t i = 0; i < m->nslots; i++) {
        const struct member *it = member_at(m, i);
        if (it != NULL && it != but && member_is_active(it) && it->address_hash == hash &&
            strcmp(it->address, address) == 0)
            return i;
    }
    return MEMBER_NONE;
}

unsigned member_other_of_address(const struct members *m, unsigned slot) {
    const struct member *mine = member_at(m, slot);
    return active_at(m, mine->address, mine->address_hash, mine);
}

bool member_is_at(const struct members *m, const char *address) {
    return active_at(m, address, text_hash(address), NULL) != MEMBER_NONE;
}

bool member_is_superseded(const struct members *m, unsigned slot) {
    const uint64_t boot = member_at(m, slot)->boot;
    const struct member *of_name = member_at(m, member_other_of_name(m, slot));
    const struct member *of_address = member_at(m, member_other_of_address(m, slot));
    return (of_name != NULL && of_name->boot > boot) || (of_address != NULL && of_address->boot > boot);
}

unsigned member_victim(const struct members *m, uint64_t now_ns) {
    unsigned best = MEMBER_NONE, best_rank = 0;
    uint32_t best_age = 0;
    for (uint32_t i = 0; i < m->nslots; i++) {
        const struct member *it = member_at(m, i);
        if (it == NULL || member_is_active(it)) continue;
        const unsigned rank = it->state == PEER_SWIM_LEFT ? 3 : member_is_superseded(m, i) ? 2 : 1;
        const uint32_t age = member_age_s(it, now_ns);
        if (best != MEMBER_NONE && (rank < best_rank || (rank == best_rank && age <= best_age))) continue;
        best = i;
        best_rank = rank;
        best_age = age;
    }
    return best;
}
