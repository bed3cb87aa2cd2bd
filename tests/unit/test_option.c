/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Options: what is accepted and what is refused, from the command line, -o and a configuration file. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "settings.h"

static struct settings s;
static struct option_report report;

/* Parses a line whose words are parted by blanks. */
static int parse(const char *line) {
    char *argv[64], *save = NULL, *copy = strdup(line);
    int argc = 0;
    argv[argc++] = (char *)(uintptr_t) "tagcached";
    for (char *w = strtok_r(copy, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) argv[argc++] = w;
    argv[argc] = NULL;
    settings_fini(&s);
    assert_int_equal(settings_init(&s), 0);
    int r = settings_parse(&s, argc, argv, &report);
    free(copy);
    return r;
}

static void good(const char *line) {
    if (parse(line) != 0) fail_msg("%s: %s", line, report.error);
}

static void bad(const char *line, const char *part) {
    if (parse(line) != -EINVAL) fail_msg("taken: %s", line);
    if (strstr(report.error, part) == NULL) fail_msg("%s: \"%s\" does not say \"%s\"", line, report.error, part);
}

struct found {
    const char *name;
    char value[256];
    unsigned n;
};

static void find(void *arg, const char *name, const char *value) {
    struct found *f = arg;
    if (strcmp(f->name, name) != 0) return;
    snprintf(f->value, sizeof f->value, "%s", value);
    f->n++;
}

/* The line of `stats settings` must be there once and say this. */
static void shown(const char *name, const char *value) {
    struct found f = {.name = name};
    settings_each(&s, find, &f);
    if (f.n != 1) fail_msg("%s is shown %u times", name, f.n);
    assert_string_equal(f.value, value);
}

static void defaults_are_memcacheds(void **state) {
    static const char *const rows[][2] = {
        {"maxbytes", "67108864"},
        {"maxconns", "1024"},
        {"tcpport", "11211"},
        {"udpport", "0"},
        {"inter", "NULL"},
        {"verbosity", "0"},
        {"oldest", "0"},
        {"evictions", "on"},
        {"domain_socket", "NULL"},
        {"umask", "700"},
        {"shutdown_command", "no"},
        {"growth_factor", "1.25"},
        {"chunk_size", "48"},
        {"num_threads", "4"},
        {"stat_key_prefix", ":"},
        {"detail_enabled", "no"},
        {"reqs_per_event", "20"},
        {"cas_enabled", "yes"},
        {"tcp_backlog", "1024"},
        {"binding_protocol", "auto-negotiate"},
        {"auth_enabled_sasl", "no"},
        {"auth_enabled_ascii", "no"},
        {"item_size_max", "1048576"},
        {"maxconns_fast", "yes"},
        {"flush_enabled", "yes"},
        {"dump_enabled", "yes"},
        {"idle_timeout", "0"},
        {"track_sizes", "no"},
        {"ssl_enabled", "no"},
        {"ssl_min_version", "tlsv1.2"},
        {"ssl_keyformat", "1"},
        {"ssl_wbuf_size", "16384"},
        {"temporary_ttl", "61"},
        {"lru_crawler", "yes"},
        {"key_tags", "|#|"},
        {"prefix_tags", "NULL"},
    };
    (void)state;
    good("");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) shown(rows[i][0], rows[i][1]);
    assert_string_equal(report.ignored, "");
}

static void first_name(void *arg, const char *name, const char *value) {
    char *order = arg;
    (void)value;
    if (strlen(order) < 200) sprintf(order + strlen(order), "%s ", name);
}

static void memcacheds_order_is_kept(void **state) {
    char order[512] = "";
    (void)state;
    good("");
    settings_each(&s, first_name, order);
    assert_memory_equal(order,
                        "maxbytes maxconns tcpport udpport inter verbosity oldest evictions domain_socket umask ", 87);
}

static void short_and_long(void **state) {
    (void)state;
    good("-p 1 -m 100 -c 5 -t 2 -b 7 -R 3 -I 2m -a 770 -CAFXWMvv -P /p -u me -Y /f -D _");
    assert_int_equal(s.port, 1);
    assert_int_equal(s.memory_limit, 100 << 20);
    assert_int_equal(s.max_connections, 5);
    assert_int_equal(s.item_size_max, 2 << 20);
    assert_int_equal(s.unix_mask, 0770);
    assert_int_equal(s.verbose, 2);
    assert_false(s.cas || s.flush || s.dump || s.watch || s.evict);
    assert_true(s.shutdown);
    assert_string_equal(s.pid_file, "/p");
    shown("detail_enabled", "yes");
    shown("stat_key_prefix", "_");
    shown("auth_enabled_ascii", "yes");
    shown("evictions", "off");
    shown("umask", "770");
    good("--port=1 --memory-limit 2g --disable-cas --max-item-size=1k --key-tags=off --prefix-tags=: --listen=a,b:1 -l "
         "c");
    assert_int_equal(s.memory_limit, INT64_C(2) << 30);
    assert_int_equal(s.item_size_max, 1024);
    assert_null(settings_key_tags(&s));
    assert_int_equal(s.prefix_tags, ':');
    assert_int_equal(s.listen.n, 3);
    shown("inter", "a,b:1,c");
    good("--key-tags=on");
    assert_string_equal(settings_key_tags(&s), "|#|");
    good("--key-tags=@@");
    assert_string_equal(settings_key_tags(&s), "@@");
}

static void extended(void **state) {
    (void)state;
    good("-o no_maxconns_fast,idle_timeout=30,track_sizes -o ssl_min_version=3,ssl_keyformat=der,ssl_wbuf_size=32");
    assert_false(s.maxconns_fast);
    assert_int_equal(s.idle_timeout, 30);
    shown("ssl_min_version", "tlsv1.3");
    shown("ssl_keyformat", "2");
    shown("ssl_wbuf_size", "32768");
    good("-o maxconns_fast");
    assert_true(s.maxconns_fast);
    bad("-o nonsense", "no such option");
    bad("-o idle_timeout", "needs a value");
    bad("-o idle_timeout=x", "from 0 to");
    bad("-o no_idle_timeout", "no such option");
    bad("-o track_sizes=3", "takes no value");
    bad("-o ssl_min_version=4", "0, 1, 2 or 3");
}

static void tuning_is_accepted_with_one_warning(void **state) {
    (void)state;
    good("-f 1.1 -n 100 -o modern,slab_automove=2,no_lru_crawler,lru_maintainer,hash_algorithm=jenkins,hashpower=20 "
         "-o no_modern,no_hashexpand,lru_crawler_sleep=5,resp_obj_mem_limit=10,drop_privileges,no_drop_privileges -N 4 "
         "--slab-growth-factor=1.3 -o tail_repair_time=0,watcher_logbuf_size=64,worker_logbuf_size=32,hot_lru_pct=10 "
         "-o slab_reassign,no_slab_reassign,temporary_ttl=3,slab_chunk_max=512,read_buf_mem_limit=3,no_lru_maintainer");
    assert_non_null(strstr(report.ignored, "-f"));
    assert_non_null(strstr(report.ignored, "slab_automove"));
    shown("growth_factor", "1.3");
    shown("slab_automove", "2");
    shown("lru_crawler", "no");
    shown("lru_crawler_sleep", "5");
    bad("-f 1", "from 1.001");
    bad("-n 0", "from 1 to");
    bad("-o lru_crawler_sleep=fast", "takes a number");
}

static void what_is_not_there_is_refused(void **state) {
    (void)state;
    good("-U 0 -B auto");
    good("-B ascii");
    shown("binding_protocol", "ascii");
    bad("-U 11211", "UDP is not served");
    bad("-B text", "auto, ascii or binary");
    bad("-B ascii -S", "-B ascii turns off");
    bad("-B binary -Y users", "no way to give without -S");
    bad("-e /x", "memory file");
    bad("-o ext_path=/x:1G", "no external storage");
    bad("-o ext_threads=1", "no external storage");
    bad("-o proxy_config=/x", "no proxy");
}

static void bad_values_say_what_is_accepted(void **state) {
    (void)state;
    bad("-p x", "-p takes a number from -1 to 65535, not \"x\"");
    bad("-p 65536", "65535");
    bad("--port=", "65535");
    bad("-m 0", "-m takes a size from 1m to 1024t");
    bad("-m 99999999999999999999", "-m takes a size");
    bad("-m -5", "-m takes a size");
    bad("-m 64q", "k, m or g");
    bad("-I 1", "-I takes a size from 1k to 1g");
    bad("-I 2g -m 9g", "1g");
    bad("-I 600m -m 1000", "1/2 of memory max");
    bad("-c 0", "from 1 to");
    bad("-t 0", "from 1 to 1024");
    bad("-t 1025", "from 1 to 1024");
    bad("-R 0", "from 1 to");
    bad("-a 778", "octal");
    bad("-a 7777", "octal");
    bad("-D ab", "one character");
    bad("--prefix-tags=", "one character");
    bad("--key-tags=12345678901234567", "1 to 16");
    bad("-Z", "ssl_chain_cert");
    bad("-l mtls:a", "-Z");
    bad("-l a,,b", "comma");
    bad("-l proto[proxy]:a", "proto[ascii]");
    bad("-p", "-p needs a value");
    bad("--port", "--port needs a value");
    bad("--nonsense", "--nonsense: there is no such option");
    bad("--nonsense=3", "--nonsense: there is no such option");
    bad("-y", "-y: there is no such option");
    bad("word", "\"word\" is no option");
    bad("--config /does/not/exist", "cannot read");
}

static const char *config_of(const char *text) {
    static char path[] = "/tmp/tagcached-test-conf";
    static char line[128];
    snprintf(line, sizeof line, "%s-%d", path, (int)getpid());
    FILE *f = fopen(line, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return line;
}

static void with_config(const char *text, const char *more, char *line, size_t n) {
    snprintf(line, n, "--config %s %s", config_of(text), more);
}

static void configuration_files(void **state) {
    char line[512];
    (void)state;
    with_config("# memcached's own example\n"
                "-d\n"
                "logfile /var/log/memcached.log\n"
                "# -v\n"
                "\n"
                "-m 64\n"
                "-p 11212\r\n"
                "  -u memcache\n"
                "-l 127.0.0.1\n"
                "-vv\n"
                "-t2\n"
                "-o idle_timeout=5,modern\n"
                "conn-limit 77\n"
                "key-tags=off\n"
                "--prefix-tags=:\n"
                "disable-cas\n"
                "-P /var/run/memcached/memcached.pid",
                "-m 128 -l 127.0.0.2", line, sizeof line);
    good(line);
    assert_false(s.daemonize); /* whoever starts the server decides that */
    assert_int_equal(s.memory_limit, 128 << 20);
    assert_int_equal(s.port, 11212);
    assert_string_equal(s.user, "memcache");
    assert_int_equal(s.verbose, 2);
    assert_int_equal(s.threads, 2);
    assert_int_equal(s.idle_timeout, 5);
    assert_int_equal(s.max_connections, 77);
    assert_null(settings_key_tags(&s));
    assert_int_equal(s.prefix_tags, ':');
    assert_false(s.cas);
    shown("inter", "127.0.0.1,127.0.0.2");
    assert_string_equal(report.ignored, "--logfile -o modern");
    with_config("-m 64\nnonsense 3\n", "", line, sizeof line);
    bad(line, "line 2: --nonsense: there is no such option");
    with_config("-m\n", "", line, sizeof line);
    bad(line, "line 1: -m needs a value");
    with_config("config /x\n", "", line, sizeof line);
    bad(line, "one file cannot name another");
    unlink(config_of(""));
}

static void help_names_every_option(void **state) {
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    (void)state;
    settings_print_help(f);
    fclose(f);
    assert_non_null(strstr(text, "-m, --memory-limit=SIZE"));
    assert_non_null(strstr(text, "--prefix-tags"));
    assert_non_null(strstr(text, "-o idle_timeout"));
    assert_null(strstr(text, "man-options"));
    free(text);
    f = open_memstream(&text, &n);
    settings_print_man(f);
    fclose(f);
    assert_non_null(strstr(text, ".TP\n.B \\-m, \\-\\-memory\\-limit=SIZE\n"));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_memcacheds),
        cmocka_unit_test(memcacheds_order_is_kept),
        cmocka_unit_test(short_and_long),
        cmocka_unit_test(extended),
        cmocka_unit_test(tuning_is_accepted_with_one_warning),
        cmocka_unit_test(what_is_not_there_is_refused),
        cmocka_unit_test(bad_values_say_what_is_accepted),
        cmocka_unit_test(configuration_files),
        cmocka_unit_test(help_names_every_option),
    };
    settings_init(&s);
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    settings_fini(&s);
    return r;
}
