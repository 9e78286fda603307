// Signing in by OpenID Connect, at a real provider (oidc-provider of npm) that runs in here: what it vouches for, what
// it does not, and words of its that nobody may believe.
import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import Provider from "oidc-provider";
import { withBrowser } from "../browser.mjs";

const CLIENT = "brine";

/** A provider on `port`; `told(id)` is what it says of somebody. `state.rewrite` changes ID tokens on their way out. */
async function provider(port, address, secret) {
  const keys = await generateKeyPair("RS256", { extractable: true });
  const jwk = { ...(await exportJWK(keys.privateKey)), use: "sig", alg: "RS256", kid: "one" };
  const issuer = `http://127.0.0.1:${port}`;
  const real = new Provider(issuer, {
    clients: [{ client_id: CLIENT, client_secret: secret, redirect_uris: [`http://${address}/oidc/callback`] }],
    claims: { openid: ["sub"], email: ["email", "email_verified"] },
    cookies: { keys: [randomBytes(16).toString("hex")] },
    jwks: { keys: [jwk] },
    findAccount: (context, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: id, email_verified: !id.startsWith("unverified") }),
    }),
  });
  const state = { rewrite: null, last: null };
  const answer = real.callback();
  const server = createServer((request, response) => {
    if (request.method === "POST" && request.url.startsWith("/token")) {
      const end = response.end.bind(response);
      response.end = (body, ...rest) => {
        const tokens = JSON.parse(body);
        if (!tokens.id_token) return end(body, ...rest);
        const before = state.last;
        state.last = tokens.id_token;
        if (state.rewrite) tokens.id_token = state.rewrite(tokens.id_token, before);
        return Promise.resolve(tokens.id_token).then((token) => {
          const text = JSON.stringify({ ...tokens, id_token: token });
          response.setHeader("content-length", Buffer.byteLength(text));
          end(text);
        });
      };
    }
    answer(request, response);
  });
  await new Promise((listening) => server.listen(port, "127.0.0.1", listening));
  const close = () => new Promise((closed) => { server.close(closed); server.closeAllConnections(); });
  return { state, issuer, key: keys.privateKey, close };
}

const heading = (page) => page.$eval("h1", (element) => element.textContent);
const alert = (page) => page.$eval("[role=alert]", (element) => element.textContent.trim());

/** Clicks, and waits until all is quiet: some of the provider's pages go on by themselves, and ours hold a connection. */
async function follow(page, selector) {
  await Promise.all([page.waitForNavigation(), page.$eval(selector, (element) => element.click())]);
  await page.waitForNetworkIdle({ idleTime: 150, concurrency: 1 });
}

/** A browser of somebody else's, at `url`. */
async function visit(browser, url) {
  const page = await (await browser.createBrowserContext()).newPage();
  page.back = null;
  page.on("response", (response) => {
    if (!response.request().isNavigationRequest()) return;
    page.reply = response;
    if (response.url().includes("/oidc/callback")) page.back = response.url();
  });
  await page.goto(url);
  return page;
}

/** From brine's page to the provider, through its forms, and back. Returns the address one came back to. */
async function signOn(page, who) {
  page.back = null;
  await follow(page, "a.button");
  while (!page.back) {
    if (await page.$("input[name=login]")) {
      await page.type("input[name=login]", who);
      await page.type("input[name=password]", "any");
    }
    await follow(page, "button[type=submit]");
  }
  return page.back;
}

const part = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
const payload = (token) => JSON.parse(Buffer.from(token.split(".")[1], "base64url"));

export const people_sign_in_by_a_provider = (address, { port, secret }) => withBrowser(async (browser) => {
  const idp = await provider(port, address, secret);
  const home = `http://${address}`;

  // Whom brine knows is let in, to where they were going, and sees their sites alone.
  const anna = await visit(browser, `${home}/d/portal?period=7d`);
  assert.equal(await heading(anna), "Sign in");
  assert.equal(await anna.$("input[type=password]"), null);
  assert.equal(await anna.$eval("a.button", (link) => link.textContent), "Sign in at 127.0.0.1");
  const axe = fileURLToPath(new URL("../node_modules/axe-core/axe.min.js", import.meta.url));
  await anna.evaluate(await readFile(axe, "utf8"));
  const { violations } = await anna.evaluate(() => axe.run());
  assert.deepEqual(violations.map(({ id }) => id), []);
  const used = await signOn(anna, "Anna@example.test");
  assert.equal(anna.url(), `${home}/d/portal?period=7d`);
  assert.equal((await anna.goto(`${home}/d/ios`)).status(), 404);
  assert.equal(await anna.evaluate(() => document.cookie), "");
  await anna.goto(`${home}/account`);
  assert.match(await anna.$eval("dl", (list) => list.textContent), /anna@example\.test/);
  assert.equal(await anna.$("input[type=password]"), null);

  // An answer counts once, and in the browser that asked.
  for (const page of [anna, await visit(browser, `${home}/login`)]) {
    const reply = await page.goto(used);
    assert.equal(reply.status(), 403);
    assert.equal(await alert(page), "This sign-in was not begun in this browser, or is over. Please try again.");
  }
  const thief = await visit(browser, `${home}/login`);
  await thief.setRequestInterception(true);
  let stolen = null;
  const hold = (request) => {
    if (!request.url().includes("/oidc/callback")) return request.continue();
    stolen = request.url();
    return request.abort();
  };
  thief.on("request", hold);
  await follow(thief, "a.button");
  await thief.type("input[name=login]", "anna@example.test");
  await thief.type("input[name=password]", "any");
  await follow(thief, "button[type=submit]");
  await thief.click("button[type=submit]");
  while (!stolen) await new Promise((soon) => setTimeout(soon, 20));
  const victim = await visit(browser, `${home}/login`);
  await follow(victim, "a.button");
  const fixed = await victim.goto(stolen);
  assert.equal(fixed.status(), 403, "a sign-in of somebody else's is nobody's here");
  assert.equal(new URL((await victim.goto(`${home}/`)).url()).pathname, "/login");

  // Whom brine does not know, and whose address nobody has verified. The next try may be somebody else.
  const bo = await visit(browser, `${home}/login?lang=en`);
  await signOn(bo, "bo.unknown@example.test");
  assert.equal(bo.reply.status(), 403);
  assert.match(await alert(bo), /^You are signed in at 127\.0\.0\.1 as bo\.unknown@example\.test, and nobody by that name may look here/);
  await signOn(bo, "unverified.anna@example.test");
  assert.equal(bo.reply.status(), 403);
  assert.match(await alert(bo), /^What was said of you there is not enough here/);
  await signOn(bo, "anna@example.test");
  assert.equal(bo.url(), `${home}/`);

  // Words that are not the provider's, not for brine, not of this sign-in, or too old.
  const sign = (claims, key = idp.key) => new SignJWT(claims).setProtectedHeader({ alg: "RS256", kid: "one" }).sign(key);
  const other = (await generateKeyPair("RS256")).privateKey;
  const hmac = (token) => {
    const text = `${part({ alg: "HS256", kid: "one" })}.${token.split(".")[1]}`;
    return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
  };
  const lies = {
    "of another sign-in": (token, before) => before,
    unsigned: (token) => `${part({ alg: "none" })}.${token.split(".")[1]}.`,
    "signed by the client's secret": hmac,
    "signed by another key": (token) => sign(payload(token), other),
    "of somebody else": (token) => `${token.split(".")[0]}.${part({ ...payload(token), sub: "root" })}.${token.split(".")[2]}`,
    "for another client": (token) => sign({ ...payload(token), aud: "another" }),
    "of another issuer": (token) => sign({ ...payload(token), iss: "http://127.0.0.1:1" }),
    expired: (token) => sign({ ...payload(token), iat: 1_600_000_000, exp: 1_600_000_600 }),
  };
  for (const [what, rewrite] of Object.entries(lies)) {
    idp.state.rewrite = rewrite;
    const page = await visit(browser, `${home}/login`);
    await signOn(page, "anna@example.test");
    assert.equal(page.reply.status(), 403, what);
    assert.match(await alert(page), /^What was said of you there is not enough here/, what);
    assert.equal(new URL((await page.goto(`${home}/`)).url()).pathname, "/login", what);
    await page.browserContext().close();
  }
  // The control: signed anew, and nothing changed.
  idp.state.rewrite = (token) => sign(payload(token));
  const again = await visit(browser, `${home}/login`);
  await signOn(again, "anna@example.test");
  assert.equal(again.url(), `${home}/`);
  idp.state.rewrite = null;

  // Nobody is sent elsewhere afterwards.
  const led = await visit(browser, `${home}/login?next=//evil.example.test/`);
  await signOn(led, "anna@example.test");
  assert.equal(led.url(), `${home}/`);

  // The provider is away: who is in stays in, who is not is told.
  await idp.close();
  assert.equal((await led.goto(`${home}/d/portal`)).status(), 200);
  thief.off("request", hold);
  await thief.setRequestInterception(false);
  const late = await thief.goto(stolen);
  assert.equal(late.status(), 503);
  assert.equal(await alert(thief), "It cannot be asked at present who you are. Please try again in a moment.");
  await led.goto(`${home}/account`);
  await follow(led, 'form[action="/logout"] button');
  assert.equal(await heading(led), "Sign in");
  return used.split("?")[1];
});
