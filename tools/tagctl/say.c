/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/tagctl/say.h"

#include <stdarg.h>
#include <stdio.h>

void say(const char *form, ...) {
    va_list ap;
    fflush(stdout);
    fputs("tagctl: ", stderr);
    va_start(ap, form);
    vfprintf(stderr, form, ap);
    va_end(ap);
    fputc('\n', stderr);
}
