//! Batches of events from apps and servers: `POST /api/events`.
//!
//! Comes in: one request with up to 500 events of one sender, as JSON, packed or not. Goes out: an end for every event and
//! one for the request. An app is offline, is killed, loses replies; so it keeps what happened in a queue, sends it later, and
//! sends it again when it is in doubt. It may: an event with an id counts once ([`crate::event_ids`]), one that is late keeps
//! its own time ([`time`]).
//!
//! Promised: the consent is asked of the whole batch before any event is looked at. What is malformed, too old or not yet
//! there is refused by itself. All events that are accepted are durable together, with one group commit, before the answer.
//! Nothing that happened before the day of the consent is taken, although the app kept it. A visitor's address is taken from
//! a server only where it shows the site's key.
//!
//! May be lost: nothing that was answered 2xx. Any other answer, or none, means that sending the same batch again is right
//! (408, 429, 5xx, none) or useless (4xx).

pub mod body;
pub mod device;
pub mod mac;
pub mod time;
pub(crate) mod wire;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use serde_json::value::RawValue;

use self::device::{App, Written, taken};
use self::wire::{WireBatch, WireDevice, WireEvent, WireVisitor};
use crate::beacon::wire::Text;
use crate::beacon::{self, Beacon, MAX_TOKEN, Refused, malformed, timestamp_ms};
use crate::client::Client;
use crate::collector::delivery::{Delivered, End, Passed};
use crate::collector::{Collector, Ended, Live, UnansweredBatch, ended};
use crate::config::Site;
use crate::consent::{self, Claimed};
use crate::event_ids::BATCH_SLOTS;
use crate::filter::step::Sender;
use crate::metrics::NO_SITE;
use crate::outcome::Outcome;

/// Most events of one batch.
pub const MAX_EVENTS: usize = 500;

/// A batch's end.
#[derive(Debug)]
pub struct BatchEnded {
    /// Of the request.
    pub ended: Ended,
    /// Of each event, in the order of the batch; empty where none was looked at.
    pub ends: Vec<End>,
    /// How the device was taken ([`device::taken`]); none where the batch was refused as a whole.
    pub device: Option<&'static str>,
    /// Receipts of the periods that the events lie in, with the seconds until each ends.
    pub receipts: Vec<(String, i64)>,
}

impl BatchEnded {
    fn refused(ended: Ended) -> BatchEnded {
        BatchEnded {
            ended,
            ends: Vec::new(),
            device: None,
            receipts: Vec::new(),
        }
    }
}

/// A batch that may be looked at.
struct Opened<'a> {
    site: Arc<Site>,
    client: Arc<Client>,
    wire: WireBatch<'a>,
}

impl Collector {
    /// Walks one batch from parse to spool. `key` is what the sender shows as the site's key. Counts every end.
    pub async fn batch(
        &self,
        body: &[u8],
        origin: Option<&str>,
        key: Option<&str>,
        client: Client,
    ) -> BatchEnded {
        let live = self.live.load_full();
        let now = self.clock.now();
        let opened = match self.open(&live, body, origin, key, client) {
            Ok(opened) => opened,
            Err(refused) => {
                return BatchEnded::refused(self.refuse_batch(&live, refused, 0, origin));
            }
        };
        let n_events = opened.wire.events.len();
        let site = opened.site.clone();
        let device = opened.device();
        let app = device.is_some().then(|| device.clone()).flatten();
        let passed = match self.let_in(&live, &opened, app, now) {
            Ok(passed) => passed,
            Err(refused) => {
                return BatchEnded::refused(self.refuse_batch(&live, refused, n_events, origin));
            }
        };
        let how = device.as_ref().map_or("none", |app| taken(&app.hardware));
        self.metrics
            .devices
            .with_label_values(&[site.id.as_str(), how])
            .inc();
        let wants_receipts = opened.wire.receipts && opened.wire.device.install_id.is_none();
        let unanswered = UnansweredBatch::begin(self, site.id.as_str());
        let Delivered { ends, receipts } = self
            .deliver(&live, passed, BATCH_SLOTS, wants_receipts)
            .await;
        let outcome = outcome_of(&ends);
        unanswered.end(outcome);
        BatchEnded {
            ended: ended(Refused::plain(outcome, &site), origin),
            ends,
            device: Some(how),
            receipts,
        }
    }

    /// Reads what the batch says about itself, and checks who may say it.
    fn open<'a>(
        &self,
        live: &Live,
        body: &'a [u8],
        origin: Option<&str>,
        key: Option<&str>,
        client: Client,
    ) -> Result<Opened<'a>, Refused> {
        let text =
            std::str::from_utf8(body).map_err(|_| malformed(None, "the body is not UTF-8"))?;
        let wire: WireBatch<'a> =
            serde_json::from_str(text).map_err(|e| malformed(None, e.to_string()))?;
        let site = beacon::site_of(&wire.site.0, origin, &live.sites)?.clone();
        let bad = |detail: &str| malformed(Some(&site), detail);
        if self.is_closing.load(Ordering::Relaxed) {
            return Err(Refused::plain(Outcome::ServerClosing, &site));
        }
        if !(1..=MAX_EVENTS).contains(&wire.events.len()) {
            return Err(bad("events: must be 1 to 500"));
        }
        if wire.consent.as_ref().is_some_and(|c| c.0.len() > MAX_TOKEN) {
            return Err(bad("consent: more than 512 bytes"));
        }
        if let Some(id) = &wire.device.install_id {
            beacon::checked_id("device.install_id", &id.0).map_err(|detail| bad(&detail))?;
        }
        let has_key = match key {
            None => false,
            Some(key) if site.has_key(key) => true,
            Some(_) => {
                let detail = "Authorization: not a key of this site";
                return Err(Refused::because(Outcome::SiteKey, Some(&site), detail));
            }
        };
        let client = match (&wire.visitor, has_key) {
            (None, false) => client,
            (Some(_), false) => {
                let detail = "visitor: only with the site's key";
                return Err(Refused::because(Outcome::SiteKey, Some(&site), detail));
            }
            (visitor, true) => reported(visitor.as_ref(), client).map_err(bad)?,
        };
        Ok(Opened {
            site,
            client: Arc::new(client),
            wire,
        })
    }

    /// Asks for the consent and takes from the limits; then the events may be read, one by one.
    fn let_in<'o>(
        &self,
        live: &Live,
        opened: &'o Opened<'o>,
        app: Option<Arc<App>>,
        now: Timestamp,
    ) -> Result<impl Iterator<Item = Result<Passed, Refused>> + use<'o>, Refused> {
        let Opened { site, client, wire } = opened;
        let sent_at = match wire.sent_at {
            None => None,
            Some(ms) => {
                Some(timestamp_ms(ms).ok_or_else(|| malformed(Some(site), "sent_at: not a time"))?)
            }
        };
        let token = wire
            .consent
            .as_ref()
            .map(|text| text.0.as_ref())
            .filter(|text| !text.is_empty());
        let claimed = Claimed::Token(token);
        let grant = consent::check(site, client, claimed, &self.mint, &self.revocations, now)?;
        self.limit_many(live, site, client, wire.events.len())?;
        let sender = Arc::new(Sender::read(client, site, &self.enrichers));
        let install_id = wire.device.install_id.as_ref();
        let read = move |raw: &&'o RawValue| {
            let mut beacon = event(raw, opened, install_id, sent_at, now)?;
            beacon.app = app.clone();
            let consented = grant.admit(beacon)?;
            Ok(Passed {
                consented,
                sender: sender.clone(),
            })
        };
        Ok(wire.events.iter().map(read))
    }

    /// Ends a batch as a whole, and each of its events with it.
    fn refuse_batch(
        &self,
        live: &Live,
        refused: Refused,
        n_events: usize,
        origin: Option<&str>,
    ) -> Ended {
        live.count_many(refused.site.as_ref(), refused.outcome, n_events as u64);
        let site = refused
            .site
            .as_ref()
            .map_or(NO_SITE, |site| site.id.as_str());
        self.count_batch(site, refused.outcome);
        ended(refused, origin)
    }

    /// Ends a batch that could not be read.
    pub fn refuse_unread_batch(&self, outcome: Outcome, detail: String) -> BatchEnded {
        self.count_batch(NO_SITE, outcome);
        BatchEnded::refused(ended(Refused::because(outcome, None, detail), None))
    }

    pub(crate) fn count_batch(&self, site: &str, outcome: Outcome) {
        self.metrics
            .app_batches
            .with_label_values(&[site, outcome.code()])
            .inc();
    }
}

impl Opened<'_> {
    fn device(&self) -> Option<Arc<App>> {
        let WireDevice {
            mac,
            mac_hash,
            platform,
            app_version,
            os,
            model_class,
            locale,
            ..
        } = &self.wire.device;
        if self.wire.device.is_empty() {
            return None;
        }
        Some(Arc::new(App::read(Written {
            platform: text(platform),
            app_version: text(app_version),
            os: text(os),
            model_class: text(model_class),
            locale: text(locale),
            mac: mac.as_ref().map(|text| text.0.as_ref()),
            mac_hash: mac_hash.as_ref().map(|text| text.0.as_ref()),
        })))
    }
}

fn text<'t>(text: &'t Option<Text<'_>>) -> &'t str {
    text.as_ref().map_or("", |text| text.0.as_ref())
}

/// Reads one event of a batch.
fn event<'a>(
    raw: &'a RawValue,
    opened: &Opened<'_>,
    install_id: Option<&Text<'a>>,
    sent_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<Box<Beacon>, Refused> {
    let Opened { site, client, .. } = opened;
    let wire: WireEvent<'a> =
        serde_json::from_str(raw.get()).map_err(|e| malformed(Some(site), e.to_string()))?;
    let at = match wire.ts {
        None => None,
        Some(ms) => Some(timestamp_ms(ms).ok_or_else(|| malformed(Some(site), "ts: not a time"))?),
    };
    let happened =
        time::happened(at, sent_at, now).map_err(|outcome| Refused::plain(outcome, site))?;
    let wire = wire.into_wire(site.id.as_str(), install_id);
    let mut beacon = beacon::from_wire(wire, site, client.clone(), now)?;
    beacon.happened = happened;
    if let (Some(visit), Some(sent_at)) = (&mut beacon.visit, sent_at) {
        // By the same clock as the event; when it began decides on which day it counts.
        let before = sent_at.duration_since(visit.started);
        visit.started = now.checked_sub(before).unwrap_or(happened);
    }
    Ok(beacon)
}

/// The client that a server with the site's key reports for. What it does not say is not made up: the server's own address
/// and language are nobody's, and place nobody.
pub(crate) fn reported(
    visitor: Option<&WireVisitor<'_>>,
    server: Client,
) -> Result<Client, &'static str> {
    let nobody = WireVisitor::default();
    let visitor = visitor.unwrap_or(&nobody);
    let address = match &visitor.address {
        None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Some(text) => {
            let address = text.0.trim().parse();
            crate::client::cut(address.map_err(|_| "visitor.address: not an IP address")?)
        }
    };
    let cut = |text: &Option<Text<'_>>, bytes: usize| {
        text.as_ref()
            .map(|text| text.0[..text.0.floor_char_boundary(bytes)].to_owned())
    };
    Ok(Client {
        address,
        user_agent: cut(&visitor.user_agent, 512).unwrap_or(server.user_agent),
        accept_language: cut(&visitor.accept_language, 128)
            .unwrap_or_default()
            .into(),
        hints: crate::client::Hints::default(),
        gpc: visitor.gpc || server.gpc,
        dnt: visitor.dnt || server.dnt,
        is_server: true,
    })
}

/// The end of a request from the ends of its events: where some should be sent again, all of it; that is safe.
pub(crate) fn outcome_of(ends: &[End]) -> Outcome {
    let again = ends
        .iter()
        .map(|end| end.outcome)
        .find(|outcome| outcome.is_worth_retrying());
    let is_kept = |end: &End| matches!(end.outcome, Outcome::Accepted | Outcome::EventRepeated);
    match again {
        Some(outcome) => outcome,
        None if ends.iter().all(is_kept) => Outcome::Accepted,
        None => Outcome::BatchMixed,
    }
}
