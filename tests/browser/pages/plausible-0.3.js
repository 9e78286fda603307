import Plausible from "/node_modules/plausible-tracker/build/module/index.js";
import { carryConsent, grant } from "/pages/consent.js";

const collector = location.search === "?direct" ? document.getElementById("setup").dataset.collector : location.origin;
const at = (id, listener) => document.getElementById(id).addEventListener("click", listener);

at("yes", async () => {
  await grant(collector);
  if (collector !== location.origin) carryConsent(`${collector}/api/event`);
  const plausible = Plausible({ domain: "portal.example.test", apiHost: collector });
  plausible.enableAutoPageviews();
  at("buy", () => plausible.trackEvent("Purchase", { props: { plan: "pro", seats: 3 } }));
});
at("next", (event) => {
  event.preventDefault();
  history.pushState(null, "", event.target.href);
});
