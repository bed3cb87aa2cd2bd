/* SPDX-License-Identifier: BSD-3-Clause
 *
 * bench_ring - what finding the owner of a key costs, in nanoseconds a key: MD5 alone (md5_first, and one by one), and
 * the whole of ring_owners, by the size of a batch and of the cluster. One JSON line each.
 *
 * Under `valgrind --tool=callgrind` run one size with two counts (--keys) and divide the difference.
 */
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/md5.h"
#include "cluster/ring.h"
#include "rng.h"

#define BATCH_MAX 64
#define KEYS 65536 /* different ones; must be a multiple of BATCH_MAX */
#define MEMBERS_MAX 1000

static const char usage[] = "usage: bench_ring [--keys N] [--length B] [--batch N] [--members N]\n"
                            "Looks up N keys (4000000) of B bytes (20, at most 250), in batches of 1, 2, 8, 16 and 64 "
                            "(or as asked), in rings of\n"
                            "3, 100 and 1000 members (or as asked).\n";

struct bench {
    uint64_t keys;
    unsigned length, batch, members;
    char (*bytes)[256];
    const char **key;
    uint32_t *len;
    uint64_t sum; /* of what was found, so that nothing is optimised away */
};

static void fail(const char *what) {
    fprintf(stderr, "bench_ring: %s\n", what);
    exit(2);
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fill(struct bench *b) {
    uint64_t rng = rng_mix(1);
    b->bytes = calloc(KEYS, sizeof *b->bytes);
    b->key = calloc(KEYS, sizeof *b->key);
    b->len = calloc(KEYS, sizeof *b->len);
    if (!b->bytes || !b->key || !b->len) fail("no memory");
    for (unsigned i = 0; i < KEYS; i++) {
        for (unsigned j = 0; j < b->length; j++) b->bytes[i][j] = (char)('a' + rng_next(&rng) % 26);
        b->key[i] = b->bytes[i];
        b->len[i] = b->length;
    }
}

/* Without a ring: the points alone, side by side or one by one. */
static void run(struct bench *b, const struct ring *r, bool one_by_one, unsigned batch) {
    uint32_t point[BATCH_MAX];
    uint16_t owner[BATCH_MAX];
    uint64_t since[BATCH_MAX];
    double begin = seconds();
    for (uint64_t done = 0; done < b->keys; done += batch) {
        unsigned at = (unsigned)(done % KEYS) / BATCH_MAX * BATCH_MAX;
        if (r) {
            ring_owners(r, b->key + at, b->len + at, batch, owner, since);
            b->sum += owner[0] + since[batch - 1];
        } else if (one_by_one) {
            for (unsigned i = 0; i < batch; i++) b->sum += md5_first_of_one(b->key[at + i], b->len[at + i]);
        } else {
            md5_first(b->key + at, b->len + at, batch, point);
            b->sum += point[0];
        }
    }
    printf("{\"what\":\"%s\",\"members\":%u,\"batch\":%u,\"length\":%u,\"ns_per_key\":%.1f}\n",
           r            ? "ring_owners"
           : one_by_one ? "md5_first_of_one"
                        : "md5_first",
           r ? ring_nmembers(r) : 0, batch, b->length, (seconds() - begin) * 1e9 / (double)b->keys);
    fflush(stdout);
}

static struct ring *make(unsigned n) {
    static struct ring_member m[MEMBERS_MAX];
    struct ring *r;
    for (unsigned i = 0; i < n; i++) {
        char name[32];
        snprintf(name, sizeof name, "10.0.%u.%u:11211", i / 256, i % 256);
        if (!ring_member_read(name, &m[i])) fail("no name");
    }
    if (ring_new(1, m, n, &r)) fail("no memory");
    return r;
}

static void measure(struct bench *b) {
    static const unsigned batches[] = {1, 2, 8, 16, 64}, sizes[] = {3, 100, 1000};
    for (unsigned i = 0; i < sizeof batches / sizeof *batches; i++) {
        unsigned batch = b->batch ? b->batch : batches[i];
        if (!b->members) {
            run(b, NULL, true, batch);
            run(b, NULL, false, batch);
        }
        for (unsigned j = 0; j < sizeof sizes / sizeof *sizes; j++) {
            struct ring *r = make(b->members ? b->members : sizes[j]);
            run(b, r, false, batch);
            ring_free(r);
            if (b->members) break;
        }
        if (b->batch) break;
    }
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"keys", required_argument, NULL, 'k'},  {"length", required_argument, NULL, 'l'},
        {"batch", required_argument, NULL, 'b'}, {"members", required_argument, NULL, 'm'},
        {"help", no_argument, NULL, 'h'},        {NULL, 0, NULL, 0},
    };
    struct bench b = {.keys = 4000000, .length = 20};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        unsigned long n = optarg ? strtoul(optarg, NULL, 10) : 0;
        switch (c) {
        case 'k': b.keys = n; break;
        case 'l': b.length = (unsigned)n; break;
        case 'b': b.batch = (unsigned)n; break;
        case 'm': b.members = (unsigned)n; break;
        default: fputs(usage, c == 'h' ? stdout : stderr); return c == 'h' ? 0 : 2;
        }
    }
    if (!b.keys || b.length > 250 || b.batch > BATCH_MAX || b.members > MEMBERS_MAX) fail("out of range");
    fill(&b);
    measure(&b);
    fprintf(stderr, "(%llu)\n", (unsigned long long)b.sum);
    free(b.bytes);
    free(b.key);
    free(b.len);
    return 0;
}
