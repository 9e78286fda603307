// IAB TCF 2.2 and 2.3. A first party needs no vendor id: it reads the publisher's own consents, to purpose 1
// (store on the device) and 8 (measure content performance). Where the manager says that the GDPR does not
// apply, nobody was asked, and brine has no yes.
import { until } from "../parts/page.js";
import { follow } from "../parts/follow.js";

const say = follow("tcf");

until(() => window.__tcfapi, (api) => api("addEventListener", 2, (data, isHeard) => {
  if (!isHeard || !data.gdprApplies) return;
  // "cmpuishown" is a question, not an answer.
  const isNew = data.eventStatus === "useractioncomplete";
  if (!isNew && data.eventStatus !== "tcloaded") return;
  const consents = (data.publisher && data.publisher.consents) || {};
  say(!!(consents[1] && consents[8]), isNew);
}));
