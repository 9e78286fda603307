// Events that brine.js sends by itself: links, files, forms, marked elements, pages that are not there.
import assert from "node:assert/strict";
import { open, pause } from "../browser.mjs";
import { add, consented, leave, onSite } from "./visitor.mjs";

/** Lets the page go nowhere, and its own handlers keep every event to themselves. */
const hold = (page, ...names) => page.evaluate((names) => {
  for (const name of names) {
    document.body.addEventListener(name, (event) => { event.preventDefault(); event.stopPropagation(); });
  }
}, names);

export const links = onSite(async (browser, site) => {
  const page = await consented(browser, add(site, "/links", `
    <a id="out" href="https://jane:secret@shop.example/a/jane@doe.example?email=jane@doe.example&id=7#top"><b>Out</b></a>
    <a id="own" href="/elsewhere">Own</a>
    <a id="sub" href="https://a.portal.example.test/x">Own too</a>
    <a id="mail" href="mailto:jane@doe.example">Mail</a>
    <a id="file" href="/files/Report.PDF?for=jane">File</a>
    <a id="far" href="https://files.example/brine.zip#x">Somebody else's file</a>
    <a id="bare">No address</a>
    <svg width="20" height="20"><a id="drawn" href="https://shop.example/drawn"><rect width="20" height="20"/></a></svg>`));
  await hold(page, "click", "auxclick");
  for (const id of ["out b", "own", "sub", "mail", "file", "far", "bare", "drawn"]) await page.click(`#${id}`);
  await page.click("#out", { button: "right" });
  await page.click("#out", { button: "middle" });
  await pause(200);
  // Queries and passwords do not even leave the browser.
  assert.ok(!/secret|email=|id=7|for=|top/.test(JSON.stringify(site.seen)), JSON.stringify(site.seen));
  await leave(page);
});

export const forms = onSite(async (browser, site) => {
  const page = await consented(browser, add(site, "/account/123456789", `
    <form id="plain"><input name="mail" value="jane@doe.example"><button>Send</button></form>
    <form id="marked" data-brine-event="Signup" data-brine-prop-plan="pro"><input name="x"><button>Send</button></form>
    <form id="unfinished"><input name="x" required><button>Send</button></form>`));
  await hold(page, "submit");
  for (const form of ["plain", "marked", "unfinished"]) await page.click(`#${form} button`);
  await page.focus("#plain input");
  await page.keyboard.press("Enter");
  await leave(page);
});

export const marks = onSite(async (browser, site) => {
  const page = await consented(browser, add(site, "/marks", `
    <button id="button" data-brine-event="Trial" data-brine-prop-plan="pro" data-brine-prop-seat-count="3" data-other="no">
      <i>Try</i></button>
    <div data-brine-event="Card"><span id="inner">Somewhere in it</span></div>
    <a id="link" href="https://shop.example/" data-brine-event="Shop">Shop</a>
    <p id="plain">Nothing</p>`));
  await hold(page, "click");
  for (const id of ["button i", "inner", "link", "plain"]) await page.click(`#${id}`);
  await leave(page);
});

export const missing = onSite(async (browser, site) => {
  add(site, "/here", "");
  const gone = add(site, "/gone/123456789", "", "data-404");
  const page = await consented(browser, `${site.url}/here`);
  await page.goto(gone);
  await leave(page);
});

/** Pages of an unusual kind: what they lack or throw is theirs, and stays without effect. */
export const unusual_pages = onSite(async (browser, site) => {
  const url = add(site, "/unusual", "<p>Some text.</p>");
  const page = await consented(browser, url, (page) => page.evaluateOnNewDocument(() => {
    Object.defineProperty(window, "localStorage", { get() { throw new Error("switched off"); } });
    delete window.PerformanceObserver;
  }));
  await page.evaluate(() => {
    for (const target of [document, window, document.querySelector("p").firstChild]) {
      target.dispatchEvent(new Event("click", { bubbles: true }));
      target.dispatchEvent(new Event("submit", { bubbles: true }));
    }
    brine("Fine", null);
  });
  await leave(page);
});

/** In a sandbox cookies throw: nothing can be kept, so nothing is measured, and nothing is broken. */
export const sandboxed = onSite(async (browser, site) => {
  add(site, "/framed", '<script defer src="/tell.js"></script>');
  site.files["/tell.js"] = { type: "text/javascript", text: "parent.postMessage(brine.state(), '*');" };
  const page = await open(browser, `${site.url}/tracker/framing`, (page) => page.setBypassCSP(true));
  const state = await page.evaluate(() => new Promise((done) => {
    addEventListener("message", ({ data }) => done(data));
    const frame = document.createElement("iframe");
    frame.sandbox = "allow-scripts";
    frame.src = "/framed";
    document.body.append(frame);
  }));
  assert.equal(state.consent, "none");
  assert.deepEqual(page.faults, []);
});
