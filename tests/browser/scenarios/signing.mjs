// Who may look, in a browser: the set-up link, signing in and out, the pages of an admin, a link that has expired.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { open, withBrowser } from "../browser.mjs";

const PASSWORD = "tre røde bænke 4711";
const heading = (page) => page.$eval("h1", (element) => element.textContent);

async function complaints(page) {
  const axe = fileURLToPath(new URL("../node_modules/axe-core/axe.min.js", import.meta.url));
  await page.evaluate(await readFile(axe, "utf8"));
  const { violations, incomplete } = await page.evaluate(() => axe.run({ resultTypes: ["violations", "incomplete"] }));
  const told = ({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`;
  return { found: violations.map(told), unsure: incomplete.map(told) };
}

/** Sends the form that `selector` is a field of, and waits for the page that follows. */
const send = (page, selector) =>
  Promise.all([page.waitForNavigation(), page.$eval(selector, (field) => field.form.requestSubmit())]);

/** From the set-up link to an account, without any script of the page's own. */
async function setUp(browser, address, link) {
  const page = await open(browser, `http://${address}${link}?lang=en`);
  assert.equal(await heading(page), "Set up brine");
  await page.type("#name", "anna");
  await page.type("#password", PASSWORD);
  await page.type("#again", PASSWORD);
  await send(page, "#again");
  return page;
}

export const signing_in_and_out = (address, link) => withBrowser(async (browser) => {
  const page = await setUp(browser, address, link);
  await page.goto(`http://${address}/account`);
  assert.equal(await heading(page), "Account");
  // Nothing but our own pages and style; no cookie that a script could read.
  const foreign = page.requests.filter((request) => !/^(GET|POST) \/(welcome\/|access\.css|account|static\/|favicon|$)/.test(request));
  assert.deepEqual(foreign, []);
  assert.equal(await page.evaluate(() => document.cookie), "");
  // Out by keyboard: the button has the focus ring, Enter is enough.
  await page.focus('form[action="/logout"] button');
  await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
  assert.equal(await heading(page), "Sign in");
  await page.goto(`http://${address}/users`);
  assert.equal(new URL(page.url()).pathname, "/login");
  // A wrong password says so, aloud, and keeps where one was going.
  const signIn = async (password) => {
    await page.type("#name", "anna");
    await page.type("#password", password);
    await send(page, "#password");
  };
  await signIn("wrong wrong wrong");
  assert.equal(await page.$eval("[role=alert]", (element) => element.textContent.trim()), "Name or password is wrong.");
  await signIn(PASSWORD);
  assert.equal(new URL(page.url()).pathname, "/users");
  // The link is used up.
  await page.goto(`http://${address}${link}`);
  assert.equal(await heading(page), "This link opens nothing");
});

export const access_no_barriers = (address, link) => withBrowser(async (browser) => {
  const first = await setUp(browser, address, link);
  const fill = async (path, fields, button) => {
    await first.goto(`http://${address}${path}?lang=en`);
    for (const [name, value] of Object.entries(fields)) {
      await first.$eval(name, (field, value) => { field.value = value; }, value);
    }
    await send(first, button);
    assert.equal(await first.$("[role=alert]"), null, path);
  };
  await fill("/users", { "#name": "bo", "#sites": "portal,ios" }, "#name");
  assert.match(await first.$eval(".fresh code", (code) => code.textContent), /^http.*\/welcome\/brine_inv_/);
  const invitation = new URL(await first.$eval(".fresh code", (code) => code.textContent)).pathname;
  await fill("/keys", { "#name": "weekly report" }, "#name");
  assert.match(await first.$eval(".fresh code", (code) => code.textContent), /^brine_key_/);
  await fill("/links", { "#name": "agency" }, "#name");
  const paths = ["/login", invitation, "/share/none", "/account", "/users", "/keys", "/links"];
  for (const theme of ["light", "dark"]) {
    for (const width of [360, 1280]) {
      const lang = (theme === "dark") === (width === 360) ? "da" : "en";
      // Each page in two dresses that differ in everything; the one that everybody meets in all four.
      for (const path of (theme === "dark") === (width === 360) ? paths : ["/login"]) {
        const where = `${path.slice(0, 9)} ${lang} ${theme} ${width}`;
        const page = await open(browser, `http://${address}${path}?lang=${lang}`, async (page) => {
          await page.setViewport({ width, height: 740 });
          await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: theme }]);
        });
        assert.deepEqual(await complaints(page), { found: [], unsure: [] }, where);
        const { scrollWidth, innerWidth } = await page.evaluate(() => ({
          scrollWidth: document.documentElement.scrollWidth,
          innerWidth,
        }));
        assert.ok(scrollWidth <= innerWidth, `${where}: ${scrollWidth} wide`);
        const isGone = path.startsWith("/share");
        assert.deepEqual(page.faults.filter((fault) => !(isGone && fault.includes("410"))), [], where);
        // A picture of it, for those who want to look: SHOTS=folder.
        if (process.env.SHOTS) {
          await page.screenshot({ path: `${process.env.SHOTS}/${where.replace(/\W+/g, "-")}.png`, fullPage: true });
        }
        await page.close();
      }
    }
  }
});
