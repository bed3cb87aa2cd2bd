// SPDX-License-Identifier: BSD-3-Clause
// The npm package memcached, whose ring is ketama, through the servers on these ports: memcached.js PORT...
const assert = require("assert");
const { promisify } = require("util");
const Memcached = require("memcached");

async function main() {
    const m = new Memcached(process.argv.slice(2).map((port) => `127.0.0.1:${port}`));
    const [get, gets, getMulti, set, add, replace, cas, incr, decr, touch, del] =
        ["get", "gets", "getMulti", "set", "add", "replace", "cas", "incr", "decr", "touch", "del"].map((f) => promisify(m[f]).bind(m));
    const keys = [...Array(300).keys()].map((i) => `js${i}`);
    for (const key of keys) assert(await set(key, `value ${key}`, 100));
    for (const key of keys) assert.equal(await get(key), `value ${key}`);
    assert.deepEqual(await getMulti(keys), Object.fromEntries(keys.map((key) => [key, `value ${key}`])));
    await assert.rejects(add("js1", "x", 100));
    assert(await add("js-new", "x", 100) && await replace("js1", "y", 100));
    assert(await set("js-n", 41, 100));
    assert.equal(await incr("js-n", 1), 42);
    assert.equal(await decr("js-n", 2), 40);
    assert(await cas("js1", "z", (await gets("js1")).cas, 100));
    assert.equal(await get("js1"), "z");
    assert(await touch("js1", 100) && await del("js1"));
    assert.equal(await get("js1"), undefined);
    assert(await set("js-large", "x".repeat(500000), 100));
    assert.equal((await get("js-large")).length, 500000);
    m.end();
    console.log("ok");
}

main().catch((e) => { console.error(e); process.exit(1); });
