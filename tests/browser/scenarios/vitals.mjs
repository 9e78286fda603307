// Web vitals, beside what Google's own library measures on the same page.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { eventually, open, pause } from "../browser.mjs";
import { add, consented, leave, onSite } from "./visitor.mjs";

const library = await readFile(new URL("../node_modules/web-vitals/dist/web-vitals.iife.js", import.meta.url), "utf8");
// Measures with the library from the first moment on, as it asks for.
const beside = (page) => page.evaluateOnNewDocument(`${library}
  self.told = {};
  for (const name of ["LCP", "FCP", "CLS", "INP", "TTFB"]) {
    webVitals["on" + name](({ value }) => { told[name.toLowerCase()] = value; }, { reportAllChanges: true, durationThreshold: 16 });
  }`);
const BODY = `<p id="text">Some text.</p><button id="slow">Slow</button><p id="below">Below</p>`;

/** Moves what is below, of its own accord. */
const shift = (page, pixels) => page.evaluate((pixels) => new Promise((done) => {
  document.getElementById("text").style.marginTop = `${pixels}px`;
  requestAnimationFrame(() => requestAnimationFrame(done));
}), pixels);
/** Answers a click after this long. */
async function answerAfter(page, milliseconds) {
  await page.evaluate((milliseconds) => document.getElementById("slow").addEventListener("click", () => {
    const until = performance.now() + milliseconds;
    while (performance.now() < until); // busy
  }, { once: true }), milliseconds);
  await page.click("#slow");
  await pause(300);
}
const told = (site) => site.seen.filter(({ n }) => n === "web_vitals").map(({ wv }) => wv);
/** Hides the page: a page that goes away could not be asked any more. */
const hide = async (page) => {
  const other = await page.browserContext().newPage();
  await other.bringToFront();
  await pause(300);
  await other.close();
  await page.bringToFront();
  await pause(100);
};

export const vitals = onSite(async (browser, site) => {
  const page = await consented(browser, add(site, "/asked", BODY), beside);
  await page.goto(add(site, "/measured", BODY));
  await pause(300);
  await shift(page, 100);
  await shift(page, 250);
  await pause(1_200); // another session, a smaller one
  await shift(page, 260);
  await answerAfter(page, 120);
  await answerAfter(page, 40);
  await hide(page);
  const expected = await page.evaluate(() => self.told);
  const [, found] = told(site);
  for (const key of ["lcp", "fcp", "ttfb", "inp", "cls"]) {
    assert.ok(found[key] > 0 && Math.abs(found[key] - expected[key]) <= 1e-6 + expected[key] * 1e-6,
      `${key}: ${found[key]}, the library says ${expected[key]}`);
  }
  assert.ok(found.inp >= 120, `inp: ${found.inp}`);
  // Once a view.
  await hide(page);
  assert.equal(told(site).length, 2);
  await leave(page);
  return found;
});

export const vitals_of_routes = onSite(async (browser, site) => {
  const page = await consented(browser, add(site, "/asked", BODY));
  await page.goto(add(site, "/first", BODY));
  await pause(300);
  await page.evaluate(() => history.pushState(null, "", "/second"));
  await shift(page, 200); // within half a second of a click it would be the visitor's own doing
  await answerAfter(page, 60);
  await page.evaluate(() => history.pushState(null, "", "/third"));
  await leave(page);
  const [, first, second, third] = told(site);
  assert.deepEqual(Object.keys(first).sort(), ["cls", "fcp", "lcp", "ttfb"]);
  assert.equal(first.cls, 0);
  assert.deepEqual(Object.keys(second).sort(), ["cls", "inp"]);
  assert.ok(second.inp >= 56 && second.cls > 0, JSON.stringify(second));
  assert.deepEqual(third, { cls: 0 });
});

/** What happened before the yes, and while nobody looked, is not told. */
export const vitals_from_the_yes_on = onSite(async (browser, site) => {
  const page = await open(browser, add(site, "/asked", BODY));
  await shift(page, 200);
  await answerAfter(page, 100);
  assert.equal(await page.evaluate(() => brine.consent({ choice: "grant" })), true);
  await pause(300);
  await leave(page);
  assert.deepEqual(told(site), [{ cls: 0 }]);
  // A tab that was opened behind this one.
  const behind = await open(browser, null, (page) => page.evaluateOnNewDocument(() => {
    window.isBehind = true;
    const { get } = Object.getOwnPropertyDescriptor(Document.prototype, "hidden");
    Object.defineProperty(Document.prototype, "hidden", { get() { return window.isBehind || get.call(this); } });
  }));
  const before = site.seen.length;
  await behind.goto(`${site.url}/asked`);
  await pause(500);
  assert.equal(site.seen.length, before);
  await behind.evaluate(() => {
    window.isBehind = false;
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await eventually(() => assert.equal(site.seen[before]?.n, "pageview"));
  await pause(300);
  await leave(behind);
  assert.deepEqual(told(site).slice(1), [{ cls: 0 }]);
});

export const vitals_out_of_the_cache = onSite(async (browser, site) => {
  const page = await consented(browser, add(site, "/cached", BODY), beside);
  await pause(300);
  await page.goto(add(site, "/other", BODY));
  await pause(300);
  await page.goBack();
  await pause(500);
  await hide(page);
  const expected = await page.evaluate(() => self.told);
  const found = told(site).pop();
  // The same frame; the library looks at the clock when it runs, which on a busy machine is later.
  assert.ok(found.lcp > 0 && found.lcp === found.fcp && found.lcp <= expected.lcp && expected.lcp - found.lcp < 200,
    `${JSON.stringify(found)}, the library says ${JSON.stringify(expected)}`);
  assert.equal(found.ttfb, undefined);
  await leave(page);
});
