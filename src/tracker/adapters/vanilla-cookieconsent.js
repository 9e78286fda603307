// vanilla-cookieconsent 3. `data-category` on brine.js's element names the category: "analytics" unless it
// says otherwise.
import { setting } from "../parts/page.js";
import { follow } from "../parts/follow.js";

const say = follow("vanilla-cookieconsent");
const category = setting("category") || "analytics";

const hear = (isNew) => ({ detail }) => say(detail.cookie.categories.includes(category), isNew);
// First the first: it is followed by the other, which is also heard on every later page.
addEventListener("cc:onFirstConsent", hear(true));
addEventListener("cc:onConsent", hear(false));
addEventListener("cc:onChange", hear(true));

// Answered before this script was there. Made by a bundler, the manager is no global, but its cookie can be read.
const kept = () => {
  const manager = window.CookieConsent;
  if (manager && manager.validConsent) return manager.validConsent() && manager.getCookie();
  const text = (document.cookie.match(/(?:^|; )cc_cookie=([^;]+)/) || [])[1];
  try {
    return JSON.parse(decodeURIComponent(text));
  } catch (_) {
    return null; // none, or not the manager's
  }
};
const cookie = kept();
if (cookie && cookie.categories) say(cookie.categories.includes(category), false);
