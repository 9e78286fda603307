//! Other collectors' wires, for the clients that exist for them: [`matomo`] and [`umami`]. Off unless a site says otherwise.
//!
//! Comes in: a request in the other's wire. Goes out: ends, as for any beacon, through the same steps: consent, limits,
//! filter, masking, pseudonyms, spool; and a reply that the other's clients understand. What their wires carry about a person and
//! brine does not keep (names of users, screen positions, plug-ins, titles) is dropped where it is read.
//!
//! **Replies.** What is final is answered as success, because clients of these wires know no refusal: some would send it
//! for ever. What became of it stands in `Brine-Outcome`. 4xx says that the site or the request is not known at all, 503 and 429
//! that it is worth trying again. Clients that ignore the status lose what was not taken; that is theirs.

pub mod matomo;
pub mod umami;

use std::sync::Arc;

use hyper::StatusCode;
use jiff::Timestamp;

use crate::apps::time::happened;
use crate::beacon::wire::Wire;
use crate::beacon::{self, Refused};
use crate::client::Client;
use crate::collector::delivery::{End, Passed};
use crate::collector::{Collector, Live};
use crate::config::{Site, Sites};
use crate::consent::{self, Claimed};
use crate::filter::step::Sender;
use crate::outcome::Outcome;
use crate::route::status_of;

/// One beacon of another wire, translated.
struct Translated<'a> {
    site: Arc<Site>,
    client: Arc<Client>,
    claimed: Claimed<'a>,
    wire: Wire<'a>,
    /// When it happened by the sender's clock.
    at: Option<Timestamp>,
}

impl Collector {
    /// Lets one in, as the gate and the limits say.
    fn let_in_translated(
        &self,
        live: &Live,
        translated: Translated<'_>,
        now: Timestamp,
    ) -> Result<Passed, Refused> {
        let Translated {
            site,
            client,
            claimed,
            mut wire,
            at,
        } = translated;
        let grant = consent::check(&site, &client, claimed, &self.mint, &self.revocations, now)?;
        self.limit_many(live, &site, &client, 1)?;
        if grant.proof().token().is_some() {
            // The visitor is the token's: their rights hang on it, and the other wire's ids are not needed.
            wire.vid = None;
        }
        let sender = Arc::new(Sender::read(&client, &site, &self.enrichers));
        let happened = happened(at, None, now).map_err(|outcome| Refused::plain(outcome, &site))?;
        let mut beacon = beacon::from_wire(wire, &site, client, now)?;
        beacon.happened = happened;
        Ok(Passed {
            consented: grant.admit(beacon)?,
            sender,
        })
    }
}

/// Finds the site that `name` means in a wire: `id` is what it is called there, if it takes that wire.
fn site_of<'s>(
    sites: &'s Sites,
    name: &str,
    origin: Option<&str>,
    id: impl Fn(&Site) -> &str,
) -> Result<&'s Arc<Site>, Refused> {
    if name.is_empty() {
        return Err(Refused::because(
            Outcome::SiteUnknown,
            None,
            "the site is missing",
        ));
    }
    let Some(site) = sites.iter().find(|site| id(site) == name) else {
        return Err(match sites.find(name) {
            Some(site) => Refused::plain(Outcome::SiteWire, site),
            None => Refused::plain_unknown(),
        });
    };
    beacon::site_of(site.id.as_str(), origin, sites)
}

/// The status of an end in these wires: what is final is a success, but for what names no site.
fn lenient_status(outcome: Outcome) -> StatusCode {
    let status = status_of(outcome);
    let is_unknown = matches!(
        outcome,
        Outcome::SiteUnknown
            | Outcome::SiteWire
            | Outcome::SiteOrigin
            | Outcome::BeaconMediaType
            | Outcome::BeaconEncoding
            | Outcome::BeaconTooLarge
    );
    if outcome.is_worth_retrying() || is_unknown {
        status
    } else {
        StatusCode::OK
    }
}

/// Those of one request that another attempt may still bring in.
fn worth_retrying(ends: &[End]) -> Option<Outcome> {
    let mut outcomes = ends.iter().map(|end| end.outcome);
    outcomes.find(|outcome| outcome.is_worth_retrying())
}

/// Cuts a text to what a beacon may hold, at a character.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// An id of another wire, where it may be hashed at all; what holds a MAC address or is no id counts as none.
fn id_of(text: &str) -> Option<&str> {
    let text = text.trim();
    beacon::checked_id("id", text).is_ok().then_some(text)
}
