//! The record of processing activities (GDPR Art. 30(1)), from the same source as the policy.
//!
//! Comes in: the statements of all scopes and the operator's own measures. Goes out: a [`Document`] whose sections are
//! the letters (a) to (g). It is for the operator and the supervisory authority (Art. 30(4)), not for the public.

use super::countries;
use super::document::{Block, Document, Entry};
use super::fields::{FIELDS, Group};
use super::language::Language;
use super::statement::{SiteFacts, Statement};
use super::words;
use crate::config::notice::Text;

/// Writes the record. `measures` are the operator's own precautions.
///
/// # Panics
/// Without a statement; see [`words::policy`].
pub fn record(statements: &[&Statement], measures: &[Text], language: Language) -> Document {
    let general = statements.first().expect("at least one scope");
    let sites: Vec<&SiteFacts> = statements.iter().flat_map(|s| &s.sites).collect();
    let say = |en: &str, da: &str| language.pick(en, da).to_owned();
    let mut document = Document::new(
        say(
            "Record of processing activities",
            "Fortegnelse over behandlingsaktiviteter",
        ),
        say(
            "Visitor measurement of web sites and apps (GDPR Art. 30(1)). Made from the running configuration.",
            "Besøgsmåling på websteder og i apps (databeskyttelsesforordningens artikel 30, stk. 1). Dannet \
             ud fra den kørende konfiguration.",
        ),
    );
    document.section(
        "a",
        say("(a) Controller", "a) Dataansvarlig"),
        words::people::controller(general, language),
    );
    document.section(
        "b",
        say("(b) Purposes", "b) Formål"),
        words::purpose(language),
    );
    document.section(
        "c",
        say(
            "(c) Categories of data subjects and of personal data",
            "c) Kategorier af registrerede og af personoplysninger",
        ),
        categories(&sites, language),
    );
    document.section(
        "d",
        say("(d) Categories of recipients", "d) Kategorier af modtagere"),
        recipients(general, language),
    );
    document.section(
        "e",
        say(
            "(e) Transfers to third countries",
            "e) Overførsler til tredjelande",
        ),
        vec![Block::Facts(vec![words::people::transfers(
            general, language,
        )])],
    );
    document.section(
        "f",
        say("(f) Time limits for erasure", "f) Tidsfrister for sletning"),
        words::data::retention(general, &sites, language),
    );
    document.section(
        "g",
        say(
            "(g) Technical and organisational security measures",
            "g) Tekniske og organisatoriske sikkerhedsforanstaltninger",
        ),
        vec![Block::List(security(measures, language))],
    );
    document
}

fn categories(sites: &[&SiteFacts], language: Language) -> Vec<Block> {
    let names: Vec<&str> = sites.iter().map(|site| site.name.as_str()).collect();
    let mut entries = vec![Entry::new(
        language.pick("Data subjects", "Registrerede"),
        match language {
            Language::En => format!(
                "Visitors of {} who consented; of those who refused, a number by site and day.",
                names.join(", ")
            ),
            Language::Da => format!(
                "Besøgende på {}, som har givet samtykke; af dem, der sagde nej, kun et antal pr. websted og \
                 dag.",
                names.join(", ")
            ),
        },
    )];
    for group in Group::ALL {
        let columns: Vec<String> = FIELDS
            .iter()
            .filter(|field| field.group == group)
            .map(|field| field.name())
            .collect();
        entries.push(Entry::new(group.title(language), columns.join(", ")));
    }
    entries.push(Entry::new(
        language.pick(
            "Special categories (Art. 9)",
            "Særlige kategorier (artikel 9)",
        ),
        language.pick("None.", "Ingen."),
    ));
    vec![Block::Facts(entries)]
}

fn recipients(general: &Statement, language: Language) -> Vec<Block> {
    if general.recipients.is_empty() {
        let none = language.pick("None.", "Ingen.");
        return vec![Block::Paragraph(none.to_owned())];
    }
    let entries = general.recipients.iter().map(|recipient| {
        Entry::new(
            format!(
                "{}, {}",
                recipient.name,
                countries::name(&recipient.country, language)
            ),
            language.of(&recipient.task),
        )
    });
    vec![Block::Facts(entries.collect())]
}

fn security(measures: &[Text], language: Language) -> Vec<String> {
    let own = language.pick(
        [
            "Pseudonymisation with salts that are secret, one a site and period, and destroyed with a record \
             of it.",
            "Addresses, user agents and identifiers are held in memory only while a request is answered; the \
             process cannot be dumped or read by other users.",
            "Consent is verified at the endpoint for every event; refusal signals of browsers win over it.",
            "Each event is on disk before it is acknowledged and is stored exactly once; what has expired is \
             dropped.",
            "The embedded database engine, where it is used, is fenced in: it reaches no file, network or \
             program but its own; queries are read-only and bounded.",
            "Salts, keys and spool are readable by their owner alone; a key that others can read is refused.",
            "Small groups are hidden in every statistic.",
        ],
        [
            "Pseudonymisering med hemmelige salte, ét pr. websted og periode, som destrueres, hvilket \
             registreres.",
            "Adresser, user agents og identifikatorer findes kun i hukommelsen, mens en forespørgsel \
             besvares; processens hukommelse kan ikke skrives ud eller læses af andre brugere.",
            "Samtykke kontrolleres på serveren for hver hændelse; browseres nej-signaler går forud for det.",
            "Hver hændelse er på disken, før den kvitteres, og gemmes præcis én gang; det udløbne slettes.",
            "Den indbyggede database er, hvor den bruges, afskærmet: den kan ikke nå andre filer, netværk \
             eller programmer end sine egne; forespørgsler kan kun læse og er begrænsede.",
            "Salte, nøgler og kø kan kun læses af deres ejer; en nøgle, som andre kan læse, afvises.",
            "Små grupper skjules i al statistik.",
        ],
    );
    own.into_iter()
        .map(str::to_owned)
        .chain(measures.iter().map(|text| language.of(text).to_owned()))
        .collect()
}
