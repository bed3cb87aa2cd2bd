/* SPDX-License-Identifier: BSD-3-Clause
 *
 * statedir - the directory in which a node keeps who it is and what it has agreed to (--state-dir).
 *
 * It holds `lock` (held by the one process that uses the directory), `cluster` (one record: identity, boot number,
 * configuration, acceptor; its bytes are the configuration's business) and `admin.sock` (the node makes it). A record
 * is written to a temporary file, synced, renamed, and the directory synced, so that a crash leaves the old record or
 * the new one. Writing is slow, so a thread of its own does it (`tc-disk`).
 *
 * Threads: all functions on the thread that opened it, but `done`, which runs on tc-disk.
 */
#ifndef TAGCACHED_CLUSTER_STATEDIR_H
#define TAGCACHED_CLUSTER_STATEDIR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define STATEDIR_ADMIN "admin.sock"

struct statedir;

/* Makes the directory (mode 0700) if it is not there. 0, or -errno with a sentence in err. */
int statedir_make(const char *path, char *err, size_t err_size);
/* Hands the directory, and what a node keeps in it, to a user: the process is about to become that one. Links are not
 * followed, and files with a second name are left alone. 0, or -errno with a sentence in err. */
int statedir_give(const char *path, uid_t user, gid_t group, char *err, size_t err_size);
/* Opens a directory, making it if it is not there, and locks it. 0, or -errno with a sentence in err:
 * -EBUSY when another process has it. */
int statedir_open(const char *path, struct statedir **out, char *err, size_t err_size);
/* Waits for the write under way, then unlocks and frees. NULL: nothing. */
void statedir_close(struct statedir *d);
const char *statedir_path(const struct statedir *d);

/* Reads the record: *bytes is the caller's to free, NULL with *n 0 when there is none. 0, or -errno; -EFBIG above `max`
 * bytes. */
int statedir_read(const struct statedir *d, size_t max, void **bytes, size_t *n);
/* Writes the record and waits until it is on the disk. For the start, before statedir_start. 0 or -errno. */
int statedir_write_now(struct statedir *d, const void *bytes, size_t n);

/* Starts tc-disk. `done` is told, on it, that the record of this token is on the disk (error 0), or why not (-errno).
 * 0 or -errno. */
int statedir_start(struct statedir *d, void (*done)(void *arg, uint64_t token, int error), void *arg);
/* Writes a record soon; the bytes, from malloc, are the directory's from here on. Tokens rise. A record that waits is
 * replaced by a newer one, whose end then is the end of both: done(token) stands for all tokens up to it. Never
 * blocks. */
void statedir_write(struct statedir *d, void *bytes, size_t n, uint64_t token);

#endif
