/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Statistics as the tools read them: names, order, syntax, size. */
#include <ctype.h>
#include <inttypes.h>

#include "tests/unit/talk.h"

/* What memcached shows without being asked for more, in its order. */
static const char *const general[] = {
    "pid",
    "uptime",
    "time",
    "version",
    "libevent",
    "pointer_size",
    "rusage_user",
    "rusage_system",
    "max_connections",
    "curr_connections",
    "total_connections",
    "rejected_connections",
    "connection_structures",
    "response_obj_oom",
    "response_obj_count",
    "response_obj_bytes",
    "read_buf_count",
    "read_buf_bytes",
    "read_buf_bytes_free",
    "read_buf_oom",
    "reserved_fds",
    "cmd_get",
    "cmd_set",
    "cmd_flush",
    "cmd_touch",
    "cmd_meta",
    "get_hits",
    "get_misses",
    "get_expired",
    "get_flushed",
    "delete_misses",
    "delete_hits",
    "incr_misses",
    "incr_hits",
    "decr_misses",
    "decr_hits",
    "cas_misses",
    "cas_hits",
    "cas_badval",
    "touch_hits",
    "touch_misses",
    "store_too_large",
    "store_no_memory",
    "auth_cmds",
    "auth_errors",
    "bytes_read",
    "bytes_written",
    "limit_maxbytes",
    "accepting_conns",
    "listen_disabled_num",
    "time_in_listen_disabled_us",
    "threads",
    "conn_yields",
    "hash_power_level",
    "hash_bytes",
    "hash_is_expanding",
    "slab_reassign_rescues",
    "slab_reassign_chunk_rescues",
    "slab_reassign_inline_reclaim",
    "slab_reassign_busy_items",
    "slab_reassign_busy_deletes",
    "slab_reassign_busy_nomem",
    "slab_reassign_last_busy_status",
    "slab_reassign_running",
    "slabs_moved",
    "lru_crawler_running",
    "lru_crawler_starts",
    "lru_maintainer_juggles",
    "malloc_fails",
    "log_worker_dropped",
    "log_worker_written",
    "log_watcher_skipped",
    "log_watcher_sent",
    "log_watchers",
    "unexpected_napi_ids",
    "round_robin_fallback",
    "bytes",
    "curr_items",
    "total_items",
    "slab_global_page_pool",
    "expired_unfetched",
    "evicted_unfetched",
    "evicted_active",
    "evictions",
    "reclaimed",
    "crawler_reclaimed",
    "crawler_items_checked",
    "lrutail_reflocked",
    "moves_to_cold",
    "moves_to_warm",
    "moves_within_lru",
    "direct_reclaims",
    "lru_bumps_dropped",
    "cmd_purge",
    "cmd_purge_soft",
    "store_expired_at_birth",
    "room_exhausted",
    "bodies_displaced",
    "body_timeouts",
    "holders_closed",
    "tagcached_version",
};
#define GENERAL (sizeof general / sizeof *general)

/* The value of one statistic of a group. */
static void stat_of(int fd, const char *group, const char *want, char *out, size_t max) {
    char request[64], *name, *value;
    snprintf(request, sizeof request, "stats%s%s\r\n", group[0] != '\0' ? " " : "", group);
    char *text = talk_ask(fd, request, "END\r\n"), *p = text;
    out[0] = '\0';
    while (talk_next_stat(&p, &name, &value))
        if (strcmp(name, want) == 0) snprintf(out, max, "%s", value);
    free(text);
    if (out[0] == '\0') fail_msg("no %s in stats %s", want, group);
}

static uint64_t number_of(int fd, const char *group, const char *name) {
    char value[64];
    stat_of(fd, group, name, value, sizeof value);
    return strtoull(value, NULL, 10);
}

static bool is_number(const char *s) {
    size_t n = strspn(s, "0123456789");
    return n > 0 && s[n] == '\0';
}

/* S.UUUUUU, which the Prometheus exporter insists on. */
static bool is_time(const char *s) {
    size_t n = strspn(s, "0123456789");
    return n > 0 && s[n] == '.' && strspn(s + n + 1, "0123456789") == 6 && s[n + 7] == '\0';
}

static void general_has_memcacheds_names_in_its_order(void **state) {
    struct subject *node = talk_node("");
    int fd = talk_open(node);
    char *text = talk_ask(fd, "stats\r\n", "END\r\n"), *p = text, *name, *value;
    (void)state;
    for (size_t i = 0; talk_next_stat(&p, &name, &value); i++) {
        assert_true(i < GENERAL);
        assert_string_equal(name, general[i]);
        if (strncmp(name, "rusage_", 7) == 0)
            assert_true(is_time(value));
        else if (strcmp(name, "slab_reassign_last_busy_status") == 0)
            assert_string_equal(value, "none");
        else if (strstr(name, "version") == NULL && strcmp(name, "libevent") != 0)
            assert_true(is_number(value));
        if (strcmp(name, "version") == 0) assert_string_equal(value, "1.6.45");
    }
    free(text);
    close(fd);
    subject_stop(node);
}

/* collectd reads 4,096 bytes and no more: there must be room left when counters have grown to 13 digits. */
static void general_stays_below_what_collectd_reads(void **state) {
    struct subject *node = talk_node("");
    int fd = talk_open(node);
    char *text = talk_ask(fd, "stats\r\n", "END\r\n"), *p = text, *name, *value;
    size_t bytes = strlen("END\r\n");
    (void)state;
    while (talk_next_stat(&p, &name, &value)) {
        size_t n = strlen(value);
        bytes += strlen("STAT  \r\n") + strlen(name) + (n > 13 ? n : 13);
    }
    assert_true(bytes < 3800);
    free(text);
    close(fd);
    subject_stop(node);
}

/* Prometheus' exporter reports the server as down without these, for each class it finds. */
static void classes_have_what_the_exporter_needs(void **state) {
    static const char *const slabs[] = {
        "1:chunk_size",      "1:chunks_per_page", "1:total_pages", "1:total_chunks", "1:used_chunks", "1:free_chunks",
        "1:free_chunks_end", "1:get_hits",        "1:cmd_set",     "1:delete_hits",  "1:incr_hits",   "1:decr_hits",
        "1:cas_hits",        "1:cas_badval",      "1:touch_hits",  "active_slabs",   "total_malloced"};
    static const char *const items[] = {"number",
                                        "age",
                                        "evicted",
                                        "evicted_nonzero",
                                        "evicted_time",
                                        "evicted_unfetched",
                                        "expired_unfetched",
                                        "outofmemory",
                                        "reclaimed",
                                        "tailrepairs",
                                        "crawler_reclaimed",
                                        "lrutail_reflocked",
                                        "number_hot",
                                        "number_warm",
                                        "number_cold",
                                        "age_hot",
                                        "age_warm",
                                        "mem_requested",
                                        "moves_to_cold",
                                        "moves_to_warm",
                                        "moves_within_lru",
                                        "direct_reclaims",
                                        "hits_to_hot",
                                        "hits_to_warm",
                                        "hits_to_cold",
                                        "hits_to_temp"};
    struct subject *node = talk_node("");
    int fd = talk_open(node);
    char name[64];
    (void)state;
    talk_expect(fd, "stats items\r\n", "END\r\n"); /* no class before there is an item */
    talk_expect(fd, "set a 0 0 1\r\nx\r\n", "STORED\r\n");
    for (size_t i = 0; i < sizeof slabs / sizeof *slabs; i++) (void)number_of(fd, "slabs", slabs[i]);
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        snprintf(name, sizeof name, "items:1:%s", items[i]);
        (void)number_of(fd, "items", name);
    }
    assert_int_equal(number_of(fd, "items", "items:1:number"), 1);
    assert_int_equal(number_of(fd, "slabs", "active_slabs"), 1);
    assert_int_equal(number_of(fd, "slabs", "1:cmd_set"), 1);
    close(fd);
    subject_stop(node);
}

static void settings_have_what_the_exporter_needs(void **state) {
    struct subject *node = talk_node("-c 77 -o track_sizes");
    int fd = talk_open(node);
    char value[64];
    (void)state;
    assert_int_equal(number_of(fd, "settings", "maxconns"), 77);
    stat_of(fd, "settings", "track_sizes", value, sizeof value);
    assert_string_equal(value, "yes");
    talk_expect(fd, "stats detail on\r\n", "OK\r\n");
    stat_of(fd, "settings", "detail_enabled", value, sizeof value);
    assert_string_equal(value, "yes");
    stat_of(fd, "settings", "lru_crawler", value, sizeof value);
    if (strcmp(value, "no") != 0) { /* then the exporter asks for all of these */
        static const char *const more[] = {"lru_crawler_sleep", "lru_crawler_tocrawl", "lru_maintainer_thread",
                                           "hot_lru_pct",       "warm_lru_pct",        "hot_max_factor",
                                           "warm_max_factor"};
        for (size_t i = 0; i < sizeof more / sizeof *more; i++) stat_of(fd, "settings", more[i], value, sizeof value);
    }
    talk_expect(fd, "cache_memlimit 32\r\n", "OK\r\n");
    assert_int_equal(number_of(fd, "settings", "maxbytes"), 32 << 20);
    assert_int_equal(number_of(fd, "", "limit_maxbytes"), 32 << 20);
    close(fd);
    subject_stop(node);
}

static void counters_count_and_reset(void **state) {
    struct subject *node = talk_node("");
    int fd = talk_open(node);
    (void)state;
    talk_expect(fd, "set a 0 0 1\r\nx\r\n", "STORED\r\n");
    talk_expect(fd, "get a b\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n");
    talk_expect(fd, "ms b 1 Gt1,t2\r\nx\r\n", "HD\r\n");
    talk_expect(fd, "purge t1 t3\r\n", "PURGED\r\n");
    talk_expect(fd, "mp t4 I\r\n", "HD\r\n");
    assert_int_equal(number_of(fd, "", "cmd_get"), 2);
    assert_int_equal(number_of(fd, "", "get_hits"), 1);
    assert_int_equal(number_of(fd, "", "cmd_set"), 2);
    assert_int_equal(number_of(fd, "", "curr_connections"), 1);
    assert_true(number_of(fd, "", "cmd_purge") > 0);
    assert_int_equal(number_of(fd, "", "cmd_purge_soft"), 1);
    assert_int_equal(number_of(fd, "tags", "tags_stored"), 2);
    assert_true(number_of(fd, "tags", "purge_table_capacity") > 0);
    assert_true(number_of(fd, "purge", "last_purge_number") > 0);
    assert_true(number_of(fd, "purge", "last_number") >= number_of(fd, "purge", "last_purge_number"));
    talk_expect(fd, "stats reset\r\n", "RESET\r\n");
    assert_int_equal(number_of(fd, "", "cmd_get"), 0);
    assert_int_equal(number_of(fd, "", "cmd_purge"), 0);
    assert_true(number_of(fd, "", "curr_items") > 0); /* gauges stay what they are */
    close(fd);
    subject_stop(node);
}

static void detail_counts_by_prefix(void **state) {
    struct subject *node = talk_node("");
    int fd = talk_open(node);
    (void)state;
    talk_expect(fd, "get before:x\r\n", "END\r\n");
    talk_expect(fd, "stats detail on\r\n", "OK\r\n");
    talk_expect(fd, "get fo:a\r\nset fo:a 0 0 1\r\nb\r\nget fo:a\r\nget zoo\r\ndelete fo:a\r\n",
                "END\r\nSTORED\r\nVALUE fo:a 0 1\r\nb\r\nEND\r\nEND\r\nDELETED\r\n");
    talk_expect(fd, "stats detail dump\r\nmn\r\n", "PREFIX fo get 2 hit 1 set 1 del 1\r\nEND\r\nMN\r\n");
    talk_expect(fd, "stats detail off\r\nget fo:a\r\n", "OK\r\nEND\r\n");
    talk_expect(fd, "stats detail dump\r\n", "PREFIX fo get 2 hit 1 set 1 del 1\r\nEND\r\n");
    talk_expect(fd, "stats reset\r\nstats detail dump\r\n", "RESET\r\nEND\r\n");
    talk_expect(fd, "stats detail\r\n", "CLIENT_ERROR usage: stats detail on|off|dump\r\n");
    talk_expect(fd, "stats detail xx\r\n", "CLIENT_ERROR usage: stats detail on|off|dump\r\n");
    close(fd);
    subject_stop(node);
}

/* A flood of prefixes costs bounded memory. */
static void detail_is_bounded(void **state) {
    enum { PREFIXES = 20000 };
    struct subject *node = talk_node("-t 2");
    int fd = talk_open(node);
    char *text = malloc(PREFIXES * 24), *p = text;
    unsigned lines = 0;
    (void)state;
    talk_expect(fd, "stats detail on\r\n", "OK\r\n");
    for (unsigned i = 0; i < PREFIXES; i++) p += sprintf(p, "mg p%u:x q\r\n", i);
    p += sprintf(p, "mn\r\n");
    char *got = talk_ask(fd, text, "MN\r\n");
    free(got);
    got = talk_ask(fd, "stats detail dump\r\n", "END\r\n");
    for (char *at = got; (at = strstr(at, "PREFIX ")) != NULL; at++) lines++;
    assert_true(lines > 1000 && lines <= 16384);
    free(got);
    free(text);
    close(fd);
    subject_stop(node);
}

static void sizes_are_counted_when_enabled(void **state) {
    struct subject *node = talk_node("-I 2m");
    int fd = talk_open(node);
    char *text, *p, *name, *value, *big = malloc(1500000);
    unsigned items = 0, classes = 0;
    (void)state;
    talk_expect(fd, "stats sizes\r\n", "STAT sizes_status disabled\r\nEND\r\n");
    talk_expect(fd, "stats sizes_enable\r\n", "STAT sizes_status enabled\r\n");
    talk_expect(fd, "stats sizes\r\n", "END\r\n");
    for (unsigned i = 0; i < 100; i++) {
        char set[64];
        snprintf(set, sizeof set, "set key%02u 0 0 1\r\nx\r\n", i);
        talk_expect(fd, set, "STORED\r\n");
    }
    memset(big, 'x', 1500000);
    talk_send(fd, "set big 0 0 1500000\r\n", 21);
    talk_send(fd, big, 1500000);
    talk_expect(fd, "\r\n", "STORED\r\n");
    text = p = talk_ask(fd, "stats sizes\r\n", "END\r\n");
    while (talk_next_stat(&p, &name, &value)) {
        assert_true(is_number(name) && strtoul(name, NULL, 10) % 32 == 0);
        items += (unsigned)strtoul(value, NULL, 10);
        classes++;
    }
    assert_int_equal(items, 101);
    assert_int_equal(classes, 2);
    free(text);
    free(big);
    talk_expect(fd, "stats sizes_disable\r\n", "STAT sizes_status disabled\r\n");
    close(fd);
    subject_stop(node);
}

static void cachedump_speaks_of_one_class(void **state) {
    struct subject *node = talk_node("");
    int fd = talk_open(node);
    (void)state;
    talk_expect(fd, "stats cachedump 1 0\r\n", "END\r\n");
    talk_expect(fd, "set a 0 0 3\r\nabc\r\n", "STORED\r\n");
    talk_expect(fd, "stats cachedump 1 0\r\nmn\r\n", "ITEM a [3 b; 0 s]\r\nEND\r\nMN\r\n");
    talk_expect(fd, "stats cachedump 2 0\r\n", "END\r\n");
    talk_expect(fd, "stats cachedump 63 0\r\n", "END\r\n");
    talk_expect(fd, "stats cachedump 64 0\r\n", "CLIENT_ERROR Illegal slab id\r\n");
    talk_expect(fd, "stats cachedump\r\n", "CLIENT_ERROR bad command line\r\n");
    talk_expect(fd, "stats cachedump 1\r\n", "CLIENT_ERROR bad command line\r\n");
    talk_expect(fd, "stats cachedump x 0\r\n", "CLIENT_ERROR bad command line format\r\n");
    talk_expect(fd, "stats cachedump 1 -1\r\n", "CLIENT_ERROR bad command line format\r\n");
    talk_expect(fd, "set b 0 0 3\r\nabc\r\n", "STORED\r\n");
    char *text = talk_ask(fd, "stats cachedump 1 1\r\n", "END\r\n");
    assert_int_equal(strlen(text), strlen("ITEM a [3 b; 0 s]\r\nEND\r\n"));
    free(text);
    close(fd);
    subject_stop(node);
}

/* Rows that only some options have, in memcached's place. */
static void rows_of_options(void **state) {
    struct subject *node = talk_node("-o idle_timeout=100");
    int fd = talk_open(node);
    (void)state;
    char *text = talk_ask(fd, "stats\r\n", "END\r\n");
    assert_non_null(strstr(text, "\r\nSTAT auth_errors 0\r\nSTAT idle_kicks 0\r\nSTAT bytes_read "));
    assert_null(strstr(text, "ssl_"));
    free(text);
    text = talk_ask(fd, "stats settings\r\n", "END\r\n");
    assert_non_null(strstr(text, "\r\nSTAT num_napi_ids 0\r\nSTAT memory_file (null)\r\nSTAT client_flags_size 4\r\n"));
    free(text);
    close(fd);
    subject_stop(node);
}

static void unknown_groups_are_errors(void **state) {
    struct subject *node = talk_node("");
    int fd = talk_open(node);
    (void)state;
    talk_expect(fd, "stats nothing\r\n", "ERROR\r\n");
    talk_expect(fd, "stats extstore\r\n", "END\r\n");
    close(fd);
    subject_stop(node);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(general_has_memcacheds_names_in_its_order),
        cmocka_unit_test(general_stays_below_what_collectd_reads),
        cmocka_unit_test(classes_have_what_the_exporter_needs),
        cmocka_unit_test(settings_have_what_the_exporter_needs),
        cmocka_unit_test(counters_count_and_reset),
        cmocka_unit_test(detail_counts_by_prefix),
        cmocka_unit_test(detail_is_bounded),
        cmocka_unit_test(sizes_are_counted_when_enabled),
        cmocka_unit_test(cachedump_speaks_of_one_class),
        cmocka_unit_test(rows_of_options),
        cmocka_unit_test(unknown_groups_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
