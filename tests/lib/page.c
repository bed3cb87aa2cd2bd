/* SPDX-License-Identifier: BSD-3-Clause */
#include "page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_MAX (1u << 20) /* bytes of a page */

char *page_read(const char *path) {
    const char *top = getenv("TAGCACHED_SRCDIR");
    char name[4096], *text = malloc(PAGE_MAX + 2);
    snprintf(name, sizeof name, "%s/%s", top == NULL ? "." : top, path);
    FILE *f = fopen(name, "re");
    if (f == NULL || text == NULL) {
        if (f != NULL) fclose(f);
        free(text);
        return NULL;
    }
    text[0] = '\n';
    text[1 + fread(text + 1, 1, PAGE_MAX, f)] = '\0';
    fclose(f);
    return text;
}

bool page_holds(const char *path, const char *lines) {
    char *text = page_read(path);
    bool holds = false;
    for (const char *p = text; !holds && p != NULL && (p = strstr(p, lines)) != NULL; p++) holds = p[-1] == '\n';
    free(text);
    return holds;
}
