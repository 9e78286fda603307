// The page of the visitor's rights. Token and receipts come from behind the # of the address, from this browser, or
// from a paste; they are sent in request bodies to the collector that served this page, and to nobody else.
const T = JSON.parse(document.getElementById("words").textContent);
const $ = (id) => document.getElementById(id);
const MOST = 800;
const lang = document.documentElement.lang;
// Dates as they are written in Europe.
const locale = lang === "en" ? "en-GB" : lang;

const fill = (text, values) => text.replace(/%%|%(\w+)%/g, (all, name) => (name ? values[name] : "%"));
// As one thing is said, and as several are.
const count = (key, n, values = {}) => fill((n === 1 && T[key + "_one"]) || T[key], { n, ...values });
const date = (day) => new Date(day + "T12:00:00").toLocaleDateString(locale, { dateStyle: "long" });
const moment = (at) => new Date(at).toLocaleString(locale, { dateStyle: "medium", timeStyle: "short" });

// A browser may refuse its storage; the page works without.
function kept(storage, key, value) {
  try {
    const area = window[storage];
    if (value === undefined) return area.getItem(key) || "";
    if (value === "") area.removeItem(key);
    else area.setItem(key, value);
  } catch {
    return "";
  }
}

// Of this site alone, or of those that share its consent; what opened nothing here is held, and not sent again.
const held = { token: "", receipts: [], refused: new Set() };
// The site in the menu when the page came; another choice there loads another page.
let site = null;
let seen = null;
// Whether there was something to ask, and no answer.
let isUnasked = false;
let busy = false;

const scope = () => site.dataset.scope;
// The host of a site keeps what the tracker keeps there, of that site; a collector's keeps each site's apart.
const isOwn = () => scope() === document.body.dataset.own;
const keyOf = (name) => "brine_" + name + (isOwn() ? "" : "." + scope());
const sent = () => held.receipts.filter((receipt) => !held.refused.has(receipt));
const sentToken = () => (held.refused.has(held.token) ? "" : held.token);
const canAsk = () => sentToken() || sent().length;

// The tracker's form: when to ask for the next one, then the receipts.
function stored() {
  const [until, ...receipts] = kept("localStorage", keyOf("receipts")).split(",");
  return { until: Number(until) || 0, receipts: receipts.filter(Boolean) };
}

function take(token, receipts) {
  if (token) held.token = token;
  held.receipts = [...new Set([...held.receipts, ...receipts])].slice(-MOST);
}

// What is brought by hand is asked about, even if it was refused before.
function bring(token, receipts) {
  [token, ...receipts].forEach((one) => held.refused.delete(one));
  take(token, receipts);
}

function load() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const [, mark, token] = kept("sessionStorage", keyOf("token")).match(/^(!?)(.*)$/);
  const refused = kept("localStorage", keyOf("refused")).split(",").filter(Boolean);
  held.refused = new Set([...refused, ...(mark ? [token] : [])]);
  take(token, stored().receipts);
  const cookie = isOwn() && document.cookie.match(/(?:^|; )brine_consent=([\w-]{59})/);
  take(cookie ? cookie[1] : "", []);
  bring(fragment.get("c") || "", (fragment.get("r") || "").split(",").filter(Boolean));
  // Out of the address bar and the history, before anything else can read it there.
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  keep();
}

// Beside what a page of the site may have added meanwhile; `gone` tells which receipts go.
function keep(gone = () => false) {
  const { until, receipts } = stored();
  take("", receipts);
  held.receipts = held.receipts.filter((receipt) => !gone(receipt));
  const refused = held.receipts.filter((receipt) => held.refused.has(receipt));
  const mark = held.refused.has(held.token) ? "!" : "";
  kept("localStorage", keyOf("receipts"), held.receipts.length ? [until, ...held.receipts].join(",") : "");
  kept("localStorage", keyOf("refused"), refused.join(","));
  kept("sessionStorage", keyOf("token"), held.token && mark + held.token);
}

// A site's own host holds what brine.js wrote there; the consent's cookies may be those of a domain above it, which
// shows by what makes them go. Returns that domain, "" for the host alone, nothing where there was no such cookie.
function dropCookie(name) {
  const isThere = () => document.cookie.split("; ").some((one) => one.startsWith(name + "="));
  const labels = location.hostname.split(".");
  let found;
  for (const domain of ["", ...labels.slice(1).map((_, n) => labels.slice(n).join("."))]) {
    if (!isThere()) break;
    writeCookie(name, "", 0, domain);
    if (!isThere()) found = domain;
  }
  return found;
}

function writeCookie(name, value, seconds, domain) {
  document.cookie = name + "=" + value + "; path=/; samesite=lax; max-age=" + seconds +
    (domain && "; domain=" + domain) + (location.protocol === "https:" ? "; secure" : "");
}

// As the banner remembers a no. The receipts stay: what is stored can still be erased by them.
function dropConsent() {
  if (!isOwn()) return;
  try {
    const domains = ["brine_consent", "brine_visit", "brine_day"].map(dropCookie).filter((domain) => domain !== undefined);
    if (domains.length) writeCookie("brine_denied", 1, 182 * 86400, domains[0]);
  } catch {
    // No cookies here: none to drop.
  }
}

// What opens nothing here may be another site's: it stays, for that site's page.
function refuse(refused) {
  refused.forEach((one) => held.refused.add(one));
  if (refused.length) keep();
}

// Receipts have 44 characters, a consent 59; whatever stands around them in a file does not matter.
function paste(text) {
  const words = text.match(/[A-Za-z0-9_-]+/g) || [];
  const token = words.filter((word) => word.length === 59).pop() || "";
  const receipts = words.filter((word) => word.length === 44);
  if (!token && !receipts.length) return say(T.paste_none, true);
  bring(token, receipts);
  keep();
  $("add").open = false;
  $("paste").value = "";
  look();
}

async function ask(request) {
  const body = { site: site.value, receipts: sent(), ...request };
  const token = sentToken();
  if (token) body.token = token;
  let reply;
  try {
    reply = await fetch("api/subject", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      credentials: "omit",
      referrerPolicy: "no-referrer",
    });
  } catch {
    throw T.fault_network;
  }
  if (reply.status === 429) throw fill(T.fault_limit, { seconds: reply.headers.get("retry-after") || "60" });
  const outcome = reply.headers.get("brine-outcome") || "";
  if (reply.ok) {
    const answer = await reply.json();
    refuse(answer.receipts.refused.map(({ place }) => body.receipts[place]));
    return answer;
  }
  // Something in between may answer for the collector.
  if (reply.status >= 500 || !outcome) throw T.fault_later;
  if (outcome.startsWith("receipt.")) refuse(body.receipts);
  if (outcome.startsWith("consent.") && token) {
    refuse([token]);
    // A consent that is none must not lock out the receipts.
    if (body.receipts.length) return ask(request);
  }
  isUnasked = false;
  throw T.fault_key;
}

// An erasure that takes long is asked after until it is done.
async function finish(answer) {
  while (!answer.done) {
    say(T.under_way);
    await new Promise((next) => setTimeout(next, 2000));
    if (answer.action !== "erase") return answer;
    try {
      answer = await ask({ action: "status", request: answer.request });
    } catch {
      // It goes on without anybody asking.
      return answer;
    }
  }
  return answer;
}

function say(text, isFault) {
  const result = $("result");
  result.textContent = text;
  result.classList.toggle("fault", Boolean(isFault));
  if (text) result.scrollIntoView({ block: "nearest" });
}

async function during(work) {
  if (busy) return;
  busy = true;
  const buttons = document.querySelectorAll("main button");
  buttons.forEach((button) => (button.disabled = true));
  try {
    await work();
  } catch (fault) {
    say(typeof fault === "string" ? fault : T.fault_later, true);
    if (typeof fault !== "string") console.error(fault);
  } finally {
    busy = false;
    buttons.forEach((button) => (button.disabled = false));
  }
}

const look = () =>
  during(async () => {
    seen = null;
    isUnasked = false;
    if (canAsk()) {
      $("data_state").textContent = T.loading;
      await see();
    }
  }).finally(show);

async function see() {
  seen = null;
  isUnasked = true;
  seen = await ask({ action: "see" });
  isUnasked = false;
}

function element(name, text, className) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function show() {
  const n = held.receipts.length;
  const has = held.token || n;
  $("brought").textContent = has
    ? fill(T.brought_some, { token: held.token ? T.brought_token : T.brought_no_token, n })
    : T.brought_nothing;
  $("kept").hidden = $("brought_actions").hidden = !n;
  if (!has) $("add").open = true;
  const refused = held.receipts.length - sent().length;
  if (refused) $("brought").append(" ", count("refused", refused));
  $("rights").hidden = !seen;
  $("data").hidden = !has;
  // Without an answer nothing can be said, not even that there is none.
  $("consent_card").hidden = !has || isUnasked;
  $("again_row").hidden = !isUnasked;
  $("unlinkable_card").hidden = !seen;
  showConsent();
  showDays();
  if (!seen) return;
  const { before, from } = seen.unlinkable;
  $("unlinkable").textContent = fill(T.unlinkable, { before: before ? date(before) : "–", from: from ? moment(from) : "–" });
}

function showConsent() {
  const consent = seen && seen.consent;
  $("history").replaceChildren();
  $("withdraw_row").hidden = !consent || !consent.valid;
  if (!consent) return void ($("consent").textContent = T.consent_none);
  $("consent").textContent = consent.valid
    ? fill(T.consent_valid, { given: date(consent.given), last: date(consent.last_day) })
    : T.consent_over;
  for (const step of consent.history) {
    const item = element("li");
    item.append(element("time", moment(step.at)), fill(T["choice_" + step.choice], step));
    $("history").append(item);
  }
}

function showDays() {
  $("days").replaceChildren();
  if (isUnasked) return void ($("data_state").textContent = T.data_unasked);
  if (!seen || !seen.days.length) return void ($("data_state").textContent = T.data_none);
  const days = new Set(seen.days.map((day) => day.day)).size;
  let state = fill(T.data_some, { n: seen.rows, days });
  if (seen.events.length < seen.rows) state += " " + fill(T.data_shown, { n: seen.events.length, all: seen.rows });
  else if (!seen.is_complete) state += " " + T.data_late;
  $("data_state").textContent = state;
  $("unrestrict").hidden = !seen.days.some((day) => day.restricted);
  const several = new Set(seen.days.map((day) => day.site)).size > 1;
  seen.days.forEach((day, place) => {
    const box = element("details", "", "day");
    box.open = place === 0;
    const head = element("summary");
    head.append(element("strong", date(day.day) + (several ? " · " + day.site : "")));
    head.append(element("span", count("day_events", day.events)));
    if (day.restricted) head.append(element("span", T.restricted, "badge"));
    const list = element("ol", "", "events");
    const events = seen.events.filter((event) => event.day === day.day && event.site === day.site);
    list.append(...events.map(row));
    box.append(head, list);
    $("days").append(box);
  });
}

function sentence(event) {
  const path = event.path || event.hostname;
  if (event.name === "pageview") {
    const from = event.source ? ", " + fill(T.ev_from, { source: event.source }) : "";
    return fill(T.ev_pageview, { path }) + from + ".";
  }
  if (event.name === "engagement") {
    const read = event.scroll_depth <= 100 ? " " + fill(T.ev_scroll, { depth: event.scroll_depth }) : "";
    return fill(T.ev_engagement, { seconds: Math.round(event.engagement_ms / 1000), path }) + read + ".";
  }
  const known = T["named_" + event.name];
  if (known) return fill(known, { path }) + ".";
  return fill(T.ev_other, { name: event.name, path }) + ".";
}

// Columns have a value that says "none".
const isNothing = (name, value) =>
  value === undefined || value === null || value === "" || value === "0" || value === 0 ||
  (name === "scroll_depth" && value === 255) || (name === "props" && !Object.keys(value).length);

function row(event) {
  const item = element("li");
  const at = new Date(event.ts);
  item.append(element("time", at.toLocaleTimeString(locale, { hour: "2-digit", minute: "2-digit" })));
  const more = element("div", "", "more");
  const what = [event.browser, event.os, event.device, event.country, event.language].filter(Boolean).join(", ");
  more.append(element("p", sentence(event)));
  for (const [name, value] of Object.entries(event.props)) {
    const line = element("p", name + ": " + value + " ");
    const button = element("button", fill(T.correct, { name }), "plain small");
    button.type = "button";
    button.addEventListener("click", () => correct(event, name, value));
    line.append(button);
    more.append(line);
  }
  const all = element("details");
  const list = element("dl");
  // In the policy's words and order; a column that is newer than this page keeps its own name.
  const names = Object.keys(event).filter((name) => name !== "event" && !T.columns.includes(name));
  for (const name of [...T.columns, ...names]) {
    const value = event[name];
    if (isNothing(name, value)) continue;
    const said = typeof value === "object" ? JSON.stringify(value) : String(value);
    list.append(element("dt", T["field_" + name] || name), element("dd", said));
  }
  all.append(element("summary", T.ev_fields), list);
  if (what) more.append(element("p", fill(T.ev_device, { what }), "quiet"));
  more.append(all);
  item.append(more);
  return item;
}

// Asks back; the value of the input where one is asked for, "yes" or "both", or nothing.
function sure(question, value, isBoth = false) {
  const dialog = $("sure");
  const before = document.activeElement;
  $("question").textContent = question;
  $("value_row").hidden = value === undefined;
  $("value").value = value || "";
  $("both").hidden = !isBoth;
  $("yes").textContent = isBoth ? T.erase_alone : T.yes;
  $("yes").className = isBoth ? "plain" : "strong";
  dialog.returnValue = "no";
  dialog.showModal();
  // Nothing happens by an Enter too many; in the input, Enter presses the one button that submits.
  $(value === undefined ? "no" : "value").focus();
  return new Promise((answer) =>
    dialog.addEventListener(
      "close",
      () => {
        if (before) before.focus();
        const said = dialog.returnValue;
        if (said !== "yes" && said !== "both") return answer(null);
        answer(value === undefined ? said : $("value").value);
      },
      { once: true },
    ),
  );
}

// What a step did, here as there.
function settle(action, receipts) {
  if (action === "erase") keep((receipt) => receipts.includes(receipt));
  if (action !== "withdraw" && action !== "object") return;
  dropConsent();
  if (seen && seen.consent) seen.consent.valid = false;
}

// One request after another; then what was done, and the page as it is then.
const act = (requests, told) =>
  during(async () => {
    say(T.loading);
    let said = "";
    for (const request of requests) {
      const receipts = sent();
      const answer = await ask(request).then(finish).catch((fault) => {
        // What was done before stays done.
        throw said && typeof fault === "string" ? said + " " + fault : fault;
      });
      if (answer.done || request.action === "object") settle(request.action, receipts);
      said = [said, answer.done ? told(answer, request.action) : T.under_way].filter(Boolean).join(" ");
    }
    const isErased = requests.some(({ action }) => action === "erase");
    seen = null;
    // Done is done, also where the page cannot be brought up to date.
    if (canAsk()) await see().catch(() => {});
    if (isErased && requests.length === 1 && seen && seen.consent && seen.consent.valid) said += " " + T.done_erase_consent;
    say(said);
  }).then(() => {
    show();
    $("result").focus();
  });

async function correct(event, property, from) {
  const to = await sure(fill(T.correct, { name: property }), from);
  if (to === null || to === from) return;
  act([{ action: "correct", property, from, to, event: event.event }], (done) => count("done_correct", done.rows));
}

async function use(action) {
  const isBoth = action === "erase" && Boolean(seen && seen.consent && seen.consent.valid);
  const answer = await sure(isBoth ? T.sure_erase + " " + T.sure_erase_consent : T["sure_" + action], undefined, isBoth);
  if (!answer) return;
  // The consent first: nothing new comes in while the rest goes.
  const actions = answer === "both" ? ["withdraw", "erase"] : [action];
  act(actions.map((action) => ({ action })), (done, action) => {
    const text = count("done_" + action, done.rows);
    return action === "object" && done.withdrawn ? text + " " + T.done_object_token : text;
  });
}

function download(name, text, type) {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// One answer shows the newest events; the rest is fetched day by day.
const exported = () =>
  during(async () => {
    const all = await ask({ action: "see" });
    if (all.events.length < all.rows) {
      all.events = [];
      for (const day of new Set(all.days.map((one) => one.day))) all.events.push(...(await ask({ action: "see", day })).events);
    }
    download("my-data.json", JSON.stringify(all, null, 2), "application/json");
  });

function start() {
  const query = new URLSearchParams(location.search);
  if (!document.body.dataset.site) $("site").selectedIndex = 0;
  site = $("site").selectedOptions[0];
  query.set("site", site.value);
  query.set("lang", $("language").lang);
  $("language").href = "my-data?" + query;
  $("policy").href = "policy?" + new URLSearchParams({ site: site.value, lang });
  $("site").addEventListener("change", () => {
    query.set("site", $("site").value);
    query.set("lang", lang);
    location.search = query;
  });
  for (const button of document.querySelectorAll("[data-action]")) {
    button.addEventListener("click", () => use(button.dataset.action));
  }
  for (const name of ["no", "both"]) $(name).addEventListener("click", () => $("sure").close(name));
  $("export").addEventListener("click", exported);
  $("use").addEventListener("click", () => paste($("paste").value));
  $("file").addEventListener("change", async (event) => {
    const file = event.target.files[0];
    if (file) paste(await file.text());
  });
  $("save").addEventListener("click", () =>
    download("my-receipts.txt", [held.token, ...held.receipts].filter(Boolean).join("\n") + "\n", "text/plain"),
  );
  $("again").addEventListener("click", () => {
    say("");
    look();
  });
  $("forget").addEventListener("click", () => {
    held.token = "";
    keep(() => true);
    seen = null;
    isUnasked = false;
    say("");
    show();
  });
  // Opened again from the site while it is open here: the new receipts come in by the address.
  addEventListener("hashchange", () => {
    load();
    look();
  });
  load();
  look();
}

start();
