//! What the policy of one scope says, as facts: the running configuration, seen from the visitor's side.
//!
//! Comes in: a checked [`Config`]. Goes out: one [`Statement`] a scope (a site, or a group of sites that share a
//! consent). A consent is given to one scope, so a scope's statement holds what touches its own visitors and
//! nothing else: what changes on one site lapses no consent on another.
//!
//! **On disk.** Statements live in the policy archive as JSON and are read for as long as the archive lives. A new
//! fact gets `#[serde(default)]`; none is renamed or given another meaning.

use serde::{Deserialize, Serialize};

use super::device::KEPT;
use super::fields::{FIELDS, Group};
use crate::config::notice::{Authority, Controller, Recipient, Text};
use crate::config::settings::{GeoDetail, Rotation, SiteKind};
use crate::config::{Config, Site};
use crate::consent::token::Purpose;

/// Denials are purged after this (`retention`), as `schema/0002_consents.sql` says (a test holds the two together).
pub const DENIAL_DAYS: u16 = 1_825;

/// What is promised to the visitors of one scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // What each means stands in reference.toml and in words.rs.
pub struct Statement {
    pub scope: String,
    pub sites: Vec<SiteFacts>,
    pub controller: Controller,
    pub authority: Authority,
    pub purposes: Vec<String>,
    pub legal_basis: Vec<String>,
    pub countries: Vec<String>,
    pub safeguard: Text,
    pub recipients: Vec<Recipient>,
    /// Columns that tell something about a visitor or a choice: `events.path`.
    pub fields: Vec<String>,
    /// What is kept on the visitor's device, by its name there.
    pub device: Vec<String>,
    pub consent_life_days: u16,
    /// Consents, after their last day: as long as one of the sites keeps them.
    pub ledger_days: u16,
    /// What visitors asked for. Not said by older versions, which promised `ledger_days`: `NOT_SAID`.
    #[serde(default = "not_said")]
    pub request_days: u16,
    pub denial_days: u16,
    /// Groups with fewer visitors are not shown to anybody.
    pub smallest_group: u32,
}

/// What is said about one site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct SiteFacts {
    pub id: String,
    pub name: String,
    pub kind: SiteKind,
    pub domains: Vec<String>,
    pub sub_domains: bool,
    pub time_zone: String,
    pub honour_gpc: bool,
    pub honour_dnt: bool,
    pub rotation: Rotation,
    pub salt_grace_minutes: u32,
    /// Salts are derived from one seed, so that several collectors have the same. Not said by older versions.
    #[serde(default)]
    pub salt_chain: bool,
    pub retention_days: u16,
    /// Not said by older versions, which kept no visits: `NOT_SAID`.
    #[serde(default = "not_said")]
    pub engagement_days: u16,
    #[serde(default = "not_said")]
    pub web_vitals_days: u16,
    #[serde(default = "not_said")]
    pub visit_days: u16,
    #[serde(default = "not_said")]
    pub daily_days: u16,
    /// Nothing of the site is purged at present.
    #[serde(default)]
    pub is_held: bool,
    pub geo: GeoDetail,
    pub query_allow: Vec<String>,
    pub hash_routing: bool,
    pub exclude_paths: Vec<String>,
    pub exclude_hostnames: Vec<String>,
    pub exclude_countries: Vec<String>,
    /// Editions from before it could be set say nothing, and meant no.
    #[serde(default)]
    pub trust_sender_consent: bool,
}

/// More than any number that a version may say.
const NOT_SAID: u16 = u16::MAX;

fn not_said() -> u16 {
    NOT_SAID
}

impl Statement {
    /// Returns how long it is kept what visitors asked for, in days.
    pub fn request_days(&self) -> u16 {
        match self.request_days {
            NOT_SAID => self.ledger_days,
            days => days,
        }
    }

    /// Returns the statement of every scope, in the order of the configuration.
    pub fn all(config: &Config) -> Vec<Statement> {
        let mut statements: Vec<Statement> = Vec::new();
        for site in config.sites.iter() {
            let known = statements.iter().position(|s| s.scope == site.scope);
            let index = known.unwrap_or_else(|| {
                statements.push(Statement::without_sites(&site.scope, config));
                statements.len() - 1
            });
            let statement = &mut statements[index];
            statement.ledger_days = statement.ledger_days.max(site.keep.consents);
            statement.request_days = statement.request_days.max(site.keep.requests);
            statement.sites.push(SiteFacts::of(site, config));
        }
        statements
    }

    fn without_sites(scope: &str, config: &Config) -> Statement {
        let notice = &config.policy;
        Statement {
            scope: scope.to_owned(),
            sites: Vec::new(),
            controller: notice.controller.clone(),
            authority: notice.authority.clone(),
            // The one purpose for which brine stores anything; what is remembered as `functional` stays on the device.
            purposes: vec![Purpose::Measurement.name().into()],
            legal_basis: ["GDPR 6(1)(a)", "ePrivacy 5(3)", "GDPR 6(1)(c): proof"]
                .map(str::to_owned)
                .to_vec(),
            countries: notice.processing.countries.clone(),
            safeguard: notice.processing.safeguard.clone(),
            recipients: notice.recipients.clone(),
            fields: FIELDS
                .iter()
                .filter(|field| field.group != Group::Upkeep)
                .map(|field| field.name())
                .collect(),
            device: KEPT.iter().map(|kept| kept.name.to_owned()).collect(),
            consent_life_days: config.consent.life_days,
            ledger_days: 0,
            request_days: 0,
            denial_days: DENIAL_DAYS,
            smallest_group: config.query.k,
        }
    }
}

impl SiteFacts {
    fn of(site: &Site, config: &Config) -> SiteFacts {
        SiteFacts {
            id: site.id.to_string(),
            name: site.name.clone(),
            kind: site.kind,
            domains: site.domains.clone(),
            sub_domains: site.sub_domains,
            time_zone: site.time_zone.iana_name().unwrap_or("UTC").to_owned(),
            honour_gpc: site.honour_gpc,
            honour_dnt: site.honour_dnt,
            rotation: site.rotation,
            salt_grace_minutes: u32::try_from(site.salt_grace.as_mins()).unwrap_or(u32::MAX),
            salt_chain: config.salts.seed_file.is_some(),
            retention_days: site.retention_days,
            engagement_days: site.keep.engagement,
            web_vitals_days: site.keep.web_vitals,
            visit_days: site.keep.visits,
            daily_days: site.keep.daily,
            is_held: site.legal_hold.is_some(),
            geo: site.geo,
            query_allow: site.query_allow.clone(),
            hash_routing: site.hash_routing,
            exclude_paths: site.rules.exclude_paths.clone(),
            exclude_hostnames: site.rules.exclude_hostnames.clone(),
            exclude_countries: site.rules.exclude_countries.clone(),
            trust_sender_consent: site.trust_sender_consent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denials_are_kept_as_long_as_the_schema_says() {
        let schema = include_str!("../../schema/0002_consents.sql");
        assert!(schema.contains(&format!("TTL day + INTERVAL {DENIAL_DAYS} DAY")));
    }
}
