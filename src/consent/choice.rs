//! `POST /api/consent`: grant, deny, withdraw.
//!
//! Comes in: a choice as JSON. Goes out: what the ledger is to record and what the visitor gets. A denial
//! leaves site and day, nothing else. A grant needs an Origin of the site's own, because a token from
//! any page on the web would prove nothing.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;

use super::revoked::Revocations;
use super::token::{Mint, Purpose, Purposes, Token};
use super::{fault_outcome, standing, token_day};
use crate::beacon::{Refused, is_own_origin};
use crate::client::Client;
use crate::config::settings::SiteKind;
use crate::config::{Consent as ConsentConfig, Site, Sites};
use crate::event::{ConsentChoice, ConsentRecord, DenialRecord};
use crate::outcome::Outcome;
use crate::salts::period::local_day;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    site: String,
    choice: WireChoice,
    #[serde(default = "measurement")]
    purposes: Vec<String>,
    policy: Option<u16>,
    /// Milliseconds since the page that asked was loaded.
    age: Option<u64>,
    #[serde(default = "api")]
    source: String,
    token: Option<String>,
    /// With a withdrawal: erase as well, by token and receipts.
    #[serde(default)]
    erase: bool,
    #[serde(default)]
    receipts: Vec<String>,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum WireChoice {
    Grant,
    Deny,
    Withdraw,
    Status,
}

fn measurement() -> Vec<String> {
    vec![Purpose::Measurement.name().into()]
}

fn api() -> String {
    "api".into()
}

/// A choice that was understood, with what must be recorded before it is answered.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Choice {
    /// A token to hand out once `record` is durable.
    Grant {
        site: Arc<Site>,
        record: ConsentRecord,
        text: String,
        token: Token,
    },
    /// A no to count.
    Deny {
        site: Arc<Site>,
        record: DenialRecord,
    },
    /// A withdrawal; in force already, recorded with `record`.
    Withdraw {
        site: Arc<Site>,
        record: ConsentRecord,
        token: Token,
        /// What is to be erased as well.
        erasure: Option<Erasure>,
    },
    /// Whether a token still holds; nothing is recorded.
    Status {
        site: Arc<Site>,
        token: Token,
        standing: Result<(), Outcome>,
    },
}

/// What a withdrawal is to erase: everything that these open.
pub struct Erasure {
    /// Id of the site.
    pub site: String,
    /// The consent token.
    pub token: String,
    /// Receipts.
    pub receipts: Vec<String>,
}

impl std::fmt::Debug for Erasure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Erasure(hidden)")
    }
}

/// Everything a choice is judged by.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Desk<'a> {
    pub sites: &'a Sites,
    pub mint: &'a Mint,
    pub revocations: &'a Revocations,
    pub config: &'a ConsentConfig,
}

/// Reads a choice. `random` is 128 fresh bits, used by a grant alone.
///
/// # Errors
/// [`Refused`]: `beacon.malformed`, `site.unknown`, `site.origin`, `signal.*`, `consent.*`. A browser that
/// says GPC or DNT refuses; a grant from it issues nothing.
pub fn read(
    desk: Desk<'_>,
    body: &[u8],
    origin: Option<&str>,
    client: &Client,
    now: Timestamp,
    random: [u8; 16],
) -> Result<Choice, Refused> {
    let malformed =
        |site: Option<&Arc<Site>>, detail| Refused::because(Outcome::BeaconMalformed, site, detail);
    let wire: Wire = serde_json::from_slice(body).map_err(|e| malformed(None, e.to_string()))?;
    let site = desk
        .sites
        .find(&wire.site)
        .ok_or_else(|| Refused::because(Outcome::SiteUnknown, None, "site: no such site"))?;
    let bad = |detail: &str| malformed(Some(site), detail.to_owned());
    if let Some(origin) = origin
        && site.kind == SiteKind::Web
        && !is_own_origin(site, origin)
    {
        return Err(Refused::plain(Outcome::SiteOrigin, site));
    }
    let is_word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if !(1..=32).contains(&wire.source.len()) || !wire.source.bytes().all(is_word) {
        return Err(bad(
            "source: must be 1 to 32 letters, digits, '-', '_' or '.'",
        ));
    }
    let token = |refuse_missing: &str| match &wire.token {
        None => Err(bad(refuse_missing)),
        Some(text) => desk
            .mint
            .verify(text, &site.scope)
            .map_err(|fault| Refused::plain(fault_outcome(fault), site)),
    };
    match wire.choice {
        // A no from somebody who had said yes takes that back.
        WireChoice::Deny => Ok(match token("").ok() {
            Some(token) => Choice::Withdraw {
                site: site.clone(),
                record: withdraw(desk, site, &token, wire.source, now),
                token,
                erasure: None,
            },
            None => Choice::Deny {
                site: site.clone(),
                record: DenialRecord {
                    site: site.id.to_string(),
                    day: local_day(now, &site.time_zone),
                },
            },
        }),
        WireChoice::Grant => {
            if site.kind == SiteKind::Web && origin.is_none() {
                let reason = "a grant for a web site needs an Origin of the site's own";
                return Err(Refused::because(Outcome::SiteOrigin, Some(site), reason));
            }
            if site.honour_gpc && client.gpc {
                return Err(Refused::plain(Outcome::SignalGpc, site));
            }
            if site.honour_dnt && client.dnt {
                return Err(Refused::plain(Outcome::SignalDnt, site));
            }
            if wire
                .policy
                .is_some_and(|version| version != site.policy_version)
            {
                let reason = format!("policy: the current version is {}", site.policy_version);
                return Err(Refused::because(Outcome::ConsentLapsed, Some(site), reason));
            }
            // No page knows its policy's version before it asks us; how old it is it does.
            let loaded = |age| now.as_millisecond().saturating_sub_unsigned(age);
            if wire
                .age
                .is_some_and(|age| loaded(age) < site.policy_since.as_millisecond())
            {
                let reason = "age: the policy has changed since the page was loaded";
                return Err(Refused::because(Outcome::ConsentLapsed, Some(site), reason));
            }
            let purposes = read_purposes(&wire.purposes).map_err(|detail| bad(&detail))?;
            let issued = token_day(now);
            let days = issued..=issued.saturating_add(desk.config.life_days);
            let (text, token) =
                desk.mint
                    .issue(&site.scope, purposes, site.policy_version, days, random);
            let record = record(
                site,
                &token,
                ConsentChoice::Grant,
                wire.source,
                desk.config,
                now,
            );
            Ok(Choice::Grant {
                site: site.clone(),
                record,
                text,
                token,
            })
        }
        WireChoice::Withdraw => {
            let token = token("token: a withdrawal names the token it takes back")?;
            let record = withdraw(desk, site, &token, wire.source, now);
            let erasure = wire.erase.then(|| Erasure {
                site: site.id.to_string(),
                token: wire.token.unwrap_or_default(),
                receipts: wire.receipts,
            });
            Ok(Choice::Withdraw {
                site: site.clone(),
                record,
                token,
                erasure,
            })
        }
        WireChoice::Status => {
            let token = token("token: missing")?;
            let standing = standing(&token, site, desk.revocations, now);
            Ok(Choice::Status {
                site: site.clone(),
                token,
                standing,
            })
        }
    }
}

/// Takes a consent back: in force when this returns, before it is recorded. From here on no beacon of this token
/// passes.
pub fn withdraw(
    desk: Desk<'_>,
    site: &Site,
    token: &Token,
    source: String,
    now: Timestamp,
) -> ConsentRecord {
    desk.revocations.insert(token.ledger(), token.last_day);
    record(
        site,
        token,
        ConsentChoice::Withdraw,
        source,
        desk.config,
        now,
    )
}

fn read_purposes(names: &[String]) -> Result<Purposes, String> {
    if names.is_empty() {
        return Err("purposes: a grant names at least one".into());
    }
    names
        .iter()
        .try_fold(Purposes::default(), |purposes, name| {
            match Purpose::named(name) {
                Some(purpose) => Ok(purposes.with(purpose)),
                None => Err("purposes: must be measurement or functional".into()),
            }
        })
}

fn record(
    site: &Site,
    token: &Token,
    choice: ConsentChoice,
    source: String,
    config: &ConsentConfig,
    now: Timestamp,
) -> ConsentRecord {
    ConsentRecord {
        scope: site.scope.clone(),
        site: site.id.to_string(),
        ts_ms: now.as_millisecond(),
        choice,
        policy_version: token.policy_version,
        purposes: token.purposes.names().into_iter().map(Into::into).collect(),
        source,
        ledger: token.ledger().0,
        last_day: token.last_day,
        // Proof is owed for as long as the consent could be relied on, and the set time after that.
        expires: token.last_day.saturating_add(config.ledger_days),
    }
}
