<?php
// SPDX-License-Identifier: BSD-3-Clause
// php-memcached through the servers on these ports: memcached.php ketama|modula PORT...
function check($what, $good) {
    if (!$good) {
        fwrite(STDERR, "$what is wrong: $GLOBALS[m_text]\n");
        exit(1);
    }
}
$m = new Memcached();
$m_text = "";
if ($argv[1] == "ketama") $m->setOption(Memcached::OPT_LIBKETAMA_COMPATIBLE, true);
foreach (array_slice($argv, 2) as $port) $m->addServer("127.0.0.1", (int)$port);
$all = [];
for ($i = 0; $i < 300; $i++) {
    $all["php$i"] = "value $i";
    check("set", $m->set("php$i", "value $i"));
}
for ($i = 0; $i < 300; $i++) check("get", $m->get("php$i") === "value $i");
$got = $m->getMulti(array_keys($all));
ksort($got);
ksort($all);
check("getMulti", $got === $all);
check("add", !$m->add("php1", "x") && $m->add("php-new", "x"));
check("replace", $m->replace("php1", "y") && $m->get("php1") === "y");
check("number", $m->set("php-n", 41) && $m->increment("php-n") === 42 && $m->decrement("php-n", 2) === 40);
$cas = $m->get("php1", null, Memcached::GET_EXTENDED)["cas"];
check("cas", $m->cas($cas, "php1", "z") && !$m->cas($cas, "php1", "w") && $m->get("php1") === "z");
check("touch", $m->touch("php1", 100) && !$m->touch("php-none", 100));
check("delete", $m->delete("php1") && $m->get("php1") === false);
check("large", $m->set("php-large", str_repeat("x", 500000)) && strlen($m->get("php-large")) === 500000);
echo "ok\n";
