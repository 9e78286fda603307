"use strict";
const $ = (id) => document.getElementById(id);
const names = { "/": "Home", "/products": "Products", "/products/portal": "Portal", "/contact": "Contact" };

function show() {
  const granted = brine.state().consent === "granted";
  $("state").textContent = granted ? "given" : sessionStorage.getItem("asked") ? "refused or withdrawn" : "not asked";
  $("withdraw").hidden = !granted;
  $("banner").hidden = granted || !!sessionStorage.getItem("asked");
  $("title").textContent = names[location.pathname] || "Page";
}
async function choose(choice) {
  await brine.consent({ choice, source: "banner" });
  // That a choice was made is remembered for this tab only, so that the demo can be tried again.
  sessionStorage.setItem("asked", "1");
  show();
}
document.addEventListener("click", (event) => {
  const link = event.target.closest("nav a");
  if (!link) return;
  event.preventDefault();
  history.pushState(null, "", link.href);
  show();
});
window.addEventListener("popstate", show);
$("yes").addEventListener("click", () => choose("grant"));
$("no").addEventListener("click", () => choose("deny"));
$("signup").addEventListener("click", () => brine("Signup", { props: { plan: "trial" } }));
$("withdraw").addEventListener("click", async () => { await brine.withdraw(); show(); });
show();
