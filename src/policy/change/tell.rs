//! A change in words, for visitors and operators.

use super::{Change, Why};
use crate::policy::language::Language;

impl Change {
    /// Tells the change on one line: what, from what to what, and why it weighs what it weighs.
    pub fn line(&self, language: Language) -> String {
        let (before, after) = (value(&self.before, language), value(&self.after, language));
        let what = match (before.as_str(), after.as_str()) {
            ("", "") => String::new(),
            ("", after) => format!(": + {after}"),
            (before, "") => format!(": − {before}"),
            (before, after) => format!(": {before} → {after}"),
        };
        format!(
            "{}{what} ({})",
            subject(&self.key, language),
            self.why.text(language)
        )
    }
}

impl Why {
    /// Tells it in a few words.
    pub fn text(self, language: Language) -> &'static str {
        match self {
            Why::Identity => language.pick(
                "something else was agreed to",
                "der er givet samtykke til noget andet",
            ),
            Why::Further => language.pick("goes further", "går videre"),
            Why::LessFar => language.pick("goes less far", "går mindre vidt"),
            Why::Wording => language.pick("wording", "ordlyd"),
            Why::ByHand => language.pick("raised by the operator", "forhøjet af den ansvarlige"),
        }
    }
}

/// "How long events are kept, portal"; a key that has no name yet stands for itself.
fn subject(key: &str, language: Language) -> String {
    let (site, key) = match key
        .strip_prefix("site[")
        .and_then(|rest| rest.split_once("]."))
    {
        Some((site, key)) => (Some(site), key),
        None => (None, key),
    };
    let name = NAMES
        .iter()
        .find(|(known, _, _)| *known == key)
        .map_or(key, |(_, en, da)| language.pick(en, da));
    match site {
        Some(site) => format!("{name}, {site}"),
        None => name.to_owned(),
    }
}

/// Values are kept in English; the few words among them have Danish ones.
fn value(text: &str, language: Language) -> String {
    let danish = match text {
        _ if language == Language::En => return text.to_owned(),
        "true" => "ja",
        "false" => "nej",
        "day" => "dag",
        "week" => "uge",
        "month" => "måned",
        "none" => "intet",
        "country" => "land",
        "city" => "by",
        "web" => "websted",
        text => {
            return match text.split_once(' ') {
                Some((n, "days")) => format!("{n} dage"),
                Some((n, "minutes")) => format!("{n} minutter"),
                _ => text.to_owned(),
            };
        }
    };
    danish.to_owned()
}

/// Names of facts; a test sees to it that each has one.
pub(super) const NAMES: [(&str, &str, &str); 52] = [
    ("authority", "Supervisory authority", "Tilsynsmyndighed"),
    (
        "authority.name.da",
        "Supervisory authority (Danish)",
        "Tilsynsmyndighed (dansk)",
    ),
    (
        "consent.ledger_days",
        "How long consents are kept",
        "Hvor længe samtykker opbevares",
    ),
    (
        "consent.life_days",
        "How long a new consent holds",
        "Hvor længe et nyt samtykke gælder",
    ),
    (
        "controller.address",
        "The controller's address",
        "Den dataansvarliges adresse",
    ),
    (
        "controller.company_number",
        "The controller's company number",
        "Den dataansvarliges virksomhedsnummer",
    ),
    (
        "controller.country",
        "The controller's country",
        "Den dataansvarliges land",
    ),
    (
        "controller.dpo",
        "Data protection officer",
        "Databeskyttelsesrådgiver",
    ),
    (
        "controller.email",
        "The controller's e-mail",
        "Den dataansvarliges e-mail",
    ),
    (
        "controller.joint",
        "Joint controllers",
        "Fælles dataansvarlige",
    ),
    (
        "controller.joint.contacts",
        "Contacts of joint controllers",
        "Kontakt til fælles dataansvarlige",
    ),
    ("controller.name", "The controller", "Den dataansvarlige"),
    (
        "controller.phone",
        "The controller's phone",
        "Den dataansvarliges telefon",
    ),
    (
        "controller.representative",
        "Representative in the EU",
        "Repræsentant i EU",
    ),
    (
        "controller.website",
        "The controller's web site",
        "Den dataansvarliges websted",
    ),
    (
        "denials.days",
        "How long numbers of refusals are kept",
        "Hvor længe antal afslag opbevares",
    ),
    (
        "device",
        "What is kept on your device",
        "Hvad der opbevares på din enhed",
    ),
    ("domains", "Domains", "Domæner"),
    ("fields", "Fields stored", "Felter, der gemmes"),
    (
        "geo",
        "How closely a visit is placed",
        "Hvor nøjagtigt et besøg placeres",
    ),
    (
        "hash_routing",
        "Whether the part behind # counts as the page",
        "Om delen efter # regnes som siden",
    ),
    (
        "honour_dnt",
        "Whether Do Not Track is respected",
        "Om Do Not Track respekteres",
    ),
    (
        "honour_gpc",
        "Whether Global Privacy Control is respected",
        "Om Global Privacy Control respekteres",
    ),
    ("kind", "Web site or app", "Websted eller app"),
    ("legal_basis", "Legal basis", "Retsgrundlag"),
    ("name", "Name", "Navn"),
    ("policy.version", "Version", "Version"),
    (
        "processing.countries",
        "Where data is processed",
        "Hvor data behandles",
    ),
    (
        "processing.safeguard",
        "Safeguard for other countries",
        "Beskyttelse i andre lande",
    ),
    ("purposes", "Purposes", "Formål"),
    (
        "query.k",
        "Smallest group shown",
        "Mindste gruppe, der vises",
    ),
    (
        "query_allow",
        "Search parameters kept",
        "Søgeparametre, der beholdes",
    ),
    ("recipients", "Recipients", "Modtagere"),
    (
        "recipients.words",
        "Words about recipients",
        "Ord om modtagere",
    ),
    (
        "legal_hold",
        "Legal hold",
        "Sletning udsat af juridiske grunde",
    ),
    (
        "retention.daily",
        "How long daily counts are kept",
        "Hvor længe daglige tal opbevares",
    ),
    (
        "retention.engagement",
        "How long reading times are kept",
        "Hvor længe læsetider opbevares",
    ),
    (
        "retention.requests",
        "How long it is kept what you asked for",
        "Hvor længe det opbevares, hvad du bad om",
    ),
    (
        "retention.visits",
        "How long visits are kept",
        "Hvor længe besøg opbevares",
    ),
    (
        "retention.web_vitals",
        "How long loading speeds are kept",
        "Hvor længe indlæsningshastigheder opbevares",
    ),
    (
        "retention_days",
        "How long events are kept",
        "Hvor længe hændelser opbevares",
    ),
    (
        "rotation",
        "How often the salt changes",
        "Hvor ofte saltet skifter",
    ),
    ("sites", "Sites and apps", "Websteder og apps"),
    (
        "sub_domains",
        "Whether sub-domains are included",
        "Om underdomæner er omfattet",
    ),
    ("time_zone", "Time zone", "Tidszone"),
    (
        "trust_sender_consent",
        "Whether the app's or site's own record of your consent counts",
        "Om appens eller webstedets egen registrering af dit samtykke gælder",
    ),
    ("words", "The wording", "Ordlyden"),
    (
        "rules.exclude_countries",
        "Countries never counted",
        "Lande, der aldrig tælles",
    ),
    (
        "rules.exclude_hostnames",
        "Hosts never counted",
        "Værtsnavne, der aldrig tælles",
    ),
    (
        "rules.exclude_paths",
        "Pages never counted",
        "Sider, der aldrig tælles",
    ),
    (
        "salt_grace_minutes",
        "How long an old salt lives on",
        "Hvor længe et gammelt salt lever videre",
    ),
    (
        "salts.chain",
        "Whether servers derive their salts from one seed",
        "Om serverne afleder deres salte af én fælles startnøgle",
    ),
];
