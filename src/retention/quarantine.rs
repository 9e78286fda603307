//! The spool's quarantine: records that must be gone go there, too.
//!
//! Comes in: the rules. Goes out: how much was, or would be, taken out. A damaged file, whose records nobody can read, is
//! due once it is older than the longest retention of all sites.

use super::rules::Rules;
use crate::event::{Record, decode};
use crate::policy::statement::DENIAL_DAYS;
use crate::spool::{self, Erased, Removal, SegmentError, Spool};

const DAY_MS: i64 = 86_400_000;

fn is_due(rules: &Rules, record: &spool::Record) -> bool {
    let is_over = |site: &str, expires: u16| expires <= rules.today && !rules.is_held(site);
    match decode(record.kind.0, &record.payload) {
        Ok(Record::Event(event)) => rules.is_due(&event),
        Ok(Record::Consent(consent)) => is_over(&consent.site, consent.expires),
        Ok(Record::Denial(one)) => is_over(&one.site, one.day.saturating_add(DENIAL_DAYS)),
        Ok(Record::Request(request)) => is_over(&request.site, request.expires),
        Ok(Record::Restriction(one)) => is_over(&one.site, one.expires),
        Ok(Record::Access(access)) => access.expires <= rules.today,
        // Nothing personal, and no end; or of another version, which nobody can read.
        Ok(Record::Salt(_) | Record::Purge(_) | Record::Run(_)) | Err(_) => false,
    }
}

/// Counts what is due, and changes nothing. Blocks.
pub(super) fn due(spool: &Spool, rules: &Rules) -> Result<Erased, SegmentError> {
    Ok(Erased {
        records: spool.count_quarantined(&|record| is_due(rules, record))?,
        files: old_files(spool, rules)?.len() as u64,
    })
}

/// Takes out what is due. Blocks.
pub(super) fn purge(spool: &Spool, rules: &Rules) -> Result<Erased, SegmentError> {
    let mut erased =
        spool.erase_quarantined(Removal::Retention, &|record| is_due(rules, record), &[])?;
    for name in old_files(spool, rules)? {
        spool.drop_quarantined(&name)?;
        erased.files += 1;
    }
    Ok(erased)
}

fn old_files(spool: &Spool, rules: &Rules) -> Result<Vec<String>, SegmentError> {
    let Some(longest) = rules.longest() else {
        return Ok(Vec::new());
    };
    let oldest_ms = (i64::from(rules.today) - i64::from(longest)) * DAY_MS;
    let files = spool.quarantined()?.into_iter().filter(|file| {
        !file.replayable
            && file
                .created_unix_ms
                .is_some_and(|created| created < oldest_ms)
    });
    Ok(files.map(|file| file.name).collect())
}
