/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/tagctl/say.h"

#include <stdarg.h>
#include <stdio.h>

static bool silent;

void say_nothing(bool nothing) {
    silent = nothing;
}

void say(const char *form, ...) {
    va_list ap;
    if (silent) return;
    fflush(stdout);
    fputs("tagctl: ", stderr);
    va_start(ap, form);
    vfprintf(stderr, form, ap);
    va_end(ap);
    fputc('\n', stderr);
}
