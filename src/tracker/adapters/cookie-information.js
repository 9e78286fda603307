// Cookie Information. Its category "cookie_cat_statistic" is what brine asks for. It tells an answer on every
// page by the same event.
import { isActing } from "../parts/page.js";
import { follow } from "../parts/follow.js";

const say = follow("cookie-information");
const isYes = () => {
  const { getConsentGivenFor } = window.CookieInformation || {};
  return !!getConsentGivenFor && !!CookieInformation.getConsentGivenFor("cookie_cat_statistic");
};
addEventListener("CookieInformationConsentGiven", () => say(isYes(), isActing()));
// Told before this script was there. What is no yes then may be no answer yet.
if (isYes()) say(true, false);
