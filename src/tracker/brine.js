/* brine.js: measures only after consent. <script defer src=".../brine.js" data-site="portal"></script> */
(function () {
  "use strict";
  var w = window, d = document, script = d.currentScript;
  var site = script.getAttribute("data-site");
  var base = script.getAttribute("data-api") || new URL(script.src).origin;
  var cookieDomain = script.getAttribute("data-cookie-domain");
  var KEY = "brine_consent", VISIT = "brine_visit", IDLE = 18e5;
  var token = null, page = null, started = 0, engaged = 0, since = 0, deepest = 0;

  function readCookie() {
    var found = d.cookie.match("(?:^|; )" + KEY + "=([^;]*)");
    return found ? found[1] : null;
  }
  function writeCookie(value, seconds) {
    d.cookie = KEY + "=" + value + "; path=/; max-age=" + seconds + "; samesite=lax" +
      (cookieDomain ? "; domain=" + cookieDomain : "") + (location.protocol === "https:" ? "; secure" : "");
  }
  function post(path, body, keepalive) {
    return fetch(base + path, {
      method: "POST", body: JSON.stringify(body), keepalive: !!keepalive,
      headers: { "content-type": "text/plain" }, credentials: "omit"
    });
  }
  function random() {
    var bytes = crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, function (b) { return (b + 256).toString(16).slice(1); }).join("");
  }
  /* One visit for all tabs, over after 30 minutes' silence. */
  function visit() {
    var now = Date.now(), v = null;
    try { v = JSON.parse(localStorage.getItem(VISIT)); } catch (e) { v = null; }
    if (!v || !v.id || now - v.last > IDLE) v = { id: random(), started: now };
    v.last = now;
    try { localStorage.setItem(VISIT, JSON.stringify(v)); } catch (e) { /* storage is off: a visit a page */ }
    return { id: v.id, started: v.started };
  }
  function send(name, more, keepalive) {
    if (!token) return;
    var body = { n: name, u: location.href, d: site, c: token, s: visit(), w: w.innerWidth };
    for (var key in more) body[key] = more[key];
    post("/api/event", body, keepalive).catch(function () { /* offline: nothing is kept for later */ });
  }
  function scrolled() {
    var all = Math.max(d.body.scrollHeight, d.documentElement.scrollHeight);
    deepest = Math.max(deepest, Math.min(100, Math.round((w.scrollY + w.innerHeight) / all * 100)));
  }
  function pause() {
    if (since) { engaged += Date.now() - since; since = 0; }
  }
  function resume() {
    if (d.visibilityState === "visible" && !since) since = Date.now();
  }
  function leave() {
    if (!page) return;
    pause();
    if (engaged > 0) send("engagement", { u: page, e: engaged, sd: deepest, i: false }, true);
    engaged = 0;
  }
  function view() {
    if (page === location.href) return;
    leave();
    var from = page ? null : d.referrer;
    page = location.href; deepest = 0;
    scrolled(); resume();
    send("pageview", from ? { r: from } : {});
  }
  function hidden() { if (d.visibilityState === "hidden") leave(); else resume(); }

  /* Listeners exist only while there is a consent. */
  function start(value) {
    token = value;
    if (started) return view();
    started = 1;
    ["pushState", "replaceState"].forEach(function (name) {
      var original = history[name];
      history[name] = function () {
        var result = original.apply(this, arguments);
        if (token) view();
        return result;
      };
    });
    w.addEventListener("popstate", function () { if (token) view(); });
    d.addEventListener("visibilitychange", function () { if (token) hidden(); });
    w.addEventListener("scroll", function () { if (token) scrolled(); }, { passive: true });
    view();
  }
  function stop() {
    token = null; page = null; engaged = 0; since = 0;
    writeCookie("", 0);
    try { localStorage.removeItem(VISIT); } catch (e) { /* storage is off */ }
  }

  function brine(name, options) {
    send(name, options && { p: options.props, $: options.revenue, i: options.interactive });
  }
  brine.consent = function (options) {
    var choice = { site: site, choice: options.choice, source: options.source || "api" };
    if (options.purposes) choice.purposes = options.purposes;
    return post("/api/consent", choice).then(function (reply) {
      if (options.choice !== "grant" || reply.status !== 201) return reply.status === 204;
      return reply.json().then(function (granted) {
        writeCookie(granted.token, Math.floor((Date.parse(granted.expires) - Date.now()) / 1000));
        start(granted.token);
        return true;
      });
    });
  };
  brine.withdraw = function () {
    var old = token || readCookie();
    stop();
    return old ? post("/api/consent", { site: site, choice: "withdraw", source: "api", token: old }, true)
      .then(function (reply) { return reply.status === 204; }) : Promise.resolve(true);
  };
  brine.state = function () { return { consent: token ? "granted" : "none", site: site }; };
  w.brine = brine;

  var kept = readCookie();
  if (kept) start(kept);
})();
