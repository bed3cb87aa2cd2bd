/* SPDX-License-Identifier: BSD-3-Clause
 *
 * `stats conns`: a question that travels from worker to worker. */
#include "tests/unit/talk.h"

static void conns_shows_each_connection(void **state) {
    struct subject *node = talk_node("-t 3");
    int fd = talk_open(node), others[8];
    char *text, *p, *name, *value;
    unsigned states = 0, watchers = 0, asking = 0, listeners = 0;
    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        others[i] = talk_open(node);
        talk_expect(others[i], "mn\r\n", "MN\r\n");
    }
    talk_expect(others[0], "watch\r\n", "OK\r\n");
    text = p = talk_ask(fd, "stats conns\r\nmn\r\n", "MN\r\n");
    while (talk_next_stat(&p, &name, &value)) {
        if (strstr(name, ":state") == NULL) continue;
        states++;
        watchers += strcmp(value, "conn_watch") == 0;
        asking += strcmp(value, "conn_parse_cmd") == 0;
        listeners += strcmp(value, "conn_listening") == 0;
    }
    assert_string_equal(p, "MN\r\n");
    assert_int_equal(states, 10); /* and the listener */
    assert_int_equal(listeners, 1);
    assert_int_equal(watchers, 1);
    assert_int_equal(asking, 1);
    free(text);
    /* One who asks and leaves at once does no harm. */
    talk_send(others[1], "stats conns\r\n", 13);
    close(others[1]);
    talk_expect(fd, "mn\r\n", "MN\r\n");
    for (unsigned i = 0; i < 8; i++)
        if (i != 1) close(others[i]);
    close(fd);
    subject_stop(node);
}

/* The rows of `stats conns` about connections, by what they have sent. */
static void conns_says_what_each_waits_for(void **state) {
    static const struct {
        const char *sent, *state;
    } rows[] = {
        {"", "conn_new_cmd"},
        {"mn\r\n", "conn_read"},
        {"get fo", "conn_read"},
        {"set k 0 0 5\r\nab", "conn_nread"},
        {"ms k 5\r\n", "conn_nread"},
        {"set k 0 0 50000\r\nab", "conn_nread"},
        {"set k x 0 50\r\nab", "conn_swallow"},
        {"set k 0 0 2000000\r\nab", "conn_swallow"},
    };
    enum { N = sizeof rows / sizeof *rows };
    struct subject *node = talk_node("-t 1"); /* one worker: it has read what was sent before the question */
    int fds[N], fd;
    (void)state;
    for (unsigned i = 0; i < N; i++) {
        fds[i] = talk_open(node);
        talk_send(fds[i], rows[i].sent, strlen(rows[i].sent));
    }
    fd = talk_open(node);
    char *text = talk_ask(fd, "stats conns\r\n", "END\r\n"), *p = text, *name, *value;
    unsigned listening = 0, i = 0;
    while (talk_next_stat(&p, &name, &value)) {
        if (strstr(name, ":state") == NULL) continue;
        if (strcmp(value, "conn_listening") == 0) {
            assert_int_equal(i, 0); /* it comes first */
            listening++;
        } else if (i < N) {
            assert_string_equal(value, rows[i++].state);
        } else {
            assert_string_equal(value, "conn_parse_cmd");
        }
    }
    assert_int_equal(listening, 1);
    assert_int_equal(i, N);
    free(text);
    for (i = 0; i < N; i++) close(fds[i]);
    close(fd);
    subject_stop(node);
}

/* The node may end while questions travel between its workers. */
static void a_node_ends_amid_questions(void **state) {
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        struct subject *node = talk_node("-t 4");
        int fds[8];
        for (unsigned i = 0; i < 8; i++) {
            fds[i] = talk_open(node);
            talk_expect(fds[i], i % 2 == 0 ? "mn\r\n" : "watch\r\n", i % 2 == 0 ? "MN\r\n" : "OK\r\n");
        }
        for (unsigned i = 0; i < 8; i++)
            for (unsigned k = 0; k < 10; k++) talk_send(fds[i], "stats conns\r\nget a\r\n", 20);
        assert_int_equal(subject_stop(node), 0);
        for (unsigned i = 0; i < 8; i++) close(fds[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conns_shows_each_connection),
        cmocka_unit_test(conns_says_what_each_waits_for),
        cmocka_unit_test(a_node_ends_amid_questions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
