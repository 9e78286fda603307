// What a reader gains by it: pages that change without a reload, keys, a choice of a range in the graph, and the live
// figure. Without it every page works all the same.
(() => {
  const $ = (selector) => document.querySelector(selector);
  let source;

  const follow = async (href, isBack, isRefresh) => {
    document.body.classList.add("busy");
    try {
      // A page that lies open is no use of the session, and says so.
      const headers = { accept: "text/html", ...isRefresh && { "brine-refresh": "1" } };
      const reply = await fetch(href, { headers });
      const type = reply.headers.get("content-type") || "";
      if (!type.startsWith("text/html")) throw 0;
      const page = new DOMParser().parseFromString(await reply.text(), "text/html");
      const place = document.activeElement && document.activeElement.id;
      if (!isBack) history.pushState(null, "", href);
      document.title = page.title;
      document.documentElement.lang = page.documentElement.lang;
      document.body.replaceChildren(...page.body.childNodes);
      if (place) document.getElementById(place)?.focus();
      begin();
    } catch {
      location.href = href;
    }
    document.body.classList.remove("busy");
  };

  const isOurs = (url) => url.origin === location.origin && /^\/($|d\/)/.test(url.pathname);

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    for (const menu of document.querySelectorAll(".menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
    if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    if (link.hasAttribute("download") || link.getAttribute("href")[0] === "#") return;
    if (!isOurs(new URL(link.href))) return;
    event.preventDefault();
    follow(link.href);
  });

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "get") return;
    event.preventDefault();
    const url = new URL(form.getAttribute("action"), location.href);
    url.search = new URLSearchParams(new FormData(form));
    follow(url.href);
  });

  addEventListener("popstate", () => follow(location.href, true));

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      for (const menu of document.querySelectorAll(".menu[open]")) {
        menu.open = false;
        menu.firstElementChild.focus();
      }
    }
    if (event.metaKey || event.ctrlKey || event.altKey || event.target.closest("input, select, textarea, .wide")) return;
    const target = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    if (!target) return;
    event.preventDefault();
    if (target.tagName === "SUMMARY") {
      const menu = target.parentElement;
      menu.open = !menu.open;
      (menu.open ? menu.querySelector("input:not([type=hidden]), select, a") : target).focus();
    } else follow(target.href);
  });

  const graph = () => {
    const figure = $(".graph");
    if (!figure) return;
    const svg = figure.querySelector("svg");
    const points = [...svg.querySelectorAll("rect")];
    const tip = figure.appendChild(document.createElement("div"));
    tip.className = "tip";
    tip.hidden = true;
    tip.setAttribute("aria-hidden", "true");
    // The text moves into the tip: browsers would show it a second time.
    const texts = points.map((point) => point.firstElementChild?.textContent || "");
    points.forEach((point) => point.replaceChildren());
    let first = -1;
    const at = (event) => {
      const box = svg.getBoundingClientRect();
      const i = Math.floor(((event.clientX - box.left) / box.width) * points.length);
      return Math.max(0, Math.min(points.length - 1, i));
    };
    const choose = (a, b) => points.forEach((p, i) => p.classList.toggle("chosen", a >= 0 && i >= Math.min(a, b) && i <= Math.max(a, b)));
    svg.addEventListener("pointermove", (event) => {
      const i = at(event);
      tip.textContent = texts[i];
      tip.hidden = false;
      const box = svg.getBoundingClientRect();
      const left = box.left - figure.getBoundingClientRect().left + ((i + 0.5) / points.length) * box.width;
      tip.style.left = Math.max(0, Math.min(figure.clientWidth - tip.offsetWidth, left - tip.offsetWidth / 2)) + "px";
      choose(first < 0 ? i : first, i);
    });
    svg.addEventListener("pointerleave", () => {
      tip.hidden = true;
      first = -1;
      choose(-1);
    });
    svg.addEventListener("pointerdown", (event) => {
      if (event.button || event.pointerType === "touch") return;
      event.preventDefault();
      first = at(event);
    });
    svg.addEventListener("pointerup", (event) => {
      if (first < 0) return;
      const [a, b] = [first, at(event)].sort((x, y) => x - y);
      first = -1;
      const { from } = points[a].dataset, { to } = points[b].dataset;
      if (!from || (a === b && from === to && points.length < 2)) return;
      const url = new URL(figure.dataset.zoom, location.href);
      url.searchParams.delete("period");
      url.searchParams.set("from", from);
      url.searchParams.set("to", to);
      follow(url.href);
    });
  };

  const live = () => {
    source?.close();
    source = null;
    const line = $("[data-live]");
    if (!line || document.hidden) return;
    source = new EventSource(line.dataset.live);
    let n = 0;
    source.onmessage = (event) => {
      line.firstElementChild.textContent = JSON.parse(event.data).text;
      // The page of the last half hour moves on with every second one; not under a reader's open menu.
      if (++n % 2 && n > 1 && /[?&]period=30m/.test(location.search) && !$(".menu[open]")) follow(location.href, true, true);
    };
  };
  document.addEventListener("visibilitychange", live);

  const begin = () => {
    graph();
    live();
  };
  begin();
})();
