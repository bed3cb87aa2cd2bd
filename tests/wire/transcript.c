/* SPDX-License-Identifier: BSD-3-Clause
 *
 * transcript - runs wire transcripts (script.h) against a server and says whether every byte was as written.
 *
 *     transcript [--mode line|split|pipe]... [--spawn PROGRAM | --to HOST:PORT | --through] [--plain] [--wait] [-v]
 *                FILE|FOLDER...
 *
 * Each transcript runs in three modes, each on a fresh server: `line`, as it reads; `split`, every byte sent by itself
 * and taken by the server before the next one leaves; `pipe`, everything between two orders in one write. --plain
 * leaves out the steps marked '!' (for comparing with memcached). Exit status: 0 all as written, 1 not, 2 usage.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/sync.h"
#include "proto/binary.h"
#include "tests/lib/subject.h"
#include "tests/wire/client.h"
#include "tests/wire/script.h"
#include "tests/wire/script_packet.h"

#define CLIENTS_MAX 16

enum mode { MODE_LINE, MODE_SPLIT, MODE_PIPE, MODES };
static const char *const mode_names[MODES] = {"line", "split", "pipe"};

struct run {
    const struct script *script;
    enum mode mode;
    bool plain, verbose;
    struct subject_config cfg;
    struct subject *subject;
    struct client clients[CLIENTS_MAX];
    unsigned nclients;
    struct client *at;
    struct script_vars vars;
    struct bytes out; /* to be sent */
    size_t nawait;    /* steps whose answers are still to be compared */
    size_t waiting[4096];
    bool skipping; /* inside a part for tagcached alone */
    bool alone;    /* inside a part about the node that is asked */
    const char *skipped;
    uint64_t forwards; /* requests that a node which owns nothing has passed on */
};

static void show(FILE *f, const char *p, size_t n) {
    for (size_t i = 0; i < n && i < 300; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c == '\r')
            fputs("\\r", f);
        else if (c == '\n')
            fputs("\\n", f);
        else if (c < 32 || c > 126)
            fprintf(f, "\\x%02x", c);
        else
            fputc(c, f);
    }
    if (n > 300) fprintf(f, "... (%zu bytes)", n);
}

static int complain(struct run *r, size_t step, const char *what) {
    printf("%s:%d: (%s) %s\n", r->script->path, r->script->steps[step].line, mode_names[r->mode], what);
    return -1;
}

static int flush_out(struct run *r, size_t step) {
    if (r->out.n == 0) return 0;
    if (!r->at->talks) r->at->binary = (unsigned char)r->out.p[0] == BINARY_REQUEST;
    r->at->talks = true;
    int bad =
        r->mode == MODE_SPLIT ? client_send_split(r->at, r->out.p, r->out.n) : client_send(r->at, r->out.p, r->out.n);
    r->out.n = 0;
    return bad == 0 ? 0 : complain(r, step, "the server takes no more bytes");
}

/* ------------------------------------------------------------------ comparing */

static int mismatch(struct run *r, size_t step, const char *want, size_t nwant) {
    complain(r, step, "not the answer expected");
    printf("  expected: ");
    show(stdout, want, nwant);
    printf("\n  received: ");
    show(stdout, r->at->in.p, r->at->in.n);
    printf("%s\n", r->at->ended ? " (and the connection was closed)" : r->at->in.n == 0 ? "(nothing)" : "");
    return -1;
}

static int compare_literal(struct run *r, size_t step, const char *text) {
    struct bytes want = {0};
    int bad = script_expand(text, &r->vars, &want);
    if (bad) {
        complain(r, step, "an escape that is not known");
    } else if (!client_await(r->at, want.n) || memcmp(r->at->in.p, want.p, want.n) != 0) {
        bad = mismatch(r, step, want.p, want.n);
    } else {
        bytes_drop(&r->at->in, want.n);
    }
    bytes_free(&want);
    return bad;
}

static int compare_pattern(struct run *r, size_t step, const char *text) {
    size_t n = client_await_line(r->at);
    if (n == 0 || !script_match(text, r->at->in.p, n, &r->vars)) return mismatch(r, step, text, strlen(text));
    bytes_drop(&r->at->in, n);
    return 0;
}

static int compare_packet(struct run *r, size_t step, const char *text) {
    size_t n = client_await_packet(r->at);
    if (n == 0 || !script_packet_match(text, r->at->in.p, &r->vars)) return mismatch(r, step, text, strlen(text));
    bytes_drop(&r->at->in, n);
    return 0;
}

/* Drops lines, or packets, until one is what `text` asks for. */
static int compare_later(struct run *r, size_t step, const char *text) {
    const bool packet = r->script->steps[step].packet;
    struct script_vars saved = r->vars;
    for (;;) {
        size_t n = packet ? client_await_packet(r->at) : client_await_line(r->at);
        if (n == 0) return mismatch(r, step, text, strlen(text));
        bool found =
            packet ? script_packet_match(text, r->at->in.p, &r->vars) : script_match(text, r->at->in.p, n, &r->vars);
        if (!found) r->vars = saved;
        bytes_drop(&r->at->in, n);
        if (found) return 0;
    }
}

static int compare(struct run *r, size_t i, size_t step) {
    const char *text = r->script->steps[step].text;
    bool later = i > 0 && strcmp(r->script->steps[r->waiting[i - 1]].text, "\\...") == 0;
    if (strcmp(text, "\\...") == 0) return 0;
    if (r->verbose) printf("%d: %s\n", r->script->steps[step].line, text);
    return later                           ? compare_later(r, step, text)
           : r->script->steps[step].packet ? compare_packet(r, step, text)
           : script_is_literal(text)       ? compare_literal(r, step, text)
                                           : compare_pattern(r, step, text);
}

/* Sends what waits and compares what was expected: nothing is under way afterwards. */
static int settle(struct run *r, size_t step) {
    if (flush_out(r, step) != 0) return -1;
    for (size_t i = 0; i < r->nawait; i++)
        if (compare(r, i, r->waiting[i]) != 0) return -1;
    r->nawait = 0;
    return 0;
}

/* ------------------------------------------------------------------ connections */

static void clients_close(struct run *r) {
    for (unsigned i = 0; i < r->nclients; i++) {
        if (r->clients[i].open) close(r->clients[i].fd);
        bytes_free(&r->clients[i].in);
    }
    r->nclients = 0;
    r->at = NULL;
}

static int client_open(struct run *r, const char *name, enum subject_via via) {
    struct client *l = &r->clients[r->nclients];
    if (r->nclients == CLIENTS_MAX || strlen(name) >= sizeof l->name) return -1;
    *l = (struct client){.open = true, .fd = subject_connect(r->subject, via)};
    strcpy(l->name, name);
    if (l->fd < 0) return -1;
    r->nclients++;
    r->at = l;
    return 0;
}

static int client_choose(struct run *r, const char *name) {
    for (unsigned i = r->nclients; i-- > 0;)
        if (strcmp(r->clients[i].name, name) == 0) {
            r->at = &r->clients[i];
            return 0;
        }
    return -1;
}

/* Whether the end of a pipeline, `mn` or a noop, is answered at once, and nothing has arrived before. */
static bool is_in_step(struct client *l) {
    static const char noop[BINARY_HEADER] = {(char)BINARY_REQUEST, BINARY_noop},
                      done[BINARY_HEADER] = {(char)BINARY_ANSWER, BINARY_noop};
    const char *ask = l->binary ? noop : "mn\r\n", *answer = l->binary ? done : "MN\r\n";
    const size_t n = l->binary ? BINARY_HEADER : 4;
    if (l->ended || client_send(l, ask, n) != 0) return false;
    return client_await(l, n) && l->in.n == n && memcmp(l->in.p, answer, n) == 0;
}

/* Every connection still open must be in step. */
static int clients_in_step(struct run *r) {
    for (unsigned i = 0; i < r->nclients; i++) {
        struct client *l = &r->clients[i];
        if (!l->open) continue;
        if (is_in_step(l)) continue;
        printf("%s: (%s) connection %s is out of step at the end: ", r->script->path, mode_names[r->mode], l->name);
        show(stdout, l->in.p, l->in.n);
        printf("%s\n", l->ended ? " (closed)" : "");
        return -1;
    }
    return 0;
}

static int node_stop(struct run *r) {
    int bad = 0;
    if (r->subject != NULL) {
        bad = clients_in_step(r);
        r->forwards += subject_forwards(r->subject);
        clients_close(r);
        bad |= subject_stop(r->subject);
        if (bad) printf("%s: (%s) the server did not end well\n", r->script->path, mode_names[r->mode]);
    }
    r->subject = NULL;
    return bad;
}

static int node_start(struct run *r, const char *options) {
    if (node_stop(r) != 0) return -1;
    r->subject = subject_start(&r->cfg, options);
    return r->subject == NULL ? -1 : 0;
}

/* ------------------------------------------------------------------ orders */

static int order_advance(struct run *r, const char *arg) {
    char *unit;
    uint64_t n = strtoull(arg, &unit, 10);
    if (strcmp(unit, "s") == 0)
        n *= 1000;
    else if (strcmp(unit, "ms") != 0)
        return -1;
    if (subject_advance(r->subject, n) != 0) r->skipped = "its clock cannot be moved (--wait lets time pass)";
    return 0;
}

static int order_unswept(struct run *r) {
    if (subject_stop_sweeps(r->subject) != 0) r->skipped = "its sweeper cannot be stopped";
    return 0;
}

/* The server has closed the connection, and sent nothing more. */
static int order_closed(struct run *r) {
    uint64_t until = client_now_ms() + CLIENT_PATIENCE_MS;
    client_drain(r->at);
    while (!r->at->ended && r->at->in.n == 0 && client_poll(r->at, false, until)) {}
    if (!r->at->ended || r->at->in.n > 0) return -1;
    close(r->at->fd);
    r->at->open = false;
    return 0;
}

/* @ less A B: both are numbers by now, and A < B. */
static int order_less(struct run *r, char *arg) {
    char *second = strchr(arg, ' ');
    if (second == NULL) return -1;
    *second++ = '\0';
    const char *a = script_var(&r->vars, arg), *b = script_var(&r->vars, second);
    return a != NULL && b != NULL && strtoull(a, NULL, 10) < strtoull(b, NULL, 10) ? 0 : -1;
}

/* @ write NAME TEXT: a file in the directory that \(dir) stands for. */
static int order_write(struct run *r, char *arg) {
    char path[4096];
    char *text = strchr(arg, ' ');
    if (text == NULL) return -1;
    *text++ = '\0';
    snprintf(path, sizeof path, "%s/%s", r->cfg.dir, arg);
    struct bytes b = {0};
    FILE *f = script_expand(text, &r->vars, &b) == 0 ? fopen(path, "w") : NULL;
    int bad = f == NULL || fwrite(b.p, 1, b.n, f) != b.n;
    if (f != NULL) bad |= fclose(f);
    bytes_free(&b);
    return bad ? -1 : 0;
}

static int order_connect(struct run *r, char *arg) {
    char *how = strchr(arg, ' ');
    if (how != NULL) *how++ = '\0';
    if (how == NULL) return client_open(r, arg, SUBJECT_ANY);
    if (strcmp(how, "tcp") == 0) return client_open(r, arg, SUBJECT_TCP);
    if (strcmp(how, "unix") == 0) return client_open(r, arg, SUBJECT_UNIX);
    return -1;
}

static int order(struct run *r, char *verb, char *arg) {
    if (strcmp(verb, "node") == 0) return node_start(r, arg);
    if (r->subject == NULL && node_start(r, "") != 0) return -1;
    /* What comes next shall not overtake what this connection has sent: the node may read much of it piece by piece. */
    if (r->at != NULL && r->at->open) client_settle(r->at);
    if (strcmp(verb, "connect") == 0) return order_connect(r, arg);
    if (strcmp(verb, "write") == 0) return order_write(r, arg);
    if (strcmp(verb, "less") == 0) return order_less(r, arg);
    if (strcmp(verb, "advance") == 0) return order_advance(r, arg);
    if (strcmp(verb, "unswept") == 0) return order_unswept(r);
    if (strcmp(verb, "reload") == 0) return subject_reload(r->subject);
    if (strcmp(verb, "stopped") == 0) return subject_await_end(r->subject);
    if (r->at == NULL) return -1;
    if (strcmp(verb, "on") == 0) return client_choose(r, arg);
    if (strcmp(verb, "closed") == 0) return order_closed(r);
    if (strcmp(verb, "half-close") == 0) return shutdown(r->at->fd, SHUT_WR);
    if (strcmp(verb, "close") == 0) {
        close(r->at->fd);
        r->at->open = false;
        return 0;
    }
    return -1;
}

static int step_order(struct run *r, size_t step) {
    struct bytes b = {0};
    char *text = strdup(r->script->steps[step].text);
    CHECK(text != NULL);
    char *arg = strchr(text, ' ');
    if (arg != NULL) *arg++ = '\0';
    int bad = settle(r, step);
    if (bad == 0) {
        /* `node` may name files: its variables are known now; the others expand their own text. */
        bool whole = arg != NULL && strcmp(text, "node") == 0;
        bad = whole ? script_expand(arg, &r->vars, &b) : 0;
        if (bad == 0) bad = order(r, text, whole ? (b.p == NULL ? "" : b.p) : arg == NULL ? "" : arg);
        if (bad) complain(r, step, "this order failed");
    }
    bytes_free(&b);
    free(text);
    return bad;
}

/* ------------------------------------------------------------------ a transcript */

static int expand(const struct script_step *s, const struct script_vars *vars, struct bytes *out) {
    return s->packet ? script_packet_expand(s->text, vars, out) : script_expand(s->text, vars, out);
}

static int step_send(struct run *r, size_t step) {
    const struct script_step *s = &r->script->steps[step];
    if (r->subject == NULL && node_start(r, "") != 0) return -1;
    if (r->at == NULL && client_open(r, "main", SUBJECT_ANY) != 0) return complain(r, step, "cannot connect");
    /* In order of writing: what comes back before this line is sent, unless everything goes out in one piece. */
    if (r->mode != MODE_PIPE && r->nawait > 0 && settle(r, step) != 0) return -1;
    size_t before = r->out.n;
    if (expand(s, &r->vars, &r->out) == 0) return 0;
    /* A variable that an answer still under way will set. */
    r->out.n = before;
    if (settle(r, step) != 0) return -1;
    return expand(s, &r->vars, &r->out) == 0 ? 0 : complain(r, step, "an escape that is not known");
}

/* `alone` and `together` are only about what is run. */
static bool is_bracket(struct run *r, const struct script_step *s) {
    if (s->kind != SCRIPT_ORDER) return false;
    const bool begins = strcmp(s->text, "alone") == 0;
    if (!begins && strcmp(s->text, "together") != 0) return false;
    r->alone = begins;
    return true;
}

static int step(struct run *r, size_t i) {
    const struct script_step *s = &r->script->steps[i];
    if (is_bracket(r, s)) return 0;
    if (s->kind == SCRIPT_ORDER && strncmp(s->text, "node", 4) == 0) r->skipping = r->plain && s->ours;
    if (r->skipping || (r->plain && s->ours) || (r->alone && r->cfg.through)) return 0;
    if (s->kind == SCRIPT_SEND) return step_send(r, i);
    if (s->kind == SCRIPT_ORDER) return step_order(r, i);
    if (r->at == NULL) return complain(r, i, "nothing was sent yet");
    if (r->nawait == sizeof r->waiting / sizeof *r->waiting && settle(r, i) != 0) return -1;
    r->waiting[r->nawait++] = i;
    return 0;
}

/* Transcripts that say something else through a node that owns nothing, by design. */
static const struct {
    const char *name, *why;
} local[] = {
    {"admin.tr", "what an operator asks for is about the node that is asked"},
    {"dump.tr", "dumps are of the node that is asked"},
    {"options_stats.tr", "statistics are of the node that is asked"},
    {"stats.tr", "statistics are of the node that is asked"},
    {"watch.tr", "watchers see what happens where they watch"},
#define PURGES "purges and flushes stay on the node that is asked: the cluster's thread is to spread them"
    {"flush_all.tr", PURGES},
    {"meta_cas_override.tr", PURGES},
    {"purge.tr", PURGES},
    {"purge_fill_guard.tr", PURGES},
    {"purge_historic.tr", PURGES},
    {"purge_key_suffix.tr", PURGES},
    {"purge_prefix.tr", PURGES},
    {"purge_receipt.tr", PURGES},
    {"purge_soft.tr", PURGES},
    {"readme.tr", PURGES},
    {"tags.tr", PURGES},
    {"tags_read.tr", PURGES},
};
/* Transcripts in which nothing is about a key, or is let in: they run, but nothing is passed on. */
static const char *const no_forwards[] = {"binary_detect.tr", "idle_timeout.tr", "limits_auth.tr"};

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static const char *why_local(const char *path) {
    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++)
        if (strcmp(base_name(path), local[i].name) == 0) return local[i].why;
    return NULL;
}

static bool forwards_nothing(const char *path) {
    for (size_t i = 0; i < sizeof no_forwards / sizeof no_forwards[0]; i++)
        if (strcmp(base_name(path), no_forwards[i]) == 0) return true;
    return false;
}

/* 0 as written, 1 skipped, -1 not. */
static int transcript(const struct script *s, enum mode mode, const struct run *common) {
    struct run *r = calloc(1, sizeof *r);
    CHECK(r != NULL);
    *r = *common;
    r->script = s;
    r->mode = mode;
    script_var_set(&r->vars, "dir", 3, r->cfg.dir, strlen(r->cfg.dir));
    int bad = 0;
    if (r->cfg.through) r->skipped = why_local(s->path);
    for (size_t i = 0; i < s->nsteps && bad == 0 && r->skipped == NULL; i++) bad = step(r, i);
    if (bad == 0 && r->skipped == NULL) bad = settle(r, s->nsteps - 1);
    if (bad == 0 && r->skipped == NULL) bad = node_stop(r);
    if (bad == 0 && r->skipped == NULL && r->cfg.through && (r->forwards == 0) != forwards_nothing(s->path)) {
        printf("%s: (%s) %llu requests were passed on\n", s->path, mode_names[mode], (unsigned long long)r->forwards);
        bad = -1;
    }
    clients_close(r);
    if (r->subject != NULL) subject_stop(r->subject);
    const char *base = strrchr(s->path, '/');
    printf("[ %s ] %s, %s%s%s\n",
           bad          ? " FAILED "
           : r->skipped ? "SKIPPED "
                        : "      OK",
           base ? base + 1 : s->path, mode_names[mode], r->skipped ? ": " : "", r->skipped ? r->skipped : "");
    fflush(stdout);
    bad = bad ? -1 : r->skipped ? 1 : 0;
    bytes_free(&r->out);
    free(r);
    return bad;
}

/* The same in a process of its own: a node that aborts takes nothing else with it. */
static int transcript_apart(const struct script *s, enum mode mode, const struct run *common) {
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) exit(transcript(s, mode, common) & 3);
    if (pid < 0 || waitpid(pid, &status, 0) != pid) return -1;
    if (WIFEXITED(status) && WEXITSTATUS(status) <= 1) return WEXITSTATUS(status);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 3)
        printf("[  FAILED  ] %s, %s: the process ended with status %#x\n", s->path, mode_names[mode], status);
    return -1;
}

struct tally {
    unsigned good, bad, skipped;
};

static void run_file(const char *path, const struct run *common, const bool modes[MODES], struct tally *t) {
    struct script s;
    if (script_load(path, &s) != 0) {
        t->bad++;
        return;
    }
    for (enum mode m = MODE_LINE; m < MODES; m++) {
        if (!modes[m]) continue;
        int got = transcript_apart(&s, m, common);
        if (got == 0)
            t->good++;
        else if (got == 1)
            t->skipped++;
        else
            t->bad++;
    }
    script_free(&s);
}

static int is_transcript(const struct dirent *e) {
    size_t n = strlen(e->d_name);
    return n > 3 && strcmp(e->d_name + n - 3, ".tr") == 0;
}

static void run_path(const char *path, const struct run *common, const bool modes[MODES], struct tally *t) {
    struct dirent **names;
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        run_file(path, common, modes, t);
        return;
    }
    int n = scandir(path, &names, is_transcript, alphasort);
    for (int i = 0; i < n; i++) {
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
        run_file(file, common, modes, t);
        free(names[i]);
    }
    if (n >= 0) free(names);
}

static void remove_dir(const char *dir) {
    DIR *d = opendir(dir);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.') unlinkat(dirfd(d), e->d_name, 0);
    if (d != NULL) closedir(d);
    rmdir(dir);
}

static int usage(void) {
    fputs("usage: transcript [--mode line|split|pipe]... [--spawn PROGRAM | --to HOST:PORT | --through] [--plain] "
          "[--wait] [-v] FILE|FOLDER...\n",
          stderr);
    return 2;
}

static bool parse_mode(const char *name, bool modes[MODES]) {
    for (enum mode m = MODE_LINE; m < MODES; m++)
        if (strcmp(name, mode_names[m]) == 0) return modes[m] = true;
    return false;
}

/* Options into *common and modes; the index of the first path, or -1. */
static int parse_args(int argc, char **argv, struct run *common, bool modes[MODES]) {
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        bool more = i + 1 < argc;
        if (strcmp(argv[i], "--plain") == 0)
            common->plain = true;
        else if (strcmp(argv[i], "--wait") == 0)
            common->cfg.wait = true;
        else if (strcmp(argv[i], "--through") == 0)
            common->cfg.through = true;
        else if (strcmp(argv[i], "-v") == 0)
            common->verbose = true;
        else if (strcmp(argv[i], "--spawn") == 0 && more)
            common->cfg.spawn = argv[++i];
        else if (strcmp(argv[i], "--to") == 0 && more)
            common->cfg.to = argv[++i];
        else if (strcmp(argv[i], "--mode") == 0 && more && parse_mode(argv[i + 1], modes))
            i++;
        else
            return -1;
    }
    return i;
}

/* ThreadSanitizer looks at what threads share, which is the same however a client's bytes arrive. */
static void usual_modes(bool modes[MODES]) {
#ifdef SYNC_TSAN
    modes[MODE_LINE] = true;
#else
    for (enum mode m = MODE_LINE; m < MODES; m++) modes[m] = true;
#endif
}

int main(int argc, char **argv) {
    bool modes[MODES] = {false};
    static struct run common;
    struct tally t = {0};
    char dir[] = "/tmp/transcript-XXXXXX";
    char here[4096];
    const char *tree = getenv("TAGCACHED_SRCDIR");
    signal(SIGPIPE, SIG_IGN);
    int first = parse_args(argc, argv, &common, modes);
    if (first < 0 || (first == argc && tree == NULL)) return usage();
    if (!modes[0] && !modes[1] && !modes[2]) usual_modes(modes);
    if (mkdtemp(dir) == NULL) return usage();
    common.cfg.dir = dir;
    snprintf(here, sizeof here, "%s/tests/wire", tree == NULL ? "." : tree);
    for (int i = first; i < argc; i++) run_path(argv[i], &common, modes, &t);
    if (first == argc) run_path(here, &common, modes, &t);
    remove_dir(dir);
    printf("transcripts: %u as written, %u not, %u skipped\n", t.good, t.bad, t.skipped);
    return t.bad > 0 || t.good == 0;
}
