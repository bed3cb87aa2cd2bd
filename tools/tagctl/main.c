/* SPDX-License-Identifier: BSD-3-Clause
 *
 * tagctl - sees and changes a cluster of tagcached. tagctl.h says how it is built.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/standard.h"
#include "tools/tagctl/table.h"
#include "tools/tagctl/tagctl.h"
#include "tools/tagctl/verbs.h"

int ctl_connect(struct ctl *c) {
    return c->conn.name[0] ? DONE : conn_open(&c->conn, &c->opt);
}

static int say_plan(const struct ctl *c, const char *plan, va_list ap) {
    char *text;
    if (vasprintf(&text, plan, ap) < 0) return complain(FAILED, "no memory");
    if (c->output == OUTPUT_JSON)
        json_print(json_pack("{s:o,s:b}", "plan", json_text(text), "changed", 0));
    else
        printf("%s; nothing was changed\n", text);
    free(text);
    return DONE;
}

static int vconfirm(struct ctl *c, bool dangerous, bool *go, const char *plan, va_list ap) {
    char answer[16] = "";
    *go = false;
    if (c->opt.dry_run) return say_plan(c, plan, ap);
    *go = !dangerous || c->opt.yes;
    if (*go) return DONE;
    fflush(stdout);
    vfprintf(stderr, plan, ap);
    if (!isatty(STDIN_FILENO)) {
        fputc('\n', stderr);
        return complain(DECLINED, "there is no terminal to ask on; --yes does it without asking");
    }
    fputs("\ngo on? [y/N] ", stderr);
    if (fgets(answer, sizeof answer, stdin) && (!strcmp(answer, "y\n") || !strcmp(answer, "yes\n"))) {
        *go = true;
        return DONE;
    }
    return complain(DECLINED, "nothing was changed");
}

int ctl_confirm(struct ctl *c, bool dangerous, bool *go, const char *plan, ...) {
    va_list ap;
    va_start(ap, plan);
    int status = vconfirm(c, dangerous, go, plan, ap);
    va_end(ap);
    return status;
}

static bool set_output(struct ctl *c) {
    const char *o = c->opt.output, *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
    bool terminal = isatty(STDOUT_FILENO);
    c->output = terminal ? OUTPUT_TABLE : OUTPUT_PLAIN;
    if (o) {
        if (strcmp(o, "table") != 0 && strcmp(o, "plain") != 0 && strcmp(o, "json") != 0) {
            complain(USAGE, "-o takes table, plain or json, not %s", o);
            return false;
        }
        c->output = o[0] == 't' ? OUTPUT_TABLE : o[0] == 'p' ? OUTPUT_PLAIN : OUTPUT_JSON;
    }
    c->colour =
        terminal && c->output == OUTPUT_TABLE && !(no_colour && *no_colour) && term && strcmp(term, "dumb") != 0;
    return true;
}

/* No verb begins with these words. */
static int unknown(char *const words[], unsigned n, bool help) {
    if (!n) {
        help_all();
        return help ? DONE : USAGE;
    }
    if (!verb_is_group(words[0])) {
        const char *like = verb_like(words[0]);
        return complain(USAGE,
                        like ? "there is no verb %s; did you mean `tagctl %s`?"
                             : "there is no verb %s; `tagctl --help` lists them",
                        words[0], like);
    }
    if (n > 1) return complain(USAGE, "%s has no verb %s; `tagctl %s --help` lists them", words[0], words[1], words[0]);
    help_group(words[0]);
    return help ? DONE : USAGE;
}

static int run(struct ctl *c, char **words, unsigned nwords, unsigned nverb) {
    unsigned used;
    const struct verb *v = verb_find(words, nverb, &used);
    if (!v) return unknown(words, nverb, c->opt.help);
    if (c->opt.help) {
        help_verb(v);
        return DONE;
    }
    c->args = words + used;
    c->nargs = nwords - used;
    if (c->nargs < v->min || c->nargs > v->max) return help_misused(v);
    for (unsigned i = 0; i < option_nrows; i++) {
        const struct option_row *row = &option_rows[i];
        if (row->takes & c->opt.given & ~v->takes)
            return complain(USAGE, "%s%s%s does not take --%s", v->group, v->name[0] ? " " : "", v->name, row->name);
    }
    return set_output(c) ? v->run(c) : USAGE;
}

int main(int argc, char **argv) {
    struct ctl c = {.conn = {.fd = -1}};
    unsigned nwords, nverb;
    if (!standard_open()) return FAILED;
    if (argc == 2 && !strcmp(argv[1], "--version")) {
        puts("tagctl " PACKAGE_VERSION);
        return DONE;
    }
    if (argc == 2 && !strcmp(argv[1], "--man-verbs")) help_man_verbs();
    if (argc == 2 && !strcmp(argv[1], "--man-options")) help_man_options();
    if (argc == 2 && !strncmp(argv[1], "--man-", 6)) return DONE;
    char **words = calloc((size_t)argc + 1, sizeof *words);
    if (!words) return complain(FAILED, "no memory");
    signal(SIGPIPE, SIG_DFL);
    int status = options_read(&c.opt, argc, argv, words, &nwords, &nverb) ? run(&c, words, nwords, nverb) : USAGE;
    conn_close(&c.conn);
    options_free(&c.opt);
    free(words);
    if (fflush(stdout) != 0 || ferror(stdout)) return complain(FAILED, "cannot write what was found");
    return status;
}
