/* SPDX-License-Identifier: BSD-3-Clause */
#include "page.h"

#include <stdbool.h>
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

char *page_lacks(const char *path, const char *lines) {
    char *text = page_read(path);
    if (text == NULL) return strdup("the page cannot be read");
    char *lacks = has_lines(text, lines) ? NULL : strdup("these lines right behind each other");
    for (const char *line = lines, *end; lacks != NULL && *line != '\0'; line = end) {
        end = strchr(line, '\n') + 1;
        char *one = strndup(line, (size_t)(end - line));
        if (!has_lines(text, one)) {
            free(lacks);
            lacks = one;
            break;
        }
        free(one);
    }
    free(text);
    return lacks;
}
