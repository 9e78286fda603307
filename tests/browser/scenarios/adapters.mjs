// A consent manager asks, brine follows: each adapter with its manager, whichever script comes first.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { eventually, open, pause, withBrowser } from "../browser.mjs";
import { withSite } from "../site.mjs";

const here = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const PACKED = "/node_modules/klaro/dist/klaro-no-css.js";

/** What a manager's script is made of; npm imports are bundled, as a site does. */
async function manager(name) {
  const bundle = async (path) => {
    const made = await build({ entryPoints: [here(path)], bundle: true, format: "iife", write: false });
    return made.outputFiles[0].text;
  };
  if (name !== "klaro") return bundle(`managers/${name}.js`);
  return `${await readFile(here("managers/klaro-config.js"), "utf8")}\n`;
}

/** How a visitor answers: on the first question, and later. */
const press = (page, ...selectors) => selectors.reduce(async (before, selector) => {
  await before;
  await page.waitForSelector(selector, { visible: true });
  await page.click(selector);
}, null);
const buttons = { yes: (page) => press(page, "#yes"), no: (page) => press(page, "#no") };
const ANSWERS = {
  "consent-mode": buttons,
  "cookie-information": buttons,
  cookiebot: buttons,
  tcf: buttons,
  klaro: {
    yes: (page) => press(page, ".cookie-notice .cm-btn-success"),
    no: (page) => press(page, ".cookie-notice .cn-decline"),
    later: (page) => page.evaluate(() => { klaro.show(undefined, true); }),
    laterYes: (page) => press(page, ".cm-modal .cm-btn-accept"), // its switch is still on
    laterNo: async (page) => {
      await page.waitForSelector("#service-item-brine");
      await page.evaluate(() => document.getElementById("service-item-brine").click());
      assert.equal(await consent(page), "granted"); // moved, not saved
      await press(page, ".cm-modal .cm-btn-accept");
    },
  },
  "vanilla-cookieconsent": {
    yes: (page) => press(page, ".cm [data-role=all]"),
    no: (page) => press(page, ".cm [data-role=necessary]"),
    later: (page) => page.click("#settings"),
    laterYes: (page) => press(page, ".pm [data-role=all]"),
    laterNo: (page) => press(page, ".pm [data-role=necessary]"),
  },
};

/** Runs `work(visit)` on a site with this manager; `visit(order)` opens its page as a new visitor. */
const managed = (name, work) => (address) => withSite(address, (site) => withBrowser(async (browser) => {
  const policy = `default-src 'none'; script-src 'self' ${site.collector}; style-src 'self'; connect-src ${site.collector}`;
  site.files["/manager.js"] = { type: "text/javascript", text: await manager(name) };
  const tags = {
    m: `<script defer src="/manager.js"></script>${name === "klaro" ? `<script defer src="${PACKED}"></script>` : ""}`,
    b: `<script defer src="${site.collector}/brine.js" data-site="portal" data-cookie-domain="portal.example.test"></script>`,
    a: `<script defer src="${site.collector}/brine/${name}.js"></script>`,
  };
  const visit = async (order, hash = "") => {
    const text = `<!doctype html><html lang="en"><meta charset="utf-8"><title>A page</title>
      ${[...order].map((letter) => tags[letter]).join("\n")}
      <h1>A page</h1><button id="yes">Yes</button><button id="no">No</button><button id="settings">Settings</button></html>`;
    site.files[`/${order}`] = { type: "text/html", text, policy };
    const visitor = await browser.createBrowserContext();
    return open(visitor, `${site.url}/${order}${hash}`);
  };
  await work(visit, { yes: buttons.yes, no: buttons.no, later: () => {}, laterYes: buttons.yes, laterNo: buttons.no, ...ANSWERS[name] });
}));

const posts = (page) => page.requests.filter((made) => made.startsWith("POST"));
const consent = (page) => page.evaluate(() => brine.state().consent);
const becomes = (page, state) => eventually(async () => assert.equal(await consent(page), state));
const ours = async (page) => (await page.browserContext().cookies())
  .map(({ name }) => name).filter((name) => name.startsWith("brine")).sort();

const follows = (name) => managed(name, async (visit, answer) => {
  for (const order of ["mba", "abm", "bam"]) {
    const page = await visit(order);
    await pause(700); // managers and adapters are awake
    assert.deepEqual([posts(page), await ours(page)], [[], []], `${order}: asked, not answered`);
    // Yes: once, and measured.
    await answer.yes(page);
    await becomes(page, "granted");
    await eventually(() => assert.deepEqual(posts(page), ["POST /api/consent", "POST /api/event"], order));
    // The manager repeats it on the next page; brine has it already.
    page.requests.length = 0;
    await page.reload({ waitUntil: "networkidle0" });
    await pause(700);
    assert.ok(!posts(page).includes("POST /api/consent"), `${order}: ${posts(page)}`);
    assert.ok(posts(page).includes("POST /api/event"), `${order}: ${posts(page)}`);
    // No: at once.
    page.requests.length = 0;
    await answer.later(page);
    await answer.laterNo(page);
    await becomes(page, "denied");
    await eventually(() => assert.deepEqual(posts(page), ["POST /api/consent"], order));
    assert.deepEqual(await ours(page), []);
    // And for good.
    page.requests.length = 0;
    await page.reload({ waitUntil: "networkidle0" });
    await pause(700);
    assert.deepEqual([posts(page), await ours(page)], [[], []], `${order}: after the no`);
    assert.deepEqual(page.faults, []);
    await page.browserContext().close();
  }
  // A no to begin with is counted once.
  const page = await visit("mba");
  await pause(700);
  await answer.no(page);
  await eventually(() => assert.deepEqual(posts(page), ["POST /api/consent"]));
  await page.reload({ waitUntil: "networkidle0" });
  await pause(700);
  assert.deepEqual([posts(page), await ours(page)], [["POST /api/consent"], []]);
  assert.deepEqual(page.faults, []);
});

/** A consent that ended elsewhere is not brought back by a manager's memory; saying yes anew does. */
const remembers = (name) => managed(name, async (visit, answer) => {
  const page = await visit("mba");
  await pause(700);
  await answer.yes(page);
  await becomes(page, "granted");
  await eventually(async () => assert.ok((await ours(page)).includes("brine_taken")));
  await page.evaluate(() => brine.withdraw({ source: "elsewhere" }));
  await page.reload({ waitUntil: "networkidle0" });
  await pause(700);
  assert.equal(await consent(page), "none");
  await answer.later(page);
  // This one tells changes only.
  if (name === "vanilla-cookieconsent") {
    await answer.laterNo(page);
    await answer.later(page);
  }
  await answer.laterYes(page);
  await becomes(page, "granted");
  assert.deepEqual(page.faults, []);
});

/** Of two managers, asked for by attribute, both have to say yes; one no is enough. */
const adapters_both = (address) => withSite(address, (site) => withBrowser(async (browser) => {
  for (const name of ["cookiebot", "consent-mode"]) {
    site.files[`/${name}.js`] = { type: "text/javascript", text: await manager(name) };
  }
  site.files["/both"] = {
    type: "text/html",
    policy: `default-src 'none'; script-src 'self' ${site.collector}; connect-src ${site.collector}`,
    text: `<!doctype html><html lang="en"><meta charset="utf-8"><title>A page</title>
      <script defer src="/consent-mode.js"></script><script defer src="/cookiebot.js"></script>
      <script defer src="${site.collector}/brine.js" data-site="portal" data-with=" cookiebot  consent-mode "></script>
      <h1>A page</h1><button id="yes">Yes</button><button id="no">No</button></html>`,
  };
  const say = (page, state) => page.evaluate((analytics_storage) => {
    dataLayer.push(["consent", "update", { analytics_storage }]);
  }, state);
  const page = await open(browser, `${site.url}/both`, (page) =>
    page.setCookie({ name: "CookieConsent", value: "no", url: site.url }));
  await pause(700);
  await say(page, "granted");
  await pause(300);
  assert.deepEqual([posts(page), await consent(page)], [[], "none"]); // the one says yes, the other no
  await page.click("#yes"); // now both do
  await becomes(page, "granted");
  await eventually(async () => assert.ok((await ours(page)).includes("brine_taken")));
  await say(page, "denied");
  await becomes(page, "denied");
  await say(page, "granted"); // and yes again: the other never took his back
  await becomes(page, "granted");
  await page.click("#no");
  await becomes(page, "denied");
  assert.deepEqual(page.faults, []);
}));

/** What looks like a yes and was never said. */
const unsaid = (name, hash, act = () => {}) => managed(name, async (visit, answer) => {
  const page = await visit("mba", hash);
  await pause(700);
  await act(page, answer);
  await pause(500);
  assert.deepEqual([posts(page), await ours(page), await consent(page)], [[], [], "none"]);
  assert.deepEqual(page.faults, []);
});
const UNSAID = {
  "unsaid cookiebot": unsaid("cookiebot", "#implied"),
  "unsaid tcf": unsaid("tcf", "#outside"),
  "unsaid klaro": unsaid("klaro", "#required", (page, answer) => answer.no(page)),
};

const each = Object.keys(ANSWERS).flatMap((name) => [
  [`follows ${name}`, follows(name)], [`remembers ${name}`, remembers(name)],
]);
export const adapters = { ...Object.fromEntries(each), ...UNSAID, adapters_both };
