/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/tagctl/handing.h"

#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/tagctl/nodes.h"
#include "tools/tagctl/table.h"
#include "tools/tagctl/tagctl.h"

#define POLL_MS 200
#define BAR 30 /* characters */

/* The line that is written over again and again, on a terminal only. */
static void show_bar(const struct reply_row *status) {
    char items[32], of[32], bar[BAR + 1];
    const double done = reply_number(status, "handed"), all = reply_number(status, "to_hand"),
                 left = reply_number(status, "handoff_left_s");
    if (!isatty(STDERR_FILENO) || isnan(done) || isnan(all)) return;
    const double part = all > 0 ? fmin(1, done / all) : 0;
    for (unsigned i = 0; i < BAR; i++) bar[i] = i < part * BAR ? '#' : '.';
    bar[BAR] = 0;
    text_count(items, done);
    text_count(of, fmax(done, all));
    fprintf(stderr, "\r\033[K[%s] %3.0f %%  %s of about %s items", bar, 100 * part, items, of);
    if (left > 0) fprintf(stderr, ", %.0f s left", left);
    fflush(stderr);
}

static void end_bar(void) {
    if (isatty(STDERR_FILENO)) fputs("\r\033[K", stderr);
}

/* Whether nothing of the node moves any more. A node that has left cannot be asked. */
static int look(struct ctl *c, const char *name, double version, bool *over) {
    struct nodes n;
    struct reply r;
    char path[512] = "";
    unsigned i = 0;
    *over = false;
    int status = nodes_get_cluster(c, &n);
    if (status) return status;
    while (i < n.n && strcmp(n.names[i], name) != 0) i++;
    if (i < n.n) nodes_path(&n, i, path, sizeof path);
    const bool gone = i == n.n || nodes_is_gone(n.rows[i]);
    nodes_free(&n);
    *over = gone;
    if (gone) return DONE;
    status = reply_ask(c, "%scluster status", path);
    if (!status) status = reply_read(c, "cluster status", &r);
    if (status) return status;
    const struct reply_row *row = reply_next(&r, "STATUS", NULL); /* without one it is asked again: it may be ending */
    if (row) {
        const double at = reply_number(row, "version"), under_way = reply_number(row, "handoffs");
        *over = (isnan(version) || at >= version) && !(under_way > 0);
        if (under_way > 0) show_bar(row);
    }
    reply_free(&r);
    return DONE;
}

int handing_wait(struct ctl *c, const char *name, double version) {
    bool over;
    int status;
    while (!(status = look(c, name, version, &over)) && !over) {
        const struct timespec t = {.tv_nsec = POLL_MS * 1000000L};
        nanosleep(&t, NULL);
    }
    end_bar();
    return status;
}
