// The banner for everybody: by keyboard, by screen reader, at any width, in the dark, in both languages.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { banner, eventually, isAsking, open, pause, withBrowser } from "../browser.mjs";

const portal = (address) => `http://portal.example.test:${address.split(":")[1]}/`;
const heard = (page) => page.evaluate(() => brine.state().consent);

/** Where the focus is, also within the banner. */
const focused = (page) => page.evaluate(() => {
  const { activeElement } = document;
  const inner = activeElement.shadowRoot?.activeElement ?? activeElement;
  return inner.id || inner.localName;
});
const focuses = (page, where) => eventually(async () => assert.equal(await focused(page), where));

async function press(page, key, n = 1) {
  for (let i = 0; i < n; i += 1) await page.keyboard.press(key);
}

/** What axe-core finds; its script goes in by the debugger, which a page's policy does not bind. */
async function complaints(page) {
  const axe = fileURLToPath(new URL("../node_modules/axe-core/axe.min.js", import.meta.url));
  await page.evaluate(await readFile(axe, "utf8"));
  const { violations, incomplete } = await page.evaluate(() => axe.run({ resultTypes: ["violations", "incomplete"] }));
  const told = ({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`;
  return { found: violations.map(told), unsure: incomplete.map(told) };
}

/** Runs `work(page, name)` as a new visitor of each theme, width and language. */
const everyVisitor = (address, work) => withBrowser(async (browser) => {
  for (const theme of ["light", "dark"]) {
    for (const [width, lang] of [[360, "da"], [360, "en"], [1280, "da"], [1280, "en"]]) {
      const visitor = await browser.createBrowserContext();
      const page = await open(visitor, portal(address), async (page) => {
        await page.setViewport({ width, height: 740 });
        await page.emulateMediaFeatures([
          { name: "prefers-color-scheme", value: theme },
          { name: "prefers-reduced-motion", value: "reduce" }, // axe cannot judge what is still moving
        ]);
        await page.evaluateOnNewDocument((lang) => {
          document.addEventListener("readystatechange", () => { document.documentElement.lang = lang; });
        }, lang);
      });
      await work(page, `${lang}, ${theme}, ${width}`);
      assert.deepEqual(page.faults, []);
      await visitor.close();
    }
  }
});

export const no_barriers = (address) => everyVisitor(address, async (page, visitor) => {
  const isClean = async (state) => {
    assert.deepEqual(await complaints(page), { found: [], unsure: [] }, `${state}: ${visitor}`);
    const isWhole = await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
    assert.ok(isWhole, `${state}: too wide for ${visitor}`);
  };
  await isClean("asking");
  await page.click(banner("#no"));
  await page.waitForSelector("#log summary");
  await isClean("said no");
  await page.click(banner("#choices"));
  await isClean("choosing");
  await page.click(banner("#yes"));
  await page.waitForSelector("#withdraw", { visible: true });
  await page.click("#log summary");
  await isClean("measuring");
  await page.click(banner("#choices"));
  await page.waitForSelector(banner("#erase"), { visible: true });
  await isClean("choosing again");
  await page.evaluateOnNewDocument(() =>
    Object.defineProperty(Navigator.prototype, "globalPrivacyControl", { get: () => true }));
  await page.reload({ waitUntil: "networkidle0" });
  await isClean("told why it is not asked");
  await page.click(banner("#choices"));
  await isClean("told at length");
});

export const equal_choices = (address) => everyVisitor(address, async (page, visitor) => {
  const isEqual = async (state) => {
    const [no, yes] = await page.$$eval(banner(".answers button"), (buttons) => buttons.map((button) => {
      const { width, height } = button.getBoundingClientRect();
      const style = { ...getComputedStyle(button) };
      // Where it stands differs; how it looks must not.
      for (const key of Object.keys(style)) if (/^\d+$|inset|origin/i.test(key)) delete style[key];
      return { id: button.id, width, height, tabIndex: button.tabIndex, style };
    }));
    assert.deepEqual([no.id, yes.id], ["no", "yes"], `${state}: the no comes first`);
    assert.ok(yes.width > 100 && Object.keys(yes.style).length > 100);
    assert.deepEqual({ ...yes, id: 0 }, { ...no, id: 0 }, `${state}: ${visitor}`);
  };
  await isEqual("asking");
  // Not a wall: the page behind it can be used.
  await page.click('nav a[href="/products"]');
  assert.equal(await page.$eval("#title", (title) => title.textContent), "Products");
  assert.equal(await isAsking(page), true);
  // Nothing is chosen beforehand.
  assert.equal((await page.$$(banner("input, [aria-pressed], [aria-checked], [checked]"))).length, 0);
  await page.click(banner("#no"));
  await page.click(banner("#choices"));
  await isEqual("choosing");
});

export const by_keyboard = (address) => withBrowser(async (browser) => {
  const page = await open(browser, portal(address));
  assert.equal(await focused(page), "title");
  // Putting it aside is no choice, here or on the next page.
  await press(page, "Escape");
  assert.equal(await isAsking(page), false);
  assert.equal(await heard(page), "none");
  assert.ok(!page.requests.some((request) => request.startsWith("POST")));
  assert.deepEqual(await browser.cookies(), []);
  await page.reload({ waitUntil: "networkidle0" });
  assert.equal(await isAsking(page), true);
  await press(page, "Escape");
  // Back to it: the choices keep the focus, and give it back.
  await page.focus(banner("#choices"));
  await press(page, "Enter");
  assert.equal(await focused(page), "title");
  await press(page, "Tab", 12);
  const isInside = await page.evaluate(() => document.activeElement.localName);
  assert.ok(["brine-banner", "body"].includes(isInside), isInside); // body: the browser's own bars
  await press(page, "Escape");
  assert.equal(await focused(page), "choices");
  assert.equal(await heard(page), "none");
  // A no is two keys away from the question, behind the link to the policy.
  await press(page, "Enter");
  await press(page, "Tab", 2);
  assert.equal(await focused(page), "no");
  await press(page, "Enter");
  await focuses(page, "choices");
  await eventually(async () => assert.equal(await heard(page), "denied"));
  const tells = (words) => eventually(async () =>
    assert.match(await page.$eval(banner(".said"), (said) => said.textContent), words));
  await tells(/You said no/);
  // And a yes one more.
  await press(page, "Enter");
  await press(page, "Tab", 3);
  assert.equal(await focused(page), "yes");
  await press(page, "Space");
  await page.waitForSelector("#withdraw", { visible: true });
  await focuses(page, "choices");
  assert.match(await page.$eval("#state", (state) => state.textContent), /You said yes/);
  await tells(/You said yes/);
  // Taking it back takes no more than giving it.
  await press(page, "Enter");
  await press(page, "Tab", 2);
  assert.equal(await focused(page), "no");
  await press(page, "Enter");
  await page.waitForSelector("#withdraw", { hidden: true });
  assert.deepEqual(page.faults, []);
});

/** The focus of somebody who is typing stays where it is, and comes back there. */
export const typing = (address) => withBrowser(async (browser) => {
  const page = await open(browser, portal(address), (page) => page.evaluateOnNewDocument(() => {
    document.addEventListener("readystatechange", () => {
      if (document.readyState !== "interactive") return;
      const field = document.createElement("input");
      field.id = "search";
      document.querySelector("main").prepend(field);
      field.focus();
    });
  }));
  assert.equal(await isAsking(page), true);
  assert.equal(await focused(page), "search");
  await page.click(banner("#no"));
  assert.equal(await focused(page), "search");
});
