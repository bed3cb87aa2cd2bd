/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Storage lines that are refused: each verb with each word missing, doubled, malformed. The block, which would be a
 * visible command, is never read as a line, and there is one answer, or none to a line that says noreply. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cmd/reply.h"
#include "tests/fuzz/fake_net.h"

#define BLOCK "set pwned 0 0 1\r\nx" /* 18 bytes */
#define WORDS_MAX 8
#define LINE_BYTES 2048

/* How a line ends: as it is, or asking for silence; ms has no such word. */
static const char *const ends[] = {"", " noreply", " noreply "};

struct verb {
    const char *name;
    const char *words[6];
    unsigned n;      /* words, the verb's own counted */
    unsigned length; /* which of them is the length */
};

static const struct verb verbs[] = {
    {"set", {"set", "foo", "0", "0", "18"}, 5, 4},       {"add", {"add", "foo", "0", "0", "18"}, 5, 4},
    {"replace", {"replace", "k", "1", "9", "18"}, 5, 4}, {"append", {"append", "k", "0", "0", "18"}, 5, 4},
    {"prepend", {"prepend", "k", "0", "0", "18"}, 5, 4}, {"cas", {"cas", "foo", "0", "0", "18", "7"}, 6, 4},
    {"ms", {"ms", "foo", "18", "T0", "F1", "C9"}, 6, 2},
};
#define VERBS (sizeof verbs / sizeof *verbs)

static const char *const malformed[] = {"x", "-",     "+",  "-1x", "0x1", "1.0", "99999999999999999999",
                                        "!", "7\tx7", "--1"};

static bool is_meta(const struct verb *v) {
    return v->length == 2;
}

static void join(char *line, const char *const *words, unsigned n, const char *end) {
    line[0] = '\0';
    for (unsigned i = 0; i < n; i++) {
        if (i > 0) strcat(line, " ");
        strcat(line, words[i]);
    }
    strcat(line, end);
}

/* What came back for a line: how many answers before the closing MN, and whether the connection was closed. */
struct outcome {
    unsigned answers;
    bool closed, stored, pwned;
    char text[512];
};

static unsigned lines_of(const char *text, size_t n) {
    unsigned lines = 0;
    for (size_t i = 0; i < n; i++) lines += text[i] == '\n';
    return lines;
}

/* Sends a line, its block and mn, whole or byte by byte, to a fresh connection. */
static struct outcome send_line(struct fake_node *f, const char *line, bool split) {
    char all[LINE_BYTES + 64];
    struct outcome o = {0};
    size_t n;
    const size_t len = (size_t)snprintf(all, sizeof all, "%s\r\n" BLOCK "\r\nmn\r\n", line);
    struct conn *c = fake_open(f), *other;
    for (size_t i = 0; i < len; i += split ? 1 : len) fake_feed(c, all + i, split ? 1 : len);
    const char *out = fake_output(c, &n);
    o.closed = fake_closed(c);
    const bool in_step = n >= 4 && memcmp(out + n - 4, "MN\r\n", 4) == 0;
    if (!o.closed && !in_step) fail_msg("%s: not in step: %.*s", line, (int)n, out);
    o.answers = lines_of(out, n) - in_step;
    snprintf(o.text, sizeof o.text, "%.*s", (int)(n < 400 ? n : 400), n > 0 ? out : "");
    o.stored = strncmp(o.text, "STORED", 6) == 0 || strncmp(o.text, "HD", 2) == 0;
    fake_close(c);
    other = fake_open(f);
    fake_feed(other, "get pwned\r\nflush_all\r\n", 22);
    out = fake_output(other, &n);
    o.pwned = n < 3 || memcmp(out, "END", 3) != 0;
    fake_close(other);
    return o;
}

/* A line whose block is known of, or which closes: at most one answer, none if it is silent, and nothing was run. */
static void expect_swallowed(struct fake_node *f, const char *line) {
    for (int split = 0; split < 2; split++) {
        const struct outcome o = send_line(f, line, split != 0);
        if (o.pwned) fail_msg("%.200s: its block was run", line);
        if (o.answers > 1) fail_msg("%.200s: %u answers: %s", line, o.answers, o.text);
        if (o.answers == 0 && strstr(line, "noreply") == NULL && strstr(line, " q") == NULL)
            fail_msg("%.200s: no answer", line);
        if (o.answers == 1 && strstr(line, " noreply") != NULL && !o.closed && strncmp(line, "ms", 2) != 0)
            fail_msg("%.200s: an answer in spite of noreply: %s", line, o.text);
    }
}

/* A line of which no length can be told: it gets one error, and what follows is the next line. */
static void expect_next_line(struct fake_node *f, const char *line) {
    const struct outcome o = send_line(f, line, false);
    if (strncmp(o.text, CMD_BAD_FORMAT "\r\nSTORED\r\n", sizeof CMD_BAD_FORMAT "\r\nSTORED\r\n" - 1) != 0 || !o.pwned)
        fail_msg("%.200s: %s", line, o.text);
}

static unsigned ends_of(const struct verb *v) {
    return is_meta(v) ? 1 : sizeof ends / sizeof *ends;
}

static void each_word_malformed(void **state) {
    struct fake_node *f = fake_node_new(&(struct fake_options){0});
    char line[LINE_BYTES], key[256];
    (void)state;
    memset(key, 'k', 251);
    key[251] = '\0';
    for (const struct verb *v = verbs; v < verbs + VERBS; v++) {
        for (unsigned end = 0; end < ends_of(v); end++) {
            const char *words[WORDS_MAX];
            memcpy(words, v->words, sizeof v->words);
            words[1] = key; /* too long for a key */
            join(line, words, v->n, ends[end]);
            expect_swallowed(f, line);
            words[1] = "|#|t=a"; /* a suffix and no key */
            join(line, words, v->n, ends[end]);
            expect_swallowed(f, line);
            for (unsigned w = 2; w < v->n; w++) {
                for (unsigned m = 0; m < sizeof malformed / sizeof *malformed; m++) {
                    memcpy(words, v->words, sizeof v->words);
                    words[w] = malformed[m];
                    join(line, words, v->n, ends[end]);
                    if (w == v->length)
                        expect_next_line(f, line);
                    else
                        expect_swallowed(f, line);
                }
            }
        }
    }
    fake_node_free(f);
}

/* As a key with a blank in it doubles a word. */
static void each_word_doubled(void **state) {
    struct fake_node *f = fake_node_new(&(struct fake_options){0});
    char line[LINE_BYTES];
    (void)state;
    for (const struct verb *v = verbs; v < verbs + VERBS; v++) {
        for (unsigned end = 0; end < ends_of(v); end++) {
            for (unsigned w = 1; w < v->n; w++) {
                for (unsigned again = 1; again < 3; again++) {
                    const char *words[WORDS_MAX];
                    unsigned n = 0;
                    for (unsigned i = 0; i < v->n; i++)
                        for (unsigned k = 0; k < (i == w ? 1 + again : 1); k++) words[n++] = v->words[i];
                    join(line, words, n, ends[end]);
                    expect_swallowed(f, line);
                }
            }
        }
    }
    fake_node_free(f);
}

static void each_word_missing(void **state) {
    struct fake_node *f = fake_node_new(&(struct fake_options){0});
    char line[LINE_BYTES];
    (void)state;
    for (const struct verb *v = verbs; v < verbs + VERBS; v++) {
        for (unsigned end = 0; end < ends_of(v); end++) {
            for (unsigned w = 1; w < (is_meta(v) ? 3 : v->n); w++) {
                const char *words[WORDS_MAX];
                unsigned n = 0;
                for (unsigned i = 0; i < v->n; i++)
                    if (i != w) words[n++] = v->words[i];
                join(line, words, n, ends[end]);
                const bool cas = strcmp(v->name, "cas") == 0;
                /* Without its key a line consists of numbers: closed. A cas may lack its id, the length being known. */
                if (w == 1 || (cas && w == 5))
                    expect_swallowed(f, line);
                else if (!cas)
                    expect_next_line(f, line);
            }
        }
    }
    fake_node_free(f);
}

/* One whose id is missing, in step afterwards. */
static void cas_without_its_id(void **state) {
    struct fake_node *f = fake_node_new(&(struct fake_options){0});
    (void)state;
    struct outcome o = send_line(f, "cas foo 0 0 18", false);
    assert_true(!o.closed && !o.pwned);
    assert_string_equal(o.text, CMD_BAD_FORMAT "\r\nMN\r\n");
    o = send_line(f, "cas foo 0 0 18 noreply", true);
    assert_true(!o.closed && !o.pwned);
    assert_string_equal(o.text, "MN\r\n");
    fake_node_free(f);
}

/* Before authentication: whatever the line, no word of the block is answered. */
static void before_authentication(void **state) {
    char path[] = "/tmp/tagcached-refused-XXXXXX", line[LINE_BYTES];
    const int file = mkstemp(path);
    (void)state;
    assert_true(file >= 0);
    assert_int_equal(write(file, "bob:secret\n", 11), 11);
    close(file);
    struct fake_node *f = fake_node_new(&(struct fake_options){.auth_file = path, .item_size_max = 1024});
    for (const struct verb *v = verbs; v < verbs + VERBS; v++) {
        for (unsigned end = 0; end < ends_of(v); end++) {
            const char *want = strcmp(v->name, "set") == 0 ? "CLIENT_ERROR authentication failure\r\n"
                                                           : "CLIENT_ERROR unauthenticated\r\n";
            struct conn *c = fake_open(f);
            size_t n;
            join(line, v->words, v->n, ends[end]);
            strcat(line, "\r\n" BLOCK "\r\n");
            fake_feed(c, line, strlen(line));
            const char *out = fake_output(c, &n);
            assert_int_equal(n, strlen(want));
            assert_memory_equal(out, want, n);
            fake_close(c);
        }
    }
    /* One that is too large, above the largest item too: told once, discarded, and nothing is deleted by it. */
    struct conn *c = fake_open(f);
    size_t n;
    fake_feed(c, "set foo 0 0 2500\r\n", 18);
    for (unsigned i = 0; i < 250; i++) fake_feed(c, "get foo\r\n\r", 10);
    fake_feed(c, "\r\nset k 0 0 10\r\nbob secret\r\n", 28);
    const char *out = fake_output(c, &n);
    static const char want[] = "CLIENT_ERROR auth token too long\r\nSTORED\r\n";
    assert_int_equal(n, sizeof want - 1);
    assert_memory_equal(out, want, n);
    fake_node_free(f);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_word_malformed),   cmocka_unit_test(each_word_doubled),
        cmocka_unit_test(each_word_missing),     cmocka_unit_test(cas_without_its_id),
        cmocka_unit_test(before_authentication),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
