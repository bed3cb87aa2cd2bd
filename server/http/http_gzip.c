/* SPDX-License-Identifier: BSD-3-Clause */
#include "http/http_gzip.h"

#include <stdlib.h>
#include <zlib.h>

#include "http/http_quality.h"

#define LEVEL 1                 /* a page of metrics becomes a tenth in a third of a millisecond; more gains little */
#define WINDOW (MAX_WBITS + 16) /* with gzip's header instead of zlib's */
#define MEMORY 8                /* zlib's default */

bool http_gzip_wanted(const struct http_request *r) {
    const struct text_token accept = http_request_first(r, "Accept-Encoding");
    return http_quality(accept.p, accept.n, "gzip") > 0;
}

char *http_gzip(const char *p, size_t n, size_t *size) {
    z_stream z = {0};
    if (deflateInit2(&z, LEVEL, Z_DEFLATED, WINDOW, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK) return NULL;
    const uLong most = deflateBound(&z, n);
    char *out = malloc(most);
    if (out != NULL) {
        z.next_in = (Bytef *)(size_t)p;
        z.avail_in = (uInt)n;
        z.next_out = (Bytef *)out;
        z.avail_out = (uInt)most;
        const int r = deflate(&z, Z_FINISH);
        *size = z.total_out;
        if (r != Z_STREAM_END) {
            free(out);
            out = NULL;
        }
    }
    (void)deflateEnd(&z);
    return out;
}
