/* SPDX-License-Identifier: BSD-3-Clause */
#include "settings.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "cmd/cmd_config.h"
#include "net/net_config.h"

#define HTTP_PORT 8211 /* of --http, when it names none */

/* clang-format off */
static const struct option_row rows[] = {
#define GROUP(title) {.type = OPTION_GROUP, .fallback = (title)},
#define OPTION(field, type_, def, min_, max_, letter_, long_, o_, live_, place_, stat_, arg_, help_)                   \
    {.type = OPTION_##type_, .offset = offsetof(struct settings, field), .fallback = (def), .min = (min_),             \
     .max = (max_), .letter = (letter_), .name = (long_), .o_name = (o_), .live = (live_), .place = (place_),          \
     .stat = (stat_) != NULL ? (stat_) : #field, .arg = (arg_), .help = (help_)},
#define SHOWN(place_, stat_, value) {.type = OPTION_SHOWN, .fallback = (value), .place = (place_), .stat = (stat_)},
#define SHOWN_IF(place_, stat_, field, type_)                                                                          \
    {.type = OPTION_SHOWN_IF, .of = OPTION_##type_, .offset = offsetof(struct settings, field), .place = (place_),     \
     .stat = (stat_)},
#define REFUSED(letter_, long_, o_, arg_, sentence)                                                                    \
    {.type = OPTION_REFUSED, .letter = (letter_), .name = (long_), .o_name = (o_), .arg = (arg_), .help = (sentence)},
#include "net/net.options.def"
#include "store/store.options.def"
#include "cmd/cmd.options.def"
#include "cluster/cluster.options.def"
#include "http/http.options.def"
#include "audit.options.def"
#include "main.options.def"
};
/* clang-format on */

static const struct option_table table = {rows, sizeof rows / sizeof *rows};

int settings_init(struct settings *s) {
    memset(s, 0, sizeof *s);
    return option_defaults(&table, s);
}

void settings_fini(struct settings *s) {
    option_free(&table, s);
}

const char *settings_key_tags(const struct settings *s) {
    if (strcmp(s->key_tags, "off") == 0) return NULL;
    return strcmp(s->key_tags, "on") == 0 ? "|#|" : s->key_tags;
}

static int complain(struct option_report *r, const char *sentence) {
    snprintf(r->error, sizeof r->error, "%s", sentence);
    return -EINVAL;
}

static int check_marker(const struct settings *s, struct option_report *r) {
    const char *m = settings_key_tags(s);
    if (m == NULL) return 0;
    if (strlen(m) > 16) return complain(r, "--key-tags takes on, off or a marker of 1 to 16 characters");
    for (; *m; m++)
        if ((unsigned char)*m <= ' ' || *m == 0x7f)
            return complain(r, "--key-tags: a marker has no blanks and no control characters");
    return 0;
}

static int check_listen(const struct settings *s, struct option_report *r) {
    for (unsigned i = 0; i < s->listen.n; i++) {
        struct net_listen l;
        if (net_listen_parse(s->listen.v[i], &l, r->error, sizeof r->error) != 0) return -EINVAL;
        if ((l.tls == NET_TLS_BASIC || l.tls == NET_TLS_MUTUAL) && !s->tls)
            return complain(r, "-l: btls: and mtls: need -Z");
    }
    return 0;
}

int settings_http_listen(const char *spec, struct net_listen *out, char *err, size_t err_size) {
    char why[256];
    if (net_listen_parse(spec, out, why, sizeof why) != 0) {
        snprintf(err, err_size, "--http, which is written as -l: %s", strncmp(why, "-l: ", 4) == 0 ? why + 4 : why);
        return -EINVAL;
    }
    if (out->port < 0) out->port = HTTP_PORT;
    return 0;
}

static int check_http(const struct settings *s, struct option_report *r) {
    for (unsigned i = 0; i < s->http.n; i++) {
        struct net_listen l;
        if (settings_http_listen(s->http.v[i], &l, r->error, sizeof r->error) != 0) return -EINVAL;
        if ((l.tls == NET_TLS_BASIC || l.tls == NET_TLS_MUTUAL) && !s->tls)
            return complain(r, "--http: btls: and mtls: need -Z");
    }
    if (s->http_host.n > 0 && s->http.n == 0) return complain(r, "--http-host is of use with --http only");
    if (s->http_tokens != NULL && s->http.n == 0) return complain(r, "--http-tokens is of use with --http only");
    if (s->http_url_tag != NULL && s->http_tokens == NULL)
        return complain(r, "--http-url-tag is of use with --http-tokens only");
    return 0;
}

bool settings_audit(const struct settings *s, struct settings_audit *out) {
    *out = (struct settings_audit){.path = NULL};
    for (unsigned i = 0; i < s->audit.n; i++) {
        if (strcmp(s->audit.v[i], "required") == 0)
            out->required = true;
        else if (strcmp(s->audit.v[i], "reason") == 0)
            out->reasons = true;
        else if (out->path == NULL)
            out->path = s->audit.v[i];
        else
            return false;
    }
    return out->path != NULL || s->audit.n == 0;
}

static int check_audit(const struct settings *s, struct option_report *r) {
    struct settings_audit audit;
    if (!settings_audit(s, &audit))
        return complain(r, "--audit takes one file, and perhaps the words required and reason");
    if (audit.path == NULL && s->audit_hash != NULL) return complain(r, "--audit-hash is of use with --audit only");
    return 0;
}

bool settings_tls(const struct settings *s, struct net_tls_config *out) {
    *out = (struct net_tls_config){
        .chain_cert = s->ssl_chain_cert,
        .key = s->ssl_key,
        .ciphers = s->ssl_ciphers,
        .ca_cert = s->ssl_ca_cert,
        .verify_mode = (int)s->ssl_verify_mode,
        .key_der = s->ssl_keyformat == 1,
        .min_version = (int)s->ssl_min_version,
        .wbuf_bytes = (unsigned)s->ssl_wbuf_size,
        .session_cache = s->ssl_session_cache,
        .kernel_tls = s->ssl_kernel_tls,
    };
    return s->tls;
}

static int check(const struct settings *s, struct option_report *r) {
    if (s->item_size_max > s->memory_limit / 2)
        return complain(r, "Cannot set item size limit higher than 1/2 of memory max. (-I is more than half of -m)");
    if (s->sasl && s->protocol == CMD_PROTOCOL_TEXT)
        return complain(r, "-S asks for a login in the binary protocol, which -B ascii turns off");
    if (s->auth_file != NULL && !s->sasl && s->protocol == CMD_PROTOCOL_BINARY)
        return complain(r, "-Y asks for a password, which -B binary has no way to give without -S");
    if (s->tls && s->ssl_chain_cert == NULL) return complain(r, "-Z needs a certificate: -o ssl_chain_cert=FILE");
    int result = check_marker(s, r);
    if (result == 0) result = check_http(s, r);
    if (result == 0) result = check_audit(s, r);
    return result == 0 ? check_listen(s, r) : result;
}

int settings_parse(struct settings *s, int argc, char *const *argv, struct option_report *r) {
    int result = option_parse(&table, s, argc, argv, r);
    if (result != 0 || s->help || s->version || s->license || s->man_options) return result;
    return check(s, r);
}

void settings_each(const struct settings *s, void (*fn)(void *arg, const char *name, const char *value), void *arg) {
    option_each(&table, s, fn, arg);
}

void settings_print_man(FILE *f) {
    option_man(&table, f);
}

void settings_print_help(FILE *f) {
    fputs(
        "Usage: tagcached [options]\n"
        "\n"
        "A cache server that speaks memcached's protocol, command line and configuration files, and knows tags:\n"
        "every item may carry some, and one command takes out all items that carry one.\n"
        "\n"
        "First steps\n"
        "  tagcached -l 127.0.0.1 -m 256        256 megabytes on port 11211, for this machine only\n"
        "  printf 'set hello 0 60 5\\r\\nworld\\r\\nget hello\\r\\nquit\\r\\n' | nc 127.0.0.1 11211\n"
        "\n"
        "Tags in three lines\n"
        "  set song:9|#|t=artist:42,album:7 ... any client: tags follow the key (or: ms song:9 5 Gartist:42,album:7)\n"
        "  get song:9                           found\n"
        "  delete x|#|p=artist:42               any client: all items of the artist are gone (or: purge artist:42)\n",
        f);
    option_help(&table, f);
    fputs(
        "\n"
        "Sizes take k, m or g. -o takes several names, parted by commas.\n"
        "\n"
        "Examples\n"
        "  tagcached -u memcache -l 10.0.0.5 -m 4g -c 10000 -t 8\n"
        "  tagcached -s /run/tagcached.sock -a 770\n"
        "  tagcached -Z -o ssl_chain_cert=/etc/tls/cert.pem,ssl_key=/etc/tls/key.pem -l 0.0.0.0,notls:127.0.0.1:11212\n"
        "  tagcached --config /etc/memcached.conf --prefix-tags=:\n"
        "\n"
        "Signals: TERM and INT end the server, USR1 lets requests under way end first, HUP reads the passwords,\n"
        "tokens and certificates again, and opens the audit anew. Exit status: 0 done, 1 failed, 64 bad option, 67 no\n"
        "such user, 71 system error.\n"
        "More: man tagcached, man tagcached-protocol.\n",
        f);
}
