/* SPDX-License-Identifier: BSD-3-Clause */
#include "node_audit.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/audit.h"
#include "settings.h"

int node_audit_new(const struct settings *s, const struct clock *clock, struct log *log, struct audit **out, char *err,
                   size_t err_size) {
    char host[HOST_NAME_MAX + 1] = "";
    struct settings_audit audit;
    *out = NULL;
    (void)settings_audit(s, &audit);
    if (audit.path == NULL) return 0;
    if (gethostname(host, sizeof host) != 0) snprintf(host, sizeof host, "localhost");
    host[HOST_NAME_MAX] = '\0';
    const struct audit_config cfg = {
        .path = audit.path,
        .node = host,
        .key_path = s->audit_hash,
        .required = audit.required,
        .reasons = audit.reasons,
        .clock = clock,
        .log = log,
    };
    return audit_new(&cfg, out, err, err_size);
}
