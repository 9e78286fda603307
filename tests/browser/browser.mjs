// Headless Chromium that knows the example sites and no other host, and what a visitor's device holds.
import assert from "node:assert/strict";
import puppeteer from "puppeteer-core";

// HeadlessChrome is a bot to brine, rightly; a visitor's browser says this.
const AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

/** Runs `work(browser)` in a fresh browser; `origins` are treated as if they were https. */
export async function withBrowser(work, origins = []) {
  const browser = await puppeteer.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    defaultViewport: { width: 1280, height: 800 },
    args: [
      "--host-resolver-rules=MAP *.example.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
      "--disable-background-networking",
      "--disable-component-update",
      "--no-sandbox",
      // navigator.webdriver is what some trackers keep still for.
      "--disable-blink-features=AutomationControlled",
      `--user-agent=${AGENT}`,
      ...(origins.length ? [`--unsafely-treat-insecure-origin-as-secure=${origins.join(",")}`] : []),
    ],
  });
  try {
    return await work(browser);
  } finally {
    await browser.close();
  }
}

/** Opens a page whose requests and faults are written down in `page.requests` and `page.faults`. */
export async function open(browser, url, prepare = async () => {}, waitUntil = "networkidle0") {
  const page = await browser.newPage();
  page.requests = [];
  page.faults = [];
  page.on("request", (request) => {
    const { pathname, protocol } = new URL(request.url());
    // The icons of Chromium's own date fields are data, and ask nobody.
    if (protocol !== "data:") page.requests.push(`${request.method()} ${pathname}`);
  });
  page.on("pageerror", (error) => page.faults.push(String(error)));
  page.on("console", (message) => message.type() === "error" && page.faults.push(message.text()));
  await prepare(page);
  if (url) await page.goto(url, { waitUntil });
  return page;
}

/** Selects an element of the banner, in its shadow tree: its dialog, or a button by id. */
export const banner = (inside = "dialog") => `brine-banner >>> ${inside}`;

/** Tells whether the banner asks by itself. */
export const isAsking = (page) => page.evaluate(() => {
  const dialog = document.querySelector("brine-banner").shadowRoot.querySelector("dialog");
  return dialog.open && !dialog.matches(":modal");
});

/** Everything a site can leave on a device, as this page and the whole browser see it. */
export async function stored(page) {
  const here = await page.evaluate(async () => ({
    local: Object.keys(localStorage),
    session: Object.keys(sessionStorage),
    databases: (await indexedDB.databases()).map((database) => database.name),
    caches: window.caches ? await caches.keys() : [],
  }));
  const cookies = (await page.browserContext().cookies()).map((cookie) => `${cookie.name} ${cookie.domain}`).sort();
  return { cookies, ...here };
}

export const NOTHING = { cookies: [], local: [], session: [], databases: [], caches: [] };

/** Waits until `check` no longer throws; the last fault if it never stops. */
export async function eventually(check, milliseconds = 10_000) {
  const until = Date.now() + milliseconds;
  for (;;) {
    try {
      return await check();
    } catch (fault) {
      if (Date.now() > until) throw fault;
      await pause(50);
    }
  }
}

/** Waits until the page has made `n` requests of this kind. */
export const requested = (page, kind, n) =>
  eventually(() => assert.equal(page.requests.filter((made) => made === kind).length, n, `${kind}: ${page.requests}`));

/** For what must not happen, and for time that passes in view; never to wait for something. */
export const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
