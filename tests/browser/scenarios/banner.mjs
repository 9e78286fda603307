// The banner on a site of its own: under a strict policy, beside a style sheet that means harm, in the site's
// colours and languages.
import assert from "node:assert/strict";
import { banner, eventually, isAsking, open, pause, requested, withBrowser } from "../browser.mjs";
import { withSite } from "../site.mjs";

const ATTRIBUTES = 'data-site="portal" data-cookie-domain="portal.example.test"';

/**
 * Runs `work(visit)` on a site without a consent manager; `visit({ attributes, head, style, html, scripts })`
 * opens a page of it as a new visitor. Its policy permits the collector's scripts and nothing else.
 */
const onSite = (work) => (address, given) => withSite(address, (site) => withBrowser(async (browser) => {
  let n = 0;
  const visit = async ({ attributes = "", head = "", style = "", html = 'lang="en"', scripts, prepare } = {}) => {
    const tags = scripts ?? `<script defer src="${site.collector}/brine.js" ${ATTRIBUTES} data-with="banner" ${attributes}></script>`;
    const own = style && "style-src 'self'";
    const path = `/page-${(n += 1)}`;
    site.files["/site.css"] = { type: "text/css", text: style };
    site.files[path] = {
      type: "text/html",
      policy: `default-src 'none'; script-src ${site.collector}; connect-src ${site.collector}; ${own}`,
      text: `<!doctype html><html ${html}><meta charset="utf-8"><title>A page</title>${head}
        ${style && '<link rel="stylesheet" href="/site.css">'}${tags}<h1>A page</h1><p>Some text.</p></html>`,
    };
    return open(await browser.createBrowserContext(), site.url + path, prepare);
  };
  await work(visit, given);
}));

const styled = (page, inside, ...names) => page.$eval(banner(inside), (element, names) => {
  const style = getComputedStyle(element);
  return names.map((name) => style.getPropertyValue(name));
}, names);

/** Nothing but the collector is permitted, and nothing else is needed. */
export const strict_policy = onSite(async (visit) => {
  const page = await visit();
  assert.equal(await isAsking(page), true);
  assert.deepEqual(await styled(page, "dialog", "position", "border-radius"), ["fixed", "14.4px"]);
  await page.click(banner("#yes"));
  await requested(page, "POST /api/event", 1);
  await page.click(banner("#choices"));
  await page.click(banner("#no"));
  await eventually(async () => assert.equal(await page.evaluate(() => brine.state().consent), "denied"));
  await requested(page, "POST /api/consent", 2);
  await pause(300); // until it has been heard
  assert.deepEqual(page.faults, []);
});

/** The lines that `brine tracker` prints, bound to their version: they run, and altered ones do not. */
export const pinned = onSite(async (visit, lines) => {
  const good = await visit({ scripts: lines.join("") });
  assert.equal(await isAsking(good), true);
  await good.click(banner("#yes"));
  await requested(good, "POST /api/event", 1);
  assert.deepEqual(good.faults, []);
  const bad = await visit({ scripts: lines.join("").replaceAll("sha384-", "sha384-A") });
  assert.equal(await bad.evaluate(() => typeof window.brine), "undefined");
  // The other one first: it waits.
  const reversed = await visit({ scripts: [...lines].reverse().join("") });
  await eventually(async () => assert.equal(await isAsking(reversed), true));
});

/** A site's style sheet reaches nothing in it. */
export const hostile_style = onSite(async (visit) => {
  const look = async (style) => {
    const page = await visit({ style });
    const seen = {};
    for (const inside of ["dialog", "#yes", "#title", "a"]) {
      seen[inside] = await page.$eval(banner(inside), (element) => {
        const { width, height, x, y } = element.getBoundingClientRect();
        const { color, font, padding, opacity, visibility } = getComputedStyle(element);
        return { width, height, x, y, color, font, padding, opacity, visibility };
      });
    }
    await page.browserContext().close();
    return seen;
  };
  const hostile = `
    * { all: unset !important; font: 5px serif !important; color: red !important; }
    :root { font-size: 4px; }
    brine-banner, div, dialog, button, body > * {
      display: none !important; opacity: 0 !important; transform: rotate(9deg) !important; visibility: hidden !important;
      position: absolute !important; left: -999em !important; filter: blur(9px) !important;
    }`;
  assert.deepEqual(await look(hostile), await look(""));
});

/** What a site may set, it sets by custom properties. */
export const themed = onSite(async (visit) => {
  const page = await visit({
    style: `:root { --brine-accent: rgb(1, 2, 3); --brine-on-accent: rgb(250, 251, 252); --brine-ground: rgb(9, 9, 9);
      --brine-button-inset: auto 5px 6px auto; --brine-font: monospace; }`,
  });
  for (const id of ["#yes", "#no"]) {
    assert.deepEqual(await styled(page, id, "background-color", "color", "font-family"),
      ["rgb(1, 2, 3)", "rgb(250, 251, 252)", "monospace"]);
  }
  assert.deepEqual(await styled(page, "dialog", "background-color"), ["rgb(9, 9, 9)"]);
  await page.click(banner("#no"));
  assert.deepEqual(await styled(page, ".corner", "right", "bottom"), ["5px", "6px"]);
  // Dark by the visitor's wish, unless the site has but one look.
  const dark = (page) => page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "dark" }]);
  const grounds = [];
  for (const attributes of ["", 'data-theme="light"', 'data-theme="dark"']) {
    const page = await visit({ attributes, prepare: attributes.includes("dark") ? undefined : dark });
    grounds.push(...await styled(page, "dialog", "background-color"));
  }
  assert.deepEqual(grounds, ["rgb(24, 35, 36)", "rgb(255, 255, 255)", "rgb(24, 35, 36)"]);
});

/** Nothing moves for those who want it still; in forced colours every button has an edge to be seen by. */
export const calm_and_forced = onSite(async (visit) => {
  const moving = await visit();
  assert.deepEqual(await styled(moving, "dialog", "animation-name"), ["rise"]);
  const page = await visit({
    prepare: async (page) => {
      const debug = await page.createCDPSession();
      await debug.send("Emulation.setEmulatedMedia", {
        features: [{ name: "prefers-reduced-motion", value: "reduce" }, { name: "forced-colors", value: "active" }],
      });
    },
  });
  assert.equal(await page.evaluate(() => matchMedia("(forced-colors: active)").matches), true);
  assert.deepEqual(await styled(page, "dialog", "animation-name", "transition-duration"), ["none", "0s"]);
  for (const inside of ["dialog", "#yes", "#no"]) {
    const [edge, ground, width] = await styled(page, inside, "border-top-color", "background-color", "border-top-width");
    assert.notEqual(edge, ground, inside);
    assert.ok(parseFloat(width) >= 1, inside);
  }
  // Focus is shown by more than colour.
  await page.focus(banner("#yes"));
  await page.keyboard.press("Shift");
  assert.deepEqual(await styled(page, "#yes", "outline-style"), ["solid"]);
});

/** data-lang, then the page's language, then the browser's; English where there are no words. */
export const languages = onSite(async (visit) => {
  const speaking = (language) => (page) => page.evaluateOnNewDocument((language) => {
    Object.defineProperty(Navigator.prototype, "language", { get: () => language });
  }, language);
  const cases = [
    ["", 'lang="en"', "da-DK", "May we"],
    ["", 'lang="da-DK"', "en-US", "Må vi"],
    ['data-lang="da"', 'lang="en"', "en-US", "Må vi"],
    ['data-lang="en"', 'lang="da"', "da", "May we"],
    ["", "", "da", "Må vi"],
    ["", 'lang="de"', "da", "Må vi"],
    ["", 'lang="de"', "fr", "May we"],
  ];
  for (const [attributes, html, browser, question] of cases) {
    const page = await visit({ attributes, html, prepare: speaking(browser) });
    const [title, lang] = await page.$eval(banner("#title"), (title) => [title.textContent, title.getRootNode().host.lang]);
    assert.ok(title.startsWith(question), `${attributes} ${html} ${browser}: ${title}`);
    assert.equal(lang, question === "Må vi" ? "da" : "en");
    await page.browserContext().close();
  }
  // What it says about time follows the site's settings, and never says less than is so.
  const sentence = async (attributes) => {
    const page = await visit({ attributes });
    return page.$eval(banner("#terms"), (terms) => terms.textContent);
  };
  for (const [attributes, kept, renewed] of [
    ["", "13 months", "every night"],
    ['data-days="30" data-rotation="week"', "30 days", "every week"],
    ['data-days="100" data-rotation="month"', "4 months", "every month"],
    ['data-lang="da" data-days="730"', "24 måneder", "hver nat"],
  ]) {
    const text = await sentence(attributes);
    assert.ok(text.includes(kept) && text.includes(renewed), text);
  }
  // And where to read more.
  const policy = async (attributes) => {
    const page = await visit({ attributes });
    return page.$eval(banner("a"), (link) => link.href);
  };
  assert.match(await policy('data-lang="da"'), /^http:\/\/collect\..*\/policy\?site=portal&lang=da$/);
  assert.equal(await policy('data-policy="https://portal.example.test/privacy"'), "https://portal.example.test/privacy");
});

/** The site's own link takes the place of the small button. */
export const own_choices = onSite(async (visit) => {
  const page = await visit({ head: '<a id="mine" href="#mine" data-brine-choices><b>Privacy</b></a>' });
  await page.click(banner("#no"));
  assert.equal(await page.$eval(banner(".corner"), (corner) => corner.hidden), true);
  await page.click("#mine b");
  assert.ok(!page.url().endsWith("#mine")); // the link is for pages without the script
  assert.equal(await page.$eval(banner("dialog"), (dialog) => dialog.matches(":modal")), true);
  assert.match(await page.$eval(banner(".state"), (state) => state.textContent), /You said no/);
  await page.click(banner("#close"));
  // "See or erase my data" opens the collector's page, with what the visitor holds in the fragment.
  await page.evaluate(() => { window.opened = []; window.open = (url) => window.opened.push(url); });
  await page.click("#mine b");
  await page.click(banner("#mydata"));
  const [opened] = await page.evaluate(() => window.opened);
  assert.match(opened, /^http:\/\/collect\..*\/my-data\?site=portal#/);
});

/** Routers that swap the page's body keep the question. */
export const swapped = onSite(async (visit) => {
  const page = await visit();
  await page.evaluate(() => {
    const body = document.createElement("body");
    body.append(Object.assign(document.createElement("a"), { href: "#content", textContent: "Skip" }), "Another page");
    document.body.replaceWith(body);
  });
  assert.equal(await isAsking(page), true);
  assert.deepEqual(await page.evaluate(() => [...document.body.children].map(({ localName }) => localName)), ["a", "brine-banner"]);
  await page.click(banner("#no"));
  await eventually(async () => assert.equal(await page.evaluate(() => brine.state().consent), "denied"));
});

/** One button withdraws and erases, and says when it is done; the pages it leads to are there. */
export const erasing = onSite(async (visit) => {
  const page = await visit();
  await page.click(banner("#yes"));
  await requested(page, "POST /api/event", 1);
  await pause(500); // until it has its receipt
  await page.click(banner("#choices"));
  const policy = await page.$eval(banner("a"), (link) => link.href);
  await page.click(banner("#erase"));
  const says = () => page.$eval(banner(".state"), (state) => state.textContent);
  await eventually(async () => assert.match(await says(), /is erased/), 60_000);
  assert.equal(await page.evaluate(() => brine.state().consent), "denied");
  assert.deepEqual(await page.evaluate(() => ({ ...localStorage })), {});
  assert.deepEqual(page.faults, []);
  const other = await open(page.browserContext(), policy);
  assert.match(await other.$eval("h1", (title) => title.textContent), /\w/);
  assert.equal((await other.goto(policy.replace("/policy", "/my-data"))).status(), 200);
});

/** A yes that the collector does not take is no yes, and is seen to be none. */
export const unheard = (address) => withSite(address, (site) => withBrowser(async (browser) => {
  const page = await open(browser, `${site.url}/banner/here`);
  site.down = 2; // the choice and its one retry
  await page.click(banner("#yes"));
  await eventually(async () =>
    assert.match(await page.$eval(banner("#choices"), (button) => button.textContent), /did not arrive/), 20_000);
  assert.equal(await page.evaluate(() => brine.state().consent), "none");
  assert.deepEqual(await browser.cookies(), []);
  await page.reload({ waitUntil: "networkidle0" });
  assert.equal(await isAsking(page), true);
}));

/** Withdrawing here is heard by the tab beside it, which asks no more than this one. */
export const two_tabs = (address) => withSite(address, (site) => withBrowser(async (browser) => {
  const first = await open(browser, `${site.url}/banner/first`);
  const second = await open(browser, `${site.url}/banner/second`);
  assert.deepEqual([await isAsking(first), await isAsking(second)], [true, true]);
  await second.click(banner("#no"));
  await eventually(async () => assert.equal((await browser.cookies()).length, 1));
  await first.bringToFront();
  await first.evaluate(() => dispatchEvent(new Event("focus"))); // headless windows do not get it by themselves
  await eventually(async () => assert.equal(await isAsking(first), false));
  await pause(100);
  assert.equal(first.requests.filter((made) => made.startsWith("POST")).length, 0);
}));

/** A yes in one tab that did not arrive at once, and a no in the other before its retry does. */
export const no_beside_a_late_yes = (address) => withSite(address, (site) => withBrowser(async (browser) => {
  const first = await open(browser, `${site.url}/banner/first`);
  const second = await open(browser, `${site.url}/banner/second`);
  await first.bringToFront();
  site.down = 1;
  await first.click(banner("#yes"));
  await eventually(async () => assert.equal(site.down, 0));
  await second.bringToFront();
  await second.click(banner("#no"));
  // The yes, its retry, and that it holds no more.
  await eventually(async () =>
    assert.equal(first.requests.filter((made) => made.startsWith("POST /api/consent")).length, 3), 20_000);
  await pause(500);
  assert.equal(first.requests.filter((made) => made.startsWith("POST /api/event")).length, 0);
  assert.deepEqual((await browser.cookies()).map((cookie) => cookie.name), ["brine_denied"]);
  for (const page of [first, second]) assert.equal(await page.evaluate(() => brine.state().consent), "denied");
  assert.doesNotMatch(await first.$eval(banner("#choices"), (button) => button.textContent), /did not arrive/);
}));
