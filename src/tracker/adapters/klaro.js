// Klaro 0.7. `data-category` on brine.js's element names the service in Klaro's configuration: "brine" unless
// it says otherwise. Only what was saved counts: a switch that was moved and not saved is no answer. A service
// that Klaro was told to require is on whatever was clicked: then nobody was asked, and nobody is counted.
import { setting, until } from "../parts/page.js";
import { follow } from "../parts/follow.js";

const say = follow("klaro");
const name = setting("category") || "brine";

// Klaro makes its manager from its configuration; before that is known there is nobody to ask.
until(() => window.klaro && klaro.defaultConfig && klaro.getManager(), (manager) => {
  if ((manager.getService(name) || manager.config).required) return;
  const isYes = (consents) => consents[name] === true;
  let { confirmed } = manager;
  manager.watch({
    update(_, what, data) {
      if (what === "saveConsents") say(isYes(data.consents), true);
      // Reset: what was said is taken back.
      else if (confirmed && !manager.confirmed) say(false, false);
      confirmed = manager.confirmed;
    },
  });
  if (confirmed) say(isYes(manager.consents), false);
});
