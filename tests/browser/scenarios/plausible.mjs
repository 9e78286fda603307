// Plausible's two public trackers, unchanged, on a site that asks for consent first.
import assert from "node:assert/strict";
import { open, pause, withBrowser } from "../browser.mjs";
import { withSite } from "../site.mjs";

const visit = (address, kind) => withSite(address, (site) => withBrowser(async (browser) => {
  // Through the site's own proxy the cookie is enough; to another origin the token goes into the body.
  for (const way of ["proxied", "direct"]) {
    const visitor = await browser.createBrowserContext();
    const page = await open(visitor, `${site.url}/${kind}/${way}?${way}`);
    const answered = async (action) => {
      const reply = page.waitForResponse((reply) => reply.url().endsWith("/api/event"));
      await action();
      return `${(await reply).status()} ${(await reply).headers()["brine-outcome"]}`;
    };
    assert.equal(await answered(() => page.click("#yes")), "202 accepted");
    await pause(3_200); // 0.4.6 tells engagement from three seconds on, or when the page was scrolled
    assert.equal(await answered(() => page.click("#next")), "202 accepted");
    assert.equal(await answered(() => page.click("#buy")), "202 accepted");
    await pause(300);
    await page.goto("about:blank");
    await pause(300);
    assert.deepEqual(page.faults, []);
    await visitor.close();
  }
}));

export const plausible_0_3 = (address) => visit(address, "plausible-0.3");
export const plausible_0_4 = (address) => visit(address, "plausible-0.4");
