/* SPDX-License-Identifier: BSD-3-Clause
 *
 * demo-client - this machine's package database in a cluster, through libmemcached.
 *
 *     demo-client tags NODE NODE     stores it through the first node; reads, purges and checks through the other
 *     demo-client owners NODE...     stores and reads it with a ketama client that knows all nodes
 *     demo-client read NODE MOST     reads what `owners` stored through one node: at most MOST may be missing
 *     demo-client steady NODE FILE   reads that at random through one node until FILE exists: nothing may be missing
 *
 * NODE is HOST:PORT. An ordinary client library that has never heard of tags: they travel as a suffix of the key
 * (key|#|t=tag,tag), and a purge is a delete of a key with the suffix |#|p=selector. Every claim that it prints was
 * compared with the database: exit status 0 all true, 1 something was not, 2 usage. Environment: STATUS_FILE, another
 * package database.
 */
#include <inttypes.h>
#include <libmemcached/memcached.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TAGS 4
#define TAG_MAX 200
#define KEY_MAX 250 /* what libmemcached sends as a key */
#define BATCH 100

struct package {
    char key[256];
    const char *stanza;
    size_t stanza_len;
    char tags[TAGS]
             [TAG_MAX + 1]; /* section, source, maintainer, arch; "" when the database has none, or it is too long */
    unsigned gone;          /* the purge that took it, from 1: a miss from here on; 0: must be served */
    bool served;            /* found by the last read */
};

/* The clients of a story. */
struct clients {
    memcached_st *writer, *reader; /* each knows one node, or they are one client that knows all */
};

struct database {
    char *text;
    struct package *p;
    size_t n, tagged;
    uint64_t bytes;
};

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ------------------------------------------------------------------ the package database */

static char *read_file(const char *path) {
    FILE *f = fopen(path, "r");
    if (f == NULL) return NULL;
    char *p = NULL;
    size_t n = 0, cap = 0;
    for (size_t got = 1; got > 0; n += got) {
        if (cap - n < 65536 && (p = realloc(p, cap = cap * 2 + 131072)) == NULL) abort();
        got = fread(p + n, 1, cap - n - 1, f);
    }
    fclose(f);
    p[n] = '\0';
    return p;
}

/* The value of a field of a stanza; false when it has none. */
static bool field(const char *stanza, size_t n, const char *name, const char **value, size_t *len) {
    size_t name_len = strlen(name);
    for (const char *l = stanza, *end = stanza + n; l < end;) {
        const char *nl = memchr(l, '\n', (size_t)(end - l));
        if (nl == NULL) nl = end;
        if ((size_t)(nl - l) > name_len + 2 && memcmp(l, name, name_len) == 0 && l[name_len] == ':') {
            *value = l + name_len + 2;
            *len = (size_t)(nl - *value);
            return true;
        }
        l = nl + 1;
    }
    return false;
}

/* "kind:" and the value, percent-encoded where a tag cannot hold the byte. Leaves the tag empty if that is too long. */
static void make_tag(char *tag, const char *kind, const char *value, size_t n) {
    char out[TAG_MAX * 4];
    size_t at = (size_t)snprintf(out, sizeof out, "%s:", kind);
    for (size_t i = 0; i < n && at <= TAG_MAX; i++) {
        unsigned char c = (unsigned char)value[i];
        bool plain = c > ' ' && c != 127 && c != ',' && c != '+' && c != '%';
        at += (size_t)snprintf(out + at, sizeof out - at, plain ? "%c" : "%%%02X", c);
    }
    if (at <= TAG_MAX) memcpy(tag, out, at + 1);
}

static bool parse_package(struct database *db, const char *stanza, size_t n) {
    const char *name, *v, *arch;
    size_t name_len, len, arch_len;
    if (!field(stanza, n, "Status", &v, &len) || len < 10 || memcmp(v + len - 10, " installed", 10) != 0) return false;
    if (!field(stanza, n, "Package", &name, &name_len) || !field(stanza, n, "Architecture", &arch, &arch_len))
        return false;
    struct package *p = &db->p[db->n];
    memset(p, 0, sizeof *p);
    p->stanza = stanza;
    p->stanza_len = n;
    snprintf(p->key, sizeof p->key, "pkg:%.*s", (int)(name_len < 200 ? name_len : 200), name);
    /* The database is sorted by name: a second architecture of the same package comes right behind the first. */
    if (db->n > 0 && strcmp(db->p[db->n - 1].key, p->key) == 0)
        snprintf(p->key, sizeof p->key, "pkg:%.*s:%.*s", (int)name_len, name, (int)arch_len, arch);
    if (field(stanza, n, "Section", &v, &len)) make_tag(p->tags[0], "section", v, len);
    if (field(stanza, n, "Source", &v, &len))
        make_tag(p->tags[1], "source", v, strcspn(v, " \n"));
    else
        make_tag(p->tags[1], "source", name, name_len);
    if (field(stanza, n, "Maintainer", &v, &len)) make_tag(p->tags[2], "maintainer", v, len);
    make_tag(p->tags[3], "arch", arch, arch_len);
    for (int i = 0; i < TAGS; i++) db->tagged += p->tags[i][0] != '\0';
    db->bytes += n;
    db->n++;
    return true;
}

static bool database_load(struct database *db, const char *path) {
    db->text = read_file(path);
    if (db->text == NULL) return false;
    size_t stanzas = 1;
    for (const char *p = db->text; (p = strstr(p, "\n\n")) != NULL; p += 2) stanzas++;
    db->p = calloc(stanzas, sizeof *db->p);
    if (db->p == NULL) abort();
    for (const char *p = db->text; *p != '\0';) {
        const char *end = strstr(p, "\n\n");
        size_t n = end == NULL ? strlen(p) : (size_t)(end - p) + 1;
        parse_package(db, p, n);
        p += end == NULL ? n : n + 1;
    }
    return db->n > 0;
}

static bool has_tag(const struct package *p, const char *tag) {
    for (int i = 0; i < TAGS; i++)
        if (strcmp(p->tags[i], tag) == 0) return true;
    return false;
}

/* ------------------------------------------------------------------ talking to the node */

static bool fine(memcached_st *mc, memcached_return_t rc, const char *what, const char *key) {
    if (rc == MEMCACHED_SUCCESS || rc == MEMCACHED_STORED) return true;
    printf("  WRONG: %s %s: %s\n", what, key,
           memcached_last_error_message(mc) ? memcached_last_error_message(mc) : memcached_strerror(mc, rc));
    return false;
}

/* Stores a package with as many tags as the library's key limit lets through, and adds the others by empty appends. */
static bool store(memcached_st *mc, const struct package *p) {
    bool first = true;
    for (int i = 0; i < TAGS || first;) {
        char key[KEY_MAX + 1];
        size_t at = (size_t)snprintf(key, sizeof key, "%s", p->key);
        int taken = 0;
        for (; i < TAGS; i++) {
            if (p->tags[i][0] == '\0') continue;
            const char *lead = taken == 0 ? "|#|t=" : ",";
            if (at + strlen(lead) + strlen(p->tags[i]) > KEY_MAX) break;
            at += (size_t)snprintf(key + at, sizeof key - at, "%s%s", lead, p->tags[i]);
            taken++;
        }
        if (taken == 0 && !first) break;
        memcached_return_t rc = first ? memcached_set(mc, key, at, p->stanza, p->stanza_len, 0, 0)
                                      : memcached_append(mc, key, at, "", 0, 0, 0);
        if (!fine(mc, rc, first ? "set" : "append", p->key)) return false;
        first = false;
    }
    return true;
}

static struct package *find(struct database *db, size_t from, size_t to, const char *key, size_t n) {
    for (size_t i = from; i < to; i++)
        if (strlen(db->p[i].key) == n && memcmp(db->p[i].key, key, n) == 0) return &db->p[i];
    return NULL;
}

/* Reads everything back, a hundred keys a request, and compares it with the database. The number of lies found. */
static size_t read_back(memcached_st *mc, struct database *db, size_t *served, double *seconds) {
    size_t wrong = 0;
    double start = now_s();
    *served = 0;
    for (size_t i = 0; i < db->n; i += BATCH) {
        const char *keys[BATCH];
        size_t lens[BATCH], n = 0;
        memcached_return_t rc;
        for (; n < BATCH && i + n < db->n; n++) {
            keys[n] = db->p[i + n].key;
            lens[n] = strlen(keys[n]);
            db->p[i + n].served = false;
        }
        if (!fine(mc, memcached_mget(mc, keys, lens, n), "mget", keys[0])) return 1;
        for (memcached_result_st *r; (r = memcached_fetch_result(mc, NULL, &rc)) != NULL; memcached_result_free(r)) {
            struct package *p = find(db, i, i + n, memcached_result_key_value(r), memcached_result_key_length(r));
            bool same = p != NULL && memcached_result_length(r) == p->stanza_len &&
                        memcmp(memcached_result_value(r), p->stanza, p->stanza_len) == 0;
            if (!same)
                wrong++;
            else
                p->served = true;
            (*served)++;
        }
    }
    *seconds = now_s() - start;
    for (size_t i = 0; i < db->n; i++) {
        struct package *p = &db->p[i];
        if (p->served == (p->gone == 0)) continue;
        if (wrong++ < 5) printf("  WRONG: %s %s\n", p->key, p->gone ? "was purged and is still served" : "is missing");
    }
    return wrong;
}

/* ------------------------------------------------------------------ the story */

static void show_some(const struct database *db, const char *word, unsigned gone, const char *a, const char *b) {
    int shown = 0;
    printf("    %s", word);
    for (size_t i = 0; i < db->n && shown < 5; i++) {
        const struct package *p = &db->p[i];
        bool near = has_tag(p, a) || (b != NULL && has_tag(p, b));
        if (p->gone == gone && near) printf("%s %s", shown++ ? "," : "", p->key + 4);
    }
    printf("%s\n", shown == 5 ? ", ..." : shown == 0 ? " (none)" : "");
}

/* Purges a selector of one or two tags; true if exactly what carries them went. */
static bool purge(const struct clients *c, struct database *db, unsigned number, const char *a, const char *b) {
    char key[KEY_MAX + 1];
    size_t n = (size_t)snprintf(key, sizeof key, "x|#|p=%s%s%s", a, b ? "+" : "", b ? b : "");
    size_t hit = 0, served, live = 0;
    for (size_t i = 0; i < db->n; i++) live += db->p[i].gone == 0;
    for (size_t i = 0; i < db->n; i++)
        if (db->p[i].gone == 0 && has_tag(&db->p[i], a) && (b == NULL || has_tag(&db->p[i], b))) {
            db->p[i].gone = number;
            hit++;
        }
    double start = now_s(), seconds;
    memcached_return_t rc = memcached_delete(c->reader, key, n, 0);
    double took = now_s() - start;
    printf("\n  delete '%s'\n", key);
    if (!fine(c->reader, rc, "delete", key)) return false;
    size_t wrong = read_back(c->reader, db, &served, &seconds);
    printf("    answered in %.0f us; read everything again in %.1f ms: %zu went, %zu stayed\n", took * 1e6,
           seconds * 1e3, live - served, served);
    show_some(db, "went:", number, a, b);
    if (b != NULL) show_some(db, "stayed, with one of the two tags only:", 0, a, b);
    if (hit == 0) printf("    (this machine has no such package)\n");
    return wrong == 0 && live - served == hit;
}

/* How many items that are still served carry both tags, and how many the first but not the second. */
static void count_pair(const struct database *db, const char *a, const char *b, size_t *both, size_t *one) {
    *both = *one = 0;
    for (size_t i = 0; i < db->n; i++) {
        const struct package *p = &db->p[i];
        if (p->gone != 0 || !has_tag(p, a)) continue;
        if (has_tag(p, b))
            (*both)++;
        else
            (*one)++;
    }
}

/* A section and an architecture that show a conjunction well: Python's pure packages, or what this machine has where
 * some items carry both and some only one. */
static void choose_pair(const struct database *db, const char **a, const char **b) {
    size_t best = 0, both, one;
    *a = "section:python";
    *b = "arch:all";
    count_pair(db, *a, *b, &both, &one);
    if (both > 0 && one > 0) return;
    for (size_t i = 0; i < db->n; i++) {
        const struct package *p = &db->p[i];
        if (p->gone != 0 || p->tags[0][0] == '\0') continue;
        count_pair(db, p->tags[0], p->tags[3], &both, &one);
        size_t good = both < one ? both : one;
        if (good <= best) continue;
        best = good;
        *a = p->tags[0];
        *b = p->tags[3];
    }
}

/* What is stored after a purge stays, whatever it is tagged. */
static bool store_again(const struct clients *c, struct database *db) {
    size_t i = 0, served;
    double seconds;
    while (i < db->n && db->p[i].gone == 0) i++;
    if (i == db->n) return true;
    db->p[i].gone = 0;
    printf("\n  set '%s' again, with the same tags\n", db->p[i].key);
    if (!store(c->writer, &db->p[i])) return false;
    if (read_back(c->reader, db, &served, &seconds) != 0) return false;
    printf("    it is served: a purge takes what was stored before it, never what comes after\n");
    return true;
}

static bool load(const struct clients *c, struct database *db) {
    size_t served;
    double start = now_s(), seconds;
    for (size_t i = 0; i < db->n; i++)
        if (!store(c->writer, &db->p[i])) return false;
    double took = now_s() - start;
    printf("  stored %zu packages, %.1f KiB, with %zu tags, in %.1f ms (one request each, waiting for each answer)\n",
           db->n, (double)db->bytes / 1024, db->tagged, took * 1e3);
    printf("    for instance '%s' with\n", db->p[0].key);
    for (int i = 0; i < TAGS; i++)
        if (db->p[0].tags[i][0] != '\0') printf("      %s\n", db->p[0].tags[i]);
    if (read_back(c->reader, db, &served, &seconds) != 0) return false;
    printf("  read all %zu back through the other node in %.1f ms, a hundred a request: byte for byte the same\n",
           served, seconds * 1e3);
    return true;
}

/* ------------------------------------------------------------------ the four stories */

static bool add_server(memcached_st *mc, const char *node) {
    char host[256];
    const char *colon = strrchr(node, ':');
    if (colon == NULL || (size_t)(colon - node) >= sizeof host) return false;
    memcpy(host, node, (size_t)(colon - node));
    host[colon - node] = '\0';
    return memcached_server_add(mc, host, (in_port_t)atoi(colon + 1)) == MEMCACHED_SUCCESS;
}

/* A client that knows these nodes; more than one: it hashes as the ring of the cluster does. */
static memcached_st *client(char **nodes, int n) {
    memcached_st *mc = memcached_create(NULL);
    if (mc == NULL) abort();
    memcached_behavior_set(mc, MEMCACHED_BEHAVIOR_TCP_NODELAY, 1);
    if (n > 1) memcached_behavior_set(mc, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1);
    for (int i = 0; i < n; i++)
        if (!add_server(mc, nodes[i])) {
            fprintf(stderr, "%s: a node is written HOST:PORT\n", nodes[i]);
            exit(2);
        }
    return mc;
}

static bool tell_tags(struct database *db, char **nodes) {
    const struct clients c = {client(nodes, 1), client(nodes + 1, 1)};
    const char *section, *arch;
    bool good = load(&c, db) && purge(&c, db, 1, "section:libs", NULL);
    choose_pair(db, &section, &arch);
    good = good && purge(&c, db, 2, section, arch) && store_again(&c, db);
    memcached_free(c.writer);
    memcached_free(c.reader);
    return good;
}

/* Keys without tags, under another name: "copy:NAME". */
static void name_copies(struct database *db) {
    for (size_t i = 0; i < db->n; i++) {
        char key[sizeof db->p[i].key];
        snprintf(key, sizeof key, "copy:%.*s", (int)sizeof key - 6, db->p[i].key + 4);
        memcpy(db->p[i].key, key, sizeof key);
        for (int t = 0; t < TAGS; t++) db->p[i].tags[t][0] = '\0';
    }
}

static bool tell_owners(struct database *db, char **nodes, int n) {
    memcached_st *mc = client(nodes, n);
    size_t served;
    double seconds;
    bool good = true;
    name_copies(db);
    for (size_t i = 0; i < db->n && good; i++) good = store(mc, &db->p[i]);
    good = good && read_back(mc, db, &served, &seconds) == 0;
    if (good) printf("  stored %zu keys and read them back, with all %d nodes in the client's list\n", db->n, n);
    memcached_free(mc);
    return good;
}

/* Reads one key a request: a node that is away may make some of them miss or fail, and no other. */
static bool tell_read(struct database *db, char **nodes, const char *most) {
    memcached_st *mc = client(nodes, 1);
    size_t missing = 0, wrong = 0;
    name_copies(db);
    for (size_t i = 0; i < db->n; i++) {
        const struct package *p = &db->p[i];
        size_t n;
        uint32_t flags;
        memcached_return_t rc;
        char *value = memcached_get(mc, p->key, strlen(p->key), &n, &flags, &rc);
        if (value == NULL)
            missing++;
        else
            wrong += n != p->stanza_len || memcmp(value, p->stanza, n) != 0;
        free(value);
    }
    printf("  read all %zu keys through %s: %zu hits, %zu misses or errors\n", db->n, nodes[0], db->n - missing,
           missing);
    memcached_free(mc);
    return wrong == 0 && missing <= strtoul(most, NULL, 10);
}

struct tally {
    size_t reads, hits, errors, wrong;
    double lowest; /* of the hit ratios of tenths of a second */
};

/* Reads one key at random, which begins a new tenth of a second now and then. */
static void read_one(memcached_st *mc, const struct package *p, struct tally *all, struct tally *tenth) {
    size_t n;
    uint32_t flags;
    memcached_return_t rc;
    char *value = memcached_get(mc, p->key, strlen(p->key), &n, &flags, &rc);
    bool same = value != NULL && n == p->stanza_len && memcmp(value, p->stanza, n) == 0;
    all->reads++, tenth->reads++;
    if (value != NULL) all->hits++, tenth->hits++;
    if (value != NULL && !same) all->wrong++;
    if (value == NULL && rc != MEMCACHED_NOTFOUND) all->errors++;
    free(value);
}

static bool tell_steady(struct database *db, char **nodes, const char *file) {
    memcached_st *mc = client(nodes, 1);
    struct tally all = {.lowest = 1}, tenth = {0};
    uint64_t random = 42;
    double begun = now_s(), since = begun;
    name_copies(db);
    while (access(file, F_OK) != 0) {
        for (int i = 0; i < 50; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            read_one(mc, &db->p[(random >> 33) % db->n], &all, &tenth);
        }
        if (now_s() - since < 0.1) continue;
        double ratio = (double)tenth.hits / (double)tenth.reads;
        if (ratio < all.lowest) all.lowest = ratio;
        tenth = (struct tally){0};
        since = now_s();
    }
    printf("  meanwhile %zu reads in %.1f s through %s: hit ratio %.3f %%, in the worst tenth of a second %.2f %%; %zu "
           "errors\n",
           all.reads, now_s() - begun, nodes[0], 100 * (double)all.hits / (double)(all.reads ? all.reads : 1),
           100 * all.lowest, all.errors);
    memcached_free(mc);
    /* Nothing that was stored is gone. One read in a hundred is for a machine that is too busy to answer in time. */
    return all.wrong == 0 && all.errors == 0 && all.hits >= all.reads - all.reads / 100;
}

int main(int argc, char **argv) {
    const char *verb = argc > 1 ? argv[1] : "", *path = getenv("STATUS_FILE");
    const bool tags = strcmp(verb, "tags") == 0 && argc == 4, owners = strcmp(verb, "owners") == 0 && argc > 3;
    const bool reads = strcmp(verb, "read") == 0 && argc == 4, steady = strcmp(verb, "steady") == 0 && argc == 4;
    if (!tags && !owners && !reads && !steady) {
        fputs("usage: demo-client tags NODE NODE | owners NODE NODE... | read NODE MOST | steady NODE FILE\n", stderr);
        return 2;
    }
    struct database db = {0};
    if (path == NULL) path = "/var/lib/dpkg/status";
    if (!database_load(&db, path)) {
        fprintf(stderr, "%s: no installed packages found there\n", path);
        return 2;
    }
    const bool good = tags     ? tell_tags(&db, argv + 2)
                      : owners ? tell_owners(&db, argv + 2, argc - 2)
                      : steady ? tell_steady(&db, argv + 2, argv[3])
                               : tell_read(&db, argv + 2, argv[3]);
    if (tags || !good)
        printf("\n  %s\n", good ? "Everything above was checked against the package database, item by item."
                                : "WRONG: what the nodes served is not what the package database says.");
    free(db.p);
    free(db.text);
    return good ? 0 : 1;
}
