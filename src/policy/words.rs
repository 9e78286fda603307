//! The policy in words, English and Danish side by side.
//!
//! Comes in: the statements of one scope, or of all. Goes out: a [`Document`]. Every figure in it is read from the
//! statement, so that what is said cannot drift from what is done; every sentence stands in both languages, or it
//! does not compile. Words are chosen with care: pseudonymised, linkable for at most one period, never "anonymous".
//!
//! The sections answer GDPR Art. 13(1) and (2) in the order in which a visitor would ask.

use super::countries;
use super::document::{Block, Document, Entry};
use super::language::Language;
use super::statement::{SiteFacts, Statement};
use crate::config::settings::{GeoDetail, Rotation, SiteKind};

pub(in crate::policy) mod data;
pub(in crate::policy) mod people;
mod rights;

/// Writes the policy of `statements`. What is not about a site is the same in all of them.
///
/// # Panics
/// Without a statement: a configuration has at least one site, and each site a statement.
pub fn policy(statements: &[&Statement], language: Language) -> Document {
    let general = statements.first().expect("at least one scope");
    let sites: Vec<&SiteFacts> = statements.iter().flat_map(|s| &s.sites).collect();
    let say = |en: &str, da: &str| language.pick(en, da).to_owned();
    let names: Vec<&str> = sites.iter().map(|site| site.name.as_str()).collect();
    let mut document = Document::new(
        say(
            "Privacy policy for visitor measurement",
            "Privatlivspolitik for besøgsmåling",
        ),
        match language {
            Language::En => format!(
                "How visits to {} are measured: only with your consent, and without knowing who you are.",
                listed(&names, "and")
            ),
            Language::Da => format!(
                "Sådan måles besøg på {}: kun med dit samtykke, og uden at vi ved, hvem du er.",
                listed(&names, "og")
            ),
        },
    );
    document.section(
        "short",
        say("In short", "Kort fortalt"),
        short(general, &sites, language),
    );
    document.section(
        "controller",
        say("Who is responsible", "Hvem er ansvarlig"),
        people::controller(general, language),
    );
    document.section(
        "sites",
        say("What this policy covers", "Hvad politikken omfatter"),
        covered(&sites, language),
    );
    document.section(
        "purpose",
        say("Why, and on what legal basis", "Formål og retsgrundlag"),
        purpose(language),
    );
    document.section(
        "fields",
        say("What is stored, and why", "Hvad der gemmes, og hvorfor"),
        data::stored(language),
    );
    document.section(
        "forgotten",
        say("What is used and forgotten", "Hvad der bruges og glemmes"),
        data::forgotten(language),
    );
    document.section(
        "pseudonyms",
        say(
            "Pseudonyms, and how long they last",
            "Pseudonymer, og hvor længe de holder",
        ),
        data::pseudonyms(&sites, language),
    );
    document.section(
        "device",
        say(
            "What is kept on your device",
            "Hvad der opbevares på din enhed",
        ),
        data::device(general, language),
    );
    document.section(
        "retention",
        say("How long it is kept", "Hvor længe det opbevares"),
        data::retention(general, &sites, language),
    );
    document.section(
        "recipients",
        say(
            "Where it is processed, and who receives it",
            "Hvor det behandles, og hvem der modtager det",
        ),
        people::recipients(general, language),
    );
    document.section(
        "rights",
        say(
            "Your rights, and how to use them now",
            "Dine rettigheder, og hvordan du bruger dem nu",
        ),
        rights::rights(statements, language),
    );
    document.section(
        "complaint",
        say("Complaints", "Klage"),
        rights::complaint(general, language),
    );
    document
}

fn short(general: &Statement, sites: &[&SiteFacts], language: Language) -> Vec<Block> {
    let most_days = sites
        .iter()
        .map(|site| site.retention_days)
        .max()
        .unwrap_or(0);
    // A browser's signal is promised to be heard only where every site hears both.
    let hears = sites.iter().all(|site| site.honour_gpc && site.honour_dnt);
    let first = if hears {
        language.pick(
            "Nothing is sent or stored before you say yes. A no, and a browser that says no for you, is \
             respected.",
            "Intet sendes eller gemmes, før du siger ja. Et nej respekteres, også når din browser siger det \
             for dig.",
        )
    } else {
        language.pick(
            "Nothing is sent or stored before you say yes. A no is respected; which of your browser's signals \
             count as one is said below.",
            "Intet sendes eller gemmes, før du siger ja. Et nej respekteres; hvilke af din browsers signaler \
             der gælder som et nej, står nedenfor.",
        )
    };
    let mut items = vec![
        first.to_owned(),
        language.pick(
            "Your IP address and your browser's identification are used for a moment and never \
             stored."
                .to_owned(),
            "Din IP-adresse og din browsers identifikation bruges et øjeblik og gemmes aldrig."
                .to_owned(),
        ),
    ];
    items.push(match language {
        Language::En => format!(
            "What is stored carries a pseudonym that changes {}. It can be linked to you for at most one such \
             period; then the key to it is destroyed.",
            longest_rotation(sites, language)
        ),
        Language::Da => format!(
            "Det, der gemmes, bærer et pseudonym, som skifter {}. Det kan højst sammenkædes med dig inden for \
             én sådan periode; derefter destrueres nøglen til det.",
            longest_rotation(sites, language)
        ),
    });
    items.push(match language {
        Language::En => {
            format!("What is stored about a visit is deleted after {most_days} days at the latest.")
        }
        Language::Da => {
            format!("Det, der gemmes om et besøg, slettes senest efter {most_days} dage.")
        }
    });
    items.push(if general.recipients.is_empty() {
        language.pick(
            "Nobody else receives it. There is no advertising and no profile of you.".to_owned(),
            "Ingen andre modtager det. Der er ingen reklamer, og der laves ingen profil af dig.".to_owned(),
        )
    } else {
        language.pick(
            "There is no advertising and no profile of you. Those who help to run the measurement are named \
             below.".to_owned(),
            "Der er ingen reklamer, og der laves ingen profil af dig. De, der hjælper med at drive målingen, \
             er nævnt nedenfor.".to_owned(),
        )
    });
    items.push(language.pick(
        "You can see, correct, export and erase it yourself, at any time and without an account.".to_owned(),
        "Du kan selv se, rette, hente og slette det når som helst og uden en konto.".to_owned(),
    ));
    vec![Block::List(items)]
}

fn longest_rotation(sites: &[&SiteFacts], language: Language) -> &'static str {
    let has = |rotation| sites.iter().any(|site| site.rotation == rotation);
    if has(Rotation::Month) {
        language.pick("at least every month", "mindst hver måned")
    } else if has(Rotation::Week) {
        language.pick("at least every week", "mindst hver uge")
    } else {
        language.pick("every night", "hver nat")
    }
}

fn covered(sites: &[&SiteFacts], language: Language) -> Vec<Block> {
    let rows = sites
        .iter()
        .map(|site| {
            let place = match site.kind {
                SiteKind::App => language.pick("app", "app").to_owned(),
                SiteKind::Web if site.sub_domains => match language {
                    Language::En => format!("{} and all sub-domains", site.domains.join(", ")),
                    Language::Da => format!("{} og alle underdomæner", site.domains.join(", ")),
                },
                SiteKind::Web => site.domains.join(", "),
            };
            vec![
                site.name.clone(),
                place,
                match site.geo {
                    GeoDetail::None => language.pick("not at all", "slet ikke"),
                    GeoDetail::Country => language.pick("country", "land"),
                    GeoDetail::City => language.pick("country, region, city", "land, region, by"),
                }
                .to_owned(),
                signals(site, language),
                details(site, language),
            ]
        })
        .collect();
    let head = language.pick(
        [
            "Name",
            "Where",
            "Location kept",
            "Signals respected",
            "Particulars",
        ],
        [
            "Navn",
            "Hvor",
            "Placering",
            "Signaler, der respekteres",
            "Særligt",
        ],
    );
    vec![Block::Table {
        caption: language
            .pick(
                "GPC and DNT are browsers' signals that say no: Global Privacy Control and Do Not Track.",
                "GPC og DNT er browseres nej-signaler: Global Privacy Control og Do Not Track.",
            )
            .to_owned(),
        head: head.map(str::to_owned).to_vec(),
        rows,
    }]
}

fn signals(site: &SiteFacts, language: Language) -> String {
    let mut signals = Vec::new();
    if site.honour_gpc {
        signals.push("GPC");
    }
    if site.honour_dnt {
        signals.push("DNT");
    }
    match signals.as_slice() {
        [] => language.pick("none", "ingen").to_owned(),
        signals => signals.join(", "),
    }
}

fn details(site: &SiteFacts, language: Language) -> String {
    let mut parts = Vec::new();
    let mut part = |en: &str, da: &str, list: &[String]| {
        if !list.is_empty() {
            parts.push(format!("{}: {}", language.pick(en, da), list.join(", ")));
        }
    };
    part(
        "search parameters kept",
        "søgeparametre, der beholdes",
        &site.query_allow,
    );
    part(
        "pages never counted",
        "sider, der aldrig tælles",
        &site.exclude_paths,
    );
    part(
        "hosts never counted",
        "værtsnavne, der aldrig tælles",
        &site.exclude_hostnames,
    );
    let never: Vec<String> = site
        .exclude_countries
        .iter()
        .map(|code| countries::name(code, language).to_owned())
        .collect();
    part(
        "countries never counted",
        "lande, der aldrig tælles",
        &never,
    );
    if site.trust_sender_consent {
        parts.push(
            language
                .pick(
                    "an app or site may ask for your consent by itself, and vouch for it",
                    "en app eller et websted kan selv bede om dit samtykke og indestå for det",
                )
                .to_owned(),
        );
    }
    if site.hash_routing {
        parts.push(
            language
                .pick(
                    "the part of the address behind # is the page",
                    "delen af adressen efter # er siden",
                )
                .to_owned(),
        );
    }
    if parts.is_empty() {
        "–".to_owned()
    } else {
        parts.join("; ")
    }
}

pub(in crate::policy) fn purpose(language: Language) -> Vec<Block> {
    let entries = language.pick(
        [
            (
                "Purpose",
                "Measurement: counting how many visit the sites and apps and how they are used, in order to \
                 improve them. Nothing else.",
            ),
            (
                "Legal basis",
                "Your consent: GDPR Art. 6(1)(a), and ePrivacy Directive Art. 5(3) (in Denmark: section 3 of \
                 the cookie order, BEK no. 1148 of 9 December 2011) for what is read from and kept on your \
                 device.",
            ),
            (
                "Proof",
                "That you said yes, and what you asked for under your rights, is kept because the controller \
                 must be able to prove it: GDPR Art. 6(1)(c), with Art. 5(2) and 7(1).",
            ),
            ("Are you obliged?", "No. Sites and apps work the same without your consent."),
            ("Automated decisions", "None, and no profiling (GDPR Art. 22)."),
        ],
        [
            (
                "Formål",
                "Måling: at tælle, hvor mange der besøger websteder og apps, og hvordan de bruges, for at \
                 gøre dem bedre. Intet andet.",
            ),
            (
                "Retsgrundlag",
                "Dit samtykke: databeskyttelsesforordningens artikel 6, stk. 1, litra a, og \
                 e-databeskyttelsesdirektivets artikel 5, stk. 3 (i Danmark cookiebekendtgørelsens § 3, \
                 bekendtgørelse nr. 1148 af 9. december 2011) for det, der læses fra og opbevares på din \
                 enhed.",
            ),
            (
                "Bevis",
                "At du har sagt ja, og hvad du har bedt om efter dine rettigheder, opbevares, fordi den \
                 dataansvarlige skal kunne bevise det: databeskyttelsesforordningens artikel 6, stk. 1, litra \
                 c, sammen med artikel 5, stk. 2, og artikel 7, stk. 1.",
            ),
            ("Har du pligt til at svare ja?", "Nej. Websteder og apps virker på samme måde uden dit samtykke."),
            (
                "Automatiske afgørelser",
                "Ingen, og ingen profilering (databeskyttelsesforordningens artikel 22).",
            ),
        ],
    );
    vec![Block::Facts(
        entries
            .into_iter()
            .map(|(term, text)| Entry::new(term, text))
            .collect(),
    )]
}

fn listed(items: &[&str], and: &str) -> String {
    match items {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} {and} {last}", first.join(", ")),
    }
}
