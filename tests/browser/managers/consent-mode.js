// What a manager with Consent Mode does: a default first, its answer as an update, on every page again.
window.dataLayer = window.dataLayer || [];
function gtag() { dataLayer.push(arguments); }

const all = (state) => ({ ad_storage: "denied", ad_user_data: "denied", ad_personalization: "denied", analytics_storage: state });
// Granted by default, as some sites assume: nobody was asked.
gtag("consent", "default", { ...all("granted"), wait_for_update: 500 });
dataLayer.push({ event: "other" }, null, ["consent", "update"]);
const kept = (document.cookie.match(/cmp=(\w+)/) || [])[1];
if (kept) gtag("consent", "update", all(kept));
addEventListener("DOMContentLoaded", () => {
  const on = (id, state) => document.getElementById(id).addEventListener("click", () => {
    document.cookie = `cmp=${state}; path=/`;
    gtag("consent", "update", all(state));
  });
  on("yes", "granted");
  on("no", "denied");
});
