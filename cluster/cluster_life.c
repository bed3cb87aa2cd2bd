/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/cluster.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "cluster/cluster_state.h"

/* ------------------------------------------------------------------ what all files use */

uint64_t cluster_now(const struct cluster *c) {
    return clock_boot_ns(c->cfg.clock);
}

void cluster_touch(struct cluster *c) {
    if (c->round_wanted || c->round == NULL) return;
    c->round_wanted = true;
    event_active(c->round, EV_TIMEOUT, 0);
}

static struct cluster_logged *logged_of(struct cluster *c, const char *event) {
    unsigned i = 0;
    while (i < c->nlogged && strcmp(c->logged[i].event, event) != 0) i++;
    CHECK(i < CLUSTER_EVENTS_MAX);
    if (i == c->nlogged) c->logged[c->nlogged++] = (struct cluster_logged){.event = event};
    return &c->logged[i];
}

bool cluster_may_log(struct cluster *c, const char *event) {
    struct cluster_logged *l = logged_of(c, event);
    const bool may = l->ns == 0 || cluster_now(c) - l->ns >= CLUSTER_QUIET_MS * UINT64_C(1000000);
    l->unlogged += !may;
    return may;
}

void cluster_log(struct cluster *c, const char *event, const char *fmt, ...) {
    struct cluster_logged *l = logged_of(c, event);
    char text[1024], unlogged[32] = "";
    va_list ap;
    if (!cluster_may_log(c, event)) return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (l->unlogged > 0) snprintf(unlogged, sizeof unlogged, "unlogged=%u ", l->unlogged);
    log_event(c->cfg.log, LOG_ALWAYS, event, "%s%s", unlogged, text);
    l->ns = cluster_now(c);
    l->unlogged = 0;
}

void cluster_post(struct cluster *c, struct cluster_task *t, void (*run)(struct cluster *c, struct cluster_task *t)) {
    t->run = run;
    sync_stack_push(&c->tasks, &t->entry);
    loop_wake(&c->waker);
}

/* ------------------------------------------------------------------ the loop */

static uint64_t sooner(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* When something is due next. */
static uint64_t next_ns(const struct cluster *c) {
    uint64_t next = sooner(swim_next_ns(c->swim), config_next_ns(c->config));
    next = sooner(next, purging_next_ns(c->purging));
    next = sooner(next, cluster_purges_next_ns(c));
    next = sooner(next, cluster_lease_next_ns(c));
    next = sooner(next, cluster_links_next_ns(c));
    next = sooner(next, cluster_relay_next_ns(c));
    if (c->flush_at_ns != 0) next = sooner(next, c->flush_at_ns);
    if (c->leave_until_ns != 0) next = sooner(next, c->leave_until_ns);
    return sooner(next, c->second_ns);
}

static void set_timer(struct cluster *c) {
    const uint64_t now = cluster_now(c), next = next_ns(c), wait = next > now ? next - now : 0;
    const struct timeval tv = {(time_t)(wait / CLUSTER_SECOND_NS), (suseconds_t)(wait % CLUSTER_SECOND_NS / 1000 + 1)};
    evtimer_add(c->timer, &tv);
}

/* Gives every machine the time that it is waiting for. */
static void on_timer(evutil_socket_t fd, short what, void *arg) {
    struct cluster *c = arg;
    (void)fd;
    (void)what;
    const uint64_t now = cluster_now(c);
    if (swim_next_ns(c->swim) <= now) cluster_members_input(c, &(struct swim_in){.kind = SWIM_IN_TIME});
    if (config_next_ns(c->config) <= now) cluster_agree_input(c, &(struct config_in){.kind = CONFIG_IN_TIME});
    cluster_purges_time(c, now);
    cluster_links_time(c, now);
    cluster_relay_time(c, now);
    if (c->leave_until_ns != 0 && c->leave_until_ns <= now) event_base_loopbreak(c->base);
    if (c->second_ns <= now) {
        c->second_ns = now + CLUSTER_SECOND_NS;
        cluster_agree_second(c);
        cluster_keys_second(c);
        cluster_ahead_second(c);
    }
    cluster_touch(c);
}

/* Makes all machines anew, because the configuration has told this process to go on as another node. A batch of purges
 * that is being applied is the old machine's: it has to be over. */
static void reset(struct cluster *c) {
    char err[256] = "no memory";
    c->reset_wanted = false;
    if (c->drop_wanted) c->cfg.up.floor(c->cfg.up.arg, true);
    c->drop_wanted = false;
    cluster_purges_end(c);
    cluster_cover_forget(c);
    cluster_handoff_none(c, 0);
    cluster_links_free(c);
    swim_free(c->swim);
    purging_free(c->purging);
    c->swim = NULL;
    c->purging = NULL;
    if (cluster_links_new(c, err, sizeof err) == 0 && cluster_members_new(c) == 0 && cluster_purges_new(c) == 0) {
        cluster_agree_input(c, &(struct config_in){.kind = CONFIG_IN_RESET});
        return;
    }
    cluster_log(c, "cluster_lost", "reason=\"%s\"", err);
    event_base_loopbreak(c->base);
}

/* The end of a round in which something happened. */
static void on_round(evutil_socket_t fd, short what, void *arg) {
    struct cluster *c = arg;
    (void)fd;
    (void)what;
    c->round_wanted = false;
    cluster_handoff_tell(c);
    if (c->newer_wanted) {
        c->newer_wanted = false;
        cluster_agree_input(c, &c->newer);
    }
    if (c->reset_wanted && c->batch == NULL) reset(c);
    purging_flush(c->purging, cluster_now(c));
    cluster_cover_publish(c);
    cluster_lease_publish(c);
    cluster_agree_own(c);
    cluster_members_meta(c);
    cluster_answers_publish(c);
    set_timer(c);
}

/* What tc-disk has written since it was last looked. */
static void look_at_disk(struct cluster *c) {
    const uint64_t written = sync_load_acq(&c->written), unwritten = sync_load_acq(&c->unwritten);
    const bool failing = unwritten > written;
    if (written != 0) cluster_agree_input(c, &(struct config_in){.kind = CONFIG_IN_WRITTEN, .number = written});
    if (failing) cluster_agree_input(c, &(struct config_in){.kind = CONFIG_IN_UNWRITTEN, .number = unwritten});
    if (failing && !c->disk_failing)
        cluster_log(c, "state_dir_failed",
                    "path=\"%s\" error=\"%s\" reason=\"this node cannot vote until it can write there; it tries again "
                    "each second\"",
                    c->cfg.state_dir, strerror(-sync_load(&c->disk_error)));
    if (!failing && c->disk_failing) cluster_log(c, "state_dir_written", "path=\"%s\"", c->cfg.state_dir);
    c->disk_failing = failing;
}

/* The thread is to end: first the other members are told, so that they need not find out. The loop ends when they are,
 * or when that takes too long. */
static void leave(struct cluster *c) {
    if (c->leave_until_ns != 0) return;
    c->leave_until_ns = cluster_now(c) + CLUSTER_LEAVE_MS * UINT64_C(1000000);
    cluster_members_input(c, &(struct swim_in){.kind = SWIM_IN_LEAVE});
}

static void run_tasks(struct cluster *c) {
    for (struct sync_stack_entry *e = sync_stack_take_all(&c->tasks), *next; e != NULL; e = next) {
        next = sync_stack_next(e);
        struct cluster_task *t = (struct cluster_task *)e;
        t->run(c, t);
    }
}

/* Answers all that was asked and is not answered: there will be no answer. */
static void answer_all(struct cluster *c) {
    run_tasks(c);
    cluster_relay_end(c);
    cluster_purges_end(c);
}

static void on_wake(void *arg) {
    struct cluster *c = arg;
    if (sync_load_acq(&c->ending) != 0) leave(c);
    if (c->disk != NULL) look_at_disk(c);
    run_tasks(c);
    cluster_touch(c);
}

static void on_disk(void *arg, uint64_t token, int error) {
    struct cluster *c = arg;
    if (error != 0) {
        sync_store(&c->disk_error, (int32_t)error);
        sync_store_rel(&c->unwritten, token);
    } else {
        sync_store_rel(&c->written, token);
    }
    loop_wake(&c->waker);
}

static void *run(void *arg) {
    struct cluster *c = arg;
    event_base_loop(c->base, EVLOOP_NO_EXIT_ON_EMPTY);
    answer_all(c);
    return NULL;
}

/* ------------------------------------------------------------------ life */

static int open_keyring(struct cluster *c, char *err, size_t err_size) {
    if (c->cfg.key_file == NULL) {
        keyring_without_key(&c->keyring);
        return 0;
    }
    c->keys_changed = "start";
    return keyring_load(&c->keyring, c->cfg.key_file, err, err_size) ? 0 : -EINVAL;
}

static int make_loop(struct cluster *c) {
    c->base = loop_new();
    if (c->base == NULL) return -ENOMEM;
    c->timer = evtimer_new(c->base, on_timer, c);
    c->round = event_new(c->base, -1, 0, on_round, c);
    if (c->timer == NULL || c->round == NULL) return -ENOMEM;
    return loop_waker_init(&c->waker, c->base, on_wake, c);
}

static int make_machines(struct cluster *c, char *err, size_t err_size) {
    int r = 0;
    if (c->cfg.state_dir != NULL) r = statedir_open(c->cfg.state_dir, &c->disk, err, err_size);
    if (r == 0) r = open_keyring(c, err, err_size);
    if (r == 0) r = cluster_links_address(c, err, err_size);
    if (r == 0) r = cluster_handoff_new(c);
    if (r == 0) r = cluster_agree_new(c, err, err_size);
    if (r == 0) r = cluster_links_new(c, err, err_size);
    if (r == 0) r = cluster_members_new(c);
    if (r == 0) r = cluster_purges_new(c);
    return r;
}

int cluster_new(const struct cluster_config *cfg, struct cluster **out, char *err, size_t err_size) {
    struct cluster *c = calloc(1, sizeof *c);
    int r = -ENOMEM;
    if (c == NULL) return r;
    c->cfg = *cfg;
    c->waker.fd = -1;
    c->next_token = 1;
    TAILQ_INIT(&c->peers);
    TAILQ_INIT(&c->wishes);
    TAILQ_INIT(&c->waiters);
    TAILQ_INIT(&c->relays);
    TAILQ_INIT(&c->runs);
    pthread_mutex_init(&c->lock, NULL);
    peer_arena_init(&c->arena, malloc(PEER_CONTROL_ARENA_BYTES), PEER_CONTROL_ARENA_BYTES);
    peer_arena_init(&c->scratch, malloc(PEER_CONTROL_ARENA_BYTES), PEER_CONTROL_ARENA_BYTES);
    c->packed = malloc(PEER_CONTROL_MAX);
    if (c->arena.bytes != NULL && c->scratch.bytes != NULL && c->packed != NULL) r = make_loop(c);
    if (r == 0) r = make_machines(c, err, err_size);
    if (r != 0) {
        if (err_size > 0 && err[0] == 0) snprintf(err, err_size, "cannot set up the cluster: %s", strerror(-r));
        cluster_free(c);
        return r;
    }
    cluster_view_make(c);
    cluster_cover_publish(c);
    cluster_lease_publish(c);
    cluster_answers_publish(c);
    *out = c;
    return 0;
}

int cluster_start(struct cluster *c) {
    int r = c->disk == NULL ? 0 : statedir_start(c->disk, on_disk, c);
    if (r != 0) return r;
    r = mover_start(c->mover);
    if (r != 0) return r;
    c->second_ns = cluster_now(c);
    set_timer(c);
    cluster_touch(c);
    r = pthread_create(&c->thread, NULL, run, c);
    if (r != 0) return -r;
    pthread_setname_np(c->thread, "tc-cluster");
    c->started = true;
    return 0;
}

void cluster_stop(struct cluster *c) {
    if (!c->started) return;
    sync_store_rel(&c->ending, 1);
    loop_wake(&c->waker);
    pthread_join(c->thread, NULL);
    mover_stop(c->mover);
    c->started = false;
}

const char *cluster_ring_name(const struct cluster *c) {
    return c->ring_name;
}

void cluster_free(struct cluster *c) {
    if (c == NULL) return;
    cluster_stop(c);
    if (c->mover != NULL) mover_stop(c->mover);
    statedir_close(c->disk);               /* waits for what is being written, which wakes the loop */
    if (c->purging != NULL) answer_all(c); /* what workers asked since the thread ended */
    cluster_links_free(c);
    cluster_agree_free(c);
    swim_free(c->swim);
    purging_free(c->purging);
    cluster_receipts_free(c->receipts);
    mover_free(c->mover);
    move_put(c->move);
    free(c->parts);
    free(c->said);
    loop_waker_fini(&c->waker);
    if (c->timer != NULL) event_free(c->timer);
    if (c->round != NULL) event_free(c->round);
    if (c->base != NULL) event_base_free(c->base);
    keyring_wipe(&c->keyring);
    pthread_mutex_destroy(&c->lock);
    free(c->discovery);
    free(c->arena.bytes);
    free(c->scratch.bytes);
    free(c->packed);
    for (unsigned i = c->cfg.njoin; i < c->nseeds; i++) free((char *)c->seeds[i]);
    free(c);
}

/* ------------------------------------------------------------------ looking around */

const struct lease_ends *cluster_leases(const struct cluster *c) {
    return &c->ends;
}

void cluster_gauges(struct cluster *c, struct cluster_gauges *out) {
    pthread_mutex_lock(&c->lock);
    *out = c->gauges;
    pthread_mutex_unlock(&c->lock);
    cluster_handoff_gauges(c, out->handoff_active > 0, out);
}

size_t cluster_discovery(struct cluster *c, char *to, size_t size) {
    pthread_mutex_lock(&c->lock);
    const size_t n = c->discovery_bytes;
    if (n > 0) memcpy(to, c->discovery, n < size ? n : size);
    pthread_mutex_unlock(&c->lock);
    return n;
}
