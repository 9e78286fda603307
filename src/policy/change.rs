//! What changed between two statements of a scope, and whether those who said yes must be asked anew.
//!
//! Comes in: two [`Statement`]s. Goes out: a list of [`Change`]s, each material or cosmetic; there is no third. A
//! statement is taken apart into facts, and each kind of fact has one rule (`Fact`), so that a new fact cannot be
//! forgotten: it has a rule or it does not compile.
//!
//! The measure is what a visitor agreed to. A change that goes further (kept longer, told to more, placed more
//! closely, linkable for longer) is material: consents given before it lapse (GDPR Art. 4(11): a consent is
//! informed and specific). One that goes less far, or only words things anew, is cosmetic.

mod tell;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::statement::{SiteFacts, Statement};
use crate::config::notice::{Contact, Recipient};
use crate::config::settings::{GeoDetail, Rotation, SiteKind};

/// One thing that a statement says, with the rule by which its changes are weighed.
#[derive(Clone, Debug, PartialEq)]
enum Fact {
    /// Any change is material: who is responsible, on what legal basis.
    Identity(String),
    /// Any change is cosmetic: names, addresses, a link.
    Wording(String),
    /// More of it is material: days kept, minutes of grace, closeness of a place.
    AtMost(u64, String),
    /// Less of it is material: honoured signals, the smallest group that is shown.
    AtLeast(u64, String),
    /// A further element is material: recipients, fields, countries, domains.
    Reach(BTreeSet<String>),
    /// An element less is material: pages that are never counted.
    Guard(BTreeSet<String>),
}

/// Whether a change lapses consents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// Consents stay good.
    Cosmetic,
    /// The version rises; consents given under an earlier one lapse.
    Material,
}

/// Why a change has its weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Another controller or legal basis is another thing to agree to.
    Identity,
    /// It goes further than what was agreed to.
    Further,
    /// It goes less far than what was agreed to.
    LessFar,
    /// Nothing else is done; it is only said otherwise.
    Wording,
    /// The operator raised `policy.version`.
    ByHand,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Change {
    /// Dotted key, as in the configuration; a site's with its id in brackets.
    pub key: String,
    pub weight: Weight,
    pub why: Why,
    /// Empty: nothing.
    pub before: String,
    pub after: String,
}

impl Change {
    /// Returns the change that a raised `policy.version` is.
    pub fn by_hand(before: u16, after: u16) -> Change {
        Change {
            key: "policy.version".into(),
            weight: Weight::Material,
            why: Why::ByHand,
            before: before.to_string(),
            after: after.to_string(),
        }
    }

    /// Returns the change that other words for the same facts are.
    pub fn of_words() -> Change {
        Change {
            key: "words".into(),
            weight: Weight::Cosmetic,
            why: Why::Wording,
            before: String::new(),
            after: String::new(),
        }
    }
}

/// Returns the weight of all `changes` together; none without any.
pub fn weight(changes: &[Change]) -> Option<Weight> {
    changes.iter().map(|change| change.weight).max()
}

/// Compares two statements of one scope.
pub fn compare(old: &Statement, new: &Statement) -> Vec<Change> {
    let (old, new) = (facts(old), facts(new));
    let mut changes = Vec::new();
    for (key, before) in &old {
        // A site that came or went is told by `sites`; its own facts have nothing to be compared with.
        let Some(after) = new.get(key) else { continue };
        changes.extend(judge(key, before, after));
    }
    changes
}

fn judge(key: &str, before: &Fact, after: &Fact) -> Vec<Change> {
    use Fact::{AtLeast, AtMost, Guard, Identity, Reach, Wording};
    let change = |why, before: &str, after: &str| Change {
        key: key.to_owned(),
        weight: match why {
            Why::Identity | Why::Further | Why::ByHand => Weight::Material,
            Why::LessFar | Why::Wording => Weight::Cosmetic,
        },
        why,
        before: before.to_owned(),
        after: after.to_owned(),
    };
    match (before, after) {
        _ if before == after => Vec::new(),
        (Identity(a), Identity(b)) => vec![change(Why::Identity, a, b)],
        (Wording(a), Wording(b)) => vec![change(Why::Wording, a, b)],
        (AtMost(a, shown), AtMost(b, shown_b)) => {
            let why = if b > a { Why::Further } else { Why::LessFar };
            vec![change(why, shown, shown_b)]
        }
        (AtLeast(a, shown), AtLeast(b, shown_b)) => {
            let why = if b < a { Why::Further } else { Why::LessFar };
            vec![change(why, shown, shown_b)]
        }
        (Reach(a), Reach(b)) => {
            let added = b.difference(a).map(|x| change(Why::Further, "", x));
            let gone = a.difference(b).map(|x| change(Why::LessFar, x, ""));
            added.chain(gone).collect()
        }
        (Guard(a), Guard(b)) => {
            let gone = a.difference(b).map(|x| change(Why::Further, x, ""));
            let added = b.difference(a).map(|x| change(Why::LessFar, "", x));
            gone.chain(added).collect()
        }
        // A key has one kind of fact; only a release that changed a rule could come here, and asks anew.
        _ => vec![change(Why::Identity, "", "")],
    }
}

/// Takes a statement apart. Every field of it stands here by name: one that is added does not compile until
/// somebody has decided how its changes weigh.
fn facts(statement: &Statement) -> BTreeMap<String, Fact> {
    use Fact::{AtLeast, AtMost, Identity, Reach, Wording};
    let Statement {
        scope: _, // two statements of different scopes are never compared
        sites,
        controller,
        authority,
        purposes,
        legal_basis,
        countries,
        safeguard,
        recipients,
        fields,
        device,
        consent_life_days,
        ledger_days,
        request_days: _, // told below
        denial_days,
        smallest_group,
    } = statement;
    let crate::config::notice::Controller {
        name,
        company_number,
        address,
        country,
        email,
        phone,
        website,
        dpo,
        representative,
        joint,
    } = controller;
    let words = |text: &str| Wording(text.to_owned());
    let contact = |who: &Option<Contact>| Wording(who.as_ref().map(one_line).unwrap_or_default());
    let all = |list: &[String]| Reach(list.iter().cloned().collect());
    let days = |n: u16| AtMost(n.into(), format!("{n} days"));
    let mut facts: Vec<(String, Fact)> = vec![
        (
            "sites".into(),
            Reach(sites.iter().map(|site| site.id.clone()).collect()),
        ),
        ("controller.name".into(), Identity(name.clone())),
        (
            "controller.company_number".into(),
            Identity(company_number.clone()),
        ),
        ("controller.address".into(), words(address)),
        ("controller.country".into(), words(country)),
        ("controller.email".into(), words(email)),
        ("controller.phone".into(), words(phone)),
        ("controller.website".into(), words(website)),
        ("controller.dpo".into(), contact(dpo)),
        ("controller.representative".into(), contact(representative)),
        (
            "controller.joint".into(),
            Reach(joint.iter().map(|contact| contact.name.clone()).collect()),
        ),
        (
            "controller.joint.contacts".into(),
            Wording(joint.iter().map(one_line).collect::<Vec<_>>().join("; ")),
        ),
        (
            "authority".into(),
            Wording(format!(
                "{}, {}, {}",
                authority.name.en, authority.address, authority.website
            )),
        ),
        ("authority.name.da".into(), words(&authority.name.da)),
        ("purposes".into(), all(purposes)),
        ("legal_basis".into(), Identity(legal_basis.join(", "))),
        ("processing.countries".into(), all(countries)),
        (
            "processing.safeguard".into(),
            Wording(format!("{} / {}", safeguard.en, safeguard.da)),
        ),
        (
            "recipients".into(),
            Reach(recipients.iter().map(recipient_line).collect()),
        ),
        (
            "recipients.words".into(),
            Wording(
                recipients
                    .iter()
                    .map(|r| format!("{} / {} / {}", r.task.da, r.safeguard.en, r.safeguard.da))
                    .collect::<Vec<_>>()
                    .join("; "),
            ),
        ),
        ("fields".into(), all(fields)),
        ("device".into(), all(device)),
        // A consent keeps the life it was given with; a longer one is for those who say yes from now on.
        (
            "consent.life_days".into(),
            Wording(format!("{consent_life_days} days")),
        ),
        ("consent.ledger_days".into(), days(*ledger_days)),
        ("retention.requests".into(), days(statement.request_days())),
        ("denials.days".into(), days(*denial_days)),
        (
            "query.k".into(),
            AtLeast(u64::from(*smallest_group), smallest_group.to_string()),
        ),
    ];
    for site in sites {
        let of_site = site_facts(site);
        facts.extend(
            of_site
                .into_iter()
                .map(|(key, fact)| (format!("site[{}].{key}", site.id), fact)),
        );
    }
    facts.into_iter().collect()
}

/// The facts of one site, by key of the configuration.
fn site_facts(site: &SiteFacts) -> Vec<(&'static str, Fact)> {
    use Fact::{AtLeast, AtMost, Guard, Identity, Reach, Wording};
    let SiteFacts {
        id: _, // part of the key
        name,
        kind,
        domains,
        sub_domains,
        time_zone,
        honour_gpc,
        honour_dnt,
        rotation,
        salt_grace_minutes,
        salt_chain,
        retention_days,
        engagement_days,
        web_vitals_days,
        visit_days,
        daily_days,
        is_held,
        geo,
        query_allow,
        hash_routing,
        exclude_paths,
        exclude_hostnames,
        exclude_countries,
        trust_sender_consent,
    } = site;
    let set = |list: &[String]| list.iter().cloned().collect::<BTreeSet<_>>();
    let on_at_most = |on: bool| AtMost(on.into(), on.to_string());
    let on_at_least = |on: bool| AtLeast(on.into(), on.to_string());
    let days = |n: &u16| AtMost(u64::from(*n), format!("{n} days"));
    let kind = match kind {
        SiteKind::App => "app",
        SiteKind::Web => "web",
    };
    let rotation = match rotation {
        Rotation::Day => AtMost(1, "day".into()),
        Rotation::Week => AtMost(7, "week".into()),
        Rotation::Month => AtMost(31, "month".into()),
    };
    let geo = match geo {
        GeoDetail::None => AtMost(0, "none".into()),
        GeoDetail::Country => AtMost(1, "country".into()),
        GeoDetail::City => AtMost(2, "city".into()),
    };
    vec![
        ("name", Wording(name.clone())),
        ("kind", Identity(kind.into())),
        // A consent for one domain says nothing about a further one.
        ("domains", Reach(set(domains))),
        ("sub_domains", on_at_most(*sub_domains)),
        ("time_zone", Wording(time_zone.clone())),
        ("honour_gpc", on_at_least(*honour_gpc)),
        ("honour_dnt", on_at_least(*honour_dnt)),
        ("rotation", rotation),
        (
            "salt_grace_minutes",
            AtMost(
                u64::from(*salt_grace_minutes),
                format!("{salt_grace_minutes} minutes"),
            ),
        ),
        // A pseudonym is linkable for no longer by it: it is said, and asks nobody anew.
        ("salts.chain", Wording(salt_chain.to_string())),
        (
            "retention_days",
            AtMost(u64::from(*retention_days), format!("{retention_days} days")),
        ),
        ("retention.engagement", days(engagement_days)),
        ("retention.web_vitals", days(web_vitals_days)),
        ("retention.visits", days(visit_days)),
        ("retention.daily", days(daily_days)),
        // The law's doing and not the consent's: it is said, and asks nobody anew (GDPR Art. 6(1)(c), 17(3)).
        ("legal_hold", Wording(is_held.to_string())),
        ("geo", geo),
        ("query_allow", Reach(set(query_allow))),
        ("hash_routing", on_at_most(*hash_routing)),
        ("rules.exclude_paths", Guard(set(exclude_paths))),
        ("rules.exclude_hostnames", Guard(set(exclude_hostnames))),
        ("rules.exclude_countries", Guard(set(exclude_countries))),
        // Consents are then asked for and proved elsewhere.
        ("trust_sender_consent", on_at_most(*trust_sender_consent)),
    ]
}

fn one_line(contact: &Contact) -> String {
    let parts = [
        &contact.name,
        &contact.address,
        &contact.email,
        &contact.phone,
    ];
    let given: Vec<&str> = parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .map(String::as_str)
        .collect();
    given.join(", ")
}

/// Role, place and task belong to the recipient: another task is another recipient.
fn recipient_line(recipient: &Recipient) -> String {
    format!(
        "{} ({:?}, {}): {}",
        recipient.name, recipient.role, recipient.country, recipient.task.en
    )
}

#[cfg(test)]
mod tests;
