// brine.js measures visits after consent. Before it: no request, no storage, no queue, no listener.
//
//   <script defer src="https://stats.example.test/brine.js" data-site="portal"></script>
//
// data-api: the collector, if not where this file is from. data-cookie-domain: one consent for all its
// sub-domains. data-hash: the part behind # is the page. data-signals="ignore": the site has set honour_gpc
// and honour_dnt to false. README, "Add it to a site", has the rest.
(() => {
  "use strict";
  const d = document;
  const script = d.currentScript || d.querySelector("script[data-site]");
  const { site, api, cookieDomain, hash, signals } = script.dataset;
  const base = api || new URL(script.src).origin;
  const CONSENT = "brine_consent", VISIT = "brine_visit";
  const early = window.brine;
  let page = null, pageVisit, engaged = 0, since = 0, deepest = 0;
  let choice = "none", turn = 0, undo = [];

  const read = (name) => (d.cookie.match("(?:^|; )" + name + "=([^;]+)") || [])[1];
  // The cookie's domain is left out on hosts it does not fit (a staging host), where it would be refused.
  const write = (name, value, seconds) => {
    d.cookie = name + "=" + value + "; path=/; samesite=lax; max-age=" + seconds +
      (cookieDomain && ("." + location.hostname).endsWith("." + cookieDomain) ? "; domain=" + cookieDomain : "") +
      (location.protocol === "https:" ? "; secure" : "");
  };
  // 128 bits. Not 32 hexadecimal digits: three in a hundred of those look like UUIDs that hold a MAC address.
  const random = () => crypto.getRandomValues(new Uint32Array(4)).join("_");
  const refuses = () =>
    signals !== "ignore" && (navigator.globalPrivacyControl === true || navigator.doNotTrack === "1");
  // The cookie is the one truth: a withdrawal in one tab or sub-domain is heard in all of them.
  const token = () => (refuses() ? undefined : read(CONSENT));
  const address = () => (hash == null ? location.href.split("#")[0] : location.href).slice(0, 2000);
  const isSeen = () => d.visibilityState !== "hidden";

  // One retry, of the same bytes, while it is still wanted. What then fails is lost, never kept for later.
  const post = async (path, body, isWanted, isAgain) => {
    // Text needs no preflight; the token is in it, so no cookie has to go along.
    const reply = await fetch(base + path, {
      method: "POST", body: JSON.stringify(body), keepalive: true, credentials: "omit"
    }).catch(() => new Response(null, { status: 503 }));
    if (isAgain || (reply.status !== 429 && reply.status !== 503)) return reply;
    await new Promise((done) => setTimeout(done, 5000 + 5000 * Math.random()));
    return isWanted() ? post(path, body, isWanted, true) : reply;
  };
  const send = (name, more, visit) => {
    const c = token();
    if (!page) return;
    // Withdrawn in another tab.
    if (!read(CONSENT)) return forget("none");
    if (!c) return;
    const body = { n: name, u: address(), d: site, c, s: inVisit(visit), id: random(), w: innerWidth, ...more };
    // A plain fetch does not outlive its page, and engagement is mostly told when the page goes away.
    if (name === "engagement" && !("keepalive" in Request.prototype)) {
      return navigator.sendBeacon(base + "/api/event", JSON.stringify(body));
    }
    const isWanted = () => read(CONSENT) === c;
    post("/api/event", body, isWanted).then((reply) => {
      // Expired, withdrawn elsewhere, or of an older policy: ask anew.
      if (/^consent/.test(reply.headers.get("brine-outcome")) && isWanted()) forget("none");
    });
  };

  // One visit for all tabs and sub-domains, over after 30 minutes' silence: then its cookie is gone.
  const inVisit = (own) => {
    const kept = read(VISIT);
    const visit = own || kept || random() + "." + Date.now();
    if (!own || !kept || kept === own) write(VISIT, visit, 1800);
    pageVisit = pageVisit || visit;
    const [id, started] = visit.split(".");
    return { id, started: +started };
  };

  const scrolled = () => { deepest = Math.max(deepest, scrollY + innerHeight); };
  const resume = () => { if (!since && isSeen() && d.hasFocus()) since = performance.now(); };
  const pause = () => {
    if (since) engaged += performance.now() - since;
    since = 0;
  };
  // Time in view and depth, to the page and the visit they belong to.
  const leave = () => {
    pause();
    if (!page || engaged < 1) return;
    const depth = Math.round(deepest / d.documentElement.scrollHeight * 100);
    send("engagement", { u: page, e: Math.round(Math.min(engaged, 864e5)), sd: Math.min(depth, 100), i: false }, pageVisit);
    engaged = 0;
  };
  const view = (referrer) => {
    leave();
    page = address(); pageVisit = null; deepest = 0;
    resume();
    send("pageview", referrer ? { r: referrer.slice(0, 2000) } : {});
    // Not at once: a router scrolls to the top of its new page only after it has changed the address.
    setTimeout(scrolled, 300);
  };
  // A changed address is a view; a query rewritten in place (filters, a search box) is not.
  const moved = ({ navigationType }) => {
    const now = address(), path = (url) => url.replace(/\?[^#]*/, "");
    if (!page || now === page) return;
    if (navigationType === "replace" && path(now) === path(page)) page = now;
    else view();
  };

  const on = (target, names, listener) => names.split(" ").forEach((name) => {
    target.addEventListener(name, listener, { passive: true });
    undo.push(() => target.removeEventListener(name, listener));
  });
  const begin = () => {
    if (page || !token()) return;
    // Prerendered, or opened in a tab that nobody has looked at: not a view yet.
    if (!isSeen()) return on(d, "visibilitychange", begin);
    on(d, "visibilitychange", () => (isSeen() ? resume() : leave()));
    on(window, "pagehide", leave);
    on(window, "blur", pause);
    on(window, "focus", resume);
    on(window, "scroll", scrolled);
    // Out of the back/forward cache: seen again. What ran since is of the new view.
    on(window, "pageshow", (event) => {
      if (!event.persisted) return;
      engaged = since = 0;
      view();
    });
    if (window.navigation) {
      on(navigation, "currententrychange", moved);
    } else {
      on(window, "popstate hashchange", moved);
      // Not undone: others may have wrapped ours by then. Without a page it does nothing.
      ["push", "replace"].forEach((navigationType) => {
        const name = navigationType + "State", original = history[name];
        history[name] = function () {
          original.apply(this, arguments);
          moved({ navigationType });
        };
      });
    }
    view(d.referrer);
  };
  const tell = () => d.dispatchEvent(new CustomEvent("brine:consent", { detail: brine.state() }));
  const forget = (why) => {
    undo.forEach((step) => step());
    page = pageVisit = null; engaged = since = deepest = 0; undo = []; choice = why;
    write(CONSENT, "", 0);
    write(VISIT, "", 0);
    tell();
  };
  const say = (body, isWanted = () => true) => post("/api/consent", { site, ...body }, isWanted);

  const brine = (name, { props, revenue, interactive } = {}) => {
    send(name, { p: props, $: revenue, i: interactive });
  };
  // Resolves to whether the choice is in force and the collector has heard it.
  brine.consent = async ({ choice: chosen, purposes, source = "api" }) => {
    const isYes = chosen === "grant", mine = ++turn;
    if (!isYes && read(CONSENT)) return brine.withdraw({ source });
    if (isYes && (token() || refuses())) return !refuses();
    choice = isYes ? "none" : "denied";
    tell();
    const reply = await say({ choice: chosen, purposes, source }, () => mine === turn);
    if (reply.status !== 201) return !isYes && reply.status === 204;
    const granted = await reply.json();
    // A no that came while the yes was under way wins.
    if (mine !== turn) {
      await say({ choice: "withdraw", token: granted.token, source });
      return false;
    }
    write(CONSENT, granted.token, Math.floor((Date.parse(granted.expires) - Date.now()) / 1000));
    begin();
    tell();
    return !!token();
  };
  brine.withdraw = async ({ source = "api" } = {}) => {
    const old = read(CONSENT);
    turn++;
    forget("denied");
    return !old || (await say({ choice: "withdraw", token: old, source })).status === 204;
  };
  brine.state = () => ({ site, consent: token() ? "granted" : choice, signal: refuses() });

  window.brine = brine;
  begin();
  // Commands, never events, may wait in a stub for this script.
  ((early && early.q) || []).forEach(([command, options, done]) => brine[command](options).then(done));
})();
