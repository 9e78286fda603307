// The demo site's question for everybody: by keyboard, by screen reader, at any width, in the dark.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { eventually, open, pause, withBrowser } from "../browser.mjs";

const portal = (address) => `http://portal.example.test:${address.split(":")[1]}/`;
const focused = (page) => page.evaluate(() => document.activeElement.id || document.activeElement.className);

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

export const no_barriers = (address) => withBrowser(async (browser) => {
  for (const theme of ["light", "dark"]) {
    for (const width of [360, 1280]) {
      const visitor = await browser.createBrowserContext();
      const page = await open(visitor, portal(address), async (page) => {
        await page.setViewport({ width, height: 740 });
        await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: theme }]);
      });
      await pause(400); // until the question has risen
      const whole = () => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
      assert.deepEqual(await complaints(page), { found: [], unsure: [] }, `asking, ${theme}, ${width}`);
      assert.ok(await whole(), `asking: too wide at ${width}`);
      await page.click("#yes");
      await page.waitForSelector("#log summary");
      await page.click("#log summary");
      assert.deepEqual(await complaints(page), { found: [], unsure: [] }, `measuring, ${theme}, ${width}`);
      assert.ok(await whole(), `measuring: too wide at ${width}`);
      await visitor.close();
    }
  }
});

export const equal_choices = (address) => withBrowser(async (browser) => {
  for (const width of [360, 1280]) {
    const page = await open(browser, portal(address), (page) => page.setViewport({ width, height: 740 }));
    const [yes, no] = await page.evaluate(() => ["yes", "no"].map((id) => {
      const button = document.getElementById(id);
      const { width, height } = button.getBoundingClientRect();
      const style = { ...getComputedStyle(button) };
      // Where it stands differs; how it looks must not.
      for (const key of Object.keys(style)) if (/^\d+$|inset|origin/i.test(key)) delete style[key];
      return { width, height, style, isFirst: button === button.parentElement.firstElementChild };
    }));
    assert.ok(no.isFirst && yes.width > 100);
    assert.deepEqual({ ...yes, isFirst: 0 }, { ...no, isFirst: 0 });
    await page.close();
  }
});

export const by_keyboard = (address) => withBrowser(async (browser) => {
  const page = await open(browser, portal(address));
  assert.equal(await focused(page), "question");
  // Putting it aside is no choice, and gives the focus to the page.
  await press(page, "Escape");
  assert.equal(await focused(page), "title");
  assert.deepEqual(await page.evaluate(() => brine.state().consent), "none");
  assert.ok(!page.requests.some((request) => request.startsWith("POST")));
  // Back to the question; a no is one key away from it, and the focus returns to the button.
  await page.focus("#change");
  await press(page, "Enter");
  assert.equal(await focused(page), "question");
  await press(page, "Tab");
  assert.equal(await focused(page), "no");
  await press(page, "Enter");
  assert.equal(await focused(page), "change");
  await eventually(async () => assert.equal(await page.evaluate(() => brine.state().consent), "denied"));
  // And a yes two. Its button is gone afterwards, so the page has the focus.
  await press(page, "Enter");
  await press(page, "Tab", 2);
  assert.equal(await focused(page), "yes");
  await press(page, "Space");
  await page.waitForSelector("#withdraw", { visible: true });
  assert.match(await page.$eval("#state", (state) => state.textContent), /You said yes/);
  // Taking it back takes no more than giving it.
  await page.focus("#withdraw");
  await press(page, "Enter");
  await page.waitForSelector("#withdraw", { hidden: true });
  await eventually(async () => assert.equal(await focused(page), "change"));
  assert.deepEqual(page.faults, []);
});
