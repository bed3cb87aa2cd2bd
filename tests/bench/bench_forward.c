/* SPDX-License-Identifier: BSD-3-Clause
 *
 * bench_forward - what a request costs on a node that asks another one, for counting instructions:
 *
 *     valgrind --tool=callgrind --separate-threads=yes bench_forward alone|here|forward get|set|mg REQUESTS
 *
 * Two nodes of one worker each, in one process; 50 connections, 16 requests a write. alone: there is no cluster. here:
 * a ring of both, all keys are the asked node's. forward: all are the other one's. The workers' threads are the ones
 * with the most instructions; run twice with different REQUESTS and take the difference. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "cmd/cmd.h"
#include "net/net.h"
#include "tests/lib/nodes.h"

#define CONNS 50
#define DEPTH 16
#define KEYS 800 /* of each node */
#define VALUE 100

static char keys[KEYS][32];

/* Keys that the ring gives to member `owner`, of 20 bytes each. */
static void choose_keys(const struct ring *ring, unsigned owner) {
    unsigned n = 0;
    for (unsigned i = 0; n < KEYS; i++) {
        char key[128] = "";
        const char *p = key;
        uint16_t got;
        const uint32_t len = (uint32_t)snprintf(key, sizeof key, "key:%016u", i);
        ring_owners(ring, &p, &len, 1, &got, NULL);
        if (got == owner) memcpy(keys[n++], key, len + 1);
    }
}

static size_t request(char *out, const char *op, const char *key) {
    if (strcmp(op, "get") == 0) return (size_t)sprintf(out, "get %s\r\n", key);
    if (strcmp(op, "mg") == 0) return (size_t)sprintf(out, "mg %s v\r\n", key);
    return (size_t)sprintf(out, "set %s 0 0 %d\r\n%0*d\r\n", key, VALUE, VALUE, 7);
}

static size_t reply_bytes(const char *op) {
    const size_t get = (size_t)snprintf(NULL, 0, "VALUE %s 0 %d\r\n%0*d\r\nEND\r\n", keys[0], VALUE, VALUE, 7);
    if (strcmp(op, "get") == 0) return get;
    return strcmp(op, "mg") == 0 ? (size_t)snprintf(NULL, 0, "VA %d\r\n", VALUE) + VALUE + 2 : strlen("STORED\r\n");
}

static void run(const int fd[CONNS], const char *op, unsigned long requests) {
    static char out[DEPTH * 256], in[DEPTH * 512];
    const size_t want = reply_bytes(op) * DEPTH;
    unsigned k = 0;
    for (unsigned long done = 0; done < requests; done += CONNS * DEPTH) {
        for (unsigned c = 0; c < CONNS; c++) {
            size_t n = 0;
            for (unsigned i = 0; i < DEPTH; i++) n += request(out + n, op, keys[k++ % KEYS]);
            CHECK(send(fd[c], out, n, 0) == (ssize_t)n);
        }
        for (unsigned c = 0; c < CONNS; c++) CHECK(recv(fd[c], in, want, MSG_WAITALL) == (ssize_t)want);
    }
}

int main(int argc, char **argv) {
    char dir[] = "/tmp/bench-forward-XXXXXX";
    int fd[CONNS];
    if (argc != 4 || mkdtemp(dir) == NULL) {
        fputs("usage: bench_forward alone|here|forward get|set|mg REQUESTS\n", stderr);
        return 2;
    }
    struct nodes *c = nodes_new(2);
    CHECK(c != NULL && nodes_start(c, 0, dir, "-t 1") == 0 && nodes_start(c, 1, dir, "-t 1") == 0);
    const bool alone = strcmp(argv[1], "alone") == 0, forward = strcmp(argv[1], "forward") == 0;
    struct ring_member m[2];
    struct ring *ring;
    CHECK(ring_member_read("127.0.0.1:11211", &m[0]) && ring_member_read("127.0.0.1:11212", &m[1]));
    CHECK(ring_new(1, m, 2, &ring) == 0);
    choose_keys(ring, forward ? 1 : 0);
    ring_free(ring);
    for (unsigned i = 0; !alone && i < 2; i++) nodes_view_ring(c, i, 1, 3, 11211);
    for (unsigned i = 0; i < CONNS; i++) fd[i] = nodes_connect(c, 0);
    run(fd, "set", 2 * KEYS);
    run(fd, argv[2], strtoul(argv[3], NULL, 10));
    for (unsigned i = 0; i < 2; i++)
        printf("node %u: forwards sent %llu received %llu\n", i,
               (unsigned long long)cmd_metric(node_cmd(c->node[i].node), CMD_METRIC_forwards_sent),
               (unsigned long long)cmd_metric(node_cmd(c->node[i].node), CMD_METRIC_forwards_received));
    for (unsigned i = 0; i < CONNS; i++) close(fd[i]);
    nodes_free(c);
    rmdir(dir);
    return 0;
}
