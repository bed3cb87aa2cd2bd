/* SPDX-License-Identifier: BSD-3-Clause
 *
 * frames - a test as one end of a link between nodes (proto/link.h), over a socket that blocks. What does not come
 * within TALK_PATIENCE_MS fails the test. Included by tests of links.
 */
#ifndef TAGCACHED_TESTS_FRAMES_H
#define TAGCACHED_TESTS_FRAMES_H

#include "proto/link.h"
#include "talk.h"

/* A frame that has come, its payload as text. */
struct frame {
    struct link_header h;
    char *p;
};

/* The next frame. */
static inline struct frame frame_next(int fd) {
    struct frame f;
    talk_take(fd, &f.h, sizeof f.h);
    f.p = malloc(f.h.bytes + 1);
    assert_non_null(f.p);
    talk_take(fd, f.p, f.h.bytes);
    f.p[f.h.bytes] = '\0';
    return f;
}

/* The next request must be this one: its kind and payload. Its seq. A RING before it is taken on the way. */
static inline uint32_t frame_asked(int fd, enum link_kind kind, const char *payload) {
    struct frame f = frame_next(fd);
    if (f.h.kind == LINK_RING && kind != LINK_RING) {
        free(f.p);
        f = frame_next(fd);
    }
    const uint32_t seq = f.h.seq;
    assert_int_equal(f.h.kind, kind);
    assert_string_equal(f.p, payload);
    free(f.p);
    return seq;
}

static inline void frame_send(int fd, uint32_t seq, unsigned kind, unsigned flags, unsigned budget_ms, const void *p,
                              size_t n) {
    const struct link_header h = {(uint32_t)n, seq, (uint8_t)kind, (uint8_t)flags, (uint16_t)budget_ms};
    talk_send(fd, (const char *)&h, sizeof h);
    talk_send(fd, p, n);
}

/* Answers a request. */
static inline void frame_answer(int fd, uint32_t seq, enum link_status status, const char *payload) {
    frame_send(fd, seq, status, 0, 0, payload, strlen(payload));
}

/* The next reply must be this. */
static inline void frame_answered(int fd, uint32_t seq, enum link_status status, unsigned more, const char *payload) {
    struct frame f = frame_next(fd);
    assert_int_equal(f.h.seq, seq);
    assert_int_equal(f.h.kind, status);
    assert_int_equal(f.h.flags, more);
    assert_string_equal(f.p, payload);
    free(f.p);
}

/* The far side closes, and says nothing more. */
static inline void frame_ended(int fd) {
    char c;
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, TALK_PATIENCE_MS), 1);
    assert_true(recv(fd, &c, 1, 0) <= 0);
    close(fd);
}

/* Nothing has come, now. */
static inline void frame_silent(int fd) {
    char c;
    assert_true(recv(fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) < 0);
}

#endif
