//! The end of a salt: out of use, overwritten, unlinked, wiped; and again, until the disk has let it go.
//!
//! Comes in: the time, or which ones. Goes out: a record of each that is destroyed. What the disk keeps is out of use all the
//! same, counts as overdue, and is tried at each tick; after a restart it is found in the directory as a salt that is over.

use std::sync::{MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::period::start_of;
use super::{Keeper, Salt, SaltError, name, overdue, step};
use crate::config::{SiteId, Sites};
use crate::event::SaltStep;
use crate::secret::Trace;

/// A salt whose period begins later than this was made by a clock that has been put right since. One of the next days is
/// kept for them: they come soon, and who was counted under it meanwhile is then the same visitor.
const FAR: SignedDuration = SignedDuration::from_hours(8 * 24);

/// A destroyed salt's memory is waited for so long: a beacon under way hashes for microseconds.
const WIPE_PATIENCE: Duration = Duration::from_secs(2);

/// A salt that is out of use, and whose file is still there.
#[derive(Debug)]
pub(super) struct Undestroyed {
    pub(super) site: SiteId,
    pub(super) period: u16,
    file: String,
    reason: &'static str,
    trace: Trace,
}

impl Undestroyed {
    pub(super) fn of(site: &SiteId, period: u16, salt: &Salt, reason: &'static str) -> Undestroyed {
        Undestroyed {
            site: site.clone(),
            period,
            file: name(site, period, salt),
            reason,
            trace: salt.secret.trace(),
        }
    }
}

impl Keeper {
    /// Destroys what is over. All are taken out of use before the disk may fail over one of them.
    pub(super) fn end(
        &self,
        sites: &Sites,
        now: Timestamp,
        records: &mut Vec<SaltStep>,
    ) -> Result<(), SaltError> {
        let over = self.over(sites, now);
        self.destroy(&over, now, records)
    }

    /// Lists the salts that may not live any more, and why.
    fn over(&self, sites: &Sites, now: Timestamp) -> Vec<(SiteId, u16, &'static str)> {
        let mut over = Vec::new();
        for (id, salts) in self.living().iter() {
            let site = sites.iter().find(|s| s.id == *id);
            for (&period, salt) in &salts.by_period {
                let reason = match site {
                    None => "site_gone",
                    Some(site) => match overdue(site, period, now) {
                        3_601.. => "found_late",
                        1.. => "grace_over",
                        _ if salt.rotation != site.rotation => "rotation_changed",
                        _ if start_of(period, &site.time_zone).duration_since(now) > FAR => {
                            "far_ahead"
                        }
                        _ => continue,
                    },
                };
                over.push((id.clone(), period, reason));
            }
        }
        over
    }

    pub(super) fn destroy(
        &self,
        salts: &[(SiteId, u16, &'static str)],
        now: Timestamp,
        records: &mut Vec<SaltStep>,
    ) -> Result<(), SaltError> {
        if salts.is_empty() {
            return Ok(());
        }
        // Out of use first: whatever the disk does now, nothing more is hashed with them.
        let mut gone = Vec::new();
        self.publish(|living| {
            for (site, period, reason) in salts {
                let of_site = living.entry(site.clone()).or_default();
                let salt = of_site.by_period.remove(period);
                gone.extend(salt.map(|salt| Undestroyed::of(site, *period, &salt, reason)));
                if of_site.by_period.is_empty() {
                    living.remove(site);
                }
            }
        });
        self.let_go(gone, now, records)
    }

    /// Destroys what the disk has kept so far.
    pub(super) fn destroy_again(
        &self,
        now: Timestamp,
        records: &mut Vec<SaltStep>,
    ) -> Result<(), SaltError> {
        let kept = std::mem::take(&mut *self.undestroyed());
        self.let_go(kept, now, records)
    }

    fn let_go(
        &self,
        salts: Vec<Undestroyed>,
        now: Timestamp,
        records: &mut Vec<SaltStep>,
    ) -> Result<(), SaltError> {
        let mut result = Ok(());
        for salt in salts {
            let living = self.living();
            let new = living.get(&salt.site);
            let new = new.and_then(|salts| salts.by_period.get(&salt.period));
            // A new salt of that period may have taken the place of the file since.
            let is_replaced =
                new.is_some_and(|new| name(&salt.site, salt.period, new) == salt.file);
            drop(living);
            let destroyed_now = match is_replaced {
                true => Ok(()),
                false => self.files.destroy(&salt.file),
            };
            match destroyed_now {
                Ok(()) => {
                    let is_wiped = wait_wiped(&salt.trace);
                    let (site, period) = (&salt.site, salt.period);
                    records.push(destroyed(site, period, now, salt.reason, is_wiped));
                }
                Err(error) => {
                    result = Err(error);
                    self.undestroyed().push(salt);
                }
            }
        }
        result
    }

    pub(super) fn undestroyed(&self) -> MutexGuard<'_, Vec<Undestroyed>> {
        self.undestroyed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until the last beacon under way has let go of a salt.
fn wait_wiped(trace: &Trace) -> bool {
    let pause = Duration::from_millis(2);
    for _ in 0..WIPE_PATIENCE.as_millis() / pause.as_millis() {
        if trace.is_wiped() {
            return true;
        }
        thread::sleep(pause);
    }
    tracing::error!(
        "a destroyed salt is still held in memory; it is wiped as soon as its holder lets go"
    );
    false
}

pub(super) fn destroyed(
    site: &SiteId,
    period: u16,
    now: Timestamp,
    reason: &str,
    is_wiped: bool,
) -> SaltStep {
    let how = match is_wiped {
        true => "overwritten, unlinked, wiped",
        false => "overwritten, unlinked",
    };
    step(site, period, now, "destroyed", reason, how)
}
