// The policy page for everybody: read by a screen reader, at any width, in the dark, on paper, in both languages.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { NOTHING, open, stored, withBrowser } from "../browser.mjs";

const base = (address) => `http://collect.portal.example.test:${address.split(":")[1]}`;

/** What axe-core finds; its script goes in by the debugger, which a page's policy does not bind. */
async function complaints(page) {
  const axe = fileURLToPath(new URL("../node_modules/axe-core/axe.min.js", import.meta.url));
  await page.evaluate(await readFile(axe, "utf8"));
  const { violations, incomplete } = await page.evaluate(() => axe.run({ resultTypes: ["violations", "incomplete"] }));
  const told = ({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`;
  return { found: violations.map(told), unsure: incomplete.map(told) };
}

export const policy_no_barriers = (address) => withBrowser(async (browser) => {
  // One template makes them all: the longest in every dress, the others in two.
  const rarely = ["/policy/1?site=portal", "/policy/versions"];
  for (const theme of ["light", "dark"]) {
    for (const width of [360, 1280]) {
      for (const lang of ["en", "da"]) {
        const isPlain = (theme === "dark") === (width === 360) && lang === "da";
        for (const path of ["/policy", ...(isPlain ? rarely : [])]) {
          const where = `${path} ${lang} ${theme} ${width}`;
          const url = `${base(address)}${path}${path.includes("?") ? "&" : "?"}lang=${lang}`;
          const page = await open(browser, url, async (page) => {
            await page.setViewport({ width, height: 740 });
            await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: theme }]);
          });
          assert.deepEqual(await complaints(page), { found: [], unsure: [] }, where);
          const { scrollWidth, innerWidth } = await page.evaluate(() => ({
            scrollWidth: document.documentElement.scrollWidth,
            innerWidth,
          }));
          assert.ok(scrollWidth <= innerWidth, `${where}: ${scrollWidth} wide`);
          assert.deepEqual(page.faults, [], where);
          // A picture of it, for those who want to look: SHOTS=folder.
          if (process.env.SHOTS) {
            const name = where.replace(/\W+/g, "-");
            await page.screenshot({ path: `${process.env.SHOTS}/${name}.png`, fullPage: true });
          }
          await page.close();
        }
      }
    }
  }
});

export const policy_asks_for_nothing = (address) => withBrowser(async (browser) => {
  const page = await open(browser, `${base(address)}/policy?lang=da`, (page) => page.setJavaScriptEnabled(false));
  // The page itself; a browser asks for an icon by its own.
  assert.deepEqual(page.requests.filter((request) => !request.endsWith("/favicon.ico")), ["GET /policy"]);
  await page.setJavaScriptEnabled(true);
  assert.deepEqual(await stored(page), NOTHING);
  // By keyboard: past the head, to the text; and each entry of the contents leads somewhere.
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  const broken = await page.$$eval(".contents a", (links) =>
    links.filter((link) => !document.querySelector(link.getAttribute("href"))).map((link) => link.href));
  assert.deepEqual(broken, []);
  // A former version leads to the one in force, and a language keeps what is looked at.
  await page.goto(`${base(address)}/policy/1?site=portal&lang=en`);
  await page.click(".notice a");
  await page.waitForFunction(() => location.pathname === "/policy");
  assert.match(await page.$eval(".edition", (edition) => edition.textContent), /Version\s+2/);
  await page.click('nav [hreflang="da"]');
  await page.waitForFunction(() => document.documentElement.lang === "da");
  assert.match(await page.$eval(".edition", (edition) => edition.textContent), /Version\s+2/);
  // On paper: no navigation, and nothing wider than the sheet.
  await page.emulateMediaType("print");
  assert.equal(await page.$eval(".contents", (contents) => getComputedStyle(contents).display), "none");
});
