// A manager made of IAB Tech Lab's own parts: their stub first, then their API, whose TC strings are kept in
// a cookie as most managers do.
import * as stub from "@iabtechlabtcf/stub";
import { CmpApi } from "@iabtechlabtcf/cmpapi";
import { GVL, TCModel, TCString } from "@iabtechlabtcf/core";

stub.default();
const list = new GVL({
  gvlSpecificationVersion: 3, vendorListVersion: 1, tcfPolicyVersion: 5, lastUpdated: "2026-01-01T00:00:00Z",
  purposes: {}, specialPurposes: {}, features: {}, specialFeatures: {}, stacks: {}, dataCategories: {}, vendors: {},
});
const answer = (purposes) => {
  const model = new TCModel(list);
  model.cmpId = 10;
  model.cmpVersion = 1;
  model.isServiceSpecific = true;
  model.publisherConsents.set(purposes);
  return TCString.encode(model);
};
// Later than everything else on the page, as a script from elsewhere is.
setTimeout(() => {
  const api = new CmpApi(10, 1, true);
  const kept = (document.cookie.match(/euconsent-v2=([^;]+)/) || [])[1];
  if (location.hash === "#outside") return api.update(null); // the GDPR does not apply
  api.update(kept || "", !kept);
  const on = (id, purposes) => document.getElementById(id).addEventListener("click", () => {
    api.update(kept || "", true); // its dialog opens
    const text = answer(purposes);
    document.cookie = `euconsent-v2=${text}; path=/`;
    api.update(text, false);
  });
  on("yes", [1, 8]);
  on("no", [1]); // to other purposes, yes; to measuring, no
}, 300);
