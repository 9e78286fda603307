// What the extras know about their page: brine itself, its element, and one constant on the device.

/** Returns the element of brine.js: all settings of a site stand there, also those of the extras. */
export const element = () => document.querySelector("script[data-site]");

/** Returns one of its `data-` attributes, or "". */
export const setting = (name) => (element() && element().dataset[name]) || "";

/**
 * Calls `work(found)` once `find()` finds something, whichever script comes first. Asks ever more rarely, and
 * not at all after some two minutes: what has not come by then was blocked.
 */
export const until = (find, work, wait = 50) => {
  const found = find();
  if (found) work(found);
  else if (wait < 40000) setTimeout(() => until(find, work, wait * 1.5), wait);
};

/** Calls `work(brine)` once brine.js is there; a stub that waits for it is not enough. */
export const whenReady = (work) => until(() => window.brine && brine.state && brine, work);

/** Tells whether the visitor has just pressed something: how to know an answer from its repetition, where a manager
 * does not say. */
export const isActing = () => !!navigator.userActivation && navigator.userActivation.isActive;

/** Returns how long ago the page was loaded, in milliseconds: a yes is to the policy that was in force then. Not
 * performance.now(), which in some browsers stands still while the machine sleeps. */
export const pageAge = () => Math.max(0, Math.round(Date.now() - performance.timeOrigin));

// A mark is a cookie with the same text for everybody: it says what was answered on this device, not who
// answered. Its domain is that of the consent, so that what holds on a sub-domain holds on all of them.
const DAY = 86400;
const domainOf = (domain) => (("." + location.hostname).endsWith("." + domain) ? domain : "");
const write = (name, value, seconds, domain = domainOf(setting("cookieDomain"))) => {
  // One without a domain is another cookie, and may be from before the site named one.
  if (domain) write(name, "", 0, "");
  try {
    document.cookie = name + "=" + value + "; path=/; samesite=lax; max-age=" + seconds +
      (domain && "; domain=" + domain) +
      (location.protocol === "https:" ? "; secure" : "");
  } catch (_) {
    // Switched off by the browser or a sandbox: then nothing can be remembered.
  }
};
export const mark = (name, days) => write(name, 1, days * DAY);
export const unmark = (name) => write(name, "", 0);
export const isMarked = (name) => {
  try {
    return new RegExp("(?:^|; )" + name + "=1").test(document.cookie);
  } catch (_) {
    return false;
  }
};
