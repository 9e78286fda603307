//! Bytes and headers → [`Beacon`]: parse, don't validate.
//!
//! Comes in: a request's head and body, or a pixel's query. Goes out: a [`Beacon`] whose every field is
//! within its documented limit and whose site exists, or a [`Refused`] that says which key and why.
//! Loses nothing silently: what breaks a limit is refused as a whole. Nothing here is stored.
//!
//! The keys are those of README, "Wire". Three kinds of values are mended instead of refused, because honest
//! browsers send them: a long address loses its query, which is not stored anyway; engagement is cut to a day
//! and scroll depth to the whole page (bars that hide, pages that shrink); times of web vitals are rounded to
//! milliseconds, and layout shifts to four digits.

mod pixel;
pub(crate) mod wire;

use std::borrow::Cow;
use std::sync::Arc;

use compact_str::CompactString;
use jiff::Timestamp;

use self::wire::{Amount, KeptVisit, Text, Wire, WireVisit};
use crate::apps::device::App;
use crate::client::Client;
use crate::config::{Site, Sites};
use crate::outcome::Outcome;

pub use self::pixel::from_query;

/// Longest event name in bytes (Plausible's events API).
pub const MAX_NAME: usize = 120;
/// Longest URL and referrer in bytes (Plausible's events API).
pub const MAX_URL: usize = 2_000;
/// Most properties of one event (Plausible's events API).
pub const MAX_PROPS: usize = 30;
/// Longest property name in bytes (Plausible's events API).
pub const MAX_PROP_NAME: usize = 300;
/// Longest property value in bytes (Plausible's events API).
pub const MAX_PROP_VALUE: usize = 2_000;
/// Longest visitor, visit and event id in bytes: two UUIDs and some.
pub const MAX_ID: usize = 128;
/// Longest consent token as text in bytes; ours are shorter.
pub const MAX_TOKEN: usize = 512;
/// Largest revenue amount, either sign.
pub const MAX_AMOUNT: f64 = 1e12;
/// Longest engagement time of one beacon in milliseconds, a day; more is cut to it.
pub const MAX_ENGAGEMENT_MS: f64 = 86_400_000.0;
/// Coarse "days since the last visit" that `rv` may say.
pub const DAYS_SINCE_LAST: [&str; 6] = ["new", "0", "1", "2-7", "8-30", "31+"];

/// One beacon, parsed. The sender's address and ids are still in it; it never leaves memory.
#[derive(Debug)]
#[allow(missing_docs)] // Named after the wire's keys; see README, "Wire".
pub struct Beacon {
    pub site: Arc<Site>,
    pub received: Timestamp,
    /// When it happened: as received, but for events of a batch ([`crate::apps`]).
    pub happened: Timestamp,
    pub client: Arc<Client>,
    /// What an app says about itself and its device, where one sent the event.
    pub app: Option<Arc<App>>,
    pub name: CompactString,
    /// Not parsed yet: only a beacon that may be stored is worth it.
    pub url: String,
    pub referrer: Option<String>,
    pub props: Vec<(String, String)>,
    pub revenue: Option<Revenue>,
    pub is_interactive: bool,
    /// Deepest scroll position in percent of the page, 0 to 100; 255 where unknown.
    pub scroll_depth: u8,
    pub engagement_ms: u32,
    pub viewport_width: Option<u32>,
    pub consent: Option<String>,
    pub visitor_id: Option<CompactString>,
    pub visit: Option<VisitClaim>,
    pub event_id: Option<CompactString>,
    pub days_since_last: &'static str,
    pub vitals: Vitals,
    /// The sender asks for the receipt of the period (see [`crate::rights`]).
    pub wants_receipt: bool,
}

/// What the client says about its visit.
#[derive(Clone)]
#[allow(missing_docs)]
pub struct VisitClaim {
    pub id: CompactString,
    pub started: Timestamp,
}

impl std::fmt::Debug for VisitClaim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VisitClaim(hidden)")
    }
}

/// Money of one event.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Revenue {
    pub amount: f64,
    /// ISO 4217, three capital letters.
    pub currency: String,
}

/// Web vitals; times in milliseconds, CLS without unit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Vitals {
    pub lcp_ms: Option<f32>,
    pub inp_ms: Option<f32>,
    pub cls: Option<f32>,
    pub ttfb_ms: Option<f32>,
    pub fcp_ms: Option<f32>,
}

/// A beacon's end before it was stored.
#[derive(Debug)]
pub struct Refused {
    /// The end.
    pub outcome: Outcome,
    /// The site, where it is known by then.
    pub site: Option<Arc<Site>>,
    /// Which key and why; for the sender's eyes only, never logged.
    pub detail: String,
    /// When to come back, where that is known.
    pub wait: Option<std::time::Duration>,
}

impl Refused {
    /// An end that needs no further words.
    pub fn plain(outcome: Outcome, site: &Arc<Site>) -> Refused {
        Refused::because(outcome, Some(site), "")
    }

    /// The end of what names no site that there is.
    pub fn plain_unknown() -> Refused {
        Refused::because(Outcome::SiteUnknown, None, "no such site")
    }

    /// An end and its reason.
    pub fn because(
        outcome: Outcome,
        site: Option<&Arc<Site>>,
        detail: impl Into<String>,
    ) -> Refused {
        Refused {
            outcome,
            site: site.cloned(),
            detail: detail.into(),
            wait: None,
        }
    }
}

/// Parses the body of `POST /api/event`.
///
/// # Errors
/// [`Refused`] with `beacon.malformed`, `beacon.url`, `site.unknown` or `site.origin`; the sender's
/// client is at fault and sending the same again will not help.
pub fn from_body(
    body: &[u8],
    origin: Option<&str>,
    client: Client,
    sites: &Sites,
    received: Timestamp,
) -> Result<Box<Beacon>, Refused> {
    let text = std::str::from_utf8(body).map_err(|_| malformed(None, "the body is not UTF-8"))?;
    let wire: Wire<'_> = serde_json::from_str(text).map_err(|e| malformed(None, e.to_string()))?;
    let site = site_of(&wire.d.0, origin, sites)?.clone();
    from_wire(wire, &site, Arc::new(client), received)
}

/// Finds the site that a sender names, where it may speak for it.
///
/// # Errors
/// `site.unknown` or `site.origin`.
pub(crate) fn site_of<'s>(
    name: &str,
    origin: Option<&str>,
    sites: &'s Sites,
) -> Result<&'s Arc<Site>, Refused> {
    let site = sites
        .find(name)
        .ok_or_else(|| Refused::because(Outcome::SiteUnknown, None, "d: no such site"))?;
    check_origin(site, origin)?;
    Ok(site)
}

/// Checks what is written; whose site it is was settled before.
pub(crate) fn from_wire(
    wire: Wire<'_>,
    site: &Arc<Site>,
    client: Arc<Client>,
    received: Timestamp,
) -> Result<Box<Beacon>, Refused> {
    let bad = |detail: &str| malformed(Some(site), detail);
    let name = wire.n.0.trim();
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(bad("n: must be 1 to 120 bytes"));
    }
    let url = without_query_if_long(wire.u.0);
    if url.is_empty() || url.len() > MAX_URL {
        return Err(Refused::because(
            Outcome::BeaconUrl,
            Some(site),
            "u: must be 1 to 2000 bytes",
        ));
    }
    let referrer = wire.r.map(|Text(text)| without_query_if_long(text));
    if referrer.as_ref().is_some_and(|text| text.len() > MAX_URL) {
        return Err(bad("r: more than 2000 bytes"));
    }
    check_props(&wire.p.0).map_err(bad)?;
    let id = |key: &str, text: Option<Text<'_>>| match text {
        Some(Text(text)) => checked_id(key, &text)
            .map(Some)
            .map_err(|detail| bad(&detail)),
        None => Ok(None),
    };
    let claim = |id: &str, started: f64| {
        Ok(VisitClaim {
            id: checked_id("s.id", id).map_err(|detail| bad(&detail))?,
            started: timestamp_ms(started).ok_or_else(|| bad("s.started: not a time"))?,
        })
    };
    let (visit, told_days) = match &wire.s {
        Some(WireVisit::Named(visit)) => (Some(claim(&visit.id.0, visit.started)?), ""),
        Some(WireVisit::Kept(text)) => {
            let kept = KeptVisit::read(&text.0).ok_or_else(|| bad("s: not a visit"))?;
            (Some(claim(kept.id, kept.started)?), kept.days_since_last)
        }
        None => (None, ""),
    };
    let days_since_last = match &wire.rv {
        None => told_days,
        Some(Text(text)) => DAYS_SINCE_LAST
            .into_iter()
            .find(|bucket| bucket == text)
            .ok_or_else(|| bad("rv: must be one of new, 0, 1, 2-7, 8-30, 31+"))?,
    };
    let consent = match wire.c {
        Some(Text(text)) if text.len() > MAX_TOKEN => return Err(bad("c: more than 512 bytes")),
        Some(Text(text)) if !text.is_empty() => Some(text.into_owned()),
        _ => None,
    };
    Ok(Box::new(Beacon {
        received,
        happened: received,
        app: None,
        name: name.into(),
        url: url.into_owned(),
        referrer: referrer
            .filter(|text| !text.is_empty())
            .map(Cow::into_owned),
        revenue: wire.revenue.map(revenue).transpose().map_err(bad)?,
        is_interactive: wire.i.unwrap_or(true),
        scroll_depth: wire
            .sd
            .map_or(Some(255), |sd| {
                ranged(sd, 0.0, f64::MAX).map(|sd| match sd == 255.0 {
                    true => 255,
                    false => sd.min(100.0).round() as u8,
                })
            })
            .ok_or_else(|| bad("sd: must not be negative; 255 is unknown, more than 100 is 100"))?,
        engagement_ms: wire
            .e
            .map_or(Some(0.0), |e| ranged(e, 0.0, f64::MAX))
            .ok_or_else(|| bad("e: must not be negative"))?
            .min(MAX_ENGAGEMENT_MS)
            .round() as u32,
        viewport_width: wire
            .w
            .map(|w| ranged(w, 0.0, 100_000.0).ok_or_else(|| bad("w: must be from 0 to 100000")))
            .transpose()?
            .map(|w| w as u32),
        consent,
        visitor_id: id("vid", wire.vid)?,
        visit,
        event_id: id("id", wire.id)?,
        days_since_last,
        vitals: wire
            .wv
            .map(vitals)
            .transpose()
            .map_err(bad)?
            .unwrap_or_default(),
        wants_receipt: wire.rc.unwrap_or(false),
        props: wire.p.0,
        site: site.clone(),
        client,
    }))
}

/// Long addresses are long for their query, which is not stored; parameters that were to be kept go with it.
fn without_query_if_long(url: Cow<'_, str>) -> Cow<'_, str> {
    match url.find(['?', '#']) {
        Some(end) if url.len() > MAX_URL => Cow::Owned(url[..end].to_owned()),
        _ => url,
    }
}

pub(crate) fn malformed(site: Option<&Arc<Site>>, detail: impl Into<String>) -> Refused {
    Refused::because(Outcome::BeaconMalformed, site, detail)
}

/// A browser says which page sends; a page of somebody else's has no business here (Fetch, "Origin").
/// Apps and servers send none.
fn check_origin(site: &Arc<Site>, origin: Option<&str>) -> Result<(), Refused> {
    match origin {
        None => Ok(()),
        Some(origin) if is_own_origin(site, origin) => Ok(()),
        Some(_) => Err(Refused::because(
            Outcome::SiteOrigin,
            Some(site),
            "Origin is not one of the site's own",
        )),
    }
}

/// Tells whether `origin` (RFC 6454 serialization) is a page of `site`'s.
pub fn is_own_origin(site: &Site, origin: &str) -> bool {
    let Some((scheme, rest)) = origin.split_once("://") else {
        return false;
    };
    let host = rest.rsplit_once(':').map_or(rest, |(host, port)| {
        if port.bytes().all(|b| b.is_ascii_digit()) {
            host
        } else {
            rest
        }
    });
    matches!(scheme, "http" | "https") && site.owns_host(host)
}

fn check_props(props: &[(String, String)]) -> Result<(), &'static str> {
    if props.len() > MAX_PROPS {
        return Err("p: more than 30 properties");
    }
    for (name, value) in props {
        if name.is_empty() || name.len() > MAX_PROP_NAME {
            return Err("p: a property name must be 1 to 300 bytes");
        }
        if value.len() > MAX_PROP_VALUE {
            return Err("p: a property value has more than 2000 bytes");
        }
    }
    Ok(())
}

/// Ids are opaque, but a version 1 or 6 UUID (RFC 9562, sections 5.1 and 5.6) carries the sender's MAC
/// address and is refused.
pub(crate) fn checked_id(key: &str, text: &str) -> Result<CompactString, String> {
    if text.is_empty() || text.len() > MAX_ID || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!(
            "{key}: must be 1 to 128 printable ASCII characters"
        ));
    }
    if is_node_uuid(text) {
        return Err(format!(
            "{key}: a version 1 or 6 UUID holds a MAC address; send a version 4 or 7 one"
        ));
    }
    Ok(text.into())
}

fn is_node_uuid(text: &str) -> bool {
    // With up to 32 digits alone it is none, and most ids show at the 13th what they are not.
    if text.len() < 32 {
        return false;
    }
    let mut n = 0;
    for b in text.bytes().filter(|b| !matches!(b, b'-' | b'{' | b'}')) {
        let is_fit = match n {
            12 => matches!(b, b'1' | b'6'),
            16 => matches!(b, b'8' | b'9' | b'a' | b'b' | b'A' | b'B'),
            0..32 => b.is_ascii_hexdigit(),
            _ => false,
        };
        if !is_fit {
            return false;
        }
        n += 1;
    }
    n == 32
}

fn ranged(value: f64, low: f64, high: f64) -> Option<f64> {
    (value.is_finite() && value >= low && value <= high).then_some(value)
}

pub(crate) fn timestamp_ms(milliseconds: f64) -> Option<Timestamp> {
    // Years 1970 to 9999 in milliseconds.
    ranged(milliseconds, 0.0, 253_402_300_799_000.0)
        .and_then(|ms| Timestamp::from_millisecond(ms as i64).ok())
}

fn revenue(wire: wire::WireRevenue) -> Result<Revenue, &'static str> {
    let amount = match wire.amount {
        Amount::Number(number) => number,
        Amount::Text(text) => text
            .trim()
            .parse()
            .map_err(|_| "$: amount is not a number")?,
    };
    let amount = ranged(amount, -MAX_AMOUNT, MAX_AMOUNT).ok_or("$: amount must be within 1e12")?;
    if wire.currency.len() != 3 || !wire.currency.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err("$: currency must be three capital letters (ISO 4217)");
    }
    Ok(Revenue {
        amount,
        currency: wire.currency,
    })
}

fn vitals(wire: wire::WireVitals) -> Result<Vitals, &'static str> {
    let time = |value: Option<f64>| match value {
        None => Ok(None),
        Some(ms) => ranged(ms, 0.0, 3_600_000.0)
            .map(|ms| Some(ms.round() as f32))
            .ok_or("wv: a time must be from 0 to 3600000 milliseconds"),
    };
    let cls = match wire.cls {
        None => None,
        Some(cls) => {
            let cls = ranged(cls, 0.0, 1_000.0).ok_or("wv: cls must be from 0 to 1000")?;
            Some(((cls * 10_000.0).round() / 10_000.0) as f32)
        }
    };
    Ok(Vitals {
        lcp_ms: time(wire.lcp)?,
        inp_ms: time(wire.inp)?,
        cls,
        ttfb_ms: time(wire.ttfb)?,
        fcp_ms: time(wire.fcp)?,
    })
}

#[cfg(test)]
mod tests;
