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

/* Whether a page's text has these lines, whole. */
static bool has_lines(const char *text, const char *lines) {
    bool has = false;
    for (const char *p = text; !has && (p = strstr(p, lines)) != NULL; p++) has = p[-1] == '\n';
    return has;
}

bool page_holds(const char *path, const char *lines, char *missing, size_t max) {
    char *text = page_read(path);
    const bool holds = text != NULL && has_lines(text, lines);
    snprintf(missing, max, "%s should have these lines right behind each other", path);
    for (const char *line = lines; !holds && text != NULL && *line != '\0'; line = strchr(line, '\n') + 1) {
        char one[1024];
        snprintf(one, sizeof one, "%.*s", (int)(strchr(line, '\n') + 1 - line), line);
        if (has_lines(text, one)) continue;
        snprintf(missing, max, "%s should have this line:\n%s", path, one);
        break;
    }
    free(text);
    return holds;
}
