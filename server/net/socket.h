/* SPDX-License-Identifier: BSD-3-Clause
 *
 * socket - the system calls of every request, made directly. They return -errno.
 *
 * The C library's are points where a thread may be cancelled, 50 instructions each, and its syscall() takes 20.
 */
#ifndef TAGCACHED_NET_SOCKET_H
#define TAGCACHED_NET_SOCKET_H

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/check.h"

static inline ssize_t net_call(long number, int fd, const void *p, size_t n, int flags) {
#if defined(__x86_64__) && defined(__LP64__)
    long result = number;
    register long four __asm__("r10") = flags;
    register long five __asm__("r8") = 0;
    register long six __asm__("r9") = 0;
    __asm__ __volatile__("syscall"
                         : "+a"(result)
                         : "D"((long)fd), "S"(p), "d"(n), "r"(four), "r"(five), "r"(six)
                         : "rcx", "r11", "memory");
    return result;
#else
    long result = syscall(number, fd, p, n, flags, NULL, 0);
    return likely(result >= 0) ? result : -errno;
#endif
}

/* Receives at most n bytes. Bytes, 0 at the end, or -errno. */
static inline ssize_t net_recv(int fd, void *p, size_t n) {
    return net_call(SYS_recvfrom, fd, p, n, 0);
}
/* Whether there is a byte to receive, which stays where it is: 1, 0 at the end, or -errno (-EAGAIN: none now). */
static inline ssize_t net_peek(int fd) {
    char c = 0; /* read by nobody; but a compiler that does not optimize says that it might be */
    return net_call(SYS_recvfrom, fd, &c, 1, MSG_PEEK);
}
/* Sends. Bytes taken, or -errno. */
static inline ssize_t net_send(int fd, const void *p, size_t n) {
    return net_call(SYS_sendto, fd, p, n, MSG_NOSIGNAL);
}
static inline ssize_t net_sendmsg(int fd, const struct msghdr *m) {
    return net_call(SYS_sendmsg, fd, m, MSG_NOSIGNAL, 0);
}

#endif
