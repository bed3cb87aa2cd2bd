/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The file of tokens: what was read is written and read again as the same. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "proto/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct token_table *t = NULL;
    char why[128], line[TOKEN_LINE_MAX];
    if (token_table_parse((const char *)data, n, &t, why, sizeof why) != 0) return 0;
    CHECK(t->n <= TOKENS_MAX);
    for (unsigned i = 0; i < t->n; i++) {
        struct token again;
        const size_t length = token_write(&t->tokens[i], line);
        CHECK(length < TOKEN_LINE_MAX && token_parse(line, length, &again) == NULL);
        CHECK(memcmp(&again, &t->tokens[i], sizeof again) == 0);
        (void)token_covers(&t->tokens[i], (const char *)data, n);
    }
    free(t);
    return 0;
}
