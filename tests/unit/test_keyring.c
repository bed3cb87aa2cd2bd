/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The cluster's keys: which files are read, which are refused and with what sentence, and what is derived from a key.
 */
#include "cluster/keyring.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define KEY_A "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_B "//////////////////////////////////////////8="

static char err[300];

static bool reads(struct keyring *k, const char *text) {
    err[0] = '\0';
    return keyring_read(k, text, strlen(text), err, sizeof err);
}

static void test_keys_are_read(void **state) {
    (void)state;
    struct keyring k = {0};
    assert_true(reads(&k, "# of the shop\n\n  " KEY_A "\r\n" KEY_B));
    assert_int_equal(k.n, 2);
    assert_false(k.open);
    struct keyring one = {0};
    assert_true(reads(&one, KEY_A "\n"));
    assert_memory_equal(&one.keys[0], &k.keys[0], sizeof one.keys[0]);
    assert_ptr_equal(keyring_find(&k, k.keys[1].id), &k.keys[1]);
    assert_null(keyring_find(&one, k.keys[1].id));
}

static void test_what_is_no_keyring_is_refused(void **state) {
    (void)state;
    struct keyring k = {0};
    assert_true(reads(&k, KEY_A));
    struct keyring before = k;
    static const char *const bad[][2] = {
        {"", "it holds no key (tagctl keyring generate makes one)"},
        {"# nothing\n\n", "it holds no key (tagctl keyring generate makes one)"},
        {"# x\nAAECAwQ=\n", "line 2 is not 32 bytes in base64 (tagctl keyring generate makes a key)"},
        {KEY_A "A", "line 1 is not 32 bytes in base64 (tagctl keyring generate makes a key)"},
        {"!AECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
         "line 1 is not 32 bytes in base64 (tagctl keyring generate makes a key)"},
        /* 33 bytes have as many digits as 32 */
        {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g",
         "line 1 is not 32 bytes in base64 (tagctl keyring generate makes a key)"},
        {KEY_A "\n" KEY_B "\n" KEY_A "\n", "line 3 repeats a key"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(reads(&k, bad[i][0]));
        assert_string_equal(err, bad[i][1]);
        assert_memory_equal(&k, &before, sizeof k);
    }
}

static void test_a_keyring_has_at_most_eight(void **state) {
    (void)state;
    char text[9 * (KEYRING_LINE_BYTES + 1) + 1];
    struct keyring k = {0};
    for (unsigned i = 0; i < 9; i++) {
        uint8_t raw[32] = {(uint8_t)i};
        keyring_generate(raw, text + (size_t)i * (KEYRING_LINE_BYTES + 1));
        text[(i + 1) * (KEYRING_LINE_BYTES + 1) - 1] = '\n';
    }
    text[sizeof text - 1] = '\0';
    assert_false(reads(&k, text));
    assert_string_equal(err, "line 9 is one key too many: a keyring holds at most 8");
    text[8 * (KEYRING_LINE_BYTES + 1)] = '\0';
    assert_true(reads(&k, text));
    assert_int_equal(k.n, 8);
}

static void test_a_generated_key_is_read(void **state) {
    (void)state;
    uint8_t raw[32];
    char line[KEYRING_LINE_BYTES + 1];
    for (unsigned i = 0; i < 32; i++) raw[i] = (uint8_t)i;
    keyring_generate(raw, line);
    assert_string_equal(line, KEY_A);
}

/* RFC 5869, appendix A.3: no salt and no info; A.1's length of 42 bytes. */
static void test_derivation_is_hkdf(void **state) {
    (void)state;
    static const uint8_t expect[42] = {0x8d, 0xa4, 0xe7, 0x75, 0xa5, 0x63, 0xc1, 0x8f, 0x71, 0x5f, 0x80,
                                       0x2a, 0x06, 0x3c, 0x5a, 0x31, 0xb8, 0xa1, 0x1f, 0x5c, 0x5e, 0xe1,
                                       0x87, 0x9e, 0xc3, 0x45, 0x4e, 0x5f, 0x3c, 0x73, 0x8d, 0x2d, 0x9d,
                                       0x20, 0x13, 0x95, 0xfa, 0xa4, 0xb6, 0x1a, 0x96, 0xc8};
    uint8_t ikm[22], out[42];
    memset(ikm, 0x0b, sizeof ikm);
    keyring_derive(ikm, sizeof ikm, "", out, sizeof out);
    assert_memory_equal(out, expect, sizeof out);
}

/* Nodes of different releases must derive the same: these bytes never change. */
static void test_what_is_derived_stays(void **state) {
    (void)state;
    struct keyring k = {0};
    char id[KEYRING_ID_TEXT];
    assert_true(reads(&k, KEY_A));
    keyring_id_text(&k.keys[0], id);
    assert_string_equal(id, "7ff07a2ba90a8934");
    assert_int_equal(k.keys[0].seal[0], 0xb2);
    assert_int_equal(k.keys[0].psk[0], 0x48);
    assert_true(memcmp(k.keys[0].seal, k.keys[0].psk, sizeof k.keys[0].seal) != 0);
    keyring_without_key(&k);
    assert_true(k.open);
    assert_int_equal(k.n, 1);
    keyring_id_text(&k.keys[0], id);
    assert_string_equal(id, "7e550b9b3c978a04");
}

static void write_file(const char *path, const char *text, mode_t mode) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void test_a_key_is_used_and_removed(void **state) {
    (void)state;
    struct keyring k = {0}, before;
    uint8_t id[KEYRING_ID_BYTES];
    char text[KEYRING_ID_TEXT];
    struct keyring three = {0};
    assert_true(reads(&k, KEY_A "\n" KEY_B "\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"));
    three = k;
    assert_true(keyring_use(&k, three.keys[2].id));
    assert_memory_equal(&k.keys[0], &three.keys[2], sizeof k.keys[0]);
    assert_memory_equal(&k.keys[1], &three.keys[0], sizeof k.keys[0]);
    assert_memory_equal(&k.keys[2], &three.keys[1], sizeof k.keys[0]);
    assert_true(keyring_use(&k, three.keys[2].id)); /* it is used already */
    before = k;
    assert_false(keyring_use(&k, (const uint8_t[KEYRING_ID_BYTES]){1}));
    assert_false(keyring_remove(&k, (const uint8_t[KEYRING_ID_BYTES]){1}));
    assert_false(keyring_remove(&k, three.keys[2].id)); /* it seals */
    assert_memory_equal(&k, &before, sizeof k);
    assert_true(keyring_remove(&k, three.keys[0].id));
    assert_int_equal(k.n, 2);
    assert_memory_equal(&k.keys[1], &three.keys[1], sizeof k.keys[0]);
    assert_null(keyring_find(&k, three.keys[0].id));
    static const struct keyring_key none;
    assert_memory_equal(&k.keys[2], &none, sizeof none); /* nothing of it is left */
    keyring_id_text(&three.keys[1], text);
    assert_true(keyring_id_read(text, id));
    assert_memory_equal(id, three.keys[1].id, sizeof id);
    static const char *const bad[] = {
        "", "0", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF", "0123456789abcdeg"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) assert_false(keyring_id_read(bad[i], id));
}

static void test_files(void **state) {
    (void)state;
    char dir[] = "/tmp/tagcached-keyring-XXXXXX", path[64], text[400];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/key", dir);
    struct keyring k = {0};
    assert_false(keyring_load(&k, path, err, sizeof err));
    snprintf(text, sizeof text, "cannot read the cluster key %s: No such file or directory", path);
    assert_string_equal(err, text);
    write_file(path, KEY_A "\n", 0600);
    assert_true(keyring_load(&k, path, err, sizeof err));
    write_file(path, KEY_A "\n", 0640); /* root's, for the group of the node */
    assert_true(keyring_load(&k, path, err, sizeof err));
    static const mode_t open_modes[] = {0604, 0602, 0601, 0620, 0644};
    for (unsigned i = 0; i < 5; i++) {
        write_file(path, KEY_B "\n", open_modes[i]);
        assert_false(keyring_load(&k, path, err, sizeof err));
        snprintf(
            text, sizeof text,
            "cannot use the cluster key %s: other users may read or change it (mode %04o); chmod 600 makes it yours "
            "alone",
            path, (unsigned)open_modes[i]);
        assert_string_equal(err, text);
    }
    write_file(path, "nonsense", 0600);
    assert_false(keyring_load(&k, path, err, sizeof err));
    assert_non_null(strstr(err, "line 1 is not 32 bytes in base64"));
    assert_int_equal(k.n, 1); /* the keys of before stay */
    assert_false(keyring_load(&k, dir, err, sizeof err));
    assert_non_null(strstr(err, "it is not a file"));
    char *huge = malloc(KEYRING_FILE_MAX + 2);
    assert_non_null(huge);
    memset(huge, '\n', KEYRING_FILE_MAX + 1);
    huge[KEYRING_FILE_MAX + 1] = '\0';
    write_file(path, huge, 0600);
    assert_false(keyring_load(&k, path, err, sizeof err));
    assert_non_null(strstr(err, "it is longer than 16384 bytes"));
    free(huge);
    unlink(path);
    rmdir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_are_read),
        cmocka_unit_test(test_what_is_no_keyring_is_refused),
        cmocka_unit_test(test_a_keyring_has_at_most_eight),
        cmocka_unit_test(test_a_generated_key_is_read),
        cmocka_unit_test(test_derivation_is_hkdf),
        cmocka_unit_test(test_what_is_derived_stays),
        cmocka_unit_test(test_a_key_is_used_and_removed),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
