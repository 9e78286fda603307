import { init, track } from "/node_modules/@plausible-analytics/tracker/plausible.js";
import { carryConsent, grant } from "/pages/consent.js";

const collector = location.search === "?direct" ? document.getElementById("setup").dataset.collector : location.origin;
const at = (id, listener) => document.getElementById(id).addEventListener("click", listener);

at("yes", async () => {
  await grant(collector);
  if (collector !== location.origin) carryConsent(`${collector}/api/event`);
  init({ domain: "portal.example.test", endpoint: `${collector}/api/event` });
  at("buy", () => track("Purchase", {
    props: { plan: "pro" },
    revenue: { amount: "24.90", currency: "EUR" },
    interactive: false,
  }));
});
at("next", (event) => {
  event.preventDefault();
  history.pushState(null, "", event.target.href);
});
