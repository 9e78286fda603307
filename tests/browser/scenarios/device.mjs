// What brine.js keeps on the visitor's device, and what it does not touch.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { parse } from "acorn";
import { NOTHING, eventually, open, pause, stored } from "../browser.mjs";
import { add, consented, cookie, leave, onSite } from "./visitor.mjs";

const kept = (page) => page.evaluate(() => localStorage.brine_receipts);
const views = (site) => site.seen.filter(({ n }) => n === "pageview");

/** Writes down every use of what could remember, listen or send, with the script that used it. */
const watch = (page) => page.evaluateOnNewDocument(() => {
  const used = (window.used = []);
  const note = (name) => { if (new Error().stack.includes("/brine.js")) used.push(name); };
  const wrap = (owner, name) => {
    const original = owner[name];
    owner[name] = function (...all) {
      note(name);
      return new.target ? new original(...all) : original.apply(this, all);
    };
    Object.assign(owner[name], original);
  };
  wrap(EventTarget.prototype, "addEventListener");
  for (const name of ["fetch", "setTimeout", "setInterval", "requestAnimationFrame", "PerformanceObserver",
    "MutationObserver", "XMLHttpRequest", "Image"]) wrap(window, name);
  wrap(Navigator.prototype, "sendBeacon");
  for (const name of ["getItem", "setItem"]) wrap(Storage.prototype, name);
  for (const name of ["pushState", "replaceState"]) wrap(History.prototype, name);
  for (const name of ["localStorage", "sessionStorage", "indexedDB", "caches"]) {
    const { get } = Object.getOwnPropertyDescriptor(window, name) ?? {};
    if (get) Object.defineProperty(window, name, { get() { note(name); return get.call(window); } });
  }
  const { get, set } = Object.getOwnPropertyDescriptor(Document.prototype, "cookie");
  Object.defineProperty(Document.prototype, "cookie", {
    get() { return get.call(this); },
    set(value) { note("cookie"); set.call(this, value); },
  });
});

export const untouched = onSite(async (browser, site) => {
  const page = await open(browser, add(site, "/first", '<a href="/next.pdf">File</a><form><button>Go</button></form>'), watch);
  const isUntouched = async () => {
    assert.deepEqual(await page.evaluate(() => window.used), []);
    assert.deepEqual(await stored(page), NOTHING);
    assert.deepEqual(site.seen, []);
  };
  await isUntouched();
  await page.evaluate(() => {
    brine("Signup", { props: { plan: "pro" } });
    history.pushState(null, "", "/second");
    scrollTo(0, 100);
    for (const name of ["a", "form button"]) document.querySelector(name).addEventListener("click", (event) => event.preventDefault());
  });
  await page.click("a");
  await page.click("button");
  await pause(800);
  await isUntouched();
  // The instrument works: after a yes there is something to see.
  assert.equal(await page.evaluate(() => brine.consent({ choice: "grant" })), true);
  const used = await page.evaluate(() => window.used);
  for (const name of ["addEventListener", "fetch", "cookie", "PerformanceObserver", "localStorage"]) {
    assert.ok(used.includes(name), `${name}: ${used}`);
  }
  await eventually(() => assert.equal(views(site).length, 1));
  assert.equal(new URL(views(site)[0].u).pathname, "/second");
  await leave(page);
  assert.deepEqual([...new Set(site.seen.map(({ n, choice }) => n ?? choice))].sort(), ["grant", "pageview", "web_vitals", "engagement"].sort());
});

export const receipts = onSite(async (browser, site) => {
  const url = add(site, "/page");
  const page = await consented(browser, url);
  await eventually(async () => assert.match(await kept(page), /^\d{13},[\w-]{40,60}$/));
  const [until, first] = (await kept(page)).split(",");
  const left = until - Date.now();
  assert.ok(left > 0 && left <= 86_400_000 + 2 * 3_600_000, `valid for ${left} ms`);
  assert.equal(views(site)[0].rc, true);
  // While it holds none is asked for.
  await page.goto(url);
  await eventually(() => assert.equal(views(site).length, 2));
  assert.equal(views(site)[1].rc, false);
  // When it has ended the next view asks again; the same one is not kept twice, and 800 are enough.
  const earlier = Array.from({ length: 805 }, (_, i) => `earlier${i}`);
  await page.evaluate((earlier) => { localStorage.brine_receipts = [1, ...earlier]; }, [...earlier.slice(0, -1), first]);
  await page.goto(url);
  await eventually(async () => assert.ok((await kept(page)).split(",")[0] > Date.now()));
  const [, ...all] = (await kept(page)).split(",");
  assert.deepEqual(all, [...earlier.slice(5, -1), first]);
  // Another consent is another pseudonym: its first view asks, although the receipt of the one before holds.
  await page.evaluate(() => brine.withdraw());
  assert.equal(await page.evaluate(() => brine.consent({ choice: "grant" })), true);
  await eventually(async () => assert.notEqual((await kept(page)).split(",").pop(), first));
  assert.ok((await kept(page)).includes("," + first + ","));
});

export const erased = onSite(async (browser, site) => {
  const page = await consented(browser, add(site, "/page"));
  await eventually(async () => assert.ok(await kept(page)));
  const [, receipt] = (await kept(page)).split(",");
  // A plain withdrawal leaves the visitor the key to what was stored.
  assert.equal(await page.evaluate(() => brine.withdraw()), true);
  assert.deepEqual(await stored(page), { ...NOTHING, local: ["brine_receipts"] });
  // Without a consent there is no erasing in one step, and it does not say that there was.
  assert.equal(await page.evaluate(() => brine.withdraw({ erase: true })), false);
  assert.equal(await page.evaluate(() => brine.consent({ choice: "grant" })), true);
  await pause(300);
  assert.equal(await page.evaluate(() => brine.withdraw({ erase: true, source: "test" })), true);
  const told = site.seen.find(({ erase }) => erase);
  assert.equal(told.choice, "withdraw");
  assert.equal(told.source, "test");
  assert.equal(told.receipts[0], receipt);
  assert.deepEqual(await stored(page), NOTHING);
});

export const opening_my_data = onSite(async (browser, site) => {
  const page = await consented(browser, add(site, "/page"));
  await eventually(async () => assert.ok(await kept(page)));
  const [, receipt] = (await kept(page)).split(",");
  const token = await cookie(page, "brine_consent");
  const opened = await page.evaluate(() => new Promise((done) => {
    window.open = done;
    brine.mydata();
  }));
  assert.equal(opened, `${site.url}/my-data?site=portal#c=${token}&r=${receipt}`);
});

export const returning = onSite(async (browser, site) => {
  const url = add(site, "/page");
  const page = await consented(browser, url);
  const today = Math.floor(Date.now() / 86_400_000);
  // A day, not a time.
  assert.equal(await cookie(page, "brine_day"), String(today));
  await leave(page);
  for (const days of [0, 1, 2, 7, 8, 30, 31, 100, -3]) {
    // Another visit, so many days later.
    const [day] = (await browser.cookies()).filter(({ name }) => name === "brine_day");
    await browser.setCookie({ ...day, value: String(today - days) });
    await browser.deleteMatchingCookies({ name: "brine_visit", domain: "portal.example.test" });
    await page.goto(url);
    await page.evaluate((days) => brine("Days", { props: { days } }), days);
    await leave(page);
  }
});

export const own_people = onSite(async (browser, site) => {
  const url = add(site, "/page");
  const page = await consented(browser, url);
  await pause(200);
  await page.evaluate(() => { localStorage.brine_ignore = "yes"; });
  const before = site.seen.length;
  await page.goto(url);
  await page.evaluate(() => brine("Signup"));
  await leave(page);
  // What the first page tells on its way out is told no more either.
  assert.equal(site.seen.length, before);
});

export const extras = onSite(async (browser, site) => {
  const loaded = async (attributes) => {
    const page = await open(browser, add(site, "/page", "", attributes));
    await pause(300);
    return page.requests.filter((request) => /\/brine\//.test(request)).sort();
  };
  assert.deepEqual(await loaded(""), []);
  assert.deepEqual(await loaded('data-with="banner"'), ["GET /brine/banner.js"]);
  assert.deepEqual(await loaded('data-with=" tcf  klaro "'), ["GET /brine/klaro.js", "GET /brine/tcf.js"]);
  // From where the script came, not from where it sends to.
  const page = await open(browser, add(site, "/elsewhere", "", `data-with="banner" data-api="${site.collector}"`));
  assert.ok(page.requests.includes("GET /brine/banner.js"), String(page.requests));
  assert.equal(await page.evaluate(() => document.querySelector("script[src*=banner]").src), `${site.url}/brine/banner.js`);
  const state = await page.evaluate(() => brine.state());
  assert.deepEqual(state, { site: "portal", api: site.collector, consent: "none", signal: false });
});

/** Reads as ES2018, for browsers that know nothing newer. */
export const es2018 = async () => {
  const text = await readFile(new URL("../../../src/tracker/min/brine.js", import.meta.url), "utf8");
  parse(text, { ecmaVersion: 2018 });
  assert.throws(() => parse(`${text}\na?.b`, { ecmaVersion: 2018 }));
};
