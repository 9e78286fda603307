// node run.mjs SCENARIO ADDR:PORT [JSON]: runs one scenario against the collector at that address. Prints its
// result as one line of JSON and exits 0, or says what was wrong and exits 1.
import * as access from "./scenarios/access.mjs";
import { adapters } from "./scenarios/adapters.mjs";
import * as banner from "./scenarios/banner.mjs";
import * as consent from "./scenarios/consent.mjs";
import * as dashboard from "./scenarios/dashboard.mjs";
import * as device from "./scenarios/device.mjs";
import * as events from "./scenarios/events.mjs";
import * as measuring from "./scenarios/measuring.mjs";
import * as oidc from "./scenarios/oidc.mjs";
import * as plausible from "./scenarios/plausible.mjs";
import * as policy from "./scenarios/policy.mjs";
import * as rights from "./scenarios/rights.mjs";
import * as signing from "./scenarios/signing.mjs";
import * as vitals from "./scenarios/vitals.mjs";

const scenarios = {};
for (const file of [access, adapters, banner, consent, dashboard, device, events, measuring, oidc, plausible, policy, rights, signing, vitals]) {
  for (const [name, scenario] of Object.entries(file)) {
    if (name in scenarios) throw new Error("two scenarios are called " + name);
    scenarios[name] = scenario;
  }
}
const [name, address, given] = process.argv.slice(2);

// Far above what any scenario takes; the browser ends with this process.
setTimeout(() => {
  console.error("the scenario did not end in time");
  process.exit(1);
}, 120_000).unref();

try {
  console.log(JSON.stringify((await scenarios[name](address, JSON.parse(given ?? null))) ?? null));
  process.exit(0);
} catch (error) {
  console.error(error);
  process.exit(1);
}
