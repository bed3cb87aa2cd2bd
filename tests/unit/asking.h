/* SPDX-License-Identifier: BSD-3-Clause
 *
 * asking - the asking side of links: a node, and member 1, which owns all keys, is the test, and does what it says.
 * Included by tests of links.
 */
#ifndef TAGCACHED_TESTS_ASKING_H
#define TAGCACHED_TESTS_ASKING_H

#include "cluster/view.h"
#include "cmd/cmd.h"
#include "frames.h"
#include "tests/lib/nodes.h"

#define DOWN "SERVER_ERROR owner is down\r\n"
#define SILENT "SERVER_ERROR owner did not answer, may have been done\r\n"
#define LOST "SERVER_ERROR connection to owner lost, may have been done\r\n"

/* The node, which is number 0 and has one worker. */
static inline struct nodes *asking_begin(void) {
    struct nodes *c = nodes_new(2);
    assert_non_null(c);
    assert_int_equal(nodes_start(c, 0, talk_sockets(), "-t 1"), 0);
    nodes_view_only(c, 0, 7, 1);
    return c;
}

static inline uint64_t asking_metric(struct nodes *c, enum cmd_metric m) {
    return cmd_metric(node_cmd(c->node[0].node), m);
}

#endif
