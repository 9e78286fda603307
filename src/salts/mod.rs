//! Life of a salt: created → current → previous (grace) → destroyed.
//!
//! Comes in: the sites, the time, an operator's order, a seed. Goes out: for each site the salts that live now, for
//! [`crate::pseudonym`] to hash with, and a record of each creation and destruction. Promises that a salt exists in one
//! file (`files`; sealed where the operator keeps a key elsewhere, [`wrap`]) and in one locked page of memory
//! ([`crate::secret`]), and that after its period and the grace it is in neither: taken out of use, overwritten,
//! unlinked, the directory fsynced, memory wiped, that being waited for.
//!
//! Salts are random, each collector's own, or with `salts.chain` derived forwards from one seed ([`chain`]), so that
//! many collectors agree without talking.
//!
//! **Time.** Requests only read. One task calls [`Keeper::tick`] every second; a salt is made ten minutes before its
//! period begins, so that midnight finds it ready. What is decided about clocks:
//!
//! - Midnight is the site's, by the time-zone database: a day of 23 or 25 hours has one salt, and where daylight saving
//!   skips or repeats midnight, the first instant of the date counts. Leap seconds do not exist in the system's time.
//! - A machine that slept, or a brine that was off: what is over is destroyed at the first tick, before the first beacon
//!   (`found_late`), however many days late.
//! - A clock set back: living salts serve on, and one that was destroyed never returns; the date's visitors are then
//!   counted anew under another salt. The salts of the next eight days are kept for them, later ones destroyed.
//! - A clock set forward: what is then over is destroyed, as if the time had passed. Put right again: as set back.
//!   Always rather a visitor counted twice than a salt too long alive.
//! - A rotation that was changed: salts that are no period's any more are destroyed at once.

pub mod chain;
mod ending;
mod files;
pub mod order;
pub mod period;
pub mod wrap;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use rustc_hash::FxHashMap;
use thiserror::Error;

use self::chain::{Chain, Link, Seed};
use self::ending::{Undestroyed, destroyed};
use self::files::{Files, Found};
use self::period::{date_of, day_number, local_day, next_period, period_of, start_of};
use crate::config::settings::Rotation;
use crate::config::{Site, SiteId, Sites};
use crate::event::SaltStep;
use crate::secret::{Secret, SecretError};

/// A salt is made this long before its period begins.
const LEAD: SignedDuration = SignedDuration::from_mins(10);

/// Why the salts cannot be kept.
#[derive(Debug, Error)]
pub enum SaltError {
    /// The directory or a file in it cannot be read or written.
    #[error("salt directory {path}", path = path.display())]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Others than the owner may look into the directory: `chmod 700` it.
    #[error("salt directory {path} has mode {mode:04o}; it must be 0700", path = path.display())]
    TooWide {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A salt file is damaged or too widely readable.
    #[error("salt file")]
    File(#[from] SecretError),
    /// A salt file is sealed and no key is configured: name it again, or destroy the salts (`brine salts destroy`).
    #[error(
        "salt file {path} is sealed, and none of salts.key_file, salts.key_credential, salts.key_variable is set",
        path = path.display()
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The seed file is none: make one with `brine salts seed`, or fetch one with `brine salts export`.
    #[error("seed file {path} is none of `brine salts seed` or `brine salts export`", path = path.display())]
    Seed {
        /// The file.
        path: PathBuf,
    },
    /// The chain's state is too old, or the clock far ahead; the operator looks at the clock, or gives a new seed.
    #[error(
        "the chain is at {from} and the clock at {to}: too far to walk; check the clock, or give a new seed"
    )]
    TooFar {
        /// The state's date.
        from: Date,
        /// The date asked for.
        to: Date,
    },
    /// There is no chain, or none that can be read.
    #[error("{path} holds no state of a chain that can be read", path = path.display())]
    NoChain {
        /// The directory.
        path: PathBuf,
    },
}

/// Where a salt's bits came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From the operating system: this collector's alone.
    Own,
    /// From the chain: the same in every collector that has it.
    Shared,
}

impl Origin {
    /// Returns the word for it.
    pub fn word(self) -> &'static str {
        match self {
            Origin::Own => "own",
            Origin::Shared => "shared",
        }
    }
}

#[derive(Clone, Debug)]
struct Salt {
    secret: Secret,
    origin: Origin,
    /// Of how long a period: one day may begin a day, a week and a month.
    rotation: Rotation,
}

/// The salts of one site that live now, by first local date of their period.
#[derive(Clone, Debug, Default)]
pub struct SiteSalts {
    by_period: BTreeMap<u16, Salt>,
}

impl SiteSalts {
    /// Returns the salt of the period that starts on the local date `period`, if it lives.
    pub fn of(&self, period: u16) -> Option<&Secret> {
        self.by_period.get(&period).map(|salt| &salt.secret)
    }

    /// Returns the periods whose salts live, oldest first, with their salts.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &Secret)> {
        self.by_period
            .iter()
            .map(|(period, salt)| (*period, &salt.secret))
    }
}

/// What requests read: every site's living salts at one moment.
pub type SaltSet = FxHashMap<SiteId, SiteSalts>;

/// How salts are kept, as configured.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Keeping {
    /// What files are sealed with.
    pub key: Option<Secret>,
    /// Where a seed is looked for; with it, salts come from the chain.
    pub seed_file: Option<PathBuf>,
}

/// Keeps the salts: the only module that makes, stores and destroys them.
#[derive(Debug)]
pub struct Keeper {
    files: Files,
    seed_file: Option<PathBuf>,
    living: ArcSwap<SaltSet>,
    /// One change at a time; also guards the directory.
    work: Mutex<Work>,
    /// Out of use, and the disk did not let them go: tried again at each tick.
    undestroyed: Mutex<Vec<Undestroyed>>,
}

/// What only the one who changes salts sees.
#[derive(Debug)]
struct Work {
    chain: Chain,
    /// Salts found sealed with a key that is gone; recorded at the first tick.
    lost: Vec<(SiteId, u16)>,
    /// Sites whose next salt is made for this reason instead of the usual one.
    reasons: HashMap<SiteId, &'static str>,
}

/// Figures for metrics.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct SaltAges {
    pub living: usize,
    /// Seconds since the start of the period of the oldest living salt.
    pub oldest_s: i64,
    /// Seconds by which the most overdue salt has outlived its grace; 0 when none has.
    pub overdue_s: i64,
    /// Living salts that other collectors of the chain do not have.
    pub off_chain: usize,
}

impl Keeper {
    /// Opens `directory` (made 0700 if missing) and reads the salts in it. Salts sealed with another key than
    /// `keeping` has are lost: they are destroyed here, and recorded at the first tick.
    ///
    /// # Errors
    /// [`SaltError`]; brine must not start with salts that others can read.
    pub fn open(directory: &Path, keeping: Keeping) -> Result<Keeper, SaltError> {
        let files = Files::open(directory, keeping.key)?;
        let names = files.names()?;
        let mut living = SaltSet::default();
        let (mut lost, mut undestroyed) = (Vec::new(), Vec::new());
        for name in &names {
            let Some((site, period, rotation, origin)) = parse_name(name) else {
                if chain::parse_name(name).is_none() {
                    tracing::warn!(name, "a file in the salt directory is no salt; left alone");
                }
                continue;
            };
            match files.read(name)? {
                Found::Secret(secret) => {
                    let salt = Salt {
                        secret,
                        origin,
                        rotation,
                    };
                    let of_site = living.entry(site.clone()).or_default();
                    if let Some(other) = of_site.by_period.insert(period, salt) {
                        // The disk had kept it until brine ended.
                        undestroyed.push(Undestroyed::of(&site, period, &other, "found_late"));
                    }
                }
                Found::Lost => {
                    files.destroy(name)?;
                    lost.push((site, period));
                }
            }
        }
        let (mut chain, is_chain_lost) = Chain::open(&files, &names)?;
        if keeping.seed_file.is_none() && chain.position().is_some() {
            tracing::warn!(
                "salts.chain is false: the chain's state, which other collectors' salts follow from, is destroyed"
            );
            chain.destroy(&files)?;
        }
        if !lost.is_empty() || is_chain_lost {
            tracing::error!(
                salts = lost.len(),
                chain = is_chain_lost,
                "the key that salts were sealed with is gone: they are lost and destroyed; new ones are made, and who \
                 was counted under them is counted anew"
            );
        }
        let reasons = lost.iter().map(|(site, _)| (site.clone(), "key_lost"));
        Ok(Keeper {
            seed_file: keeping.seed_file,
            living: ArcSwap::from_pointee(living),
            work: Mutex::new(Work {
                chain,
                reasons: reasons.collect(),
                lost,
            }),
            undestroyed: Mutex::new(undestroyed),
            files,
        })
    }

    /// Returns the salts that live now; cheap, lock-free.
    pub fn living(&self) -> arc_swap::Guard<Arc<SaltSet>> {
        self.living.load()
    }

    /// Makes what is due, destroys what is over, and adds the records of both to `records`, also where it fails.
    /// Blocking.
    ///
    /// # Errors
    /// [`SaltError`]; what was done so far stands, the rest is tried again at the next tick. A salt that
    /// could not be destroyed is out of use all the same.
    pub fn tick(
        &self,
        sites: &Sites,
        now: Timestamp,
        records: &mut Vec<SaltStep>,
    ) -> Result<(), SaltError> {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        for (site, period) in work.lost.drain(..) {
            records.push(destroyed(&site, period, now, "key_lost", true));
        }
        // Each by itself: a full disk must not keep an old salt alive, nor a bad seed a new one unmade.
        let seeded = self.take_seed(&mut work);
        let made = self.make(&mut work, sites, now, records);
        let retried = self.destroy_again(now, records);
        let ended = self.end(sites, now, records);
        ended.and(retried).and(made).and(seeded)
    }

    /// Returns ages for metrics.
    pub fn ages(&self, sites: &Sites, now: Timestamp) -> SaltAges {
        let mut ages = SaltAges::default();
        for (id, salts) in self.living().iter() {
            for (&period, salt) in &salts.by_period {
                ages.living += 1;
                ages.off_chain +=
                    usize::from(self.seed_file.is_some() && salt.origin == Origin::Own);
                if let Some(site) = sites.iter().find(|s| s.id == *id) {
                    let age = now
                        .duration_since(start_of(period, &site.time_zone))
                        .as_secs();
                    ages.oldest_s = ages.oldest_s.max(age);
                    ages.overdue_s = ages.overdue_s.max(overdue(site, period, now));
                }
            }
        }
        for Undestroyed { site, period, .. } in &*self.undestroyed() {
            let of_site = sites.iter().find(|known| known.id == *site);
            let late = of_site.map_or(0, |known| overdue(known, *period, now));
            ages.overdue_s = ages.overdue_s.max(late).max(1);
        }
        ages
    }

    /// Makes the salts that the sites need now and soon.
    fn make(
        &self,
        work: &mut Work,
        sites: &Sites,
        now: Timestamp,
        records: &mut Vec<SaltStep>,
    ) -> Result<(), SaltError> {
        let mut needed = Vec::new();
        for site in sites.iter() {
            for at in [now, now + LEAD] {
                needed.push((
                    site,
                    period_of(local_day(at, &site.time_zone), site.rotation),
                ));
            }
        }
        // One of the former rotation that begins with the new one's period would live as long as that.
        let living = self.living();
        let is_other = |(site, period): &&(&Arc<Site>, u16)| {
            let salt = living.get(&site.id).and_then(|of| of.by_period.get(period));
            salt.is_some_and(|salt| salt.rotation != site.rotation)
        };
        let displaced: Vec<_> = needed
            .iter()
            .filter(is_other)
            .map(|(site, period)| (site.id.clone(), *period, "rotation_changed"))
            .collect();
        drop(living);
        let displaced = self.destroy(&displaced, now, records);
        let walked = match (
            &self.seed_file,
            needed.iter().map(|(_, period)| *period).max(),
        ) {
            (Some(_), Some(target)) => self.walk(work, sites, target, now, records),
            _ => Ok(()),
        };
        if let Err(error @ SaltError::Io { .. }) = walked {
            // The chain stands where it stood, and the next tick may go on with it; a salt of our own would be for the
            // whole period.
            return Err(error);
        }
        for (site, period) in needed {
            if self.lives(&site.id, period) {
                continue;
            }
            let usual = match (&self.seed_file, self.living().contains_key(&site.id)) {
                (Some(_), _) => {
                    tracing::error!(site = %site.id, period = %date_of(period), "no chain reaches this period: the \
                        salt is this collector's own, and who is counted here as well as elsewhere is counted twice");
                    "off_chain"
                }
                (None, true) => "rotation",
                (None, false) => "first_start",
            };
            let reason = work.reasons.remove(&site.id).unwrap_or(usual);
            records.push(self.create(site, period, now, reason, Secret::random(), Origin::Own)?);
        }
        walked.and(displaced)
    }

    /// Takes from the chain what the sites need up to the date `target`, and forgets how.
    fn walk(
        &self,
        work: &mut Work,
        sites: &Sites,
        target: u16,
        now: Timestamp,
        records: &mut Vec<SaltStep>,
    ) -> Result<(), SaltError> {
        let reasons = &mut work.reasons;
        work.chain.walk(&self.files, target, |day, link: &Link| {
            for site in sites.iter() {
                let starts = period_of(day, site.rotation) == day;
                if !starts || self.lives(&site.id, day) || overdue(site, day, now) > 0 {
                    continue;
                }
                let secret = link.salt(site.id.as_str(), site.rotation);
                let reason = reasons.remove(&site.id).unwrap_or("rotation");
                records.push(self.create(site, day, now, reason, secret, Origin::Shared)?);
            }
            Ok(())
        })
    }

    /// Takes over a seed that the operator has put there, and destroys its file.
    fn take_seed(&self, work: &mut Work) -> Result<(), SaltError> {
        let Some(path) = &self.seed_file else {
            return Ok(());
        };
        if let Some(seed) = Seed::read(path)? {
            let day = seed.day;
            work.chain.adopt(&self.files, seed)?;
            chain::destroy_seed(path)?;
            tracing::info!(from = %date_of(day), "a seed was taken over, and its file destroyed");
        }
        Ok(())
    }

    fn lives(&self, site: &SiteId, period: u16) -> bool {
        self.living()
            .get(site)
            .is_some_and(|salts| salts.of(period).is_some())
    }

    fn create(
        &self,
        site: &Site,
        period: u16,
        now: Timestamp,
        reason: &str,
        secret: Secret,
        origin: Origin,
    ) -> Result<SaltStep, SaltError> {
        let salt = Salt {
            secret,
            origin,
            rotation: site.rotation,
        };
        self.files
            .write(&name(&site.id, period, &salt), &salt.secret)?;
        self.publish(|living| {
            let of_site = living.entry(site.id.clone()).or_default();
            of_site.by_period.insert(period, salt);
        });
        let how = match origin {
            Origin::Own => "random",
            Origin::Shared => "chain",
        };
        Ok(step(&site.id, period, now, "created", reason, how))
    }

    fn publish(&self, change: impl FnOnce(&mut SaltSet)) {
        let mut living = SaltSet::clone(&self.living());
        change(&mut living);
        self.living.store(Arc::new(living));
    }
}

/// Seconds since the salt of `period` should have been destroyed; negative while it may live. The grace
/// begins when the period ends.
fn overdue(site: &Site, period: u16, now: Timestamp) -> i64 {
    let end = start_of(next_period(period, site.rotation), &site.time_zone);
    now.duration_since(end)
        .saturating_sub(site.salt_grace)
        .as_secs()
}

fn step(
    site: &SiteId,
    period: u16,
    now: Timestamp,
    step: &str,
    reason: &str,
    how: &str,
) -> SaltStep {
    SaltStep {
        site: site.to_string(),
        period,
        ts_ms: now.as_millisecond(),
        step: step.into(),
        reason: reason.into(),
        how: how.into(),
    }
}

/// `portal@2026-06-08.salt`, or `.week.salt` and `.month.salt` for what lives longer than a day.
fn name(site: &SiteId, period: u16, salt: &Salt) -> String {
    let kind = match salt.origin {
        Origin::Own => "salt",
        Origin::Shared => "shared",
    };
    let date = date_of(period);
    match salt.rotation {
        Rotation::Day => format!("{site}@{date}.{kind}"),
        longer => format!("{site}@{date}.{}.{kind}", longer.name()),
    }
}

fn parse_name(name: &str) -> Option<(SiteId, u16, Rotation, Origin)> {
    let (stem, kind) = name.rsplit_once('.')?;
    let origin = match kind {
        "salt" => Origin::Own,
        "shared" => Origin::Shared,
        _ => return None,
    };
    let (site, date) = stem.split_once('@')?;
    let (date, rotation) = match date.split_once('.') {
        None => (date, Rotation::Day),
        Some((date, "week")) => (date, Rotation::Week),
        Some((date, "month")) => (date, Rotation::Month),
        Some(_) => return None,
    };
    let period = day_number(date.parse().ok()?);
    Some((SiteId::new(site)?, period, rotation, origin))
}

#[cfg(test)]
mod tests;
