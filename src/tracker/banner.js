// The banner: asks whether the visit may be counted, and keeps the answer changeable. For sites without a
// consent manager. README, "Consent", lists its attributes and custom properties.
//
// Nothing is stored before an answer. A yes is brine's token. A no is kept as `brine_denied=1`, the same text
// for everybody, for six months: without it, it would have to be asked about on every page, so keeping it is
// strictly necessary for what the visitor wants (ePrivacy Directive, Article 5(3)); it cannot tell one visitor
// from another. It is passed on to nobody: no code but this file's reads it.
import { isMarked, mark, pageAge, setting, unmark, until } from "./parts/page.js";
import { style } from "./parts/style.js";
import { language, period, words } from "./parts/words.js";

const DENIED = "brine_denied", SOURCE = "banner";

const make = (tag, properties, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

// Not before the page is read: its language and its first link are of interest. Browsers without <dialog>
// (from before 2022) are not asked, and so not counted.
const isReady = () =>
  document.readyState !== "loading" && window.HTMLDialogElement && window.brine && brine.state;

until(isReady, () => {
  const lang = language(setting("lang"), document.documentElement.lang, navigator.language);
  const text = words(lang);
  const { api, site } = brine.state();
  const terms = text.terms(period(text, +setting("days") || 395), text.renewed[setting("rotation") || "day"]);
  const policy = setting("policy") || `${api}/policy?site=${site}&lang=${lang}`;

  const title = make("h2", { id: "title", tabIndex: -1 });
  const state = make("p", { className: "state" });
  state.setAttribute("role", "status");
  const button = (id, listener) => {
    const made = make("button", { id, type: "button", textContent: text[id] });
    made.addEventListener("click", listener);
    return made;
  };
  const answers = make("p", { className: "answers" },
    button("no", () => choose("deny")), button("yes", () => choose("grant")));
  const erase = button("erase", async () => {
    const isDone = brine.withdraw({ erase: true, source: SOURCE });
    // The button is gone as soon as the consent is; the erasure takes the collector a few seconds.
    title.focus();
    state.textContent = text.erasing;
    state.textContent = (await isDone) ? text.erased : text.unerased;
  });
  const more = make("p", { className: "more" },
    button("mydata", () => brine.mydata()), erase, button("close", () => dialog.close()));
  const dialog = make("dialog", {}, title, state, make("p", { id: "terms" }, terms.replace(/\s+/g, " ") + " ",
    make("a", { href: policy, target: "_blank", rel: "noopener", textContent: text.policy })), answers, more);
  dialog.setAttribute("aria-labelledby", "title");
  dialog.setAttribute("aria-describedby", "terms");
  const reopen = button("choices", () => openChoices());
  const corner = make("section", { className: "corner" }, reopen);
  corner.setAttribute("aria-label", text.choices);
  const said = make("p", { className: "said" });
  said.setAttribute("role", "status");

  const host = make("brine-banner", { lang });
  host.dataset.theme = setting("theme");
  const root = host.attachShadow({ mode: "open" });
  // Of the two, only this one needs no permission by a Content-Security-Policy.
  if (root.adoptedStyleSheets) {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(style);
    root.adoptedStyleSheets = [sheet];
  } else {
    root.append(make("style", { textContent: style }));
  }
  root.append(dialog, corner, said);
  // Room below the page, so that its end can be scrolled out from under the question.
  const room = make("div");

  // isAsking: the question is open by itself, beside the page; otherwise the choices are, over the page.
  let isAsking = false, isChoosing = false, cameFrom;
  const choice = () => {
    const { consent, signal } = brine.state();
    return signal ? "signal" : consent === "none" && isMarked(DENIED) ? "denied" : consent;
  };
  /** Brings what is seen in line with what is so. */
  const show = () => {
    const now = choice();
    title.textContent = isAsking ? text.question : text.title;
    state.hidden = more.hidden = isAsking;
    state.textContent = text[now];
    answers.hidden = now === "signal";
    erase.hidden = now !== "granted";
    reopen.textContent = now === "signal" ? text.signalled : text.choices;
    // The site's own way to the choices takes the place of this one.
    corner.hidden = isAsking || !!document.querySelector("[data-brine-choices]");
    room.style.height = (isAsking ? dialog.offsetHeight + 32 : 0) + "px";
  };
  const ask = () => {
    if (dialog.open) return;
    isAsking = true;
    cameFrom = document.activeElement;
    // Not show(), which would take the focus from whoever is typing.
    dialog.setAttribute("open", "");
    show();
    if (!cameFrom || cameFrom === document.body) title.focus({ preventScroll: true });
  };
  const openChoices = () => {
    if (dialog.open) close();
    dialog.showModal();
    show();
    title.focus();
  };
  /** Puts the question aside, answered or not, and the focus back. */
  const close = () => {
    const hadFocus = root.activeElement;
    dialog.close();
    isAsking = false;
    show();
    if (hadFocus && cameFrom && cameFrom !== document.body) cameFrom.focus({ preventScroll: true });
    cameFrom = null;
  };
  const choose = async (chosen) => {
    isChoosing = true;
    close();
    // A mark that is there when the yes is granted is from a later no, in another tab.
    if (chosen === "grant") unmark(DENIED);
    const isHeard = await brine.consent({ choice: chosen, source: SOURCE, age: pageAge() });
    isChoosing = false;
    show();
    // Heard by screen readers, which do not see a banner go. A yes that failed is seen as well.
    said.textContent = text[choice()];
    if (!isHeard && choice() === "none") said.textContent = reopen.textContent = text.unheard;
  };
  const refresh = () => (isAsking && choice() !== "none" ? close() : show());
  /** Asks whoever has given no answer, by click or by signal. */
  const begin = () => (choice() === "none" && !isChoosing ? ask() : refresh());

  // Whoever says it, here or through the site's own script or in another tab.
  document.addEventListener("brine:consent", ({ detail: { consent } }) => {
    if (consent === "denied") mark(DENIED, 182);
    if (consent === "granted") {
      if (isChoosing && isMarked(DENIED)) return brine.withdraw({ source: SOURCE });
      unmark(DENIED);
    }
    begin();
  });
  addEventListener("focus", refresh);
  addEventListener("resize", () => isAsking && show());
  document.addEventListener("click", (event) => {
    if (!event.target.closest || !event.target.closest("[data-brine-choices]")) return;
    event.preventDefault(); // it may be a link, for want of this script
    openChoices();
  });
  // Putting the question aside is no answer, least of all a yes. The choices close by themselves.
  document.addEventListener("keydown", ({ key }) => {
    if (key === "Escape" && isAsking) close();
  });

  // First in the page, so that it is first by keyboard, but for links that skip to the page's content; at the
  // bottom of the window for the eye. Routers that swap the whole body take it along, so it comes back.
  const place = () => {
    if (host.isConnected || !document.body) return;
    let next = document.body.firstElementChild;
    while (next && next.matches('a[href^="#"]')) next = next.nextElementSibling;
    document.body.insertBefore(host, next);
    document.documentElement.append(room);
  };
  new MutationObserver(place).observe(document.documentElement, { childList: true });
  place();
  begin();
});
