//! What is said in the place of a list that is empty: what it would show, and how its first row is made.

use super::super::view::View;
use crate::policy::language::Language;

/// The words for a tab of a panel where nothing was counted.
pub(super) fn words(view: &View, panel: &str, tab: &str) -> &'static str {
    if !view.filters.is_empty() {
        return view.say(
            "Nothing in this period under these filters. Remove one of them, or choose other dates.",
            "Intet i denne periode under disse filtre. Fjern et af dem, eller vælg andre datoer.",
        );
    }
    match (panel, tab) {
        ("sources", tab) if tab.starts_with("utm_") || tab == "campaign" => view.say(
            "No visit in this period. Campaigns are told by their links: one with ?utm_campaign=spring in its address makes \
             the first row.",
            "Intet besøg i denne periode. Kampagner kendes på deres links: et med ?utm_campaign=foraar i adressen giver den \
             første række.",
        ),
        ("sources", _) => view.say(
            "No visit in this period. Where visitors come from stands here, from the first visit on.",
            "Intet besøg i denne periode. Her kommer det til at stå, hvor besøgende kommer fra, fra det første besøg.",
        ),
        ("pages", _) => view.say(
            "No page was seen in this period. Pages stand here from the first view on.",
            "Ingen side er set i denne periode. Her kommer siderne til at stå, fra den første visning.",
        ),
        ("places", "language") => view.say(
            "No visit in this period. The languages of browsers stand here, from the first visit on.",
            "Intet besøg i denne periode. Her kommer browsernes sprog til at stå, fra det første besøg.",
        ),
        ("places", _) => view.say(
            "No visit in this period. Where visitors are stands here from the first visit on, if the configuration names \
             a geo database (enrich.geo_country or geo_city).",
            "Intet besøg i denne periode. Her kommer det til at stå, hvor besøgende er, fra det første besøg, hvis \
             konfigurationen nævner en geodatabase (enrich.geo_country eller geo_city).",
        ),
        ("devices", _) => view.say(
            "No visit in this period. What visitors use stands here, from the first visit on.",
            "Intet besøg i denne periode. Her kommer det til at stå, hvad besøgende bruger, fra det første besøg.",
        ),
        ("apps", _) => view.say(
            "No visit in this period. Platforms, and the versions that an app tells, stand here from the first visit on.",
            "Intet besøg i denne periode. Her kommer platforme, og de versioner en app oplyser, til at stå, fra det første \
             besøg.",
        ),
        ("events", "goal") => view.say(
            "No goal was reached in this period. The configuration names a site's goals (goals); where it names none, \
             each event of the site's own is one, such as brine(\"Signup\").",
            "Intet mål er nået i denne periode. Konfigurationen nævner webstedets mål (goals); nævner den ingen, er hver \
             af webstedets egne hændelser et mål, fx brine(\"Signup\").",
        ),
        ("events", "revenue") => view.say(
            "No revenue in this period. An event that tells an amount makes the first row: brine(\"Purchase\", { revenue: \
             { amount: 24.9, currency: \"EUR\" } }).",
            "Ingen omsætning i denne periode. En hændelse med et beløb giver den første række: brine(\"Purchase\", { \
             revenue: { amount: 24.9, currency: \"EUR\" } }).",
        ),
        ("events", _) => view.say(
            "No event in this period. Page views stand here by themselves, the site's own events once it sends them: \
             brine(\"Signup\").",
            "Ingen hændelse i denne periode. Sidevisninger kommer her af sig selv, webstedets egne hændelser, når det \
             sender dem: brine(\"Signup\").",
        ),
        ("returning", _) => view.say(
            "No visit in this period. How long visitors stay away between visits stands here, from the first visit on.",
            "Intet besøg i denne periode. Her kommer det til at stå, hvor længe besøgende er væk mellem besøg, fra det \
             første besøg.",
        ),
        ("vitals", _) => view.say(
            "No page was measured in this period. The tracker tells how fast a page was when its visitor leaves it; apps \
             do not.",
            "Ingen side er målt i denne periode. Trackeren oplyser, hvor hurtig en side var, når den besøgende forlader \
             den; det gør apps ikke.",
        ),
        _ => view.say(
            "No visit in this period. The hours in which visitors come stand here, from the first visit on.",
            "Intet besøg i denne periode. Her kommer de timer, hvor de besøgende kommer, til at stå, fra det første besøg.",
        ),
    }
}

/// The words for speed where visitors came and no page has a figure.
pub(super) fn unmeasured(k: u32, language: Language) -> String {
    language.pick(
        format!(
            "No page was measured by {k} visitors or more in this period. The tracker tells how fast a page was when its \
             visitor leaves it; apps do not."
        ),
        format!(
            "Ingen side er målt af {k} besøgende eller flere i denne periode. Trackeren oplyser, hvor hurtig en side var, \
             når den besøgende forlader den; det gør apps ikke."
        ),
    )
}
