/* SPDX-License-Identifier: BSD-3-Clause
 *
 * client - one connection of a transcript to the server: bytes that leave and bytes that are waited for. One thread. */
#ifndef TAGCACHED_TESTS_WIRE_CLIENT_H
#define TAGCACHED_TESTS_WIRE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/wire/script.h"

#define CLIENT_PATIENCE_MS 10000 /* how long something is waited for */

struct client {
    char name[24];
    int fd;
    bool open, ended; /* ended: the server closed it */
    bool binary;      /* it began with a packet */
    bool talks;       /* something was sent */
    struct bytes in;  /* what has arrived and was not compared yet */
};

/* Milliseconds of the monotonic clock. */
uint64_t client_now_ms(void);
/* Takes what has arrived, without waiting. */
void client_drain(struct client *l);
/* Waits until something can be read, or written too if asked; false when it is `until`, of client_now_ms. */
bool client_poll(struct client *l, bool writing, uint64_t until);
/* Waits until the server has taken what was sent, at most 200 ms: exact on a UNIX socket, a hint elsewhere. */
void client_settle(struct client *l);
/* Sends. 0, or -1 when the server takes no more for CLIENT_PATIENCE_MS. Who has closed the connection takes nothing. */
int client_send(struct client *l, const char *p, size_t n);
/* The same byte by byte at both ends of a long run, in thousands between; each piece leaves when the server has taken
 * the one before. */
int client_send_split(struct client *l, const char *p, size_t n);
/* Waits until n bytes are there; false when they do not come. */
bool client_await(struct client *l, size_t n);
/* Waits for a line; its length with the ending, or 0. */
size_t client_await_line(struct client *l);
/* Waits for a packet; its length, or 0. */
size_t client_await_packet(struct client *l);

#endif
