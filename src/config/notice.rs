//! Who is responsible, where, with whom: what the published policy needs and only the operator knows.
//!
//! Comes in: the sections `[policy]`, `[controller]`, `[processing]`, `[[recipient]]` and `[authority]`. Goes
//! out: a checked [`Notice`]. What is missing is no fault, because measuring works without it; it is a
//! [`Notice::gaps`] that `brine config check` and the log name, and the policy page shows as not stated.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::settings::Settings;
use super::{Fault, Faults};

/// The published policy's own keys.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // Each key is documented in reference.toml.
pub struct Policy {
    pub version: u16,
    pub directory: Option<PathBuf>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            version: 1,
            directory: None,
        }
    }
}

/// Who decides why and how (GDPR Art. 4(7)). Empty: not stated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Controller {
    pub name: String,
    pub company_number: String,
    pub address: String,
    pub country: String,
    pub email: String,
    pub phone: String,
    pub website: String,
    pub dpo: Option<Contact>,
    pub representative: Option<Contact>,
    pub joint: Vec<Contact>,
}

/// Somebody to write to or call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Contact {
    pub name: String,
    pub address: String,
    pub email: String,
    pub phone: String,
}

/// Where the data is, and the operator's own precautions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Processing {
    pub countries: Vec<String>,
    pub safeguard: Text,
    pub measures: Vec<Text>,
}

/// Somebody outside who gets the data, or could (GDPR Art. 4(9)).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Recipient {
    pub name: String,
    #[serde(default)]
    pub role: Role,
    pub country: String,
    pub task: Text,
    #[serde(default)]
    pub safeguard: Text,
}

/// What a recipient is in the words of the GDPR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Decides for itself what it does with the data.
    Controller,
    /// Works on the controller's instructions (Art. 28): hosting, for example.
    #[default]
    Processor,
}

/// Where a visitor may complain (GDPR Art. 77).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Authority {
    pub name: Text,
    pub address: String,
    pub website: String,
}

impl Default for Authority {
    fn default() -> Self {
        Self {
            name: Text {
                en: "Datatilsynet, the Danish Data Protection Agency".into(),
                da: "Datatilsynet".into(),
            },
            address: "Carl Jacobsens Vej 35, 2500 Valby".into(),
            website: "https://www.datatilsynet.dk/".into(),
        }
    }
}

/// A text in the languages of the policy page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Text {
    pub en: String,
    pub da: String,
}

impl Text {
    fn is_empty(&self) -> bool {
        self.en.is_empty() && self.da.is_empty()
    }

    /// Only one language given: the other would show nothing.
    fn is_half(&self) -> bool {
        self.en.is_empty() != self.da.is_empty()
    }
}

/// All of it, checked.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Notice {
    /// No version below this one is current.
    pub floor: u16,
    /// Where every version ever published is kept.
    pub directory: PathBuf,
    pub controller: Controller,
    pub processing: Processing,
    pub recipients: Vec<Recipient>,
    pub authority: Authority,
}

impl Notice {
    /// Names what a visitor is owed by GDPR Art. 13(1) and the configuration does not say.
    pub fn gaps(&self) -> Vec<Fault> {
        let gap = |key: &str, reason: &str| Fault {
            key: key.into(),
            value: "\"\"".into(),
            reason: reason.into(),
        };
        let mut gaps = Vec::new();
        if self.controller.name.is_empty() {
            gaps.push(gap(
                "controller.name",
                "the policy does not say who is responsible (GDPR Art. 13(1)(a))",
            ));
        }
        if self.controller.email.is_empty() && self.controller.phone.is_empty() {
            gaps.push(gap(
                "controller.email",
                "the policy names no way to reach the controller (GDPR Art. 13(1)(a)); a phone will do as well",
            ));
        }
        if self.processing.countries.is_empty() {
            gaps.push(gap(
                "processing.countries",
                "the policy does not say where the data is processed",
            ));
        }
        gaps
    }
}

pub(super) fn check(settings: &Settings, faults: &mut Faults) -> Notice {
    let policy = &settings.policy;
    faults.range("policy.version", policy.version, 1, u16::MAX);
    check_controller(&settings.controller, faults);
    check_processing(&settings.processing, faults);
    for recipient in &settings.recipients {
        check_recipient(recipient, faults);
    }
    let authority = &settings.authority;
    if authority.name.is_empty() || authority.name.is_half() {
        faults.add(
            "authority.name",
            &authority.name,
            "must name the authority in en and da",
        );
    }
    check_link("authority.website", &authority.website, faults);
    Notice {
        floor: policy.version,
        directory: policy
            .directory
            .clone()
            .unwrap_or_else(|| settings.data.directory.join("policy")),
        controller: settings.controller.clone(),
        processing: settings.processing.clone(),
        recipients: settings.recipients.clone(),
        authority: authority.clone(),
    }
}

fn check_controller(written: &Controller, faults: &mut Faults) {
    if !written.country.is_empty() {
        check_country("controller.country", &written.country, faults);
    }
    check_email("controller.email", &written.email, faults);
    check_link("controller.website", &written.website, faults);
    let others = [
        ("controller.dpo", &written.dpo),
        ("controller.representative", &written.representative),
    ];
    for (key, contact) in others {
        if let Some(contact) = contact {
            check_email(&format!("{key}.email"), &contact.email, faults);
            if contact.email.is_empty() && contact.phone.is_empty() && contact.address.is_empty() {
                faults.add(key, &contact.name, "needs an email, a phone or an address");
            }
        }
    }
    for joint in &written.joint {
        check_email("controller.joint.email", &joint.email, faults);
        if joint.name.is_empty() {
            faults.add("controller.joint.name", &joint.name, "must not be empty");
        }
    }
}

fn check_processing(written: &Processing, faults: &mut Faults) {
    for country in &written.countries {
        check_country("processing.countries", country, faults);
    }
    let outside = written.countries.iter().find(|c| !is_in_eea(c));
    if let Some(country) = outside
        && (written.safeguard.is_empty() || written.safeguard.is_half())
    {
        faults.add(
            "processing.safeguard",
            country,
            "is outside the EEA: name the safeguard in en and da (GDPR Art. 44-49)",
        );
    }
    if let Some(half) = written.measures.iter().find(|m| m.is_half()) {
        faults.add("processing.measures", half, "needs both en and da");
    }
}

fn check_recipient(written: &Recipient, faults: &mut Faults) {
    let key = |name: &str| format!("recipient[{}].{name}", written.name);
    if written.name.is_empty() {
        faults.add("recipient.name", &written.name, "must not be empty");
    }
    check_country(&key("country"), &written.country, faults);
    if written.task.is_empty() || written.task.is_half() {
        faults.add(
            key("task"),
            &written.task,
            "must say in en and da what the recipient does",
        );
    }
    if !is_in_eea(&written.country) && (written.safeguard.is_empty() || written.safeguard.is_half())
    {
        faults.add(
            key("safeguard"),
            &written.safeguard,
            "the country is outside the EEA: name the safeguard in en and da (GDPR Art. 44-49)",
        );
    }
}

fn check_country(key: &str, country: &str, faults: &mut Faults) {
    if country.len() != 2 || !country.bytes().all(|c| c.is_ascii_uppercase()) {
        faults.add(key, country, "must be two capital letters (ISO 3166-1)");
    }
}

/// Only what would break a `mailto:` link; whether it arrives is not ours to know.
fn check_email(key: &str, email: &str, faults: &mut Faults) {
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || "<>\"?&".contains(c);
    if !email.is_empty() && (!email.contains('@') || email.contains(is_odd)) {
        faults.add(key, email, "is not an e-mail address");
    }
}

fn check_link(key: &str, link: &str, faults: &mut Faults) {
    let is_web = |url: url::Url| matches!(url.scheme(), "http" | "https");
    if !link.is_empty() && !url::Url::parse(link).is_ok_and(is_web) {
        faults.add(key, link, "must be an http(s) URL");
    }
}

/// Tells whether a country (ISO 3166-1 alpha-2) is in the European Economic Area, where data may go without more.
pub fn is_in_eea(country: &str) -> bool {
    const EEA: [&str; 30] = [
        "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE",
        "IS", "IT", "LI", "LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK",
    ];
    EEA.contains(&country)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::REFERENCE;
    use crate::config::load::from_text;
    use crate::config::settings::Environment;

    #[test]
    fn the_reference_leaves_no_gap_and_an_empty_notice_names_each() {
        let (mut settings, config) =
            from_text(REFERENCE, "reference", &Environment::new()).unwrap();
        assert_eq!(config.policy.gaps(), []);
        settings.controller = Controller::default();
        settings.processing = Processing::default();
        let config = crate::config::Config::check(&settings).unwrap();
        let keys: Vec<String> = config.policy.gaps().into_iter().map(|g| g.key).collect();
        assert_eq!(
            keys,
            [
                "controller.name",
                "controller.email",
                "processing.countries"
            ]
        );
    }

    #[test]
    fn data_outside_the_eea_needs_a_safeguard_in_both_languages() {
        let text = |extra: &str| {
            format!(
                "[processing]\ncountries = [\"US\"]\n{extra}\n[[recipient]]\nname = \"H\"\ncountry = \"US\"\n\
                 task = {{ en = \"hosting\", da = \"drift\" }}\n[[site]]\nid = \"a\"\ndomains = [\"a.test\"]\n"
            )
        };
        let refused = from_text(&text(""), "test", &Environment::new()).unwrap_err();
        let refused = refused.to_string();
        for part in [
            "processing.safeguard",
            "recipient[H].safeguard",
            "2 fault(s)",
        ] {
            assert!(refused.contains(part), "{part} missing from: {refused}");
        }
        let half = from_text(
            &text("safeguard = { en = \"adequacy\" }"),
            "test",
            &Environment::new(),
        );
        assert!(half.is_err());
    }
}
