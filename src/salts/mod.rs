//! Life of a salt: created → current → previous (grace) → destroyed.
//!
//! Comes in: the sites, the time. Goes out: for each site the salts that live now, for
//! [`crate::pseudonym`] to hash with, and a record of each creation and destruction. Promises that a salt
//! exists in one file (0600, in a 0700 directory) and in memory, and that after its period and the
//! grace it is in neither: taken out of use, overwritten, unlinked, the directory fsynced, memory wiped.
//! (On SSDs and copy-on-write file systems an overwrite may leave old blocks behind; README says so.)
//!
//! Requests only read. One task calls [`Keeper::tick`]; a salt is made shortly before its period begins,
//! so that midnight finds it ready. A clock set back finds the salts that still live and makes new ones
//! where they are gone: a destroyed salt never returns, that day's visitors are then counted anew.
//!
//! The chain for many collectors will take the place of `Secret::random` in `create`.

pub mod period;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

use self::period::{date_of, day_number, local_day, next_period, period_of, start_of};
use crate::config::{Site, SiteId, Sites};
use crate::event::SaltRecord;
use crate::secret::{self, SECRET_BYTES, Secret, SecretError};

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
}

/// The salts of one site that live now, by first local date of their period.
#[derive(Clone, Debug, Default)]
pub struct SiteSalts {
    by_period: BTreeMap<u16, Secret>,
}

impl SiteSalts {
    /// Returns the salt of the period that starts on the local date `period`, if it lives.
    pub fn of(&self, period: u16) -> Option<&Secret> {
        self.by_period.get(&period)
    }

    /// Returns the periods whose salts live, oldest first, with their salts.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &Secret)> {
        self.by_period.iter().map(|(period, salt)| (*period, salt))
    }
}

/// What requests read: every site's living salts at one moment.
pub type SaltSet = HashMap<SiteId, SiteSalts>;

/// Keeps the salts: the only module that makes, stores and destroys them.
#[derive(Debug)]
pub struct Keeper {
    directory: PathBuf,
    living: ArcSwap<SaltSet>,
    /// One tick at a time; also guards the directory.
    ticking: Mutex<()>,
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
}

impl Keeper {
    /// Opens `directory` (made 0700 if missing) and reads the salts in it.
    ///
    /// # Errors
    /// [`SaltError`]; brine must not start with salts that others can read.
    pub fn open(directory: &Path) -> Result<Keeper, SaltError> {
        let io_error = |source| SaltError::Io {
            path: directory.to_owned(),
            source,
        };
        if !directory.exists() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .map_err(io_error)?;
        }
        let mode = fs::metadata(directory)
            .map_err(io_error)?
            .permissions()
            .mode()
            & 0o777;
        if mode & 0o077 != 0 {
            return Err(SaltError::TooWide {
                path: directory.to_owned(),
                mode,
            });
        }
        let mut living = SaltSet::new();
        for entry in fs::read_dir(directory).map_err(io_error)? {
            let path = entry.map_err(io_error)?.path();
            let Some((site, period)) = parse_name(&path) else {
                if path.extension().is_some_and(|e| e == "new") {
                    // Half-made when a crash came: never used, so nothing was hashed with it.
                    destroy_file(&path).map_err(io_error)?;
                } else {
                    tracing::warn!(file = ?path.file_name(), "a file in the salt directory is no salt; left alone");
                }
                continue;
            };
            let salt = secret::load_or_create(&path)?;
            living
                .entry(site)
                .or_default()
                .by_period
                .insert(period, salt);
        }
        Ok(Keeper {
            directory: directory.to_owned(),
            living: ArcSwap::from_pointee(living),
            ticking: Mutex::new(()),
        })
    }

    /// Returns the salts that live now; cheap, lock-free.
    pub fn living(&self) -> arc_swap::Guard<Arc<SaltSet>> {
        self.living.load()
    }

    /// Makes what is due, destroys what is over, and returns the records of both. Blocking.
    ///
    /// # Errors
    /// [`SaltError`]; what was done so far stands, the rest is tried again at the next tick. A salt that
    /// could not be destroyed is out of use all the same.
    pub fn tick(&self, sites: &Sites, now: Timestamp) -> Result<Vec<SaltRecord>, SaltError> {
        let _one_at_a_time = self.ticking.lock().unwrap_or_else(PoisonError::into_inner);
        let mut records = Vec::new();
        for site in sites.iter() {
            let today = period_of(local_day(now, &site.time_zone), site.rotation);
            let soon = period_of(local_day(now + LEAD, &site.time_zone), site.rotation);
            for period in [today, soon] {
                if !self.lives(&site.id, period) {
                    records.push(self.create(site, period, now)?);
                }
            }
        }
        for (site, period) in self.over(sites, now) {
            let late = sites
                .iter()
                .find(|s| s.id == site)
                .is_some_and(|s| overdue(s, period, now) > 3_600);
            records.push(self.destroy(
                &site,
                period,
                now,
                if late { "found_late" } else { "grace_over" },
            )?);
        }
        Ok(records)
    }

    /// Returns ages for metrics.
    pub fn ages(&self, sites: &Sites, now: Timestamp) -> SaltAges {
        let mut ages = SaltAges::default();
        for (id, salts) in self.living().iter() {
            for &period in salts.by_period.keys() {
                ages.living += 1;
                if let Some(site) = sites.iter().find(|s| s.id == *id) {
                    let age = now
                        .duration_since(start_of(period, &site.time_zone))
                        .as_secs();
                    ages.oldest_s = ages.oldest_s.max(age);
                    ages.overdue_s = ages.overdue_s.max(overdue(site, period, now));
                }
            }
        }
        ages
    }

    fn lives(&self, site: &SiteId, period: u16) -> bool {
        self.living()
            .get(site)
            .is_some_and(|salts| salts.of(period).is_some())
    }

    fn create(&self, site: &Site, period: u16, now: Timestamp) -> Result<SaltRecord, SaltError> {
        let salt = Secret::random();
        let path = self.path(&site.id, period);
        secret::write_private(&path, salt.expose())
            .map_err(|source| SaltError::Io { path, source })?;
        let is_first = !self.living().contains_key(&site.id);
        self.publish(|living| {
            living
                .entry(site.id.clone())
                .or_default()
                .by_period
                .insert(period, salt);
        });
        Ok(record(
            &site.id,
            period,
            now,
            "created",
            if is_first { "first_start" } else { "rotation" },
        ))
    }

    /// Lists the salts whose period and grace are over, and those of sites that are gone.
    fn over(&self, sites: &Sites, now: Timestamp) -> Vec<(SiteId, u16)> {
        let mut over = Vec::new();
        for (id, salts) in self.living().iter() {
            let site = sites.iter().find(|s| s.id == *id);
            for &period in salts.by_period.keys() {
                if site.is_none_or(|site| overdue(site, period, now) > 0) {
                    over.push((id.clone(), period));
                }
            }
        }
        over
    }

    fn destroy(
        &self,
        site: &SiteId,
        period: u16,
        now: Timestamp,
        reason: &str,
    ) -> Result<SaltRecord, SaltError> {
        // Out of use first: whatever the disk does now, nothing more is hashed with it.
        self.publish(|living| {
            if let Some(salts) = living.get_mut(site) {
                salts.by_period.remove(&period);
                if salts.by_period.is_empty() {
                    living.remove(site);
                }
            }
        });
        let path = self.path(site, period);
        destroy_file(&path).map_err(|source| SaltError::Io { path, source })?;
        Ok(record(site, period, now, "destroyed", reason))
    }

    fn publish(&self, change: impl FnOnce(&mut SaltSet)) {
        let mut living = SaltSet::clone(&self.living());
        change(&mut living);
        self.living.store(Arc::new(living));
    }

    fn path(&self, site: &SiteId, period: u16) -> PathBuf {
        self.directory
            .join(format!("{site}@{}.salt", date_of(period)))
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

fn record(site: &SiteId, period: u16, now: Timestamp, step: &str, reason: &str) -> SaltRecord {
    SaltRecord {
        site: site.to_string(),
        period,
        ts_ms: now.as_millisecond(),
        step: step.into(),
        reason: reason.into(),
    }
}

fn parse_name(path: &Path) -> Option<(SiteId, u16)> {
    let (site, date) = path
        .file_name()?
        .to_str()?
        .strip_suffix(".salt")?
        .split_once('@')?;
    Some((SiteId::new(site)?, day_number(date.parse().ok()?)))
}

/// Overwrites with random bytes, fsyncs, unlinks, fsyncs the directory.
fn destroy_file(path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    file.write_all(&secret::random_bytes::<SECRET_BYTES>())?;
    file.sync_all()?;
    fs::remove_file(path)?;
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
