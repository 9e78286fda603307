// brine.js measures visits after consent. Before it: no request, no storage, no queue, no listener.
//
//   <script defer src="https://stats.example.test/brine.js" data-site="portal"></script>
//
// data-api: the collector, if not where this file is from. data-cookie-domain: one consent for all its
// sub-domains. data-hash: the part behind # is the page. data-signals="ignore": the site has set honour_gpc
// and honour_dnt to false. data-with: extras to load. README, "Add it to a site", has the rest.
//
// Every visitor pays for every byte, and a test holds the size: that is why some things here are said shorter
// than elsewhere, and why what the collector can do (masking, rounding, bounds, the path of a sent form, which
// events are no act of the visitor's) is left to it.
(() => {
  const d = document, script = d.currentScript;
  const {
    site, api: base = new URL(script.src).origin, cookieDomain, hash, signals, 404: missing, with: extras = ""
  } = script.dataset;
  // What ends a page's path, and its address. No address has a blank.
  const [pathEnd, addressEnd] = hash == null ? "?#" : "  ";
  const CONSENT = "brine_consent", VISIT = "brine_visit", DAY = "brine_day", RECEIPTS = "brine_receipts";
  const FILE = /\.(csv|dmg|exe|gz|mp[34]|msi|pdf|txt|zip|(doc|ppt|xls)x?)$/i;
  const now = () => Date.now();
  let isDenied, turn = "", isReady;
  // Of the page in view. isLoad: it is the one that was loaded, in sight of a visitor who had said yes.
  let page, pageVisit, since, deepest, isLoad = true;
  let vitals, latencies, shift, shiftBegan, shiftEnded;

  // Cookies and storage throw where a browser or a sandbox has switched them off.
  const attempt = (action) => {
    try {
      return action();
    } catch (_) {
      // As if there was none.
    }
  };
  const read = (name) => attempt(() => d.cookie.split(name + "=")[1].split(";")[0]);
  // Empty on hosts that it does not fit: a staging host, somebody else's site.
  const domainOf = (host) => (cookieDomain && ("." + host).endsWith("." + cookieDomain) ? cookieDomain : "");
  // A cookie without a domain is another one: it may be from before the site named one, and is not to outlive a no.
  const write = (name, value, seconds, domain = domainOf(location.hostname)) => {
    if (domain) write(name, 0, 0, "");
    d.cookie = name + "=" + value + ";path=/;samesite=lax;max-age=" + (seconds | 0) +
      ";domain=" + domain + (location.protocol[5] ? ";secure" : "");
  };
  // Until when the newest one holds, in milliseconds since 1970, and the receipts, oldest first.
  const receipts = () => (attempt(() => localStorage[RECEIPTS]) || "0").split(",");
  const refuses = () => signals !== "ignore" && (navigator.globalPrivacyControl || navigator.doNotTrack > 0);
  // The cookie is the one truth: a withdrawal in one tab or sub-domain is heard in all of them.
  const token = () => !refuses() && read(CONSENT);
  const address = () => location.href.split(addressEnd)[0];

  // One retry, of the same bytes, unless the visitor has chosen anew. What then fails is lost, never kept.
  const post = async (path, body, isAgain) => {
    const before = turn + read(CONSENT);
    // Text needs no preflight; the token is in it, so no cookie has to go along.
    const reply = await fetch(base + path, {
      method: "POST", body: JSON.stringify(body), keepalive: true, credentials: "omit"
    }).catch(Response.error);
    if (isAgain || !/^[05]|29/.test(reply.status)) return reply;
    await new Promise((done) => setTimeout(done, 7000));
    return turn + read(CONSENT) === before ? post(path, body, true) : reply;
  };
  const brine = (name, more, own) => {
    if (!page) return;
    const c = read(CONSENT), isView = name === "pageview";
    // Withdrawn in another tab, or at an end.
    if (!c) return forget();
    // The site's own people keep themselves out by this.
    if (!token() || attempt(() => localStorage.brine_ignore)) return;
    // One visit for all tabs and sub-domains, over after 30 minutes' silence: then its cookie is gone. It says
    // when it began and, by the least of a bucket's days, how long after the one before.
    // Of that one only the day is kept.
    const today = now() / 864e5 | 0, days = today - read(DAY), open = read(VISIT);
    const s = own || open || now() + "." + (days < 2 ? days : days < 8 ? 2 : days < 31 ? 8 : days ? 31 : "new");
    write(VISIT, open || s, 1800);
    write(DAY, today, 15552e3);
    pageVisit = pageVisit || s;
    const body = {
      n: name, u: page, d: site, c, s, id: "" + Math.random(), w: innerWidth,
      rc: !open || receipts()[0] < now(), ...more
    };
    post("/api/event", body).then(({ headers }) => {
      if (read(CONSENT) !== c) return;
      attempt(() => {
        const [receipt, seconds] = headers.get("brine-receipt").split(" ");
        localStorage[RECEIPTS] = [
          now() + seconds * 1000,
          ...receipts().slice(1).filter((other) => other !== receipt).slice(-799), receipt
        ];
      });
      // Expired, withdrawn elsewhere, or of an older policy: ask anew.
      if (/^consent/.test(headers.get("brine-outcome"))) forget();
    });
  };

  const scrolled = () => { deepest = Math.max(deepest, scrollY + innerHeight); };
  // Of a page that goes, to the visit that it belongs to: web vitals once, time in view each time.
  const leave = () => {
    scrolled();
    const e = since && now() - since, wv = vitals;
    if (wv) {
      // One interaction in fifty may be slower.
      const slowest = Object.values(latencies).sort((a, b) => b - a);
      wv.inp = slowest[slowest.length / 50 | 0];
      isLoad = vitals = 0;
      if (JSON.stringify(wv)[2]) brine("web_vitals", { wv }, pageVisit);
    }
    if (e > 1) brine("engagement", { e, sd: deepest / d.documentElement.scrollHeight * 100 }, pageVisit);
    since = !d.hidden && now();
  };
  // Listens, once, and looks at the page. Listeners stay; without a page in view they do nothing.
  const begin = () => {
    if (page || !token()) return;
    if (!isReady) {
      isReady = true;
      // On the way down: what a page keeps from bubbling has happened all the same.
      addEventListener("visibilitychange", () => {
        if (d.hidden) return leave();
        since = now();
        begin();
      }, true);
      addEventListener("click", acted, true);
      addEventListener("auxclick", acted, true);
      addEventListener("submit", acted, true);
      addEventListener("scroll", scrolled, true);
      // Out of the back/forward cache: seen again, and painted when the second frame begins.
      addEventListener("pageshow", ({ persisted, timeStamp }) => {
        if (!persisted || !page) return;
        since = 0;
        view();
        requestAnimationFrame(() => requestAnimationFrame((time) => {
          vitals.lcp = vitals.fcp = time - timeStamp;
        }));
      });
      // Browsers of before 2026 are asked again and again: their History API tells nobody, and putting our
      // functions in the place of its own breaks sites that do the same.
      if (window.navigation) navigation.addEventListener("currententrychange", moved);
      else setInterval(moved, 500);
      attempt(() => {
        const observer = new PerformanceObserver((list) => list.getEntries().map(({
          name, startTime, duration, value, hadRecentInput, interactionId, responseStart
        }) => {
          if (!vitals || hadRecentInput) return;
          if (interactionId) {
            if (!(latencies[interactionId] > duration)) latencies[interactionId] = duration;
          } else if (value) {
            // Shifts that follow each other within a second, for at most five seconds.
            if (!(startTime - shiftEnded < 1000 && startTime - shiftBegan < 5000)) {
              shift = 0;
              shiftBegan = startTime;
            }
            shiftEnded = startTime;
            shift += value;
            if (shift > vitals.cls) vitals.cls = shift;
          } else if (isLoad) {
            // Only an answer has responseStart; of the others only paints last no time, the largest has no name.
            if (responseStart) vitals.ttfb = responseStart;
            else if (!duration) vitals[name ? "fcp" : "lcp"] = startTime;
          }
        }));
        // event, largest-contentful-paint, layout-shift, navigation, paint
        PerformanceObserver.supportedEntryTypes.map((type) => {
          if (/^(ev|[lnp]a)/.test(type)) observer.observe({ type, buffered: isLoad, durationThreshold: 16 });
        });
      });
    }
    // Prerendered, or opened in a tab that nobody has looked at: not a view yet.
    if (d.hidden) return;
    view(d.referrer);
    if (missing != null) brine("404");
  };
  const view = (r) => {
    leave();
    page = address();
    deepest = 0;
    // No shift is 0, where shifts are told.
    vitals = { cls: window.LayoutShift && 0 }; latencies = [];
    pageVisit = shift = 0;
    brine("pageview", { r });
  };
  // A changed path is a view, a changed query (filters, a search box) is not.
  const moved = () => {
    if (page && address().split(pathEnd)[0] !== page.split(pathEnd)[0]) view();
  };
  // Links and forms, and what the page has marked.
  const acted = ({ type, target, button }) => attempt(() => {
    const link = target.closest("a"), props = {};
    const marked = type === "submit" ? target : target.closest("[data-brine-event]:not(form)");
    let name;
    // The middle button opens links; others open menus.
    if (button > 1) return;
    if (marked) {
      name = marked.dataset.brineEvent || "Form: Submission";
      [...marked.attributes].map(({ name, value }) => (
        name.replace(/data-brine-prop-(.+)/, (_, key) => { props[key] = value; })
      ));
    } else if (link && link.hostname) {
      // Without query: it may hold anything.
      props.url = link.origin + link.pathname;
      name = FILE.test(props.url) ? "File Download" :
        link.hostname !== location.hostname && !domainOf(link.hostname) && "Outbound Link: Click";
    }
    if (name) brine(name, { props });
  });

  const tell = () => d.dispatchEvent(new CustomEvent("brine:consent", { detail: brine.state() }));
  const forget = (isNo) => {
    page = vitals = 0; isDenied = isNo;
    // The array comes as seconds, and makes none.
    [CONSENT, VISIT, DAY].map(write);
    tell();
  };
  const say = (body) => post("/api/consent", { site, ...body });

  // Resolves to whether the choice is in force and the collector has heard it.
  brine.consent = async (wanted) => {
    const isYes = wanted.choice === "grant", mine = turn += 1;
    if (!isYes && read(CONSENT)) return brine.withdraw(wanted);
    if (isYes && (token() || refuses())) return !refuses();
    forget(!isYes);
    const reply = await say(wanted);
    if (reply.status !== 201) return !isYes && reply.ok;
    const { token: granted, expires } = await reply.json();
    // A no that came while the yes was under way wins.
    if (mine !== turn) {
      await say({ choice: "withdraw", token: granted });
      return false;
    }
    write(CONSENT, granted, (Date.parse(expires) - now()) / 1000);
    isLoad = false;
    // Whoever hears it may know of a later no: nothing is sent before that.
    tell();
    begin();
    return !!token();
  };
  // Receipts outlive a plain withdrawal: the visitor's rights to what was stored hang on them.
  brine.withdraw = async ({ erase, source } = {}) => {
    const old = read(CONSENT);
    turn += 1;
    forget(true);
    if (!old) return !erase;
    const ok = (await say({
      choice: "withdraw", token: old, source, ...erase && { erase, receipts: receipts().slice(1) }
    })).ok;
    if (ok && erase) attempt(() => delete localStorage[RECEIPTS]);
    return ok;
  };
  // In the fragment, which no request and no log holds.
  brine.mydata = () => {
    open(base + "/my-data?site=" + site + "#c=" + (read(CONSENT) || "") + "&r=" + receipts().slice(1));
  };
  brine.state = () => ({
    site, api: base, consent: token() ? "granted" : isDenied ? "denied" : "none", signal: refuses()
  });

  window.brine = brine;
  extras.replace(/\S+/g, (word) => {
    const extra = d.createElement("script");
    extra.src = new URL("brine/" + word + ".js", script.src);
    script.after(extra);
  });
  begin();
  // Not in sight by now: what the load took says nothing about what somebody saw.
  isLoad = page;
  // Commands, never events, may wait for this in a stub.
  tell();
})();
