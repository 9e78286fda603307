//! Keyed hash; the identity goes in and does not come out.
//!
//! Comes in: an [`Enriched`] beacon with the visitor's bits. Goes out: an event, which has no field
//! that could hold them. `pseudonym = keyed BLAKE3(salt, domain ‖ length‖field ‖ …)`, the first 64 bits. Each field carries its length,
//! so that no two visitors share one input, and each use has a domain of its own, so that a visitor can
//! never equal a visit.
//!
//! A visit belongs to the day it began on. While the previous salt lives (grace), an event of a visit
//! that began before midnight is hashed with it and counted on that day: one visit, one visitor.
//!
//! **Late events** (batches bring events up to 72 hours old) of a period whose salt lives are hashed with that salt, like
//! any other. Where it is destroyed nobody can make that day's pseudonym any more, brine included, and that is as it should be. Such an
//! event keeps its time and its day, and is hashed under today's salt *with its own period mixed in*: a visitor of that day
//! who is like no visitor of any other day, today included. What this costs is exactness, never privacy: whoever was
//! counted on that day already, or sends late events of it on two days, is counted there once more. The alternatives were
//! refused: today's pseudonym as it is would link two days in the table; moving the event to today would be untrue;
//! keeping salts alive for 72 hours would make everybody linkable three times as long for the sake of few.

use std::sync::Arc;

use compact_str::CompactString;
use jiff::civil::Time;
use jiff::{SignedDuration, Timestamp};
use zeroize::Zeroizing;

use crate::apps::device::App;
use crate::beacon::VisitClaim;
use crate::client::Client;
use crate::config::Site;
use crate::consent::token::Token;
use crate::enrich::step::Enriched;
use crate::event::{Draft, EventId};
use crate::event_ids::EventIds;
use crate::open_visits::{IDLE_MS, OpenVisits};
use crate::outcome::Outcome;
use crate::salts::SiteSalts;
use crate::salts::period::{day_number, local_day, period_of, start_of};
use crate::secret::{Secret, leaving_no_trace};

/// What a pseudonym stands for; hashed in, so that domains never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// An app's device, by its MAC address.
    Device,
    /// One visit.
    Visit,
    /// One visitor.
    Visitor,
}

/// Inputs up to here are put together on the stack: ids have 129 bytes at most.
const SHORT: usize = 384;

/// Hashing such an input goes no deeper into the stack than this, key words and input included.
const DEPTH: usize = 4_096;

/// Hashes `fields` under `salt`. Never 0, which in `events` means "none". Neither the salt's words nor the fields are
/// left on the stack.
pub fn pseudonym(salt: &Secret, domain: Domain, fields: &[&[u8]]) -> u64 {
    leaving_no_trace::<DEPTH, _>(|| hash(salt, domain, fields))
}

/// Hashes a visitor and a visit of theirs at one go.
pub fn visitor_and_visit(salt: &Secret, visitor: &[u8], visit: &[u8]) -> (u64, u64) {
    leaving_no_trace::<DEPTH, _>(|| {
        (
            hash(salt, Domain::Visitor, &[visitor]),
            hash(salt, Domain::Visit, &[visitor, visit]),
        )
    })
}

/// Leaves its traces to be overwritten by the caller.
fn hash(salt: &Secret, domain: Domain, fields: &[&[u8]]) -> u64 {
    let n_bytes = 1 + fields.iter().map(|field| 8 + field.len()).sum::<usize>();
    let mut short = [0; SHORT];
    let mut long = Zeroizing::new(Vec::new());
    let input = if n_bytes <= SHORT {
        &mut short[..n_bytes]
    } else {
        long.resize(n_bytes, 0);
        &mut long[..]
    };
    input[0] = match domain {
        Domain::Visitor => 1,
        Domain::Visit => 2,
        Domain::Device => 3,
    };
    let mut rest = &mut input[1..];
    for field in fields {
        let (length, after) = rest.split_at_mut(8);
        length.copy_from_slice(&(field.len() as u64).to_le_bytes());
        let (bytes, after) = after.split_at_mut(field.len());
        bytes.copy_from_slice(field);
        rest = after;
    }
    let hash = blake3::keyed_hash(salt.expose(), input);
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(first).max(1)
}

/// Returns the visitor of a consent: what its beacons are hashed with, where they name no id of their own. The
/// first byte keeps the two kinds of id apart.
pub(crate) fn visitor_of_token(token: &Token) -> Vec<u8> {
    [b"c", token.visitor_bits().as_slice()].concat()
}

/// Returns the visitor of an id that the sender names.
pub(crate) fn visitor_of_id(id: &str) -> Vec<u8> {
    [b"v", id.as_bytes()].concat()
}

/// Returns the visitor of a sender that has nothing better: address (IPv6: /64) and user agent. Only where a site trusts
/// its senders' word for the consent, and for what they send without any id.
pub(crate) fn visitor_of_client(client: &Client) -> Vec<u8> {
    let address = client.address.to_string();
    [
        b"n",
        address.as_bytes(),
        b"\0",
        client.user_agent.as_bytes(),
    ]
    .concat()
}

/// Who sent an event, as far as hashing needs it; dropped when this step returns.
pub(crate) struct Identity {
    /// The consent's random bits, or the id that the sender named instead.
    pub(crate) visitor: Vec<u8>,
    pub(crate) visit: Option<VisitClaim>,
    /// What the sender calls the event, so that it counts once.
    pub(crate) event: Option<CompactString>,
    pub(crate) app: Option<Arc<App>>,
}

impl Enriched {
    /// Names the event for the memory of events, if its sender gave it an id; kept for `slots`.
    pub fn event_id(&self, ids: &EventIds, slots: u32) -> Option<EventId> {
        let Identity { visitor, event, .. } = &self.identity;
        let id = event.as_deref()?;
        Some(ids.name(self.site.id.as_str(), visitor, id, self.received, slots))
    }
}

/// Replaces who sent an event by pseudonyms of the day.
///
/// # Errors
/// [`Outcome::SaltUnavailable`] where no salt lives for the site's day; ours to mend, the sender may retry.
pub fn pseudonymise(
    enriched: Enriched,
    salts: Option<&SiteSalts>,
    open_visits: &OpenVisits,
) -> Result<Box<Draft>, Outcome> {
    let Enriched {
        mut event,
        identity,
        site,
        received,
        ..
    } = enriched;
    let salts = salts.ok_or(Outcome::SaltUnavailable)?;
    let local = site.time_zone.to_datetime(received);
    let today = day_number(local.date());
    let yesterday = in_grace(&site, today, local.time(), received).then(|| today.saturating_sub(1));
    let salt_of = |day| {
        salts
            .of(period_of(day, site.rotation))
            .ok_or(Outcome::SaltUnavailable)
    };
    let visitor = |salt| pseudonym(salt, Domain::Visitor, &[&identity.visitor]);
    let now_ms = received.as_millisecond();

    let (day, visitor, visit) = match &identity.visit {
        Some(claim) => {
            let began_yesterday =
                yesterday.filter(|day| local_day(claim.started, &site.time_zone) == *day);
            // A grace that is over before its time (a clock was moved) must not cost the event.
            let (day, salt) = match began_yesterday.map(|day| (day, salt_of(day))) {
                Some((day, Ok(salt))) => (day, salt),
                _ => (today, salt_of(today)?),
            };
            let visit = claim.id.as_bytes();
            let (visitor, visit) = visitor_and_visit(salt, &identity.visitor, visit);
            (day, visitor, visit)
        }
        None => {
            let still_open = yesterday.and_then(|day| {
                let visitor = visitor(salt_of(day).ok()?);
                let open = open_visits.touch(visitor, now_ms)?;
                (open.day == day).then_some((day, visitor, open.visit))
            });
            match still_open {
                Some(found) => found,
                None => {
                    let salt = salt_of(today)?;
                    let visitor = visitor(salt);
                    let open = open_visits.touch_or_begin(visitor, now_ms, || {
                        let began = now_ms.to_le_bytes();
                        (
                            pseudonym(salt, Domain::Visit, &[&identity.visitor, &began]),
                            today,
                        )
                    });
                    // Under a salt of a week or a month an open visit may be yesterday's, too.
                    let day = open.day.max(today.saturating_sub(1));
                    (day, visitor, open.visit)
                }
            }
        }
    };
    event.visitor = visitor;
    event.visit = visit;
    event.day = day;
    event.expires = day.saturating_add(site.keep.of_event(&event.name));
    Ok(event)
}

/// What one event of a batch leaves for the next: they have one sender.
#[derive(Debug, Default)]
pub struct Run {
    /// Period, visitor and device of the last one.
    last: Option<(Period, u64, u64)>,
    /// When the batch came, and the site's date then.
    today: Option<(Timestamp, u16)>,
    /// When the last visit began, by its client, and the site's date then.
    began: Option<(Timestamp, u16)>,
    /// The last visit with a name: its period, name and pseudonym.
    named: Option<(Period, CompactString, u64)>,
    /// Where a visit without a name began, and its last event, in milliseconds since 1970 UTC.
    visit: Option<(Period, i64, i64)>,
}

/// Returns the site's date at `instant`, which is that of the event before in nearly all cases.
fn day_once(last: &mut Option<(Timestamp, u16)>, instant: Timestamp, site: &Site) -> u16 {
    match last {
        Some((known, day)) if *known == instant => *day,
        _ => {
            let day = local_day(instant, &site.time_zone);
            *last = Some((instant, day));
            day
        }
    }
}

/// A period, and whether its salt is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Period {
    start: u16,
    is_late: bool,
}

/// Hashes under the salt of a period as single events are hashed; or under today's in its stead.
fn hash_in(salt: &Secret, period: Period, domain: Domain, fields: &[&[u8]]) -> u64 {
    if !period.is_late {
        return pseudonym(salt, domain, fields);
    }
    let start = period.start.to_le_bytes();
    let late = [fields, &[LATE, &start]].concat();
    pseudonym(salt, domain, &late)
}

const LATE: &[u8] = b"late";

/// Returns the pseudonym that late events of the period beginning on `start` have under another period's salt.
pub(crate) fn late_visitor(salt: &Secret, start: u16, visitor: &[u8]) -> u64 {
    let period = Period {
        start,
        is_late: true,
    };
    hash_in(salt, period, Domain::Visitor, &[visitor])
}

/// Replaces who sent an event of a batch by pseudonyms of the day on which it happened.
///
/// # Errors
/// [`Outcome::SaltUnavailable`] as [`pseudonymise`]; [`Outcome::EventTooOld`] where its site's retention is over.
pub fn pseudonymise_batched(
    enriched: Enriched,
    salts: Option<&SiteSalts>,
    open_visits: &OpenVisits,
    run: &mut Run,
) -> Result<Box<Draft>, Outcome> {
    let Enriched {
        mut event,
        identity,
        site,
        received,
        happened,
    } = enriched;
    let salts = salts.ok_or(Outcome::SaltUnavailable)?;
    let today = day_once(&mut run.today, received, &site);
    let own_day = local_day(happened, &site.time_zone);
    let own_salt = |day| salts.of(period_of(day, site.rotation));
    // As for single events: a visit belongs to the day it began on, while that day's salt lives.
    let began = identity
        .visit
        .as_ref()
        .map(|claim| day_once(&mut run.began, claim.started, &site));
    let day = began
        .filter(|began| began.checked_add(1) == Some(own_day) && own_salt(*began).is_some())
        .unwrap_or(own_day);
    event.day = day;
    event.expires = day.saturating_add(site.keep.of_event(&event.name));
    if event.expires <= today {
        return Err(Outcome::EventTooOld);
    }
    let start = period_of(day, site.rotation);
    let (salt, is_late) = match own_salt(day) {
        Some(salt) => (salt, false),
        None if day < today => (own_salt(today).ok_or(Outcome::SaltUnavailable)?, true),
        None => return Err(Outcome::SaltUnavailable),
    };
    let period = Period { start, is_late };
    let (visitor, device) = match run.last {
        Some((last, visitor, device)) if last == period => (visitor, device),
        _ => {
            let visitor = hash_in(salt, period, Domain::Visitor, &[&identity.visitor]);
            let hardware = identity
                .app
                .as_ref()
                .and_then(|app| app.hardware.as_ref().ok());
            let device = hardware.map_or(0, |hardware| {
                let (kind, bytes) = hardware.expose();
                hash_in(salt, period, Domain::Device, &[&[kind], bytes])
            });
            run.last = Some((period, visitor, device));
            (visitor, device)
        }
    };
    let visit_named =
        |name: &[u8]| hash_in(salt, period, Domain::Visit, &[&identity.visitor, name]);
    let (now_ms, at_ms) = (received.as_millisecond(), happened.as_millisecond());
    event.visit = match &identity.visit {
        Some(claim) => match &run.named {
            Some((last, name, visit)) if *last == period && *name == claim.id => *visit,
            _ => {
                let visit = visit_named(claim.id.as_bytes());
                run.named = Some((period, claim.id.clone(), visit));
                visit
            }
        },
        None if !is_late && now_ms - at_ms < IDLE_MS => {
            let begin = || (visit_named(&at_ms.to_le_bytes()), day);
            open_visits.touch_or_begin(visitor, at_ms, begin).visit
        }
        None => {
            let began_ms = match run.visit {
                Some((last, began_ms, last_ms))
                    if last == period && (at_ms - last_ms).abs() < IDLE_MS =>
                {
                    began_ms
                }
                _ => at_ms,
            };
            run.visit = Some((period, began_ms, at_ms));
            visit_named(&began_ms.to_le_bytes())
        }
    };
    event.visitor = visitor;
    event.device_id = device;
    Ok(event)
}

/// Tells whether `now` lies in the grace after the local midnight before `today`.
fn in_grace(site: &Site, today: u16, local: Time, now: Timestamp) -> bool {
    // The wall clock may be off by what daylight saving moved since midnight, hours at most; only near
    // the grace is the exact instant of midnight worth computing.
    let since_midnight = local.duration_since(Time::midnight());
    since_midnight < site.salt_grace + SignedDuration::from_hours(3)
        && now.duration_since(start_of(today, &site.time_zone)) < site.salt_grace
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn salt(byte: u8) -> Secret {
        Secret::from_bytes([byte; 32])
    }

    fn domain() -> impl Strategy<Value = Domain> {
        prop_oneof![
            Just(Domain::Device),
            Just(Domain::Visit),
            Just(Domain::Visitor)
        ]
    }

    fn fields() -> impl Strategy<Value = Vec<Vec<u8>>> {
        // Few letters, lengths that look like length prefixes, fields beyond what fits on the stack.
        let field = prop_oneof![
            8 => proptest::collection::vec(0_u8..3, 0..12),
            1 => proptest::collection::vec(any::<u8>(), 300..500),
        ];
        proptest::collection::vec(field, 0..4)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Two inputs are the same input only where use, number of fields and every field are.
        #[test]
        fn domains_and_field_boundaries_never_collide(
            (one, these) in (domain(), fields()),
            (other, those) in (domain(), fields()),
        ) {
            let hash = |domain, fields: &[Vec<u8>]| {
                let fields: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
                pseudonym(&salt(7), domain, &fields)
            };
            let is_same = one == other && these == those;
            prop_assert_eq!(hash(one, &these) == hash(other, &those), is_same);
            // The same bytes, divided otherwise.
            let joined = vec![these.concat()];
            prop_assert_eq!(hash(one, &these) == hash(one, &joined), these == joined);
        }
    }

    proptest! {
        /// A late event's visitor is like no visitor of any other period, that of its salt included.
        #[test]
        fn late_events_are_like_no_other_period(visitor in proptest::collection::vec(any::<u8>(), 0..40), a: u16, b: u16) {
            let late = late_visitor(&salt(1), a, &visitor);
            prop_assert_eq!(late, late_visitor(&salt(1), a, &visitor));
            prop_assert_ne!(late, pseudonym(&salt(1), Domain::Visitor, &[&visitor]));
            prop_assert_ne!(late, late_visitor(&salt(2), a, &visitor));
            if a != b {
                prop_assert_ne!(late, late_visitor(&salt(1), b, &visitor));
            }
        }

        #[test]
        fn equal_inputs_are_equal_and_any_other_salt_domain_or_field_differs(
            a in proptest::collection::vec(any::<u8>(), 0..40),
            b in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let hash = |s: u8, domain, fields: &[&[u8]]| pseudonym(&salt(s), domain, fields);
            let base = hash(1, Domain::Visitor, &[&a, &b]);
            prop_assert_eq!(base, hash(1, Domain::Visitor, &[&a, &b]));
            prop_assert_ne!(base, hash(2, Domain::Visitor, &[&a, &b]));
            prop_assert_ne!(base, hash(1, Domain::Visit, &[&a, &b]));
            prop_assert_ne!(base, hash(1, Domain::Device, &[&a, &b]));
            prop_assert_ne!(base, hash(1, Domain::Visitor, &[&a, &b, b""]));
            // Moving the boundary between two fields is another input.
            prop_assert_ne!(base, hash(1, Domain::Visitor, &[&[a.as_slice(), &b].concat()]));
            if a != b {
                prop_assert_ne!(base, hash(1, Domain::Visitor, &[&b, &a]));
            }
            if let Some((last, front)) = a.split_last() {
                let moved = [&[*last], b.as_slice()].concat();
                prop_assert_ne!(base, hash(1, Domain::Visitor, &[front, &moved]));
            }
        }
    }
}
