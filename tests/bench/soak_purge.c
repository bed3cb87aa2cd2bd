/* SPDX-License-Identifier: BSD-3-Clause
 *
 * soak_purge - purges, one at a time: hard and soft, of one tag, of two together, rarely of everything. What a purge
 * asked for counts for the readers from the moment it was answered, with the time it was sent.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "proc.h"
#include "soak.h"

#define PENDING 4096    /* soft purges whose deadline is to come */
#define EVERYTHING_S 20 /* from one purge of everything to the next, at least */

struct soft {
    unsigned tag;
    uint64_t sent_ns, gone_ns;
};

struct purger {
    struct soak *s;
    int fd;
    uint64_t rng;
    struct soft pending[PENDING];
    unsigned head, tail;
    uint64_t everything_ns; /* when everything was purged last */
};

/* Sends a line; true if the answer is HD. */
static bool ask(struct purger *p, const char *line) {
    char reply[256];
    size_t got = 0, n = strlen(line);
    if (send(p->fd, line, n, MSG_NOSIGNAL) != (ssize_t)n) soak_die("the purging connection broke");
    while (got < sizeof reply && (!got || reply[got - 1] != '\n')) {
        ssize_t r = recv(p->fd, reply + got, sizeof reply - got, 0);
        if (r <= 0) soak_die("the purging connection broke");
        got += (size_t)r;
    }
    if (got >= 2 && !memcmp(reply, "HD", 2)) return true;
    if (p->s->purges.refused++ < 5) fprintf(stderr, "purge refused: %.*s", (int)got, reply);
    return false;
}

static void publish_due(struct purger *p) {
    uint64_t now = proc_now_ns();
    while (p->tail != p->head && p->pending[p->tail % PENDING].gone_ns < now) {
        struct soft *f = &p->pending[p->tail++ % PENDING];
        atomic_store(&p->s->purges.soft[f->tag], f->sent_ns);
    }
}

static void purge_one(struct purger *p) {
    struct soak_purges *all = &p->s->purges;
    unsigned dice = (unsigned)(rng_next(&p->rng) % 1000), tag = (unsigned)(rng_next(&p->rng) % SOAK_TAGS);
    char line[64];
    uint64_t sent = proc_now_ns();
    bool soft = dice >= 500 && dice < 800 && p->head - p->tail < PENDING;
    bool everything = dice == 999 && sent - p->everything_ns >= EVERYTHING_S * 1000000000ull;
    if (soft)
        snprintf(line, sizeof line, "mp t%u I T%d\r\n", tag, SOAK_SOFT_TTL_S);
    else if (everything)
        snprintf(line, sizeof line, "mp *\r\n");
    else if (dice >= 800)
        snprintf(line, sizeof line, "mp t%u+t%u\r\n", tag & ~1u, tag | 1u);
    else
        snprintf(line, sizeof line, "mp t%u\r\n", tag);
    if (!ask(p, line)) return;
    uint64_t now = proc_now_ns();
    hist_add(&all->latency, now - sent);
    all->done++;
    if (soft) {
        uint64_t gone = now + SOAK_SOFT_TTL_S * 1000000000ull + SOAK_SLACK_NS;
        p->pending[p->head++ % PENDING] = (struct soft){tag, sent, gone};
    } else if (everything) {
        atomic_store(&all->all, sent);
        p->everything_ns = sent;
    } else if (dice >= 800)
        atomic_store(&all->both[tag / 2], sent);
    else
        atomic_store(&all->hard[tag], sent);
}

void *soak_purge(void *soak) {
    static _Thread_local struct purger p;
    struct soak *s = soak;
    p = (struct purger){.s = s, .fd = soak_connect(s), .rng = rng_mix(s->seed + 4711)};
    uint64_t start = proc_now_ns();
    for (uint64_t i = 0; !s->stop; i++) {
        uint64_t at = start + (uint64_t)((double)i * 1e9 / s->purge_rate);
        struct timespec until = {.tv_sec = (time_t)(at / 1000000000), .tv_nsec = (long)(at % 1000000000)};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {}
        publish_due(&p);
        purge_one(&p);
    }
    close(p.fd);
    return NULL;
}
