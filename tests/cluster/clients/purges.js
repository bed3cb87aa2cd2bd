// SPDX-License-Identifier: BSD-3-Clause
// The vendors' own clients (npm fastly, npm cloudflare) against a node: purges.js PORT TOKEN. Each line of standard input names
// a call; a line answers it, once it has resolved: "ok JSON", or "error STATUS JSON".
const readline = require('readline');
const Fastly = require('fastly');
const Cloudflare = require('cloudflare');

const [port, token] = process.argv.slice(2);
const base = `http://127.0.0.1:${port}`;

// It has no option for another address: the last argument of callApi is what it would take from its list.
Fastly.ApiClient.instance.authenticate(token);
const call = Fastly.ApiClient.instance.callApi;
Fastly.ApiClient.instance.callApi = function (...args) {
  args[12] = base;
  return call.apply(this, args);
};
const fastly = new Fastly.PurgeApi();
const cloudflare = new Cloudflare({ apiToken: token, baseURL: `${base}/client/v4`, maxRetries: 0 });

const service_id = 'SVC', zone_id = 'ZONE';
const calls = {
  fastly_body: () => fastly.bulkPurgeTag({ service_id, purge_response: { surrogate_keys: ['a', 'b'] } }),
  fastly_header: () => fastly.bulkPurgeTag({ service_id, surrogate_key: 'a b' }),
  fastly_soft: () => fastly.bulkPurgeTag({ service_id, surrogate_key: 'a b', fastly_soft_purge: 1 }),
  fastly_key: () => fastly.purgeTag({ service_id, surrogate_key: 'artist:42/x y' }),
  fastly_all: () => fastly.purgeAll({ service_id }),
  fastly_url: () => fastly.purgeSingleUrl({ cached_url: 'www.example.com/a' }),
  cloudflare_tags: () => cloudflare.cache.purge({ zone_id, tags: ['a', 'b'] }),
  cloudflare_soft: () => cloudflare.cache.invalidate({ zone_id, tags: ['a', 'b'] }),
  cloudflare_all: () => cloudflare.cache.purge({ zone_id, purge_everything: true }),
  cloudflare_prefixes: () => cloudflare.cache.purge({ zone_id, prefixes: ['www.example.com/a'] }),
};

(async () => {
  for await (const name of readline.createInterface({ input: process.stdin })) {
    try {
      console.log('ok', JSON.stringify(await calls[name]()));
    } catch (e) {
      console.log('error', e.status, JSON.stringify(e.error || (e.response && e.response.body) || String(e)));
    }
  }
})();
