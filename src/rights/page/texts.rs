//! Every word of `/my-data`, in both languages side by side.
//!
//! `%name%` is filled in by the script.

use crate::policy::language::Language;

/// One text.
pub(super) struct Text {
    pub(super) key: &'static str,
    pub(super) en: &'static str,
    pub(super) da: &'static str,
}

impl Text {
    pub(super) fn of(&self, language: Language) -> &'static str {
        language.pick(self.en, self.da)
    }
}

const fn text(key: &'static str, en: &'static str, da: &'static str) -> Text {
    Text { key, en, da }
}

pub(super) const TEXTS: &[Text] = &[
    text("title", "My data", "Mine data"),
    text("skip", "Skip to the page", "Gå til indholdet"),
    text("other_language", "Dansk", "English"),
    text("other_tag", "da", "en"),
    text(
        "lead",
        "See what is stored about your visits, correct it, stop it, or have it erased. No account is needed: what your own browser keeps is the key.",
        "Se, hvad der er gemt om dine besøg, ret det, stop det, eller få det slettet. Du behøver ingen konto: nøglen er det, din egen browser har gemt.",
    ),
    text("site_label", "Site", "Websted"),
    text("loading", "Looking …", "Henter …"),
    text(
        "needs_script",
        "This page needs JavaScript: your receipts stay in your browser, and only a script there can use them. You can also write to us; the policy says where.",
        "Siden kræver JavaScript: dine kvitteringer bliver i din browser, og kun et script dér kan bruge dem. Du kan også skrive til os; privatlivspolitikken fortæller hvor.",
    ),
    text("policy", "Privacy policy", "Privatlivspolitik"),
    text(
        "foot",
        "You can also complain to the supervisory authority; the policy names it.",
        "Du kan også klage til tilsynsmyndigheden; den står i politikken.",
    ),
    // What was brought.
    text("brought_title", "What you have with you", "Det, du har med"),
    text(
        "brought_nothing",
        "Nothing yet. If you said yes to being measured, open this page from the site itself (“See or erase my data”), and your browser brings the key along. Or paste or choose a file with your receipts.",
        "Intet endnu. Har du sagt ja til at blive målt, så åbn siden fra selve webstedet (»Se eller slet mine data«), så tager din browser nøglen med. Du kan også indsætte dine kvitteringer eller vælge en fil med dem.",
    ),
    text(
        "brought_some",
        "%token%. Receipts, one for each day: %n%.",
        "%token%. Kvitteringer, én for hver dag: %n%.",
    ),
    text("brought_token", "Your consent", "Dit samtykke"),
    text("brought_no_token", "No consent", "Intet samtykke"),
    text(
        "kept_here",
        "This page keeps the receipts that you brought in this browser, so that you need not bring them again, and your consent until you close the tab. Nothing else, and only here.",
        "Siden gemmer de kvitteringer, du har med, i denne browser, så du ikke skal have dem med igen, og dit samtykke, til du lukker fanen. Intet andet, og kun her.",
    ),
    text(
        "forget",
        "Forget them on this page",
        "Glem dem på denne side",
    ),
    text(
        "save",
        "Save receipts to a file",
        "Gem kvitteringerne i en fil",
    ),
    text("add", "Add receipts", "Tilføj kvitteringer"),
    text(
        "paste_label",
        "Receipts or consent, pasted as text",
        "Kvitteringer eller samtykke, indsat som tekst",
    ),
    text("file_label", "Or a file with them", "Eller en fil med dem"),
    text("use", "Use these", "Brug dem"),
    text(
        "paste_none",
        "There is no receipt and no consent in this text.",
        "Der er hverken en kvittering eller et samtykke i teksten.",
    ),
    text(
        "refused",
        "%n% receipts open nothing here: they belong to another site, or are damaged.",
        "%n% kvitteringer åbner intet her: de hører til et andet websted eller er beskadiget.",
    ),
    text(
        "refused_one",
        "1 receipt opens nothing here: it belongs to another site, or is damaged.",
        "1 kvittering åbner intet her: den hører til et andet websted eller er beskadiget.",
    ),
    // Consent.
    text("consent_title", "Your consent", "Dit samtykke"),
    text(
        "consent_none",
        "No consent came along, so there is no history to show.",
        "Der er intet samtykke med, så der er ingen historik at vise.",
    ),
    text(
        "consent_valid",
        "In force. Given on %given%, and valid through %last%.",
        "Gælder. Givet %given% og gyldigt til og med %last%.",
    ),
    text(
        "consent_over",
        "Not in force any more. Nothing is measured by it.",
        "Gælder ikke længere. Intet måles på grundlag af det.",
    ),
    text("consent_history", "History", "Historik"),
    text(
        "choice_grant",
        "You said yes (policy version %policy%, by way of: %source%)",
        "Du sagde ja (politikkens version %policy%, via: %source%)",
    ),
    text(
        "choice_withdraw",
        "You took it back (by way of: %source%)",
        "Du trak det tilbage (via: %source%)",
    ),
    text(
        "withdraw",
        "Withdraw my consent",
        "Træk mit samtykke tilbage",
    ),
    // Data.
    text("data_title", "What is stored", "Det, der er gemt"),
    text(
        "data_none",
        "Nothing that what you have with you could open.",
        "Intet, som det, du har med, kan åbne.",
    ),
    text(
        "data_unasked",
        "It could not be asked what is stored. That says nothing about what there is.",
        "Der kunne ikke spørges, hvad der er gemt. Det siger intet om, hvad der findes.",
    ),
    text("again", "Try again", "Prøv igen"),
    text(
        "data_some",
        "Events: %n%. Days: %days%.",
        "Hændelser: %n%. Dage: %days%.",
    ),
    text(
        "data_shown",
        "The newest %n% of %all% are shown; the export has all of them.",
        "De nyeste %n% af %all% vises; eksporten har dem alle.",
    ),
    text(
        "data_late",
        "Some of the newest may be missing: they are on their way. Look again in a minute.",
        "Nogle af de nyeste kan mangle: de er på vej. Se igen om et øjeblik.",
    ),
    text("day_events", "%n% events", "%n% hændelser"),
    text("day_events_one", "1 event", "1 hændelse"),
    text("restricted", "kept, not counted", "gemt, tælles ikke"),
    text("ev_pageview", "You looked at %path%", "Du så %path%"),
    text(
        "ev_engagement",
        "You spent %seconds% s on %path%",
        "Du brugte %seconds% s på %path%",
    ),
    text(
        "ev_scroll",
        "and read as far as %depth% %%",
        "og kom %depth% %% ned",
    ),
    // Events that brine.js sends by itself, by their names on the wire.
    text(
        "named_web_vitals",
        "How fast the page was: %path%",
        "Hvor hurtig siden var: %path%",
    ),
    text(
        "named_Form: Submission",
        "You sent a form on %path%",
        "Du sendte en formular på %path%",
    ),
    text(
        "named_Outbound Link: Click",
        "You followed a link to another site on %path%",
        "Du fulgte et link til et andet websted på %path%",
    ),
    text(
        "named_File Download",
        "You downloaded a file on %path%",
        "Du hentede en fil på %path%",
    ),
    text(
        "named_404",
        "You came to a page that does not exist: %path%",
        "Du kom til en side, der ikke findes: %path%",
    ),
    text("ev_other", "“%name%” on %path%", "»%name%« på %path%"),
    text("ev_from", "coming from %source%", "du kom fra %source%"),
    text("ev_fields", "Every field", "Alle felter"),
    text("ev_device", "With %what%", "Med %what%"),
    text("correct", "Correct “%name%”", "Ret »%name%«"),
    // Rights.
    text("rights_title", "What you can do", "Det kan du gøre"),
    text("export", "Download as JSON", "Hent som JSON"),
    text(
        "export_why",
        "Everything that is stored and can be found, in a form that machines read.",
        "Alt, der er gemt og kan findes, i et format, maskiner kan læse.",
    ),
    text("restrict", "Restrict", "Begræns"),
    text(
        "restrict_why",
        "Kept, but counted in no report. Can be undone. It holds for these days; withdraw your consent to stop what comes.",
        "Gemmes, men tælles ikke med nogen steder. Kan fortrydes. Det gælder disse dage; træk samtykket tilbage for at stoppe det, der kommer.",
    ),
    text("unrestrict", "Count again", "Tæl med igen"),
    text(
        "unrestrict_why",
        "Lifts a restriction.",
        "Ophæver en begrænsning.",
    ),
    text("object", "Object", "Gør indsigelse"),
    text(
        "object_why",
        "No further processing: your consent is withdrawn, and what is stored is not counted.",
        "Ingen videre behandling: samtykket trækkes tilbage, og det gemte tælles ikke med.",
    ),
    text("erase", "Erase everything", "Slet alt"),
    text(
        "erase_why",
        "All of these events are deleted, and that is checked. Cannot be undone. A consent stays in force unless you withdraw it as well.",
        "Alle disse hændelser slettes, og det efterprøves. Kan ikke fortrydes. Et samtykke gælder fortsat, medmindre du også trækker det tilbage.",
    ),
    // Asking back.
    text(
        "sure_withdraw",
        "Withdraw your consent? Nothing more is measured from now on. What is stored stays until you erase it.",
        "Træk samtykket tilbage? Fra nu af måles intet mere. Det gemte bliver, til du sletter det.",
    ),
    text(
        "sure_restrict",
        "Restrict these events? They are kept, and counted in no report.",
        "Begræns disse hændelser? De gemmes, men tælles ikke med.",
    ),
    text(
        "sure_unrestrict",
        "Count these events again?",
        "Tæl disse hændelser med igen?",
    ),
    text(
        "sure_object",
        "Object? Your consent is withdrawn, and these events are not counted any more.",
        "Gør indsigelse? Samtykket trækkes tilbage, og hændelserne tælles ikke længere med.",
    ),
    text(
        "sure_erase",
        "Erase all of these events for good?",
        "Slet alle disse hændelser for altid?",
    ),
    text(
        "sure_erase_consent",
        "Your consent stays in force if you erase alone: what you do on the site from now on is measured again.",
        "Dit samtykke gælder fortsat, hvis du kun sletter: det, du gør på webstedet fra nu af, måles igen.",
    ),
    text("erase_both", "Erase and withdraw", "Slet og træk tilbage"),
    text("erase_alone", "Erase alone", "Kun slet"),
    text("sure_correct", "Correct value", "Rigtig værdi"),
    text("yes", "Yes", "Ja"),
    text("cancel", "Cancel", "Fortryd"),
    // Results.
    text(
        "done_withdraw",
        "Withdrawn. Nothing more is measured.",
        "Trukket tilbage. Intet måles længere.",
    ),
    text(
        "done_restrict",
        "Done: %n% events are kept and not counted. Checked: no report counts them.",
        "Udført: %n% hændelser gemmes og tælles ikke. Efterprøvet: ingen opgørelse tæller dem.",
    ),
    text(
        "done_restrict_one",
        "Done: 1 event is kept and not counted. Checked: no report counts it.",
        "Udført: 1 hændelse gemmes og tælles ikke. Efterprøvet: ingen opgørelse tæller den.",
    ),
    text(
        "done_unrestrict",
        "Done: %n% events are counted again.",
        "Udført: %n% hændelser tælles med igen.",
    ),
    text(
        "done_unrestrict_one",
        "Done: 1 event is counted again.",
        "Udført: 1 hændelse tælles med igen.",
    ),
    text(
        "done_object",
        "Done: %n% events are kept and not counted.",
        "Udført: %n% hændelser gemmes og tælles ikke.",
    ),
    text(
        "done_object_one",
        "Done: 1 event is kept and not counted.",
        "Udført: 1 hændelse gemmes og tælles ikke.",
    ),
    text(
        "done_object_token",
        "Your consent is withdrawn.",
        "Dit samtykke er trukket tilbage.",
    ),
    text(
        "done_erase",
        "Erased: %n% events. Checked: none of them can be found, and the files that held them are deleted.",
        "Slettet: %n% hændelser. Efterprøvet: ingen af dem kan findes, og de filer, de lå i, er slettet.",
    ),
    text(
        "done_erase_one",
        "Erased: 1 event. Checked: it cannot be found, and the files that held it are deleted.",
        "Slettet: 1 hændelse. Efterprøvet: den kan ikke findes, og de filer, den lå i, er slettet.",
    ),
    text(
        "done_erase_consent",
        "Your consent is still in force: what you do on the site from now on is measured again.",
        "Dit samtykke gælder fortsat: det, du gør på webstedet fra nu af, måles igen.",
    ),
    text(
        "done_correct",
        "Corrected: %n% events. The old value is gone from the disk.",
        "Rettet: %n% hændelser. Den gamle værdi er væk fra disken.",
    ),
    text(
        "done_correct_one",
        "Corrected: 1 event. The old value is gone from the disk.",
        "Rettet: 1 hændelse. Den gamle værdi er væk fra disken.",
    ),
    text(
        "under_way",
        "Under way. This can take a while, and goes on when you leave.",
        "I gang. Det kan tage lidt tid og fortsætter, selv om du går.",
    ),
    text(
        "fault_limit",
        "Too many requests. Please try again in %seconds% seconds.",
        "For mange forespørgsler. Prøv igen om %seconds% sekunder.",
    ),
    text(
        "fault_later",
        "This cannot be done right now. Please try again in a moment.",
        "Det kan ikke gøres lige nu. Prøv igen om lidt.",
    ),
    text(
        "fault_key",
        "What you brought opens nothing on this site.",
        "Det, du har med, åbner intet på dette websted.",
    ),
    text(
        "fault_network",
        "The server could not be reached.",
        "Serveren kunne ikke nås.",
    ),
    // What nobody can link.
    text(
        "unlinkable_title",
        "What nobody can find any more",
        "Det, ingen kan finde længere",
    ),
    text(
        "unlinkable",
        "Your events carry a pseudonym that is new every period, under a key that we destroy. Those from before %before% can be found with their receipts only; without a receipt nobody can tell which of them were yours, not we either (GDPR Art. 11). Those of today can be found by your consent until %from%, and after that with the receipt alone.",
        "Dine hændelser bærer et pseudonym, der er nyt for hver periode, lavet med en nøgle, som vi destruerer. De, der er fra før %before%, kan kun findes med deres kvittering; uden den kan ingen se, hvilke der var dine, heller ikke vi (GDPR art. 11). Dagens kan findes med dit samtykke indtil %from% og derefter kun med kvitteringen.",
    ),
    // Where the policy's words lean on what stands around them there.
    text(
        "field_path",
        "The page's path; e-mail addresses, numbers and codes in it are masked, and search parameters dropped unless the policy lists them",
        "Sidens sti; e-mailadresser, numre og koder i den sløres, og søgeparametre fjernes, medmindre politikken nævner dem",
    ),
    text("field_region", "The region", "Regionen"),
    text("field_city", "The city", "Byen"),
    text(
        "field_browser_version",
        "The browser's major version",
        "Browserens hovedversion",
    ),
    text(
        "field_os_version",
        "The system's major version",
        "Styresystemets hovedversion",
    ),
    text(
        "field_channel",
        "The kind of place you came from: search, social media, e-mail and so on",
        "Arten af det sted, du kom fra: søgning, sociale medier, e-mail og så videre",
    ),
];
