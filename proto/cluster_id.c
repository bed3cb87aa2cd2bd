/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/cluster_id.h"

#include <stdio.h>
#include <string.h>

bool cluster_id_equal(const struct cluster_id *a, const struct cluster_id *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

bool cluster_id_is_zero(const struct cluster_id *id) {
    static const struct cluster_id zero;
    return cluster_id_equal(id, &zero);
}

void cluster_id_text(const struct cluster_id *id, char text[CLUSTER_ID_TEXT]) {
    for (unsigned i = 0; i < sizeof id->bytes; i++) snprintf(text + 2 * (size_t)i, 3, "%02x", id->bytes[i]);
}

static int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool cluster_id_read(const char *text, struct cluster_id *out) {
    if (strlen(text) != CLUSTER_ID_TEXT - 1) return false;
    for (unsigned i = 0; i < sizeof out->bytes; i++) {
        const int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        out->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}
