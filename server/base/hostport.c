/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/hostport.h"

#include <stdio.h>
#include <string.h>

static bool read_port(const char *s, uint16_t *out) {
    uint32_t port = 0;
    const char *p = s;
    for (; *p >= '0' && *p <= '9' && p - s < 5; p++) port = port * 10 + (uint32_t)(*p - '0');
    if (*p != 0 || port == 0 || port > UINT16_MAX) return false;
    *out = (uint16_t)port;
    return true;
}

bool hostport_read(const char *text, struct hostport *out) {
    const char *host = text, *end, *port;
    if (*text == '[') {
        host = text + 1;
        end = strchr(host, ']');
        if (end == NULL || end[1] != ':') return false;
        port = end + 2;
    } else {
        end = strchr(host, ':');
        if (end == NULL || strchr(end + 1, ':') != NULL) return false;
        port = end + 1;
    }
    const size_t n = (size_t)(end - host);
    if (n == 0 || n > HOSTPORT_HOST_MAX) return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)host[i] <= ' ' || host[i] == 0x7f || host[i] == ',') return false;
    memcpy(out->host, host, n);
    out->host[n] = 0;
    return read_port(port, &out->port);
}

void hostport_text(const char *host, uint16_t port, char out[HOSTPORT_MAX + 1]) {
    const bool v6 = strchr(host, ':') != NULL;
    snprintf(out, HOSTPORT_MAX + 1, "%s%.*s%s:%u", v6 ? "[" : "", HOSTPORT_HOST_MAX, host, v6 ? "]" : "", port);
}
