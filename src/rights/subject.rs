//! A request as it came → what is asked, and about which events.
//!
//! Comes in: JSON with a site, an action, and what the visitor holds: the consent token, receipts. Goes out: an
//! [`Asked`] whose [`Key`]s name a pseudonym each, of one site and period. A token opens the periods whose salts
//! live (the current one, and for the grace the one before); older ones nobody can compute any more, and only
//! their receipts open them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;

use super::receipt::{ReceiptFault, Receipts};
use crate::beacon::Refused;
use crate::config::{Site, Sites};
use crate::consent::fault_outcome;
use crate::consent::token::{Mint, Token};
use crate::outcome::Outcome;
use crate::pseudonym::{Domain, late_visitor, pseudonym, visitor_of_id, visitor_of_token};
use crate::salts::SaltSet;
use crate::salts::period::{next_period, period_of};

/// Receipts in one request: two years of days, and a rest.
pub const MAX_RECEIPTS: usize = 800;

/// Bytes of a request's body: as many receipts as may be, and the rest of it.
pub const MAX_BODY: usize = 64 << 10;

const MAX_SOURCE: usize = 32;
const MAX_PROPERTY: usize = 300;
const MAX_VALUE: usize = 2_000;

/// What a visitor can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// A property's wrong value made right (GDPR Art. 16).
    Correct,
    /// Everything gone (Art. 17).
    Erase,
    /// No further processing: withdrawn and restricted (Art. 21).
    Object,
    /// Kept, but not counted (Art. 18).
    Restrict,
    /// Everything shown (Art. 15), in a form that machines read (Art. 20).
    See,
    /// How far an erasure has got.
    Status,
    /// Counted again.
    Unrestrict,
    /// The consent taken back (Art. 7(3)).
    Withdraw,
}

impl Action {
    /// Returns the word on the wire, in `requests` and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Action::Correct => "correct",
            Action::Erase => "erase",
            Action::Object => "object",
            Action::Restrict => "restrict",
            Action::See => "see",
            Action::Status => "status",
            Action::Unrestrict => "unrestrict",
            Action::Withdraw => "withdraw",
        }
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// The visitor, by page, tracker or app.
    Visitor,
    /// The operator on their behalf, by `brine rights`.
    Operator,
}

impl Channel {
    /// Returns the word in `requests`.
    pub fn name(self) -> &'static str {
        match self {
            Channel::Visitor => "visitor",
            Channel::Operator => "operator",
        }
    }
}

/// A request as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wire {
    /// Site id or domain.
    pub site: String,
    /// What is asked; `see` where nothing is said.
    pub action: Option<Action>,
    /// The consent token.
    pub token: Option<String>,
    /// Receipts, in any order.
    pub receipts: Vec<String>,
    /// Where a withdrawal comes from, for the ledger.
    pub source: Option<String>,
    /// For `see`: this local date alone, `YYYY-MM-DD`.
    pub day: Option<jiff::civil::Date>,
    /// For `correct`: the property's name.
    pub property: Option<String>,
    /// For `correct`: the value it has.
    pub from: Option<String>,
    /// For `correct`: the value it should have.
    pub to: Option<String>,
    /// For `correct`: one event alone, as `see` named it.
    pub event: Option<String>,
    /// For `status`: the number that the erasure's answer gave.
    pub request: Option<String>,
    /// The visitor's id where the sender names its own; operators only.
    pub vid: Option<String>,
}

/// How a visitor showed that a pseudonym is theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// By a receipt.
    Receipt,
    /// By the token or id that the living salt hashes to it.
    Token,
}

/// The events of one pseudonym.
#[derive(Clone)]
pub struct Key {
    /// Its site.
    pub site: Arc<Site>,
    /// The local dates of its period, as days since 1970-01-01.
    pub days: Range<u16>,
    /// The pseudonym.
    pub visitor: u64,
    /// How it was shown.
    pub means: Means,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(hidden)")
    }
}

/// A request that was understood.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Asked {
    pub site: Arc<Site>,
    pub action: Action,
    pub channel: Channel,
    pub source: String,
    pub token: Option<Token>,
    /// One a site and period, oldest first, no doubles.
    pub keys: Vec<Key>,
    /// Receipts that are none: place in the list, and why.
    pub refused: Vec<(usize, ReceiptFault)>,
    pub n_receipts: usize,
    pub correction: Option<Correction>,
    pub day: Option<u16>,
    pub request: Option<u64>,
}

/// A value to be made right.
#[derive(Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Correction {
    pub property: String,
    pub from: String,
    pub to: String,
    /// `batch_id` and `seq` of one event.
    pub event: Option<(u128, u32)>,
}

impl std::fmt::Debug for Correction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Correction(hidden)")
    }
}

/// What a request is judged by.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Judge<'a> {
    pub sites: &'a Sites,
    pub mint: &'a Mint,
    pub receipts: &'a Receipts,
    pub salts: &'a SaltSet,
}

/// Understands a request.
///
/// # Errors
/// [`Refused`]: `beacon.malformed`, `site.unknown`, `consent.*` for a token that is not genuine, `receipt.*` where
/// nothing that was brought opens anything. A token that has expired, lapsed or was withdrawn is still proof of
/// whose the events are.
pub fn understand(judge: Judge<'_>, wire: Wire, channel: Channel) -> Result<Asked, Refused> {
    let site = judge
        .sites
        .find(&wire.site)
        .ok_or_else(|| Refused::because(Outcome::SiteUnknown, None, "site: no such site"))?;
    let bad = |detail: &str| Refused::because(Outcome::BeaconMalformed, Some(site), detail);
    let action = wire.action.unwrap_or(Action::See);
    if wire.receipts.len() > MAX_RECEIPTS {
        return Err(bad("receipts: more than 800"));
    }
    if wire.vid.is_some() && channel == Channel::Visitor {
        // An id that a sender made up may be known to others; it opens nothing.
        return Err(bad("vid: for operators only"));
    }
    let source = wire.source.unwrap_or_else(|| "my_data".into());
    let is_word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if !(1..=MAX_SOURCE).contains(&source.len()) || !source.bytes().all(is_word) {
        return Err(bad(
            "source: must be 1 to 32 letters, digits, '-', '_' or '.'",
        ));
    }
    let token = match wire.token.as_deref() {
        None | Some("") => None,
        Some(text) => Some(
            judge
                .mint
                .verify(text, &site.scope)
                .map_err(|fault| Refused::plain(fault_outcome(fault), site))?,
        ),
    };
    let sites: Vec<&Arc<Site>> = judge
        .sites
        .iter()
        .filter(|other| other.scope == site.scope)
        .collect();
    let mut keys = BTreeMap::new();
    let mut refused = Vec::new();
    for (place, text) in wire.receipts.iter().enumerate() {
        let ids = sites.iter().map(|site| site.id.as_str());
        match judge.receipts.verify(text, ids) {
            Ok((at, receipt)) => {
                let key = Key {
                    site: sites[at].clone(),
                    days: receipt.days,
                    visitor: receipt.visitor,
                    means: Means::Receipt,
                };
                keys.insert(place_of(&key), key);
            }
            Err(fault) => refused.push((place, fault)),
        }
    }
    let visitors = [
        token.as_ref().map(visitor_of_token),
        wire.vid.as_deref().map(visitor_of_id),
    ];
    for visitor in visitors.into_iter().flatten() {
        for site in &sites {
            for key in living(site, &visitor, judge.salts) {
                keys.insert(place_of(&key), key);
            }
        }
    }
    let keys: Vec<Key> = keys.into_values().collect();
    if keys.is_empty() && token.is_none() && action != Action::Status {
        return Err(match refused.first() {
            Some((_, fault)) => Refused::plain(receipt_outcome(*fault), site),
            None => bad("token, receipts: at least one is needed"),
        });
    }
    let correction = match action {
        Action::Correct => {
            Some(correction(wire.property, wire.from, wire.to, wire.event).map_err(bad)?)
        }
        _ => None,
    };
    if token.is_none() && matches!(action, Action::Withdraw) {
        return Err(bad("token: a withdrawal names the token it takes back"));
    }
    let request = match (action, wire.request.as_deref()) {
        (Action::Status, Some(text)) => Some(
            u64::from_str_radix(text, 16).map_err(|_| bad("request: not a request's number"))?,
        ),
        (Action::Status, None) => return Err(bad("request: missing")),
        _ => None,
    };
    Ok(Asked {
        site: site.clone(),
        action,
        channel,
        source,
        token,
        keys,
        n_receipts: wire.receipts.len(),
        refused,
        correction,
        day: wire.day.map(crate::salts::period::day_number),
        request,
    })
}

/// Returns the pseudonyms of a visitor under the salts of `site` that live.
fn living(site: &Arc<Site>, visitor: &[u8], salts: &SaltSet) -> Vec<Key> {
    let Some(salts) = salts.get(&site.id) else {
        return Vec::new();
    };
    let key = |period, visitor| Key {
        site: site.clone(),
        days: period..next_period(period, site.rotation),
        visitor,
        means: Means::Token,
    };
    let mut keys = Vec::new();
    for (period, salt) in salts.iter() {
        keys.push(key(period, pseudonym(salt, Domain::Visitor, &[visitor])));
        // Late events: hashed under this salt with the period in which they happened mixed in. On any day of the
        // salt's period they may have been as old as a batch's events can be.
        let days = period.saturating_sub(LATE_DAYS)..next_period(period, site.rotation);
        let mut late: Vec<u16> = days.map(|day| period_of(day, site.rotation)).collect();
        late.dedup();
        let late = late.into_iter().filter(|other| *other < period);
        keys.extend(late.map(|other| key(other, late_visitor(salt, other, visitor))));
    }
    keys
}

/// Local days that 72 hours can reach back.
const LATE_DAYS: u16 = 4;

fn place_of(key: &Key) -> (u16, usize, u64) {
    (key.days.start, key.site.index, key.visitor)
}

fn receipt_outcome(fault: ReceiptFault) -> Outcome {
    match fault {
        ReceiptFault::Malformed => Outcome::ReceiptMalformed,
        ReceiptFault::OtherSite => Outcome::ReceiptOtherSite,
        ReceiptFault::Forged => Outcome::ReceiptForged,
    }
}

fn correction(
    property: Option<String>,
    from: Option<String>,
    to: Option<String>,
    event: Option<String>,
) -> Result<Correction, &'static str> {
    let (Some(property), Some(from), Some(to)) = (property, from, to) else {
        return Err("property, from, to: a correction names all three");
    };
    if property.is_empty() || property.len() > MAX_PROPERTY {
        return Err("property: must be 1 to 300 bytes");
    }
    if from.len() > MAX_VALUE || to.len() > MAX_VALUE {
        return Err("from, to: more than 2000 bytes");
    }
    let event = match event {
        None => None,
        Some(text) => {
            let (batch, seq) = text.split_once('-').ok_or("event: not an event's name")?;
            let batch =
                u128::from_str_radix(batch, 16).map_err(|_| "event: not an event's name")?;
            Some((
                batch,
                seq.parse().map_err(|_| "event: not an event's name")?,
            ))
        }
    };
    Ok(Correction {
        property,
        from,
        to,
        event,
    })
}
