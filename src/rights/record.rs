//! What `requests` and `restrictions` get to know of a request.

use jiff::Timestamp;

use super::erasing::Gone;
use super::log::{Pending, PendingKey};
use super::subject::{Action, Asked};
use crate::config::Consent as ConsentConfig;
use crate::consent::token_day;
use crate::event::{RequestRecord, RestrictionRecord};

/// How an erasure is verified, in a word, for `requests`.
const ERASED: &str = "spool_drained,count_zero,old_parts_gone";

/// The step before an erasure begins.
pub(super) fn asked(
    asked: &Asked,
    request: u64,
    now: Timestamp,
    config: &ConsentConfig,
) -> RequestRecord {
    step(asked, request, now, config, "asked", 0, "")
}

/// What was done, for anything but an erasure.
pub(super) fn answered(
    asked: &Asked,
    request: u64,
    now: Timestamp,
    config: &ConsentConfig,
    affected: u64,
    verified: &str,
) -> RequestRecord {
    step(asked, request, now, config, "done", affected, verified)
}

/// What an erasure did.
pub(super) fn done(
    pending: &Pending,
    gone: Gone,
    now: Timestamp,
    config: &ConsentConfig,
) -> RequestRecord {
    RequestRecord {
        request: pending.request,
        site: pending.scope.clone(),
        ts_ms: now.as_millisecond(),
        step: "done".into(),
        action: Action::Erase.name().into(),
        channel: pending.channel.clone(),
        periods: pending.periods,
        affected: gone.rows + gone.quarantined,
        verified: ERASED.into(),
        expires: expires(now, config),
    }
}

/// The rows that take a visitor's days out of every counting, or put them back.
pub(super) fn restrictions(
    asked: &Asked,
    days: &[PendingKey],
    is_restricted: bool,
    now: Timestamp,
) -> Vec<RestrictionRecord> {
    let retention = |site: &str| {
        let of = asked.keys.iter().find(|key| key.site.id.as_str() == site);
        of.map_or(u16::MAX, |key| key.site.retention_days)
    };
    days.iter()
        .map(|key| RestrictionRecord {
            site: key.site.clone(),
            day: key.day,
            visitor: key.visitor,
            is_restricted,
            ts_ms: now.as_millisecond(),
            expires: key.day.saturating_add(retention(&key.site)),
        })
        .collect()
}

fn step(
    asked: &Asked,
    request: u64,
    now: Timestamp,
    config: &ConsentConfig,
    step: &str,
    affected: u64,
    verified: &str,
) -> RequestRecord {
    RequestRecord {
        request,
        site: asked.site.scope.clone(),
        ts_ms: now.as_millisecond(),
        step: step.into(),
        action: asked.action.name().into(),
        channel: asked.channel.name().into(),
        periods: asked.keys.len() as u32,
        affected,
        verified: verified.into(),
        expires: expires(now, config),
    }
}

/// Proof that a request was answered is owed for as long as proof of consent.
fn expires(now: Timestamp, config: &ConsentConfig) -> u16 {
    token_day(now).saturating_add(config.ledger_days)
}
