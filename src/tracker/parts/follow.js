// What all adapters share: a consent manager's answer becomes brine's, a no at once and a yes once.
import { isMarked, mark, pageAge, setting, unmark, whenReady } from "./page.js";

// That a manager's yes was taken already. Managers keep a yes for as long as they like and repeat it on every
// page; brine's consents end: by their life, by a new policy, by a withdrawal at /my-data that no manager
// hears of. A consent that ended must not come back by itself, so a yes that was only remembered is taken no
// second time; one that is said anew always is. It stands for 400 days, the longest that browsers keep a
// cookie, and is set after a yes only.
const TAKEN = "brine_taken";

/**
 * Returns `say(isYes, isNew)` for the manager called `source` in the ledger. `isNew` tells that the visitor
 * has just answered; otherwise the manager remembers it from an earlier page, or does not say.
 */
export const follow = (source) => {
  // Where a page has several managers, all of them have to say yes; one no is enough.
  const answers = (window.brineAnswers = window.brineAnswers || {});
  answers[source] = answers[source] || null;
  let isAsking = false;
  const grant = async () => {
    isAsking = true;
    // Not heard (the collector is away, the browser says no by signal): the next page asks again.
    if (await brine.consent({ choice: "grant", source, age: pageAge() })) mark(TAKEN, 400);
    isAsking = false;
  };
  const refuse = (isCounted) => {
    unmark(TAKEN);
    if (brine.state().consent === "granted") brine.withdraw({ source });
    // Also while a yes is under way, which the no overtakes.
    else if (isCounted || isAsking) brine.consent({ choice: "deny", source });
  };
  return (isYes, isNew) => whenReady(() => {
    const isChange = answers[source] !== isYes;
    answers[source] = isYes;
    if (!isYes) return isChange && refuse(isNew);
    const wanted = setting("with").split(/\s+/).filter((word) => word && word !== "banner");
    const isAgreed = wanted.concat(Object.keys(answers)).every((name) => answers[name]);
    const isHeld = brine.state().consent === "granted";
    if (isAgreed && !isHeld && !isAsking && (isNew || !isMarked(TAKEN))) grant();
  });
};
