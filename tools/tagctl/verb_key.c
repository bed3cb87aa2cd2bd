/* SPDX-License-Identifier: BSD-3-Clause */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base64.h"
#include "proto/keytags.h"
#include "tools/tagctl/reply.h"
#include "tools/tagctl/table.h"
#include "tools/tagctl/tagctl.h"
#include "tools/tagctl/verbs.h"

#define KEY_MAX 250

static int check_key(const char *key) {
    size_t n = strlen(key);
    bool good = n && n <= KEY_MAX;
    for (const char *p = key; *p; p++) good = good && (unsigned char)*p > ' ' && *p != 0x7f;
    return good ? DONE : complain(USAGE, "a key has 1 to %d bytes, none of them blank or control", KEY_MAX);
}

static bool is_number(const char *text, bool may_be_negative) {
    if (may_be_negative && *text == '-') text++;
    return *text && strspn(text, "0123456789") == strlen(text) && strlen(text) <= 10;
}

static int not_found(const struct ctl *c) {
    return complain(NOT_FOUND, "no item has the key %s", c->args[0]);
}

/* --- get -----------------------------------------------------------------------------------------------------------
 */

static json_t *value_json(const char *value, size_t n, bool *is_text) {
    json_t *j = memchr(value, 0, n) ? NULL : json_stringn(value, n);
    *is_text = j != NULL;
    if (j) return j;
    char *text = malloc(n / 3 * 4 + 8);
    if (!text) exit(complain(FAILED, "no memory"));
    j = json_stringn(text, base64_encode(value, n, text));
    free(text);
    return j;
}

static void print_value(const struct ctl *c, const char *value, size_t n, const char *flags) {
    if (c->output != OUTPUT_JSON) {
        fwrite(value, 1, n, stdout);
        if (c->output == OUTPUT_TABLE && (!n || value[n - 1] != '\n')) putchar('\n');
        return;
    }
    unsigned long client_flags = 0, cas = 0;
    long ttl = -1;
    bool is_text;
    sscanf(flags, " f%lu t%ld c%lu", &client_flags, &ttl, &cas);
    json_t *text = value_json(value, n, &is_text), *j = json_object();
    json_object_set_new(j, "key", json_text(c->args[0]));
    json_object_set_new(j, is_text ? "value" : "value_base64", text);
    json_object_set_new(j, "size", json_integer((json_int_t)n));
    json_object_set_new(j, "flags", json_integer((json_int_t)client_flags));
    json_object_set_new(j, "ttl", json_integer(ttl));
    json_object_set_new(j, "cas", json_integer((json_int_t)cas));
    json_print(j);
}

int verb_key_get(struct ctl *c) {
    char line[1024], *end = "", *value;
    int status = check_key(c->args[0]);
    if (!status) status = reply_line(c, line, sizeof line, "mg %s v f t c", c->args[0]);
    if (status) return status;
    if (!strcmp(line, "EN")) return not_found(c);
    unsigned long n = !strncmp(line, "VA ", 3) ? strtoul(line + 3, &end, 10) : 0;
    if (strncmp(line, "VA ", 3) != 0 || !isdigit((unsigned char)line[3]) || (*end && *end != ' '))
        return complain(FAILED, "%s answers `mg` with something else: \"%.60s\"", c->conn.name, line);
    status = conn_block(&c->conn, n, &value);
    if (!status) print_value(c, value, n, end);
    return status;
}

/* --- changes -------------------------------------------------------------------------------------------------------
 */

/* Reads all of a file. The caller frees *bytes, also if it failed. */
static int read_file(const char *name, char **bytes, size_t *n) {
    FILE *f = strcmp(name, "-") == 0 ? stdin : fopen(name, "r");
    size_t room = 0;
    *bytes = NULL;
    *n = 0;
    if (!f) return complain(FAILED, "cannot read %s: %s", name, strerror(errno));
    for (size_t got = 1; got;) {
        if (*n == room) {
            room = room * 2 + 65536;
            char *more = room > CONN_BLOCK_MAX ? NULL : realloc(*bytes, room);
            if (!more) {
                if (f != stdin) fclose(f);
                return complain(FAILED, "%s is too large", name);
            }
            *bytes = more;
        }
        got = fread(*bytes + *n, 1, room - *n, f);
        *n += got;
    }
    bool bad = ferror(f);
    if (f != stdin) fclose(f);
    return bad ? complain(FAILED, "cannot read %s", name) : DONE;
}

static int join_tags(const struct options *o, char **list) {
    size_t n = 1;
    for (unsigned i = 0; i < o->tags.n; i++) {
        if (!keytags_is_tag(o->tags.v[i], strlen(o->tags.v[i]))) return complain(USAGE, "%s is no tag", o->tags.v[i]);
        n += strlen(o->tags.v[i]) + 1;
    }
    *list = calloc(1, n + 3);
    if (!*list) return complain(FAILED, "no memory");
    for (unsigned i = 0; i < o->tags.n; i++) strcat(strcat(*list, i ? "," : " G"), o->tags.v[i]);
    return DONE;
}

static int store(struct ctl *c, const char *value, size_t n) {
    const char *ttl = c->opt.ttl ? c->opt.ttl : "0", *flags = c->opt.flags ? c->opt.flags : "0";
    char *tags, *line;
    bool go;
    int status = join_tags(&c->opt, &tags);
    if (status) return status;
    status = ctl_confirm(c, false, &go, "%zu bytes would be stored under %s", n, c->args[0]);
    if (!status && go) {
        status = reply_ask(c, "ms %s %zu T%s F%s%s", c->args[0], n, ttl, flags, tags);
        if (!status) status = conn_write(&c->conn, value, n);
        if (!status) status = conn_write(&c->conn, "\r\n", 2);
        if (!status) status = conn_line(&c->conn, &line);
        if (!status && reply_refuses(line))
            status = reply_say_refusal(c, line);
        else if (!status && strncmp(line, "HD", 2) != 0)
            status = complain(FAILED, "%s did not store it: %.60s", c->conn.name, line);
    }
    free(tags);
    return status;
}

int verb_key_set(struct ctl *c) {
    const struct options *o = &c->opt;
    char *bytes = NULL;
    size_t n = 0;
    int status = check_key(c->args[0]);
    if (status) return status;
    if (o->ttl && !is_number(o->ttl, true)) return complain(USAGE, "--ttl takes seconds, not %s", o->ttl);
    if (o->flags && !is_number(o->flags, false)) return complain(USAGE, "--flags takes a number, not %s", o->flags);
    if ((c->nargs == 2) == (o->file != NULL))
        return complain(USAGE, "name a value, or with --file where it is (-: standard input)");
    if (o->file) status = read_file(o->file, &bytes, &n);
    if (!status) status = o->file ? store(c, bytes, n) : store(c, c->args[1], strlen(c->args[1]));
    free(bytes);
    return status;
}

int verb_key_del(struct ctl *c) {
    static const struct keytags_marker usual = {"|#|", 3};
    struct keytags_key k;
    char line[1024];
    bool go;
    int status = check_key(c->args[0]);
    if (status) return status;
    keytags_split_key(&usual, c->args[0], strlen(c->args[0]), &k);
    if (k.kind == KEYTAGS_PURGE) return complain(USAGE, "that would be a purge; `tagctl purge` makes one");
    status = ctl_confirm(c, false, &go, "%s would be deleted", c->args[0]);
    if (status || !go) return status;
    status = reply_line(c, line, sizeof line, "md %s", c->args[0]);
    if (status || !strncmp(line, "HD", 2)) return status;
    return !strncmp(line, "NF", 2) ? not_found(c)
                                   : complain(FAILED, "%s answers `md` with \"%.60s\"", c->conn.name, line);
}

int verb_key_touch(struct ctl *c) {
    char line[1024];
    bool go;
    int status = check_key(c->args[0]);
    if (status) return status;
    if (!is_number(c->args[1], true)) return complain(USAGE, "a time to live is seconds, not %s", c->args[1]);
    status = ctl_confirm(c, false, &go, "%s would live for %s s", c->args[0], c->args[1]);
    if (status || !go) return status;
    status = reply_line(c, line, sizeof line, "touch %s %s", c->args[0], c->args[1]);
    if (status || !strcmp(line, "TOUCHED")) return status;
    return !strcmp(line, "NOT_FOUND") ? not_found(c)
                                      : complain(FAILED, "%s answers `touch` with \"%.60s\"", c->conn.name, line);
}

/* --- explain -------------------------------------------------------------------------------------------------------
 */

static const char *or_dash(const char *text) {
    return text ? text : "-";
}

static void print_explained(const struct reply_row *row, const char *state) {
    const char *tag = reply_text(row, "tag"), *purge = reply_text(row, "purge");
    double size = reply_number(row, "size"), ttl = reply_number(row, "ttl"), age = reply_number(row, "age");
    char grouped[32];
    text_grouped(grouped, isnan(size) ? 0 : size);
    printf("owner %s  %s bytes  ", or_dash(reply_text(row, "owner")), grouped);
    if (ttl >= 0)
        printf("ttl %.0f s  ", ttl);
    else
        printf("lives for ever  ");
    printf("stored %.0f s ago  tags %s\n", isnan(age) ? 0 : age, or_dash(reply_text(row, "tags")));
    if (!strcmp(state, "live")) return;
    printf("%s: %s was purged%s%s, after this item was stored\n", !strcmp(state, "stale") ? "STALE" : "DEAD",
           tag ? tag : "one of its tags", purge ? " as " : "", purge ? purge : "");
}

static int print_explain(const struct ctl *c, const struct reply_row *row) {
    static const char *const names[] = {"owner", "state",   "size", "ttl",   "age",
                                        "cas",   "fetched", "tags", "purge", "tag"};
    const char *state = reply_text(row, "state");
    if (!state) return complain(FAILED, "%s does not say how the item is", c->conn.name);
    bool absent = !strcmp(state, "absent");
    if (c->output == OUTPUT_TABLE) {
        if (!absent)
            print_explained(row, state);
        else
            printf("owner %s\n", or_dash(reply_text(row, "owner")));
    } else if (c->output == OUTPUT_PLAIN) {
        for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
            if (reply_text(row, names[i])) printf("%s\t%s\n", names[i], reply_text(row, names[i]));
    } else {
        json_t *j = json_pack("{s:o}", "key", json_text(c->args[0]));
        for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
            bool number = i >= 2 && i <= 7 && i != 6;
            json_object_set_new(
                j, names[i], number ? json_number(reply_number(row, names[i])) : json_text(reply_text(row, names[i])));
        }
        json_print(j);
    }
    return absent ? not_found(c) : DONE;
}

int verb_key_explain(struct ctl *c) {
    struct reply r;
    int status = check_key(c->args[0]);
    if (!status) status = reply_list(c, &r, "explain %s", c->args[0]);
    if (status) return status;
    status = print_explain(c, reply_next(&r, "EXPLAIN", NULL));
    reply_free(&r);
    return status;
}
