//! Keyed hash; the identity goes in and does not come out.
//!
//! Comes in: an [`Enriched`] beacon with the visitor's bits. Goes out: an event, which has no field
//! that could hold them. `pseudonym = keyed BLAKE3(salt, domain ‖ length‖field ‖ …)`, the first 64 bits. Each field carries its length,
//! so that no two visitors share one input, and each use has a domain of its own, so that a visitor can
//! never equal a visit.
//!
//! A visit belongs to the day it began on. While the previous salt lives (grace), an event of a visit
//! that began before midnight is hashed with it and counted on that day: one visit, one visitor.

use jiff::civil::Time;
use jiff::{SignedDuration, Timestamp};
use zeroize::Zeroizing;

use crate::beacon::VisitClaim;
use crate::config::Site;
use crate::consent::token::Token;
use crate::enrich::step::Enriched;
use crate::event::Draft;
use crate::open_visits::OpenVisits;
use crate::outcome::Outcome;
use crate::salts::SiteSalts;
use crate::salts::period::{day_number, local_day, period_of, start_of};
use crate::secret::{Secret, leaving_no_trace};

/// What a pseudonym stands for; hashed in, so that domains never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// An app's device. (Its input, the MAC address, comes with batches from apps.)
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
    leaving_no_trace::<DEPTH, _>(|| {
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
    })
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

/// Who sent an event, as far as hashing needs it; dropped when this step returns.
pub(crate) struct Identity {
    /// The consent's random bits, or the id that the sender named instead.
    pub(crate) visitor: Vec<u8>,
    pub(crate) visit: Option<VisitClaim>,
}

/// Replaces who sent an event by pseudonyms of the day.
///
/// # Errors
/// [`Outcome::SaltUnavailable`] where no salt lives for the site's day; ours to mend, the sender may retry.
pub fn pseudonymise(
    enriched: Enriched,
    salts: Option<&SiteSalts>,
    open_visits: &OpenVisits,
) -> Result<Draft, Outcome> {
    let Enriched {
        mut event,
        identity,
        site,
        received,
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

    let (day, salt, visit) = match &identity.visit {
        Some(claim) => {
            let began_yesterday =
                yesterday.filter(|day| local_day(claim.started, &site.time_zone) == *day);
            // A grace that is over before its time (a clock was moved) must not cost the event.
            let (day, salt) = match began_yesterday.map(|day| (day, salt_of(day))) {
                Some((day, Ok(salt))) => (day, salt),
                _ => (today, salt_of(today)?),
            };
            (
                day,
                salt,
                pseudonym(
                    salt,
                    Domain::Visit,
                    &[&identity.visitor, claim.id.as_bytes()],
                ),
            )
        }
        None => {
            let still_open = yesterday.and_then(|day| {
                let salt = salt_of(day).ok()?;
                let open = open_visits.touch(visitor(salt), now_ms)?;
                (open.day == day).then_some((day, salt, open.visit))
            });
            match still_open {
                Some(found) => found,
                None => {
                    let salt = salt_of(today)?;
                    let open = open_visits.touch_or_begin(visitor(salt), now_ms, || {
                        let began = now_ms.to_le_bytes();
                        (
                            pseudonym(salt, Domain::Visit, &[&identity.visitor, &began]),
                            today,
                        )
                    });
                    // Under a salt of a week or a month an open visit may be yesterday's, too.
                    (open.day.max(today.saturating_sub(1)), salt, open.visit)
                }
            }
        }
    };
    event.visitor = visitor(salt);
    event.visit = visit;
    event.day = day;
    event.expires = day.saturating_add(site.retention_days);
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
