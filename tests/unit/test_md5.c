/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "base/md5.h"
#include "base/rand.h"

#define LEN_MAX 250
#define BATCH_MAX 64

static void test_rfc(void **state) {
    (void)state;
    /* RFC 1321, A.5 */
    static const char *const vectors[][2] = {
        {"", "d41d8cd98f00b204e9800998ecf8427e"},
        {"a", "0cc175b9c0f1b6a831c399e269772661"},
        {"abc", "900150983cd24fb0d6963f7d28e17f72"},
        {"message digest", "f96b697d7cb7938d525a2f31aaf161d0"},
        {"abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"},
        {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "d174ab98d277d9f5a5611c2c9f419d9f"},
        {"12345678901234567890123456789012345678901234567890123456789012345678901234567890",
         "57edf4a22be3c955ac49da2e2107b67a"},
    };
    for (unsigned i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        uint8_t out[MD5_BYTES];
        char text[2 * MD5_BYTES + 1];
        md5(vectors[i][0], strlen(vectors[i][0]), out);
        for (unsigned j = 0; j < MD5_BYTES; j++) sprintf(text + 2 * j, "%02x", out[j]);
        assert_string_equal(text, vectors[i][1]);
    }
}

static uint32_t word(const uint8_t *p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void test_against_openssl(void **state) {
    (void)state;
    static uint8_t bytes[5000];
    struct rand r;
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    assert_non_null(c);
    rand_init(&r, 1);
    for (unsigned i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)rand_next(&r);
    for (unsigned i = 0; i < 1500; i++) {
        size_t n = i < 300 ? i : rand_below(&r, sizeof bytes);
        uint8_t ours[MD5_BYTES], theirs[EVP_MAX_MD_SIZE];
        md5(bytes, n, ours);
        assert_true(EVP_DigestInit_ex(c, EVP_md5(), NULL) && EVP_DigestUpdate(c, bytes, n) &&
                    EVP_DigestFinal_ex(c, theirs, NULL));
        assert_memory_equal(ours, theirs, MD5_BYTES);
        assert_int_equal(md5_first_of_one(bytes, n), word(theirs));
    }
    EVP_MD_CTX_free(c);
}

typedef void first_fn(const char *const key[], const uint32_t len[], unsigned n, uint32_t out[]);

/* Keys of from..upto bytes, each in memory of its own that ends where it may end: one byte more read is
 * seen by AddressSanitizer. What lies behind a key is noise, and nothing is written behind out[n - 1]. */
static void compare(first_fn *first, struct rand *r, unsigned n, uint32_t from, uint32_t upto) {
    char *key[BATCH_MAX] = {0};
    uint32_t len[BATCH_MAX] = {0}, out[BATCH_MAX + 1];
    for (unsigned i = 0; i < n; i++) {
        len[i] = from + (uint32_t)rand_below(r, upto - from + 1);
        size_t size = len[i] < MD5_READS ? MD5_READS : len[i];
        key[i] = malloc(size);
        assert_non_null(key[i]);
        for (size_t j = 0; j < size; j++) key[i][j] = (char)rand_next(r);
    }
    out[n] = 0x5a5a5a5a;
    first((const char *const *)key, len, n, out);
    for (unsigned i = 0; i < n; i++) assert_int_equal(out[i], md5_first_of_one(key[i], len[i]));
    assert_int_equal(out[n], 0x5a5a5a5a);
    for (unsigned i = 0; i < n; i++) free(key[i]);
}

static void test_first(void **state) {
    (void)state;
    static first_fn *const both[] = {md5_first, md5_first_portable};
    struct rand r;
    rand_init(&r, 2);
    for (unsigned f = 0; f < 2; f++) {
        compare(both[f], &r, 0, 0, 0);
        for (uint32_t l = 0; l <= LEN_MAX; l++) compare(both[f], &r, 16, l, l);
        for (unsigned n = 1; n <= BATCH_MAX; n++) {
            compare(both[f], &r, n, 0, LEN_MAX);
            compare(both[f], &r, n, 0, 55);
            compare(both[f], &r, n, 50, 60);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc),
        cmocka_unit_test(test_against_openssl),
        cmocka_unit_test(test_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
