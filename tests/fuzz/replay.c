/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Runs a fuzz program over stored inputs instead of fuzzing: over the files and folders on the command line, or over
 * tests/fuzz/corpus/X for a program fuzz_X. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static unsigned run;

static int run_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        perror(path);
        return 1;
    }
    static uint8_t buf[1 << 20];
    size_t n = fread(buf, 1, sizeof buf, f);
    fclose(f);
    /* A copy of just this length, so that a sanitizer sees a step beyond it. */
    uint8_t *data = malloc(n ? n : 1);
    memcpy(data, buf, n);
    LLVMFuzzerTestOneInput(data, n);
    free(data);
    run++;
    return 0;
}

static int run_path(const char *path) {
    struct stat st;
    if (stat(path, &st) != 0) {
        perror(path);
        return 1;
    }
    if (!S_ISDIR(st.st_mode)) return run_file(path);
    DIR *d = opendir(path);
    if (d == NULL) {
        perror(path);
        return 1;
    }
    int bad = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char file[4096];
        if (e->d_name[0] == '.') continue;
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        bad |= run_file(file);
    }
    closedir(d);
    return bad;
}

int main(int argc, char **argv) {
    int bad = 0;
    for (int i = 1; i < argc; i++) bad |= run_path(argv[i]);
    if (argc == 1) {
        const char *name = strstr(argv[0], "fuzz_"), *top = getenv("TAGCACHED_SRCDIR");
        char path[4096];
        while (name && strstr(name + 1, "fuzz_")) name = strstr(name + 1, "fuzz_");
        snprintf(path, sizeof path, "%s/tests/fuzz/corpus/%s", top ? top : ".", name ? name + 5 : "");
        bad = run_path(path);
    }
    printf("%u inputs\n", run);
    return bad || run == 0;
}
