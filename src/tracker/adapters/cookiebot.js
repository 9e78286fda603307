// Cookiebot. Its category "statistics" is what brine asks for; a consent that Cookiebot only implies (its
// method is then "implied") was never said, and is not taken.
import { follow } from "../parts/follow.js";

const say = follow("cookiebot");
// Cookiebot tells an answer on every page; it was given on this one if its dialog was open.
let isAsked = false;

const hear = () => {
  const { consent, hasResponse } = window.Cookiebot || {};
  if (!hasResponse) return;
  say(!!consent.statistics && consent.method === "explicit", isAsked);
  isAsked = false;
};
addEventListener("CookiebotOnDialogDisplay", () => { isAsked = true; });
["CookiebotOnConsentReady", "CookiebotOnAccept", "CookiebotOnDecline"].forEach((name) => addEventListener(name, hear));
hear();
