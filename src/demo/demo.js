// A site's own script: its pages, the choice that was made, and a window onto what it sends.
const $ = (id) => document.getElementById(id);
const names = { "/": "Home", "/products": "Products", "/products/portal": "Portal", "/contact": "Contact" };
const said = {
  granted: "You said yes: this visit is counted.",
  denied: "You said no: nothing more is sent. Only that no is kept on your device.",
  none: "You have not said yes: nothing is sent.",
  signal: "Your browser says no for you (Global Privacy Control or Do Not Track), and we heed it.",
};

/** Shows the page of the address, as a router does. */
function route() {
  const path = names[location.pathname] ? location.pathname : "/";
  $("title").textContent = names[path];
  document.title = `${names[path]} – brine demo`;
  for (const part of document.querySelectorAll("[data-page]")) part.hidden = part.dataset.page !== path;
  for (const link of document.querySelectorAll("nav a")) {
    link.toggleAttribute("aria-current", link.pathname === path);
    if (link.pathname === path) link.setAttribute("aria-current", "page");
  }
}

/** Shows the choice made, from the one place that knows it. A no from an earlier page is the banner's to know. */
function show() {
  const { consent, signal } = brine.state();
  $("state").textContent = signal ? said.signal : said[consent];
  const isOnWithdraw = document.activeElement === $("withdraw");
  $("withdraw").hidden = consent !== "granted";
  // A button that goes hands the focus on.
  if (isOnWithdraw && $("withdraw").hidden) $("title").focus({ preventScroll: true });
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("nav a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  history.pushState(null, "", link.href);
  route();
  $("title").focus({ preventScroll: true });
});
window.addEventListener("popstate", route);
document.addEventListener("brine:consent", show);
$("withdraw").addEventListener("click", () => brine.withdraw({ source: "page" }));
$("signup").addEventListener("click", () => brine("Signup", { props: { plan: "trial" } }));

/** Writes down one request; the token is cut, as it is the visitor's own. */
function note(text, reply) {
  const body = JSON.parse(text);
  for (const key of ["c", "token"]) if (body[key]) body[key] = `${body[key].slice(0, 8)}…`;
  const item = document.createElement("li");
  const details = item.appendChild(document.createElement("details"));
  const summary = details.appendChild(document.createElement("summary"));
  summary.append(Object.assign(document.createElement("strong"), {
    textContent: body.n ? `${body.n} ${new URL(body.u).pathname}` : `consent: ${body.choice}`,
  }));
  summary.append(Object.assign(document.createElement("span"), {
    textContent: reply ? `${reply.status} ${reply.headers.get("brine-outcome") ?? ""}` : "no answer",
  }));
  details.append(Object.assign(document.createElement("pre"), { textContent: JSON.stringify(body, null, 1) }));
  $("log").prepend(item);
  $("silence").hidden = true;
}
const { fetch } = window;
window.fetch = (url, init) => fetch(url, init).then(
  (reply) => { note(init.body, reply); return reply; },
  (fault) => { note(init.body, null); throw fault; },
);

route();
// Modules and scripts with `defer` run in the order of the document; then this is heard.
document.addEventListener("DOMContentLoaded", show);
