//! Up to where stored rows are settled, at this collector and at the others that store in the same ClickHouse.
//!
//! Comes in: a request that is about to change or show rows. Goes out: [`Settled`], and who has not answered yet. A row is
//! settled when its batch has left the spool it came from: then it is never counted or sent again.
//!
//! # Asking around
//!
//! Nobody can look into another one's spool. So the request is called out in `settle_calls`; each of the others sees it
//! within about a second, brings everything that it holds by then to ClickHouse, takes the request's rows out of its
//! quarantine, and answers up to which segment (`elsewhere`). No clock is compared: what a collector had accepted before
//! it saw the call is in that, and the visitor asked after it was accepted. An answer stays true for ever, for nothing
//! comes back from a spool. Who is to answer stands in `collectors`, where each enters itself at its start, before it
//! sends its first batch: one that is down is waited for, until it is back or an operator has said that its disk is gone
//! (`brine collectors forget`). What it had settled stands there, too, as of the last hour, so that old rows need not wait.
//!
//! What this does not know: what a collector holds that was never in touch with this ClickHouse, until it is; and versions
//! of before, which do not enter themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::rows::Rows;
use super::rows::calls::{Known, Said};
use crate::collector::Collector;
use crate::spool::SegmentId;
use crate::store::StoreError;

/// How often answers are looked for.
const LOOK: Duration = Duration::from_millis(100);

/// Enters this collector, or says how far it has settled.
///
/// # Errors
/// What ClickHouse said.
pub(crate) async fn enter(
    collector: &Collector,
    rows: &Rows,
    is_start: bool,
) -> Result<(), StoreError> {
    let (me, settled) = (
        collector.spool.incarnation(),
        collector.spool.settled().as_u64(),
    );
    rows.enter(me, &host(), settled, is_start).await
}

/// The machine's name, as it calls itself.
fn host() -> String {
    let uname = rustix::system::uname();
    uname.nodename().to_string_lossy().into_owned()
}

/// Up to where one spool is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) incarnation: u64,
    pub(crate) segment: u64,
}

/// Up to where rows are settled: those of each of these spools up to a segment, and everything of spools that are not
/// known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settled(Vec<Bound>);

impl Settled {
    /// Of this collector alone, up to a segment.
    pub(crate) fn here(collector: &Collector, segment: SegmentId) -> Settled {
        Settled(vec![Bound {
            incarnation: collector.spool.incarnation(),
            segment: segment.as_u64(),
        }])
    }

    /// See [`crate::store::BatchId::new`] for the layout.
    pub(crate) fn sql(&self) -> String {
        let spool = "bitShiftRight(batch_id, 64)";
        let known: Vec<String> = self
            .0
            .iter()
            .map(|bound| number(bound.incarnation.into()))
            .collect();
        let mut sql = format!("({spool} NOT IN ({})", known.join(", "));
        for Bound {
            incarnation,
            segment,
        } in &self.0
        {
            let first = u128::from(*incarnation) << 64;
            let last = first | u128::from(*segment) << 16 | 0xffff;
            sql += &format!(
                " OR batch_id BETWEEN {} AND {}",
                number(first),
                number(last)
            );
        }
        sql + ")"
    }
}

/// ClickHouse reads a bare number beyond 64 bits as a Float64.
fn number(number: u128) -> String {
    format!("toUInt128('{number}')")
}

/// What the others said to a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Around {
    said: Vec<Said>,
    silent: Vec<Known>,
}

impl Around {
    /// Returns who has not answered.
    pub(crate) fn silent(&self) -> &[Known] {
        &self.silent
    }

    /// Adds the others to what is settled here. Of one that has not answered, it is what it said last.
    pub(crate) fn settled(&self, here: Settled) -> Settled {
        let silent = self.silent.iter().map(|known| Bound {
            incarnation: known.incarnation,
            segment: known.settled,
        });
        let Settled(mut bounds) = self.answered(here);
        bounds.extend(silent);
        Settled(bounds)
    }

    /// The same, but of one that has not answered everything counts as settled.
    pub(crate) fn answered(&self, here: Settled) -> Settled {
        let Settled(mut bounds) = here;
        bounds.extend(self.said.iter().map(|said| Bound {
            incarnation: said.incarnation,
            segment: said.segment,
        }));
        Settled(bounds)
    }

    /// Returns how many records, and how many damaged files, left the others' quarantines.
    pub(crate) fn quarantined(&self) -> (u64, u64) {
        let records = self.said.iter().map(|said| said.quarantined).sum();
        (
            records,
            self.said.iter().map(|said| said.damaged_files).sum(),
        )
    }
}

/// Calls requests out, each with its number of keys (which are laid down already; 0: it has none), and waits until all
/// others have answered, or `patience` is over. The calls stay until [`Rows::hang_up`].
///
/// # Errors
/// What ClickHouse said.
pub(crate) async fn ask(
    collector: &Collector,
    rows: &Rows,
    requests: &[(u64, u32)],
    patience: Duration,
) -> Result<BTreeMap<u64, Around>, StoreError> {
    let ids: Vec<u64> = requests.iter().map(|(request, _)| *request).collect();
    let all = |around: &dyn Fn(u64) -> Around| ids.iter().map(|id| (*id, around(*id))).collect();
    if !collector.config.store.is_shared() {
        return Ok(all(&|_| Around::default()));
    }
    let me = collector.spool.incarnation();
    let begun = Instant::now();
    let mut is_called = false;
    loop {
        let mut others = rows.collectors().await?;
        others.retain(|known| known.incarnation != me);
        if others.is_empty() {
            return Ok(all(&|_| Around::default()));
        }
        if !is_called {
            rows.call(me, requests).await?;
            is_called = true;
        }
        let said = rows.answers(&ids).await?;
        let around: BTreeMap<u64, Around> = all(&|id| {
            let said: Vec<Said> = said
                .iter()
                .filter(|said| said.request == id)
                .copied()
                .collect();
            let heard: BTreeSet<u64> = said.iter().map(|said| said.incarnation).collect();
            let mut silent = others.clone();
            silent.retain(|known| !heard.contains(&known.incarnation));
            Around { said, silent }
        });
        let is_complete = around.values().all(|around| around.silent.is_empty());
        if is_complete || begun.elapsed() > patience {
            return Ok(around);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The same for a request without keys, which is over when this returns.
///
/// # Errors
/// What ClickHouse said.
pub(crate) async fn ask_once(
    collector: &Collector,
    rows: &Rows,
    request: u64,
    patience: Duration,
) -> Result<Around, StoreError> {
    let mut around = ask(collector, rows, &[(request, 0)], patience).await?;
    if collector.config.store.is_shared() {
        rows.hang_up(request).await?;
    }
    Ok(around.remove(&request).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_a_range_of_batches() {
        let settled = Settled(vec![Bound {
            incarnation: 1,
            segment: 2,
        }]);
        assert_eq!(
            settled.sql(),
            "(bitShiftRight(batch_id, 64) NOT IN (toUInt128('1')) OR batch_id BETWEEN \
             toUInt128('18446744073709551616') AND toUInt128('18446744073709748223'))"
        );
    }
}
