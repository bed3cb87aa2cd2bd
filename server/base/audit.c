/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/sync.h"

#define LINE_USUAL 4096              /* bytes of most lines */
#define LOOK_MS 1                    /* whether a full pipe has room again */
#define TELL_NS UINT64_C(1000000000) /* losses are logged at most this often */

struct audit {
    char *path, *node;
    unsigned char key[AUDIT_KEY_BYTES];
    bool has_key, required, reasons, started;
    const struct clock *clock;
    struct log *log;
    pthread_t thread;

    pthread_mutex_t lock; /* of the rest of this paragraph */
    pthread_cond_t more;
    char *queue; /* whole lines that wait to be written, of AUDIT_QUEUE_BYTES */
    size_t queued;
    uint64_t told; /* bytes ever put into the queue */
    struct audit_wait *waits, **last;
    bool reopen, ending;

    /* Of the thread alone, but for `lost`: */
    char *spare; /* is swapped for the queue */
    int fd;
    bool torn;          /* half a line is at the end of the file */
    uint64_t logged_ns; /* when a loss was logged last */
    uint64_t lost;      /* atomic */
};

/* ------------------------------------------------------------------ life */

/* A pipe that nobody reads can neither be opened nor, once it is full, be waited for without end. */
static int open_file(const char *path) {
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
}

static int read_key(struct audit *a, const char *path, char *err, size_t size) {
    char text[2 * AUDIT_KEY_BYTES + 2];
    size_t got = 0;
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        snprintf(err, size, "cannot read --audit-hash %s: %s", path, strerror(errno));
        return -EINVAL;
    }
    const size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    if (sodium_hex2bin(a->key, sizeof a->key, text, n, "\n", &got, NULL) != 0 || got != sizeof a->key) {
        snprintf(err, size, "--audit-hash %s has to hold 64 hexadecimal digits: openssl rand -hex 32", path);
        return -EINVAL;
    }
    sodium_memzero(text, sizeof text);
    a->has_key = true;
    return 0;
}

int audit_new(const struct audit_config *cfg, struct audit **out, char *err, size_t err_size) {
    struct audit *a = calloc(1, sizeof *a);
    if (a == NULL) return -ENOMEM;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->more, NULL);
    a->required = cfg->required;
    a->reasons = cfg->reasons;
    a->clock = cfg->clock;
    a->log = cfg->log;
    a->last = &a->waits;
    a->path = strdup(cfg->path);
    a->node = strdup(cfg->node);
    a->queue = malloc(AUDIT_QUEUE_BYTES);
    a->spare = malloc(AUDIT_QUEUE_BYTES);
    a->fd = open_file(cfg->path);
    int r = a->path == NULL || a->node == NULL || a->queue == NULL || a->spare == NULL ? -ENOMEM : 0;
    if (r == 0 && a->fd < 0) {
        snprintf(err, err_size, "cannot write to --audit %s: %s", cfg->path, strerror(errno));
        r = -EINVAL;
    }
    if (r == 0 && cfg->key_path != NULL) r = read_key(a, cfg->key_path, err, err_size);
    if (r != 0) {
        audit_free(a);
        return r;
    }
    *out = a;
    return 0;
}

void audit_name(struct audit *a, const char *node) {
    char *copy = strdup(node);
    if (copy == NULL) return;
    free(a->node);
    a->node = copy;
}

bool audit_required(const struct audit *a) {
    return a != NULL && a->required;
}

bool audit_wants_reason(const struct audit *a) {
    return a != NULL && a->reasons;
}

uint64_t audit_lost(const struct audit *a) {
    return sync_load(&a->lost);
}

/* ------------------------------------------------------------------ telling */

static int64_t wall_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Queues the line. False: it is lost. The lock is held. */
static bool enqueue(struct audit *a, const char *line, size_t n) {
    if (line == NULL || n > AUDIT_QUEUE_BYTES - a->queued) {
        (void)sync_add_acqrel(&a->lost, 1);
        return false;
    }
    memcpy(a->queue + a->queued, line, n);
    a->queued += n;
    a->told += n;
    return true;
}

/* Queues a line, or (NULL) counts it as lost. */
static void tell_line(struct audit *a, const char *line, size_t n, struct audit_wait *w) {
    pthread_mutex_lock(&a->lock);
    const bool queued = enqueue(a, line, n);
    if (queued && w != NULL) {
        w->upto = a->told;
        w->next = NULL;
        *a->last = w;
        a->last = &w->next;
    }
    pthread_cond_signal(&a->more); /* a loss is told by the thread, too */
    pthread_mutex_unlock(&a->lock);
    if (!queued && w != NULL) w->done(w, false);
}

static void tell(struct audit *a, const struct audit_event *e, struct audit_wait *w) {
    char line[LINE_USUAL];
    const unsigned char *key = a->has_key ? a->key : NULL;
    const int64_t now = wall_ms();
    const size_t n = audit_line_write(e, now, a->node, key, line, sizeof line);
    if (n <= sizeof line) {
        tell_line(a, line, n, w);
        return;
    }
    char *longer = malloc(n);
    if (longer != NULL) audit_line_write(e, now, a->node, key, longer, n);
    tell_line(a, longer, n, w);
    free(longer);
}

void audit_put(struct audit *a, const struct audit_event *e) {
    if (a != NULL) tell(a, e, NULL);
}

void audit_put_swept(struct audit *a, const struct audit_event *e, bool erased) {
    struct audit_event swept = *e;
    swept.stage = "swept";
    if (erased) swept.erased_ms = wall_ms();
    audit_put(a, &swept);
}

void audit_change(struct audit *a, const char *event, const char *detail, const char *addr, const char *refusal) {
    const struct audit_event e = {
        .event = event,
        .stage = refusal == NULL ? "applied" : "refused",
        .ttl_s = -1,
        .kind = addr == NULL ? "node" : "text",
        .addr = addr,
        .ms = -1,
        .items = -1,
        .bytes = -1,
        .detail = detail,
        .error = refusal,
    };
    audit_put(a, &e);
}

void audit_put_waiting(struct audit *a, const struct audit_event *e, struct audit_wait *w) {
    tell(a, e, w);
}

void audit_reopen(struct audit *a) {
    if (a == NULL) return;
    pthread_mutex_lock(&a->lock);
    a->reopen = true;
    pthread_cond_signal(&a->more);
    pthread_mutex_unlock(&a->lock);
}

/* ------------------------------------------------------------------ the thread */

static void log_loss(struct audit *a, const char *why) {
    const uint64_t now = clock_boot_ns(a->clock);
    if (a->logged_ns != 0 && now - a->logged_ns < TELL_NS) return;
    a->logged_ns = now;
    log_event(a->log, LOG_ALWAYS, "audit_lost", "file=%s lines=%llu reason=\"%s\"", a->path,
              (unsigned long long)sync_load(&a->lost), why);
}

/* Writes what it can; a pipe's reader may take AUDIT_PATIENCE_MS each time to make room. How many bytes; errno says why
 * not all. */
static size_t write_some(const struct audit *a, const char *p, size_t n) {
    const unsigned patience_ms = FAULT_POINT("audit.no_patience") ? 0 : AUDIT_PATIENCE_MS;
    size_t done = 0;
    unsigned waited_ms = 0;
    while (done < n) {
        const ssize_t r = write(a->fd, p + done, n - done);
        if (r > 0) {
            done += (size_t)r;
            waited_ms = 0;
            continue;
        }
        if (r < 0 && errno == EINTR) continue;
        if (r == 0 || errno != EAGAIN || waited_ms >= patience_ms) break;
        nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000}, NULL);
        waited_ms += LOOK_MS;
    }
    return done;
}

/* Appends; a line that follows half a line begins a new one. How many bytes got into the file. */
static size_t append(struct audit *a, const char *p, size_t n) {
    if (a->torn && write_some(a, "\n", 1) != 1) return 0;
    a->torn = false;
    const size_t done = write_some(a, p, n);
    a->torn = done > 0 && p[done - 1] != '\n';
    return done;
}

static unsigned count_lines(const char *p, size_t n) {
    unsigned lines = 0;
    for (const char *end = p + n; p < end && (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++) lines++;
    return lines;
}

/* Writes p[0..n), which ends at byte `end` of all that was ever told, and tells those who wait for it. */
static void write_out(struct audit *a, const char *p, size_t n, uint64_t end, struct audit_wait *waits) {
    const size_t done = append(a, p, n);
    if (done < n) {
        const char *why = errno == EAGAIN ? "nobody reads the pipe" : strerror(errno);
        (void)sync_add_acqrel(&a->lost, count_lines(p + done, n - done));
        log_loss(a, why);
    }
    for (struct audit_wait *w = waits, *next; w != NULL; w = next) {
        next = w->next;
        w->done(w, w->upto <= end - (n - done));
    }
}

static void open_anew(struct audit *a) {
    const int fd = open_file(a->path);
    if (fd < 0) {
        log_loss(a, strerror(errno)); /* it goes on with the old one */
        return;
    }
    close(a->fd);
    a->fd = fd;
    a->torn = false;
}

/* Takes what is queued, swapping in an empty buffer, and writes it. The lock is held, and let go meanwhile. */
static void write_queued(struct audit *a) {
    char *batch = a->queue;
    const size_t n = a->queued;
    const uint64_t end = a->told;
    struct audit_wait *waits = a->waits;
    const bool reopen = a->reopen;
    a->queue = a->spare;
    a->queued = 0;
    a->waits = NULL;
    a->last = &a->waits;
    a->reopen = false;
    pthread_mutex_unlock(&a->lock);
    if (reopen) open_anew(a);
    write_out(a, batch, n, end, waits);
    a->spare = batch;
    pthread_mutex_lock(&a->lock);
}

static void *run(void *arg) {
    struct audit *a = arg;
    uint64_t lost = 0;
    pthread_mutex_lock(&a->lock);
    while (!(a->ending && a->queued == 0)) {
        if (a->queued == 0 && !a->reopen && sync_load(&a->lost) == lost) {
            pthread_cond_wait(&a->more, &a->lock);
            continue;
        }
        if (sync_load(&a->lost) != lost) log_loss(a, "the disk is slower than the events");
        lost = sync_load(&a->lost);
        write_queued(a);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

int audit_start(struct audit *a) {
    const int r = pthread_create(&a->thread, NULL, run, a);
    if (r != 0) return -r;
    pthread_setname_np(a->thread, "tc-audit");
    a->started = true;
    return 0;
}

void audit_stop(struct audit *a) {
    if (a == NULL || !a->started) return;
    pthread_mutex_lock(&a->lock);
    a->ending = true;
    pthread_cond_signal(&a->more);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->thread, NULL);
    a->started = false;
}

void audit_free(struct audit *a) {
    if (a == NULL) return;
    audit_stop(a);
    if (a->fd >= 0) {
        write_out(a, a->queue, a->queued, a->told, a->waits);
        close(a->fd);
    }
    sodium_memzero(a->key, sizeof a->key);
    pthread_cond_destroy(&a->more);
    pthread_mutex_destroy(&a->lock);
    free(a->queue);
    free(a->spare);
    free(a->path);
    free(a->node);
    free(a);
}
