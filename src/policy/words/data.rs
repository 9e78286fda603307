//! What is stored, what is forgotten, for how long, and what stays on the visitor's device.

use crate::config::settings::Rotation;
use crate::policy::device::KEPT;
use crate::policy::document::{Block, Entry};
use crate::policy::fields::{FIELDS, Field, Group};
use crate::policy::language::Language;
use crate::policy::statement::{SiteFacts, Statement};

pub(in crate::policy) fn stored(language: Language) -> Vec<Block> {
    let mut blocks = vec![Block::Paragraph(
        language
            .pick(
                "This is every field there is, under its name in the database.",
                "Her er hvert eneste felt under dets navn i databasen.",
            )
            .to_owned(),
    )];
    let head = language.pick(["Field", "What it holds"], ["Felt", "Hvad det indeholder"]);
    for group in Group::ALL {
        let of_group: Vec<&Field> = FIELDS.iter().filter(|field| field.group == group).collect();
        blocks.push(Block::Heading(group.title(language).to_owned()));
        blocks.push(Block::Table {
            caption: group.why(language).to_owned(),
            head: head.map(str::to_owned).to_vec(),
            rows: of_group
                .iter()
                .map(|field| vec![field.name(), field.text(language).to_owned()])
                .collect(),
        });
    }
    blocks
}

pub(in crate::policy) fn forgotten(language: Language) -> Vec<Block> {
    let entries = language.pick(
        [
            (
                "IP address",
                "Used for a moment to find the country (or city, where the table above says so), to tell \
                 robots from people and to stop floods; for that a keyed hash of it stays in memory for some \
                 minutes. An IPv6 address is cut to its network first. Never stored.",
            ),
            (
                "Your browser's identification (user agent)",
                "Read for the names of browser and system and to recognise robots. Never stored.",
            ),
            (
                "Identifiers",
                "The random number of your consent, and visitor, visit, installation and hardware (MAC) ids \
                 that an app may send, are turned into pseudonyms and forgotten.",
            ),
            (
                "Addresses of pages",
                "E-mail addresses, long numbers, codes, IP and MAC addresses in them are masked before \
                 anything is stored.",
            ),
        ],
        [
            (
                "IP-adresse",
                "Bruges et øjeblik til at finde landet (eller byen, hvor tabellen ovenfor siger det), til at \
                 skelne robotter fra mennesker og til at bremse overbelastning; til det sidste bliver en \
                 nøglebaseret hashværdi af den i hukommelsen i nogle minutter. En IPv6-adresse afkortes først \
                 til sit netværk. Gemmes aldrig.",
            ),
            (
                "Din browsers identifikation (user agent)",
                "Læses for at finde navnet på browser og styresystem og for at genkende robotter. Gemmes \
                 aldrig.",
            ),
            (
                "Identifikatorer",
                "Det tilfældige tal i dit samtykke og de id'er for besøgende, besøg, installation og hardware \
                 (MAC), som en app kan sende, laves om til pseudonymer og glemmes.",
            ),
            (
                "Sidernes adresser",
                "E-mailadresser, lange tal, koder, IP- og MAC-adresser i dem sløres, før noget gemmes.",
            ),
        ],
    );
    vec![
        Block::Paragraph(
            language
                .pick(
                    "This exists in the collector's memory while a request is answered, and is in no file, \
                     database, log or statistic.",
                    "Dette findes kun i serverens hukommelse, mens en forespørgsel besvares, og står i ingen \
                     fil, database, log eller statistik.",
                )
                .to_owned(),
        ),
        Block::Facts(
            entries
                .into_iter()
                .map(|(term, text)| Entry::new(term, text))
                .collect(),
        ),
    ]
}

pub(in crate::policy) fn pseudonyms(sites: &[&SiteFacts], language: Language) -> Vec<Block> {
    let rows = sites
        .iter()
        .map(|site| {
            let rotation = match site.rotation {
                Rotation::Day => language.pick("every midnight", "hver midnat"),
                Rotation::Week => language.pick("every Monday at midnight", "natten til mandag"),
                Rotation::Month => language.pick(
                    "at midnight before the first of the month",
                    "natten til den første i måneden",
                ),
            };
            vec![
                site.name.clone(),
                format!("{rotation} ({})", site.time_zone),
                minutes(site.salt_grace_minutes, language),
            ]
        })
        .collect();
    let head = language.pick(
        [
            "Site or app",
            "The salt changes",
            "The old one is destroyed after",
        ],
        [
            "Websted eller app",
            "Saltet skifter",
            "Det gamle destrueres efter",
        ],
    );
    let mut blocks = vec![
        Block::Paragraph(
            language
                .pick(
                    "A pseudonym is a keyed hash. Its key, the salt, is a secret number of that site alone, \
                     and it is destroyed when its period is over. From then on nobody, the operator included, \
                     can tell which pseudonyms of different periods belong together, or compute one again. \
                     What is stored is therefore pseudonymised, and linkable for at most one period.",
                    "Et pseudonym er en nøglebaseret hashværdi. Dens nøgle, saltet, er et hemmeligt tal, som \
                     kun gælder det pågældende websted, og det destrueres, når perioden er slut. Derefter kan \
                     ingen, heller ikke den dataansvarlige, se, hvilke pseudonymer fra forskellige perioder \
                     der hører sammen, eller beregne et af dem igen. Det gemte er altså pseudonymiseret og \
                     kan højst sammenkædes inden for én periode.",
                )
                .to_owned(),
        ),
        Block::Table {
            caption: language
                .pick(
                    "When salts change and are destroyed. The time in between is for visits that last past \
                     midnight.",
                    "Hvornår salte skifter og destrueres. Tiden imellem er til besøg, der varer hen over \
                     midnat.",
                )
                .to_owned(),
            head: head.map(str::to_owned).to_vec(),
            rows,
        },
    ];
    if sites.iter().any(|site| site.salt_chain) {
        blocks.push(Block::Paragraph(
            language
                .pick(
                    "The servers that collect derive their salts from one secret seed, so that a visitor who \
                     reaches two of them is counted once. They do it forwards only: each day's state gives the \
                     salts of that day and the state of the next, and is then destroyed. From the state that is \
                     left nobody can compute an earlier salt. Whoever stole it could compute later ones, until a \
                     new seed takes over.",
                    "De servere, der indsamler, afleder deres salte af én hemmelig startnøgle, så en besøgende, \
                     der når to af dem, kun tælles én gang. Det sker kun fremad: Hver dags tilstand giver dagens \
                     salte og den næste dags tilstand og destrueres derefter. Af den tilstand, der er tilbage, \
                     kan ingen beregne et tidligere salt. Den, der måtte stjæle den, kunne beregne senere salte, \
                     indtil en ny startnøgle tager over.",
                )
                .to_owned(),
        ));
    }
    blocks
}

fn minutes(n: u32, language: Language) -> String {
    let (n, one, many) = if n.is_multiple_of(60) {
        let (one, many) = language.pick(("hour", "hours"), ("time", "timer"));
        (n / 60, one, many)
    } else {
        let (one, many) = language.pick(("minute", "minutes"), ("minut", "minutter"));
        (n, one, many)
    };
    format!("{n} {}", if n == 1 { one } else { many })
}
pub(in crate::policy) fn device(general: &Statement, language: Language) -> Vec<Block> {
    let entries = KEPT
        .iter()
        .filter(|kept| general.device.iter().any(|name| name == kept.name))
        .map(|kept| Entry::new(kept.name, kept.text(language, general.consent_life_days)))
        .collect();
    vec![
        Block::Paragraph(
            language
                .pick(
                    "Before you answer, nothing is kept. After a no, brine_denied alone. After a yes this, \
                     first-party only, readable by no other site (an app keeps what it needs of it in its own \
                     storage):",
                    "Før du svarer, opbevares intet. Efter et nej kun brine_denied. Efter et ja dette, kun \
                     som førstepart, så intet andet websted kan læse det (en app opbevarer det, den har brug \
                     for, i sit eget lager):",
                )
                .to_owned(),
        ),
        Block::Facts(entries),
    ]
}

pub(in crate::policy) fn retention(
    general: &Statement,
    sites: &[&SiteFacts],
    language: Language,
) -> Vec<Block> {
    let days = |n: u16| language.pick(format!("{n} days"), format!("{n} dage"));
    let hold = language.pick(
        "nothing is deleted at present: the law requires that it is kept",
        "intet slettes for tiden: loven kræver, at det bevares",
    );
    let mut rows: Vec<Vec<String>> = Vec::new();
    for site in sites {
        let mut row = |what: &str, n: u16| {
            let long = if site.is_held {
                hold.to_owned()
            } else {
                days(n)
            };
            rows.push(vec![what.to_owned(), site.name.clone(), long]);
        };
        row(language.pick("Events", "Hændelser"), site.retention_days);
        if site.engagement_days < site.retention_days {
            let what = language.pick("Events that tell reading time", "Hændelser om læsetid");
            row(what, site.engagement_days);
        }
        if site.web_vitals_days < site.retention_days {
            let what = language.pick(
                "Events that tell loading speed",
                "Hændelser om indlæsningshastighed",
            );
            row(what, site.web_vitals_days);
        }
        // An edition from before there were any says nothing about them.
        for (what, n) in [
            (
                language.pick("Visits, without a pseudonym", "Besøg, uden pseudonym"),
                site.visit_days,
            ),
            (
                language.pick(
                    "Counts by day; about few visitors only as long as the events",
                    "Tal for hver dag; om få besøgende kun så længe som hændelserne",
                ),
                site.daily_days,
            ),
        ] {
            if n < u16::MAX {
                row(what, n);
            }
        }
    }
    let all = language.pick("all", "alle").to_owned();
    let mut row = |what: &str, long: String| rows.push(vec![what.to_owned(), all.clone(), long]);
    row(
        language.pick("Consents and withdrawals", "Samtykker og tilbagetrækninger"),
        match language {
            Language::En => format!("{} after the consent's last day", days(general.ledger_days)),
            Language::Da => format!("{} efter samtykkets sidste dag", days(general.ledger_days)),
        },
    );
    row(
        language.pick(
            "That you used a right, and what was done",
            "At du brugte en rettighed, og hvad der blev gjort",
        ),
        days(general.request_days()),
    );
    row(
        language.pick(
            "That events are not to be counted (restriction)",
            "At hændelser ikke skal tælles med (begrænsning)",
        ),
        language
            .pick("as long as these events", "så længe som disse hændelser")
            .to_owned(),
    );
    row(
        language.pick("Numbers of refusals", "Antal afslag"),
        days(general.denial_days),
    );
    row(
        language.pick("Salts", "Salte"),
        language
            .pick(
                "their period, and the time given above",
                "deres periode og den tid, der er angivet ovenfor",
            )
            .to_owned(),
    );
    row(
        language.pick(
            "That a salt was made and destroyed",
            "At et salt blev lavet og destrueret",
        ),
        language
            .pick(
                "as proof, without limit; nothing in it is about anybody",
                "som bevis, uden tidsgrænse; intet i det handler om nogen",
            )
            .to_owned(),
    );
    row(
        language.pick(
            "Events on the way to the database",
            "Hændelser på vej til databasen",
        ),
        language
            .pick(
                "seconds, as a rule; while the database is away, until it is back",
                "som regel sekunder; er databasen nede, indtil den er oppe igen",
            )
            .to_owned(),
    );
    row(
        language.pick(
            "Events that a fault kept from being stored",
            "Hændelser, som en fejl hindrede i at blive gemt",
        ),
        language
            .pick(
                "until the operator has stored or removed them, no longer than other events",
                "indtil den ansvarlige har gemt eller fjernet dem, ikke længere end andre hændelser",
            )
            .to_owned(),
    );
    let head = language.pick(
        ["What", "Site or app", "How long"],
        ["Hvad", "Websted eller app", "Hvor længe"],
    );
    vec![Block::Table {
        caption: language
            .pick("Deleted at the latest after", "Slettes senest efter")
            .to_owned(),
        head: head.map(str::to_owned).to_vec(),
        rows,
    }]
}
