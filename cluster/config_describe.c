/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What changed between two configurations, as logfmt fields. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cluster/config_state.h"

struct text {
    char *at;
    size_t left;
};

static void add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct text *t, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const int n = vsnprintf(t->at, t->left, format, arguments);
    va_end(arguments);
    const size_t used = n < 0 ? 0 : (size_t)n < t->left ? (size_t)n : t->left - 1;
    t->at += used;
    t->left -= used;
}

static void add_member(struct text *t, const struct configuration_member *was, const struct configuration_member *is) {
    static const char *const words[] = {"joining", "serving", "leaving", "ejected"};
    if (was == NULL) {
        add(t, " joined=%s", is->name);
        return;
    }
    if (was->state != is->state) add(t, " %s=%s", words[is->state], is->name);
    if (was->weight != is->weight) add(t, " weight=%s:%u", is->name, is->weight);
    if (was->drained != is->drained) add(t, " %s=%s", is->drained ? "drained" : "undrained", is->name);
}

static void add_settings(struct text *t, const struct configuration *a, const struct configuration *b) {
    if (a->tag_lease_ms != b->tag_lease_ms) add(t, " tag_lease_ms=%u", b->tag_lease_ms);
    if (a->serve_lease_ms != b->serve_lease_ms) add(t, " serve_lease_ms=%u", b->serve_lease_ms);
    if (a->eject_after_ms != b->eject_after_ms) add(t, " eject_after_ms=%u", b->eject_after_ms);
    if (a->leases != b->leases) add(t, " leases=%s", b->leases ? "bind" : "none");
    if (a->voters_target != b->voters_target) add(t, " voters_target=%u", b->voters_target);
    if (a->retire_version != b->retire_version) add(t, " retired=%u", a->norigins - b->norigins);
}

void config_describe(const struct configuration *before, const struct configuration *after, char *text, size_t size) {
    struct text t = {text, size};
    add(&t, "members=%u", configuration_present(after));
    if (before == NULL || before->epoch != after->epoch) {
        add(&t, " epoch=%llu memory=%s voters=", (unsigned long long)after->epoch,
            after->floor_epoch == after->epoch ? "fresh" : "kept");
        for (unsigned i = 0; i < after->nvoters; i++)
            add(&t, "%s%s", i == 0 ? "" : ",", after->voters[i].member == 0 ? "vacant" : after->voters[i].name);
    }
    if (before == NULL) return;
    add_settings(&t, before, after);
    for (unsigned i = 0; i < after->nmembers && t.left > 1; i++)
        add_member(&t, configuration_by_number(before, after->members[i].number), &after->members[i]);
    for (unsigned i = 0; i < before->nmembers && t.left > 1; i++)
        if (configuration_by_number(after, before->members[i].number) == NULL)
            add(&t, " gone=%s", before->members[i].name);
}
