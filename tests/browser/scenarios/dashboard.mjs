// The dashboard in a browser: looked at in every dress, used by mouse and by keyboard, and without script.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { open as openPage, withBrowser } from "../browser.mjs";

/** The live figure's connection stays open: the page is there when no others are. */
const open = (browser, url, prepare) => openPage(browser, url, prepare, "networkidle2");

const base = (address) => `http://127.0.0.1:${address.split(":")[1]}`;

async function complaints(page) {
  const axe = fileURLToPath(new URL("../node_modules/axe-core/axe.min.js", import.meta.url));
  await page.evaluate(await readFile(axe, "utf8"));
  const { violations } = await page.evaluate(() => axe.run({ resultTypes: ["violations"] }));
  return violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 4).map((node) => node.html).join(" ")}`);
}

export const dashboard_no_barriers = (address) => withBrowser(async (browser) => {
  const all = "/d/portal?f=is%2Cvisit%3Asource%2CGoogle&step=Visit+%2Fa&step=Signup&period=7d";
  for (const theme of ["light", "dark"]) {
    for (const width of [360, 1280]) {
      for (const path of ["/", "/d/portal", all, "/d/portal/pages", "/d/portal/hours", "/d/portal/props?props=plan&event=Signup", "/meaning"]) {
        const where = `${path} ${theme} ${width}`;
        const lang = width === 360 ? "da" : "en";
        const url = `${base(address)}${path}${path.includes("?") ? "&" : "?"}lang=${lang}`;
        const page = await open(browser, url, async (page) => {
          await page.setViewport({ width, height: 740 });
          await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: theme }]);
        });
        if (path !== "/meaning") await page.$$eval("details", (list) => list.forEach((one) => (one.open = true)));
        assert.deepEqual(await complaints(page), [], where);
        // Menus lie above the page; tables are part of it.
        await page.$$eval("details.menu", (list) => list.forEach((one) => (one.open = false)));
        const { scrollWidth, innerWidth } = await page.evaluate(() => ({
          scrollWidth: document.documentElement.scrollWidth,
          innerWidth,
        }));
        assert.ok(scrollWidth <= innerWidth, `${where}: ${scrollWidth} wide`);
        assert.deepEqual(page.faults, [], where);
        if (process.env.SHOTS) {
          await page.screenshot({ path: `${process.env.SHOTS}/${where.replace(/\W+/g, "-")}.png`, fullPage: true });
        }
        await page.close();
      }
    }
  }
});

export const dashboard_is_used = (address, { hostile }) => withBrowser(async (browser) => {
  const page = await open(browser, `${base(address)}/d/portal?lang=en`);
  const first = (selector) => page.$eval(selector, (element) => element.textContent);
  assert.equal(await first(".tiles strong"), "14");
  // Nothing of a visitor's runs, whatever panel shows it.
  for (const tab of ["pages=page", "pages=entry", "pages=exit", "sources=campaign", "events=goal", "events=name", "event=Signup&props=plan"]) {
    await page.goto(`${base(address)}/d/portal?lang=en&${tab}`);
    assert.notEqual(await page.title(), "run", tab);
    assert.equal(await page.$("main img"), null, tab);
  }
  const texts = await page.$$eval(".bars th", (cells) => cells.map((cell) => cell.textContent).join("\n"));
  assert.ok(texts.includes(hostile.slice(0, 20)), texts);

  // A click on a row filters, the page stays, the address says so, and back takes it away.
  await page.goto(`${base(address)}/d/portal?lang=en`);
  await page.evaluate(() => (window.kept = true));
  await page.click("#pages .bars tbody tr a");
  await page.waitForSelector(".chips li");
  assert.match(page.url(), /f=is%2Cevent%3Apage%2C/);
  assert.equal(await first(".tiles strong"), "7");
  assert.equal(await page.evaluate(() => window.kept), true, "without a reload");
  await page.goBack();
  await page.waitForFunction(() => !document.querySelector(".chips li"));
  assert.equal(await first(".tiles strong"), "14");

  // By keyboard: a period, the dates, a comparison.
  await page.keyboard.press("w");
  await page.waitForFunction(() => location.search.includes("period=7d"));
  await page.keyboard.press("c");
  assert.equal(await page.evaluate(() => document.activeElement.name), "from");
  await page.keyboard.press("Escape");
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "SUMMARY");
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press("ArrowLeft");
  await page.waitForFunction(() => location.search.includes("from="));
  await page.keyboard.press("f");
  await page.waitForFunction(() => !location.search.includes("from="));
  await page.keyboard.press("x");
  await page.$$eval(".menu[open] li a", (links) => links.find((link) => link.textContent === "Year before").click());
  await page.waitForFunction(() => location.search.includes("compare=year"));

  // The graph: hovering tells, dragging chooses a range.
  const box = await (await page.$(".graph svg")).boundingBox();
  await page.mouse.move(box.x + box.width * 0.3, box.y + 40);
  await page.waitForFunction(() => !document.querySelector(".tip").hidden);
  const tip = () => first(".tip");
  assert.doesNotMatch(await tip(), /so far/);
  await page.mouse.move(box.x + box.width * 0.99, box.y + 40);
  assert.match(await tip(), /so far: 14/);
  await page.mouse.move(box.x + box.width * 0.3, box.y + 40);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.99, box.y + 40, { steps: 4 });
  await page.mouse.up();
  await page.waitForFunction(() => location.search.includes("to="));
  assert.equal(await first(".tiles strong"), "14");

  // A metric, an interval, a tab: each is a link with the state in its address.
  await page.goto(`${base(address)}/d/portal?lang=en`);
  await page.$$eval(".tiles a", (links) => links.find((link) => link.textContent.includes("Pageviews")).click());
  await page.waitForFunction(() => location.search.includes("metric=pageviews"));
  await page.$$eval(".tabs a", (links) => links.find((link) => link.textContent === "Weeks").click());
  await page.waitForFunction(() => location.search.includes("interval=week"));

  // The form of a filter, and a segment made of it, that brings it back.
  await page.$$eval(".filters summary", ([summary]) => summary.click());
  await page.select("[name=fd]", "visit:source");
  await page.type("[name=fv]", "Google");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".chips li");
  await page.type("#marks [name=name]", "From Google");
  await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
  await page.goto(`${base(address)}/d/portal?lang=en`);
  await page.$$eval("#marks .marks a", ([link]) => link.click());
  await page.waitForSelector(".chips li");
  assert.match(await first(".chips li"), /Source is Google/);

  // It asks once more before it is removed, by keyboard, too.
  await page.focus("#marks .remove summary");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Remove “From Google”");
  await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
  assert.equal(await page.$("#marks .marks"), null);

  // Which properties events carry; one of them; one of its values, as text and as a filter.
  await page.goto(`${base(address)}/d/portal?lang=en`);
  await page.$$eval("#props .bars a", (links) => links.find((link) => link.textContent === "Signup · plan").click());
  await page.waitForFunction(() => location.search.includes("props=plan") && location.search.includes("event=Signup"));
  const value = await first("#props .bars a");
  assert.equal(value.slice(0, 20), hostile.slice(0, 20));
  await page.click("#props .bars a");
  await page.waitForSelector(".chips li");
  assert.equal(await first(".tiles strong"), "7");
  assert.equal(await page.$eval("#props [aria-current]", (link) => link.textContent), "plan");

  // The form of the funnel: its steps stand in the address, before the place on the page.
  await page.goto(`${base(address)}/d/portal?lang=en`);
  const inputs = await page.$$("#funnel [name=step]");
  await inputs[0].type("Visit /a");
  await inputs[1].type("Signup");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#funnel .bars");
  assert.match(page.url(), /\?.*step=Visit\+%2Fa&step=Signup.*#funnel$/);
  const steps = (of) => of.$$eval("#funnel .bars tbody tr", (rows) => rows.map((row) => row.textContent));
  const counted = await steps(page);
  assert.match(counted[2], /^Signup/);

  // The live figure comes over one connection, however many there are of it.
  const watched = () => page.requests.filter((request) => request.endsWith("/now")).length;
  const n = watched();
  await new Promise((done) => setTimeout(done, 11_000));
  assert.equal(watched(), n);

  // Without script: the same page, and a form that works.
  const plain = await open(browser, `${base(address)}/d/portal?lang=en`, (page) => page.setJavaScriptEnabled(false));
  assert.equal(await plain.$eval(".tiles strong", (element) => element.textContent), "14");
  const path = await plain.$eval(".graph path:is(.line, .dot):not([d=\"\"])", (element) => element.getAttribute("d"));
  assert.ok(path.startsWith("M"), path);
  const elsewhere = plain.requests.filter((request) => /https?:/.test(request));
  assert.deepEqual(elsewhere, []);
  const fields = await plain.$$("#funnel [name=step]");
  await fields[0].type("Visit /a");
  await fields[1].type("Signup");
  await Promise.all([plain.waitForNavigation(), plain.keyboard.press("Enter")]);
  assert.deepEqual(await steps(plain), counted);
  assert.deepEqual(page.faults, []);
});
