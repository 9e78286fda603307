// node run.mjs SCENARIO ADDR:PORT: runs one scenario against the collector at that address. Prints its
// result as one line of JSON and exits 0, or says what was wrong and exits 1.
import * as access from "./scenarios/access.mjs";
import * as consent from "./scenarios/consent.mjs";
import * as measuring from "./scenarios/measuring.mjs";
import * as plausible from "./scenarios/plausible.mjs";

const scenarios = { ...access, ...consent, ...measuring, ...plausible };
const [name, address] = process.argv.slice(2);

// Far above what any scenario takes; the browser ends with this process.
setTimeout(() => {
  console.error("the scenario did not end in time");
  process.exit(1);
}, 120_000).unref();

try {
  console.log(JSON.stringify((await scenarios[name](address)) ?? null));
  process.exit(0);
} catch (error) {
  console.error(error);
  process.exit(1);
}
