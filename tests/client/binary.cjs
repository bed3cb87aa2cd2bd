// SPDX-License-Identifier: BSD-3-Clause
// memjs and @keyv/memcache. Arguments: host:port [user password]; NODE_PATH names where the packages are.
const assert = require("assert");
const memjs = require("memjs");
const { KeyvMemcache } = require("@keyv/memcache");
const { Keyv } = require("keyv");

async function withMemjs(server, options) {
  const c = memjs.Client.create(server, { retries: 0, timeout: 5, ...options });
  assert.equal(await c.set("js", "value", { expires: 100 }), true);
  assert.equal((await c.get("js")).value.toString(), "value");
  assert.equal((await c.get("none")).value, null);
  assert.equal(await c.add("js", "x", {}), false);
  assert.equal(await c.replace("js", "other", {}), true);
  assert.equal((await c.increment("n", 5, { initial: 7 })).value, 7);
  assert.equal((await c.increment("n", 5, { initial: 7 })).value, 12);
  assert.equal((await c.decrement("n", 2, { initial: 0 })).value, 10);
  assert.equal(await c.append("js", "!"), true);
  assert.equal((await c.get("js")).value.toString(), "other!");
  assert.equal(await c.touch("js", 50), true);
  const big = "x".repeat(900000);
  assert.equal(await c.set("big", big, {}), true);
  assert.equal((await c.get("big")).value.toString(), big);
  await Promise.all([...Array(200).keys()].map((i) => c.set(`m:${i}`, `${i}`, {})));
  const all = await Promise.all([...Array(200).keys()].map((i) => c.get(`m:${i}`)));
  all.forEach((r, i) => assert.equal(r.value.toString(), `${i}`));
  assert.equal(await c.set("song|#|t=artist:42", "x", {}), true);
  assert.equal(await c.delete("any|#|p=artist:42"), true);
  assert.equal((await c.get("song")).value, null);
  assert.equal(await c.delete("js"), true);
  assert.equal(await c.delete("js"), false);
  await new Promise((done) => c.stats((err, server_, stats) => { assert.ok(stats.curr_items > 0); done(); }));
  await c.flush();
  assert.equal((await c.get("big")).value, null);
  c.close();
}

async function withKeyv(server, options) {
  const store = new KeyvMemcache(server, options);
  const keyv = new Keyv({ store });
  await keyv.set("user", { name: "ann" }, 10000);
  assert.deepEqual(await keyv.get("user"), { name: "ann" });
  assert.equal(await keyv.get("none"), undefined);
  assert.equal(await keyv.delete("user"), true);
  assert.equal(await keyv.get("user"), undefined);
  store.client.close();
}

(async () => {
  const [server, username, password] = process.argv.slice(2);
  const options = username ? { username, password } : {};
  await withMemjs(server, options);
  await withKeyv(server, options);
})().catch((e) => { console.error(e); process.exit(1); });
