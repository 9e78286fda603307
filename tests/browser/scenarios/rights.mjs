// The page of the visitor's rights, as visitors meet it: from the site, from a sub-domain, with nothing at all.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { eventually, open, withBrowser } from "../browser.mjs";

const on = (host, address) => `http://${host}:${address.split(":")[1]}`;
const portal = (address) => on("portal.example.test", address);
const text = (page, selector) => page.$eval(selector, (element) => element.textContent);
const held = (page) => page.evaluate(() => (localStorage.brine_receipts || "").split(",").slice(1));

const cookies = (page) => page.evaluate(() => document.cookie.split("; ").map((one) => one.split("=")[0]).sort());

/** Says yes and looks around, with one event that has a property. */
async function visit(browser, address) {
  const page = await open(browser, portal(address) + "/");
  await page.evaluate(() => brine.consent({ choice: "grant", source: "test" }));
  await eventually(async () => assert.equal((await held(page)).length, 1));
  await page.goto(portal(address) + "/products", { waitUntil: "networkidle0" });
  await page.evaluate(() => brine("Signup", { props: { plan: "trial" } }));
  await page.goto(portal(address) + "/contact", { waitUntil: "networkidle0" });
  return page;
}

/** Opens "my data" from a page of the site, as its button does. */
async function myData(browser, page) {
  const [target] = await Promise.all([
    browser.waitForTarget((target) => target.url().includes("/my-data")),
    page.evaluate(() => brine.mydata()),
  ]);
  const opened = await target.page();
  await opened.waitForSelector(".day");
  return opened;
}

/** Presses a button, answers the question that follows, and waits for what was done. */
async function use(page, button, answer = "yes") {
  await page.$eval("#result", (result) => { result.textContent = ""; });
  await page.click(button);
  await page.waitForSelector("dialog[open]");
  await page.click(`dialog [value=${answer}]`);
  if (answer === "no") return;
  const isDone = () => !document.querySelector("main button:disabled") &&
    !["", "Looking …"].includes(document.getElementById("result").textContent);
  await page.waitForFunction(isDone, { timeout: 30_000 });
  return text(page, "#result");
}

export const my_data = (address) => withBrowser(async (browser) => {
  const site = await visit(browser, address);
  const page = await myData(browser, site);
  // The key has left the address bar and the history.
  assert.equal(new URL(page.url()).hash, "");
  assert.match(await text(page, "#brought"), /^Your consent\. Receipts, one for each day: 1\./);
  const sentences = await page.$$eval(".events .more > p:first-child", (all) => all.map((one) => one.textContent));
  for (const expected of ["You looked at /products.", "“Signup” on /products.", "You looked at /contact."]) {
    assert.ok(sentences.includes(expected), `${expected}: ${sentences}`);
  }
  assert.match(await text(page, "#history"), /You said yes \(policy version \d+, by way of: test\)/);

  // Nothing happens where the visitor thinks better of it.
  await use(page, "[data-action=erase]", "no");
  assert.match(await text(page, "#data_state"), /^Events: \d+\. Days: 1\./);

  await page.click(".events .small");
  await page.waitForSelector("dialog[open] #value");
  await page.$eval("#value", (input) => { input.value = "pro"; });
  await page.focus("#value");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.getElementById("result").textContent.startsWith("Corrected: 1"));
  assert.ok((await text(page, "#days")).includes("plan: pro"));

  assert.match(await use(page, "[data-action=restrict]"), /^Done: \d+ events are kept and not counted/);
  assert.equal(await text(page, ".badge"), "kept, not counted");
  assert.match(await use(page, "[data-action=unrestrict]"), /counted again/);
  assert.equal(await page.$(".badge"), null);
  // Erased alone, the consent stays, and the page says so.
  const erased = await use(page, "[data-action=erase]");
  assert.match(erased, /^Erased: \d+ events\. Checked.*Your consent is still in force/);
  assert.match(await text(page, "#data_state"), /^Nothing/);
  assert.deepEqual(await held(page), []);
  assert.ok((await cookies(page)).includes("brine_consent"));
  assert.match(await use(page, "[data-action=withdraw]"), /^Withdrawn/);
  assert.deepEqual(await cookies(page), ["brine_denied"]);
  assert.match(await text(page, "#consent"), /^Not in force/);
  assert.match(await text(page, "#unlinkable"), /without a receipt nobody can tell/);
  await page.reload({ waitUntil: "networkidle0" });
  assert.match(await text(page, "#history"), /You took it back \(by way of: my_data\)/);
  return (await held(page)).length;
});

// In one go, and by an objection: this host holds the site's cookies, and they go as by the banner's no.
export const my_data_leaves_nothing = (address) => withBrowser(async (browser) => {
  const visited = await visit(browser, address);
  const page = await myData(browser, visited);
  await page.click("[data-action=erase]");
  await page.waitForSelector("dialog[open]");
  assert.match(await text(page, "#question"), /Your consent stays in force if you erase alone/);
  const offered = await page.$$eval("dialog button", (all) => all.map((one) => one.textContent));
  assert.deepEqual(offered, ["Erase and withdraw", "Erase alone", "Cancel"]);
  assert.equal(await page.evaluate(() => document.activeElement.id), "no");
  await page.keyboard.press("Escape");
  const said = await use(page, "[data-action=erase]", "both");
  assert.match(said, /^Withdrawn\. .*Erased: \d+ events/);
  assert.ok(!said.includes("in force"), said);
  assert.match(await text(page, "#consent"), /^Not in force/);
  assert.deepEqual(await cookies(page), ["brine_denied"]);
  assert.deepEqual(await held(page), []);
  const [denied] = (await page.browserContext().cookies()).filter(({ name }) => name === "brine_denied");
  // Where the consent was, for as long as the banner remembers a no.
  assert.equal(denied.domain, ".portal.example.test");
  assert.ok(Math.abs(denied.expires - Date.now() / 1000 - 182 * 86400) < 600, String(denied.expires));

  await page.close();
  await visited.reload({ waitUntil: "networkidle0" });
  assert.equal(await visited.evaluate(() => brine.state().consent), "none");
  await visited.evaluate(() => brine.consent({ choice: "grant", source: "test" }));
  await eventually(async () => assert.equal((await held(visited)).length, 1));
  const again = await myData(browser, visited);
  assert.match(await use(again, "[data-action=object]"), /Your consent is withdrawn/);
  assert.deepEqual(await cookies(again), ["brine_denied"]);
  // What is stored can still be erased by its receipt.
  assert.equal((await held(again)).length, 1);
});

// A sub-domain has no storage of the site's: the key comes along by the address, or in a file.
export const my_data_elsewhere = (address) => withBrowser(async (browser) => {
  const site = await visit(browser, address);
  const [receipt] = await held(site);
  const visitor = await browser.createBrowserContext();
  const elsewhere = on("b.portal.example.test", address);
  const page = await open(visitor, `${elsewhere}/my-data?site=portal&lang=da#r=${receipt}`);
  await page.waitForSelector(".day");
  assert.equal(await text(page, "h1"), "Mine data");
  assert.match(await text(page, "#brought"), /^Intet samtykke\. Kvitteringer, én for hver dag: 1\./);
  assert.deepEqual(await held(page), [receipt]);
  await page.click("#forget");
  assert.deepEqual(await page.evaluate(() => [localStorage.length, sessionStorage.length]), [0, 0]);

  const nothing = await open(await browser.createBrowserContext(), `${elsewhere}/my-data?site=portal&lang=en`);
  assert.match(await text(nothing, "#brought"), /^Nothing yet/);
  assert.deepEqual(nothing.requests.filter((made) => made.includes("subject")), []);
  assert.deepEqual(await nothing.evaluate(() => [localStorage.length, sessionStorage.length]), [0, 0]);
  await nothing.type("#paste", "no receipt in here");
  await nothing.click("#use");
  assert.match(await text(nothing, "#result"), /^There is no receipt/);
  await nothing.$eval("#paste", (area, words) => { area.value = words; }, `Dear all, I have ${receipt}.`);
  await nothing.click("#use");
  await nothing.waitForSelector(".day");
  // A strict policy of the page's own was never in the way.
  assert.deepEqual([...page.faults, ...nothing.faults], []);
});

// One host collects for several sites: what was brought for one of them is never sent for another.
export const my_data_of_several_sites = (address) => withBrowser(async (browser) => {
  const visited = await visit(browser, address);
  const [receipt] = await held(visited);
  const token = await visited.evaluate(() => document.cookie.match(/brine_consent=([^;]+)/)[1]);
  const asked = [];
  const collector = on("collect.example.test", address);
  const open_at = async (site, key = "") => {
    await page.goto("about:blank");
    await page.goto(`${collector}/my-data?site=${site}&lang=en${key}`);
    await page.waitForFunction(() => document.getElementById("brought").textContent && !document.querySelector("main button:disabled"));
  };
  const page = await open(await browser.createBrowserContext(), null, (page) =>
    page.on("request", (request) => request.method() === "POST" && asked.push(JSON.parse(request.postData()))));
  const local = () => page.evaluate(() => ({ ...localStorage }));

  await open_at("portal", `#c=${token}&r=${receipt}`);
  await page.waitForSelector(".day");
  assert.deepEqual(await local(), { "brine_receipts.portal": `0,${receipt}` });
  await Promise.all([page.waitForNavigation({ waitUntil: "networkidle0" }), page.select("#site", "pernexus")]);
  assert.match(await text(page, "#brought"), /^Nothing yet/);
  await open_at("veriloc");
  assert.deepEqual(asked.filter((body) => body.site !== "portal"), []);

  // Brought to the wrong site: refused there once, kept, and not sent there again.
  await open_at("pernexus", `#c=${token}&r=${receipt}`);
  assert.match(await text(page, "#result"), /^What you brought opens nothing on this site/);
  const n_asked = asked.length;
  await page.reload({ waitUntil: "networkidle0" });
  assert.match(await text(page, "#brought"), /opens? nothing here/);
  assert.equal(asked.length, n_asked, JSON.stringify(asked.slice(n_asked)));
  assert.equal(await page.evaluate(() => sessionStorage["brine_token.pernexus"]), `!${token}`);

  // To forget here is not to forget there.
  await page.click("#forget");
  assert.deepEqual(await local(), { "brine_receipts.portal": `0,${receipt}` });
  assert.deepEqual(await page.evaluate(() => Object.keys(sessionStorage)), ["brine_token.portal"]);
  await open_at("portal");
  await page.waitForSelector(".day");
  assert.match(await text(page, "#consent"), /^In force/);
});

// A collector that does not answer has said nothing: neither that there is nothing, nor that there is no consent.
export const my_data_without_an_answer = (address) => withBrowser(async (browser) => {
  const visited = await visit(browser, address);
  const [receipt] = await held(visited);
  const token = await visited.evaluate(() => document.cookie.match(/brine_consent=([^;]+)/)[1]);
  for (const answer of [{ status: 503, body: "" }, { status: 404, body: "no such page" }, null]) {
    let isDown = true;
    const page = await open(await browser.createBrowserContext(), null, async (page) => {
      await page.setRequestInterception(true);
      page.on("request", (request) => {
        if (!isDown || request.method() !== "POST") request.continue();
        else if (answer) request.respond(answer);
        else request.abort();
      });
    });
    await page.goto(`${portal(address)}/my-data?site=portal&lang=en#c=${token}&r=${receipt}`, { waitUntil: "networkidle0" });
    assert.match(await text(page, "#data_state"), /^It could not be asked/);
    const isShown = (selector) => page.$eval(selector, (element) => element.checkVisibility());
    assert.deepEqual([await isShown("#consent_card"), await isShown("#rights"), await isShown("#again")], [false, false, true]);
    assert.ok(await page.$eval("#result", (result) => result.matches(".fault") && result.textContent));
    isDown = false;
    await page.click("#again");
    await page.waitForSelector(".day");
    assert.match(await text(page, "#consent"), /^In force/);
    assert.deepEqual([await isShown("#again"), await text(page, "#result")], [false, ""]);
    await page.close();
  }
});

/** What axe-core finds; its script goes in by the debugger, which a page's policy does not bind. */
async function complaints(page) {
  const axe = fileURLToPath(new URL("../node_modules/axe-core/axe.min.js", import.meta.url));
  await page.evaluate(await readFile(axe, "utf8"));
  const { violations, incomplete } = await page.evaluate(() => axe.run({ resultTypes: ["violations", "incomplete"] }));
  const told = ({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`;
  return [...violations, ...incomplete].map(told);
}

export const my_data_no_barriers = (address) => withBrowser(async (browser) => {
  const site = await visit(browser, address);
  const [receipt] = await held(site);
  const token = await site.evaluate(() => document.cookie.match(/brine_consent=([^;]+)/)[1]);
  for (const [lang, theme, width] of [["en", "dark", 360], ["da", "light", 360], ["en", "light", 1280], ["da", "dark", 1280]]) {
    for (const state of ["full", "empty"]) {
      const key = state === "full" ? `#c=${token}&r=${receipt}` : "";
      const url = `${on("a.portal.example.test", address)}/my-data?site=portal&lang=${lang}${key}`;
      const page = await open(await browser.createBrowserContext(), url, async (page) => {
        await page.setViewport({ width, height: 800 });
        await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: theme }]);
      });
      if (state === "full") {
        await page.waitForSelector(".day");
        await shoot(page, `seen-${lang}-${theme}-${width}`);
        await page.click(".events summary");
      }
      const name = `${state}, ${lang}, ${theme}, ${width}`;
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name}: too wide`);
      assert.deepEqual(await complaints(page), [], name);
      await shoot(page, `${state}-${lang}-${theme}-${width}`);
      if (state === "full") {
        // By keyboard: the question takes the focus, Escape is no yes, and the focus returns.
        await page.focus("[data-action=erase]");
        await page.keyboard.press("Enter");
        await page.waitForSelector("dialog[open]");
        assert.deepEqual(await complaints(page), [], `${name}, asking back`);
        await shoot(page, `asking-${lang}-${theme}-${width}`);
        await page.keyboard.press("Escape");
        assert.equal(await page.evaluate(() => document.activeElement.dataset.action), "erase");
        assert.equal(await text(page, "#result"), "");
      }
      assert.deepEqual(page.faults, [], name);
      await page.close();
    }
  }
});

/** For the eyes of whoever asks for it: a picture of the page. */
async function shoot(page, name) {
  const folder = process.env.BRINE_PICTURES;
  if (!folder) return;
  await page.screenshot({ path: `${folder}/my-data-${name}.png`, fullPage: true });
  await page.screenshot({ path: `${folder}/my-data-${name}-window.png` });
}
