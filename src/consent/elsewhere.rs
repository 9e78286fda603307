//! Withdrawals made at other collectors, learned from the ledger that they share.
//!
//! Comes in: the parts of `consents` in ClickHouse. Goes out: withdrawals in this collector's revocation set and in its
//! `revocations.log`; never a ledger row, for the one there is where they were learned. A withdrawal holds at once at the
//! collector that was asked, which hands it to ClickHouse within about a second ([`Spool::seal_within`]); here it holds
//! within about a second of being there. An embedded engine is nobody else's: it is looked into once, at the start,
//! which puts a lost log right.
//!
//! What is new is known by part, not by time. `ts` is the time of the withdrawal, and its row may come hours after younger
//! ones, when another collector's outage ends; an overlap long enough for that would be read every second. A part never
//! changes, and its name and the hash of its files say which it is, so each is read once. The price: rows that ClickHouse
//! merges are a part of another name and are read again, a few columns of what the merge itself has read and written; and
//! a statement a second about which parts there are, which reads no row. A server of several replicas may list
//! a part that another one, which is asked next, does not have yet: a part is done with when it was found.
//!
//! Lost: nothing that is in the ledger. While ClickHouse is away nothing is learned, and after the usual back-off
//! everything is. A withdrawal that was answered 503 has no row, and one whose row stands in quarantine has none yet: those
//! hold at their collector alone until they are repeated, or replayed. Memory: 18 bytes a withdrawal beside the set's
//! own, and the names of the parts in use.
//!
//! [`Spool::seal_within`]: crate::spool::Spool::seal_within

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use clickhouse::Row;
use serde::Deserialize;
use thiserror::Error;
use tokio::sync::watch;

use super::token::LedgerId;
use super::token_day;
use crate::collector::Collector;
use crate::stats::literal::list;
use crate::store::classify::Class;
use crate::store::{Store, StoreError, within};
use crate::{jitter, shutdown};

/// Longest time between two looks: with the second that a withdrawal may wait in its spool, a few seconds in all.
const EVERY: Duration = Duration::from_secs(1);

/// Rows that one statement looks at, as long as it is more than one part: a ledger of years is read bit by bit.
const ROWS_AT_ONCE: u64 = 1_000_000;

/// Parts that one statement names.
const PARTS_AT_ONCE: usize = 100;

/// Why nothing could be learned; it is tried again.
#[derive(Debug, Error)]
enum Fault {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("revocation log: {0}")]
    Log(#[from] io::Error),
}

/// What is left after a look.
#[derive(Clone, Copy, PartialEq)]
enum Left {
    Nothing,
    Parts,
}

#[derive(Debug, Row, Deserialize)]
struct Part {
    name: String,
    hash: String,
    n_rows: u64,
}

impl Part {
    fn key(&self) -> String {
        format!("{} {}", self.name, self.hash)
    }
}

#[derive(Row, Deserialize)]
struct Found {
    part: String,
    withdrawn: Vec<(u128, u16)>,
}

struct Ledger {
    collector: Arc<Collector>,
    store: Store,
    /// Parts that were read, by name and hash.
    read: HashSet<String>,
    /// In force here, and not in the log yet.
    unkept: Vec<(LedgerId, u16)>,
}

/// Learns until shutdown; from an embedded engine, until it has been looked into.
///
/// # Cancel safety
/// Dropping it loses nothing: the next start reads everything anew.
pub async fn learn(collector: Arc<Collector>, store: Store, mut shutdown: watch::Receiver<bool>) {
    let batch = collector.config.batch.clone();
    let is_shared = collector.config.store.is_shared();
    let mut ledger = Ledger {
        collector,
        store: store.at_leisure(),
        read: HashSet::new(),
        unkept: Vec::new(),
    };
    let mut backoff = batch.retry_min;
    loop {
        let looked = tokio::select! {
            looked = ledger.look() => looked,
            () = shutdown::asked(&mut shutdown) => return,
        };
        let wait = match looked {
            Ok(Left::Parts) => Duration::ZERO,
            Ok(Left::Nothing) if is_shared => EVERY,
            Ok(Left::Nothing) => return,
            Err(_) => backoff,
        };
        match looked {
            Ok(_) => backoff = batch.retry_min,
            Err(fault) => {
                tell(&fault);
                backoff = (backoff * 2).min(batch.retry_max);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(jitter::up_to(wait)) => {}
            () = shutdown::asked(&mut shutdown) => return,
        }
    }
}

/// That ClickHouse is away the batch step says; what the operator has to mend is said here, too.
fn tell(fault: &Fault) {
    match fault {
        Fault::Store(error) if error.class() != Class::Rights => {
            tracing::debug!(%error, "cannot ask for withdrawals made at other collectors; trying again");
        }
        fault => {
            tracing::warn!(%fault, "withdrawals made at other collectors cannot be learned; trying again");
        }
    }
}

impl Ledger {
    /// Reads parts that are new, as many as one statement takes.
    async fn look(&mut self) -> Result<Left, Fault> {
        let sql = "SELECT name, hash_of_all_files AS hash, rows AS n_rows FROM system.parts \
                   WHERE database = currentDatabase() AND table = 'consents' AND active AND rows > 0";
        let query = self.store.client.query(sql);
        let parts: Vec<Part> = within(self.store.timeout, query.fetch_all()).await?;
        let in_use: HashSet<String> = parts.iter().map(Part::key).collect();
        self.read.retain(|key| in_use.contains(key));
        let new: Vec<Part> = parts
            .into_iter()
            .filter(|part| !self.read.contains(&part.key()))
            .collect();
        let now = first(&new);
        let found = self.withdrawals(now).await?;
        for (ledger, last_day) in found.iter().flat_map(|found| &found.withdrawn) {
            self.revoke(LedgerId(*ledger), *last_day);
        }
        self.keep().await?;
        let found: HashSet<&str> = found.iter().map(|found| found.part.as_str()).collect();
        let done = now.iter().filter(|part| found.contains(&*part.name));
        self.read.extend(done.map(Part::key));
        // A part that was not found has been merged away, or is not there yet: no reason to hurry.
        if now.len() < new.len() && !found.is_empty() {
            return Ok(Left::Parts);
        }
        Ok(Left::Nothing)
    }

    /// Returns, of each of these parts that is still there, the withdrawals whose tokens would be valid.
    async fn withdrawals(&self, parts: &[Part]) -> Result<Vec<Found>, Fault> {
        if parts.is_empty() {
            return Ok(Vec::new());
        }
        let today = token_day(self.collector.clock.now());
        let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
        let sql = format!(
            "SELECT toString(_part) AS part, \
             groupArrayIf((ledger, toUInt16(last_day)), choice = 'withdraw' AND toUInt16(last_day) >= {today}) AS withdrawn \
             FROM consents WHERE _part IN {} GROUP BY part",
            list(&names)
        );
        let query = self.store.client.query(&sql);
        Ok(within(self.store.timeout * 10, query.fetch_all()).await?)
    }

    /// Takes note of a withdrawal, unless it is known: as most are that were made here.
    fn revoke(&mut self, id: LedgerId, last_day: u16) {
        if self.collector.revocations.contains(id) {
            return;
        }
        self.collector.revocations.insert(id, last_day);
        self.collector.metrics.revocations_learned.inc();
        self.unkept.push((id, last_day));
    }

    /// Makes durable what was learned.
    async fn keep(&mut self) -> Result<(), Fault> {
        if self.unkept.is_empty() {
            return Ok(());
        }
        let (revocations, unkept) = (self.collector.revocations.clone(), self.unkept.clone());
        tokio::task::spawn_blocking(move || revocations.persist(&unkept))
            .await
            .map_err(io::Error::other)??;
        self.unkept = Vec::new();
        Ok(())
    }
}

/// The first of these parts, as many as one statement takes: one at least.
fn first(parts: &[Part]) -> &[Part] {
    let mut n_rows = 0;
    let fits = parts.iter().take(PARTS_AT_ONCE).take_while(|part| {
        n_rows += part.n_rows;
        n_rows <= ROWS_AT_ONCE
    });
    let n = fits.count().max(1).min(parts.len());
    &parts[..n]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(rows: &[u64]) -> Vec<Part> {
        let part = |n_rows: &u64| Part {
            name: format!("203112_{n_rows}_{n_rows}_0"),
            hash: String::new(),
            n_rows: *n_rows,
        };
        rows.iter().map(part).collect()
    }

    #[test]
    fn a_statement_reads_few_parts_or_few_rows_and_always_one() {
        let n = |rows: &[u64]| first(&parts(rows)).len();
        assert_eq!(n(&[]), 0);
        assert_eq!(n(&[1, 1, 1]), 3);
        assert_eq!(n(&[1; 300]), PARTS_AT_ONCE);
        assert_eq!(n(&[2 * ROWS_AT_ONCE, 1]), 1);
        assert_eq!(n(&[1, ROWS_AT_ONCE, 1]), 1);
    }
}
