/* SPDX-License-Identifier: BSD-3-Clause
 *
 * listen - reading the addresses given to -l. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/net_config.h"

static int bad(char *err, size_t err_size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int bad(char *err, size_t err_size, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err, err_size, fmt, ap);
    va_end(ap);
    return -EINVAL;
}

/* Steps over a prefix without an argument. */
static bool prefix(const char **s, const char *name) {
    size_t n = strlen(name);
    if (strncmp(*s, name, n) != 0) return false;
    *s += n;
    return true;
}

/* Steps over name[arg]:. Returns 1 if it was there, 0 if not, -EINVAL if it is not well formed. */
static int bracketed(const char **s, const char *name, char *arg, size_t arg_size, char *err, size_t err_size) {
    const char *p = *s;
    if (!prefix(&p, name)) return 0;
    const char *end = strstr(p, "]:");
    if (end == NULL) return bad(err, err_size, "-l: %s must be closed by ]:", name);
    size_t n = (size_t)(end - p);
    if (n == 0 || n >= arg_size) return bad(err, err_size, "-l: %s takes 1 to %zu characters", name, arg_size - 1);
    memcpy(arg, p, n);
    arg[n] = 0;
    *s = end + 2;
    return 1;
}

/* The name of a protocol behind proto[. */
static int read_protocol(const char *name, enum net_protocol *out, char *err, size_t err_size) {
    static const struct {
        const char *name;
        enum net_protocol protocol;
    } known[] = {{"negotiating", NET_PROTOCOL_AUTO},
                 {"ascii", NET_PROTOCOL_TEXT},
                 {"meta", NET_PROTOCOL_TEXT},
                 {"binary", NET_PROTOCOL_BINARY}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(name, known[i].name) != 0) continue;
        *out = known[i].protocol;
        return 0;
    }
    return bad(err, err_size, "-l: proto[%s] is not known here; proto[ascii], proto[binary] and proto[negotiating] are",
               name);
}

static int prefixes(const char **s, struct net_listen *out, char *err, size_t err_size) {
    for (;;) {
        char proto[16];
        int r;
        if (prefix(s, "notls:"))
            out->tls = NET_TLS_NONE;
        else if (prefix(s, "btls:"))
            out->tls = NET_TLS_BASIC;
        else if (prefix(s, "mtls:"))
            out->tls = NET_TLS_MUTUAL;
        else if ((r = bracketed(s, "tag[", out->tag, sizeof out->tag, err, err_size)) != 0) {
            if (r < 0) return r;
        } else if ((r = bracketed(s, "proto[", proto, sizeof proto, err, err_size)) != 0) {
            if (r < 0 || (r = read_protocol(proto, &out->protocol, err, err_size)) < 0) return r;
        } else {
            return 0;
        }
    }
}

static int read_port(const char *s, struct net_listen *out, char *err, size_t err_size) {
    char *end;
    errno = 0;
    unsigned long port = strtoul(s, &end, 10);
    if (*s < '0' || *s > '9' || *end != 0 || errno != 0 || port > 65535)
        return bad(err, err_size, "-l: \"%s\" is no port: 0 (any free one) to 65535", s);
    out->port = (int)port;
    return 0;
}

int net_listen_parse(const char *spec, struct net_listen *out, char *err, size_t err_size) {
    *out = (struct net_listen){.port = -1};
    const char *host = spec, *port = NULL;
    int r = prefixes(&host, out, err, err_size);
    if (r != 0) return r;
    size_t n = strlen(host);
    if (*host == '[') {
        const char *end = strchr(host, ']');
        if (end == NULL || (end[1] != 0 && end[1] != ':'))
            return bad(err, err_size, "-l: \"%s\": an IPv6 address with a port is written [address]:port", spec);
        if (end[1] == ':') port = end + 2;
        host++;
        n = (size_t)(end - host);
        if (n == 0) return bad(err, err_size, "-l: \"%s\": nothing between [ and ]", spec);
    } else {
        const char *colon = strchr(host, ':');
        if (colon != NULL && strchr(colon + 1, ':') == NULL) { /* two colons: an IPv6 address */
            port = colon + 1;
            n = (size_t)(colon - host);
        }
    }
    if (n >= sizeof out->host) return bad(err, err_size, "-l: a host name has at most %zu bytes", sizeof out->host - 1);
    if (n == 0 && port == NULL)
        return bad(err, err_size, "-l: an address is missing: host, host:port, [ipv6]:port or *");
    if (!(n == 1 && *host == '*')) memcpy(out->host, host, n);
    return port != NULL ? read_port(port, out, err, err_size) : 0;
}
