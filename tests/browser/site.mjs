// A web site of its own, beside the collector: pages with a strict policy, and a proxy in front of brine.
import http from "node:http";
import { readFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(`.${path}`, import.meta.url));

/**
 * Runs `work(site)` beside a site on portal.example.test. `site.url` is its origin, `site.collector` that
 * of brine under another name of the same site: what a page sends there crosses origins. `site.seen` is
 * what the proxy was sent and `site.cookies` with which cookies; `site.down` how many of the next such
 * requests get 503; `site.ahead` which pages were fetched before anybody asked to see them; `site.files`
 * what else it has, by path: `{ type, text, policy }`.
 */
export async function withSite(address, work) {
  const collector = `http://collect.portal.example.test:${address.split(":")[1]}`;
  const site = { collector, down: 0, seen: [], cookies: [], ahead: [], files: {} };
  const server = http.createServer((request, reply) => answer(site, address, request, reply).catch((fault) => {
    reply.writeHead(500).end(String(fault));
  }));
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  site.url = `http://portal.example.test:${server.address().port}`;
  try {
    return await work(site);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

async function answer(site, address, request, reply) {
  const { pathname } = new URL(request.url, site.url);
  const file = site.files[pathname];
  if (file) return reply.writeHead(200, headers(file.type, file.policy)).end(file.text);
  if (/^\/(api|brine)[/.]/.test(pathname)) return proxy(site, address, request, reply);
  if (/^\/(node_modules|pages)\//.test(pathname)) return asset(pathname, reply);
  if (pathname === "/favicon.ico") return reply.writeHead(204).end();
  if (request.headers["sec-purpose"]?.includes("prerender")) site.ahead.push(pathname);
  // The first part of the path says which page: /tracker/anything, /plausible-0.3/anything.
  const [, kind] = pathname.split("/");
  const page = TRACKED[kind] ? tracked(TRACKED[kind]) : await readFile(here(`/pages/${kind}.html`), "utf8");
  reply.writeHead(200, {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy":
      `default-src 'none'; script-src 'self' 'inline-speculation-rules' ${site.collector}; connect-src 'self' ${site.collector}`,
  });
  reply.end(page.replaceAll("COLLECTOR", site.collector));
}

const headers = (type, policy) => ({
  "content-type": `${type}; charset=utf-8`,
  ...(policy ? { "content-security-policy": policy } : {}),
});

// Ways to put brine.js into a page.
const TRACKED = {
  tracker: '<script defer src="COLLECTOR/brine.js" data-site="portal" data-cookie-domain="portal.example.test"></script>',
  hash: '<script defer src="COLLECTOR/brine.js" data-site="portal" data-hash></script>',
  banner: '<script defer src="/brine.js" data-site="portal" data-cookie-domain="portal.example.test" data-with="banner"></script>',
  own: '<script defer src="/brine.js" data-site="portal"></script>',
  early: '<script src="/pages/early.js"></script><script defer src="/brine.js" data-site="portal"></script>',
};
const tracked = (script) => `<!doctype html><html lang="en"><meta charset="utf-8"><title>A page</title>${script}
<h1>A page</h1><p>Some text.</p><a id="next" href="/tracker/next">Next</a></html>`;

async function asset(pathname, reply) {
  // Packages made for bundlers leave the ending out.
  const path = here(existsSync(here(pathname)) ? pathname : `${pathname}.js`);
  reply.writeHead(200, { "content-type": "text/javascript" });
  reply.end(await readFile(path));
}

async function proxy(site, address, request, reply) {
  const body = [];
  for await (const chunk of request) body.push(chunk);
  const text = Buffer.concat(body);
  if (request.method === "POST") {
    site.seen.push(JSON.parse(text));
    site.cookies.push(request.headers.cookie);
  }
  if (site.down > 0) {
    site.down -= 1;
    return reply.writeHead(503).end();
  }
  const [host, port] = address.split(":");
  const { method, url: path, headers } = request;
  const onward = http.request({ host, port, method, path, headers }, (answered) => {
    reply.writeHead(answered.statusCode, answered.headers);
    answered.pipe(reply);
  });
  onward.on("error", () => reply.destroy());
  onward.end(text);
}
