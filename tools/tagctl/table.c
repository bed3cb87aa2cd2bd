/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/tagctl/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CELL 512

/* --- numbers as people like them -------------------------------------------------------------------------------- */

static const char *const binary_units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
static const char *const decimal_units[] = {"", "k", "M", "G", "T", "P"};

/* Two or three digits and a unit: the largest of which there is one at least. */
static unsigned scale(double *n, double step) {
    unsigned unit = 0;
    for (; unit < 5 && *n >= step; unit++) *n /= step;
    return unit;
}

static void two_digits(char to[32], double n) {
    snprintf(to, 32, n < 9.95 ? "%.1f" : "%.0f", n);
}

void text_count(char to[32], double n) {
    unsigned unit = scale(&n, 1000);
    if (unit) {
        two_digits(to, n);
        strcat(to, decimal_units[unit]);
    } else {
        snprintf(to, 32, n < 10 && n != floor(n) ? "%.1f" : "%.0f", n);
    }
}

void text_bytes(char to[32], double n) {
    unsigned unit = scale(&n, 1024);
    if (unit)
        two_digits(to, n);
    else
        snprintf(to, 32, "%.0f", n);
    strcat(strcat(to, " "), binary_units[unit]);
}

static void text_bytes_of(char to[CELL], double used, double limit) {
    char u[32], l[32];
    unsigned unit = scale(&limit, 1024);
    used /= pow(1024, unit);
    two_digits(l, limit);
    snprintf(u, sizeof u, "%.1f", used);
    snprintf(to, CELL, "%s/%s %s", u, l, binary_units[unit]);
}

void text_grouped(char to[32], double n) {
    char digits[32];
    int len = snprintf(digits, sizeof digits, "%.0f", n);
    char *p = to;
    for (int i = 0; i < len && p < to + 30; i++) {
        if (i && (len - i) % 3 == 0 && digits[i - 1] != '-') *p++ = ',';
        *p++ = digits[i];
    }
    *p = 0;
}

/* --- filling ----------------------------------------------------------------------------------------------------- */

void table_init(struct table *t, const struct table_column *columns, unsigned ncolumns) {
    *t = (struct table){.columns = columns, .ncolumns = ncolumns};
}

void table_free(struct table *t) {
    for (unsigned i = 0; i < t->n; i++) free(t->cells[i].text);
    free(t->cells);
    t->cells = NULL;
    t->n = t->room = 0;
}

static struct table_cell *next_cell(struct table *t) {
    if (t->n == t->room) {
        unsigned room = t->room * 2 + 64;
        struct table_cell *cells = realloc(t->cells, room * sizeof *cells);
        if (!cells) exit(complain(FAILED, "no memory"));
        t->cells = cells;
        t->room = room;
    }
    t->cells[t->n] = (struct table_cell){NULL, NAN};
    return &t->cells[t->n++];
}

void table_text(struct table *t, const char *text) {
    struct table_cell *cell = next_cell(t);
    if (text && !(cell->text = strdup(text))) exit(complain(FAILED, "no memory"));
}

void table_number(struct table *t, double number) {
    next_cell(t)->number = number;
}

static bool is_text(enum table_kind kind) {
    return kind == TABLE_TEXT || kind == TABLE_STATE || kind == TABLE_YESNO;
}

/* --- printing ---------------------------------------------------------------------------------------------------- */

/* What comes from a node goes to the terminal as printable bytes. */
static void clean(char *p) {
    for (; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f) *p = '?';
}

static void show(char to[CELL], const struct table_cell *cell, enum table_kind kind) {
    double x = cell->number;
    if (is_text(kind) ? !cell->text : isnan(x)) {
        strcpy(to, "-");
        return;
    }
    switch (kind) {
    case TABLE_TEXT:
    case TABLE_YESNO:
    case TABLE_STATE: snprintf(to, CELL, "%s", cell->text); break;
    case TABLE_COUNT: text_count(to, x); break;
    case TABLE_NUMBER: snprintf(to, CELL, "%.0f", x); break;
    case TABLE_BYTES: text_bytes(to, x); break;
    case TABLE_BYTES_OF: text_bytes_of(to, x, cell[1].number); break;
    case TABLE_SHARE: snprintf(to, CELL, "%.1f%%", 100 * x); break;
    case TABLE_PERCENT: snprintf(to, CELL, "%.1f", 100 * x); break;
    case TABLE_MS:
        if (x < 10000)
            snprintf(to, CELL, x < 10 ? "%.2g ms" : "%.0f ms", x);
        else
            snprintf(to, CELL, "%.0f s", x / 1000);
        break;
    }
    clean(to);
}

static void show_exact(char to[CELL], const struct table_cell *cell, enum table_kind kind) {
    double x = cell->number;
    if (is_text(kind) || isnan(x)) {
        show(to, cell, TABLE_TEXT);
    } else if (x == floor(x)) {
        snprintf(to, CELL, "%.0f", x);
    } else {
        snprintf(to, CELL, "%.6g", x);
    }
}

static const char *colour_of(const struct ctl *c, enum table_kind kind, const char *text) {
    if (!c->colour || (kind != TABLE_STATE && kind != TABLE_YESNO) || !strcmp(text, "-")) return "";
    if (!strcmp(text, "alive") || !strcmp(text, "confirmed") || !strcmp(text, "yes")) return "\033[32m";
    if (!strcmp(text, "dead") || !strcmp(text, "ejected") || !strcmp(text, "no")) return "\033[31m";
    return "\033[33m";
}

/* Numbers stand to the right, texts to the left; nothing is put behind the last text. */
static void print_table(const struct table *t, const struct ctl *c) {
    int width[64] = {0};
    unsigned rows = t->n / t->ncolumns, last = 0;
    char text[CELL];
    for (unsigned i = 0; i < t->ncolumns; i++) {
        if (!t->columns[i].heading) continue;
        last = i;
        width[i] = (int)strlen(t->columns[i].heading);
        for (unsigned r = 0; r < rows; r++) {
            show(text, &t->cells[r * t->ncolumns + i], t->columns[i].kind);
            if ((int)strlen(text) > width[i]) width[i] = (int)strlen(text);
        }
    }
    for (unsigned r = 0; r <= rows && rows; r++) {
        for (unsigned i = 0; i <= last; i++) {
            const struct table_column *col = &t->columns[i];
            if (!col->heading) continue;
            if (r)
                show(text, &t->cells[(r - 1) * t->ncolumns + i], col->kind);
            else
                snprintf(text, sizeof text, "%s", col->heading);
            const char *colour = r ? colour_of(c, col->kind, text) : "", *end = *colour ? "\033[0m" : "";
            int pad = width[i] - (int)strlen(text);
            if (is_text(col->kind))
                printf("%s%s%s%*s", colour, text, end, i == last ? 0 : pad, "");
            else
                printf("%*s%s", pad, "", text);
            fputs(i == last ? "\n" : "  ", stdout);
        }
    }
}

void table_print(const struct table *t, const struct ctl *c) {
    char text[CELL];
    if (c->output == OUTPUT_TABLE) {
        print_table(t, c);
        return;
    }
    for (unsigned i = 0; i < t->n; i++) {
        show_exact(text, &t->cells[i], t->columns[i % t->ncolumns].kind);
        printf("%s%c", text, (i + 1) % t->ncolumns ? '\t' : '\n');
    }
}

/* --- JSON -------------------------------------------------------------------------------------------------------- */

json_t *json_text(const char *text) {
    if (!text) return json_null();
    json_t *j = json_string(text);
    if (j) return j;
    char *copy = strdup(text);
    if (!copy) exit(complain(FAILED, "no memory"));
    for (char *p = copy; *p; p++)
        if ((unsigned char)*p >= 0x80) *p = '?';
    j = json_string(copy);
    free(copy);
    return j;
}

json_t *json_number(double number) {
    if (!isfinite(number)) return json_null();
    return number == floor(number) && fabs(number) < 1e15 ? json_integer((json_int_t)number) : json_real(number);
}

static json_t *cell_json(const struct table_cell *cell, enum table_kind kind) {
    if (kind == TABLE_YESNO) return cell->text ? json_boolean(!strcmp(cell->text, "yes")) : json_null();
    return is_text(kind) ? json_text(cell->text) : json_number(cell->number);
}

json_t *table_json(const struct table *t) {
    json_t *rows = json_array(), *row = NULL;
    for (unsigned i = 0; i < t->n; i++) {
        const struct table_column *col = &t->columns[i % t->ncolumns];
        if (i % t->ncolumns == 0) json_array_append_new(rows, row = json_object());
        json_object_set_new(row, col->key, cell_json(&t->cells[i], col->kind));
    }
    return rows;
}

void json_print(json_t *j) {
    json_dumpf(j, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(j);
}
