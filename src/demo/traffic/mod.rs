//! Made-up traffic for `brine demo --days N`: plausible, repeatable, and sent through the real path.
//!
//! Comes in: how many days, a seed, the configuration. Goes out: day by day, what visitors do and send, in the order
//! of time. Nothing here stores anything: [`crate::run`] lets a collector live through those days, consents, salts
//! and all, and counts how each beacon ended beside how it was meant to end.
//!
//! Promised: the same seed and days give the same traffic (pseudonyms differ: their salts are drawn anew and
//! destroyed, as always). All of it is marked as made up: the ledger names `demo` as the source of each consent,
//! [`record::Record`] stands in the data directory, and `brine demo` and its page say so.

mod body;
mod chance;
mod countries;
mod devices;
mod people;
pub mod record;
mod refused;
mod sites;
mod visit;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use thiserror::Error;

pub use self::body::{Body, Head};
use self::chance::Chance;
use self::people::{People, Person};
use self::refused::Sender;
use self::sites::{PROFILES, Profile};
use self::visit::Visit;
use crate::config::Sites;
use crate::outcome::Outcome;
use crate::salts::period::{date_of, local_day, start_of};

/// Most days that can be made up: a day less than the reference deployment keeps events, so that none is dropped
/// as soon as it is stored.
pub const MOST_DAYS: u16 = 394;

/// Funnels that the made-up visits go through: site, name, steps.
pub const FUNNELS: [(&str, &str, &[&str]); 2] = [
    (
        "portal",
        "Invoices",
        &["Visit /", "Visit /betaling", "Invoice paid"],
    ),
    (
        "pernexus",
        "Trials",
        &["Visit /", "Visit /proev-gratis", "Trial"],
    ),
];

/// What is to be made up.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Fill {
    /// Whole days before today; today is filled up to now. 1 to [`MOST_DAYS`].
    pub days: u16,
    pub seed: u64,
    /// Visits, as a factor of what the sites have by themselves.
    pub scale: f64,
}

/// Why traffic cannot be made up.
#[derive(Debug, Error)]
pub enum TrafficError {
    /// The database of countries cannot be written.
    #[error("demo countries {path}: {reason}", path = path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// The record of what was made up cannot be read or written.
    #[error("demo record {path}: {reason}", path = path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
}

/// Returns the database that says where the made-up addresses are.
pub fn countries_file(data: &Path) -> PathBuf {
    data.join("demo-countries.mmdb")
}

/// Writes that database.
///
/// # Errors
/// [`TrafficError::Database`].
pub fn write_countries(data: &Path, now: Timestamp) -> Result<(), TrafficError> {
    countries::write_database(&countries_file(data), now)
}

/// Something that happens.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Action {
    pub at_ms: i64,
    /// Which site, as [`Traffic::site`] names them.
    pub site: usize,
    pub step: Step,
}

/// What happens.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Step {
    /// Somebody is asked for consent. Who says yes has a number among the people of the site; of who says no
    /// nothing is kept, here neither.
    Ask { yes: Option<usize>, head: Arc<Head> },
    /// A beacon is sent, with the consent of `person` where there is one.
    Send {
        person: Option<usize>,
        head: Arc<Head>,
        body: Box<Body>,
        expected: Outcome,
    },
    /// A consent is taken back.
    Withdraw { person: usize, head: Arc<Head> },
}

/// The traffic of all sites, a day at a time.
#[derive(Debug)]
pub struct Traffic {
    fill: Fill,
    zone: TimeZone,
    first: u16,
    next: u16,
    until: Timestamp,
    people: [People; PROFILES.len()],
    /// What goes on past midnight.
    carried: Vec<Action>,
}

impl Traffic {
    /// Prepares the days before `until`, by the clock of the first site.
    pub fn new(fill: &Fill, sites: &Sites, until: Timestamp) -> Traffic {
        let zone = sites
            .iter()
            .next()
            .map_or(TimeZone::UTC, |site| site.time_zone.clone());
        let today = local_day(until, &zone);
        let first = today.saturating_sub(fill.days);
        Traffic {
            fill: fill.clone(),
            zone,
            first,
            next: first,
            until,
            people: std::array::from_fn(|_| People::default()),
            carried: Vec::new(),
        }
    }

    /// Returns when the first day begins.
    pub fn begins(&self) -> Timestamp {
        start_of(self.first, &self.zone)
    }

    /// Returns how many days there are, today among them.
    pub fn n_days(&self) -> u16 {
        self.fill.days + 1
    }

    /// Returns the id of a site.
    pub fn site(&self, index: usize) -> &'static str {
        PROFILES[index].site
    }

    /// Returns how many sites there are.
    pub fn n_sites(&self) -> usize {
        PROFILES.len()
    }

    /// Makes the next day up: everything in it, in the order of time; nothing after the last.
    pub fn next_day(&mut self) -> Option<Vec<Action>> {
        let begins = start_of(self.next, &self.zone);
        if begins >= self.until {
            return None;
        }
        let ends = start_of(self.next + 1, &self.zone)
            .min(self.until)
            .as_millisecond();
        let mut actions = std::mem::take(&mut self.carried);
        for site in 0..PROFILES.len() {
            self.site_day(site, self.next, &mut actions);
        }
        // By time, then site; what one site sends at one moment stays in its order.
        actions.sort_by_key(|action| (action.at_ms, action.site));
        let after = actions.partition_point(|action| action.at_ms < ends);
        self.carried = actions.split_off(after);
        self.next += 1;
        Some(actions)
    }

    fn site_day(&mut self, site: usize, day: u16, actions: &mut Vec<Action>) {
        let profile = PROFILES[site];
        let mut chance = Chance::of(self.fill.seed, &[1, site as u64, u64::from(day)]);
        let mean = visits_of(profile, day, self.first, self.fill.scale) * chance.around(1.0, 0.06);
        let start_ms = start_of(day, &self.zone).as_millisecond();
        let moment = |chance: &mut Chance| start_ms + time_of_day(profile, chance);
        let mut begins: Vec<i64> = (0..chance.about(mean))
            .map(|_| moment(&mut chance))
            .collect();
        begins.sort_unstable();
        for started_ms in begins {
            self.visit(site, day, started_ms, &mut chance, actions);
        }
        let people = &self.people[site];
        // Somebody who was there before today: their consent is given by then.
        let is_older = |person: &usize| people.list[*person].was_asked_before(day);
        let sender = Sender {
            profile,
            site,
            person: people.known(&mut chance).filter(is_older),
        };
        sender.add(mean, moment, &mut chance, actions);
    }

    fn visit(
        &mut self,
        site: usize,
        day: u16,
        started_ms: i64,
        chance: &mut Chance,
        actions: &mut Vec<Action>,
    ) {
        let profile = PROFILES[site];
        let midnight_ms = start_of(day, &self.zone).as_millisecond();
        let people = &mut self.people[site];
        // Nobody can come back to a site that has just opened.
        let n_known = people.list.len() as f64;
        let ripeness = n_known / (n_known + profile.visits * self.fill.scale);
        let known = if chance.is(profile.returning * ripeness) {
            people.known(chance)
        } else {
            None
        };
        let is_new = known.is_none();
        let number = known.unwrap_or_else(|| {
            people.list.push(Person::new(profile, day, chance));
            people.list.len() - 1
        });
        let person = &mut people.list[number];
        let (since, is_asked_again) = person.comes(day);
        let origin = (!profile.is_app).then(|| format!("https://{}", profile.pages[0].host));
        let head = Arc::new(person.head(day, origin));
        let mut add = |at_ms, step| actions.push(Action { at_ms, site, step });
        if is_new || is_asked_again {
            let asked_ms = (started_ms - chance.between(1_500.0, 9_000.0) as i64).max(midnight_ms);
            let (yes, head) = (Some(number), head.clone());
            add(asked_ms, Step::Ask { yes, head });
        }
        if is_new {
            // For each who says yes, others said no.
            for _ in 0..chance.about((1.0 - profile.yes) / profile.yes) {
                let other = Person::new(profile, day, chance);
                let head = Arc::new(other.head(day, head.origin.clone()));
                let asked_ms =
                    (started_ms + chance.between(-600_000.0, 600_000.0) as i64).max(midnight_ms);
                add(asked_ms, Step::Ask { yes: None, head });
            }
        }
        let visit = Visit {
            profile,
            site,
            person,
            number,
            day,
            started_ms,
            since,
        };
        let ended_ms = visit.live(chance, actions);
        if chance.is(0.004) {
            people.list[number].is_gone = true;
            let (at_ms, person) = (ended_ms + 2_000, number);
            actions.push(Action {
                at_ms,
                site,
                step: Step::Withdraw { person, head },
            });
        }
    }
}

/// Returns how many visits a site has on a day: a week's shape, a slow growth, quiet holidays, a busy launch now
/// and then.
fn visits_of(profile: &Profile, day: u16, first: u16, scale: f64) -> f64 {
    let date = date_of(day);
    let weekday = date.weekday().to_monday_zero_offset() as usize;
    let growth = 1.0 + 0.0015 * f64::from(day - first);
    let is_holiday = matches!(
        (date.month(), date.day()),
        (12, 24..=26 | 31) | (1, 1) | (6, 5)
    );
    let holiday = match (is_holiday, profile.is_app) {
        (true, false) => 0.3,
        (true, true) => 0.7,
        _ => 1.0,
    };
    // Every fifth week has a launch, and a day to get over it.
    let launch = match day % 35 {
        n if n == u16::from(profile.site.as_bytes()[0]) % 35 => 1.5,
        n if n == (u16::from(profile.site.as_bytes()[0]) + 1) % 35 => 1.2,
        _ => 1.0,
    };
    profile.visits * profile.week[weekday] * growth * holiday * launch * scale
}

/// Milliseconds since midnight.
fn time_of_day(profile: &Profile, chance: &mut Chance) -> i64 {
    let total: u32 = profile.hours.iter().sum();
    let mut rest = chance.below(total as usize) as u32;
    let mut hour = 0;
    for weight in profile.hours {
        if rest < weight {
            break;
        }
        rest -= weight;
        hour += 1;
    }
    (f64::from(hour) * 3_600_000.0 + chance.unit() * 3_600_000.0) as i64
}

#[cfg(test)]
mod tests;
