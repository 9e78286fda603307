// What a visitor of a site does in every scenario: come, say yes, leave.
import assert from "node:assert/strict";
import { open, pause, withBrowser } from "../browser.mjs";
import { withSite } from "../site.mjs";

/** Runs `work(browser, site)` beside a site; what goes wrong in a page is a fault. */
export const onSite = (work) => (address) => withSite(address, (site) =>
  withBrowser((browser) => work(browser, site), [site.url, site.collector]));

/** Opens a page and says yes there. */
export async function consented(browser, url, prepare) {
  const page = await open(browser, url, prepare);
  assert.equal(await page.evaluate(() => brine.consent({ choice: "grant", source: "test" })), true);
  return page;
}

/** Leaves the page, so that what is told on the way out is told. */
export async function leave(page) {
  await pause(200);
  await page.goto("about:blank");
  await pause(300);
  assert.deepEqual(page.faults, []);
}

export const cookie = async (page, name) =>
  (await page.browserContext().cookies()).find((cookie) => cookie.name === name)?.value;

/**
 * Gives the site a page of its own, under a policy without any `unsafe-`. The collector is behind the site's
 * own origin there, so that `site.seen` has all that is sent, also on the way out.
 */
export function add(site, path, body = "", attributes = 'data-cookie-domain="portal.example.test"') {
  site.files[path] = {
    type: "text/html",
    policy: "default-src 'none'; script-src 'self'; connect-src 'self'",
    text: `<!doctype html><html lang="en"><meta charset="utf-8"><title>A page</title>
<script defer src="/brine.js" data-site="portal" ${attributes}></script>${body}</html>`,
  };
  return `${site.url}${path}`;
}
