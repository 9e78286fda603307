// The visitor's choice, on the demo site.
import assert from "node:assert/strict";
import { NOTHING, banner, eventually, isAsking, open, pause, requested, stored, withBrowser } from "../browser.mjs";

const portal = (address, host = "portal.example.test") => `http://${host}:${address.split(":")[1]}`;
const ASSETS = ["GET /", "GET /brine.js", "GET /brine/banner.js", "GET /demo.css", "GET /demo.js", "GET /demo.svg"];
const heard = (page) => page.evaluate(() => brine.state().consent);

/** A cookie, its domain and its life in days. */
const told = ({ name, value, domain, expires }) =>
  `${name}=${value} ${domain} ${Math.round((expires - Date.now() / 1000) / 86400)}`;

/** Looks around as a visitor does: follows links, scrolls, presses a button, leaves and comes back. */
async function lookAround(page) {
  await page.click('nav a[href="/products"]');
  await page.click('nav a[href="/contact"]');
  await page.click("#signup");
  await page.evaluate(() => scrollTo(0, 400));
  await page.goBack();
  await pause(300);
}

export const nothing_before_yes = (address) => withBrowser(async (browser) => {
  const page = await open(browser, portal(address), (page) => page.evaluateOnNewDocument(() => {
    window.listeners = [];
    const add = EventTarget.prototype.addEventListener;
    EventTarget.prototype.addEventListener = function (name) {
      if (new Error().stack.includes("/brine.js")) window.listeners.push(name);
      return add.apply(this, arguments);
    };
  }));
  const isUntouched = async () => assert.deepEqual(await page.evaluate(() => [
    window.listeners.join(), /native code/.test(history.pushState),
  ]), ["", true]);
  await isUntouched();
  assert.equal(await heard(page), "none");
  await lookAround(page);
  await isUntouched();
  const made = new Set(page.requests);
  assert.deepEqual([...made].sort(), ASSETS);
  assert.deepEqual(await stored(page), NOTHING);
  // Nor on the way out.
  await page.goto("about:blank");
  await pause(500);
  assert.deepEqual((await browser.cookies()), []);
  assert.ok(!page.requests.some((request) => request.startsWith("POST")), String(page.requests));
  assert.deepEqual(page.faults, []);
});

export const a_no = (address) => withBrowser(async (browser) => {
  const page = await open(browser, portal(address));
  await page.click(banner("#no"));
  await requested(page, "POST /api/consent", 1);
  assert.equal(await isAsking(page), false);
  assert.equal(await heard(page), "denied");
  await lookAround(page);
  // Nor is it asked about again.
  await page.goto(`${portal(address)}/contact`, { waitUntil: "networkidle0" });
  assert.equal(await isAsking(page), false);
  assert.equal(await heard(page), "none");
  await lookAround(page);
  await page.goto("about:blank");
  await pause(300);
  assert.deepEqual(page.requests.filter((request) => request.startsWith("POST")), ["POST /api/consent"]);
  // All that stays is the no: the same for everybody, so that it tells nobody apart.
  assert.deepEqual((await browser.cookies()).map(told), ["brine_denied=1 .portal.example.test 182"]);
});

/** Says yes on the page that is open, and waits for the page view that follows. */
async function sayYes(page) {
  await page.click(banner("#yes"));
  await page.waitForResponse((reply) => reply.url().endsWith("/api/event"));
  assert.equal(await heard(page), "granted");
}

export const a_visit = (address) => withBrowser(async (browser) => {
  const page = await open(browser, portal(address));
  await page.click('nav a[href="/products"]'); // before the yes: never sent, not even later
  await sayYes(page);
  await pause(300);
  await page.click('nav a[href="/contact"]');
  await page.evaluate(() => history.replaceState({ scroll: 0 }, "", location.href)); // as routers do
  await pause(300);
  await page.click("#signup");
  await requested(page, "POST /api/event", 5); // two views, one sign-up, time and vitals of the page that was left
  await pause(300);
  const kept = await stored(page);
  await page.goto("about:blank"); // hides the page: the last engagement
  await pause(300);
  return kept;
});

export const on_loopback = (address) => withBrowser(async (browser) => {
  const page = await open(browser, `http://${address}/`);
  await sayYes(page);
  await requested(page, "POST /api/event", 1);
  assert.deepEqual(page.faults, []);
  return stored(page);
});

export const a_withdrawal = (address) => withBrowser(async (browser) => {
  const page = await open(browser, portal(address));
  await sayYes(page);
  const token = (await browser.cookies()).find((cookie) => cookie.name === "brine_consent").value;
  await page.click("#withdraw");
  await requested(page, "POST /api/consent", 2);
  const isOnlyNo = async () => assert.deepEqual((await browser.cookies()).map(({ name }) => name), ["brine_denied"]);
  await eventually(isOnlyNo);
  assert.equal(await heard(page), "denied");
  const before = page.requests.filter((request) => request === "POST /api/event").length;
  await lookAround(page);
  // Whoever kept the token has nothing of it.
  const outcome = await page.evaluate(async (c) => {
    const body = JSON.stringify({ n: "pageview", u: location.href, d: "portal", c });
    const reply = await fetch("/api/event", { method: "POST", body });
    return `${reply.status} ${reply.headers.get("brine-outcome")}`;
  }, token);
  assert.equal(outcome, "204 consent.withdrawn");
  await page.goto("about:blank");
  await pause(300);
  assert.equal(page.requests.filter((request) => request === "POST /api/event").length, before + 1);
  await isOnlyNo();
});

/** The consent's cookie of before the site named a domain for it is another cookie, under the same name. */
export const a_former_cookie = (address) => withBrowser(async (browser) => {
  const page = await open(browser, portal(address));
  await sayYes(page);
  const named = async () => (await browser.cookies()).filter(({ name }) => name === "brine_consent");
  await page.evaluate(() => {
    document.cookie = `${document.cookie.split("; ").find((cookie) => cookie.startsWith("brine_consent"))}; path=/`;
  });
  assert.equal((await named()).length, 2);
  await page.click("#withdraw");
  await eventually(async () => assert.equal((await named()).length, 0));
  assert.equal(await heard(page), "denied");
});

export const a_signal = (address) => withBrowser(async (browser) => {
  // The browser that says so in its requests only, which is where the law of several places puts it.
  const page = await open(browser, portal(address), (page) => page.setExtraHTTPHeaders({ "Sec-GPC": "1" }));
  await page.click(banner("#yes"));
  await requested(page, "POST /api/consent", 1);
  await pause(300);
  assert.deepEqual(await browser.cookies(), []);
  assert.equal(await heard(page), "none");
  await page.close();
  // A yes from before the signal was switched on.
  const earlier = await open(browser, portal(address));
  await sayYes(earlier);
  await earlier.setExtraHTTPHeaders({ "Sec-GPC": "1" });
  const refused = earlier.waitForResponse((reply) => reply.url().endsWith("/api/event"));
  await earlier.reload();
  assert.equal((await refused).headers()["brine-outcome"], "signal.gpc");
  await earlier.close();
  // The browser that tells scripts as well: not even asked, and told why, nothing is sent.
  const silent = await open(browser, portal(address), (page) => page.evaluateOnNewDocument(() =>
    Object.defineProperty(Navigator.prototype, "globalPrivacyControl", { get: () => true })));
  assert.equal(await isAsking(silent), false);
  assert.match(await silent.$eval(banner("#choices"), (button) => button.textContent), /your browser says no/);
  await silent.click(banner("#choices"));
  assert.match(await silent.$eval(banner(".state"), (state) => state.textContent), /Global Privacy Control/);
  assert.deepEqual(await silent.$$eval(banner("button"), (buttons) =>
    buttons.filter((button) => button.checkVisibility()).map((button) => button.id)), ["mydata", "close", "choices"]);
  await silent.keyboard.press("Escape");
  assert.deepEqual(await silent.evaluate(() => [brine.state().signal, brine.state().consent]), [true, "none"]);
  assert.equal(await silent.evaluate(() => brine.consent({ choice: "grant" })), false);
  await lookAround(silent);
  assert.ok(!silent.requests.some((request) => request.startsWith("POST")), String(silent.requests));
});

export const sub_domains = (address) => withBrowser(async (browser) => {
  const [at, a, b] = ["portal.example.test", "a.portal.example.test", "b.portal.example.test"];
  const first = await open(browser, portal(address, at));
  await sayYes(first);
  await pause(200);
  const seen = async (host) => {
    const page = await open(browser, portal(address, host));
    assert.equal(await heard(page), "granted");
    assert.equal(await isAsking(page), false);
    await requested(page, "POST /api/event", 1);
    return page;
  };
  await seen(b);
  const second = await seen(a);
  const other = await open(browser, portal(address, "pernexus.example.test"));
  assert.equal(await heard(other), "none");
  assert.equal(await isAsking(other), true);
  assert.equal(await other.evaluate(() => document.cookie), "");
  assert.ok(!other.requests.some((request) => request.startsWith("POST")), String(other.requests));
  // Carried there by hand it is worth nothing.
  const token = (await browser.cookies()).find((cookie) => cookie.name === "brine_consent").value;
  const outcome = await other.evaluate(async (c) => {
    const body = JSON.stringify({ n: "pageview", u: location.href, d: "pernexus", c });
    return (await fetch("/api/event", { method: "POST", body })).headers.get("brine-outcome");
  }, token);
  assert.equal(outcome, "consent.other_site");
  // Taken back on a sub-domain, it is gone on all.
  await second.bringToFront();
  await second.click("#withdraw");
  await eventually(async () => assert.deepEqual((await browser.cookies()).map(told), ["brine_denied=1 .portal.example.test 182"]));
  assert.equal(await heard(first), "none");
  const made = first.requests.length;
  await first.bringToFront();
  await first.click("#signup");
  await pause(300);
  assert.equal(first.requests.length, made, String(first.requests));
  assert.match(await first.$eval("#state", (state) => state.textContent), /not said yes/);
  // The no holds as far as the yes did: nobody under the portal asks again, the other site still does.
  for (const host of [at, a, b]) {
    const page = await open(browser, portal(address, host));
    assert.equal(await isAsking(page), false, host);
    assert.match(await page.$eval(banner(".state"), (state) => state.textContent), /You said no/);
    await page.close();
  }
  await other.reload({ waitUntil: "networkidle0" });
  assert.equal(await isAsking(other), true);
});
