// What the banner says, in English and in Danish. One plain sentence tells what is counted and for how long;
// the figures come from the site's settings, so that it promises what the collector does.
const english = {
  question: "May we count your visit?",
  terms: (kept, renewed) =>
    `If you say yes, we record which pages you see, for how long and what you do there, how you got here, roughly where
    you are and what kind of device you use. We keep that for at most ${kept}, under a pseudonym that changes ${renewed}, without your
    IP address. You can change your mind at any time, and saying no costs you nothing.`,
  months: (n) => (n === 1 ? "one month" : `${n} months`),
  days: (n) => (n === 1 ? "one day" : `${n} days`),
  renewed: { day: "every night", week: "every week", month: "every month" },
  policy: "What exactly is stored",
  yes: "Yes, count my visit",
  no: "No, do not count me",
  choices: "Privacy choices",
  signalled: "Privacy: your browser says no",
  title: "Your privacy choices",
  granted: "You said yes: your visits are counted.",
  denied: "You said no: nothing is counted.",
  none: "You have not chosen yet: nothing is counted.",
  signal: "Your browser says no for you (Global Privacy Control or Do Not Track), and we heed it: nothing is counted.",
  unheard: "Your yes did not arrive or was not accepted: nothing is counted. To try again, reload the page.",
  mydata: "See or erase my data",
  erase: "Withdraw and erase everything",
  erasing: "Your consent is withdrawn; what was counted is being erased …",
  erased: "Your consent is withdrawn, and what was counted here is erased.",
  unerased: "Your consent is withdrawn on this device, but the server did not confirm the erasure. Please use “See or erase my data”.",
  close: "Close",
};

const danish = {
  question: "Må vi tælle dit besøg med?",
  terms: (kept, renewed) =>
    `Hvis du siger ja, registrerer vi, hvilke sider du ser, hvor længe og hvad du gør dér, hvordan du kom hertil, omtrent
    hvor du er, og hvilken slags enhed du bruger. Det gemmes i højst ${kept} under et pseudonym, der skifter ${renewed}, uden din
    IP-adresse. Du kan altid ombestemme dig, og et nej har ingen ulemper.`,
  months: (n) => (n === 1 ? "en måned" : `${n} måneder`),
  days: (n) => (n === 1 ? "en dag" : `${n} dage`),
  renewed: { day: "hver nat", week: "hver uge", month: "hver måned" },
  policy: "Hvad der præcist gemmes",
  yes: "Ja, tæl mit besøg med",
  no: "Nej, tæl mig ikke med",
  choices: "Privatlivsvalg",
  signalled: "Privatliv: din browser siger nej",
  title: "Dine privatlivsvalg",
  granted: "Du har sagt ja: Dine besøg tælles med.",
  denied: "Du har sagt nej: Intet tælles.",
  none: "Du har ikke valgt endnu: Intet tælles.",
  signal: "Din browser siger nej på dine vegne (Global Privacy Control eller Do Not Track), og det retter vi os efter: Intet tælles.",
  unheard: "Dit ja nåede ikke frem eller blev ikke godtaget: Intet tælles. Genindlæs siden for at prøve igen.",
  mydata: "Se eller slet mine data",
  erase: "Træk tilbage og slet alt",
  erasing: "Dit samtykke er trukket tilbage; det, der var talt, bliver slettet …",
  erased: "Dit samtykke er trukket tilbage, og det, der var talt her, er slettet.",
  unerased: "Dit samtykke er trukket tilbage på denne enhed, men serveren bekræftede ikke sletningen. Brug »Se eller slet mine data«.",
  close: "Luk",
};

const WORDS = { da: danish, en: english };

/** Returns the first of these languages that there are words for; English if none. */
export const language = (...wanted) =>
  wanted.map((tag) => (tag || "").slice(0, 2).toLowerCase()).find((tag) => WORDS[tag]) || "en";
export const words = (language) => WORDS[language];

/** Tells a retention in days as people do; never shorter than it is. */
export const period = ({ days, months }, n) => (n < 61 ? days(n) : months(Math.ceil(n / 30.44)));
