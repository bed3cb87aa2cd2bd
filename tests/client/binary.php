<?php
// SPDX-License-Identifier: BSD-3-Clause
// php-memcached in its binary protocol, and PHP's sessions in it. Arguments: host port [user password].

function check($what, $good) {
    if (!$good) {
        fwrite(STDERR, "failed: $what\n");
        exit(1);
    }
}

function use_it($m) {
    check("set", $m->set("php", "value"));
    check("get", $m->get("php") === "value");
    check("get of none", $m->get("none") === false && $m->getResultCode() === Memcached::RES_NOTFOUND);
    check("add", !$m->add("php", "x") && $m->getResultCode() === Memcached::RES_DATA_EXISTS || $m->getResultCode() === Memcached::RES_NOTSTORED);
    check("replace", $m->replace("php", ["a" => 1]) && $m->get("php") === ["a" => 1]);
    check("setMulti", $m->setMulti(["a" => 1, "b" => "two", "c" => 3.5]));
    check("getMulti", $m->getMulti(["a", "b", "none", "c"]) === ["a" => 1, "b" => "two", "c" => 3.5]);
    $all = $m->get("b", null, Memcached::GET_EXTENDED);
    check("cas", $m->cas($all["cas"], "b", "three") && !$m->cas($all["cas"], "b", "four") && $m->get("b") === "three");
    check("increment", $m->increment("n", 1, 10) === 10 && $m->increment("n", 5) === 15 && $m->decrement("n", 3) === 12 && $m->delete("n"));
    check("append", $m->set("s", "b") && $m->append("s", "c") && $m->prepend("s", "a") && $m->get("s") === "abc");
    check("touch", $m->touch("s", 100) && !$m->touch("none", 100));
    check("delete", $m->delete("s") && !$m->delete("s"));
    check("large", $m->set("big", str_repeat("x", 900000)) && strlen($m->get("big")) === 900000);
    check("too large", !$m->set("big", str_repeat("x", 3000000)) && $m->get("big") === false);
    check("tags", $m->set("song|#|t=artist:42", "x") && $m->get("song") === "x" && $m->delete("any|#|p=artist:42") && $m->get("song") === false);
    check("stats", current($m->getStats())["curr_items"] > 0);
    check("version", preg_match('/^\d+\.\d+\.\d+$/', current($m->getVersion())) === 1);
}

$m = new Memcached();
$m->setOption(Memcached::OPT_BINARY_PROTOCOL, true);
$m->setOption(Memcached::OPT_COMPRESSION, false);
if ($argc > 3) $m->setSaslAuthData($argv[3], $argv[4]);
$m->addServer($argv[1], (int)$argv[2]);
use_it($m);

// As Symfony's MemcachedAdapter::createConnection() sets it.
$m = new Memcached();
$m->setOption(Memcached::OPT_BINARY_PROTOCOL, true);
$m->setOption(Memcached::OPT_TCP_NODELAY, true);
$m->setOption(Memcached::OPT_NO_BLOCK, true);
$m->setOption(Memcached::OPT_LIBKETAMA_COMPATIBLE, true);
$m->setOption(Memcached::OPT_COMPRESSION, false);
if ($argc > 3) $m->setSaslAuthData($argv[3], $argv[4]);
$m->addServer($argv[1], (int)$argv[2]);
use_it($m);
$many = [];
for ($i = 0; $i < 500; $i++) $many["many%3A$i"] = str_repeat("$i,", 50);
check("setMulti of many", $m->setMulti($many, 1000));
check("getMulti of many", $m->getMulti(array_keys($many)) === $many);
check("deleteMulti of many", array_unique(array_values($m->deleteMulti(array_keys($many)))) === [true]);
check("they are gone", $m->getMulti(array_keys($many)) === []);

ini_set("session.save_handler", "memcached");
ini_set("session.save_path", "$argv[1]:$argv[2]");
ini_set("memcached.sess_binary_protocol", "On");
if ($argc > 3) {
    ini_set("memcached.sess_sasl_username", $argv[3]);
    ini_set("memcached.sess_sasl_password", $argv[4]);
}
session_id("abcdefghijklmnop");
check("session", session_start());
$_SESSION["user"] = 42;
check("session is written", session_write_close());
$_SESSION = [];
check("session again", session_start() && $_SESSION["user"] === 42 && session_destroy());
check("flush", $m->flush() && $m->get("a") === false);
