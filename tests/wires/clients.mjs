// Sends what each client can send, by its own functions, and says what came back.
// node clients.mjs <base url> <site's number> <website id> <consent token>
import { createRequire } from "node:module";
import { Umami } from "@umami/node";
import ReactNativeTracker from "./react-native.mjs";

const [base, idsite, website, token] = process.argv.slice(2);
const MatomoTracker = createRequire(import.meta.url)("matomo-tracker");
const agent = "PortalApp/4.2 (Android 15; phone)";
const said = { errors: [], bulk: null, native: [], umami: [] };

const node = new MatomoTracker(Number(idsite), `${base}/matomo.php`);
node.on("error", (error) => said.errors.push(error));
const page = { url: "https://app.example.test/node/list", ua: agent, consent: token };
node.track(page);
said.bulk = await new Promise((done) =>
  node.trackBulk(
    [
      { ...page, url: "https://app.example.test/node/item", urlref: "https://www.google.com/", _id: "0123456789abcdef" },
      { ...page, e_c: "Video", e_a: "play", e_n: "Intro", e_v: 7, dimension1: "gold" },
      { ...page, consent: "" },
      { ...page, cdt: Math.floor(Date.now() / 1000) - 80 * 3600 },
    ],
    done,
  ),
);

const native = new ReactNativeTracker({ urlBase: base, siteId: Number(idsite), userId: "mikkel@example.org" });
// It knows no consent; what it passes along as information about the user, it sends with every event.
native.updateUserInfo({ brine_consent: token, ua: agent });
for (const sent of [
  native.trackScreenView({ name: "Orders", lang: "da" }),
  native.trackEvent({ category: "Order", action: "open" }),
  native.trackSiteSearch({ keyword: "salt", category: "goods", count: 3 }),
  native.trackLink({ link: "https://elsewhere.example.org/a?b=c" }),
  native.trackDownload({ download: "https://app.example.test/file.pdf" }),
]) {
  said.native.push((await sent).status);
}

const umami = new Umami({ hostUrl: base, websiteId: website });
const payload = { hostname: "portal.example.test", language: "da-DK", screen: "1440x900", consent: token };
for (const sent of [
  umami.track({ ...payload, url: "/umami/page", title: "Not kept" }),
  umami.track({ ...payload, url: "/umami/page", name: "Signup", data: { plan: "pro", nested: { a: 1 } } }),
  umami.identify({ email: "mikkel@example.org" }),
  umami.track("Without consent"),
]) {
  const reply = await sent;
  said.umami.push([reply.status, reply.headers.get("brine-outcome"), await reply.text()]);
}
// One of the clients never reads its replies, and node would wait for their connections to time out.
process.stdout.write(`${JSON.stringify(said)}\n`, () => process.exit(0));
