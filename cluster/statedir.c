/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/statedir.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD "cluster"
#define RECORD_NEW "cluster.new"
#define LOCK "lock"

struct record {
    void *bytes; /* NULL: none */
    size_t n;
    uint64_t token;
};

struct statedir {
    char *path;
    int fd;      /* of the directory */
    int lock_fd; /* holds the lock */
    bool started;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    struct record next; /* waits to be written */
    bool end;
    void (*done)(void *arg, uint64_t token, int error);
    void *arg;
};

static int fail(int error, const char *path, const char *what, char *err, size_t err_size) {
    snprintf(err, err_size, "--state-dir %s: %s: %s", path, what, strerror(error));
    return -error;
}

static int take_lock(struct statedir *d, char *err, size_t err_size) {
    d->lock_fd = openat(d->fd, LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (d->lock_fd < 0) return fail(errno, d->path, "cannot make the lock file", err, err_size);
    if (flock(d->lock_fd, LOCK_EX | LOCK_NB) == 0) return 0;
    if (errno != EWOULDBLOCK) return fail(errno, d->path, "cannot lock it", err, err_size);
    snprintf(err, err_size, "--state-dir %s is in use by another process: give each node a directory of its own",
             d->path);
    return -EBUSY;
}

int statedir_make(const char *path, char *err, size_t err_size) {
    if (mkdir(path, 0700) == 0 || errno == EEXIST) return 0;
    return fail(errno, path, "cannot make it", err, err_size);
}

static int give(int dir, const char *name, uid_t user, gid_t group) {
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0) return errno == ENOENT ? 0 : -errno;
    if ((!S_ISREG(st.st_mode) && !S_ISSOCK(st.st_mode)) || st.st_nlink != 1) return 0;
    return fchownat(dir, name, user, group, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : -errno;
}

int statedir_give(const char *path, uid_t user, gid_t group, char *err, size_t err_size) {
    static const char *const names[] = {RECORD, LOCK, STATEDIR_ADMIN};
    const int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) return fail(errno, path, "cannot open it", err, err_size);
    int r = fchown(dir, user, group) == 0 ? 0 : -errno;
    for (unsigned i = 0; r == 0 && i < sizeof names / sizeof *names; i++) r = give(dir, names[i], user, group);
    close(dir);
    return r == 0 ? 0 : fail(-r, path, "cannot hand it to the user of -u", err, err_size);
}

int statedir_open(const char *path, struct statedir **out, char *err, size_t err_size) {
    struct statedir *d = calloc(1, sizeof *d);
    if (d == NULL || (d->path = strdup(path)) == NULL) {
        free(d);
        return fail(ENOMEM, path, "cannot open it", err, err_size);
    }
    d->fd = d->lock_fd = -1;
    pthread_mutex_init(&d->mutex, NULL);
    pthread_cond_init(&d->changed, NULL);
    int r = statedir_make(path, err, err_size);
    if (r == 0 && (d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        r = fail(errno, path, "cannot open it", err, err_size);
    if (r == 0) r = take_lock(d, err, err_size);
    if (r == 0)
        *out = d;
    else
        statedir_close(d);
    return r;
}

static void stop(struct statedir *d) {
    if (!d->started) return;
    pthread_mutex_lock(&d->mutex);
    d->end = true;
    pthread_cond_signal(&d->changed);
    pthread_mutex_unlock(&d->mutex);
    pthread_join(d->thread, NULL);
    d->started = false;
}

void statedir_close(struct statedir *d) {
    if (d == NULL) return;
    stop(d);
    if (d->lock_fd >= 0) close(d->lock_fd);
    if (d->fd >= 0) close(d->fd);
    pthread_cond_destroy(&d->changed);
    pthread_mutex_destroy(&d->mutex);
    free(d->next.bytes);
    free(d->path);
    free(d);
}

const char *statedir_path(const struct statedir *d) {
    return d->path;
}

/* Reads up to n bytes, all there are. The count, or -errno. */
static ssize_t read_all(int fd, char *p, size_t n) {
    size_t done = 0;
    while (done < n) {
        const ssize_t r = read(fd, p + done, n - done);
        if (r == 0) break;
        if (r < 0 && errno != EINTR) return -errno;
        if (r > 0) done += (size_t)r;
    }
    return (ssize_t)done;
}

static int write_all(int fd, const char *p, size_t n) {
    while (n > 0) {
        const ssize_t r = write(fd, p, n);
        if (r < 0 && errno != EINTR) return -errno;
        if (r > 0) {
            p += r;
            n -= (size_t)r;
        }
    }
    return 0;
}

int statedir_read(const struct statedir *d, size_t max, void **bytes, size_t *n) {
    struct stat st;
    *bytes = NULL;
    *n = 0;
    const int fd = openat(d->fd, RECORD, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT ? 0 : -errno;
    int r = fstat(fd, &st) != 0 ? -errno : 0;
    if (r == 0 && (uint64_t)st.st_size > max) r = -EFBIG;
    char *p = NULL;
    if (r == 0 && (p = malloc((size_t)st.st_size + 1)) == NULL) r = -ENOMEM;
    if (r == 0) {
        const ssize_t got = read_all(fd, p, (size_t)st.st_size);
        if (got < 0)
            r = (int)got;
        else
            *n = (size_t)got;
    }
    close(fd);
    if (r == 0)
        *bytes = p;
    else
        free(p);
    return r;
}

int statedir_write_now(struct statedir *d, const void *bytes, size_t n) {
    const int fd = openat(d->fd, RECORD_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return -errno;
    int r = write_all(fd, bytes, n);
    if (r == 0 && fsync(fd) != 0) r = -errno;
    if (close(fd) != 0 && r == 0) r = -errno;
    if (r == 0 && renameat(d->fd, RECORD_NEW, d->fd, RECORD) != 0) r = -errno;
    if (r == 0 && fsync(d->fd) != 0) r = -errno;
    if (r != 0) unlinkat(d->fd, RECORD_NEW, 0);
    return r;
}

static void *run(void *arg) {
    struct statedir *d = arg;
    pthread_mutex_lock(&d->mutex);
    while (!d->end || d->next.bytes != NULL) {
        if (d->next.bytes == NULL) {
            pthread_cond_wait(&d->changed, &d->mutex);
            continue;
        }
        const struct record r = d->next;
        d->next = (struct record){0};
        pthread_mutex_unlock(&d->mutex);
        const int error = statedir_write_now(d, r.bytes, r.n);
        free(r.bytes);
        d->done(d->arg, r.token, error);
        pthread_mutex_lock(&d->mutex);
    }
    pthread_mutex_unlock(&d->mutex);
    return NULL;
}

int statedir_start(struct statedir *d, void (*done)(void *arg, uint64_t token, int error), void *arg) {
    d->done = done;
    d->arg = arg;
    const int r = pthread_create(&d->thread, NULL, run, d);
    if (r != 0) return -r;
    pthread_setname_np(d->thread, "tc-disk");
    d->started = true;
    return 0;
}

void statedir_write(struct statedir *d, void *bytes, size_t n, uint64_t token) {
    pthread_mutex_lock(&d->mutex);
    free(d->next.bytes);
    d->next = (struct record){bytes, n, token};
    pthread_cond_signal(&d->changed);
    pthread_mutex_unlock(&d->mutex);
}
