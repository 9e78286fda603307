// Cookiebot's documented interface: window.Cookiebot and its events, which are also told on every later page.
const kept = (document.cookie.match(/CookieConsent=(\w+)/) || [])[1];
const manager = (window.Cookiebot = {
  consent: { necessary: true, preferences: false, statistics: false, marketing: false, method: null },
  consented: false, declined: false, hasResponse: false, doNotTrack: false,
});
const tell = (name) => window.dispatchEvent(new Event(name));
const set = (isYes, method) => {
  Object.assign(manager, { consented: isYes, declined: !isYes, hasResponse: true });
  Object.assign(manager.consent, { preferences: isYes, statistics: isYes, marketing: isYes, method });
  tell("CookiebotOnConsentReady");
  tell(isYes ? "CookiebotOnAccept" : "CookiebotOnDecline");
};
// Its script comes from elsewhere, later than the page's own.
setTimeout(() => {
  tell("CookiebotOnLoad");
  if (kept) set(kept === "yes", "explicit");
  // Where it takes no law to apply, it implies a consent.
  else if (location.hash === "#implied") set(true, "implied");
  else tell("CookiebotOnDialogDisplay");
  const on = (id, isYes) => document.getElementById(id).addEventListener("click", () => {
    if (manager.hasResponse) tell("CookiebotOnDialogDisplay"); // opened again
    document.cookie = `CookieConsent=${isYes ? "yes" : "no"}; path=/`;
    set(isYes, "explicit");
  });
  on("yes", true);
  on("no", false);
}, 300);
