// Cookie Information's interface as sites use it: window.CookieInformation, and one event for every answer,
// which is also told on every later page.
let approved = ((document.cookie.match(/CookieInformationConsent=([^;]+)/) || [])[1] || "").split(".").filter(Boolean);
const tell = () => window.dispatchEvent(new Event("CookieInformationConsentGiven"));
// Its script comes from elsewhere, later than the page's own.
setTimeout(() => {
  window.CookieInformation = { getConsentGivenFor: (category) => approved.includes(category) };
  if (approved.length) tell();
  const on = (id, ...categories) => document.getElementById(id).addEventListener("click", () => {
    approved = ["cookie_cat_necessary", ...categories];
    document.cookie = `CookieInformationConsent=${approved.join(".")}; path=/`;
    tell();
  });
  on("yes", "cookie_cat_functional", "cookie_cat_statistic");
  on("no", "cookie_cat_functional");
}, 300);
