/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/config_bytes.h"

#include "base/check.h"
#include "cluster/config_record.h"

bool config_bytes_has_cluster(const uint8_t *record, size_t n) {
    struct config_record r = {0};
    char err[200];
    CHECK(config_record_unpack(record, n, &r, err, sizeof err) == 0);
    const bool has = r.current != NULL;
    config_record_fini(&r);
    return has;
}

void config_bytes_message(const uint8_t *bytes, size_t n, struct peer_config_reader *reader, struct peer_config *m) {
    static uint8_t memory[PEER_CONTROL_ARENA_BYTES];
    struct peer_arena arena;
    struct peer_counts counts = {0};
    Peer__Control *control;
    peer_arena_init(&arena, memory, sizeof memory);
    CHECK(peer_control_unpack(&arena, bytes, n, &counts, &control) == PEER_OK);
    *reader = (struct peer_config_reader){0};
    CHECK(peer_config_read(reader, control, &counts, m) == PEER_CONFIG_WHOLE);
}
