/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/openssl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* The name that a program linked to the library of these headers would ask for. */
#define STRING_OF(x) #x
#define LIBRARY_NAME(version) "libssl.so." STRING_OF(version)
#define LIBRARY LIBRARY_NAME(OPENSSL_SHLIB_VERSION)

struct openssl openssl;

static struct {
    pthread_mutex_t lock;
    bool loaded;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* A pointer to a function cannot be assigned from one to data; its bytes can be (POSIX, dlsym). */
static bool find(void *library, const char *name, void *field, size_t bytes, char *err, size_t err_size) {
    void *p = dlsym(library, name);
    if (p == NULL) snprintf(err, err_size, "TLS needs %s with %s, which this one lacks", LIBRARY, name);
    memcpy(field, &p, bytes);
    return p != NULL;
}

static bool load(char *err, size_t err_size) {
    struct openssl all;
    bool ok = true;
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        snprintf(err, err_size, "TLS needs OpenSSL, which cannot be loaded: %s", dlerror());
        return false;
    }
    /* What libssl itself is linked to is searched too: libcrypto's names are found this way. */
#define OPENSSL_FIND(name) ok = ok && find(library, #name, &all.name, sizeof all.name, err, err_size);
    OPENSSL_CALLS(OPENSSL_FIND)
#undef OPENSSL_FIND
    if (ok)
        openssl = all;
    else
        dlclose(library);
    return ok;
}

bool openssl_load(char *err, size_t err_size) {
    pthread_mutex_lock(&state.lock);
    if (!state.loaded) state.loaded = load(err, err_size);
    bool ok = state.loaded;
    pthread_mutex_unlock(&state.lock);
    return ok;
}
