//! What an operator may ask of the salts: how they are, to replace one before its time, to destroy them.
//!
//! Comes in: an [`Order`] from the admin listener. Goes out: [`Status`] lines, or the records of what was done. Both
//! never hold a salt or a hash of one. `rotate` replaces the present salt, after a leak perhaps: from then on the day's
//! visitors are counted anew, and their receipts of before open only what came before. `destroy` ends those of the
//! grace as well. In both cases the next tick finds the present salt made.

use std::sync::PoisonError;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::period::{date_of, local_day, next_period, period_of, start_of};
use super::{Keeper, Origin, SaltError};
use crate::config::Sites;
use crate::event::SaltStep;

/// What to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Destroy all salts that live, those of the grace included.
    Destroy,
    /// Replace the present salt.
    Rotate,
    /// Say how they are.
    #[default]
    Status,
}

/// An order as it arrives.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Order {
    pub action: Action,
    /// A site's id or domain; without it all sites.
    pub site: Option<String>,
}

/// One living salt.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Status {
    pub site: String,
    /// First local date of its period.
    pub period: String,
    /// `next`, `current`, `previous` or `overdue`.
    pub state: &'static str,
    /// `own`, or `shared` with the collectors of the chain.
    pub origin: &'static str,
    /// When it is destroyed, UTC.
    pub destroyed_at: String,
    /// Seconds by which it has outlived its grace.
    pub overdue_s: i64,
}

/// How the salts are kept.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Report {
    pub salts: Vec<Status>,
    /// Files are sealed with the operator's key.
    pub is_sealed: bool,
    /// Secrets whose memory could not be locked.
    pub unlocked: usize,
    pub chain: Option<ChainStatus>,
}

/// How the chain is.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct ChainStatus {
    /// First date whose salts can still be derived; none: there is no state, a seed is needed.
    pub from: Option<String>,
    /// Dates on which a new seed takes over.
    pub reseeded: Vec<String>,
}

impl Keeper {
    /// Says how the salts are.
    pub fn report(&self, sites: &Sites, now: Timestamp) -> Report {
        let mut salts = Vec::new();
        let living = self.living();
        for site in sites.iter() {
            let today = period_of(local_day(now, &site.time_zone), site.rotation);
            for (&period, salt) in living.get(&site.id).iter().flat_map(|s| &s.by_period) {
                let end = start_of(next_period(period, site.rotation), &site.time_zone);
                let overdue_s = super::overdue(site, period, now);
                salts.push(Status {
                    site: site.id.to_string(),
                    period: date_of(period).to_string(),
                    state: match period.cmp(&today) {
                        std::cmp::Ordering::Greater => "next",
                        std::cmp::Ordering::Equal => "current",
                        std::cmp::Ordering::Less if overdue_s > 0 => "overdue",
                        std::cmp::Ordering::Less => "previous",
                    },
                    origin: salt.origin.word(),
                    destroyed_at: end
                        .checked_add(site.salt_grace)
                        .unwrap_or(Timestamp::MAX)
                        .to_string(),
                    overdue_s: overdue_s.max(0),
                });
            }
        }
        let chain = self.seed_file.as_ref().map(|_| {
            let work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
            ChainStatus {
                from: work.chain.position().map(|day| date_of(day).to_string()),
                reseeded: work
                    .chain
                    .awaited()
                    .map(|day| date_of(day).to_string())
                    .collect(),
            }
        });
        Report {
            salts,
            is_sealed: self.files.is_sealed(),
            unlocked: crate::secret::unlocked(),
            chain,
        }
    }

    /// Carries out `action` on the sites given, and makes what is needed anew. Blocking.
    ///
    /// # Errors
    /// [`SaltError`], as [`Keeper::tick`]; what was done is in `records`.
    pub fn obey(
        &self,
        action: Action,
        sites: &Sites,
        of: &dyn Fn(&str) -> bool,
        now: Timestamp,
        records: &mut Vec<SaltStep>,
    ) -> Result<(), SaltError> {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ended = Vec::new();
        for site in sites.iter().filter(|site| of(site.id.as_str())) {
            let today = period_of(local_day(now, &site.time_zone), site.rotation);
            for (period, _) in self.living().get(&site.id).iter().flat_map(|s| s.iter()) {
                let is_meant = match action {
                    Action::Destroy => true,
                    Action::Rotate => period == today,
                    Action::Status => false,
                };
                if is_meant {
                    ended.push((site.id.clone(), period, "operator"));
                    work.reasons.insert(site.id.clone(), "operator");
                }
            }
        }
        let destroyed = self.destroy(&ended, now, records);
        let made = self.make(&mut work, sites, now, records);
        destroyed.and(made)
    }

    /// Destroys every salt and every state of the chain, for good: of a collector that is taken out of service.
    ///
    /// # Errors
    /// [`SaltError`]; run it again.
    pub fn destroy_all(&self, now: Timestamp) -> Result<Vec<SaltStep>, SaltError> {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::new();
        for (site, salts) in self.living().iter() {
            all.extend(
                salts
                    .iter()
                    .map(|(period, _)| (site.clone(), period, "operator")),
            );
        }
        let mut records = Vec::new();
        self.destroy(&all, now, &mut records)?;
        work.chain.destroy(&self.files)?;
        Ok(records)
    }

    /// Tells whether a living salt is the chain's.
    pub fn origin(&self, site: &str, period: u16) -> Option<Origin> {
        let living = self.living();
        let (_, salts) = living.iter().find(|(id, _)| id.as_str() == site)?;
        Some(salts.by_period.get(&period)?.origin)
    }
}
