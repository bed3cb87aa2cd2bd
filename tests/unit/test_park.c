/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Connections that wait for something: parked until they are resumed, producing by and by, kicked by others. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "net_lab.h"

static void produces_fairly_and_goes_on(void **state) {
    struct net_lab *l = net_lab_new();
    int fd = dial(l);
    (void)state;
    say(fd, "produce 100000\necho after\n");
    for (int i = 0; i < 100000; i++) hear(fd, "produced\n");
    hear(fd, "end\nafter\n");
    assert_true(net_metric(l->net, NET_METRIC_turns_given) > 0);
    close(fd);
    net_lab_free(l);
}

static void parked_until_resumed_from_elsewhere(void **state) {
    struct net_lab *l = net_lab_new_config((struct net_config){.threads = 2});
    (void)state;
    int a = dial(l), b = dial(l);
    say(a, "park\necho a\n");
    say(b, "park\necho b\n");
    await(&l->parked, 2);
    say(a, "echo more\n"); /* bytes that come meanwhile wait */
    await_worker(l, 0);
    await_worker(l, 1);
    assert_int_equal(sync_load(&l->resumed), 0);
    for (unsigned i = 0; i < 2; i++) worker_resume_all(net_worker_at(l->net, i));
    hear(a, "resumed\na\nmore\n");
    hear(b, "resumed\nb\n");
    close(a);
    close(b);
    net_lab_free(l);
}

static void waiting_is_logged(void **state) {
    struct log log;
    char text[4096];
    int pipefd[2];
    (void)state;
    assert_int_equal(pipe(pipefd), 0);
    log_init(&log, pipefd[1], LOG_DEBUG);
    struct net_lab *l = net_lab_new_config((struct net_config){.log = &log});
    int fd = dial(l);
    say(fd, "park\n");
    await(&l->parked, 1);
    worker_resume_all(net_worker_at(l->net, 0));
    hear(fd, "resumed\n");
    close(fd);
    net_lab_free(l);
    ssize_t n = read(pipefd[0], text, sizeof text - 1);
    assert_true(n > 0);
    text[n] = '\0';
    const char *parked = strstr(text, "conn_parked fd=");
    assert_non_null(parked);
    assert_non_null(strstr(parked, "conn_resumed fd="));
    close(pipefd[0]);
    close(pipefd[1]);
}

struct append {
    struct net_lab *lab;
    uint32_t stop;
};

static void *make_room(void *arg) {
    struct append *r = arg;
    while (!sync_load_acq(&r->stop)) {
        worker_resume_all(net_worker_at(r->lab->net, 0));
        sched_yield();
    }
    return NULL;
}

static void no_wake_up_is_lost(void **state) {
    struct net_lab *l = net_lab_new();
    struct append room = {l, 0};
    pthread_t t;
    int fd = dial(l);
    (void)state;
    assert_int_equal(pthread_create(&t, NULL, make_room, &room), 0);
    for (int i = 0; i < 3000; i++) {
        say(fd, "park\n");
        hear(fd, "resumed\n");
    }
    sync_store_rel(&room.stop, 1);
    pthread_join(t, NULL);
    close(fd);
    net_lab_free(l);
}

/* Room is made after the handler looked and before it parks: the very window in which a wake-up could be lost. */
static void post_resume_then_park(struct net_worker *w, void *arg) {
    struct net_lab *l = arg;
    struct conn *c = l->last;
    struct session *s = conn_session(c);
    worker_resume_all(w); /* as another thread might just now */
    s->waiting = true;
    conn_park(c);
}

static void room_between_looking_and_parking_counts(void **state) {
    struct net_lab *l = net_lab_new();
    int fd = dial(l);
    (void)state;
    say(fd, "watch\n");
    hear(fd, "watching\n");
    worker_post(net_worker_at(l->net, 0), &l->post, post_resume_then_park, l);
    hear(fd, "resumed\n");
    close(fd);
    net_lab_free(l);
}

static void post_write_to_last(struct net_worker *w, void *arg) {
    struct net_lab *l = arg;
    (void)w;
    reply(l->last, "news\n");
    conn_kick(l->last);
}

static void others_may_write_and_kick(void **state) {
    struct net_lab *l = net_lab_new();
    int fd = dial(l);
    (void)state;
    say(fd, "watch\n");
    hear(fd, "watching\n");
    uint64_t before = sync_load(&l->produced);
    worker_post(net_worker_at(l->net, 0), &l->post, post_write_to_last, l);
    hear(fd, "news\n");
    await(&l->produced, before + 1);
    say(fd, "echo still here\n");
    hear(fd, "still here\n");
    close(fd);
    net_lab_free(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(produces_fairly_and_goes_on), cmocka_unit_test(parked_until_resumed_from_elsewhere),
        cmocka_unit_test(no_wake_up_is_lost),          cmocka_unit_test(room_between_looking_and_parking_counts),
        cmocka_unit_test(others_may_write_and_kick),   cmocka_unit_test(waiting_is_logged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
