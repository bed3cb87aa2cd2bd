/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_watch_line.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/sync.h"
#include "cmd/request.h"
#include "store/store.h"

char *cmd_watch_escape(char *out, const char *p, size_t n) {
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                     c == '.' || c == '_' || c == '~';
        if (plain) {
            *out++ = (char)c;
        } else {
            *out++ = '%';
            *out++ = hex[c >> 4];
            *out++ = hex[c & 15];
        }
    }
    return out;
}

/* Seconds left, as item_store's ttl: 0 for no expiry. */
static int64_t ttl_left(uint32_t expiry, uint32_t now) {
    return expiry == 0 ? 0 : store_ttl(expiry, now);
}

/* What follows the type and the key. */
static int format_rest(const struct watch_event *n, const char *text, uint32_t now, char *out, size_t max) {
    const char *yes = n->flag ? "yes" : "no";
    switch ((enum watch_kind)n->kind) {
    case WATCH_GET:
        return snprintf(out, max, " status=%s clsid=%d cfd=%d size=%" PRIu64, n->status, n->flag, n->fd, n->size);
    case WATCH_STORE:
        return snprintf(out, max, " status=%s cmd=%s ttl=%" PRId64 " clsid=1 cfd=%d size=%" PRIu64, n->status, n->cmd,
                        ttl_left(n->expiry, now), n->fd, n->size);
    case WATCH_DELETED: return snprintf(out, max, " cmd=%s clsid=1 size=%" PRIu64, n->cmd, n->size);
    case WATCH_EVICTION:
        return snprintf(out, max, " fetch=%s ttl=%" PRId64 " la=0 clsid=1 size=%" PRIu64, yes,
                        n->expiry == 0 ? -1 : ttl_left(n->expiry, now), n->size);
    case WATCH_CONN_NEW:
        return snprintf(out, max, " rip=%.*s rport=%u transport=%s cfd=%d", n->text_len, text, n->rport, n->status,
                        n->fd);
    case WATCH_CONN_CLOSE:
        return snprintf(out, max, " rip=%.*s rport=%u transport=%s reason=%s cfd=%d", n->text_len, text, n->rport,
                        n->status, n->cmd != NULL ? n->cmd : "normal", n->fd);
    case WATCH_TAGS: return snprintf(out, max, " cmd=%s ntags=%u cfd=%d", n->cmd, n->ntags, n->fd);
    case WATCH_PURGE:
    case WATCH_RAWCMD:
    case WATCH_SYSEVENT: break;
    }
    return 0;
}

/* The kinds that end in escaped text: too long for a formatted buffer. */
static char *format_text(const struct watch_event *n, const char *text, char *p) {
    if (n->kind == WATCH_PURGE) {
        p += sprintf(p, " cmd=%s soft=%s number=%" PRIu64 " cfd=%d sel=", n->cmd, n->flag ? "yes" : "no", n->number,
                     n->fd);
        return cmd_watch_escape(p, text, n->text_len);
    }
    if (n->kind == WATCH_RAWCMD) {
        p += sprintf(p, " cfd=%d cmd=", n->fd);
        return cmd_watch_escape(p, text, n->text_len);
    }
    if (n->kind == WATCH_SYSEVENT && n->text_len > 0) {
        *p++ = ' ';
        memcpy(p, text, n->text_len);
        p += n->text_len;
    }
    return p;
}

size_t cmd_watch_format(const struct watch_event *n, const char *key, const char *text, uint32_t now, char *out) {
    static const char *const types[] = {
        [WATCH_GET] = "item_get",      [WATCH_STORE] = "item_store",  [WATCH_DELETED] = "deleted",
        [WATCH_EVICTION] = "eviction", [WATCH_CONN_NEW] = "conn_new", [WATCH_CONN_CLOSE] = "conn_close",
        [WATCH_RAWCMD] = "rawcmd",     [WATCH_TAGS] = "tags",         [WATCH_PURGE] = "purge",
    };
    const char *type = n->kind == WATCH_SYSEVENT ? n->status : types[n->kind];
    char *p = out;
    p += sprintf(p, "ts=%" PRId64 ".%06d gid=%" PRIu64 " type=%s", n->time_us / 1000000, (int)(n->time_us % 1000000),
                 n->gid, type);
    if (n->key_len > 0) {
        p += sprintf(p, " key=");
        p = cmd_watch_escape(p, key, n->key_len);
    }
    int rest = format_rest(n, text, now, p, 256);
    p += rest < 256 ? rest : 255;
    p = format_text(n, text, p);
    *p++ = '\n';
    return (size_t)(p - out);
}

/* ------------------------------------------------------------------ the ring */

static void copy_in(struct watch_ring *r, uint64_t at, const void *p, size_t n) {
    if (n == 0) return;
    size_t i = at & (r->size - 1), first = r->size - i;
    if (first > n) first = n;
    memcpy(r->buf + i, p, first);
    memcpy(r->buf, (const char *)p + first, n - first);
}

static void copy_out(const struct watch_ring *r, uint64_t at, void *p, size_t n) {
    if (n == 0) return;
    size_t i = at & (r->size - 1), first = r->size - i;
    if (first > n) first = n;
    memcpy(p, r->buf + i, first);
    memcpy((char *)p + first, r->buf, n - first);
}

bool cmd_watch_ring_put(struct watch_ring *r, const struct watch_event *n, const char *key, const char *text) {
    uint64_t tail = r->tail;
    size_t need = sizeof *n + n->key_len + n->text_len;
    if (tail - sync_load_acq(&r->head) + need > r->size) {
        sync_bump(&r->skipped, 1);
        return false;
    }
    copy_in(r, tail, n, sizeof *n);
    copy_in(r, tail + sizeof *n, key, n->key_len);
    copy_in(r, tail + sizeof *n + n->key_len, text, n->text_len);
    /* Sequentially consistent against the taker going to sleep: either it sees this event or we see it asleep. */
    sync_store_seq(&r->tail, tail + need);
    return true;
}

bool cmd_watch_ring_peek(const struct watch_ring *r, struct watch_event *n) {
    if (sync_load_seq(&r->tail) == r->head) return false;
    copy_out(r, r->head, n, sizeof *n);
    return true;
}

void cmd_watch_ring_take(struct watch_ring *r, const struct watch_event *n, char *key, char *text) {
    uint64_t at = r->head + sizeof *n;
    copy_out(r, at, key, n->key_len);
    copy_out(r, at + n->key_len, text, n->text_len);
    sync_store_rel(&r->head, at + n->key_len + n->text_len);
}
