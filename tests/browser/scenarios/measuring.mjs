// What brine.js measures after consent, on pages of a strict policy, with the collector on another origin.
import assert from "node:assert/strict";
import { eventually, open, pause } from "../browser.mjs";
import { consented, cookie, leave, onSite } from "./visitor.mjs";

export const routes = onSite(async (browser, site) => {
  const withoutNavigation = (page) => page.evaluateOnNewDocument(() => { delete window.navigation; });
  for (const [way, prepare] of [["navigation", undefined], ["history", withoutNavigation]]) {
    const visitor = await browser.createBrowserContext();
    const page = await consented(visitor, `${site.url}/tracker/${way}/first`, prepare);
    assert.equal(await page.evaluate(() => "navigation" in window), way === "navigation");
    const steps = [
      () => history.pushState(null, "", "second?page=1"),
      () => history.replaceState({ scroll: 0 }, "", location.href), // the router's own bookkeeping
      () => history.replaceState(null, "", "?page=1&q=typed"), // a search box
      () => { location.hash = "below"; },
      () => history.replaceState(null, "", "third"), // a route that sends on to another
      () => history.pushState(null, "", "third"), // the same address again
      () => history.go(-2),
    ];
    for (const step of steps) {
      await page.evaluate(step);
      await pause(700); // without the Navigation API the tracker looks twice a second
    }
    await leave(page);
    await visitor.close();
  }
});

export const hash_routes = onSite(async (browser, site) => {
  const page = await consented(browser, `${site.url}/hash/app#/first`);
  await page.evaluate(() => { location.hash = "#/second"; });
  await leave(page);
});

export const prerendered = onSite(async (browser, site) => {
  const page = await consented(browser, `${site.url}/own/asking`);
  const views = () => site.seen.filter((body) => body.n === "pageview").map((body) => new URL(body.u).pathname);
  await page.evaluate(() => {
    const rules = document.createElement("script");
    rules.type = "speculationrules";
    rules.textContent = JSON.stringify({ prerender: [{ urls: ["/own/ahead"] }] });
    document.head.append(rules);
  });
  await eventually(() => assert.deepEqual(site.ahead, ["/own/ahead"]));
  await pause(1_500);
  assert.deepEqual(views(), ["/own/asking"]);
  // The rendered page takes the place of this one, and of what drives it from here.
  await page.evaluate(() => { location.href = "/own/ahead"; });
  await eventually(() => assert.deepEqual(views(), ["/own/asking", "/own/ahead"]));
  assert.deepEqual(site.ahead, ["/own/ahead"]);
});

export const cached = onSite(async (browser, site) => {
  const page = await consented(browser, `${site.url}/tracker/cached`);
  await pause(300);
  await page.evaluate(() => addEventListener("pageshow", (event) => { window.isRestored = event.persisted; }));
  await page.goto(`${site.url}/tracker/other`);
  await pause(300);
  await page.goBack();
  await eventually(async () => assert.equal(await page.evaluate(() => window.isRestored), true));
  await leave(page);
});

export const custom_events = onSite(async (browser, site) => {
  const page = await consented(browser, `${site.url}/tracker/shop?utm_source=letter#top`);
  await page.evaluate(() => {
    brine("Purchase", { props: { plan: "pro", seats: 3 }, revenue: { amount: 24.9, currency: "EUR" } });
    brine("Video shown", { interactive: false });
  });
  await leave(page);
});

export const tabs = onSite(async (browser, site) => {
  const first = await consented(browser, `${site.url}/tracker/first`);
  const second = await open(browser, `${site.url}/tracker/second`);
  await leave(second);
  await leave(first);
  // Half an hour later: the visit's cookie has run out.
  await browser.deleteMatchingCookies({ name: "brine_visit", domain: "portal.example.test" });
  await leave(await open(browser, `${site.url}/tracker/later`));
});

export const retries = onSite(async (browser, site) => {
  const page = await consented(browser, `${site.url}/own/first`);
  await eventually(() => assert.equal(site.seen.length, 2)); // the choice and the view
  site.down = 1;
  await page.evaluate(() => brine("Once"));
  await eventually(() => assert.equal(site.seen.length, 4), 20_000);
  assert.deepEqual(site.seen[2], site.seen[3]);
  assert.match(site.seen[2].id, /^0\.\d{6,}$/);
  // Without a network for a moment.
  await page.setOfflineMode(true);
  await page.evaluate(() => brine("Offline"));
  await pause(300);
  await page.setOfflineMode(false);
  await eventually(() => assert.equal(site.seen[4]?.n, "Offline"), 20_000);
  // Twice in vain: given up.
  site.down = 2;
  await page.evaluate(() => brine("Lost"));
  await eventually(() => assert.equal(site.seen.length, 7), 20_000);
  await pause(500);
  // In vain, and by the time of the second try no longer wanted.
  site.down = 1;
  await page.evaluate(() => brine("Unwanted"));
  await eventually(() => assert.equal(site.seen.length, 8));
  await page.evaluate(() => brine.withdraw());
  await pause(7_500);
  assert.deepEqual(site.seen.slice(8).map((body) => body.choice), ["withdraw"]);
});

export const stale_consents = onSite(async (browser, site) => {
  const page = await consented(browser, `${site.url}/tracker/first`);
  await pause(200);
  // As after a change of the policy or of the collector's key: the cookie is there, and worth nothing.
  const token = await cookie(page, "brine_consent");
  const stale = token.slice(0, -1) + (token.endsWith("A") ? "B" : "A");
  await page.evaluate((stale) => {
    document.cookie = `brine_consent=${stale}; path=/; domain=portal.example.test`;
    addEventListener("brine:consent", (event) => { window.heard = event.detail.consent; }, true);
    brine("Refused");
  }, stale);
  await eventually(async () => assert.deepEqual(await browser.cookies(), []));
  assert.equal(await page.evaluate(() => window.heard), "none");
  await page.evaluate(() => brine("Unsent"));
  await leave(page);
});

export const late_answers = onSite(async (browser, site) => {
  const page = await open(browser, `${site.url}/tracker/first`);
  const heard = await page.evaluate(async () => {
    const yes = brine.consent({ choice: "grant" });
    const no = brine.consent({ choice: "deny" });
    return [await yes, await no, brine.state().consent];
  });
  assert.deepEqual(heard, [false, true, "denied"]);
  await leave(page);
  assert.deepEqual(await browser.cookies(), []);
});

export const early_commands = onSite(async (browser, site) => {
  const page = await open(browser, `${site.url}/early/first`);
  await page.waitForFunction(() => document.title === "heard: true");
  await leave(page);
});
