/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

bool address_numeric(const char *host, uint16_t port, struct address *out) {
    *out = (struct address){0};
    if (inet_pton(AF_INET, host, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->len = sizeof out->v4;
    } else if (inet_pton(AF_INET6, host, &out->v6.sin6_addr) == 1) {
        out->v6.sin6_family = AF_INET6;
        out->len = sizeof out->v6;
    } else {
        return false;
    }
    address_set_port(out, port);
    return true;
}

bool address_from(const struct sockaddr *sa, socklen_t len, struct address *out) {
    *out = (struct address){0};
    if (sa->sa_family == AF_INET && len >= sizeof out->v4) {
        memcpy(&out->v4, sa, sizeof out->v4);
        out->len = sizeof out->v4;
    } else if (sa->sa_family == AF_INET6 && len >= sizeof out->v6) {
        memcpy(&out->v6, sa, sizeof out->v6);
        out->len = sizeof out->v6;
    }
    return out->len != 0;
}

bool address_equal(const struct address *a, const struct address *b) {
    if (a->any.sa_family != b->any.sa_family || address_port(a) != address_port(b)) return false;
    if (a->any.sa_family == AF_INET) return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
    return memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof a->v6.sin6_addr) == 0 &&
           a->v6.sin6_scope_id == b->v6.sin6_scope_id;
}

uint16_t address_port(const struct address *a) {
    return ntohs(a->any.sa_family == AF_INET ? a->v4.sin_port : a->v6.sin6_port);
}

void address_set_port(struct address *a, uint16_t port) {
    if (a->any.sa_family == AF_INET)
        a->v4.sin_port = htons(port);
    else
        a->v6.sin6_port = htons(port);
}

void address_text(const struct address *a, char text[ADDRESS_TEXT]) {
    char host[INET6_ADDRSTRLEN];
    if (a->any.sa_family == AF_INET && inet_ntop(AF_INET, &a->v4.sin_addr, host, sizeof host) != NULL)
        snprintf(text, ADDRESS_TEXT, "%s:%u", host, address_port(a));
    else if (a->any.sa_family == AF_INET6 && inet_ntop(AF_INET6, &a->v6.sin6_addr, host, sizeof host) != NULL)
        snprintf(text, ADDRESS_TEXT, "[%s]:%u", host, address_port(a));
    else
        snprintf(text, ADDRESS_TEXT, "nowhere");
}

bool address_is_loopback(const struct address *a) {
    if (a->any.sa_family == AF_INET) return ntohl(a->v4.sin_addr.s_addr) >> 24 == 127;
    if (a->any.sa_family != AF_INET6) return false;
    const uint8_t *b = a->v6.sin6_addr.s6_addr;
    return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr) || (IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr) && b[12] == 127);
}

bool address_may_listen(const struct address *a, bool has_key, bool encrypted, bool insecure, char *err,
                        size_t err_size) {
    char text[ADDRESS_TEXT];
    if ((has_key && encrypted) || insecure || address_is_loopback(a)) return true;
    address_text(a, text);
    if (!has_key)
        snprintf(
            err, err_size,
            "others can reach %s and there is no cluster key: make one with tagctl keyring generate and give it to "
            "all nodes with --cluster-key, or say --insecure-cluster",
            text);
    else
        snprintf(err, err_size,
                 "others can reach %s and --cluster-links=plain encrypts nothing: leave it out, or say "
                 "--insecure-cluster",
                 text);
    return false;
}
