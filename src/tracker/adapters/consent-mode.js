// Google Consent Mode: reads `analytics_storage` where a consent manager writes it, in window.dataLayer.
// Nothing is sent to Google, and no Google script is needed. Only an update is an answer: a default is what
// the site assumes before anybody was asked, and assuming is not asking.
import { isActing } from "../parts/page.js";
import { follow } from "../parts/follow.js";

const say = follow("consent-mode");
const layer = (window.dataLayer = window.dataLayer || []);

// Entries are the `arguments` of gtag(), and anything else that a site likes to push.
const isAnswer = (entry) =>
  entry && entry[0] === "consent" && entry[1] === "update" && entry[2] && entry[2].analytics_storage;
const hear = (entry, isNew) => isAnswer(entry) && say(entry[2].analytics_storage === "granted", isNew);

// The last word counts of what was said before this script was there.
const last = Array.from(layer).filter(isAnswer).pop();
const { push } = layer;
layer.push = function (...entries) {
  entries.forEach((entry) => hear(entry, isActing()));
  return push.apply(this, entries);
};
hear(last, false);
