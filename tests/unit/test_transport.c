/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Nodes that speak with each other: links come up when they are needed, messages arrive whole and in order, of two
 * links one stays, a node that comes back is another process. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/openssl.h"
#include "base/sync.h"
#include "link_lab.h"

static void test_a_link_comes_up_when_it_is_needed(void **state) {
    (void)state;
    struct node *a, *b;
    lab_pair(&a, &b);
    assert_true(lab_say(a, b, 'a', 10));
    assert_true(lab_say(a, b, 'b', 0));
    LAB_UNTIL(b->controls == 2);
    assert_string_equal(b->said, "ab");
    assert_true(cluster_id_equal(&b->up, &a->hello.node));
    assert_int_equal(b->up_boot, 10);
    assert_true(cluster_id_equal(&a->up, &b->hello.node));
    assert_int_equal(a->up_boot, 20);
    assert_int_equal(a->up_version, 1);
    assert_true(transport_is_up(a->t, &b->hello.node) && transport_is_up(b->t, &a->hello.node));
    assert_true(transport_ping(a->t, &b->hello.node, 77));
    LAB_UNTIL(a->pong == 77);
    assert_true(lab_say(b, a, 'c', 10)); /* back by the same link */
    LAB_UNTIL(a->controls == 1);
    assert_int_equal(LAB_COUNT(b, links_dialled), 0);
    assert_int_equal(LAB_COUNT(a, links_dialled), 1);
    assert_int_equal(transport_links_open(a->t), 1);
    assert_int_equal(a->ups + b->ups, 2);
    assert_int_equal(a->refused + b->refused, 0);
    assert_true(LAB_COUNT(b, unknown_fields) == 2);
    assert_int_equal(LAB_COUNT(b, control_bytes_received), LAB_COUNT(a, control_bytes_sent));
}

/* Each side sends as much as may wait at once, in frames of the largest size. */
static void large(bool plain) {
    struct node *a = lab_node(), *b = lab_node();
    a->plain = b->plain = plain;
    lab_start(a);
    lab_start(b);
    lab_place(a, b);
    lab_place(b, a);
    unsigned fit = 0;
    while (lab_say(a, b, 'a' + (char)(fit % 3), LAB_HUGE)) fit++;
    assert_int_equal(fit, TRANSPORT_OUTPUT_MAX / (LAB_HUGE + 12));
    assert_int_equal(LAB_COUNT(a, messages_dropped), 1);
    LAB_UNTIL(b->controls == fit);
    assert_string_equal(b->said, "abcabcabcabcabcab");
    unsigned back = 0;
    while (lab_say(b, a, 'a', LAB_HUGE)) back++; /* nothing leaves before the end of the round */
    assert_int_equal(back, fit);
    LAB_UNTIL(a->controls == back);
    assert_int_equal(LAB_COUNT(a, protocol_errors) + LAB_COUNT(b, protocol_errors), 0);
    assert_int_equal(a->downs + b->downs, 0);
}

static void test_large_messages(void **state) {
    (void)state;
    large(false);
}

static void test_large_messages_in_plain(void **state) {
    (void)state;
    large(true);
}

static void test_datagrams_need_a_link_first(void **state) {
    (void)state;
    struct node *a, *b;
    lab_pair(&a, &b);
    static const uint8_t packed[] = {0x08, 1, 0x10, 1}; /* lowest and highest version */
    assert_true(transport_datagram(a->t, &b->hello.node, packed, sizeof packed));
    LAB_UNTIL(LAB_COUNT(b, datagrams_refused) == 1);
    assert_int_equal(b->datagrams, 0);
    lab_say(a, b, 'a', 0);
    LAB_UNTIL(b->controls == 1 && a->ups == 1);
    assert_true(transport_datagram(a->t, &b->hello.node, packed, sizeof packed));
    assert_true(transport_datagram(b->t, &a->hello.node, packed, sizeof packed));
    LAB_UNTIL(b->datagrams == 1 && a->datagrams == 1);
    assert_true(transport_datagram(a->t, &b->hello.node, "\x0a", 1)); /* sealed all right, but no message */
    LAB_UNTIL(LAB_COUNT(b, datagrams_refused) == 2);
    assert_int_equal(LAB_COUNT(a, datagram_bytes_sent), 92 + 92 + 89);
    static const struct cluster_id nobody = {{99}};
    assert_false(transport_datagram(a->t, &nobody, packed, sizeof packed));
    static const uint8_t huge[DATAGRAM_PAYLOAD_MAX + 1];
    assert_false(transport_datagram(a->t, &b->hello.node, huge, sizeof huge));
    assert_int_equal(LAB_COUNT(a, datagrams_unsent), 2);
    transport_forget(b->t, &a->hello.node); /* a stranger again */
    assert_true(transport_datagram(a->t, &b->hello.node, packed, sizeof packed));
    LAB_UNTIL(LAB_COUNT(b, datagrams_refused) == 3);
}

/* Both dial at once: one link stays, the same for both, and nothing of what was said is lost. */
static void test_two_dials_at_once(void **state) {
    (void)state;
    struct node *a, *b;
    lab_pair(&a, &b);
    for (unsigned i = 0; i < 5; i++) {
        lab_say(a, b, 'a', 100);
        lab_say(b, a, 'b', 100);
    }
    LAB_UNTIL(a->controls == 5 && b->controls == 5);
    LAB_UNTIL(LAB_COUNT(a, links_up) == 2 && LAB_COUNT(b, links_up) == 2);
    lab_settle();
    assert_string_equal(a->said, "bbbbb");
    assert_string_equal(b->said, "aaaaa");
    assert_int_equal(transport_links_open(a->t), 1);
    assert_int_equal(transport_links_open(b->t), 1);
    assert_int_equal(LAB_COUNT(a, links_lost) + LAB_COUNT(b, links_lost), 0);
    lab_say(a, b, 'c', 1);
    lab_say(b, a, 'c', 1);
    LAB_UNTIL(a->controls == 6 && b->controls == 6);
    assert_int_equal(LAB_COUNT(a, links_dialled) + LAB_COUNT(b, links_dialled), 2);
    lab_pass_ms(TRANSPORT_DRAIN_MS + 1); /* the other one has ended by itself */
    assert_int_equal(LAB_COUNT(a, links_lost) + LAB_COUNT(b, links_lost), 0);
    assert_int_equal(a->ups - a->downs, 1);
    assert_int_equal(b->ups - b->downs, 1);
}

static void test_a_node_that_comes_back(void **state) {
    (void)state;
    struct node *a, *b;
    lab_pair(&a, &b);
    lab_say(a, b, 'a', 0);
    LAB_UNTIL(b->controls == 1);
    lab_stop(b);
    LAB_UNTIL(a->downs == 1);
    assert_int_equal(a->down_boot, 20);
    b->hello.boot = 21;
    lab_start(b); /* the same port */
    lab_say(a, b, 'b', 0);
    LAB_UNTIL(b->controls == 2);
    assert_int_equal(a->ups, 2);
    assert_int_equal(a->up_boot, 21);
}

/* The new process is there before the end of the old one is noticed; then the old one (stopped for a while, say) tries.
 */
static void test_a_process_that_was_replaced(void **state) {
    (void)state;
    struct node *a, *b;
    lab_pair(&a, &b);
    lab_say(a, b, 'a', 0);
    LAB_UNTIL(b->controls == 1 && a->ups == 1);
    struct node *later = lab_node();
    later->hello.node = b->hello.node;
    strcpy(later->hello.ring_name, b->hello.ring_name);
    lab_start(later);
    lab_place(later, a);
    lab_say(later, a, 'b', 0);
    LAB_UNTIL(a->ups == 2);
    assert_int_equal(a->downs, 1);
    assert_int_equal(a->down_boot, 20);
    assert_int_equal(a->up_boot, 30);
    LAB_UNTIL(b->downs == 1);
    lab_say(b, a, 'c', 0);
    LAB_UNTIL(b->refused_by_them == 1);
    assert_string_equal(b->why.setting, "--state-dir");
    assert_string_equal(a->why.setting, "--state-dir");
    assert_string_equal(a->said, "b");
    assert_true(transport_is_up(a->t, &b->hello.node));
}

static void test_a_node_that_is_not_there(void **state) {
    (void)state;
    struct node *a = lab_node(), *b = lab_node();
    lab_start(a);
    lab_start(b);
    lab_place(a, b);
    lab_stop(b);
    uint64_t waited = 0;
    for (unsigned i = 0; i < 10; i++) {
        assert_true(lab_say(a, b, 'a', 0));
        assert_true(lab_say(a, b, 'b', 0));
        /* Half of the wait at least: 25 ms, 50, 100, 200, 250; nothing is dialled before. */
        uint64_t least = i == 0 ? 0 : (uint64_t)25 << (i - 1);
        if (least > 250) least = 250;
        if (least > 0) {
            lab_pass_ms(least - 1);
            lab_settle();
            assert_int_equal(LAB_COUNT(a, links_dialled), i);
        }
        if (least > 0) lab_pass_ms(least + 1); /* the whole of it has passed now */
        waited += 2 * least;
        LAB_UNTIL(a->unreachable == i + 1);
        assert_int_equal(LAB_COUNT(a, links_dialled), i + 1);
        assert_int_equal(LAB_COUNT(a, messages_dropped), 2 * (i + 1));
    }
    assert_int_equal(waited, 3250);
    lab_start(b);
    lab_say(a, b, 'c', 0);
    lab_pass_ms(TRANSPORT_BACKOFF_MAX_MS);
    LAB_UNTIL(b->controls == 1);
    lab_stop(b);
    LAB_UNTIL(a->downs == 1);
    lab_say(a, b, 'a', 0); /* it was reached meanwhile: at once again */
    LAB_UNTIL(a->unreachable == 11);
}

static void test_silence_ends_a_link(void **state) {
    (void)state;
    struct node *a, *b;
    lab_pair(&a, &b);
    lab_say(a, b, 'a', 0);
    LAB_UNTIL(b->controls == 1 && a->ups == 1);
    uint64_t sent = LAB_COUNT(a, messages_sent);
    lab_pass_ms(1999);
    assert_int_equal(LAB_COUNT(a, messages_sent), sent);
    lab_pass_ms(1);
    assert_int_equal(LAB_COUNT(a, messages_sent), sent + 1); /* a ping */
    LAB_UNTIL(LAB_COUNT(a, messages_received) >= 3 && LAB_COUNT(b, messages_received) >= 4);
    lab_settle();
    for (unsigned i = 0; i < 10; i++) { /* with answers it stays */
        lab_pass_ms(2000);
        lab_settle();
    }
    assert_int_equal(a->downs + b->downs, 0);
    clock_manual_advance(&lab.clock, UINT64_C(5999) * 1000000); /* nobody has run meanwhile */
    transport_tick(a->t);
    assert_int_equal(a->downs, 0);
    clock_manual_advance(&lab.clock, 1000000);
    transport_tick(a->t);
    assert_int_equal(a->downs, 1);
    assert_int_equal(LAB_COUNT(a, links_lost), 1);
}

static void test_an_idle_link_is_closed(void **state) {
    (void)state;
    struct node *a, *b;
    lab_pair(&a, &b);
    lab_say(a, b, 'a', 0);
    LAB_UNTIL(b->controls == 1 && a->ups == 1);
    for (unsigned i = 0; i < 59; i++) {
        lab_pass_ms(1000);
        lab_settle();
        assert_int_equal(a->downs + b->downs, 0);
    }
    lab_pass_ms(1000);
    LAB_UNTIL(a->downs == 1 && b->downs == 1);
    lab_settle();
    assert_int_equal(LAB_COUNT(a, links_lost) + LAB_COUNT(b, links_lost), 0);
    assert_int_equal(transport_links_open(a->t), 0);
    lab_say(b, a, 'b', 0);
    LAB_UNTIL(a->controls == 1);
}

static void test_forgetting(void **state) {
    (void)state;
    struct node *a, *b;
    lab_pair(&a, &b);
    lab_say(a, b, 'a', 0);
    LAB_UNTIL(b->controls == 1 && a->ups == 1);
    transport_forget(a->t, &b->hello.node);
    assert_int_equal(a->downs, 1);
    assert_false(lab_say(a, b, 'b', 0));
    assert_int_equal(transport_want_data_link(a->t, &b->hello.node, 0, PEER_LINK_DATA), -EHOSTUNREACH);
    transport_forget(a->t, &b->hello.node); /* once more does nothing */
    LAB_UNTIL(b->downs == 1);
    a->forgets = b; /* from within an upcall */
    lab_say(b, a, 'c', 0);
    LAB_UNTIL(a->downs == 2);
    LAB_UNTIL(b->unreachable == 1); /* it ended before its hello had left */
    assert_int_equal(a->controls, 0);
}

/* A byte by one end of a data link to the other. */
static void assert_carries(const struct transport_data_link *from, const struct transport_data_link *to) {
    char got = 0;
    if (from->ssl == NULL) {
        assert_int_equal(write(from->fd, "x", 1), 1);
        while (read(to->fd, &got, 1) != 1) assert_int_equal(errno, EAGAIN);
    } else {
        assert_int_equal(openssl.SSL_write(from->ssl, "x", 1), 1);
        while (openssl.SSL_read(to->ssl, &got, 1) != 1) assert_int_equal(errno, EAGAIN);
    }
    assert_int_equal(got, 'x');
}

static void data_links(bool plain) {
    struct node *a = lab_node(), *b = lab_node();
    a->plain = b->plain = plain;
    b->hello.ring_version = 7;
    lab_start(a);
    lab_start(b);
    lab_place(a, b);
    assert_int_equal(transport_want_data_link(a->t, &b->hello.node, 3, PEER_LINK_DATA), 0);
    assert_int_equal(transport_want_data_link(a->t, &b->hello.node, 4, PEER_LINK_TRANSFER), 0);
    LAB_UNTIL(a->nlinks == 2 && b->nlinks == 2);
    for (unsigned i = 0; i < 2; i++) {
        const struct transport_data_link *mine = &a->data[i], *theirs = &b->data[0];
        if (theirs->worker != mine->worker) theirs = &b->data[1];
        assert_true(mine->worker == 3 || mine->worker == 4);
        assert_int_equal(theirs->worker, mine->worker);
        assert_int_equal(mine->kind, mine->worker == 4 ? PEER_LINK_TRANSFER : PEER_LINK_DATA);
        assert_int_equal(theirs->kind, mine->kind);
        assert_true(mine->dialled && !theirs->dialled);
        assert_true(cluster_id_equal(&mine->id, &b->hello.node));
        assert_true(cluster_id_equal(&theirs->id, &a->hello.node));
        assert_int_equal(mine->boot, 20);
        assert_int_equal(theirs->boot, 10);
        assert_int_equal(mine->ring_version, 7);
        assert_int_equal(mine->version, 1);
        assert_true((mine->ssl == NULL) == plain);
        assert_carries(mine, theirs);
        assert_carries(theirs, mine);
    }
    assert_int_equal(a->ups + b->ups, 0); /* that is for control links */
    lab_stop(b);
    assert_int_equal(transport_want_data_link(a->t, &b->hello.node, 5, PEER_LINK_DATA), 0);
    LAB_UNTIL(a->nlinks == 3);
    assert_int_equal(a->data[2].fd, -1);
    assert_int_equal(a->data[2].err, -ECONNREFUSED);
    assert_int_equal(a->data[2].worker, 5);
}

static void test_data_links(void **state) {
    (void)state;
    data_links(false);
}

static void test_data_links_in_plain(void **state) {
    (void)state;
    data_links(true);
}

/* ------------------------------------------------------------------ names and addresses */

static struct node *known[2];
static uint32_t asked;

/* "both" stands for both nodes, "second" for the second. */
static int resolve(const char *host, uint16_t port, struct address out[DNS_ADDRESSES_MAX]) {
    (void)port;
    sync_add(&asked, 1);
    if (strcmp(host, "both") == 0) {
        assert_true(address_numeric("127.0.0.1", (uint16_t)known[0]->port, &out[0]));
        assert_true(address_numeric("127.0.0.1", (uint16_t)known[1]->port, &out[1]));
        return 2;
    }
    if (strcmp(host, "second") != 0) return -ENOENT;
    assert_true(address_numeric("127.0.0.1", (uint16_t)known[1]->port, &out[0]));
    return 1;
}

/* A message to a node whose name nobody knows. */
static void say_to_nobody(struct node *a) {
    static const struct cluster_id other = {{77}};
    assert_int_equal(transport_place(a->t, &other, "nowhere:1"), 0);
    uint8_t bytes[32];
    assert_true(transport_send(a->t, &other, bytes, lab_message('a', 0, bytes, sizeof bytes)));
}

static void test_a_seed_stands_for_all_its_addresses(void **state) {
    (void)state;
    struct node *a = lab_node(), *b = lab_node(), *c = lab_node();
    a->resolver = resolve;
    known[0] = b;
    known[1] = c;
    asked = 0;
    lab_start(a);
    lab_start(b);
    lab_start(c);
    assert_int_equal(transport_try(a->t, "no port"), -EINVAL);
    assert_int_equal(transport_try(a->t, "both:1"), 0);
    assert_int_equal(transport_try(a->t, "both:1"), 0); /* is being asked for */
    LAB_UNTIL(a->ups == 2);
    assert_int_equal(sync_load(&asked), 1);
    assert_int_equal(LAB_COUNT(a, links_dialled), 2);
    assert_int_equal(transport_try(a->t, "both:1"), 0);
    say_to_nobody(a); /* names are asked for in turn: once this one is known to be none, the other is answered, too */
    LAB_UNTIL(a->unreachable == 1);
    assert_int_equal(sync_load(&asked), 3);
    assert_int_equal(LAB_COUNT(a, links_dialled), 2);           /* none to b and c, which are linked */
    assert_int_equal(transport_try(a->t, a->hello.address), 0); /* itself */
    LAB_UNTIL(LAB_COUNT(a, links_failed) == 3);                 /* both ends of the link to itself */
    assert_int_equal(LAB_COUNT(a, links_dialled), 3);
    assert_int_equal(a->ups, 2);
    assert_int_equal(a->refused, 0);
    /* Who dialled says where it is, so the other may speak first the next time. */
    lab_say(b, a, 'a', 0);
    LAB_UNTIL(a->controls == 1);
}

static void test_a_member_with_a_name(void **state) {
    (void)state;
    struct node *a = lab_node(), *b = lab_node();
    a->resolver = resolve;
    known[1] = b;
    asked = 0;
    lab_start(a);
    lab_start(b);
    assert_int_equal(transport_place(a->t, &b->hello.node, "second"), -EINVAL);
    assert_int_equal(transport_place(a->t, &b->hello.node, "second:1"), 0);
    lab_say(a, b, 'a', 0);
    LAB_UNTIL(b->controls == 1);
    assert_int_equal(sync_load(&asked), 1);
    /* It moves: what it could be reached at does not answer, and the name is asked again. */
    lab_stop(b);
    LAB_UNTIL(a->downs == 1);
    lab_say(a, b, 'a', 0);
    LAB_UNTIL(a->unreachable == 1);
    b->port = 0;
    b->hello.boot++;
    lab_start(b);
    lab_say(a, b, 'b', 0);
    lab_pass_ms(50);
    LAB_UNTIL(b->controls == 2);
    assert_int_equal(sync_load(&asked), 2);
    /* A name that nobody knows. */
    say_to_nobody(a);
    LAB_UNTIL(a->unreachable == 2);
}

static void test_ipv6(void **state) {
    (void)state;
    struct node *a = lab_node(), *b = lab_node();
    a->host = "::1";
    b->host = "*"; /* IPv4 and IPv6 */
    lab_start(a);
    lab_start(b);
    struct address v6;
    assert_true(address_numeric("::1", (uint16_t)a->port, &v6));
    assert_int_equal(transport_place(a->t, &b->hello.node, "127.0.0.1:1"), 0);
    char text[ADDRESS_TEXT];
    address_text(&v6, text);
    assert_string_equal(text, a->hello.address);
    lab_place(b, a);
    lab_say(b, a, 'a', 0);
    LAB_UNTIL(a->controls == 1);
}

static void test_where_it_may_listen(void **state) {
    (void)state;
    struct keyring none, key = {0};
    char err[300];
    struct hostport any = {.host = "0.0.0.0"};
    struct transport *t;
    keyring_without_key(&none);
    assert_true(keyring_read(&key, LAB_KEY_1, strlen(LAB_KEY_1), err, sizeof err));
    struct transport_config cfg = {.base = lab.base,
                                   .clock = &lab.clock.clock,
                                   .hello = lab_node()->hello,
                                   .keyring = &none,
                                   .bind = &any,
                                   .nbind = 1};
    assert_int_equal(transport_new(&cfg, &t, err, sizeof err), -EINVAL);
    assert_non_null(strstr(err, "others can reach 0.0.0.0:0 and there is no cluster key"));
    cfg.keyring = &key;
    cfg.plain = true;
    assert_int_equal(transport_new(&cfg, &t, err, sizeof err), -EINVAL);
    assert_non_null(strstr(err, "--cluster-links=plain"));
    cfg.insecure = true;
    assert_int_equal(transport_new(&cfg, &t, err, sizeof err), 0);
    any = (struct hostport){.host = "127.0.0.1", .port = transport_port(t)};
    struct transport *second;
    assert_int_equal(transport_new(&cfg, &second, err, sizeof err), -EADDRINUSE);
    assert_non_null(strstr(err, "cannot bind --cluster-bind 127.0.0.1:"));
    transport_free(t);
    any = (struct hostport){.host = "*"};
    assert_int_equal(transport_new(&cfg, &t, err, sizeof err), 0);
    transport_free(t);
    memset(any.host, 'x', 64); /* no name: longer than a label may be */
    any.host[64] = 0;
    assert_int_equal(transport_new(&cfg, &t, err, sizeof err), -EINVAL);
    assert_non_null(strstr(err, "no address is known for that name"));
}

/* ------------------------------------------------------------------ keys, descriptors */

static void set_keys(struct node *n, const char *keys) {
    struct keyring k = {0};
    char err[200];
    assert_true(keyring_read(&k, keys, strlen(keys), err, sizeof err));
    transport_set_keyring(n->t, &k);
}

static void test_a_key_is_changed_while_nodes_run(void **state) {
    (void)state;
    struct node *a, *b;
    lab_pair(&a, &b);
    static const char *const steps[] = {LAB_KEY_1 "\n" LAB_KEY_2, LAB_KEY_2 "\n" LAB_KEY_1, LAB_KEY_2};
    unsigned n = 0;
    for (unsigned i = 0; i < 3; i++) {
        struct node *order[] = {a, b};
        for (unsigned j = 0; j < 2; j++) {
            set_keys(order[j], steps[i]);
            assert_int_equal(transport_want_data_link(a->t, &b->hello.node, 0, PEER_LINK_DATA), 0);
            assert_int_equal(transport_want_data_link(b->t, &a->hello.node, 0, PEER_LINK_DATA), 0);
            LAB_UNTIL(a->nlinks == 2 && b->nlinks == 2);
            for (unsigned k = 0; k < 4; k++) {
                struct transport_data_link *d = k < 2 ? &a->data[k] : &b->data[k - 2];
                assert_true(d->fd >= 0);
                openssl.SSL_free(d->ssl);
                close(d->fd);
            }
            a->nlinks = b->nlinks = 0;
            n++;
        }
    }
    assert_int_equal(n, 6);
    assert_int_equal(a->refused + b->refused, 0);
    set_keys(a, LAB_KEY_1);
    lab_say(a, b, 'a', 0);
    LAB_UNTIL(a->unreachable == 1);
}

static void test_links_without_a_descriptor(void **state) {
    (void)state;
    struct node *a, *b;
    lab_pair(&a, &b);
    int fd = lab_connect(b); /* waits in the backlog */
    int next = dup(fd);
    close(next);
    struct rlimit before, full;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    full = before;
    full.rlim_cur = (rlim_t)next; /* all below are in use */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &full), 0);
    LAB_UNTIL(LAB_COUNT(b, accepts_without_descriptor) == 1);
    char byte;
    assert_int_equal(read(fd, &byte, 1), 0); /* told at once, not left to wait */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    close(fd);
    lab_say(a, b, 'a', 0);
    LAB_UNTIL(b->controls == 1);
}

int main(void) {
#define LAB_TEST(f) cmocka_unit_test_setup_teardown(f, lab_set_up, lab_tear_down)
    const struct CMUnitTest tests[] = {
        LAB_TEST(test_a_link_comes_up_when_it_is_needed),
        LAB_TEST(test_large_messages),
        LAB_TEST(test_large_messages_in_plain),
        LAB_TEST(test_datagrams_need_a_link_first),
        LAB_TEST(test_two_dials_at_once),
        LAB_TEST(test_a_node_that_comes_back),
        LAB_TEST(test_a_process_that_was_replaced),
        LAB_TEST(test_a_node_that_is_not_there),
        LAB_TEST(test_silence_ends_a_link),
        LAB_TEST(test_an_idle_link_is_closed),
        LAB_TEST(test_forgetting),
        LAB_TEST(test_data_links),
        LAB_TEST(test_data_links_in_plain),
        LAB_TEST(test_a_seed_stands_for_all_its_addresses),
        LAB_TEST(test_a_member_with_a_name),
        LAB_TEST(test_ipv6),
        LAB_TEST(test_where_it_may_listen),
        LAB_TEST(test_a_key_is_changed_while_nodes_run),
        LAB_TEST(test_links_without_a_descriptor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
